//! What holds for items whichever front they are moved, removed or made by, and by how many at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Site, body, done, refused};
use crate::harness::Answer;

const RACERS: usize = 16;

fn readers(groups: &[&str]) -> Value {
    json!({"permissions": {"permission": "read", "groups": groups, "action": "replace"}})
}

async fn said(site: &Site, path: &str) -> Value {
    let told = body(&site.act("getPermissions", path, json!({})).await.expect(200));
    told.as_array().into_iter().flatten().find(|entry| entry["permission"] == "read").expect("it is told")["groups"]
        .clone()
}

async fn supabase_move(site: &Site, token: &str, way: Value) -> Answer {
    let call = site.rest.call("POST", "/storage/v1/object/move").header("authorization", &format!("Bearer {token}"));
    call.header("content-type", "application/json").body(way.to_string()).send().await
}

fn way(from: &str, to: &str) -> Value {
    json!({"bucketId": "mystorage", "sourceKey": from, "destinationKey": to})
}

#[tokio::test]
async fn what_is_said_of_an_item_follows_it_on_every_front() {
    let site = Site::start();
    let (ann, ben) = (site.user("ann", &["admins"]), site.user("ben", &[]));
    site.directory("d").await;
    for path in ["a", "d/b"] {
        site.file(path, "x").await;
        done(&site.act("setPermissions", path, readers(&["readers"])).await, true);
        done(&site.act("setOwner", path, json!({"owner": "ben"})).await, true);
    }
    let ctime = body(&site.act("getItem", "a", json!({})).await)["ctime"].clone();
    // Somebody else moves them, who may.
    supabase_move(&site, &ann, way("a", "d/a")).await.expect(200);
    assert_eq!(said(&site, "d/a").await, json!(["readers"]));
    assert_eq!(body(&site.act("getOwner", "d/a", json!({})).await)["owner"], "ben");
    assert_eq!(body(&site.act("getItem", "d/a", json!({})).await)["ctime"], ctime);
    site.server.anonymous().get("mystorage", "d/a").await.refused(403, "AccessDenied");
    // What comes to be where it was has nothing of it.
    site.file("a", "new").await;
    assert_eq!(said(&site, "a").await, json!(["sys:everyone"]));
    // A move that is refused says nothing of what is there.
    assert_eq!(supabase_move(&site, &ann, way("d/a", "a")).await.status, 400);
    assert_eq!(said(&site, "a").await, json!(["sys:everyone"]));
    assert_eq!(said(&site, "d/a").await, json!(["readers"]));
    assert!(supabase_move(&site, &ben, way("d/a", "d/e")).await.status >= 400, "ben may not read it");
    let grants = site.server.config_of("mystorage")["service"]["grants"].clone();
    assert_eq!(grants.as_object().expect("grants").keys().collect::<Vec<_>>(), ["d/a", "d/b"]);
    // Into another service, and out of all.
    let to = json!({"bucketId": "mystorage", "sourceKey": "d/b", "destinationBucket": "small-bucket", "destinationKey": "b"});
    supabase_move(&site, &ann, to).await.expect(200);
    let grants = site.server.config_of("small-bucket")["service"]["grants"].clone();
    assert_eq!(grants, json!({"b": {"read": ["readers"]}}));
    site.server.root().create_bucket("plain").await.expect(200);
    let to = json!({"bucketId": "small-bucket", "sourceKey": "b", "destinationBucket": "plain", "destinationKey": "b"});
    supabase_move(&site, &ann, to).await;
    // And it goes with what is removed, whoever removes it.
    for remover in ["loopback", "supabase", "s3"] {
        site.file("gone", "x").await;
        done(&site.act("setPermissions", "gone", readers(&["readers"])).await, true);
        let bearer = format!("Bearer {ann}");
        let status = match remover {
            "loopback" => {
                let call = site.rest.call("DELETE", "/api/containers/mystorage/files/gone");
                call.header("authorization", &ann).send().await.status
            }
            "supabase" => {
                let call = site.rest.call("DELETE", "/storage/v1/object/mystorage/gone");
                call.header("authorization", &bearer).send().await.status
            }
            _ => site.server.root().delete("mystorage", "gone").await.status,
        };
        assert!(status < 300, "{remover}: {status}");
        site.file("gone", "new").await;
        assert_eq!(said(&site, "gone").await, json!(["sys:everyone"]), "{remover}");
        done(&site.act("removeItem", "gone", json!({})).await, 1);
    }
}

#[tokio::test]
async fn levels_are_counted_at_every_door() {
    let site = Site::start();
    let root = site.server.root();
    let token = site.token("boss");
    root.put("small-bucket", "a/b/c", "x").await.expect(200);
    root.put("small-bucket", "a/b/c/d", "x").await.refused(400, "InvalidRequest");
    root.put("small-bucket", "a/b/c/d/", "").await.refused(400, "InvalidRequest");
    let copy = root.call("PUT", "/small-bucket/a/b/c/e").header("x-amz-copy-source", "/small-bucket/a/b/c");
    copy.send().await.refused(400, "InvalidRequest");
    let upload = root.call("POST", "/small-bucket/a/b/c/d").query("uploads", "").send().await;
    upload.refused(400, "InvalidRequest");
    let bearer = format!("Bearer {token}");
    let put = site.rest.call("POST", "/storage/v1/object/small-bucket/a/b/c/d").header("authorization", &bearer);
    assert_eq!(put.header("content-type", "text/plain").body("x").send().await.status, 400);
    let moved = json!({"bucketId": "small-bucket", "sourceKey": "a/b/c", "destinationKey": "a/b/d/e"});
    assert_eq!(supabase_move(&site, &token, moved).await.status, 400);
    assert_eq!(root.keys_of("small-bucket", "").await, ["a/b/c"]);
    // Elsewhere keys are as deep as they like.
    root.put("mystorage", "a/b/c/d/e/f", "x").await.expect(200);
}

/// Of a file and a directory of one name that are asked for at the same moment one comes to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_and_a_directory_race_for_their_name() {
    let site = Site::start();
    site.file("source", "x").await;
    for round in 0..20 {
        let name = format!("n{round}");
        let racers = (0..RACERS).map(|racer| {
            let (site, name) = (&site, &name);
            async move {
                let asked = match racer % 2 {
                    0 => json!({"name": name, "type": "d"}),
                    _ => json!({"name": name, "contents": "x"}),
                };
                site.act("newItem", "", asked).await
            }
        });
        let answers = join_all(racers).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        answers.iter().filter(|answer| answer.status != 200).for_each(|answer| refused(answer, 409, "exists", &[]));
        let keys = site.server.root().keys_of("mystorage", &name).await;
        assert!(keys == [name.clone()] || keys == [format!("{name}/")], "{keys:?}");
    }
    // So do a file that is moved there and a directory.
    for round in 0..10 {
        let name = format!("m{round}");
        let (from, to) = (if round == 0 { "source".to_owned() } else { format!("f{round}") }, json!({"newpath": name}));
        if round > 0 {
            site.file(&from, "x").await;
        }
        let asked = json!({"name": name, "type": "d"});
        let (moved, made) = tokio::join!(site.act("move", &from, to), site.act("newItem", "", asked));
        assert_eq!(
            [moved.status, made.status].iter().filter(|status| **status == 200).count(),
            1,
            "{moved:?} {made:?}"
        );
        let keys = site.server.root().keys_of("mystorage", "").await;
        let at = |key: &str| keys.iter().any(|there| there == key);
        assert_ne!(at(&name), at(&format!("{name}/")), "{keys:?}");
        assert_ne!(at(&name), at(&from), "it is there once: {keys:?}");
    }
}
