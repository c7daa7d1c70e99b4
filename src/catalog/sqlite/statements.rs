//! Every statement of the embedded catalog.
//!
//! **Invariant:** each runs from the statement cache of its connection, and each range goes by an index: a test prepares
//! all of them and reads the plans of those that walk.

/// Declares the statements, and for the test the list of them all.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $text;)*
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// What a listing shows of a version.
macro_rules! entry {
    () => {
        "name, version, placed, stamp, size, modified, etag, owner, storage_class, sum_algorithm, sum_kind"
    };
}
/// What a lookup shows; `marker` is a column of the versions behind the current ones.
macro_rules! object {
    ($marker:literal) => {
        concat!(
            entry!(),
            ", sum_value, counter, crc64, content, parts, null_version, ",
            $marker,
            ", revision, attached"
        )
    };
}

statements! {
    CATALOG_ID = "SELECT value FROM meta WHERE name = 'catalog_id'";
    SET_CATALOG_ID = "INSERT INTO meta (name, value) VALUES ('catalog_id', ?1)";
    GENERATION = "SELECT value FROM meta WHERE name = 'generation'";
    NEXT_GENERATION = "UPDATE meta SET value = value + 1 WHERE name = 'generation'";

    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVEPOINT = "SAVEPOINT job";
    RELEASE = "RELEASE job";
    ROLLBACK_TO = "ROLLBACK TO job";

    INSERT_BUCKET = "INSERT INTO buckets (name, provider, container, owner, created, settings, indexed, config) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO NOTHING RETURNING id";
    BUCKET = "SELECT id, name, provider, container, owner, created, settings, indexed, config, revision FROM buckets WHERE name = ?1";
    BUCKETS = "SELECT id, name, provider, container, owner, created, settings, indexed, config, revision FROM buckets \
        WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3";
    REVISION = "SELECT revision FROM buckets WHERE id = ?1";
    SET_CONFIG = "UPDATE buckets SET config = ?3, revision = revision + 1 WHERE id = ?1 AND revision = ?2";
    SET_SETTINGS = "UPDATE buckets SET settings = ?2 WHERE id = ?1";
    RESTORE_BUCKET = "UPDATE buckets SET owner = ?2, created = ?3, settings = ?4, config = ?5, revision = revision + 1 \
        WHERE id = ?1";
    SET_INDEXED = "UPDATE buckets SET indexed = ?2 WHERE id = ?1";
    DISOWN_BUCKETS = "UPDATE buckets SET owner = ?2 WHERE owner = ?1";
    DELETE_BUCKET = "DELETE FROM buckets WHERE id = ?1";
    BUCKET_HAS_OBJECTS = "SELECT 1 FROM objects WHERE bucket_id = ?1 LIMIT 1";
    BUCKET_HAS_VERSIONS = "SELECT 1 FROM versions WHERE bucket_id = ?1 LIMIT 1";
    DELETE_BUCKET_OBJECTS = "DELETE FROM objects WHERE bucket_id = ?1";
    DELETE_BUCKET_VERSIONS = "DELETE FROM versions WHERE bucket_id = ?1";
    DELETE_BUCKET_QUOTA = "DELETE FROM quotas WHERE bucket_id = ?1";
    QUOTA = "SELECT objects, bytes, objects_max, bytes_max FROM quotas WHERE bucket_id = ?1";
    SET_QUOTA = "INSERT OR REPLACE INTO quotas (bucket_id, objects, bytes, objects_max, bytes_max) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    COUNT_QUOTA = "UPDATE quotas SET objects = objects + ?2, bytes = bytes + ?3 WHERE bucket_id = ?1";
    /// Walks all uploads: one day of them, and buckets go seldom. An index for it would cost every upload.
    DELETE_BUCKET_PARTS = "DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE bucket_id = ?1)";
    DELETE_BUCKET_UPLOADS = "DELETE FROM uploads WHERE bucket_id = ?1";
    DELETE_BUCKET_OUTBOX = "DELETE FROM outbox WHERE bucket_id = ?1";
    DELETE_BUCKET_PROGRESS = "DELETE FROM progress WHERE bucket_id = ?1";
    NOTE_PROGRESS = "INSERT INTO progress (bucket_id, state) SELECT id, ?2 FROM buckets WHERE id = ?1 \
        ON CONFLICT (bucket_id) DO UPDATE SET state = excluded.state";
    PROGRESS = "SELECT state FROM progress WHERE bucket_id = ?1";

    OBJECT = concat!("SELECT ", object!("0"), " FROM objects WHERE bucket_id = ?1 AND name = ?2");
    OBJECT_OF_VERSION = concat!("SELECT ", object!("0"), " FROM objects \
        WHERE bucket_id = ?1 AND name = ?2 AND version = ?3");
    OBJECT_IF_NULL = concat!("SELECT ", object!("0"), " FROM objects \
        WHERE bucket_id = ?1 AND name = ?2 AND null_version = 1");
    VERSION = concat!("SELECT ", object!("marker"), " FROM versions \
        WHERE bucket_id = ?1 AND name = ?2 AND version = ?3");
    NULL_VERSION = concat!("SELECT ", object!("marker"), " FROM versions \
        WHERE bucket_id = ?1 AND name = ?2 AND null_version = 1");
    HISTORY = concat!("SELECT ", object!("marker"), " FROM versions \
        WHERE bucket_id = ?1 AND name = ?2 ORDER BY counter DESC LIMIT ?3");
    /// The last column of a current version is never read: it may lie behind what a listing reads of a row.
    LIST = concat!("SELECT ", entry!(), ", counter, 0, 0, 1 \
        FROM objects WHERE bucket_id = ?1 AND name >= ?2 AND name < ?3 ORDER BY name LIMIT ?4");
    /// The last column may lie behind what is read of a row, and has to be parsed.
    GLANCE = "SELECT name, size, modified, CASE WHEN ?4 THEN json_extract(attached, '$.created') END \
        FROM objects WHERE bucket_id = ?1 AND name >= ?2 AND name < ?3 ORDER BY name";
    LIST_CURRENT = concat!("SELECT ", entry!(), ", counter, null_version, 0, 1 \
        FROM objects WHERE bucket_id = ?1 AND name >= ?2 AND name < ?3 ORDER BY name LIMIT ?4");
    LIST_VERSIONS = concat!("SELECT ", entry!(), ", counter, null_version, marker, 0 FROM versions \
        WHERE bucket_id = ?1 AND name >= ?2 AND name < ?3 ORDER BY name, counter DESC LIMIT ?4");
    LIST_REST = concat!("SELECT ", entry!(), ", counter, null_version, marker, 0 FROM versions \
        WHERE bucket_id = ?1 AND name = ?2 AND counter < ?3 ORDER BY counter DESC LIMIT ?4");
    /// The sum goes in two halves, as SQLite's sum of integers fails beyond 63 bits.
    USAGE = "SELECT count(*), coalesce(sum(size >> 32), 0), coalesce(sum(size & 4294967295), 0) \
        FROM objects WHERE bucket_id = ?1";
    USAGE_OF_VERSIONS = "SELECT count(*), coalesce(sum(size >> 32), 0), coalesce(sum(size & 4294967295), 0) \
        FROM versions WHERE bucket_id = ?1 AND marker = 0";
    OBJECT_IS = "SELECT 1 FROM objects WHERE bucket_id = ?1 AND name = ?2";
    INSERT_OBJECT = "INSERT INTO objects (bucket_id, name, version, counter, placed, stamp, size, modified, etag, owner, \
        storage_class, sum_algorithm, sum_kind, sum_value, crc64, content, parts, null_version, revision, attached) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
        ON CONFLICT (bucket_id, name) DO NOTHING";
    INSERT_VERSION = "INSERT INTO versions (bucket_id, name, version, counter, placed, stamp, size, modified, etag, \
        owner, storage_class, sum_algorithm, sum_kind, sum_value, crc64, content, parts, null_version, revision, \
        attached, marker) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21) \
        ON CONFLICT DO NOTHING";
    DELETE_VERSION = "DELETE FROM versions WHERE bucket_id = ?1 AND name = ?2 AND version = ?3 AND revision = ?4 \
        RETURNING size, marker";
    NEWEST_VERSION = "SELECT version FROM versions WHERE bucket_id = ?1 AND name = ?2 ORDER BY counter DESC LIMIT 1";
    SIZE_OF_OBJECT = "SELECT size FROM objects WHERE bucket_id = ?1 AND name = ?2";
    UPDATE_OBJECT = "UPDATE objects SET version = ?3, counter = ?4, placed = ?5, stamp = ?6, size = ?7, modified = ?8, \
        etag = ?9, owner = ?10, storage_class = ?11, sum_algorithm = ?12, sum_kind = ?13, sum_value = ?14, crc64 = ?15, \
        content = ?16, parts = ?17, null_version = ?18, revision = ?19, attached = ?20 \
        WHERE bucket_id = ?1 AND name = ?2 AND version = ?21 AND revision = ?22";
    DELETE_OBJECT = "DELETE FROM objects WHERE bucket_id = ?1 AND name = ?2 AND version = ?3 AND revision = ?4";
    SET_PLACED = "UPDATE objects SET placed = ?4 WHERE bucket_id = ?1 AND name = ?2 AND version = ?3";
    NAMED = "SELECT EXISTS (SELECT 1 FROM objects WHERE version = ?2 AND bucket_id = ?1) \
        OR EXISTS (SELECT 1 FROM versions WHERE version = ?2 AND bucket_id = ?1) \
        OR EXISTS (SELECT 1 FROM parts WHERE attempt = ?2 \
            AND upload_id IN (SELECT id FROM uploads WHERE id = upload_id AND bucket_id = ?1)) \
        OR EXISTS (SELECT 1 FROM outbox WHERE version = ?2 AND bucket_id = ?1)";

    VERSION_IS_OWED = "SELECT 1 FROM outbox WHERE version = ?1 AND bucket_id = ?2";
    INSERT_TASK = "INSERT INTO outbox (bucket_id, name, version, frees, step, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    TASKS = "SELECT id, bucket_id, name, version, step, length(bytes) FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2";
    TASKS_OF = "SELECT id, bucket_id, name, version, step, length(bytes) FROM outbox \
        WHERE bucket_id = ?1 AND name = ?2 ORDER BY id";
    INLINE = "SELECT bytes FROM outbox WHERE version = ?1 AND bucket_id = ?2 AND bytes IS NOT NULL \
        ORDER BY id DESC LIMIT 1";
    FREEING_STEPS = "SELECT step FROM outbox WHERE bucket_id = ?1 AND frees = 1";
    DELETE_TASK = "DELETE FROM outbox WHERE id = ?1";

    INSERT_EVENT = "INSERT INTO events (bucket_id, name, target, created, event) VALUES (?1, ?2, ?3, ?4, ?5)";
    EVENTS = "SELECT id, bucket_id, name, target, created, event FROM events WHERE target = ?1 ORDER BY id LIMIT ?2";
    DELETE_EVENT = "DELETE FROM events WHERE id = ?1";
    FORGET_OLD_EVENTS = "DELETE FROM events WHERE created < ?1";
    /// Their numbers have few gaps, so what is so far behind the newest is too many.
    FORGET_MANY_EVENTS = "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1";

    INSERT_UPLOAD = "INSERT INTO uploads (id, bucket_id, name, created, initiator, content, sum_algorithm, sum_kind, \
        handle, state, result, ended, attached, owner) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    UPLOAD = "SELECT id, bucket_id, name, created, initiator, content, sum_algorithm, sum_kind, handle, state, result, \
        attached, owner FROM uploads WHERE id = ?1";
    UPLOADS = "SELECT id, bucket_id, name, created, initiator, content, sum_algorithm, sum_kind, handle, state, result, \
        attached, owner FROM uploads WHERE bucket_id = ?1 AND ended IS NULL AND (name, created, id) > (?2, ?3, ?4) AND name < ?5 \
        ORDER BY name, created, id LIMIT ?6";
    UPLOAD_CREATED = "SELECT created FROM uploads WHERE id = ?1 AND bucket_id = ?2 AND name = ?3";
    SET_UPLOAD_STATE = "UPDATE uploads SET state = ?2, result = ?3, ended = ?4 WHERE id = ?1";
    SET_UPLOAD_ATTACHED = "UPDATE uploads SET attached = ?2 WHERE id = ?1";
    END_UPLOAD = "UPDATE uploads SET state = ?2, result = ?3, ended = ?4 WHERE id = ?1 AND state = 'completing'";
    REOPEN_UPLOADS = "UPDATE uploads SET state = 'open' WHERE state = 'completing'";
    FORGET_PARTS = "DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE ended < ?1)";
    FORGET_UPLOADS = "DELETE FROM uploads WHERE ended < ?1";

    PUT_PART = "INSERT OR REPLACE INTO parts (upload_id, number, attempt, stamp, size, modified, etag, sum_algorithm, \
        sum_kind, sum_value, crc64) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    PARTS = "SELECT number, attempt, stamp, size, modified, etag, sum_algorithm, sum_kind, sum_value, crc64 FROM parts \
        WHERE upload_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    ATTEMPT = "SELECT attempt, stamp FROM parts WHERE upload_id = ?1 AND number = ?2";
    ATTEMPTS = "SELECT attempt FROM parts WHERE upload_id = ?1 ORDER BY number";
    DELETE_PARTS = "DELETE FROM parts WHERE upload_id = ?1";

    INSERT_USER = "INSERT INTO users (name, display_name, email, groups, policy) VALUES (?1, ?2, ?3, ?4, ?5) \
        ON CONFLICT (name) DO NOTHING";
    PUT_USER = "INSERT OR REPLACE INTO users (name, display_name, email, groups, policy) VALUES (?1, ?2, ?3, ?4, ?5)";
    USER = "SELECT name, display_name, email, groups, policy FROM users WHERE name = ?1";
    USERS = "SELECT name, display_name, email, groups, policy FROM users WHERE name > ?1 ORDER BY name LIMIT ?2";
    DELETE_USER = "DELETE FROM users WHERE name = ?1";
    DELETE_USER_KEYS = "DELETE FROM access_keys WHERE user = ?1";
    INSERT_KEY = "INSERT INTO access_keys (access_key, user, sealed_secret, created, claims) VALUES (?1, ?2, ?3, ?4, ?5) \
        ON CONFLICT (access_key) DO NOTHING";
    KEY = "SELECT access_key, user, sealed_secret, created, claims FROM access_keys WHERE access_key = ?1";
    KEYS = "SELECT access_key, user, sealed_secret, created, claims FROM access_keys WHERE user = ?1 ORDER BY access_key";
    DELETE_KEY = "DELETE FROM access_keys WHERE access_key = ?1";
    PUT_PASSWORD = "INSERT OR REPLACE INTO passwords (user, hash) VALUES (?1, ?2)";
    PASSWORD = "SELECT hash FROM passwords WHERE user = ?1";
    DELETE_PASSWORD = "DELETE FROM passwords WHERE user = ?1";
    PUT_TOKEN = "INSERT OR REPLACE INTO tokens_given_back (token, ends) VALUES (?1, ?2)";
    TOKEN = "SELECT 1 FROM tokens_given_back WHERE token = ?1 UNION ALL SELECT 1 FROM users_removed WHERE user = ?2 AND at >= ?3";
    NOTE_REMOVED_USER = "INSERT OR REPLACE INTO users_removed (user, at) VALUES (?1, ?2)";
    FORGET_TOKENS = "DELETE FROM tokens_given_back WHERE ends < ?1";
}
