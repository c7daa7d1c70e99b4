//! Signed tokens (JSON Web Tokens): verified, and signed with the secret of this server.
//!
//! The library does the cryptography. What decides is here: which algorithm goes with which key, which claims end a
//! token, which roles there are.
//!
//! **Invariant:** a key verifies one algorithm, which is its own and never the token's choice; `none` is no algorithm; a
//! role that is not on the list makes no caller, nor does a token of another issuer or for another audience where the
//! rules name those that count.

mod keys;
mod source;
mod user;

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};

use crate::auth::secret::Secret;
use crate::config::limits::TOKEN_BYTES_MAX;
use crate::model::caller::{ANON_ROLE, Token};
use crate::model::time::Clock;

pub use keys::{InvalidKeys, KeySet};
pub use source::KeySource;
pub use user::{Meaning, USER_CLAIM, UserToken};

/// What signs and verifies a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, by a shared secret.
    Hs256,
    /// RSA PKCS #1 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Rs256, Self::Es256];

    /// Its name in tokens and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// Why a token counts for nothing. The texts are those that clients of Supabase know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or too long.
    #[error("Invalid Compact JWS")]
    Malformed,
    /// Its algorithm is not let in.
    #[error("\"alg\" (Algorithm) Header Parameter value not allowed")]
    Algorithm,
    /// No key verifies it.
    #[error("signature verification failed")]
    Signature,
    /// It has ended, or has no end.
    #[error("\"exp\" claim timestamp check failed")]
    Expired,
    /// It has not begun.
    #[error("\"nbf\" claim timestamp check failed")]
    Early,
    /// Who issued it is none that is let in.
    #[error("unexpected \"iss\" claim value")]
    Issuer,
    /// It is for others.
    #[error("unexpected \"aud\" claim value")]
    Audience,
    /// Its role is none that is let in.
    #[error("Access denied: Invalid role")]
    Role,
    /// Its user is not there.
    #[error("Access denied: Invalid user")]
    User,
    /// It is a signed address and speaks for nobody.
    #[error("signature verification failed")]
    Address,
}

/// Which tokens count.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The secret of this server.
    pub secret: Secret,
    /// The algorithms that are let in.
    pub algorithms: Vec<Algorithm>,
    /// The roles that are let in.
    pub roles: Vec<String>,
    /// Whether a token must have an end.
    pub require_exp: bool,
    /// Of whom a token of a role must be (`iss`); empty: of anybody who can sign.
    pub issuers: Vec<String>,
    /// For whom one must be (`aud`); empty: for anybody.
    pub audiences: Vec<String>,
}

/// Signs and verifies. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: TokenRules,
    /// Keys beside the secret.
    keys: RwLock<Arc<KeySet>>,
    /// Told when a token names a key that is not known.
    unknown: tokio::sync::Notify,
}

/// A token whose signature holds.
struct Verified {
    claims: Map<String, Value>,
}

impl Tokens {
    /// With these rules, and no key beside the secret yet.
    #[must_use]
    pub fn new(rules: TokenRules) -> Self {
        let keys = RwLock::new(Arc::new(KeySet::default()));
        Self(Arc::new(Inner { rules, keys, unknown: tokio::sync::Notify::new() }))
    }

    /// Replaces the keys beside the secret.
    pub fn set_keys(&self, keys: KeySet) {
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The role that a token speaks of. One of a user speaks of none.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub fn caller(&self, text: &str) -> Result<Token, TokenError> {
        match self.meaning(text)? {
            Meaning::Role(token) => Ok(token),
            Meaning::User(_) => Err(TokenError::Role),
        }
    }

    fn of_role(&self, claims: Map<String, Value>) -> Result<Token, TokenError> {
        self.check_parties(&claims)?;
        let role = match claims.get("role") {
            None | Some(Value::Null) => ANON_ROLE.to_owned(),
            Some(Value::String(role)) if role.is_empty() => ANON_ROLE.to_owned(),
            Some(Value::String(role)) => role.clone(),
            Some(_) => return Err(TokenError::Role),
        };
        if !self.has_role(&role) {
            return Err(TokenError::Role);
        }
        Ok(Token::new(&role, claims))
    }

    /// Whether a role is let in.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.0.rules.roles.iter().any(|known| known == role)
    }

