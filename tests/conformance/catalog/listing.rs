//! A listing is a range of an index in the order of bytes.

use std::collections::BTreeSet;

use longshore::catalog::Catalog;
use longshore::model::id::BucketId;
use longshore::model::page::{Seek, after_prefix};

use super::samples::*;

fn start() -> Seek {
    Seek::From(String::new())
}

async fn fill<'a>(catalog: &dyn Catalog, bucket: BucketId, texts: impl IntoIterator<Item = &'a str>) {
    let changes = texts.into_iter().map(|text| change(bucket, text, None, Some(&plain(text)))).collect();
    catalog.commit(US, commit(changes)).await.expect("the keys");
}

pub(super) async fn keys_come_in_the_order_of_their_bytes(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    // U+FFFD comes before U+10FFFF by bytes and by code points, but behind it in UTF-16.
    let sorted = ["\t", "A", "a", "a-", "a/", "a/b", "a0", "aa", "b", "é", "\u{E000}", "\u{FFFD}", "\u{10FFFF}"];
    assert!(sorted.is_sorted());
    fill(catalog, b, sorted.into_iter().rev()).await;
    assert_eq!(keys(catalog, b, "", start(), 99).await, sorted);
    assert_eq!(keys(catalog, b, "a", start(), 99).await, ["a", "a-", "a/", "a/b", "a0", "aa"]);
    assert_eq!(keys(catalog, b, "\u{10FFFF}", start(), 99).await, ["\u{10FFFF}"]);
}

/// Pseudo-random numbers from a fixed seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).expect("it is below the limit")
    }

    fn text(&mut self, least: usize, most: usize) -> String {
        const LETTERS: [char; 12] = ['a', 'b', '/', '-', '0', '%', '_', '\'', '\u{1}', 'é', '\u{FFFD}', '\u{10FFFF}'];
        let length = least + self.below(most - least + 1);
        (0..length).map(|_| LETTERS[self.below(LETTERS.len())]).collect()
    }
}

pub(super) async fn pages_equal_a_sorted_set(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut random = Random(20);
    let mut set = BTreeSet::new();
    while set.len() < 3000 {
        set.insert(random.text(1, 6));
    }
    fill(catalog, b, set.iter().map(String::as_str)).await;

    for _ in 0..200 {
        let prefix = random.text(0, 2);
        let text = random.text(0, 4);
        let limit = 1 + random.below(50);
        let seek = match random.below(3) {
            0 => Seek::From(text),
            1 => Seek::After(text),
            _ => after_prefix(&text),
        };
        let wanted = set.iter().filter(|k| k.starts_with(&prefix)).filter(|k| match &seek {
            Seek::From(text) => k.as_str() >= text.as_str(),
            Seek::After(text) => k.as_str() > text.as_str(),
            Seek::End => false,
        });
        let wanted: Vec<_> = wanted.take(limit).cloned().collect();
        assert_eq!(keys(catalog, b, &prefix, seek.clone(), limit).await, wanted, "{prefix:?} {seek:?} {limit}");
    }
    for prefix in ["", "a", "/", "\u{10FFFF}"] {
        let mut walked = Vec::new();
        let mut seek = start();
        loop {
            let page = keys(catalog, b, prefix, seek, 97).await;
            let Some(last) = page.last().cloned() else { break };
            walked.extend(page);
            seek = Seek::After(last);
        }
        let wanted: Vec<_> = set.iter().filter(|k| k.starts_with(prefix)).cloned().collect();
        assert_eq!(walked, wanted, "no gap and no duplicate below {prefix:?}");
    }
}

pub(super) async fn hostile_prefixes_are_only_text(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let texts =
        ["%", "%x", "_", "_x", "'", "''; DROP TABLE objects; --", "\"", "\\", "\u{1}", "\u{7f}", "x", "*", "?1"];
    fill(catalog, b, texts).await;
    for prefix in texts {
        let mut wanted: Vec<_> = texts.into_iter().filter(|k| k.starts_with(prefix)).collect();
        wanted.sort_unstable();
        assert_eq!(keys(catalog, b, prefix, start(), 99).await, wanted, "{prefix:?}");
    }
    assert_eq!(keys(catalog, b, "", start(), 99).await.len(), texts.len());
    assert_eq!(keys(catalog, b, "\0", start(), 99).await.len(), 0, "a prefix may be a text that no key begins with");
    assert_eq!(keys(catalog, b, "x", Seek::After("x\0".into()), 99).await.len(), 0);
}

pub(super) async fn positions_and_limits(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    fill(catalog, b, ["a", "b", "c"]).await;
    assert_eq!(keys(catalog, b, "", Seek::From("b".into()), 99).await, ["b", "c"]);
    assert_eq!(keys(catalog, b, "", Seek::After("b".into()), 99).await, ["c"]);
    assert_eq!(keys(catalog, b, "", Seek::After("bb".into()), 99).await, ["c"]);
    assert!(keys(catalog, b, "", Seek::End, 99).await.is_empty());
    assert!(keys(catalog, b, "", start(), 0).await.is_empty());
    assert_eq!(keys(catalog, b, "", start(), 2).await, ["a", "b"]);
    assert_eq!(keys(catalog, b, "", start(), usize::MAX).await, ["a", "b", "c"]);
    assert!(keys(catalog, b, "a", Seek::After("b".into()), 99).await.is_empty(), "a position past the prefix");
    assert_eq!(keys(catalog, b, "b", Seek::After("a".into()), 99).await, ["b"], "a position before the prefix");
}

pub(super) async fn buckets_do_not_mix(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    fill(catalog, b, ["k", "only-b"]).await;
    fill(catalog, c, ["k", "only-c"]).await;
    assert_eq!(keys(catalog, b, "", start(), 99).await, ["k", "only-b"]);
    assert_eq!(keys(catalog, c, "", start(), 99).await, ["k", "only-c"]);
    let (first, second) = (catalog.object(US, b, &key("k")).await, catalog.object(US, c, &key("k")).await);
    assert_ne!(first.unwrap().unwrap().version, second.unwrap().unwrap().version);
}
