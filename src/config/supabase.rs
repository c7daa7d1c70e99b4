//! The `[supabase]` section.
//!
//! **Invariant:** the name of the project can stand in the credential of a signature, and a key that is too short for a
//! secret is a mistake. The environment comes before the file.

use super::limits;
use super::root::SECRET_CHARS_MIN;
use super::section::Section;
use crate::auth::secret::Secret;

/// The environment variable of the key of the project.
pub const ANON_KEY_VARIABLE: &str = "LONGSHORE_ANON_KEY";
/// The name of the project where there is one only, as Supabase's own server has it.
const PROJECT: &str = "storage-single-tenant";

/// The Supabase Storage interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupabaseConfig {
    /// Most bytes of an object, whatever its bucket says.
    pub file_size_limit: u64,
    /// Seconds for which an address to upload to counts.
    pub signed_upload_seconds: u64,
    /// Seconds for which a resumable upload can be gone on with.
    pub upload_seconds: u64,
    /// What stands for the access key of S3 requests that come with a token.
    pub project: String,
    /// The key of all programs of the project, with which such requests are signed; `None`: there are none.
    pub anon_key: Option<Secret>,
}

impl SupabaseConfig {
    pub(super) fn read(mut section: Section<'_>, given: Option<&Secret>) -> Self {
        let limit = section.number("file_size_limit", 1, limits::OBJECT_BYTES_MAX);
        let seconds = section.number("signed_upload_seconds", 1, 7 * 24 * 60 * 60);
        let lives = section.number("resumable_upload_seconds", 1, 7 * 24 * 60 * 60);
        let project = section.text("project").unwrap_or_else(|| PROJECT.to_owned());
        // Others cannot stand in a credential.
        if project.is_empty() || !project.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            section.problem("project", "expected a name of letters, digits, and - _ .");
        }
        let anon_key = given.cloned().or(section.secret(&["anon_key"]));
        if anon_key.as_ref().is_some_and(|key| key.expose().chars().count() < SECRET_CHARS_MIN) {
            section.problem("anon_key", "it must have at least 16 characters");
        }
        section.finish();
        Self {
            file_size_limit: limit.unwrap_or(limits::PUT_BYTES_MAX),
            signed_upload_seconds: seconds.unwrap_or(limits::SIGNED_UPLOAD_SECONDS),
            upload_seconds: lives.unwrap_or(limits::RESUMABLE_UPLOAD_SECONDS),
            project,
            anon_key,
        }
    }
}
