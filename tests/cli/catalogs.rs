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

/// What an operator may have overlooked is told, with the statement that mends it, and is no failure.
#[test]
fn policies_and_rights_are_advised_on() {
    let Some(server) = postgres("policies_and_rights_are_advised_on") else { return };
    let database = server.fresh();
    let sql = |text: &str| server.sql(&database.name, text);
    let (own, stranger) = (format!("own_{}", database.name), format!("stranger_{}", database.name));
    for role in [&own, &stranger] {
        sql(&format!("CREATE ROLE {role} NOLOGIN NOINHERIT"));
    }
    sql(&format!("GRANT {own} TO longshore"));
    let roles = format!("[jwt]\nroles = [\"anon\", \"authenticated\", \"{own}\"]\n");
    let up = Server::with(Options { database: Some(database.clone()), ..Options::default() }.config(&roles));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &roles).expect("a configuration file");
    let check = |more: &[&str]| {
        let mut check = up.beside(&["check"]);
        check.arg("--config").arg(file.path()).args(more).output().expect("it runs")
    };
    let advice = || {
        let checked = check(&["--json"]);
        assert!(checked.status.success(), "{}", stderr(&checked));
        let said: serde_json::Value = serde_json::from_str(&stdout(&checked)).expect("JSON");
        let lines = said["advice"].as_array().expect("a list");
        lines.iter().map(|line| line.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    // A role of one's own needs what the three of Supabase have. What it is told it needs is enough.
    let grants = format!(
        "GRANT USAGE ON SCHEMA storage TO {own}; GRANT SELECT, INSERT, UPDATE, DELETE ON storage.objects TO {own}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON storage.buckets TO {own}"
    );
    let wanted = format!("the role \"{own}\" lacks rights that policies only narrow: {grants}");
    assert_eq!(advice(), [&*wanted]);
    let text = stdout(&check(&[]));
    assert!(text.contains("advice") && text.contains(&wanted), "{text}");
    sql(&grants);
    assert_eq!(advice(), Vec::<String>::new());
    sql("CREATE POLICY fine ON storage.objects TO authenticated USING (owner_id = (SELECT auth.uid())::text)");
    sql("CREATE POLICY everyone ON storage.objects FOR SELECT USING (bucket_id = 'auth.uid()')");
    assert_eq!(advice(), Vec::<String>::new());
    sql("CREATE POLICY slow ON storage.objects TO authenticated USING (true) WITH CHECK (owner_id = auth.uid()::text)");
    sql(&format!("CREATE POLICY \"of strangers\" ON storage.buckets FOR SELECT TO {stranger}, anon USING (true)"));
    sql("ALTER TABLE storage.buckets DISABLE ROW LEVEL SECURITY");
    sql("REVOKE UPDATE ON storage.objects FROM authenticated");
    let wanted = [
        "the policy \"slow\" on storage.objects asks auth.uid() for every row: write (SELECT auth.uid()), which is asked once",
        "Row Level Security is off for storage.buckets, so every role sees all of it: \
         ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY",
        &format!(
            "the policy \"of strangers\" on storage.buckets is for {stranger}, which no token may name: \
             add it to [jwt] roles, or drop it"
        ),
        "the role \"authenticated\" lacks rights that policies only narrow: \
         GRANT UPDATE ON storage.objects TO authenticated",
    ];
    assert_eq!(advice(), wanted);
    drop(up);
    sql("DROP POLICY \"of strangers\" ON storage.buckets");
    for role in [&own, &stranger] {
        sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
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
