//! Lists.

use serde_json::{Value, json};

use super::{As, Site, body, refused};

const SERVICE: As = As::Service;

async fn with_objects() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "ls"})).await;
    for key in ["a.txt", "B.txt", "c/1.txt", "c/2.txt", "c/d/3.txt", "Ce/9.txt", "sad-cat.jpg", "foo/x/y"] {
        site.upload(SERVICE, &format!("ls/{key}"), "x").await.expect(200);
    }
    site
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|row| row["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn the_first_form_shows_a_level() {
    let site = with_objects().await;
    let list = |asked: Value| {
        let site = &site;
        async move { body(&site.json(SERVICE, "POST", "/object/list/ls", asked).await.expect(200)) }
    };
    let root = list(json!({"prefix": ""})).await;
    assert_eq!(names(&root), ["a.txt", "B.txt", "c", "Ce", "foo", "sad-cat.jpg"]);
    let file = &root[0];
    assert_eq!(file["metadata"]["eTag"], "\"9dd4e461268c8034f5c8564e155c67a6\"");
    assert_eq!((&file["metadata"]["size"], &file["metadata"]["mimetype"]), (&json!(1), &json!("text/plain")));
    assert_eq!(file["id"].as_str().map(str::len), Some(36));
    assert_eq!(
        root[2],
        json!({"name": "c", "id": null, "updated_at": null, "created_at": null, "last_accessed_at": null, "metadata": null})
    );
    assert_eq!(names(&list(json!({"prefix": "c"})).await), ["1.txt", "2.txt", "d"]);
    assert_eq!(names(&list(json!({"prefix": "c/d/"})).await), ["3.txt"]);
    let sort = |column: &str, order: &str| json!({"prefix": "", "sortBy": {"column": column, "order": order}});
    assert_eq!(names(&list(sort("name", "desc")).await), ["sad-cat.jpg", "foo", "Ce", "c", "B.txt", "a.txt"]);
    let page = json!({"prefix": "", "limit": 2, "offset": 1, "sortBy": {"column": "name", "order": "desc"}});
    assert_eq!(names(&list(page).await), ["foo", "Ce"]);
    assert_eq!(names(&list(sort("created_at", "asc")).await), ["c", "Ce", "foo", "a.txt", "B.txt", "sad-cat.jpg"]);
    assert_eq!(names(&list(sort("updated_at", "desc")).await), ["foo", "Ce", "c", "sad-cat.jpg", "B.txt", "a.txt"]);
    assert_eq!(names(&list(json!({"prefix": "", "search": "SAD"})).await), ["sad-cat.jpg"]);
    assert_eq!(names(&list(json!({"prefix": "c", "search": "1"})).await), ["1.txt"]);
    // What a search goes down to is told from the prefix.
    assert_eq!(names(&list(json!({"prefix": "", "search": "c/1"})).await), ["c/1.txt"]);
    assert_eq!(names(&list(json!({"prefix": "", "search": "c/"})).await), ["c/1.txt", "c/2.txt", "c/d"]);
    // A folder stands where what is beneath it does: a slash comes behind a hyphen and a dot.
    for key in ["c-e", "c.txt"] {
        site.upload(SERVICE, &format!("ls/{key}"), "x").await.expect(200);
    }
    assert_eq!(names(&list(json!({"prefix": "", "limit": 5})).await), ["a.txt", "B.txt", "c-e", "c.txt", "c"]);
    assert_eq!(names(&list(json!({"prefix": "", "search": "c"})).await), ["c-e", "c.txt", "c", "Ce"]);
    for key in ["c-e", "c.txt"] {
        site.plain(SERVICE, "DELETE", &format!("/object/ls/{key}")).await.expect(200);
    }
    assert_eq!(names(&list(json!({"prefix": "", "offset": 100})).await), Vec::<&str>::new());
    for (asked, message) in [
        (json!({}), "body must have required property 'prefix'"),
        (
            json!({"prefix": "", "sortBy": {"column": "size"}}),
            "body/sortBy/column must be equal to one of the allowed values",
        ),
        (json!({"prefix": "", "limit": 0}), "body/limit must be >= 1"),
    ] {
        refused(&site.json(SERVICE, "POST", "/object/list/ls", asked).await, "400", "InvalidRequest", message);
    }
    for (who, path) in [(SERVICE, "/object/list/nope"), (As::Anon, "/object/list/ls")] {
        assert_eq!(site.json(who, "POST", path, json!({"prefix": ""})).await.expect(200).text(), "[]");
    }
}

