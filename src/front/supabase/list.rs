//! Lists of objects: the first form, one level with an offset, and the second, with a cursor.
//!
//! The order of the catalog, that of the bytes of keys, is the second form's own. Every other order is made by walking
//! what is asked for and keeping the least of it ([`super::select`]).
//!
//! **Invariant:** memory is bounded by a page and [`LIST_SORTED_MAX`]; what a caller may not list is an empty list.

use std::cmp::Ordering;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::{self, Refusal, Result};
use super::schema::Fields;
use super::select::Least;
use super::who::listing;
use super::{Asked, Supabase, dates, row};
use crate::config::limits::{LIST_KEYS_MAX, LIST_SORTED_MAX};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::model::object::Entry;
use crate::model::page::PageQuery;
use crate::model::time::Timestamp;
use crate::store::Error;

/// Most rows of a page of the first form.
const FIRST_ROWS_MAX: i64 = 1500;
const FIRST_ROWS: i64 = 100;

/// By what a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Updated,
    /// Also of the last access, which nobody notes.
    Created,
}

impl Column {
    fn of(word: Option<&str>) -> Self {
        match word {
            Some("updated_at") => Self::Updated,
            Some("created_at" | "last_accessed_at") => Self::Created,
            _ => Self::Name,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Updated => "updated_at",
            Self::Created => "created_at",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    column: Column,
    descending: bool,
}

/// Where an entry stands in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rank {
    group: u8,
    time: i64,
    folded: String,
    name: String,
    descending: bool,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let within = (self.time, &self.folded, &self.name).cmp(&(other.time, &other.folded, &other.name));
        self.group.cmp(&other.group).then(if self.descending { within.reverse() } else { within })
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One line of a list: a file, or a folder.
#[derive(Debug)]
struct Line {
    rank: Rank,
    file: Option<Entry>,
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}
impl Eq for Line {}
impl PartialOrd for Line {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Line {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// What of a bucket is listed, and for whom.
struct Walk<'a> {
    front: &'a Supabase,
    caller: Caller,
    bucket: BucketName,
    prefix: String,
    /// How much of the prefix names are told without.
    told_from: usize,
    /// What names begin with behind the prefix, in any case.
    search: String,
    /// Whether names are told relative to the prefix, and files and folders of all cases lie among each other.
    relative: bool,
    /// One level, or all that is beneath.
    level: bool,
    order: Order,
}

impl Walk<'_> {
    /// Gives every page of keys to `take`, with the times they are sorted by.
    async fn each(
        &self,
        mut take: impl FnMut(Vec<(Entry, i64)>, Vec<String>) + Send,
    ) -> std::result::Result<(), Error> {
        // Times of folders are those of what is beneath.
        let flat = !self.level || (!self.relative && self.order.column != Column::Name);
        let mut after = None;
        loop {
            let delimiter = (!flat).then(|| "/".to_owned());
            let query = PageQuery { prefix: self.prefix.clone(), delimiter, after, limit: LIST_KEYS_MAX };
            let page = self.front.store.list(&self.caller, &self.bucket, query).await?;
            let times = self.times(&page.entries).await?;
            take(page.entries.into_iter().zip(times).collect(), page.prefixes);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn times(&self, entries: &[Entry]) -> std::result::Result<Vec<i64>, Error> {
        Ok(match self.order.column {
            Column::Name => vec![0; entries.len()],
            Column::Updated => entries.iter().map(|entry| entry.modified.0).collect(),
            Column::Created => {
                let rows = self.front.store.facts_of(&self.caller, &self.bucket, entries.to_vec()).await?;
                // What went meanwhile is left out of the page, too.
                let mut rows = rows.iter().peekable();
                let created = |entry: &Entry| {
                    let row = rows.next_if(|row| row.key == entry.key);
                    row.map_or(entry.modified.0, |row| row.created().0)
                };
                entries.iter().map(created).collect()
            }
        })
    }

    fn rank(&self, name: &str, time: i64, folder: bool) -> Rank {
        let grouped = self.relative && self.order.column != Column::Name;
        Rank {
            group: u8::from(grouped && !folder),
            time: if grouped && folder { 0 } else { time },
            folded: match self.relative {
                // Among names a folder stands where what is beneath it does.
                true if folder && !grouped => name.to_lowercase() + "/",
                true => name.to_lowercase(),
                false => String::new(),
            },
            name: name.to_owned(),
            descending: self.order.descending,
        }
    }

    /// The first lines behind `floor`.
    async fn lines(&self, floor: Option<&Rank>, most: usize) -> std::result::Result<Vec<Line>, Error> {
        let mut least = Least::new(most);
        let mut push = |line: Line| {
            if floor.is_none_or(|floor| line.rank > *floor) {
                least.push(line);
            }
        };
        let mut folder: Option<(String, i64)> = None;
        let shown = |name: &str| name.get(self.told_from..).unwrap_or_default().to_owned();
        let found = |name: &str| {
            let name = name.get(self.prefix.len()..).unwrap_or_default();
            (!self.relative || !name.is_empty()) && name.to_lowercase().starts_with(&self.search)
        };
        self.each(|files, folders| {
            for name in folders {
                if found(&name) {
                    let name = shown(&name);
                    let name = if self.relative { name.trim_end_matches('/') } else { &name };
                    push(Line { rank: self.rank(name, 0, true), file: None });
                }
            }
            for (entry, time) in files {
                let beneath = self.level.then(|| entry.key.as_str()[self.prefix.len()..].find('/')).flatten();
                if let Some(at) = beneath {
                    let name = &entry.key.as_str()[..self.prefix.len() + at + 1];
                    match &mut folder {
                        Some((open, least)) if open == name => *least = time.min(*least),
                        open => {
                            if let Some((name, time)) = open.replace((name.to_owned(), time)) {
                                push(Line { rank: self.rank(&name, time, true), file: None });
                            }
                        }
                    }
                    continue;
                }
                if found(entry.key.as_str()) {
                    let name = shown(entry.key.as_str());
                    push(Line { rank: self.rank(&name, time, false), file: Some(entry) });
                }
            }
        })
        .await?;
        if let Some((name, time)) = folder {
            push(Line { rank: self.rank(&name, time, true), file: None });
        }
        Ok(least.take())
    }

    /// The lines of a page that begins at an offset.
    async fn page_at(&self, mut offset: usize, limit: usize) -> std::result::Result<Vec<Line>, Error> {
        let mut floor: Option<Rank> = None;
        let mut page = Vec::new();
        while page.len() < limit {
            let wanted = offset.saturating_add(limit - page.len()).min(LIST_SORTED_MAX);
            let lines = self.lines(floor.as_ref(), wanted).await?;
            let ended = lines.len() < wanted;
            floor = lines.last().map(|line| line.rank.clone());
            let skipped = offset.min(lines.len());
            offset -= skipped;
            page.extend(lines.into_iter().skip(skipped));
            if ended {
                break;
            }
        }
        Ok(page)
    }

    /// Lines as rows, with their whole facts.
    async fn rows(
        &self,
        lines: Vec<Line>,
        mut folder: impl FnMut(&Rank) -> Map<String, Value>,
    ) -> std::result::Result<Vec<(bool, Map<String, Value>)>, Error> {
        let entries = lines.iter().filter_map(|line| line.file.clone()).collect();
        let objects = self.front.store.facts_of(&self.caller, &self.bucket, entries).await?;
        let mut objects = objects.into_iter().peekable();
        let mut rows = Vec::with_capacity(lines.len());
        for line in lines {
            match line.file {
                None => rows.push((true, folder(&line.rank))),
                Some(entry) => {
                    if let Some(object) = objects.next_if(|object| object.key == entry.key) {
                        rows.push((false, row::listed(&object, &line.rank.name)));
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// What may not be listed, or is not there, is empty.
fn or_empty<T: Default>(listed: std::result::Result<T, Error>) -> Result<T> {
    match listed {
        Err(Error::AccessDenied | Error::NoSuchBucket) => Ok(T::default()),
        listed => Ok(listed?),
    }
}

/// The order that a request asks for.
fn order(fields: &mut Fields, columns: &[&'static str]) -> Order {
    let Some(sort) = fields.inner("sortBy") else { return Order { column: Column::Name, descending: false } };
    let text = |name: &str| sort.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (column, order) = (text("column"), text("order"));
    if !sort.contains_key("column") {
        fields.problem("/sortBy must have required property 'column'");
    } else if !columns.contains(&column.as_str()) {
        fields.problem("/sortBy/column must be equal to one of the allowed values");
    }
    if !["", "asc", "desc"].contains(&order.as_str()) {
        fields.problem("/sortBy/order must be equal to one of the allowed values");
    }
    Order { column: Column::of(Some(&column)), descending: order == "desc" }
}

/// The first form.
pub(super) async fn first(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    fields.required("prefix");
    let mut prefix = fields.text("prefix").unwrap_or_default();
    let limit = fields.integer("limit", 1).unwrap_or(FIRST_ROWS).min(FIRST_ROWS_MAX);
    let offset = fields.integer("offset", 0).unwrap_or(0);
    let order = order(&mut fields, &["name", "updated_at", "created_at", "last_accessed_at"]);
    let search = fields.text("search").unwrap_or_default();
    fields.check()?;
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    // A search may go down, too; names are told from where it began.
    let told_from = prefix.len();
    let (deeper, search) = search.rsplit_once('/').map_or(("", search.as_str()), |(deeper, search)| (deeper, search));
    if !deeper.is_empty() {
        prefix = format!("{prefix}{deeper}/");
    }
    let bucket = front.bucket(&asked.route.bucket).await?;
    let (caller, search) = (listing(caller, &prefix), search.to_lowercase());
    let walk = Walk { front, caller, bucket, prefix, told_from, search, relative: true, level: true, order };
    let at = |number: i64| usize::try_from(number).unwrap_or(0);
    let lines = or_empty(walk.page_at(at(offset), at(limit)).await)?;
    let rows = or_empty(walk.rows(lines, |rank| row::folder(&rank.name)).await)?;
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(error::json(StatusCode::OK, &rows))
}

/// Where a page of the second form goes on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    last: String,
    order: Option<String>,
    column: Option<String>,
    at: i64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let mut cursor = Self::default();
        let mut lines = text.split('\n');
        cursor.last = lines.next()?.strip_prefix("l:")?.replace("%0A", "\n").replace("%25", "%");
        for line in lines {
            match line.split_once(':')? {
                ("o", order) => cursor.order = Some(order.to_owned()),
                ("c", column) => cursor.column = Some(column.to_owned()),
                ("a", at) => cursor.at = at.parse().ok()?,
                _ => return None,
            }
        }
        Some(cursor)
    }

    fn text(last: &str, order: Order, at: i64) -> String {
        // A line feed in a name ends no line.
        let mut text = format!("l:{}", last.replace('%', "%25").replace('\n', "%0A"));
        if order.descending {
            text.push_str("\no:desc");
        }
        if order.column != Column::Name {
            text.push_str(&format!("\nc:{}\na:{at}", order.column.word()));
        }
        STANDARD.encode(text)
    }
}

/// The second form.
pub(super) async fn second(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    let prefix = fields.text("prefix").unwrap_or_default();
    let most = i64::try_from(LIST_KEYS_MAX).unwrap_or(i64::MAX);
    let limit = fields.integer("limit", 1).unwrap_or(most).min(most);
    let level = fields.boolean("with_delimiter").unwrap_or(false);
    let mut order = order(&mut fields, &["name", "updated_at", "created_at"]);
    let cursor = fields.text("cursor").filter(|cursor| !cursor.is_empty());
    fields.check()?;
    let unreadable = || Refusal::parameter("continuation token");
    let cursor = cursor.map(|cursor| Cursor::parse(&cursor).ok_or_else(unreadable)).transpose()?;
    if let Some(cursor) = &cursor {
        // A page goes on in the order it began in.
        order =
            Order { column: Column::of(cursor.column.as_deref()), descending: cursor.order.as_deref() == Some("desc") };
    }
    let bucket = front.bucket(&asked.route.bucket).await?;
    let caller = listing(caller, &prefix);
    let walk =
        Walk { front, caller, bucket, prefix, told_from: 0, search: String::new(), relative: false, level, order };
    let limit = usize::try_from(limit).unwrap_or(1);
    let (lines, next) = or_empty(walk.second_page(cursor, limit).await)?;
    let rows = or_empty(walk.rows(lines, |rank| folder(rank, order)).await)?;
    let mut answer = json!({ "hasNext": next.is_some(), "folders": [], "objects": [] });
    if let Some(next) = next {
        let (name, time) = next;
        answer["nextCursor"] = Cursor::text(&name, order, time).into();
        answer["nextCursorKey"] = name.into();
    }
    let (mut folders, mut objects) = (Vec::new(), Vec::new());
    for (is_folder, mut row) in rows {
        if level {
            let name = row.get("name").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/').to_owned();
            row.insert("key".to_owned(), name.rsplit('/').next().unwrap_or_default().into());
        }
        if is_folder { folders.push(row) } else { objects.push(row) }
    }
    (answer["folders"], answer["objects"]) = (json!(folders), json!(objects));
    Ok(error::json(StatusCode::OK, &answer))
}

/// A folder of the second form, with the time it is sorted by.
fn folder(rank: &Rank, order: Order) -> Map<String, Value> {
    let mut row = row::folder(&rank.name);
    if order.column != Column::Name {
        let at = dates::json(Timestamp(rank.time));
        row.insert("updated_at".to_owned(), at.clone().into());
        row.insert("created_at".to_owned(), at.into());
    }
    row
}

impl Walk<'_> {
    /// A page of the second form, and where it goes on if more follow: behind which name and time.
    async fn second_page(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> std::result::Result<(Vec<Line>, Option<(String, i64)>), Error> {
        if self.order.column == Column::Name && !self.order.descending {
            let delimiter = self.level.then(|| "/".to_owned());
            let after = cursor.map(|cursor| cursor.last);
            let query = PageQuery { prefix: self.prefix.clone(), delimiter, after, limit };
            let page = self.front.store.list(&self.caller, &self.bucket, query).await?;
            let folders = page.prefixes.iter().map(|name| Line { rank: self.rank(name, 0, true), file: None });
            let files = page
                .entries
                .into_iter()
                .map(|entry| Line { rank: self.rank(entry.key.as_str(), 0, false), file: Some(entry) });
            let mut lines: Vec<Line> = folders.chain(files).collect();
            lines.sort();
            return Ok((lines, page.next.map(|next| (next, 0))));
        }
        let floor = cursor.map(|cursor| self.rank(&cursor.last, cursor.at, false));
        let mut lines = self.lines(floor.as_ref(), limit + 1).await?;
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map(|line| (line.rank.name.clone(), line.rank.time));
        Ok((lines, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_were_written() {
        let order = Order { column: Column::Created, descending: true };
        let cursor = Cursor::parse(&Cursor::text("a/b c", order, 5)).expect("a cursor");
        let (o, c) = (Some("desc".to_owned()), Some("created_at".to_owned()));
        assert_eq!(cursor, Cursor { last: "a/b c".to_owned(), order: o, column: c, at: 5 });
        let plain = Order { column: Column::Name, descending: false };
        assert_eq!(Cursor::text("a.txt", plain, 0), "bDphLnR4dA==");
        for name in ["a\nb", "a\no:desc", "100%0A", "%25%"] {
            let cursor = Cursor::parse(&Cursor::text(name, plain, 0)).expect("a cursor");
            assert_eq!(cursor, Cursor { last: name.to_owned(), ..Cursor::default() });
        }
        assert_eq!(Cursor::parse("zzzz"), None);
    }
}
