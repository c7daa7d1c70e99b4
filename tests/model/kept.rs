//! A bucket that keeps versions: of every key the list of them, newest first, and the rules of what becomes of it.
//!
//! It is a bucket of its own, so that the others stay what they are in a bucket that never kept any. Its versions live
//! through the same crashes, stops and rebuilds.
//!
//! **Invariant:** after every step the listing of all versions is the model, and every version in it can be read.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore::model::condition::{Conditions, TagMatch};
use longshore::model::name::BucketName;
use longshore::model::object::{Entry, Object};
use longshore::model::page::PageQuery;
use longshore::model::place::Placed;
use longshore::model::versioning::{VersionRef, Versioning};
use longshore::store::Error;
use longshore::store::request::{
    CopyContent, CopyRequest, DeleteRequest, Deletion, GetRequest, Portion, PutRequest, VersionQuery,
};

use super::letters::{Body, KEYS, Keeping, PREFIXES};
use super::memory::{Outcome, bytes, content, listing, md5_hex, same};
use super::step::answered;
use super::world::{ROOT, World, key, name_of, said};
use crate::conformance::store as kit;

/// A version of a key; a marker has no bytes.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    /// `None` until the server has told it: of a write that was cut.
    name: Option<VersionRef>,
    null: bool,
    bytes: Option<Bytes>,
}

/// What the bucket should hold.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: BucketName,
    state: Versioning,
    keys: BTreeMap<&'static str, Vec<Version>>,
    /// Versions with a file of Longshore's own, when they were last listed.
    pub(super) managed: usize,
}

impl Kept {
    pub(super) fn new() -> Self {
        let name = BucketName::new("kept").expect("legal");
        Self { name, state: Versioning::Never, keys: BTreeMap::new(), managed: 0 }
    }

    fn versions(&self, name: &str) -> &[Version] {
        self.keys.get(name).map_or(&[], Vec::as_slice)
    }

    fn current(&self, name: &str) -> Option<&Version> {
        self.versions(name).first().filter(|version| version.bytes.is_some())
    }

    /// The version that a number stands for.
    fn nth(&self, name: &str, nth: u8) -> Option<&Version> {
        let versions = self.versions(name);
        versions.get(usize::from(nth) % versions.len().max(1))
    }

    /// The list of a key after a write, or after a deletion if there are no bytes.
    fn written(&self, name: &str, bytes: Option<Bytes>) -> Vec<Version> {
        let mut versions = self.versions(name).to_vec();
        let null = self.state != Versioning::Enabled;
        if null {
            versions.retain(|version| !version.null);
        }
        if bytes.is_some() || self.state.ever() {
            versions.insert(0, Version { name: None, null, bytes });
        }
        versions
    }

    /// The list of a key without one of its versions.
    fn without(&self, name: &str, version: Option<VersionRef>) -> Vec<Version> {
        self.versions(name).iter().filter(|held| held.name != version).cloned().collect()
    }

    fn becomes(&mut self, name: &'static str, versions: Vec<Version>) {
        if versions.is_empty() {
            self.keys.remove(name);
        } else {
            self.keys.insert(name, versions);
        }
    }
}

fn name_at(number: u8) -> &'static str {
    KEYS[usize::from(number) % KEYS.len()]
}

/// Compares with what the server says of a version, and learns its name.
fn agrees(held: &mut Version, shown: VersionRef, tag: &str) -> Outcome {
    same("the version", shown, *held.name.get_or_insert(shown))?;
    same("whether it is the null version", shown == VersionRef::Null, held.null)?;
    same("the ETag", Some(tag), held.bytes.as_ref().map(|bytes| md5_hex(bytes)).as_deref())
}

