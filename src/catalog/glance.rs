//! What lies directly below a prefix, with no more than a directory is sorted by.
//!
//! **Invariant:** keys that go on alike up to a slash are one, told by the least of them: if it is that slash's own key,
//! its dates are told with it. Which rows are stepped over for that is for each catalog to say, never what is told.

use crate::model::page::{Seek, after_prefix};
use crate::model::time::Timestamp;

/// A key directly below a prefix, or all keys that go on alike up to a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The key, or what those keys begin with, their slash included.
    pub key: Box<str>,
    /// Whether it stands for the keys that begin with it.
    pub folded: bool,
    /// The bytes of the object, if it is one key.
    pub size: u64,
    /// When the object of this very key was last changed and when it came to be; `None`: there is none.
    pub dates: Option<(Timestamp, Timestamp)>,
}

/// What a row is to what was seen before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Something new.
    New,
    /// It lies beneath what was met last.
    Beneath,
    /// Something new, for which there is no place.
    Beyond,
}

/// What was seen of rows that come in the order of their keys.
#[derive(Debug)]
pub(super) struct Glances {
    prefix: String,
    limit: usize,
    found: Vec<Glance>,
}

impl Glances {
    pub(super) fn new(prefix: String, limit: usize) -> Self {
        Self { prefix, limit, found: Vec::new() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Looks at the next key.
    pub(super) fn meet(&self, key: &str) -> Met {
        match self.found.last() {
            Some(last) if last.folded && key.starts_with(&*last.key) => Met::Beneath,
            _ if self.found.len() >= self.limit => Met::Beyond,
            _ => Met::New,
        }
    }

    /// Takes a key that is something new.
    pub(super) fn add(&mut self, key: &str, size: u64, dates: (Timestamp, Timestamp)) {
        let slash = key.get(self.prefix.len()..).and_then(|rest| rest.find('/'));
        let told = slash.map_or(key, |at| &key[..=self.prefix.len() + at]);
        self.found.push(Glance {
            key: told.into(),
            folded: slash.is_some(),
            size: if slash.is_some() { 0 } else { size },
            dates: (told.len() == key.len()).then_some(dates),
        });
    }

    /// Where to go on; `None`: nothing was met yet.
    pub(super) fn behind(&self) -> Option<Seek> {
        self.found.last().map(|last| match last.folded {
            true => after_prefix(&last.key),
            false => Seek::After(last.key.to_string()),
        })
    }

    pub(super) fn found(self) -> Vec<Glance> {
        self.found
    }
}
