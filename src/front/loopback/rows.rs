//! Lists: held and sent whole while they are short, sent as they are read when they are long.
//!
//! **Invariant:** what is held of a list does not grow with it. A long one that cannot be read to its end is cut, and never
//! looks whole.

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;

use super::Asked;
use super::error::Result;
use super::format::Format;
use super::tree::Tree;
use crate::config::limits::LOOPBACK_ROWS_HELD_MAX;
use crate::store::Error;

/// Where the lines of a list come from.
pub(super) trait Rows: Send + Sized + 'static {
    /// Some more of them; `None`: there are no more.
    fn next(&mut self) -> impl Future<Output = std::result::Result<Option<Vec<Tree>>, Error>> + Send;
}

/// Sends a list.
///
/// # Errors
/// Why its beginning cannot be read.
pub(super) async fn send<R: Rows>(
    asked: &Asked,
    format: Format,
    mut rows: R,
    refused: impl FnOnce(Error) -> Result<Vec<Tree>>,
) -> Result<Response> {
    let mut held = Vec::new();
    loop {
        match rows.next().await {
            Ok(Some(more)) => held.extend(more),
            Ok(None) => return Ok(format.answer(asked, &Tree::List(held))),
            Err(error) => return Ok(format.answer(asked, &Tree::List(refused(error)?))),
        }
        if held.len() > LOOPBACK_ROWS_HELD_MAX {
            break;
        }
    }
    let mut answer = Response::new(Body::empty());
    format.tell(answer.headers_mut());
    let id = asked.facts.id().as_str().to_owned();
    let (before, between, behind) = format.frame();
    let first = lines(&format, &held, between, &before);
    let state = Some((rows, Some(first)));
    let text = stream::unfold(state, move |state| {
        let (format, id) = (format.clone(), id.clone());
        async move {
            let (mut rows, first) = state?;
            if let Some(first) = first {
                return Some((Ok(first), Some((rows, None))));
            }
            match rows.next().await {
                Ok(Some(more)) if more.is_empty() => Some((Ok(String::new()), Some((rows, None)))),
                Ok(Some(more)) => Some((Ok(lines(&format, &more, between, between)), Some((rows, None)))),
                Ok(None) => Some((Ok(behind.to_owned()), None)),
                Err(error) => {
                    tracing::error!(request = id, %error, "a list is cut");
                    Some((Err(error), None))
                }
            }
        }
    });
    *answer.body_mut() = Body::from_stream(text);
    Ok(answer)
}

fn lines(format: &Format, rows: &[Tree], between: &str, before: &str) -> String {
    let mut text = before.to_owned();
    for (at, row) in rows.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { between });
        text.push_str(&format.line(row));
    }
    text
}
