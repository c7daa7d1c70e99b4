//! Every statement of the catalog in Postgres.
//!
//! **Invariant:** each one that expects something ends its transaction itself if the expectation does not hold
//! (`longshore.refuse`), so a decision is sent as a whole. A lock and what is decided under it are two statements: a
//! statement that waited for a lock still sees the other tables as they were when it began. Where a row could be looked for by
//! two indexes, the condition is written so that only the better one serves (`bucket + 0`, `COLLATE`): the planner, who
//! knows nothing of a new table, would take any.

/// The facts of a version, as a listing shows them; the name comes from the row that they belong to.
macro_rules! entry {
    () => {
        "version, placed, stamp, size, modified, etag, owner, storage_class, sum_algorithm, sum_kind, counter, null_version"
    };
}
/// What a lookup shows: of a current version, or of one behind it, which has no row that others know.
macro_rules! object {
    ("false") => {
        concat!("name, ", entry!(), ", false, sum_value, crc64, content, parts, revision, attached, row_id")
    };
    ("marker") => {
        concat!(
            "name, ",
            entry!(),
            ", marker, sum_value, crc64, content, parts, revision, attached, CAST(NULL AS text)"
        )
    };
}
/// What a page of versions shows.
macro_rules! listed {
    ($marker:literal, $latest:literal) => {
        concat!("name, ", entry!(), ", ", $marker, ", ", $latest, " AS latest")
    };
}
/// The text that the tables of Supabase know a bucket by, compared as their index does.
macro_rules! bucket {
    () => {
        "(SELECT bucket_id COLLATE \"default\" FROM longshore.bucket_settings WHERE id = $1)"
    };
}
/// The columns of facts from the third on, in the order of their values.
macro_rules! facts {
    () => {
        "version, counter, placed, stamp, size, modified, etag, owner, storage_class, sum_algorithm, sum_kind, sum_value, \
         crc64, content, parts, null_version, revision, attached"
    };
}
/// Their values: `$3` to `$20`.
macro_rules! values {
    () => {
        "CAST($3 AS text), CAST($4 AS bigint), CAST($5 AS smallint), CAST($6 AS text), CAST($7 AS bigint), \
         CAST($8 AS bigint), CAST($9 AS text), CAST($10 AS text), CAST($11 AS text), CAST($12 AS text), \
         CAST($13 AS text), CAST($14 AS text), CAST($15 AS bigint), CAST($16 AS text), CAST($17 AS text), \
         CAST($18 AS boolean), CAST($19 AS bigint), CAST($20 AS text)"
    };
}
/// An instant of ours, in nanoseconds, as tables know it.
macro_rules! at {
    ($nanoseconds:literal) => {
        concat!("to_timestamp(0) + CAST(", $nanoseconds, " AS bigint) / 1000 * interval '1 microsecond'")
    };
}
/// An owner as the tables of Supabase know it: by the subject of its tokens, in an older column only where that is a UUID.
macro_rules! owned {
    ($owner:literal) => {
        concat!(
            "CASE WHEN starts_with(",
            $owner,
            ", 'sub:') THEN substr(",
            $owner,
            ", 5) ELSE NULLIF(",
            $owner,
            ", 'root') END, CASE WHEN ",
            $owner,
            " ~* '^sub:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN CAST(substr(",
            $owner,
            ", 5) AS uuid) END"
        )
    };
}
/// What the tables of Supabase say of an object: `$21` and `$22`.
macro_rules! shown {
    () => {
        concat!(owned!("$10"), ", CAST(CAST($21 AS text) AS jsonb), CAST(CAST($22 AS text) AS jsonb)")
    };
}
/// Whether the bytes of `$3` in the bucket `$1` were given up.
macro_rules! owed {
    () => {
        "EXISTS (SELECT 1 FROM longshore.outbox WHERE version = $3 AND bucket = $1)"
    };
}
/// Whether the version `v` of the bucket `$1` is named by a row, a part or a step. Attempts that wait to be freed stand inside
/// their step. (`OFFSET 0`: each version is looked up, and no table is read as a whole.)
macro_rules! named {
    () => {
        "EXISTS (SELECT 1 FROM longshore.facts WHERE version = v AND bucket = $1 OFFSET 0) \
        OR EXISTS (SELECT 1 FROM longshore.versions WHERE version = v AND bucket + 0 = $1 OFFSET 0) \
        OR EXISTS (SELECT 1 FROM longshore.parts JOIN longshore.uploads ON id = upload \
            WHERE attempt = v AND bucket = $1 OFFSET 0) \
        OR EXISTS (SELECT 1 FROM longshore.outbox WHERE version = v AND bucket + 0 = $1 OFFSET 0) \
        OR EXISTS (SELECT 1 FROM longshore.outbox WHERE bucket = $1 AND frees AND position(v IN step) > 0 OFFSET 0)"
    };
}
/// Moves the generation if something was changed.
macro_rules! moved {
    ($what:literal) => {
        concat!("UPDATE longshore.meta SET generation = generation + 1 WHERE EXISTS (SELECT 1 FROM ", $what, ")")
    };
}
macro_rules! bucket_row {
    () => {
        "l.id, l.bucket_id, l.provider, l.container, l.owner, l.created, l.settings, l.indexed, l.config, l.revision, \
         coalesce(b.public, false), b.file_size_limit, b.allowed_mime_types FROM longshore.bucket_settings l JOIN storage.buckets b ON b.id = l.bucket_id"
    };
}
macro_rules! upload_row {
    () => {
        "SELECT id, bucket, name, created, initiator, owner, content, attached, sum_algorithm, sum_kind, handle, state, \
         result FROM longshore.uploads"
    };
}

