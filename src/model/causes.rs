//! An error with what lies under it, in one line.
//!
//! **Invariant:** the line goes to logs, to the command line, and into errors that end there; no front answers with it.

use std::error::Error;

/// What an error says, and what each of its causes says.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
