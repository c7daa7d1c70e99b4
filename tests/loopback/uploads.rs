//! Uploads: what is told of them, what is kept of those that fail, and what they may hold.

use super::{BOUNDARY, Site, body, failed, field, file, form, refused};

/// What is told of a whole form.
async fn told(site: &Site, parts: &[String]) -> String {
    site.form("c1", form(parts)).await.expect(200).text()
}

#[tokio::test]
async fn forms_are_told_of_as_loopback_does() {
    let site = Site::start();
    site.make("c1").await;
    let one = told(&site, &[file("file", "hello.txt", "text/plain", "hello world")]).await;
    assert_eq!(
        one,
        r#"{"result":{"files":{"file":[{"container":"c1","name":"hello.txt","type":"text/plain","field":"file","size":11}]},"fields":{}}}"#
    );
    let many = [
        field("note", "abc"),
        file("f1", "one.txt", "text/plain", "1"),
        field("note", "def"),
        file("f2", "two.bin", "application/octet-stream", "...."),
        field("z", ""),
    ];
    assert_eq!(
        told(&site, &many).await,
        r#"{"result":{"files":{"f1":[{"container":"c1","name":"one.txt","type":"text/plain","field":"f1","size":1}],"f2":[{"container":"c1","name":"two.bin","type":"application/octet-stream","field":"f2","size":4}]},"fields":{"note":["abc","def"],"z":[""]}}}"#
    );
    let same = [file("many", "m1.json", "application/json", "{}"), file("many", "m2.html", "text/html", "<p>")];
    assert_eq!(
        told(&site, &same).await,
        r#"{"result":{"files":{"many":[{"container":"c1","name":"m1.json","type":"application/json","field":"many","size":2},{"container":"c1","name":"m2.html","type":"text/html","field":"many","size":3}]},"fields":{}}}"#
    );
    let untyped = file("file", "notype", "x", "x").replace("\r\nContent-Type: x", "");
    assert_eq!(
        told(&site, &[untyped]).await,
        r#"{"result":{"files":{"file":[{"container":"c1","name":"notype","type":null,"field":"file","size":1}]},"fields":{}}}"#
    );
    // Of an empty file no size is told.
    assert_eq!(
        told(&site, &[file("file", "empty.txt", "text/plain", "")]).await,
        r#"{"result":{"files":{"file":[{"container":"c1","name":"empty.txt","type":"text/plain","field":"file"}]},"fields":{}}}"#
    );
    let names = ["empty.txt", "hello.txt", "m1.json", "m2.html", "notype", "one.txt", "two.bin"];
    assert_eq!(site.files("c1").await, names);
    // What is there is replaced, and is no longer than what replaces it.
    told(&site, &[file("file", "hello.txt", "text/plain", "bye")]).await;
    assert_eq!(site.get("/c1/download/hello.txt").await.expect(200).text(), "bye");
}

#[tokio::test]
async fn names_and_encodings_are_read_as_browsers_send_them() {
    let site = Site::start();
    site.make("c1").await;
    for (sent, kept) in [
        ("q%22q.txt", "q\"q.txt"),
        ("C:\\dir\\win.txt", "win.txt"),
        ("&#1071;.txt", "Я.txt"),
        ("ü ñ.txt", "ü ñ.txt"),
        ("%2e%2e", "%2e%2e"),
        ("a..b", "a..b"),
    ] {
        let told = body(&site.form("c1", form(&[file("f", sent, "text/plain", sent)])).await.expect(200));
        assert_eq!(told["result"]["files"]["f"][0]["name"], kept, "{sent}");
        assert!(site.files("c1").await.contains(&kept.to_owned()), "{sent}");
    }
    let encoded = file("f", "b64", "text/plain", "aGVsbG8gd29y\r\nbGQ=")
        .replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    site.form("c1", form(std::slice::from_ref(&encoded))).await.expect(200);
    assert_eq!(site.get("/c1/download/b64").await.expect(200).text(), "hello world");
    failed(&site.form("c1", form(&[encoded.replace("base64", "quoted-printable")])).await);
    failed(&site.form("c1", form(&[encoded.replace("bGQ=", "*")])).await);
    assert_eq!(site.get("/c1/download/b64").await.expect(200).text(), "hello world");
}

