//! Who signed a form. The policy is what is signed, by version 4 or by version 2, whose signature is bound to the policy
//! and its end alike, so both are taken.
//!
//! **Invariant:** an access key is told only if the signature is that of its secret, compared in constant time; half a
//! signature is never nobody's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::form::Fields;
use crate::auth::secret::Secret;
use crate::front::s3::error::{self, Refusal, Result};
use crate::front::s3::guard;
use crate::front::s3::mount::{Keys, TOKEN};
use crate::model::caller::Token;
use crate::model::id::unhex;
use crate::model::time::Timestamp;
use crate::store::BodyError;

/// Longest life of a key of version 4.
const KEY_LIFE: Duration = Duration::days(7);
/// How far the clock of a client may be ahead.
const SKEW: Duration = Duration::minutes(15);

/// What a form says of its signature.
#[derive(Debug, PartialEq, Eq)]
enum Claim<'f> {
    V2 { access_key: &'f str, signature: &'f str },
    V4 { access_key: &'f str, scope: [&'f str; 3], signature: &'f str },
}

/// Who signed a form.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) access_key: String,
    /// Whom the token beside the signature speaks of, if there was one.
    pub(super) session: Option<Arc<Token>>,
}

/// Who signed the form; `None` if nobody did.
pub(super) async fn signer(
    fields: &Fields,
    keys: &Keys,
    region: Option<&str>,
    now: Timestamp,
) -> Result<Option<Signer>> {
    let token = fields.get(TOKEN);
    let Some((claim, policy)) = claim(fields, region, now.to_utc())? else {
        return if token.is_none() { Ok(None) } else { Err(guard::invalid_token()) };
    };
    let (Claim::V2 { access_key, .. } | Claim::V4 { access_key, .. }) = claim;
    let secret = keys.secret_of(access_key).await?.ok_or_else(|| {
        Refusal::new(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    })?;
    if !claim.holds(policy, &secret) {
        return Err(error::body(BodyError::Signature));
    }
    let session = keys.session(access_key, token)?;
    Ok(Some(Signer { access_key: access_key.to_owned(), session }))
}

fn missing(name: &'static str) -> Refusal {
    Refusal::new(
        400,
        "InvalidArgument",
        format!(
            "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
        ),
    )
    .with("ArgumentName", name)
}

/// What is claimed, and the policy that is signed.
fn claim<'f>(fields: &'f Fields, region: Option<&str>, now: OffsetDateTime) -> Result<Option<(Claim<'f>, &'f str)>> {
    let need = |name: &'static str, shown: &'static str| fields.get(name).ok_or_else(|| missing(shown));
    let has = |names: &[&str]| names.iter().any(|name| fields.get(name).is_some());
    let second = has(&["awsaccesskeyid", "signature"]);
    let fourth = has(&["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]);
    let claim = match (second, fourth) {
        (false, false) if fields.get("policy").is_none() => return Ok(None),
        (true, true) => return Err(Refusal::request("Only one auth mechanism allowed.")),
        (_, false) => Claim::V2 {
            access_key: need("awsaccesskeyid", "AWSAccessKeyId")?,
            signature: need("signature", "signature")?,
        },
        (false, true) => {
            if need("x-amz-algorithm", "X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
                let message = "Only AWS4-HMAC-SHA256 is supported.";
                return Err(Refusal::new(400, "InvalidArgument", message).with("ArgumentName", "X-Amz-Algorithm"));
            }
            let (access_key, scope) = credential(need("x-amz-credential", "X-Amz-Credential")?, region)?;
            date(need("x-amz-date", "X-Amz-Date")?, scope[0], now)?;
            Claim::V4 { access_key, scope, signature: need("x-amz-signature", "X-Amz-Signature")? }
        }
    };
    Ok(Some((claim, need("policy", "policy")?)))
}

fn malformed(message: &'static str) -> Refusal {
    Refusal::new(400, "AuthorizationQueryParametersError", message)
}

/// Access key, and date, region and service, of a credential.
fn credential<'f>(text: &'f str, region: Option<&str>) -> Result<(&'f str, [&'f str; 3])> {
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let (Some("aws4_request"), Some("s3"), Some(named), Some(day), Some(access_key)) =
        (next(), next(), next(), next(), next())
    else {
        return Err(malformed("The X-Amz-Credential must be <key>/<date>/<region>/s3/aws4_request."));
    };
    if region.is_some_and(|region| region != named) {
        return Err(malformed("The X-Amz-Credential is for another region."));
    }
    Ok((access_key, [day, named, "s3"]))
}

/// The date of a signature must be that of its scope, and the key of that day must still be good.
fn date(text: &str, day: &str, now: OffsetDateTime) -> Result<()> {
    let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = PrimitiveDateTime::parse(text, basic).map_err(|_| malformed("X-Amz-Date must be in ISO 8601 format."))?;
    if !text.starts_with(day) || day.len() != 8 {
        return Err(malformed("The date of X-Amz-Credential is not that of X-Amz-Date."));
    }
    let at = at.assume_utc();
    if at - now > SKEW || now - at > KEY_LIFE {
        return Err(Refusal::denied("The date of the signature is too far from that of the server."));
    }
    Ok(())
}

