//! What must hold after every step: a listing is the set of keys that are there, and everyone says the same of an object.

use std::collections::BTreeSet;

use longshore::model::object::Entry;
use longshore::model::page::PageQuery;
use longshore::store::request::{GetRequest, Portion};

use super::letters::KEYS;
use super::memory::{Outcome, listing, same};
use super::world::{ROOT, World, said};
use crate::conformance::store as kit;

/// What a listing is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) bucket: usize,
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    pub(super) limit: usize,
}

impl World {
    /// Reads every key of the alphabet, whether or not it is there, and lists every bucket. Without `edited`, keys that
    /// another program touched and nobody has read since are left alone.
    pub(super) fn look(&mut self, edited: bool) -> Outcome {
        for bucket in 0..self.buckets.len() {
            for name in KEYS {
                if edited || !self.buckets[bucket].stale.contains(name) {
                    self.head(bucket, name)?;
                    self.read(bucket, name)?;
                }
            }
            self.keys(bucket)?;
        }
        self.look_at_kept()
    }

    /// The bytes of an object.
    fn read(&self, bucket: usize, name: &str) -> Outcome {
        let Some(held) = self.buckets[bucket].objects.get(name) else { return Ok(()) };
        let request: GetRequest = self.request(bucket, name, Portion::Whole);
        let read = self.wait(async {
            let found = self.store().get(&ROOT, request).await?;
            kit::bytes(found.body).await
        });
        let read = read.map_err(|e| format!("GET {bucket}/{name:?}: {}", said(&e)))?;
        if read == held.bytes {
            return Ok(());
        }
        Err(format!("GET {bucket}/{name:?}: {} other bytes than the {} it should have", read.len(), held.bytes.len()))
    }

    /// The whole listing of a bucket, and its counts.
    pub(super) fn keys(&mut self, bucket: usize) -> Outcome {
        self.list(Asked { bucket, prefix: "", delimiter: None, after: None, limit: 1000 })?;
        if !self.buckets[bucket].stale.is_empty() {
            return Ok(());
        }
        let usage = self.wait(self.store().usage(&ROOT, &self.names[bucket])).map_err(|e| said(&e))?;
        let objects = &self.buckets[bucket].objects;
        let bytes = objects.values().map(super::memory::Held::size).sum();
        same("the usage", usage, (objects.len() as u64, bytes))
    }

    /// All pages of a listing.
    pub(super) fn list(&mut self, asked: Asked<'_>) -> Outcome {
        self.list_checked(asked).map_err(|why| format!("{asked:?}: {why}"))
    }

    fn list_checked(&mut self, asked: Asked<'_>) -> Outcome {
        let (entries, prefixes) = self.pages(asked)?;
        if !entries.is_sorted_by(|a, b| a.key < b.key) || !prefixes.is_sorted_by(|a, b| a < b) {
            return Err(format!("not ascending: {entries:?} {prefixes:?}"));
        }
        let bucket = &mut self.buckets[asked.bucket];
        let mut shown: BTreeSet<(String, bool)> = prefixes.into_iter().map(|prefix| (prefix, true)).collect();
        shown.extend(entries.iter().map(|entry| (entry.key.as_str().to_owned(), false)));
        let Asked { prefix, delimiter, after, .. } = asked;
        let keys = || bucket.objects.keys().map(String::as_str);
        let certain = listing(keys().filter(|key| !bucket.stale.contains(*key)), prefix, delimiter, after);
        let edited = bucket.stale.iter().map(String::as_str);
        let possible = listing(keys().chain(edited), prefix, delimiter, after);
        if !shown.is_superset(&certain) || !shown.is_subset(&possible) {
            return Err(format!("it shows {shown:?}, and should show {certain:?}, at most {possible:?}"));
        }
        for entry in entries.iter().filter(|entry| !bucket.stale.contains(entry.key.as_str())) {
            let held = bucket.objects.get(entry.key.as_str()).ok_or("a key that is not there")?;
            agrees(entry, held).map_err(|why| format!("{:?}: {why}", entry.key))?;
        }
        Ok(())
    }

    fn pages(&self, asked: Asked<'_>) -> Outcome<(Vec<Entry>, Vec<String>)> {
        let (mut entries, mut prefixes) = (Vec::new(), Vec::new());
        let mut after = asked.after.map(str::to_owned);
        for _ in 0..=2 * KEYS.len() {
            let (prefix, delimiter) = (asked.prefix.to_owned(), asked.delimiter.map(str::to_owned));
            let query = PageQuery { prefix, delimiter, after, limit: asked.limit };
            let page = self.wait(self.store().list(&ROOT, &self.names[asked.bucket], query));
            let page = page.map_err(|e| said(&e))?;
            let count = page.entries.len() + page.prefixes.len();
            if count > asked.limit || (page.next.is_some() && count == 0) {
                return Err(format!("a page of {count} entries"));
            }
            entries.extend(page.entries);
            prefixes.extend(page.prefixes);
            after = page.next;
            if after.is_none() {
                return Ok((entries, prefixes));
            }
        }
        Err("the pages do not end".to_owned())
    }
}

fn agrees(entry: &Entry, held: &super::memory::Held) -> Outcome {
    same("the size", entry.size, held.size())?;
    same("the owner", entry.owner.as_str(), "root")?;
    same("the checksum", entry.checksum, held.checksum.as_ref().map(|c| (c.algorithm, c.kind)))?;
    same("the ETag", Some(entry.etag.as_str()), held.tag.seen().or(Some(entry.etag.as_str())))?;
    same("Last-Modified", entry.modified, held.modified.unwrap_or(entry.modified))?;
    same("the version", entry.version, held.version.unwrap_or(entry.version))
}
