//! One table of the configuration file, read key by key so that every mistake in it is reported at once.
//!
//! A derived deserializer stops at the first mistake; an operator who fixes a file wants the whole list.
//!
//! **Invariant:** after [`Section::finish`] each key of the table was either asked for or is named as a problem.

use std::cell::RefCell;

use toml::{Table, Value};

/// The problems found so far, shared by the sections of one file.
pub(super) type Problems = RefCell<Vec<String>>;

/// One table, and where it stands in the file.
#[derive(Debug)]
pub(super) struct Section<'p> {
    at: String,
    table: Table,
    problems: &'p Problems,
}

impl<'p> Section<'p> {
    /// The table `at` a place in the file; the empty text is the top.
    pub(super) fn new(at: &str, table: Table, problems: &'p Problems) -> Self {
        Self { at: at.to_owned(), table, problems }
    }

    /// Notes a problem with `key`.
    pub(super) fn problem(&self, key: &str, what: &str) {
        self.problems.borrow_mut().push(format!("{}: {what}", self.name(key)));
    }

    /// Takes a text that `read` understands; `expected` is said if it does not.
    pub(super) fn parse<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.take(key, expected, |value| value.as_str().and_then(read))
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.parse(key, "a text", |text| Some(text.to_owned()))
    }

    /// Takes true or false.
    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", Value::as_bool)
    }

    /// Takes a whole number from `least` to `most`.
    pub(super) fn number(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        self.take(key, &format!("a whole number from {least} to {most}"), |value| {
            value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=most).contains(n))
        })
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.take(key, "a list of texts", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// Takes a table; an absent one is empty.
    pub(super) fn section(&mut self, key: &str) -> Section<'p> {
        let table = self.take(key, "a table", |value| value.as_table().cloned()).unwrap_or_default();
        Section::new(&self.name(key), table, self.problems)
    }

    /// Takes a list of tables.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section<'p>> {
        let tables: Vec<Table> = self
            .take(key, "a list of tables, as in [[…]]", |value| {
                value.as_array()?.iter().map(|item| item.as_table().cloned()).collect()
            })
            .unwrap_or_default();
        let name = self.name(key);
        let section = |(i, table)| Section::new(&format!("{name}[{i}]"), table, self.problems);
        tables.into_iter().enumerate().map(section).collect()
    }

    /// Reports what nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            self.problem(key, "there is no such key");
        }
    }

    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.table.remove(key)?;
        let found = read(&value);
        if found.is_none() {
            self.problem(key, &format!("expected {expected}"));
        }
        found
    }

    fn name(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }
}
