//! What a test says although it passes: lines that the end of the run repeats, and what could not run here.

use std::io::Write as _;

/// Leaves a line that is shown although the test passes; the end of the run repeats it.
pub(crate) fn report(line: &str) {
    // Not by a macro: what those print is kept back for tests that fail.
    let _ = std::io::stderr().write_all(format!("fault: {line}\n").as_bytes());
}

/// Whether a program is there. One that is missing is named, and under `CI=true` fails the test.
pub(crate) fn has_tool(test: &str, tool: &str, why: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    found || skipped(test, &format!("{tool} is missing: {why}"))
}

/// Says that a test does not run here; under `CI=true` it fails.
pub(crate) fn skipped(test: &str, why: &str) -> bool {
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!strict, "{test} cannot run: {why}");
    report(&format!("{test}: SKIPPED, {why}"));
    false
}
