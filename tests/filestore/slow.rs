//! Writes that take their time: who may, and whose the item is then, is judged when they end.
//!
//! **Invariant:** a slow write is one whose last bytes this test holds back until others were served.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Site, body, done};
use crate::harness::{Client, Payload, Signed};
use crate::security::wire::last_head;

/// Bytes of a body that does not stay in memory: by its file it is seen that the server reads it.
const BODY_BYTES: usize = 1 << 20;
/// Bytes that are held back.
const REST_BYTES: usize = 100;
const SECONDS_MAX: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    S3,
    Supabase,
    LoopBack,
    FileStore,
}

impl Front {
    /// Its status for who may not.
    fn refusal(self) -> u16 {
        if self == Self::Supabase { 400 } else { 403 }
    }
}

/// Somebody with a key and a token.
struct Who {
    s3: Client,
    token: String,
}

impl Who {
    fn user(site: &Site, name: &str) -> Self {
        let s3 = site.server.user(name, "readwrite");
        Self { s3, token: site.token(name) }
    }

    async fn make(&self, site: &Site, key: &str, contents: &str) {
        done(&site.call(Some(&self.token), "newItem", "", json!({"name": key, "contents": contents})).await, true);
    }

    /// Begins to write over a key.
    async fn write(&self, site: &Site, front: Front, key: &str) -> Held {
        let bytes = long();
        let (address, signed) = match front {
            Front::S3 => (site.server.s3, put(&self.s3, key)),
            Front::Supabase => {
                let call = site.rest.call("POST", &format!("/storage/v1/object/mystorage/{key}"));
                let call = call.header("authorization", &format!("Bearer {}", self.token)).header("x-upsert", "true");
                (site.server.rest, call.header("content-type", "text/plain").body(bytes).signed())
            }
            Front::LoopBack => {
                let form = format!(
                    "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{key}\"\r\n\
                     Content-Type: text/plain\r\n\r\n{bytes}\r\n--x--\r\n"
                );
                let call = site.rest.call("POST", "/api/containers/mystorage/upload");
                let call = call.header("authorization", &self.token);
                (site.server.rest, call.header("content-type", "multipart/form-data; boundary=x").body(form).signed())
            }
            Front::FileStore => {
                let call = site.request(Some(&self.token), "PUT", &format!("/mystorage/{key}/@write"));
                (site.server.rest, call.body(bytes).signed())
            }
        };
        Held::begin(site, address, &signed).await
    }
}

fn long() -> String {
    "m".repeat(BODY_BYTES)
}

fn put(client: &Client, key: &str) -> Signed {
    client.call("PUT", &format!("/mystorage/{key}")).payload(Payload::Unsigned).body(long()).signed()
}

/// A write whose end is held back.
struct Held {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Held {
    /// Sends a request but for its end, and waits until the server has decided about it and reads its body.
    async fn begin(site: &Site, address: SocketAddr, signed: &Signed) -> Self {
        site.server.until_settled();
        let (begin, rest) = signed.body.split_at(signed.body.len() - REST_BYTES);
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(last_head(signed).as_bytes()).await.expect("sent");
        socket.write_all(begin).await.expect("sent");
        let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
        while !is_staging(site) {
            assert!(Instant::now() < deadline, "no body is on its way");
            sleep(Duration::from_millis(5)).await;
        }
        Self { socket, rest: rest.to_vec() }
    }

    /// Sends the end and returns the status of the answer.
    async fn end(mut self) -> u16 {
        self.socket.write_all(&self.rest).await.expect("sent");
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(SECONDS_MAX), self.socket.read_to_end(&mut answer)).await;
        read.expect("the server neither answers nor closes").expect("an answer to its end");
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        status.expect("a status")
    }
}

/// Whether the server writes a file that is not in its place yet: one without a name, or among those that are staged.
fn is_staging(site: &Site) -> bool {
    let bucket = site.server.data().join("mystorage");
    let staged = |path: &Path| path.starts_with(bucket.join(".longshore/tmp")) && path.is_file();
    let unnamed = |path: &Path| path.starts_with(&bucket) && path.to_string_lossy().ends_with(" (deleted)");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", site.server.pid())).expect("a running server");
    let mut open = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    open.any(|path| staged(&path) || unnamed(&path))
}

