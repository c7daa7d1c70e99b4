//! The statements that run under the role of a token, and those around them.
//!
//! **Invariant:** what runs under a role names no table but those of Supabase, and takes the bucket from a setting of the
//! transaction; a role is left before anything else is read.

/// Settings under which policies are planned as their authors expect, and what a token says.
pub(in crate::catalog::postgres) const ENTER_ROLE: &str = "SELECT set_config('request.jwt.claims', $2, true), \
    set_config('request.jwt.claim.sub', $3, true), set_config('request.jwt.claim.role', $1, true), \
    set_config('storage.operation', $4, true), set_config('search_path', 'storage, public, extensions', true), \
    set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true), \
    set_config('enable_mergejoin', 'on', true), set_config('enable_bitmapscan', 'on', true), \
    set_config('plan_cache_mode', 'force_custom_plan', true), set_config('role', $1, true)";
pub(in crate::catalog::postgres) const LEAVE_ROLE: &str = "SELECT set_config('role', 'longshore_service', true), \
    set_config('search_path', 'pg_catalog', true), set_config('enable_seqscan', 'off', true), \
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), \
    set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)";
pub(in crate::catalog::postgres) const NAME_BUCKET: &str =
    concat!("SELECT set_config('longshore.bucket', coalesce(", bucket!(), ", ''), true)");
/// The bucket that something moves to.
pub(in crate::catalog::postgres) const NAME_OTHER: &str =
    concat!("SELECT set_config('longshore.other', coalesce(", bucket!(), ", ''), true)");
/// Where a window ends that begins at `$2` and has `$4` rows before its last: right behind that one, or at `$3`.
pub(in crate::catalog::postgres) const NAME_WINDOW: &str = concat!(
    "SELECT set_config('longshore.until', coalesce((SELECT name || E'\\x01' FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" >= $2 AND name COLLATE \"C\" < $3 ORDER BY name COLLATE \"C\" OFFSET $4 LIMIT 1), $3), true)"
);
pub(in crate::catalog::postgres) const SEEN_OBJECT: &str = concat!(
    "SELECT ",
    of_row!("version"),
    " FROM storage.objects WHERE bucket_id = current_setting('longshore.bucket') AND name = $1"
);
pub(in crate::catalog::postgres) const SEEN_OBJECTS: &str = concat!(
    "SELECT name, ",
    of_row!("version"),
    " FROM storage.objects WHERE bucket_id = current_setting('longshore.bucket') AND name COLLATE \"C\" >= $1 \
        AND name COLLATE \"C\" < current_setting('longshore.until') ORDER BY name COLLATE \"C\" LIMIT $2"
);
pub(in crate::catalog::postgres) const SEEN_BUCKET: &str = "SELECT 1 FROM storage.buckets WHERE id = $1";
pub(in crate::catalog::postgres) const SEEN_BUCKETS: &str = "SELECT id FROM storage.buckets \
    WHERE id COLLATE \"C\" >= $1 AND id COLLATE \"C\" < $2 ORDER BY id COLLATE \"C\" LIMIT $3";
pub(in crate::catalog::postgres) const BUCKETS_NAMED: &str =
    concat!("SELECT ", bucket_row!(), " WHERE l.bucket_id = ANY (CAST($1 AS text[])) ORDER BY l.bucket_id");
pub(in crate::catalog::postgres) const LIST_OF: &str = concat!(
    "SELECT ",
    listed!("false", "true"),
    " FROM unnest(CAST($2 AS text[]), CAST($3 AS text[])) AS seen (n, v) JOIN ",
    current!(),
    " ON name COLLATE \"C\" = n AND version = v"
);
pub(in crate::catalog::postgres) const SAVEPOINT: &str = "SAVEPOINT attempt";
pub(in crate::catalog::postgres) const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT attempt";
/// The subject of a token as an owner: an older column takes only what is a UUID.
macro_rules! subject {
    ($subject:literal) => {
        concat!(
            "CAST(",
            $subject,
            " AS text), CASE WHEN ",
            $subject,
            " ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN CAST(",
            $subject,
            " AS uuid) END"
        )
    };
}
/// What is offered to the policies: `$2` is the subject of the token.
macro_rules! offered {
    () => {
        concat!(
            "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata, user_metadata) \
        VALUES (current_setting('longshore.bucket'), $1, '1', ",
            subject!("$2"),
            ", CAST(CAST($3 AS text) AS jsonb), CAST(CAST($4 AS text) AS jsonb))"
        )
    };
}
/// Without RETURNING, so that who may write and not read is let in.
pub(in crate::catalog::postgres) const TRY_INSERT: &str = offered!();
pub(in crate::catalog::postgres) const TRY_UPSERT: &str = concat!(
    offered!(),
    " ON CONFLICT (name, bucket_id) DO UPDATE SET version = excluded.version, owner_id = excluded.owner_id, \
        owner = excluded.owner, metadata = excluded.metadata, user_metadata = excluded.user_metadata RETURNING *"
);
pub(in crate::catalog::postgres) const TRY_DELETE: &str = "DELETE FROM storage.objects \
    WHERE bucket_id = current_setting('longshore.bucket') AND name = $1 RETURNING id";
