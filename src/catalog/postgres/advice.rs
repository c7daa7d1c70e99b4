//! What an operator might want to change about the policies and rights of a database.
//!
//! Nothing of it keeps the catalog from serving: a policy that is slow, or that nobody can meet, is the operator's to judge.
//!
//! **Invariant:** only the database's own catalogs are read, which every login may, and nothing is changed.

use tokio_postgres::Client;

use super::PostgresCatalog;
use super::connect::Address;
use crate::catalog::Result;
use crate::model::secret::Secret;

/// The two tables that policies are for.
const TABLES: &str = "SELECT c.oid, n.oid, CAST(c.relname AS text), c.relrowsecurity FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = 'storage' AND c.relname IN ('objects', 'buckets') ORDER BY c.relname DESC";
/// The policies of one: name, roles, and what they ask.
const POLICIES: &str = "SELECT CAST(p.polname AS text), \
    ARRAY(SELECT CAST(r.rolname AS text) FROM pg_catalog.pg_roles AS r WHERE r.oid = ANY (p.polroles)), \
    concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) \
    FROM pg_catalog.pg_policy AS p WHERE p.polrelid = $1 ORDER BY p.polname";
const ROLE: &str = "SELECT quote_ident(rolname), quote_ident(session_user), pg_has_role(session_user, oid, 'MEMBER') \
    FROM pg_catalog.pg_roles WHERE rolname = CAST($1 AS text)";
const LACKS_USE: &str = "SELECT NOT has_schema_privilege(CAST($1 AS name), CAST($2 AS oid), 'USAGE')";
/// What of the rights to a table a role lacks.
const LACKS: &str = "SELECT string_agg(p, ', ' ORDER BY n) \
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS rights (p, n) \
    WHERE NOT has_table_privilege(CAST($1 AS name), CAST($2 AS oid), p)";

/// What says who asks, and is the same for every row.
const OF_THE_CALLER: [&str; 5] = ["auth.uid()", "auth.jwt()", "auth.role()", "auth.email()", "current_setting("];

impl PostgresCatalog {
    /// What might be changed about the policies of a database and the rights of these roles, which tokens may name.
    ///
    /// # Errors
    /// As [`PostgresCatalog::open`].
    pub async fn advise(url: &Secret, roles: &[String]) -> Result<Vec<String>> {
        let client = Address::parse(url)?.connect().await?;
        // So that every name comes with its schema.
        client.batch_execute("SET search_path = pg_catalog").await?;
        let mut advice = Vec::new();
        let mut tables = Vec::new();
        for row in client.query(TABLES, &[]).await? {
            let (table, schema): (u32, u32) = (row.try_get(0)?, row.try_get(1)?);
            let name: String = row.try_get(2)?;
            if !row.try_get::<_, bool>(3)? {
                advice.push(format!(
                    "Row Level Security is off for storage.{name}, so every role sees all of it: \
                     ALTER TABLE storage.{name} ENABLE ROW LEVEL SECURITY"
                ));
            }
            policies(&client, &mut advice, (table, &name), roles).await?;
            tables.push((table, schema, name));
        }
        for role in roles.iter().filter(|_| !tables.is_empty()) {
            rights(&client, &mut advice, role, &tables).await?;
        }
        Ok(advice)
    }
}

