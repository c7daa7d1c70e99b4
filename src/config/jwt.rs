//! The `[jwt]` section: which signed tokens count.
//!
//! **Invariant:** a secret is long enough not to be guessed, an address has no user in it, and nothing turns
//! verification off.

use std::path::PathBuf;

use super::notification::is_address;
use super::root::is_well_known;
use super::section::Section;
use crate::auth::jwt::{Algorithm, KeySource};
use crate::auth::secret::Secret;
use crate::model::caller::{ANON_ROLE, SERVICE_ROLE};

/// Least characters of the secret.
const JWT_SECRET_CHARS_MIN: usize = 32;
/// The environment variable of the secret.
pub const JWT_SECRET_VARIABLE: &str = "LONGSHORE_JWT_SECRET";

/// Which tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtConfig {
    /// The secret; `None`: the one that is kept in the state directory.
    pub secret: Option<Secret>,
    /// Where further keys come from.
    pub keys: Option<KeySource>,
    /// The algorithms that are let in.
    pub algorithms: Vec<Algorithm>,
    /// The roles that are let in.
    pub roles: Vec<String>,
    /// Whether a token must have an end.
    pub require_exp: bool,
    /// Whose tokens of roles count (`iss`); empty: those of anybody who can sign.
    pub issuers: Vec<String>,
    /// Tokens for whom count (`aud`); empty: for anybody.
    pub audiences: Vec<String>,
}

/// Why no token may ever name a role. What a database says of it besides is asked when the catalog is opened.
fn refused_role(role: &str) -> Option<&'static str> {
    const OWN: [&str; 3] = ["longshore_", "pg_", "supabase_"];
    // For the database these words mean no role, or everyone.
    const WORDS: [&str; 6] = ["none", "public", "default", "postgres", "authenticator", "dashboard_user"];
    if role.is_empty() || role.len() > 63 || role.chars().any(char::is_control) {
        return Some("is no name of a role");
    }
    let folded = role.to_ascii_lowercase();
    if WORDS.contains(&folded.as_str()) || OWN.iter().any(|own| folded.starts_with(own)) {
        return Some("is not a role for tokens");
    }
    None
}

/// Those who are named. A list of nobody would look like a rule and be none.
fn parties(section: &mut Section<'_>, name: &str) -> Vec<String> {
    let named = section.texts(name);
    if named.as_ref().is_some_and(|named| named.is_empty() || named.iter().any(String::is_empty)) {
        section.problem(name, "it names nobody; leave it out to take the tokens of all");
    }
    named.unwrap_or_default()
}

impl JwtConfig {
    pub(super) fn read(mut section: Section<'_>, given: Option<&Secret>) -> Self {
        let secret = given.cloned().or(section.secret(&["secret"]));
        if let Some(secret) = &secret {
            let text = secret.expose();
            if text.chars().count() < JWT_SECRET_CHARS_MIN {
                section.problem("secret", "it must have at least 32 characters");
            } else if is_well_known(text) {
                section.problem("secret", "it is a well-known one; choose another");
            }
        }
        let file = section.text("jwks_file").map(|file| KeySource::File(PathBuf::from(file)));
        let url = section.text("jwks_url");
        if url.as_deref().is_some_and(|url| !is_address(url)) {
            section.problem("jwks_url", "expected an address such as \"https://host/path\", without a user in it");
        }
        if file.is_some() && url.is_some() {
            section.problem("jwks_url", "jwks_file names keys already: one of them is enough");
        }
        let algorithms = section.texts("algorithms");
        let algorithms = algorithms.map_or(Algorithm::ALL.to_vec(), |names| {
            let known = |name: &String| {
                let found = Algorithm::parse(name);
                if found.is_none() {
                    section.problem("algorithms", &format!("{name:?} is none of HS256, RS256, ES256"));
                }
                found
            };
            names.iter().filter_map(known).collect()
        });
        let roles = section.texts("roles");
        let roles = roles.unwrap_or_else(|| [ANON_ROLE, "authenticated", SERVICE_ROLE].map(str::to_owned).to_vec());
        for role in &roles {
            if let Some(why) = refused_role(role) {
                section.problem("roles", &format!("{role:?} {why}"));
            }
        }
        let require_exp = section.boolean("require_exp").unwrap_or(true);
        let [issuers, audiences] = ["issuers", "audiences"].map(|name| parties(&mut section, name));
        section.finish();
        let keys = file.or(url.map(KeySource::Address));
        Self { secret, keys, algorithms, roles, require_exp, issuers, audiences }
    }
}
