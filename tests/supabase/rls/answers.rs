//! What an answer says, and what a statement under a role says: one word for both.

use tokio_postgres::error::SqlState;

use super::Ground;
use crate::harness::Answer;
use crate::supabase::{As, body};

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supabase) enum Said {
    /// It is done.
    Yes,
    /// It is not there.
    Hidden,
    /// It is refused.
    No,
    /// There is something already.
    Taken,
}

/// What a status means.
fn meant(status: &str) -> Option<Said> {
    match status {
        "404" => Some(Said::Hidden),
        "403" => Some(Said::No),
        "409" => Some(Said::Taken),
        _ => None,
    }
}

/// What the Supabase interface said.
#[track_caller]
pub(in crate::supabase) fn said_by_rest(answer: &Answer) -> Said {
    if (200..300).contains(&answer.status) {
        return Said::Yes;
    }
    let inner = (answer.status == 400).then(|| body(answer)["statusCode"].as_str().map(str::to_owned)).flatten();
    let status = inner.unwrap_or_else(|| answer.status.to_string());
    meant(&status).unwrap_or_else(|| panic!("{answer:?}"))
}

/// What S3 said.
#[track_caller]
pub(in crate::supabase) fn said_by_s3(answer: &Answer) -> Said {
    match answer.status {
        200..=299 => Said::Yes,
        412 => Said::Taken,
        status => meant(&status.to_string()).unwrap_or_else(|| panic!("{answer:?} {}", answer.text())),
    }
}

const SEEN: &str = "SELECT name FROM storage.objects WHERE bucket_id = $1 AND name = $2";
const INSERT: &str = "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata) \
    VALUES ($1, $2, '1', $3::text, $3::text::uuid, '{\"mimetype\": \"text/plain\", \"contentLength\": 4}')";
const REPLACE: &str = " ON CONFLICT (name, bucket_id) DO UPDATE SET version = excluded.version, \
    owner_id = excluded.owner_id, owner = excluded.owner, metadata = excluded.metadata RETURNING *";
const DELETE: &str = "DELETE FROM storage.objects WHERE bucket_id = $1 AND name = $2 RETURNING name";
const TOUCH: &str = "UPDATE storage.objects SET metadata = metadata WHERE bucket_id = $1 AND name = $2 RETURNING name";
const MOVE: &str = "UPDATE storage.objects SET bucket_id = $4, name = $5, version = '1', owner_id = $3::text, \
    owner = $3::text::uuid WHERE bucket_id = $1 AND name = $2 RETURNING name";

impl Ground {
    /// What the database says to a role that reads an object.
    pub(super) async fn read(&self, who: As, bucket: &str, key: &str) -> Said {
        match self.ask(who, SEEN, &[&bucket, &key]).await {
            Ok(rows) if rows.is_empty() => Said::Hidden,
            Ok(_) => Said::Yes,
            Err(code) => panic!("{code:?}"),
        }
    }

    /// To one that writes an object; `new`: and replaces nothing.
    pub(super) async fn write(&self, who: As, bucket: &str, key: &str, new: bool) -> Said {
        let text = if new { INSERT.to_owned() } else { format!("{INSERT}{REPLACE}") };
        match self.ask(who, &text, &[&bucket, &key, &who.subject()]).await {
            Ok(_) => Said::Yes,
            Err(code) if code == SqlState::INSUFFICIENT_PRIVILEGE => Said::No,
            Err(code) if code == SqlState::UNIQUE_VIOLATION => Said::Taken,
            Err(code) => panic!("{code:?}"),
        }
    }

    /// To one that changes rows of objects that are there.
    async fn changes(&self, who: As, text: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Said {
        match self.ask(who, text, values).await {
            Ok(rows) if rows.is_empty() => Said::No,
            Ok(_) => Said::Yes,
            Err(code) if code == SqlState::INSUFFICIENT_PRIVILEGE => Said::No,
            Err(code) if code == SqlState::UNIQUE_VIOLATION => Said::Taken,
            Err(code) => panic!("{code:?}"),
        }
    }

    /// To one that deletes an object. One that it may not see is refused, and what is not there is not there for anyone.
    pub(super) async fn delete(&self, who: As, bucket: &str, key: &str) -> Said {
        match self.read(As::Service, bucket, key).await {
            Said::Yes => self.changes(who, DELETE, &[&bucket, &key]).await,
            other => other,
        }
    }

    /// To one that changes what is attached to an object that it sees.
    pub(super) async fn touch(&self, who: As, bucket: &str, key: &str) -> Said {
        match self.read(who, bucket, key).await {
            Said::Yes => self.changes(who, TOUCH, &[&bucket, &key]).await,
            other => other,
        }
    }

    /// To one that gives an object that it sees another name.
    pub(super) async fn rename(&self, who: As, from: (&str, &str), to: (&str, &str)) -> Said {
        match self.read(who, from.0, from.1).await {
            Said::Yes => self.changes(who, MOVE, &[&from.0, &from.1, &who.subject(), &to.0, &to.1]).await,
            other => other,
        }
    }

    /// To one that copies an object.
    pub(super) async fn copy(&self, who: As, from: (&str, &str), to: (&str, &str), new: bool) -> Said {
        match self.read(who, from.0, from.1).await {
            Said::Yes => self.write(who, to.0, to.1, new).await,
            other => other,
        }
    }

    /// The keys of a bucket that a role sees.
    pub(super) async fn seen(&self, who: As, bucket: &str) -> Vec<String> {
        let text = "SELECT name FROM storage.objects WHERE bucket_id = $1 ORDER BY name COLLATE \"C\"";
        self.names(who, text, &[&bucket]).await
    }

    /// The buckets that a role sees.
    pub(super) async fn buckets_seen(&self, who: As) -> Vec<String> {
        self.names(who, "SELECT id FROM storage.buckets ORDER BY id COLLATE \"C\"", &[]).await
    }

    /// To one that looks at a bucket.
    pub(super) async fn look(&self, who: As, bucket: &str) -> Said {
        let seen = self.buckets_seen(who).await;
        if seen.iter().any(|seen| seen == bucket) { Said::Yes } else { Said::Hidden }
    }

    /// To one that makes a bucket.
    pub(super) async fn make(&self, who: As, bucket: &str) -> Said {
        let text = "INSERT INTO storage.buckets (id, name, owner_id, owner, public) \
            VALUES ($1, $1, $2::text, $2::text::uuid, false)";
        match self.ask(who, text, &[&bucket, &who.subject()]).await {
            Ok(_) => Said::Yes,
            Err(code) if code == SqlState::INSUFFICIENT_PRIVILEGE => Said::No,
            Err(code) if code == SqlState::UNIQUE_VIOLATION => Said::Taken,
            Err(code) => panic!("{code:?}"),
        }
    }

    /// To one that changes a bucket, or removes one that is empty: what it does not see or may not is not there.
    pub(super) async fn of_bucket(&self, who: As, text: &str, bucket: &str) -> Said {
        match self.ask(who, text, &[&bucket]).await {
            Ok(rows) if rows.is_empty() => Said::Hidden,
            Ok(_) => Said::Yes,
            Err(code) if code == SqlState::INSUFFICIENT_PRIVILEGE => Said::No,
            Err(code) if code == SqlState::FOREIGN_KEY_VIOLATION => Said::Taken,
            Err(code) => panic!("{code:?}"),
        }
    }
}
