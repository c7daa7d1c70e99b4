//! What a request brings: parameters from query and body, and contents.
//!
//! The body of a PUT is contents whatever it says it is, as clients upload JSON so; that of a POST is parameters, unless
//! it is of another type and goes to `@write`.
//!
//! **Invariant:** a body of parameters is in memory within a limit, and few large ones at a time; contents beyond that are
//! streamed. What a form says behind its file must not change where the file goes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, header};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::contents::{Contents, Turn};
use super::error::{Refusal, Result};
use super::meta;
use super::params::Params;
use super::route::Function;
use crate::config::limits::{ITEM_BODY_BYTES_FREE, ITEM_BODY_BYTES_MAX, ITEM_BODY_WAIT_SECONDS_MAX, ITEM_FIELDS_MAX};
use crate::front::form::{Event, Head, Parser};
use crate::front::turn;
use crate::front::wire;
use crate::store::BodyError;
use crate::store::request::{Behind, Frames};

/// What was brought.
pub(super) struct Input {
    pub(super) params: Params,
    pub(super) contents: Option<Contents>,
    /// The type that the contents came with.
    pub(super) kind: Option<String>,
    /// The name of the file that was sent.
    pub(super) filename: Option<String>,
    /// For as long as a large body is in memory.
    turn: Turn,
}

impl Input {
    fn of(params: Params) -> Self {
        Self { params, contents: None, kind: None, filename: None, turn: None }
    }
}

/// Reads what a request brings.
pub(super) async fn read(
    function: Function,
    (method, headers, query): (&Method, &HeaderMap, Option<&str>),
    body: Body,
    turns: &Arc<Semaphore>,
) -> Result<Input> {
    let queried = of_query(query)?;
    if *method == Method::PUT {
        let kind = meta::sent_type(headers).filter(|kind| bare(kind) != "application/x-www-form-urlencoded");
        return Ok(Input { contents: Some(stream_of(headers, body)), kind, ..Input::of(queried) });
    }
    if *method != Method::POST {
        return Ok(Input::of(queried));
    }
    let kind = meta::sent_type(headers).unwrap_or_default();
    match bare(&kind).as_str() {
        "multipart/form-data" => of_form(&kind, (wire::frames(body), wire::length(headers)), queried).await,
        "application/x-www-form-urlencoded" => {
            let (text, turn) = collect(wire::frames(body), turns).await?;
            let text = std::str::from_utf8(&text).map_err(|_| Refusal::new(422, "invalid_parameter"))?;
            let params = Params::of_pairs(wire::parameters(Some(text)))?.or(queried);
            Ok(with_contents(Input { turn, ..Input::of(params) }))
        }
        kind if kind != "application/json" && function == Function::Write => {
            let contents = stream_of(headers, body);
            let empty = contents.is_empty() && headers.get(header::CONTENT_TYPE).is_none();
            Ok(Input { contents: Some(contents).filter(|_| !empty), ..Input::of(queried) })
        }
        _ => {
            let (text, turn) = collect(wire::frames(body), turns).await?;
            if text.is_empty() {
                return Ok(Input::of(queried));
            }
            let map: Map<String, Value> =
                serde_json::from_slice(&text).map_err(|_| Refusal::new(422, "invalid_json"))?;
            Ok(with_contents(Input { turn, ..Input::of(Params::of_map(map).or(queried)) }))
        }
    }
}

/// A type without its parameters.
fn bare(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The parameters of a query; one that is a JSON object as a whole is that.
fn of_query(query: Option<&str>) -> Result<Params> {
    let object = query.and_then(wire::decode).filter(|text| text.starts_with('{'));
    match object.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok()) {
        Some(map) => Ok(Params::of_map(map)),
        None => Params::of_pairs(wire::parameters(query)),
    }
}

/// Contents that are a parameter.
fn with_contents(mut input: Input) -> Input {
    match input.params.take("contents") {
        None => {}
        Some(Value::String(text)) => input.contents = Some(Contents::Whole(text.into(), input.turn.clone())),
        Some(_) => input.params.wrong("contents"),
    }
    input
}

fn stream_of(headers: &HeaderMap, body: Body) -> Contents {
    // By HTTP/2 a body needs no header.
    let length = wire::length(headers).or(http_body::Body::is_end_stream(&body).then_some(0));
    Contents::Stream { frames: wire::frames(body), length, around: None, behind: None }
}

/// A body in memory.
async fn collect(mut frames: Frames, turns: &Arc<Semaphore>) -> Result<(Vec<u8>, Turn)> {
    let (mut all, mut turn) = (Vec::new(), None);
    while let Some(frame) = frames.next().await {
        let frame = frame?;
        if all.len() + frame.len() > ITEM_BODY_BYTES_MAX {
            return Err(BodyError::TooLarge.into());
        }
        if turn.is_none() && all.len() + frame.len() > ITEM_BODY_BYTES_FREE {
            let permit = turn::turn(turns, ITEM_BODY_WAIT_SECONDS_MAX).await.ok_or_else(Refusal::busy)?;
            turn = Some(Arc::new(permit));
        }
        all.extend_from_slice(&frame);
    }
    Ok((all, turn))
}

