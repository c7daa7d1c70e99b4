//! Commands that only look: what a kill, an older release or somebody's hands left stays as it is.
//!
//! **Invariant:** everything is compared: each file with its bytes, inode, mode, time and record, and each row of the
//! catalog, read from a copy. That SQLite moves the log of the catalog into its file, as it does when the last one
//! closes it, is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use super::stderr;
use crate::harness::sign::sha256_hex;
use crate::harness::{Options, Server};

/// Every command that says what there is, what it would do, or what is wrong.
const LOOKS: [&[&str]; 13] = [
    &["check"],
    &["check", "--json"],
    &["scan", "--dry-run"],
    &["scan", "--dry-run", "--hash"],
    &["scan", "--dry-run", "--force"],
    &["gc", "--dry-run"],
    &["gc", "--dry-run", "--grace", "0s", "--force"],
    &["fsck"],
    &["fsck", "--deep"],
    &["bucket", "list"],
    &["user", "list"],
    &["key", "list", "--user", "root"],
    &["policy", "explain", "--user", "root", "--action", "s3:ListAllMyBuckets", "--resource", "*"],
];
/// Kills until one of them leaves a step that is owed: the server settles twice a second.
const KILLS_MAX: usize = 20;
/// A file of nobody's, in the shape of a version.
const ORPHAN: &str = "bed/.longshore/objects/2a/01920000000000000000000000abcd2a";

/// What there is while no server runs.
#[derive(Debug)]
struct Left {
    files: BTreeMap<String, String>,
    rows: Vec<String>,
}

impl Left {
    fn of(server: &Server) -> Self {
        let mut files = BTreeMap::new();
        walk(server.data(), server.data(), &mut files);
        Self { files, rows: rows(server) }
    }

    /// Requires that there is the same afterwards.
    #[track_caller]
    fn stays(&self, after: &Self, what: &str) {
        let names: BTreeSet<&String> = self.files.keys().chain(after.files.keys()).collect();
        let differs = |name: &&String| self.files.get(*name) != after.files.get(*name);
        let changed: Vec<_> = names.into_iter().filter(differs).collect();
        assert!(changed.is_empty(), "{what} has changed {changed:?}");
        let gone: Vec<_> = self.rows.iter().filter(|row| !after.rows.contains(row)).collect();
        let new: Vec<_> = after.rows.iter().filter(|row| !self.rows.contains(row)).collect();
        assert!(self.rows == after.rows, "{what} has removed the rows {gone:?} and made {new:?}");
    }

    fn owes(&self) -> bool {
        self.rows.iter().any(|row| row.starts_with("outbox: "))
    }
}

fn walk(outer: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let name = path.strip_prefix(outer).expect("below").to_string_lossy().into_owned();
        let meta = path.symlink_metadata().expect("there");
        match name.strip_prefix(".longshore/catalog.db") {
            // They are compared by their rows.
            Some("" | "-wal" | "-shm") => continue,
            // What it says is how long it is.
            Some("-reserve") => {
                files.insert(name, format!("{} bytes", meta.len()));
                continue;
            }
            _ => {}
        }
        if meta.is_dir() {
            files.insert(format!("{name}/"), format!("{:o}", meta.mode()));
            walk(outer, &path, files);
        } else {
            let bytes = sha256_hex(&std::fs::read(&path).expect("its bytes"));
            let times = (meta.mtime(), meta.mtime_nsec());
            files.insert(name, format!("{:?}", (meta.ino(), meta.mode(), times, meta.len(), bytes, record(&path))));
        }
    }
}

/// What is kept beside the bytes of a file.
fn record(path: &Path) -> String {
    let mut text = vec![0; 64 << 10];
    let len = rustix::fs::getxattr(path, "user.longshore", &mut text[..]).unwrap_or(0);
    String::from_utf8_lossy(&text[..len]).into_owned()
}

/// A copy of the catalog: to open the catalog itself is to recover its log.
fn copied(server: &Server) -> (TempDir, Connection) {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["catalog.db", "catalog.db-wal"] {
        // After a clean stop there is no log.
        let _ = std::fs::copy(server.state().join(name), copy.path().join(name));
    }
    let catalog = Connection::open(copy.path().join("catalog.db")).expect("opens");
    (copy, catalog)
}

