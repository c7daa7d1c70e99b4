//! A real application of LoopBack 3 against the built server, where Node.js and its packages are.

use std::path::Path;
use std::process::Command;

use crate::harness::{Options, Server, has_tool, skipped};

const SECRET: &str = "a-secret-of-tests-that-is-long-enough-0003";

#[tokio::test]
async fn an_application_with_the_remote_connector_works() {
    let test = "an application of LoopBack";
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/clients/loopback");
    if !has_tool(test, "node", "the application runs on it") {
        return;
    }
    if !dir.join("node_modules/loopback").is_dir() {
        skipped(test, "its packages are not installed: make tools");
        return;
    }
    let server = Server::with(Options::default().env("LONGSHORE_JWT_SECRET", SECRET));
    let mut command = Command::new("node");
    command.arg(dir.join("check.mjs")).env("LONGSHORE_JWT_SECRET", SECRET).env("NODE_NO_WARNINGS", "1");
    command.env("REST_ENDPOINT", format!("http://{}", server.rest));
    let done = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("node");
    let said = String::from_utf8_lossy(&done.stdout);
    let passed = said.lines().filter(|line| line.starts_with("PASS loopback: ")).count();
    let failed = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && passed >= 7 && !said.contains("FAIL"), "{said}\n{failed}");
}
