//! Statements about the processes that serve the catalog.
//!
//! **Invariant:** the clock is that of the database, so processes need not agree on the time.

/// Those who begin take turns, so that of two with different secrets one hears of it.
pub(in crate::catalog::postgres) const LOCK_META: &str = "SELECT 1 FROM longshore.meta FOR UPDATE";
pub(in crate::catalog::postgres) const KEEP_MARKS: &str = "INSERT INTO longshore.marks (name, mark) \
    SELECT name, mark FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) AS m (name, mark) \
    ON CONFLICT (name) DO NOTHING";
/// Which of the secrets (`$1`, with marks `$2`) are otherwise for the catalog or for another gateway at work.
pub(in crate::catalog::postgres) const DIFFERING: &str = concat!(
    "SELECT m.name FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) WITH ORDINALITY AS m (name, mark, n) \
    WHERE EXISTS (SELECT 1 FROM longshore.marks AS k WHERE k.name = m.name AND k.mark <> m.mark) \
    OR EXISTS (SELECT 1 FROM longshore.gateways AS g WHERE g.id <> ",
    me!(),
    " AND g.until > now() AND CAST(g.marks AS jsonb) ->> m.name <> m.mark) ORDER BY m.n"
);
pub(in crate::catalog::postgres) const HAS_OTHERS: &str =
    concat!("SELECT EXISTS (SELECT 1 FROM longshore.gateways WHERE id <> ", me!(), " AND until > now())");
/// Under a name that is known, another run of the process takes the place of the one before it.
pub(in crate::catalog::postgres) const ENLIST: &str = concat!(
    "INSERT INTO longshore.gateways (id, run, until, marks) VALUES (",
    me!(),
    ", $1, now() + make_interval(secs => $2), $3) \
    ON CONFLICT (id) DO UPDATE SET run = excluded.run, until = excluded.until, marks = excluded.marks"
);
/// Those that were gone for so long that nothing is owed to them.
pub(in crate::catalog::postgres) const FORGET_GATEWAYS: &str =
    "DELETE FROM longshore.gateways WHERE until < now() - interval '1 day'";
pub(in crate::catalog::postgres) const BEAT: &str = concat!(
    "INSERT INTO longshore.gateways (id, run, until, marks) VALUES (",
    me!(),
    ", $1, now() + make_interval(secs => $2), $3) \
    ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE gateways.run = excluded.run RETURNING 1"
);
pub(in crate::catalog::postgres) const LEAVE: &str =
    concat!("DELETE FROM longshore.gateways WHERE run = $1 AND id = ", me!());
pub(in crate::catalog::postgres) const LEAVE_JOBS: &str =
    concat!("DELETE FROM longshore.leases WHERE holder = ", me!());
pub(in crate::catalog::postgres) const LEASE: &str = concat!(
    "INSERT INTO longshore.leases (job, holder, until) VALUES ($1, ",
    me!(),
    ", now() + make_interval(secs => $2)) \
    ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, until = excluded.until \
    WHERE leases.holder = excluded.holder OR leases.until < now() RETURNING 1"
);
pub(in crate::catalog::postgres) const GIVE_BACK: &str =
    concat!("DELETE FROM longshore.leases WHERE job = $1 AND holder = ", me!());
