//! Hostile and broken requests: each is refused by name, and changes nothing.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Site, body, refused};

/// A function, its parameters, and which of them is found to be wrong.
type Case = (&'static str, Value, &'static str);

fn cases() -> Vec<Case> {
    [of_items(), of_rights()].concat()
}

fn of_items() -> Vec<Case> {
    let long = "x".repeat(300);
    let deep = "x/".repeat(600);
    vec![
        ("getItem", json!({"path": 1}), "path"),
        ("getItem", json!({"path": ["/a"]}), "path"),
        ("getItem", json!({"path": "/../a"}), "path"),
        ("getItem", json!({"path": "/a\u{0}"}), "path"),
        ("getItem", json!({"path": "/a\\b"}), "path"),
        ("getItem", json!({"path": deep}), "path"),
        ("getItem", json!({"path": "/.longshore/id"}), "path"),
        ("newItem", json!({"name": 7}), "name"),
        ("newItem", json!({"name": long}), "name"),
        ("newItem", json!({"name": ".."}), "name"),
        ("newItem", json!({"name": "a\nb"}), "name"),
        ("newItem", json!({}), "name"),
        ("newItem", json!({"name": null, "contents": null}), "name"),
        ("newItem", json!({"name": "x/y"}), "name"),
        ("newItem", json!({"name": "x\u{7f}"}), "name"),
        ("newItem", json!({"name": "@getItem"}), "name"),
        ("newItem", json!({"path": "/a", "name": "x"}), "path"),
        ("newItem", json!({"name": "x", "type": 1}), "type"),
        ("newItem", json!({"name": "x", "type": "socket"}), "type"),
        ("newItem", json!({"name": "x", "type": "d", "contents": "y"}), "contents"),
        ("newItem", json!({"name": "x", "decode": [true]}), "decode"),
        ("newItem", json!({"name": "x", "mime": "text/".to_owned() + &"x".repeat(300)}), "mime"),
        ("newItem", json!({"name": "x", "cache": {"max-age": 1}}), "cache"),
        ("newItem", json!({"name": "x", "contents": {"a": 1}}), "contents"),
        ("newItem", json!({"name": "x", "contents": "a", "decode": "perhaps"}), "decode"),
        ("newItem", json!({"name": "x", "contents": "%%%%", "decode": true}), "contents"),
        ("newItem", json!({"name": "x", "mime": "text/html\r\nx: y"}), "mime"),
        ("newItem", json!({"name": "x", "mime": ["a/b"]}), "mime"),
        ("newItem", json!({"name": "x", "header": "a\r\nSet-Cookie: x"}), "header"),
        ("newItem", json!({"name": "x", "header": "{broken"}), "header"),
        ("newItem", json!({"name": "x", "header": "h".repeat(5000)}), "header"),
        ("newItem", json!({"name": "x", "header": 5}), "header"),
        ("newItem", json!({"name": "x", "cache": "c".repeat(300)}), "cache"),
        ("newItem", json!({"name": "x", "cache": "a\nb"}), "cache"),
        ("setItem", json!({"path": "/a", "contents": "*", "decode": "1"}), "contents"),
        ("setItem", json!({"path": "/a", "mime": "x"}), "mime"),
        ("removeItem", json!({"path": "/a", "recursive": "maybe"}), "recursive"),
        ("removeItem", json!({"path": "/a", "recursive": [true]}), "recursive"),
        ("write", json!({"path": "/a"}), "contents"),
        ("write", json!({"path": "/a", "contents": null}), "contents"),
        ("write", json!({"path": "/a", "contents": 5}), "contents"),
        ("move", json!({"path": "/a"}), "newpath"),
        ("move", json!({"path": "/a", "newpath": null}), "newpath"),
        ("move", json!({"path": "/a", "newpath": 5}), "newpath"),
        ("move", json!({"path": "/a", "newpath": "b/../../c"}), "newpath"),
        ("list", json!({"path": "/", "size": -5}), "size"),
        ("list", json!({"path": "/", "size": 1.5}), "size"),
        ("list", json!({"path": "/", "size": true}), "size"),
        ("list", json!({"path": "/", "start": {}}), "start"),
        ("list", json!({"path": "/", "sort": ["name"]}), "sort"),
        ("list", json!({"path": "/", "order": "&lt;"}), "order"),
        ("list", json!({"path": "/", "type": ""}), "type"),
        ("list", json!({"path": "/a"}), "path"),
        ("list", json!({"path": "/", "start": "9999999999999999999999"}), "start"),
    ]
}

