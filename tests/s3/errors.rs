//! The shape of errors, as whole documents.

use super::served;
use crate::harness::{Answer, Keys};

/// The document with what changes from run to run masked.
fn masked(answer: &Answer) -> String {
    let id = answer.header("x-amz-request-id").expect("an id").to_owned();
    assert_eq!(answer.elements("RequestId"), std::slice::from_ref(&id), "the id of the header is that of the body");
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    answer.text().replace(&id, "{ID}")
}

fn document(inner: &str) -> String {
    let tail = "<RequestId>{ID}</RequestId><HostId>longshore</HostId>";
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error>{inner}{tail}</Error>")
}

#[tokio::test]
async fn an_error_is_one_document_with_the_elements_of_its_code() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "0123456789").await.expect(200);
    let get = |path| root.call("GET", path);
    for (call, status, wanted) in [
        (
            get("/b-1/a b"),
            404,
            "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a b</Key>\
             <Resource>/b-1/a%20b</Resource>",
        ),
        (
            get("/none/k"),
            404,
            "<Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message>\
             <BucketName>none</BucketName><Resource>/none/k</Resource>",
        ),
        (
            get("/b-1/k").header("range", "bytes=10-"),
            416,
            "<Code>InvalidRange</Code><Message>The requested range is not satisfiable</Message>\
             <ActualObjectSize>10</ActualObjectSize><RangeRequested>bytes=10-</RangeRequested>\
             <Resource>/b-1/k</Resource>",
        ),
        (
            root.call("DELETE", "/b-1"),
            409,
            "<Code>BucketNotEmpty</Code><Message>The bucket you tried to delete is not empty</Message>\
             <BucketName>b-1</BucketName><Resource>/b-1</Resource>",
        ),
        (
            get("/b-1").query("max-keys", "<x>"),
            400,
            "<Code>InvalidArgument</Code><Message>invalid query: max-keys: &lt;x&gt;</Message>\
             <ArgumentName>max-keys</ArgumentName><ArgumentValue>&lt;x&gt;</ArgumentValue><Resource>/b-1</Resource>",
        ),
        (
            root.call("POST", "/b-1/k").query("uploadId", &"0".repeat(32)).body("<a"),
            400,
            "<Code>MalformedXML</Code><Message>The XML you provided was not well-formed or did not validate against our \
             published schema</Message><Resource>/b-1/k</Resource>",
        ),
    ] {
        let answer = call.send().await.expect(status);
        assert_eq!(masked(&answer), document(wanted));
    }
}

#[tokio::test]
async fn a_url_that_is_not_utf8_cannot_be_parsed() {
    let (_server, root) = served("b-1").await;
    let call = root.call("GET", "/b-1/x").spoil(|signed| signed.target = "/b-1/%AE%8A-".to_owned());
    let answer = call.send().await.refused(400, "InvalidURI");
    assert_eq!(answer.elements("Message"), ["Couldn't parse the specified URI."].map(|m| m.replace('\'', "&apos;")));
}

#[tokio::test]
async fn a_head_has_the_status_and_the_ids_and_nothing_more() {
    let (server, root) = served("b-1").await;
    for (client, path, status) in
        [(&root, "/b-1/none", 404), (&root, "/none", 404), (&server.anonymous(), "/b-1/k", 403)]
    {
        let answer = client.call("HEAD", path).send().await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
        assert!(answer.header("x-amz-request-id").is_some_and(|id| !id.is_empty()));
        assert!(answer.header("x-amz-id-2").is_some_and(|id| !id.is_empty()));
    }
}

#[tokio::test]
async fn a_method_that_a_resource_has_not_is_not_allowed() {
    let (server, root) = served("b-1").await;
    root.put("b-1", "k", "kept").await.expect(200);
    for (method, path, resource, allowed) in [
        ("POST", "/b-1/k", "OBJECT", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/b-1/k", "OBJECT", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/b-1", "BUCKET", "DELETE, GET, HEAD, POST, PUT"),
        ("HEAD", "/", "SERVICE", "GET"),
        ("PUT", "/", "SERVICE", "GET"),
        ("POST", "/", "SERVICE", "GET"),
        ("DELETE", "/", "SERVICE", "GET"),
    ] {
        let answer = root.call(method, path).send().await.expect(405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        if method != "HEAD" {
            let inner = format!(
                "<Code>MethodNotAllowed</Code><Message>The specified method is not allowed against this \
                 resource.</Message><Method>{method}</Method><ResourceType>{resource}</ResourceType>\
                 <Resource>{path}</Resource>"
            );
            assert_eq!(masked(&answer), document(&inner));
        }
    }
    // What S3 has and is not here, and what nobody has heard of.
    for (method, path, word) in
        [("POST", "/b-1/k", "restore"), ("POST", "/b-1/k", "select"), ("PUT", "/", "unheard-of")]
    {
        root.call(method, path).query(word, "").send().await.refused(501, "NotImplemented");
    }
    // The signature is looked at first.
    let stranger = root.with_keys(Some(Keys::new("nobody", "guess")));
    stranger.call("PUT", "/").send().await.refused(403, "InvalidAccessKeyId");
    server.anonymous().call("POST", "/b-1/k").send().await.refused(405, "MethodNotAllowed");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
}
