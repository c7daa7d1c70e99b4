//! Permissions and owners, on every front.

use serde_json::{Value, json};

use super::{Site, body, done, refused};

fn grant(permission: &str, groups: &[&str], action: &str) -> Value {
    json!({"permissions": {"permission": permission, "groups": groups, "action": action}})
}

#[tokio::test]
async fn the_usual_permissions_are_those_of_a_shared_directory() {
    let site = Site::start();
    let (ann, ben) = (site.user("ann", &[]), site.user("ben", &[]));
    let (ann, ben) = (Some(ann.as_str()), Some(ben.as_str()));
    refused(&site.call(None, "newItem", "", json!({"name": "a"})).await, 403, "forbidden", &[]);
    done(&site.call(ann, "newItem", "", json!({"name": "a", "contents": "x"})).await, true);
    assert_eq!(site.call(None, "read", "a", json!({})).await.expect(200).text(), "x");
    for (function, asked) in [
        ("setItem", json!({"contents": "y"})),
        ("write", json!({"contents": "y"})),
        ("removeItem", json!({})),
        ("move", json!({"newpath": "b"})),
        ("setOwner", json!({"owner": "ben"})),
        ("getPermissions", json!({})),
        ("setPermissions", grant("read", &["x"], "add")),
    ] {
        refused(&site.call(ben, function, "a", asked.clone()).await, 403, "forbidden", &[]);
        refused(&site.call(None, function, "a", asked).await, 403, "forbidden", &[]);
    }
    refused(&site.call(None, "getOwner", "a", json!({})).await, 403, "forbidden", &[]);
    let owner = body(&site.call(ben, "getOwner", "a", json!({})).await.expect(200));
    assert_eq!(owner, json!({"items": [{"path": "/a", "owner": "ann"}], "owner": "ann"}));
    done(&site.call(ann, "write", "a", json!({"contents": "z"})).await, true);
    refused(&site.call(ann, "setOwner", "a", json!({"owner": "nobody-here"})).await, 422, "unknown_user", &[]);
    done(&site.call(ann, "setOwner", "a", json!({"owner": "ben"})).await, true);
    refused(&site.call(ann, "write", "a", json!({"contents": "z"})).await, 403, "forbidden", &[]);
    done(&site.call(ben, "removeItem", "a", json!({})).await, 1);
    // An item that is not there is told to who may list.
    refused(&site.call(ben, "write", "a", json!({"contents": "z"})).await, 404, "not_found", &[]);
}

#[tokio::test]
async fn groups_are_told_and_inherited() {
    let site = Site::start();
    let ann = site.user("ann", &["mygroup"]);
    site.directory("d").await;
    site.file("d/a", "x").await;
    let asked = json!({"permission": ["removeItem", "write"]});
    let told = body(&site.call(Some(&ann), "allowed", "d/a", asked.clone()).await);
    assert_eq!(told, json!({"result": false, "removeItem": false, "write": false}));
    done(&site.act("setPermissions", "d", grant("write", &["mygroup"], "add")).await, true);
    let told = body(&site.call(Some(&ann), "allowed", "d/a", asked).await);
    assert_eq!(told, json!({"result": false, "removeItem": false, "write": true}));
    let told = body(&site.act("getPermissions", "d/a", json!({})).await);
    let entry = told.as_array().expect("a list").iter().find(|entry| entry["permission"] == "write");
    assert_eq!(entry, Some(&json!({"permission": "write", "groups": ["sys:owner", "mygroup"]})));
    assert_eq!(told.as_array().map(Vec::len), Some(12));
    done(&site.act("setPermissions", "d/a", grant("write", &["sys:noone"], "replace")).await, true);
    refused(&site.call(Some(&ann), "write", "d/a", json!({"contents": "y"})).await, 403, "forbidden", &[]);
    done(&site.act("setPermissions", "d/a", grant("write", &["mygroup"], "add")).await, true);
    done(&site.call(Some(&ann), "write", "d/a", json!({"contents": "y"})).await, true);
    let list = json!({"permissions": [{"permission": "write", "group": "mygroup", "action": "revoke"}, {"permission": "x", "groups": "y"}]});
    refused(&site.act("setPermissions", "d/a", list).await, 422, "unknown_permission", &["x"]);
    done(&site.call(Some(&ann), "write", "d/a", json!({"contents": "all or nothing"})).await, true);
    refused(
        &site.call(None, "allowed", "", json!({"permission": "frobnicate"})).await,
        422,
        "unknown_permission",
        &["frobnicate"],
    );
    let all = body(&site.call(None, "allowed", "none", json!({})).await.expect(200));
    assert_eq!((&all["read"], &all["newItem"], &all["result"]), (&json!(true), &json!(false), &json!(false)));
}

