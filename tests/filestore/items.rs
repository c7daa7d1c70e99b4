//! Items: made, read, changed, removed, in every form of request.

use serde_json::json;

use super::{Site, body, done, refused};

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(head, text): &(&str, &str)| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    format!("{}--b--\r\n", parts.iter().map(part).collect::<String>())
}

#[tokio::test]
async fn an_item_is_told_with_all_that_is_known() {
    let site = Site::start();
    let made = json!({
        "path": "/", "name": "a.txt", "contents": "hello", "type": "f", "mime": "text/plain",
        "header": "{\"X-A\":\"1\"}", "cache": "max-age=60",
    });
    done(&site.act("newItem", "", made).await, true);
    let told = body(&site.call(None, "getItem", "a.txt", json!({"path": "/a.txt"})).await.expect(200));
    for (name, value) in [
        ("name", json!("a.txt")),
        ("type", json!("f")),
        ("size", json!(5)),
        ("mime", json!("text/plain")),
        ("header", json!("{\"X-A\":\"1\"}")),
        ("cache", json!("max-age=60")),
    ] {
        assert_eq!(told[name], value, "{told}");
    }
    for date in ["mtime", "ctime"] {
        let text = told[date].as_str().expect("a date");
        assert!(text.len() == 19 && &text[4..5] == "/" && &text[10..11] == " ", "{text}");
    }
    // Other fronts see the same.
    let s3 = site.server.root().get("mystorage", "a.txt").await.expect(200);
    assert_eq!((s3.text().as_str(), s3.header("content-type")), ("hello", Some("text/plain")));
    assert_eq!(s3.header("cache-control"), Some("max-age=60"));
    assert_eq!(s3.header("x-amz-meta-nive-header"), Some("eyJYLUEiOiIxIn0="));
    // The file itself is sent with them.
    let view = site.request(None, "GET", "/mystorage/a.txt").send().await.expect(200);
    assert_eq!((view.text().as_str(), view.header("x-a")), ("hello", Some("1")));
    assert_eq!((view.header("cache-control"), view.header("content-type")), (Some("max-age=60"), Some("text/plain")));
    assert_eq!(view.header("x-content-type-options"), Some("nosniff"));
    let missing = site.call(None, "getItem", "b.txt", json!({})).await;
    refused(&missing, 404, "not_found", &[]);
    let root = body(&site.call(None, "getItem", "", json!({})).await.expect(200));
    assert_eq!((&root["name"], &root["type"], &root["size"]), (&json!(""), &json!("d"), &json!(0)));
}

