//! The store's suite: each behaviour runs in memory and on files, in each layout.
//!
//! What the store wrote is checked another way wherever there is one: by hashing here, by reading the directory.

mod anew;
mod archived;
mod edits;
mod halves;
mod holes;
mod holes_of_files;
pub(crate) mod hooked;
mod identities;
mod inline;
mod mended;
mod moves;
mod multipart;
mod objects;
mod sealed;
mod versions;
mod walks;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::auth::secret::{MasterKey, Secret};
use longshore::catalog::postgres::{self, PostgresCatalog};
use longshore::catalog::sqlite::{self, SqliteCatalog};
use longshore::catalog::{Catalog, GatewayId};
use longshore::model::bucket::{BucketRule, BucketRules};
use longshore::model::caller::Caller;
use longshore::model::condition::Conditions;
use longshore::model::name::{BucketName, ObjectKey};
use longshore::model::object::{Content, Object};
use longshore::model::page::PageQuery;
use longshore::model::place::Layout;
use longshore::provider::fs::{self, FsProvider};
use longshore::provider::memory::MemoryProvider;
use longshore::provider::{Body, Provider};
use longshore::store::request::{DeleteRequest, GetRequest, Incoming, Portion, PutRequest};
use longshore::store::{Attach, Error, RootCredentials, Store, StoreParts};

/// A store over one provider and layout, in a directory of its own.
pub(crate) struct Bed {
    pub(crate) store: Store,
    pub(crate) bucket: BucketName,
    pub(crate) layout: Layout,
    /// The directory of the bucket, if the provider has one.
    pub(crate) files: Option<PathBuf>,
    kind: Kind,
    dir: tempfile::TempDir,
}

pub(crate) const ROOT: Caller = Caller::ROOT;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fs,
    /// Synced, so that small bodies are kept in the catalog first.
    Synced,
    Memory,
}

impl Bed {
    async fn new(kind: Kind, layout: Layout) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let provider = provider(kind, dir.path());
        Self::over(provider, kind, layout, dir).await
    }

    /// Over some provider whose containers are in the directory `data`, if they are in any.
    async fn over(provider: Arc<dyn Provider>, kind: Kind, layout: Layout, dir: tempfile::TempDir) -> Self {
        let store = open_over(provider, layout, dir.path());
        store.attach(Attach::Serve).await.expect("attaches");
        let bucket = BucketName::new("bed").expect("legal");
        store.create_bucket(&ROOT, &bucket, Default::default()).await.expect("a bucket");
        let files = (kind != Kind::Memory).then(|| dir.path().join("data/bed"));
        Self { store, bucket, layout, files, kind, dir }
    }

    /// Stops the store cleanly and opens another one, with the catalog or without it.
    pub(crate) async fn reopen(&mut self, keep_catalog: bool) {
        self.store.release().await.expect("a clean stop");
        self.open_again(keep_catalog).await;
    }

    /// The same after the store was stopped.
    pub(crate) async fn open_again(&mut self, keep_catalog: bool) {
        if !keep_catalog {
            lose_catalog(self.dir.path());
        }
        self.store = open(self.kind, self.layout, self.dir.path());
        let why = if keep_catalog { Attach::Serve } else { Attach::Rebuild };
        self.store.attach(why).await.expect("attaches");
    }

    /// Ends the store without a stop, lets `damage` do what a crash does, and starts another one.
    pub(crate) async fn crash(&mut self, damage: impl FnOnce()) {
        self.crash_into(Attach::Serve, damage).await;
    }

    /// The same, with another reason to start.
    pub(crate) async fn crash_into(&mut self, why: Attach, damage: impl FnOnce()) {
        damage();
        self.store = open(self.kind, self.layout, self.dir.path());
        self.store.attach(why).await.expect("attaches");
    }

    /// How many versions the catalog keeps the bytes of, as its file says.
    pub(crate) fn kept(&self) -> i64 {
        if let Ok(url) = std::fs::read_to_string(self.dir.path().join(ADDRESS)) {
            let server = crate::harness::postgres::postgres("a bed").expect("it is running");
            let database = url.rsplit('/').next().expect("a name");
            let count = "SELECT count(*) FROM longshore.outbox WHERE bytes IS NOT NULL";
            return server.sql(database, count).parse().expect("a number");
        }
        let catalog = rusqlite::Connection::open(self.dir.path().join("catalog.db")).expect("opens");
        let count = "SELECT count(*) FROM outbox WHERE bytes IS NOT NULL";
        catalog.query_row(count, [], |row| row.get(0)).expect("counts")
    }

    pub(crate) async fn put(&self, key: &str, body: &[u8]) -> Result<Object, Error> {
        self.put_if(key, body, Conditions::default()).await
    }

    pub(crate) async fn put_if(&self, key: &str, body: &[u8], conditions: Conditions) -> Result<Object, Error> {
        let content = Content { content_type: Some("text/plain".into()), ..Content::default() };
        let (bucket, key, body) = (self.bucket.clone(), self::key(key), incoming(body));
        self.store.put(&ROOT, PutRequest { given: Default::default(), bucket, key, content, conditions, body }).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<(Object, Vec<u8>), Error> {
        self.read(key, Portion::Whole).await
    }

    pub(crate) async fn read(&self, key: &str, portion: Portion) -> Result<(Object, Vec<u8>), Error> {
        let found = self.store.get(&ROOT, self.request(key, portion)).await?;
        Ok((found.found.object, bytes(found.body).await?))
    }

    pub(crate) fn request(&self, key: &str, portion: Portion) -> GetRequest {
        let conditions = Conditions::default();
        GetRequest {
            version: None,
            bucket: self.bucket.clone(),
            key: self::key(key),
            portion,
            conditions,
            if_range: None,
            customer_key: None,
        }
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), Error> {
        let (bucket, key) = (self.bucket.clone(), self::key(key));
        self.store
            .delete(
                &ROOT,
                DeleteRequest {
                    version: None,
                    bypass_governance: false,
                    bucket,
                    key,
                    conditions: Conditions::default(),
                },
            )
            .await
            .map(|_| ())
    }

    /// Every key, by pages of `limit`.
    pub(crate) async fn keys(&self, prefix: &str, delimiter: Option<&str>, limit: usize) -> (Vec<String>, Vec<String>) {
        let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let delimiter = delimiter.map(str::to_owned);
            let query = PageQuery { prefix: prefix.into(), delimiter, after, limit };
            let page = self.store.list(&ROOT, &self.bucket, query).await.expect("lists");
            assert!(page.entries.len() + page.prefixes.len() <= limit);
            keys.extend(page.entries.into_iter().map(|e| e.key.as_str().to_owned()));
            prefixes.extend(page.prefixes);
            after = page.next;
            if after.is_none() {
                return (keys, prefixes);
            }
        }
    }

    /// Asserts how many managed files there are: a refused or cut request leaves none. What was displaced is freed behind
    /// the answer, so it may take a moment.
    pub(crate) fn assert_managed(&self, count: usize) {
        let Some(files) = &self.files else { return };
        let ours = files.join(".longshore");
        let managed = || ["objects", "tmp"].iter().flat_map(|dir| walk(&ours.join(dir))).collect::<Vec<_>>();
        let until = Instant::now() + Duration::from_secs(10);
        while managed().len() != count && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(managed().len(), count, "{:?}", managed());
    }
}