#[tokio::test]
async fn the_second_form_goes_on_by_cursors() {
    let site = with_objects().await;
    let list = |asked: Value| {
        let site = &site;
        async move { body(&site.json(SERVICE, "POST", "/object/list-v2/ls", asked).await.expect(200)) }
    };
    let first = list(json!({"with_delimiter": true, "limit": 3})).await;
    assert_eq!(
        (&first["hasNext"], &first["nextCursor"], &first["nextCursorKey"]),
        (&json!(true), &json!("bDphLnR4dA=="), &json!("a.txt"))
    );
    assert_eq!((names(&first["folders"]), names(&first["objects"])), (vec!["Ce/"], vec!["B.txt", "a.txt"]));
    assert_eq!(first["folders"][0]["key"], "Ce");
    let second = list(json!({"with_delimiter": true, "limit": 3, "cursor": first["nextCursor"]})).await;
    assert_eq!((names(&second["folders"]), names(&second["objects"])), (vec!["c/", "foo/"], vec!["sad-cat.jpg"]));
    assert_eq!((&second["hasNext"], second.get("nextCursor")), (&json!(false), None));
    let below = list(json!({"prefix": "c/", "with_delimiter": true})).await;
    assert_eq!((&below["folders"][0]["key"], &below["objects"][0]["key"]), (&json!("d"), &json!("1.txt")));
    // Each order, page by page, is the whole in that order.
    for (sort, delimiter) in [
        (json!({"column": "name", "order": "asc"}), false),
        (json!({"column": "name", "order": "desc"}), false),
        (json!({"column": "name", "order": "desc"}), true),
        (json!({"column": "created_at", "order": "asc"}), true),
        (json!({"column": "created_at", "order": "desc"}), false),
        (json!({"column": "updated_at", "order": "desc"}), true),
    ] {
        let whole = list(json!({"with_delimiter": delimiter, "sortBy": sort})).await;
        let count = |page: &Value| names(&page["folders"]).len() + names(&page["objects"]).len();
        let (mut folders, mut objects, mut cursor) = (Vec::new(), Vec::new(), Value::Null);
        loop {
            let mut asked = json!({"with_delimiter": delimiter, "limit": 2, "sortBy": sort});
            if !cursor.is_null() {
                asked["cursor"] = cursor.clone();
            }
            let page = list(asked).await;
            folders.extend(names(&page["folders"]).into_iter().map(str::to_owned));
            objects.extend(names(&page["objects"]).into_iter().map(str::to_owned));
            if page["hasNext"] == false {
                break;
            }
            assert_eq!(count(&page), 2, "{sort}");
            cursor = page["nextCursor"].clone();
        }
        assert_eq!(
            (names(&whole["folders"]), names(&whole["objects"])),
            (folders.iter().map(String::as_str).collect(), objects.iter().map(String::as_str).collect()),
            "{sort} {delimiter}"
        );
    }
    let bad = site.json(SERVICE, "POST", "/object/list-v2/ls", json!({"cursor": "zzzz"})).await;
    refused(&bad, "400", "InvalidParameter", "Invalid Parameter continuation token");
}

#[tokio::test]
async fn a_level_of_more_than_a_page_is_sorted_as_a_whole() {
    let site = Site::start();
    site.bucket(json!({"name": "many"})).await;
    let root = site.server.root();
    let keys: Vec<String> = (0..1200).map(|n| format!("{}{n:04}", if n % 2 == 0 { "K" } else { "k" })).collect();
    for chunk in keys.chunks(16) {
        futures_util::future::join_all(chunk.iter().map(|key| root.put("many", key, "x"))).await;
    }
    let asked = json!({"prefix": "", "limit": 1500});
    let all = body(&site.json(SERVICE, "POST", "/object/list/many", asked).await.expect(200));
    assert_eq!(names(&all), keys);
    let asked = json!({"prefix": "", "limit": 3, "offset": 1001});
    let page = body(&site.json(SERVICE, "POST", "/object/list/many", asked).await.expect(200));
    assert_eq!(names(&page), keys[1001..1004]);
    let gone = body(&site.json(SERVICE, "DELETE", "/object/many", json!({ "prefixes": keys })).await.expect(200));
    assert_eq!(names(&gone), keys);
    assert!(root.keys_of("many", "").await.is_empty());
}
