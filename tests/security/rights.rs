//! Every operation by everybody: the owner of a bucket, somebody with no right, with every right but the one it takes,
//! with exactly that one, and nobody; in a bucket that is private, one whose lists are public, and one whose policy is.
//!
//! **Invariant:** what must come of each is computed from the actions in [`ASKS`], one row for every operation. An
//! operation that is added to [`OPERATIONS`] fails here until it has a row.

use longshore::model::action::Action;

use super::operations::{LIST, OPERATIONS, Operation, UPLOAD_KEY};
use super::site::KEY;
use crate::harness::{Answer, Auth, Call, Client, Server};

/// What the rights to an operation are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Right {
    /// Everybody's who is somebody: it concerns no bucket of another.
    Own,
    /// All of these, on the bucket or on the object as each says itself.
    All(&'static [Action]),
}

use Right::{All, Own};

/// What each operation takes, and the status of its answer to who has it.
const ASKS: &[(&str, Right, u16)] = &[
    ("list_buckets", Own, 200),
    ("create_bucket", Own, 200),
    ("head_bucket", All(&[Action::ListBucket]), 200),
    ("delete_bucket", All(&[Action::DeleteBucket]), 409),
    ("get_bucket_location", All(&[Action::GetBucketLocation]), 200),
    ("get_bucket_versioning", All(&[Action::GetBucketVersioning]), 200),
    ("put_object", All(&[Action::PutObject]), 200),
    ("get_object", All(&[Action::GetObject]), 200),
    ("head_object", All(&[Action::GetObject]), 200),
    ("delete_object", All(&[Action::DeleteObject]), 204),
    ("delete_objects", All(&[Action::DeleteObject]), 200),
    ("get_object_attributes", All(&[Action::GetObjectAttributes]), 200),
    ("copy_object", All(&[Action::GetObject, Action::PutObject]), 200),
    ("list_objects", All(&[Action::ListBucket]), 200),
    ("list_objects_v2", All(&[Action::ListBucket]), 200),
    ("list_object_versions", All(&[Action::ListBucketVersions]), 200),
    ("create_multipart_upload", All(&[Action::PutObject]), 200),
    ("upload_part", All(&[Action::PutObject]), 200),
    ("upload_part_copy", All(&[Action::GetObject, Action::PutObject]), 200),
    ("complete_multipart_upload", All(&[Action::PutObject]), 200),
    ("abort_multipart_upload", All(&[Action::AbortMultipartUpload]), 204),
    ("list_parts", All(&[Action::ListMultipartUploadParts]), 200),
    ("list_multipart_uploads", All(&[Action::ListBucketMultipartUploads]), 200),
    ("get_bucket_accelerate_configuration", All(&[Action::GetAccelerateConfiguration]), 200),
    ("get_bucket_acl", All(&[Action::GetBucketAcl]), 200),
    ("get_bucket_cors", All(&[Action::GetBucketCORS]), 404),
    ("get_bucket_encryption", All(&[Action::GetEncryptionConfiguration]), 404),
    ("get_bucket_lifecycle_configuration", All(&[Action::GetLifecycleConfiguration]), 404),
    ("get_bucket_logging", All(&[Action::GetBucketLogging]), 200),
    ("get_bucket_notification_configuration", All(&[Action::GetBucketNotification]), 200),
    ("get_bucket_ownership_controls", All(&[Action::GetBucketOwnershipControls]), 404),
    ("get_bucket_policy", All(&[Action::GetBucketPolicy]), 200),
    ("get_bucket_replication", All(&[Action::GetReplicationConfiguration]), 404),
    ("get_bucket_request_payment", All(&[Action::GetBucketRequestPayment]), 200),
    ("get_bucket_tagging", All(&[Action::GetBucketTagging]), 404),
    ("get_bucket_website", All(&[Action::GetBucketWebsite]), 404),
    ("get_object_lock_configuration", All(&[Action::GetBucketObjectLockConfiguration]), 404),
    ("get_public_access_block", All(&[Action::GetBucketPublicAccessBlock]), 404),
    ("get_object_acl", All(&[Action::GetObjectAcl]), 200),
    ("get_object_tagging", All(&[Action::GetObjectTagging]), 200),
    ("get_object_torrent", All(&[Action::GetObjectTorrent]), 404),
    ("put_bucket_cors", All(&[Action::PutBucketCORS]), 200),
    ("put_bucket_website", All(&[Action::PutBucketWebsite]), 200),
    ("delete_bucket_cors", All(&[Action::PutBucketCORS]), 204),
    ("delete_bucket_encryption", All(&[Action::PutEncryptionConfiguration]), 204),
    ("delete_bucket_lifecycle", All(&[Action::PutLifecycleConfiguration]), 204),
    ("delete_bucket_ownership_controls", All(&[Action::PutBucketOwnershipControls]), 204),
    ("delete_bucket_policy", All(&[Action::DeleteBucketPolicy]), 204),
    ("delete_bucket_replication", All(&[Action::PutReplicationConfiguration]), 204),
    ("delete_bucket_tagging", All(&[Action::PutBucketTagging]), 204),
    ("delete_bucket_website", All(&[Action::DeleteBucketWebsite]), 204),
    ("delete_public_access_block", All(&[Action::PutBucketPublicAccessBlock]), 204),
    ("put_bucket_lifecycle_configuration", All(&[Action::PutLifecycleConfiguration]), 200),
    ("put_bucket_notification_configuration", All(&[Action::PutBucketNotification]), 200),
    ("put_bucket_logging", All(&[Action::PutBucketLogging]), 200),
    ("delete_object_tagging", All(&[Action::DeleteObjectTagging]), 204),
    ("put_bucket_encryption", All(&[Action::PutEncryptionConfiguration]), 200),
    ("put_bucket_versioning", All(&[Action::PutBucketVersioning]), 200),
    ("put_object_lock_configuration", All(&[Action::PutBucketObjectLockConfiguration]), 409),
    ("put_bucket_tagging", All(&[Action::PutBucketTagging]), 200),
    ("put_bucket_policy", All(&[Action::PutBucketPolicy]), 204),
    ("get_bucket_policy_status", All(&[Action::GetBucketPolicyStatus]), 200),
    ("put_public_access_block", All(&[Action::PutBucketPublicAccessBlock]), 200),
    ("put_bucket_ownership_controls", All(&[Action::PutBucketOwnershipControls]), 200),
    ("put_bucket_acl", All(&[Action::PutBucketAcl]), 200),
    ("put_bucket_request_payment", All(&[Action::PutBucketRequestPayment]), 200),
    ("put_object_acl", All(&[Action::PutObjectAcl]), 200),
    ("put_object_tagging", All(&[Action::PutObjectTagging]), 200),
    ("get_object_retention", All(&[Action::GetObjectRetention]), 400),
    ("put_object_retention", All(&[Action::PutObjectRetention]), 400),
    ("get_object_legal_hold", All(&[Action::GetObjectLegalHold]), 400),
    ("put_object_legal_hold", All(&[Action::PutObjectLegalHold]), 400),
];

