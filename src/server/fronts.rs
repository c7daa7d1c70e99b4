//! The fronts as listeners serve them: their bodies boxed, and how each says that a request failed outside of it.
//!
//! **Invariant:** an answer made here holds the request id and nothing else of the inside.

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;

use crate::front::facts::RequestFacts;
use crate::front::ops::{self, PeerAddress};
use crate::front::s3::S3Front;
use crate::server::exchange::{Answer, Front, Peer, RequestBody};

/// The S3 front, which owns every path of its listener.
#[derive(Debug)]
pub struct S3(pub S3Front);

impl Front for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    async fn answer(&self, request: Request<RequestBody>) -> Answer {
        self.0.handle(request).await.map(|body| body.map_err(Into::into).boxed_unsync())
    }

    fn failure(&self, status: StatusCode, facts: &RequestFacts) -> Answer {
        let (code, message) = match status {
            StatusCode::URI_TOO_LONG => ("URITooLong", "The URI of the request is too long."),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ("RequestHeaderSectionTooLarge", "Your request headers exceed the maximum allowed size.")
            }
            StatusCode::BAD_REQUEST => ("InvalidRequest", "The framing of the request is not plain."),
            _ => ("InternalError", "We encountered an internal error. Please try again."),
        };
        let id = facts.id().as_str();
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message><RequestId>{id}</RequestId></Error>"
        );
        let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
        if let Ok(id) = header::HeaderValue::from_str(id) {
            answer.headers_mut().insert("x-amz-request-id", id);
        }
        answer
    }
}

/// The routes of the REST listener.
#[derive(Debug)]
pub struct Rest(pub Router);

impl Front for Rest {
    fn name(&self) -> &'static str {
        "rest"
    }

    async fn answer(&self, mut request: Request<RequestBody>) -> Answer {
        if let Some(Peer(address)) = request.extensions().get::<Peer>().copied() {
            request.extensions_mut().insert(PeerAddress(address.ip()));
        }
        let router = self.0.clone();
        match router.oneshot(request.map(axum::body::Body::new)).await {
            Ok(answer) => answer.map(boxed),
            Err(never) => match never {},
        }
    }

    fn failure(&self, status: StatusCode, _: &RequestFacts) -> Answer {
        ops::message(status).map(boxed)
    }
}

fn boxed(body: axum::body::Body) -> http_body_util::combinators::UnsyncBoxBody<Bytes, super::body::BoxError> {
    body.map_err(Into::into).boxed_unsync()
}
