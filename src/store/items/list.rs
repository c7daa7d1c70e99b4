//! What is in a directory, in an order that the catalog does not have.
//!
//! All of a directory is looked through, a window at a time, with no more of each item than it is sorted by. Of what was
//! seen only as much is kept as lies before the end of the batch that is asked for, and the items of the batch are looked
//! up then.
//!
//! **Invariant:** the order is total: what is equal goes by its name, then directories before files. A directory is as
//! large as nothing.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Item, ItemError, ItemResult};
use crate::catalog::{Glance, Scope, Window};
use crate::config::limits::{ITEMS_GLANCED_ROWS, ITEMS_LISTED_MAX, ITEMS_SORTED_MAX};
use crate::model::caller::Caller;
use crate::model::item::ItemPath;
use crate::model::name::BucketName;
use crate::model::object::{Entry, Object};
use crate::model::page::{Page, PageQuery};
use crate::model::service::Permission;
use crate::model::time::Timestamp;
use crate::store::bound::Bound;
use crate::store::{SERVICE, Store};

/// Items of a batch that are looked up at a time.
const LOOKS_AT_ONCE: usize = 16;

/// Which items are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemType {
    /// All.
    #[default]
    All,
    /// Files.
    Files,
    /// Directories.
    Directories,
}

/// By what they are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemSort {
    /// The bytes of their names.
    #[default]
    Name,
    /// Their bytes.
    Size,
    /// Directories, then files.
    Type,
    /// When they were last changed.
    Modified,
    /// When they came to be.
    Created,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemOrder {
    /// The least first.
    #[default]
    Ascending,
    /// The greatest first.
    Descending,
}

/// Which batch of a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ItemQuery {
    /// Which items.
    pub kind: ItemType,
    /// By what.
    pub sort: ItemSort,
    /// In which direction.
    pub order: ItemOrder,
    /// How many are passed over.
    pub skip: usize,
    /// Most items.
    pub size: usize,
}

/// One item of a batch.
#[derive(Debug, Clone)]
pub struct ItemRow {
    /// Its name.
    pub name: String,
    /// Its object, if it is a file.
    pub file: Option<Box<Object>>,
    /// Whether it is a directory.
    pub directory: bool,
    /// Its bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// When it came to be.
    pub created: Timestamp,
}

/// A batch.
#[derive(Debug, Clone, Default)]
pub struct ItemList {
    /// The items.
    pub items: Vec<ItemRow>,
    /// How many there are in all.
    pub total: u64,
}

/// What is kept of an item that was seen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    rank: i128,
    name: Box<str>,
    file: bool,
    size: u64,
    modified: Timestamp,
}

impl Seen {
    fn order(&self) -> (i128, &str, bool) {
        (self.rank, &self.name, self.file)
    }
}

/// The items that go first.
struct First {
    heap: BinaryHeap<Seen>,
    most: usize,
    /// Names in falling order, which no number can say.
    falling: bool,
    falls: BinaryHeap<Reverse<Seen>>,
    total: u64,
}

impl First {
    fn new(most: usize, falling: bool) -> Self {
        Self { heap: BinaryHeap::new(), most, falling, falls: BinaryHeap::new(), total: 0 }
    }

    /// Counts an item, and keeps it if it goes before one that is kept or if there is room.
    fn add(&mut self, rank: i128, (name, file): (&str, bool), (size, modified): (u64, Timestamp)) {
        self.total += 1;
        if self.heap.len() + self.falls.len() >= self.most {
            let last = self.heap.peek().or_else(|| self.falls.peek().map(|last| &last.0));
            let goes = last.map_or(Ordering::Equal, |last| (rank, name, file).cmp(&last.order()));
            if goes != if self.falling { Ordering::Greater } else { Ordering::Less } {
                return;
            }
            self.heap.pop();
            self.falls.pop();
        }
        let seen = Seen { rank, name: name.into(), file, size, modified };
        match self.falling {
            true => self.falls.push(Reverse(seen)),
            false => self.heap.push(seen),
        }
    }

    /// In their order, without those that are passed over.
    fn batch(self, skip: usize) -> Vec<Seen> {
        let sorted: Vec<Seen> = match self.falling {
            false => self.heap.into_sorted_vec(),
            true => self.falls.into_sorted_vec().into_iter().map(|seen| seen.0).collect(),
        };
        sorted.into_iter().skip(skip).collect()
    }
}

