//! A form: its fields, read before anything is decided, and its file, which streams.
//!
//! **Invariant:** what stands before the file is within the limits before it is kept; the file is given out only as far
//! as it came whole, and fails if it is longer or shorter than may be.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use s3s::Body;

use crate::config::limits::{
    BODY_IDLE_SECONDS_MAX, FORM_FIELDS_BYTES_MAX, FORM_FIELDS_MAX, FORM_REST_BYTES_MAX, PUT_BYTES_MAX,
};
use crate::front::form::{Event, Head, Malformed, Parser};
use crate::front::s3::error::{self, Refusal, Result};
use crate::front::s3::exchange::Exchange;
use crate::store::BodyError;
use crate::store::request::Frames;

/// The fields before the file, by name in lower case, each once, in the order of the form.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a field, or gives one another value.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

/// A form up to the first byte of its file.
pub(super) struct Form {
    /// What stands before the file.
    pub(super) fields: Fields,
    /// The name of the file as the client has it.
    pub(super) filename: Option<String>,
    /// The file.
    pub(super) file: File,
}

/// A file that is still on its way.
pub(super) struct File {
    body: Body,
    parser: Parser,
}

/// Why a form cannot be read on.
enum Broken {
    Framing,
    Body(BodyError),
}

impl From<Malformed> for Broken {
    fn from(Malformed: Malformed) -> Self {
        Self::Framing
    }
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Framing | Broken::Body(BodyError::Incomplete) => malformed(),
            Broken::Body(cause) => error::body(cause),
        }
    }
}

/// 400 MalformedPOSTRequest.
pub(super) fn malformed() -> Refusal {
    let message = "The body of your POST request is not well-formed multipart/form-data.";
    Refusal::new(400, "MalformedPOSTRequest", message)
}

fn too_much() -> Refusal {
    let message = "Your POST request fields preceding the upload file were too large.";
    Refusal::new(400, "MaxPostPreDataLengthExceeded", message)
        .with("MaxPostPreDataLengthBytes", FORM_FIELDS_BYTES_MAX.to_string())
}

/// Reads a form up to its file.
pub(super) async fn read(body: Body, parser: Parser) -> Result<Form> {
    let mut file = File { body, parser };
    let mut fields = Fields::default();
    let mut bytes = 0;
    loop {
        match file.event().await? {
            Event::Part(Head { name, filename, .. }) if name.eq_ignore_ascii_case("file") => {
                return Ok(Form { fields, filename, file });
            }
            Event::Part(Head { name, filename, .. }) => {
                let name = name.to_ascii_lowercase();
                bytes += name.len() + filename.map_or(0, |filename| filename.len());
                if fields.0.len() == FORM_FIELDS_MAX || bytes > FORM_FIELDS_BYTES_MAX {
                    return Err(too_much());
                }
                if fields.get(&name).is_some() {
                    return Err(Refusal::argument("field", &name, "A field of the form was sent more than once."));
                }
                let value = file.value(&mut bytes).await?;
                fields.0.push((name, value));
            }
            Event::Data(_) | Event::PartEnd | Event::More => return Err(malformed()),
            Event::End => {
                return Err(Refusal::argument("file", "0", "POST requires exactly one file upload per request."));
            }
        }
    }
}

impl File {
    /// The value of a field whose head was read.
    async fn value(&mut self, bytes: &mut usize) -> Result<String> {
        let mut value = Vec::new();
        loop {
            match self.event().await? {
                Event::Data(data) => {
                    *bytes += data.len();
                    if *bytes > FORM_FIELDS_BYTES_MAX {
                        return Err(too_much());
                    }
                    value.extend_from_slice(&data);
                }
                _ => return String::from_utf8(value).map_err(|_| malformed()),
            }
        }
    }

    /// The next event; never [`Event::More`].
    async fn event(&mut self) -> std::result::Result<Event, Broken> {
        loop {
            match self.parser.next()? {
                Event::More => {
                    let frame = frame(&mut self.body).await.map_err(Broken::Body)?;
                    self.parser.push(&frame.ok_or(Broken::Body(BodyError::Incomplete))?);
                }
                event => return Ok(event),
            }
        }
    }

    /// The bytes of the file, of which there must be so many. Why they fail is left in the exchange.
    pub(super) fn frames(self, sizes: RangeInclusive<u64>, exchange: Exchange) -> Frames {
        Box::pin(stream::unfold(Some((self, 0)), move |state| {
            let (sizes, exchange) = (sizes.clone(), exchange.clone());
            async move {
                let (mut file, seen) = state?;
                match file.next(seen, &sizes).await {
                    Ok(Some(data)) => {
                        let seen = seen + data.len() as u64;
                        Some((Ok(data), Some((file, seen))))
                    }
                    Ok(None) => None,
                    Err((refusal, error)) => {
                        exchange.refuse(refusal);
                        Some((Err(error), None))
                    }
                }
            }
        }))
    }

    async fn next(
        &mut self,
        seen: u64,
        sizes: &RangeInclusive<u64>,
    ) -> std::result::Result<Option<Bytes>, (Refusal, BodyError)> {
        let told = |broken| match broken {
            Broken::Framing => (malformed(), BodyError::Malformed),
            Broken::Body(cause) => (error::body(cause), cause),
        };
        match self.event().await.map_err(told)? {
            Event::Data(data) if seen + data.len() as u64 > *sizes.end() => {
                Err((too_large(seen + data.len() as u64, *sizes.end()), BodyError::TooLarge))
            }
            Event::Data(data) => Ok(Some(data)),
            _ if seen < *sizes.start() => Err((too_small(seen, *sizes.start()), BodyError::Malformed)),
            _ => self.finish().await.map(|()| None).map_err(told),
        }
    }

