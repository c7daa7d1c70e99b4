//! The command line as a contract: the ready line, exit codes, what is printed where, and what is refused.

use std::path::Path;
use std::process::Output;

use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::{Auth, Options, Server, longshore};

mod buckets;
mod catalogs;
mod compose;
mod connections;
mod looks;
mod policy;
mod providers;
mod refusals;
mod walks;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_ready_line_is_all_that_is_printed() {
    let mut server = Server::start();
    assert_ne!(server.s3.port(), 0);
    assert_ne!(server.s3.port(), server.rest.port());
    assert!(server.stop().success());
    assert_eq!(server.printed(), Vec::<String>::new());
}

#[test]
fn sigint_stops_too() {
    let mut server = Server::start();
    server.signal(rustix::process::Signal::INT);
    assert!(server.wait().success());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_stop() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "a/b.txt", "hello").await.expect(200);
    assert!(server.stop().success());
    let server = server.restart();
    assert_eq!(server.root().get("photos", "a/b.txt").await.expect(200).text(), "hello");
}

#[test]
fn a_second_server_on_the_same_state_is_refused() {
    let server = Server::start();
    let options = Options { data: Some(server.data().to_owned()), ..Options::default() };
    let (status, log) = Server::try_with(options).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another server is running on the state directory"), "{log}");
}

#[test]
fn a_killed_server_leaves_no_lock() {
    let mut server = Server::start();
    server.kill();
    let mut server = server.restart();
    assert!(server.stop().success());
}

#[tokio::test]
async fn generated_root_credentials_are_printed_once_and_work() {
    let fresh = Options::default().env("LONGSHORE_ROOT_ACCESS_KEY", "").env("LONGSHORE_ROOT_SECRET_KEY", "");
    let mut server = Server::with(fresh);
    let log = server.log();
    let field = |name: &str| {
        let line = log.lines().find_map(|line| line.trim().strip_prefix(name)).expect("printed");
        line.trim().to_owned()
    };
    let (access_key, secret) = (field("access key"), field("secret key"));
    assert_eq!((access_key.len(), secret.len()), (20, 40));
    server.client(&access_key, &secret).create_bucket("mine").await.expect(200);
    assert!(server.stop().success());
    let server = server.restart();
    assert!(!server.log().contains(&secret), "printed again");
    server.client(&access_key, &secret).head("mine", "").await.expect(200);
    assert_eq!(mode(&server.state().join("root.json")), 0o600);
    assert_eq!(mode(&server.state()), 0o700);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_user_and_its_key_work_at_once_and_end_at_once() {
    let server = Server::start();
    let ann = server.user("ann", "readwrite");
    ann.create_bucket("anns").await.expect(200);
    ann.put("anns", "k", "v").await.expect(200);
    let users = server.run(&["user", "list", "--json"]);
    assert!(users.contains("\"ann\""), "{users}");
    let access_key = ann.keys().expect("keys").access_key.clone();
    let keys = server.run(&["key", "list", "--user", "ann"]);
    assert!(keys.contains(&access_key), "{keys}");
    server.run(&["key", "delete", "--user", "ann", "--access-key", &access_key]);
    // Another process is seen within a second: asked until then, and not a request longer.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let refused = loop {
        let answer = ann.get("anns", "k").await;
        if answer.status != 200 || std::time::Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    refused.refused(403, "InvalidAccessKeyId");
}

#[tokio::test]
async fn a_key_can_be_given() {
    let server = Server::start();
    server.run(&["user", "create", "bob", "--policy", "readonly", "--group", "a", "--group", "b"]);
    let pair = ["--access-key", "BOBSACCESSKEY", "--secret-key", "bobs-secret-is-long"];
    server.run(&[&["key", "create", "--user", "bob"], &pair[..]].concat());
    let bob = server.client("BOBSACCESSKEY", "bobs-secret-is-long");
    bob.call("GET", "/").send().await.expect(200);
    bob.create_bucket("bobs").await.refused(403, "AccessDenied");
    let half = server.command(&["key", "create", "--user", "bob", "--access-key", "BOBSOTHERKEY"]);
    assert_eq!(half.status.code(), Some(2));
    let twice = server.command(&[&["key", "create", "--user", "bob"], &pair[..]].concat());
    assert_eq!(twice.status.code(), Some(1), "{}", stderr(&twice));
}

#[tokio::test]
async fn the_log_tells_requests_and_no_secrets() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "line\nbreak", "hello").await.expect(200);
    let signed = root.call("GET", "/photos/line\nbreak").auth(Auth::Presigned(60)).signed();
    let signature = signed.target.rsplit_once("X-Amz-Signature=").expect("presigned").1.to_owned();
    root.send(signed).await.expect(200);
    assert!(server.stop().success());
    let log = server.log();
    let line = log.lines().find(|line| line.contains("PutObject") && line.contains("longshore::request"));
    let line = line.unwrap_or_else(|| panic!("no line of the request in\n{log}"));
    for part in ["caller=\"root\"", "bucket=\"photos\"", "key=\"line\\nbreak\"", "status=200", "bytes_in=5"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    for secret in [ROOT_SECRET, signature.as_str(), "X-Amz-Signature", "AWS4-HMAC-SHA256"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.contains(ROOT_ACCESS_KEY) || !log.contains("Credential="));
}

