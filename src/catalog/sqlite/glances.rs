//! What lies directly below a prefix: one walk over the index that seeks behind what it folds.
//!
//! **Invariant:** of what lies beneath a folded key a bounded number of rows is stepped over.

use rusqlite::{Connection, params};

use super::{rows, span, statements as sql};
use crate::catalog::glance::{Glances, Met};
use crate::catalog::{Glance, Result, Window};
use crate::model::id::BucketId;
use crate::model::time::Timestamp;

/// Rows beneath a folded key that are stepped over before the walk seeks behind it: a step costs an eighth of a seek.
const STEPS_BEFORE_SEEK: usize = 8;

/// A page of it.
pub(super) fn list(connection: &Connection, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>> {
    let mut statement = connection.prepare_cached(sql::GLANCE)?;
    let mut glances = Glances::new(window.prefix, window.limit);
    let mut seek = window.seek;
    while let Some(span) = span::span(glances.prefix(), seek) {
        let mut found = statement.query(params![bucket.0, span.from, span.until, created])?;
        let mut steps = 0;
        while steps < STEPS_BEFORE_SEEK {
            let Some(row) = found.next()? else { return Ok(glances.found()) };
            let key = rows::text(row, 0)?;
            match glances.meet(key) {
                Met::Beyond => return Ok(glances.found()),
                Met::Beneath => steps += 1,
                Met::New => {
                    let modified = rows::timestamp(row, 2)?;
                    let came = row.get::<_, Option<i64>>(3)?.map_or(modified, Timestamp);
                    glances.add(key, rows::unsigned(row, 1)?, (modified, came));
                    steps = 0;
                }
            }
        }
        let Some(behind) = glances.behind() else { break };
        seek = behind;
    }
    Ok(glances.found())
}
