//! A line on a terminal that tells how far a walk has come.
//!
//! Written by hand, as one line of text is all that is needed: a crate for progress bars brings several terminals' worth
//! of code with it.
//!
//! **Invariant:** it goes to standard error and only if that is a terminal; it never changes what a command does, and
//! the line is wiped before anything else is printed.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use crate::cli::exit::Failure;
use crate::cli::print;
use crate::model::caller::Caller;
use crate::store::Store;
use crate::store::request::UnderWay;

/// Between two looks at the walk.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR_CHARS: usize = 20;
/// Characters of a bucket's name that are shown.
const NAME_CHARS: usize = 24;

/// Does `work` and tells how far it has come.
pub(super) async fn shown<T>(store: &Store, work: impl Future<Output = T>) -> T {
    if !stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let drawn = async {
        loop {
            tokio::time::sleep(DRAW_INTERVAL).await;
            for walk in store.walks(&Caller::ROOT).unwrap_or_default() {
                draw(&line(&walk, began.elapsed()));
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        never = drawn => never,
    };
    draw("");
    done
}

/// Nobody misses a line that cannot be written.
fn draw(line: &str) {
    let mut stderr = stderr().lock();
    let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
}

fn line(walk: &UnderWay, elapsed: Duration) -> String {
    let name: String = print::plain(walk.bucket.as_str()).chars().take(NAME_CHARS).collect();
    let (files, rows) = (walk.progress.files, walk.progress.rows);
    let met = files.max(rows);
    let rate = met / elapsed.as_secs().max(1);
    match walk.expected.filter(|expected| *expected >= met) {
        Some(expected) => {
            let tenths = met.saturating_mul(1000) / expected.max(1);
            let full = usize::try_from(tenths).unwrap_or(0) * BAR_CHARS / 1000;
            let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_CHARS - full));
            format!("{name}  [{bar}] {}%  {files} files, {rows} rows, {rate}/s", tenths / 10)
        }
        None => format!("{name}  {files} files, {rows} rows, {rate}/s"),
    }
}

/// A walk of each bucket in turn, told on the terminal. The first failure ends it.
pub(super) async fn each<T, F: Future<Output = Result<T, Failure>>>(
    store: &Store,
    walks: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, Failure> {
    let mut done = Vec::new();
    for walk in walks {
        done.push(shown(store, walk).await?);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Progress;
    use crate::model::name::BucketName;

    #[test]
    fn a_line_has_a_bar_if_the_end_is_known() {
        let progress = Progress { files: 25, rows: 20, ..Progress::default() };
        let bucket = BucketName::new("photos").expect("legal");
        let mut walk = UnderWay { bucket, progress, expected: Some(100) };
        let line = |walk: &UnderWay| super::line(walk, Duration::from_secs(5));
        assert_eq!(line(&walk), "photos  [#####---------------] 25%  25 files, 20 rows, 5/s");
        walk.expected = Some(10);
        assert_eq!(line(&walk), "photos  25 files, 20 rows, 5/s");
    }
}
