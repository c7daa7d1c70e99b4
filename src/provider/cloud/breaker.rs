//! The breaker: calls to a service that keeps failing are refused at once, but for one now and then that tries.
//!
//! **Invariant:** one success closes it; while it is open no more than one call at a time reaches the service.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::limits::{CLOUD_BREAKER_FAILURES, CLOUD_BREAKER_SECONDS_FIRST, CLOUD_BREAKER_SECONDS_MAX};
use crate::provider::{Error, Result};

#[derive(Debug, Default)]
struct State {
    /// Failures without a success between.
    failures: u32,
    /// Until when calls are refused.
    until: Option<Instant>,
}

/// The breaker of one provider.
#[derive(Debug, Default)]
pub(in crate::provider) struct Breaker {
    state: Mutex<State>,
}

impl Breaker {
    /// Lets a call pass, or refuses it.
    pub(in crate::provider) fn pass(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.until {
            Some(until) if Instant::now() < until => Err(Error::Unavailable(io::Error::other(
                "the service failed again and again and is left alone for a while",
            ))),
            Some(_) => {
                // This call is the one that tries; the others wait for its end.
                state.until = Some(Instant::now() + pause(state.failures));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes the end of a call.
    pub(in crate::provider) fn tell(&self, success: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if success {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= CLOUD_BREAKER_FAILURES {
            state.until = Some(Instant::now() + pause(state.failures));
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = (failures.saturating_sub(CLOUD_BREAKER_FAILURES) / 4).min(10);
    Duration::from_secs((CLOUD_BREAKER_SECONDS_FIRST << doublings).min(CLOUD_BREAKER_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_and_lets_one_try() {
        let breaker = Breaker::default();
        for _ in 0..CLOUD_BREAKER_FAILURES {
            breaker.pass().expect("closed");
            breaker.tell(false);
        }
        assert!(breaker.pass().is_err());
        tokio::time::advance(Duration::from_secs(CLOUD_BREAKER_SECONDS_FIRST)).await;
        breaker.pass().expect("one tries");
        assert!(breaker.pass().is_err(), "and only one");
        breaker.tell(true);
        breaker.pass().expect("closed");
    }
}
