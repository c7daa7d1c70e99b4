//! What lies directly below a prefix: windows over the index, each of which begins behind what the last one folded.
//!
//! **Invariant:** a window that was mostly beneath folded keys is followed by a short one, so the rows that are sent for
//! nothing are no more than those that are told, and a few for each folded key.

use super::objects::ask;
use super::pool::{Call, Pool};
use super::rows::{self, get};
use super::{span, statements as sql};
use crate::catalog::glance::{Glances, Met};
use crate::catalog::{Glance, Result, Window};
use crate::model::id::BucketId;
use crate::model::time::Timestamp;

/// Rows of the first window. Doubled while most of them are used.
const ROWS_MIN: usize = 32;

/// A page of it.
pub(super) async fn list(pool: &Pool, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>> {
    let most = window.limit.saturating_add(1);
    let mut glances = Glances::new(window.prefix, window.limit);
    let (mut seek, mut batch) = (window.seek, ROWS_MIN.min(most));
    while let Some(span) = span::span(glances.prefix(), seek) {
        let call = Call::new(sql::GLANCE).with(bucket.0).with(span.from).with(span.until);
        let found = ask(pool, call.with(rows::limit(batch)).with(created)).await?;
        let mut used = 0;
        for row in &found {
            let key: &str = get(row, 0)?;
            match glances.meet(key) {
                Met::Beyond => return Ok(glances.found()),
                Met::Beneath => {}
                Met::New => {
                    let modified = rows::timestamp(row, 2)?;
                    let came = get::<Option<i64>>(row, 3)?.map_or(modified, Timestamp);
                    glances.add(key, rows::unsigned(row, 1)?, (modified, came));
                    used += 1;
                }
            }
        }
        let Some(behind) = glances.behind().filter(|_| found.len() == batch) else { break };
        seek = behind;
        batch = if used * 2 >= batch { batch * 2 } else { ROWS_MIN }.min(most);
    }
    Ok(glances.found())
}
