//! Signatures that are wrong, half there, twice there, too old, for something else, or of another time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::site::{BUCKET, BYTES, KEY, Site};
use super::wire;
use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::sign::{escape, sha256_hex};
use crate::harness::{Answer, Auth, Call, Payload, Signed};

const NEW: &str = "/vault/new";

/// Makes the signature another one, wherever it is.
fn break_signature(signed: &mut Signed) {
    let other = |text: &str| {
        let last = if text.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    if let Some(authorization) = signed.header("authorization") {
        let broken = other(authorization);
        signed.set_header("authorization", &broken);
    }
    if let Some((rest, signature)) = signed.target.split_once("X-Amz-Signature=") {
        let (signature, tail) = signature.split_once('&').unwrap_or((signature, ""));
        signed.target = format!("{rest}X-Amz-Signature={}&{tail}", other(signature)).trim_end_matches('&').to_owned();
    }
}

fn drop_signature(signed: &mut Signed) {
    let (path, query) = signed.target.split_once('?').expect("presigned");
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    signed.target = format!("{path}?{}", kept.join("&"));
}

#[track_caller]
fn is_refused(answer: &Answer, what: &str) {
    // A kind of payload that a query cannot sign is told as that.
    let refused = matches!(answer.status, 400 | 401 | 403 | 501);
    assert!(refused && !answer.code().is_empty(), "{what}: {} {}", answer.status, answer.text());
}

#[tokio::test]
async fn no_kind_of_payload_makes_up_for_a_signature() {
    let site = Site::new().await;
    let before = site.seen().await;
    let body = "nothing of this may be kept";
    let crc = Some(("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned()));
    let kinds = [
        (sha256_hex(body.as_bytes()), Payload::Hashed),
        ("UNSIGNED-PAYLOAD".to_owned(), Payload::Unsigned),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(), Payload::SignedChunks(8, None)),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER".to_owned(), Payload::SignedChunks(8, crc.clone())),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(), Payload::UnsignedChunks(8, crc)),
        ("nonsense".to_owned(), Payload::Hashed),
        (String::new(), Payload::Hashed),
    ];
    for (kind, payload) in kinds {
        for (place, auth) in [
            ("the header", Auth::Header),
            ("the query", Auth::Presigned(60)),
            ("a credential alone", Auth::Presigned(60)),
            ("nothing", Auth::Anonymous),
        ] {
            let what = format!("{kind:?} with a bad signature in {place}");
            let calls = site.provider_calls().await;
            let call = site.root.call("PUT", NEW).body(body).auth(auth).payload(payload.clone());
            let spoil = if place == "a credential alone" { drop_signature } else { break_signature };
            let answer = call.header("x-amz-content-sha256", &kind).spoil(spoil).send().await;
            is_refused(&answer, &what);
            assert_eq!(site.provider_calls().await, calls, "{what}: the provider was asked");
        }
        site.settles_to(&before, &kind).await;
    }
}

#[tokio::test]
async fn a_header_of_amazon_that_is_not_signed_is_refused() {
    let site = Site::new().await;
    let before = site.seen().await;
    let source = format!("{BUCKET}/{KEY}");
    for auth in [Auth::Header, Auth::Presigned(60)] {
        for (name, value) in [
            ("x-amz-copy-source", source.as_str()),
            ("x-amz-meta-a", "1"),
            ("x-amz-acl", "private"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-security-token", "token"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
            ("x-amz-decoded-content-length", "3"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-website-redirect-location", "/a"),
            ("x-amz-expected-bucket-owner", "root"),
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-mp-object-size", "3"),
            ("x-amz-unheard-of", "1"),
        ] {
            let what = format!("{name} unsigned beside {auth:?}");
            let calls = site.provider_calls().await;
            let call = site.root.call("PUT", NEW).body("abc").auth(auth);
            let answer = call.unsigned_header(name, value).send().await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"), "{what}: {}", answer.text());
            assert_eq!(site.provider_calls().await, calls, "{what}: the provider was asked");
        }
    }
    site.settles_to(&before, "headers that were not signed").await;
    // The one that is exempt says what the body is, and is held against it.
    let hash = sha256_hex(b"abc");
    let exempt = site.root.call("PUT", NEW).body("abc").unsigned_header("x-amz-content-sha256", &hash);
    exempt.send().await.expect(200);
}

#[tokio::test]
async fn the_host_must_be_signed_and_be_this_one() {
    let site = Site::new().await;
    for auth in [Auth::Header, Auth::Presigned(60)] {
        let get = || site.root.call("GET", "/vault/gold/bar").auth(auth).header("x-amz-meta-a", "1");
        get().send().await.expect(200);
        // Nothing more than what the request needs is signed.
        let unsigned = get().unsigned_header("host", "another.example");
        is_refused(&unsigned.send().await, "a host that is not signed");
        let moved = get().spoil(|signed| signed.set_header("host", "another.example"));
        is_refused(&moved.send().await, "a signature for another host");
    }
}

fn retarget(from: &'static str, to: &'static str) -> impl FnOnce(&mut Signed) + Send {
    move |signed| {
        assert!(signed.target.contains(from), "{from} is not in {}", signed.target);
        signed.target = signed.target.replacen(from, to, 1);
    }
}

#[tokio::test]
async fn a_presigned_url_is_for_one_request_and_one_time() {
    let site = Site::new().await;
    site.root.create_bucket("other").await.expect(200);
    site.root.put("other", KEY, "other bytes").await.expect(200);
    let before = site.seen().await;
    let url = |seconds: i64| site.root.call("GET", "/vault/gold/bar").auth(Auth::Presigned(seconds));
    assert_eq!(url(604_800).send().await.expect(200).text(), BYTES);
    let method = |method: &'static str| move |signed: &mut Signed| signed.method = method.to_owned();
    let rows: Vec<(&str, Call<'_>)> = vec![
        ("for no time", url(0)),
        ("for less than no time", url(-1)),
        ("for more than a week", url(604_801)),
        ("for ten years", url(315_360_000)),
        ("over since a second", url(60).at(-61)),
        ("from the future", url(3600).at(16 * 60)),
        ("for a lifetime that is no number", url(60).spoil(retarget("X-Amz-Expires=60", "X-Amz-Expires=60s"))),
        ("with a longer lifetime", url(60).spoil(retarget("X-Amz-Expires=60", "X-Amz-Expires=61"))),
        ("without its lifetime", url(60).spoil(retarget("&X-Amz-Expires=60", ""))),
        ("made a PUT", url(60).body("x").spoil(method("PUT"))),
        ("made a DELETE", url(60).spoil(method("DELETE"))),
        ("for another key", url(60).spoil(retarget("/gold/bar", "/gold/ba"))),
        ("with a doubled slash", url(60).spoil(retarget("/gold/bar", "/gold//bar"))),
        ("for another bucket", url(60).spoil(retarget("/vault/", "/other/"))),
        ("with a parameter more", url(60).spoil(retarget("X-Amz-Signature", "versionId=null&X-Amz-Signature"))),
        ("with another type", url(60).spoil(retarget("X-Amz-Sig", "response-content-type=a%2Fb&X-Amz-Sig"))),
        ("with a part number", url(60).spoil(retarget("?", "?partNumber=1&"))),
        ("of another algorithm", url(60).spoil(retarget("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"))),
        ("with no algorithm", url(60).spoil(retarget("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""))),
        ("of another key", url(60).spoil(retarget(ROOT_ACCESS_KEY, "HARNESSROOF"))),
        ("with two signatures", url(60).spoil(retarget("X-Amz-Signature", "X-Amz-Signature=0&X-Amz-Signature"))),
        ("with two dates", url(60).spoil(retarget("X-Amz-Date", "X-Amz-Date=20200101T000000Z&X-Amz-Date"))),
        ("with a second date in lower case", url(60).spoil(retarget("X-Amz-Date", "x-amz-date=1&X-Amz-Date"))),
        ("with a second signature, escaped", url(60).spoil(retarget("X-Amz-Sig", "X%2DAmz%2DSignature=1&X-Amz-Sig"))),
        ("for another service", url(60).scope("us-east-1", "sts")),
    ];
    for (what, call) in rows {
        let calls = site.provider_calls().await;
        let answer = call.send().await;
        let refused = matches!(answer.status, 400 | 401 | 403 | 501);
        assert!(refused, "a URL {what}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains(BYTES), "a URL {what} told the object");
        assert_eq!(site.provider_calls().await, calls, "a URL {what}: the provider was asked");
    }
    site.settles_to(&before, "presigned URLs").await;
}

fn v2(text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(ROOT_SECRET.as_bytes()).expect("any length is a key");
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn the_second_version_of_signatures_is_refused() {
    let site = Site::new().await;
    let anonymous = site.server.anonymous();
    let now = time::OffsetDateTime::now_utc();
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = now.format(format).expect("a date");
    let expires = now.unix_timestamp() + 60;
    let in_header = v2(&format!("GET\n\n\n{date}\n/{BUCKET}/{KEY}"));
    let header = anonymous.call("GET", "/vault/gold/bar").header("date", &date);
    let header = header.header("authorization", &format!("AWS {ROOT_ACCESS_KEY}:{in_header}"));
    is_refused(&header.send().await, "a right signature of version 2 in the header");
    let in_query = escape(&v2(&format!("GET\n\n\n{expires}\n/{BUCKET}/{KEY}")), false);
    let query = format!("AWSAccessKeyId={ROOT_ACCESS_KEY}&Expires={expires}&Signature={in_query}");
    let query =
        anonymous.call("GET", "/vault/gold/bar").spoil(|signed| signed.target = format!("{}?{query}", signed.target));
    is_refused(&query.send().await, "a right signature of version 2 in the query");
}

#[tokio::test]
async fn what_is_there_twice_is_refused() {
    let site = Site::new().await;
    let get = |auth| site.root.call("GET", "/vault/gold/bar").auth(auth).signed();
    let header = get(Auth::Header);
    let authorization = header.header("authorization").expect("signed").to_owned();
    let mut rows: Vec<(&str, Signed)> = Vec::new();
    let mut row = |what, mut signed: Signed, name: &str, value: &str| {
        signed.headers.push((name.to_owned(), value.to_owned()));
        rows.push((what, signed));
    };
    row("two hosts", header.clone(), "host", "another.example");
    row("two hosts, presigned", get(Auth::Presigned(60)), "host", "another.example");
    row("two dates", header.clone(), "x-amz-date", "20200101T000000Z");
    row("two hashes", header.clone(), "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    row("two authorizations", header.clone(), "authorization", &authorization);
    row("an authorization of another kind more", header.clone(), "authorization", "Bearer x");
    row("header and query", get(Auth::Presigned(60)), "authorization", &authorization);
    row("query and half a header", get(Auth::Presigned(60)), "authorization", "AWS4-HMAC-SHA256 x");
    for (what, signed) in &rows {
        let reply = wire::send(site.server.s3, signed).await;
        assert!(matches!(reply.status, 400 | 403), "{what}: {}", reply.head);
        assert!(!String::from_utf8_lossy(&reply.body).contains(BYTES), "{what} told the object");
    }
    assert_eq!(wire::send(site.server.s3, &header).await.status, 200, "the request itself is sound");
}

#[tokio::test]
async fn authorizations_that_cannot_be_read_are_nobody_s() {
    let site = Site::new().await;
    let authorization = site.root.call("GET", "/vault/gold/bar").signed().header("authorization").map(str::to_owned);
    let sound = authorization.expect("signed");
    let changed = |from: &str, to: &str| {
        assert!(sound.contains(from), "{from} is not in {sound}");
        sound.replacen(from, to, 1)
    };
    for text in [
        String::new(),
        "Bearer abc".to_owned(),
        "Basic cm9vdDpyb290".to_owned(),
        "AWS4-HMAC-SHA256".to_owned(),
        "AWS4-HMAC-SHA256 Credential=".to_owned(),
        changed("AWS4-HMAC-SHA256", "FOO"),
        changed("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        changed("/s3/", "/sqs/"),
        changed("aws4_request", "aws5_request"),
        changed("SignedHeaders=host", "SignedHeaders="),
        changed("SignedHeaders=host", "SignedHeaders=host;host"),
        changed("/us-east-1/", "//"),
        changed("Signature=", "Signature=00"),
        changed("Signature=", "Signature=\u{e9}"),
        changed("Credential=", "Credential=/"),
        "A".repeat(9000),
    ] {
        let answer = site.root.call("GET", "/vault/gold/bar").spoil(|signed| signed.set_header("authorization", &text));
        let answer = answer.send().await;
        let refused = matches!(answer.status, 400 | 401 | 403 | 501);
        assert!(refused && !answer.text().contains(BYTES), "{text:?}: {} {}", answer.status, answer.text());
    }
}
