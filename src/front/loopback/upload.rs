//! Uploads: forms of any number of files and fields.
//!
//! **Invariant:** a file goes to the store as it comes, and is there when it and what follows it in the form are whole, or
//! not at all. What is held until the answer (fields, names) is bounded, whatever the form is.

use std::collections::BTreeMap;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use serde_json::{Map, Value};

use super::error::{Attempt, Refusal, Result, broken, too_large};
use super::form::{Encoding, Form};
use super::route::Route;
use super::tree::Tree;
use super::who::Known;
use super::{Asked, Loopback, names};
use crate::config::NameConflict;
use crate::config::limits::{LOOPBACK_FIELDS_BYTES_MAX, LOOPBACK_PARTS_MAX, METADATA_BYTES_MAX};
use crate::front::form::Head;
use crate::front::wire::{conditions, frames, length, limited};
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::id::{hex, random};
use crate::model::name::BucketName;
use crate::model::object::{Content, Object};
use crate::store::request::{Given, Incoming, PutRequest};
use crate::store::{BodyError, Error};

/// What is told of a form, in the order in which its names came.
#[derive(Debug, Default)]
struct Told {
    files: Vec<(String, Vec<Tree>)>,
    fields: Vec<(String, Vec<Tree>)>,
    parts: usize,
    held: usize,
}

impl Told {
    /// Counts a part, and what is held of it.
    fn count(&mut self, bytes: usize) -> std::result::Result<(), BodyError> {
        self.held = self.held.saturating_add(bytes);
        if self.parts > LOOPBACK_PARTS_MAX || self.held > LOOPBACK_FIELDS_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        Ok(())
    }

    fn tree(self) -> Tree {
        let members = |found: Vec<(String, Vec<Tree>)>| {
            Tree::Object(found.into_iter().map(|(name, values)| (name, Tree::List(values))).collect())
        };
        Tree::object([("result", Tree::object([("files", members(self.files)), ("fields", members(self.fields))]))])
    }
}

fn add(to: &mut Vec<(String, Vec<Tree>)>, name: &str, value: Tree) {
    match to.iter_mut().find(|(known, _)| known == name) {
        Some((_, values)) => values.push(value),
        None => to.push((name.to_owned(), vec![value])),
    }
}

/// The name of a file as browsers send it: without the path in front of it, and without their escapes. `None`: it has none,
/// and the part is a field.
fn filename(head: &Head) -> Option<String> {
    let sent = head.filename.as_deref()?;
    let name = sent.rsplit('\\').next().unwrap_or(sent).replace("%22", "\"");
    let name = numbered(&name);
    (!name.is_empty()).then_some(name)
}

/// A text whose letters in numbers of four digits (`&#1234;`) are letters.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let digits = rest.get(at + 2..at + 6).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let letter = digits.filter(|_| rest.get(at + 6..at + 7) == Some(";"));
        let letter = letter.and_then(|digits| char::from_u32(digits.parse().ok()?));
        let (kept, next) = if letter.is_some() { (at, at + 7) } else { (at + 2, at + 2) };
        out.push_str(&rest[..kept]);
        out.extend(letter);
        rest = &rest[next..];
    }
    out + rest
}

/// A name that nobody has, with the extension of another.
fn unique(name: &str) -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    let extension = name.rfind('.').filter(|at| *at > 0).map_or("", |at| &name[at..]);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("{}{extension}", parts.join("-"))
}

/// User metadata that a program sends with a file: JSON in base64.
fn metadata(text: &str) -> Result<BTreeMap<String, String>> {
    let wrong = || Refusal::new(400, "The metadata is no object of texts, in JSON and base64");
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    let members = serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|_| wrong())?;
    let (mut user, mut left) = (BTreeMap::new(), METADATA_BYTES_MAX);
    for (name, value) in members {
        let Value::String(value) = value else { return Err(wrong()) };
        let plain = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) || value.chars().any(char::is_control) {
            return Err(wrong());
        }
        let rest = left.checked_sub(name.len() + value.len());
        left = rest.ok_or_else(|| Refusal::new(400, "The metadata is too large"))?;
        user.insert(name.to_ascii_lowercase(), value);
    }
    Ok(user)
}

