//! What the program refuses, and that it says everything that is wrong.

use super::stderr;
use crate::harness::{Options, Server, longshore};

#[test]
fn a_bad_configuration_lists_every_problem() {
    let text = "colour = 1\n[server]\nlisten = 2\ndurability = \"paper\"\n[[provider]]\nprovider = \"tape\"\n";
    let (status, log) = Server::try_with(Options::default().config(text)).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    for part in ["colour", "server.listen", "server.durability", "provider[0].provider", "provider[0].name"] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
}

#[test]
fn a_configuration_that_is_no_toml_says_where() {
    let (status, log) = Server::try_with(Options::default().config("[server\n")).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("line 1"), "{log}");
}

#[test]
fn guessable_root_secrets_are_refused() {
    for secret in ["minioadmin", "admin", "password", "changeme", "changemechangeme", "short", "HARNESSROOT"] {
        let options = Options::default().env("LONGSHORE_ROOT_SECRET_KEY", secret);
        let (status, log) = Server::try_with(options).err().unwrap_or_else(|| panic!("{secret} was taken"));
        assert_eq!(status.code(), Some(1), "{secret}");
        assert!(log.contains("root secret key"), "{secret}: {log}");
    }
}

#[test]
fn half_a_pair_of_root_credentials_is_refused() {
    for name in ["LONGSHORE_ROOT_ACCESS_KEY", "LONGSHORE_ROOT_SECRET_KEY"] {
        let (status, log) = Server::try_with(Options::default().env(name, "")).err().expect("refused");
        assert_eq!(status.code(), Some(1));
        assert!(log.contains("must be given together"), "{log}");
    }
}

#[test]
fn a_taken_address_is_told() {
    let server = Server::start();
    let mut command = longshore(&["serve", "--rest-listen", "127.0.0.1:0", "--s3-listen", &server.s3.to_string()]);
    let home = tempfile::tempdir().expect("a directory");
    let output = command.arg(home.path()).output().expect("the built program");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("cannot listen on {}", server.s3)), "{}", stderr(&output));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for args in [&["serve", "--nonsense"][..], &["bucket"], &["key", "create"], &["serve", "--s3-listen", "nowhere"]] {
        assert_eq!(longshore(args).output().expect("the built program").status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn commands_without_a_state_say_so_and_make_none() {
    let home = tempfile::tempdir().expect("a directory");
    let state = home.path().join("state");
    let output = longshore(&["bucket", "list"]).env("LONGSHORE_STATE", &state).output().expect("the built program");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no state directory"), "{}", stderr(&output));
    assert!(!state.exists());
}

#[test]
fn check_finds_without_making() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let output = longshore(&["check"]).arg(&data).output().expect("the built program");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!data.exists());
    let server = Server::start();
    let text = server.run(&["check", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["found"]["server"], "running");
    assert_eq!(found["problems"], serde_json::json!([]));
}
