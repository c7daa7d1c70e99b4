//! What is in a directory, in an order that the catalog does not have.
//!
//! All of a directory is looked through, a page at a time, and of what was seen only as much is kept as lies before the
//! end of the batch that is asked for.
//!
//! **Invariant:** the order is total: what is equal goes by its name, then directories before files. A directory is as
//! large as nothing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Item, ItemError, ItemResult};
use crate::catalog::Scope;
use crate::config::limits::{ITEMS_LISTED_MAX, ITEMS_PAGE_ROWS, ITEMS_SORTED_MAX};
use crate::model::caller::Caller;
use crate::model::item::ItemPath;
use crate::model::name::BucketName;
use crate::model::object::Object;
use crate::model::page::PageQuery;
use crate::model::service::Permission;
use crate::model::time::Timestamp;
use crate::store::Store;
use crate::store::bound::Bound;

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
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rank: i128,
    name: Box<str>,
    file: bool,
    size: u64,
    modified: Timestamp,
}

impl Ord for Seen {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |seen: &Self| (seen.rank, seen.file);
        self.rank.cmp(&other.rank).then_with(|| self.name.cmp(&other.name)).then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Seen {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The items that go first.
struct First {
    heap: BinaryHeap<Seen>,
    most: usize,
    /// Names in falling order, which no number can say.
    falling: bool,
    falls: BinaryHeap<std::cmp::Reverse<Seen>>,
    total: u64,
}

impl First {
    fn new(most: usize, falling: bool) -> Self {
        Self { heap: BinaryHeap::new(), most, falling, falls: BinaryHeap::new(), total: 0 }
    }

    fn add(&mut self, seen: Seen) {
        self.total += 1;
        if self.falling {
            self.falls.push(std::cmp::Reverse(seen));
            if self.falls.len() > self.most {
                self.falls.pop();
            }
        } else {
            self.heap.push(seen);
            if self.heap.len() > self.most {
                self.heap.pop();
            }
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
        if most > ITEMS_SORTED_MAX {
            return Err(ItemError::TooManyItems);
        }
        let falling = query.sort == ItemSort::Name && query.order == ItemOrder::Descending;
        let mut first = First::new(most, falling);
        let scope = self.scope(caller);
        self.look_through(&scope, &bound, path, query, &mut first).await?;
        let total = first.total;
        let mut items = Vec::new();
        for seen in first.batch(query.skip) {
            items.push(self.row_of_item(&scope, &bound, path, seen).await?);
        }
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
                limit: ITEMS_PAGE_ROWS,
            };
            let page = self.page(bound, window, scope).await?;
            if query.kind != ItemType::Directories {
                for entry in &page.entries {
                    let Some(name) = name_in(path, entry.key.as_str()) else { continue };
                    let seen =
                        Seen { rank: 0, name: name.into(), file: true, size: entry.size, modified: entry.modified };
                    first.add(self.ranked(scope, bound, path, query, seen).await?);
                }
            }
            if query.kind != ItemType::Files {
                for prefix in &page.prefixes {
                    let Some(name) = name_in(path, prefix.trim_end_matches('/')) else { continue };
                    let modified = bound.bucket.created;
                    let seen = Seen { rank: 0, name: name.into(), file: false, size: 0, modified };
                    first.add(self.ranked(scope, bound, path, query, seen).await?);
                }
            }
            if first.total > ITEMS_LISTED_MAX {
                return Err(ItemError::TooManyItems);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// With the number that it is sorted by; under a falling order its negative, so that names rise all the same.
    async fn ranked(
        &self,
        scope: &Scope,
        bound: &Bound,
        path: &ItemPath,
        query: ItemQuery,
        mut seen: Seen,
    ) -> ItemResult<Seen> {
        let rank = match query.sort {
            ItemSort::Name => 0,
            ItemSort::Type => i128::from(seen.file),
            ItemSort::Size => i128::from(seen.size),
            ItemSort::Modified if seen.file => i128::from(seen.modified.0),
            ItemSort::Modified | ItemSort::Created => {
                let object = self.object_of(scope, bound, path, &seen).await?;
                let dates = object.map_or((seen.modified, seen.modified), |object| (object.created(), object.modified));
                i128::from(if query.sort == ItemSort::Created { dates.0.0 } else { dates.1.0 })
            }
        };
        seen.rank = if query.order == ItemOrder::Descending { -rank } else { rank };
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

/// The name of an item of a directory, if what is there can be one.
fn name_in<'k>(directory: &ItemPath, key: &'k str) -> Option<&'k str> {
    let name = key.strip_prefix(directory.prefix())?;
    crate::model::item::check_name(name).ok().map(|()| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, rank: i128, file: bool) -> Seen {
        Seen { rank, name: name.into(), file, size: 0, modified: Timestamp::default() }
    }

    fn batch(most: usize, skip: usize, falling: bool, ranks: &[(&str, i128)]) -> Vec<String> {
        let mut first = First::new(most, falling);
        ranks.iter().for_each(|(name, rank)| first.add(seen(name, *rank, true)));
        first.batch(skip).into_iter().map(|seen| seen.name.into()).collect()
    }

    #[test]
    fn what_goes_first_is_kept_and_no_more() {
        let items = [("c", 2), ("a", 1), ("d", 1), ("b", 3)];
        assert_eq!(batch(3, 0, false, &items), ["a", "d", "c"]);
        assert_eq!(batch(3, 2, false, &items), ["c"]);
        assert_eq!(batch(9, 0, false, &items), ["a", "d", "c", "b"]);
        assert_eq!(batch(2, 0, true, &[("a", 0), ("c", 0), ("b", 0)]), ["c", "b"]);
        assert!(batch(0, 0, false, &items).is_empty());
    }

    #[test]
    fn a_directory_goes_before_a_file_of_its_name() {
        let mut both = [seen("a", 0, true), seen("a", 0, false)];
        both.sort();
        assert!(!both[0].file);
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
