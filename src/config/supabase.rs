//! The `[supabase]` section.

use super::limits;
use super::section::Section;

/// The Supabase Storage interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupabaseConfig {
    /// Most bytes of an object, whatever its bucket says.
    pub file_size_limit: u64,
    /// Seconds for which an address to upload to counts.
    pub signed_upload_seconds: u64,
    /// Seconds for which a resumable upload can be gone on with.
    pub upload_seconds: u64,
}

impl SupabaseConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let limit = section.number("file_size_limit", 1, limits::OBJECT_BYTES_MAX);
        let seconds = section.number("signed_upload_seconds", 1, 7 * 24 * 60 * 60);
        let lives = section.number("resumable_upload_seconds", 1, 7 * 24 * 60 * 60);
        section.finish();
        Self {
            file_size_limit: limit.unwrap_or(limits::PUT_BYTES_MAX),
            signed_upload_seconds: seconds.unwrap_or(limits::SIGNED_UPLOAD_SECONDS),
            upload_seconds: lives.unwrap_or(limits::RESUMABLE_UPLOAD_SECONDS),
        }
    }
}