/// A form on its way.
struct Form {
    parser: Parser,
    frames: Frames,
    /// How long it is, if that was said.
    around: Option<u64>,
}

impl Form {
    async fn next(&mut self) -> std::result::Result<Event, BodyError> {
        loop {
            match self.parser.next().map_err(|_| BodyError::Malformed)? {
                Event::More => match self.frames.next().await {
                    Some(frame) => self.parser.push(&frame?),
                    None => return Err(BodyError::Incomplete),
                },
                event => return Ok(event),
            }
        }
    }

    /// The rest of a field.
    async fn field(&mut self) -> std::result::Result<String, BodyError> {
        let mut bytes = Vec::new();
        loop {
            match self.next().await? {
                Event::Data(data) if bytes.len() + data.len() > ITEM_BODY_BYTES_FREE => {
                    return Err(BodyError::TooLarge);
                }
                Event::Data(data) => bytes.extend_from_slice(&data),
                Event::PartEnd => return String::from_utf8(bytes).map_err(|_| BodyError::Malformed),
                Event::Part(_) | Event::End | Event::More => return Err(BodyError::Malformed),
            }
        }
    }
}

/// Reads a form up to its file; the file is streamed.
async fn of_form(kind: &str, (frames, around): (Frames, Option<u64>), queried: Params) -> Result<Input> {
    let malformed = || Refusal::new(422, "invalid_form");
    let mut form = Form { parser: Parser::new(kind).ok_or_else(malformed)?, frames, around };
    let mut fields: Vec<(String, String)> = Vec::new();
    loop {
        match form.next().await {
            Ok(Event::Part(head)) if head.filename.is_some() => {
                let params = Params::of_pairs(fields.into_iter())?.or(queried);
                return Ok(of_file(form, head, params));
            }
            Ok(Event::Part(head)) if fields.len() < ITEM_FIELDS_MAX => {
                let text = form.field().await.map_err(|error| match error {
                    BodyError::Malformed => malformed(),
                    error => error.into(),
                })?;
                fields.push((head.name, text));
            }
            Ok(Event::End) => {
                return Ok(with_contents(Input::of(Params::of_pairs(fields.into_iter())?.or(queried))));
            }
            Ok(_) | Err(BodyError::Malformed) => return Err(malformed()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn of_file(form: Form, head: Head, params: Params) -> Input {
    let around = form.around;
    let said: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let told = Arc::clone(&said);
    let behind: Behind = Box::new(move |content| {
        let fields = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
        let mut params = Params::of_pairs(fields.into_iter()).map_err(|_| BodyError::Malformed)?;
        let change = meta::Said::of(&mut params);
        params.check().map_err(|_| BodyError::Malformed)?;
        change.map(|change| change.apply(content)).map_err(|_| BodyError::Malformed)
    });
    let frames: Frames = Box::pin(stream::unfold(Some((form, told, true)), |state| async move {
        let (mut form, told, mut inside) = state?;
        loop {
            match form.next().await {
                Ok(Event::Data(data)) if inside => return Some((Ok(data), Some((form, told, true)))),
                Ok(Event::PartEnd) if inside => inside = false,
                Ok(Event::Part(head)) if !inside => match trailing(&mut form, head, &told).await {
                    Ok(()) => {}
                    Err(error) => return Some((Err(error), None)),
                },
                Ok(Event::End) if !inside => return None,
                Ok(_) => return Some((Err(BodyError::Malformed), None)),
                Err(error) => return Some((Err(error), None)),
            }
        }
    }));
    let filename = head.filename.map(|name| plain_name(&name).to_owned()).filter(|name| !name.is_empty());
    let contents = Contents::Stream { frames, length: None, around, behind: Some(behind) };
    Input { contents: Some(contents), kind: head.content_type, filename, ..Input::of(params) }
}

/// A field behind the file: one that says where the file goes came too late.
async fn trailing(
    form: &mut Form,
    head: Head,
    told: &Mutex<Vec<(String, String)>>,
) -> std::result::Result<(), BodyError> {
    if head.filename.is_some() || ["path", "name", "type", "decode"].contains(&head.name.as_str()) {
        return Err(BodyError::Malformed);
    }
    let text = form.field().await?;
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= ITEM_FIELDS_MAX {
        return Err(BodyError::Malformed);
    }
    told.push((head.name, text));
    Ok(())
}

/// What browsers send as the name of a file may be a path.
fn plain_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or_default()
}
