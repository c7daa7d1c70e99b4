//! Buckets that are made by SQL, as in a migration.

use super::Ground;
use crate::supabase::{As, refused};

/// A bucket that a migration makes is one, with what its row says, and its objects lie where those of others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_made_by_sql_is_a_bucket_on_every_front() {
    let Some(ground) = Ground::start("a_bucket_made_by_sql").await else { return };
    let made = "INSERT INTO storage.buckets (id, name, public, file_size_limit) VALUES ('by-sql', 'by-sql', true, 10), \
                ('second', 'second', false, NULL)";
    ground.superuser(made).await;
    let site = &ground.site;
    site.call(As::Service, "POST", "/object/by-sql/a.txt").body("text").send().await.expect(200);
    let large = site.call(As::Service, "POST", "/object/by-sql/b.txt").body("more than ten bytes").send().await;
    refused(&large, "413", "EntityTooLarge", "The object exceeded the maximum allowed size");
    let seen = site.plain(As::Nobody, "GET", "/object/public/by-sql/a.txt").await.expect(200);
    assert_eq!(seen.text(), "text");
    let root = site.server.root();
    assert_eq!(root.get("by-sql", "a.txt").await.expect(200).text(), "text");
    let listed = root.call("GET", "/").send().await.expect(200).text();
    assert!(listed.contains("<Name>by-sql</Name>") && listed.contains("<Name>second</Name>"), "{listed}");
    root.put("second", "key", "x").await.expect(200);
    assert_eq!(site.plain(As::Nobody, "GET", "/object/public/second/key").await.status, 400);
    assert!(site.server.data().join("second/key").is_file());
    root.delete("second", "key").await.expect(204);
    root.call("DELETE", "/second").send().await.expect(204);
    assert_eq!(root.call("GET", "/second").send().await.status, 404);
}
