//! Containers that were full before Longshore came: served in place by the built server, under the names that the
//! provider's own client gave, however odd.
//!
//! **Invariant:** the server is held to what the provider's own client sees before and after. Between the two nothing
//! differs but what was asked for, and the reserved tree.

use std::collections::{BTreeMap, BTreeSet};

use longshore::model::name::BucketName;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::bed::{Outside as _, pattern};
use super::outside::InCloud;
use crate::harness::sign::escape;
use crate::harness::{Backend, Client, Options, Server, backends, fresh_name};

/// Keys on a page.
const PAGE: &str = "7";

/// Names that something on the way might like to change.
const ODD: &[&str] = &[
    "plain",
    "with space",
    " leading",
    "trailing ",
    "two  spaces",
    "a",
    "a/",
    "a/b",
    "a//b",
    "a//",
    "a-b",
    "a0",
    "/rooted",
    "//",
    "dir/",
    "dir/sub/",
    "dir/sub/leaf",
    "per%2Fslash",
    "per%20cent",
    "per%",
    "%2e%2e/x",
    "plus+sign",
    "hash#tag",
    "question?mark",
    "amp&and=eq",
    "semi;colon,comma:",
    "quote\"'`",
    "<xml>&amp;",
    "star*",
    "[bracket]",
    "{brace}|pipe^",
    "dollar$at@",
    "tilde~",
    "UPPER/x",
    "upper/x",
    "é composed",
    "e\u{301} decomposed",
    "日本語/ファイル",
    "😀",
    "ｚ wide",
    "\u{FFFD}",
    "a.b/c.d",
    ".hidden",
    "..hidden/x",
    "a/.b",
    "back\\slash",
    "trailing.",
    "trailing./x",
    ".",
    "./dot",
    "a/./b",
    "a/../b",
    "a/..",
    "..",
    "../up",
    "tab\t",
    "new\nline",
    "\u{1}control",
    "\u{7f}",
    "\u{E000} private",
    ".longshore.txt",
    ".longshore2/x",
];

fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = ODD.iter().map(|name| (*name).to_owned()).collect();
    names.push("x".repeat(1024));
    names.push("ü".repeat(512));
    names.push(format!("{}leaf", "d/".repeat(250)));
    names
}

/// Names that no client of S3 can ask for: they are too long, or in the tree that belongs to Longshore.
fn unspeakable_names() -> Vec<String> {
    vec!["ü".repeat(600), ".longshore/theirs".to_owned(), ".longshore/objects/theirs".to_owned()]
}

/// What lies in a container, as the provider's own client sees it.
fn seen(outside: &InCloud, container: &BucketName) -> BTreeMap<String, Option<Value>> {
    let names = outside.names(container).into_iter();
    names.map(|name| (name.clone(), outside.stat(container, &name))).collect()
}

/// Whether a name belongs to Longshore, or is one of those that were put beside what is its own.
fn is_ours(name: &str) -> bool {
    name.starts_with(".longshore/") && !name.ends_with("/theirs")
}

/// A bucket over a container that was there before, and what is in it.
struct Found<'a> {
    outside: &'a InCloud,
    container: BucketName,
    bucket: String,
    client: Client,
    objects: BTreeMap<String, Vec<u8>>,
}