impl Claim<'_> {
    fn holds(&self, policy: &str, secret: &Secret) -> bool {
        match self {
            Self::V2 { signature, .. } => {
                let Ok(signature) = BASE64.decode(signature) else { return false };
                mac::<Hmac<Sha1>>(secret.expose().as_bytes(), policy)
                    .is_some_and(|mac| mac.verify_slice(&signature).is_ok())
            }
            Self::V4 { scope, signature, .. } => {
                let Some(signature) = unhex::<32>(signature) else { return false };
                let first = format!("AWS4{}", secret.expose()).into_bytes();
                let key = scope.iter().chain(&["aws4_request"]).try_fold(first, |key, part| {
                    Some(mac::<Hmac<Sha256>>(&key, part)?.finalize().into_bytes().to_vec())
                });
                let mac = key.and_then(|key| mac::<Hmac<Sha256>>(&key, policy));
                mac.is_some_and(|mac| mac.verify_slice(&signature).is_ok())
            }
        }
    }
}

/// The code of a text; a key of any length is one.
fn mac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation of AWS: "Browser-Based Uploads Using POST".
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";
    const POLICY: &str = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7\
        ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7Im\
        FjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hb\
        WF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0s\
        DQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUV\
        TMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQU\
        lPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtS\
        E1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.set(name, (*value).to_owned());
        }
        fields
    }

    fn code(fields: &Fields, region: Option<&str>, now: &str) -> Option<String> {
        let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
        let now = PrimitiveDateTime::parse(now, basic).expect("a date").assume_utc();
        claim(fields, region, now).err().map(|refusal| refusal.code.into_owned())
    }

    fn fourth() -> Vec<(&'static str, &'static str)> {
        vec![
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", CREDENTIAL),
            ("x-amz-date", "20151229T000000Z"),
            ("x-amz-signature", SIGNATURE),
            ("policy", POLICY),
        ]
    }

    #[test]
    fn the_example_of_aws_holds() {
        let (access_key, scope) = credential(CREDENTIAL, Some("us-east-1")).expect("a credential");
        assert_eq!(access_key, "AKIAIOSFODNN7EXAMPLE");
        let claim = Claim::V4 { access_key, scope, signature: SIGNATURE };
        assert!(claim.holds(POLICY, &Secret::new(SECRET)));
        assert!(!claim.holds(&POLICY[1..], &Secret::new(SECRET)));
        assert!(!claim.holds(POLICY, &Secret::new("another secret key")));
    }

    #[test]
    fn version_two_signs_the_policy_too() {
        // HMAC-SHA1 of RFC 2202, test case 2.
        let claim = Claim::V2 { access_key: "a", signature: "7/zfauXrL6LSdBbV8YTfnCWafHk=" };
        assert!(claim.holds("what do ya want for nothing?", &Secret::new("Jefe")));
        assert!(!claim.holds("what do ya want for nothing!", &Secret::new("Jefe")));
    }

    #[test]
    fn half_a_signature_is_refused() {
        let day = "20151229T120000Z";
        assert_eq!(code(&fields(&fourth()), Some("us-east-1"), day), None);
        assert_eq!(claim(&fields(&[("key", "k")]), None, OffsetDateTime::UNIX_EPOCH).expect("nobody"), None);
        for gone in 0..5 {
            let mut pairs = fourth();
            pairs.remove(gone);
            assert_eq!(code(&fields(&pairs), None, day).as_deref(), Some("InvalidArgument"), "{gone}");
        }
        let second = [("awsaccesskeyid", "a"), ("signature", "s"), ("policy", "p")];
        assert_eq!(code(&fields(&second), None, day), None);
        for gone in 0..3 {
            let mut pairs = second.to_vec();
            pairs.remove(gone);
            assert_eq!(code(&fields(&pairs), None, day).as_deref(), Some("InvalidArgument"), "{gone}");
        }
        let both = [fourth(), second[..2].to_vec()].concat();
        assert_eq!(code(&fields(&both), None, day).as_deref(), Some("InvalidRequest"));
        let parameters = Some("AuthorizationQueryParametersError");
        assert_eq!(code(&fields(&fourth()), Some("eu-1"), day).as_deref(), parameters);
        assert_eq!(code(&fields(&fourth()), None, "20160106T000001Z").as_deref(), Some("AccessDenied"));
        assert_eq!(code(&fields(&fourth()), None, "20151228T230000Z").as_deref(), Some("AccessDenied"));
        let mut other = fourth();
        other[2].1 = "20151230T000000Z";
        assert_eq!(code(&fields(&other), None, day).as_deref(), parameters);
    }
}
