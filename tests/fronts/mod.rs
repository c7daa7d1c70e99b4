//! One namespace: what is written by one front is read, listed, moved and deleted by every other one, with the same bytes,
//! size, type, ETag, owner and rules, before and after the catalog is rebuilt.

mod panics;

use serde_json::{Value, json};

use crate::harness::{Answer, Call, Client, Options, Server};

const BUCKET: &str = "shared";
const CONFIG: &str = "[[filestore.service]]\nname = \"shared\"\n";

/// A front, as a client of it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    S3,
    Supabase,
    LoopBack,
    FileStore,
}

const FRONTS: [Front; 4] = [Front::S3, Front::Supabase, Front::LoopBack, Front::FileStore];

/// What a reader is told of an object.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    body: String,
    size: Option<String>,
    kind: String,
    etag: String,
}

/// Somebody with a key and a token, or nobody.
struct Who {
    s3: Client,
    rest: Client,
    token: Option<String>,
}

impl Who {
    fn user(server: &Server, name: &str) -> Self {
        let s3 = server.user(name, "readwrite");
        let token = server.run(&["token", "create", "--user", name]).trim().to_owned();
        Self { s3, rest: Client::new(server.rest, None), token: Some(token) }
    }

    fn nobody(server: &Server) -> Self {
        Self { s3: server.anonymous(), rest: Client::new(server.rest, None), token: None }
    }

