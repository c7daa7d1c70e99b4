//! Who asks: the token of a request.
//!
//! **Invariant:** a token that does not verify makes no caller; where none is needed it makes nobody in particular. The
//! header `apikey` is for a gateway in front and proves nothing here.

use http::header::{AUTHORIZATION, REFERER, USER_AGENT};

use super::error::{Refusal, Result};
use super::route::Op;
use super::{Asked, Supabase};
use crate::front::bearer::{self, BearerError};
use crate::model::caller::{Caller, Token, Who};
use crate::model::context::RequestContext;
use crate::model::time::Clock;

/// A caller, and whether it has shown that it is one.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) verified: bool,
}

impl Supabase {
    /// The caller, who must show a token.
    pub(super) async fn caller(&self, asked: &Asked) -> Result<Caller> {
        let caller = bearer::caller(&self.store, &self.tokens, token(asked)?).await;
        match caller {
            Ok(caller) => Ok(asked.asking(caller)),
            Err(BearerError::Token(error)) => Err(error.into()),
            Err(BearerError::Store(error)) => Err(error.into()),
        }
    }

    /// The caller; nobody in particular without a token, or with one that does not count.
    pub(super) async fn caller_if_any(&self, asked: &Asked) -> Known {
        match self.caller(asked).await {
            Ok(caller) => Known { caller, verified: true },
            Err(_) => Known { caller: asked.nobody(), verified: false },
        }
    }

    /// The caller, who must be the service.
    pub(super) async fn service(&self, asked: &Asked) -> Result<Caller> {
        let caller = self.caller(asked).await?;
        if caller.is_unbounded() {
            return Ok(caller);
        }
        Err(Refusal::denied("Access denied: Invalid role").plainly(403))
    }
}

impl Asked {
    /// What is being done, as policies know it.
    fn operation(&self) -> &'static str {
        match (self.route.op, self.head.method.as_str()) {
            (Op::Resume, "POST") => "storage.tus.upload.create",
            (Op::Resume, "PATCH") => "storage.tus.upload.part",
            (Op::Resume, "DELETE") => "storage.tus.upload.delete",
            (Op::Resume, _) => "storage.tus.upload.get",
            // Nobody's policies are asked about a signed address.
            (op, _) => op.name(),
        }
    }

    /// Nobody in particular.
    pub(super) fn nobody(&self) -> Caller {
        self.asking(Who::Token(Token::anonymous().into()).into())
    }

    /// A caller under the circumstances of the request.
    fn asking(&self, caller: Caller) -> Caller {
        self.facts.set_caller(caller.id());
        let mut context = RequestContext {
            source_ip: self.facts.peer(),
            secure: self.facts.is_secure(),
            at: Some(Clock::now()),
            operation: self.operation(),
            ..RequestContext::default()
        };
        for (name, key) in [(REFERER, "aws:referer"), (USER_AGENT, "aws:useragent")] {
            if let Some(value) = self.header(name.as_str()) {
                context.values.insert(key.to_owned(), vec![value.to_owned()]);
            }
        }
        caller.in_context(context)
    }
}

/// The text of the token, with or without the word in front of it.
fn token(asked: &Asked) -> Result<&str> {
    let Some(value) = asked.head.headers.get(AUTHORIZATION) else {
        return Err(Refusal::schema("headers must have required property 'authorization'"));
    };
    let text = value.to_str().unwrap_or_default();
    let bare = text.get(..7).filter(|word| word.eq_ignore_ascii_case("bearer ")).map(|_| &text[7..]);
    Ok(bare.unwrap_or(text).trim())
}

/// The same caller, who lists what begins with a prefix.
pub(super) fn listing(caller: Caller, prefix: &str) -> Caller {
    if caller.is_unbounded() {
        return caller;
    }
    let mut context = caller.context.as_deref().cloned().unwrap_or_default();
    context.values.insert("s3:prefix".to_owned(), vec![prefix.to_owned()]);
    caller.in_context(context)
}