#[macro_use]
mod shared;

/// Who this process is to the others of its catalog: a setting of each connection; empty for who is no gateway.
macro_rules! me {
    () => {
        "coalesce(current_setting('longshore.holder', true), '')"
    };
}
/// Whether the gateway whose id is in this column is at work.
macro_rules! at_work {
    ($holder:literal) => {
        concat!("EXISTS (SELECT 1 FROM longshore.gateways AS g WHERE g.id = ", $holder, " AND g.until > now())")
    };
}

mod gateways;
mod identities;
mod roles;
mod uploads;

pub(super) use gateways::*;
pub(super) use identities::*;
pub(super) use roles::*;
pub(super) use shared::*;
pub(super) use uploads::*;

/// Keeps a bucket from going and its configuration as it is while the transaction runs. `$3`: the transaction counts what it changes.
pub(super) const LOCK_BUCKET: &str = "WITH b AS MATERIALIZED \
    (SELECT revision, counted FROM longshore.bucket_settings WHERE id = $1 FOR SHARE) \
    SELECT longshore.refuse(CASE \
        WHEN EXISTS (SELECT 1 FROM longshore.gates WHERE bucket = $1 AND until > now()) THEN 'LSGAT' \
        WHEN NOT EXISTS (SELECT 1 FROM b) THEN 'LS404' WHEN (SELECT revision FROM b) <> CAST($2 AS bigint) THEN 'LS409' \
        WHEN NOT CAST($3 AS boolean) AND (SELECT counted FROM b) THEN 'LSCNT' END)";
/// Keeps everybody else from changing objects of a bucket.
pub(super) const LOCK_BUCKET_ALONE: &str = "WITH b AS MATERIALIZED \
    (SELECT 1 FROM longshore.bucket_settings WHERE id = $1 FOR UPDATE) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM b) THEN 'LS404' END)";

/// For those who would wait for ever while commits follow each other without a gap.
pub(super) const WAIT_SHORTLY: &str = "SELECT set_config('lock_timeout', '250', true)";
pub(super) const RAISE_GATE: &str = "INSERT INTO longshore.gates (bucket, until) VALUES ($1, now() + interval '10 seconds') \
    ON CONFLICT (bucket) DO UPDATE SET until = excluded.until";
pub(super) const LOWER_GATE: &str = "DELETE FROM longshore.gates WHERE bucket = $1";

