//! Every operation by every caller who must not perform it.
//!
//! **Invariant:** [`OPERATIONS`] is the table of the gateway; an operation that is added there fails here until it is
//! attacked as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use super::site::{BUCKET, Site};
use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::{Auth, Call, Client, Keys, Signed};

/// One operation, as a caller who may would ask for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// `{bucket}` is the bucket that is attacked.
    path: &'static str,
    /// `{upload}` is an upload of [`UPLOAD_KEY`] in it.
    query: &'static [(&'static str, &'static str)],
    headers: &'static [(&'static str, &'static str)],
    pub(super) body: &'static str,
}

/// The key of the upload that is under way.
pub(super) const UPLOAD_KEY: &str = "half";

const VAULT: &str = "/{bucket}";
const GOLD: &str = "/{bucket}/gold/bar";
const HALF: &str = "/{bucket}/half";
const PART: &[(&str, &str)] = &[("partNumber", "1"), ("uploadId", "{upload}")];
const UPLOAD: &[(&str, &str)] = &[("uploadId", "{upload}")];
const SOURCE: &[(&str, &str)] = &[("x-amz-copy-source", "{bucket}/gold/bar")];
const DELETES: &str = "<Delete><Object><Key>gold/bar</Key></Object></Delete>";
const PARTS: &str = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
                     <ETag>\"9e107d9d372bb6826bd81d3542a419d6\"</ETag></Part></CompleteMultipartUpload>";

const ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                          <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
                          </ServerSideEncryptionConfiguration>";
const VERSIONING: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const LOCK: &str = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const POLICY: &str =
    r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::*"}]}"#;
const BLOCK: &str = "<PublicAccessBlockConfiguration/>";
const OWNERSHIP: &str =
    "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
/// What root owns, for root alone.
pub(super) const LIST: &str =
    "<AccessControlPolicy><Owner><ID>root</ID></Owner><AccessControlList/></AccessControlPolicy>";
const PAYMENT: &str = "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>";
const RETENTION: &str =
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2199-01-01T00:00:00Z</RetainUntilDate></Retention>";
const HOLD: &str = "<LegalHold><Status>ON</Status></LegalHold>";

const CORS: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
                    </CORSRule></CORSConfiguration>";
const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>";

const fn plain(name: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation { name, method, path, query: &[], headers: &[], body: "" }
}

const fn asking(operation: Operation, query: &'static [(&'static str, &'static str)]) -> Operation {
    Operation { query, ..operation }
}

