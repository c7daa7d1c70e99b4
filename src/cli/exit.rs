//! How a command ends.
//!
//! **Invariant:** a failure is printed with all its causes, on standard error, and never with a secret: no error of
//! ours holds one.

use std::error::Error;
use std::process::ExitCode;

use crate::model::causes::causes;

/// The exit codes, as the help lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Something failed or was refused.
    Failed,
    /// The command line is wrong, or `--force` is needed.
    Refused,
    /// `fsck` has found something that is wrong and stays so.
    Wrong,
}

/// The help's list of exit codes.
pub(super) const EXIT_HELP: &str = "Exit codes:
  0  done
  1  failed or refused
  2  the command line is wrong, or the command asks for --force
  3  fsck found something wrong that was not repaired";

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

/// What a command ends with.
pub(super) type Outcome = Result<(), Failure>;

impl Failure {
    /// A refusal that says what would help.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, error: why.into().into() }
    }

    /// What `fsck` ends with if something is wrong.
    pub(super) fn wrong(what: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, error: what.into().into() }
    }

    /// A failure without a cause of its own type.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, error: why.into().into() }
    }

    /// What went wrong, with all its causes.
    pub(super) fn text(&self) -> String {
        causes(self.error.as_ref())
    }

    /// Prints it and gives its code.
    pub(super) fn report(&self) -> ExitCode {
        #[expect(clippy::print_stderr, reason = "the one place where a command says why it failed")]
        {
            eprintln!("longshore: {}", self.text());
        }
        match self.exit {
            Exit::Failed => ExitCode::from(1),
            Exit::Refused => ExitCode::from(2),
            Exit::Wrong => ExitCode::from(3),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: Box::new(error) }
    }
}