pub(super) const INSERT_BUCKET: &str = concat!(
    "WITH s AS (INSERT INTO storage.buckets (id, name, public, owner_id, owner, created_at, file_size_limit, \
        allowed_mime_types) VALUES ($1, $1, CAST($9 AS boolean), ",
    owned!("$4"),
    ", to_timestamp(CAST($5 AS bigint) / 1000000000.0), CAST($11 AS bigint), CAST($12 AS text[])) \
        ON CONFLICT DO NOTHING RETURNING id), \
    l AS (INSERT INTO longshore.bucket_settings (bucket_id, provider, container, owner, created, settings, indexed, config, \
        counted, shared) SELECT id, CAST($2 AS text), CAST($3 AS text), CAST($4 AS text), CAST($5 AS bigint), \
        CAST($6 AS text), CAST($7 AS bigint), CAST($8 AS text), CAST($10 AS boolean), CAST($13 AS smallint) FROM s ON CONFLICT DO NOTHING RETURNING id), \
    m AS (",
    moved!("l"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM l) THEN 'LSTKN' END), (SELECT id FROM l)"
);
pub(super) const BUCKET: &str = concat!("SELECT ", bucket_row!(), " WHERE l.bucket_id = $1");
pub(super) const BUCKETS: &str =
    concat!("SELECT ", bucket_row!(), " WHERE l.bucket_id >= $1 AND l.bucket_id < $2 ORDER BY l.bucket_id LIMIT $3");
pub(super) const SET_SETTINGS: &str = concat!(
    "WITH l AS (UPDATE longshore.bucket_settings SET settings = $2 WHERE id = $1 RETURNING bucket_id), \
    b AS (UPDATE storage.buckets SET public = $3 WHERE id IN (SELECT bucket_id FROM l)), m AS (",
    moved!("l"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM l) THEN 'LS404' END)"
);
pub(super) const RESTORE_BUCKET: &str = concat!(
    "WITH l AS (UPDATE longshore.bucket_settings SET settings = $2, owner = $4, created = $5, config = $6, counted = $7, \
        revision = revision + 1 WHERE id = $1 RETURNING bucket_id), \
    b AS (UPDATE storage.buckets SET public = $3, (owner_id, owner) = ROW (",
    owned!("$4"),
    "), file_size_limit = CAST($8 AS bigint), allowed_mime_types = CAST($9 AS text[]) \
        WHERE id IN (SELECT bucket_id FROM l)), m AS (",
    moved!("l"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM l) THEN 'LS404' END)"
);
pub(super) const SET_CONFIG: &str = concat!(
    "WITH l AS (UPDATE longshore.bucket_settings SET config = $3, counted = $4, revision = revision + 1 \
        WHERE id = $1 AND revision = $2 RETURNING bucket_id), \
    b AS (UPDATE storage.buckets SET file_size_limit = CAST($5 AS bigint), allowed_mime_types = CAST($6 AS text[]) \
        WHERE id IN (SELECT bucket_id FROM l)), m AS (",
    moved!("l"),
    ") SELECT longshore.refuse(CASE WHEN EXISTS (SELECT 1 FROM l) THEN NULL \
        WHEN EXISTS (SELECT 1 FROM longshore.bucket_settings WHERE id = $1) THEN 'LS409' ELSE 'LS404' END)"
);
pub(super) const SET_INDEXED: &str = concat!(
    "WITH l AS (UPDATE longshore.bucket_settings SET indexed = $2 WHERE id = $1 RETURNING 1), m AS (",
    moved!("l"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM l) THEN 'LS404' END)"
);
pub(super) const BUCKET_IS_EMPTY: &str = concat!(
    "SELECT longshore.refuse(CASE WHEN EXISTS (SELECT 1 FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    ") OR EXISTS (SELECT 1 FROM longshore.versions WHERE bucket = $1) THEN 'LSNTE' END)"
);
pub(super) const DELETE_BUCKET_OBJECTS: &[&str] = &[
    concat!(
        "DELETE FROM longshore.facts WHERE version IN (SELECT ",
        of_row!("o.version"),
        " FROM storage.objects o WHERE o.bucket_id = ",
        bucket!(),
        ")"
    ),
    concat!("DELETE FROM storage.objects WHERE bucket_id = ", bucket!()),
    "DELETE FROM longshore.versions WHERE bucket = $1",
];
pub(super) const DELETE_BUCKET: &[&str] = &[
    "DELETE FROM longshore.parts WHERE upload IN (SELECT id FROM longshore.uploads WHERE bucket = $1)",
    "DELETE FROM longshore.uploads WHERE bucket = $1",
    "DELETE FROM longshore.outbox WHERE bucket = $1",
    "DELETE FROM longshore.progress WHERE bucket = $1",
    "DELETE FROM longshore.quotas WHERE bucket = $1",
    concat!("DELETE FROM storage.buckets WHERE id = ", bucket!()),
    concat!("WITH l AS (DELETE FROM longshore.bucket_settings WHERE id = $1 RETURNING 1) ", moved!("l")),
];
pub(super) const NOTE_PROGRESS: &str = "INSERT INTO longshore.progress (bucket, state) \
    SELECT id, CAST($2 AS text) FROM longshore.bucket_settings WHERE id = $1 \
    ON CONFLICT (bucket) DO UPDATE SET state = excluded.state";