impl Store {
    /// A batch of what is in a directory.
    ///
    /// # Errors
    /// [`ItemError::NotDirectory`], [`ItemError::TooManyItems`], [`Error::NoSuchKey`](crate::store::Error::NoSuchKey),
    /// refusals.
    pub async fn list_items(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        query: ItemQuery,
    ) -> ItemResult<ItemList> {
        let (bound, item) = self.reach(caller, bucket, path, Permission::List).await?;
        if matches!(item, Item::File(_)) {
            return Err(ItemError::NotDirectory);
        }
        let most = query.skip.saturating_add(query.size);
        // Behind so many nothing can be sorted, but it may be behind all there is.
        let beyond = most > ITEMS_SORTED_MAX;
        let most = if beyond { 0 } else { most };
        let falling = query.sort == ItemSort::Name && query.order == ItemOrder::Descending;
        let mut first = First::new(most, falling);
        let scope = self.scope(caller);
        self.look_through(&scope, &bound, path, query, &mut first).await?;
        let total = first.total;
        if beyond && (query.skip as u64) < total {
            return Err(ItemError::TooManyItems);
        }
        let rows = stream::iter(first.batch(query.skip)).map(|seen| self.row_of_item(&scope, &bound, path, seen));
        let items = rows.buffered(LOOKS_AT_ONCE).try_collect().await?;
        Ok(ItemList { items, total })
    }

