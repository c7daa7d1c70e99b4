//! Who asks: a token in a header, or the cookie that a sign-in left.
//!
//! **Invariant:** a token that does not count ends the request, also where everyone is let in. A cookie, which browsers
//! send by themselves, is given and changes something only where the request shows that a page of the same origin made it.

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::Filestore;
use super::error::{Refusal, Result};
use crate::front::bearer;
use crate::front::facts::RequestFacts;
use crate::model::caller::Caller;
use crate::model::context::RequestContext;
use crate::model::time::Clock;

/// The header that the clients send.
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// The cookie of a sign-in.
pub(super) const COOKIE_NAME: &str = "nive_auth";

/// A token, and whether it came as a cookie.
pub(super) fn token(headers: &HeaderMap) -> Option<(&str, bool)> {
    if let Some(value) = headers.get(&TOKEN) {
        return Some((value.to_str().unwrap_or_default().trim(), false)).filter(|(text, _)| !text.is_empty());
    }
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let bare = text.get(..7).filter(|word| word.eq_ignore_ascii_case("bearer ")).map(|_| &text[7..]);
        return Some((bare.unwrap_or(text).trim(), false));
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value.trim_matches('"'));
    value.filter(|value| !value.is_empty()).map(|value| (value, true))
}

/// Whether a request shows that a page of the same origin, or no page at all, made it: a form of another page can do
/// neither.
pub(super) fn is_made_by_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    json || headers.contains_key("x-requested-with")
}

impl Filestore {
    /// The caller, in the circumstances of its request.
    pub(super) async fn caller(
        &self,
        head: &Parts,
        facts: &RequestFacts,
        (operation, changes): (&'static str, bool),
    ) -> Result<Caller> {
        let caller = match token(&head.headers) {
            None => Caller::ANONYMOUS,
            Some((text, cookie)) => {
                let caller = bearer::caller(&self.store, &self.tokens, text).await?;
                if cookie && changes && !is_made_by_page(&head.headers) {
                    return Err(Refusal::forbidden());
                }
                caller
            }
        };
        facts.set_caller(caller.id());
        let mut context = RequestContext {
            source_ip: facts.peer(),
            secure: facts.is_secure(),
            at: Some(Clock::now()),
            operation,
            ..RequestContext::default()
        };
        for (name, key) in [(REFERER, "aws:referer"), (USER_AGENT, "aws:useragent")] {
            if let Some(value) = head.headers.get(&name).and_then(|value| value.to_str().ok()) {
                context.values.insert(key.to_owned(), vec![value.to_owned()]);
            }
        }
        Ok(caller.in_context(context))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_in_a_header_goes_before_the_cookie() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.insert(COOKIE, HeaderValue::from_static("a=b; nive_auth=c; d=e"));
        assert_eq!(token(&headers), Some(("c", true)));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer t"));
        assert_eq!(token(&headers), Some(("t", false)));
        headers.insert(TOKEN, HeaderValue::from_static("x"));
        assert_eq!(token(&headers), Some(("x", false)));
    }
}
