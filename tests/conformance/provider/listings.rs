//! Natural listings: order, prefix, cursor, pages.

use longshore::model::place::Stamp;
use longshore::provider::ListedPage;

use super::bed::{Bed, behaviours};

behaviours![
    the_order_is_that_of_the_bytes_of_keys,
    prefixes_and_cursors_cut_exactly,
    a_listing_shows_what_stat_shows,
    pages_of_a_large_directory_join_without_gap,
    nothing_of_the_reserved_tree_is_listed,
];

fn names(page: &ListedPage) -> Vec<String> {
    page.files.iter().map(|file| file.key.as_str().to_owned()).collect()
}

/// All names, page by page.
async fn walk(bed: &Bed<'_>, prefix: &str, limit: usize) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = bed.provider.list(&bed.container, prefix, after.as_deref(), limit).await.expect("listed");
        assert!(page.files.len() <= limit, "a page of {limit}");
        assert_eq!(page.unnameable, 0);
        all.extend(names(&page));
        if !page.more {
            return all;
        }
        assert_eq!(page.files.len(), limit, "more follow a full page only");
        after = all.last().cloned();
    }
}

const TREE: [&str; 16] = [
    "a-b", "a/b", "a/b-c", "a/bc/d", "a/c", "a0", "a0/", "b!", "b/1/2/3", "b/1/2/4", "b/10", "b0", "é", "é/x", "z", "~",
];

async fn plant(bed: &Bed<'_>) -> Vec<String> {
    let mut tree: Vec<String> = TREE
        .iter()
        .map(|name| match *name {
            "a0/" => "a0+/x".to_owned(),
            "é/x" => "éa/x".to_owned(),
            name => name.to_owned(),
        })
        .collect();
    for name in &tree {
        bed.outside_write(name, name.as_bytes());
    }
    tree.sort();
    tree
}

async fn the_order_is_that_of_the_bytes_of_keys(bed: &Bed<'_>) {
    let tree = plant(bed).await;
    for limit in [1, 2, 3, 5, 16, 1000] {
        assert_eq!(walk(bed, "", limit).await, tree, "pages of {limit}");
    }
}

async fn prefixes_and_cursors_cut_exactly(bed: &Bed<'_>) {
    let tree = plant(bed).await;
    let odd =
        ["", "a", "a/", "a/b", "a/bc", "a/bc/", "a/bc/d", "a/bc/d/", "b", "b/", "b/1", "b/1/", "b/1/2/3", "é", "é/"];
    let none =
        ["x", "/", "a//", "../", "./", ".longshore/", ".longshore/objects", "a/../a", "a0/y", "~~", "a\u{10FFFF}"];
    for prefix in odd.into_iter().chain(none) {
        let after =
            tree.iter().map(String::as_str).chain(["", "a", "a/", "a/bc/", "a/c0", "b/1/2", "b/1/2/30", "zz", "~~"]);
        for after in [None].into_iter().chain(after.map(Some)) {
            let belongs = |name: &&String| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after);
            let expected: Vec<String> = tree.iter().filter(belongs).cloned().collect();
            let page = bed.provider.list(&bed.container, prefix, after, 1000).await.expect("listed");
            assert_eq!((names(&page), page.more), (expected.clone(), false), "{prefix:?} after {after:?}");
            let page = bed.provider.list(&bed.container, prefix, after, 2).await.expect("listed");
            let first: Vec<String> = expected.iter().take(2).cloned().collect();
            assert_eq!((names(&page), page.more), (first, expected.len() > 2), "{prefix:?} after {after:?}");
        }
    }
    assert_eq!(bed.provider.list(&bed.container, "", None, 0).await.expect("listed").files, []);
}

async fn a_listing_shows_what_stat_shows(bed: &Bed<'_>) {
    let put = bed.place("d/k", b"bytes", 1).await;
    let page = bed.provider.list(&bed.container, "d/", None, 10).await.expect("listed");
    let [file] = &page.files[..] else { panic!("one file") };
    assert!(put.stamp.may_show_as(&file.stamp) && file.size == 5, "{file:?}");
    assert!(!put.stamp.may_show_as(&Stamp::new("#other")));
    if !bed.provider.capabilities().flat {
        assert_eq!((&file.stamp, file.modified), (&put.stamp, put.record.modified));
    }
}

async fn pages_of_a_large_directory_join_without_gap(bed: &Bed<'_>) {
    // More than a page of any storage; their own clients write one after the other.
    let most = if bed.provider.capabilities().flat { 1100 } else { 5000 };
    let mut expected: Vec<String> = (0..most).map(|n| format!("d/{}", n * 7919 % most)).collect();
    for name in &expected {
        bed.outside_write(name, b"");
    }
    expected.sort();
    assert_eq!(walk(bed, "", 100).await, expected);
    assert_eq!(
        walk(bed, "d/49", 7).await,
        expected.iter().filter(|n| n.starts_with("d/49")).cloned().collect::<Vec<_>>()
    );
}

async fn nothing_of_the_reserved_tree_is_listed(bed: &Bed<'_>) {
    bed.publish("k", b"managed", 1).await;
    bed.place("x/.longshore/y", b"not reserved", 1).await;
    bed.place(".longshore2", b"not reserved", 1).await;
    assert_eq!(walk(bed, "", 10).await, [".longshore2", "x/.longshore/y"]);
    assert_eq!(walk(bed, ".longshore", 10).await, [".longshore2"]);
    assert_eq!(walk(bed, ".longshore/", 10).await, Vec::<String>::new());
}
