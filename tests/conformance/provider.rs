//! The suite of the provider trait: every provider runs every behaviour, each in a container of its own.
//!
//! A behaviour is one async function that takes a [`Bed`] and fails by panicking. A new provider is accepted when it
//! adds one test here and passes. What only a directory can show (links, names that are no text) has a list of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

pub(crate) mod bed;
mod bodies;
mod clouds;
mod containers;
mod directories;
mod foreign;
mod layouts;
mod listings;
mod marks;
mod multipart;
pub(crate) mod objects;
mod outside;
mod quirks;
mod remote;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use longshore::model::name::BucketName;
use longshore::model::place::Layout;
use longshore::provider::cloud::CloudProvider;
use longshore::provider::fs::{Durability, FsProvider, Without};
use longshore::provider::memory::MemoryProvider;
use longshore::provider::named::Named;
use longshore::provider::{Capabilities, Error, LaidOut, Provider};

use crate::harness::fresh_name;

use self::bed::{Bed, Behaviour, InDirectory, InMemory, Outside};
use self::objects::Objects;

/// All behaviours that hold for every provider.
fn all() -> Vec<(&'static str, Behaviour)> {
    [bodies::all(), layouts::all(), listings::all(), containers::all(), multipart::all()].concat()
}

/// Those of them that hold where no place is a key.
fn anywhere() -> Vec<(&'static str, Behaviour)> {
    [bodies::anywhere(), containers::anywhere(), multipart::all()].concat()
}

