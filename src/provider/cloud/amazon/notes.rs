//! Notes of uploads at keys, so that what a crash leaves of a large lay-out is found.
//!
//! In the reserved tree each upload is ours, and a sweep knows it by its name. One at a key may be anybody's. So before its
//! first part is sent an object says that it is ours: `.longshore/uploads/<MD5 of its id>`, which holds its id and its key.
//! It goes when the upload has ended; the sweep gives up what old ones name.
//!
//! **Invariant:** at a key nothing is given up but what a note names, and a note goes after the upload that it names.

use futures_util::TryStreamExt as _;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::Amazon;
use super::facts::odd;
use super::uploads::SWEEP_PAGES_MAX;
use crate::config::limits::LIST_KEYS_MAX;
use crate::model::id::hex;
use crate::model::name::RESERVED;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, When};
use crate::provider::cloud::transport::failed;
use crate::provider::{Error, Result};

/// Most bytes of a note: a key has 1,024, an id some hundred.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// What is noted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The id of the upload.
    upload: String,
    key: String,
}

/// What the names of all notes begin with.
fn tree() -> String {
    format!("{RESERVED}/uploads/")
}

/// The name of a note. An id is as long, and of such characters, as the service likes.
fn name_of(upload: &str) -> String {
    format!("{}{}", tree(), hex(&Md5::digest(upload.as_bytes())))
}

/// Whether an upload at a name is known for ours without a note.
fn is_reserved(name: &str) -> bool {
    name.strip_prefix(RESERVED).is_some_and(|rest| rest.starts_with('/'))
}

impl Amazon {
    /// Notes an upload that the sweep would not know for ours.
    pub(super) async fn note_upload(&self, at: At<'_>, upload: &str) -> Result<()> {
        if is_reserved(at.name) {
            return Ok(());
        }
        let note = Note { upload: upload.to_owned(), key: at.name.to_owned() };
        let text = serde_json::to_string(&note).map_err(|error| failed("a note", error))?;
        if text.len() as u64 > NOTE_BYTES_MAX {
            return Err(odd("the id of an upload is longer than any is"));
        }
        let name = name_of(upload);
        let at = At { container: at.container, name: &name };
        match self.write(at, &Payload::from(text), &Content::default(), When::Always).await {
            // Who may write below some prefix alone lays out all the same.
            Err(Error::Denied) => {
                tracing::debug!(container = at.container, "an upload cannot be noted");
                Ok(())
            }
            written => written.map(drop),
        }
    }

    /// Removes the note of an upload that has ended.
    pub(super) async fn forget_upload(&self, at: At<'_>, upload: &str) {
        if is_reserved(at.name) {
            return;
        }
        let name = name_of(upload);
        if let Err(error) = self.remove(At { container: at.container, name: &name }, When::Always).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a note stays until it is swept");
        }
    }

    /// Gives up the uploads that notes from before `before` name. Returns how many notes there were.
    pub(super) async fn sweep_notes(&self, container: &str, before: Timestamp) -> Result<u64> {
        let (mut swept, mut after) = (0, None::<String>);
        for _ in 0..SWEEP_PAGES_MAX {
            let page = self.page(container, &tree(), after.as_deref(), LIST_KEYS_MAX).await?;
            for entry in page.entries.iter().filter(|entry| entry.modified < before) {
                swept += u64::from(self.sweep_note(At { container, name: &entry.name }).await?);
            }
            after = page.entries.last().map(|entry| entry.name.clone());
            if !page.more || after.is_none() {
                break;
            }
        }
        Ok(swept)
    }

    /// Gives up what a note names, and then the note. False if it names nothing, or went meanwhile.
    async fn sweep_note(&self, at: At<'_>) -> Result<bool> {
        let mut text = Vec::new();
        match self.read(at, 0..NOTE_BYTES_MAX, None).await {
            Ok((_, mut blocks)) => {
                while let Some(block) = blocks.try_next().await? {
                    text.extend_from_slice(&block);
                }
            }
            // There is no range of nothing.
            Err(Error::NotFound | Error::StampMismatch) => return Ok(false),
            Err(error) => return Err(error),
        }
        let note = serde_json::from_slice(&text).ok().filter(|note: &Note| name_of(&note.upload) == at.name);
        let Some(Note { upload, key }) = note else {
            tracing::debug!(container = at.container, name = at.name, "what is no note is left alone");
            return Ok(false);
        };
        self.abort_upload(At { container: at.container, name: &key }, &upload).await?;
        self.remove(at, When::Always).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_a_name_for_any_id() {
        let long = "a/b+c=%\u{fc}".repeat(300);
        for id in ["2~abc.def", "", long.as_str()] {
            let name = name_of(id);
            assert!(is_reserved(&name) && name.len() == tree().len() + 32, "{name}");
        }
        assert_eq!(name_of("x"), ".longshore/uploads/9dd4e461268c8034f5c8564e155c67a6");
        assert!(!is_reserved(".longshore.txt") && !is_reserved(".longshore") && !is_reserved("a/.longshore/x"));
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = Note { upload: "a\"b/+".to_owned(), key: "\u{1}k \u{fc}\\".to_owned() };
        let text = serde_json::to_string(&note).expect("JSON");
        assert_eq!(serde_json::from_str::<Note>(&text).expect("a note"), note);
    }
}
