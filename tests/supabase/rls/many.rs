//! Lists under a policy that hides nearly everything: pages in bounded time and memory, and nothing is missing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Ground;
use crate::harness::{Client, Options, report};
use crate::supabase::{As, U1, U2, body};

/// How long one page may take, on a machine that does other things too.
const PAGE_MAX: Duration = Duration::from_secs(15);
/// Most bytes of memory of the server.
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// Rows of the bucket, and pages that they are read in at least: at full size what is hidden is more than one look.
fn size() -> (u32, usize) {
    let full = std::env::var("LONGSHORE_FAULT").is_ok_and(|size| size == "full");
    if full { (1_000_000, 3) } else { (20_000, 1) }
}

impl Ground {
    /// Rows with their facts, of which each thousandth is in the folder of the first user.
    async fn fill(&self, rows: u32) {
        self.site.upload(As::Service, "own/model", "seed").await.expect(200);
        self.superuser(&format!(
            "INSERT INTO storage.objects (bucket_id, name, version, metadata) SELECT 'own', \
                CASE WHEN i % 1000 = 0 THEN '{U1}/' || lpad(i::text, 7, '0') ELSE lpad(i::text, 7, '0') || '/x' END, \
                lpad(to_hex(i), 32, '0'), '{{}}' FROM generate_series(1, {rows}) i"
        ))
        .await;
        self.superuser(&format!(
            "INSERT INTO longshore.facts SELECT (jsonb_populate_record(f, \
                jsonb_build_object('version', lpad(to_hex(i), 32, '0')))).* FROM generate_series(1, {rows}) i, \
                longshore.facts f JOIN storage.objects o ON o.version = f.version WHERE o.name = 'model'"
        ))
        .await;
    }

    /// The keys that one page after another shows, with the longest time of one and their number.
    async fn pages(&self, client: &Client, delimiter: bool) -> (Vec<String>, Duration, usize) {
        let (mut keys, mut longest, mut pages) = (Vec::new(), Duration::ZERO, 0);
        let mut token: Option<String> = None;
        loop {
            let mut call = client.call("GET", "/own").query("list-type", "2");
            if delimiter {
                call = call.query("delimiter", "/");
            }
            if let Some(token) = &token {
                call = call.query("continuation-token", token);
            }
            let began = Instant::now();
            let page = call.send().await.expect(200);
            longest = longest.max(began.elapsed());
            pages += 1;
            keys.extend(page.elements("Key"));
            if delimiter {
                keys.extend(page.elements("Prefix").into_iter().filter(|prefix| !prefix.is_empty()));
            }
            token = page.elements("NextContinuationToken").into_iter().next();
            if token.is_none() {
                return (keys, longest, pages);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_which_nearly_all_is_hidden_is_bounded_and_whole() {
    let options = Options::default().env("LONGSHORE_LOG", "warn");
    let Some(ground) = Ground::with("a_list_of_which_nearly_all_is_hidden", options).await else { return };
    let (rows, pages_min) = size();
    ground.fill(rows).await;
    let one = ground.s3(As::User(U1));
    let seen = ground.seen(As::User(U1), "own").await;
    assert_eq!(seen.len(), rows as usize / 1000 + 1);
    let (keys, longest, pages) = ground.pages(&one, false).await;
    assert_eq!(keys, seen);
    assert!(longest < PAGE_MAX && pages >= pages_min, "{longest:?} {pages}");
    let (level, of_level, _) = ground.pages(&one, true).await;
    assert_eq!(level, [format!("{U1}/")]);
    assert!(of_level < PAGE_MAX, "{of_level:?}");
    // Who sees nothing of it sees nothing of the names in between either.
    let (none, of_none, _) = ground.pages(&ground.s3(As::Anon), false).await;
    assert!(none.is_empty() && of_none < PAGE_MAX, "{of_none:?}");
    let mut cursor: Option<String> = None;
    let mut names = Vec::new();
    loop {
        let asked = json!({"limit": 7, "cursor": cursor.clone().unwrap_or_default()});
        let listed = ground.site.json(As::User(U2), "POST", "/object/list-v2/own", asked).await.expect(200);
        let listed = body(&listed);
        let text = |row: &Value| row["name"].as_str().expect("a name").to_owned();
        names.extend(listed["objects"].as_array().expect("rows").iter().map(text));
        cursor = listed["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
        let plain =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, cursor.as_deref().unwrap_or_default());
        let plain = String::from_utf8(plain.expect("base64")).expect("text");
        assert!(!plain.contains("/x"), "{plain} tells of a key that is hidden");
    }
    assert_eq!(names, [format!("{U2}/b")]);
    let began = Instant::now();
    let asked = json!({"prefix": "", "limit": 100});
    let first = ground.site.json(As::User(U1), "POST", "/object/list/own", asked).await.expect(200);
    assert_eq!(body(&first)[0]["name"], U1);
    let memory = ground.site.server.peak_memory_bytes();
    assert!(memory < MEMORY_MAX, "{memory}");
    report::report(&format!(
        "of {rows} rows {} are seen: {pages} pages, the longest {longest:?}, of one level {of_level:?}, of nothing \
         {of_none:?}, the first form {:?}, {} MiB",
        seen.len(),
        began.elapsed(),
        memory / 1024 / 1024
    ));
}
