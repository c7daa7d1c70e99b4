//! Users: tokens, signing in and out, and pages of other origins.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Site, body, done, refused};
use crate::harness::Answer;

/// Makes a user with a password.
fn with_password(site: &Site, name: &str, password: &str) -> bool {
    let args = ["user", "create", name, "--group", "mygroup", "--password-stdin", "--replace"];
    let mut command = site.server.beside(&args);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the built program");
    writeln!(child.stdin.take().expect("piped"), "{password}").expect("written");
    child.wait().expect("its status").success()
}

async fn ask(site: &Site, function: &str, asked: Value) -> Answer {
    let call = site.request(None, "POST", &format!("/users/api/{function}"));
    call.header("content-type", "application/json").body(asked.to_string()).send().await
}

#[tokio::test]
async fn a_user_signs_in_and_out() {
    let site = Site::start();
    assert!(!with_password(&site, "ann", "short"));
    assert!(with_password(&site, "ann", "correct horse"));
    refused(&ask(&site, "token", json!({"identity": "ann"})).await, 422, "invalid_parameter", &["password"]);
    let wrong = ask(&site, "token", json!({"identity": "ann", "password": "incorrect horse"})).await;
    refused(&wrong, 401, "unauthorized", &[]);
    let unknown = ask(&site, "token", json!({"identity": "eve", "password": "incorrect horse"})).await;
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    let asked = json!({"identity": "ann", "password": "correct horse"});
    let told = body(&ask(&site, "token", asked.clone()).await.expect(200));
    let token = told["token"].as_str().expect("a token").to_owned();
    done(&site.call(Some(&token), "newItem", "", json!({"name": "a"})).await, true);
    // The other fronts take it.
    let supabase = site.rest.call("GET", "/bucket").header("authorization", &format!("Bearer {token}")).send().await;
    assert_eq!(supabase.status, 200, "{}", supabase.text());
    done(&site.request(Some(&token), "POST", "/users/api/signout").send().await, true);
    refused(&site.call(Some(&token), "newItem", "", json!({"name": "b"})).await, 401, "unauthorized", &[]);
    // Nobody is let in by a token that does not count, even where everybody is.
    refused(&site.call(Some("nonsense"), "ping", "", json!({})).await, 401, "unauthorized", &[]);
    refused(&site.call(Some(&token), "list", "", json!({})).await, 401, "unauthorized", &[]);
    let log = site.server.log();
    assert!(!log.contains("correct horse") && !log.contains(&token));
}

/// Each look at a password takes 19 MiB, and few are taken at a time. Who left made room for the next look while the one
/// at his own password went on.
#[tokio::test]
async fn sign_ins_that_are_cut_are_few_at_a_time() {
    let site = Site::start();
    assert!(with_password(&site, "ann", "correct horse"));
    let asked = json!({"identity": "ann", "password": "correct horse"});
    ask(&site, "token", asked.clone()).await.expect(200);
    let memory = site.server.peak_memory_bytes();
    let call = site.request(None, "POST", "/users/api/token").header("content-type", "application/json");
    site.rest.leave(&call.body(asked.to_string()).signed(), 64, Duration::from_millis(2)).await;
    // Those who left before their turn cost nobody else's.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut answer = ask(&site, "token", asked.clone()).await;
    while answer.status == 429 {
        assert!(Instant::now() < deadline, "nobody gets a turn any more");
        answer = ask(&site, "token", asked.clone()).await;
    }
    answer.expect(200);
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < 400 << 20, "memory rose by {} MiB", rise >> 20);
}

#[tokio::test]
async fn a_cookie_counts_for_pages_of_the_same_origin() {
    let site = Site::start();
    assert!(with_password(&site, "ann", "correct horse"));
    let signed = ask(&site, "signin", json!({"identity": "ann", "password": "correct horse"})).await;
    done(&signed, true);
    let cookie = signed.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("nive_auth=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let with = |method: &str, path: &str| site.rest.call(method, path).header("cookie", &cookie);
    let who = body(&with("POST", "/users/api/identity").send().await);
    assert_eq!((&who["name"], &who["realname"]), (&json!("ann"), &json!("ann")));
    let json = with("POST", "/users/api/authenticated").header("content-type", "application/json");
    assert_eq!(body(&json.body("{\"groups\":[\"mygroup\"]}").send().await)["result"], true);
    let call = with("POST", "/mystorage/api/@newItem").header("content-type", "application/json");
    done(&call.body("{\"name\":\"a\"}").send().await, true);
    // A form of another page can send neither JSON nor a header of its own.
    let form = || with("POST", "/mystorage/api/@newItem").header("content-type", "application/x-www-form-urlencoded");
    refused(&form().body("name=b").send().await, 403, "forbidden", &[]);
    done(&form().header("x-requested-with", "XMLHttpRequest").body("name=b").send().await, true);
    let out = with("POST", "/users/api/signout").send().await;
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.starts_with("nive_auth=;")));
    refused(&with("GET", "/mystorage/api/@list").send().await, 401, "unauthorized", &[]);
    // The token of a user who is gone counts no more.
    let token = site.user("ben", &[]);
    site.call(Some(&token), "list", "", json!({})).await.expect(200);
    site.server.run(&["user", "delete", "ben"]);
    refused(&site.call(Some(&token), "list", "", json!({})).await, 401, "unauthorized", &[]);
}

