//! Lists of directories.

use serde_json::{Value, json};

use super::{Site, body, refused};

async fn listed(site: &Site, asked: Value) -> Vec<String> {
    let answer = site.act("list", "d", asked).await.expect(200);
    let items = body(&answer)["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["name"].as_str().unwrap_or("?").to_owned()).collect()
}

#[tokio::test]
async fn a_directory_is_listed_in_any_order_and_in_batches() {
    let site = Site::start();
    site.directory("d").await;
    for (name, contents) in [("a-b", "333"), ("a0", "1"), ("z", "22"), ("b", "22")] {
        site.file(&format!("d/{name}"), contents).await;
    }
    site.directory("d/a").await;
    site.file("d/a/inside", "x").await;
    site.server.root().put("mystorage", "d/s3/x", "x").await.expect(200);
    for (asked, names) in [
        (json!({}), &["a", "a-b", "a0", "b", "s3", "z"][..]),
        (json!({"type": "f"}), &["a-b", "a0", "b", "z"]),
        (json!({"type": "directory", "order": ">"}), &["s3", "a"]),
        (json!({"sort": "name", "order": ">"}), &["z", "s3", "b", "a0", "a-b", "a"]),
        (json!({"sort": "size"}), &["a", "s3", "a0", "b", "z", "a-b"]),
        (json!({"sort": "size", "order": ">"}), &["a-b", "b", "z", "a0", "a", "s3"]),
        (json!({"sort": "type"}), &["a", "s3", "a-b", "a0", "b", "z"]),
        (json!({"sort": "mtime", "type": "f"}), &["a-b", "a0", "z", "b"]),
        (json!({"sort": "ctime", "type": "f", "order": ">"}), &["b", "z", "a0", "a-b"]),
        (json!({"size": 2, "start": 2}), &["a-b", "a0"]),
        (json!({"size": 2, "start": 6}), &["z"]),
        (json!({"start": 7}), &[]),
        (json!({"start": "18446744073709551615"}), &[]),
        (
            json!({"path": "/d/", "type": null, "sort": "name", "order": null, "size": 50, "start": 1}),
            &["a", "a-b", "a0", "b", "s3", "z"],
        ),
    ] {
        assert_eq!(listed(&site, asked.clone()).await, names, "{asked}");
    }
    let answer = body(&site.act("list", "d", json!({"size": 5000, "start": 0})).await);
    assert_eq!((&answer["size"], &answer["start"], &answer["total"]), (&json!(1000), &json!(1), &json!(6)));
    let item = &answer["items"][1];
    assert_eq!(
        (&item["mime"], &item["size"], &item["type"]),
        (&json!("application/octet-stream"), &json!(3), &json!("f"))
    );
    // As the clients ask without parameters.
    let root = body(
        &site.request(None, "GET", "/mystorage/api/@list").header("content-type", "application/json").send().await,
    );
    assert_eq!(root["items"][0]["name"], "d");
    assert_eq!(body(&site.request(None, "GET", "/mystorage/d/@list").send().await)["total"], 6);
    refused(&site.act("list", "none", json!({})).await, 404, "not_found", &[]);
    refused(&site.act("list", "d/z", json!({})).await, 422, "not_a_directory", &["path"]);
    for (asked, name) in [
        (json!({"type": "x"}), "type"),
        (json!({"sort": 1}), "sort"),
        (json!({"order": "asc"}), "order"),
        (json!({"size": 0}), "size"),
        (json!({"size": "many"}), "size"),
        (json!({"start": -1}), "start"),
    ] {
        refused(&site.act("list", "d", asked).await, 422, "invalid_parameter", &[name]);
    }
}

#[tokio::test]
async fn what_s3_made_of_a_file_and_a_directory_of_one_name_is_listed_as_both() {
    let site = Site::start();
    let root = site.server.root();
    for key in ["d/a", "d/a/b", "d//c", "d/../e"] {
        root.put("mystorage", key, "x").await.expect(200);
    }
    assert_eq!(listed(&site, json!({})).await, ["a", "a"]);
    assert_eq!(body(&site.act("getItem", "d/a", json!({})).await)["type"], "f");
}
