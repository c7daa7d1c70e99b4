//! A database that Supabase's own server has made and goes on writing, with its files: what it wrote is served, what is
//! written here is where it looks, and each frees what it displaces.
//!
//! That server is played here, by its own rules: rows by SQL, and files at `bucket/tenant/bucket/name/version`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::json;
use tempfile::TempDir;

use super::{As, Site, body, refused};
use crate::harness::postgres::{Database, Postgres, postgres};
use crate::harness::{Client, Options, Server, longshore};
use crate::s3::md5_hex;

const SCHEMA: &str = include_str!("existing.sql");
const TENANT: &str = "stub";

/// What it keeps of a file.
const KIND: &str = "user.supabase.content-type";
const CACHING: &str = "user.supabase.cache-control";

/// The other server.
pub(super) struct Other {
    postgres: &'static Postgres,
    database: Database,
    files: TempDir,
}

impl Other {
    pub(super) fn start(test: &str) -> Option<Self> {
        let postgres = postgres(test)?;
        let database = postgres.database("template0");
        postgres.sql(&database.name, SCHEMA);
        Some(Self { postgres, database, files: tempfile::tempdir().expect("a directory") })
    }

    pub(super) fn sql(&self, text: &str) -> String {
        self.postgres.sql(&self.database.name, text)
    }

