//! Downloads: ranges and conditions that LoopBack answered wrongly, types, and what a browser may do with them.

use super::{Site, failed};

#[tokio::test]
async fn ranges_are_those_that_were_asked_for() {
    let site = Site::start();
    site.make("c").await;
    site.upload("c", "h.txt", "text/plain", "hello world").await.expect(200);
    let whole = site.get("/c/download/h.txt").await.expect(200);
    assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), (Some("11"), Some("bytes")));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    let etag = format!("\"{}\"", whole.etag());
    let head = site.call("HEAD", "/c/download/h.txt").send().await.expect(200);
    assert_eq!(
        (head.header("content-length"), head.header("etag"), head.body.len()),
        (Some("11"), Some(etag.as_str()), 0)
    );
    let ask = |range: &str| site.call("GET", "/c/download/h.txt").header("range", range);
    for (range, told, text) in [
        ("bytes=2-4", "bytes 2-4/11", "llo"),
        ("bytes=6-", "bytes 6-10/11", "world"),
        ("bytes=0-4", "bytes 0-4/11", "hello"),
        ("bytes=-5", "bytes 6-10/11", "world"),
        ("bytes=6-99", "bytes 6-10/11", "world"),
        ("bytes=0-", "bytes 0-10/11", "hello world"),
    ] {
        let part = ask(range).send().await.expect(206);
        let length = text.len().to_string();
        assert_eq!((part.header("content-range"), part.text().as_str()), (Some(told), text), "{range}");
        assert_eq!(part.header("content-length"), Some(length.as_str()), "{range}");
    }
    for range in ["bytes=5-2", "pages=1", "bytes=1-2,4-5", "bytes=", "bytes=x-y", "bytes=--5"] {
        assert_eq!(ask(range).send().await.expect(200).text(), "hello world", "{range}");
    }
    for range in ["bytes=100-200", "bytes=11-", "bytes=-0", "bytes=99999999999999999999-"] {
        let none = ask(range).send().await.expect(416);
        assert_eq!(none.header("content-range"), Some("bytes */11"), "{range}");
    }
    assert_eq!(ask("bytes=0-0").header("if-range", &etag).send().await.expect(206).text(), "h");
    assert_eq!(ask("bytes=0-0").header("if-range", "\"x\"").send().await.expect(200).text(), "hello world");
    let with = |name: &str, value: &str| site.call("GET", "/c/download/h.txt").header(name, value);
    let same = with("if-none-match", &etag).send().await.expect(304);
    assert_eq!((same.body.len(), same.header("etag")), (0, Some(etag.as_str())));
    with("if-match", "\"x\"").send().await.expect(412);
    with("if-match", &etag).send().await.expect(200);
    let modified = whole.header("last-modified").expect("a date");
    with("if-modified-since", modified).send().await.expect(304);
    site.call("HEAD", "/c/download/none").send().await.expect(404);
    failed(&site.get("/c/download/..%2f..%2fetc%2fpasswd").await);
}

#[tokio::test]
async fn types_are_those_of_names_unless_another_was_given() {
    let site = Site::start();
    site.make("c").await;
    for (name, given, told) in [
        ("a.json", "application/json", "application/json; charset=utf-8"),
        ("b.js", "application/octet-stream", "application/javascript; charset=utf-8"),
        ("zzz", "application/octet-stream", "application/octet-stream"),
        ("html", "application/octet-stream", "text/html; charset=utf-8"),
        ("photo", "image/png", "image/png"),
        ("d.txt", "text/plain; charset=latin1", "text/plain; charset=latin1"),
    ] {
        site.upload("c", name, given, "x").await.expect(200);
        let got = site.get(&format!("/c/download/{name}")).await.expect(200);
        assert_eq!(got.header("content-type"), Some(told), "{name}");
        let rights = got.header("content-security-policy");
        assert_eq!(rights.is_some_and(|rights| rights.ends_with("sandbox")), name == "html", "{name}");
    }
    site.upload("c", "x.svg", "image/svg+xml", "<svg/>").await.expect(200);
    assert!(site.get("/c/download/x.svg").await.expect(200).header("content-security-policy").is_some());
}
