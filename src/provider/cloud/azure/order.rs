//! The order of listings: the service sorts names by their UTF-16 code units, we by their bytes.
//!
//! The two differ in one thing. Characters beyond U+FFFF are surrogates in UTF-16 and come before those from U+E000 on;
//! in UTF-8 they come after them. So the children of a node (of all names that begin alike) are, in our order, the low
//! ones, then the high ones (U+E000 to U+FFFF), then the astral ones, and in the service's order low, astral, high. A
//! node that lies whole in a page is put right by sorting the page. Of a node that the end of a page cuts, the high
//! children are read first and the astral ones then, in scans of their own.
//!
//! All that is known between two pages is a name, so three characters that nobody gives a blob say where a
//! scan begins that begins at no name: behind a node, [`HIGH`] stands for its high children, [`ASTRAL`] for its astral
//! ones and [`BEHIND`] for what follows all of it.
//!
//! **Invariant:** pages one after the other are in the order of bytes, without gap or duplicate.

use crate::provider::cloud::service::{Entry, Page};

/// Before the high children of the node before it: the last low character, which is none.
const HIGH: char = '\u{D7FF}';
/// Before the astral children of the node before it: the last high character, which is none.
const ASTRAL: char = '\u{FFFF}';
/// Behind the node before it.
const BEHIND: char = char::MAX;

/// What a scan goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Among {
    /// All names with the prefix.
    All,
    /// The high children of the prefix.
    High,
    /// The astral children of the prefix.
    Astral,
}

/// A run of names that the service has in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// What the names begin with.
    pub(super) prefix: String,
    /// Where it begins, inclusive.
    pub(super) from: Option<String>,
    /// It begins behind the name it begins at.
    exclusive: bool,
    among: Among,
}

/// The scan that gives what comes after a name; `None`: nothing does.
pub(super) fn plan(prefix: &str, after: Option<&str>) -> Option<Scan> {
    let Some(after) = after.filter(|after| *after >= prefix) else {
        return Some(Scan { prefix: prefix.to_owned(), from: None, exclusive: false, among: Among::All });
    };
    let rest = after.strip_prefix(prefix)?;
    let children = |node: &str, first: char, among| {
        Some(Scan { prefix: node.to_owned(), from: Some(format!("{node}{first}")), exclusive: false, among })
    };
    let mut chars = rest.chars();
    let (last, node) = (chars.next_back(), &after[..prefix.len() + chars.as_str().len()]);
    match last {
        Some(HIGH) => children(node, '\u{E000}', Among::High),
        Some(ASTRAL) => children(node, '\u{10000}', Among::Astral),
        Some(BEHIND) => {
            let (inner, among) = around(prefix, node);
            match (behind(node, inner.0.len()), among) {
                (Some(from), among) => Some(Scan { from: Some(from), ..inner.scan(among) }),
                (None, Among::All) => None,
                (None, Among::High) => children(inner.0, '\u{10000}', Among::Astral),
                (None, Among::Astral) => plan(prefix, Some(&format!("{}{BEHIND}", inner.0))),
            }
        }
        _ => {
            let (node, among) = around(prefix, after);
            Some(Scan { from: Some(after.to_owned()), exclusive: true, ..node.scan(among) })
        }
    }
}

/// A node by its name.
struct Node<'a>(&'a str);

impl Node<'_> {
    fn scan(&self, among: Among) -> Scan {
        Scan { prefix: self.0.to_owned(), from: None, exclusive: false, among }
    }
}

/// The innermost node on the way to a name at which the way takes a high or an astral child.
fn around<'a>(prefix: &'a str, name: &'a str) -> (Node<'a>, Among) {
    for (i, c) in name[prefix.len()..].char_indices().rev() {
        match among(c) {
            Among::All => {}
            special => return (Node(&name[..prefix.len() + i]), special),
        }
    }
    (Node(prefix), Among::All)
}

fn among(c: char) -> Among {
    match c {
        ..='\u{D7FF}' => Among::All,
        '\u{E000}'..='\u{FFFF}' => Among::High,
        _ => Among::Astral,
    }
}

/// The first possible name behind all that begin with `node`, in the service's order; `None`: none that begins with the
/// first `least` bytes of it is.
fn behind(node: &str, least: usize) -> Option<String> {
    let mut chars = node[least..].chars();
    while let Some(last) = chars.next_back() {
        if let Some(next) = next_of(last) {
            return Some(format!("{}{}{next}", &node[..least], chars.as_str()));
        }
    }
    None
}

/// The next character that a name may hold, in the service's order.
fn next_of(c: char) -> Option<char> {
    match c {
        ..' ' => Some(' '),
        '~'..'\u{A0}' => Some('\u{A0}'),
        '\u{D7FF}' => Some('\u{10000}'),
        '\u{FFFD}'..='\u{FFFF}' => None,
        '\u{10FFFD}'.. => Some('\u{E000}'),
        _ => char::from_u32(u32::from(c) + 1),
    }
}

impl Scan {
    /// Whether a name is in it that is not before its beginning.
    pub(super) fn shows(&self, name: &str) -> bool {
        !(self.exclusive && self.from.as_deref() == Some(name))
    }

    /// What to ask for in order to show so many.
    pub(super) fn wanted(&self, limit: usize) -> usize {
        limit + usize::from(self.exclusive)
    }

