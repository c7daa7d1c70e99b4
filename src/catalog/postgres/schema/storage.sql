-- The tables that policies are written for, in the shape they have in a database of Supabase. Nothing of Longshore's own is
-- in this schema: what is made in it is open to the roles of the users.
CREATE SCHEMA IF NOT EXISTS storage;
GRANT USAGE ON SCHEMA storage TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;

CREATE TABLE storage.migrations (
    id integer PRIMARY KEY,
    name varchar(100) NOT NULL UNIQUE,
    hash varchar(40) NOT NULL,
    executed_at timestamp DEFAULT current_timestamp
);
REVOKE ALL ON storage.migrations FROM anon, authenticated, service_role;

CREATE TYPE storage.buckettype AS ENUM ('STANDARD', 'ANALYTICS', 'VECTOR');

CREATE TABLE storage.buckets (
    id text PRIMARY KEY,
    name text NOT NULL,
    owner uuid,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    public boolean DEFAULT false,
    avif_autodetection boolean DEFAULT false,
    file_size_limit bigint,
    allowed_mime_types text[],
    owner_id text,
    type storage.buckettype NOT NULL DEFAULT 'STANDARD',
    versioning_status text NOT NULL DEFAULT 'DISABLED',
    CONSTRAINT buckets_versioning_status_check CHECK (versioning_status IN ('DISABLED', 'ENABLED', 'SUSPENDED')),
    CONSTRAINT buckets_versioning_disabled_check CHECK (versioning_status = 'DISABLED')
);
CREATE UNIQUE INDEX bname ON storage.buckets (name);
COMMENT ON COLUMN storage.buckets.owner IS 'Field is deprecated, use owner_id instead';

CREATE TABLE storage.objects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    bucket_id text CONSTRAINT "objects_bucketId_fkey" REFERENCES storage.buckets (id),
    name text,
    owner uuid,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    last_accessed_at timestamptz DEFAULT now(),
    metadata jsonb,
    path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED,
    version text,
    owner_id text,
    user_metadata jsonb,
    archived_at timestamptz,
    is_delete_marker boolean NOT NULL DEFAULT false,
    is_versioned boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX bucketid_objname ON storage.objects (bucket_id, name);
CREATE INDEX idx_objects_bucket_id_name ON storage.objects (bucket_id, name COLLATE "C");
CREATE INDEX idx_objects_bucket_id_name_lower ON storage.objects (bucket_id, lower(name) COLLATE "C");
CREATE INDEX name_prefix_search ON storage.objects (name text_pattern_ops);
COMMENT ON COLUMN storage.objects.owner IS 'Field is deprecated, use owner_id instead';

CREATE TABLE storage.s3_multipart_uploads (
    id text PRIMARY KEY,
    in_progress_size bigint NOT NULL DEFAULT 0,
    upload_signature text NOT NULL,
    bucket_id text NOT NULL REFERENCES storage.buckets (id),
    key text COLLATE "C" NOT NULL,
    version text NOT NULL,
    owner_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    user_metadata jsonb,
    metadata jsonb
);
CREATE INDEX idx_multipart_uploads_list ON storage.s3_multipart_uploads (bucket_id, key, created_at);

CREATE TABLE storage.s3_multipart_uploads_parts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    upload_id text NOT NULL REFERENCES storage.s3_multipart_uploads (id) ON DELETE CASCADE,
    size bigint NOT NULL DEFAULT 0,
    part_number integer NOT NULL,
    bucket_id text NOT NULL REFERENCES storage.buckets (id),
    key text COLLATE "C" NOT NULL,
    etag text NOT NULL,
    owner_id text,
    version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE storage.migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;
GRANT ALL ON storage.buckets, storage.objects TO anon, authenticated, service_role;
REVOKE ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts FROM anon, authenticated;
GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO service_role;
GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO anon, authenticated;

