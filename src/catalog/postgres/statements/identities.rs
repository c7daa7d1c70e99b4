//! Statements about users and their access keys.
//!
//! **Invariant:** each change moves the generation, by which caches hear of it.

pub(in crate::catalog::postgres) const INSERT_USER: &str = concat!(
    "WITH u AS (INSERT INTO longshore.users (name, display_name, email, groups, policy) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, email = excluded.email, \
            groups = excluded.groups, policy = excluded.policy WHERE CAST($6 AS boolean) RETURNING 1), m AS (",
    moved!("u"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LSTKN' END)"
);
pub(in crate::catalog::postgres) const USER: &str =
    "SELECT name, display_name, email, groups, policy FROM longshore.users WHERE name = $1";
pub(in crate::catalog::postgres) const USERS: &str = "SELECT name, display_name, email, groups, policy FROM longshore.users WHERE name > $1 \
    ORDER BY name LIMIT $2";
pub(in crate::catalog::postgres) const DELETE_USER: &str = concat!(
    "WITH u AS (DELETE FROM longshore.users WHERE name = $1 RETURNING name), \
    r AS (INSERT INTO longshore.users_removed (user_name, at) SELECT name, CAST($2 AS bigint) FROM u \
        ON CONFLICT (user_name) DO UPDATE SET at = excluded.at), \
    k AS (DELETE FROM longshore.access_keys WHERE user_name = $1), \
    l AS (UPDATE longshore.bucket_settings SET owner = 'root' WHERE owner = $1 RETURNING bucket_id), \
    b AS (UPDATE storage.buckets SET owner_id = NULL, owner = NULL WHERE id IN (SELECT bucket_id FROM l)), m AS (",
    moved!("u"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LS404' END)"
);
pub(in crate::catalog::postgres) const INSERT_KEY: &str = concat!(
    "WITH u AS MATERIALIZED (SELECT 1 FROM longshore.users WHERE name = $2 FOR KEY SHARE), \
    k AS (INSERT INTO longshore.access_keys (access_key, user_name, sealed_secret, created, claims) \
        SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS bytea), CAST($4 AS bigint), CAST($5 AS text) FROM u \
        ON CONFLICT (access_key) DO NOTHING RETURNING 1), m AS (",
    moved!("k"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LS404' \
        WHEN NOT EXISTS (SELECT 1 FROM k) THEN 'LSTKN' END)"
);
pub(in crate::catalog::postgres) const KEY: &str =
    "SELECT access_key, user_name, sealed_secret, created, claims FROM longshore.access_keys WHERE access_key = $1";
pub(in crate::catalog::postgres) const KEYS: &str = "SELECT access_key, user_name, sealed_secret, created, claims FROM longshore.access_keys \
    WHERE user_name = $1 ORDER BY access_key";
pub(in crate::catalog::postgres) const DELETE_KEY: &str = concat!(
    "WITH k AS (DELETE FROM longshore.access_keys WHERE access_key = $1 RETURNING 1), m AS (",
    moved!("k"),
    ") SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM k) THEN 'LS404' END)"
);
pub(in crate::catalog::postgres) const PUT_PASSWORD: &str = "WITH u AS MATERIALIZED (SELECT name FROM longshore.users WHERE name = $1 FOR KEY SHARE), \
    p AS (INSERT INTO longshore.passwords (user_name, hash) SELECT name, CAST($2 AS text) FROM u \
        ON CONFLICT (user_name) DO UPDATE SET hash = excluded.hash) \
    SELECT longshore.refuse(CASE WHEN NOT EXISTS (SELECT 1 FROM u) THEN 'LS404' END)";
pub(in crate::catalog::postgres) const PASSWORD: &str = "SELECT hash FROM longshore.passwords WHERE user_name = $1";
pub(in crate::catalog::postgres) const PUT_TOKEN: &str =
    "INSERT INTO longshore.tokens_given_back (token, ends) VALUES ($1, $2) ON CONFLICT (token) DO NOTHING";
pub(in crate::catalog::postgres) const TOKEN: &str = "SELECT 1 FROM longshore.tokens_given_back WHERE token = $1 \
    UNION ALL SELECT 1 FROM longshore.users_removed WHERE user_name = $2 AND at >= $3";
pub(in crate::catalog::postgres) const FORGET_TOKENS: &str = "DELETE FROM longshore.tokens_given_back WHERE ends < $1";
