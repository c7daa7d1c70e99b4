-- Which processes serve the catalog, each until it says so again. Times are the database's own.
CREATE TABLE longshore.gateways (
    id text COLLATE "C" PRIMARY KEY,
    -- Another one for each start of the process.
    run text NOT NULL,
    until timestamptz NOT NULL,
    -- Marks of its secrets, by name.
    marks text NOT NULL
);

-- Jobs that one process does at a time.
CREATE TABLE longshore.leases (
    job text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL
);

-- Marks of the secrets without which what is in the catalog cannot be read.
CREATE TABLE longshore.marks (name text COLLATE "C" PRIMARY KEY, mark text NOT NULL);

-- Whose a step is to take: who wrote it, as each connection says, or who took it over. Empty: nobody's.
ALTER TABLE longshore.outbox ADD COLUMN holder text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE longshore.outbox ALTER COLUMN holder SET DEFAULT coalesce(current_setting('longshore.holder', true), '');
CREATE INDEX outbox_holder ON longshore.outbox (holder, id);

-- Who changed the state of an upload last, and so who is completing it.
ALTER TABLE longshore.uploads ADD COLUMN holder text COLLATE "C" NOT NULL DEFAULT '';

GRANT SELECT, INSERT, UPDATE, DELETE ON longshore.gateways, longshore.leases, longshore.marks TO longshore_service;
