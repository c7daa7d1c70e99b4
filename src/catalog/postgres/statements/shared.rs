//! Current versions: rows of Supabase's tables, with the facts of ours where there are any; and the statements about rows
//! that have none, because Supabase's own server has written them.
//!
//! That server spells a version as a UUID, and gives none to what is older than versions. Here it is 32 digits, and zeros
//! where there is none. In a bucket that it uses, too, versions are spelt as it does, so that it finds our bytes.
//!
//! **Invariant:** a row without facts shows only in a bucket that is shared, and what it says of itself can keep no other
//! row from being read: a member of its metadata that is not what it should be counts as missing.

/// The version of a row as it is spelt here.
macro_rules! of_row {
    ($version:literal) => {
        concat!("coalesce(replace(", $version, ", '-', ''), '00000000000000000000000000000000')")
    };
}
/// The version `$3` as a row of the bucket `$1` spells it.
macro_rules! spelt {
    () => {
        "CASE WHEN (SELECT shared FROM longshore.bucket_settings WHERE id = $1) IS NULL THEN CAST($3 AS text) \
        ELSE CAST(CAST(CAST($3 AS text) AS uuid) AS text) END"
    };
}
/// The revision of a row that has no facts.
macro_rules! no_facts {
    () => {
        "4611686018427387904"
    };
}
/// When a row was written, in nanoseconds.
macro_rules! written {
    () => {
        "CAST(extract(epoch FROM coalesce(o.updated_at, o.created_at, to_timestamp(0))) * 1000000000 AS bigint)"
    };
}
/// Current versions of the bucket `$1`.
macro_rules! current {
    () => {
        concat!(
            "(SELECT o.name, ",
            of_row!("o.version"),
            " AS version, coalesce(f.placed, (SELECT shared FROM longshore.bucket_settings WHERE id = $1)) AS placed, \
            coalesce(f.stamp, '*') AS stamp, coalesce(f.size, CASE WHEN jsonb_typeof(o.metadata -> 'size') = 'number' \
                THEN CAST(least(greatest(CAST(o.metadata ->> 'size' AS numeric), 0), 9000000000000000000) AS bigint) \
                ELSE 0 END) AS size, \
            coalesce(f.modified, CASE WHEN o.metadata ->> 'lastModified' \
                ~ '^[12][0-9]{3}-(0[1-9]|1[0-2])-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?Z$' \
                THEN CAST(extract(epoch FROM CAST(substr(o.metadata ->> 'lastModified', 1, 8) || '01' \
                    || substr(o.metadata ->> 'lastModified', 11) AS timestamptz)) * 1000000000 AS bigint) \
                    + (CAST(substr(o.metadata ->> 'lastModified', 9, 2) AS bigint) - 1) * 86400000000000 END, ",
            written!(),
            ") AS modified, \
            coalesce(f.etag, CASE WHEN jsonb_typeof(o.metadata -> 'size') = 'number' \
                AND jsonb_typeof(o.metadata -> 'eTag') = 'string' \
                THEN substring(o.metadata ->> 'eTag' FROM '^\"?([!#-~]{1,100})\"?$') END, '') AS etag, \
            coalesce(f.owner, 'sub:' || coalesce(o.owner_id, CAST(o.owner AS text)), 'root') AS owner, \
            f.storage_class, f.sum_algorithm, f.sum_kind, f.sum_value, f.crc64, f.parts, \
            replace(CAST(o.id AS text), '-', '') AS row_id, \
            coalesce(f.attached, CASE WHEN f.version IS NULL AND o.created_at IS NOT NULL THEN \
                CAST(jsonb_build_object('created', CAST(extract(epoch FROM o.created_at) * 1000000000 AS bigint)) AS text) \
                END) AS attached, \
            coalesce(f.counter, ",
            written!(),
            ") AS counter, coalesce(f.null_version, true) AS null_version, coalesce(f.revision, ",
            no_facts!(),
            ") AS revision, \
            coalesce(f.content, CAST(jsonb_strip_nulls(jsonb_build_object('type', o.metadata ->> 'mimetype', \
                'cache_control', o.metadata ->> 'cacheControl', 'robots', o.metadata ->> 'xRobotsTag', \
                'document', CASE WHEN jsonb_typeof(o.user_metadata) = 'object' THEN CAST(o.user_metadata AS text) END, \
                'user', CASE WHEN jsonb_typeof(o.user_metadata) = 'object' THEN \
                    (SELECT jsonb_object_agg(lower(key), value) FROM jsonb_each(o.user_metadata) \
                    WHERE jsonb_typeof(value) = 'string' AND key ~ '^[A-Za-z0-9_.-]{1,100}$' \
                        AND value #>> '{}' ~ '^[ -~]*$' AND octet_length(value #>> '{}') <= 1000) END)) AS text)) AS content \
            FROM storage.objects AS o LEFT JOIN longshore.facts AS f ON f.version = ",
            of_row!("o.version"),
            " WHERE o.bucket_id = ",
            bucket!(),
            " AND (f.version IS NOT NULL \
                OR ((o.version IS NULL OR o.version ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') \
                    AND (SELECT shared FROM longshore.bucket_settings WHERE id = $1) IS NOT NULL))) AS rows"
        )
    };
}
/// Whether this is the revision of a row that has no facts.
pub(in crate::catalog::postgres) fn has_no_facts(revision: u64) -> bool {
    revision == 1 << 62
}