/// All of them.
pub(super) const OPERATIONS: [Operation; 72] = [
    plain("list_buckets", "GET", "/"),
    plain("create_bucket", "PUT", "/{bucket}-new"),
    plain("head_bucket", "HEAD", VAULT),
    plain("delete_bucket", "DELETE", VAULT),
    asking(plain("get_bucket_location", "GET", VAULT), &[("location", "")]),
    asking(plain("get_bucket_versioning", "GET", VAULT), &[("versioning", "")]),
    Operation { body: "thirteen", ..plain("put_object", "PUT", GOLD) },
    plain("get_object", "GET", GOLD),
    plain("head_object", "HEAD", GOLD),
    plain("delete_object", "DELETE", GOLD),
    Operation { body: DELETES, ..asking(plain("delete_objects", "POST", VAULT), &[("delete", "")]) },
    Operation {
        headers: &[("x-amz-object-attributes", "ETag")],
        ..asking(plain("get_object_attributes", "GET", GOLD), &[("attributes", "")])
    },
    Operation { headers: SOURCE, ..plain("copy_object", "PUT", "/{bucket}/copied") },
    plain("list_objects", "GET", VAULT),
    asking(plain("list_objects_v2", "GET", VAULT), &[("list-type", "2")]),
    asking(plain("list_object_versions", "GET", VAULT), &[("versions", "")]),
    asking(plain("create_multipart_upload", "POST", HALF), &[("uploads", "")]),
    Operation { body: "a part", ..asking(plain("upload_part", "PUT", HALF), PART) },
    Operation { headers: SOURCE, ..asking(plain("upload_part_copy", "PUT", HALF), PART) },
    Operation { body: PARTS, ..asking(plain("complete_multipart_upload", "POST", HALF), UPLOAD) },
    asking(plain("abort_multipart_upload", "DELETE", HALF), UPLOAD),
    asking(plain("list_parts", "GET", HALF), UPLOAD),
    asking(plain("list_multipart_uploads", "GET", VAULT), &[("uploads", "")]),
    asking(plain("get_bucket_accelerate_configuration", "GET", VAULT), &[("accelerate", "")]),
    asking(plain("get_bucket_acl", "GET", VAULT), &[("acl", "")]),
    asking(plain("get_bucket_cors", "GET", VAULT), &[("cors", "")]),
    asking(plain("get_bucket_encryption", "GET", VAULT), &[("encryption", "")]),
    asking(plain("get_bucket_lifecycle_configuration", "GET", VAULT), &[("lifecycle", "")]),
    asking(plain("get_bucket_logging", "GET", VAULT), &[("logging", "")]),
    asking(plain("get_bucket_notification_configuration", "GET", VAULT), &[("notification", "")]),
    asking(plain("get_bucket_ownership_controls", "GET", VAULT), &[("ownershipControls", "")]),
    asking(plain("get_bucket_policy", "GET", VAULT), &[("policy", "")]),
    asking(plain("get_bucket_replication", "GET", VAULT), &[("replication", "")]),
    asking(plain("get_bucket_request_payment", "GET", VAULT), &[("requestPayment", "")]),
    asking(plain("get_bucket_tagging", "GET", VAULT), &[("tagging", "")]),
    asking(plain("get_bucket_website", "GET", VAULT), &[("website", "")]),
    asking(plain("get_object_lock_configuration", "GET", VAULT), &[("object-lock", "")]),
    asking(plain("get_public_access_block", "GET", VAULT), &[("publicAccessBlock", "")]),
    asking(plain("get_object_acl", "GET", GOLD), &[("acl", "")]),
    asking(plain("get_object_tagging", "GET", GOLD), &[("tagging", "")]),
    asking(plain("get_object_torrent", "GET", GOLD), &[("torrent", "")]),
    Operation { body: CORS, ..asking(plain("put_bucket_cors", "PUT", VAULT), &[("cors", "")]) },
    Operation { body: WEBSITE, ..asking(plain("put_bucket_website", "PUT", VAULT), &[("website", "")]) },
    asking(plain("delete_bucket_cors", "DELETE", VAULT), &[("cors", "")]),
    asking(plain("delete_bucket_encryption", "DELETE", VAULT), &[("encryption", "")]),
    asking(plain("delete_bucket_lifecycle", "DELETE", VAULT), &[("lifecycle", "")]),
    asking(plain("delete_bucket_ownership_controls", "DELETE", VAULT), &[("ownershipControls", "")]),
    asking(plain("delete_bucket_policy", "DELETE", VAULT), &[("policy", "")]),
    asking(plain("delete_bucket_replication", "DELETE", VAULT), &[("replication", "")]),
    asking(plain("delete_bucket_tagging", "DELETE", VAULT), &[("tagging", "")]),
    asking(plain("delete_bucket_website", "DELETE", VAULT), &[("website", "")]),
    asking(plain("delete_public_access_block", "DELETE", VAULT), &[("publicAccessBlock", "")]),
    Operation {
        body: "<LifecycleConfiguration><Rule><ID>r</ID><Prefix></Prefix><Status>Enabled</Status><Expiration>\
               <Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
        ..asking(plain("put_bucket_lifecycle_configuration", "PUT", VAULT), &[("lifecycle", "")])
    },
    Operation {
        body: "<NotificationConfiguration/>",
        ..asking(plain("put_bucket_notification_configuration", "PUT", VAULT), &[("notification", "")])
    },
    Operation {
        body: "<BucketLoggingStatus/>",
        ..asking(plain("put_bucket_logging", "PUT", VAULT), &[("logging", "")])
    },
    asking(plain("delete_object_tagging", "DELETE", GOLD), &[("tagging", "")]),
    Operation { body: ENCRYPTION, ..asking(plain("put_bucket_encryption", "PUT", VAULT), &[("encryption", "")]) },
    Operation { body: VERSIONING, ..asking(plain("put_bucket_versioning", "PUT", VAULT), &[("versioning", "")]) },
    Operation { body: LOCK, ..asking(plain("put_object_lock_configuration", "PUT", VAULT), &[("object-lock", "")]) },
    Operation { body: TAGS, ..asking(plain("put_bucket_tagging", "PUT", VAULT), &[("tagging", "")]) },
    Operation { body: POLICY, ..asking(plain("put_bucket_policy", "PUT", VAULT), &[("policy", "")]) },
    asking(plain("get_bucket_policy_status", "GET", VAULT), &[("policyStatus", "")]),
    Operation { body: BLOCK, ..asking(plain("put_public_access_block", "PUT", VAULT), &[("publicAccessBlock", "")]) },
    Operation {
        body: OWNERSHIP,
        ..asking(plain("put_bucket_ownership_controls", "PUT", VAULT), &[("ownershipControls", "")])
    },
    Operation { body: LIST, ..asking(plain("put_bucket_acl", "PUT", VAULT), &[("acl", "")]) },
    Operation { body: PAYMENT, ..asking(plain("put_bucket_request_payment", "PUT", VAULT), &[("requestPayment", "")]) },
    Operation { body: LIST, ..asking(plain("put_object_acl", "PUT", GOLD), &[("acl", "")]) },
    Operation { body: TAGS, ..asking(plain("put_object_tagging", "PUT", GOLD), &[("tagging", "")]) },
    asking(plain("get_object_retention", "GET", GOLD), &[("retention", "")]),
    Operation { body: RETENTION, ..asking(plain("put_object_retention", "PUT", GOLD), &[("retention", "")]) },
    asking(plain("get_object_legal_hold", "GET", GOLD), &[("legal-hold", "")]),
    Operation { body: HOLD, ..asking(plain("put_object_legal_hold", "PUT", GOLD), &[("legal-hold", "")]) },
];