/// The form of a request; `None`: it has no body.
fn form_of(asked: &Asked, body: Body) -> Result<Option<Form>> {
    let headers = &asked.head.headers;
    let empty = length(headers).unwrap_or(0) == 0 && !headers.contains_key(TRANSFER_ENCODING);
    // By HTTP/2 a body needs neither header.
    if empty && http_body::Body::is_end_stream(&body) {
        return Ok(None);
    }
    let bad = |what: String| Refusal::new(500, format!("bad content-type header, {what}"));
    let Some(kind) = asked.header(CONTENT_TYPE.as_str()) else { return Err(bad("no content-type".to_owned())) };
    if !kind.to_ascii_lowercase().contains("multipart") {
        return Err(bad(format!("unknown content-type: {kind}")));
    }
    let form = Form::new(kind, frames(body)).ok_or_else(|| bad("no multipart boundary".to_owned()))?;
    Ok(Some(form))
}

pub(super) async fn upload(front: &Loopback, asked: &Asked, route: &Route, known: &Known, body: Body) -> Result<Tree> {
    let container = names::container(&route.container)?;
    let nothing = || Refusal::new(400, "No file content uploaded");
    let Some(form) = form_of(asked, body)? else { return Err(nothing()) };
    let caller = front.at(known, &container).await;
    let caller = caller.map_err(|error| Attempt::change("open", format!("/{container}")).refused(error))?;
    let intake = Intake { front, asked, container, caller, form };
    let mut told = Told::default();
    while let Some(head) = intake.form.head().await.map_err(broken)? {
        told.parts += 1;
        let names = head.name.len() + head.filename.as_ref().map_or(0, String::len);
        told.count(names).map_err(broken)?;
        let encoding = Encoding::of(&head).ok_or_else(|| Refusal::new(500, "unknown transfer-encoding"))?;
        match filename(&head) {
            None => intake.field(&head, encoding, &mut told).await?,
            Some(name) => {
                let file = intake.file(&head, name, encoding, told.files.is_empty()).await?;
                add(&mut told.files, &head.name, file);
            }
        }
    }
    if told.files.is_empty() {
        return Err(nothing());
    }
    Ok(told.tree())
}

/// Where the parts of a form go.
struct Intake<'a> {
    front: &'a Loopback,
    asked: &'a Asked,
    container: BucketName,
    caller: Caller,
    form: Form,
}

impl Intake<'_> {
    async fn field(&self, head: &Head, encoding: Encoding, told: &mut Told) -> Result<()> {
        let (mut bytes, mut frames) = (Vec::new(), self.form.bytes(encoding));
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(broken)?;
            told.count(frame.len()).map_err(broken)?;
            bytes.extend_from_slice(&frame);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        add(&mut told.fields, &head.name, Tree::Text(text));
        Ok(())
    }

    /// The conditions of a write, which are those of one file.
    fn conditions(&self, first: bool) -> Result<Conditions> {
        let conditions = if self.asked.fuller { conditions(&self.asked.head.headers) } else { Conditions::default() };
        let conditions = Conditions { if_modified_since: None, if_unmodified_since: None, ..conditions };
        if !first && !conditions.is_empty() {
            return Err(Refusal::new(400, "Conditions go with one file"));
        }
        // Under a name that nobody has nothing is replaced, and so nobody needs the right to.
        let unique = self.asked.mount.name_conflict == NameConflict::MakeUnique && conditions.is_empty();
        Ok(if unique { Conditions { if_none_match: Some(TagMatch::Any), ..conditions } } else { conditions })
    }

    /// Stores a file, and tells of it.
    async fn file(&self, head: &Head, name: String, encoding: Encoding, first: bool) -> Result<Tree> {
        let mount = &self.asked.mount;
        let stored = match mount.name_conflict {
            NameConflict::Replace => name.clone(),
            NameConflict::MakeUnique => unique(&name),
        };
        let key = names::new_file(&stored)?;
        names::new_file(&name)?;
        let kind = head.content_type.clone();
        check_type(&mount.allowed_content_types, kind.as_deref())?;
        let user = match &head.metadata {
            Some(text) if self.asked.fuller => metadata(text)?,
            _ => BTreeMap::new(),
        };
        // What no header can carry is no type that could be told again.
        let content_type = kind.clone().filter(|kind| kind.bytes().all(|b| (b' '..=b'~').contains(&b)));
        let conditions = self.conditions(first)?;
        let conditional = !conditions.is_empty();
        let frames = limited(self.form.bytes(encoding), mount.max_file_size);
        let request = PutRequest {
            bucket: self.container.clone(),
            key,
            content: Content { content_type, user, ..Content::default() },
            given: Given::default(),
            conditions,
            body: Incoming { around: length(&self.asked.head.headers), ..Incoming::new(frames, None) },
        };
        let attempt = Attempt::change("open", format!("/{}/{stored}", self.container));
        let object = self.front.store.put(&self.caller, request).await.map_err(|error| match error {
            Error::Body(BodyError::TooLarge) => too_large(mount.max_file_size),
            Error::NoSuchKey if conditional => attempt.refused(Error::PreconditionFailed),
            error => attempt.refused(error),
        })?;
        Ok(self.told(head, &name, kind, &object))
    }

    fn told(&self, head: &Head, name: &str, kind: Option<String>, object: &Object) -> Tree {
        let mut tree = Tree::object([
            ("container", Tree::text(self.container.as_str())),
            ("name", Tree::text(object.key.as_str())),
            ("type", kind.map_or(Tree::Null, Tree::Text)),
            ("field", Tree::text(head.name.as_str())),
        ]);
        if object.key.as_str() != name {
            tree.push("originalFilename", Tree::text(name));
        }
        // LoopBack counts bytes as they come, and tells of none where none came.
        if object.size > 0 {
            tree.push("size", Tree::Number(object.size));
        }
        if self.asked.fuller {
            tree.push("etag", Tree::text(object.etag.as_str()));
        }
        tree
    }
}