/// Requires what an item holds and whose it is.
async fn is(site: &Site, key: &str, contents: &str, owner: &str) {
    let found = site.act("read", key, json!({})).await.expect(200).text();
    assert!(found == contents, "{key} holds {} bytes: {found:.20}", found.len());
    assert_eq!(body(&site.act("getOwner", key, json!({})).await.expect(200))["owner"], owner, "{key}");
}

async fn give_to_bob(site: &Site, key: &str) {
    done(&site.act("setOwner", key, json!({"owner": "bob"})).await, true);
}

/// Whoever began to write while nothing was there had no right to write over what somebody else made meanwhile.
#[tokio::test]
async fn a_slow_write_does_not_replace_what_another_one_made_meanwhile() {
    let site = Site::start();
    let (mallory, bob) = (Who::user(&site, "mallory"), Who::user(&site, "bob"));
    for front in [Front::S3, Front::Supabase, Front::LoopBack] {
        let key = format!("{front:?}.txt");
        let held = mallory.write(&site, front, &key).await;
        bob.make(&site, &key, "bob's").await;
        assert_eq!(held.end().await, front.refusal(), "{front:?}");
        is(&site, &key, "bob's", "bob").await;
        assert!(!is_staging(&site), "{front:?} leaves its body");
    }
    let mut keys = site.server.root().keys_of("mystorage", "").await;
    keys.sort();
    assert_eq!(keys, ["LoopBack.txt", "S3.txt", "Supabase.txt"]);
}

/// Whoever began to write over an item of its own had no right to once it was another one's, and did not get it back.
#[tokio::test]
async fn a_slow_write_does_not_take_back_what_was_given_away_meanwhile() {
    let site = Site::start();
    let mallory = Who::user(&site, "mallory");
    site.user("bob", &[]);
    for front in [Front::S3, Front::Supabase, Front::LoopBack, Front::FileStore] {
        let key = format!("{front:?}.txt");
        mallory.make(&site, &key, "mallory's").await;
        let held = mallory.write(&site, front, &key).await;
        give_to_bob(&site, &key).await;
        assert_eq!(held.end().await, front.refusal(), "{front:?}");
        is(&site, &key, "mallory's", "bob").await;
    }
}

/// Who may write over everything leaves an item whose it is when the write ends, not whose it was when it began.
#[tokio::test]
async fn an_item_stays_whose_it_is_when_a_slow_write_ends() {
    let site = Site::start();
    let (mallory, bob) = (Who::user(&site, "mallory"), Who::user(&site, "bob"));
    let root = site.server.root();
    let write = async |key: &str| Held::begin(&site, site.server.s3, &put(&root, key)).await;

    let held = write("made").await;
    bob.make(&site, "made", "bob's").await;
    assert_eq!(held.end().await, 200);
    is(&site, "made", &long(), "bob").await;

    mallory.make(&site, "given", "mallory's").await;
    let held = write("given").await;
    give_to_bob(&site, "given").await;
    assert_eq!(held.end().await, 200);
    is(&site, "given", &long(), "bob").await;

    mallory.make(&site, "gone", "mallory's").await;
    let held = write("gone").await;
    done(&site.act("removeItem", "gone", json!({})).await, 1);
    assert_eq!(held.end().await, 200);
    is(&site, "gone", &long(), "root").await;

    // An upload in parts is one write that takes its time, too.
    mallory.make(&site, "parts", "mallory's").await;
    let begun = root.call("POST", "/mystorage/parts").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = root.call("PUT", "/mystorage/parts").query("uploadId", &id).query("partNumber", "1");
    let part = part.body("whole").send().await.expect(200);
    give_to_bob(&site, "parts").await;
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>", part.etag());
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    root.call("POST", "/mystorage/parts").query("uploadId", &id).body(list).send().await.expect(200);
    is(&site, "parts", "whole", "bob").await;
}
