//! S3 below `/storage/v1/s3`: the operations, and what is verified of a request whose address has that path in front.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{As, Site};
use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::{Auth, Client, Keys, Payload, Server, Signed};
use crate::s3::post::Sent;
use crate::s3::{base64, md5_base64, md5_hex};

pub(super) const BASE: &str = "/storage/v1/s3";

/// A client of the mount with root's key.
fn mounted(server: &Server) -> Client {
    Client::new(server.rest, Some(Keys::new(ROOT_ACCESS_KEY, ROOT_SECRET))).below(BASE)
}

async fn site() -> (Site, Client) {
    let site = Site::start();
    site.bucket(json!({"name": "b-1"})).await;
    let client = mounted(&site.server);
    (site, client)
}

#[tokio::test]
async fn what_is_written_there_is_read_everywhere() {
    let (site, s3) = site().await;
    s3.create_bucket("b-2").await.expect(200);
    for path in ["", "/"] {
        let buckets = s3.call("GET", path).send().await.expect(200).elements("Name");
        assert_eq!(buckets, ["b-1", "b-2"], "{path:?}");
    }
    let root = site.server.root();
    for key in ["k", "a b/ü+&=%41?#.txt", "a//b", "/lead", "dir/", "s3/storage/v1/s3/x", "..%2F", "tab\u{9}"] {
        let put = s3.put("b-1", key, key).await.expect(200);
        assert_eq!(put.etag(), md5_hex(key.as_bytes()));
        let length = key.len().to_string();
        for client in [&s3, &root] {
            assert_eq!(client.get("b-1", key).await.expect(200).text(), key, "{key:?}");
            assert_eq!(client.head("b-1", key).await.expect(200).header("content-length"), Some(length.as_str()));
        }
    }
    let keys = s3.call("GET", "/b-1").query("list-type", "2").query("encoding-type", "url").send().await.expect(200);
    assert_eq!(keys.elements("Key").len(), 8, "{}", keys.text());
    assert_eq!(site.plain(As::Service, "GET", "/object/b-1/k").await.expect(200).text(), "k");
    assert_eq!(s3.keys_of("b-1", "a").await, ["a b/ü+&amp;=%41?#.txt", "a//b"]);
    s3.delete("b-1", "a//b").await.expect(204);
    root.get("b-1", "a//b").await.refused(404, "NoSuchKey");
    let missing = s3.get("b-1", "a//b").await.refused(404, "NoSuchKey");
    assert_eq!(missing.elements("Resource"), ["/b-1/a//b"]);
    assert_eq!(s3.head("b-1", "none").await.expect(404).text(), "");
    s3.call("GET", "/no-bucket").send().await.refused(404, "NoSuchBucket");
    s3.call("GET", "/b-1").query("intelligent-tiering", "").send().await.expect(501);
}

/// Below a path a stored page had the origin of the other interfaces, and acted for whoever opened it.
#[tokio::test]
async fn a_stored_page_has_an_origin_of_its_own_there() {
    let (site, s3) = site().await;
    site.bucket(json!({"name": "open", "public": true})).await;
    let (root, nobody) = (site.server.root(), Client::new(site.server.rest, None).below(BASE));
    for (kind, runs) in
        [("text/html", true), ("image/svg+xml", true), ("text/xsl", true), ("text/plain", false), ("image/png", false)]
    {
        let put = s3.call("PUT", "/open/x").header("content-type", kind).body("<script>");
        put.send().await.expect(200);
        for answer in [s3.get("open", "x").await, s3.head("open", "x").await, nobody.get("open", "x").await] {
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-type"), Some(kind));
            let policy = answer.header("content-security-policy").unwrap_or_default();
            assert_eq!(policy.starts_with("sandbox allow-"), runs, "{kind}: {policy}");
            assert_eq!(policy.is_empty(), !runs, "{kind}: {policy}");
            assert!(!policy.contains("allow-same-origin"), "{policy}");
        }
        // The other listener has an origin at which nobody is known by a cookie.
        assert_eq!(root.get("open", "x").await.expect(200).header("content-security-policy"), None, "{kind}");
    }
}