/// What a list that everybody may read gives: the listings of the bucket, and the reads of the object.
const PUBLIC_READ: [Action; 6] = [
    Action::ListBucket,
    Action::ListBucketVersions,
    Action::ListBucketMultipartUploads,
    Action::GetObject,
    Action::GetObjectAttributes,
    Action::GetObjectTorrent,
];

/// Of an upload only who began it has anything; for all others it is not there.
pub(super) const OF_UPLOADS: [&str; 5] =
    ["upload_part", "upload_part_copy", "complete_multipart_upload", "abort_multipart_upload", "list_parts"];

pub(super) fn asks(operation: &Operation) -> (Right, u16) {
    let row = ASKS.iter().find(|(name, ..)| *name == operation.name);
    let (_, right, status) = row.unwrap_or_else(|| panic!("{} has no row", operation.name));
    (*right, *status)
}

/// A list names the owner of what it is for.
const OWN_LIST: &str = "<AccessControlPolicy><Owner><ID>ann</ID></Owner><AccessControlList/></AccessControlPolicy>";

/// A policy that gives these actions to a principal.
pub(super) fn policy(bucket: &str, principal: &str, actions: impl Iterator<Item = Action>) -> String {
    let (on_object, on_bucket): (Vec<_>, Vec<_>) = actions.partition(|action| action.on_object());
    let statement = |actions: Vec<Action>, resource: String| {
        let names: Vec<String> = actions.iter().map(|action| format!("\"{}\"", action.name())).collect();
        let fields = format!("\"Principal\":{principal},\"Resource\":\"arn:aws:s3:::{resource}\"");
        let statement = format!("{{\"Effect\":\"Allow\",{fields},\"Action\":[{}]}}", names.join(","));
        (!names.is_empty()).then_some(statement)
    };
    let parts = [statement(on_object, format!("{bucket}/*")), statement(on_bucket, bucket.to_owned())];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", parts.join(","))
}