    /// Prepares the database for the login of the servers of tests.
    fn migrate(&self) {
        let login = self.database.url.trim_start_matches("postgres://").split(':').next().expect("a login").to_owned();
        let args = ["catalog", "migrate", "--login", &login, "--catalog", &self.database.admin];
        let output = longshore(&args).output().expect("the built program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts ours beside it.
    pub(super) fn beside(&self) -> Site {
        self.migrate();
        let root = self.files.path().display();
        let config = format!(
            "[[provider]]\nname = \"default\"\nprovider = \"filesystem\"\nroot = \"{root}\"\nlayout = \"supabase\"\n\
             bucket = \"glob\"\ntenant = \"{TENANT}\"\n"
        );
        Site::with(Options { database: Some(self.database.clone()), ..Options::default() }.config(&config))
    }

    pub(super) fn bucket(&self, name: &str) {
        self.sql(&format!("INSERT INTO storage.buckets (id, name) VALUES ('{name}', '{name}')"));
    }

    /// Where a version is.
    pub(super) fn file(&self, bucket: &str, name: &str, version: &str) -> PathBuf {
        self.files.path().join("glob").join(TENANT).join(bucket).join(name).join(version)
    }

    pub(super) fn version(&self, bucket: &str, name: &str) -> String {
        self.sql(&format!("SELECT version FROM storage.objects WHERE bucket_id = '{bucket}' AND name = '{name}'"))
    }

    /// Writes an object as it does: the file first, then the row, then the file that was displaced goes.
    pub(super) fn upload(&self, bucket: &str, name: &str, bytes: &str) -> String {
        let version = self.sql("SELECT gen_random_uuid()");
        let old = self.version(bucket, name);
        let file = self.file(bucket, name, &version);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("makes");
        std::fs::write(&file, bytes).expect("writes");
        for (attribute, text) in [(KIND, "text/plain"), (CACHING, "max-age=3600")] {
            setxattr(&file, attribute, text.as_bytes(), XattrFlags::empty()).expect("an attribute");
        }
        let metadata = json!({"eTag": format!("\"{}\"", md5_hex(bytes.as_bytes())), "size": bytes.len(),
            "mimetype": "text/plain", "cacheControl": "max-age=3600", "lastModified": "2024-02-29T12:34:56.789Z",
            "contentLength": bytes.len(), "httpStatusCode": 200});
        self.sql(&format!(
            "INSERT INTO storage.objects (bucket_id, name, version, owner_id, metadata, user_metadata) VALUES ('{bucket}', \
             '{name}', '{version}', '{}', '{metadata}', '{{\"Colour\": \"red\"}}') ON CONFLICT (bucket_id, name) DO UPDATE \
             SET version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata",
            super::U1
        ));
        if !old.is_empty() {
            std::fs::remove_file(self.file(bucket, name, &old)).expect("what it displaces is where it looks");
        }
        version
    }

    /// Deletes an object as it does.
    fn remove(&self, bucket: &str, name: &str) {
        let version = self.version(bucket, name);
        std::fs::remove_file(self.file(bucket, name, &version)).expect("it is where it looks");
        self.sql(&format!(
            "SET storage.allow_delete_query = 'true'; DELETE FROM storage.objects WHERE bucket_id = '{bucket}' AND name = '{name}'"
        ));
    }
}

/// What there is in the database but for the schema of ours.
fn shape(other: &Other) -> String {
    other.sql(
        "SELECT string_agg(thing, E'\\n' ORDER BY thing) FROM ( \
         SELECT format('%s.%s %s %s', nspname, relname, relkind, string_agg(attname, ',' ORDER BY attname)) AS thing \
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_attribute ON attrelid = c.oid \
            AND attnum > 0 WHERE nspname !~ '^(pg_|information_schema|longshore)' GROUP BY nspname, relname, relkind \
         UNION ALL SELECT format('%s.%s()', nspname, proname) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace \
            WHERE nspname !~ '^(pg_|information_schema|longshore)' \
         UNION ALL SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|longshore)' \
         UNION ALL SELECT format('%s %s', id, hash) FROM storage.migrations) AS things",
    )
}

pub(super) fn root(site: &Site) -> Client {
    site.server.root()
}

/// Waits until something is so; what is waited for is noticed within seconds.
pub(super) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !so().await {
        assert!(Instant::now() < end, "{what} does not come to be");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn attribute(file: &Path, name: &str) -> String {
    let mut text = [0; 200];
    let len = getxattr(file, name, &mut text[..]).expect("an attribute");
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[tokio::test]
async fn a_database_is_taken_as_it_is() {
    let Some(other) = Other::start("a_database_is_taken_as_it_is") else { return };
    other.bucket("docs");
    let before = shape(&other);
    for _ in 0..2 {
        other.migrate();
        assert_eq!(shape(&other), before);
    }
    assert_eq!(other.sql("SELECT count(*) FROM longshore.bucket_settings"), "0");
    // What is needed is looked for by its name, whatever the list of migrations says.
    let old = Other::start("a_database_is_taken_as_it_is").expect("a server");
    old.sql("ALTER TABLE storage.objects DROP COLUMN version");
    let output = longshore(&["catalog", "migrate", "--catalog", &old.database.admin]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("storage.objects") && said.contains("version"), "{said}");
}

#[tokio::test]
async fn what_the_other_server_wrote_is_served() {
    let Some(other) = Other::start("what_the_other_server_wrote_is_served") else { return };
    other.bucket("docs");
    other.upload("docs", "a/b (1).txt", "hello");
    other.upload("docs", "a", "beside what is beneath");
    let bare = other.upload("docs", "bare", "nothing is said of it");
    other.sql("UPDATE storage.objects SET metadata = NULL, user_metadata = NULL WHERE name = 'bare'");
    other.sql(
        "UPDATE storage.objects SET metadata = metadata || '{\"size\": \"x\", \"lastModified\": 1, \"eTag\": []}' \
               WHERE name = 'a'",
    );
    // Older than versions.
    let older = other.files.path().join("glob").join(TENANT).join("docs/older");
    std::fs::write(&older, "older").expect("writes");
    other.sql("INSERT INTO storage.objects (bucket_id, name, metadata) VALUES ('docs', 'older', '{\"size\": 5}')");
    let site = other.beside();
    let s3 = root(&site);
    let head = s3.head("docs", "a/b (1).txt").await.expect(200);
    assert_eq!(head.etag(), md5_hex(b"hello"));
    for (name, wanted) in [
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("cache-control", "max-age=3600"),
        ("last-modified", "Thu, 29 Feb 2024 12:34:56 GMT"),
        ("x-amz-meta-colour", "red"),
    ] {
        assert_eq!(head.header(name), Some(wanted), "{name}");
    }
    for (key, wanted) in [
        ("a/b (1).txt", "hello"),
        ("a", "beside what is beneath"),
        ("bare", "nothing is said of it"),
        ("older", "older"),
    ] {
        assert_eq!(s3.get("docs", key).await.expect(200).text(), wanted, "{key}");
        let read = site.plain(As::Service, "GET", &format!("/object/authenticated/docs/{key}")).await.expect(200);
        assert_eq!(read.text(), wanted, "{key}");
    }
    let range = s3.call("GET", "/docs/a/b (1).txt").header("range", "bytes=1-3").send().await.expect(206);
    assert_eq!(range.text(), "ell");
    let same = s3.call("GET", "/docs/a/b (1).txt").header("if-none-match", head.header("etag").expect("one"));
    same.send().await.expect(304);
    let listed = s3.list("docs", "").await.expect(200);
    assert_eq!(listed.elements("Key"), ["a", "a/b (1).txt", "bare", "older"]);
    assert_eq!(listed.elements("Size"), ["0", "5", "0", "5"]);
    assert_eq!(s3.head("docs", "bare").await.expect(200).header("content-length"), Some("21"));
    let info = body(&site.plain(As::Service, "GET", "/object/info/docs/a/b (1).txt").await.expect(200));
    assert_eq!((&info["size"], &info["metadata"]), (&json!(5), &json!({"Colour": "red"})));
    assert_eq!(info["last_modified"], "2024-02-29T12:34:56.789Z");
    let found = site.json(As::Service, "POST", "/object/list/docs", json!({"prefix": "a/"})).await.expect(200);
    assert_eq!(body(&found)[0]["name"], "b (1).txt");
    // A copy, and a tag: then there are facts, and its bytes stay where they are.
    s3.call("PUT", "/docs/copy").header("x-amz-copy-source", "docs/a/b (1).txt").send().await.expect(200);
    let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    let tagged = s3
        .call("PUT", "/docs/bare")
        .query("tagging", "")
        .header("content-md5", &crate::s3::md5_base64(tags.as_bytes()));
    tagged.body(tags).send().await.expect(200);
    assert_eq!(s3.call("GET", "/docs/bare").query("tagging", "").send().await.expect(200).elements("Value"), ["v"]);
    assert_eq!(s3.get("docs", "bare").await.expect(200).text(), "nothing is said of it");
    assert_eq!(other.version("docs", "bare"), bare);
    let site = site.again();
    assert_eq!(root(&site).get("docs", "copy").await.expect(200).text(), "hello");
    assert_eq!(root(&site).get("docs", "a/b (1).txt").await.expect(200).text(), "hello");
}

/// Tables from before owners were texts and before writers could keep something with an object: both are off there.
#[tokio::test]
async fn older_tables_serve_without_what_they_lack() {
    let Some(other) = Other::start("older_tables_serve_without_what_they_lack") else { return };
    other.bucket("docs");
    other.upload("docs", "k", "theirs");
    for column in [
        "objects DROP COLUMN user_metadata",
        "objects DROP COLUMN owner_id",
        "buckets DROP COLUMN owner_id",
        "buckets DROP COLUMN type",
        "buckets DROP COLUMN versioning_status",
        "objects DROP COLUMN archived_at",
        "objects DROP COLUMN is_delete_marker",
        "objects DROP COLUMN is_versioned",
    ] {
        other.sql(&format!("ALTER TABLE storage.{column}"));
    }
    let site = other.beside();
    let s3 = root(&site);
    let head = s3.head("docs", "k").await.expect(200);
    assert_eq!((head.etag(), head.header("x-amz-meta-colour")), (md5_hex(b"theirs").as_str(), None));
    s3.call("PUT", "/docs/k").header("x-amz-meta-a", "b").body("ours").send().await.expect(200);
    assert_eq!(s3.head("docs", "k").await.expect(200).header("x-amz-meta-a"), Some("b"));
    assert_eq!(other.sql("SELECT metadata->>'size' FROM storage.objects"), "4");
    site.upload(As::Service, "docs/new", "new").await.expect(200);
    site.bucket(json!({"name": "more", "public": true})).await;
    s3.put("more", "k", "1").await.expect(200);
    assert_eq!(s3.keys_of("docs", "").await, ["k", "new"]);
    s3.delete("docs", "k").await.expect(204);
    assert_eq!(other.sql("SELECT string_agg(name, ' ') FROM storage.objects"), "new k");
}

#[tokio::test]
async fn each_frees_what_it_displaces() {
    let Some(other) = Other::start("each_frees_what_it_displaces") else { return };
    other.bucket("docs");
    let site = other.beside();
    let s3 = root(&site);
    for by_s3 in [false, true] {
        let first = other.upload("docs", "dir/k", "theirs");
        assert_eq!(s3.get("docs", "dir/k").await.expect(200).text(), "theirs");
        if by_s3 {
            s3.call("PUT", "/docs/dir/k").header("content-type", "text/html").body("ours").send().await.expect(200);
        } else {
            let put = site.call(As::Service, "PUT", "/object/docs/dir/k").header("content-type", "text/html");
            put.header("cache-control", "max-age=60").body("ours").send().await.expect(200);
        }
        let second = other.version("docs", "dir/k");
        let file = other.file("docs", "dir/k", &second);
        assert_eq!(std::fs::read_to_string(&file).expect("it is where the other looks"), "ours");
        assert_eq!(attribute(&file, KIND), "text/html");
        assert_eq!(attribute(&file, CACHING), if by_s3 { "no-cache" } else { "max-age=60" });
        site.server.until_settled();
        assert!(!other.file("docs", "dir/k", &first).exists(), "what was displaced is freed");
        let shown = other.sql(
            "SELECT metadata->>'eTag', metadata->>'size', metadata->>'mimetype', metadata->>'contentLength', \
             version ~ '^[0-9a-f]{8}-' FROM storage.objects WHERE name = 'dir/k'",
        );
        assert_eq!(shown, format!("\"{}\"|4|text/html|4|t", md5_hex(b"ours")));
        // The other goes on, and finds what it displaces.
        other.upload("docs", "dir/k", "theirs again");
        assert_eq!(s3.get("docs", "dir/k").await.expect(200).text(), "theirs again");
        assert_eq!(s3.head("docs", "dir/k").await.expect(200).header("content-type"), Some("text/plain"));
        let third = other.version("docs", "dir/k");
        if by_s3 {
            s3.delete("docs", "dir/k").await.expect(204);
        } else {
            site.plain(As::Service, "DELETE", "/object/docs/dir/k").await.expect(200);
        }
        assert_eq!(other.version("docs", "dir/k"), "");
        site.server.until_settled();
        assert!(!other.file("docs", "dir/k", &third).exists());
        s3.get("docs", "dir/k").await.refused(404, "NoSuchKey");
    }
    // What was written here is the other's to delete.
    s3.put("docs", "mine", vec![7; 100_000]).await.expect(200);
    other.remove("docs", "mine");
    s3.get("docs", "mine").await.refused(404, "NoSuchKey");
    s3.put("docs", "mine", "anew").await.expect(200);
    assert_eq!(s3.get("docs", "mine").await.expect(200).text(), "anew");
    let moved = json!({"bucketId": "docs", "sourceKey": "mine", "destinationKey": "moved/mine"});
    site.json(As::Service, "POST", "/object/move", moved).await.expect(200);
    site.server.until_settled();
    let version = other.version("docs", "moved/mine");
    assert_eq!(std::fs::read_to_string(other.file("docs", "moved/mine", &version)).expect("there"), "anew");
    assert_eq!(s3.keys_of("docs", "").await, ["moved/mine"]);
}

/// Writers on both sides of one key: what is read is one of the bodies, whole, and one file is left in the end.
#[tokio::test]
async fn conditions_hold_over_rows_of_the_other() {
    let Some(other) = Other::start("conditions_hold_over_rows_of_the_other") else { return };
    other.bucket("docs");
    other.upload("docs", "k", "theirs");
    let site = other.beside();
    let s3 = root(&site);
    s3.call("PUT", "/docs/k").header("if-none-match", "*").body("x").send().await.refused(412, "PreconditionFailed");
    let stale = format!("\"{}\"", md5_hex(b"stale"));
    s3.call("PUT", "/docs/k").header("if-match", &stale).body("x").send().await.refused(412, "PreconditionFailed");
    let dup = site.upload(As::Service, "docs/k", "x").await;
    refused(&dup, "409", "KeyAlreadyExists", "The resource already exists");
    let own = format!("\"{}\"", md5_hex(b"theirs"));
    s3.call("PUT", "/docs/k").header("if-match", &own).body("ours").send().await.expect(200);
    assert_eq!(s3.get("docs", "k").await.expect(200).text(), "ours");
    s3.call("PUT", "/docs")
        .query("versioning", "")
        .body("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        .send()
        .await
        .refused(409, "InvalidBucketState");
    let begun = s3.call("POST", "/docs/big").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = s3.call("PUT", "/docs/big").query("partNumber", "1").query("uploadId", &id).body(vec![1; 5 << 20]);
    let etag = part.send().await.expect(200).etag().to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    s3.call("POST", "/docs/big").query("uploadId", &id).body(list).send().await.expect(200);
    let file = other.file("docs", "big", &other.version("docs", "big"));
    assert_eq!(std::fs::metadata(file).expect("there").len(), 5 << 20);
}

#[tokio::test]
async fn buckets_come_and_go_by_their_rows() {
    let Some(other) = Other::start("buckets_come_and_go_by_their_rows") else { return };
    let site = other.beside();
    let s3 = root(&site);
    let buckets = async || s3.call("GET", "/").send().await.expect(200).elements("Name");
    assert!(buckets().await.is_empty());
    other.bucket("late");
    other.upload("late", "k", "1");
    assert_eq!(s3.get("late", "k").await.expect(200).text(), "1");
    assert_eq!(buckets().await, ["late"]);
    // What it changes of a bucket is noticed.
    site.plain(As::Nobody, "GET", "/object/public/late/k").await.expect(400);
    other.sql("UPDATE storage.buckets SET public = true, file_size_limit = 3 WHERE id = 'late'");
    until("a public bucket", async || site.plain(As::Nobody, "GET", "/object/public/late/k").await.status == 200).await;
    refused(
        &site.upload(As::Service, "late/long", "four").await,
        "413",
        "EntityTooLarge",
        "The object exceeded the maximum allowed size",
    );
    other.remove("late", "k");
    other.sql("SET storage.allow_delete_query = 'true'; DELETE FROM storage.buckets WHERE id = 'late'");
    until("a bucket that is gone", async || s3.call("GET", "/late").send().await.status == 404).await;
    site.bucket(json!({"name": "late"})).await;
    assert_eq!(other.sql("SELECT public, file_size_limit IS NULL FROM storage.buckets WHERE id = 'late'"), "f|t");
    s3.put("late", "k", "2").await.expect(200);
    let version = other.version("late", "k");
    assert_eq!(std::fs::read_to_string(other.file("late", "k", &version)).expect("there"), "2");
    s3.delete("late", "k").await.expect(204);
    s3.call("DELETE", "/late").send().await.expect(204);
    assert_eq!(other.sql("SELECT count(*) FROM storage.buckets"), "0");
}

/// The same over a storage that speaks S3, where names are flat: another server of ours plays it.
#[tokio::test]
async fn its_bucket_of_s3_serves_too() {
    let Some(other) = Other::start("its_bucket_of_s3_serves_too") else { return };
    other.bucket("docs");
    other.migrate();
    let storage = Server::start();
    let there = storage.root();
    there.create_bucket("global").await.expect(200);
    let config = format!(
        "[[provider]]\nname = \"default\"\nprovider = \"amazon\"\nkeyId = \"{}\"\nkey = \"{}\"\nregion = \"us-east-1\"\n\
         endpoint = \"http://{}\"\npath_style = true\nlayout = \"supabase\"\nbucket = \"global\"\ntenant = \"t\"\n\
         separator = \"-$v-\"\n",
        crate::harness::server::ROOT_ACCESS_KEY,
        crate::harness::server::ROOT_SECRET,
        storage.s3
    );
    let site = Site::with(Options { database: Some(other.database.clone()), ..Options::default() }.config(&config));
    let s3 = root(&site);
    let version = other.sql("SELECT gen_random_uuid()");
    let at = |version: &str| format!("t/docs/a//b.txt-$v-{version}");
    let put = there.call("PUT", &format!("/global/{}", at(&version))).header("content-type", "text/plain");
    put.body("theirs").send().await.expect(200);
    other.sql(&format!(
        "INSERT INTO storage.objects (bucket_id, name, version, metadata) VALUES ('docs', 'a//b.txt', '{version}', \
         '{{\"eTag\": \"\\\"{}\\\"\", \"size\": 6, \"mimetype\": \"text/plain\"}}')",
        md5_hex(b"theirs")
    ));
    let read = s3.get("docs", "a//b.txt").await.expect(200);
    assert_eq!((read.text().as_str(), read.etag()), ("theirs", md5_hex(b"theirs").as_str()));
    s3.call("PUT", "/docs/a//b.txt").header("content-type", "text/html").body("ours").send().await.expect(200);
    let ours = other.version("docs", "a//b.txt");
    let found = there.get("global", &at(&ours)).await.expect(200);
    assert_eq!((found.text().as_str(), found.header("content-type")), ("ours", Some("text/html")));
    site.server.until_settled();
    there.get("global", &at(&version)).await.refused(404, "NoSuchKey");
    // The other displaces it, and deletes what was there.
    let third = other.sql("SELECT gen_random_uuid()");
    there.put("global", &at(&third), "theirs again").await.expect(200);
    other.sql(&format!("UPDATE storage.objects SET version = '{third}', metadata = NULL WHERE name = 'a//b.txt'"));
    there.delete("global", &at(&ours)).await.expect(204);
    assert_eq!(s3.get("docs", "a//b.txt").await.expect(200).text(), "theirs again");
    assert_eq!(s3.keys_of("docs", "").await, ["a//b.txt"]);
    s3.delete("docs", "a//b.txt").await.expect(204);
    site.server.until_settled();
    there.get("global", &at(&third)).await.refused(404, "NoSuchKey");
}