#[tokio::test]
async fn versions_are_listed_by_key_and_then_the_newest_first() {
    let (_site, s3) = site().await;
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    s3.call("PUT", "/b-1").query("versioning", "").body(body).send().await.expect(200);
    for key in ["a", "b"] {
        s3.put("b-1", key, "one").await.expect(200);
        s3.put("b-1", key, "two").await.expect(200);
        s3.delete("b-1", key).await.expect(204);
    }
    let listed = s3.call("GET", "/b-1").query("versions", "").send().await.expect(200);
    assert_eq!(listed.elements("Key"), ["a", "a", "a", "b", "b", "b"], "{}", listed.text());
    assert_eq!(listed.elements("IsLatest"), ["true", "false", "false", "true", "false", "false"]);
}

#[tokio::test]
async fn headers_in_a_signed_url_are_headers() {
    let (_site, s3) = site().await;
    let put = || s3.call("PUT", "/b-1/k").query("x-amz-meta-a", "1 2").body("x").auth(Auth::Presigned(60));
    let added = put().spoil(|signed| signed.target.push_str("&x-amz-meta-b=1"));
    added.send().await.refused(403, "SignatureDoesNotMatch");
    put().query("x-amz-grant-read", "id=root").send().await.refused(501, "NotImplemented");
    put().send().await.expect(200);
    assert_eq!(s3.head("b-1", "k").await.expect(200).header("x-amz-meta-a"), Some("1 2"));
}

/// The trailer with the checksum of a body.
fn sum(body: &[u8]) -> Option<(String, String)> {
    Some(("x-amz-checksum-sha256".to_owned(), base64(&Sha256::digest(body))))
}