impl World {
    /// Takes a step in the bucket that keeps versions, and looks at all of it.
    pub(super) fn keeping(&mut self, step: Keeping) -> Outcome {
        match step {
            Keeping::Set(enabled) => {
                self.kept.state = if enabled { Versioning::Enabled } else { Versioning::Suspended };
                let set = self.wait(self.store().set_versioning(&ROOT, &self.kept.name, self.kept.state));
                answered("PutBucketVersioning", set, Ok(()))?;
            }
            Keeping::Put(at, body, absent) => self.keep_put(name_at(at), body, absent)?,
            Keeping::Delete(at) => self.keep_delete(name_at(at))?,
            Keeping::Remove(at, nth) => self.keep_remove(name_at(at), nth)?,
            Keeping::Copy(from, nth, to) => self.keep_copy(name_at(from), nth, name_at(to))?,
            Keeping::List { prefix, delimiter, limit } => {
                let prefix = PREFIXES[usize::from(prefix) % PREFIXES.len()];
                return self.list_kept(prefix, delimiter.then_some("/"), limit);
            }
            Keeping::CutPut(at, body, micros) => {
                let request = self.kept_put(name_at(at), body, Conditions::default());
                let after = self.kept.written(name_at(at), Some(bytes(body)));
                let answer = self.cut(micros, |store| Box::pin(async move { store.put(&ROOT, request).await }))?;
                return self.revive_kept(name_at(at), answer, after);
            }
            Keeping::CutDelete(at, micros) => {
                let request = self.kept_delete(name_at(at), None);
                let after = self.kept.written(name_at(at), None);
                let answer = self.cut(micros, |store| Box::pin(async move { store.delete(&ROOT, request).await }))?;
                return self.revive_kept(name_at(at), answer, after);
            }
            Keeping::CutRemove(at, nth, micros) => {
                let Some(version) = self.kept.nth(name_at(at), nth).map(|version| version.name) else { return Ok(()) };
                let request = self.kept_delete(name_at(at), version);
                let after = self.kept.without(name_at(at), version);
                let answer = self.cut(micros, |store| Box::pin(async move { store.delete(&ROOT, request).await }))?;
                return self.revive_kept(name_at(at), answer, after);
            }
        }
        self.list_kept("", None, 1000)
    }

    fn kept_put(&self, name: &str, body: Body, conditions: Conditions) -> PutRequest {
        let (bucket, key) = (self.kept.name.clone(), key(name));
        let body_bytes = kit::incoming(&bytes(body));
        PutRequest { given: Default::default(), bucket, key, content: content(body.1), conditions, body: body_bytes }
    }

    fn kept_delete(&self, name: &str, version: Option<VersionRef>) -> DeleteRequest {
        let (bucket, conditions) = (self.kept.name.clone(), Conditions::default());
        DeleteRequest { version, bypass_governance: false, bucket, key: key(name), conditions }
    }

    fn kept_get(&self, name: &str, version: Option<VersionRef>) -> GetRequest {
        GetRequest {
            version,
            bucket: self.kept.name.clone(),
            key: key(name),
            portion: Portion::Whole,
            conditions: Conditions::default(),
            if_range: None,
            customer_key: None,
        }
    }

    fn keep_put(&mut self, name: &'static str, body: Body, absent: bool) -> Outcome {
        let if_none_match = absent.then(|| TagMatch::parse("*"));
        let request = self.kept_put(name, body, Conditions { if_none_match, ..Conditions::default() });
        // A marker is nothing that a condition could find.
        let refused = absent && self.kept.current(name).is_some();
        let expected = if refused { Err("PreconditionFailed") } else { Ok(()) };
        let answer = self.wait(self.store().put(&ROOT, request));
        let Some(object) = answered("PUT", answer, expected)? else { return Ok(()) };
        self.keep(name, &object, bytes(body))
    }

    /// Notes what was written.
    fn keep(&mut self, name: &'static str, object: &Object, bytes: Bytes) -> Outcome {
        let mut versions = self.kept.written(name, Some(bytes));
        agrees(&mut versions[0], object.shown(), &object.etag).map_err(|why| format!("a write's answer: {why}"))?;
        self.kept.becomes(name, versions);
        self.read_kept(name, None)
    }

    fn keep_delete(&mut self, name: &'static str) -> Outcome {
        let mut versions = self.kept.written(name, None);
        let answer = self.wait(self.store().delete(&ROOT, self.kept_delete(name, None)));
        let Some(deletion) = answered("DELETE", answer, Ok(()))? else { return Ok(()) };
        same("whether there is a marker", deletion.marker, self.kept.state.ever())?;
        same("whether it is named", deletion.version.is_some(), deletion.marker)?;
        if let Some(marker) = versions.first_mut().filter(|_| deletion.marker) {
            same("whether it is the null version", deletion.version == Some(VersionRef::Null), marker.null)?;
            marker.name = deletion.version;
        }
        self.kept.becomes(name, versions);
        self.read_kept(name, None)
    }

