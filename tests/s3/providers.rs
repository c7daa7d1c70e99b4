//! Which provider a bucket goes to, what it is told of it, and what is served while one of them is not there.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Options, Server};

/// A server whose directory is the default, beside a memory and a directory `archive` in `home`.
fn beside(home: &Path, more: &str) -> Server {
    let archive = home.join("archive");
    std::fs::create_dir_all(&archive).expect("a directory");
    Server::with(Options::default().config(&format!(
        "[[provider]]\nname = \"fleeting\"\nprovider = \"memory\"\n\
         [[provider]]\nname = \"archive\"\nprovider = \"filesystem\"\nroot = {archive:?}\n{more}"
    )))
}

async fn create_in(root: &Client, bucket: &str, location: &str) -> Answer {
    let body = format!(
        "<CreateBucketConfiguration><LocationConstraint>{location}</LocationConstraint></CreateBucketConfiguration>"
    );
    root.call("PUT", &format!("/{bucket}")).body(body.as_str()).send().await
}

async fn location(root: &Client, bucket: &str) -> Vec<String> {
    let answer = root.call("GET", &format!("/{bucket}")).query("location", "").send().await.expect(200);
    answer.elements("LocationConstraint").into_iter().filter(|text| !text.is_empty()).collect()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn a_location_constraint_names_a_provider() {
    let home = home();
    let server = beside(home.path(), "");
    let root = server.root();
    create_in(&root, "papers", "archive").await.expect(200);
    create_in(&root, "scraps", "fleeting").await.expect(200);
    create_in(&root, "photos", "default").await.expect(200);
    create_in(&root, "nowhere", "elsewhere").await.refused(400, "InvalidLocationConstraint");
    for bucket in ["papers", "scraps", "photos"] {
        root.put(bucket, "k", bucket).await.expect(200);
        assert_eq!(root.get(bucket, "k").await.expect(200).text(), bucket);
    }
    assert_eq!(std::fs::read(home.path().join("archive/papers/k")).expect("its file"), b"papers");
    assert!(!server.data().join("papers").exists() && !server.data().join("scraps").exists());
    assert!(server.data().join("photos/k").is_file());
    assert_eq!(location(&root, "papers").await, ["archive"]);
    assert_eq!(location(&root, "scraps").await, ["fleeting"]);
    assert_eq!(location(&root, "photos").await, Vec::<String>::new());
    let names = root.call("GET", "/").send().await.expect(200).elements("Name");
    assert_eq!(names, ["papers", "photos", "scraps"]);
    create_in(&root, "papers", "archive").await.expect(200);
    create_in(&root, "papers", "fleeting").await.refused(409, "BucketAlreadyExists");
}

#[tokio::test]
async fn rules_route_buckets_and_set_their_layout() {
    let home = home();
    let rules = "[[bucket]]\nmatch = \"old-*\"\nprovider = \"archive\"\nlayout = \"managed\"\n\
                 [[bucket]]\nmatch = \"tmp-*\"\nprovider = \"fleeting\"\n";
    let server = beside(home.path(), rules);
    let root = server.root();
    for bucket in ["old-mail", "tmp-work", "photos"] {
        root.create_bucket(bucket).await.expect(200);
        root.put(bucket, "k", "x").await.expect(200);
    }
    create_in(&root, "old-news", "fleeting").await.expect(200);
    assert_eq!(location(&root, "old-mail").await, ["archive"]);
    assert_eq!(location(&root, "tmp-work").await, ["fleeting"]);
    assert_eq!(location(&root, "old-news").await, ["fleeting"]);
    assert!(home.path().join("archive/old-mail/.longshore").is_dir());
    assert!(!home.path().join("archive/old-mail/k").exists(), "managed");
    assert!(server.data().join("photos/k").is_file());
}

#[tokio::test]
async fn another_default_needs_no_directory() {
    let home = home();
    let server = Server::with(Options {
        state: Some(home.path().join("state")),
        ..Options::default().config(
            "[server]\ndefault_provider = \"mem\"\n[[provider]]\nname = \"mem\"\nprovider = \"memory\"\nlayout = \"managed\"",
        )
    });
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "k", "x").await.expect(200);
    assert_eq!(location(&root, "photos").await, Vec::<String>::new());
    assert!(!server.data().exists());
}

#[tokio::test]
async fn what_was_there_becomes_a_bucket_only_where_it_may() {
    let home = home();
    let (open, closed) = (home.path().join("open"), home.path().join("closed"));
    for place in [open.join("shared"), closed.join("private")] {
        std::fs::create_dir_all(&place).expect("a directory");
        std::fs::write(place.join("k"), "x").expect("a file");
    }
    let server = Server::with(Options::default().config(&format!(
        "[[provider]]\nname = \"open\"\nprovider = \"filesystem\"\nroot = {open:?}\n\
         [[provider]]\nname = \"closed\"\nprovider = \"filesystem\"\nroot = {closed:?}\nadopt = false\n"
    )));
    let root = server.root();
    assert_eq!(root.call("GET", "/").send().await.expect(200).elements("Name"), ["shared"]);
    assert_eq!(root.get("shared", "k").await.expect(200).text(), "x");
    root.get("private", "k").await.refused(404, "NoSuchBucket");
    create_in(&root, "private", "closed").await.refused(409, "BucketAlreadyExists");
    assert!(!closed.join("private/.longshore").exists(), "claimed");
    create_in(&root, "ours", "closed").await.expect(200);
    root.put("ours", "k", "kept").await.expect(200);
    let server = server.restart();
    assert_eq!(server.root().get("ours", "k").await.expect(200).text(), "kept");
    assert!(!closed.join("private/.longshore").exists(), "claimed");
}

