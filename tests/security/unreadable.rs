//! Rows of the catalog that cannot be read any more, as a broken disk, a hand in the file or a newer release leaves them.
//!
//! **Invariant:** what cannot be read allows nothing: neither the caller whose rights it was about, nor the write that a
//! quota was to stop, nor the removal that a lock was to refuse. When it can be read again, nothing has changed.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::operations::{OPERATIONS, Operation};
use super::rights::{EVERYBODY, OF_UPLOADS, Right, Vault, all, asks};
use super::site::KEY;
use crate::harness::{Answer, Client, Options, Server};

/// How long it may take until a change behind the server's back is noticed, with the test's own share.
const NOTICE_SECONDS_MAX: u64 = 10;

/// Whom or what a broken row bears on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bears {
    /// Everybody who wants anything of the bucket, root too.
    Everybody,
    /// Everybody but root, and but the owner where it undoes the policy.
    Others,
    /// The user alone.
    Bob,
    /// Everybody who wants anything of the object.
    Object,
}

/// What is broken, and how; `?1` is the name of the bucket.
const BREAKS: [(&str, Bears, &str); 15] = [
    ("a configuration that is cut", Bears::Everybody, "UPDATE buckets SET config = '{' WHERE name = ?1"),
    ("a configuration of no kind", Bears::Everybody, "UPDATE buckets SET config = '7' WHERE name = ?1"),
    ("a rule nobody knows", Bears::Everybody, "UPDATE buckets SET config = '{\"barrier\":{}}' WHERE name = ?1"),
    (
        "a list nobody knows",
        Bears::Everybody,
        "UPDATE buckets SET config = '{\"acl\":[{\"to\":\"x\"}]}' WHERE name = ?1",
    ),
    (
        "a block of public access that says more",
        Bears::Everybody,
        "UPDATE buckets SET config = json_set(config, '$.public_access', json('{\"block_acls\":false,\
         \"ignore_acls\":false,\"block_policy\":false,\"restrict_buckets\":false,\"restrict_all\":true}')) WHERE name = ?1",
    ),
    (
        "a lock that says more",
        Bears::Everybody,
        "UPDATE buckets SET config = json_set(config, '$.lock', json('{\"embargo\":1}')) WHERE name = ?1",
    ),
    ("settings that are cut", Bears::Everybody, "UPDATE buckets SET settings = '{\"layout\":' WHERE name = ?1"),
    (
        "a policy that is cut",
        Bears::Others,
        "UPDATE buckets SET config = json_set(config, '$.policy', '{\"Statement\":[') WHERE name = ?1",
    ),
    (
        "a policy with an element nobody knows",
        Bears::Others,
        "UPDATE buckets SET config = json_set(config, '$.policy', \
         json_set(json_extract(config, '$.policy'), '$.Statement[0].Barrier', 'x') || '') WHERE name = ?1",
    ),
    ("a policy of his that is cut", Bears::Bob, "UPDATE users SET policy = '{' WHERE name = 'bob' AND ?1 <> ''"),
    ("groups that are cut", Bears::Bob, "UPDATE users SET groups = '[' WHERE name = 'bob' AND ?1 <> ''"),
    (
        "a secret that is cut",
        Bears::Bob,
        "UPDATE access_keys SET sealed_secret = x'00' WHERE user = 'bob' AND ?1 <> ''",
    ),
    ("what is attached, cut", Bears::Object, "UPDATE objects SET attached = '{' WHERE name = 'gold/bar' AND ?1 <> ''"),
    (
        "something attached that nobody knows",
        Bears::Object,
        "UPDATE objects SET attached = '{\"barrier\":{}}' WHERE name = 'gold/bar' AND ?1 <> ''",
    ),
    (
        "a lock of no kind",
        Bears::Object,
        "UPDATE objects SET attached = '{\"lock\":{\"barrier\":true}}' WHERE name = 'gold/bar' AND ?1 <> ''",
    ),
];

/// The catalog behind the server's back.
struct Catalog(Connection);

