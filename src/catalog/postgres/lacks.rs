//! Tables of Supabase that are older than some of their columns.
//!
//! What such a column is for is then off: who wrote an object, or what its writer keeps with it, stands in the facts of ours
//! alone. Each statement is written for the whole tables, and its text loses what is missing before it is prepared.
//!
//! **Invariant:** where nothing is missing no text is changed; a value that has no column any more is sent all the same, so
//! the numbers of values stay.

use std::borrow::Cow;

use tokio_postgres::Client;

/// What is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// Owners that are no UUIDs.
    owner_id: bool,
    /// What writers keep with objects.
    user_metadata: bool,
}

const OWNER_ID: [(&str, &str); 9] = [
    ("owner_id = excluded.owner_id, ", ""),
    ("owner_id = NULL, ", ""),
    ("coalesce(o.owner_id, ", "coalesce("),
    ("coalesce(b.owner_id, ", "coalesce("),
    ("owner_id, ", ""),
    ("CASE WHEN starts_with($4, 'sub:') THEN substr($4, 5) ELSE NULLIF($4, 'root') END, ", ""),
    ("CASE WHEN starts_with($10, 'sub:') THEN substr($10, 5) ELSE NULLIF($10, 'root') END, ", ""),
    ("CAST($2 AS text), CASE WHEN $2 ~*", "CASE WHEN $2 ~*"),
    ("CAST($3 AS text), CASE WHEN $3 ~*", "CASE WHEN $3 ~*"),
];
const USER_METADATA: [(&str, &str); 6] = [
    ("metadata, user_metadata)", "metadata)"),
    (
        "CAST(CAST($21 AS text) AS jsonb), CAST(CAST($22 AS text) AS jsonb)",
        "coalesce(CAST(CAST($21 AS text) AS jsonb), CAST(CAST($22 AS text) AS jsonb))",
    ),
    (
        "CAST(CAST($3 AS text) AS jsonb), CAST(CAST($4 AS text) AS jsonb)",
        "coalesce(CAST(CAST($3 AS text) AS jsonb), CAST(CAST($4 AS text) AS jsonb))",
    ),
    (
        "CAST(CAST($5 AS text) AS jsonb), CAST(CAST($6 AS text) AS jsonb)",
        "coalesce(CAST(CAST($5 AS text) AS jsonb), CAST(CAST($6 AS text) AS jsonb))",
    ),
    (", user_metadata = excluded.user_metadata", ""),
    ("o.user_metadata", "CAST(NULL AS jsonb)"),
];

/// Asked of the catalogs that every login may read.
const PROBE: &str = "SELECT attname = 'owner_id' FROM pg_catalog.pg_attribute AS a \
    JOIN pg_catalog.pg_class AS c ON c.oid = attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace \
    WHERE nspname = 'storage' AND relname = 'objects' AND NOT attisdropped AND attname IN ('owner_id', 'user_metadata')";

impl Lacks {
    /// Looks what is missing.
    pub(super) async fn probe(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let mut lacks = Self { owner_id: true, user_metadata: true };
        for row in client.query(PROBE, &[]).await? {
            if row.try_get(0)? {
                lacks.owner_id = false;
            } else {
                lacks.user_metadata = false;
            }
        }
        Ok(lacks)
    }

    /// The text of a statement for what there is.
    pub(super) fn adapt(self, text: &'static str) -> Cow<'static, str> {
        let mut adapted = Cow::Borrowed(text);
        let owner_id = OWNER_ID.iter().filter(|_| self.owner_id);
        for (whole, rest) in owner_id.chain(USER_METADATA.iter().filter(|_| self.user_metadata)) {
            if adapted.contains(whole) {
                adapted = Cow::Owned(adapted.replace(whole, rest));
            }
        }
        adapted
    }
}

#[cfg(test)]
mod tests {
    use super::super::statements as sql;
    use super::*;

    #[test]
    fn nothing_names_what_is_missing() {
        let all = [
            sql::INSERT_BUCKET,
            sql::RESTORE_BUCKET,
            sql::DELETE_USER,
            sql::OBJECT,
            sql::LIST,
            sql::INSERT_OBJECT,
            sql::UPDATE_OBJECT,
            sql::REPLACE_SHARED,
            sql::NOTE_SHARED,
            sql::ADOPT_SHARED,
            sql::TRY_INSERT,
            sql::TRY_UPSERT,
            sql::TRY_INSERT_BUCKET,
            sql::TRY_MOVE,
            sql::PLACE_VERSION,
        ];
        let lacks = Lacks { owner_id: true, user_metadata: true };
        for text in all {
            let adapted = lacks.adapt(text);
            assert!(!adapted.contains("owner_id") && !adapted.contains("user_metadata"), "{adapted}");
            let values = |text: &str| (1..30).filter(|n| text.contains(&format!("${n} "))).collect::<Vec<_>>();
            assert_eq!(values(&adapted), values(text), "{adapted}");
            assert!(matches!(Lacks::default().adapt(text), Cow::Borrowed(same) if same == text));
        }
    }
}
