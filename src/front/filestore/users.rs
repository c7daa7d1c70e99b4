//! The users' own service: signing in for a token or a cookie, signing out, and who one is.
//!
//! **Invariant:** an unknown user and a wrong password look the same; few passwords are looked at at a time, also
//! where clients leave. What is signed out counts no more, on any front.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::error::{self, Refusal, Result};
use super::route::Function;
use super::who::{COOKIE_NAME, is_made_by_page, token};
use super::{Filestore, cors, input};
use crate::auth::jwt::{Meaning, UserToken};
use crate::auth::secret::Secret;
use crate::config::limits::PASSWORD_WAIT_SECONDS_MAX;
use crate::front::facts::RequestFacts;
use crate::front::turn::turn;
use crate::front::wire;
use crate::model::caller::{Caller, Who};

pub(super) async fn serve(State(front): State<Filestore>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let facts = head.extensions.get::<RequestFacts>().cloned().unwrap_or_default();
    let page = cors::Page::of(&head, &front.options);
    let mut answer = match page.as_ref().is_some_and(cors::Page::is_preflight) || head.method == Method::OPTIONS {
        true => cors::options(),
        false => match front.answer_user(&head, body, &facts).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(&facts),
        },
    };
    if let Some(page) = page {
        page.tell(answer.headers_mut());
    }
    answer
}

impl Filestore {
    async fn answer_user(&self, head: &Parts, body: Body, facts: &RequestFacts) -> Result<Response> {
        let rest = head.uri.path().trim_start_matches("/users").trim_matches('/');
        let function = rest.strip_prefix("api").map_or(rest, |rest| rest.trim_start_matches('/'));
        let function = function.strip_prefix('@').unwrap_or(function);
        let reads = ["identity", "name", "authenticated"].contains(&function);
        if !reads && !["token", "signin", "signout"].contains(&function) {
            return Err(Refusal::not_found());
        }
        let reading = head.method == Method::GET || head.method == Method::HEAD;
        if head.method != Method::POST && !(reads && reading) {
            return Err(Refusal::method(if reads { "GET, HEAD, POST, OPTIONS" } else { "POST, OPTIONS" }));
        }
        // A form of another page could sign somebody in as somebody else, to whom he would give what he writes.
        if function == "signin" && !is_made_by_page(&head.headers) {
            return Err(Refusal::forbidden());
        }
        let request = (&head.method, &head.headers, head.uri.query());
        let mut input = input::read(Function::Ping, request, body, &self.bodies).await?;
        let params = &mut input.params;
        match function {
            "token" | "signin" => {
                facts.set_operation("filestore.sign_in");
                let (identity, password) = (params.needed("identity"), Secret::new(&params.needed("password")));
                params.check()?;
                let text = self.sign_in(facts, &identity, password).await?;
                match function {
                    "token" => Ok(error::json(StatusCode::OK, &json!({ "token": text }))),
                    _ => Ok(with_cookie(error::result(true), (head, facts), &text, self.options.sign_in.as_secs())),
                }
            }
            "signout" => {
                facts.set_operation("filestore.sign_out");
                // Another page could sign somebody out, which is all.
                self.sign_out(&head.headers).await?;
                Ok(with_cookie(error::result(true), (head, facts), "", 0))
            }
            _ => {
                facts.set_operation("filestore.identity");
                let groups = params.texts("groups", true).unwrap_or_default();
                params.check()?;
                let caller = match token(&head.headers) {
                    None => Caller::ANONYMOUS,
                    Some(_) => self.caller(head, facts, ("filestore.identity", false)).await?,
                };
                Ok(told(function, &caller, &groups))
            }
        }
    }

    async fn sign_in(&self, facts: &RequestFacts, identity: &str, password: Secret) -> Result<String> {
        let turn = turn(&self.passwords, PASSWORD_WAIT_SECONDS_MAX).await.ok_or_else(Refusal::busy)?;
        if !self.store.knows_password(identity, password, turn).await? {
            return Err(Refusal::unauthorized());
        }
        let caller = self.store.caller_of_user(identity).await?.ok_or_else(Refusal::unauthorized)?;
        facts.set_caller(caller.id());
        let signed = self.tokens.sign_user(identity, self.options.sign_in);
        Ok(signed.map_err(|_| Refusal::unauthorized())?.0)
    }

    async fn sign_out(&self, headers: &HeaderMap) -> Result<()> {
        let Some((text, _)) = token(headers) else { return Ok(()) };
        match self.tokens.meaning(text) {
            Ok(Meaning::User(token)) => Ok(self.give_back(&token).await?),
            // What does not count is signed out already.
            Ok(Meaning::Role(_)) | Err(_) => Ok(()),
        }
    }

    async fn give_back(&self, token: &UserToken) -> Result<()> {
        Ok(self.store.give_token_back(token).await?)
    }
}

/// With a cookie that lives so many seconds. The page that asked says whether it came over TLS, and so may a proxy in front,
/// where TLS ends.
fn with_cookie(mut answer: Response, (head, facts): (&Parts, &RequestFacts), value: &str, seconds: u64) -> Response {
    let page = head.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if page || facts.is_secure() { "; Secure" } else { "" };
    let text = format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    wire::put(answer.headers_mut(), SET_COOKIE, &text);
    answer
}

/// Who the caller is.
fn told(function: &str, caller: &Caller, groups: &[String]) -> Response {
    let user = match &caller.who {
        Who::User(user) => Some(user),
        Who::Root | Who::Token(_) | Who::Anonymous => None,
    };
    let name = match &caller.who {
        Who::Anonymous => "",
        Who::Root | Who::User(_) | Who::Token(_) => caller.id(),
    };
    let shown = user.map_or(name, |user| user.display_name.as_str());
    let body: Value = match function {
        "name" => json!({ "name": name, "realname": shown }),
        "identity" => {
            let email = user.and_then(|user| user.email.as_deref()).unwrap_or_default();
            json!({ "name": name, "email": email, "reference": name, "realname": shown })
        }
        _ => {
            let in_all = groups.iter().all(|group| user.is_some_and(|user| user.groups.contains(group)));
            json!({ "result": !name.is_empty() && in_all })
        }
    };
    error::json(StatusCode::OK, &body)
}
