//! What is told of a task that came to no result.
//!
//! The runtime's own error shows the text that a task panicked with. A formatted one may hold what a client sent, and
//! where it came from stands in the log already, so errors and lines of the log are made of this instead.
//!
//! **Invariant:** nothing of a panic gets in here but that there was one.

use tokio::task::JoinError;

/// Why a task came to no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It panicked.
    #[error("a task panicked")]
    Panicked,
    /// It was ended from outside.
    #[error("a task was cancelled")]
    Cancelled,
}

impl From<JoinError> for TaskError {
    fn from(error: JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Cancelled }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;
    use crate::model::causes::causes;

    #[tokio::test]
    async fn what_a_panic_said_is_not_told() {
        let sent = String::from("what a client sent");
        let task: JoinHandle<()> = tokio::spawn(async move { panic!("as this test wants, with {sent}") });
        let error = task.await.expect_err("it panics");
        assert!(error.to_string().contains("what a client sent"), "{error}");
        let told = TaskError::from(error);
        assert_eq!((causes(&told), format!("{told:?}")), ("a task panicked".to_owned(), "Panicked".to_owned()));
    }

    #[tokio::test]
    async fn a_task_that_was_ended_has_not_panicked() {
        let task: JoinHandle<()> = tokio::spawn(std::future::pending());
        task.abort();
        assert_eq!(TaskError::from(task.await.expect_err("it was ended")), TaskError::Cancelled);
    }
}
