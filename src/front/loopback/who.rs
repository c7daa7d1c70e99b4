//! Who asks: the token of a request, in the four places that LoopBack looks for one, or nobody.
//!
//! **Invariant:** a token that does not count never makes more of a request than none would. What a mount lets in without
//! one is a caller like any other, about whom the store decides; it is let in to what is root's, buckets of users stay
//! theirs, and in a FileStore it is nobody.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, REFERER, USER_AGENT};

use super::error::{self, Attempt};
use super::route::Op;
use super::{Asked, Loopback};
use crate::config::LoopbackAccess;
use crate::front::bearer::{self, BearerError};
use crate::model::bucket::Bucket;
use crate::model::caller::{Caller, ROOT, User, Who};
use crate::model::context::RequestContext;
use crate::model::name::BucketName;
use crate::model::time::Clock;
use crate::store::Error;

/// Base 64 as programs send it, with or without its end.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A caller, and whether a token showed who it is.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) by_token: bool,
    /// Whether it is somebody whom the mount lets in.
    guest: bool,
}

impl Known {
    /// Nobody, in the same circumstances.
    fn stranger(&self) -> Caller {
        Caller { context: self.caller.context.clone(), ..Caller::ANONYMOUS }
    }
}

impl Loopback {
    /// Who asks.
    pub(super) async fn known(&self, asked: &Asked, op: Op) -> error::Result<Known> {
        let access = asked.mount.access;
        for text in texts(asked) {
            match bearer::caller(&self.store, &self.tokens, &text).await {
                Ok(caller) => {
                    asked.facts.set_caller(caller.id());
                    return Ok(Known { caller: caller.in_context(context(asked, op)), by_token: true, guest: false });
                }
                Err(BearerError::Store(error)) => return Err(Attempt::look(String::new()).refused(error)),
                Err(BearerError::Token(error)) => {
                    let refusal = error::token(error);
                    // One that counted once is told of everywhere; another one is no token.
                    if refusal.is_of_old_token() || access == LoopbackAccess::Token {
                        return Err(refusal);
                    }
                }
            }
        }
        let caller = match access {
            LoopbackAccess::Open if !op.reads() => Some(guest(ROOT, "readwrite")),
            LoopbackAccess::Open => Some(guest(Caller::ANONYMOUS.id(), "readonly")),
            LoopbackAccess::ReadOnly if op.reads() => Some(guest(Caller::ANONYMOUS.id(), "readonly")),
            LoopbackAccess::ReadOnly | LoopbackAccess::Token => None,
        };
        asked.facts.set_caller(Caller::ANONYMOUS.id());
        let guest = caller.is_some();
        let caller = caller.unwrap_or(Caller::ANONYMOUS).in_context(context(asked, op));
        Ok(Known { caller, by_token: false, guest })
    }

    /// Who asks about a container. In that of a user, or in a FileStore, nobody is a guest.
    pub(super) async fn at(&self, known: &Known, container: &BucketName) -> Result<Caller, Error> {
        if !known.guest {
            return Ok(known.caller.clone());
        }
        Ok(if self.store.takes_guests(container).await? { known.caller.clone() } else { known.stranger() })
    }

    /// Whether a container that the caller may list is shown to who asks: a FileStore to a guest if strangers see it.
    pub(super) async fn shows(&self, known: &Known, bucket: &Bucket) -> bool {
        if !known.guest || bucket.config.bound_service().is_none() {
            return true;
        }
        !matches!(self.store.head_bucket(&known.stranger(), &bucket.name).await, Err(Error::AccessDenied))
    }
}

/// Who is let in without a token, to what is root's: what it makes is that of `name`.
fn guest(name: &str, policy: &str) -> Caller {
    let user = User {
        name: name.to_owned(),
        display_name: name.to_owned(),
        email: None,
        groups: Vec::new(),
        policy: policy.to_owned(),
    };
    Who::User(Arc::new(user)).into()
}

/// The text that may be a token, and what it may be written in.
fn texts(asked: &Asked) -> Vec<String> {
    let shown = asked.parameter("access_token").or_else(|| asked.header("x-access-token"));
    if let Some(text) = shown.filter(|text| !text.is_empty()) {
        return vec![text.to_owned()];
    }
    let text = asked.header(AUTHORIZATION.as_str()).unwrap_or_default().trim();
    let behind = |word: &str| {
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| text[word.len()..].trim())
    };
    if let Some(rest) = behind("bearer ") {
        // LoopBack's programs write it in base 64; a token itself has dots, and is none.
        return vec![decoded(rest).unwrap_or_else(|| rest.to_owned())];
    }
    if let Some(rest) = behind("basic ") {
        let pair = decoded(rest).unwrap_or_default();
        let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
        let longer = if password.len() > user.len() { password } else { user };
        return if longer.is_empty() { Vec::new() } else { vec![longer.to_owned()] };
    }
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

fn decoded(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?;
    String::from_utf8(bytes).ok()
}

/// The circumstances of a request, as policies know them.
fn context(asked: &Asked, op: Op) -> RequestContext {
    let mut context = RequestContext {
        source_ip: asked.facts.peer(),
        secure: asked.facts.is_secure(),
        at: Some(Clock::now()),
        operation: op.name(),
        ..RequestContext::default()
    };
    for (name, key) in [(REFERER, "aws:referer"), (USER_AGENT, "aws:useragent")] {
        if let Some(value) = asked.header(name.as_str()) {
            context.values.insert(key.to_owned(), vec![value.to_owned()]);
        }
    }
    if op == Op::Files {
        let prefix = if asked.fuller { asked.parameter("prefix").unwrap_or_default() } else { "" };
        context.values.insert("s3:prefix".to_owned(), vec![prefix.to_owned()]);
        context.values.insert("s3:delimiter".to_owned(), vec!["/".to_owned()]);
    }
    context
}