pub(super) const PROGRESS: &str = "SELECT state FROM longshore.progress WHERE bucket = $1";

pub(super) const QUOTA: &str = "SELECT objects, bytes, objects_max, bytes_max FROM longshore.quotas WHERE bucket = $1";
/// Writers of a counted bucket take turns from here on.
pub(super) const LOCK_QUOTA: &str = "SELECT 1 FROM longshore.quotas WHERE bucket = $1 FOR UPDATE";
pub(super) const SET_QUOTA: &str = concat!(
    "INSERT INTO longshore.quotas (bucket, objects, bytes, objects_max, bytes_max) \
    SELECT $1, sum(n), CAST(least(sum(s), 9223372036854775807) AS bigint), CAST($2 AS bigint), CAST($3 AS bigint) FROM (",
    "SELECT count(*) AS n, coalesce(sum(size), 0) AS s FROM ",
    current!(),
    " UNION ALL SELECT count(*), coalesce(sum(size), 0) FROM longshore.versions WHERE bucket = $1 AND NOT marker) AS held \
    ON CONFLICT (bucket) DO UPDATE SET objects = excluded.objects, bytes = excluded.bytes, \
        objects_max = excluded.objects_max, bytes_max = excluded.bytes_max"
);
pub(super) const END_QUOTA: &str = "DELETE FROM longshore.quotas WHERE bucket = $1";
/// Counts a change of the key `$2` before it is made: `$3` are the versions behind the current one that go, `$4` and `$5`
/// what comes. `$6`: growth beyond the quota is refused.
pub(super) const COUNT: &str = concat!(
    "WITH gone AS (SELECT size FROM ",
    current!(),
    " WHERE name COLLATE \"C\" = $2 UNION ALL SELECT size FROM longshore.versions \
        WHERE bucket = $1 AND name = $2 AND version = ANY (CAST($3 AS text[])) AND NOT marker), \
    growth AS (SELECT CAST($4 AS bigint) - count(*) AS objects, \
        CAST(CAST($5 AS bigint) - coalesce(sum(size), 0) AS bigint) AS bytes FROM gone), \
    held AS (UPDATE longshore.quotas AS q SET objects = q.objects + g.objects, bytes = q.bytes + g.bytes \
        FROM growth AS g WHERE q.bucket = $1 \
        RETURNING (g.objects > 0 AND q.objects > q.objects_max) OR (g.bytes > 0 AND q.bytes > q.bytes_max) AS beyond) \
    SELECT longshore.refuse(CASE WHEN CAST($6 AS boolean) AND (SELECT beyond FROM held) THEN 'LSQTA' END)"
);

pub(super) const OBJECT: &str =
    concat!("SELECT ", object!("false"), " FROM ", current!(), " WHERE name COLLATE \"C\" = $2");