async fn run(list: Vec<(&'static str, Behaviour)>, provider: &dyn Provider, outside: &dyn Outside) {
    let mut failed = Vec::new();
    for (name, behaviour) in list {
        eprintln!("{name}");
        let bed = Bed::new(provider, outside, &fresh_name("bed")).await;
        if AssertUnwindSafe(behaviour(&bed)).catch_unwind().await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

async fn run_in(root: &Path, durability: Durability, without: Without) {
    let provider = FsProvider::open_without(root, durability, without).expect("the directory opens");
    let outside = InDirectory { root: root.to_owned() };
    run([all(), directories::all()].concat(), &provider, &outside).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_behaves() {
    let provider = MemoryProvider::new();
    run(all(), &provider, &InMemory { provider: provider.clone() }).await;
}

/// Another program knows the containers by their own names.
struct Prefixed(InMemory);

impl Prefixed {
    fn container(container: &BucketName) -> BucketName {
        BucketName::new(&format!("ls-{}", container.as_str())).unwrap()
    }
}

impl Outside for Prefixed {
    fn write(&self, container: &BucketName, key: &str, bytes: &[u8]) {
        self.0.write(&Self::container(container), key, bytes);
    }
    fn remove(&self, container: &BucketName, key: &str) {
        self.0.remove(&Self::container(container), key);
    }
    fn read(&self, container: &BucketName, key: &str) -> Option<Vec<u8>> {
        self.0.read(&Self::container(container), key)
    }
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        self.0.lost(&Self::container(container), name)
    }
    fn directory(&self, container: &BucketName) -> PathBuf {
        self.0.directory(&Self::container(container))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_called_otherwise_behave() {
    let provider = MemoryProvider::new();
    let named = Named::new(Arc::new(provider.clone()), "ls-", &BTreeMap::new());
    run(all(), &named, &Prefixed(InMemory { provider })).await;
}

#[tokio::test]
async fn a_container_is_that_of_one_bucket() {
    let name = |name: &str| BucketName::new(name).unwrap();
    let provider = MemoryProvider::new();
    for container in ["ls-photos", "Old Mail", "ls-mail", "others"] {
        provider.create_container(&name(container)).await.unwrap();
    }
    let names = BTreeMap::from([(name("mail"), name("Old Mail")), (name("x"), name("ls-photos"))]);
    let named = Named::new(Arc::new(provider.clone()), "ls-", &names);
    let listed = named.containers().await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(listed, ["mail", "x"], "the list goes before the prefix");
    assert_eq!(named.container(&name("photos")).await.unwrap(), None);
    assert!(matches!(named.create_container(&name("photos")).await, Err(Error::AlreadyExists)));
    assert!(matches!(named.delete_container(&name("photos")).await, Err(Error::NotFound)));
    named.delete_container(&name("mail")).await.unwrap();
    assert_eq!(provider.container(&name("Old Mail")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clouds_have_in_common_behaves() {
    for (late_headers, md5, mark_bytes_max) in
        [(false, true, 1700), (true, true, 300), (true, false, 1700), (false, false, 300)]
    {
        let objects = Objects::new(late_headers, md5, mark_bytes_max);
        let provider = CloudProvider::new(Arc::new(objects.clone()), false);
        run(all(), &provider, &objects).await;
        assert_eq!(objects.blocks(), 0, "no body was left half sent");
    }
}

/// A condition on a tag that another gateway's write has as well says nothing of whose it is.
#[test]
fn where_gateways_cannot_be_told_apart_keys_are_no_places_by_default() {
    let usual = |unique: bool, shared: bool| {
        let objects = Objects::new(false, true, 1700);
        let objects = if unique { objects } else { objects.with_tags_of_bytes() };
        CloudProvider::new(Arc::new(objects), shared).capabilities().usual_layout()
    };
    assert_eq!([usual(true, false), usual(true, true), usual(false, false)], [Layout::Natural; 3]);
    assert_eq!(usual(false, true), Layout::Managed);
}

/// The copy at the managed place may be all that is left of a version that is kept.
#[tokio::test]
async fn what_was_copied_aside_outlives_an_edit_at_the_key() {
    let objects = Objects::new(false, true, 1700);
    let provider = CloudProvider::new(Arc::new(objects.clone()), false);
    let bed = Bed::new(&provider, &objects, "bed").await;
    let put = bed.place("k", b"bytes", 1).await;
    objects.edit_before_removal("k", b"somebody's work");
    for _ in 0..2 {
        provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("it is aside");
        assert_eq!(bed.read(&put.managed(), &put.stamp, 5).await.expect("kept"), b"bytes");
        assert_eq!(bed.outside_read("k").expect("untouched"), b"somebody's work");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_behaves_when_synced() {
    let root = tempfile::tempdir().unwrap();
    run_in(root.path(), Durability::Fsync, Without::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_behaves_when_not_synced() {
    let root = tempfile::tempdir().unwrap();
    run_in(root.path(), Durability::Os, Without::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_behaves_on_a_kernel_that_lacks_calls() {
    let root = tempfile::tempdir().unwrap();
    run_in(root.path(), Durability::Os, Without { openat2: true, tmpfile: true, exchange: true, ..Without::default() })
        .await;
}

#[tokio::test]
async fn capabilities_are_pinned() {
    let root = tempfile::tempdir().unwrap();
    let of = |durability| FsProvider::open(root.path(), durability).expect("the directory opens").capabilities();
    let synced = of(Durability::Fsync);
    // Sharing of blocks depends on the file system that the tests run on.
    let expected = Capabilities {
        natural: true,
        exchange: true,
        records: true,
        durable: true,
        reflink: synced.reflink,
        inline: true,
        flat: false,
        conditional: true,
    };
    assert_eq!(synced, expected);
    assert_eq!(of(Durability::Os), Capabilities { durable: false, inline: false, ..expected });
    assert_eq!(
        MemoryProvider::new().capabilities(),
        Capabilities {
            natural: true,
            exchange: true,
            records: true,
            durable: false,
            ..Capabilities { reflink: false, inline: false, ..expected }
        }
    );
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "a probe leaves nothing");
}

/// Providers that share nothing but the directory, as processes do, lay out versions of one key at once: none of them is
/// taken for an outside edit or lost, and the newest ends at the key.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_lay_out_one_key_agree() {
    for without in [Without::default(), Without { exchange: true, ..Without::default() }] {
        let root = tempfile::tempdir().unwrap();
        let outside = InDirectory { root: root.path().to_owned() };
        let open = || FsProvider::open_without(root.path(), Durability::Os, without).expect("the directory opens");
        let processes: [FsProvider; 4] = std::array::from_fn(|_| open());
        let bed = Bed::new(&processes[0], &outside, "shared").await;
        for round in 0..25 {
            let name = format!("k{round}");
            let first = bed.place(&name, b"0", 0).await;
            let mut puts = Vec::new();
            for counter in 1..5_u64 {
                puts.push(bed.publish(&name, counter.to_string().as_bytes(), counter).await);
            }
            // Each version is laid out by two of them, as a paused process and the one that took over would.
            let steps = puts.iter().chain(&puts).enumerate().map(|(n, put)| {
                let process = &processes[(n + n / 4 + round) % 4];
                process.lay_out(&bed.container, put.step(Some(&first.stamp)))
            });
            for end in futures_util::future::join_all(steps).await {
                match end {
                    Ok(LaidOut::Done | LaidOut::Superseded) | Err(Error::Unavailable(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            for put in puts.iter().rev() {
                bed.lay_out(put, Some(&first.stamp)).await.expect("settled");
            }
            assert_eq!(bed.outside_read(&name).expect("there"), b"4", "round {round} {without:?}");
            for put in puts {
                bed.provider
                    .delete_managed(&bed.container, put.version, Some(&put.stamp))
                    .await
                    .expect("freed, or gone");
            }
            for process in &processes {
                process.settle(&bed.container).await.expect("settles");
            }
            assert_eq!(bed.managed_count().await, 0, "round {round} {without:?}");
        }
    }
}
