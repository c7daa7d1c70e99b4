//! The named keys of the configuration, for `aws:kms`.
//!
//! ```toml
//! [encryption]
//! default = "archive"
//! keys = [
//!   { name = "archive", file = "/etc/longshore/archive.key" },
//!   { name = "scratch", env = "SCRATCH_KEY" },
//! ]
//! ```
//!
//! A key is 32 bytes in base64, as `openssl rand -base64 32` prints them.
//!
//! **Invariant:** a key that is named but cannot be read is an error at the start, never a key less. What was encrypted
//! with a key can be read only as long as the key stays in the configuration.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroize as _;

use crate::auth::secret::{MasterKey, NamedKeys, Secret};
use crate::config::limits::ENCRYPTION_KEYS_MAX;
use crate::config::section::Section;

/// Longest file or text of a key, in bytes: base64 of 32 bytes with room for white space.
const KEY_TEXT_BYTES_MAX: u64 = 1024;

/// The keys that clients may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// The keys.
    pub keys: Vec<NamedKey>,
    /// The one for whoever names none.
    pub default: Option<String>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Its name, which is its id on the wire.
    pub name: String,
    /// Where it is.
    pub from: KeyFrom,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFrom {
    /// In a file, as base64.
    File(PathBuf),
    /// In the environment, as base64.
    Environment(String),
    /// In the configuration.
    Here(MasterKey),
}

/// A key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file.
    #[error("the encryption key {0:?} cannot be read from its file")]
    File(String, #[source] std::io::Error),
    /// Its variable.
    #[error("the encryption key {0:?} is not in the environment")]
    Environment(String),
    /// Its text.
    #[error("the encryption key {0:?} is not the base64 of 32 bytes")]
    Malformed(String),
}

impl EncryptionConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut keys: Vec<NamedKey> = Vec::new();
        let mut names = BTreeSet::new();
        for mut key in section.sections("keys") {
            let name = key.parse("name", "1 to 256 visible characters", |text| is_name(text).then(|| text.to_owned()));
            let file = key.text("file").map(|path| KeyFrom::File(path.into()));
            let variable = key.text("env").map(KeyFrom::Environment);
            let here = key.parse("base64", "the base64 of 32 bytes", decoded).map(KeyFrom::Here);
            let mut from: Vec<KeyFrom> = [file, variable, here].into_iter().flatten().collect();
            match (&name, from.pop()) {
                (Some(name), Some(from_one)) if from.is_empty() => {
                    if !names.insert(name.clone()) {
                        key.problem("name", &format!("{name:?} is taken by another key"));
                    }
                    keys.push(NamedKey { name: name.clone(), from: from_one });
                }
                (None, Some(_)) => key.problem("name", "a key needs one"),
                _ => key.problem("file", "a key needs one of file, env and base64"),
            }
            key.finish();
        }
        if keys.len() > ENCRYPTION_KEYS_MAX {
            section.problem("keys", "there are too many");
        }
        let default = section.text("default");
        if default.as_ref().is_some_and(|default| !names.contains(default)) {
            section.problem("default", "there is no key of this name");
        }
        section.finish();
        Self { keys, default }
    }

    /// Reads the keys from where they are.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub fn load(&self) -> Result<NamedKeys, KeyError> {
        let mut keys = NamedKeys { default: self.default.clone(), ..NamedKeys::default() };
        for NamedKey { name, from } in &self.keys {
            let malformed = || KeyError::Malformed(name.clone());
            let key = match from {
                KeyFrom::Here(key) => key.clone(),
                KeyFrom::File(path) => {
                    let text = contents(path).map_err(|error| KeyError::File(name.clone(), error))?;
                    decoded(text.expose()).ok_or_else(malformed)?
                }
                KeyFrom::Environment(variable) => {
                    let text = std::env::var(variable).map_err(|_| KeyError::Environment(name.clone()))?;
                    decoded(Secret::new(&text).expose()).ok_or_else(malformed)?
                }
            };
            keys.keys.insert(name.clone(), key);
        }
        Ok(keys)
    }
}

fn contents(path: &PathBuf) -> std::io::Result<Secret> {
    let mut text = String::new();
    File::open(path)?.take(KEY_TEXT_BYTES_MAX).read_to_string(&mut text)?;
    let secret = Secret::new(&text);
    text.zeroize();
    Ok(secret)
}

/// A name that fits into a header.
fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn decoded(text: &str) -> Option<MasterKey> {
    let mut bytes = BASE64.decode(text.trim()).ok()?;
    let key = <[u8; 32]>::try_from(&bytes[..]).ok().map(MasterKey::new);
    bytes.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";

    fn parse(text: &str) -> Result<EncryptionConfig, String> {
        Config::parse(text, &Overrides::default()).map(|config| config.encryption).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_from_files_and_from_the_file_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("key");
        std::fs::write(&file, format!("{KEY}\n")).expect("written");
        let text = format!(
            "[encryption]\ndefault = \"b\"\nkeys = [{{ name = \"a\", file = {file:?} }}, {{ name = \"b\", base64 = \"{KEY}\" }}]"
        );
        let config = parse(&text).expect("sound");
        assert!(!format!("{config:?}").contains("pO3up"), "keys are not printed");
        let keys = config.load().expect("read");
        assert_eq!(keys.keys["a"], keys.keys["b"]);
        assert_eq!(keys.default.as_deref(), Some("b"));
        std::fs::write(&file, "short").expect("written");
        assert!(matches!(config.load(), Err(KeyError::Malformed(name)) if name == "a"));
        std::fs::remove_file(&file).expect("removed");
        assert!(matches!(config.load(), Err(KeyError::File(..))));
        let missing = parse("[[encryption.keys]]\nname = \"a\"\nenv = \"LONGSHORE_NO_SUCH_KEY\"").expect("sound");
        assert!(matches!(missing.load(), Err(KeyError::Environment(_))));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, told) in [
            ("keys = [{ name = \"a\" }]", "a key needs one of file, env and base64"),
            ("keys = [{ name = \"a\", file = \"x\", env = \"y\" }]", "a key needs one of file, env and base64"),
            ("keys = [{ file = \"x\" }]", "a key needs one"),
            ("keys = [{ name = \"a b\", file = \"x\" }]", "visible characters"),
            ("keys = [{ name = \"a\", base64 = \"c2hvcnQ=\" }]", "the base64 of 32 bytes"),
            ("keys = [{ name = \"a\", file = \"x\" }, { name = \"a\", file = \"y\" }]", "taken by another key"),
            ("default = \"a\"", "there is no key of this name"),
            ("keys = [{ name = \"a\", file = \"x\", color = \"red\" }]", "there is no such key"),
        ] {
            let error = parse(&format!("[encryption]\n{text}")).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("c2hvcnQ="), "{error}");
        }
    }
}