    /// The claims of a signed address, which this server's secret must have signed.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub fn address(&self, text: &str) -> Result<Map<String, Value>, TokenError> {
        self.verified(text, false).map(|verified| verified.claims)
    }

    /// Signs a token of a role. Where the rules name issuers and audiences and the claims do not, it is of the first.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what cannot be written; [`TokenError::Issuer`], [`TokenError::Audience`] and
    /// [`TokenError::Algorithm`] for a token that this server would not take.
    pub fn sign_role(&self, mut claims: Map<String, Value>) -> Result<String, TokenError> {
        for (name, parties) in [("iss", &self.0.rules.issuers), ("aud", &self.0.rules.audiences)] {
            if let Some(party) = parties.first() {
                claims.entry(name).or_insert_with(|| party.as_str().into());
            }
        }
        self.check_parties(&claims)?;
        if !self.0.rules.algorithms.contains(&Algorithm::Hs256) {
            return Err(TokenError::Algorithm);
        }
        self.sign(&claims)
    }

    /// Signs claims with the secret.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what cannot be written.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, TokenError> {
        let key = EncodingKey::from_secret(self.0.rules.secret.expose().as_bytes());
        let header = Header { typ: None, ..Header::new(jsonwebtoken::Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &key).map_err(|_| TokenError::Malformed)
    }

    fn verified(&self, text: &str, others: bool) -> Result<Verified, TokenError> {
        let header = header_of(text)?;
        let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
        // What this server signs for itself is not for the list to let in.
        let let_in = |algorithm: &Algorithm| match others {
            true => self.0.rules.algorithms.contains(algorithm),
            false => *algorithm == Algorithm::Hs256,
        };
        let algorithm = Algorithm::parse(name).filter(let_in);
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        // A header that must be understood is none that we know.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed);
        }
        let kid = header.get("kid").and_then(Value::as_str);
        let claims = self.claims_by_any(text, algorithm, kid, others)?;
        self.check_times(&claims)?;
        Ok(Verified { claims })
    }

    /// The claims, if one of the keys that go with the algorithm and the name verifies them.
    fn claims_by_any(
        &self,
        text: &str,
        algorithm: Algorithm,
        kid: Option<&str>,
        others: bool,
    ) -> Result<Map<String, Value>, TokenError> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tried = TokenError::Signature;
        let mut known = false;
        for key in keys.named(algorithm, kid).filter(|_| others) {
            known = true;
            match claims_by(text, algorithm, key) {
                Err(error) => tried = error,
                claims => return claims,
            }
        }
        if algorithm == Algorithm::Hs256 {
            let secret = DecodingKey::from_secret(self.0.rules.secret.expose().as_bytes());
            return claims_by(text, algorithm, &secret);
        }
        if !known {
            self.0.unknown.notify_one();
        }
        Err(tried)
    }

    /// Whether it counts now. No clock is given a second: those of a signer and a server are one, or synchronized.
    fn check_times(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let now = Clock::now().0 as f64 / 1e9;
        match claims.get("exp") {
            None if self.0.rules.require_exp => return Err(TokenError::Expired),
            None => {}
            Some(exp) if exp.as_f64().is_some_and(|exp| exp > now) => {}
            Some(_) => return Err(TokenError::Expired),
        }
        match claims.get("nbf") {
            None => Ok(()),
            Some(nbf) if nbf.as_f64().is_some_and(|nbf| nbf <= now) => Ok(()),
            Some(_) => Err(TokenError::Early),
        }
    }

    /// Whether it is of and for those who count (RFC 7519, sections 4.1.1 and 4.1.3).
    fn check_parties(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let TokenRules { issuers, audiences, .. } = &self.0.rules;
        let named = |value: &Value, known: &[String]| value.as_str().is_some_and(|it| known.iter().any(|k| k == it));
        if !issuers.is_empty() && !claims.get("iss").is_some_and(|issuer| named(issuer, issuers)) {
            return Err(TokenError::Issuer);
        }
        let meant = |audience: &Value| match audience {
            Value::Array(several) => several.iter().any(|one| named(one, audiences)),
            one => named(one, audiences),
        };
        if !audiences.is_empty() && !claims.get("aud").is_some_and(meant) {
            return Err(TokenError::Audience);
        }
        Ok(())
    }
}

/// The head of a token of bounded length and three parts.
fn header_of(text: &str) -> Result<Map<String, Value>, TokenError> {
    if text.len() > TOKEN_BYTES_MAX || text.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let head = text.split('.').next().unwrap_or_default();
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&head).map_err(|_| TokenError::Malformed)
}

/// The claims, if the key verifies the signature. The library checks no claim: its clock is not ours.
fn claims_by(text: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Map<String, Value>, TokenError> {
    use jsonwebtoken::errors::ErrorKind;
    let mut rules = Validation::new(algorithm.of_library());
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    match jsonwebtoken::decode::<Map<String, Value>>(text, key, &rules) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
                TokenError::Malformed
            }
            _ => TokenError::Signature,
        }),
    }
}

#[cfg(test)]
mod tests;
