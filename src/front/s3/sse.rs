//! Encryption at rest on the wire: what requests ask for, what answers show, and the default of a bucket.
//!
//! **Invariant:** half of a wish is no wish: headers that do not fit together are refused, and a key that a client sends
//! is never part of an answer or of the log. What is wrong with a write is told by the store, behind its decision.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};
use s3s::S3Request;
use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::error::{Refusal, Result};
use super::exchange::{Exchange, caller};
use super::gateway::Gateway;
use super::wire;
use crate::config::limits::ENCRYPTION_CONTEXT_BYTES_MAX;
use crate::model::action::Action;
use crate::model::encryption::{CustomerKey, DefaultEncryption, EncryptionRequest, NamedRequest, Scheme, Sealing};

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// The three headers of a client's key, for the object that the request names and for the source of a copy.
const CUSTOMER: [&str; 3] = [
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];
const SOURCE: [&str; 3] = [
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
];

/// The only algorithm there is.
pub(super) const AES256: &str = "AES256";

/// What is wrong with a request, and with which of its headers.
struct Unfit(&'static str, &'static str);

impl From<Unfit> for Refusal {
    fn from(Unfit(name, message): Unfit) -> Self {
        Self::new(400, "InvalidArgument", message).with("ArgumentName", name)
    }
}

/// The key that a client sends for the object.
pub(super) fn customer_key(headers: &HeaderMap) -> Result<Option<CustomerKey>> {
    Ok(customer(headers, CUSTOMER)?)
}

/// The key that a client sends for the source of a copy.
pub(super) fn source_key(headers: &HeaderMap) -> Result<Option<CustomerKey>> {
    Ok(customer(headers, SOURCE)?)
}

/// The key for a read. How an object is encrypted is not for a read to say.
pub(super) fn read_key(headers: &HeaderMap) -> Result<Option<CustomerKey>> {
    if !speaks(headers) {
        return Ok(None);
    }
    match [ALGORITHM, KEY_ID, CONTEXT, BUCKET_KEY].into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Unfit(name, "The header is not accepted on reads.").into()),
        None => customer_key(headers),
    }
}

/// How a write is to be encrypted.
pub(super) fn asked(headers: &HeaderMap) -> EncryptionRequest {
    request(headers).unwrap_or_else(|Unfit(name, message)| EncryptionRequest::Unfit { name, message })
}

/// Whether there is anything about encryption: all names begin alike.
fn speaks(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(ALGORITHM))
}

fn request(headers: &HeaderMap) -> std::result::Result<EncryptionRequest, Unfit> {
    if !speaks(headers) {
        return Ok(EncryptionRequest::Default);
    }
    let algorithm = text(headers, ALGORITHM)?;
    let customer = CUSTOMER.iter().any(|name| headers.contains_key(*name));
    if customer && (algorithm.is_some() || headers.contains_key(KEY_ID)) {
        return Err(Unfit(
            ALGORITHM,
            "Server Side Encryption with a customer-provided key is incompatible with the encryption method specified.",
        ));
    }
    if let Some(key) = self::customer(headers, CUSTOMER)? {
        return Ok(EncryptionRequest::Customer(key));
    }
    let named = algorithm == Some(ServerSideEncryption::AWS_KMS);
    if let Some(name) = [KEY_ID, CONTEXT].into_iter().find(|name| !named && headers.contains_key(*name)) {
        return Err(Unfit(name, "The header needs x-amz-server-side-encryption to be aws:kms."));
    }
    match algorithm {
        None => Ok(EncryptionRequest::Default),
        Some(AES256) => Ok(EncryptionRequest::Server),
        Some(_) if named => Ok(EncryptionRequest::Named(NamedRequest {
            key: text(headers, KEY_ID)?.filter(|key| !key.is_empty()).map(str::to_owned),
            bucket_key: match text(headers, BUCKET_KEY)?.unwrap_or("false") {
                value if value.eq_ignore_ascii_case("true") => true,
                value if value.eq_ignore_ascii_case("false") => false,
                _ => return Err(Unfit(BUCKET_KEY, "The header must be true or false.")),
            },
            context: context(headers)?,
        })),
        Some(_) => Err(Unfit(ALGORITHM, "The encryption method specified is not supported")),
    }
}