/// Moves also with every change that another server makes to buckets that are shared with it.
pub(in crate::catalog::postgres) const GENERATION: &str = "SELECT generation + coalesce((SELECT \
    CAST(sum(hashtextextended(CAST(b AS text), 0) & 1073741823) AS bigint) FROM storage.buckets AS b \
    WHERE EXISTS (SELECT 1 FROM longshore.bucket_settings WHERE shared IS NOT NULL)), 0) FROM longshore.meta";
/// Forgets what another server has removed.
pub(in crate::catalog::postgres) const FORGET_SHARED: &str = concat!(
    "WITH l AS (DELETE FROM longshore.bucket_settings WHERE shared IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM storage.buckets AS b WHERE b.id = bucket_id) RETURNING id), m AS (",
    moved!("l"),
    ") DELETE FROM longshore.outbox WHERE bucket IN (SELECT id FROM l)"
);
/// Takes in what another server has made, as buckets of the provider `$1`.
pub(in crate::catalog::postgres) const ADOPT_SHARED: &str = concat!(
    "WITH l AS (INSERT INTO longshore.bucket_settings (bucket_id, provider, container, owner, created, settings, indexed, \
        config, shared) SELECT b.id, CAST($1 AS text), b.id, \
            coalesce('sub:' || coalesce(b.owner_id, CAST(b.owner AS text)), 'root'), \
            CAST(extract(epoch FROM coalesce(b.created_at, now())) * 1000000000 AS bigint), CAST($2 AS text), \
            CAST($3 AS bigint), CAST($4 AS text), CAST($5 AS smallint) FROM storage.buckets AS b \
        WHERE NOT EXISTS (SELECT 1 FROM longshore.bucket_settings AS l WHERE l.bucket_id = b.id) \
            AND coalesce(to_jsonb(b) ->> 'type', 'STANDARD') = 'STANDARD' AND b.id !~ '[/[:cntrl:]]' \
            AND octet_length(b.id) BETWEEN 1 AND 100 AND b.id NOT IN ('.', '..', '.longshore') \
        ON CONFLICT DO NOTHING RETURNING bucket_id), m AS (",
    moved!("l"),
    ") SELECT bucket_id FROM l"
);

/// Another version in the place of one without facts, `$24`.
pub(in crate::catalog::postgres) const REPLACE_SHARED: &str = concat!(
    "WITH o AS (UPDATE storage.objects SET version = ",
    spelt!(),
    ", (owner_id, owner, metadata, user_metadata) = ROW (",
    shown!(),
    ") WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $24 AND NOT EXISTS (SELECT 1 FROM longshore.facts WHERE version = $24) RETURNING 1), \
    f AS (INSERT INTO longshore.facts (bucket, ",
    facts!(),
    ") SELECT $1, ",
    values!(),
    " FROM o RETURNING 1) SELECT longshore.refuse(CASE WHEN CAST($23 AS boolean) AND ",
    owed!(),
    " THEN 'LS503' WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
/// The first facts of a version.
pub(in crate::catalog::postgres) const NOTE_SHARED: &str = concat!(
    "WITH f AS (INSERT INTO longshore.facts (bucket, ",
    facts!(),
    ") SELECT $1, ",
    values!(),
    " WHERE $3 <> '00000000000000000000000000000000' AND EXISTS (SELECT 1 FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("storage.objects.version"),
    " = $3) ON CONFLICT DO NOTHING RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM f) THEN 'LS409' END)"
);
pub(in crate::catalog::postgres) const DELETE_SHARED: &str = concat!(
    "WITH o AS (DELETE FROM storage.objects WHERE bucket_id = ",
    bucket!(),
    " AND name COLLATE \"C\" = $2 AND ",
    of_row!("version"),
    " = $3 AND NOT EXISTS (SELECT 1 FROM longshore.facts WHERE version = $3) RETURNING 1) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM o) THEN 'LS409' END)"
);
