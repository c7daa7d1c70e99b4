//! Statements about uploads and their parts.
//!
//! **Invariant:** an upload changes its state only from the one that is named, and what another gateway completes is its own.

pub(in crate::catalog::postgres) const INSERT_UPLOAD: &str = "INSERT INTO longshore.uploads (id, bucket, name, created, initiator, owner, content, \
    attached, sum_algorithm, sum_kind, handle, state, result, ended) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
pub(in crate::catalog::postgres) const UPLOAD: &str = concat!(upload_row!(), " WHERE id = $1");
/// No other changes it while the transaction runs.
pub(in crate::catalog::postgres) const UPLOAD_TO_CHANGE: &str = concat!(upload_row!(), " WHERE id = $1 FOR UPDATE");
pub(in crate::catalog::postgres) const SET_UPLOAD_ATTACHED: &str =
    "UPDATE longshore.uploads SET attached = $2 WHERE id = $1";
/// `$4` is the id that a page goes on behind, and `$3` its age if it is known no more.
pub(in crate::catalog::postgres) const UPLOADS: &str = concat!(
    upload_row!(),
    " WHERE bucket = $1 AND ended IS NULL AND (name, created, id) > ($2, coalesce((SELECT u.created \
    FROM longshore.uploads AS u WHERE u.id = $4 AND u.bucket = $1 AND u.name = $2), CAST($3 AS bigint)), $4) \
    AND name < $5 ORDER BY name, created, id LIMIT $6"
);
/// What another gateway at work is completing is its own.
pub(in crate::catalog::postgres) const SET_UPLOAD_STATE: &str = concat!(
    "WITH u AS (UPDATE longshore.uploads AS s SET state = $3, result = $4, ended = $5, holder = ",
    me!(),
    " WHERE s.id = $1 AND s.state = $2 AND (s.state <> 'completing' OR s.holder = ",
    me!(),
    " OR NOT ",
    at_work!("s.holder"),
    ") RETURNING bucket, name, handle), \
    known AS (SELECT longshore.refuse(CASE WHEN EXISTS (SELECT 1 FROM u) THEN NULL \
        WHEN EXISTS (SELECT 1 FROM longshore.uploads WHERE id = $1) THEN 'LS409' ELSE 'LS404' END) AS held) \
    SELECT held, bucket, name, handle FROM known LEFT JOIN u ON held"
);
pub(in crate::catalog::postgres) const END_UPLOAD: &str = "WITH u AS (UPDATE longshore.uploads SET state = $2, result = $3, ended = $4 \
    WHERE id = $1 AND state = 'completing' RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LS409' END)";
pub(in crate::catalog::postgres) const REOPEN_UPLOADS: &str = concat!(
    "UPDATE longshore.uploads AS s SET state = 'open' WHERE s.state = 'completing' AND s.ended IS NULL AND (s.holder = ",
    me!(),
    " OR NOT ",
    at_work!("s.holder"),
    ")"
);
pub(in crate::catalog::postgres) const FORGET_PARTS: &str =
    "DELETE FROM longshore.parts WHERE upload IN (SELECT id FROM longshore.uploads WHERE ended < $1)";
pub(in crate::catalog::postgres) const FORGET_UPLOADS: &str = "DELETE FROM longshore.uploads WHERE ended < $1";

/// Keeps an upload open, and its bucket there, while the transaction runs.
pub(in crate::catalog::postgres) const LOCK_UPLOAD: &str = "WITH u AS MATERIALIZED (SELECT state, u.bucket, u.name FROM longshore.uploads AS u \
        JOIN longshore.bucket_settings AS b ON b.id = u.bucket WHERE u.id = $1 FOR SHARE OF u FOR KEY SHARE OF b), \
    known AS (SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LS404' \
        WHEN (SELECT state FROM u) <> 'open' THEN 'LS409' END) AS held) \
    SELECT held, bucket, name FROM known LEFT JOIN u ON held";
/// `$12`: whether the part may have an attempt already, which the transaction then takes care of.
pub(in crate::catalog::postgres) const PUT_PART: &str = "WITH p AS (INSERT INTO longshore.parts (upload, number, attempt, stamp, size, modified, \
        etag, sum_algorithm, sum_kind, sum_value, crc64) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
        ON CONFLICT (upload, number) DO UPDATE SET attempt = excluded.attempt, stamp = excluded.stamp, \
            size = excluded.size, modified = excluded.modified, etag = excluded.etag, \
            sum_algorithm = excluded.sum_algorithm, sum_kind = excluded.sum_kind, sum_value = excluded.sum_value, \
            crc64 = excluded.crc64 WHERE CAST($12 AS boolean) RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN EXISTS (SELECT 1 FROM longshore.outbox AS o WHERE o.version = $3 AND o.bucket = \
        (SELECT u.bucket FROM longshore.uploads AS u WHERE u.id = $1)) THEN 'LS503' \
        WHEN NOT EXISTS (SELECT 1 FROM p) THEN 'LSDUP' END)";
pub(in crate::catalog::postgres) const ATTEMPT: &str =
    "SELECT attempt, stamp FROM longshore.parts WHERE upload = $1 AND number = $2 FOR UPDATE";
pub(in crate::catalog::postgres) const PARTS: &str = "SELECT number, attempt, stamp, size, modified, etag, sum_algorithm, sum_kind, sum_value, \
    crc64 FROM longshore.parts WHERE upload = $1 AND number > $2 ORDER BY number LIMIT $3";
pub(in crate::catalog::postgres) const DELETE_PARTS: &str =
    "DELETE FROM longshore.parts WHERE upload = $1 RETURNING number, attempt";
