//! Odd tokens, and connections that many share: nobody ever sees by another one's claims.

use serde_json::{Value, json};

use super::{Ground, Said, said_by_rest};
use crate::harness::Options;
use crate::supabase::{As, SECRET, U1, U2, body, now, refused, token, told};

impl Ground {
    async fn list_with(&self, text: &str, bucket: &str) -> crate::harness::Answer {
        let call = self.site.call(As::Nobody, "POST", &format!("/object/list-v2/{bucket}"));
        let call = call.header("authorization", &format!("Bearer {text}")).header("content-type", "application/json");
        call.body("{}").send().await
    }
}

fn found(answer: &crate::harness::Answer) -> Vec<String> {
    let text = |row: &Value| row["name"].as_str().expect("a name").to_owned();
    body(answer)["objects"].as_array().expect("rows").iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_token_says_it_says_for_itself() {
    let Some(ground) = Ground::start("whatever_a_token_says").await else { return };
    let end = now() + 600;
    let signed = |claims: Value| token(&claims, SECRET);
    // A role that is not on the list, one that the login could become, words that mean no role to the database.
    for role in ["longshore_service", "postgres", "none", "NONE", "public", "authenticated; reset role", "Anon", ""] {
        let answer = ground.list_with(&signed(json!({"role": role, "sub": U1, "exp": end})), "own").await;
        match role {
            "" => assert!(found(&answer.expect(200)).is_empty()),
            _ => refused(&answer, "403", "AccessDenied", "Access denied: Invalid role"),
        }
    }
    let answer = ground.list_with(&signed(json!({"role": "authenticated", "sub": U1, "exp": 5})), "own").await;
    refused(&answer, "403", "AccessDenied", "\"exp\" claim timestamp check failed");
    // Quotes, a NUL, another role and much nesting among the claims change nothing of who it is.
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    for odd in
        [json!("'; RESET ROLE; --"), json!("a\u{0}b"), json!("\\\" \u{2028}"), deep, json!({"role": "service_role"})]
    {
        let claims = json!({"role": "authenticated", "sub": U1, "exp": end, "app_metadata": odd, "odd\u{0}'\"": odd});
        let answer = ground.list_with(&signed(claims), "own").await.expect(200);
        assert_eq!(found(&answer), [format!("{U1}/a")], "{odd}");
    }
    // A subject that is no UUID fails in a policy that needs one, and in none that does not.
    for sub in ["o'hara", "x\u{0}y", "\\"] {
        let text = signed(json!({"role": "authenticated", "sub": sub, "exp": end}));
        refused(&ground.list_with(&text, "own").await, "400", "InvalidParameter", "Invalid Parameter of a policy");
    }
    ground.superuser("DROP POLICY own_folder ON storage.objects; DROP POLICY team_own ON storage.objects").await;
    let text = signed(json!({"role": "authenticated", "sub": "o'hara", "exp": end}));
    assert_eq!(found(&ground.list_with(&text, "open").await.expect(200)).len(), 3);
}

/// A policy that fails by itself shows nothing, and says no more than the state of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_fails_says_how_and_shows_nothing() {
    let Some(ground) = Ground::start("a_policy_that_fails").await else { return };
    let text = token(&json!({"role": "authenticated", "sub": U1, "exp": now() + 600}), SECRET);
    let itself = "A policy is not well defined, as one that asks for itself";
    for (condition, status, code, message) in [
        ("exists (select 1 from storage.objects o)", "503", "DatabaseInvalidObjectDefinition", itself),
        ("1 / (length(name) - length(name)) = 1", "500", "DatabaseError", "database error, code: 22012"),
    ] {
        let policy = format!(
            "CREATE POLICY failing ON storage.objects AS RESTRICTIVE FOR SELECT TO authenticated USING ({condition})"
        );
        ground.superuser(&policy).await;
        let answer = ground.list_with(&text, "open").await;
        assert_eq!(answer.status, if status == "500" { 500 } else { 400 }, "{}", answer.text());
        told(&answer, status, code, message);
        ground.superuser("DROP POLICY failing ON storage.objects").await;
        assert_eq!(found(&ground.list_with(&text, "open").await.expect(200)).len(), 3);
    }
}

/// Many callers on the few connections of one process, among them some whose statements fail and some who go away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_take_turns_and_see_nothing_of_each_other() {
    let Some(ground) = Ground::start("callers_take_turns").await else { return };
    let ground = &ground;
    let turns = (0..160usize).map(|turn| async move {
        let (who, wanted) = match turn % 4 {
            0 => (As::User(U1), vec![format!("{U1}/a")]),
            1 => (As::Anon, Vec::new()),
            2 => (As::User(U2), vec![format!("{U2}/b")]),
            _ => (As::Service, vec![format!("{U1}/a"), format!("{U2}/b"), "plain".to_owned()]),
        };
        if turn % 7 == 0 {
            let odd = token(&json!({"role": "authenticated", "sub": "no uuid", "exp": now() + 60}), SECRET);
            refused(&ground.list_with(&odd, "own").await, "400", "InvalidParameter", "Invalid Parameter of a policy");
        }
        let asked = async {
            let listed = ground.site.json(who, "POST", "/object/list-v2/own", json!({})).await.expect(200);
            assert_eq!(found(&listed), wanted, "{who:?}");
            let hers = ground.site.plain(who, "GET", &format!("/object/own/{U1}/a")).await;
            let visible = if wanted.contains(&format!("{U1}/a")) { Said::Yes } else { Said::Hidden };
            assert_eq!(said_by_rest(&hers), visible, "{who:?}");
        };
        // Some go away in the middle.
        let patience = std::time::Duration::from_millis(if turn % 11 == 5 { 2 } else { 60_000 });
        let ended = tokio::time::timeout(patience, asked).await;
        assert!(ended.is_ok() || turn % 11 == 5, "an answer takes too long");
    });
    futures_util::future::join_all(turns).await;
}

/// Roles that may do more than policies can hold back, or that are not there, start no server.
#[test]
fn a_role_that_no_token_may_name_starts_no_server() {
    let Some(database) = crate::harness::postgres::database("a_role_that_no_token_may_name") else { return };
    for role in ["postgres", "longshore_service", "none", "pg_monitor", "nobody_here", "Service_Role"] {
        let config = format!("[jwt]\nroles = [\"anon\", \"{role}\"]\n");
        let options = Options { database: Some(database.clone()), ..Options::default() }.config(&config);
        let started = crate::harness::Server::try_with(options.env("LONGSHORE_JWT_SECRET", SECRET));
        let Err((_, log)) = started else { panic!("{role}") };
        assert!(log.contains("roles"), "{role}: {log}");
    }
}