-- Parts of names, for policies.
CREATE FUNCTION storage.foldername(name text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT trim_array(string_to_array(name, '/'), least(1, cardinality(string_to_array(name, '/'))))
$$;
CREATE FUNCTION storage.filename(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(name, '^.*/', '')
$$;
CREATE FUNCTION storage.extension(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(regexp_replace(name, '^.*/', ''), '^.*\.', '')
$$;

-- What is being done, for policies.
CREATE FUNCTION storage.operation() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT current_setting('storage.operation', true)
$$;
CREATE FUNCTION storage.allow_any_operation(expected_operations text[]) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM unnest(expected_operations) AS expected
        WHERE expected <> ''
            AND regexp_replace(expected, '^storage\.', '') = regexp_replace(storage.operation(), '^storage\.', '')
    )
$$;
CREATE FUNCTION storage.allow_only_operation(expected_operation text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT storage.allow_any_operation(ARRAY[expected_operation])
$$;

CREATE FUNCTION storage.get_size_by_bucket() RETURNS TABLE (size bigint, bucket_id text) LANGUAGE sql STABLE AS $$
    SELECT CAST(sum(CAST(o.metadata ->> 'size' AS bigint)) AS bigint), o.bucket_id FROM storage.objects o GROUP BY 2
$$;

CREATE FUNCTION storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage.objects (bucket_id, name, owner, metadata) VALUES (bucketid, name, owner, metadata);
    -- Whoever asks rolls back and knows the answer by this state.
    RAISE sqlstate 'PT200' USING message = 'ROLLBACK', detail = 'rollback successful insert';
END
$$;

CREATE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN position(p_delimiter IN substr(p_key, length(p_prefix) + 1)) > 0 THEN
        left(p_key, length(p_prefix) + position(p_delimiter IN substr(p_key, length(p_prefix) + 1)) + length(p_delimiter) - 1)
    END
$$;

-- Listings for those who ask the database itself. They run under the rights of who asks.
CREATE FUNCTION storage.search(
    prefix text, bucketname text, limits integer DEFAULT 100, levels integer DEFAULT 1, offsets integer DEFAULT 0,
    search text DEFAULT '', sortcolumn text DEFAULT 'name', sortorder text DEFAULT 'asc'
) RETURNS TABLE (
    name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    upwards boolean := lower(coalesce(sortorder, 'asc')) <> 'desc';
    beginning text := lower(coalesce(prefix, '') || coalesce(search, ''));
    depth integer := greatest(coalesce(levels, 1), 1);
    by_name boolean := coalesce(sortcolumn, 'name') NOT IN ('updated_at', 'created_at', 'last_accessed_at');
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT o.path_tokens[depth] AS segment, cardinality(o.path_tokens) > depth AS folder,
            o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
        FROM storage.objects o
        WHERE o.bucket_id = bucketname AND starts_with(lower(o.name), beginning) AND cardinality(o.path_tokens) >= depth
    ), shown AS (
        SELECT DISTINCT f.segment, true AS folder, CAST(NULL AS uuid) AS id, CAST(NULL AS timestamptz) AS updated_at,
            CAST(NULL AS timestamptz) AS created_at, CAST(NULL AS timestamptz) AS last_accessed_at,
            CAST(NULL AS jsonb) AS metadata
        FROM found f WHERE f.folder
        UNION ALL
        SELECT f.* FROM found f WHERE NOT f.folder
    ), sorted AS (
        SELECT s.*, CASE sortcolumn WHEN 'updated_at' THEN s.updated_at WHEN 'created_at' THEN s.created_at
            WHEN 'last_accessed_at' THEN s.last_accessed_at END AS at
        FROM shown s
    )
    SELECT s.segment, s.id, s.updated_at, s.created_at, s.last_accessed_at, s.metadata FROM sorted s
    ORDER BY
        CASE WHEN NOT by_name THEN NOT s.folder END,
        CASE WHEN NOT by_name AND upwards THEN s.at END ASC,
        CASE WHEN NOT by_name AND NOT upwards THEN s.at END DESC,
        CASE WHEN upwards THEN lower(s.segment) COLLATE "C" END ASC,
        CASE WHEN NOT upwards THEN lower(s.segment) COLLATE "C" END DESC
    LIMIT least(coalesce(limits, 100), 1500) OFFSET coalesce(offsets, 0);
END
$$;

CREATE FUNCTION storage.search_v2(
    prefix text, bucket_name text, limits integer DEFAULT 100, levels integer DEFAULT 1, start_after text DEFAULT '',
    sort_order text DEFAULT 'asc', sort_column text DEFAULT 'name', sort_column_after text DEFAULT ''
) RETURNS TABLE (
    key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
    metadata jsonb
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    upwards boolean := lower(coalesce(sort_order, 'asc')) <> 'desc';
    depth integer := greatest(coalesce(levels, 1), 1);
    by_name boolean := coalesce(sort_column, 'name') NOT IN ('updated_at', 'created_at');
    seen timestamptz := CAST(nullif(sort_column_after, '') AS timestamptz);
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT o.*, cardinality(o.path_tokens) > depth AS folder,
            array_to_string(o.path_tokens[1:depth], '/') || '/' AS parent
        FROM storage.objects o
        WHERE o.bucket_id = bucket_name AND starts_with(o.name, coalesce(prefix, ''))
    ), shown AS (
        SELECT f.path_tokens[depth] AS key, f.parent AS name, CAST(NULL AS uuid) AS id,
            min(f.created_at) AS updated_at, min(f.created_at) AS created_at,
            CAST(NULL AS timestamptz) AS last_accessed_at, CAST(NULL AS jsonb) AS metadata
        FROM found f WHERE f.folder GROUP BY 1, 2
        UNION ALL
        SELECT f.path_tokens[depth], f.name, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata
        FROM found f WHERE NOT f.folder
    ), sorted AS (
        SELECT s.*, CASE sort_column WHEN 'updated_at' THEN s.updated_at WHEN 'created_at' THEN s.created_at END AS at
        FROM shown s
    )
    SELECT s.key, s.name, s.id, s.updated_at, s.created_at, s.last_accessed_at, s.metadata FROM sorted s
    WHERE coalesce(start_after, '') = ''
        OR CASE
            WHEN by_name OR seen IS NULL THEN
                CASE WHEN upwards THEN s.name COLLATE "C" > start_after ELSE s.name COLLATE "C" < start_after END
            WHEN upwards THEN (s.at, s.name COLLATE "C") > (seen, start_after)
            ELSE (s.at, s.name COLLATE "C") < (seen, start_after)
        END
    ORDER BY
        CASE WHEN upwards THEN s.at END ASC,
        CASE WHEN NOT upwards THEN s.at END DESC,
        CASE WHEN upwards THEN s.name COLLATE "C" END ASC,
        CASE WHEN NOT upwards THEN s.name COLLATE "C" END DESC
    LIMIT least(coalesce(limits, 100), 1500);
END
$$;

CREATE FUNCTION storage.search_by_timestamp(
    p_prefix text, p_bucket_id text, p_limit integer, p_level integer, p_start_after text, p_sort_order text,
    p_sort_column text, p_sort_column_after text
) RETURNS TABLE (
    key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
    metadata jsonb
) LANGUAGE sql STABLE AS $$
    SELECT * FROM storage.search_v2(
        p_prefix, p_bucket_id, p_limit, p_level, p_start_after, p_sort_order, p_sort_column, p_sort_column_after)
$$;

CREATE FUNCTION storage.list_objects_with_delimiter(
    _bucket_id text, prefix_param text, delimiter_param text, max_keys integer DEFAULT 100, start_after text DEFAULT '',
    next_token text DEFAULT '', sort_order text DEFAULT 'asc'
) RETURNS TABLE (
    name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    upwards boolean := lower(coalesce(sort_order, 'asc')) <> 'desc';
    seen text := coalesce(nullif(next_token, ''), start_after, '');
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT o.*, CASE WHEN coalesce(delimiter_param, '') <> ''
            THEN storage.get_common_prefix(o.name, coalesce(prefix_param, ''), delimiter_param) END AS parent
        FROM storage.objects o
        WHERE o.bucket_id = _bucket_id AND starts_with(o.name, coalesce(prefix_param, ''))
    ), shown AS (
        SELECT DISTINCT f.parent AS name, CAST(NULL AS uuid) AS id, CAST(NULL AS jsonb) AS metadata,
            CAST(NULL AS timestamptz) AS updated_at, CAST(NULL AS timestamptz) AS created_at,
            CAST(NULL AS timestamptz) AS last_accessed_at
        FROM found f WHERE f.parent IS NOT NULL
        UNION ALL
        SELECT f.name, f.id, f.metadata, f.updated_at, f.created_at, f.last_accessed_at FROM found f WHERE f.parent IS NULL
    )
    SELECT s.* FROM shown s
    WHERE seen = '' OR CASE WHEN upwards THEN s.name COLLATE "C" > seen ELSE s.name COLLATE "C" < seen END
    ORDER BY
        CASE WHEN upwards THEN s.name COLLATE "C" END ASC,
        CASE WHEN NOT upwards THEN s.name COLLATE "C" END DESC
    LIMIT coalesce(max_keys, 100);
END
$$;

CREATE FUNCTION storage.list_multipart_uploads_with_delimiter(
    bucket_id text, prefix_param text, delimiter_param text, max_keys integer DEFAULT 100,
    next_key_token text DEFAULT '', next_upload_token text DEFAULT ''
) RETURNS TABLE (key text, id text, created_at timestamptz) LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT coalesce(storage.get_common_prefix(u.key, prefix_param, delimiter_param), u.key) AS shown,
            storage.get_common_prefix(u.key, prefix_param, delimiter_param) IS NOT NULL AS folder, u.id, u.created_at
        FROM storage.s3_multipart_uploads u
        WHERE u.bucket_id = $1 AND starts_with(u.key, prefix_param)
    )
    SELECT f.shown, min(f.id), min(f.created_at) FROM found f
    WHERE (next_key_token = '' OR f.shown COLLATE "C" > next_key_token
        OR (next_upload_token <> '' AND NOT f.folder AND f.shown = next_key_token AND f.id COLLATE "C" > next_upload_token))
    GROUP BY f.shown, CASE WHEN NOT f.folder THEN f.id END
    ORDER BY f.shown COLLATE "C", min(f.created_at)
    LIMIT max_keys
$$;

CREATE FUNCTION storage.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END
$$;
CREATE TRIGGER update_objects_updated_at BEFORE UPDATE ON storage.objects
    FOR EACH ROW EXECUTE FUNCTION storage.update_updated_at_column();

CREATE FUNCTION storage.enforce_bucket_name_length() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF length(NEW.name) > 100 THEN
        RAISE EXCEPTION 'bucket name "%" is too long (% characters). Max is 100.', NEW.name, length(NEW.name);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER enforce_bucket_name_length_trigger BEFORE INSERT OR UPDATE OF name ON storage.buckets
    FOR EACH ROW EXECUTE FUNCTION storage.enforce_bucket_name_length();

CREATE FUNCTION storage.protect_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' THEN
        RAISE EXCEPTION 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
            USING HINT = 'This prevents accidental data loss from orphaned objects.', ERRCODE = '42501';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER protect_buckets_delete BEFORE DELETE ON storage.buckets
    FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();
CREATE TRIGGER protect_objects_delete BEFORE DELETE ON storage.objects
    FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();
