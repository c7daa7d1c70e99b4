//! The secrets that all gateways of one catalog must have alike, and marks by which they find out.
//!
//! **Invariant:** a mark is a keyed hash under the master key, so who reads the catalog cannot try guesses against it.

use crate::app::{AppError, tokens};
use crate::auth::secret::{MasterKey, Secret};
use crate::catalog::SecretMark;
use crate::config::Config;
use crate::config::root::RootKeys;
use crate::config::state::State;
use crate::model::id::hex;

/// Bytes of a mark.
const MARK_BYTES: usize = 16;

fn mark(master: &MasterKey, name: &str, texts: &[&str], lasting: bool) -> SecretMark {
    let label = [&["mark of ", name], texts].concat().join("\0");
    let mark = hex(&master.for_use(label.as_bytes()).bytes()[..MARK_BYTES]);
    SecretMark { name: name.to_owned(), mark, lasting }
}

/// The marks of this process's secrets. Keys in the catalog are sealed with the first, so that one never changes.
///
/// # Errors
/// Damaged files of secrets.
pub(super) fn marks(config: &Config, state: &State, root: &RootKeys) -> Result<Vec<SecretMark>, AppError> {
    let master = state.master_key()?;
    let (of_tokens, _): (Secret, bool) = tokens::secret(config, state)?;
    Ok(vec![
        mark(&master, "another master key", &[], true),
        mark(&master, "another secret of tokens", &[of_tokens.expose()], false),
        mark(&master, "other root credentials", &[&root.access_key, root.secret.expose()], false),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_secrets_apart_and_not_what_they_are() {
        let (one, other) = (MasterKey::generate(), MasterKey::generate());
        let of = |master: &MasterKey, secret: &str| mark(master, "a secret", &[secret], false).mark;
        assert_eq!(of(&one, "s"), of(&one, "s"));
        assert_ne!(of(&one, "s"), of(&one, "t"));
        assert_ne!(of(&one, "s"), of(&other, "s"));
        assert_ne!(mark(&one, "a", &["b"], false).mark, mark(&one, "a", &["b", ""], false).mark);
    }
}