/// Refuses a type that a mount does not take.
fn check_type(allowed: &[String], kind: Option<&str>) -> Result<()> {
    if allowed.is_empty() || kind.is_some_and(|kind| allowed.iter().any(|known| known == kind)) {
        return Ok(());
    }
    let kind = kind.unwrap_or("null");
    let message = format!("contentType \"{kind}\" is not allowed (Must be in [{}])", allowed.join(", "));
    Err(Refusal::new(500, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_read_as_browsers_send_them() {
        for (sent, name) in [
            ("a.txt", Some("a.txt")),
            ("C:\\dir\\win.txt", Some("win.txt")),
            ("q%22q.txt", Some("q\"q.txt")),
            ("&#1071;&#12;&#x;&#9999", Some("Я&#12;&#x;&#9999")),
            ("&#é123;", Some("&#é123;")),
            ("é.txt", Some("é.txt")),
            ("", None),
            ("dir\\", None),
        ] {
            let head = Head { filename: Some(sent.to_owned()), ..Head::default() };
            assert_eq!(filename(&head).as_deref(), name, "{sent}");
        }
        assert_eq!(filename(&Head::default()), None);
    }

    #[test]
    fn unique_names_keep_their_extension() {
        for (name, extension) in [("pic.tar.gz", ".gz"), ("bare", ""), (".hidden", ""), ("dot.", ".")] {
            let made = unique(name);
            assert!(made.len() == 36 + extension.len() && made.ends_with(extension), "{made}");
            assert_eq!((&made[14..15], made.matches('-').count()), ("4", 4), "{made}");
        }
        assert_ne!(unique("a"), unique("a"));
    }

    #[test]
    fn metadata_is_an_object_of_short_texts() {
        let read = |text: &str| metadata(&STANDARD.encode(text));
        assert_eq!(read(r#"{"A":"é"}"#).expect("metadata"), BTreeMap::from([("a".to_owned(), "é".to_owned())]));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(METADATA_BYTES_MAX));
        for text in ["", "[]", r#"{"a":1}"#, r#"{"a b":"c"}"#, r#"{"a":"b\n"}"#, r#"{"":"b"}"#, &long] {
            assert!(read(text).is_err(), "{text:.40}");
        }
        assert!(metadata("*").is_err());
    }

    #[test]
    fn types_are_compared_whole() {
        let allowed = vec!["text/plain".to_owned()];
        assert!(check_type(&allowed, Some("text/plain")).is_ok() && check_type(&[], None).is_ok());
        assert!(
            check_type(&allowed, Some("text/plain; charset=utf-8")).is_err() && check_type(&allowed, None).is_err()
        );
    }
}