/// Every row of every table, and which schema it is.
fn rows(server: &Server) -> Vec<String> {
    let (_copy, catalog) = copied(server);
    let number =
        |name: &str| -> i64 { catalog.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).expect("a number") };
    let mut all = vec![format!("schema {} of {}", number("user_version"), number("application_id"))];
    let mut tables = catalog.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("prepared");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("asked");
    for table in tables.map(|table| table.expect("a name")) {
        let mut statement = catalog.prepare(&format!("SELECT * FROM \"{table}\"")).expect("prepared");
        let columns = statement.column_count();
        let mut found = statement.query([]).expect("asked");
        while let Some(row) = found.next().expect("a row") {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column).expect("a value")).collect();
            all.push(format!("{table}: {values:?}"));
        }
    }
    all.sort();
    all
}

/// Runs every command that looks, and requires that nothing changes by it. `ends`: what else is required of each.
fn look(server: &Server, ends: impl Fn(&[&str], &Output)) {
    let before = Left::of(server);
    for args in LOOKS {
        let output = server.command(args);
        ends(args, &output);
        before.stays(&Left::of(server), &format!("{args:?}"));
    }
}

/// A command that found something to tell, or nothing.
fn tells(args: &[&str], output: &Output) {
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 2 | 3)), "{args:?} ended with {}: {}", output.status, stderr(output));
}

/// Changes the catalog of a server that was stopped.
fn change(server: &Server, statements: &str) {
    let catalog = Connection::open(server.state().join("catalog.db")).expect("opens");
    catalog.execute_batch(statements).expect("changed");
}

/// A file of long ago.
fn leave(path: &Path) {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    std::fs::write(path, "left").expect("written");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    std::fs::File::options().write(true).open(path).expect("opened").set_modified(old).expect("dated");
}

#[tokio::test]
async fn an_old_catalog_stays_old() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "k", "hello").await.expect(200);
    assert!(server.stop().success());
    let known: i64 = {
        let (_copy, catalog) = copied(&server);
        catalog.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number")
    };
    change(&server, &format!("PRAGMA user_version = {}", known - 1));
    let file = server.state().join("catalog.db");
    let bytes = std::fs::read(&file).expect("its bytes");
    look(&server, |args, output| {
        let said = stderr(output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("`longshore serve` brings it up to date"), "{args:?}: {said}");
    });
    assert!(std::fs::read(&file).expect("its bytes") == bytes, "the file of the catalog was written to");
    // There is no older one that this release could make: it is as it was, and goes on.
    change(&server, &format!("PRAGMA user_version = {known}"));
    let server = server.restart();
    assert_eq!(server.root().get("photos", "k").await.expect(200).text(), "hello");
}

/// A server that was killed while steps were owed, with an upload under way and versions behind others.
async fn killed() -> Server {
    let mut server = Server::with(Options::default().env("LONGSHORE_LOG", "warn"));
    let root = server.root();
    for bucket in ["bed", "kept"] {
        root.create_bucket(bucket).await.expect(200);
    }
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    root.call("PUT", "/kept").query("versioning", "").body(versions).send().await.expect(200);
    for body in ["older", "newer"] {
        root.put("kept", "k", body).await.expect(200);
    }
    for key in ["kept", "edited", "removed", "aside", "deep/er", "not//natural"] {
        root.put("bed", key, format!("bytes of {key}")).await.expect(200);
    }
    let begun = root.call("POST", "/bed/up").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = root.call("PUT", "/bed/up").query("partNumber", "1").query("uploadId", &id).body("a part");
    part.send().await.expect(200);
    server.until_settled();
    for kill in 0..KILLS_MAX {
        let root = server.root();
        for n in 0..8 {
            root.put("bed", &format!("owed/{kill}-{n}"), "small").await.expect(200);
        }
        server.kill();
        if Left::of(&server).owes() {
            return server;
        }
        server = server.restart();
    }
    panic!("no kill has left a step that is owed")
}

/// What else may lie there by then.
fn disturb(server: &Server) {
    let (data, bed) = (server.data(), server.data().join("bed"));
    std::fs::write(bed.join("edited"), "by somebody else").expect("written");
    std::fs::remove_file(bed.join("removed")).expect("removed");
    std::fs::write(bed.join("outside"), "by somebody else").expect("written");
    // A delete that was cut short before its commit has moved the file to the place of its version.
    let (_copy, catalog) = copied(server);
    let version = "SELECT lower(hex(version)) FROM objects WHERE name = 'aside'";
    let version: String = catalog.query_row(version, [], |row| row.get(0)).expect("a version");
    let shard = bed.join(".longshore/objects").join(&version[30..]);
    std::fs::create_dir_all(&shard).expect("made");
    std::fs::rename(bed.join("aside"), shard.join(&version)).expect("moved");
    // Published and never committed, staged and never published, half removed, half written.
    leave(&data.join(ORPHAN));
    leave(&bed.join(".longshore/tmp/01920000000000000000000000abcd2a/01920000000000000000000000abcd2b"));
    leave(&data.join(".longshore-gone-01920000000000000000000000abcd2a/left"));
    leave(&server.state().join("root.0011223344556677.tmp"));
}

