//! Sequences that once went wrong, as short as they shrank.

use longshore::model::place::Layout;

use super::letters::{At, Body, Edit, If, Letter};
use super::replay;
use super::world::Kind;

#[test]
fn a_sequence_can_be_replayed() {
    let letters = [
        Letter::Put(At(0, 0), Body(1, 0), If::Absent),
        Letter::Put(At(0, 1), Body(2, 1), If::Always),
        Letter::Crash,
        Letter::Rebuild,
    ];
    replay(Kind::Fs, Layout::Natural, &letters);
}

#[test]
fn a_scan_that_hashes_also_hashes_what_was_edited() {
    let letters = [
        Letter::Put(At(1, 6), Body(0, 0), If::Always),
        Letter::Outside(At(1, 6), Edit::InPlace(Body(1, 100))),
        Letter::Scan(1, true),
    ];
    replay(Kind::Fs, Layout::Natural, &letters);
}