#[test]
fn json_log_lines_are_json() {
    let mut server = Server::with(Options::default().arg("--log-format").arg("json"));
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[test]
fn help_tells_exit_codes_and_variables() {
    let help = longshore(&["--help"]).output().expect("help");
    assert!(stdout(&help).contains("Exit codes:"));
    let help = stdout(&longshore(&["serve", "--help"]).output().expect("help"));
    for part in ["LONGSHORE_S3_LISTEN", "LONGSHORE_STATE", "LONGSHORE_DURABILITY", "--config"] {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
}

#[tokio::test]
async fn the_rest_listener_tells_health_and_metrics() {
    let server = Server::start();
    server.root().create_bucket("counted").await.expect(200);
    let rest = crate::harness::Client::new(server.rest, None);
    rest.call("GET", "/healthz").send().await.expect(200);
    rest.call("GET", "/readyz").send().await.expect(200);
    let text = rest.call("GET", "/metrics").send().await.expect(200).text();
    let counted = "longshore_requests_total{front=\"s3\",operation=\"CreateBucket\",status=\"200\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("part=\"catalog\""), "{text}");
    assert!(text.contains("part=\"default\""), "{text}");
    let missing = rest.call("GET", "/nothing").send().await.expect(404);
    assert_eq!(missing.header("content-type"), Some("application/json"));
}

/// Behind a proxy on the same machine everyone came from there.
#[tokio::test]
async fn metrics_are_not_told_to_a_proxy_or_under_another_name() {
    let server = Server::start();
    let rest = crate::harness::Client::new(server.rest, None);
    for (name, value) in [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 Caddy"),
    ] {
        rest.call("GET", "/metrics").header(name, value).send().await.expect(403);
        rest.call("GET", "/healthz").header(name, value).send().await.expect(200);
    }
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:9001", 200),
        ("files.example", 403),
        ("localhost.example:9001", 403),
        ("192.0.2.1:9001", 403),
    ] {
        let call = rest.call("GET", "/metrics").spoil(move |signed| signed.set_header("host", host));
        assert_eq!(call.send().await.status, status, "{host}");
    }
}

#[tokio::test]
async fn metrics_ask_for_their_token() {
    let token = "scrape-token-0123456789";
    let server = Server::with(Options::default().env("LONGSHORE_METRICS_TOKEN", token));
    let rest = crate::harness::Client::new(server.rest, None);
    rest.call("GET", "/metrics").send().await.expect(403);
    rest.call("GET", "/metrics").header("authorization", "Bearer wrong").send().await.expect(403);
    rest.call("GET", "/metrics").header("authorization", &format!("Bearer {token}")).send().await.expect(200);
    assert!(!server.log().contains(token));
}