    fn keep_remove(&mut self, name: &'static str, nth: u8) -> Outcome {
        // Of a key without versions there is still a name to ask for.
        let held = self.kept.nth(name, nth).cloned();
        let version = held.as_ref().map_or(Some(VersionRef::Null), |held| held.name);
        let answer = self.wait(self.store().delete(&ROOT, self.kept_delete(name, version)));
        let marker = held.is_some_and(|held| held.bytes.is_none());
        let removed = answered("DELETE of a version", answer, Ok(()))?;
        same("what was removed", removed, Some(Deletion { version, marker }))?;
        self.kept.becomes(name, self.kept.without(name, version));
        self.read_kept(name, version)?;
        self.read_kept(name, None)
    }

    fn keep_copy(&mut self, from: &'static str, nth: u8, to: &'static str) -> Outcome {
        let held = self.kept.nth(from, nth).cloned();
        let version = held.as_ref().map_or(Some(VersionRef::Null), |held| held.name);
        let request = CopyRequest {
            from_bucket: self.kept.name.clone(),
            from_key: key(from),
            from_version: version,
            source_conditions: Conditions::default(),
            source_key: None,
            bucket: self.kept.name.clone(),
            key: key(to),
            content: CopyContent::Replace(Box::new(content(99))),
            keep_tags: true,
            given: Default::default(),
            conditions: Conditions::default(),
            algorithm: None,
        };
        let answer = self.wait(self.store().copy(&ROOT, request));
        match held.map(|held| held.bytes) {
            None => answered("a copy of nothing", answer, Err("NoSuchVersion")).map(drop),
            Some(None) => answered("a copy of a marker", answer, Err("MarkerNamed")).map(drop),
            Some(Some(bytes)) => {
                let copied = answered("a copy", answer, Ok(()))?.ok_or("an answer")?;
                same("the version that was copied", Some(copied.source), version)?;
                self.keep(to, &copied.object, bytes)
            }
        }
    }

    /// Reads a version, or the current one.
    fn read_kept(&self, name: &str, version: Option<VersionRef>) -> Outcome {
        let versions = self.kept.versions(name);
        let held = match version {
            None => versions.first(),
            Some(_) => versions.iter().find(|held| held.name == version),
        };
        let expected = match (held.map(|held| held.bytes.is_some()), version) {
            (Some(true), _) => Ok(()),
            (Some(false), None) => Err("Deleted"),
            (Some(false), Some(_)) => Err("MarkerNamed"),
            (None, None) => Err("NoSuchKey"),
            (None, Some(_)) => Err("NoSuchVersion"),
        };
        let request = self.kept_get(name, version);
        let answer = self.wait(async {
            let found = self.store().get(&ROOT, request).await?;
            let object = found.found.object;
            Ok::<_, Error>((object.shown(), object.etag, kit::bytes(found.body).await?))
        });
        let what = format!("GET {name:?} {version:?}");
        if let (Some((shown, tag, body)), Some(held)) = (answered(&what, answer, expected)?, held) {
            agrees(&mut held.clone(), shown, &tag).map_err(|why| format!("{what}: {why}"))?;
            same(&format!("{what}: whether the bytes are its own"), Some(&body[..]), held.bytes.as_deref())?;
        }
        Ok(())
    }

    /// Reads every version of every key, and lists them.
    pub(super) fn look_at_kept(&mut self) -> Outcome {
        self.list_kept("", None, 2)?;
        for name in KEYS {
            self.read_kept(name, None)?;
            for version in self.kept.versions(name) {
                self.read_kept(name, version.name)?;
            }
        }
        Ok(())
    }

