//! Requests that depend on what is there.

use super::served;

const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FUTURE: &str = "Fri, 01 Jan 2199 00:00:00 GMT";

#[tokio::test]
async fn reads_follow_the_order_of_http() {
    let (_server, root) = served("b-1").await;
    let etag = root.put("b-1", "k", "x").await.expect(200).etag().to_owned();
    let quoted = format!("\"{etag}\"");
    let list = format!("\"a\", {quoted}");
    let modified = root.head("b-1", "k").await.expect(200).header("last-modified").expect("a date").to_owned();
    for (headers, status) in [
        (&[("if-match", quoted.as_str())][..], 200),
        (&[("if-match", etag.as_str())], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", list.as_str())], 200),
        (&[("if-match", "\"no\"")], 412),
        (&[("if-none-match", quoted.as_str())], 304),
        (&[("if-none-match", list.as_str())], 304),
        (&[("if-none-match", "\"no\"")], 200),
        (&[("if-modified-since", PAST)], 200),
        (&[("if-modified-since", &modified)], 304),
        (&[("if-modified-since", FUTURE)], 304),
        (&[("if-unmodified-since", PAST)], 412),
        (&[("if-unmodified-since", &modified)], 200),
        // The tag is stronger than the date.
        (&[("if-match", quoted.as_str()), ("if-unmodified-since", PAST)], 200),
        (&[("if-none-match", "\"no\""), ("if-modified-since", FUTURE)], 200),
        // The two older forms of a date, and what is none.
        (&[("if-unmodified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], 412),
        (&[("if-unmodified-since", "Sun Nov  6 08:49:37 1994")], 412),
        (&[("if-unmodified-since", "yesterday")], 200),
    ] {
        for method in ["GET", "HEAD"] {
            let mut call = root.call(method, "/b-1/k");
            for (name, value) in headers {
                call = call.header(name, value);
            }
            let answer = call.send().await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
            if status == 304 {
                assert!(answer.body.is_empty());
                assert_eq!((answer.etag(), answer.header("last-modified")), (etag.as_str(), Some(modified.as_str())));
            }
        }
    }
}

#[tokio::test]
async fn writes_and_deletes_depend_on_what_is_there() {
    let (_server, root) = served("b-1").await;
    let put = |name, value, body: &'static str| root.call("PUT", "/b-1/k").header(name, value).body(body).send();
    put("if-match", "\"a\"", "0").await.refused(404, "NoSuchKey");
    put("if-match", "*", "0").await.refused(404, "NoSuchKey");
    let first = put("if-none-match", "*", "1").await.expect(200);
    put("if-none-match", "*", "2").await.refused(412, "PreconditionFailed");
    put("if-match", "\"a\"", "2").await.refused(412, "PreconditionFailed");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "1");
    let second = put("if-match", first.etag(), "2").await.expect(200);
    let delete = |etag| root.call("DELETE", "/b-1/k").header("if-match", etag).send();
    delete(first.etag()).await.refused(412, "PreconditionFailed");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "2");
    delete(second.etag()).await.expect(204);
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn one_of_many_creators_wins() {
    let (_server, root) = served("b-1").await;
    let create = |i: usize| root.call("PUT", "/b-1/k").header("if-none-match", "*").body(format!("{i}")).send();
    let answers = futures_util::future::join_all((0..16).map(create)).await;
    let won: Vec<usize> = (0..16).filter(|i| answers[*i].status == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [200, 409, 412].contains(&answer.status)), "{answers:?}");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), won[0].to_string());
}
