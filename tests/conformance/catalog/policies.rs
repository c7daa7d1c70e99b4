//! What policies let a role see and do through the catalog is what they let it see and do by SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore::catalog::{Acting, Catalog, Change, Commit, Error, Intent, Scope};
use longshore::model::id::BucketId;
use longshore::model::object::Object;
use longshore::model::page::Seek;

use super::postgres::{at, over_few};
use super::samples::*;
use crate::harness::postgres::{Database, Postgres, database, postgres};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// Policies as people write them: an open bucket, a folder of one's own, a drop box, by owner, by type, by operation.
const POLICIES: &str = "
CREATE POLICY open_read ON storage.objects FOR SELECT USING (bucket_id = 'open');
CREATE POLICY own_folder ON storage.objects FOR ALL TO authenticated
    USING (bucket_id = 'own' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text))
    WITH CHECK (bucket_id = 'own' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text));
CREATE POLICY drop_box ON storage.objects FOR INSERT TO anon WITH CHECK (bucket_id = 'drop');
CREATE POLICY images ON storage.objects FOR INSERT TO authenticated
    WITH CHECK (bucket_id = 'open' AND metadata->>'mimetype' LIKE 'image/%' AND (metadata->>'contentLength')::int < 100);
CREATE POLICY team ON storage.objects FOR SELECT USING (bucket_id = 'team' AND auth.jwt()->'app'->>'team' = 'red');
CREATE POLICY listed ON storage.objects FOR SELECT
    USING (bucket_id = 'listed' AND storage.allow_only_operation('object.list'));
CREATE POLICY buckets_open ON storage.buckets FOR SELECT USING (id IN ('open', 'own') OR auth.role() = 'authenticated');
";

struct Site {
    server: &'static Postgres,
    database: Database,
    catalog: Arc<dyn Catalog>,
    buckets: BTreeMap<&'static str, BucketId>,
}

async fn site(test: &str) -> Option<Site> {
    let server = postgres(test)?;
    let database = database(test)?;
    let catalog = at(&database).await;
    server.sql(&database.name, POLICIES);
    let mut buckets = BTreeMap::new();
    for name in ["drop", "listed", "open", "own", "team"] {
        let id = bucket(&catalog, name).await.id;
        for text in [format!("{ALICE}/a"), format!("{BOB}/b"), "plain".to_owned()] {
            insert(&catalog, id, &plain(&text)).await;
        }
        buckets.insert(name, id);
    }
    Some(Site { server, database, catalog: Arc::new(catalog), buckets })
}

impl Site {
    /// What SQL shows to the role with the same claims, as the first column of each row.
    fn sql(&self, scope: &Scope, text: &str) -> Vec<String> {
        let Scope::As(acting) = scope else { panic!("a role") };
        let settings = format!(
            "BEGIN; SET LOCAL request.jwt.claims = '{}'; SET LOCAL storage.operation = '{}'; SET LOCAL ROLE {}; {text}; ROLLBACK",
            acting.claims, acting.operation, acting.role
        );
        self.server.sql(&self.database.name, &settings).lines().map(str::to_owned).collect()
    }

    async fn write(&self, scope: &Scope, bucket: &str, object: &Object) -> Result<(), Error> {
        let bucket = self.buckets[bucket];
        let current = self.catalog.object(US, bucket, &object.key).await.expect("an answer");
        let change = Change::of_row(bucket, object.key.clone(), current.map(|row| row.seen()), Some(object.clone()));
        self.catalog.commit(scope, commit(vec![change])).await.map(|_| ())
    }

    async fn remove(&self, scope: &Scope, bucket: &str, text: &str) -> Result<(), Error> {
        let bucket = self.buckets[bucket];
        let current = self.catalog.object(US, bucket, &key(text)).await.expect("an answer").expect("there");
        let change = Change::of_row(bucket, key(text), Some(current.seen()), None);
        self.catalog.commit(scope, commit(vec![change])).await.map(|_| ())
    }
}