    /// Puts what the service answered in our order. `more`: it had more to say.
    pub(super) fn arrange(&self, mut entries: Vec<Entry>, mut more: bool, limit: usize) -> Page {
        entries.retain(|entry| self.shows(&entry.name));
        if self.among != Among::All
            && let Some(end) = entries.iter().position(|entry| self.child(&entry.name) != self.among)
        {
            entries.truncate(end);
            more = false;
        }
        if entries.len() > limit {
            entries.truncate(limit);
            more = true;
        }
        let next = if more { self.cut(&mut entries) } else { self.end() };
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Page { entries, more: next.is_some(), next }
    }

    fn child(&self, name: &str) -> Among {
        name.strip_prefix(&*self.prefix).and_then(|rest| rest.chars().next()).map_or(Among::All, among)
    }

    /// What follows the scan when it is at its end.
    fn end(&self) -> Option<String> {
        match self.among {
            Among::All => None,
            Among::High => Some(format!("{}{ASTRAL}", self.prefix)),
            Among::Astral => Some(format!("{}{BEHIND}", self.prefix)),
        }
    }

    /// Takes out what comes later in our order than names that are yet to be read. Returns where to go on.
    fn cut(&self, entries: &mut Vec<Entry>) -> Option<String> {
        let last = entries.last()?.name.clone();
        let rest = last.get(self.prefix.len()..).unwrap_or_default();
        // The child that the scan itself is among is no matter of this page.
        let skipped = if self.among == Among::All { 0 } else { rest.chars().next().map_or(0, char::len_utf8) };
        for (i, c) in rest.char_indices().filter(|(i, _)| *i >= skipped) {
            let met = among(c);
            if met == Among::All {
                continue;
            }
            let node = &last[..self.prefix.len() + i];
            let astral = |name: &str| {
                name.strip_prefix(node).and_then(|rest| rest.chars().next()).is_some_and(|c| among(c) == Among::Astral)
            };
            entries.retain(|entry| !astral(&entry.name));
            if met == Among::Astral {
                return Some(format!("{node}{HIGH}"));
            }
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn entry(name: &str) -> Entry {
        Entry { name: name.to_owned(), digest: None, size: 0, modified: Timestamp(0) }
    }

    /// What the service answers: names in its order, from `from` on, at most `wanted`.
    fn ask(names: &[String], scan: &Scan, wanted: usize) -> (Vec<Entry>, bool) {
        let units = |name: &str| name.encode_utf16().collect::<Vec<_>>();
        let mut names: Vec<_> = names.iter().filter(|name| name.starts_with(&scan.prefix)).collect();
        names.retain(|name| scan.from.as_deref().is_none_or(|from| units(name) >= units(from)));
        names.sort_by_key(|name| units(name));
        (names.iter().take(wanted).map(|name| entry(name)).collect(), names.len() > wanted)
    }

    fn page(names: &[String], prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let Some(scan) = plan(prefix, after) else { return Page::default() };
        let (entries, more) = ask(names, &scan, scan.wanted(limit));
        scan.arrange(entries, more, limit)
    }

    fn all(names: &[String], prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let (mut found, mut after) = (Vec::new(), after.map(str::to_owned));
        for _ in 0..1000 {
            let page = page(names, prefix, after.as_deref(), limit);
            assert!(page.entries.len() <= limit);
            found.extend(page.entries.into_iter().map(|entry| entry.name));
            if !page.more {
                return found;
            }
            assert!(page.next.is_some() && page.next > after, "{after:?} leads to {:?}", page.next);
            after = page.next;
        }
        panic!("no end");
    }

    #[test]
    fn plain_names_need_one_scan() {
        let names: Vec<String> = ["a", "a/b", "a/c", "b"].map(str::to_owned).into();
        let page = page(&names, "a", Some("a"), 2);
        assert_eq!(page.entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["a/b", "a/c"]);
        assert!(!page.more);
        assert_eq!(plan("x", Some("y")), None);
        assert_eq!(plan("", Some("a/\u{10FFFF}")).and_then(|scan| scan.from).as_deref(), Some("a0"));
        assert_eq!(plan("a/", Some("a/\u{10FFFF}")), None);
    }

    #[test]
    fn emoji_come_after_full_width_letters() {
        let names: Vec<String> =
            ["n😀", "nｚ", "n😁/1", "n😁/2", "nx", "o", "nｚ😀", "nｚｚ"].map(str::to_owned).into();
        let mut sorted = names.clone();
        sorted.sort();
        for limit in 1..10 {
            assert_eq!(all(&names, "", None, limit), sorted, "{limit}");
        }
    }

    proptest::proptest! {
        #[test]
        fn pages_are_in_the_order_of_bytes(
            names in proptest::collection::btree_set("[ab/\u{E000}ｚ😀\u{10000}]{1,5}", 1..60),
            prefix in "[ab😀ｚ]{0,2}",
            after in proptest::option::of("[ab/ｚ😀]{0,3}\u{10FFFF}?"),
            limit in 1_usize..8,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let expected: Vec<String> = names
                .iter()
                .filter(|name| name.starts_with(&prefix) && after.as_ref().is_none_or(|after| *name > after))
                .cloned()
                .collect();
            proptest::prop_assert_eq!(all(&names, &prefix, after.as_deref(), limit), expected);
        }
    }
}
