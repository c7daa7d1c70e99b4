//! XML that attacks who reads it.
//!
//! **Invariant:** what is no plain list is refused with 4xx, changes nothing, and costs no memory to speak of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use super::site::{BUCKET, Site};
use super::wire;
use crate::harness::{Call, Payload};

const MEMORY_RISE_BYTES_MAX: u64 = 64 << 20;

fn list(inside: &str) -> String {
    format!("<Delete>{inside}</Delete>")
}

const KEY: &str = "<Object><Key>gold/bar</Key></Object>";

/// An entity that stands for ten of the one before, ten times over.
fn laughs() -> String {
    let mut text = String::from("<!DOCTYPE d [<!ENTITY e0 \"gold/bar\">");
    for n in 1..10 {
        text.push_str(&format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10)));
    }
    text + "]>" + &list("<Object><Key>&e9;</Key></Object>")
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
}

/// Documents that are refused whatever they are sent for.
fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: String| (name, text.into_bytes());
    vec![
        text("nothing", String::new()),
        text("no XML", "gold/bar".to_owned()),
        text("a cut document", "<Delete><Object><Key>gold/bar</Key></Object>".to_owned()),
        text("another root", "<Remove><Object><Key>gold/bar</Key></Object></Remove>".to_owned()),
        text("a document type with entities", laughs()),
        text(
            "an external entity",
            format!(
                "<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{}",
                list("<Object><Key>&x;</Key></Object>")
            ),
        ),
        text("an unknown entity", list("<Object><Key>&gold;</Key></Object>")),
        text("a hundred thousand levels", "<a>".repeat(100_000) + &"</a>".repeat(100_000)),
        text("levels inside a list", list(&("<Object>".repeat(50_000) + &"</Object>".repeat(50_000)))),
        text("levels that never end", list(&"<Object>".repeat(200_000))),
        text("3 MiB", list(&KEY.repeat((3 << 20) / KEY.len()))),
        text("3 MiB of one key", list(&format!("<Object><Key>{}</Key></Object>", "k".repeat(3 << 20)))),
        text("3 MiB of blanks", list(&" ".repeat(3 << 20))),
        text("3 MiB of a comment", format!("<!--{}-->{}", "x".repeat(3 << 20), list(KEY))),
        text("more than a thousand keys", list(&"<Object><Key>k</Key></Object>".repeat(1001))),
        text("no keys", list("")),
        text("a section of characters", list("<Object><Key><![CDATA[gold/bar]]></Key></Object>")),
        text("a number that is none", list("<Object><Key>&#xFFFFFFFF;</Key></Object>")),
        text("a control character by number", list("<Object><Key>&#0;</Key></Object>")),
        ("UTF-16 of little ends", utf16(&list(KEY), false)),
        ("UTF-16 of big ends", utf16(&list(KEY), true)),
        ("bytes that are no UTF-8", b"<Delete><Object><Key>\xff</Key></Object></Delete>".to_vec()),
        text("UTF-7 by name", format!("<?xml version=\"1.0\" encoding=\"UTF-7\"?>{}", list("+ADw-Object+AD4-"))),
    ]
}

fn parts(count: u32) -> String {
    let part = |n| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"0\"</ETag></Part>");
    format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", (1..=count).map(part).collect::<String>())
}

