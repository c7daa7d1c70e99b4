//! The XML that the service answers with, as a small tree.
//!
//! **Invariant:** what cannot be read is an error, never a shorter list; depth and number of elements are bounded, beside
//! the bytes of the answer.

use std::io;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::provider::{Error, Result};

/// Deepest element of an answer.
const DEPTH_MAX: usize = 12;
/// Most elements of an answer: a page of 1,000 entries has some 10,000.
const ELEMENTS_MAX: usize = 200_000;

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Element {
    /// Its name without a prefix.
    pub(super) name: String,
    /// Its own text.
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// `Failed`: it is none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        let mut count = 0;
        loop {
            let event = reader.read_event().map_err(|error| Error::Failed(io::Error::other(error)))?;
            if matches!(&event, Event::Start(_) | Event::Empty(_)) {
                count += 1;
                if open.len() > DEPTH_MAX || count > ELEMENTS_MAX {
                    return Err(wrong("it is too deep or too long"));
                }
            }
            match event {
                Event::Start(tag) => open.push(Self::named(tag.local_name().into_inner())),
                Event::Empty(tag) => close(&mut open, Self::named(tag.local_name().into_inner()))?,
                Event::End(_) => {
                    let element = open.pop().ok_or_else(|| wrong("an end without a start"))?;
                    close(&mut open, element)?;
                }
                Event::Text(text) => add(&mut open, &text.xml10_content()),
                Event::CData(text) => add(&mut open, &text.xml10_content()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(char)) => add(&mut open, char.encode_utf8(&mut [0; 4])),
                    Ok(None) => add(&mut open, resolve_xml_entity(&reference).ok_or_else(|| wrong("an entity"))?),
                    Err(_) => return Err(wrong("a reference")),
                },
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match <[Self; 1]>::try_from(open) {
            Ok([document]) => document.children.into_iter().next().ok_or_else(|| wrong("it is empty")),
            Err(_) => Err(wrong("it ends early")),
        }
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of this name; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.as_str())
    }

    /// Whether the text of the first child of this name says so.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).trim().eq_ignore_ascii_case("true")
    }
}

fn close(open: &mut [Element], element: Element) -> Result<()> {
    open.last_mut().ok_or_else(|| wrong("an end without a start"))?.children.push(element);
    Ok(())
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn wrong(what: &str) -> Error {
    Error::Failed(io::Error::new(io::ErrorKind::InvalidData, format!("the answer cannot be read: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_listing() {
        let text = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated><Prefix/>
  <Contents><Key>a&amp;b&#x41;</Key><ETag>&quot;x&quot;</ETag></Contents><!-- no --><Contents><Key><![CDATA[<c>]]></Key></Contents>
</ListBucketResult>"#;
        let root = Element::parse(text).expect("a listing");
        assert_eq!(root.name, "ListBucketResult");
        assert!(root.is_true("IsTruncated"));
        let keys: Vec<_> = root.all("Contents").map(|entry| (entry.text("Key"), entry.text("ETag"))).collect();
        assert_eq!(keys, [("a&bA", "\"x\""), ("<c>", "")]);
        assert_eq!(root.text("Prefix"), "");
    }

    #[test]
    fn what_is_cut_or_odd_is_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for text in ["", "<a><b></b>", "</a>", "<a></b>", "<a>&nope;</a>", "nothing", deep.as_str()] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }
}
