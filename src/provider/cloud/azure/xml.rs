//! The answers in XML: pages of blobs and of containers.
//!
//! **Invariant:** a name is what the service means, also where it had to encode it; what is not understood is an error,
//! never a shorter page.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use super::date;
use crate::model::id::hex;
use crate::model::time::Timestamp;
use crate::provider::cloud::service::Entry;
use crate::provider::{Error, Result};

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 16;

/// A page of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing<T> {
    /// What it shows, in the order of the service.
    pub(super) items: Vec<T>,
    /// Where the next one begins.
    pub(super) marker: Option<String>,
}

/// Reads a page of blobs. Directories of accounts that have them are no blobs.
pub(super) fn blobs(text: &[u8]) -> Result<Listing<Entry>> {
    let mut listing = Listing { items: Vec::new(), marker: None };
    let mut blob = Blob::default();
    elements(text, |path, text| {
        match path {
            [_, "NextMarker"] => listing.marker = Some(text).filter(|text| !text.is_empty()),
            [_, "Blobs", "Blob", "Name"] => blob.name = Some(text),
            [_, "Blobs", "Blob", "Properties", "Content-Length"] => {
                blob.size = Some(text.parse().map_err(|_| unread("the size of a blob"))?);
            }
            [_, "Blobs", "Blob", "Properties", "Last-Modified"] => blob.modified = date::parsed(&text),
            [_, "Blobs", "Blob", "Properties", "Content-MD5"] => blob.digest = digest(&text),
            [_, "Blobs", "Blob", "Properties", "ResourceType"] => return Err(hierarchical()),
            [_, "Blobs", "Blob"] => listing.items.push(std::mem::take(&mut blob).entry()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(listing)
}

/// Reads a page of containers.
pub(super) fn containers(text: &[u8]) -> Result<Listing<(String, Timestamp)>> {
    let mut listing = Listing { items: Vec::new(), marker: None };
    let (mut name, mut modified) = (None, None);
    elements(text, |path, text| {
        match path {
            [_, "NextMarker"] => listing.marker = Some(text).filter(|text| !text.is_empty()),
            [_, "Containers", "Container", "Name"] => name = Some(text),
            [_, "Containers", "Container", "Properties", "Last-Modified"] => modified = date::parsed(&text),
            [_, "Containers", "Container"] => {
                let name = name.take().ok_or_else(|| unread("the name of a container"))?;
                listing.items.push((name, modified.take().unwrap_or_default()));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(listing)
}

/// The MD5 that a header or an element says in base64, in hex.
pub(super) fn digest(text: &str) -> Option<String> {
    let bytes = BASE64.decode(text.trim()).ok()?;
    (bytes.len() == 16).then(|| hex(&bytes))
}

#[derive(Default)]
struct Blob {
    name: Option<String>,
    size: Option<u64>,
    modified: Option<Timestamp>,
    digest: Option<String>,
}

impl Blob {
    fn entry(self) -> Result<Entry> {
        let (Some(name), Some(size)) = (self.name, self.size) else { return Err(unread("a blob")) };
        Ok(Entry { name, digest: self.digest, size, modified: self.modified.unwrap_or_default() })
    }
}

/// Accounts with a hierarchical namespace list names in the order of a tree, so pages would have gaps.
fn hierarchical() -> Error {
    Error::Failed(io::Error::other("the account has a hierarchical namespace, which cannot be listed in order"))
}

fn unread(what: &str) -> Error {
    Error::Failed(io::Error::other(format!("{what} cannot be read in the service's answer")))
}

/// Tells of each element, when it ends, the path to it and its text.
fn elements(text: &[u8], mut ended: impl FnMut(&[&str], String) -> Result<()>) -> Result<()> {
    let text = std::str::from_utf8(text).map_err(|_| unread("the text"))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    reader.config_mut().expand_empty_elements = true;
    let (mut path, mut content, mut encoded) = (Vec::<String>::new(), String::new(), false);
    loop {
        match reader.read_event().map_err(|error| Error::Failed(io::Error::other(error)))? {
            Event::Start(start) => {
                if path.len() == DEPTH_MAX {
                    return Err(unread("the nesting"));
                }
                let flag = start.try_get_attribute("Encoded").map_err(|_| unread("an attribute"))?;
                encoded = flag.is_some_and(|flag| flag.value == *"true");
                path.push(String::from(start.name().as_ref()));
                content.clear();
            }
            Event::Text(part) => content.push_str(&part.xml10_content()),
            Event::CData(part) => content.push_str(&part.xml10_content()),
            Event::GeneralRef(part) => match part.resolve_char_ref().map_err(|_| unread("a character"))? {
                Some(c) => content.push(c),
                None => content.push_str(resolve_xml_entity(&part).ok_or_else(|| unread("an entity"))?),
            },
            Event::End(_) => {
                let mut text = std::mem::take(&mut content);
                if std::mem::take(&mut encoded) {
                    text = percent_decode_str(&text).decode_utf8().map_err(|_| unread("a name"))?.into_owned();
                }
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                ended(&names, text)?;
                path.pop();
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(unread("the end")),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_blobs_is_read() {
        let text = "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://h/\" \
                    ContainerName=\"c\"><MaxResults>2</MaxResults><Blobs><Blob><Name> a&amp;b&#x20;</Name><Properties>\
                    <Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified><Etag>0x8</Etag>\
                    <Content-Length>5</Content-Length><Content-MD5>XUFAKrxLKna5cZ2REBfFkg==</Content-MD5>\
                    </Properties><OrMetadata /></Blob><Blob><Name Encoded=\"true\">x%01y%25</Name><Properties>\
                    <Content-Length>0</Content-Length><Content-MD5 /></Properties></Blob></Blobs>\
                    <NextMarker>2!72!x</NextMarker></EnumerationResults>";
        let listing = blobs(text.as_bytes()).expect("a page");
        assert_eq!(listing.marker.as_deref(), Some("2!72!x"));
        let [first, second] = &listing.items[..] else { panic!("{listing:?}") };
        assert_eq!((first.name.as_str(), first.size), (" a&b ", 5));
        assert_eq!(first.digest.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(first.modified, date::parsed("Fri, 26 Jun 2015 23:39:12 GMT").expect("a date"));
        assert_eq!((second.name.as_str(), second.digest.as_deref()), ("x\u{1}y%", None));
    }

    #[test]
    fn what_is_cut_is_no_page() {
        let text = "<EnumerationResults><Blobs><Blob><Name>a</Name>";
        assert!(blobs(text.as_bytes()).is_err());
        assert!(blobs(b"<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>").is_err());
        let tree = "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><ResourceType>directory</ResourceType>\
                    </Properties></Blob></Blobs></EnumerationResults>";
        assert!(blobs(tree.as_bytes()).is_err());
    }

    #[test]
    fn a_page_of_containers_is_read() {
        let text = "<EnumerationResults><Containers><Container><Name>abc</Name><Properties><Last-Modified>\
                    Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified></Properties></Container></Containers><NextMarker/>\
                    </EnumerationResults>";
        let listing = containers(text.as_bytes()).expect("a page");
        let at = date::parsed("Fri, 26 Jun 2015 23:39:12 GMT").expect("a date");
        assert_eq!(listing, Listing { items: vec![("abc".to_owned(), at)], marker: None });
    }
}