#[tokio::test]
async fn bodies_come_out_of_every_kind_of_frame() {
    let (site, s3) = site().await;
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    for (key, payload) in [
        ("hashed", Payload::Hashed),
        ("unsigned", Payload::Unsigned),
        ("signed-chunks", Payload::SignedChunks(65_536, None)),
        ("signed-trailer", Payload::SignedChunks(65_536, sum(&body))),
        ("unsigned-trailer", Payload::UnsignedChunks(65_536, sum(&body))),
    ] {
        let call = || s3.call("PUT", &format!("/b-1/{key}")).body(body.clone()).payload(payload.clone());
        let put = call().header("content-type", "a/b").send().await.expect(200);
        assert_eq!(put.etag(), md5_hex(&body), "{key}");
        let read = site.server.root().get("b-1", key).await.expect(200);
        assert!(read.body == body, "{key}");
        assert_eq!((read.header("content-type"), read.header("content-encoding")), (Some("a/b"), None), "{key}");
    }
    // A presigned body may be of any length and kind.
    let put = s3.call("PUT", "/b-1/presigned").auth(Auth::Presigned(60)).body("presigned");
    put.send().await.expect(200);
    assert_eq!(s3.get("b-1", "presigned").await.expect(200).text(), "presigned");
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_leaves_nothing() {
    let (site, s3) = site().await;
    let call = |payload: Payload| s3.call("PUT", "/b-1/k").body(vec![b'x'; 100_000]).payload(payload);
    let flip = |at: usize| {
        move |signed: &mut Signed| {
            signed.body[at] = if signed.body[at] == b'x' { b'y' } else { b'x' };
        }
    };
    let (right, wrong) = (sum(&[b'x'; 100_000]), sum(b"other"));
    let signed = || Payload::SignedChunks(65_536, None);
    call(Payload::Hashed).spoil(flip(50_000)).send().await.refused(400, "XAmzContentSHA256Mismatch");
    for at in [1_000, 99_000] {
        call(signed()).spoil(flip(at)).send().await.refused(403, "SignatureDoesNotMatch");
        call(Payload::SignedChunks(65_536, right.clone()))
            .spoil(flip(at))
            .send()
            .await
            .refused(403, "SignatureDoesNotMatch");
        call(Payload::UnsignedChunks(65_536, right.clone())).spoil(flip(at)).send().await.refused(400, "BadDigest");
    }
    call(Payload::SignedChunks(65_536, wrong.clone())).send().await.refused(400, "BadDigest");
    call(Payload::UnsignedChunks(65_536, wrong)).send().await.refused(400, "BadDigest");
    // The second chunk where the first belongs: each is signed for its place.
    let swapped = call(Payload::SignedChunks(50_000, None)).spoil(|signed| {
        let chunk = (signed.body.len() - 86) / 2;
        let (first, rest) = signed.body.split_at(chunk);
        let (second, last) = rest.split_at(chunk);
        signed.body = [second, first, last].concat();
    });
    swapped.send().await.refused(403, "SignatureDoesNotMatch");
    let trailer = call(Payload::SignedChunks(65_536, right)).spoil(|signed| {
        let at = signed.body.len() - 10;
        signed.body[at] = if signed.body[at] == b'0' { b'1' } else { b'0' };
    });
    assert!([400, 403].contains(&trailer.send().await.status), "the trailer is signed");
    let cut = call(signed()).spoil(|signed| signed.body.truncate(signed.body.len() - 86));
    cut.send().await.refused(400, "IncompleteBody");
    let more = call(signed()).spoil(|signed| signed.set_header("x-amz-decoded-content-length", "99999"));
    more.send().await.refused(403, "SignatureDoesNotMatch");
    let anonymous = Client::new(site.server.rest, None).below(BASE);
    let framed = anonymous.call("PUT", "/b-1/k").body("x").payload(Payload::UnsignedChunks(10, None));
    framed.send().await.refused(400, "InvalidRequest");
    s3.get("b-1", "k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn the_path_is_signed_as_it_was_sent() {
    let (site, s3) = site().await;
    s3.put("b-1", "k", "1").await.expect(200);
    let get = || s3.call("GET", "/b-1/k");
    // Whoever signs what is behind the path, or another one in front, has signed another request.
    for (from, to) in [(BASE, ""), (BASE, "/storage/v1"), ("/b-1/k", "/b-1/j"), ("/b-1", "//b-1")] {
        let spoiled = get().spoil(move |signed| signed.target = signed.target.replacen(from, to, 1)).send().await;
        if to.is_empty() || to == "/storage/v1" {
            // That is the other interface, which knows no signatures.
            assert!([400, 404].contains(&spoiled.status), "{} {}", spoiled.status, spoiled.text());
        } else {
            spoiled.refused(403, "SignatureDoesNotMatch");
        }
    }
    let without = Client::new(site.server.rest, s3.keys().cloned());
    let moved = without.call("GET", "/b-1/k").spoil(|signed| signed.target = format!("{BASE}{}", signed.target));
    moved.send().await.refused(403, "SignatureDoesNotMatch");
    // The same signature, sent to the listener of S3 itself.
    let elsewhere = Client::new(site.server.s3, s3.keys().cloned());
    let signed = get().signed();
    let stripped = Signed { target: signed.target.replacen(BASE, "", 1), ..signed };
    elsewhere.send(stripped).await.refused(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn keys_times_and_headers_are_verified() {
    let (_site, s3) = site().await;
    s3.put("b-1", "k", "1").await.expect(200);
    let own = s3.keys().expect("keys").clone();
    for (keys, code) in [
        (Keys::new("nobody", &own.secret), "InvalidAccessKeyId"),
        (Keys::new(&own.access_key, "guess"), "SignatureDoesNotMatch"),
    ] {
        for auth in [Auth::Header, Auth::Presigned(60)] {
            s3.with_keys(Some(keys.clone())).call("GET", "/b-1/k").auth(auth).send().await.refused(403, code);
        }
    }
    for seconds in [-1000, 1000] {
        s3.call("GET", "/b-1/k").at(seconds).send().await.refused(403, "RequestTimeTooSkewed");
    }
    let presigned = |seconds: i64| s3.call("GET", "/b-1/k").auth(Auth::Presigned(seconds));
    assert_eq!(presigned(60).send().await.expect(200).text(), "1");
    let late = presigned(10).at(-100).send().await.refused(403, "AccessDenied");
    assert_eq!(late.elements("Message"), ["Request has expired"]);
    presigned(60).at(2000).send().await.refused(403, "RequestTimeTooSkewed");
    for seconds in [0, -1, 604_801] {
        presigned(seconds).send().await.refused(403, "AccessDenied");
    }
    let method = presigned(60).spoil(|signed| signed.method = "DELETE".to_owned()).send().await;
    method.refused(403, "SignatureDoesNotMatch");
    let added = presigned(60).spoil(|signed| signed.target.push_str("&versionId=1")).send().await;
    added.refused(403, "SignatureDoesNotMatch");
    let copy = s3.call("PUT", "/b-1/j").auth(Auth::Presigned(60)).unsigned_header("x-amz-copy-source", "/b-1/k");
    copy.send().await.refused(403, "AccessDenied");
    let both = presigned(60).spoil(|signed| signed.set_header("authorization", "AWS4-HMAC-SHA256 x")).send().await;
    both.refused(400, "InvalidArgument");
    let host = presigned(60).spoil(|signed| signed.set_header("host", "elsewhere")).send().await;
    host.refused(403, "SignatureDoesNotMatch");
    let anonymous = s3.with_keys(None);
    let bearer = anonymous.call("GET", "/b-1/k").header("authorization", "Bearer x");
    bearer.send().await.refused(400, "InvalidArgument");
    anonymous.call("GET", "/b-1/k").send().await.refused(403, "AccessDenied");
    let second = anonymous.call("GET", "/b-1/k").header("authorization", "AWS a:b");
    second.send().await.refused(400, "InvalidRequest");
    s3.get("b-1", "j").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn parts_copies_deletions_and_forms() {
    let (site, s3) = site().await;
    let begun = s3.call("POST", "/b-1/big").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = |number: &'static str| s3.call("PUT", "/b-1/big").query("partNumber", number).query("uploadId", &id);
    let first = part("1").body(vec![1; 5 << 20]).payload(Payload::SignedChunks(1 << 20, None)).send().await.expect(200);
    let second = part("2").body("end").payload(Payload::Unsigned).send().await.expect(200);
    let listed: String = [(1, &first), (2, &second)]
        .iter()
        .map(|(n, part)| format!("<Part><PartNumber>{n}</PartNumber><ETag>{}</ETag></Part>", part.etag()))
        .collect();
    let complete = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
    let call = || s3.call("POST", "/b-1/big").query("uploadId", &id).body(complete.clone());
    let spoiled = call().spoil(|signed| signed.body[60] ^= 1).send().await;
    spoiled.refused(400, "XAmzContentSHA256Mismatch");
    let made = call().send().await.expect(200);
    assert_eq!(made.elements("Location"), [format!("http://{}{BASE}/b-1/big", site.server.rest)]);
    s3.call("PUT", "/b-1/copy of").header("x-amz-copy-source", "b-1/big").send().await.expect(200);
    let range = s3.call("GET", "/b-1/copy of").header("range", "Bytes = 5242880-").send().await.expect(206);
    assert_eq!(range.text(), "end");
    let list = "<Delete><Object><Key>big</Key></Object><Object><Key>none</Key></Object></Delete>";
    let delete = s3.call("POST", "/b-1").query("delete", "").header("content-md5", &md5_base64(list.as_bytes()));
    assert_eq!(delete.body(list).send().await.expect(200).elements("Key"), ["big", "none"]);
    assert_eq!(s3.keys_of("b-1", "").await, ["copy of"]);

    let form = Sent::new(&[("key", "up/${filename}"), ("success_action_status", "201")], b"form");
    let conditions = json!([{"bucket": "b-1"}, ["starts-with", "$key", "up/"], {"success_action_status": "201"}]);
    let answer = form.signed(&s3, conditions).post(&s3, "/b-1").await.expect(201);
    assert_eq!(answer.elements("Location"), [format!("http://{}{BASE}/b-1/up/f.txt", site.server.rest)]);
    assert_eq!(site.server.root().get("b-1", "up/f.txt").await.expect(200).text(), "form");
}

#[tokio::test]
async fn pages_of_every_origin_may_ask() {
    let (site, s3) = site().await;
    s3.put("b-1", "k", "1").await.expect(200);
    let anonymous = s3.with_keys(None);
    let ask = anonymous.call("OPTIONS", "/b-1/k").header("origin", "https://app.example");
    let ask = ask.header("access-control-request-method", "PUT");
    let told = ask.header("access-control-request-headers", "authorization,x-amz-date").send().await.expect(204);
    assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    assert_eq!(told.header("access-control-allow-headers"), Some("authorization,x-amz-date"));
    for (client, status) in [(&s3, 200), (&anonymous, 403)] {
        let read = client.call("GET", "/b-1/k").header("origin", "https://app.example").send().await.expect(status);
        assert_eq!(read.header("access-control-allow-origin"), Some("*"));
        assert_eq!(read.header("access-control-allow-credentials"), None);
    }
    assert_eq!(s3.get("b-1", "k").await.expect(200).header("access-control-allow-origin"), None);
    anonymous.call("OPTIONS", "/b-1/k").send().await.refused(400, "BadRequest");
    // Whoever may read a public bucket may read it here.
    site.bucket(json!({"name": "open", "public": true})).await;
    s3.put("open", "k", "1").await.expect(200);
    assert_eq!(anonymous.get("open", "k").await.expect(200).text(), "1");
    assert_eq!(anonymous.head("open", "k").await.expect(200).header("content-length"), Some("1"));
}
