//! Whether a bucket's policy is public.
//!
//! **Invariant:** a policy is public unless each of its rights for everyone is narrowed by a fixed value of a key that
//! says who or from where; a wildcard, a variable and a network of half the internet are no fixed values.

use crate::auth::policy::condition::Condition;
use crate::auth::policy::{Effect, Policy};

/// Whether it lets the public in.
#[must_use]
pub fn is_public(policy: &Policy) -> bool {
    policy.statements.iter().any(|statement| {
        statement.effect == Effect::Allow
            && statement.principals.are_anyone()
            && !statement.conditions.iter().any(Condition::narrows)
    })
}