impl Found<'_> {
    fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.bucket)
    }

    /// Keys with their sizes and ETags, page by page.
    async fn listed(&self) -> Vec<(String, usize, String)> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let call = self.client.call("GET", &format!("/{}", self.bucket)).query("list-type", "2");
            let mut call = call.query("max-keys", PAGE).query("encoding-type", "url");
            if let Some(token) = &token {
                call = call.query("continuation-token", token);
            }
            let page = call.send().await.expect(200);
            let entries: Vec<String> = page.elements("Contents");
            assert!(entries.len() <= PAGE.parse().expect("a number"), "a page of {}", entries.len());
            for entry in entries {
                let field = |name: &str| {
                    let rest = entry.split_once(&format!("<{name}>")).expect("the element").1;
                    rest.split_once("</").expect("its end").0.replace("&quot;", "")
                };
                let key = percent_decode_str(&field("Key")).decode_utf8().expect("UTF-8").into_owned();
                all.push((key, field("Size").parse().expect("a size"), field("ETag").replace('"', "")));
            }
            token = page.elements("NextContinuationToken").pop();
            if token.is_none() {
                return all;
            }
        }
    }

    /// Everything is listed once, in the order of bytes, and is what it is listed as.
    async fn is_served(&self, when: &str) {
        let listed = self.listed().await;
        let names: Vec<&String> = listed.iter().map(|(key, ..)| key).collect();
        assert_eq!(names, self.objects.keys().collect::<Vec<_>>(), "{when}");
        let mut wrong = Vec::new();
        for (key, size, etag) in listed {
            let bytes = &self.objects[&key];
            let head = self.client.call("HEAD", &self.path(&key)).send().await;
            let get = self.client.call("GET", &self.path(&key)).send().await;
            let length = head.header("content-length").and_then(|length| length.parse().ok());
            if (head.status, length, size) != (200, Some(bytes.len()), bytes.len()) {
                wrong.push(format!("{key:?}: HEAD {}, {length:?} bytes, {size} listed", head.status));
            } else if get.status != 200 || get.body != bytes[..] {
                wrong.push(format!("{key:?}: GET {}, {} bytes", get.status, get.body.len()));
            } else if (head.etag(), get.etag()) != (&*etag, &*etag) {
                wrong.push(format!("{key:?}: ETag {etag} listed, {} and {}", head.etag(), get.etag()));
            }
            if bytes.len() > 3 {
                let (first, last) = (bytes.len() / 3, bytes.len() / 2);
                let range = format!("bytes={first}-{last}");
                let part = self.client.call("GET", &self.path(&key)).header("range", &range).send().await;
                if part.status != 206 || part.body != bytes[first..=last] {
                    wrong.push(format!("{key:?}: {range} {}, {} bytes", part.status, part.body.len()));
                }
            }
        }
        assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    }

    /// Overwrites, deletes, copies and leaves alone, one after the other; which names may differ then.
    async fn change(&mut self, held: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for (n, key) in self.objects.keys().cloned().collect::<Vec<_>>().into_iter().enumerate() {
            match n % 4 {
                0 => {
                    let bytes = pattern(n + 1000);
                    let put = self.client.call("PUT", &self.path(&key)).body(bytes.clone()).send().await;
                    assert_eq!(put.status, 200, "{key:?}: {}", put.text());
                    self.objects.insert(key.clone(), bytes.to_vec());
                }
                1 => {
                    let deleted = self.client.call("DELETE", &self.path(&key)).send().await;
                    assert_eq!(deleted.status, 204, "{key:?}: {}", deleted.text());
                    self.objects.remove(&key);
                }
                2 => {
                    let to =
                        if key.len() > 1000 { format!("copy of the long {n}") } else { format!("{key}\u{308} copy") };
                    let source = format!("{}/{}", self.bucket, escape(&key, true));
                    let copy = self.client.call("PUT", &self.path(&to)).header("x-amz-copy-source", &source);
                    let copied = copy.send().await;
                    assert_eq!(copied.status, 200, "{key:?}: {}", copied.text());
                    self.objects.insert(to.clone(), self.objects[&key].clone());
                    changed.insert(to);
                    continue;
                }
                _ => continue,
            }
            changed.insert(key);
        }
        for key in &changed {
            let there = self.outside.read(&self.container, key);
            if held(key) {
                assert_eq!(there.as_ref(), self.objects.get(key), "{key:?} by its provider's own client");
            }
        }
        changed
    }
}

/// Has the provider's own client fill a container, but for the names that cannot be there.
fn fill(outside: &InCloud, container: &BucketName, cannot: &[&str]) -> BTreeMap<String, Vec<u8>> {
    outside.create(container);
    let mut objects = BTreeMap::new();
    let names = odd_names().into_iter().filter(|name| !cannot.contains(&&**name));
    for (n, name) in names.enumerate() {
        let bytes = pattern(match n % 5 {
            0 => 0,
            1 => 1,
            _ => n * 997,
        })
        .to_vec();
        outside.write(container, &name, &bytes);
        objects.insert(name, bytes);
    }
    for name in unspeakable_names() {
        // Some storages cannot name all of them either.
        outside.try_write(container, &name, b"theirs");
    }
    let there = outside.names(container).into_iter().filter(|name| !unspeakable_names().contains(name));
    assert_eq!(there.collect::<Vec<_>>(), objects.keys().cloned().collect::<Vec<_>>(), "names became others");
    objects
}

