//! Listings of a cloud: what lies at keys, and what lies in the reserved tree.
//!
//! **Invariant:** pages are in the order of the bytes of names, without gap or duplicate; the reserved tree is skipped in
//! one step, however much is in it.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::mark::listed_stamp;
use super::service::{Entry, Page};
use super::space::Space;
use crate::config::limits::{CLOUD_CLEAR_ROUNDS_MAX, CLOUD_PIECES_AT_ONCE, LIST_KEYS_MAX};
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::time::Timestamp;
use crate::provider::{Error, Listed, ListedPage, ManagedFile, Result, Stat};

/// Behind every name that begins with what it is put behind.
const BEHIND_ALL: char = char::MAX;

impl Space {
    /// Objects at keys, as [`crate::provider::Provider::list`].
    pub(super) async fn list_keys(
        &self,
        container: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        let mut page = ListedPage::default();
        let mut after = after.filter(|after| *after >= prefix).map(str::to_owned);
        loop {
            let wanted = (limit - page.files.len()).clamp(1, LIST_KEYS_MAX);
            let Page { entries, more, next } = self.service.list(container, prefix, after.as_deref(), wanted).await?;
            let last = entries.last().map(|entry| entry.name.clone());
            let (mut next, mut jumped) = (next.or(last), false);
            for entry in entries {
                if entry.name.starts_with(&Self::reserved()) {
                    next = Some(format!("{}{BEHIND_ALL}", Self::reserved()));
                    jumped = true;
                    break;
                }
                if page.files.len() == limit {
                    page.more = limit > 0;
                    return Ok(page);
                }
                match listed(entry) {
                    Some(file) => page.files.push(file),
                    None => page.unnameable += 1,
                }
            }
            if !more && !jumped {
                return Ok(page);
            }
            if page.files.len() >= limit && !jumped {
                page.more = limit > 0;
                return Ok(page);
            }
            // A page that says nothing about where the next one begins would be asked for again for ever.
            if next.is_none() || next == after {
                return Ok(page);
            }
            after = next;
        }
    }

    /// As [`Space::list_keys`], but of what lies beneath one directory only the first object is shown if the page before
    /// ended within it.
    pub(super) async fn list_folded(
        &self,
        container: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        let beneath = after.and_then(|after| after.strip_prefix(prefix)).and_then(|rest| rest.split_once('/'));
        let skipped = beneath.map(|(directory, _)| format!("{prefix}{directory}/{BEHIND_ALL}"));
        self.list_keys(container, prefix, skipped.as_deref().or(after), limit).await
    }

    /// Managed objects in the order of their shards and ids.
    pub(super) async fn list_managed(
        &self,
        container: &str,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        let prefix = Self::managed_prefix();
        let mut after = after.map(Self::managed);
        let mut found: Vec<VersionId> = Vec::new();
        while found.len() < limit {
            let wanted = (limit - found.len()).min(LIST_KEYS_MAX);
            let page = self.service.list(container, &prefix, after.as_deref(), wanted).await?;
            let next = page.next.or_else(|| page.entries.last().map(|entry| entry.name.clone()));
            found.extend(page.entries.iter().filter_map(|entry| version_of(&entry.name, &prefix)));
            if !page.more || next.is_none() {
                break;
            }
            after = next;
        }
        let looks = found.into_iter().map(|version| async move {
            match self.stat(container, &Self::managed(version)).await {
                Ok(stat) => Ok(Some(ManagedFile { version, stat })),
                Err(Error::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let files: Vec<_> = stream::iter(looks).buffered(CLOUD_PIECES_AT_ONCE).try_collect().await?;
        Ok(files.into_iter().flatten().collect())
    }

    /// What is at a name, with its record.
    pub(super) async fn stat(&self, container: &str, name: &str) -> Result<Stat> {
        let known = self.known(container, name).await?;
        let beside = match known.version() {
            Some(version) => self.read_record(container, version).await?,
            None => None,
        };
        Ok(known.stat(beside))
    }

    /// Removes everything in the reserved tree.
    pub(super) async fn clear_reserved(&self, container: &str) -> Result<()> {
        for _ in 0..CLOUD_CLEAR_ROUNDS_MAX {
            let page = self.service.list(container, &Self::reserved(), None, LIST_KEYS_MAX).await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            self.remove_all(container, page.entries.into_iter().map(|entry| entry.name).collect()).await?;
        }
        Err(Error::NotEmpty)
    }

    async fn remove_all(&self, container: &str, names: Vec<String>) -> Result<()> {
        use super::service::{At, When};
        let removals = names
            .into_iter()
            .map(|name| async move { self.service.delete(At { container, name: &name }, When::Always).await });
        stream::iter(removals).buffer_unordered(CLOUD_PIECES_AT_ONCE).try_collect().await
    }

    /// Removes records that were written before `before` and whose version lies nowhere. Returns how many.
    pub(super) async fn sweep_records(&self, container: &str, before: Timestamp) -> Result<u64> {
        let prefix = Self::records_prefix();
        let (mut after, mut swept): (Option<String>, u64) = (None, 0);
        loop {
            let page = self.service.list(container, &prefix, after.as_deref(), LIST_KEYS_MAX).await?;
            let next = page.next.or_else(|| page.entries.last().map(|entry| entry.name.clone()));
            for entry in page.entries.iter().filter(|entry| entry.modified < before) {
                let Some(version) = version_of(&entry.name, &prefix) else { continue };
                if !self.lies_somewhere(container, version).await? {
                    self.free_record(container, version).await?;
                    swept += 1;
                }
            }
            if !page.more || next.is_none() {
                return Ok(swept);
            }
            after = next;
        }
    }

    async fn lies_somewhere(&self, container: &str, version: VersionId) -> Result<bool> {
        if self.known_if_there(container, &Self::managed(version)).await?.is_some() {
            return Ok(true);
        }
        let Some(record) = self.read_record(container, version).await? else { return Ok(false) };
        let at_key = self.known_if_there(container, record.key.as_str()).await?;
        Ok(at_key.is_some_and(|known| known.version() == Some(version)))
    }
}

fn listed(entry: Entry) -> Option<Listed> {
    let key = ObjectKey::new(&entry.name).ok()?;
    let stamp = listed_stamp(entry.digest.as_deref(), entry.size);
    Some(Listed { key, stamp, size: entry.size, modified: entry.modified, md5: entry.digest })
}

/// The version that a name in the reserved tree is of.
fn version_of(name: &str, prefix: &str) -> Option<VersionId> {
    let (shard, id) = name.strip_prefix(prefix)?.split_once('/')?;
    VersionId::parse(id).filter(|version| version.shard() == shard)
}
