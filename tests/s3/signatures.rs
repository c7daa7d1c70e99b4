//! Signatures in headers and in URLs.

use time::macros::format_description;

use super::{request, send, served};
use crate::harness::{Auth, Keys};

#[tokio::test]
async fn a_signed_url_works_for_as_long_as_it_says() {
    let (_server, root) = served("b-1").await;
    let put = root.call("PUT", "/b-1/k").auth(Auth::Presigned(60)).body("hello");
    put.send().await.expect(200);
    let get = || root.call("GET", "/b-1/k");
    assert_eq!(get().auth(Auth::Presigned(604_800)).send().await.expect(200).text(), "hello");
    let late = get().at(-100).auth(Auth::Presigned(10)).send().await.refused(403, "AccessDenied");
    assert_eq!(late.elements("Message"), ["Request has expired"]);
    for seconds in [0, -1, 604_801] {
        get().auth(Auth::Presigned(seconds)).send().await.refused(403, "AccessDenied");
    }
    get().at(2000).auth(Auth::Presigned(60)).send().await.refused(403, "RequestTimeTooSkewed");
    let other = get().auth(Auth::Presigned(60)).spoil(|signed| signed.target = signed.target.replace("/k?", "/j?"));
    other.send().await.refused(403, "SignatureDoesNotMatch");
    let half = get().auth(Auth::Presigned(60)).spoil(|signed| {
        signed.target = signed.target.replace("X-Amz-Signature", "x-other");
    });
    half.send().await.refused(400, "AuthorizationQueryParametersError");
}

#[tokio::test]
async fn keys_secrets_and_times_are_verified() {
    let (_server, root) = served("b-1").await;
    let list = |keys: Keys| {
        let client = root.with_keys(Some(keys));
        async move { client.call("GET", "/b-1").send().await }
    };
    let own = root.keys().expect("keys").clone();
    list(Keys::new("nobody", &own.secret)).await.refused(403, "InvalidAccessKeyId");
    list(Keys::new(&own.access_key, "guess")).await.refused(403, "SignatureDoesNotMatch");
    for seconds in [-1000, 1000] {
        root.call("GET", "/b-1").at(seconds).send().await.refused(403, "RequestTimeTooSkewed");
    }
    let body = root.call("PUT", "/b-1/k").body("hello").spoil(|signed| signed.body = b"jello".to_vec());
    body.send().await.refused(400, "XAmzContentSHA256Mismatch");
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
    root.with_keys(None).call("GET", "/b-1").send().await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn the_time_may_stand_in_the_date() {
    let (server, root) = served("b-1").await;
    let forms = [
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"),
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] -0000"),
    ];
    for form in forms {
        for (shift, status) in [(0, 200), (1, 403)] {
            let mut request = request(&server.s3.to_string(), "GET", "/b-1");
            let date = (request.at + time::Duration::seconds(shift)).format(form).expect("a date");
            request.headers.push(("date".to_owned(), date));
            request.unsigned.push("x-amz-date".to_owned());
            let mut signed = request.sign(root.keys());
            signed.headers.retain(|(name, _)| name != "x-amz-date");
            assert_eq!(root.send(signed).await.status, status, "another time makes another signature");
        }
    }
}

#[tokio::test]
async fn what_a_signature_says_of_itself_must_fit() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "kept").await.expect(200);
    let date = root.call("GET", "/b-1").signed().header("x-amz-date").expect("signed").to_owned();
    let malformed = "AuthorizationHeaderMalformed";
    for (name, from, to, status, code) in [
        ("authorization", "Credential=", "", 400, malformed),
        ("authorization", "SignedHeaders=", "", 400, malformed),
        ("authorization", "aws4_request", "aws5_request", 400, malformed),
        ("authorization", "/s3/", "/sqs/", 400, malformed),
        ("authorization", &date[..8], "20200101", 400, malformed),
        ("authorization", "Signature=", "Signature=0", 403, "SignatureDoesNotMatch"),
        ("x-amz-date", &date[..8], "20200101", 400, malformed),
        ("x-amz-date", &date[..8], "yesterday", 403, "AccessDenied"),
        ("x-amz-content-sha256", "e3b0", "junk", 400, "InvalidArgument"),
    ] {
        for method in ["DELETE", "HEAD"] {
            let call = root.call(method, "/b-1/k").spoil(|signed| {
                let value = signed.header(name).expect("sent").replacen(from, to, 1);
                signed.set_header(name, &value);
            });
            let answer = call.send().await.expect(status);
            assert!(method == "HEAD" || answer.code() == code, "{name}: {to}: {}", answer.text());
        }
    }
    let call = root.call("DELETE", "/b-1/k").spoil(|signed| signed.headers.retain(|(name, _)| name != "x-amz-date"));
    let timeless = call.send().await.refused(403, "AccessDenied");
    let message = "AWS authentication requires a valid Date or x-amz-date header";
    assert_eq!(timeless.elements("Message"), [message]);
    // Nobody's request has no signature that could be wrong.
    let nobody = root.with_keys(None);
    nobody.call("GET", "/b-1/k").header("x-amz-content-sha256", "junk").send().await.refused(403, "AccessDenied");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
}

#[tokio::test]
async fn every_metadata_header_must_be_signed() {
    let (server, root) = served("b-1").await;
    let mut request = request(&server.s3.to_string(), "PUT", "/b-1/k");
    request.headers.push(("x-amz-meta-a".to_owned(), "1".to_owned()));
    request.unsigned.push("x-amz-meta-a".to_owned());
    send(&root, request).await.refused(403, "AccessDenied");
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
}