pub(crate) fn walk(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

fn open(kind: Kind, layout: Layout, dir: &std::path::Path) -> Store {
    open_over(provider(kind, dir), layout, dir)
}

fn provider(kind: Kind, dir: &std::path::Path) -> Arc<dyn Provider> {
    let root = dir.join("data");
    std::fs::create_dir_all(&root).expect("a directory");
    match kind {
        Kind::Fs => Arc::new(FsProvider::open(&root, fs::Durability::Os).expect("opens")),
        Kind::Synced => Arc::new(FsProvider::open(&root, fs::Durability::Fsync).expect("opens")),
        Kind::Memory => Arc::new(MemoryProvider::new()),
    }
}

/// The file with the address of a catalog in Postgres, in the directory of a bed that has one.
const ADDRESS: &str = "catalog.url";

/// Gives the bed in a directory a fresh catalog in Postgres. False: there is no server.
fn share_catalog(dir: &std::path::Path, test: &str) -> bool {
    let Some(database) = crate::harness::postgres::database(test) else { return false };
    std::fs::write(dir.join(ADDRESS), &database.url).expect("writes");
    true
}

/// Takes the catalog of a bed away: the next one is empty.
fn lose_catalog(dir: &std::path::Path) {
    if dir.join(ADDRESS).exists() {
        share_catalog(dir, "another catalog");
    }
    for entry in std::fs::read_dir(dir).expect("reads").flatten() {
        if entry.file_name().to_string_lossy().starts_with("catalog.db") {
            std::fs::remove_file(entry.path()).expect("removes");
        }
    }
}

/// `gateway`: as one of several, where the catalog can be shared.
fn open_catalog(dir: &std::path::Path, gateway: Option<GatewayId>) -> Arc<dyn Catalog> {
    let Ok(url) = std::fs::read_to_string(dir.join(ADDRESS)) else {
        let options = sqlite::OpenOptions { durability: sqlite::Durability::Os, ..sqlite::OpenOptions::default() };
        return Arc::new(SqliteCatalog::open(&dir.join("catalog.db"), options).expect("opens"));
    };
    let options = postgres::OpenOptions { lazily: true, gateway, ..postgres::OpenOptions::default() };
    let open = async { PostgresCatalog::open(&Secret::new(&url), options).await };
    let catalog = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(open));
    Arc::new(catalog.expect("opens"))
}

