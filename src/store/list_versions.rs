//! The versions of a bucket's keys, page by page.
//!
//! A bucket that keeps no versions shows each key's only one, as its listing does, so that clients that empty a bucket by
//! its versions find everything. In one that keeps them and was not walked yet the files without rows are among them, each
//! as the version that adoption would make of it.
//!
//! **Invariant:** keys come in the order of their bytes, the versions of a key from the newest to the oldest, without gap
//! or duplicate across pages.

use std::sync::Arc;

use crate::catalog::{Scope, VersionWindow, Window};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Entry;
use crate::model::page::{Seek, after_prefix};
use crate::model::versioning::VersionRef;
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::list::Item;
use crate::store::request::{VersionPage, VersionQuery};
use crate::store::{SERVICE, Store};

impl Store {
    /// A page of the versions of a bucket's keys.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn list_versions(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        query: VersionQuery,
    ) -> Result<VersionPage> {
        let bound = self.enter(caller, bucket, Action::ListBucketVersions).await?;
        let scope = self.scope(caller);
        if bound.bucket.config.versioning.ever() {
            return self.version_page(&bound, &query, &scope).await;
        }
        let page = self.page(&bound, query.page, &scope).await?;
        let entries = page.entries.into_iter().map(|entry| Entry { null: true, ..entry }).collect::<Vec<_>>();
        let next = page.next.map(|key| {
            let version = entries.last().is_some_and(|last| last.key.as_str() == key).then_some(VersionRef::Null);
            (key, version)
        });
        Ok(VersionPage { entries, prefixes: page.prefixes, next })
    }

    async fn version_page(&self, bound: &Arc<Bound>, query: &VersionQuery, scope: &Scope) -> Result<VersionPage> {
        let (mut page, limit) = (VersionPage::default(), query.page.limit);
        let (mut rest_of, mut seek) = self.start(bound, query).await?;
        let mut last: Option<(String, Option<VersionRef>)> = None;
        while limit > 0 && (seek != Seek::End || rest_of.is_some()) {
            let prefix = query.page.prefix.clone();
            let window = VersionWindow { prefix, rest_of: rest_of.take(), seek: seek.clone(), limit: limit + 1 };
            let (rows, ended) = self.version_rows(bound, window, scope).await?;
            let mut skipped: Option<String> = None;
            for row in rows {
                if skipped.as_deref().is_some_and(|prefix| row.key.as_str().starts_with(prefix)) {
                    continue;
                }
                if page.entries.len() + page.prefixes.len() == limit {
                    page.next = last;
                    return Ok(page);
                }
                if let Some(prefix) = query.page.common_prefix(row.key.as_str()) {
                    page.prefixes.push(prefix.to_owned());
                    last = Some((prefix.to_owned(), None));
                    (rest_of, seek) = (None, after_prefix(prefix));
                    skipped = Some(prefix.to_owned());
                    continue;
                }
                last = Some((row.key.as_str().to_owned(), Some(row.shown())));
                seek = Seek::After(row.key.as_str().to_owned());
                rest_of = Some((row.key.clone(), row.counter));
                page.entries.push(row);
            }
            if ended {
                break;
            }
        }
        Ok(page)
    }

    /// Rows of a window, and in a bucket that was not walked yet the files among them that have none. With them, whether
    /// nothing follows.
    async fn version_rows(&self, bound: &Bound, window: VersionWindow, scope: &Scope) -> Result<(Vec<Entry>, bool)> {
        let (limit, prefix) = (window.limit, window.prefix.clone());
        let files = Window { prefix: window.prefix.clone(), seek: window.seek.clone(), limit };
        let rows = self.catalog().list_versions(scope, bound.bucket.id, window).await?;
        let more_rows = rows.len() == limit;
        if bound.bucket.indexed.is_some() || bound.bucket.settings.exclusive || *scope != SERVICE {
            return Ok((rows, !more_rows));
        }
        let (files, more_files) = self.files(bound, &files, false).await?;
        let last_row = rows.last().filter(|_| more_rows).map(|row| row.key.clone());
        let last_file = files.last().filter(|_| more_files).map(|file| file.key.clone());
        let until = [last_row, last_file].into_iter().flatten().min();
        let known = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);
        let mut rows = rows.into_iter().filter(|row| known(&row.key)).peekable();
        let mut merged: Vec<Entry> = Vec::with_capacity(limit);
        for file in files.into_iter().filter(|file| known(&file.key)) {
            while let Some(row) = rows.next_if(|row| row.key < file.key) {
                merged.push(row);
            }
            let has_row = rows.peek().is_some_and(|row| row.key == file.key && row.latest && !row.marker);
            if has_row {
                continue;
            }
            if let Some(entry) = self.entry_of(bound, Item::File(file)).await? {
                if let Some(row) = rows.peek_mut().filter(|row| row.key == entry.key) {
                    row.latest = false;
                }
                merged.push(Entry { null: true, ..entry });
            }
        }
        merged.extend(rows);
        match until {
            // A page of files that went meanwhile, or may not be read, says nothing about what follows.
            Some(until) if merged.is_empty() => {
                let seek = Seek::After(until.as_str().to_owned());
                let window = VersionWindow { prefix, rest_of: None, seek, limit };
                Box::pin(self.version_rows(bound, window, scope)).await
            }
            until => Ok((merged, until.is_none())),
        }
    }

    /// Where a page begins: what is left of the key of its markers, and the position behind it.
    async fn start(&self, bound: &Bound, query: &VersionQuery) -> Result<(Option<(ObjectKey, u64)>, Seek)> {
        let key = query.page.after.as_deref().and_then(|after| ObjectKey::new(after).ok());
        let (Some(key), Some(version)) = (key, query.after_version) else { return Ok((None, query.page.start())) };
        let seek = Seek::After(key.as_str().to_owned());
        let row = self.catalog().version(&SERVICE, bound.bucket.id, &key, version).await?;
        // A version that was removed meanwhile leaves no position: the ids of ours carry their time.
        let counter = row.map(|row| row.counter).or(match version {
            VersionRef::Id(id) => Some(id.made()),
            VersionRef::Null => None,
        });
        Ok((counter.map(|counter| (key, counter)), seek))
    }
}
