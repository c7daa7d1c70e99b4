//! Moves of files and directories.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Site, body, done, refused};
use crate::harness::Client;

#[tokio::test]
async fn a_file_keeps_what_it_is() {
    let site = Site::start();
    let ann = site.user("ann", &[]);
    let made = json!({"name": "a.txt", "contents": "x", "header": "h", "cache": "no-store", "mime": "text/x-a"});
    done(&site.call(Some(&ann), "newItem", "", made).await, true);
    let before = body(&site.act("getItem", "a.txt", json!({})).await);
    done(&site.call(Some(&ann), "move", "a.txt", json!({"path": "/a.txt", "newpath": "/b.txt"})).await, true);
    let after = body(&site.act("getItem", "b.txt", json!({})).await);
    for name in ["header", "cache", "mime", "ctime", "size"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(body(&site.act("getOwner", "b.txt", json!({})).await)["owner"], "ann");
    done(&site.act("move", "b.txt", json!({"newpath": "b.txt"})).await, true);
    site.directory("d").await;
    done(&site.act("move", "b.txt", json!({"newpath": "/d/"})).await, true);
    assert_eq!(site.names("d").await, ["b.txt"]);
    site.file("c.txt", "y").await;
    for (path, new, status, message, invalid) in [
        ("c.txt", "/d/b.txt", 409, "exists", &[][..]),
        ("c.txt", "/d", 409, "exists", &[]),
        ("c.txt", "/none/", 404, "not_found", &[]),
        ("none", "/x", 404, "not_found", &[]),
        ("c.txt", "", 422, "invalid_parameter", &["newpath"]),
        ("c.txt", "/../x", 422, "invalid_parameter", &["newpath"]),
        ("c.txt", "/@list", 422, "invalid_parameter", &["name"]),
        ("d", "/d/e", 422, "invalid_parameter", &["newpath"]),
        ("", "/x", 422, "invalid_path", &["path"]),
    ] {
        refused(&site.act("move", path, json!({"newpath": new})).await, status, message, invalid);
    }
    done(&site.act("move", "d/b.txt", json!({"newpath": "b.txt"})).await, true);
    // A directory whose last item went stays.
    assert_eq!(site.names("").await, ["b.txt", "c.txt", "d/"]);
}

#[tokio::test]
async fn a_directory_goes_with_all_that_is_in_it() {
    let site = Site::start();
    site.directory("d").await;
    site.directory("d/empty").await;
    for path in ["d/a", "d/b"] {
        site.file(path, path).await;
    }
    site.server.root().put("mystorage", "d/x/y", "deep").await.expect(200);
    let said = json!({"permissions": [{"permission": "read", "groups": ["readers"], "action": "replace"}]});
    done(&site.act("setPermissions", "d/a", said).await, true);
    done(&site.act("move", "d", json!({"newpath": "/e"})).await, true);
    let keys = site.server.root().keys_of("mystorage", "").await;
    assert_eq!(keys, ["e/", "e/a", "e/b", "e/empty/", "e/x/y"]);
    refused(&site.call(None, "read", "e/a", json!({})).await, 403, "forbidden", &[]);
    assert_eq!(site.act("read", "e/x/y", json!({})).await.text(), "deep");
    // What comes to be at the old path has nothing of what was there.
    site.directory("d").await;
    site.file("d/a", "new").await;
    assert_eq!(site.call(None, "read", "d/a", json!({})).await.expect(200).text(), "new");
}

/// Killed in the middle of moving a directory, a server goes on with it.
#[tokio::test]
async fn a_directory_on_its_way_comes_there_after_a_crash() {
    const ITEMS: usize = 300;
    let mut site = Site::start();
    let root = site.server.root();
    // Every other one lies there without having come through the server.
    std::fs::create_dir_all(site.server.data().join("mystorage/d")).expect("a directory");
    for n in 0..ITEMS {
        let text = format!("text {n}");
        match n % 2 {
            0 => drop(root.put("mystorage", &format!("d/{n:04}"), text).await.expect(200)),
            _ => std::fs::write(site.server.data().join(format!("mystorage/d/{n:04}")), text).expect("written"),
        }
    }
    site.server.run(&["scan"]);
    let (rest, admin) = (Client::new(site.server.rest, None), site.admin.clone());
    let moving = tokio::spawn(async move {
        let call = rest.call("POST", "/mystorage/api/d/@move").header("x-auth-token", &admin);
        let call = call.header("content-type", "application/json").body("{\"newpath\":\"/e\"}");
        rest.attempt(call.signed()).await
    });
    let until = Instant::now() + Duration::from_secs(30);
    while root.keys_of("mystorage", "e/").await.len() < 20 {
        assert!(Instant::now() < until, "nothing moves");
    }
    site.server.kill();
    let _ = moving.await;
    let server = site.server.restart();
    let root = server.root();
    let until = Instant::now() + Duration::from_secs(60);
    while !root.keys_of("mystorage", "d/").await.is_empty() {
        assert!(Instant::now() < until, "it does not come there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let keys = root.keys_of("mystorage", "").await;
    assert_eq!(keys.len(), ITEMS, "{keys:?}");
    for n in [0, 1, ITEMS / 2, ITEMS - 1] {
        let answer = root.get("mystorage", &format!("e/{n:04}")).await.expect(200);
        assert_eq!(answer.text(), format!("text {n}"));
    }
}