#[tokio::test]
async fn every_form_of_address_and_parameters_is_read() {
    let site = Site::start();
    site.file("index.html", "<p>").await;
    let get = |path: &'static str| site.request(None, "GET", path).send();
    for path in ["/mystorage/index.html/@getItem", "/mystorage/api/index.html/@getItem"] {
        assert_eq!(body(&get(path).await.expect(200))["size"], 3, "{path}");
    }
    let call = site.request(None, "GET", "/mystorage/api/getItem").query("path", "/index.html");
    assert_eq!(body(&call.send().await.expect(200))["mime"], "text/html");
    let call = site.request(None, "GET", "/mystorage/@getItem").query("{\"path\":\"/index.html\"}", "");
    let answer = call.send().await;
    // The client sends the object alone; this harness puts an equals sign behind it.
    assert!(answer.status == 200, "{}", answer.text());
    for path in ["/mystorage/index.html", "/mystorage/api/index.html", "/mystorage/index.html/@read"] {
        assert_eq!(get(path).await.expect(200).text(), "<p>", "{path}");
    }
    done(&get("/mystorage/api/ping").await, 1);
    done(&site.act("ping", "", json!({"path": "/"})).await, 1);
    let faked = site.act("ping", "", json!({"fake": 422})).await;
    assert_eq!((faked.status, body(&faked)), (422, json!({"result": 0})));
    let fields = "path=%2F&name=b.txt&contents=a+b%26";
    let call = site.request(Some(&site.admin), "POST", "/mystorage/api/newItem");
    let call = call.header("content-type", "application/x-www-form-urlencoded").body(fields);
    done(&call.send().await, true);
    assert_eq!(get("/mystorage/b.txt").await.text(), "a b&");
    let parts = form(&[
        ("name=\"path\"", "/"),
        ("name=\"file\"; filename=\"C:\\dir\\c.txt\"", "of a form"),
        ("name=\"cache\"", "no-store"),
    ]);
    let call = site.request(Some(&site.admin), "POST", "/mystorage/api/@newItem");
    let call = call.header("content-type", "multipart/form-data; boundary=b").body(parts);
    done(&call.send().await, true);
    let c = get("/mystorage/c.txt").await.expect(200);
    assert_eq!((c.text().as_str(), c.header("cache-control")), ("of a form", Some("no-store")));
    // A page does not change anything by an address that is only shown, and a file is only read.
    let answer = get("/mystorage/b.txt/@removeItem").await;
    refused(&answer, 405, "method_not_allowed", &[]);
    refused(&site.request(None, "POST", "/mystorage/b.txt").send().await, 405, "method_not_allowed", &[]);
    assert_eq!(get("/nothing/b.txt/@getItem").await.status, 404);
    // The `[` of a name that is no function is a file's.
    refused(&get("/mystorage/b.txt/@frobnicate").await, 404, "not_found", &[]);
}

