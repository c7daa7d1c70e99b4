//! Which tokens are let in, and the command that makes them.

use serde_json::{Value, json};

use super::{As, SECRET, Site, body, now, refused, token};
use crate::harness::Options;

#[tokio::test]
async fn a_token_that_does_not_count_is_refused_by_its_reason() {
    let site = Site::start();
    let later = now() + 60;
    let call = |value: String| {
        let site = &site;
        async move { site.call(As::Nobody, "GET", "/bucket").header("authorization", &value).send().await }
    };
    for (text, message) in [
        (token(&json!({"role": "service_role", "exp": later}), "another"), "signature verification failed"),
        (token(&json!({"role": "service_role", "exp": 5}), SECRET), "\"exp\" claim timestamp check failed"),
        (token(&json!({"role": "service_role"}), SECRET), "\"exp\" claim timestamp check failed"),
        (
            token(&json!({"role": "service_role", "exp": later, "nbf": later}), SECRET),
            "\"nbf\" claim timestamp check failed",
        ),
        (token(&json!({"role": "postgres", "exp": later}), SECRET), "Access denied: Invalid role"),
        ("abc".to_owned(), "Invalid Compact JWS"),
        (String::new(), "Invalid Compact JWS"),
        (
            "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.".to_owned(),
            "\"alg\" (Algorithm) Header Parameter value not allowed",
        ),
    ] {
        refused(&call(format!("Bearer {text}")).await, "403", "AccessDenied", message);
    }
    let good = token(&json!({"role": "service_role", "exp": later}), SECRET);
    for value in [good.clone(), format!("bearer {good}")] {
        assert_eq!(call(value).await.expect(200).text(), "[]");
    }
    // What a gateway in front reads proves nothing.
    let key = site.call(As::Nobody, "GET", "/bucket").header("apikey", &good).send().await;
    refused(&key, "400", "InvalidRequest", "headers must have required property 'authorization'");
    assert!(!site.server.log().contains(&good), "the log holds a token");
}

#[tokio::test]
async fn the_command_makes_tokens_of_the_secret_that_is_kept() {
    let site = Site::with(Options::default().env("LONGSHORE_JWT_SECRET", ""));
    let kept = std::fs::read_to_string(site.server.state().join("jwt.secret")).expect("a secret");
    let log = site.server.log();
    assert!(
        log.contains("a secret that signs tokens was made") && !log.contains(kept.trim()),
        "it is told of, not told"
    );
    let claims = r#"{"app_metadata":{"x":1}}"#;
    let args = ["token", "create", "--role", "service_role", "--sub", "u", "--claims", claims, "--expires", "5m"];
    let text = site.server.run(&args);
    let call = |text: &str| site.call(As::Nobody, "GET", "/bucket").header("authorization", &format!("Bearer {text}"));
    assert_eq!(call(text.trim()).send().await.expect(200).text(), "[]");
    refused(
        &call(&As::Service.token().expect("a token")).send().await,
        "403",
        "AccessDenied",
        "signature verification failed",
    );
    for args in [
        ["token", "create", "--role", "postgres", "--sub", "u"],
        ["token", "create", "--role", "anon", "--claims", r#"{"role":"service_role"}"#],
        ["token", "create", "--role", "anon", "--claims", "[]"],
        ["token", "create", "--role", "anon", "--claims", r#"{"longshore_user":"root"}"#],
        ["token", "create", "--role", "anon", "--expires", "0s"],
        ["token", "create", "--role", "anon", "--user", "root"],
    ] {
        assert_eq!(site.server.command(&args).status.code(), Some(2), "{args:?}");
    }
    // The secret outlives the server.
    let site = site.again();
    let call = site.call(As::Nobody, "GET", "/bucket").header("authorization", &format!("Bearer {}", text.trim()));
    assert_eq!(body(&call.send().await.expect(200)), Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_token_of_a_user_is_the_user_for_as_long_as_there_is_one() {
    let site = Site::with(Options::default().env("LONGSHORE_JWT_SECRET", ""));
    site.server.run(&["user", "create", "ann", "--policy", "readwrite"]);
    let text = site.server.run(&["token", "create", "--user", "ann", "--expires", "5m"]);
    let call = |method: &str, path: &str| {
        site.call(As::Nobody, method, path)
            .header("authorization", &format!("Bearer {}", text.trim()))
            .header("content-type", "application/json")
    };
    call("POST", "/bucket").body(r#"{"name":"anns"}"#).send().await.expect(200);
    assert_eq!(body(&call("GET", "/bucket/anns").send().await.expect(200))["id"], "anns");
    let owned: Value = serde_json::from_str(&site.server.run(&["bucket", "show", "anns", "--json"])).expect("JSON");
    assert_eq!(owned["owner"], "ann");
    call("POST", "/object/anns/k").body("1").send().await.expect(200);
    // Another user's bucket is none of ann's.
    site.server.run(&["user", "create", "bob"]);
    let bob = site.server.run(&["token", "create", "--user", "bob"]);
    let as_bob = site.call(As::Nobody, "GET", "/bucket/anns").header("authorization", bob.trim());
    refused(&as_bob.send().await, "404", "NoSuchBucket", "Bucket not found");
    assert_eq!(site.server.command(&["token", "create", "--user", "carl"]).status.code(), Some(1));
    site.server.run(&["user", "delete", "ann"]);
    refused(&call("GET", "/bucket").send().await, "403", "AccessDenied", "Access denied: Invalid user");
    assert!(!site.server.log().contains(text.trim()), "the log holds a token");
}

#[tokio::test]
async fn a_weak_secret_starts_no_server() {
    for secret in ["short", "passwordpasswordpasswordpassword"] {
        let started = crate::harness::Server::try_with(Options::default().env("LONGSHORE_JWT_SECRET", secret));
        assert!(started.is_err(), "{secret}");
    }
}
