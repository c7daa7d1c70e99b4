//! One engine in four modes: `scan`, `rebuild`, `fsck` and `gc` walk the storage and the catalog and act on what differs.
//!
//! Files and rows come side by side in the order of their keys ([`Sides`]); managed files come page by page. What a mode
//! does about each is in a file of its own; `index` runs them in the background of the server.
//!
//! **Invariant:** safe beside a running server and beside each other. What inserts a row may do so in batches, because
//! an insertion displaces nothing and is undone if its file went; whatever touches a row that is there goes alone, under
//! the key's lock, after another look. Memory is a page of each side, whatever the bucket holds.

mod deep;
mod fsck;
mod gc;
mod index;
mod progress;
mod rebuild;
mod scan;

use std::collections::VecDeque;

pub use index::Upkeep;
pub(super) use progress::Walks;

use crate::catalog::Window;
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::page::Seek;
use crate::model::place::Place;
use crate::provider::{self, Listed, Stat};
use crate::store::bound::{Bound, container_is_gone, is_absent};
use crate::store::error::Result;
use crate::store::{SERVICE, Store};

/// Files read at a time. A directory is read whole for each page, so a million files in one cost fifty readings.
const FILES_PAGE: usize = 20_000;
/// Rows read at a time.
const ROWS_PAGE: usize = 2000;
/// Managed files looked at at a time.
const MANAGED_PAGE: usize = 2000;
/// Rows written in one commit, and keys between two batches.
const BATCH: usize = 500;
/// Looks at the storage under way at a time.
const LOOKS_AT_ONCE: usize = 8;
/// Looks at a row that keeps moving before it is passed over: whoever moves it is alive.
const LOOKS_MAX: usize = 4;

/// What lies at one key.
#[derive(Debug)]
enum Met {
    /// A file without a row.
    File(Listed),
    /// A row without a file at its key.
    Row(Entry),
    /// Both.
    Both(Listed, Entry),
}

/// The two sides of a walk, merged in the order of keys.
#[derive(Debug)]
struct Sides<'a> {
    store: &'a Store,
    bound: &'a Bound,
    files: Side<Listed>,
    rows: Side<Entry>,
    unnameable: u64,
}

/// One side, a page at a time.
#[derive(Debug)]
struct Side<T> {
    page: VecDeque<T>,
    after: Option<ObjectKey>,
    ended: bool,
    met: u64,
}

impl<T> Default for Side<T> {
    fn default() -> Self {
        Self { page: VecDeque::new(), after: None, ended: false, met: 0 }
    }
}

impl<T> Side<T> {
    fn wants(&self) -> bool {
        !self.ended && self.page.is_empty()
    }

    /// How many were handed out.
    fn passed(&self) -> u64 {
        self.met - self.page.len() as u64
    }

    fn take_in(&mut self, page: Vec<T>, ended: bool, key: impl FnOnce(&T) -> ObjectKey) {
        self.ended = ended;
        self.met += page.len() as u64;
        if let Some(last) = page.last() {
            self.after = Some(key(last));
        }
        self.page.extend(page);
    }
}

impl<'a> Sides<'a> {
    fn new(store: &'a Store, bound: &'a Bound) -> Self {
        Self { store, bound, files: Side::default(), rows: Side::default(), unnameable: 0 }
    }

    /// What lies at the next key; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<Met>> {
        self.fill().await?;
        let (file, row) = match (self.files.page.front(), self.rows.page.front()) {
            (None, None) => return Ok(None),
            (Some(file), Some(row)) => (file.key <= row.key, row.key <= file.key),
            (file, row) => (file.is_some(), row.is_some()),
        };
        let file = if file { self.files.page.pop_front() } else { None };
        let row = if row { self.rows.page.pop_front() } else { None };
        Ok(match (file, row) {
            (Some(file), Some(row)) => Some(Met::Both(file, row)),
            (Some(file), None) => Some(Met::File(file)),
            (None, Some(row)) => Some(Met::Row(row)),
            (None, None) => None,
        })
    }

    async fn fill(&mut self) -> Result<()> {
        if self.files.wants() {
            let after = self.files.after.as_ref().map(ObjectKey::as_str);
            let listed = self.bound.provider.list(self.bound.place(), "", after, FILES_PAGE).await;
            let listed = listed.map_err(|error| if is_absent(&error) { container_is_gone() } else { error.into() })?;
            self.unnameable += listed.unnameable;
            self.files.take_in(listed.files, !listed.more, |file| file.key.clone());
        }
        if self.rows.wants() {
            let after = self.rows.after.as_ref();
            let seek = after.map_or(Seek::From(String::new()), |key| Seek::After(key.as_str().to_owned()));
            let window = Window { prefix: String::new(), seek, limit: ROWS_PAGE };
            let rows = self.store.catalog().list(&SERVICE, self.bound.bucket.id, window).await?;
            let ended = rows.len() < ROWS_PAGE;
            self.rows.take_in(rows, ended, |row| row.key.clone());
        }
        Ok(())
    }
}

/// What a look at a row found.
#[derive(Debug)]
enum Seen {
    /// The row, and its bytes at one of its places.
    Whole(Object, Place, Box<Stat>),
    /// The row, and its bytes at none of them.
    Bare(Object),
    /// The row, and its bytes are still kept in the catalog.
    Kept,
    /// A file of it may not be read.
    Denied(Object),
    /// The row went, or moves all the time.
    Gone,
}

impl Store {
    /// Looks at the row of a key and at its bytes. What is said of bytes that are not there holds for a row that did not
    /// move meanwhile.
    async fn see(&self, bound: &Bound, key: &ObjectKey) -> Result<Seen> {
        let id = bound.bucket.id;
        let Some(mut object) = self.catalog().object(&SERVICE, id, key).await? else { return Ok(Seen::Gone) };
        let mut bare = false;
        for _ in 0..LOOKS_MAX {
            // A lay-out may move the bytes to the place that was looked at first, so there is a third look.
            for place in [object.place(), object.other_place(), object.place()] {
                match bound.provider.stat(bound.place(), &place).await {
                    Ok(stat) if stat.stamp == object.stamp => return Ok(Seen::Whole(object, place, Box::new(stat))),
                    Ok(_) | Err(provider::Error::NotFound) => {}
                    Err(provider::Error::Denied) => return Ok(Seen::Denied(object)),
                    Err(error) => return Err(error.into()),
                }
            }
            match self.catalog().object(&SERVICE, id, key).await? {
                Some(now) if now == object && bare => {
                    let kept = self.kept(bound, &object).await?.is_some();
                    return Ok(if kept { Seen::Kept } else { Seen::Bare(object) });
                }
                Some(now) => {
                    bare = now == object;
                    object = now;
                }
                None => return Ok(Seen::Gone),
            }
        }
        Ok(Seen::Gone)
    }
}
