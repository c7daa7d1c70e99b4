//! What other programs do to the directory while clients read and list: edits, replacements, copies, removals, mounts that
//! go away.
//!
//! While it happens no answer mixes two bodies: an ETag that is an MD5 is that of the body it came with, and a
//! provisional one never comes with two bodies. After a scan S3 shows exactly what is on disk.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::sign::hex;
use crate::harness::{Client, Options, Server};
use crate::security::wire::last_head;

const BUCKET: &str = "edits";
/// More than a small body that the catalog keeps for a while.
const BODY_BYTES: usize = 20_000;
const READERS: usize = 2;

fn body(seed: u8) -> Vec<u8> {
    (0..BODY_BYTES).map(|i| u8::try_from((i * 31 + i / 251) % 256).expect("a byte").wrapping_add(seed)).collect()
}

fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

fn run(program: &str, arguments: &[&str], at: &Path) {
    let status = Command::new(program).args(arguments).current_dir(at).status().expect("a program of the system");
    assert!(status.success(), "{program} {arguments:?}");
}

/// Every file of a bucket that can be an object, with its bytes.
fn on_disk(bucket: &Path) -> BTreeMap<String, Vec<u8>> {
    fn gather(dir: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() && name != ".longshore" {
                gather(&entry.path(), &format!("{name}/"), found);
            } else if kind.is_file() {
                found.insert(name, std::fs::read(entry.path()).expect("readable"));
            }
        }
    }
    let mut found = BTreeMap::new();
    gather(bucket, "", &mut found);
    found
}

/// Clients that read and list without a pause and hold every answer against itself.
struct Crowd {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    readers: JoinSet<()>,
}

