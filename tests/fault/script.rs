//! One client's requests, one after the other, through everything that changes objects, while the storage may fail.
//!
//! **Invariant:** each answer is a success, which the ledger then holds the server to, or an error in the words of the
//! protocol, of which nothing may show.

use super::dice::bytes_of;
use super::ledger::{Ledger, Name, Value};
use super::load::{MANAGED, NATURAL};
use crate::harness::sign::escape;
use crate::harness::{Answer, Call, Client};

/// The requests and what came of them.
pub(super) struct Script<'l> {
    client: Client,
    ledger: &'l Ledger,
    /// The next body.
    body: u64,
    /// Changes that were answered with an error, and are still in the ledger as unknown.
    pub(super) failed: Vec<(Name, u64)>,
    pub(super) answered: usize,
}

impl<'l> Script<'l> {
    /// A fresh one; bodies differ from those of scripts with other numbers.
    pub(super) fn new(client: Client, ledger: &'l Ledger, number: u64) -> Self {
        Self { client, ledger, body: number << 20, failed: Vec::new(), answered: 0 }
    }

    /// Runs it in both layouts.
    pub(super) async fn run(&mut self) {
        for bucket in [NATURAL, MANAGED] {
            let name = |key: &str| (bucket.to_owned(), key.to_owned());
            self.put(&name("small"), 900).await;
            self.put(&name("dir/large"), 300_000).await;
            self.put(&name("small"), 100_000).await;
            self.put(&name("dir/large"), 4_000).await;
            self.copy(&name("small"), &name("copy")).await;
            self.upload(&name("parts"), true).await;
            self.upload(&name("parts"), false).await;
            self.delete(&name("copy")).await;
            self.delete(&name("dir/large")).await;
            self.put(&name("dir"), 20_000).await;
            self.delete(&name("dir")).await;
        }
        let made = self.ask(self.client.call("PUT", "/passing")).await;
        let gone = self.ask(self.client.call("DELETE", "/passing")).await;
        assert!(made.is_none() || gone.as_ref().is_none_or(|gone| gone.status == 204), "{gone:?}");
    }

    /// Requires that everything works.
    pub(super) async fn run_well(&mut self) {
        self.run().await;
        assert!(self.failed.is_empty(), "these failed although nothing fails any more: {:?}", self.failed);
    }

    fn call(&self, method: &str, (bucket, key): &Name) -> Call<'_> {
        self.client.call(method, &format!("/{bucket}/{key}"))
    }

    /// The answer if it is a success.
    async fn ask(&self, call: Call<'_>) -> Option<Answer> {
        let answer = call.send().await;
        if answer.status < 300 {
            // A Complete that fails late says so in the body.
            return (!answer.text().contains("<Error>")).then_some(answer);
        }
        let known = matches!(
            (answer.status, answer.code().as_str()),
            (500, "InternalError")
                | (503, "SlowDown")
                | (507, "InsufficientStorage")
                | (404, "NoSuchKey" | "NoSuchUpload" | "NoSuchBucket")
                | (409, "BucketAlreadyOwnedByYou" | "BucketNotEmpty" | "ConditionalRequestConflict")
                | (400, "InvalidPart")
        );
        assert!(known, "{} {}", answer.status, answer.text());
        None
    }

    async fn change(&mut self, name: &Name, value: Option<Value>, call: Call<'_>) {
        let ticket = self.ledger.begin(name, value);
        if self.ask(call).await.is_some() {
            self.ledger.acknowledge(name, ticket);
        } else {
            self.failed.push((name.clone(), ticket));
        }
        self.answered += 1;
    }

    fn fresh(&mut self) -> u64 {
        self.body += 1;
        self.body
    }

    async fn put(&mut self, name: &Name, len: usize) {
        let id = self.fresh();
        let client = self.client.clone();
        let call = client.call("PUT", &format!("/{}/{}", name.0, name.1)).body(bytes_of(id, len));
        self.change(name, Some(Value::whole(id, len)), call).await;
    }

    async fn delete(&mut self, name: &Name) {
        let client = self.client.clone();
        self.change(name, None, client.call("DELETE", &format!("/{}/{}", name.0, name.1))).await;
    }

    async fn copy(&mut self, from: &Name, to: &Name) {
        // What the source is, is not known if a write to it failed: it is read first.
        let read = self.call("GET", from).send().await;
        let permitted = self.ledger.permitted(from);
        let source = permitted.into_iter().flatten().find(|value| read.status == 200 && value.bytes() == read.body[..]);
        let Some(source) = source else {
            assert_ne!(read.status, 200, "GET {from:?} has bytes that nobody wrote");
            return;
        };
        let client = self.client.clone();
        let call = client.call("PUT", &format!("/{}/{}", to.0, to.1));
        let call = call.header("x-amz-copy-source", &escape(&format!("{}/{}", from.0, from.1), true));
        self.change(to, Some(source.copied()), call).await;
    }

    async fn upload(&mut self, name: &Name, completes: bool) {
        let Some(begun) = self.ask(self.call("POST", name).query("uploads", "")).await else { return };
        let upload = begun.elements("UploadId").remove(0);
        let (id, len) = (self.fresh(), 70_000);
        let part = self.call("PUT", name).query("uploadId", &upload).query("partNumber", "1").body(bytes_of(id, len));
        let stored = self.ask(part).await.is_some();
        self.answered += 2;
        if stored && completes {
            let value = Value::of_parts(&[(id, len)]);
            let etag = Value::whole(id, len).etag;
            let list = format!("<Part><PartNumber>1</PartNumber><ETag>\"{etag}\"</ETag></Part>");
            let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
            let client = self.client.clone();
            let call = client.call("POST", &format!("/{}/{}", name.0, name.1));
            self.change(name, Some(value), call.query("uploadId", &upload).body(list)).await;
        } else {
            self.ask(self.call("DELETE", name).query("uploadId", &upload)).await;
        }
    }
}