/// Every action that a bucket's policy can name.
pub(super) fn all() -> impl Iterator<Item = Action> {
    let of_service = [Action::CreateBucket, Action::ListAllMyBuckets, Action::Administer];
    Action::ALL.iter().copied().filter(move |action| !of_service.contains(action))
}

/// A bucket of the owner's with an object and an upload.
pub(super) struct Vault {
    pub(super) name: String,
    upload: String,
    /// How requests for it are signed.
    auth: Auth,
}

impl Vault {
    pub(super) async fn new(ann: &Client, name: String) -> Self {
        ann.create_bucket(&name).await.expect(200);
        ann.put(&name, KEY, "bytes of ann").await.expect(200);
        let begun = ann.call("POST", &format!("/{name}/{UPLOAD_KEY}")).query("uploads", "").send().await;
        let upload = begun.expect(200).elements("UploadId").remove(0);
        let part =
            ann.call("PUT", &format!("/{name}/{UPLOAD_KEY}")).query("uploadId", &upload).query("partNumber", "1");
        part.body("The quick brown fox jumps over the lazy dog").send().await.expect(200);
        Self { name, upload, auth: Auth::Header }
    }

    /// The same, asked with signatures of this kind.
    pub(super) fn asked(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    pub(super) async fn allow(&self, ann: &Client, principal: &str, actions: impl Iterator<Item = Action>) {
        let text = policy(&self.name, principal, actions);
        ann.call("PUT", &format!("/{}", self.name)).query("policy", "").body(text).send().await.expect(204);
    }

    async fn make_lists_public(&self, ann: &Client) {
        for path in [format!("/{}", self.name), format!("/{}/{KEY}", self.name)] {
            let call = ann.call("PUT", &path).query("acl", "").header("x-amz-acl", "public-read");
            call.send().await.expect(200);
        }
    }

    /// The request for an operation.
    pub(super) fn call<'c>(&self, operation: &Operation, client: &'c Client) -> Call<'c> {
        let mut operation = *operation;
        if operation.body == LIST {
            operation.body = OWN_LIST;
        }
        let call = operation.call(client, &self.name, &self.upload);
        if client.keys().is_some() { call.auth(self.auth) } else { call }
    }

    async fn ask(&self, operation: &Operation, client: &Client) -> Answer {
        self.call(operation, client).send().await
    }

    /// What is wrong if this was done, or told anything.
    pub(super) async fn refuses(&self, operation: &Operation, client: &Client, who: &str) -> Option<String> {
        is_refusal(operation, &self.ask(operation, client).await, who)
    }

    /// What is wrong if it is not served as it is for who may.
    pub(super) async fn serves(
        &self,
        operation: &Operation,
        client: &Client,
        who: &str,
        status: u16,
    ) -> Option<String> {
        let answer = self.ask(operation, client).await;
        let served = answer.status == status && !answer.text().contains("AccessDenied");
        (!served).then(|| format!("{who} and {}: {} {}", operation.name, answer.status, answer.text()))
    }
}

