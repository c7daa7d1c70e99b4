//! Where keys beside the secret come from: a file, or an address that is asked now and then.
//!
//! **Invariant:** an address that does not answer, or answers with something else, leaves the keys as they were; tokens
//! of unknown keys cannot make this server ask more often than [`KEY_SET_PAUSE_SECONDS`] says.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{KeySet, Tokens};
use crate::config::limits::{
    KEY_SET_BYTES_MAX, KEY_SET_FETCH_SECONDS_MAX, KEY_SET_PAUSE_SECONDS, KEY_SET_REFRESH_SECONDS,
};

/// Where a set of keys is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, read at the start.
    File(PathBuf),
    /// An address.
    Address(String),
}

impl KeySource {
    /// Reads the set of a file; one that is fetched is empty at first.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn first(&self) -> std::io::Result<KeySet> {
        match self {
            Self::File(path) => read(path),
            Self::Address(_) => Ok(KeySet::default()),
        }
    }
}

fn read(path: &Path) -> std::io::Result<KeySet> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(KEY_SET_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    KeySet::parse(&text, true).map_err(std::io::Error::other)
}

impl Tokens {
    /// Fetches the keys of an address and keeps them fresh until `stop`.
    pub async fn keep_keys(&self, address: String, stop: CancellationToken) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "the keys of tokens cannot be fetched");
                return;
            }
        };
        let pause = Duration::from_secs(KEY_SET_PAUSE_SECONDS);
        loop {
            let mut wait = Duration::from_secs(KEY_SET_REFRESH_SECONDS);
            match fetch(&client, &address).await {
                Ok(keys) => self.set_keys(keys),
                Err(why) => {
                    tracing::warn!(why, "the keys of tokens cannot be fetched; those that are known stay");
                    wait = pause;
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.saturating_sub(pause)) => {}
                () = self.0.unknown.notified() => {}
            }
        }
    }
}

async fn fetch(client: &reqwest::Client, address: &str) -> Result<KeySet, String> {
    let answer = client.get(address).send().await.map_err(|error| error.without_url().to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut body = answer.bytes_stream();
    let mut text = Vec::new();
    while let Some(block) = body.next().await {
        text.extend_from_slice(&block.map_err(|error| error.without_url().to_string())?);
        if text.len() > KEY_SET_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
    }
    let text = String::from_utf8(text).map_err(|_| "the answer is no text".to_owned())?;
    KeySet::parse(&text, false).map_err(|error| error.to_string())
}

/// It follows no redirect: keys come from the address that the operator named.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Somebody else in this process may have chosen it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(KEY_SET_FETCH_SECONDS_MAX))
        .user_agent("Longshore")
        .build()
}
