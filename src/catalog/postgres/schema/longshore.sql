-- What is Longshore's own. Nobody but its role gets at it. Names compare by bytes; versions and uploads are 32 hexadecimal
-- digits; times are nanoseconds; unsigned numbers are checked to fit into 63 bits, except CRC-64s, kept bit by bit.
CREATE TABLE longshore.meta (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    catalog_id text COLLATE "C",
    generation bigint NOT NULL DEFAULT 1
);
INSERT INTO longshore.meta DEFAULT VALUES;

-- Buckets are rows of storage.buckets with one here. Numbers are never used again: rows of a bucket that is gone can
-- never come to belong to another.
CREATE TABLE longshore.bucket_settings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket_id text COLLATE "C" NOT NULL UNIQUE,
    provider text NOT NULL,
    container text NOT NULL,
    owner text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    settings text NOT NULL,
    indexed bigint,
    config text NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    -- Whether what it holds is counted in quotas.
    counted boolean NOT NULL DEFAULT false
);
CREATE INDEX bucket_settings_of ON longshore.bucket_settings (owner);

-- The facts of current versions, whose rows are storage.objects. No foreign key: whoever rewrites a row there gives it
-- another version, and these facts no longer join.
CREATE TABLE longshore.facts (
    version text COLLATE "C" PRIMARY KEY,
    bucket bigint NOT NULL,
    counter bigint NOT NULL,
    placed smallint NOT NULL,
    stamp text NOT NULL,
    size bigint NOT NULL,
    modified bigint NOT NULL,
    etag text NOT NULL,
    owner text NOT NULL,
    storage_class text,
    sum_algorithm text,
    sum_kind text,
    sum_value text,
    crc64 bigint,
    content text NOT NULL,
    parts text,
    null_version boolean NOT NULL,
    revision bigint NOT NULL,
    attached text
);

-- Buckets that somebody waits to have for himself: new commits stand back, as they would otherwise follow each other without
-- a gap. Only for order: who has a bucket is decided by the lock of its row.
CREATE TABLE longshore.gates (bucket bigint PRIMARY KEY, until timestamptz NOT NULL);

-- What is behind the current versions: noncurrent ones and delete markers, newest first within a key.
CREATE TABLE longshore.versions (
    version text COLLATE "C" PRIMARY KEY,
    bucket bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    counter bigint NOT NULL,
    placed smallint NOT NULL,
    stamp text NOT NULL,
    size bigint NOT NULL,
    modified bigint NOT NULL,
    etag text NOT NULL,
    owner text NOT NULL,
    storage_class text,
    sum_algorithm text,
    sum_kind text,
    sum_value text,
    crc64 bigint,
    content text NOT NULL,
    parts text,
    null_version boolean NOT NULL,
    marker boolean NOT NULL,
    revision bigint NOT NULL,
    attached text
);
CREATE INDEX versions_of ON longshore.versions (bucket, name, counter DESC);
CREATE UNIQUE INDEX versions_null ON longshore.versions (bucket, name) WHERE null_version;

-- What buckets with a quota hold, counted by every commit.
CREATE TABLE longshore.quotas (
    bucket bigint PRIMARY KEY,
    objects bigint NOT NULL,
    bytes bigint NOT NULL,
    objects_max bigint,
    bytes_max bigint
);

CREATE TABLE longshore.progress (bucket bigint PRIMARY KEY, state text NOT NULL);

CREATE TABLE longshore.uploads (
    id text COLLATE "C" PRIMARY KEY,
    bucket bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    initiator text NOT NULL,
    owner text NOT NULL,
    content text NOT NULL,
    attached text,
    sum_algorithm text,
    sum_kind text,
    handle text NOT NULL,
    state text NOT NULL,
    result text,
    -- When it was done or aborted; without it the upload is open or completing.
    ended bigint
);
CREATE INDEX uploads_under_way ON longshore.uploads (bucket, name, created, id) WHERE ended IS NULL;
CREATE INDEX uploads_ended ON longshore.uploads (ended) WHERE ended IS NOT NULL;

CREATE TABLE longshore.parts (
    upload text COLLATE "C",
    number integer,
    attempt text COLLATE "C" NOT NULL,
    stamp text NOT NULL,
    size bigint NOT NULL,
    modified bigint NOT NULL,
    etag text NOT NULL,
    sum_algorithm text,
    sum_kind text,
    sum_value text,
    crc64 bigint NOT NULL,
    PRIMARY KEY (upload, number)
);
CREATE INDEX parts_attempt ON longshore.parts (attempt);

CREATE TABLE longshore.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    -- Whether it frees attempts of an upload, which are versions named inside the step.
    frees boolean NOT NULL,
    step text NOT NULL,
    -- The bytes of a small version, until its file is durable.
    bytes bytea
);
CREATE INDEX outbox_key ON longshore.outbox (bucket, name, id);
CREATE INDEX outbox_version ON longshore.outbox (version);
CREATE INDEX outbox_frees ON longshore.outbox (bucket) WHERE frees;
ALTER TABLE longshore.outbox ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- What is still to be told to targets outside. Not bound to a bucket that is there.
CREATE TABLE longshore.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    event text NOT NULL
);
CREATE INDEX events_target ON longshore.events (target, id);
CREATE INDEX events_created ON longshore.events (created);

CREATE TABLE longshore.users (
    name text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    email text,
    groups text NOT NULL,
    policy text NOT NULL
);

CREATE TABLE longshore.access_keys (
    access_key text COLLATE "C" PRIMARY KEY,
    user_name text COLLATE "C" NOT NULL,
    sealed_secret bytea NOT NULL,
    created bigint NOT NULL
);
CREATE INDEX access_keys_of ON longshore.access_keys (user_name, access_key);

-- Ends a transaction whose expectation does not hold, with a state that says which: so a whole decision can be sent at
-- once, and nobody waits between its statements.
CREATE FUNCTION longshore.refuse(state text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF state IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = 'an expectation does not hold';
    END IF;
    RETURN true;
END
$$;

REVOKE ALL ON SCHEMA longshore FROM PUBLIC;
GRANT USAGE ON SCHEMA longshore TO longshore_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA longshore TO longshore_service;
GRANT USAGE ON SCHEMA storage TO longshore_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON storage.buckets, storage.objects TO longshore_service;
