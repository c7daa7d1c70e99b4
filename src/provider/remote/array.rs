//! The elements of a JSON array that comes in pieces, one by one: a listing has no length that anybody promised.
//!
//! **Invariant:** what is held is one element at most, of a bounded length; what is not an array, or ends within one, is
//! an error.

use std::collections::VecDeque;

use crate::config::limits::REMOTE_ENTRY_BYTES_MAX;

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the opening bracket.
    Start,
    /// Where an element may begin.
    Between,
    /// Within an element.
    Within,
    /// Behind the closing bracket.
    End,
}

/// Cuts an array into its elements.
#[derive(Debug)]
pub(super) struct Elements {
    at: At,
    /// Brackets and braces that are open within the element.
    depth: usize,
    in_text: bool,
    escaped: bool,
    element: Vec<u8>,
    found: VecDeque<Vec<u8>>,
}

impl Elements {
    pub(super) fn new() -> Self {
        let (element, found) = (Vec::new(), VecDeque::new());
        Self { at: At::Start, depth: 0, in_text: false, escaped: false, element, found }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        bytes.iter().try_for_each(|byte| self.byte(*byte))
    }

    /// The next element that is whole.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        self.found.pop_front()
    }

    /// Whether the array came to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        let space = byte.is_ascii_whitespace();
        match self.at {
            At::Start if byte == b'[' => self.at = At::Between,
            At::Start | At::End if space => {}
            At::Start => return Err("no array"),
            At::End => return Err("something behind the array"),
            At::Between if space || byte == b',' => {}
            At::Between if byte == b']' => self.at = At::End,
            At::Between => {
                self.at = At::Within;
                self.within(byte)?;
            }
            At::Within => self.within(byte)?,
        }
        Ok(())
    }

    fn within(&mut self, byte: u8) -> Result<(), &'static str> {
        if self.in_text {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
        } else {
            match byte {
                b',' | b']' if self.depth == 0 => {
                    self.found.push_back(std::mem::take(&mut self.element));
                    self.at = if byte == b']' { At::End } else { At::Between };
                    return Ok(());
                }
                b'"' => self.in_text = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.checked_sub(1).ok_or("a bracket too many")?,
                _ => {}
            }
        }
        if self.element.len() == REMOTE_ENTRY_BYTES_MAX {
            return Err("an entry is longer than any that is expected");
        }
        self.element.push(byte);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, piece: usize) -> Result<Vec<String>, &'static str> {
        let (mut elements, mut found) = (Elements::new(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            elements.take(piece)?;
            while let Some(element) = elements.next() {
                found.push(String::from_utf8(element).expect("text").trim().to_owned());
            }
        }
        if elements.is_whole() { Ok(found) } else { Err("cut") }
    }

    #[test]
    fn elements_come_whole_however_they_are_cut() {
        let text = r#" [ {"a":"]},\"{","b":[1,{}]} ,2, "x,y\\" ,[[]]] "#;
        for piece in [1, 2, 7, 1000] {
            let found = all(text, piece).expect("an array");
            assert_eq!(found, [r#"{"a":"]},\"{","b":[1,{}]}"#, "2", r#""x,y\\""#, "[[]]"], "{piece}");
        }
        assert_eq!(all("[]", 1), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["{}", "[", "[1", "[\"]", "[1}]", "[] x", "", "<html>", "[{]"] {
            assert!(all(text, 3).is_err(), "{text}");
        }
        let long = format!("[\"{}\"]", "x".repeat(REMOTE_ENTRY_BYTES_MAX));
        assert!(all(&long, 1000).is_err());
    }
}