fn of_rights() -> Vec<Case> {
    vec![
        ("allowed", json!({"permission": {"a": 1}}), "permission"),
        ("setPermissions", json!({"path": "/a"}), "permissions"),
        ("setPermissions", json!({"path": "/a", "permissions": []}), "permissions"),
        ("setPermissions", json!({"path": "/a", "permissions": null}), "permissions"),
        ("setPermissions", json!({"path": "/a", "permissions": "read"}), "permissions"),
        ("setPermissions", json!({"path": "/a", "permissions": ["read"]}), "permissions"),
        ("setPermissions", json!({"path": "/a", "permissions": [{}]}), "permission"),
        ("setPermissions", json!({"path": "/a", "permissions": {"permission": ["read"], "groups": "x"}}), "permission"),
        ("setPermissions", json!({"path": "/a", "permissions": {"permission": "read", "groups": [1]}}), "groups"),
        (
            "setPermissions",
            json!({"path": "/a", "permissions": {"permission": "read", "groups": "g".repeat(129)}}),
            "groups",
        ),
        ("setPermissions", json!({"path": "/a", "permissions": {"permission": "read", "groups": "a\nb"}}), "groups"),
        (
            "setPermissions",
            json!({"path": "/a", "permissions": {"permission": "read", "groups": "x", "action": 1}}),
            "action",
        ),
        ("setPermissions", json!({"path": "/a", "permissions": {"permission": "read"}}), "groups"),
        ("setPermissions", json!({"path": "/a", "permissions": {"permission": "read", "groups": []}}), "groups"),
        (
            "setPermissions",
            json!({"path": "/a", "permissions": {"permission": "read", "groups": ["sys:other"]}}),
            "groups",
        ),
        (
            "setPermissions",
            json!({"path": "/a", "permissions": {"permission": "read", "groups": "x", "action": "no"}}),
            "action",
        ),
        ("setOwner", json!({"path": "/a"}), "owner"),
        ("setOwner", json!({"path": "/a", "owner": null}), "owner"),
        ("setOwner", json!({"path": "/a", "owner": ["boss"]}), "owner"),
        ("setOwner", json!({"path": "/a", "owner": ""}), "owner"),
        ("setOwner", json!({"path": "/a", "owner": "o".repeat(500)}), "owner"),
        ("ping", json!({"fake": 99}), "fake"),
        ("ping", json!({"fake": 600}), "fake"),
        ("ping", json!({"fake": "soon"}), "fake"),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_changes() {
    let site = Site::start();
    site.file("a", "x").await;
    let before = body(&site.act("getItem", "a", json!({})).await);
    for (function, asked, name) in cases() {
        let call = site.request(Some(&site.admin), "POST", &format!("/mystorage/api/{function}"));
        let answer = call.header("content-type", "application/json").body(asked.to_string()).send().await;
        assert_eq!(answer.status, 422, "{function} {asked}: {}", answer.text());
        assert_eq!(body(&answer)["invalid"], json!([name]), "{function} {asked}: {}", answer.text());
    }
    assert_eq!(site.names("").await, ["a"]);
    assert_eq!(body(&site.act("getItem", "a", json!({})).await), before);
}

/// Each function with what else it needs.
fn functions() -> Vec<(&'static str, Value)> {
    let said = json!({"permissions": {"permission": "read", "groups": "x"}});
    vec![
        ("getItem", json!({})),
        ("newItem", json!({"name": "new"})),
        ("setItem", json!({"contents": "changed"})),
        ("removeItem", json!({"recursive": true})),
        ("read", json!({})),
        ("write", json!({"contents": "changed"})),
        ("move", json!({"newpath": "/elsewhere"})),
        ("list", json!({})),
        ("allowed", json!({})),
        ("getPermissions", json!({})),
        ("setPermissions", said),
        ("getOwner", json!({})),
        ("setOwner", json!({"owner": "boss"})),
    ]
}

#[tokio::test]
async fn a_hostile_path_is_named_by_every_function() {
    let site = Site::start();
    site.directory("d").await;
    site.file("d/a", "x").await;
    let deep = "d/".repeat(600);
    let post = |function: &str, kind: &str, text: String| {
        let call = site.request(Some(&site.admin), "POST", &format!("/mystorage/api/{function}"));
        call.header("content-type", kind).body(text).send()
    };
    for (function, needed) in functions() {
        for path in [
            json!(1),
            json!(true),
            json!({}),
            json!([]),
            json!(["/d/a"]),
            json!("/d/../d/a"),
            json!("./d/a"),
            json!("/d/a\u{0}"),
            json!("/d/a\u{7f}"),
            json!("/d\\a"),
            json!(deep),
            json!("x".repeat(256)),
            json!("/.longshore/id"),
            json!("/.LONGSHORE/id"),
        ] {
            let mut asked = needed.clone();
            asked["path"] = path.clone();
            let answer = post(function, "application/json", asked.to_string()).await;
            let told = body(&answer);
            let folded = path == json!("/.LONGSHORE/id") && [404, 200, 422].contains(&answer.status);
            assert!(folded || answer.status == 422, "{function} {path}: {}", answer.text());
            assert!(folded || told["invalid"] == json!(["path"]), "{function} {path}: {told}");
        }
        let twice = post(function, "application/x-www-form-urlencoded", "path=/d/a&path=/d/a".to_owned()).await;
        assert_eq!(twice.status, 422, "{function}: {}", twice.text());
    }
    for paths in [&["/d/a", "/d/a"][..], &["\0"], &[".."], &["d\\a"]] {
        let call = site.request(Some(&site.admin), "GET", "/mystorage/api/getItem");
        let answer = paths.iter().fold(call, |call, path| call.query("path", path)).send().await;
        assert_eq!((answer.status, &body(&answer)["invalid"]), (422, &json!(["path"])), "{paths:?}: {}", answer.text());
    }
    assert_eq!(site.act("read", "d/a", json!({})).await.text(), "x");
    assert_eq!((site.names("").await, site.names("d").await), (vec!["d/".to_owned()], vec!["a".to_owned()]));
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let site = Site::start();
    let post = |kind: &str, text: &str| {
        let call = site.request(Some(&site.admin), "POST", "/mystorage/api/@newItem");
        call.header("content-type", kind).body(text).send()
    };
    let (deep, bom) = (format!("{{\"name\":{}", "[".repeat(20_000)), "\u{feff}{\"name\":\"x\"}");
    let broken =
        ["{", "[]", "5", "\"x\"", "{\"name\":\"x\"}x", "{\"name\":\"\\ud800\"}", "{\"size\":1e999}", &deep, bom];
    for text in broken {
        refused(&post("application/json", text).await, 422, "invalid_json", &[]);
    }
    let raw =
        site.request(Some(&site.admin), "POST", "/mystorage/api/@newItem").header("content-type", "application/json");
    refused(&raw.body(b"{\"name\":\"\xff\"}".to_vec()).send().await, 422, "invalid_json", &[]);
    refused(&post("application/x-www-form-urlencoded", "name=a&name=b").await, 422, "invalid_parameter", &["name"]);
    for text in ["", "--b", "--b\r\nx", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx"] {
        let answer = post("multipart/form-data; boundary=b", text).await;
        assert!(answer.status == 422 || answer.status == 400, "{text}: {}", answer.text());
    }
    assert_eq!(post("multipart/form-data", "x").await.status, 422);
    let late = "--b\r\nContent-Disposition: form-data; name=\"contents\"; filename=\"f\"\r\n\r\nx\r\n\
        --b\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/d\r\n--b--\r\n";
    refused(&post("multipart/form-data; boundary=b", late).await, 422, "invalid_parameter", &["contents"]);
    let large = format!("{{\"name\":\"x\",\"contents\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
    refused(&post("application/json", &large).await, 413, "storage_limit", &[]);
    // A body of bytes is decoded while it comes.
    site.file("raw", "x").await;
    let put = site.request(Some(&site.admin), "PUT", "/mystorage/raw/@write").query("decode", "true");
    refused(&put.body("aGVsbG8*").send().await, 422, "invalid_parameter", &["contents"]);
    assert_eq!(site.act("read", "raw", json!({})).await.text(), "x");
    let put = site.request(Some(&site.admin), "PUT", "/mystorage/raw/@write").query("decode", "true");
    put.body("aGVsbG8").send().await.expect(200);
    assert_eq!(site.act("read", "raw", json!({})).await.text(), "hello");
    for text in ["=", "a", "aGVsbG8=aGVs", "aGVsbG8==", "aGVsbG8====", "aGVs\u{e9}"] {
        let put = site.request(Some(&site.admin), "PUT", "/mystorage/raw/@write").query("decode", "true");
        refused(&put.body(text).send().await, 422, "invalid_parameter", &["contents"]);
        let asked = json!({"contents": text, "decode": true});
        refused(&site.act("write", "raw", asked).await, 422, "invalid_parameter", &["contents"]);
    }
    assert_eq!(site.act("read", "raw", json!({})).await.text(), "hello");
    assert_eq!(site.names("").await, ["raw"]);
}

#[tokio::test]
async fn hostile_addresses_lead_nowhere() {
    let site = Site::start();
    for path in [
        "/mystorage/../small/@list",
        "/mystorage/%2e%2e/x/@getItem",
        "/mystorage/a%2f..%2fb/@getItem",
        "/mystorage/a%00/@getItem",
        "/mystorage/%ff/@getItem",
        "/mystorage/.longshore/id",
        "/mystorage/api/.longshore/@list",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut socket = TcpStream::connect(site.server.rest).await.expect("a connection");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(["422", "404", "400"].contains(&status.as_str()), "{path}: {answer}");
    }
}
