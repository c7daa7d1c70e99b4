//! What only a directory can show: links, odd names, mounts that go, leftovers of a crash.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use longshore::config::limits::BLOCK_BYTES;
use longshore::model::id::VersionId;
use longshore::model::name::BucketName;
use longshore::model::place::Displaced;
use longshore::provider::{Error, LaidOut, LayOut, Note};

use super::bed::{Bed, assert_error, behaviours, key, natural, pattern};

behaviours![
    links_are_never_followed,
    a_link_that_takes_the_place_of_a_directory_is_not_followed,
    special_files_and_directories_are_nothing,
    a_directory_at_the_key_clashes_and_stays,
    a_dropped_stage_leaves_no_file,
    names_that_are_no_keys_are_counted,
    directories_without_files_do_not_shorten_a_page,
    links_to_directories_are_no_containers,
    a_container_that_was_replaced_is_noticed,
    a_lay_out_that_died_half_way_is_finished,
    what_came_out_of_a_key_is_put_away_though_the_key_is_gone,
    what_a_lay_out_displaces_is_found_after_a_failure,
    a_displaced_file_with_two_names_keeps_one,
    two_names_of_one_file_become_one,
    the_reserved_tree_is_private,
    a_clash_leaves_no_directories_behind,
    abandoned_staged_files_are_removed,
    a_link_in_a_container_is_content,
];

fn home(bed: &Bed<'_>) -> std::path::PathBuf {
    bed.outside.directory(&bed.container)
}

/// Where a version lies that is not at its key.
fn managed_file(bed: &Bed<'_>, version: VersionId) -> std::path::PathBuf {
    home(bed).join(".longshore/objects").join(version.shard()).join(version.to_string())
}

/// How many files lie beneath.
fn files(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, |entries| {
        entries.map(|e| e.unwrap()).map(|e| if e.file_type().unwrap().is_dir() { files(&e.path()) } else { 1 }).sum()
    })
}

async fn links_are_never_followed(bed: &Bed<'_>) {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("f"), "secret").unwrap();
    fs::create_dir(home(bed).join("real")).unwrap();
    fs::write(home(bed).join("real/f"), "real").unwrap();
    symlink(secret.path(), home(bed).join("out")).unwrap();
    symlink(secret.path().join("f"), home(bed).join("file")).unwrap();
    symlink("real", home(bed).join("in")).unwrap();
    symlink("nowhere", home(bed).join("broken")).unwrap();
    symlink(".longshore", home(bed).join("ours")).unwrap();
    let stamp = bed.provider.stat(&bed.container, &natural("real/f")).await.expect("a file").stamp;
    for name in ["out/f", "file", "in/f", "in", "broken", "ours/id", "out"] {
        assert_error!(bed.provider.stat(&bed.container, &natural(name)).await, Error::NotFound);
        assert_error!(bed.read(&natural(name), &stamp, 4).await, Error::NotFound);
        let taken = bed.provider.take_aside(&bed.container, &key(name), VersionId::fresh(), &stamp).await;
        assert_error!(taken, Error::NotFound);
        let put = bed.publish(name, b"bytes", 1).await;
        assert_error!(bed.lay_out(&put, None).await, Error::Clash);
        bed.provider.prune(&bed.container, &key(name)).await.expect("nothing to prune");
    }
    let page = bed.provider.list(&bed.container, "", None, 10).await.expect("listed");
    assert_eq!(page.files.iter().map(|file| file.key.as_str()).collect::<Vec<_>>(), ["real/f"]);
    for prefix in ["out/", "in/", "ours/"] {
        assert_eq!(bed.provider.list(&bed.container, prefix, None, 10).await.expect("listed").files, []);
    }
    assert_eq!(fs::read(secret.path().join("f")).unwrap(), b"secret");
    assert_eq!(files(secret.path()), 1);
}