/// The context is a JSON object of texts, in base64.
fn context(headers: &HeaderMap) -> std::result::Result<Option<String>, Unfit> {
    let Some(sent) = text(headers, CONTEXT)? else { return Ok(None) };
    let decoded = BASE64.decode(sent).ok().filter(|_| sent.len() <= ENCRYPTION_CONTEXT_BYTES_MAX);
    let texts =
        decoded.and_then(|json| serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&json).ok());
    match texts {
        Some(_) => Ok(Some(sent.to_owned())),
        None => Err(Unfit(CONTEXT, "The header must be the base64 of a JSON object of texts.")),
    }
}

fn customer(
    headers: &HeaderMap,
    [algorithm, key, md5]: [&'static str; 3],
) -> std::result::Result<Option<CustomerKey>, Unfit> {
    let sent = (text(headers, algorithm)?, text(headers, key)?, text(headers, md5)?);
    match sent {
        (None, None, None) => Ok(None),
        (None, _, _) => Err(Unfit(
            algorithm,
            "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption \
             algorithm.",
        )),
        (Some(named), _, _) if named != AES256 => Err(Unfit(algorithm, "The encryption algorithm must be AES256.")),
        (Some(_), None, _) => Err(Unfit(
            key,
            "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret \
             key.",
        )),
        (Some(_), Some(_), None) => Err(Unfit(
            md5,
            "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated \
             MD5 of the secret key.",
        )),
        (Some(_), Some(sent), Some(digest)) => {
            let mut decoded = BASE64.decode(sent).map_err(|_| Unfit(key, "The secret key was invalid."))?;
            let bytes = <[u8; 32]>::try_from(&decoded[..]);
            decoded.zeroize();
            let bytes = bytes.map_err(|_| Unfit(key, "The secret key was invalid for the specified algorithm."))?;
            let of_key: [u8; 16] = Md5::digest(bytes).into();
            let same = BASE64.decode(digest).is_ok_and(|digest| of_key.ct_eq(&digest[..]).into());
            if !same {
                return Err(Unfit(md5, "The calculated MD5 hash of the key did not match the hash that was provided."));
            }
            Ok(Some(CustomerKey::new(bytes, digest.to_owned())))
        }
    }
}

/// A header that is sent once.
fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> std::result::Result<Option<&'h str>, Unfit> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unfit(name, "The header is not a text.")),
        (Some(_), Some(_)) => Err(Unfit(name, "The header was sent more than once.")),
    }
}

/// `x-amz-server-side-encryption` of an answer.
pub(super) fn method(sealing: &Sealing) -> Option<ServerSideEncryption> {
    match sealing.scheme {
        Scheme::Server => Some(ServerSideEncryption::from_static(ServerSideEncryption::AES256)),
        Scheme::Named(_) => Some(ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)),
        Scheme::Customer(_) => None,
    }
}

/// The name of the key of an answer.
pub(super) fn key_id(sealing: &Sealing) -> Option<String> {
    match &sealing.scheme {
        Scheme::Named(name) => Some(name.clone()),
        Scheme::Server | Scheme::Customer(_) => None,
    }
}

/// The digest of the client's key of an answer.
pub(super) fn customer_md5(sealing: &Sealing) -> Option<String> {
    match &sealing.scheme {
        Scheme::Customer(md5) => Some(md5.clone()),
        Scheme::Server | Scheme::Named(_) => None,
    }
}

/// Shows the client's key in an answer whose output has no fields for it.
pub(super) fn add_customer(sealing: Option<&Sealing>, extensions: &Extensions) {
    let Some(md5) = sealing.and_then(customer_md5).and_then(|md5| HeaderValue::from_str(&md5).ok()) else { return };
    let exchange = Exchange::of(extensions);
    let [algorithm, _, digest] = CUSTOMER.map(HeaderName::from_static);
    exchange.add_header(algorithm, HeaderValue::from_static(AES256));
    exchange.add_header(digest, md5);
}