fn roles() -> Vec<Scope> {
    let mut roles = Vec::new();
    for operation in ["storage.object.list", "storage.object.get_authenticated"] {
        roles.push(as_role("anon", "", operation));
        roles.push(as_role("authenticated", ALICE, operation));
        roles.push(as_role("authenticated", BOB, operation));
        roles.push(as_role("authenticated", "no uuid", operation));
    }
    roles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_sees_what_its_policies_show() {
    let Some(site) = site("a_role_sees_what_its_policies_show").await else { return };
    let mut shown = 0;
    for scope in &roles() {
        // Where the subject is no UUID the policies themselves fail, and so does whoever asks.
        let fails = matches!(scope, Scope::As(acting) if acting.claims["sub"] == "no uuid");
        if fails {
            let listed = site.catalog.list(scope, site.buckets["own"], window("", Seek::From(String::new()), 9)).await;
            assert!(matches!(&listed, Err(Error::Policy { state, .. }) if state == "22P02"), "{listed:?}");
            continue;
        }
        let names = "SELECT id FROM storage.buckets ORDER BY id COLLATE \"C\"";
        let found = site.catalog.buckets(scope, "", None, 99).await.unwrap();
        let found: Vec<_> = found.iter().map(|bucket| bucket.name.as_str().to_owned()).collect();
        assert_eq!(found, site.sql(scope, names), "{scope:?}");
        for (name, id) in &site.buckets {
            let one = site.catalog.bucket(scope, &super::samples::name(name)).await.unwrap();
            assert_eq!(one.is_some(), found.iter().any(|found| found == name), "{name} {scope:?}");
            let keys_of =
                format!("SELECT name FROM storage.objects WHERE bucket_id = '{name}' ORDER BY name COLLATE \"C\"");
            let wanted = site.sql(scope, &keys_of);
            for limit in [1, 2, 99] {
                let page = site.catalog.list(scope, *id, window("", Seek::From(String::new()), limit)).await.unwrap();
                let page: Vec<_> = page.iter().map(|entry| entry.key.as_str().to_owned()).collect();
                assert_eq!(page, wanted[..limit.min(wanted.len())], "{name} {scope:?}");
            }
            for text in [format!("{ALICE}/a"), format!("{BOB}/b"), "plain".to_owned(), "missing".to_owned()] {
                let seen = site.catalog.object(scope, *id, &key(&text)).await.unwrap();
                assert_eq!(seen.is_some(), wanted.contains(&text), "{name} {text} {scope:?}");
                shown += usize::from(seen.is_some());
            }
        }
    }
    assert!(shown > 20, "only {shown} rows were ever shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_does_what_its_policies_let_it() {
    let Some(site) = site("a_role_does_what_its_policies_let_it").await else { return };
    let (anon, alice) = (as_role("anon", "", ""), as_role("authenticated", ALICE, ""));
    let own = format!("{ALICE}/new");
    let only_new = |scope: &Scope| {
        let Scope::As(acting) = scope else { panic!("a role") };
        Scope::As(Acting { only_new: true, ..acting.clone() })
    };
    let denied = |outcome: Result<(), Error>| assert!(matches!(outcome, Err(Error::Denied)), "{outcome:?}");

    site.write(&alice, "own", &plain(&own)).await.expect("her folder");
    site.write(&alice, "own", &plain(&own)).await.expect("and again");
    denied(site.write(&alice, "own", &plain(&format!("{BOB}/new"))).await);
    denied(site.write(&anon, "own", &plain(&own)).await);
    // Who may insert and not read may make a new object, and replace none.
    denied(site.write(&anon, "drop", &plain("dropped")).await);
    site.write(&only_new(&anon), "drop", &plain("dropped")).await.expect("a drop box");
    let again = site.write(&only_new(&anon), "drop", &plain("dropped")).await;
    assert!(matches!(again, Err(Error::Conflict)), "{again:?}");

    let mut image = plain("picture");
    image.content.content_type = Some("image/png".into());
    site.write(&only_new(&alice), "open", &image).await.expect("an image");
    denied(
        site.write(&only_new(&alice), "open", &Object { size: 100, ..Object { key: key("long"), ..image.clone() } })
            .await,
    );
    denied(site.write(&only_new(&alice), "open", &plain("text")).await);

    denied(site.remove(&alice, "open", "plain").await);
    denied(site.remove(&alice, "own", &format!("{BOB}/b")).await);
    site.remove(&alice, "own", &own).await.expect("her own");
    assert_eq!(site.catalog.object(US, site.buckets["own"], &key(&own)).await.unwrap(), None);
    assert!(site.catalog.object(US, site.buckets["open"], &key("plain")).await.unwrap().is_some());
    assert_eq!(site.catalog.usage(US, site.buckets["open"]).await.unwrap().0, 4, "what was refused is not there");
}

/// Buckets are made, opened and removed as the policies of their table say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_has_the_buckets_its_policies_give_it() {
    let Some(site) = site("a_role_has_the_buckets_its_policies_give_it").await else { return };
    let more = "CREATE POLICY mine ON storage.buckets FOR ALL TO authenticated \
        USING (owner_id = auth.uid()::text OR id = 'alices') WITH CHECK (starts_with(id, 'alice'))";
    site.server.sql(&site.database.name, more);
    let (alice, anon) = (as_role("authenticated", ALICE, ""), as_role("anon", "", ""));
    let created = site.catalog.create_bucket(&alice, new_bucket("bobs")).await;
    assert!(matches!(created, Err(Error::Denied)), "{created:?}");
    let created = site.catalog.create_bucket(&anon, new_bucket("alices")).await;
    assert!(matches!(created, Err(Error::Denied)), "{created:?}");
    let hers = site.catalog.create_bucket(&alice, new_bucket("alices")).await.expect("she may");
    let taken = site.catalog.create_bucket(&alice, new_bucket("alices")).await;
    assert!(matches!(taken, Err(Error::AlreadyExists)), "{taken:?}");
    let public = longshore::model::bucket::BucketSettings { public: true, ..hers.settings };
    assert_missing(site.catalog.set_bucket(&anon, hers.id, public).await);
    site.catalog.set_bucket(&alice, hers.id, public).await.expect("she may");
    assert!(site.catalog.bucket(US, &hers.name).await.unwrap().expect("there").settings.public);
    insert(&*site.catalog, hers.id, &plain("k")).await;
    let full = site.catalog.delete_bucket(&alice, hers.id, false).await;
    assert!(matches!(full, Err(Error::NotEmpty)), "{full:?}");
    let row = site.catalog.object(US, hers.id, &key("k")).await.unwrap().expect("there");
    site.catalog.commit(US, commit(vec![change(hers.id, "k", Some(row.version), None)])).await.unwrap();
    assert_missing(site.catalog.delete_bucket(&anon, hers.id, false).await);
    site.catalog.delete_bucket(&alice, hers.id, false).await.expect("she may");
    assert_eq!(site.catalog.bucket(US, &hers.name).await.unwrap(), None);
}

/// The question before the body leaves nothing behind, and has the answer of the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_leaves_nothing() {
    let Some(site) = site("a_question_leaves_nothing").await else { return };
    let alice = as_role("authenticated", ALICE, "");
    let write = Intent::Write { content_type: Some("text/plain".into()), length: Some(1), user: None };
    let before = site.server.sql(&site.database.name, "SELECT count(*), max(updated_at) FROM storage.objects");
    let may = async |bucket: &str, text: &str, intent: &Intent| {
        site.catalog.may(&alice, site.buckets[bucket], &key(text), intent).await
    };
    let (hers, his) = (format!("{ALICE}/a"), format!("{BOB}/b"));
    may("own", &hers, &write).await.expect("hers");
    may("own", &hers, &Intent::Remove).await.expect("hers");
    for (text, intent) in [(&his, &write), (&his, &Intent::Remove)] {
        assert!(matches!(may("own", text, intent).await, Err(Error::Denied)), "{text}");
    }
    let Scope::As(acting) = &alice else { panic!("a role") };
    let new = Scope::As(Acting { only_new: true, ..acting.clone() });
    let taken = site.catalog.may(&new, site.buckets["own"], &key(&hers), &write).await;
    assert!(matches!(taken, Err(Error::AlreadyExists)), "{taken:?}");
    site.catalog.may(US, site.buckets["own"], &key(&his), &write).await.expect("Longshore itself");
    assert_eq!(site.server.sql(&site.database.name, "SELECT count(*), max(updated_at) FROM storage.objects"), before);
}