#[tokio::test]
async fn what_a_kill_left_stays() {
    let server = killed().await;
    disturb(&server);
    look(&server, tells);
    // Those that may change something find all of it.
    for args in [&["scan"][..], &["gc", "--grace", "0s"]] {
        server.run(args);
    }
    let after = Left::of(&server);
    assert!(!after.owes() && !after.files.contains_key(ORPHAN), "it is left even so: {:?}", after.files.keys());
    assert!(after.files.contains_key("bed/aside"), "it is not put back: {:?}", after.files.keys());
    let adopted = |row: &&String| row.starts_with("objects: ") && row.contains("Text(\"outside\")");
    assert_eq!(after.rows.iter().filter(adopted).count(), 1);
}

/// A loss of power may bring a file back to its key whose deletion was committed. To say what a scan would do is not to
/// take the step that frees it.
#[tokio::test]
async fn a_step_that_is_owed_stays_owed() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("bed").await.expect(200);
    root.put("bed", "back", "deleted, and back").await.expect(200);
    assert!(server.stop().success());
    change(
        &server,
        "INSERT INTO outbox (bucket_id, name, version, frees, step)
             SELECT bucket_id, name, version, 0, json_object('Drop', json_object('stamp', stamp))
             FROM objects WHERE name = 'back';
         DELETE FROM objects WHERE name = 'back';",
    );
    look(&server, tells);
    let file = server.data().join("bed/back");
    assert!(file.exists());
    let server = server.restart();
    server.root().get("bed", "back").await.refused(404, "NoSuchKey");
    assert!(!file.exists(), "the step was none");
}

/// Only who serves, or changes something, makes a bucket of a directory.
#[tokio::test]
async fn a_directory_that_is_nobodys_stays_so() {
    let mut server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    assert!(server.stop().success());
    let newcomer = server.data().join("newcomer");
    std::fs::create_dir(&newcomer).expect("made");
    std::fs::write(newcomer.join("k"), "theirs").expect("written");
    look(&server, |args, output| {
        assert!(output.status.success(), "{args:?} ended with {}: {}", output.status, stderr(output));
        let said = stderr(output);
        let walks = ["scan", "gc", "fsck"].contains(&args[0]);
        assert_eq!(said.contains("not adopted yet") && said.contains("\"newcomer\""), walks, "{args:?}: {said}");
    });
    let server = server.restart();
    assert_eq!(server.root().get("newcomer", "k").await.expect(200).text(), "theirs");
}

/// The next start removes what is left of a bucket that was deleted; until then it can be looked at.
#[tokio::test]
async fn a_deletion_that_was_cut_short_stays_so() {
    let mut server = Server::start();
    let root = server.root();
    for bucket in ["photos", "gone"] {
        root.create_bucket(bucket).await.expect(200);
    }
    assert!(server.stop().success());
    change(&server, "DELETE FROM buckets WHERE name = 'gone'");
    let mark = server.data().join("gone/.longshore/id");
    let text = std::fs::read(&mark).expect("a mark");
    let mut told: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    told["deleting"] = true.into();
    std::fs::write(&mark, told.to_string()).expect("written");
    look(&server, tells);
    let server = server.restart();
    assert!(!server.data().join("gone").exists(), "it was no deletion");
    server.root().call("GET", "/gone").send().await.refused(404, "NoSuchBucket");
}

/// The space that is kept back for deletions was given up on a full disk: who looks does not take it again.
#[tokio::test]
async fn space_that_was_given_up_stays_so() {
    let mut server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    assert!(server.stop().success());
    let reserve = server.state().join("catalog.db-reserve");
    std::fs::remove_file(&reserve).expect("removed");
    look(&server, tells);
    let server = server.restart();
    assert!(server.state().join("catalog.db-reserve").exists(), "nobody takes it");
}