/// What went wrong if the document is not refused.
async fn accepted(site: &Site, what: &str, call: Call<'_>) -> Option<String> {
    // Sent by hand: a server that has read enough closes while a library still writes.
    let reply = wire::send(site.server.s3, &call.signed()).await;
    let refused = (400..500).contains(&reply.status) && !reply.code().is_empty();
    let told = || format!("{what}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
    (!refused).then(told)
}

#[tokio::test]
async fn xml_that_is_no_plain_list_is_refused() {
    let site = Site::new().await;
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let before = site.seen().await;
    let memory = site.server.peak_memory_bytes();
    let mut wrong = Vec::new();
    for (what, body) in documents() {
        let md5 = BASE64.encode(Md5::digest(&body));
        let delete = site.root.call("POST", &format!("/{BUCKET}")).query("delete", "").header("content-md5", &md5);
        wrong.extend(accepted(&site, &format!("{what} as deletions"), delete.body(body.clone())).await);
        let complete = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploadId", &upload);
        wrong.extend(accepted(&site, &format!("{what} as parts"), complete.body(body.clone())).await);
        if !body.is_empty() {
            let create = site.root.call("PUT", "/created").body(body);
            wrong.extend(accepted(&site, &format!("{what} as the configuration of a bucket"), create).await);
        }
    }
    for (what, body) in [
        ("more than ten thousand parts", parts(10_001)),
        ("no parts", parts(0)),
        ("a part of a number that is none", parts(1).replace(">1<", ">one<")),
        ("a part of a large number", parts(1).replace(">1<", ">99999999999999999999<")),
        ("a part of a negative number", parts(1).replace(">1<", ">-1<")),
    ] {
        let complete = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploadId", &upload);
        wrong.extend(accepted(&site, what, complete.body(body)).await);
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    site.settles_to(&before, "hostile XML").await;
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < MEMORY_RISE_BYTES_MAX, "memory rose by {} MiB", rise >> 20);
}

/// No document of S3 has one, and what it declares is for the reader to fetch and to expand.
#[tokio::test]
async fn a_document_type_is_refused_also_if_nothing_uses_it() {
    let site = Site::new().await;
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let before = site.seen().await;
    let create = "<CreateBucketConfiguration></CreateBucketConfiguration>".to_owned();
    let mut wrong = Vec::new();
    for (what, document) in [
        ("a document type", "<!DOCTYPE d>"),
        ("an external one", "<!DOCTYPE d SYSTEM \"file:///etc/passwd\">"),
        ("one with an entity", "<!DOCTYPE d [<!ENTITY e \"x\">]>"),
        ("one with an entity of a parameter", "<!DOCTYPE d [<!ENTITY % x SYSTEM \"http://127.0.0.1:1/x\"> %x;]>"),
    ] {
        let deletes = document.to_owned() + &list(KEY);
        let md5 = BASE64.encode(Md5::digest(&deletes));
        let delete = site.root.call("POST", &format!("/{BUCKET}")).query("delete", "").header("content-md5", &md5);
        let complete = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploadId", &upload);
        for (of, call) in [
            ("deletions", delete.body(deletes)),
            ("parts", complete.body(document.to_owned() + &parts(1))),
            ("a new bucket", site.root.call("PUT", "/created").body(document.to_owned() + &create)),
        ] {
            let answer = call.send().await;
            if (answer.status, answer.code().as_str()) != (400, "MalformedXML") {
                wrong.push(format!("{what} of {of}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    site.settles_to(&before, "document types").await;
}

#[tokio::test]
async fn xml_without_an_end_is_not_waited_for() {
    let site = Site::new().await;
    let before = site.seen().await;
    let memory = site.server.peak_memory_bytes();
    for path in ["/vault?delete", "/created"] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let method = if query.is_empty() { "PUT" } else { "POST" };
        let call = || {
            let call = site.root.call(method, path).payload(Payload::Unsigned);
            let call = call.header("content-md5", &BASE64.encode(Md5::digest(b"")));
            if query.is_empty() { call } else { call.query(query, "") }
        };
        // A gigabyte is announced and not sent.
        let announced = call().header("content-length", &(1u64 << 30).to_string()).signed();
        let reply = wire::exchange(site.server.s3, wire::last_head(&announced).as_bytes()).await;
        assert_eq!(reply.status, 400, "a gigabyte to {path}: {}", reply.head);
        // It is sent without being announced.
        let signed = call().header("transfer-encoding", "chunked").signed();
        let mut bytes = wire::last_head(&signed).into_bytes();
        for _ in 0..64 {
            bytes.extend_from_slice(format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)).as_bytes());
        }
        let reply = wire::exchange(site.server.s3, &bytes).await;
        // Closing upon bytes that are still on their way may take the answer along.
        assert!(matches!(reply.status, 0 | 400 | 411), "64 MiB of chunks to {path}: {}", reply.head);
    }
    site.settles_to(&before, "endless XML").await;
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < MEMORY_RISE_BYTES_MAX, "memory rose by {} MiB", rise >> 20);
}
