//! `longshore provider`, and what `check` says of providers.

use super::{stderr, stdout};
use crate::harness::longshore;

/// Runs a command over a configuration file in a fresh directory.
fn over(config: &str, args: &[&str]) -> (std::process::Output, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("data")).expect("a directory");
    let file = home.path().join("longshore.toml");
    std::fs::write(&file, config).expect("a configuration file");
    let mut command = longshore(args);
    command.env("LONGSHORE_CONFIG", &file).env("LONGSHORE_DIR", home.path().join("data"));
    (command.output().expect("the built program"), home)
}

const MEMORY: &str = "[[provider]]\nname = \"fleeting\"\nprovider = \"memory\"\nlayout = \"managed\"\n";
const BAD: &str = "[[provider]]\nname = \"far\"\nprovider = \"filesystem\"\nroot = \"/proc/1/nowhere\"\n";

#[test]
fn providers_are_listed_with_what_they_can() {
    let (output, _home) = over(&format!("{MEMORY}{BAD}"), &["provider", "list", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let field = |i: usize, name: &str| lines[i][name].clone();
    assert_eq!(
        (field(0, "name"), field(0, "default"), field(0, "layout")),
        ("default".into(), true.into(), "natural".into())
    );
    assert_eq!(
        (field(1, "name"), field(1, "provider"), field(1, "layout")),
        ("fleeting".into(), "memory".into(), "managed".into())
    );
    assert_eq!(lines[0]["capabilities"]["natural"], true);
    assert!(field(2, "problem").is_string() && field(2, "capabilities").is_null(), "{lines}");
    let (output, _home) = over(MEMORY, &["provider", "list"]);
    let text = stdout(&output);
    assert!(text.lines().next().is_some_and(|line| line.starts_with("default") && line.contains("natural")), "{text}");
    let (output, _home) = over(MEMORY, &["provider", "list", "--markdown"]);
    let text = stdout(&output);
    assert!(text.contains("| S3 |") && text.contains("memory"), "{text}");
}

#[test]
fn the_readme_has_the_table_that_make_matrix_prints() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = root.join("compat/matrix.toml");
    let output = longshore(&["provider", "list", "--markdown", "--config", config.to_str().expect("UTF-8")]).output();
    let output = output.expect("the built program");
    assert!(output.status.success(), "{}", stderr(&output));
    let (table, readme) = (stdout(&output), std::fs::read_to_string(root.join("README.md")).expect("the README"));
    assert!(readme.contains(table.trim()), "`make matrix` prints another table:\n{table}");
}

#[test]
fn every_operation_is_tried_and_nothing_is_left() {
    for name in ["default", "fleeting"] {
        let (output, home) = over(MEMORY, &["provider", "check", name]);
        let text = stdout(&output);
        assert!(output.status.success(), "{text}{}", stderr(&output));
        for operation in
            ["create container", "stage and publish, 9 MiB", "lay out, superseded", "assemble", "delete container"]
        {
            let line = text.lines().find(|line| line.starts_with(operation));
            assert!(line.is_some_and(|line| line.ends_with(" ok")), "{operation} of {name}:\n{text}");
        }
        let left = std::fs::read_dir(home.path().join("data")).expect("a directory").count();
        assert_eq!(left, 0, "{name}");
    }
}

#[test]
fn a_provider_that_cannot_be_tried_is_a_failure() {
    let (output, _home) = over(BAD, &["provider", "check", "far"]);
    assert_eq!(output.status.code(), Some(1));
    let (output, _home) = over(BAD, &["provider", "check", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no provider of the name \"nobody\""), "{}", stderr(&output));
}

#[test]
fn check_tells_every_provider_and_fails_if_one_is_bad() {
    let (output, _home) = over(MEMORY, &["check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("provider default") && text.contains("provider fleeting"), "{text}");
    let cloud = "[[provider]]\nname = \"cloud\"\nprovider = \"rackspace\"\nusername = \"u\"\napiKey = \"hunter2-hunter2\"\n\
                 authUrl = \"http://127.0.0.1:1\"\nretries_max = 0\n";
    let (output, _home) = over(&format!("{MEMORY}{cloud}"), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("provider fleeting"), "{}", stdout(&output));
    assert!(stderr(&output).contains("provider cloud: "), "{}", stderr(&output));
    assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
}