async fn a_link_that_takes_the_place_of_a_directory_is_not_followed(bed: &Bed<'_>) {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("f"), "secret").unwrap();
    bed.outside_write("d/f", b"mine!!");
    let (d, aside) = (home(bed).join("d"), home(bed).join(".longshore/aside"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&d, &aside).unwrap();
                symlink(secret.path(), &d).unwrap();
                fs::remove_file(&d).unwrap();
                fs::rename(&aside, &d).unwrap();
            }
        });
        let work = async {
            let secrets = fs::symlink_metadata(secret.path().join("f")).unwrap();
            for _ in 0..300 {
                match bed.provider.stat(&bed.container, &natural("d/f")).await {
                    Ok(stat) => {
                        let ino = u64::from_str_radix(stat.stamp.as_str().split('-').next().unwrap(), 16).unwrap();
                        assert_ne!(ino, std::os::unix::fs::MetadataExt::ino(&secrets), "the link was followed");
                    }
                    Err(error) => assert!(matches!(error, Error::NotFound), "{error:?}"),
                }
                let page = bed.provider.list(&bed.container, "", None, 10).await.expect("listed");
                assert!(page.files.len() <= 1);
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
    });
    assert_eq!(files(secret.path()), 1);
}

async fn special_files_and_directories_are_nothing(bed: &Bed<'_>) {
    fs::create_dir(home(bed).join("d")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(home(bed).join("socket")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(home(bed).join("pipe")).status().unwrap();
    assert!(pipe.success());
    for name in ["d", "socket", "pipe"] {
        assert_error!(bed.provider.stat(&bed.container, &natural(name)).await, Error::NotFound);
        let put = bed.publish(name, b"bytes", 1).await;
        assert_error!(bed.lay_out(&put, None).await, Error::Clash);
    }
    assert_eq!(bed.provider.list(&bed.container, "", None, 10).await.expect("listed").files, []);
}

async fn a_directory_at_the_key_clashes_and_stays(bed: &Bed<'_>) {
    bed.outside_write("d/e/f", b"bytes");
    for name in ["d", "d/e"] {
        let put = bed.publish(name, b"bytes", 1).await;
        assert_error!(bed.lay_out(&put, None).await, Error::Clash);
        assert_eq!(bed.read(&put.managed(), &put.stamp, 5).await.expect("stays"), b"bytes");
    }
    assert_eq!(bed.outside_read("d/e/f").expect("untouched"), b"bytes");
}

async fn a_dropped_stage_leaves_no_file(bed: &Bed<'_>) {
    let mut stage = bed.provider.stage(&bed.container, VersionId::fresh()).await.expect("a stage");
    stage.write(pattern(2 * BLOCK_BYTES)).await.expect("written");
    stage.write(pattern(2 * BLOCK_BYTES)).await.expect("written, and the first is on disk");
    drop(stage);
    let seal = longshore::provider::Seal { modified: bed.clock.unique(), size: 1, record: None, unsynced: false };
    let mut wrong = bed.provider.stage(&bed.container, VersionId::fresh()).await.expect("a stage");
    wrong.write(Bytes::from_static(b"two")).await.expect("written");
    assert_error!(wrong.publish(seal).await, Error::Failed(_));
    // The thread that was writing when the stage was dropped removes the file when it is done.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while files(&home(bed)) != 0 {
        assert!(std::time::Instant::now() < deadline, "a file is left");
        tokio::task::yield_now().await;
    }
}

async fn names_that_are_no_keys_are_counted(bed: &Bed<'_>) {
    bed.outside_write("a", b"");
    bed.outside_write("z/k", b"");
    fs::write(home(bed).join(OsStr::from_bytes(b"b\xff")), "").unwrap();
    fs::create_dir(home(bed).join(OsStr::from_bytes(b"c\xff"))).unwrap();
    fs::write(home(bed).join("e\u{FFFF}"), "").unwrap();
    let mut deep = home(bed).join("deep");
    for _ in 0..70 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "").unwrap();
    let page = bed.provider.list(&bed.container, "", None, 10).await.expect("listed");
    assert_eq!(page.files.iter().map(|file| file.key.as_str()).collect::<Vec<_>>(), ["a", "z/k"]);
    assert_eq!(page.unnameable, 4);
    let long = format!("{0}/{0}/{0}/{0}/{0}", "x".repeat(220));
    bed.outside_write(&long, b"");
    let page = bed.provider.list(&bed.container, "x", None, 10).await.expect("listed");
    assert_eq!((page.files.len(), page.unnameable), (0, 1));
}