/// Nothing of what is attached to an object stands in this table, so it is changed into what it is.
pub(in crate::catalog::postgres) const TRY_CHANGE: &str = "UPDATE storage.objects SET metadata = metadata \
    WHERE bucket_id = current_setting('longshore.bucket') AND name = $1 RETURNING id";
pub(in crate::catalog::postgres) const TRY_MOVE: &str = concat!(
    "UPDATE storage.objects SET bucket_id = current_setting('longshore.other'), name = $2, version = '1', \
        (owner_id, owner) = ROW (",
    subject!("$3"),
    ") WHERE bucket_id = current_setting('longshore.bucket') AND name = $1 RETURNING id"
);
/// Puts a version, which has no row there, into the place of the current one. Only to ask about it, behind a savepoint.
pub(in crate::catalog::postgres) const PLACE_VERSION: &str = concat!(
    "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata, user_metadata) \
        SELECT bucket_id, CAST($2 AS text), CAST($3 AS text), ",
    owned!("$4"),
    ", CAST(CAST($5 AS text) AS jsonb), CAST(CAST($6 AS text) AS jsonb) FROM longshore.bucket_settings WHERE id = $1 \
    ON CONFLICT (bucket_id, name) DO UPDATE SET version = excluded.version, owner_id = excluded.owner_id, \
        owner = excluded.owner, metadata = excluded.metadata, user_metadata = excluded.user_metadata"
);
/// Those of the names that the role sees.
pub(in crate::catalog::postgres) const SEEN_NAMES: &str = "SELECT name FROM storage.objects \
    WHERE bucket_id = current_setting('longshore.bucket') AND name = ANY (CAST($1 AS text[]))";
/// The same, with their versions.
pub(in crate::catalog::postgres) const SEEN_VERSIONS: &str = concat!(
    "SELECT name, ",
    of_row!("version"),
    " FROM storage.objects WHERE bucket_id = current_setting('longshore.bucket') AND name = ANY (CAST($1 AS text[]))"
);
/// Versions behind the current ones.
pub(in crate::catalog::postgres) const VERSIONS_NAMED: &str = concat!(
    "SELECT ",
    object!("marker"),
    " FROM longshore.versions WHERE bucket + 0 = $1 AND version = ANY (CAST($2 AS text[]))"
);

pub(in crate::catalog::postgres) const TRY_INSERT_BUCKET: &str = concat!(
    "INSERT INTO storage.buckets (id, name, owner_id, owner, public, file_size_limit, allowed_mime_types) \
        VALUES ($1, $1, ",
    subject!("$2"),
    ", $3, CAST($4 AS bigint), CAST($5 AS text[]))"
);
pub(in crate::catalog::postgres) const TRY_UPDATE_BUCKET: &str = "UPDATE storage.buckets SET public = $1, file_size_limit = CAST($2 AS bigint), allowed_mime_types = CAST($3 AS text[]) \
    WHERE id = current_setting('longshore.bucket') RETURNING id";
pub(in crate::catalog::postgres) const TRY_OPEN_BUCKET: &str = "UPDATE storage.buckets SET public = $1 \
    WHERE id = current_setting('longshore.bucket') RETURNING id";
pub(in crate::catalog::postgres) const TRY_DELETE_BUCKET: &str = "DELETE FROM storage.buckets \
    WHERE id = current_setting('longshore.bucket') RETURNING id";
