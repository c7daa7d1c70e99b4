//! Names in listings.
//!
//! **Invariant:** what [`xml_safe`] returns can stand in an XML 1.0 document: one key with a control character must not
//! make the whole page an error.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encoding-type=url` leaves as it is: `/` stays, `+` and space do not.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How names are written in one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are, but for what XML cannot carry.
    Xml,
    /// Percent-encoded.
    Url,
}

impl Encoding {
    /// Writes a name.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::Xml => xml_safe(name),
            Self::Url => url(name),
        }
    }
}

/// Percent-encodes a name as a path.
pub(super) fn url(name: &str) -> String {
    utf8_percent_encode(name, URL).to_string()
}

/// Percent-encodes the characters that XML 1.0 has no form for.
pub(super) fn xml_safe(text: &str) -> String {
    let illegal =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if illegal(c) {
            safe.push_str(&url(c.encode_utf8(&mut [0; 4])));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_listings() {
        for (name, in_xml, in_url) in [
            ("foo+1/", "foo+1/", "foo%2B1/"),
            ("quux ab/", "quux ab/", "quux%20ab/"),
            ("a\u{1}\tb", "a%01\tb", "a%01%09b"),
            ("é&<", "é&<", "%C3%A9%26%3C"),
            ("\u{FFFE}", "%EF%BF%BE", "%EF%BF%BE"),
            ("~_.-", "~_.-", "~_.-"),
        ] {
            assert_eq!(Encoding::Xml.name(name), in_xml);
            assert_eq!(Encoding::Url.name(name), in_url);
        }
    }
}