async fn directories_without_files_do_not_shorten_a_page(bed: &Bed<'_>) {
    for n in 0..2500 {
        fs::create_dir_all(home(bed).join(format!("empty{n:04}/below"))).unwrap();
    }
    bed.outside_write("empty1200/below/k", b"");
    bed.outside_write("last", b"");
    let page = bed.provider.list(&bed.container, "", None, 1).await.expect("listed");
    assert_eq!((page.files.len(), page.more), (1, true));
    let page = bed.provider.list(&bed.container, "", Some("empty1200/below/k"), 1).await.expect("listed");
    assert_eq!((page.files[0].key.as_str(), page.more), ("last", false));
}

async fn links_to_directories_are_no_containers(bed: &Bed<'_>) {
    let root = home(bed).parent().unwrap().to_owned();
    let (link, file) = (root.join("link-to-container"), root.join("a-file"));
    symlink(bed.container.as_str(), &link).unwrap();
    fs::write(&file, "").unwrap();
    fs::create_dir(root.join(".longshore-of-a-server")).unwrap();
    fs::create_dir(root.join(OsStr::from_bytes(b"no\xfftext"))).unwrap();
    let all = bed.provider.containers().await.expect("listed");
    for name in ["link-to-container", "a-file", ".longshore-of-a-server"] {
        let name = BucketName::new(name).unwrap();
        assert!(!all.iter().any(|found| found.name == name), "{name}");
        assert_eq!(bed.provider.container(&name).await.expect("asked"), None);
        assert_error!(bed.provider.list(&name, "", None, 1).await, Error::NotFound);
    }
    let ours = BucketName::new(".longshore-x").unwrap();
    assert_error!(bed.provider.create_container(&ours).await, Error::Denied);
    for entry in [link, file] {
        fs::remove_file(entry).unwrap();
    }
    fs::remove_dir(root.join(".longshore-of-a-server")).unwrap();
    fs::remove_dir(root.join(OsStr::from_bytes(b"no\xfftext"))).unwrap();
}

async fn a_container_that_was_replaced_is_noticed(bed: &Bed<'_>) {
    bed.place("k", b"bytes", 1).await;
    let aside = home(bed).with_file_name(".longshore-aside");
    fs::rename(home(bed), &aside).unwrap();
    assert_eq!(bed.provider.container(&bed.container).await.expect("asked"), None);
    assert_error!(bed.provider.stat(&bed.container, &natural("k")).await, Error::NotFound);
    fs::create_dir(home(bed)).unwrap();
    assert_error!(bed.provider.stat(&bed.container, &natural("k")).await, Error::NotFound);
    let lost = bed.publish_with(VersionId::fresh(), b"bytes", bed.clock.unique(), None).await;
    assert_error!(lost, Error::NotFound);
    assert_eq!(fs::read_dir(home(bed)).unwrap().count(), 0, "nothing is written where a mount may be missing");
    bed.provider.write_note(&bed.container, Note::Id, Bytes::from_static(b"id")).await.expect("it is claimed");
    bed.place("other", b"bytes", 1).await;
    assert!(!aside.join("other").exists(), "it went to the new directory");
    fs::remove_dir_all(home(bed)).unwrap();
    fs::rename(&aside, home(bed)).unwrap();
    bed.provider.stat(&bed.container, &natural("k")).await.expect("it is back");
}