    /// All pages of the versions and of the keys; learns the names of versions that it has not been told.
    fn list_kept(&mut self, prefix: &str, delimiter: Option<&str>, limit: usize) -> Outcome {
        let asked = format!("the versions below {prefix:?} by {delimiter:?}, {limit} a page");
        let (entries, prefixes) = self.kept_pages(prefix, delimiter, limit).map_err(|why| format!("{asked}: {why}"))?;
        let shown = listing(self.kept.keys.keys().copied(), prefix, delimiter, None);
        let wanted: Vec<String> = shown.iter().filter(|(_, grouped)| *grouped).map(|(name, _)| name.clone()).collect();
        same(&format!("{asked}: the common prefixes"), &prefixes, &wanted)?;
        if prefix.is_empty() && delimiter.is_none() {
            self.kept.managed = entries.iter().filter(|entry| entry.placed == Placed::Managed).count();
        }
        let mut entries = entries.iter();
        for (name, grouped) in &shown {
            let versions = self.kept.keys.get_mut(name.as_str()).filter(|_| !grouped);
            for (index, held) in versions.into_iter().flatten().enumerate() {
                let entry = entries.next().ok_or_else(|| format!("{asked}: no version {index} of {name:?}"))?;
                shown_as(entry, name, index, held)
                    .map_err(|why| format!("{asked}: version {index} of {name:?}: {why}"))?;
            }
        }
        if let Some(more) = entries.next() {
            return Err(format!("{asked}: it shows {more:?}, which should not be there"));
        }
        let keys = self.kept.keys.keys().copied().filter(|name| self.kept.current(name).is_some());
        let wanted = listing(keys, prefix, delimiter, None);
        let query =
            PageQuery { prefix: prefix.into(), delimiter: delimiter.map(str::to_owned), after: None, limit: 1000 };
        let page = self.wait(self.store().list(&ROOT, &self.kept.name, query)).map_err(|e| said(&e))?;
        let entries = page.entries.iter().map(|entry| (entry.key.as_str().to_owned(), false));
        same("the keys", entries.chain(page.prefixes.into_iter().map(|name| (name, true))).collect(), wanted)
    }

    fn kept_pages(&self, prefix: &str, delimiter: Option<&str>, limit: usize) -> Outcome<(Vec<Entry>, Vec<String>)> {
        let (mut entries, mut prefixes) = (Vec::new(), Vec::new());
        let (prefix, delimiter) = (prefix.to_owned(), delimiter.map(str::to_owned));
        let mut query = VersionQuery { page: PageQuery { prefix, delimiter, after: None, limit }, after_version: None };
        let most: usize = self.kept.keys.values().map(|versions| versions.len() + 2).sum();
        for _ in 0..=most {
            let page = self.wait(self.store().list_versions(&ROOT, &self.kept.name, query.clone()));
            let page = page.map_err(|e| said(&e))?;
            if page.entries.len() + page.prefixes.len() > limit {
                return Err("a page is too long".to_owned());
            }
            entries.extend(page.entries);
            prefixes.extend(page.prefixes);
            let Some((after, version)) = page.next else { return Ok((entries, prefixes)) };
            query.page.after = Some(after);
            query.after_version = version;
        }
        Err("the pages do not end".to_owned())
    }

    /// Ends the process after a request that was answered or not: what it should have made is there, or what was before;
    /// after an answer, only the first.
    fn revive_kept<T>(&mut self, name: &'static str, answer: Option<Result<T, Error>>, after: Vec<Version>) -> Outcome {
        let before = self.kept.versions(name).to_vec();
        let done = match answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => return Err(format!("a request before the end: {}", name_of(&error))),
            None => false,
        };
        self.kept.becomes(name, after);
        let Err(new) = self.crash() else { return Ok(()) };
        if done {
            return Err(format!("after an answer: {new}"));
        }
        self.kept.becomes(name, before);
        self.look(false).map_err(|old| format!("neither what was asked for ({new}) nor what was before ({old})"))
    }
}

fn shown_as(entry: &Entry, name: &str, index: usize, held: &mut Version) -> Outcome {
    same("the key", entry.key.as_str(), name)?;
    same("whether it is the latest", entry.latest, index == 0)?;
    same("whether it is a marker", entry.marker, held.bytes.is_none())?;
    same("the size", entry.size, held.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))?;
    match held.bytes {
        Some(_) => agrees(held, entry.shown(), &entry.etag),
        None => {
            same("the version", entry.shown(), *held.name.get_or_insert(entry.shown()))?;
            same("whether it is the null version", entry.null, held.null)
        }
    }
}
