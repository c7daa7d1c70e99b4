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
/// Where a window of `$4` rows ends that begins at `$2`: at the name behind it, or at `$3`.
pub(in crate::catalog::postgres) const NAME_WINDOW: &str = concat!(
    "SELECT set_config('longshore.until', coalesce((SELECT name FROM storage.objects WHERE bucket_id = ",
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
/// What is offered to the policies: `$2` is the subject of the token, an older column of which takes only what is a UUID.
macro_rules! offered {
    () => {
        "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata, user_metadata) \
        VALUES (current_setting('longshore.bucket'), $1, '1', CAST($2 AS text), \
            CASE WHEN $2 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN CAST($2 AS uuid) END, \
            CAST(CAST($3 AS text) AS jsonb), CAST(CAST($4 AS text) AS jsonb))"
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

pub(in crate::catalog::postgres) const TRY_INSERT_BUCKET: &str = "INSERT INTO storage.buckets \
    (id, name, owner_id, owner, public) VALUES ($1, $1, CAST($2 AS text), \
        CASE WHEN $2 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN CAST($2 AS uuid) END, $3)";
pub(in crate::catalog::postgres) const TRY_UPDATE_BUCKET: &str = "UPDATE storage.buckets SET public = $1 \
    WHERE id = current_setting('longshore.bucket') RETURNING id";
pub(in crate::catalog::postgres) const TRY_DELETE_BUCKET: &str = "DELETE FROM storage.buckets \
    WHERE id = current_setting('longshore.bucket') RETURNING id";