/// Sets the fields of an output that say how an object is encrypted; not those of the client's key.
macro_rules! show_method {
    ($output:expr, $sealing:expr) => {
        if let Some(sealing) = $sealing {
            $output.server_side_encryption = $crate::front::s3::sse::method(sealing);
            $output.ssekms_key_id = $crate::front::s3::sse::key_id(sealing);
            $output.bucket_key_enabled = sealing.bucket_key.then_some(true);
        }
    };
}
pub(super) use show_method;

/// Sets all fields of an output that say how an object is encrypted.
macro_rules! show_sealing {
    ($output:expr, $sealing:expr) => {
        if let Some(sealing) = $sealing {
            $crate::front::s3::sse::show_method!($output, Some(sealing));
            $output.sse_customer_key_md5 = $crate::front::s3::sse::customer_md5(sealing);
            $output.sse_customer_algorithm =
                $output.sse_customer_key_md5.as_ref().map(|_| $crate::front::s3::sse::AES256.to_owned());
        }
    };
}
pub(super) use show_sealing;

/// PutBucketEncryption.
pub(super) async fn put_default(
    gateway: &Gateway,
    request: S3Request<PutBucketEncryptionInput>,
) -> Result<PutBucketEncryptionOutput> {
    let caller = caller(&request.extensions);
    let input = request.input;
    let default = default_of(input.server_side_encryption_configuration)?;
    let (name, action) = (wire::bucket(&input.bucket)?, Action::PutEncryptionConfiguration);
    let change = |config: &mut crate::model::bucket::BucketConfig, _: &crate::model::bucket::Bucket| {
        config.encryption = Some(default.clone());
        Ok(())
    };
    gateway.store.change_config(&caller, &name, action, change).await?;
    Ok(PutBucketEncryptionOutput::default())
}

fn default_of(config: ServerSideEncryptionConfiguration) -> Result<DefaultEncryption> {
    let mut rules = config.rules;
    let (Some(rule), true) = (rules.pop(), rules.is_empty()) else { return Err(Refusal::malformed_xml()) };
    if rule.blocked_encryption_types.is_some() {
        return Err(Refusal::not_implemented("Blocking encryption types"));
    }
    let by_default = rule.apply_server_side_encryption_by_default.ok_or_else(Refusal::malformed_xml)?;
    let (key, bucket_key) = (by_default.kms_master_key_id, rule.bucket_key_enabled.unwrap_or(false));
    match by_default.sse_algorithm.as_str() {
        AES256 if key.as_ref().is_none_or(String::is_empty) => Ok(DefaultEncryption { named: None, bucket_key }),
        AES256 => Err(Unfit(
            "KMSMasterKeyID",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms",
        )
        .into()),
        ServerSideEncryption::AWS_KMS => Ok(DefaultEncryption { named: Some(key.unwrap_or_default()), bucket_key }),
        _ => Err(Refusal::malformed_xml()),
    }
}

/// GetBucketEncryption.
pub(super) async fn get_default(
    gateway: &Gateway,
    request: S3Request<GetBucketEncryptionInput>,
) -> Result<GetBucketEncryptionOutput> {
    let caller = caller(&request.extensions);
    let name = wire::bucket(&request.input.bucket)?;
    let bucket = gateway.store.config(&caller, &name, Action::GetEncryptionConfiguration).await?;
    let Some(default) = &bucket.config.encryption else {
        return Err(Refusal::new(
            404,
            "ServerSideEncryptionConfigurationNotFoundError",
            "The server side encryption configuration was not found",
        )
        .with("BucketName", name.as_str()));
    };
    let algorithm = if default.named.is_some() { ServerSideEncryption::AWS_KMS } else { AES256 };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id: default.named.clone().filter(|name| !name.is_empty()),
            sse_algorithm: ServerSideEncryption::from_static(algorithm),
        }),
        bucket_key_enabled: Some(default.bucket_key),
        ..ServerSideEncryptionRule::default()
    };
    let config = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(config) })
}

