//! What programs that know Longshore get: pages, tags, metadata, conditions; and requests that go in circles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{BOUNDARY, Site, body, file, form, names};
use crate::harness::Call;

fn knowing(call: Call<'_>) -> Call<'_> {
    call.header("x-longshore", "1")
}

#[tokio::test]
async fn lists_come_in_pages() {
    let site = Site::start();
    site.make("c").await;
    let root = site.server.root();
    for name in ["a", "a/x", "a/y", "b1", "b2", "b3", "ü"] {
        root.put("c", name, name).await.expect(200);
    }
    let page =
        async |query: &str| names(&knowing(site.call("GET", &format!("/c/files{query}"))).send().await.expect(200));
    assert_eq!(page("").await, ["a", "b1", "b2", "b3", "ü"]);
    assert_eq!(page("?limit=2").await, ["a", "b1"]);
    assert_eq!(page("?limit=2&after=b1").await, ["b2", "b3"]);
    assert_eq!(page("?limit=2&after=b3").await, ["ü"]);
    assert_eq!(page("?limit=9&prefix=b&after=b1").await, ["b2", "b3"]);
    assert_eq!(page("?prefix=a%2F").await, [""; 0]);
    assert_eq!(page("?limit=0").await, [""; 0]);
    assert_eq!(page("?prefix=%C3%BC").await, ["ü"]);
    for limit in ["-1", "x", "99999999999999999999999"] {
        knowing(site.call("GET", &format!("/c/files?limit={limit}"))).send().await.expect(400);
    }
    // Others get everything, as ever.
    assert_eq!(names(&site.get("/c/files?limit=2&after=b1&prefix=b").await.expect(200)).len(), 5);
}

#[tokio::test]
async fn files_come_with_all_that_is_known() {
    let site = Site::start();
    site.make("c").await;
    let root = site.server.root();
    let put = root.call("PUT", "/c/s3").header("x-amz-meta-colour", "blue").header("content-type", "text/x-odd");
    let etag = put.body("12345").send().await.expect(200).etag().to_owned();
    let file_of =
        async |name: &str| body(&knowing(site.call("GET", &format!("/c/files/{name}"))).send().await.expect(200));
    let shown = file_of("s3").await;
    assert_eq!((&shown["etag"], &shown["contentType"]), (&etag.into(), &"text/x-odd".into()));
    assert_eq!(shown["metadata"], serde_json::json!({"colour": "blue"}));
    assert_eq!(body(&knowing(site.call("GET", "/c/files")).send().await.expect(200))[0], shown);
    assert_eq!(body(&site.get("/c/files/s3").await.expect(200)).as_object().expect("an object").len(), 6);
    // Metadata goes in, too.
    let told = STANDARD.encode(r#"{"Size":"gröss"}"#);
    let part =
        file("f", "up", "text/plain", "1").replace("\r\n\r\n", &format!("\r\nX-Longshore-Metadata: {told}\r\n\r\n"));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let upload = |parts: &[String]| site.call("POST", "/c/upload").header("content-type", &kind).body(form(parts));
    let entry = body(&knowing(upload(std::slice::from_ref(&part))).send().await.expect(200));
    let shown = file_of("up").await;
    assert_eq!(entry["result"]["files"]["f"][0]["etag"], shown["etag"]);
    assert_eq!(shown["metadata"], serde_json::json!({"size": "gröss"}));
    let wrong = file("f", "no", "text/plain", "1").replace("\r\n\r\n", "\r\nX-Longshore-Metadata: ?\r\n\r\n");
    knowing(upload(std::slice::from_ref(&wrong))).send().await.expect(400);
    // From others it is a line like any other.
    upload(&[wrong]).send().await.expect(200);
    assert_eq!(file_of("no").await["metadata"], serde_json::json!({}));
    let got = knowing(site.call("GET", "/c/download/up")).send().await.expect(200);
    assert_eq!(got.header("content-type"), Some("text/plain"));
    // What went wrong is told by its code.
    let failed = body(&knowing(site.call("DELETE", "/c/files/none")).send().await.expect(500));
    assert_eq!(failed["error"]["code"], "ENOENT");
}

#[tokio::test]
async fn writes_and_removals_have_conditions() {
    let site = Site::start();
    site.make("c").await;
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let put = async |name: &str, value: &str, parts: &[String]| {
        let call = knowing(site.call("POST", "/c/upload")).header("content-type", &kind).header(name, value);
        call.body(form(parts)).send().await
    };
    let one = [file("f", "f", "text/plain", "1")];
    assert_eq!(put("if-match", "*", &one).await.status, 412);
    put("if-none-match", "*", &one).await.expect(200);
    assert_eq!(put("if-none-match", "*", &one).await.status, 412);
    assert_eq!(put("if-match", "\"x\"", &one).await.status, 412);
    let etag = site.get("/c/download/f").await.expect(200).header("etag").expect("a tag").to_owned();
    put("if-match", &etag, &[file("f", "f", "text/plain", "22")]).await.expect(200);
    assert_eq!(put("if-match", &etag, &one).await.status, 412);
    let two = [file("f", "n1", "text/plain", "1"), file("f", "n2", "text/plain", "1")];
    assert_eq!(put("if-none-match", "*", &two).await.status, 400);
    let remove = |value: &str| knowing(site.call("DELETE", "/c/files/f")).header("if-match", value).send();
    assert_eq!(remove(&etag).await.status, 412);
    let etag = site.get("/c/download/f").await.expect(200).header("etag").expect("a tag").to_owned();
    // From others a condition is none.
    site.call("DELETE", "/c/files/n1").header("if-match", "\"x\"").send().await.expect(200);
    remove(&etag).await.expect(200);
    assert_eq!(remove(&etag).await.status, 412);
}

#[tokio::test]
async fn a_request_that_has_come_by_is_not_passed_on() {
    let site = Site::start();
    site.make("c").await;
    let mark = std::fs::read(site.server.data().join("c/.longshore/id")).expect("a mark");
    let mark: serde_json::Value = serde_json::from_slice(&mark).expect("JSON");
    let own = mark["catalog"].as_str().expect("an id").to_owned();
    let via = |value: &str| site.call("GET", "").header("via", value).send();
    let circle = via(&format!("1.1 proxy, 1.1 longshore-{own}")).await;
    assert_eq!((circle.status, circle.header("x-longshore")), (508, Some("1")));
    assert_eq!(circle.text(), r#"{"error":{"statusCode":508,"message":"Loop Detected"}}"#);
    for other in ["1.1 longshore-other", "1.1 proxy", "", "longshore", &format!("1.1 longshore-{own}x")] {
        via(other).await.expect(200);
    }
}