impl Crowd {
    fn start(root: &Client, keys: &[&'static str]) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let provisional = Arc::new(Mutex::new(HashMap::new()));
        let mut readers = JoinSet::new();
        for n in 0..READERS {
            let (root, keys, provisional) = (root.clone(), keys.to_vec(), Arc::clone(&provisional));
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            readers.spawn(async move {
                let mut at = n;
                while !stop.load(Ordering::Relaxed) {
                    read(&root, keys[at % keys.len()], &provisional).await;
                    let page = root.list(BUCKET, "").await;
                    assert_eq!(page.status, 200, "LIST: {}", page.text());
                    let listed = page.elements("Key");
                    assert!(listed.is_sorted(), "{listed:?}");
                    answers.fetch_add(1, Ordering::Relaxed);
                    at += 1;
                }
            });
        }
        Self { stop, answers, readers }
    }

    /// Waits until everyone has asked a few times more.
    async fn goes_on(&mut self) {
        let until = self.answers.load(Ordering::Relaxed) + 4;
        while self.answers.load(Ordering::Relaxed) < until {
            if let Some(ended) = self.readers.try_join_next() {
                ended.expect("a reader that saw nothing wrong");
            }
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.readers.join_next().await {
            ended.expect("a reader that saw nothing wrong");
        }
    }
}

async fn read(root: &Client, key: &str, provisional: &Mutex<HashMap<String, String>>) {
    let call = root.call("GET", &format!("/{BUCKET}/{key}"));
    // An answer may be cut if its bytes change under it.
    let Ok(answer) = root.try_send(call.signed()).await else { return };
    match answer.status {
        200 => {
            let (etag, sum) = (answer.etag().to_owned(), md5(&answer.body));
            if etag.ends_with("-1") {
                let mut seen = provisional.lock().expect("whole");
                let first = seen.entry(etag.clone()).or_insert_with(|| sum.clone());
                assert_eq!(*first, sum, "{key}: the ETag {etag} came with two bodies");
            } else {
                assert_eq!(etag, sum, "{key}: an ETag of other bytes");
            }
        }
        404 | 503 => {}
        other => panic!("GET {key}: {other} {}", answer.text()),
    }
}

/// After a scan: the keys are the files, and every ETag is that of the bytes, or provisional.
async fn require_what_is_on_disk(server: &Server) {
    server.run(&["scan", "--bucket", BUCKET]);
    let (root, files) = (server.root(), on_disk(&server.data().join(BUCKET)));
    let listed = root.keys_of(BUCKET, "").await;
    assert_eq!(listed, files.keys().cloned().collect::<Vec<_>>());
    let page = root.list(BUCKET, "").await.expect(200);
    let etags = page.elements("ETag");
    for ((key, bytes), etag) in files.iter().zip(etags) {
        let got = root.get(BUCKET, key).await.expect(200);
        assert_eq!(got.body, bytes.as_slice(), "{key}");
        assert!(got.etag() == md5(bytes) || got.etag().ends_with("-1"), "{key}: {}", got.etag());
        assert_eq!(etag.replace("&quot;", "").trim_matches('"'), got.etag(), "{key}: LIST and GET differ");
        assert_eq!(root.head(BUCKET, key).await.expect(200).etag(), got.etag(), "{key}");
    }
}

async fn server_with(keys: &[&str]) -> Server {
    let server = Server::start();
    let root = server.root();
    root.create_bucket(BUCKET).await.expect(200);
    for key in keys {
        let put = root.call("PUT", &format!("/{BUCKET}/{key}")).header("x-amz-meta-of", "ours").body(body(1));
        put.send().await.expect(200);
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_show_and_never_mix() {
    const KEYS: [&str; 9] =
        ["d/appended", "d/in-place", "d/replaced", "d/same-size", "d/sed", "d/short", "deleted", "moved", "untouched"];
    let server = server_with(&KEYS).await;
    let (root, bucket) = (server.root(), server.data().join(BUCKET));
    let at = |name: &str| bucket.join(name);
    let mut crowd = Crowd::start(&root, &KEYS);
    let edits: [(&str, &dyn Fn()); 10] = [
        ("in place", &|| std::fs::write(at("d/in-place"), body(2)).expect("writes")),
        ("same size, a few bytes", &|| {
            let file = std::fs::File::options().write(true).open(at("d/same-size")).expect("opens");
            file.write_all_at(b"an edit", 11_000).expect("edits");
        }),
        ("append", &|| {
            let mut file = std::fs::File::options().append(true).open(at("d/appended")).expect("opens");
            file.write_all(b"more").expect("appends");
        }),
        ("cut", &|| {
            std::fs::File::options().write(true).open(at("d/short")).expect("opens").set_len(7).expect("cuts");
        }),
        ("replace", &|| {
            std::fs::write(at("d/fresh"), body(3)).expect("writes");
            std::fs::rename(at("d/fresh"), at("d/replaced")).expect("replaces");
        }),
        ("sed -i", &|| run("sed", &["-i", "s/./x/", "d/sed"], &bucket)),
        ("cp -a", &|| run("cp", &["-a", "untouched", "copied"], &bucket)),
        ("cp -a over another", &|| run("cp", &["-a", "untouched", "d/in-place"], &bucket)),
        ("mv", &|| run("mv", &["moved", "d/elsewhere"], &bucket)),
        ("rm", &|| run("rm", &["deleted"], &bucket)),
    ];
    for (name, edit) in edits {
        eprintln!("edit: {name}");
        edit();
        crowd.goes_on().await;
    }
    // Again and again in place, at one that is read all the time.
    for seed in 4..20 {
        std::fs::write(at("d/same-size"), body(seed)).expect("writes");
        crowd.goes_on().await;
    }
    require_what_is_on_disk(&server).await;
    crowd.end().await;
    for (key, of_ours) in [("untouched", true), ("copied", true), ("d/elsewhere", true), ("d/replaced", false)] {
        let head = root.head(BUCKET, key).await.expect(200);
        assert_eq!(
            head.header("x-amz-meta-of").is_some(),
            of_ours,
            "{key}: a live record is believed, a dead one is not"
        );
        assert_eq!(head.etag() == md5(&body(1)), of_ours, "{key}");
    }
    root.get(BUCKET, "deleted").await.refused(404, "NoSuchKey");
    // And what was edited can be overwritten and deleted like anything else.
    for key in ["d/in-place", "d/sed", "copied"] {
        root.put(BUCKET, key, "ours again").await.expect(200);
        assert_eq!(std::fs::read(at(key)).expect("reads"), b"ours again");
        root.delete(BUCKET, key).await.expect(204);
        assert!(!at(key).exists());
    }
    require_what_is_on_disk(&server).await;
}

/// An edit of the same length whose mtime was put back has the stamp it had: inode, mtime and size. Nothing that is asked
/// on the way of a read tells it from no edit, so the old ETag is shown. Only its bytes tell, to whoever hashes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_puts_the_mtime_back_is_not_seen() {
    let server = server_with(&["k", "untouched"]).await;
    let (root, bucket) = (server.root(), server.data().join(BUCKET));
    run("cp", &["-a", "k", "../reference"], &bucket);
    std::fs::write(bucket.join("k"), body(2)).expect("writes");
    run("touch", &["-r", "../reference", "k"], &bucket);
    std::fs::remove_file(bucket.join("../reference")).expect("removes");
    let got = root.get(BUCKET, "k").await.expect(200);
    assert_eq!(got.body, body(2), "what is on disk is what is read");
    // This is wrong, and the limit of stamps: it should be the MD5 of the new bytes, or provisional.
    assert_eq!(got.etag(), md5(&body(1)));
    server.run(&["scan", "--bucket", BUCKET]);
    assert_eq!(root.keys_of(BUCKET, "").await, ["k", "untouched"], "no row is lost by it");
    // The next write that moves the mtime is seen.
    std::fs::write(bucket.join("k"), body(3)).expect("writes");
    require_what_is_on_disk(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_during_a_get_cuts_the_answer() {
    let server = server_with(&["k"]).await;
    let (root, file) = (server.root(), server.data().join(BUCKET).join("large"));
    // More than the buffers of a connection hold.
    let bytes = 48 << 20;
    std::fs::write(&file, vec![7; bytes]).expect("writes");
    for edit in ["cut", "edited"] {
        let signed = root.call("GET", &format!("/{BUCKET}/large")).signed();
        let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
        socket.write_all(last_head(&signed).as_bytes()).await.expect("written");
        let mut begun = vec![0; 1 << 20];
        socket.read_exact(&mut begun).await.expect("the answer begins");
        assert!(begun.starts_with(b"HTTP/1.1 200"));
        let edited = std::fs::File::options().write(true).open(&file).expect("opens");
        match edit {
            "cut" => edited.set_len(40 << 20).expect("cuts"),
            _ => edited.write_all_at(b"an edit behind the reader", 0).expect("edits"),
        }
        let mut rest = Vec::new();
        // The connection is closed or reset before what was announced has come.
        let _ = socket.read_to_end(&mut rest).await;
        let announced = if edit == "cut" { bytes } else { 40 << 20 };
        assert!(begun.len() + rest.len() < announced, "{edit}: a body that is a mix looks whole");
        let again = root.get(BUCKET, "large").await.expect(200);
        assert_eq!(again.body, std::fs::read(&file).expect("reads").as_slice(), "{edit}");
    }
    require_what_is_on_disk(&server).await;
}

/// Requires that a bucket whose storage is away loses nothing, whatever is asked, and that it is all there again after.
async fn survives(server: &Server, crowd: Option<&mut Crowd>, away: impl FnOnce(), back: impl FnOnce()) {
    let root = server.root();
    let keys = root.keys_of(BUCKET, "").await;
    let mut etags = Vec::new();
    for key in &keys {
        etags.push(root.get(BUCKET, key).await.expect(200).etag().to_owned());
    }
    away();
    for key in &keys {
        let lost = root.get(BUCKET, key).await;
        assert!(matches!(lost.status, 500 | 503), "GET {key} of a lost mount: {} {}", lost.status, lost.text());
        assert!(matches!(root.head(BUCKET, key).await.status, 500 | 503));
    }
    let put = root.put(BUCKET, "new", body(9)).await;
    assert_eq!(put.status, 503, "PUT to a lost mount: {}", put.text());
    let delete = root.delete(BUCKET, &keys[0]).await;
    assert_eq!(delete.status, 503, "DELETE from a lost mount: {}", delete.text());
    let delete = root.call("DELETE", &format!("/{BUCKET}")).send().await;
    assert_eq!(delete.status, 503, "DELETE of a bucket whose mount is lost: {}", delete.text());
    server.run(&["bucket", "set", BUCKET, "--layout", "natural"]);
    assert!(!server.command(&["scan", "--bucket", BUCKET]).status.success(), "a scan of a lost mount");
    assert_eq!(root.keys_of(BUCKET, "").await, keys, "rows are lost");
    if let Some(crowd) = crowd {
        crowd.goes_on().await;
    }
    back();
    for (key, etag) in keys.iter().zip(etags) {
        assert_eq!(root.get(BUCKET, key).await.expect(200).etag(), etag, "{key}");
    }
    require_what_is_on_disk(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_taken_away_deletes_nothing() {
    const KEYS: [&str; 3] = ["a", "d/b", "theirs"];
    let server = server_with(&KEYS[..2]).await;
    let bucket = server.data().join(BUCKET);
    std::fs::write(bucket.join("theirs"), body(5)).expect("writes");
    require_what_is_on_disk(&server).await;
    // What is still owed to it is settled, so that nothing is written into what comes in its place.
    let mut crowd = Crowd::start(&server.root(), &KEYS);
    let away: PathBuf = server.data().parent().expect("a home").join("away");
    for empty in [false, true] {
        let leave = || {
            std::fs::rename(&bucket, &away).expect("a mount goes");
            if empty {
                std::fs::create_dir(&bucket).expect("its mount point");
            }
        };
        let back = || {
            if empty {
                std::fs::remove_dir_all(&bucket).expect("removes");
            }
            std::fs::rename(&away, &bucket).expect("it comes back");
        };
        survives(&server, Some(&mut crowd), leave, back).await;
    }
    crowd.end().await;
}

/// The same with a mount of the kernel's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_that_goes_deletes_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let (data, disk) = (home.path().join("data"), home.path().join("disk"));
    let point = data.join(BUCKET);
    for path in [&disk, &point] {
        std::fs::create_dir_all(path).expect("makes");
    }
    let mount = || Command::new("mount").arg("--bind").args([&disk, &point]).output().expect("mount");
    let unmount = || Command::new("umount").arg("--lazy").arg(&point).status().expect("umount").success();
    if !mount().status.success() {
        eprintln!("skipped: the right to mount (CAP_SYS_ADMIN) is missing");
        return;
    }
    let server = Server::with(Options { data: Some(data), ..Options::default() });
    let root = server.root();
    for key in ["a", "d/b"] {
        root.put(BUCKET, key, body(1)).await.expect(200);
    }
    std::fs::write(point.join("theirs"), body(5)).expect("writes");
    require_what_is_on_disk(&server).await;
    survives(&server, None, || assert!(unmount()), || assert!(mount().status.success())).await;
    drop(server);
    assert!(unmount());
}