/// What an exchange leaves when the process ends right behind it: the version at its key, and what came out at its
/// managed place.
async fn a_lay_out_that_died_half_way_is_finished(bed: &Bed<'_>) {
    for (over, foreign) in [(true, false), (false, false), (false, true)] {
        let name = format!("k-{over}-{foreign}");
        let old = bed.place(&name, b"old", 1).await;
        if foreign {
            bed.outside_write(&name, b"somebody's work");
        }
        let new = bed.publish(&name, b"new", 2).await;
        let shard = home(bed).join(".longshore/objects").join(new.version.shard());
        let managed = shard.join(new.version.to_string());
        let (path, between) = (home(bed).join(&name), shard.join("between"));
        fs::rename(&path, &between).unwrap();
        fs::rename(&managed, &path).unwrap();
        fs::rename(&between, &managed).unwrap();
        match (foreign, bed.lay_out(&new, over.then_some(&old.stamp)).await.expect("finished")) {
            (false, LaidOut::Done) => {}
            (true, LaidOut::DoneKeeping(lost)) => {
                assert_eq!(bed.outside.lost(&bed.container, &lost).expect("kept"), b"somebody's work");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(bed.read(&natural(&name), &new.stamp, 3).await.expect("there"), b"new");
        assert_error!(bed.provider.stat(&bed.container, &new.managed()).await, Error::NotFound);
    }
}

/// The same, and then somebody made a file where the directory of the key was.
async fn what_came_out_of_a_key_is_put_away_though_the_key_is_gone(bed: &Bed<'_>) {
    for foreign in [false, true] {
        let dir = format!("d-{foreign}");
        let name = format!("{dir}/k");
        let old = bed.place(&name, b"old", 1).await;
        if foreign {
            bed.outside_write(&name, b"somebody's work");
        }
        let new = bed.publish(&name, b"new", 2).await;
        fs::rename(home(bed).join(&name), managed_file(bed, new.version)).unwrap();
        fs::remove_dir(home(bed).join(&dir)).unwrap();
        bed.outside_write(&dir, b"a file");
        assert_error!(bed.lay_out(&new, Some(&old.stamp)).await, Error::Clash);
        assert_eq!(bed.managed_count().await, 0);
        let lost = bed.outside.lost(&bed.container, &format!("{}-0", new.version));
        assert_eq!(lost.as_deref(), foreign.then_some(&b"somebody's work"[..]));
    }
}

/// What is displaced and stays cannot be brought to its place. It must not be left under a name that says nothing.
async fn what_a_lay_out_displaces_is_found_after_a_failure(bed: &Bed<'_>) {
    for foreign in [false, true] {
        let name = format!("k-{foreign}");
        let old = bed.place(&name, b"old", 1).await;
        if foreign {
            bed.outside_write(&name, b"somebody's work");
        }
        let mut new = bed.publish(&name, b"new", 2).await;
        while new.version.shard() == old.version.shard() {
            new = bed.publish(&name, b"new", 2).await;
        }
        let reserved = home(bed).join(".longshore");
        let place = if foreign { reserved.join("lost") } else { reserved.join("objects").join(old.version.shard()) };
        let aside = reserved.join("aside");
        let was_there = fs::rename(&place, &aside).is_ok();
        fs::write(&place, "in the way").unwrap();
        let step = LayOut { displaced: Displaced::Keep(Some(old.version)), ..new.step(Some(&old.stamp)) };
        let failed = bed.provider.lay_out(&bed.container, step.clone()).await;
        assert!(failed.is_err(), "{failed:?}");
        fs::remove_file(&place).unwrap();
        if was_there {
            fs::rename(&aside, &place).unwrap();
        }
        match (foreign, bed.provider.lay_out(&bed.container, step).await.expect("finished")) {
            (false, LaidOut::Done) => {
                assert_eq!(bed.read(&old.managed(), &old.stamp, 3).await.expect("at its own place"), b"old");
            }
            (true, LaidOut::DoneKeeping(lost)) => {
                assert_eq!(bed.outside.lost(&bed.container, &lost).expect("kept"), b"somebody's work");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(bed.read(&natural(&name), &new.stamp, 3).await.expect("there"), b"new");
    }
}

/// What a lay-out without an exchange leaves when the process ends before the version is at its key: the displaced file
/// there, and under the name where it is to stay.
async fn a_displaced_file_with_two_names_keeps_one(bed: &Bed<'_>) {
    for foreign in [false, true] {
        let name = format!("k-{foreign}");
        let old = bed.place(&name, b"old", 1).await;
        if foreign {
            bed.outside_write(&name, b"somebody's work");
        }
        let new = bed.publish(&name, b"new", 2).await;
        let kept = format!("{}-0", new.version);
        let second = match foreign {
            true => home(bed).join(".longshore/lost").join(&kept),
            false => managed_file(bed, old.version),
        };
        fs::create_dir_all(second.parent().unwrap()).unwrap();
        fs::hard_link(home(bed).join(&name), &second).unwrap();
        let step = LayOut { displaced: Displaced::Keep(Some(old.version)), ..new.step(Some(&old.stamp)) };
        let expected = if foreign { LaidOut::DoneKeeping(kept) } else { LaidOut::Done };
        assert_eq!(bed.provider.lay_out(&bed.container, step).await.expect("finished"), expected);
        let body: &[u8] = if foreign { b"somebody's work" } else { b"old" };
        assert_eq!(fs::read(&second).expect("it stays"), body);
        assert_eq!(bed.managed_count().await, 1, "the older version alone");
        assert_eq!(fs::metadata(&second).unwrap().nlink(), 1);
        assert_eq!(bed.read(&natural(&name), &new.stamp, 3).await.expect("there"), b"new");
    }
}

async fn two_names_of_one_file_become_one(bed: &Bed<'_>) {
    let put = bed.publish("k", b"bytes", 1).await;
    let managed = home(bed).join(".longshore/objects").join(put.version.shard()).join(put.version.to_string());
    fs::hard_link(&managed, home(bed).join("k")).unwrap();
    assert_eq!(bed.lay_out(&put, None).await.expect("finished"), LaidOut::Done);
    assert!(!managed.exists());
    assert_eq!(bed.read(&natural("k"), &put.stamp, 5).await.expect("there"), b"bytes");
    fs::hard_link(home(bed).join("k"), &managed).unwrap();
    bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
    assert!(!home(bed).join("k").exists());
    assert_eq!(bed.read(&put.managed(), &put.stamp, 5).await.expect("there"), b"bytes");
}

async fn the_reserved_tree_is_private(bed: &Bed<'_>) {
    bed.publish("k", b"bytes", 1).await;
    let mode = fs::metadata(home(bed).join(".longshore")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

async fn a_clash_leaves_no_directories_behind(bed: &Bed<'_>) {
    bed.outside_write("a/file", b"bytes");
    for name in ["a/file/b/c", "a/file/b"] {
        let put = bed.publish(name, b"bytes", 1).await;
        assert_error!(bed.lay_out(&put, None).await, Error::Clash);
    }
    assert_eq!(bed.outside_read("a/file").expect("untouched"), b"bytes");
    assert_eq!(fs::read_dir(home(bed).join("a")).unwrap().count(), 1);
    let gone = bed.publish("never/made/k", b"bytes", 1).await;
    bed.provider.delete_managed(&bed.container, gone.version, None).await.expect("freed");
    assert_error!(bed.lay_out(&gone, None).await, Error::NotFound);
    assert!(!home(bed).join("never").exists(), "nothing to lay out needs no directory");
}

/// A process that ended in the middle of an upload leaves a named file where there are no nameless ones.
async fn abandoned_staged_files_are_removed(bed: &Bed<'_>) {
    let staged = home(bed).join(".longshore/tmp").join(VersionId::fresh().to_string());
    fs::create_dir_all(&staged).unwrap();
    let (old, young) = (staged.join("old"), staged.join("young"));
    for file in [&old, &young] {
        fs::write(file, "half a body").unwrap();
    }
    let day = std::time::Duration::from_secs(25 * 60 * 60);
    let modified = fs::metadata(&old).unwrap().modified().unwrap() - day;
    fs::File::options().write(true).open(&old).unwrap().set_modified(modified).unwrap();
    bed.publish("k", b"bytes", 1).await;
    assert!(young.exists(), "it may be in use");
    // With nameless files nobody looks there: such a file system never had named ones.
    let names_staged_files = fs::read_dir(staged.parent().unwrap()).unwrap().count() > 1;
    assert_eq!(old.exists(), !names_staged_files);
}

async fn a_link_in_a_container_is_content(bed: &Bed<'_>) {
    fs::create_dir_all(home(bed).join("a/b")).unwrap();
    symlink("nowhere", home(bed).join("a/b/link")).unwrap();
    assert_error!(bed.provider.delete_container(&bed.container).await, Error::NotEmpty);
    fs::remove_file(home(bed).join("a/b/link")).unwrap();
    bed.provider.delete_container(&bed.container).await.expect("only empty directories are left");
    let root = home(bed).parent().unwrap().to_owned();
    let left =
        fs::read_dir(root).unwrap().filter(|e| e.as_ref().unwrap().file_name().as_bytes().starts_with(b".longshore"));
    assert_eq!(left.count(), 0, "nothing of it is left");
}
