//! Entry.
//!
//! **Invariant:** everything is in the library, so that nothing can happen here that no test reaches.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::cli::main()
}