/// Callers take turns on few connections, some are cut off: nobody ever sees by another one's claims.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leak_nothing() {
    for connections in [1, 2] {
        let Some(site) = site("connections_leak_nothing").await else { return };
        let catalog: Arc<dyn Catalog> = Arc::new(over_few(&site.database, connections).await);
        take_turns(Arc::new(Site { catalog, ..site })).await;
    }
}

async fn take_turns(site: Arc<Site>) {
    let callers: Vec<_> = (0..200)
        .map(|i: usize| {
            let site = Arc::clone(&site);
            let caller = tokio::spawn(async move {
                let own = site.buckets["own"];
                let (hers, his) = (format!("{ALICE}/a"), format!("{BOB}/b"));
                for _ in 0..5 {
                    let (scope, wanted) = match i % 4 {
                        0 => (as_role("authenticated", ALICE, ""), vec![hers.clone()]),
                        1 => (as_role("authenticated", BOB, ""), vec![his.clone()]),
                        2 => (as_role("anon", "", ""), vec![]),
                        _ => (Scope::Service, vec![hers.clone(), his.clone(), "plain".to_owned()]),
                    };
                    let page = site.catalog.list(&scope, own, window("", Seek::From(String::new()), 9)).await.unwrap();
                    let page: Vec<_> = page.iter().map(|entry| entry.key.as_str().to_owned()).collect();
                    assert_eq!(page, wanted, "{scope:?}");
                    let seen = site.catalog.object(&scope, own, &key(&hers)).await.unwrap();
                    assert_eq!(seen.is_some(), wanted.contains(&hers), "{scope:?}");
                }
            });
            if i.is_multiple_of(7) {
                caller.abort();
            }
            caller
        })
        .collect();
    for caller in callers {
        match caller.await {
            Ok(()) => {}
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
}

/// A policy that hides nearly everything costs windows, not the memory of all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_hides_nearly_all_is_asked_in_windows() {
    let Some(site) = site("a_policy_that_hides_nearly_all_is_asked_in_windows").await else { return };
    let some = site.catalog.object(US, site.buckets["own"], &key("plain")).await.unwrap().expect("there").version;
    let many = format!(
        "INSERT INTO storage.objects (bucket_id, name, version) SELECT 'own', \
            CASE WHEN i % 1000 = 0 THEN '{ALICE}/' || lpad(i::text, 6, '0') ELSE lpad(i::text, 6, '0') || '/x' END, \
            lpad(to_hex(i), 32, '0') FROM generate_series(1, 50000) i; \
         INSERT INTO longshore.facts SELECT (jsonb_populate_record(f, \
            jsonb_build_object('version', lpad(to_hex(i), 32, '0')))).* \
         FROM generate_series(1, 50000) i, longshore.facts f WHERE f.version = '{some}'"
    );
    site.server.sql(&site.database.name, &many);
    let alice = as_role("authenticated", ALICE, "");
    let page =
        site.catalog.list(&alice, site.buckets["own"], window("", Seek::From(String::new()), 1000)).await.unwrap();
    assert_eq!(page.len(), 51);
    assert!(page.is_sorted_by(|a, b| a.key < b.key));
    assert!(page.iter().all(|entry| entry.key.as_str().starts_with(ALICE)));
    let empty = Commit::default();
    site.catalog.commit(&alice, empty).await.expect("nothing is refused to nobody");
}
