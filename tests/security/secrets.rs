//! Secrets: how they are compared, and which of them a server does not start with.

use std::path::{Path, PathBuf};

use crate::harness::{Options, Server, longshore};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory").map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A comparison that ends at the first byte that differs tells how much of a secret was right.
#[test]
fn secrets_are_compared_in_constant_time() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let secret = std::fs::read_to_string(root.join("model/secret.rs")).expect("the source");
    let (_, comparison) = secret.split_once("impl PartialEq for Secret").expect("how secrets are compared");
    assert!(comparison.split_once("\n}\n").expect("its end").0.contains(".ct_eq("), "{comparison}");
    let derived = secret.split_once("pub struct Secret").expect("the type").0.rsplit_once("#[derive").expect("derives");
    assert!(!derived.1.contains("PartialEq"), "a derived comparison is none");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate() {
            let exposed = line.contains("expose()");
            let compares = ["expose() ==", "expose() !=", "expose().eq(", "== secret.expose", "starts_with("];
            let hit = exposed && compares.iter().any(|pattern| line.contains(pattern));
            assert!(!hit, "{}:{}: compares a secret as a text: {line}", path.display(), n + 1);
        }
    }
}

#[test]
fn no_server_starts_with_a_secret_that_can_be_guessed() {
    let (access, secret) = ("LONGSHORE_ROOT_ACCESS_KEY", "LONGSHORE_ROOT_SECRET_KEY");
    let (old_access, old_secret) = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD");
    for (what, variables) in [
        ("an empty secret", &[(access, "operator"), (secret, "")][..]),
        ("empty credentials", &[(access, ""), (secret, "")]),
        ("15 characters", &[(access, "operator"), (secret, "fifteen-chars-x")]),
        ("blanks", &[(access, "operator"), (secret, "                    ")]),
        ("the secret of a manual", &[(access, "operator"), (secret, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")]),
        ("minioadmin", &[(access, "minioadmin"), (secret, "minioadmin")]),
        ("minioadmin by its old name", &[(old_access, "minioadmin"), (old_secret, "minioadmin")]),
        ("a well-known secret twice", &[(access, "operator"), (secret, "minioadminminioadmin")]),
        ("changeme in capitals", &[(access, "operator"), (secret, "CHANGEMECHANGEME")]),
        ("the access key again", &[(access, "operator-operator"), (secret, "operator-operator")]),
        ("an empty access key", &[(access, ""), (secret, "a-secret-that-is-long-enough")]),
        ("an access key with a slash", &[(access, "a/b/c"), (secret, "a-secret-that-is-long-enough")]),
        ("half a pair", &[(access, "operator")]),
    ] {
        let home = tempfile::tempdir().expect("a directory");
        let mut command = longshore(&["serve", "--s3-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]);
        let output = command.envs(variables.iter().copied()).arg(home.path()).output().expect("the built program");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {stderr}");
        assert!(output.stdout.is_empty(), "{what}: it was ready");
        assert!(stderr.contains("root"), "{what}: {stderr}");
        let told =
            variables.iter().any(|(name, value)| name.contains("SECRET") && value.len() > 14 && stderr.contains(value));
        assert!(!told, "{what}: the refusal prints the secret: {stderr}");
    }
}

#[test]
fn weak_secrets_are_refused_wherever_they_come_from() {
    // In the file that keeps generated credentials.
    let home = tempfile::tempdir().expect("a directory");
    let state = home.path().join(".longshore");
    std::fs::create_dir(&state).expect("made");
    let text = r#"{"access_key":"operator","secret_key":"changemechangeme"}"#;
    std::fs::write(state.join("root.json"), text).expect("written");
    let options = Options { data: Some(home.path().to_owned()), ..Options::default() };
    let options = options.env("LONGSHORE_ROOT_ACCESS_KEY", "").env("LONGSHORE_ROOT_SECRET_KEY", "");
    let (status, log) = Server::try_with(options).err().expect("refused");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains("changemechangeme"), "{log}");
    // The token of the metrics.
    for token in ["short", "fifteen-chars-x"] {
        let by_variable = Options::default().env("LONGSHORE_METRICS_TOKEN", token);
        let by_file = Options::default().config(&format!("[server]\nmetrics_token = \"{token}\"\n"));
        for options in [by_variable, by_file] {
            let (status, log) = Server::try_with(options).err().expect("refused");
            assert_eq!(status.code(), Some(1), "{log}");
            assert!(log.contains("metrics_token") && !log.contains(token), "{log}");
        }
    }
    // The secret of a user.
    let server = Server::start();
    server.run(&["user", "create", "ann"]);
    for secret in ["", "short", "fifteen-chars-x"] {
        let args = ["key", "create", "--user", "ann", "--access-key", "ANNSACCESSKEY", "--secret-key", secret];
        assert!(!server.command(&args).status.success(), "a user was given the secret {secret:?}");
    }
}

#[tokio::test]
async fn a_secret_never_works_for_another_key() {
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let (anns, bobs) = (ann.keys().expect("keys"), bob.keys().expect("keys"));
    ann.call("GET", "/").send().await.expect(200);
    bob.call("GET", "/").send().await.expect(200);
    for (access_key, secret, code) in [
        (anns.access_key.as_str(), bobs.secret.as_str(), "SignatureDoesNotMatch"),
        (&anns.access_key, &anns.secret[1..], "SignatureDoesNotMatch"),
        (&anns.access_key, &format!("{} ", anns.secret), "SignatureDoesNotMatch"),
        (&anns.access_key.to_lowercase(), &anns.secret, "InvalidAccessKeyId"),
        (&anns.access_key[1..], &anns.secret, "InvalidAccessKeyId"),
        ("ann", &anns.secret, "InvalidAccessKeyId"),
        ("root", &anns.secret, "InvalidAccessKeyId"),
        ("anonymous", &anns.secret, "InvalidAccessKeyId"),
        ("' OR 1=1 --", &anns.secret, "InvalidAccessKeyId"),
    ] {
        let answer = server.client(access_key, secret).call("GET", "/").send().await;
        let refused = answer.status == 403 && answer.code() == code;
        // What cannot stand in a credential is told as that.
        let unreadable = answer.status == 400 && access_key.contains(' ');
        assert!(refused || unreadable, "{access_key}: {} {}", answer.status, answer.text());
    }
}
