//! One table of the configuration file, read key by key so that every mistake in it is reported at once.
//!
//! A derived deserializer stops at the first mistake; an operator who fixes a file wants the whole list.
//!
//! **Invariant:** after [`Section::finish`] each key of the table was either asked for or is named as a problem.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::{Table, Value};

use crate::auth::secret::Secret;

/// Largest file of a secret, in bytes: the key of a service account, as JSON, is a few thousand.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

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

    /// Takes a text that is written under one of several names; an empty one is none.
    pub(super) fn one(&mut self, names: &[&str]) -> Option<String> {
        let given: Vec<(&str, String)> =
            names.iter().filter_map(|name| self.text(name).map(|text| (*name, text))).collect();
        self.only(given).filter(|text| !text.is_empty())
    }

    /// Takes a secret that is written under one of several names, or in the file that one of them with `_file` behind it
    /// names.
    pub(super) fn secret(&mut self, names: &[&str]) -> Option<Secret> {
        self.secret_or_file(names, &[])
    }

    /// The same, where further names are of files only. One that is there but cannot be read is reported, and comes back
    /// empty: it is not missing, too.
    pub(super) fn secret_or_file(&mut self, names: &[&str], files: &[&str]) -> Option<Secret> {
        let mut given = Vec::new();
        for name in names {
            if let Some(text) = self.text(name) {
                if text.is_empty() {
                    self.problem(name, "it is empty");
                }
                given.push(((*name).to_owned(), Secret::new(&text)));
            }
        }
        let in_files = names.iter().map(|name| format!("{name}_file")).chain(files.iter().map(|&name| name.to_owned()));
        for name in in_files {
            if let Some(file) = self.text(&name) {
                let secret = secret_of(Path::new(&file)).unwrap_or_else(|why| {
                    self.problem(&name, &why);
                    Secret::new("")
                });
                given.push((name, secret));
            }
        }
        self.only(given.iter().map(|(name, secret)| (name.as_str(), secret.clone())).collect())
    }

    /// Takes a text, or a number as one.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        self.take(key, "a text or a number", |value| {
            value.as_str().map(str::to_owned).or_else(|| value.as_integer().map(|n| n.to_string()))
        })
    }

    /// Whether a key is there that nobody has taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes what is left, without a look at it: what it should be depends on what was reported already.
    pub(super) fn pass_over(&mut self) {
        self.table.clear();
    }

    /// The one that was given; more are a problem.
    fn only<T>(&self, given: Vec<(&str, T)>) -> Option<T> {
        if let [(first, _), (second, _), ..] = given.as_slice() {
            self.problem(second, &format!("it says the same as {first}: one of them is enough"));
        }
        given.into_iter().next().map(|(_, value)| value)
    }

    /// Takes a table of texts.
    pub(super) fn map(&mut self, key: &str) -> Vec<(String, String)> {
        self.take(key, "a table of texts", |value| {
            let table = value.as_table()?.iter();
            table.map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
        })
        .unwrap_or_default()
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

/// Reads a secret; the end of its last line is no part of it.
fn secret_of(file: &Path) -> Result<Secret, String> {
    let open = |error| format!("{} cannot be read: {error}", file.display());
    let mut text = String::new();
    File::open(file).map_err(open)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(open)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("{} is larger than {SECRET_BYTES_MAX} bytes", file.display()));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{} is empty", file.display())),
        text => Ok(Secret::new(text)),
    }
}
