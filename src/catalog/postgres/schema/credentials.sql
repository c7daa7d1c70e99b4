-- Hashes of passwords of users.
CREATE TABLE longshore.passwords (
    user_name text COLLATE "C" PRIMARY KEY REFERENCES longshore.users (name) ON DELETE CASCADE,
    hash text NOT NULL
);

-- Tokens of users that were given back before their end, which is in seconds.
CREATE TABLE longshore.tokens_given_back (
    token text COLLATE "C" PRIMARY KEY,
    ends bigint NOT NULL
);
CREATE INDEX tokens_given_back_ends ON longshore.tokens_given_back (ends);

-- When the last user of a name was removed, in seconds: tokens that are older are not those of a later one.
CREATE TABLE longshore.users_removed (
    user_name text COLLATE "C" PRIMARY KEY,
    at bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON longshore.passwords, longshore.tokens_given_back, longshore.users_removed
    TO longshore_service;