pub(super) const OBJECTS: &str =
    concat!("SELECT ", object!("false"), " FROM ", current!(), " WHERE name COLLATE \"C\" = ANY (CAST($2 AS text[]))");
pub(super) const VERSION: &str = concat!(
    "SELECT ",
    object!("false"),
    " FROM ",
    current!(),
    " WHERE name COLLATE \"C\" = $2 AND version = $3 UNION ALL SELECT ",
    object!("marker"),
    " FROM longshore.versions WHERE bucket + 0 = $1 AND name = $2 AND version = $3"
);
pub(super) const NULL_VERSION: &str = concat!(
    "SELECT ",
    object!("false"),
    " FROM ",
    current!(),
    " WHERE name COLLATE \"C\" = $2 AND null_version UNION ALL SELECT ",
    object!("marker"),
    " FROM longshore.versions WHERE bucket = $1 AND name = $2 AND null_version"
);
pub(super) const HISTORY: &str = concat!(
    "SELECT ",
    object!("marker"),
    " FROM longshore.versions WHERE bucket = $1 AND name = $2 ORDER BY counter DESC LIMIT $3"
);
pub(super) const LIST: &str = concat!(
    "SELECT ",
    listed!("false", "true"),
    " FROM ",
    current!(),
    " WHERE name COLLATE \"C\" >= $2 AND name COLLATE \"C\" < $3 ORDER BY name COLLATE \"C\" LIMIT $4"
);
pub(super) const GLANCE: &str = concat!(
    "SELECT name, size, modified, \
        CASE WHEN CAST($5 AS boolean) THEN CAST(CAST(attached AS json) ->> 'created' AS bigint) END FROM ",
    current!(),
    " WHERE name COLLATE \"C\" >= $2 AND name COLLATE \"C\" < $3 ORDER BY name COLLATE \"C\" LIMIT $4"
);
/// A page of each of the two tables, as they are at one moment; their rows are merged behind it.
pub(super) const LIST_VERSIONS: &str = concat!(
    "(SELECT ",
    listed!("false", "true"),
    " FROM ",
    current!(),
    " WHERE name COLLATE \"C\" >= $2 AND name COLLATE \"C\" < $3 ORDER BY name COLLATE \"C\" LIMIT $4) UNION ALL (SELECT ",
    listed!("marker", "false"),
    " FROM longshore.versions WHERE bucket = $1 AND name >= $2 AND name < $3 ORDER BY name, counter DESC LIMIT $4)"
);
pub(super) const LIST_REST: &str = concat!(
    "SELECT ",
    listed!("marker", "false"),
    " FROM longshore.versions WHERE bucket = $1 AND name = $2 AND counter < $3 ORDER BY counter DESC LIMIT $4"
);
/// The sum as a text: it may have more than 64 bits.
pub(super) const USAGE: &str = concat!(
    "SELECT CAST(sum(n) AS bigint), CAST(sum(s) AS text) FROM (SELECT count(*) AS n, coalesce(sum(size), 0) AS s FROM ",
    current!(),
    " UNION ALL SELECT count(*), coalesce(sum(size), 0) FROM longshore.versions WHERE bucket = $1 AND NOT marker) AS held"
);