    async fn look_through(
        &self,
        scope: &Scope,
        bound: &Arc<Bound>,
        path: &ItemPath,
        query: ItemQuery,
        first: &mut First,
    ) -> ItemResult<()> {
        let mut after = None;
        loop {
            let window = PageQuery {
                prefix: path.prefix().to_owned(),
                delimiter: Some("/".to_owned()),
                after: after.take(),
                limit: ITEMS_GLANCED_ROWS,
            };
            let (glances, next) = self.glances(scope, bound, window, query.sort == ItemSort::Created).await?;
            for glance in &glances {
                let told = if glance.folded { glance.key.trim_end_matches('/') } else { &glance.key };
                let wanted = match query.kind {
                    ItemType::All => true,
                    ItemType::Files => !glance.folded,
                    ItemType::Directories => glance.folded,
                };
                if let Some(name) = name_in(path, told).filter(|_| wanted) {
                    let (modified, created) = glance.dates.unwrap_or((bound.bucket.created, bound.bucket.created));
                    let rank = rank(query, glance, modified, created);
                    first.add(rank, (name, !glance.folded), (glance.size, modified));
                }
            }
            if first.total > ITEMS_LISTED_MAX {
                return Err(ItemError::TooManyItems);
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// A window of what is directly in a directory, and where the next one begins. `created`: with the dates at which it
    /// came to be.
    async fn glances(
        &self,
        scope: &Scope,
        bound: &Arc<Bound>,
        query: PageQuery,
        created: bool,
    ) -> ItemResult<(Vec<Glance>, Option<String>)> {
        let (id, limit) = (bound.bucket.id, query.limit);
        let window = Window { prefix: query.prefix.clone(), seek: query.start(), limit };
        // A role gets what it sees, by its own windows.
        let rows = match scope {
            Scope::Service => self.catalog().glance(&SERVICE, id, window, created).await?,
            Scope::As(_) => Vec::new(),
        };
        if *scope == SERVICE && (bound.bucket.indexed.is_some() || bound.bucket.settings.exclusive) {
            let next = rows.last().filter(|_| rows.len() == limit).map(|last| last.key.to_string());
            return Ok((rows, next));
        }
        // Of files without a row no more is known than that they lie there.
        let page = self.page(bound, query, scope).await?;
        let known = if *scope == SERVICE { rows } else { self.seen_dates(scope, bound, &page, created).await? };
        let rows: HashMap<&str, &Glance> = known.iter().map(|row| (&*row.key, row)).collect();
        let dates = |key: &str| rows.get(key).and_then(|row| row.dates);
        let files = page.entries.iter().map(|entry| Glance {
            key: entry.key.as_str().into(),
            folded: false,
            size: entry.size,
            dates: dates(entry.key.as_str()).or(Some((entry.modified, entry.modified))),
        });
        let directories = page.prefixes.iter().map(|prefix| Glance {
            key: prefix.as_str().into(),
            folded: true,
            size: 0,
            dates: dates(prefix),
        });
        Ok((files.chain(directories).collect(), page.next))
    }

    /// When the files of a role's page came to be, which only their rows say.
    async fn seen_dates(
        &self,
        scope: &Scope,
        bound: &Bound,
        page: &Page<Entry>,
        created: bool,
    ) -> ItemResult<Vec<Glance>> {
        let mut seen = Vec::new();
        for entry in page.entries.iter().filter(|_| created) {
            let Some(object) = self.catalog().object(scope, bound.bucket.id, &entry.key).await? else { continue };
            let dates = Some((object.modified, object.created()));
            seen.push(Glance { key: entry.key.as_str().into(), folded: false, size: object.size, dates });
        }
        Ok(seen)
    }

    /// The object of a file, or the mark of a directory.
    async fn object_of(
        &self,
        scope: &Scope,
        bound: &Bound,
        path: &ItemPath,
        seen: &Seen,
    ) -> ItemResult<Option<Object>> {
        let Ok(path) = path.join(&seen.name) else { return Ok(None) };
        let Some(key) = (if seen.file { path.file() } else { path.mark() }) else { return Ok(None) };
        Ok(self.catalog().object(scope, bound.bucket.id, key).await?)
    }

    async fn row_of_item(&self, scope: &Scope, bound: &Bound, path: &ItemPath, seen: Seen) -> ItemResult<ItemRow> {
        let object = self.object_of(scope, bound, path, &seen).await?;
        let (created, modified) =
            object.as_ref().map_or((seen.modified, seen.modified), |object| (object.created(), object.modified));
        let file = object.filter(|_| seen.file).map(Box::new);
        let size = file.as_ref().map_or(seen.size, |file| file.size);
        Ok(ItemRow { name: seen.name.into(), file, directory: !seen.file, size, modified, created })
    }
}

/// The number that an item is sorted by; under a falling order its negative, so that names rise all the same.
fn rank(query: ItemQuery, glance: &Glance, modified: Timestamp, created: Timestamp) -> i128 {
    let rank = match query.sort {
        ItemSort::Name => 0,
        ItemSort::Type => i128::from(!glance.folded),
        ItemSort::Size => i128::from(glance.size),
        ItemSort::Modified => i128::from(modified.0),
        ItemSort::Created => i128::from(created.0),
    };
    if query.order == ItemOrder::Descending { -rank } else { rank }
}

/// The name of an item of a directory, if what is there can be one.
fn name_in<'k>(directory: &ItemPath, key: &'k str) -> Option<&'k str> {
    let name = key.strip_prefix(directory.prefix())?;
    crate::model::item::check_name(name).ok().map(|()| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(most: usize, skip: usize, falling: bool, ranks: &[(&str, i128)]) -> Vec<String> {
        let mut first = First::new(most, falling);
        ranks.iter().for_each(|(name, rank)| first.add(*rank, (name, true), (0, Timestamp::default())));
        assert_eq!(first.total, ranks.len() as u64);
        first.batch(skip).into_iter().map(|seen| seen.name.into()).collect()
    }

    #[test]
    fn what_goes_first_is_kept_and_no_more() {
        let items = [("c", 2), ("a", 1), ("d", 1), ("b", 3)];
        assert_eq!(batch(3, 0, false, &items), ["a", "d", "c"]);
        assert_eq!(batch(3, 2, false, &items), ["c"]);
        assert_eq!(batch(9, 0, false, &items), ["a", "d", "c", "b"]);
        assert_eq!(batch(2, 0, true, &[("a", 0), ("c", 0), ("b", 0)]), ["c", "b"]);
        assert!(batch(0, 0, false, &items).is_empty() && batch(0, 0, true, &items).is_empty());
    }

    #[test]
    fn a_directory_goes_before_a_file_of_its_name() {
        let mut first = First::new(1, false);
        for file in [true, false] {
            first.add(0, ("a", file), (0, Timestamp::default()));
        }
        assert!(!first.batch(0)[0].file);
    }

    #[test]
    fn names_are_those_that_items_can_have() {
        let directory = ItemPath::parse("d").expect("a path");
        for (key, name) in
            [("d/a", Some("a")), ("d/", None), ("d/..", None), ("d/a\\b", None), ("d/ a", Some(" a")), ("e/a", None)]
        {
            assert_eq!(name_in(&directory, key), name, "{key}");
        }
    }
}