fn open_over(provider: Arc<dyn Provider>, layout: Layout, dir: &std::path::Path) -> Store {
    let rule = BucketRule { pattern: "*".into(), layout: Some(layout), ..BucketRule::default() };
    open_ruled(provider, BucketRules(vec![rule]), open_catalog(dir, None))
}

fn open_ruled(provider: Arc<dyn Provider>, bucket_rules: BucketRules, catalog: Arc<dyn Catalog>) -> Store {
    Store::new(StoreParts {
        catalog,
        providers: BTreeMap::from([("default".to_owned(), provider.into())]),
        default_provider: "default".into(),
        inline_bytes_max: longshore::config::limits::INLINE_BYTES_MAX,
        bucket_rules,
        master_key: MasterKey::new([7; 32]),
        named_keys: Default::default(),
        targets: Vec::new(),
        region: String::new(),
        root: RootCredentials { access_key: "root".into(), secret: Secret::new("not needed here") },
    })
}

pub(crate) fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).expect("a legal key")
}

/// A body in frames of uneven sizes.
pub(crate) fn incoming(body: &[u8]) -> Incoming {
    let frames: Vec<_> = body.chunks(70_001).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Incoming::new(Box::pin(futures_util::stream::iter(frames)), Some(body.len() as u64))
}

pub(crate) async fn bytes(body: Body) -> Result<Vec<u8>, Error> {
    match body {
        Body::Whole(bytes) => Ok(bytes.to_vec()),
        Body::Blocks(mut blocks) => {
            let mut all = Vec::new();
            while let Some(block) = blocks.next().await {
                all.extend_from_slice(&block?);
            }
            Ok(all)
        }
    }
}

pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed)).collect()
}

pub(crate) fn md5_hex(body: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

type Behaviour = (&'static str, for<'a> fn(&'a mut Bed) -> Pin<Box<dyn Future<Output = ()> + 'a>>);

macro_rules! behaviours {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |bed| Box::pin($module::$name(bed)))),*]
    };
}

/// What holds on every provider.
const EVERYWHERE: &[Behaviour] = behaviours![
    identities::users_and_keys_are_for_administrators,
    objects::what_is_put_is_got_and_listed,
    objects::overwrite_and_delete_leave_nothing_behind,
    objects::keys_of_any_shape_are_kept_apart,
    objects::listing_equals_a_sorted_set,
    objects::ranges_and_parts_of_plain_objects,
    objects::a_body_that_is_not_as_declared_leaves_nothing,
    objects::a_dropped_put_leaves_nothing,
    objects::conditions_decide,
    objects::exactly_one_of_sixteen_creators_wins,
    objects::readers_see_the_old_or_the_new,
    objects::copies_carry_facts,
    objects::buckets_come_and_go,
    moves::what_is_moved_stays_what_it_was,
    moves::a_move_replaces_only_what_it_may,
    moves::a_file_becomes_a_directory_and_back,
    moves::a_full_bucket_has_room_for_a_move,
    moves::a_moving_object_is_there_once,
    moves::a_write_at_the_source_is_never_lost,
    moves::moves_that_cross_come_to_an_end,
    moves::with_versions_the_source_keeps_one,
    multipart::parts_become_an_object,
    multipart::complete_refuses_what_is_not_right,
    multipart::a_repeated_complete_answers_alike,
    multipart::abort_frees_parts,
    multipart::resent_parts_count_last,
    multipart::uploads_are_listed,
    multipart::parts_fit_into_the_quota,
    sealed::ranges_of_sealed_bodies_are_exact,
    sealed::parts_are_sealed_one_by_one,
    sealed::older_versions_come_back_plain,
    versions::every_version_is_kept_and_named,
    versions::markers_hide_and_removal_brings_back,
    versions::suspended_writes_replace_the_null_version,
    versions::a_lock_holds_against_everybody,
    versions::racing_writers_keep_every_version,
    walks::nothing_is_wrong_with_what_is_in_use,
    walks::walks_are_for_administrators,
];

