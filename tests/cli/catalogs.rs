//! A catalog in Postgres as an operator meets it.

use super::{stderr, stdout};
use crate::harness::postgres::{database, postgres};
use crate::harness::{Options, Server, longshore};

#[test]
fn a_catalog_is_prepared_and_what_cannot_be_used_is_told() {
    let Some(server) = postgres("a_catalog_is_prepared_and_what_cannot_be_used_is_told") else { return };
    let home = tempfile::tempdir().expect("a directory");
    let state = home.path().join("state").display().to_string();
    let run = |args: &[&str], url: &str| {
        longshore(args).args(["--state", &state]).env("LONGSHORE_CATALOG", url).output().expect("it runs")
    };
    let none = longshore(&["catalog", "migrate", "--state", &state]).output().expect("it runs");
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    let wrong = run(&["catalog", "migrate"], "mysql://me:hidden@h/d");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("catalog.url") && !stderr(&wrong).contains("hidden"), "{}", stderr(&wrong));

    // The login may not make a schema; the superuser may, and lets it in.
    let empty = server.database("template0");
    let served = Options { database: Some(empty.clone()), ..Options::default() };
    let (status, log) = Server::try_with(served.clone()).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("catalog migrate"), "{log}");
    for _ in 0..2 {
        let made = run(&["catalog", "migrate", "--login", "longshore"], &empty.admin);
        assert!(made.status.success(), "{}", stderr(&made));
        assert_eq!(stdout(&made) + &stderr(&made), "");
    }
    let up = Server::with(served);
    let password = empty.url.split([':', '@']).nth(2).expect("a password");
    let found = up.command(&["check"]);
    assert!(found.status.success(), "{}", stderr(&found));
    assert!(!(up.log() + &stdout(&found)).contains(password), "the password is told");

    let bad = empty.url.replace(password, "not-the-password");
    let refused = Server::try_with(Options::default().env("LONGSHORE_CATALOG", &bad)).err().expect("refused");
    assert_eq!(refused.0.code(), Some(1));
    assert!(refused.1.contains("password authentication failed"), "{}", refused.1);
    assert!(!refused.1.contains("not-the-password"), "{}", refused.1);
}

/// Commands beside the server use the same catalog, and the server notices what they change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_share_the_catalog_of_the_server() {
    let Some(database) = database("commands_share_the_catalog_of_the_server") else { return };
    let server = Server::with(Options { database: Some(database), ..Options::default() });
    server.root().create_bucket("photos").await.expect(200);
    let user = server.user("alice", "readwrite");
    user.put("photos", "k", "x").await.expect(200);
    assert!(server.run(&["bucket", "list"]).contains("photos"));
    assert!(server.run(&["user", "list"]).contains("alice"));
    assert!(!server.state().join("catalog.db").exists(), "there is no other catalog");
    assert!(server.run(&["fsck"]).contains('0'));
}
