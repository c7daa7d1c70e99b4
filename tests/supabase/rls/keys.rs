//! Access keys of roles: made by the command, the same person as a token of their claims, and worth nothing with others.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::client;
use crate::harness::Client;
use crate::supabase::{As, Site, U1, U2};

/// Who has signed in has a folder, in a bucket of the embedded catalog.
fn policy() -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "role:authenticated"}, "Action": ["s3:GetObject", "s3:PutObject"],
         "Resource": "arn:aws:s3:::priv/${jwt:sub}/*"}
    ]})
    .to_string()
}

#[tokio::test]
async fn on_the_embedded_catalog_policies_of_buckets_speak_of_them() {
    let site = Site::start();
    if site.server.data().join(".longshore/catalog.db").metadata().is_err() {
        return;
    }
    let root = site.server.root();
    root.create_bucket("priv").await.expect(200);
    root.call("PUT", "/priv").query("policy", "").body(policy()).send().await.expect(204);
    let [one, two, anon, service] = [As::User(U1), As::User(U2), As::Anon, As::Service].map(|who| client(&site, who));
    let key = format!("{U1}/k");
    one.put("priv", &key, "hers").await.expect(200);
    assert_eq!(one.get("priv", &key).await.expect(200).text(), "hers");
    // The same person by a token.
    let token = site.plain(As::User(U1), "GET", &format!("/object/authenticated/priv/{key}")).await.expect(200);
    assert_eq!(token.text(), "hers");
    for stranger in [&two, &anon] {
        stranger.get("priv", &key).await.refused(403, "AccessDenied");
        stranger.put("priv", &key, "x").await.refused(403, "AccessDenied");
        stranger.create_bucket("another").await.refused(403, "AccessDenied");
    }
    one.delete("priv", &key).await.refused(403, "AccessDenied");
    assert_eq!(service.get("priv", &key).await.expect(200).text(), "hers");
    service.create_bucket("of-the-service").await.expect(200);
}

#[tokio::test]
async fn a_key_counts_with_the_claims_it_was_made_with() {
    let site = Site::start();
    let catalog = site.server.data().join(".longshore/catalog.db");
    if catalog.metadata().is_err() {
        return;
    }
    site.server.root().create_bucket("priv").await.expect(200);
    let anon = client(&site, As::Anon);
    let access_key = anon.keys().expect("keys").access_key.clone();
    anon.get("priv", "k").await.refused(403, "AccessDenied");
    let listed: Value =
        serde_json::from_str(&site.server.run(&["key", "list", "--user", "root", "--json"])).expect("JSON");
    assert_eq!(listed[0]["claims"], json!({"role": "anon"}));
    let site = site.again();
    let anon = site.server.root().with_keys(anon.keys().cloned());
    anon.get("priv", "k").await.refused(403, "AccessDenied");
    // Somebody makes more of it in the catalog, or makes it root's.
    let change = |claims: Option<&str>| {
        let connection = Connection::open(&catalog).expect("the catalog");
        connection.busy_timeout(Duration::from_secs(5)).expect("waits");
        let text = "UPDATE access_keys SET claims = ?2 WHERE access_key = ?1";
        assert_eq!(connection.execute(text, rusqlite::params![access_key, claims]).expect("changes"), 1);
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'", []).expect("changes");
    };
    for claims in [Some(r#"{"role":"service_role"}"#), None, Some("{"), Some("{}")] {
        change(claims);
        until(&anon, "InvalidAccessKeyId").await;
        change(Some(r#"{"role":"anon"}"#));
        until(&anon, "AccessDenied").await;
    }
    site.server.run(&["key", "delete", "--access-key", &access_key]);
    until(&anon, "InvalidAccessKeyId").await;
}

/// Asks until it is refused by this reason, as another process's change is noticed within a second.
async fn until(client: &Client, code: &str) {
    let began = Instant::now();
    loop {
        let answer = client.get("priv", "k").await.expect(403);
        if answer.code() == code {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{code} {}", answer.text());
    }
}

#[test]
fn the_command_takes_a_role_that_is_let_in_or_a_user() {
    let site = Site::start();
    for (args, code) in [
        (&["--role", "postgres"][..], 2),
        (&["--role", "anon", "--claims", r#"{"role":"service_role"}"#], 2),
        (&["--role", "anon", "--claims", "[]"], 2),
        (&["--role", "anon", "--user", "root"], 2),
        (&["--sub", "x"], 2),
        (&[], 2),
        (&["--role", "anon", "--sub", "x", "--claims", r#"{"team":"red"}"#], 0),
    ] {
        let output = site.server.command(&[&["key", "create"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?} {}", String::from_utf8_lossy(&output.stderr));
    }
}
