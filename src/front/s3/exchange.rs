//! What the layers and the handlers of one request share.
//!
//! s3s carries a code and a sentence of an error and nothing else; a refusal is therefore left here, and the response
//! layer writes the answer from it.
//!
//! **Invariant:** the first refusal of a request is the one that is answered.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Extensions, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode};

use super::encode::xml_safe;
use super::error::Refusal;
use crate::front::facts::RequestFacts;
use crate::model::caller::Caller;

/// One request and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    facts: RequestFacts,
    refusal: Arc<Mutex<Option<Refusal>>>,
    headers: Arc<Mutex<Vec<(HeaderName, HeaderValue)>>>,
    document: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Exchange {
    /// Of a request that begins.
    pub(super) fn new(facts: RequestFacts) -> Self {
        Self { facts, refusal: Arc::default(), headers: Arc::default(), document: Arc::default() }
    }

    /// The one that the request layer put into the extensions.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(|| Self::new(RequestFacts::default()))
    }

    /// What is known of the request.
    pub(super) fn facts(&self) -> &RequestFacts {
        &self.facts
    }

    /// Leaves a header of the answer for which s3s has no field, or that it would write otherwise.
    pub(super) fn add_header(&self, name: HeaderName, value: HeaderValue) {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).push((name, value));
    }

    /// The headers that were left.
    pub(super) fn take_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        std::mem::take(&mut *self.headers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves the body of the answer, a whole document in XML, where that of s3s would not be what S3 writes.
    pub(super) fn set_document(&self, document: Vec<u8>) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(document);
    }

    /// The body that was left, if one was.
    pub(super) fn take_document(&self) -> Option<Vec<u8>> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves a refusal for the response layer and makes the error that takes s3s there.
    pub(super) fn refuse(&self, refusal: Refusal) -> S3Error {
        if let Some(cause) = refusal.cause_text() {
            tracing::error!(request = self.facts.id().as_str(), cause, code = &*refusal.code, "a request failed");
        }
        let code = S3ErrorCode::from_bytes(refusal.code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
        let mut error = S3Error::new(code);
        error.set_status_code(refusal.status);
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
        error
    }

    /// The error of an answer that has begun: what the client is told of it is what s3s writes.
    pub(super) fn refuse_late(&self, refusal: Refusal) -> S3Error {
        let message = xml_safe(&refusal.message);
        let mut error = self.refuse(refusal);
        error.set_message(message);
        error.set_request_id(self.facts.id().as_str());
        error
    }

    /// What was refused, if anything was.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The caller that was verified.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    extensions.get::<Caller>().cloned().unwrap_or(Caller::ANONYMOUS)
}