#[tokio::test]
async fn pages_of_other_origins_ask_with_tokens() {
    let site = Site::start();
    let preflight = |origin: &str| {
        let call = site.rest.call("OPTIONS", "/mystorage/api/a.txt/@getItem").header("origin", origin);
        call.header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type, x-auth-token")
            .send()
    };
    let answer = preflight("https://evil.example").await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://evil.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(answer.header("access-control-allow-headers").is_some_and(|names| names.contains("x-auth-token")));
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    let answer = preflight("https://tenant.nive.local").await.expect(204);
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    // A refusal can be read, too.
    let call = site.rest.call("GET", "/mystorage/none/@getItem").header("origin", "https://evil.example");
    let answer = call.send().await.expect(404);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://evil.example"));
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
}

/// A page that somebody wrote acted for whoever opened it, as its script had the origin of the interface.
#[tokio::test]
async fn a_stored_page_has_an_origin_of_its_own() {
    let site = Site::start();
    for (kind, runs) in [
        ("text/html", true),
        ("Text/HTML; charset=utf-8", true),
        ("application/xhtml+xml", true),
        ("image/svg+xml", true),
        ("application/xml", true),
        ("text/xsl", true),
        ("text/plain", false),
        ("text/javascript", false),
        ("application/pdf", false),
        ("image/png", false),
    ] {
        let item = json!({"name": "x", "mime": kind, "contents": "<script>", "header": {"x-own": "1"}});
        done(&site.act("newItem", "", item).await, true);
        for (method, path) in [("GET", "x"), ("HEAD", "x"), ("GET", "x/@read")] {
            let answer = site.request(None, method, &format!("/mystorage/{path}")).send().await.expect(200);
            assert_eq!((answer.header("content-type"), answer.header("x-own")), (Some(kind), Some("1")));
            let policy = answer.header("content-security-policy").unwrap_or_default();
            assert_eq!(policy.starts_with("sandbox allow-"), runs, "{kind} at {path}: {policy}");
            assert_eq!(policy.is_empty(), !runs, "{kind} at {path}: {policy}");
            assert!(!policy.contains("allow-same-origin"), "{policy}");
        }
        done(&site.act("removeItem", "x", json!({})).await, 1);
    }
    // Neither a part of it, nor the index of a directory, nor a policy that it brings gives it more.
    let own = json!({"Content-Security-Policy": "sandbox allow-same-origin allow-scripts"});
    let item = json!({"name": "index.html", "contents": "<script>", "header": own});
    site.directory("d").await;
    done(&site.act("newItem", "d", item).await, true);
    for range in [None, Some("bytes=0-3")] {
        let call = site.request(None, "GET", "/mystorage/d/");
        let call = if let Some(range) = range { call.header("range", range) } else { call };
        let answer = call.send().await;
        assert_eq!(answer.status, if range.is_some() { 206 } else { 200 });
        let policies = answer.headers.get_all("content-security-policy").iter();
        let apart = policies.filter(|policy| !policy.to_str().expect("ASCII").contains("allow-same-origin")).count();
        assert_eq!(apart, 1, "{:?}", answer.headers);
    }
}

/// A form of another page signed its visitor in as its author.
#[tokio::test]
async fn a_form_of_another_page_signs_nobody_in() {
    let site = Site::start();
    assert!(with_password(&site, "ann", "correct horse"));
    let signin = || site.rest.call("POST", "/users/api/signin");
    let json = r#"{"identity":"ann","password":"correct horse"}"#;
    let pairs = "identity=ann&password=correct+horse";
    let form = "--x\r\nContent-Disposition: form-data; name=\"identity\"\r\n\r\nann\r\n\
                --x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ncorrect horse\r\n--x--\r\n";
    for (kind, body) in [
        ("application/x-www-form-urlencoded", pairs),
        ("multipart/form-data; boundary=x", form),
        ("text/plain", json),
        ("text/plain; x=application/json", json),
    ] {
        let call = signin().header("content-type", kind).header("origin", "https://evil.example");
        let answer = call.body(body).send().await;
        refused(&answer, 403, "forbidden", &[]);
        assert_eq!(answer.header("set-cookie"), None, "{kind}");
    }
    let queried = signin().query("identity", "ann").query("password", "correct horse").send().await;
    refused(&queried, 403, "forbidden", &[]);
    assert_eq!(queried.header("set-cookie"), None);
    // What a page of the same origin sends is let in, and its cookie stays on TLS if the page came by it.
    for (origin, secure) in
        [(None, false), (Some("http://localhost:9001"), false), (Some("https://a.nive.local"), true)]
    {
        let by_json = signin().header("content-type", "application/json; charset=UTF-8").body(json);
        let by_script = signin().header("content-type", "application/x-www-form-urlencoded").body(pairs);
        for call in [by_json, by_script.header("x-requested-with", "XMLHttpRequest")] {
            let call = if let Some(origin) = origin { call.header("origin", origin) } else { call };
            let answer = call.send().await;
            done(&answer, true);
            let cookie = answer.header("set-cookie").expect("a cookie");
            assert!(cookie.starts_with("nive_auth="), "{cookie}");
            assert_eq!(cookie.contains("; Secure"), secure, "{origin:?}: {cookie}");
        }
    }
}