/// What is wrong with an answer to somebody who may not.
pub(super) fn is_refusal(operation: &Operation, answer: &Answer, who: &str) -> Option<String> {
    let refused = if operation.name == "delete_objects" && answer.status == 200 {
        // Each key is told of by itself.
        answer.elements("Code") == ["AccessDenied"] && answer.elements("Deleted").is_empty()
    } else {
        answer.status == 403 && (operation.method == "HEAD" || answer.code() == "AccessDenied")
    };
    let what = format!("{who} and {}: {} {}", operation.name, answer.status, answer.text());
    (!refused || answer.text().contains("bytes of ann")).then_some(what)
}

pub(super) const BOB: &str = r#"{"AWS":"arn:aws:iam:::user/bob"}"#;
pub(super) const EVERYBODY: &str = "\"*\"";

#[test]
fn every_operation_has_a_row() {
    let mut rows: Vec<&str> = ASKS.iter().map(|(name, ..)| *name).collect();
    let mut operations: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    rows.sort_unstable();
    operations.sort_unstable();
    assert_eq!(rows, operations);
}

/// Every operation by a caller without it, with all but it, and with it; signed so, or by who knows no more than that.
pub(super) async fn takes_exactly_its_right(server: &Server, bob: &Client, auth: Auth) {
    let (ann, nobody) = (server.user("ann", "readwrite"), server.anonymous());
    let mut wrong = Vec::new();
    for (n, operation) in OPERATIONS.iter().enumerate() {
        let (right, status) = asks(operation);
        let vault = Vault::new(&ann, format!("anns-{n}")).await.asked(auth);
        let All(actions) = right else {
            wrong.extend(vault.refuses(operation, &nobody, "nobody").await);
            continue;
        };
        wrong.extend(vault.refuses(operation, bob, "bob without a right").await);
        wrong.extend(vault.refuses(operation, &nobody, "nobody").await);
        for missing in actions {
            let but = all().filter(|action| action != missing);
            vault.allow(&ann, BOB, but).await;
            wrong.extend(vault.refuses(operation, bob, &format!("bob with every right but {}", missing.name())).await);
        }
        vault.allow(&ann, BOB, actions.iter().copied()).await;
        wrong.extend(vault.refuses(operation, &nobody, "nobody where bob may").await);
        let others = if OF_UPLOADS.contains(&operation.name) { 404 } else { status };
        wrong.extend(vault.serves(operation, bob, "bob with exactly the right", others).await);
        let vault = Vault::new(&ann, format!("anns-{n}-own")).await.asked(auth);
        vault.allow(&ann, BOB, [Action::ListBucket].into_iter()).await;
        wrong.extend(vault.serves(operation, &ann, "ann", status).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn each_operation_takes_exactly_its_right() {
    let server = Server::start();
    let bob = server.user("bob", "readwrite");
    takes_exactly_its_right(&server, &bob, Auth::Header).await;
}

#[tokio::test]
async fn what_is_public_is_what_was_made_public() {
    let server = Server::start();
    let ann = server.user("ann", "readwrite");
    let nobody = server.anonymous();
    let mut wrong = Vec::new();
    for (n, operation) in OPERATIONS.iter().enumerate() {
        let (All(actions), status) = asks(operation) else { continue };
        let listed = Vault::new(&ann, format!("listed-{n}")).await;
        listed.make_lists_public(&ann).await;
        if actions.iter().all(|action| PUBLIC_READ.contains(action)) {
            wrong.extend(listed.serves(operation, &nobody, "nobody by the lists", status).await);
        } else {
            wrong.extend(listed.refuses(operation, &nobody, "nobody by the lists").await);
        }
        let open = Vault::new(&ann, format!("open-{n}")).await;
        for missing in actions {
            open.allow(&ann, EVERYBODY, all().filter(|action| action != missing)).await;
            wrong.extend(
                open.refuses(operation, &nobody, &format!("nobody with every right but {}", missing.name())).await,
            );
        }
        open.allow(&ann, EVERYBODY, actions.iter().copied()).await;
        let others = if OF_UPLOADS.contains(&operation.name) { 404 } else { status };
        wrong.extend(open.serves(operation, &nobody, "nobody by the policy", others).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