#[tokio::test]
async fn a_name_is_served_from_one_provider_only() {
    let home = home();
    let twice = home.path().join("archive/photos");
    std::fs::create_dir_all(&twice).expect("a directory");
    std::fs::write(twice.join("k"), "theirs").expect("a file");
    let data = home.path().join("data");
    std::fs::create_dir_all(data.join("photos")).expect("a directory");
    std::fs::write(data.join("photos/k"), "ours").expect("a file");
    let archive = home.path().join("archive");
    let server = Server::with(Options {
        data: Some(data.clone()),
        ..Options::default()
            .config(&format!("[[provider]]\nname = \"z\"\nprovider = \"filesystem\"\nroot = {archive:?}"))
    });
    assert_eq!(server.root().get("photos", "k").await.expect(200).text(), "ours");
    assert!(!twice.join(".longshore").exists(), "claimed");
    assert!(server.log().contains("the name is that of a bucket elsewhere"));
}

#[tokio::test]
async fn containers_may_be_called_otherwise_than_buckets() {
    let home = home();
    let root_of = home.path().join("shared");
    for name in ["ls-photos", "Old Mail", "others"] {
        std::fs::create_dir_all(root_of.join(name)).expect("a directory");
        std::fs::write(root_of.join(name).join("k"), name).expect("a file");
    }
    let server = Server::with(Options::default().config(&format!(
        "[server]\ndefault_provider = \"shared\"\n[[provider]]\nname = \"shared\"\nprovider = \"filesystem\"\n\
         root = {root_of:?}\nprefix = \"ls-\"\nnames = {{ mail = \"Old Mail\" }}\n"
    )));
    let root = server.root();
    assert_eq!(root.call("GET", "/").send().await.expect(200).elements("Name"), ["mail", "photos"]);
    assert_eq!(root.get("mail", "k").await.expect(200).text(), "Old Mail");
    assert_eq!(root.get("photos", "k").await.expect(200).text(), "ls-photos");
    root.get("others", "k").await.refused(404, "NoSuchBucket");
    assert!(!root_of.join("others/.longshore").exists(), "claimed");
    root.create_bucket("fresh").await.expect(200);
    // Written over again: the record of the older version must be known as ours, or it would be kept as an outside edit.
    for text in ["one", "two", "three"] {
        root.put("fresh", "k", text).await.expect(200);
        root.put("mail", "k", text).await.expect(200);
    }
    assert_eq!(std::fs::read(root_of.join("ls-fresh/k")).expect("its file"), b"three");
    let server = server.restart();
    assert_eq!(server.root().get("mail", "k").await.expect(200).text(), "three");
    assert!(!root_of.join("ls-fresh/.longshore/lost").exists());
    server.root().delete("fresh", "k").await.expect(204);
    server.root().call("DELETE", "/fresh").send().await.expect(204);
    assert!(!root_of.join("ls-fresh").exists());
}

/// Asks until the answer is another than "not available", or too long.
async fn until_there(client: &Client, bucket: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(25);
    loop {
        let answer = client.get(bucket, "k").await;
        if answer.status != 503 || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_holds_up_nobody_and_is_served_when_it_is() {
    let home = home();
    let mut server = beside(home.path(), "");
    let root = server.root();
    create_in(&root, "papers", "archive").await.expect(200);
    root.put("papers", "k", "kept").await.expect(200);
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "k", "here").await.expect(200);
    assert!(server.stop().success());
    // A file in the place of the directory: it cannot be opened, nor made.
    let (archive, away) = (home.path().join("archive"), home.path().join("away"));
    std::fs::rename(&archive, &away).expect("moved");
    std::fs::write(&archive, "in the way").expect("a file");
    let mut server = server.restart();
    let root = server.root();
    assert_eq!(root.get("photos", "k").await.expect(200).text(), "here");
    root.get("papers", "k").await.refused(503, "ServiceUnavailable");
    root.put("papers", "k", "lost?").await.refused(503, "ServiceUnavailable");
    create_in(&root, "more", "archive").await.refused(503, "ServiceUnavailable");
    root.create_bucket("others").await.expect(200);
    let names = root.call("GET", "/").send().await.expect(200).elements("Name");
    assert_eq!(names, ["others", "papers", "photos"]);
    let log = server.log();
    assert!(log.contains("archive") && log.contains("cannot be opened"), "{log}");
    std::fs::remove_file(&archive).expect("gone");
    std::fs::rename(&away, &archive).expect("moved back");
    assert_eq!(until_there(&root, "papers").await.expect(200).text(), "kept");
    root.put("papers", "k", "newer").await.expect(200);
    assert!(server.stop().success());
    let server = server.restart();
    assert_eq!(server.root().get("papers", "k").await.expect(200).text(), "newer");
}

#[tokio::test]
async fn a_provider_that_was_never_there_is_left_as_it_was() {
    let home = home();
    let mut server = beside(home.path(), "");
    create_in(&server.root(), "papers", "archive").await.expect(200);
    assert!(server.stop().success());
    let id = home.path().join("archive/papers/.longshore/id");
    let before = std::fs::read_to_string(&id).expect("its mark");
    assert!(before.contains("\"clean\": true"), "{before}");
    let (archive, away) = (home.path().join("archive"), home.path().join("away"));
    std::fs::rename(&archive, &away).expect("moved");
    std::fs::write(&archive, "in the way").expect("a file");
    let mut server = server.restart();
    server.root().create_bucket("photos").await.expect(200);
    assert!(server.stop().success());
    assert_eq!(std::fs::read_to_string(away.join("papers/.longshore/id")).expect("its mark"), before);
    assert_eq!(std::fs::read_to_string(&archive).expect("still there"), "in the way");
}