    fn call(&self, front: Front, method: &str, path: &str) -> Call<'_> {
        let call = self.rest.call(method, path);
        match (&self.token, front) {
            (None, _) | (_, Front::S3) => call,
            (Some(token), Front::FileStore) => call.header("x-auth-token", token),
            (Some(token), Front::Supabase) => call.header("authorization", &format!("Bearer {token}")),
            (Some(token), Front::LoopBack) => call.header("authorization", token),
        }
    }

    async fn json(&self, front: Front, path: &str, body: Value) -> Answer {
        self.call(front, "POST", path).header("content-type", "application/json").body(body.to_string()).send().await
    }

    async fn write(&self, front: Front, key: &str, body: &str) -> Answer {
        match front {
            Front::S3 => {
                let call = self.s3.call("PUT", &format!("/{BUCKET}/{key}")).header("content-type", "text/plain");
                call.body(body).send().await
            }
            Front::Supabase => {
                let call = self.call(front, "POST", &format!("/storage/v1/object/{BUCKET}/{key}"));
                call.header("content-type", "text/plain").header("x-upsert", "true").body(body).send().await
            }
            Front::LoopBack => {
                let form = format!(
                    "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{key}\"\r\n\
                     Content-Type: text/plain\r\n\r\n{body}\r\n--x--\r\n"
                );
                let call = self.call(front, "POST", &format!("/api/containers/{BUCKET}/upload"));
                call.header("content-type", "multipart/form-data; boundary=x").body(form).send().await
            }
            Front::FileStore => {
                let item = json!({"name": key, "contents": body, "mime": "text/plain"});
                let made = self.json(front, &format!("/{BUCKET}/api/@newItem"), item).await;
                match made.status {
                    409 => self.json(front, &format!("/{BUCKET}/api/{key}/@write"), json!({"contents": body})).await,
                    _ => made,
                }
            }
        }
    }

    async fn read(&self, front: Front, key: &str) -> Answer {
        match front {
            Front::S3 => self.s3.get(BUCKET, key).await,
            Front::Supabase => {
                self.call(front, "GET", &format!("/storage/v1/object/authenticated/{BUCKET}/{key}")).send().await
            }
            Front::LoopBack => {
                self.call(front, "GET", &format!("/api/containers/{BUCKET}/download/{key}")).send().await
            }
            Front::FileStore => self.call(front, "GET", &format!("/{BUCKET}/{key}")).send().await,
        }
    }

    async fn facts(&self, front: Front, key: &str) -> Facts {
        let answer = self.read(front, key).await.expect(200);
        let kind = answer.header("content-type").unwrap_or_default();
        Facts {
            body: answer.text(),
            size: answer.header("content-length").map(str::to_owned),
            kind: kind.split(';').next().unwrap_or_default().to_owned(),
            etag: answer.etag().to_owned(),
        }
    }

    async fn list(&self, front: Front) -> Vec<String> {
        let named = |rows: &Value| -> Vec<String> {
            let rows = rows.as_array().expect("rows");
            rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
        };
        let read = |answer: Answer| serde_json::from_slice::<Value>(&answer.expect(200).body).expect("JSON");
        match front {
            Front::S3 => self.s3.keys_of(BUCKET, "").await,
            Front::Supabase => {
                let asked = json!({"prefix": "", "limit": 1000});
                named(&read(self.json(front, &format!("/storage/v1/object/list/{BUCKET}"), asked).await))
            }
            Front::LoopBack => {
                named(&read(self.call(front, "GET", &format!("/api/containers/{BUCKET}/files")).send().await))
            }
            Front::FileStore => {
                named(&read(self.json(front, &format!("/{BUCKET}/api/@list"), json!({"size": 1000})).await)["items"])
            }
        }
    }

    /// The LoopBack interface has no move, and S3 does it in two steps.
    async fn rename(&self, front: Front, from: &str, to: &str) -> Option<Answer> {
        match front {
            Front::S3 => {
                let copy = self.s3.call("PUT", &format!("/{BUCKET}/{to}"));
                copy.header("x-amz-copy-source", &format!("/{BUCKET}/{from}")).send().await.expect(200);
                Some(self.s3.delete(BUCKET, from).await)
            }
            Front::Supabase => {
                let way = json!({"bucketId": BUCKET, "sourceKey": from, "destinationKey": to});
                Some(self.json(front, "/storage/v1/object/move", way).await)
            }
            Front::LoopBack => None,
            Front::FileStore => {
                Some(self.json(front, &format!("/{BUCKET}/api/{from}/@move"), json!({"newpath": to})).await)
            }
        }
    }

    async fn delete(&self, front: Front, key: &str) -> Answer {
        match front {
            Front::S3 => self.s3.delete(BUCKET, key).await,
            Front::Supabase => self.call(front, "DELETE", &format!("/storage/v1/object/{BUCKET}/{key}")).send().await,
            Front::LoopBack => {
                self.call(front, "DELETE", &format!("/api/containers/{BUCKET}/files/{key}")).send().await
            }
            Front::FileStore => self.json(front, &format!("/{BUCKET}/api/{key}/@removeItem"), json!({})).await,
        }
    }

    /// Who owns it, by the two fronts that tell.
    async fn owners(&self, key: &str) -> [String; 2] {
        let told = self.json(Front::FileStore, &format!("/{BUCKET}/api/{key}/@getOwner"), json!({})).await.expect(200);
        let told: Value = serde_json::from_slice(&told.body).expect("JSON");
        let listed = self.s3.call("GET", &format!("/{BUCKET}")).query("list-type", "2").query("fetch-owner", "true");
        let listed = listed.query("prefix", key).send().await.expect(200).elements("ID");
        [told["owner"].as_str().unwrap_or_default().to_owned(), listed.first().cloned().unwrap_or_default()]
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// What each front wrote is what each front reads.
async fn all_agree(who: &Who, keys: &[(Front, String)]) {
    for (writer, key) in keys {
        let told = who.facts(Front::S3, key).await;
        assert_eq!((told.body.as_str(), told.kind.as_str()), (format!("by {writer:?}").as_str(), "text/plain"));
        assert_eq!(told.size, Some(told.body.len().to_string()));
        for reader in FRONTS {
            assert_eq!(who.facts(reader, key).await, told, "{writer:?} read by {reader:?}");
        }
        assert_eq!(who.owners(key).await, ["ann", "ann"], "{writer:?}");
    }
    let names = sorted(keys.iter().map(|(_, key)| key.clone()).collect());
    for reader in FRONTS {
        assert_eq!(sorted(who.list(reader).await), names, "{reader:?}");
    }
}

#[tokio::test]
async fn each_front_serves_what_every_other_one_wrote() {
    let mut server = Server::with(Options::default().config(CONFIG));
    let (ann, ben, nobody) = (Who::user(&server, "ann"), Who::user(&server, "ben"), Who::nobody(&server));
    let mut keys = Vec::new();
    for writer in FRONTS {
        let key = format!("{writer:?}.txt").to_lowercase();
        ann.write(writer, &key, &format!("by {writer:?}")).await.expect(200);
        keys.push((writer, key));
    }
    all_agree(&ann, &keys).await;
    // The rules are the same wherever one asks: who has signed in reads, the owner changes, strangers do neither.
    for (writer, key) in &keys {
        for front in FRONTS {
            ben.read(front, key).await.expect(200);
            assert!(ben.write(front, key, "ben").await.status >= 400, "{writer:?} overwritten by {front:?}");
            assert!(ben.delete(front, key).await.status >= 400, "{writer:?} deleted by {front:?}");
            assert!(nobody.read(front, key).await.status >= 400, "{writer:?} read by a stranger at {front:?}");
        }
    }
    all_agree(&ann, &keys).await;
    // A move keeps what an object is.
    for (writer, key) in &mut keys {
        for mover in FRONTS {
            let moved = format!("{mover:?}-moved-{writer:?}.txt").to_lowercase();
            let Some(answer) = ann.rename(mover, key, &moved).await else { continue };
            assert!(answer.status < 300, "{writer:?} moved by {mover:?}: {}", answer.text());
            for reader in FRONTS {
                assert!(ann.read(reader, key).await.status >= 400, "{key} read by {reader:?}");
            }
            *key = moved;
        }
    }
    all_agree(&ann, &keys).await;
    assert!(server.stop().success());
    if std::env::var("LONGSHORE_TEST_CATALOG").is_err() {
        for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
            let _ = std::fs::remove_file(server.state().join(file));
        }
        server.run(&["rebuild"]);
    }
    let server = server.restart();
    let rebuilt = server.command(&["user", "list", "--json"]);
    let ann = if String::from_utf8_lossy(&rebuilt.stdout).contains("\"ann\"") {
        let token = server.run(&["token", "create", "--user", "ann"]).trim().to_owned();
        let keys = ann.s3.keys().cloned();
        Who { s3: server.anonymous().with_keys(keys), rest: Client::new(server.rest, None), token: Some(token) }
    } else {
        Who::user(&server, "ann")
    };
    all_agree(&ann, &keys).await;
    for ((_, key), front) in keys.iter().zip(FRONTS) {
        assert!(ann.delete(front, key).await.status < 300, "deleted by {front:?}");
        for reader in FRONTS {
            assert!(ann.read(reader, key).await.status >= 400, "{key} read by {reader:?}");
        }
    }
    for reader in FRONTS {
        assert_eq!(ann.list(reader).await, Vec::<String>::new(), "{reader:?}");
    }
}