impl Operation {
    /// The request.
    pub(super) fn call<'c>(&self, client: &'c Client, bucket: &str, upload: &str) -> Call<'c> {
        let mut call = client.call(self.method, &self.path.replace("{bucket}", bucket)).body(self.body);
        for (name, value) in self.query {
            call = call.query(name, &value.replace("{upload}", upload));
        }
        for (name, value) in self.headers {
            call = call.header(name, &value.replace("{bucket}", bucket));
        }
        if self.name == "delete_objects" {
            call = call.header("content-md5", &BASE64.encode(Md5::digest(self.body.as_bytes())));
        }
        call
    }
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    Nobody,
    UnknownKey,
    WrongSecret,
    Expired,
    Early,
    Late,
    Path,
    Query,
    Header,
    Body,
}

const ATTACKS: [Attack; 10] = [
    Attack::Nobody,
    Attack::UnknownKey,
    Attack::WrongSecret,
    Attack::Expired,
    Attack::Early,
    Attack::Late,
    Attack::Path,
    Attack::Query,
    Attack::Header,
    Attack::Body,
];

const MINUTE: i64 = 60;

impl Attack {
    fn client(self, root: &Client) -> Client {
        root.with_keys(match self {
            Self::Nobody => None,
            Self::UnknownKey => Some(Keys::new("NOSUCHKEY", ROOT_SECRET)),
            Self::WrongSecret => Some(Keys::new(ROOT_ACCESS_KEY, "another-secret-7c2e19")),
            _ => root.keys().cloned(),
        })
    }

    fn spoil(self, call: Call<'_>) -> Call<'_> {
        match self {
            Self::Nobody | Self::UnknownKey | Self::WrongSecret => call,
            Self::Expired => call.auth(Auth::Presigned(MINUTE)).at(-2 * MINUTE),
            Self::Early => call.at(16 * MINUTE),
            Self::Late => call.at(-16 * MINUTE),
            Self::Path => call.spoil(|signed| {
                let (path, query) = signed.target.split_once('?').unwrap_or((&signed.target, ""));
                signed.target = format!("{path}x?{query}");
            }),
            Self::Query => call.spoil(|signed| {
                let joint = if signed.target.contains('?') { '&' } else { '?' };
                signed.target = format!("{}{joint}prefix=z", signed.target);
            }),
            Self::Header => call.header("x-amz-meta-a", "1").spoil(|signed| signed.set_header("x-amz-meta-a", "2")),
            Self::Body => call.spoil(|signed: &mut Signed| match signed.body.first_mut() {
                Some(byte) => *byte ^= 1,
                None => signed.body = b"x".to_vec(),
            }),
        }
    }

    /// Status and code of the answer.
    fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Nobody | Self::Expired => (403, "AccessDenied"),
            Self::UnknownKey => (403, "InvalidAccessKeyId"),
            Self::Early | Self::Late => (403, "RequestTimeTooSkewed"),
            Self::WrongSecret | Self::Path | Self::Query | Self::Header => (403, "SignatureDoesNotMatch"),
            Self::Body => (400, "XAmzContentSHA256Mismatch"),
        }
    }
}

#[test]
fn the_table_has_every_operation_of_the_gateway() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/s3/gateway.rs");
    let text = std::fs::read_to_string(path).expect("the gateway");
    let (_, table) = text.rsplit_once("\noperations! {\n").expect("the table of the gateway");
    let (table, _) = table.split_once("\n}").expect("its end");
    // The name is what stands before the colon that is not doubled; a long row has its types on the next line.
    let mut gateway: Vec<&str> = table.split(';').filter_map(|row| Some(row.trim().split_once(':')?.0)).collect();
    let mut here: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    gateway.sort_unstable();
    here.sort_unstable();
    assert_eq!(gateway, here, "an operation is not attacked");
}

#[tokio::test]
async fn no_operation_is_done_for_who_cannot_prove_to_be_somebody() {
    let site = Site::new().await;
    let begun = site.root.call("POST", &format!("/{BUCKET}/{UPLOAD_KEY}")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let before = site.seen().await;
    for operation in OPERATIONS {
        for attack in ATTACKS {
            // Without a body there is none to change; one that is there all the same is read by nobody.
            if attack == Attack::Body && operation.body.is_empty() && operation.name != "create_bucket" {
                continue;
            }
            let what = format!("{} with {attack:?}", operation.name);
            let calls = site.provider_calls().await;
            let client = attack.client(&site.root);
            let answer = attack.spoil(operation.call(&client, BUCKET, &upload)).send().await;
            let (status, code) = attack.answer();
            // What may be deleted is told key by key.
            let by_key = operation.name == "delete_objects" && attack == Attack::Nobody;
            let status = if by_key { 200 } else { status };
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            if operation.method != "HEAD" {
                assert_eq!(answer.elements("Code"), [code], "{what}: {}", answer.text());
            }
            assert!(!answer.text().contains("<Deleted>"), "{what}: {}", answer.text());
            if attack != Attack::Body {
                assert_eq!(site.provider_calls().await, calls, "{what}: the provider was asked");
            }
        }
        site.settles_to(&before, operation.name).await;
    }
}
