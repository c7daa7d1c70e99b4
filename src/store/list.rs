//! LIST: an index range with seek-and-skip, at a constant cost per page.
//!
//! A bucket that no scan has walked yet is listed by merging the provider's page with the rows: rows win, and a file
//! without a row is shown as adoption would make it. What the walk that builds the index has passed is all in rows, and
//! read from them alone.
//!
//! **Invariant:** keys come in the order of their bytes, without gap or duplicate across pages; what a common prefix
//! hides is skipped by a seek, not read.

use std::sync::Arc;
use std::time::Instant;

use crate::catalog::{Scope, Window};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content, Entry, Object};
use crate::model::page::{Page, PageQuery, Seek, after_prefix};
use crate::model::place::Place;
use crate::provider::{self, Foreign, Listed, Stat};
use crate::store::adopt::object_of_file;
use crate::store::bound::{Bound, container_is_gone};
use crate::store::error::Result;
use crate::store::rights::LOOK_MAX;
use crate::store::young::listed;
use crate::store::{SERVICE, Store};

/// Rows read at first if there is a delimiter: most of what follows a common prefix is skipped. Doubled while most of
/// them are used, up to the page.
const ROWS_BEFORE_SKIP: usize = 32;

/// What stands at a key: its row, or a file that has none yet, of which no more than its name is known.
pub(super) enum Item {
    Row(Entry),
    File(Listed),
}

/// What follows the items of a window.
enum End {
    /// More.
    More,
    /// Nothing.
    Ended,
    /// That is not known: it was looked up to this key, which the caller may not see.
    Stopped(String),
}

impl End {
    fn after(ended: bool) -> Self {
        if ended { Self::Ended } else { Self::More }
    }
}

impl Item {
    fn key(&self) -> &ObjectKey {
        match self {
            Self::Row(row) => &row.key,
            Self::File(file) => &file.key,
        }
    }
}

