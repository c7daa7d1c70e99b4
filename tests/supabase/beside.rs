//! One question, one answer: what Supabase's own server and this one were found to tell apart, on the database of `existing`.
//!
//! `compat/suites/supabase-beside` compares them with that server itself.

use serde_json::json;

use super::existing::{Other, root, until};
use super::{As, body};

/// Who asks here is told the row's own id and dates, as the other tells them; and what is written here leaves those alone that
/// stay when the other overwrites.
#[tokio::test]
async fn a_row_is_told_as_the_other_tells_it() {
    let Some(other) = Other::start("a_row_is_told_as_the_other_tells_it") else { return };
    other.bucket("docs");
    other.upload("docs", "k", "theirs");
    other.sql("UPDATE storage.objects SET created_at = '2020-02-29 01:02:03.004567+00'");
    let site = other.beside();
    let row = || other.sql("SELECT id, created_at, user_metadata FROM storage.objects WHERE name = 'k'");
    let info = async || body(&site.plain(As::Service, "GET", "/object/info/docs/k").await.expect(200));
    let id = other.sql("SELECT id FROM storage.objects");
    let told = info().await;
    assert_eq!((told["id"].as_str(), &told["created_at"]), (Some(&*id), &json!("2020-02-29T01:02:03.004Z")));
    // Both kinds of lists, and what is removed in the end.
    for (path, at) in [("/object/list/docs", "/0"), ("/object/list-v2/docs", "/objects/0")] {
        let listed = body(&site.json(As::Service, "POST", path, json!({"prefix": ""})).await.expect(200));
        let row = listed.pointer(at).expect("a row");
        assert_eq!(
            (row["id"].as_str(), &row["created_at"]),
            (Some(&*id), &json!("2020-02-29T01:02:03.004Z")),
            "{path}"
        );
    }
    let put = site.call(As::Service, "PUT", "/object/docs/k").header("content-type", "text/plain").body("ours");
    assert_eq!(body(&put.send().await.expect(200))["Id"].as_str(), Some(&*id));
    assert_eq!(row(), format!("{id}|2020-02-29 01:02:03.004567+00|{{}}"));
    assert_eq!(info().await["created_at"], "2020-02-29T01:02:03.004Z");
    root(&site).put("docs", "k", "by S3").await.expect(200);
    assert_eq!(info().await["id"].as_str(), Some(&*id));
    assert_eq!(row(), format!("{id}|2020-02-29 01:02:03.004567+00|{{}}"));
    // A row of ours is known by what its upload was answered with, and as old as that says.
    let new = body(&site.upload(As::Service, "docs/new", "new").await.expect(200));
    let made = other.sql("SELECT id FROM storage.objects WHERE name = 'new'");
    assert_eq!(new["Id"].as_str(), Some(&*made));
    let shown = body(&site.plain(As::Service, "GET", "/object/info/docs/new").await.expect(200));
    let dates = other.sql(
        "SELECT to_char(date_trunc('milliseconds', created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         metadata->>'lastModified' FROM storage.objects WHERE name = 'new'",
    );
    assert_eq!(dates, format!("{0}|{0}", shown["created_at"].as_str().expect("a date")));
    other.upload("docs", "new", "theirs");
    let gone = site.json(As::Service, "DELETE", "/object/docs", json!({"prefixes": ["new"]})).await.expect(200);
    assert_eq!(body(&gone)[0]["id"].as_str(), Some(&*made));
    // Nor is the date of a bucket moved by what is changed of it.
    let before = other.sql("SELECT updated_at FROM storage.buckets");
    site.json(As::Service, "PUT", "/bucket/docs", json!({"public": true, "file_size_limit": 9})).await.expect(200);
    assert_eq!(other.sql("SELECT updated_at, public, file_size_limit FROM storage.buckets"), format!("{before}|t|9"));
}

/// What the other displaces at once, before its file is where the other looked for it, leaves no file behind.
#[tokio::test]
async fn what_is_displaced_at_once_is_freed() {
    let Some(other) = Other::start("what_is_displaced_at_once_is_freed") else { return };
    other.bucket("docs");
    other.upload("docs", "k", "first");
    let site = other.beside();
    // The other's hand: it writes the row anew in the moment in which ours is decided.
    other.sql(
        "CREATE FUNCTION public.displace() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            UPDATE storage.objects SET version = gen_random_uuid(), metadata = NULL WHERE id = NEW.id; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER displace AFTER UPDATE ON storage.objects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
            WHEN (NEW.metadata IS NOT NULL) EXECUTE FUNCTION public.displace()",
    );
    for s3 in [true, false] {
        if s3 {
            root(&site).put("docs", "k", "ours").await.expect(200);
        } else {
            let put = site.call(As::Service, "PUT", "/object/docs/k").header("content-type", "text/plain");
            put.body("ours").send().await.expect(200);
        }
        // The other's own file is not there in this play.
        let left = || std::fs::read_dir(other.file("docs", "k", "")).map_or(0, Iterator::count);
        until("no file of ours", async || left() == 0).await;
    }
}
