//! What is stored of a resumable upload: how far it is, what more it takes in, and its end.
//!
//! What comes is stored in pieces, each durable before the next begins; when a client goes away what came until then is
//! a piece, too. That goes on in tasks of its own, which no client cuts short.
//!
//! **Invariant:** nobody is told that everything came before there is an object: clients ask no more then. A length
//! that is said later is kept before anything is taken in under it.

use std::sync::atomic::Ordering;

use axum::body::Body;

use super::{Ticket, gone};
use crate::config::limits::{PART_NUMBER_MAX, PIECE_BYTES};
use crate::front::supabase::error::{Refusal, Result};
use crate::front::supabase::intake::{Source, Taken};
use crate::front::supabase::{Supabase, upload};
use crate::front::wire;
use crate::model::caller::Caller;
use crate::model::object::Content;
use crate::model::upload::{Part, UploadState};
use crate::store::Error;
use crate::store::request::{CompleteRequest, Incoming, ListedPart};

/// What a request brings.
pub(super) struct Brought {
    /// Where its bytes belong.
    pub(super) offset: u64,
    /// How long the whole becomes, if it says so.
    pub(super) length: Option<u64>,
    /// How many bytes it has, if it says so.
    pub(super) bytes: Option<u64>,
    pub(super) body: Body,
}

/// How far an upload is.
pub(super) struct Progress {
    /// Bytes of the whole; `None`: not said yet.
    pub(super) length: Option<u64>,
    /// What its object carries.
    content: Content,
    /// Its parts; `None`: it is complete.
    parts: Option<Vec<Part>>,
}

impl Progress {
    /// The bytes that came.
    pub(super) fn offset(&self) -> u64 {
        match &self.parts {
            Some(parts) => parts.iter().map(|part| part.size).sum(),
            None => self.length.unwrap_or(0),
        }
    }
}

/// Does some work to its end, also when nobody waits for it any more.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.map_err(|error| Refusal::from(Error::from(error)))?
}

impl Supabase {
    async fn progress(&self, caller: &Caller, ticket: &Ticket) -> Result<Progress> {
        let (row, parts) = self.store.upload_progress(caller, &ticket.upload).await?;
        let parts = match row.state {
            UploadState::Open | UploadState::Completing => Some(parts),
            UploadState::Done(_) => None,
            UploadState::Aborted => return Err(gone()),
        };
        Ok(Progress { length: ticket.length.or(row.attached.length), content: row.content, parts })
    }

    /// How far an upload is, for who wants to go on with it. If everything came and its end failed, it is ended first.
    pub(super) async fn settled(&self, caller: &Caller, ticket: &Ticket) -> Result<Progress> {
        let (front, caller, ticket) = (self.clone(), caller.clone(), ticket.clone());
        to_the_end(async move {
            // What still waits for another connection ends now.
            let _turn = front.turns.next(ticket.upload.id).await?;
            let progress = front.progress(&caller, &ticket).await?;
            if progress.parts.is_none() || progress.length != Some(progress.offset()) {
                return Ok(progress);
            }
            front.complete(&caller, &ticket, progress.length).await?;
            Ok(Progress { parts: None, ..progress })
        })
        .await
    }

    /// Takes in what comes from an offset on, and completes the upload if that is all. Returns the new offset, and the
    /// length of the whole if it is known by now. A client that goes away ends its body: what came until then counts.
    pub(super) async fn take(&self, caller: &Caller, ticket: &Ticket, brought: Brought) -> Result<(u64, Option<u64>)> {
        let (front, caller, ticket) = (self.clone(), caller.clone(), ticket.clone());
        to_the_end(async move { front.take_in(&caller, &ticket, brought).await }).await
    }

    async fn take_in(&self, caller: &Caller, ticket: &Ticket, brought: Brought) -> Result<(u64, Option<u64>)> {
        let turn = self.turns.next(ticket.upload.id).await?;
        let progress = self.progress(caller, ticket).await?;
        let mut at = progress.offset();
        let Some(parts) = progress.parts.as_ref().filter(|_| at == brought.offset) else {
            return Err(Refusal::invalid("Upload-Offset conflict").meaning(409));
        };
        let mut next = parts.last().map_or(1, |part| part.number + 1);
        let length = self.agree(caller, ticket, &progress, brought.length).await?;
        let left = length.unwrap_or(self.options.file_bytes_max).saturating_sub(at);
        if brought.bytes.is_some_and(|bytes| bytes > left) {
            return Err(Refusal::too_large());
        }
        let source = Source::new(wire::frames(brought.body), left, turn.ended());
        // Few enough pieces for the longest upload.
        let piece = PIECE_BYTES.max(length.unwrap_or(0) / u64::from(PART_NUMBER_MAX / 2));
        while source.has_more().await {
            if next > PART_NUMBER_MAX {
                return Err(Refusal::too_large());
            }
            let taken: Taken = source.piece(piece);
            let body = Incoming::new(taken.frames, None);
            self.store.upload_part(caller, &ticket.upload, next, None, body).await?;
            at += taken.bytes.load(Ordering::SeqCst);
            next += 1;
        }
        if source.is_over() {
            return Err(Refusal::too_large());
        }
        if Some(at) == length {
            self.complete(caller, ticket, length).await?;
        }
        Ok((at, length))
    }

    /// How long the whole becomes. What is said of it after the upload was begun is kept with it.
    async fn agree(
        &self,
        caller: &Caller,
        ticket: &Ticket,
        progress: &Progress,
        said: Option<u64>,
    ) -> Result<Option<u64>> {
        let length = match (progress.length, said) {
            (Some(known), Some(said)) if known != said => {
                return Err(Refusal::invalid("Upload-Length cannot be changed"));
            }
            (known, said) => known.or(said),
        };
        if length.is_some_and(|length| length > self.options.file_bytes_max) {
            return Err(Refusal::too_large());
        }
        if let (None, Some(said)) = (progress.length, said) {
            if said < progress.offset() {
                return Err(Refusal::invalid("Upload-Length is less than what came already"));
            }
            // As an upload is asked that says its length when it is begun.
            let (bucket, key) = (&ticket.upload.bucket, &ticket.upload.key);
            let conditions = upload::conditions(ticket.upsert);
            let asked = self.store.try_put(caller, (bucket, key), &conditions, Some(&progress.content), length).await;
            asked.map_err(upload::refused)?;
            self.store.set_upload_length(caller, &ticket.upload, said).await?;
        }
        Ok(length)
    }

    async fn complete(&self, caller: &Caller, ticket: &Ticket, size: Option<u64>) -> Result<()> {
        let Some(parts) = self.progress(caller, ticket).await?.parts else { return Ok(()) };
        let listed = parts.into_iter().map(|part| ListedPart { number: part.number, etag: part.etag, checksum: None });
        let request = CompleteRequest {
            upload: ticket.upload.clone(),
            parts: listed.collect(),
            conditions: upload::conditions(ticket.upsert),
            size,
            checksum: None,
            kind: None,
            customer_key: None,
        };
        match self.store.join_upload(caller, request).await {
            Ok(_) => Ok(()),
            Err(error @ (Error::PreconditionFailed | Error::TooLarge { .. } | Error::TypeRefused(_))) => {
                // It can never be completed.
                self.store.give_up_upload(caller, &ticket.upload).await?;
                Err(upload::refused(error))
            }
            Err(error) => Err(upload::refused(error)),
        }
    }
}