impl Store {
    /// A page of the keys of a bucket.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn list(&self, caller: &Caller, bucket: &BucketName, query: PageQuery) -> Result<Page<Entry>> {
        let bound = self.enter(caller, bucket, Action::ListBucket).await?;
        self.page(&bound, query, &self.scope(caller)).await
    }

    pub(super) async fn page(&self, bound: &Arc<Bound>, mut query: PageQuery, scope: &Scope) -> Result<Page<Entry>> {
        let (mut page, began) = (Page::default(), Instant::now());
        if query.limit == 0 {
            return Ok(page);
        }
        if let Some(key) = query.after.as_deref().and_then(|after| self.opened_position(bound, after)) {
            query.after = Some(key);
        }
        let mut seek = query.start();
        let mut batch = if query.delimiter.is_some() { ROWS_BEFORE_SKIP } else { query.limit + 1 };
        let mut last = String::new();
        while seek != Seek::End {
            let window = Window { prefix: query.prefix.clone(), seek: seek.clone(), limit: batch.min(query.limit + 1) };
            let folded = query.delimiter.as_deref() == Some("/");
            let (items, end) = match scope {
                Scope::Service => self.items(bound, window, folded).await?,
                Scope::As(_) => self.seen(bound, window, scope).await?,
            };
            let (met, mut used) = (items.len(), 0);
            let mut skipped = false;
            for item in items {
                let key = item.key().as_str();
                if skipped && key.starts_with(last.as_str()) {
                    continue;
                }
                if page.entries.len() + page.prefixes.len() == query.limit {
                    page.next = Some(last);
                    return Ok(page);
                }
                used += 1;
                if let Some(prefix) = query.common_prefix(key) {
                    last = prefix.to_owned();
                    page.prefixes.push(last.clone());
                    seek = after_prefix(&last);
                    skipped = true;
                } else {
                    key.clone_into(&mut last);
                    seek = Seek::After(last.clone());
                    skipped = false;
                    page.entries.extend(self.entry_of(bound, item).await?);
                }
            }
            match end {
                End::More if *scope != SERVICE && began.elapsed() > LOOK_MAX && !last.is_empty() => {
                    page.next = Some(last);
                    break;
                }
                End::More => {}
                End::Ended => break,
                End::Stopped(key) => {
                    // What is hidden beneath a prefix that is on the page lies behind that.
                    let told = page.prefixes.last().filter(|prefix| key.starts_with(prefix.as_str())).cloned();
                    page.next = Some(told.unwrap_or_else(|| self.sealed_position(bound, &key)));
                    break;
                }
            }
            batch = if used * 2 >= met { batch * 2 } else { ROWS_BEFORE_SKIP }.min(query.limit + 1);
        }
        Ok(page)
    }

    /// What a role sees: rows only, as a file without one is nobody's yet.
    async fn seen(&self, bound: &Bound, window: Window, scope: &Scope) -> Result<(Vec<Item>, End)> {
        let limit = window.limit;
        let sight = self.catalog().look_through(scope, bound.bucket.id, window).await?;
        let end = match sight.stopped {
            Some(key) => End::Stopped(key),
            None => End::after(sight.entries.len() < limit),
        };
        Ok((sight.entries.into_iter().map(Item::Row).collect(), end))
    }

    /// Rows of an indexed bucket; of another one, rows and files merged. With it, whether nothing follows them.
    /// `folded`: of what lies beneath a directory behind the prefix, one file is enough.
    async fn items(&self, bound: &Arc<Bound>, window: Window, folded: bool) -> Result<(Vec<Item>, End)> {
        let (limit, prefix) = (window.limit, window.prefix.clone());
        let indexed = bound.bucket.indexed.is_some() || bound.bucket.settings.exclusive;
        if indexed || self.0.walks.is_past(bound.bucket.id, &window.seek) {
            let rows = self.catalog().list(&SERVICE, bound.bucket.id, window.clone()).await?;
            let ended = rows.len() < limit;
            let past = rows.last().is_some_and(|row| {
                !ended && self.0.walks.is_past(bound.bucket.id, &Seek::From(row.key.as_str().to_owned()))
            });
            if indexed || past {
                return Ok((rows.into_iter().map(Item::Row).collect(), End::after(ended)));
            }
        }
        let (files, more_files) = self.files(bound, &window, folded).await?;
        let rows = self.catalog().list(&SERVICE, bound.bucket.id, window).await?;
        let more_rows = rows.len() == limit;
        // What lies behind the end of a page that was cut is not known, so nothing behind it is shown yet.
        let last_file = files.last().filter(|_| more_files).map(|file| file.key.clone());
        let last_row = rows.last().filter(|_| more_rows).map(|row| row.key.clone());
        let until = [last_file, last_row].into_iter().flatten().min();
        let known = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);
        let mut rows = rows.into_iter().filter(|row| known(&row.key)).peekable();
        let mut merged = Vec::with_capacity(limit);
        for file in files.into_iter().filter(|file| known(&file.key)) {
            while let Some(row) = rows.next_if(|row| row.key < file.key) {
                merged.push(Item::Row(row));
            }
            let row = rows.next_if(|row| row.key == file.key);
            merged.push(row.map_or(Item::File(file), Item::Row));
        }
        merged.extend(rows.map(Item::Row));
        // A page of files that all went meanwhile says nothing about what follows, so the walk looks once more from there.
        match until {
            Some(until) if merged.is_empty() => {
                let next = Window { prefix, seek: Seek::After(until.as_str().to_owned()), limit };
                Box::pin(self.items(bound, next, folded)).await
            }
            until => Ok((merged, End::after(until.is_none()))),
        }
    }

    /// Files at or after a position. The position itself may be a file, and the provider lists behind a name.
    pub(super) async fn files(&self, bound: &Bound, window: &Window, folded: bool) -> Result<(Vec<Listed>, bool)> {
        let (after, at) = match &window.seek {
            Seek::End => return Ok((Vec::new(), false)),
            Seek::After(after) => (Some(after.as_str()), None),
            Seek::From(from) if *from == window.prefix => (None, None),
            Seek::From(from) => (Some(from.as_str()), ObjectKey::new(from).ok()),
        };
        let mut files = Vec::new();
        if let Some(key) = at.filter(|key| bound.can_lie_at(key)) {
            match bound.provider.stat(bound.place(), &Place::Natural(key.clone())).await {
                Ok(stat) => {
                    let (stamp, size, modified) = (stat.stamp, stat.size, stat.modified);
                    files.push(Listed { key, stamp, size, modified, md5: None });
                }
                Err(provider::Error::NotFound | provider::Error::Denied) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (place, prefix, limit) = (bound.place(), window.prefix.as_str(), window.limit);
        let listed = match folded {
            true => bound.provider.list_folded(place, prefix, after, limit).await,
            false => bound.provider.list(place, prefix, after, limit).await,
        };
        match listed {
            Ok(page) => {
                files.extend(page.files);
                Ok((files, page.more))
            }
            Err(provider::Error::NotFound) => Err(container_is_gone()),
            Err(error) => Err(error.into()),
        }
    }

    /// An item as a listing shows it; `None` if it is a file that went meanwhile.
    pub(super) async fn entry_of(&self, bound: &Bound, item: Item) -> Result<Option<Entry>> {
        let file = match item {
            Item::Row(row) => return Ok(Some(listed(row))),
            Item::File(file) => file,
        };
        let Listed { key, stamp, size, modified, md5 } = file;
        let stat = match md5 {
            // A look at each key would make the first pages of a cloud slow.
            Some(md5) => {
                let foreign = Some(Box::new(Foreign { etag: Some(md5), content: Content::default() }));
                Stat { stamp, size, modified, record: None, foreign, young: false }
            }
            None => match bound.provider.stat(bound.place(), &Place::Natural(key.clone())).await {
                Ok(stat) => stat,
                Err(provider::Error::NotFound | provider::Error::Denied) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let object = object_of_file(&key, stat, 0);
        Ok(Some(Entry {
            key: object.key,
            version: object.version,
            placed: object.placed,
            stamp: object.stamp,
            size: object.size,
            modified: object.modified,
            etag: object.etag,
            owner: object.owner,
            storage_class: object.content.storage_class,
            checksum: object.checksum.map(|c| (c.algorithm, c.kind)),
            counter: object.counter,
            null: object.null,
            marker: false,
            latest: true,
        }))
    }
}

impl Store {
    /// The facts of entries of a listing, in their order; those that went meanwhile are left out. An entry that has no
    /// row yet is shown as it was listed.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn facts_of(&self, caller: &Caller, bucket: &BucketName, entries: Vec<Entry>) -> Result<Vec<Object>> {
        let bound = self.enter(caller, bucket, Action::ListBucket).await?;
        let scope = self.scope(caller);
        let mut found = Vec::with_capacity(entries.len());
        let keys: Vec<ObjectKey> = entries.iter().map(|entry| entry.key.clone()).collect();
        let mut rows = self.catalog().objects(&scope, bound.bucket.id, &keys).await?.into_iter().peekable();
        for entry in entries {
            match rows.next_if(|row| row.key == entry.key) {
                Some(row) => found.push(row),
                None if bound.bucket.indexed.is_none() && scope == SERVICE => found.push(object_of_entry(entry)),
                None => {}
            }
        }
        Ok(found)
    }
}

/// A file that nobody has served yet, as the listing knows it.
fn object_of_entry(entry: Entry) -> Object {
    Object {
        key: entry.key,
        version: entry.version,
        counter: entry.counter,
        placed: entry.placed,
        stamp: entry.stamp,
        size: entry.size,
        modified: entry.modified,
        etag: entry.etag,
        checksum: None,
        crc64nvme: None,
        content: Content::default(),
        parts: Vec::new(),
        owner: entry.owner,
        null: entry.null,
        marker: false,
        revision: 0,
        attached: Attached::default(),
    }
}
