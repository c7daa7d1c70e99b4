//! The same tests with catalogs in Postgres: this binary once more, where each server has a database of its own.

use std::process::{Command, Stdio};

use crate::harness::postgres::postgres;
use crate::harness::report;

/// What has to do with the catalog.
const SUITES: [&str; 9] = [
    "s3::attached::",
    "s3::buckets::",
    "s3::conditions::",
    "s3::copy::",
    "s3::deletes::",
    "s3::lifecycle::",
    "s3::listing::",
    "s3::multipart::",
    "s3::objects::",
];
/// Tests that are among them at least.
const TESTS_MIN: usize = 30;

#[test]
fn s3_holds_over_a_catalog_in_postgres() {
    if postgres("s3_holds_over_a_catalog_in_postgres").is_none() {
        return;
    }
    let mut tests = Command::new(std::env::current_exe().expect("this program"));
    tests.args(SUITES).args(["--test-threads", "2"]).env("LONGSHORE_TEST_CATALOG", "postgres").stdin(Stdio::null());
    let output = tests.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = said.lines().filter(|line| line.starts_with("test ") && line.ends_with("... ok")).count();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(passed >= TESTS_MIN, "only {passed} tests ran");
    report::report(&format!("{passed} tests of S3 over catalogs in Postgres passed"));
}