/// The rows that the breaks are about.
#[derive(Debug, PartialEq, Eq)]
struct Rows {
    bucket: (String, String),
    user: (String, String),
    secret: Vec<u8>,
    attached: Option<String>,
}

impl Catalog {
    fn of(server: &Server) -> Self {
        let connection = Connection::open(server.state().join("catalog.db")).expect("opens");
        connection.busy_timeout(Duration::from_secs(5)).expect("waits");
        Self(connection)
    }

    /// Changes one row, as another process of ours would: so that it is noticed.
    fn change(&self, text: &str, parameters: impl rusqlite::Params) {
        let changed = self.0.execute(text, parameters).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(changed, 1, "{text}");
        self.0.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'", []).expect("moves");
    }

    fn rows(&self, bucket: &str) -> Rows {
        let one = "SELECT config, settings FROM buckets WHERE name = ?1";
        let two = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Rows {
            bucket: self.0.query_row(one, [bucket], two).expect("a bucket"),
            user: self.0.query_row("SELECT policy, groups FROM users WHERE name = 'bob'", [], two).expect("bob"),
            secret: self
                .0
                .query_row("SELECT sealed_secret FROM access_keys WHERE user = 'bob'", [], |row| row.get(0))
                .expect("his key"),
            attached: self
                .0
                .query_row("SELECT attached FROM objects WHERE name = 'gold/bar'", [], |row| row.get(0))
                .expect("the object"),
        }
    }

    fn mend(&self, bucket: &str, rows: &Rows) {
        let Rows { bucket: (config, settings), user: (policy, groups), secret, attached } = rows;
        self.change("UPDATE buckets SET config = ?2, settings = ?3 WHERE name = ?1", (bucket, config, settings));
        self.change("UPDATE users SET policy = ?1, groups = ?2 WHERE name = 'bob'", (policy, groups));
        self.change("UPDATE access_keys SET sealed_secret = ?1 WHERE user = 'bob'", [secret]);
        self.change("UPDATE objects SET attached = ?1 WHERE name = 'gold/bar'", [attached]);
    }
}