    /// What follows the file counts for nothing, but it must come, or the form was cut.
    async fn finish(&mut self) -> std::result::Result<(), Broken> {
        self.event().await?;
        let mut rest = 0;
        while let Some(frame) = frame(&mut self.body).await.map_err(Broken::Body)? {
            rest += frame.len();
            if rest > FORM_REST_BYTES_MAX {
                return Err(Broken::Framing);
            }
        }
        Ok(())
    }
}

/// The sizes that a file may have without a policy.
pub(super) const ANY_SIZE: RangeInclusive<u64> = 0..=PUT_BYTES_MAX;

fn too_large(size: u64, most: u64) -> Refusal {
    Refusal::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .with("ProposedSize", size.to_string())
        .with("MaxSizeAllowed", most.to_string())
}

fn too_small(size: u64, least: u64) -> Refusal {
    Refusal::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        .with("ProposedSize", size.to_string())
        .with("MinSizeAllowed", least.to_string())
}

async fn frame(body: &mut Body) -> std::result::Result<Option<Bytes>, BodyError> {
    let idle = Duration::from_secs(BODY_IDLE_SECONDS_MAX);
    loop {
        match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(BodyError::Timeout),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyError::Gone),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::front::facts::RequestFacts;

    fn part(name: &str, body: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
    }

    async fn form(text: String) -> std::result::Result<Form, String> {
        let parser = Parser::new("multipart/form-data; boundary=b").expect("a boundary");
        read(Body::from(text), parser).await.map_err(|refusal| refusal.code.into_owned())
    }

    async fn file(text: String, sizes: RangeInclusive<u64>) -> std::result::Result<Vec<u8>, String> {
        let exchange = Exchange::new(RequestFacts::default());
        let frames = form(text).await?.file.frames(sizes, exchange.clone());
        let frames: Vec<_> = frames.collect().await;
        match exchange.take_refusal() {
            Some(refusal) => {
                assert!(frames.last().is_some_and(|frame| frame.is_err()));
                Err(refusal.code.into_owned())
            }
            None => Ok(frames.into_iter().flat_map(|frame| frame.expect("a frame")).collect()),
        }
    }

    #[tokio::test]
    async fn fields_are_bounded_before_they_are_kept() {
        let end = format!("{}--b--", part("file", "x"));
        let many: String = (0..=FORM_FIELDS_MAX).map(|n| part(&n.to_string(), "")).collect();
        for (fields, code) in [
            (part("Key", "k"), None),
            (part("a", &"x".repeat(FORM_FIELDS_BYTES_MAX - 1)), None),
            (part("a", &"x".repeat(FORM_FIELDS_BYTES_MAX)), Some("MaxPostPreDataLengthExceeded")),
            (part("a", &"x".repeat(9000)) + &part("b", &"x".repeat(12_000)), Some("MaxPostPreDataLengthExceeded")),
            (many, Some("MaxPostPreDataLengthExceeded")),
            (part("a", "1") + &part("A", "2"), Some("InvalidArgument")),
        ] {
            let read = form(fields + &end).await;
            assert_eq!(read.err().as_deref(), code);
        }
        assert_eq!(form(part("key", "k") + "--b--").await.err().as_deref(), Some("InvalidArgument"));
        assert_eq!(form(part("key", "k")).await.err().as_deref(), Some("MalformedPOSTRequest"));
        let read = form(part("kEy", "k") + &end).await.expect("a form");
        assert_eq!(read.fields.get("key"), Some("k"));
    }

    #[tokio::test]
    async fn a_file_is_whole_and_within_its_sizes_or_fails() {
        let whole = format!("{}--b--", part("file", "12345"));
        let after = format!("{}{}--b--\r\nepilogue", part("file", "12345"), part("after", "x"));
        let long = format!("{}--b--{}", part("file", "12345"), "x".repeat(FORM_REST_BYTES_MAX + 1));
        for (text, sizes, wanted) in [
            (whole.clone(), ANY_SIZE, Ok("12345")),
            (after, ANY_SIZE, Ok("12345")),
            (whole.clone(), 5..=5, Ok("12345")),
            (whole.clone(), 0..=4, Err("EntityTooLarge")),
            (whole.clone(), 6..=9, Err("EntityTooSmall")),
            (whole[..whole.len() - 2].to_owned(), ANY_SIZE, Err("IncompleteBody")),
            (whole[..whole.len() - 8].to_owned(), ANY_SIZE, Err("IncompleteBody")),
            (part("file", "12345") + "--bad", ANY_SIZE, Err("MalformedPOSTRequest")),
            (part("file", "") + "--b--", ANY_SIZE, Ok("")),
        ] {
            let wanted = wanted.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned);
            assert_eq!(file(text.clone(), sizes).await, wanted, "{text:.80}");
        }
        // One frame holds it all here, so what is behind the end of the form came with it.
        assert_eq!(file(long, ANY_SIZE).await.as_deref(), Ok(&b"12345"[..]));
    }
}