/// DeleteBucketEncryption.
pub(super) async fn delete_default(
    gateway: &Gateway,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> Result<DeleteBucketEncryptionOutput> {
    let caller = caller(&request.extensions);
    let name = wire::bucket(&request.input.bucket)?;
    let change = |config: &mut crate::model::bucket::BucketConfig, _: &crate::model::bucket::Bucket| {
        config.encryption = None;
        Ok(())
    };
    gateway.store.change_config(&caller, &name, Action::PutEncryptionConfiguration, change).await?;
    Ok(DeleteBucketEncryptionOutput::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
    const MD5: &str = "DWygnHRtgiJ77HCm+1rvHw==";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn wishes_fit_together_or_are_refused() {
        let [algorithm, key, md5] = CUSTOMER;
        let unfit =
            |pairs: &[(&'static str, &'static str)]| matches!(asked(&headers(pairs)), EncryptionRequest::Unfit { .. });
        assert_eq!(asked(&headers(&[])), EncryptionRequest::Default);
        assert_eq!(asked(&headers(&[(ALGORITHM, "AES256")])), EncryptionRequest::Server);
        let named = NamedRequest { key: Some("one".into()), bucket_key: true, context: None };
        let sent = headers(&[(ALGORITHM, "aws:kms"), (KEY_ID, "one"), (BUCKET_KEY, "True")]);
        assert_eq!(asked(&sent), EncryptionRequest::Named(named));
        let sent = headers(&[(algorithm, "AES256"), (key, KEY), (md5, MD5)]);
        assert!(matches!(asked(&sent), EncryptionRequest::Customer(key) if key.md5 == MD5));
        for pairs in [
            &[(ALGORITHM, "AES192")][..],
            &[(ALGORITHM, "aes:kms")],
            &[(ALGORITHM, "aws:kms:dsse")],
            &[(ALGORITHM, "")],
            &[(ALGORITHM, "AES256"), (ALGORITHM, "aws:kms")],
            &[(ALGORITHM, "AES256"), (KEY_ID, "one")],
            &[(KEY_ID, "one")],
            &[(CONTEXT, "e30=")],
            &[(ALGORITHM, "aws:kms"), (CONTEXT, "bm9uZQ==")],
            &[(ALGORITHM, "aws:kms"), (BUCKET_KEY, "yes")],
            &[(ALGORITHM, "AES256"), (algorithm, "AES256"), (key, KEY), (md5, MD5)],
            &[(ALGORITHM, "aws:kms"), (KEY_ID, "one"), (algorithm, "AES256"), (key, KEY), (md5, MD5)],
            &[(algorithm, "AES192")],
            &[(algorithm, "AES256")],
            &[(algorithm, "AES256"), (key, KEY)],
            &[(algorithm, "AES256"), (md5, MD5)],
            &[(key, KEY), (md5, MD5)],
            &[(algorithm, "AES256"), (key, KEY), (md5, "AAAAAAAAAAAAAAAAAAAAAA==")],
            &[(algorithm, "AES256"), (key, "c2hvcnQ="), (md5, MD5)],
            &[(algorithm, "AES256"), (key, "?"), (md5, MD5)],
        ] {
            assert!(unfit(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn reads_say_no_more_than_the_key() {
        let [algorithm, key, md5] = CUSTOMER;
        let code = |pairs: &[(&'static str, &'static str)]| {
            read_key(&headers(pairs)).err().map(|refusal| refusal.code.into_owned())
        };
        assert_eq!(code(&[]), None);
        assert_eq!(code(&[(algorithm, "AES256"), (key, KEY), (md5, MD5)]), None);
        assert_eq!(code(&[(ALGORITHM, "AES256")]).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(&[(KEY_ID, "one")]).as_deref(), Some("InvalidArgument"));
        let [algorithm, key, md5] = SOURCE;
        assert!(source_key(&headers(&[(algorithm, "AES256"), (key, KEY), (md5, MD5)])).is_ok_and(|key| key.is_some()));
    }
}