#[tokio::test]
async fn items_are_made_once_and_where_a_directory_is() {
    let site = Site::start();
    site.directory("folder").await;
    done(&site.act("newItem", "folder/index.html", json!({"path": "/folder/index.html", "contents": "x"})).await, true);
    let empty = json!({"name": "e.txt", "type": null, "contents": null, "mime": null, "header": null, "decode": false});
    done(&site.act("newItem", "folder", empty).await, true);
    assert_eq!(site.names("folder").await, ["e.txt", "index.html"]);
    for (path, body, status, message, invalid) in [
        ("folder", json!({"name": "index.html"}), 409, "exists", &[][..]),
        ("", json!({"name": "folder"}), 409, "exists", &[]),
        ("", json!({"name": "folder", "type": "d"}), 409, "exists", &[]),
        ("none", json!({"name": "a"}), 404, "not_found", &[]),
        ("folder/index.html", json!({"name": "a"}), 422, "not_a_directory", &["path"]),
        ("", json!({}), 422, "invalid_parameter", &["name"]),
        ("", json!({"name": "@list"}), 422, "invalid_parameter", &["name"]),
        ("", json!({"name": "a/b"}), 422, "invalid_parameter", &["name"]),
        ("", json!({"name": "x", "type": "link"}), 422, "invalid_parameter", &["type"]),
        ("", json!({"name": "x", "type": "d", "contents": "y"}), 422, "invalid_parameter", &["contents"]),
        ("", json!({"name": "x", "mime": "html"}), 422, "invalid_parameter", &["mime"]),
        ("", json!({"name": "x", "contents": "*", "decode": true}), 422, "invalid_parameter", &["contents"]),
    ] {
        refused(&site.act("newItem", path, body).await, status, message, invalid);
    }
    assert_eq!(site.names("").await, ["folder/"]);
    // To S3 the mark of a directory is an ordinary object.
    let keys = site.server.root().keys_of("mystorage", "").await;
    assert_eq!(keys, ["folder/", "folder/e.txt", "folder/index.html"]);
    // What S3 writes makes a directory here.
    site.server.root().put("mystorage", "deep/er/file", "x").await.expect(200);
    assert_eq!(site.names("deep").await, ["er/"]);
    let many: Vec<_> = (0..8).map(|_| site.act("newItem", "", json!({"name": "once", "contents": "x"}))).collect();
    let answers = futures_util::future::join_all(many).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn items_are_changed_and_what_is_not_said_stays() {
    let site = Site::start();
    site.file("a.txt", "one").await;
    let before = body(&site.act("getItem", "a.txt", json!({})).await);
    let none = json!({"contents": null, "mime": null, "header": null, "decode": null});
    done(&site.act("setItem", "a.txt", none).await, true);
    done(&site.act("setItem", "a.txt", json!({"header": "origin=local", "cache": "no-cache"})).await, true);
    done(&site.act("setItem", "a.txt", json!({"contents": "dHdv", "decode": true})).await, true);
    let told = body(&site.act("getItem", "a.txt", json!({})).await);
    assert_eq!(
        (&told["header"], &told["cache"], &told["mime"]),
        (&json!("origin=local"), &json!("no-cache"), &json!("text/plain"))
    );
    assert_eq!(told["ctime"], before["ctime"]);
    assert_eq!(site.request(None, "GET", "/mystorage/a.txt").send().await.text(), "two");
    // The Python client uploads raw bytes, JSON too.
    let put = site.request(Some(&site.admin), "PUT", "/mystorage/api/a.txt/@write");
    done(&put.header("content-type", "application/json").body("{\"path\":\"/b\"}").send().await, true);
    let told = body(&site.act("getItem", "a.txt", json!({})).await);
    assert_eq!((&told["mime"], &told["size"]), (&json!("application/json"), &json!(13)));
    assert_eq!(told["header"], "origin=local");
    done(&site.request(Some(&site.admin), "PUT", "/mystorage/api/a.txt/@write").body("raw").send().await, true);
    assert_eq!(body(&site.act("getItem", "a.txt", json!({})).await)["mime"], "application/json");
    done(&site.act("write", "a.txt", json!({"path": "/a.txt", "contents": "z"})).await, true);
    done(&site.act("setItem", "a.txt", json!({"contents": "", "header": ""})).await, true);
    let told = body(&site.act("getItem", "a.txt", json!({})).await);
    assert_eq!((&told["size"], &told["header"]), (&json!(0), &json!("")));
    refused(&site.act("write", "none.txt", json!({"contents": "z"})).await, 404, "not_found", &[]);
    refused(&site.act("write", "a.txt", json!({})).await, 422, "invalid_parameter", &["contents"]);
    refused(&site.act("setItem", "none.txt", json!({})).await, 404, "not_found", &[]);
    site.directory("d").await;
    refused(&site.act("write", "d", json!({"contents": "z"})).await, 422, "not_a_file", &["contents"]);
    refused(&site.act("read", "d", json!({})).await, 422, "not_a_file", &[]);
    assert_eq!(site.names("").await, ["a.txt", "d/"]);
}

#[tokio::test]
async fn items_are_removed_and_counted() {
    let site = Site::start();
    site.directory("d").await;
    site.directory("d/e").await;
    for path in ["d/a", "d/e/b", "c"] {
        site.file(path, "x").await;
    }
    site.server.root().put("mystorage", "d/f/g/h", "x").await.expect(200);
    refused(&site.act("removeItem", "d", json!({})).await, 422, "not_empty", &[]);
    refused(&site.act("removeItem", "", json!({"recursive": true})).await, 422, "invalid_path", &["path"]);
    refused(&site.act("removeItem", "none", json!({})).await, 404, "not_found", &[]);
    done(&site.act("removeItem", "d", json!({"path": "/d", "recursive": true})).await, 7);
    assert_eq!(site.names("").await, ["c"]);
    done(&site.act("removeItem", "c", json!({"recursive": true})).await, 1);
    assert_eq!(site.server.root().keys_of("mystorage", "").await, [""; 0]);
    // A directory that loses its last item stays.
    site.server.root().put("mystorage", "x/y/z", "x").await.expect(200);
    done(&site.act("removeItem", "x/y/z", json!({})).await, 1);
    assert_eq!(site.names("x").await, ["y/"]);
    done(&site.act("removeItem", "x/y", json!({})).await, 1);
    done(&site.act("removeItem", "x", json!({})).await, 1);
}

#[tokio::test]
async fn files_are_sent_in_parts_and_only_when_they_changed() {
    let site = Site::start();
    site.file("a.txt", "0123456789").await;
    let get = || site.request(None, "GET", "/mystorage/a.txt");
    let whole = get().send().await.expect(200);
    let etag = whole.header("etag").expect("an ETag").to_owned();
    let part = get().header("range", "bytes=2-4").send().await.expect(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("234", Some("bytes 2-4/10")));
    assert_eq!(get().header("range", "bytes=50-").send().await.status, 416);
    let held = |tag: &str| get().header("range", "bytes=2-4").header("if-range", tag);
    assert_eq!(held(&etag).send().await.expect(206).text(), "234");
    assert_eq!(held("\"other\"").send().await.expect(200).text(), "0123456789");
    assert_eq!(held(&etag).header("if-match", &etag).send().await.expect(206).text(), "234");
    held(&etag).header("if-match", "\"other\"").send().await.expect(412);
    assert_eq!(get().header("if-none-match", &etag).send().await.status, 304);
    let read = site.request(None, "POST", "/mystorage/a.txt/@read").header("range", "bytes=2-4");
    assert_eq!(read.header("if-none-match", &etag).send().await.expect(200).text(), "0123456789");
    let head = site.request(None, "HEAD", "/mystorage/a.txt").send().await.expect(200);
    assert_eq!(head.header("content-length"), Some("10"));
    // A directory shows its index, at an address that ends in a slash.
    site.directory("d").await;
    assert_eq!(site.request(None, "GET", "/mystorage/d/").send().await.status, 404);
    site.file("d/index.html", "<p>").await;
    let moved = site.request(None, "GET", "/mystorage/d").send().await.expect(302);
    assert_eq!(moved.header("location"), Some("/mystorage/d/"));
    assert_eq!(site.request(None, "GET", "/mystorage/d/").send().await.expect(200).text(), "<p>");
}

#[tokio::test]
async fn limits_of_a_service_hold_for_every_front() {
    let site = Site::start();
    let call = |function: &str, body: serde_json::Value| {
        let call = site.request(Some(&site.admin), "POST", &format!("/small/api/@{function}"));
        call.header("content-type", "application/json").body(body.to_string()).send()
    };
    for name in ["a", "b", "c"] {
        done(&call("newItem", json!({"name": name, "contents": "x"})).await, true);
    }
    refused(&call("newItem", json!({"name": "d", "contents": "x".repeat(1000)})).await, 413, "storage_limit", &[]);
    site.server.root().put("small-bucket", "s3", "x").await.expect(200);
    refused(&call("newItem", json!({"name": "d"})).await, 413, "storage_limit", &[]);
    assert_ne!(site.server.root().put("small-bucket", "more", "x").await.status, 200);
    site.server.root().delete("small-bucket", "s3").await.expect(204);
    done(&call("newItem", json!({"name": "d", "type": "d"})).await, true);
    done(&call("removeItem", json!({"path": "/a"})).await, 1);
    done(&call("newItem", json!({"path": "d", "name": "e", "type": "d"})).await, true);
    done(&call("removeItem", json!({"path": "/b"})).await, 1);
    done(&call("newItem", json!({"path": "d/e", "name": "f"})).await, true);
    done(&call("removeItem", json!({"path": "/c"})).await, 1);
    refused(&call("newItem", json!({"path": "d/e/f", "name": "g"})).await, 422, "not_a_directory", &["path"]);
    refused(&call("move", json!({"path": "d/e/f", "newpath": "d/e/x/y"})).await, 404, "not_found", &[]);
    done(&call("newItem", json!({"path": "", "name": "x", "type": "d"})).await, true);
    refused(&call("move", json!({"path": "d", "newpath": "x/d"})).await, 413, "too_many_levels", &[]);
}