#[tokio::test]
async fn they_hold_on_s3_as_well() {
    let site = Site::start();
    let (ann, ben) = (site.server.user("ann", "readwrite"), site.server.user("ben", "readwrite"));
    let admin = site.server.user("chief", "admin");
    ann.put("mystorage", "a", "x").await.expect(200);
    assert_eq!(body(&site.act("getOwner", "a", json!({})).await)["owner"], "ann");
    ben.put("mystorage", "a", "y").await.refused(403, "AccessDenied");
    ben.delete("mystorage", "a").await.refused(403, "AccessDenied");
    assert_eq!(ben.get("mystorage", "a").await.expect(200).text(), "x");
    assert_eq!(site.server.anonymous().get("mystorage", "a").await.expect(200).text(), "x");
    site.server.anonymous().put("mystorage", "b", "x").await.refused(403, "AccessDenied");
    // Nobody but an administrator changes the bucket itself, whatever its policy gives.
    let policy = ben.call("PUT", "/mystorage").query("policy", "").body("{}").send().await;
    policy.refused(403, "AccessDenied");
    assert_eq!(ben.call("DELETE", "/mystorage").send().await.status, 403);
    done(&site.act("setPermissions", "a", grant("read", &["sys:owner"], "replace")).await, true);
    ben.get("mystorage", "a").await.refused(403, "AccessDenied");
    site.server.anonymous().get("mystorage", "a").await.refused(403, "AccessDenied");
    ann.get("mystorage", "a").await.expect(200);
    admin.get("mystorage", "a").await.expect(200);
    done(&site.act("setPermissions", "", grant("list", &["sys:noone"], "replace")).await, true);
    assert_eq!(ben.list("mystorage", "").await.status, 403);
    admin.list("mystorage", "").await.expect(200);
    // Other buckets are as they were.
    ann.create_bucket("others").await.expect(200);
    ben.get("others", "a").await.refused(403, "AccessDenied");
    // What is deleted on S3 leaves nothing behind that would be said of the next item of its path.
    ann.delete("mystorage", "a").await.expect(204);
    ben.put("mystorage", "a", "z").await.expect(200);
    assert_eq!(site.server.anonymous().get("mystorage", "a").await.expect(200).text(), "z");
}

#[tokio::test]
async fn a_listing_shows_nothing_that_is_closed_below_it() {
    let site = Site::start();
    let ben = site.server.user("ben", "readwrite");
    site.directory("open").await;
    site.directory("open/closed").await;
    site.file("open/closed/a", "x").await;
    ben.list("mystorage", "").await.expect(200);
    done(&site.act("setPermissions", "open/closed", grant("list", &["admins"], "replace")).await, true);
    assert_eq!(ben.list("mystorage", "").await.status, 403);
    assert_eq!(ben.list("mystorage", "open/").await.status, 403);
    site.call(None, "list", "open", json!({})).await.expect(200);
    refused(&site.call(None, "list", "open/closed", json!({})).await, 403, "forbidden", &[]);
    done(&site.act("setPermissions", "open/closed", grant("removeItem", &["admins"], "replace")).await, true);
    let ann = site.user("ann", &[]);
    done(&site.act("setOwner", "open", json!({"owner": "ann"})).await, true);
    refused(&site.call(Some(&ann), "removeItem", "open", json!({"recursive": true})).await, 403, "forbidden", &[]);
    assert_eq!(site.names("open/closed").await, ["a"]);
}

#[tokio::test]
async fn permissions_survive_a_restart_and_a_rebuild() {
    let site = Site::start();
    site.file("a", "x").await;
    done(&site.act("setPermissions", "a", grant("read", &["admins"], "replace")).await, true);
    let mut server = site.server.restart();
    server.anonymous().get("mystorage", "a").await.refused(403, "AccessDenied");
    assert!(server.stop().success());
    if std::env::var("LONGSHORE_TEST_CATALOG").is_ok() {
        return;
    }
    for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(server.data().join(".longshore").join(file));
    }
    server.run(&["rebuild"]);
    let server = server.restart();
    server.anonymous().get("mystorage", "a").await.refused(403, "AccessDenied");
    assert_eq!(server.root().get("mystorage", "a").await.expect(200).text(), "x");
}

/// Where nothing is said, only who shows a credential reads, on whichever front.
#[tokio::test]
async fn a_service_is_closed_to_strangers_unless_it_is_said_to_be_open() {
    let site = Site::start();
    let ann = site.user("ann", &[]);
    let asked = async |token: Option<&str>, function: &str, body: Value| {
        let call = site.request(token, "POST", &format!("/small/api/@{function}"));
        call.header("content-type", "application/json").body(body.to_string()).send().await
    };
    done(&asked(Some(ann.as_str()), "newItem", json!({"name": "a", "contents": "x"})).await, true);
    for (function, body) in [("read", json!({"path": "/a"})), ("getItem", json!({"path": "/a"})), ("list", json!({}))] {
        assert_eq!(asked(None, function, body.clone()).await.status, 403, "{function}");
        asked(Some(ann.as_str()), function, body).await.expect(200);
    }
    site.server.anonymous().get("small-bucket", "a").await.refused(403, "AccessDenied");
    assert_eq!(site.rest.call("GET", "/small/a").send().await.status, 403);
}
