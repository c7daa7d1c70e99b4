//! The Supabase Storage interface of the built server, held against what Supabase's own server was seen to answer.
//!
//! **Invariant:** tokens are made here, by the format's own rules; nothing of the server's code is used for them.

mod beside;
mod buckets;
mod changes;
mod existing;
mod jwks;
mod lists;
mod objects;
mod reads;
mod render;
mod resumable;
mod rights;
mod rls;
mod s3;
mod sessions;
mod signed;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Call, Client, Options, Server};

/// The secret of the servers of these tests.
pub(super) const SECRET: &str = "a-secret-of-tests-that-is-long-enough-0002";
/// The subject of the first user.
pub(super) const U1: &str = "11111111-1111-4111-8111-111111111111";
/// The subject of the second user.
pub(super) const U2: &str = "22222222-2222-4222-8222-222222222222";

/// A server with its interface.
pub(super) struct Site {
    pub(super) server: Server,
    rest: Client,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Service,
    User(&'static str),
    Anon,
    Nobody,
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A token of these claims.
pub(super) fn token(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

impl As {
    fn token(self) -> Option<String> {
        let mut claims = (self != Self::Nobody).then(|| self.claims().1)?;
        claims["exp"] = (now() + 600).into();
        Some(token(&claims, SECRET))
    }

    /// The role, and what is signed beside the end.
    pub(super) fn claims(self) -> (String, Value) {
        let role = match self {
            Self::Service => "service_role",
            Self::User(_) => "authenticated",
            Self::Anon | Self::Nobody => "anon",
        };
        let mut claims = json!({"role": role});
        if let Some(sub) = self.subject() {
            claims["sub"] = sub.into();
        }
        (role.to_owned(), claims)
    }

    /// Of whom the token speaks.
    pub(super) fn subject(self) -> Option<&'static str> {
        match self {
            Self::User(sub) => Some(sub),
            Self::Service | Self::Anon | Self::Nobody => None,
        }
    }
}

impl Site {
    pub(super) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let given = options.env.iter().any(|(name, _)| name == "LONGSHORE_JWT_SECRET");
        let options = if given { options } else { options.env("LONGSHORE_JWT_SECRET", SECRET) };
        let server = Server::with(options);
        let rest = Client::new(server.rest, None);
        Self { server, rest }
    }

    /// The same, restarted.
    pub(super) fn again(self) -> Self {
        let server = self.server.restart();
        let rest = Client::new(server.rest, None);
        Self { server, rest }
    }

    /// A request of somebody.
    pub(super) fn call(&self, who: As, method: &str, path: &str) -> Call<'_> {
        // A question mark in a name is one of the name.
        let (path, query) = path.rsplit_once('?').filter(|(_, query)| query.contains('=')).unwrap_or((path, ""));
        let mut call = self.rest.call(method, path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            call = call.query(name, value);
        }
        match who.token() {
            Some(token) => call.header("authorization", &format!("Bearer {token}")),
            None => call,
        }
    }

    /// A request with a body of JSON.
    pub(super) async fn json(&self, who: As, method: &str, path: &str, body: Value) -> Answer {
        let call = self.call(who, method, path).header("content-type", "application/json");
        call.body(body.to_string()).send().await
    }

    /// A request without a body.
    pub(super) async fn plain(&self, who: As, method: &str, path: &str) -> Answer {
        self.call(who, method, path).send().await
    }

    /// Uploads a text.
    pub(super) async fn upload(&self, who: As, path: &str, body: &str) -> Answer {
        let call = self.call(who, "POST", &format!("/object/{path}")).header("content-type", "text/plain");
        call.body(body).send().await
    }

    /// Makes a bucket.
    pub(super) async fn bucket(&self, body: Value) {
        self.json(As::Service, "POST", "/bucket", body).await.expect(200);
    }
}

/// The body of an answer.
pub(super) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

/// Requires a refusal under status 400.
#[track_caller]
pub(super) fn refused(answer: &Answer, status: &str, code: &str, message: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    told(answer, status, code, message);
}

/// Requires what a refusal tells.
#[track_caller]
pub(super) fn told(answer: &Answer, status: &str, code: &str, message: &str) {
    let body = body(answer);
    assert_eq!((&body["statusCode"], &body["code"], &body["message"]), (&json!(status), &json!(code), &json!(message)));
}
