//! Row Level Security: every front answers a role what the database says to that role and its claims.
//!
//! **Invariant:** what is right is never worked out here. The same statement is put to the database as the role, beside the
//! server and by its superuser, and what came of it is what the front must have said.

mod answers;
mod claims;
mod filestore;
mod items;
mod keys;
mod loopback;
mod made;
mod many;
mod rest;
mod s3;
mod uploads;
mod versions;

use serde_json::json;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::{As, Site, U1, U2};
use crate::harness::postgres::database;
use crate::harness::{Client, Options};

pub(super) use answers::{Said, said_by_rest, said_by_s3};

/// Policies as people write them: a folder of one's own, a bucket that everybody reads and whose names those who signed in
/// may change, a drop box, what one owns oneself, and one bucket of which nobody sees anything.
const POLICIES: &str = "
CREATE POLICY own_folder ON storage.objects FOR ALL TO authenticated
    USING (bucket_id = 'own' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text))
    WITH CHECK (bucket_id = 'own' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text));
CREATE POLICY open_read ON storage.objects FOR SELECT USING (bucket_id = 'open');
CREATE POLICY open_names ON storage.objects FOR UPDATE TO authenticated
    USING (bucket_id = 'open') WITH CHECK (bucket_id = 'open');
CREATE POLICY drop_box ON storage.objects FOR INSERT WITH CHECK (bucket_id = 'drop');
CREATE POLICY team_read ON storage.objects FOR SELECT TO authenticated USING (bucket_id = 'team');
CREATE POLICY team_new ON storage.objects FOR INSERT TO authenticated
    WITH CHECK (bucket_id = 'team' AND owner_id = (SELECT auth.uid()::text) AND metadata->>'mimetype' = 'text/plain');
CREATE POLICY team_own ON storage.objects FOR DELETE TO authenticated
    USING (bucket_id = 'team' AND owner_id = (SELECT auth.uid()::text));
CREATE POLICY buckets_seen ON storage.buckets FOR SELECT TO authenticated
    USING (id IN ('own', 'open', 'team') OR owner = (SELECT auth.uid()));
CREATE POLICY buckets_made ON storage.buckets FOR INSERT TO authenticated
    WITH CHECK (starts_with(id, 'mine-') AND owner_id = (SELECT auth.uid()::text) AND file_size_limit IS NULL);
CREATE POLICY buckets_set ON storage.buckets FOR UPDATE TO authenticated
    USING (owner_id = (SELECT auth.uid()::text)) WITH CHECK (NOT public);
CREATE POLICY buckets_gone ON storage.buckets FOR DELETE TO authenticated USING (owner_id = (SELECT auth.uid()::text));
";

/// The buckets of the tables.
pub(super) const BUCKETS: [&str; 5] = ["dark", "drop", "open", "own", "team"];
/// Who asks.
pub(super) const WHO: [As; 4] = [As::Anon, As::User(U1), As::User(U2), As::Service];

/// A server over a catalog in Postgres, with buckets and policies, and the database beside it.
pub(super) struct Ground {
    pub(super) site: Site,
    sql: tokio_postgres::Client,
}

/// The keys of the tables, of which the last has no object.
pub(super) fn keys() -> [String; 4] {
    [format!("{U1}/a"), format!("{U2}/b"), "plain".to_owned(), "absent".to_owned()]
}

impl Ground {
    /// With the buckets and policies of the tables; nothing where there is no database server.
    pub(super) async fn start(test: &str) -> Option<Self> {
        Self::with(test, Options::default()).await
    }

    pub(super) async fn with(test: &str, options: Options) -> Option<Self> {
        let database = database(test)?;
        let (sql, connection) = tokio_postgres::connect(&database.admin, NoTls).await.expect("a database");
        tokio::spawn(connection);
        // Those that are FileStores are there from the start.
        let there = options.config.as_deref().unwrap_or_default().contains("[[filestore.service]]");
        let site = Site::with(Options { database: Some(database), ..options });
        for bucket in BUCKETS {
            if !there {
                site.bucket(json!({"name": bucket})).await;
            }
            for key in &keys()[..3] {
                site.upload(As::Service, &format!("{bucket}/{key}"), "seed").await.expect(200);
            }
        }
        sql.batch_execute(POLICIES).await.expect("policies");
        let ground = Self { site, sql };
        ground.own_folders().await;
        Some(ground)
    }

    /// Whose folder it is owns what is in it.
    async fn own_folders(&self) {
        let owned = "UPDATE storage.objects SET owner_id = split_part(name, '/', 1), owner = split_part(name, '/', 1)::uuid \
            WHERE name LIKE '________-%/%'";
        self.superuser(owned).await;
    }

    /// Puts a key of a table back to what it was at the start.
    pub(super) async fn mend(&self, bucket: &str, key: &str) {
        if key == keys()[3] || !keys().iter().any(|known| known == key) {
            self.site.plain(As::Service, "DELETE", &format!("/object/{bucket}/{key}")).await;
            return;
        }
        let call = self.site.call(As::Service, "PUT", &format!("/object/{bucket}/{key}"));
        call.header("content-type", "text/plain").body("seed").send().await.expect(200);
        self.own_folders().await;
    }

    /// Runs statements as the superuser.
    pub(super) async fn superuser(&self, text: &str) {
        self.sql.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    /// What a statement comes to under a role with its claims; nothing of it is left.
    pub(super) async fn ask(&self, who: As, text: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, SqlState> {
        let (role, claims) = who.claims();
        let sub = claims.get("sub").and_then(|sub| sub.as_str()).unwrap_or_default().to_owned();
        self.sql.batch_execute("BEGIN").await.expect("begins");
        let settings = "SELECT set_config('request.jwt.claims', $1, true), set_config('request.jwt.claim.sub', $2, true), \
            set_config('request.jwt.claim.role', $3, true), set_config('storage.allow_delete_query', 'true', true), \
            set_config('search_path', 'storage, public', true), set_config('role', $3, true)";
        let answer = match self.sql.execute(settings, &[&claims.to_string(), &sub, &role]).await {
            Ok(_) => self.sql.query(text, values).await,
            Err(error) => Err(error),
        };
        self.sql.batch_execute("ROLLBACK").await.expect("ends");
        answer.map_err(|error| error.code().cloned().unwrap_or_else(|| panic!("{text}: {error:?}")))
    }

    /// The first column of what a statement shows to a role.
    pub(super) async fn names(&self, who: As, text: &str, values: &[&(dyn ToSql + Sync)]) -> Vec<String> {
        let rows = self.ask(who, text, values).await.unwrap_or_else(|code| panic!("{who:?} {text}: {code:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// A client of S3 with a key of a role.
    pub(super) fn s3(&self, who: As) -> Client {
        client(&self.site, who)
    }
}

/// A client of S3 with a key of a role.
pub(super) fn client(site: &Site, who: As) -> Client {
    let (role, claims) = who.claims();
    let mut args = vec!["key", "create", "--json", "--role", &role];
    let sub = claims.get("sub").and_then(|sub| sub.as_str());
    args.extend(sub.iter().flat_map(|sub| ["--sub", *sub]));
    let key: serde_json::Value = serde_json::from_str(&site.server.run(&args)).expect("JSON");
    assert_eq!(key["claims"], claims);
    let field = |name: &str| key[name].as_str().expect("a text").to_owned();
    site.server.client(&field("access_key"), &field("secret_key"))
}
