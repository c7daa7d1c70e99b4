//! Listings: of what lies at keys, and of managed files.
//!
//! A plain `LoopBack` application tells all names of a container at once and in its own order, so a page of ours is the
//! least names behind the last one, picked from the whole as it passes by. A Longshore is asked for pages.
//!
//! **Invariant:** pages are in the order of the bytes of names, without gap or duplicate; memory is that of one page,
//! however many files there are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Remote;
use super::entry::FileEntry;
use super::names;
use super::routes::{Part, strange};
use crate::config::limits::{LIST_KEYS_MAX, REMOTE_EMPTY_PAGES_MAX, REMOTE_FILES_AT_ONCE};
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::time::Timestamp;
use crate::provider::{Error, Listed, ListedPage, ManagedFile, Result};

/// The least of what passes by.
struct Least<K, V> {
    most: usize,
    found: BTreeMap<K, V>,
    more: bool,
}

impl<K: Ord, V> Least<K, V> {
    fn new(most: usize) -> Self {
        Self { most, found: BTreeMap::new(), more: false }
    }

    fn take(&mut self, key: K, value: V) {
        self.found.insert(key, value);
        if self.found.len() > self.most {
            self.found.pop_last();
            self.more = true;
        }
    }
}

/// What a pass over the names of a container begins with.
#[derive(Debug, Clone)]
struct Pass {
    prefix: String,
    after: Option<String>,
}

impl Remote {
    /// Shows all files from somewhere on, in pages if the other side has them, until there are enough. `see` may say behind
    /// which name it goes on, to pass over many at once.
    async fn pass(
        &self,
        container: &str,
        mut pass: Pass,
        mut see: impl FnMut(FileEntry) -> Option<&'static str> + Send,
        mut enough: impl FnMut() -> bool + Send,
    ) -> Result<()> {
        for _ in 0..REMOTE_EMPTY_PAGES_MAX {
            let part = Part { prefix: &pass.prefix, after: pass.after.as_deref(), limit: LIST_KEYS_MAX };
            let mut listing = self.wire.files(container, part).await?;
            self.met(listing.paged);
            let (mut count, mut last, mut jump) = (0, pass.after.clone(), None);
            while let Some(value) = listing.next().await? {
                let entry = FileEntry::read(&value).ok_or_else(|| strange("an entry of a listing is no file"))?;
                count += 1;
                let name = entry.name.clone();
                // Whoever tells pages in another order would be asked for the same one for ever.
                if listing.paged && last.as_ref().is_some_and(|last| name <= *last) {
                    return Err(strange("a page of a listing is out of order"));
                }
                jump = see(entry).or(jump);
                last = Some(name);
            }
            if count == 0 && pass.after.is_none() {
                self.require(container).await?;
            }
            if !listing.paged || count < LIST_KEYS_MAX || enough() {
                return Ok(());
            }
            pass.after = last.max(jump.map(str::to_owned));
        }
        Err(strange("a listing has pages without end"))
    }

    /// Files at keys, as [`crate::provider::Provider::list`].
    pub(super) async fn list_keys(
        &self,
        container: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        let least = Mutex::new((Least::new(limit), 0_u64));
        let locked = || least.lock().unwrap_or_else(PoisonError::into_inner);
        let see = |entry: FileEntry| {
            if names::is_reserved(&entry.name) {
                return Some(names::BEHIND_RESERVED).filter(|_| entry.name.starts_with(names::RESERVED));
            }
            if !entry.name.starts_with(prefix) || after.is_some_and(|after| entry.name.as_str() <= after) {
                return None;
            }
            let key = ObjectKey::new(&entry.name).ok().filter(|key| names::of_key(key, true).is_some());
            let (least, unnameable) = &mut *locked();
            match key {
                Some(key) => least.take(key, entry),
                None => *unnameable += 1,
            }
            None
        };
        let pass = Pass { prefix: prefix.to_owned(), after: after.map(str::to_owned) };
        self.pass(container, pass, see, || locked().0.more).await?;
        let (least, unnameable) = std::mem::replace(&mut *locked(), (Least::new(0), 0));
        let files = least.found.into_iter().map(|(key, entry)| Listed {
            key,
            stamp: entry.stamp(),
            size: entry.size,
            modified: entry.modified(),
            md5: None,
        });
        Ok(ListedPage { files: files.collect(), more: least.more && limit > 0, unnameable })
    }

    /// Whether nothing but files of ours is in a container.
    pub(super) async fn is_vacant(&self, container: &str) -> Result<bool> {
        let foreign = AtomicBool::new(false);
        let see = |entry: FileEntry| {
            let ours = entry.name.starts_with(names::RESERVED);
            foreign.fetch_or(!ours, Ordering::Relaxed);
            ours.then_some(names::BEHIND_RESERVED)
        };
        let pass = Pass { prefix: String::new(), after: None };
        self.pass(container, pass, see, || foreign.load(Ordering::Relaxed)).await?;
        Ok(!foreign.load(Ordering::Relaxed))
    }

    /// Names of ours that begin with `prefix`, with what the listing says of them, the least `limit` behind `after`.
    pub(super) async fn reserved(
        &self,
        container: &str,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<FileEntry>> {
        let least = Mutex::new(Least::new(limit));
        let locked = || least.lock().unwrap_or_else(PoisonError::into_inner);
        let see = |entry: FileEntry| {
            if entry.name.starts_with(prefix) && after.as_ref().is_none_or(|after| entry.name > *after) {
                locked().take(entry.name.clone(), entry);
            }
            None
        };
        let pass = Pass { prefix: prefix.to_owned(), after: after.clone() };
        self.pass(container, pass, see, || locked().more).await?;
        Ok(std::mem::replace(&mut *locked(), Least::new(0)).found.into_values().collect())
    }

    /// Managed files, as [`crate::provider::Provider::list_managed`].
    pub(super) async fn list_managed(
        &self,
        container: &str,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        let found = self.reserved(container, names::MANAGED, after.map(names::managed), limit).await?;
        let versions: Vec<VersionId> = found.iter().filter_map(|entry| names::version_of(&entry.name)).collect();
        let looks = versions.into_iter().map(|version| async move {
            match self.stat_managed(container, version).await {
                Ok(stat) => Ok(Some(ManagedFile { version, stat })),
                Err(Error::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let files: Vec<Option<ManagedFile>> = stream::iter(looks).buffered(REMOTE_FILES_AT_ONCE).try_collect().await?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Removes slips that are older than `before` and lie beside nothing. Returns how many.
    pub(super) async fn sweep(&self, container: &str, before: Timestamp) -> Result<u64> {
        let (mut after, mut swept) = (None, 0);
        loop {
            let page = self.reserved(container, names::RECORDS, after.take(), LIST_KEYS_MAX).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after = Some(last.name.clone());
            for entry in page.iter().filter(|entry| entry.modified() < before) {
                let Some(version) = names::version_of_slip(&entry.name) else { continue };
                if matches!(self.wire.file(container, &names::managed(version)).await, Err(Error::NotFound)) {
                    self.wire.remove(container, &entry.name, None).await?;
                    swept += 1;
                }
            }
        }
    }
}