#[tokio::test]
async fn forms_without_a_file() {
    let site = Site::start();
    site.make("c1").await;
    let wanted = r#"{"error":{"statusCode":400,"name":"Error","message":"No file content uploaded"}}"#;
    refused(&site.form("c1", form(&[field("a", "b")])).await, 400, wanted);
    refused(&site.form("c1", form(&[file("f", "", "text/plain", "b")])).await, 400, wanted);
    refused(&site.form("c1", "").await, 400, wanted);
    // As the remote connector asks.
    refused(&site.call("POST", "/c1/upload").send().await, 400, wanted);
    for (kind, text) in [
        (None, "abc"),
        (Some("multipart/form-data"), "abc"),
        (Some("text/plain"), "abc"),
        (Some("application/json"), "{}"),
        (Some("multipart/form-data; boundary=XlbdiffX"), "abc"),
        (Some("multipart/form-data; boundary=XlbdiffX"), "--XlbdiffX\r\n\r\nx\r\n--XlbdiffX--"),
    ] {
        let call = site.call("POST", "/c1/upload").body(text);
        let call = if let Some(kind) = kind { call.header("content-type", kind) } else { call };
        failed(&call.send().await);
    }
    failed(&site.form("none", form(&[file("f", "x", "text/plain", "x")])).await);
    site.get("/none").await.expect(404);
    assert!(site.files("c1").await.is_empty());
}

#[tokio::test]
async fn a_form_that_fails_leaves_nothing_of_the_file_that_failed() {
    let site = Site::start();
    site.make("c1").await;
    site.upload("c1", "kept", "text/plain", "before").await.expect(200);
    let whole = file("f", "kept", "text/plain", "after");
    // Cut behind each of its bytes.
    for cut in 0..whole.len() {
        let status = site.form("c1", &whole.as_bytes()[..cut]).await.status;
        assert_eq!(status, if cut == 0 { 400 } else { 500 }, "{cut}");
    }
    for behind in ["", "--XlbdiffX", "--XlbdiffX\r\n", "--XlbdiffX\r\nContent-Disposition: x\r\n\r\n"] {
        failed(&site.form("c1", format!("{whole}{behind}")).await);
    }
    assert_eq!(site.get("/c1/download/kept").await.expect(200).text(), "before");
    // Files that were whole before the one that failed are there, as in LoopBack.
    let parts = [file("f", "first", "text/plain", "1"), file("f", "a/b", "text/plain", "2")];
    failed(&site.form("c1", form(&parts)).await);
    assert_eq!(site.files("c1").await, ["first", "kept"]);
}

#[tokio::test]
async fn files_have_a_size_and_fields_a_bound() {
    let site = Site::start();
    site.make("c1").await;
    let large = |bytes: usize| form(&[file("f", "large", "text/plain", &"x".repeat(bytes))]);
    failed(&site.form("c1", large(10 * 1024 * 1024 + 1)).await);
    assert!(site.files("c1").await.is_empty());
    site.form("c1", large(10 * 1024 * 1024)).await.expect(200);
    let ok = file("f", "large", "text/plain", "x");
    failed(&site.form("c1", form(&[field("a", &"x".repeat(1024 * 1024 + 1)), ok.clone()])).await);
    failed(&site.form("c1", form(&vec![field("a", ""); 1001])).await);
    failed(&site.form("c1", form(&[field(&"n".repeat(9000), ""), ok])).await);
    let head = format!("--{BOUNDARY}\r\n{}\r\n\r\n", vec!["X-Y: z"; 20].join("\r\n"));
    failed(&site.form("c1", head).await);
    let size = body(&site.get("/c1/files/large").await.expect(200))["size"].as_u64();
    assert_eq!(size, Some(10 * 1024 * 1024));
}
