//! The nine methods, their forms and their refusals, as LoopBack 3 in production was seen to answer.

use serde_json::Value;

use super::{Site, body, failed, field, file, form, names, refused};

/// A body with its dates taken out.
fn dateless(text: &str) -> String {
    let mut parts = text.split("time\":\"");
    let first = parts.next().expect("a first").to_owned();
    parts.fold(first, |all, part| format!("{all}time\":\"T{}", part.get(24..).expect("a date")))
}

#[tokio::test]
async fn containers_come_and_go() {
    let site = Site::start();
    let empty = site.get("").await.expect(200);
    assert_eq!((empty.text().as_str(), empty.header("x-longshore")), ("[]", Some("1")));
    let json = |text: &str| site.call("POST", "").header("content-type", "application/json").body(text).send();
    let made = json(r#"{"name":"c1"}"#).await.expect(200);
    let shown = r#"{"name":"c1","size":0,"atime":"T","mtime":"T","ctime":"T"}"#;
    assert_eq!(dateless(&made.text()), shown);
    let date = body(&made)["mtime"].as_str().expect("a date").to_owned();
    assert!(date.len() == 24 && date.ends_with('Z') && date.contains('.'), "{date}");
    assert_eq!(made.header("content-type"), Some("application/json; charset=utf-8"));
    // By a form, too.
    let call = site.call("POST", "/").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(body(&call.body("x=1&name=c+%32").send().await.expect(200))["name"], "c 2");
    assert_eq!(names(&site.get("/").await.expect(200)), ["c 2", "c1"]);
    let got = site.get("/c1").await.expect(200);
    assert_eq!((got.text(), got.header("content-length")), (made.text(), made.header("content-length")));
    let head = site.call("HEAD", "/c1").send().await.expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), (got.header("content-length"), 0));
    assert_eq!(site.get("/c1/files").await.expect(200).text(), "[]");
    assert_eq!(site.call("DELETE", "/c1").send().await.expect(200).text(), "{}");
    refused(
        &site.get("/c1").await,
        404,
        r#"{"error":{"statusCode":404,"name":"Error","message":"ENOENT: no such file or directory, stat '/c1'","code":"ENOENT"}}"#,
    );
    // As there, the files of what is not there are none.
    assert_eq!(site.get("/c1/files").await.expect(200).text(), "[]");
    failed(&site.call("DELETE", "/c1").send().await);
    json(r#"{"name":"c3"}"#).await.expect(200);
    failed(&json(r#"{"name":"c3"}"#).await);
    failed(&json(r#"{"name":"c3","recursive":true}"#).await);
}

#[tokio::test]
async fn files_are_shown_without_what_is_beneath() {
    let site = Site::start();
    site.make("c1").await;
    site.upload("c1", "hello.txt", "text/plain", "hello world").await.expect(200);
    let root = site.server.root();
    root.put("c1", "a/b.txt", "deep").await.expect(200);
    let shown = r#"{"container":"c1","name":"hello.txt","size":11,"atime":"T","mtime":"T","ctime":"T"}"#;
    assert_eq!(dateless(&site.get("/c1/files/hello.txt").await.expect(200).text()), shown);
    assert_eq!(dateless(&site.get("/c1/files").await.expect(200).text()), format!("[{shown}]"));
    // A slash that is escaped is one of the key; a bare one leads nowhere.
    assert_eq!(body(&site.get("/c1/files/a%2Fb.txt").await.expect(200))["name"], "a/b.txt");
    assert_eq!(site.get("/c1/download/a%2fb.txt").await.expect(200).text(), "deep");
    refused(
        &site.get("/c1/files/a/b.txt").await,
        404,
        r#"{"error":{"statusCode":404,"name":"Error","message":"Shared class \"container\" has no method handling GET /c1/files/a/b.txt"}}"#,
    );
    // What a list does not show keeps its container, and what it shows stays with it.
    failed(&site.call("DELETE", "/c1").send().await);
    assert_eq!(site.files("c1").await, ["hello.txt"]);
    assert_eq!(site.call("DELETE", "/c1/files/a%2Fb.txt").send().await.expect(200).text(), "{}");
    failed(&site.call("DELETE", "/c1/files/a%2Fb.txt").send().await);
    failed(&site.call("DELETE", "/none/files/x").send().await);
    refused(
        &site.get("/c1/files/none.txt").await,
        404,
        r#"{"error":{"statusCode":404,"name":"Error","message":"ENOENT: no such file or directory, stat '/c1/none.txt'","code":"ENOENT"}}"#,
    );
    refused(
        &site.get("/c1/download/none.txt").await,
        404,
        r#"{"error":{"statusCode":404,"name":"Error","message":"File not found: none.txt","code":"ENOENT"}}"#,
    );
    assert_eq!(site.call("DELETE", "/c1").send().await.expect(200).text(), "{}");
    site.get("/c1").await.expect(404);
}

#[tokio::test]
async fn a_container_that_keeps_versions_is_not_emptied() {
    let site = Site::start();
    site.make("kept").await;
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    site.server.root().call("PUT", "/kept").query("versioning", "").body(versions).send().await.expect(200);
    site.upload("kept", "f", "text/plain", "1").await.expect(200);
    failed(&site.call("DELETE", "/kept").send().await);
    assert_eq!(site.files("kept").await, ["f"]);
}

#[tokio::test]
async fn bodies_that_name_no_container() {
    let site = Site::start();
    let json = |text: String| site.call("POST", "").header("content-type", "application/json").body(text).send();
    refused(
        &json("{\"name\":".to_owned()).await,
        400,
        r#"{"error":{"statusCode":400,"name":"SyntaxError","message":"Unexpected end of JSON input"}}"#,
    );
    for text in ["[1]", "3", "\"c\""] {
        let wanted = r#"{"error":{"statusCode":400,"name":"Error","message":"Value is not an object."}}"#;
        refused(&json(text.to_owned()).await, 400, wanted);
    }
    assert_eq!(json("{x}".to_owned()).await.status, 400);
    assert_eq!(json(format!("{}1{}", "[".repeat(9000), "]".repeat(9000))).await.status, 400);
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(110_000));
    let wanted = r#"{"error":{"statusCode":413,"name":"PayloadTooLargeError","message":"request entity too large"}}"#;
    refused(&json(long).await, 413, wanted);
    for text in ["", "{}", "null", r#"{"name":5}"#, r#"{"name":""}"#, r#"{"name":["a"]}"#] {
        failed(&json(text.to_owned()).await);
    }
    failed(&site.call("POST", "").send().await);
    failed(&site.call("POST", "").header("content-type", "text/plain").body("name=x").send().await);
    let twice = site.call("POST", "").header("content-type", "application/x-www-form-urlencoded").body("name=a&name=b");
    failed(&twice.send().await);
    assert_eq!(site.get("").await.expect(200).text(), "[]");
}

#[tokio::test]
async fn what_no_route_leads_to() {
    let site = Site::start();
    for (method, target, path) in [
        ("PUT", "/api/containers/c1", "PUT /c1"),
        ("DELETE", "/api/containers", "DELETE /"),
        ("GET", "/api/containers/c1/nothing?x=1", "GET /c1/nothing"),
        ("OPTIONS", "/api/containers/c1", "OPTIONS /c1"),
        ("GET", "/api/containers//files", "GET //files"),
    ] {
        let answer = site.bare(method, target).header("authorization", &site.token).send().await;
        let wanted = format!(
            r#"{{"error":{{"statusCode":404,"name":"Error","message":"Shared class \"container\" has no method handling {path}"}}}}"#
        );
        refused(&answer, 404, &wanted);
    }
    let wanted =
        r#"{"error":{"statusCode":404,"name":"Error","message":"There is no method to handle GET /nosuchthings"}}"#;
    refused(&site.bare("GET", "/api/nosuchthings").send().await, 404, wanted);
    // A method that is written in a header is none.
    let call = site.call("POST", "/c1").header("x-http-method-override", "DELETE").header("x-http-method", "DELETE");
    call.send().await.expect(404);
    refused(
        &site.get("/a%zz").await,
        400,
        r#"{"error":{"statusCode":400,"name":"URIError","message":"Failed to decode param 'a%zz'"}}"#,
    );
    site.make("q").await;
    for target in
        ["/api/containers/q/", "/api//containers/q", "/API/Containers/q/FILES", "/api/containers/q/files/?filter=x"]
    {
        site.bare("GET", target).header("authorization", &site.token).send().await.expect(200);
    }
    // Other interfaces of the listener are where they were.
    site.bare("GET", "/healthz").send().await.expect(200);
    assert!(site.bare("GET", "/version").send().await.expect(200).text().starts_with("longshore "));
}

#[tokio::test]
async fn answers_come_in_the_form_that_is_asked_for() {
    let site = Site::start();
    site.make("c1").await;
    site.upload("c1", "h<&.txt", "text/plain", "hello").await.expect(200);
    let with = |accept: &str, below: &str| site.call("GET", below).header("accept", accept).send();
    let plain = with("text/plain", "/c1").await.expect(406);
    assert_eq!(
        (plain.text().as_str(), plain.header("content-type")),
        ("Not Acceptable", Some("text/plain; charset=utf-8"))
    );
    // What was not done needs no undoing.
    let call = site.call("POST", "").header("accept", "text/plain").header("content-type", "application/json");
    call.body(r#"{"name":"c2"}"#).send().await.expect(406);
    site.get("/c2").await.expect(404);
    let script = with("text/javascript", "/c1/files?callback=f%3Cx%3E.g").await.expect(200);
    assert!(script.text().starts_with("/**/ typeof fx.g === 'function' && fx.g([{\"container\":"), "{}", script.text());
    assert!(script.text().ends_with("}]);"), "{}", script.text());
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    let xml = site.get("/c1/files?_format=xml").await.expect(200);
    assert_eq!(xml.header("content-type"), Some("text/xml; charset=utf-8"));
    let begins = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<response>\n  <result>\n    <container>c1</container>\n    <name>h&lt;&amp;.txt</name>\n    <size>5</size>";
    assert!(xml.text().starts_with(begins) && xml.text().ends_with("</result>\n</response>"), "{}", xml.text());
    site.get("/c1?_format=yaml").await.expect(406);
    // A download is what it is.
    with("application/json", "/c1/download/h%3C&.txt").await.expect(200);
    let page = with("text/html,*/*;q=0.1", "/%3Cscript%3E").await.expect(404);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("/&lt;script&gt;") && !page.text().contains("<script"), "{}", page.text());
    let xml = with("text/xml", "/c0").await.expect(404);
    assert!(
        xml.text().starts_with("<?xml version='1.0'?>\n<error>\n    <statusCode>404</statusCode>"),
        "{}",
        xml.text()
    );
}

#[tokio::test]
async fn answers_have_weak_tags() {
    let site = Site::start();
    let list = site.get("").await.expect(200);
    // The sum of "[]", as Express tells it.
    assert_eq!(list.header("etag"), Some("W/\"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w\""));
    let again = |tag: &str| site.call("GET", "").header("if-none-match", tag).send();
    let same = again("W/\"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w\"").await.expect(304);
    assert_eq!((same.body.len(), same.header("content-type")), (0, None));
    again("\"x\"").await.expect(200);
    site.make("c").await;
    again("W/\"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w\"").await.expect(200);
}

#[tokio::test]
async fn mounts_are_where_the_configuration_says() {
    let site = Site::with(
        "[[loopback.mount]]\npath = \"/rest/imageContainers\"\nallowed_content_types = [\"image/png\"]\nmax_file_size = 5\n\
         name_conflict = \"makeUnique\"\ndebug = true\n[[loopback.mount]]\npath = \"/plain\"\n",
    );
    site.bare("GET", "/api/containers").send().await.expect(404);
    let call = |method: &str, target: &str| site.bare(method, target).header("authorization", &site.token);
    let made = call("POST", "/plain").header("content-type", "application/json").body(r#"{"name":"c"}"#);
    made.send().await.expect(200);
    let put = |text: String| {
        let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
        call("POST", "/rest/imageContainers/c/upload").header("content-type", &kind).body(text).send()
    };
    let told = body(&put(form(&[file("f", "pic.tar.gz", "image/png", "12345")])).await.expect(200));
    let entry = &told["result"]["files"]["f"][0];
    let name = entry["name"].as_str().expect("a name");
    assert!(name.len() == 39 && name.ends_with(".gz"), "{name}");
    assert_eq!((&entry["originalFilename"], &entry["size"]), (&Value::from("pic.tar.gz"), &Value::from(5)));
    let text = put(form(&[file("f", "p", "image/png", "123456")])).await.expect(500).text();
    assert!(text.contains("maxFileSize exceeded"), "{text}");
    let text = put(form(&[file("f", "p", "text/plain", "1")])).await.expect(500).text();
    assert!(text.contains(r#"contentType \"text/plain\" is not allowed (Must be in [image/png])"#), "{text}");
    let text = put(form(&[field("a", "b")])).await.expect(400).text();
    assert!(text.contains("No file content uploaded"), "{text}");
    assert_eq!(names(&call("GET", "/plain/c/files").send().await.expect(200)), [name]);
    let text = call("DELETE", "/rest/ImageContainers").send().await.expect(404).text();
    assert!(text.contains(r#"Shared class \"imageContainer\""#), "{text}");
    assert!(call("DELETE", "/rest/imageContainers/c/files/none").send().await.expect(500).text().contains("ENOENT"));
    call("GET", "/rest/others").send().await.expect(404);
}

#[tokio::test]
async fn a_long_list_is_sent_as_it_is_read() {
    let site = Site::start();
    let dir = site.server.data().join("long");
    std::fs::create_dir_all(&dir).expect("a directory");
    for number in 0..10_500 {
        std::fs::write(dir.join(format!("f{number:05}")), "").expect("a file");
    }
    let list = site.get("/long/files").await.expect(200);
    assert_eq!((list.header("content-length"), list.header("etag")), (None, None));
    let names = names(&list);
    assert_eq!((names.len(), names[0].as_str(), names[10_499].as_str()), (10_500, "f00000", "f10499"));
    assert!(names.is_sorted());
    let xml = site.get("/long/files?_format=xml").await.expect(200).text();
    assert_eq!(xml.matches("<result>").count(), 10_500);
    assert!(xml.ends_with("\n</response>"));
}
