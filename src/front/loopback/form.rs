//! An upload's form, part by part, whose files are read by the store while they come.
//!
//! **Invariant:** what is held is one frame and what the parser holds. A part has ended only when the next one has begun or
//! the form has: a file of a form that breaks off behind its last byte is no whole file.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;

use crate::front::form::{Event, Head, Parser};
use crate::store::BodyError;
use crate::store::request::Frames;

/// How the bytes of a part are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Base64,
}

impl Encoding {
    /// From its name; `None`: it is not known.
    pub(super) fn of(head: &Head) -> Option<Self> {
        match head.transfer_encoding.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("binary" | "7bit" | "8bit") => Some(Self::Plain),
            Some("base64") => Some(Self::Base64),
            Some(_) => None,
        }
    }
}

/// A form that is being read.
#[derive(Clone)]
pub(super) struct Form(Arc<Mutex<Reader>>);

struct Reader {
    body: Frames,
    parser: Parser,
    /// What follows the part that was read.
    next: Option<Next>,
}

enum Next {
    Part(Head),
    End,
}

impl Form {
    /// Of a body with this type; `None` if it names no boundary.
    pub(super) fn new(content_type: &str, body: Frames) -> Option<Self> {
        let parser = Parser::new(content_type)?;
        Some(Self(Arc::new(Mutex::new(Reader { body, parser, next: None }))))
    }

    /// The head of the next part; `None`: there is none.
    pub(super) async fn head(&self) -> Result<Option<Head>, BodyError> {
        let mut reader = self.0.lock().await;
        while reader.data().await?.is_some() {}
        match reader.next.take() {
            Some(Next::Part(head)) => Ok(Some(head)),
            Some(Next::End) | None => Ok(None),
        }
    }

    /// The bytes of the part whose head was read.
    pub(super) fn bytes(&self, encoding: Encoding) -> Frames {
        let state = Some((self.clone(), Decoder::default()));
        Box::pin(stream::unfold(state, move |state| async move {
            let (form, mut decoder) = state?;
            let read = form.0.lock().await.data().await;
            let decoded = match (encoding, read) {
                (Encoding::Plain, read) => read,
                (Encoding::Base64, Ok(Some(data))) => decoder.push(&data).map(Some),
                (Encoding::Base64, Ok(None)) => return decoder.end().err().map(|error| (Err(error), None)),
                (Encoding::Base64, Err(error)) => Err(error),
            };
            match decoded {
                Ok(Some(data)) => Some((Ok(data), Some((form, decoder)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

impl Reader {
    /// Bytes of the part that is open; `None`: it has ended, and what follows it is known.
    async fn data(&mut self) -> Result<Option<Bytes>, BodyError> {
        while self.next.is_none() {
            match self.parser.next().map_err(|_| BodyError::Malformed)? {
                Event::Data(data) => return Ok(Some(data)),
                Event::PartEnd => {}
                Event::Part(head) => self.next = Some(Next::Part(head)),
                Event::End => self.next = Some(Next::End),
                Event::More => match self.body.next().await {
                    Some(frame) => self.parser.push(&frame?),
                    None => return Err(BodyError::Incomplete),
                },
            }
        }
        Ok(None)
    }
}

/// Takes base 64 apart, in frames of any size and lines of any length.
#[derive(Default)]
struct Decoder {
    /// Up to three letters that wait for the next.
    held: Vec<u8>,
    /// Whether its end was seen.
    ended: bool,
}

impl Decoder {
    fn push(&mut self, data: &[u8]) -> Result<Bytes, BodyError> {
        self.held.extend(data.iter().filter(|b| !b.is_ascii_whitespace()));
        let whole = self.held.len() / 4 * 4;
        if whole == 0 {
            return Ok(Bytes::new());
        }
        let rest = self.held.split_off(whole);
        let letters = std::mem::replace(&mut self.held, rest);
        if self.ended {
            return Err(BodyError::Malformed);
        }
        self.ended = letters.ends_with(b"=");
        STANDARD.decode(&letters).map(Bytes::from).map_err(|_| BodyError::Malformed)
    }

    fn end(&self) -> Result<(), BodyError> {
        if self.held.is_empty() { Ok(()) } else { Err(BodyError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str, frame: usize) -> Form {
        let frames: Vec<_> = text.as_bytes().chunks(frame).map(|f| Ok(Bytes::copy_from_slice(f))).collect();
        Form::new("multipart/form-data; boundary=b", Box::pin(stream::iter(frames))).expect("a boundary")
    }

    async fn read(form: &Form, encoding: Encoding) -> Result<Vec<u8>, BodyError> {
        let (mut frames, mut bytes) = (form.bytes(encoding), Vec::new());
        while let Some(frame) = frames.next().await {
            bytes.extend_from_slice(&frame?);
        }
        Ok(bytes)
    }

    const PART: &str = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbytes\r\n";

    #[tokio::test]
    async fn a_part_has_ended_when_it_is_known_what_follows() {
        for frame in [1, 3, 1000] {
            let whole = form(&format!("{PART}{PART}--b--"), frame);
            for _ in 0..2 {
                assert_eq!(whole.head().await.expect("a head").expect("a part").filename.as_deref(), Some("a"));
                assert_eq!(read(&whole, Encoding::Plain).await.expect("whole"), b"bytes");
            }
            assert!(whole.head().await.expect("whole").is_none());
            for rest in ["", "--b", "--b\r\n", "--b\r\nContent-Disp", "--bx"] {
                let cut = form(&format!("{PART}{rest}"), frame);
                cut.head().await.expect("a head");
                assert!(read(&cut, Encoding::Plain).await.is_err(), "{rest} {frame}");
            }
            // A part that nobody reads is passed over.
            let unread = form(&format!("{PART}{PART}--b--"), frame);
            assert!(unread.head().await.expect("a head").is_some() && unread.head().await.expect("a head").is_some());
            assert!(unread.head().await.expect("whole").is_none());
        }
    }

    #[tokio::test]
    async fn base64_is_taken_apart() {
        for (text, wanted) in
            [("aGVs\r\nbG8h", Some("hello!")), ("aGk=", Some("hi")), ("aGk", None), ("a*==", None), ("aGk=aGk=", None)]
        {
            let part = PART.replace("bytes", text);
            for frame in [1, 5, 1000] {
                let form = form(&format!("{part}--b--"), frame);
                form.head().await.expect("a head");
                let found = read(&form, Encoding::Base64).await.ok().map(|b| String::from_utf8(b).expect("a text"));
                assert_eq!(found.as_deref(), wanted, "{text} {frame}");
            }
        }
    }
}
