//! Names that lead elsewhere, by every way in which a name comes: nothing outside its container is touched, and the server
//! goes on.

use super::{Site, file, form};

/// As they are sent in a path.
const IN_PATHS: [&str; 14] = [
    "..",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    ".",
    "%2e",
    "..%2f",
    "..%2F..%2Fother",
    "..%5c..%5cother",
    "%2e%2e%2fother%2ff",
    "a%2f..%2ff",
    "f%2f.%2e",
    "%00",
    "f%00",
];

#[tokio::test]
async fn names_in_paths() {
    let site = Site::start();
    site.make("one").await;
    site.make("other").await;
    site.upload("one", "f", "text/plain", "1").await.expect(200);
    site.upload("other", "f", "text/plain", "2").await.expect(200);
    for name in IN_PATHS {
        for (method, below) in [
            ("GET", format!("/{name}")),
            ("DELETE", format!("/{name}")),
            ("GET", format!("/{name}/files")),
            ("GET", format!("/{name}/files/f")),
            ("GET", format!("/one/files/{name}")),
            ("GET", format!("/one/download/{name}")),
            ("DELETE", format!("/one/files/{name}")),
            ("DELETE", format!("/{name}/files/f")),
            ("GET", format!("/{name}/download/f")),
        ] {
            let status = site.call(method, &below).send().await.status;
            assert_eq!(status, 500, "{method} {below}");
        }
        let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
        let upload = site.call("POST", &format!("/{name}/upload")).header("content-type", &kind);
        assert_eq!(upload.body(form(&[file("f", "x", "text/plain", "1")])).send().await.status, 500, "{name}");
    }
    // Decoded once, and no more.
    for name in ["%252e%252e", "..%252f", "%25"] {
        site.call("GET", &format!("/one/files/{name}")).send().await.expect(404);
    }
    assert_eq!((site.files("one").await, site.files("other").await), (vec!["f".to_owned()], vec!["f".to_owned()]));
    assert_eq!(site.get("/other/download/f").await.expect(200).text(), "2");
}

#[tokio::test]
async fn names_in_bodies_and_forms() {
    let site = Site::start();
    site.make("one").await;
    let long = "x".repeat(101);
    for name in ["..", ".", "../x", "..\\x", "x/y", "/x", "", "a\0b", "a\nb", ".longshore", ".LONGSHORE", &long] {
        let body = serde_json::json!({ "name": name }).to_string();
        let call = site.call("POST", "").header("content-type", "application/json").body(body);
        assert_eq!(call.send().await.status, 500, "{name:?}");
        let body = format!("name={}", name.bytes().map(|b| format!("%{b:02x}")).collect::<String>());
        let call = site.call("POST", "").header("content-type", "application/x-www-form-urlencoded").body(body);
        assert_eq!(call.send().await.status, 500, "{name:?}");
    }
    let long = "x".repeat(1025);
    for name in ["..", ".", "../x", "x/y", "/x", "a/../b", "..\\..", "x\\..", ".longshore", &long, "%22/x"] {
        let status = site.form("one", form(&[file("f", name, "text/plain", "1")])).await.status;
        assert_eq!(status, 500, "{name:?}");
    }
    for name in ["a\rb", "a\nb", "a\0b"] {
        assert_eq!(site.form("one", form(&[file("f", name, "text/plain", "1")])).await.status, 500, "{name:?}");
    }
    assert!(site.files("one").await.is_empty());
    assert_eq!(super::names(&site.get("").await.expect(200)), ["one"]);
    let above: Vec<_> = std::fs::read_dir(site.server.data()).expect("a directory").collect();
    assert_eq!(above.len(), 2, "{above:?}");
    // Names that are only odd come back as they went.
    for name in ["a b", "ü", "#?&", "'", "a..", "…", "\u{202e}x"] {
        site.upload("one", name, "text/plain", name).await.expect(200);
        let escaped: String = name.bytes().map(|b| format!("%{b:02X}")).collect();
        assert_eq!(site.get(&format!("/one/download/{escaped}")).await.expect(200).text(), name);
        assert!(site.files("one").await.contains(&name.to_owned()), "{name:?}");
    }
}

#[tokio::test]
async fn types_that_would_break_headers_are_not_kept() {
    let site = Site::start();
    site.make("one").await;
    for kind in ["text/plain\u{1}", "téxt/plain", "text/plain\u{7f}"] {
        site.upload("one", "f", kind, "x").await.expect(200);
        let got = site.get("/one/download/f").await.expect(200);
        assert_eq!(got.header("content-type"), Some("application/octet-stream"), "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_ends_nothing() {
    let site = Site::start();
    site.make("one").await;
    let long = "x".repeat(20_000);
    site.call("GET", "/one").header("x-long", &long).send().await.expect(431);
    site.bare("GET", &format!("/api/containers/{long}")).send().await.expect(414);
    let many: String = (0..1500).map(|n| format!("a{n}=1&")).collect();
    assert!([200, 414].contains(&site.call("GET", &format!("/one?{many}")).send().await.status));
    for accept in ["", ",,,;;;q=", "*/*;q=nan", "a/b;q=1e99,*/*", &"*/*,".repeat(2000)] {
        let status = site.call("GET", "/one").header("accept", accept).send().await.status;
        assert!([200, 406].contains(&status), "{accept:.40} {status}");
    }
    let lengthless = format!(
        "POST /api/containers/one/upload HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: multipart/form-data; \
         boundary=b\r\ncontent-length: 1000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"cut\"\r\n\r\nx",
        site.token
    );
    site.rest.raw(lengthless.as_bytes()).await;
    assert!(site.files("one").await.is_empty());
}