/// Asks for the object until that is answered as it should be, or too long.
async fn until(client: &Client, bucket: &str, what: &str, well: impl Fn(u16) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(NOTICE_SECONDS_MAX);
    loop {
        let answer = client.get(bucket, KEY).await;
        if well(answer.status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {} {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is wrong with an answer that rests on what cannot be read.
fn allows(operation: &Operation, answer: &Answer, what: &str) -> Option<String> {
    let by_key = operation.name == "delete_objects" && answer.status == 200;
    let refused = match answer.status {
        403 | 500 | 503 => true,
        _ => by_key && answer.elements("Code").len() == 1 && answer.elements("Deleted").is_empty(),
    };
    let told = answer.text().contains("bytes of ann");
    (!refused || told).then(|| format!("{what} and {}: {} {}", operation.name, answer.status, answer.text()))
}

/// Whether an operation is about the object that the vault begins with.
fn is_of_object(vault: &Vault, operation: &Operation, client: &Client) -> bool {
    let signed = vault.call(operation, client).signed();
    let named = |text: &str| text.contains("gold/bar");
    named(&signed.target) || signed.header("x-amz-copy-source").is_some_and(named) || operation.name == "delete_objects"
}

/// What there is of versions, each as one text.
async fn versions(client: &Client, bucket: &str) -> Vec<String> {
    client.call("GET", &format!("/{bucket}")).query("versions", "").send().await.expect(200).elements("Version")
}

#[tokio::test]
async fn what_cannot_be_read_allows_nothing() {
    const UNDOES: [&str; 3] = ["get_bucket_policy", "put_bucket_policy", "delete_bucket_policy"];
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let (nobody, root) = (server.anonymous(), server.root());
    // Everybody may do everything there, as long as it can be read.
    let vault = Vault::new(&ann, "open".to_owned()).await;
    vault.allow(&ann, EVERYBODY, all()).await;
    let catalog = Catalog::of(&server);
    let (before, listed) = (catalog.rows("open"), versions(&ann, "open").await);
    assert_eq!(listed.len(), 1);
    let mut wrong = Vec::new();
    for (what, bears, damage) in BREAKS {
        let whom: &[(&str, &Client)] = match bears {
            Bears::Everybody | Bears::Object => &[("nobody", &nobody), ("bob", &bob), ("ann", &ann), ("root", &root)],
            Bears::Others => &[("nobody", &nobody), ("bob", &bob), ("ann", &ann)],
            Bears::Bob => &[("bob", &bob)],
        };
        for (_, client) in whom {
            until(client, "open", "before", |status| status == 200).await;
        }
        catalog.change(damage, ["open"]);
        until(whom[0].1, "open", what, |status| status != 200).await;
        for operation in OPERATIONS.iter().filter(|operation| matches!(asks(operation).0, Right::All(_))) {
            for (who, client) in whom {
                let exempt = bears == Bears::Others && *who == "ann" && UNDOES.contains(&operation.name);
                // Locks are asked of the bucket first, which has none.
                let of_object = is_of_object(&vault, operation, client) && asks(operation).1 != 400;
                let beside = bears == Bears::Object && !of_object;
                // An upload of ann's is not there for others, whatever can be read.
                let absent = bears == Bears::Object && OF_UPLOADS.contains(&operation.name) && *who != "ann";
                if !(exempt || beside || absent) {
                    let answer = vault.call(operation, client).send().await;
                    wrong.extend(allows(operation, &answer, &format!("{what}: {who}")));
                }
            }
        }
        catalog.mend("open", &before);
        for (_, client) in whom {
            until(client, "open", "mended", |status| status == 200).await;
        }
        assert_eq!(ann.get("open", KEY).await.expect(200).text(), "bytes of ann", "{what}");
        assert_eq!(catalog.rows("open"), before, "{what}");
        assert_eq!(versions(&ann, "open").await, listed, "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How what holds a version may be broken.
const LOCKS: [&str; 7] = [
    "{",
    "{\"lock\":7}",
    "{\"lock\":{\"embargo\":true}}",
    "{\"lock\":{\"retention\":{\"mode\":\"ETERNAL\",\"until\":1}}}",
    "{\"lock\":{\"retention\":{\"mode\":\"COMPLIANCE\",\"until\":\"never\"}}}",
    "{\"lock\":{\"retention\":{\"mode\":\"GOVERNANCE\",\"until\":1,\"not_before\":9}}}",
    "{\"embargo\":true}",
];

const HELD: &str = "<LegalHold><Status>OFF</Status></LegalHold>";
const SHORT: &str =
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>";
const EXPIRES: &str = "<LifecycleConfiguration><Rule><ID>r</ID><Prefix></Prefix><Status>Enabled</Status>\
    <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
    </LifecycleConfiguration>";

/// Writes an object twice, and returns the ids of its versions.
async fn twice(root: &Client, key: &str, locked: bool) -> [String; 2] {
    let mut ids = Vec::new();
    for body in ["first", "second"] {
        let mut call = root.call("PUT", &format!("/locked/{key}")).body(body);
        if locked {
            call = call.header("x-amz-object-lock-mode", "GOVERNANCE");
            call = call.header("x-amz-object-lock-retain-until-date", "2199-01-01T00:00:00Z");
        }
        ids.push(call.send().await.expect(200).header("x-amz-version-id").expect("an id").to_owned());
    }
    ids.try_into().expect("two")
}

#[tokio::test]
async fn a_lock_that_cannot_be_read_holds() {
    let server = Server::with(Options::default().config("[s3]\nlifecycle_day_seconds = 1\n"));
    let root = server.root();
    let lock = "x-amz-bucket-object-lock-enabled";
    root.call("PUT", "/locked").header(lock, "true").send().await.expect(200);
    let catalog = Catalog::of(&server);
    let ids = twice(&root, "held", true).await;
    for (n, broken) in LOCKS.into_iter().enumerate() {
        for table in ["objects", "versions"] {
            catalog.change(&format!("UPDATE {table} SET attached = ?1 WHERE name = 'held'"), [broken]);
        }
        let mut wrong = Vec::new();
        for id in &ids {
            for (method, sub, body) in [
                ("DELETE", "", ""),
                ("PUT", "legal-hold", HELD),
                ("PUT", "retention", SHORT),
                ("GET", "retention", ""),
                ("GET", "", ""),
            ] {
                let mut call = root.call(method, "/locked/held").query("versionId", id).body(body);
                call = call.header("x-amz-bypass-governance-retention", "true");
                if !sub.is_empty() {
                    call = call.query(sub, "");
                }
                let answer = call.send().await;
                if !matches!(answer.status, 403 | 500 | 503) {
                    wrong.push(format!("{broken}: {method} {sub}: {} {}", answer.status, answer.text()));
                }
            }
        }
        // What nothing holds goes by the rules, beside what cannot be read.
        let plain = format!("plain-{n}");
        let [old, _] = twice(&root, &plain, false).await;
        root.call("PUT", "/locked").query("lifecycle", "").body(EXPIRES).send().await.expect(200);
        let deadline = Instant::now() + Duration::from_secs(3 * NOTICE_SECONDS_MAX);
        while root.call("GET", &format!("/locked/{plain}")).query("versionId", &old).send().await.status != 404 {
            assert!(Instant::now() < deadline, "{broken}: nothing expires\n{wrong:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        root.call("DELETE", "/locked").query("lifecycle", "").send().await.expect(204);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for table in ["objects", "versions"] {
            let well = "{\"lock\":{\"retention\":{\"mode\":\"GOVERNANCE\",\"until\":7226582400000000000}}}";
            catalog.change(&format!("UPDATE {table} SET attached = ?1 WHERE name = 'held'"), [well]);
        }
        for (id, body) in ids.iter().zip(["first", "second"]) {
            let answer = root.call("GET", "/locked/held").query("versionId", id).send().await.expect(200);
            assert_eq!(answer.text(), body, "{broken}");
        }
    }
}

/// How the count of what a bucket holds, and may hold, may be broken.
const QUOTAS: [&str; 5] =
    ["objects_max = -1", "objects_max = NULL", "objects = -5", "bytes = -5", "bytes_max = -9223372036854775808"];

#[tokio::test]
async fn a_quota_that_cannot_be_read_lets_nothing_in() {
    let server = Server::start();
    let root = server.root();
    root.create_bucket("full").await.expect(200);
    server.run(&["bucket", "set", "full", "--quota-objects", "1"]);
    root.put("full", "k", "x").await.expect(200);
    root.put("full", "more", "x").await.refused(403, "QuotaExceeded");
    let begun = root.call("POST", "/full/parts").query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let part = root.call("PUT", "/full/parts").query("uploadId", &upload).query("partNumber", "1");
    let etag = part.body("a part").send().await.expect(200).etag().to_owned();
    let catalog = Catalog::of(&server);
    for broken in QUOTAS {
        let id = "(SELECT id FROM buckets WHERE name = 'full')";
        catalog.change(&format!("UPDATE quotas SET {broken} WHERE bucket_id = {id}"), []);
        let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
        let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        for (what, call) in [
            ("a write", root.call("PUT", "/full/more").body("x")),
            ("a copy", root.call("PUT", "/full/more").header("x-amz-copy-source", "full/k")),
            ("an upload", root.call("POST", "/full/parts").query("uploadId", &upload).body(list)),
        ] {
            let answer = call.send().await;
            assert!(answer.status >= 400 || !answer.code().is_empty(), "{what}, {broken}: {}", answer.text());
        }
        let well = "objects = 1, bytes = 1, objects_max = 1, bytes_max = NULL";
        catalog.change(&format!("UPDATE quotas SET {well} WHERE bucket_id = {id}"), []);
        assert_eq!(root.keys_of("full", "").await, ["k"], "{broken}");
    }
    root.put("full", "k", "y").await.expect(200);
}
