//! A listing is a range of an index in the order of bytes.

use std::collections::BTreeSet;

use longshore::catalog::Catalog;
use longshore::model::id::BucketId;
use longshore::model::object::{Attached, Object};
use longshore::model::page::{Seek, after_prefix};
use longshore::model::time::Timestamp;

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

/// What a glance tells: key, whether it is folded, size, the two dates.
type Told = (String, bool, u64, Option<(i64, i64)>);

async fn told(catalog: &dyn Catalog, bucket: BucketId, prefix: &str, seek: Seek, limit: usize) -> Vec<Told> {
    let glances = catalog.glance(US, bucket, window(prefix, seek, limit), true).await.expect("a glance");
    let dates = |dates: (Timestamp, Timestamp)| (dates.0.0, dates.1.0);
    glances.into_iter().map(|g| (g.key.into(), g.folded, g.size, g.dates.map(dates))).collect()
}

pub(super) async fn a_glance_shows_what_is_directly_below(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let dated = |text: &str, size, modified, created: Option<i64>| {
        let attached = Attached { created: created.map(Timestamp), ..Attached::default() };
        Object { size, modified: Timestamp(modified), attached, ..plain(text) }
    };
    let mut objects = vec![
        dated("d/", 0, 10, None),
        dated("d/a", 3, 20, Some(5)),
        dated("d/e/", 0, 30, Some(6)),
        dated("d/z", 4, 50, None),
        dated("e", 1, 1, None),
    ];
    // More than any catalog steps over.
    objects.extend((0..200).map(|n| dated(&format!("d/e/{n:03}"), 1, 1, None)));
    objects.extend((0..200).map(|n| dated(&format!("d/f/g/{n:03}"), 1, 1, None)));
    let changes = objects.iter().map(|object| change(b, object.key.as_str(), None, Some(object))).collect();
    catalog.commit(US, commit(changes)).await.expect("the keys");

    let all = [
        ("d/".to_owned(), false, 0, Some((10, 10))),
        ("d/a".to_owned(), false, 3, Some((20, 5))),
        ("d/e/".to_owned(), true, 0, Some((30, 6))),
        ("d/f/".to_owned(), true, 0, None),
        ("d/z".to_owned(), false, 4, Some((50, 50))),
    ];
    assert_eq!(told(catalog, b, "d/", start(), 99).await, all);
    assert_eq!(told(catalog, b, "d/", start(), usize::MAX).await, all);
    assert_eq!(told(catalog, b, "d/", start(), 3).await, all[..3]);
    assert_eq!(told(catalog, b, "d/", after_prefix("d/e/"), 1).await, all[3..4]);
    assert_eq!(told(catalog, b, "d/", Seek::After("d/a".into()), 2).await, all[2..4]);
    assert!(
        told(catalog, b, "d/", start(), 0).await.is_empty() && told(catalog, b, "d/", Seek::End, 9).await.is_empty()
    );
    assert!(told(catalog, b, "x", start(), 9).await.is_empty());
    let root: Vec<_> = told(catalog, b, "", start(), 99).await.into_iter().map(|told| told.0).collect();
    assert_eq!(root, ["d/", "e"]);
    // When they came to be is not looked for unnecessarily.
    let short = catalog.glance(US, b, window("d/a", start(), 9), false).await.expect("a glance");
    assert_eq!(short[0].dates, Some((Timestamp(20), Timestamp(20))));
}

pub(super) async fn glances_equal_a_folded_set(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut random = Random(21);
    let mut set = BTreeSet::new();
    while set.len() < 3000 {
        set.insert(random.text(1, 6));
    }
    fill(catalog, b, set.iter().map(String::as_str)).await;
    for _ in 0..100 {
        let (prefix, limit) = (random.text(0, 2), 1 + random.below(50));
        let mut wanted: Vec<(String, bool)> = Vec::new();
        for key in set.iter().filter(|key| key.starts_with(&prefix)) {
            let slash = key[prefix.len()..].find('/').map(|at| prefix.len() + at + 1);
            wanted.push((key[..slash.unwrap_or(key.len())].to_owned(), slash.is_some()));
        }
        wanted.dedup();
        let (mut walked, mut seek) = (Vec::new(), start());
        loop {
            let page = told(catalog, b, &prefix, seek, limit).await;
            assert!(page.iter().all(|told| told.3.is_some() == set.contains(&told.0)), "{page:?}");
            walked.extend(page.iter().map(|told| (told.0.clone(), told.1)));
            let Some(last) = page.last().filter(|_| page.len() == limit) else { break };
            seek = if last.1 { after_prefix(&last.0) } else { Seek::After(last.0.clone()) };
        }
        assert_eq!(walked, wanted, "{prefix:?} {limit}");
    }
}