async fn policies(
    client: &Client,
    advice: &mut Vec<String>,
    (table, name): (u32, &str),
    roles: &[String],
) -> std::result::Result<(), tokio_postgres::Error> {
    for row in client.query(POLICIES, &[&table]).await? {
        let (policy, of, asks): (String, Vec<String>, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let what = format!("the policy {policy:?} on storage.{name}");
        for call in OF_THE_CALLER.into_iter().filter(|call| is_asked_for_each_row(&asks, call)) {
            let call = if call.ends_with('(') { format!("{call}…)") } else { call.to_owned() };
            advice.push(format!("{what} asks {call} for every row: write (SELECT {call}), which is asked once"));
        }
        // One that names none is for all of them.
        let strangers: Vec<&str> = of.iter().filter(|role| !roles.contains(role)).map(String::as_str).collect();
        if !strangers.is_empty() {
            let strangers = strangers.join(", ");
            advice
                .push(format!("{what} is for {strangers}, which no token may name: add it to [jwt] roles, or drop it"));
        }
    }
    Ok(())
}

async fn rights(
    client: &Client,
    advice: &mut Vec<String>,
    role: &str,
    tables: &[(u32, u32, String)],
) -> std::result::Result<(), tokio_postgres::Error> {
    let Some(row) = client.query_opt(ROLE, &[&role]).await? else {
        advice.push(format!(
            "the role {role:?} of [jwt] roles is not in the database: CREATE ROLE {role:?} NOLOGIN NOINHERIT"
        ));
        return Ok(());
    };
    let (quoted, login, is_member): (String, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut lacks = Vec::new();
    if !is_member {
        lacks.push(format!("GRANT {quoted} TO {login}"));
    }
    for (at, (table, schema, name)) in tables.iter().enumerate() {
        if at == 0 && client.query_one(LACKS_USE, &[&role, schema]).await?.try_get::<_, bool>(0)? {
            lacks.push(format!("GRANT USAGE ON SCHEMA storage TO {quoted}"));
        }
        if let Some(rights) = client.query_one(LACKS, &[&role, table]).await?.try_get::<_, Option<String>>(0)? {
            lacks.push(format!("GRANT {rights} ON storage.{name} TO {quoted}"));
        }
    }
    if !lacks.is_empty() {
        advice.push(format!("the role {role:?} lacks rights that policies only narrow: {}", lacks.join("; ")));
    }
    Ok(())
}

/// Whether an expression, as the database spells it, has a call that is not alone in a sub-select: one without tables is
/// answered once for the whole statement, one over tables is asked like all the rest.
fn is_asked_for_each_row(expression: &str, call: &str) -> bool {
    // The groups that are open: whether each is a select, and whether it is over tables.
    let mut open: Vec<(bool, bool)> = Vec::new();
    // How many groups are open around the call that was found and not answered yet.
    let mut found: Option<usize> = None;
    let mut is_text = false;
    for (at, letter) in expression.char_indices() {
        let rest = &expression[at..];
        match letter {
            '\'' => is_text = !is_text,
            _ if is_text => {}
            _ if rest.starts_with(call) => found = found.or(Some(open.len())),
            _ => {}
        }
        if is_text {
            continue;
        }
        match letter {
            '(' => open.push((rest[1..].trim_start().starts_with("SELECT "), false)),
            'F' if rest.starts_with("FROM ") => {
                if let Some(group) = open.last_mut() {
                    group.1 = true;
                }
            }
            ')' => {
                // Where a group ends it is known what it was: a call in one that is a select alone is answered, in any
                // other it is one of the group around it.
                let (depth, group) = (open.len(), open.pop());
                if found.is_some_and(|at| at >= depth) {
                    found = if group == Some((true, false)) { None } else { Some(open.len()) };
                }
            }
            _ => {}
        }
    }
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_alone_in_a_select_is_asked_once() {
        for (expression, each) in [
            ("(owner_id = (auth.uid())::text)", true),
            ("(owner_id = (( SELECT (auth.uid())::text AS uid)))", false),
            ("((storage.foldername(name))[1] = ( SELECT (auth.uid())::text AS uid))", false),
            ("((bucket_id = 'auth.uid()'::text) AND (name ~~ '(%'::text))", false),
            ("(EXISTS ( SELECT 1 FROM teams WHERE (teams.member = auth.uid())))", true),
            ("(EXISTS ( SELECT 1 FROM teams WHERE (teams.member = ( SELECT auth.uid() AS uid))))", false),
            ("((owner = ( SELECT auth.uid() AS uid)) OR (owner_id = (auth.uid())::text))", true),
            ("((owner_id = (auth.uid())::text) OR (owner = ( SELECT auth.uid() AS uid)))", true),
            ("((EXISTS ( SELECT 1\n   FROM t\n  WHERE (t.x = auth.uid()))) OR (a = ( SELECT f() AS f)))", true),
            ("true", false),
            ("", false),
        ] {
            assert_eq!(is_asked_for_each_row(expression, "auth.uid()"), each, "{expression}");
        }
        assert!(is_asked_for_each_row("(current_setting('a.b'::text, true) = name)", "current_setting("));
    }
}
