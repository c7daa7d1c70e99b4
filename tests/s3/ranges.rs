//! Parts of an object by range.

use super::served;

#[tokio::test]
async fn ranges_are_read_as_http_has_them() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "0123456789").await.expect(200);
    for (range, status, body, content_range) in [
        ("bytes=0-4", 206, "01234", Some("bytes 0-4/10")),
        ("bytes=4-", 206, "456789", Some("bytes 4-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=0-0", 206, "0", Some("bytes 0-0/10")),
        // What is not understood is ignored.
        ("bytes=5-2", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("bytes=abc", 200, "0123456789", None),
        ("items=0-1", 200, "0123456789", None),
    ] {
        let answer = root.call("GET", "/b-1/k").header("range", range).send().await.expect(status);
        assert_eq!((answer.text().as_str(), answer.header("content-range")), (body, content_range), "{range}");
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{range}");
        let head = root.call("HEAD", "/b-1/k").header("range", range).send().await.expect(status);
        assert_eq!((head.body.len(), head.header("content-range")), (0, content_range), "{range}");
        assert_eq!(head.header("content-length"), answer.header("content-length"), "{range}");
    }
}

#[tokio::test]
async fn a_range_outside_the_object_is_told_its_size() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "0123456789").await.expect(200);
    root.put("b-1", "empty", "").await.expect(200);
    for (key, range, size) in
        [("k", "bytes=10-", 10), ("k", "bytes=-0", 10), ("empty", "bytes=0-", 0), ("empty", "bytes=-1", 0)]
    {
        let call = root.call("GET", &format!("/b-1/{key}")).header("range", range);
        let answer = call.send().await.refused(416, "InvalidRange");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{size}").as_str()), "{range}");
        assert_eq!(answer.elements("ActualObjectSize"), [size.to_string()]);
        assert_eq!(answer.elements("RangeRequested"), [range]);
    }
}