/// A container full of odd names is a bucket. `cannot`: names that cannot be there; `held`: whether the provider lets an
/// object of ours have a name, or has it at a managed one.
async fn is_served_in_place(backend: Option<&'static Backend>, cannot: &[&str], held: impl Fn(&str) -> bool) {
    let Some(backend) = backend else { return };
    let outside = InCloud::of(backend);
    let prefix = format!("{}-", fresh_name("found"));
    let container = BucketName::new(&format!("{prefix}theirs")).expect("a legal name");
    let objects = fill(&outside, &container, cannot);
    let before = seen(&outside, &container);
    let more = format!("prefix = {prefix:?}\nlayout = \"natural\"\n");
    let config = format!("{}[server]\ndefault_provider = \"cloud\"\n", backend.entry("cloud", &more));
    let server = Server::with(Options::default().config(&config));
    let client = server.root();
    assert_eq!(client.call("GET", "/").send().await.expect(200).elements("Name"), ["theirs"]);
    let mut found = Found { outside: &outside, container, bucket: "theirs".to_owned(), client, objects };
    found.is_served("as it was found").await;
    let untouched = seen(&outside, &found.container);
    let same = |(name, _): &(&String, &Option<Value>)| !is_ours(name);
    assert!(untouched.iter().filter(same).eq(before.iter()), "{before:?}\n{untouched:?}");
    let changed = found.change(&held).await;
    found.is_served("after it was changed").await;
    let file = server.data().parent().expect("a directory around it").join("longshore.toml");
    server.run(&["scan", "--bucket", "theirs", "--config", file.to_str().expect("UTF-8")]);
    found.is_served("after a scan").await;
    server.until_settled();
    let mut server = server;
    assert!(server.stop().success());
    let after = seen(&outside, &found.container);
    let rest = |seen: &BTreeMap<String, Option<Value>>| -> BTreeMap<String, Option<Value>> {
        let kept = seen.iter().filter(|(name, _)| !is_ours(name) && !changed.contains(*name));
        kept.map(|(name, stat)| (name.clone(), stat.clone())).collect()
    };
    assert_eq!(rest(&after), rest(&before));
    for (name, bytes) in found.objects.iter().filter(|(name, _)| held(name)) {
        assert_eq!(outside.read(&found.container, name).as_ref(), Some(bytes), "{name:?}");
    }
    let server = server.restart();
    found.client = server.root();
    found.is_served("after a restart").await;
}

/// moto has no address for a name of two lines. Amazon refuses what leads upwards, and not all carry control characters.
#[tokio::test(flavor = "multi_thread")]
async fn amazon_serves_what_it_finds() {
    let backend = backends::amazon("conformance::provider::foreign::amazon_serves_what_it_finds");
    let held = |name: &str| !name.chars().any(char::is_control) && !name.starts_with("..");
    is_served_in_place(backend, &["new\nline"], held).await;
}

/// The service reads a name as a path, and drops dots at the end of its segments; its emulator cannot list what XML has no
/// form for. Names for private use are not taken, and those whose address is long cannot be copied from.
#[tokio::test(flavor = "multi_thread")]
async fn azure_serves_what_it_finds() {
    let backend = backends::azure("conformance::provider::foreign::azure_serves_what_it_finds");
    let control = ["tab\t", "new\nline", "\u{1}control", "\u{7f}"];
    let paths = [".", "./dot", "a/./b", "a/../b", "a/..", "..", "../up", "back\\slash", "trailing.", "trailing./x"];
    let held = |name: &str| !name.contains('\u{E000}') && escape(name, true).len() < 1500;
    is_served_in_place(backend, &[&control[..], &paths].concat(), held).await;
}

/// The two names have no address there.
#[tokio::test(flavor = "multi_thread")]
async fn google_serves_what_it_finds() {
    let backend = backends::google("conformance::provider::foreign::google_serves_what_it_finds");
    is_served_in_place(backend, &[".", ".."], |name| !name.contains('\n')).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openstack_serves_what_it_finds() {
    let backend = backends::openstack("conformance::provider::foreign::openstack_serves_what_it_finds");
    is_served_in_place(backend, &[], |_| true).await;
}