/// `$23`: whether the version is a fresh one, whose bytes `gc` may have given up. `$24`: what the row is known by. `$25`: when
/// the key came to be.
pub(super) const INSERT_OBJECT: &str = concat!(
    "WITH o AS (INSERT INTO storage.objects (id, created_at, updated_at, last_accessed_at, bucket_id, name, version, \
        owner_id, owner, metadata, user_metadata) SELECT CAST(CAST($24 AS text) AS uuid), ",
    at!("$25"),
    ", ",
    at!("$8"),
    ", ",
    at!("$25"),
    ", bucket_id, CAST($2 AS text), ",
    spelt!(),
    ", ",
    shown!(),
    " FROM longshore.bucket_settings WHERE id = $1 ON CONFLICT (bucket_id, name) DO NOTHING RETURNING 1), \
    f AS (INSERT INTO longshore.facts (bucket, ",
    facts!(),
    ") SELECT $1, ",
    values!(),
    " FROM o RETURNING 1) SELECT longshore.refuse(CASE WHEN CAST($23 AS boolean) AND ",
    owed!(),
    " THEN 'LS503' WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
/// Another version, `$24` and `$25` being the one that is there and its revision.
pub(super) const UPDATE_OBJECT: &str = concat!(
    "WITH o AS (UPDATE storage.objects SET version = ",
    spelt!(),
    ", (owner_id, owner, metadata, user_metadata) = ROW (",
    shown!(),
    ") WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $24 RETURNING 1), \
    f AS (UPDATE longshore.facts SET (",
    facts!(),
    ") = ROW (",
    values!(),
    ") WHERE version = $24 AND revision = CAST($25 AS bigint) AND EXISTS (SELECT 1 FROM o) RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN CAST($23 AS boolean) AND ",
    owed!(),
    " THEN 'LS503' WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
/// Other facts of the same version: nothing that the tables of Supabase say is changed by it.
pub(super) const UPDATE_FACTS: &str = concat!(
    "WITH f AS (UPDATE longshore.facts SET (",
    facts!(),
    ") = ROW (",
    values!(),
    ") WHERE version = $3 AND revision = CAST($21 AS bigint) AND EXISTS (SELECT 1 FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $3) RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
pub(super) const DELETE_OBJECT: &str = concat!(
    "WITH o AS (DELETE FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $3 RETURNING 1), \
    f AS (DELETE FROM longshore.facts WHERE version = $3 AND revision = $4 AND EXISTS (SELECT 1 FROM o) RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
/// Whoever makes a version behind this one current has to wait, and whoever did so is seen by the next statement.
pub(super) const LOCK_NEWEST: &str = "SELECT 1 FROM longshore.versions WHERE bucket = $1 AND name = $2 \
    ORDER BY counter DESC LIMIT 1 FOR UPDATE";
pub(super) const NO_OBJECT: &str = concat!(
    "SELECT longshore.refuse(CASE WHEN EXISTS (SELECT 1 FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2) THEN 'LS409' END)"
);
/// Whoever inserts the same job waits until this transaction has ended, also as the row is gone again at once.
pub(super) const TAKE_TURN: [&str; 2] = [
    "INSERT INTO longshore.leases (job, holder, until) VALUES ('beside ' || CAST($1 AS text), '', now())",
    "DELETE FROM longshore.leases WHERE job = 'beside ' || CAST($1 AS text)",
];
/// `$22`: whether the version is a fresh one.
pub(super) const INSERT_VERSION: &str = concat!(
    "WITH v AS (INSERT INTO longshore.versions (bucket, name, ",
    facts!(),
    ", marker) VALUES ($1, $2, ",
    values!(),
    ", CAST($21 AS boolean)) ON CONFLICT DO NOTHING RETURNING 1) SELECT longshore.refuse(CASE WHEN CAST($22 AS boolean) AND ",
    owed!(),
    " THEN 'LS503' WHEN NOT EXISTS (SELECT 1 FROM v) THEN 'LS409' END)"
);
pub(super) const DELETE_VERSION: &str = "WITH v AS (DELETE FROM longshore.versions \
    WHERE bucket + 0 = $1 AND name = $2 AND version = $3 AND revision = $4 RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM v) THEN 'LS409' END)";
pub(super) const IS_NEWEST: &str = "SELECT longshore.refuse(CASE WHEN (SELECT version FROM longshore.versions \
    WHERE bucket = $1 AND name = $2 ORDER BY counter DESC LIMIT 1) IS DISTINCT FROM CAST($3 AS text) THEN 'LS409' END)";
pub(super) const SET_PLACED: &str = concat!(
    "UPDATE longshore.facts SET placed = $4 WHERE version = $3 AND EXISTS (SELECT 1 FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $3)"
);
pub(super) const NAMED: &str = concat!("SELECT v FROM unnest(CAST($2 AS text[])) AS v WHERE ", named!());
/// Writes a step (`$3`) for each version (`$2`) that nothing names, under a key that no file can have.
pub(super) const GIVE_UP: &str = concat!(
    "INSERT INTO longshore.outbox (bucket, name, version, frees, step) SELECT $1, '//', v, false, s \
    FROM unnest(CAST($2 AS text[]), CAST($3 AS text[])) WITH ORDINALITY AS f (v, s, n) WHERE NOT (",
    named!(),
    ") ORDER BY n RETURNING id, version"
);

pub(super) const INSERT_TASK: &str = "INSERT INTO longshore.outbox (bucket, name, version, frees, step, bytes) \
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
pub(super) const TASKS: &str = concat!(
    "SELECT id, bucket, name, version, step, length(bytes), holder = ",
    me!(),
    " FROM longshore.outbox WHERE id > $1 ORDER BY id LIMIT $2"
);
pub(super) const TASKS_OF: &str = concat!(
    "SELECT id, bucket, name, version, step, length(bytes), holder = ",
    me!(),
    " FROM longshore.outbox WHERE bucket = $1 AND name = $2 ORDER BY id"
);
pub(super) const OWN_TASKS: &str = concat!(
    "SELECT id, bucket, name, version, step, length(bytes), true FROM longshore.outbox WHERE holder = ",
    me!(),
    " AND id > $1 ORDER BY id LIMIT $2"
);
/// What somebody else is just taking over is passed by.
pub(super) const TAKE_OVER: &str = concat!(
    "WITH free AS (SELECT o.id FROM longshore.outbox AS o WHERE o.holder <> ",
    me!(),
    " AND NOT ",
    at_work!("o.holder"),
    " ORDER BY o.id LIMIT $1 FOR UPDATE OF o SKIP LOCKED) \
    UPDATE longshore.outbox AS t SET holder = ",
    me!(),
    " FROM free WHERE t.id = free.id RETURNING t.id"
);
pub(super) const INLINE: &str = "SELECT bytes FROM longshore.outbox WHERE version = $1 AND bucket = $2 \
    AND bytes IS NOT NULL AND id = (SELECT max(id) FROM longshore.outbox \
        WHERE version = $1 AND bucket = $2 AND bytes IS NOT NULL)";
pub(super) const DELETE_TASKS: &str = concat!("DELETE FROM longshore.outbox WHERE id = ANY ($1) AND holder = ", me!());
/// Those whose version is current: whoever displaces it from now on finds it at its key. Another server that writes the row
/// anew leaves the facts.
pub(super) const DELETE_LAID_OUT: &str = concat!(
    "DELETE FROM longshore.outbox AS o WHERE o.id = ANY ($1) AND o.holder = ",
    me!(),
    " AND EXISTS (SELECT 1 FROM longshore.facts AS f WHERE f.version = o.version AND f.bucket = o.bucket) \
        AND EXISTS (SELECT 1 FROM longshore.bucket_settings AS b JOIN storage.objects AS r \
            ON r.bucket_id = b.bucket_id COLLATE \"default\" AND r.name COLLATE \"C\" = o.name AND ",
    of_row!("r.version"),
    " = o.version WHERE b.id = o.bucket) RETURNING o.id"
);

pub(super) const INSERT_EVENT: &str =
    "INSERT INTO longshore.events (bucket, name, target, created, event) VALUES ($1, $2, $3, $4, $5)";
pub(super) const EVENTS: &str = "SELECT id, bucket, name, target, created, event FROM longshore.events \
    WHERE target = $1 ORDER BY id LIMIT $2";
pub(super) const DELETE_EVENTS: &str = "DELETE FROM longshore.events WHERE id = ANY ($1)";
pub(super) const FORGET_OLD_EVENTS: &str = "WITH gone AS (DELETE FROM longshore.events WHERE created < $1 RETURNING 1) \
    SELECT count(*) FROM gone";
/// Their numbers have few gaps, so what is so far behind the newest is too many.
pub(super) const FORGET_MANY_EVENTS: &str = "WITH gone AS (DELETE FROM longshore.events \
    WHERE id <= (SELECT max(id) FROM longshore.events) - $1 RETURNING 1) SELECT count(*) FROM gone";
