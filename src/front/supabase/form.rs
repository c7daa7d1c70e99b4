//! Uploads as forms: one file, and fields before or behind it that speak of it.
//!
//! **Invariant:** the file is streamed; fields are few and short; what stands behind the file is read to the end of the
//! form before the file counts.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};

use super::error::{Refusal, Result};
use super::meta;
use crate::config::limits::{DOCUMENT_BYTES_MAX, UPLOAD_FIELDS_MAX};
use crate::front::form::{Event, Head, Parser};
use crate::model::object::Content;
use crate::store::BodyError;
use crate::store::request::{Behind, Frames};

/// A file with what its form says about it.
pub(super) struct Form {
    /// The bytes.
    pub(super) frames: Frames,
    /// What is said so far.
    pub(super) content: Content,
    /// Adds what is said behind the bytes.
    pub(super) behind: Behind,
}

/// Fields as they were sent.
#[derive(Debug, Default)]
struct Said {
    fields: Vec<(String, String)>,
    /// The name of the field that is being read, and its bytes.
    open: Option<(String, Vec<u8>)>,
}

impl Said {
    fn begin(&mut self, head: Head) -> std::result::Result<(), BodyError> {
        if self.fields.len() >= UPLOAD_FIELDS_MAX || head.filename.is_some() {
            return Err(BodyError::Malformed);
        }
        self.open = Some((head.name, Vec::new()));
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> std::result::Result<(), BodyError> {
        let Some((_, bytes)) = &mut self.open else { return Ok(()) };
        if bytes.len() + data.len() > DOCUMENT_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(data);
        Ok(())
    }

    fn end(&mut self) -> std::result::Result<(), BodyError> {
        let Some((name, bytes)) = self.open.take() else { return Ok(()) };
        self.fields.push((name, String::from_utf8(bytes).map_err(|_| BodyError::Malformed)?));
        Ok(())
    }

    /// Adds what is said to what is known.
    fn tell(&self, content: &mut Content) -> Result<()> {
        for (name, text) in &self.fields {
            match name.as_str() {
                "cacheControl" => {
                    let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
                    let text =
                        if plain { text.as_str() } else { return Err(Refusal::invalid("Invalid cacheControl")) };
                    content.cache_control = Some(format!("max-age={text}"));
                }
                "contentEncoding" if meta::is_token(text) => content.encoding = Some(text.clone()),
                "contentType" => content.content_type = Some(meta::media_type(text)?),
                "metadata" | "userMetadata" => {
                    if let Some(document) = meta::document(text)? {
                        meta::describe(content, document);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The rest of a form, from its file on.
struct Rest {
    body: Frames,
    parser: Parser,
    said: Arc<Mutex<Said>>,
    in_file: bool,
}

impl Rest {
    /// The next bytes of the file; `None`: the form has ended.
    async fn next(&mut self) -> std::result::Result<Option<bytes::Bytes>, BodyError> {
        loop {
            let event = self.parser.next().map_err(|_| BodyError::Malformed)?;
            match event {
                Event::Data(data) if self.in_file => return Ok(Some(data)),
                Event::PartEnd if self.in_file => self.in_file = false,
                Event::More => match self.body.next().await {
                    Some(frame) => self.parser.push(&frame?),
                    None => return Err(BodyError::Incomplete),
                },
                Event::End => return Ok(None),
                event => {
                    let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                    match event {
                        Event::Part(head) => said.begin(head)?,
                        Event::Data(data) => said.data(&data)?,
                        Event::PartEnd => said.end()?,
                        Event::More | Event::End => {}
                    }
                }
            }
        }
    }
}

/// Reads a form up to its file.
pub(super) async fn read(content_type: &str, mut body: Frames, mut content: Content) -> Result<Form> {
    let nothing = || Refusal::invalid("No content provided");
    let mut parser = Parser::new(content_type).ok_or_else(|| Refusal::media_type("Invalid Content-Type header"))?;
    let mut said = Said::default();
    let file = loop {
        let broken = |error: BodyError| match error {
            BodyError::TooLarge => Refusal::too_large(),
            _ => Refusal::invalid("The form is malformed"),
        };
        match parser.next().map_err(|_| nothing())? {
            Event::Part(head) if head.filename.is_some() => break head,
            Event::Part(head) => said.begin(head).map_err(broken)?,
            Event::Data(data) => said.data(&data).map_err(broken)?,
            Event::PartEnd => said.end().map_err(broken)?,
            Event::End => return Err(nothing()),
            Event::More => match body.next().await {
                Some(frame) => parser.push(&frame.map_err(crate::store::Error::from)?),
                None => return Err(nothing()),
            },
        }
    };
    content.content_type = Some(match &file.content_type {
        Some(kind) => meta::media_type(kind)?,
        None => super::row::UNTYPED.to_owned(),
    });
    content.cache_control = Some(super::row::UNCACHED.to_owned());
    said.tell(&mut content)?;
    let said = Arc::new(Mutex::new(Said::default()));
    let rest = Rest { body, parser, said: Arc::clone(&said), in_file: true };
    let frames = stream::unfold(Some(rest), |rest| async move {
        let mut rest = rest?;
        match rest.next().await {
            Ok(Some(data)) => Some((Ok(data), Some(rest))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let behind: Behind = Box::new(move |mut content| {
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.tell(&mut content).map_err(|_| BodyError::Malformed)?;
        Ok(content)
    });
    Ok(Form { frames: Box::pin(frames), content, behind })
}
