//! Signatures of the second version, which an operator may let in. The texts that are signed here are written out, so
//! nothing of the server's rule for them is used to test it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use time::macros::format_description;

use super::logging;
use crate::harness::sign::{escape, now_plus};
use crate::harness::{Client, Options, Server};

/// A server that lets them in, with a bucket; root's client and one without a key, whose requests are signed here.
async fn served() -> (Server, Client, Client) {
    let server = Server::with(Options::default().config("[s3]\nsigv2 = true\ndomains = [\"s3.example.com\"]\n"));
    let (root, bare) = (server.root(), server.anonymous());
    root.create_bucket("b-1").await.expect(200);
    (server, root, bare)
}

fn signature(client: &Client, text: &str) -> String {
    let secret = &client.keys().expect("keys").secret;
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn authorization(client: &Client, text: &str) -> String {
    format!("AWS {}:{}", client.keys().expect("keys").access_key, signature(client, text))
}

fn date(seconds: i64) -> String {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    now_plus(seconds).format(form).expect("a date")
}

/// The parameters of a signed URL.
fn url(client: &Client, method: &str, resource: &str, seconds: i64) -> String {
    let expires = now_plus(seconds).unix_timestamp();
    let signature = escape(&signature(client, &format!("{method}\n\n\n{expires}\n{resource}")), false);
    let access_key = &client.keys().expect("keys").access_key;
    format!("AWSAccessKeyId={access_key}&Expires={expires}&Signature={signature}")
}

#[tokio::test]
async fn a_header_of_the_second_version_is_that_of_its_key() {
    let (_server, root, bare) = served().await;
    let date = date(0);
    let text = format!("PUT\n\ntext/x-a\n{date}\nx-amz-meta-a:1\nx-amz-meta-b:two words\n/b-1/a%20b");
    let put = |authorization: String| {
        let call = bare.call("PUT", "/b-1/a b").body("hello").header("date", &date).header("content-type", "text/x-a");
        let call = call.header("x-amz-meta-b", "two words").header("x-amz-meta-a", "1");
        call.header("authorization", &authorization)
    };
    let nobody = root.with_keys(Some(crate::harness::Keys::new("nobody", "guess")));
    put(authorization(&nobody, &text)).send().await.refused(403, "InvalidAccessKeyId");
    let other = text.replace("meta-a:1", "meta-a:2");
    put(authorization(&root, &other)).send().await.refused(403, "SignatureDoesNotMatch");
    root.get("b-1", "a b").await.refused(404, "NoSuchKey");
    put(authorization(&root, &text)).send().await.expect(200);
    let got = root.get("b-1", "a b").await.expect(200);
    assert_eq!((got.text().as_str(), got.header("x-amz-meta-b")), ("hello", Some("two words")));
}

#[tokio::test]
async fn a_header_meets_what_every_request_meets() {
    let (_server, root, bare) = served().await;
    root.put("b-1", "k", "hello").await.expect(200);
    let date = date(0);
    let call = |method: &str, path: &str, resource: &str| {
        let signed = authorization(&root, &format!("{method}\n\n\n{date}\n{resource}"));
        bare.call(method, path).header("date", &date).header("authorization", &signed)
    };
    // What s3s reads otherwise goes another way through the front, and keeps its caller.
    let part = call("GET", "/b-1/k", "/b-1/k").header("range", "bytes=3-1").send().await.expect(200);
    assert_eq!(part.text(), "hello");
    for resource in ["/b-1", "/b-1/"] {
        call("GET", "/b-1", resource).query("prefix", "k").send().await.expect(200);
    }
    call("DELETE", "/b-1", "/b-1?website").query("website", "").send().await.refused(403, "SignatureDoesNotMatch");
    call("DELETE", "/b-1", "/b-1").query("unknown", "").send().await.refused(501, "NotImplemented");
    let below = call("GET", "/k", "/b-1/k").spoil(|signed| signed.set_header("host", "b-1.s3.example.com"));
    assert_eq!(below.send().await.expect(200).text(), "hello");
    let framed = call("PUT", "/b-1/f", "/b-1/f").header("content-encoding", "aws-chunked").body("0\r\n\r\n");
    framed.send().await.refused(400, "InvalidRequest");
    let token = call("GET", "/b-1/k", "/b-1/k").header("x-amz-security-token", "t");
    token.send().await.refused(400, "InvalidToken");
    root.get("b-1", "f").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn the_time_of_a_header_is_the_servers() {
    let (_server, root, bare) = served().await;
    let get = |date: &str, own: Option<&str>| {
        let line = own.map_or_else(|| format!("{date}\n"), |own| format!("\nx-amz-date:{own}\n"));
        let call = bare.call("GET", "/b-1").header("date", date);
        let call = call.header("authorization", &authorization(&root, &format!("GET\n\n\n{line}/b-1")));
        match own {
            Some(own) => call.header("x-amz-date", own),
            None => call,
        }
    };
    let now = date(0);
    get(&now, None).send().await.expect(200);
    get(&date(-800), None).send().await.expect(200);
    get("yesterday", Some(&now)).send().await.expect(200);
    for (own, code) in [
        ("", "AccessDenied"),
        ("Bad Date", "AccessDenied"),
        ("Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
        ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("Tue, 07 Jul 9999 21:53:04 GMT", "RequestTimeTooSkewed"),
    ] {
        get(&now, Some(own)).send().await.refused(403, code);
    }
    for seconds in [-1000, 1000] {
        get(&date(seconds), None).send().await.refused(403, "RequestTimeTooSkewed");
    }
    let undated = bare.call("GET", "/b-1").header("authorization", &authorization(&root, "GET\n\n\n\n/b-1"));
    undated.send().await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn a_signed_url_of_the_second_version_works_until_it_expires() {
    let (_server, root, bare) = served().await;
    let call = |method: &'static str, query: String| {
        bare.call(method, "/b-1/k").spoil(move |signed| signed.target = format!("{}?{query}", signed.target))
    };
    call("PUT", url(&root, "PUT", "/b-1/k", 60)).body("hello").send().await.expect(200);
    assert_eq!(call("GET", url(&root, "GET", "/b-1/k", 100_000)).send().await.expect(200).text(), "hello");
    let late = call("GET", url(&root, "GET", "/b-1/k", -10)).send().await.refused(403, "AccessDenied");
    assert_eq!(late.elements("Message"), ["Request has expired"]);
    call("DELETE", url(&root, "GET", "/b-1/k", 60)).send().await.refused(403, "SignatureDoesNotMatch");
    let signed = url(&root, "GET", "/b-1/k?response-content-type=text/x-a", 60);
    let typed = call("GET", format!("response-content-type=text%2Fx-a&{signed}")).send().await.expect(200);
    assert_eq!(typed.header("content-type"), Some("text/x-a"));
    let added = format!("{}&response-content-type=text%2Fhtml", url(&root, "GET", "/b-1/k", 60));
    call("GET", added).send().await.refused(403, "SignatureDoesNotMatch");
    let half = url(&root, "GET", "/b-1/k", 60).replace("Expires", "expires");
    call("GET", half).send().await.refused(403, "AccessDenied");
    let twice = call("GET", url(&root, "GET", "/b-1/k", 60)).header("authorization", "AWS a:b");
    twice.send().await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn headers_in_a_signed_url_are_headers() {
    let (_server, root, bare) = served().await;
    let expires = now_plus(60).unix_timestamp();
    let text = format!("PUT\n\ntext/x-a\n{expires}\nx-amz-meta-a:1 2\n/b-1/k");
    let signature = escape(&signature(&root, &text), false);
    let access_key = &root.keys().expect("keys").access_key;
    let query = format!(
        "AWSAccessKeyId={access_key}&Signature={signature}&content-type=text%2Fx-a&x-amz-meta-a=1%202&Expires={expires}"
    );
    let put = bare.call("PUT", "/b-1/k").body("hello");
    put.spoil(|signed| signed.target = format!("{}?{query}", signed.target)).send().await.expect(200);
    let got = root.get("b-1", "k").await.expect(200);
    assert_eq!((got.header("content-type"), got.header("x-amz-meta-a")), (Some("text/x-a"), Some("1 2")));
}

#[tokio::test]
async fn policies_hold_for_whoever_signed() {
    let (server, root, bare) = served().await;
    root.put("b-1", "k", "hello").await.expect(200);
    let reader = server.user("reader", "readonly");
    let date = date(0);
    let call = |method: &str| {
        let signed = authorization(&reader, &format!("{method}\n\n\n{date}\n/b-1/k"));
        bare.call(method, "/b-1/k").header("date", &date).header("authorization", &signed)
    };
    assert_eq!(call("GET").send().await.expect(200).text(), "hello");
    call("DELETE").send().await.refused(403, "AccessDenied");
    call("PUT").body("other").send().await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn a_signed_url_is_logged_without_its_signature() {
    let server = Server::with(Options::default().config("[s3]\nsigv2 = true\naccess_log_seconds = 1\n"));
    let (root, bare) = (server.root(), server.anonymous());
    for bucket in ["b-1", "logs"] {
        root.create_bucket(bucket).await.expect(200);
    }
    logging::set(&root, &logging::enabled("logs", "")).await.expect(200);
    root.put("b-1", "k", "hello").await.expect(200);
    let signed = url(&root, "GET", "/b-1/k", 60);
    let (shown, signature) = signed.split_once("Signature=").expect("a signature");
    let query = signed.clone();
    let call = bare.call("GET", "/b-1/k").spoil(move |sent| sent.target = format!("{}?{query}", sent.target));
    call.send().await.expect(200);
    let lines = logging::lines(&root, &["REST.GET.OBJECT k "]).await;
    let line = lines.iter().find(|line| line.contains("REST.GET.OBJECT k ")).expect("the line of the URL");
    assert!(line.contains(&format!("\"GET /b-1/k?{shown}Signature=- HTTP/1.1\"")), "{line}");
    assert!(lines.iter().all(|line| !line.contains(signature)), "{lines:#?}");
    assert!(!server.log().contains(signature), "{}", server.log());
}