/// What needs a directory to look at.
const ON_FILES: &[Behaviour] = behaviours![
    edits::natural_objects_are_plain_files,
    edits::files_put_behind_the_back_are_read_and_scanned,
    edits::outside_edits_become_new_objects,
    edits::files_removed_outside_are_gone,
    edits::a_lost_container_is_not_a_mass_delete,
    edits::a_mass_removal_is_held_back,
    edits::rebuild_restores_the_listing,
    moves::a_moved_object_is_a_plain_file_and_rebuilt,
    edits::another_catalog_is_refused,
    edits::owed_steps_are_taken_at_the_next_start,
    edits::many_full_folders_are_one_page_each,
    edits::a_mount_that_is_missing_at_the_start_deletes_nothing,
    walks::gc_frees_what_a_crash_left_after_the_grace,
    walks::gc_does_not_take_a_stale_catalog_at_its_word,
    walks::a_delete_that_was_cut_short_is_put_back,
    walks::a_newer_file_displaces_a_managed_object,
    walks::fsck_tells_what_is_wrong_and_repairs_what_can_be,
    walks::fsck_holds_records_and_parts_against_their_rows,
    walks::a_rebuild_does_not_bring_back_what_was_never_committed,
    walks::a_rebuild_after_a_crash_takes_the_newest,
    walks::a_rebuild_that_was_cut_short_is_not_served,
    walks::what_is_held_back_is_told_until_it_is_decided,
    versions::the_current_version_is_a_plain_file,
    versions::an_edit_is_the_only_null,
    versions::a_newer_file_keeps_what_it_displaces,
    versions::versions_survive_a_crash_and_a_rebuild,
    versions::fsck_misses_a_version_that_is_gone,
    sealed::no_plain_byte_is_stored,
    sealed::damage_is_refused_and_found,
    sealed::a_rebuild_restores_sealed_objects,
];

/// What keeping small bodies in the catalog adds.
const INLINE: &[Behaviour] = behaviours![
    inline::small_bodies_are_kept_until_they_are_settled,
    inline::damaged_files_are_written_anew_after_a_crash,
    inline::a_rebuild_after_a_crash_writes_what_is_kept,
    inline::what_was_deleted_or_overwritten_stays_so_after_a_crash,
    inline::an_edit_shows_at_once_and_is_never_hidden_by_kept_bytes,
    inline::an_edit_that_a_crash_left_at_a_managed_place_is_kept,
    inline::what_stepped_aside_for_another_key_stays_deleted,
    sealed::kept_bytes_are_sealed_too,
    sealed::older_versions_come_back_plain,
];

/// The same with catalogs in Postgres.
async fn run_shared(kind: Kind, layout: Layout, behaviours: &[Behaviour]) {
    for (name, behaviour) in behaviours {
        println!("behaviour: {name}");
        let dir = tempfile::tempdir().expect("a directory");
        if !share_catalog(dir.path(), "the store over a catalog in Postgres") {
            return;
        }
        let provider = provider(kind, dir.path());
        let mut bed = Bed::over(provider, kind, layout, dir).await;
        behaviour(&mut bed).await;
    }
}

async fn run(kind: Kind, layout: Layout, behaviours: &[Behaviour]) {
    for (name, behaviour) in behaviours {
        println!("behaviour: {name}");
        let mut bed = Bed::new(kind, layout).await;
        behaviour(&mut bed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_fs_natural() {
    run(Kind::Fs, Layout::Natural, EVERYWHERE).await;
    run(Kind::Fs, Layout::Natural, ON_FILES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_fs_managed() {
    run(Kind::Fs, Layout::Managed, EVERYWHERE).await;
    run(Kind::Fs, Layout::Managed, &ON_FILES[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_synced_fs_natural() {
    run(Kind::Synced, Layout::Natural, INLINE).await;
    run(Kind::Synced, Layout::Natural, EVERYWHERE).await;
    run(Kind::Synced, Layout::Natural, ON_FILES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_synced_fs_managed() {
    run(Kind::Synced, Layout::Managed, INLINE).await;
    run(Kind::Synced, Layout::Managed, EVERYWHERE).await;
    run(Kind::Synced, Layout::Managed, &ON_FILES[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_memory_natural() {
    run(Kind::Memory, Layout::Natural, EVERYWHERE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_memory_managed() {
    run(Kind::Memory, Layout::Managed, EVERYWHERE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_memory_managed_by_postgres() {
    run_shared(Kind::Memory, Layout::Managed, EVERYWHERE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_fs_natural_by_postgres() {
    run_shared(Kind::Fs, Layout::Natural, EVERYWHERE).await;
    run_shared(Kind::Fs, Layout::Natural, ON_FILES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_over_synced_fs_natural_by_postgres() {
    run_shared(Kind::Synced, Layout::Natural, INLINE).await;
}
