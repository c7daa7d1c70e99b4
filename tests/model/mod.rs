//! Random sequences of requests, crashes and outside edits against a model of plain maps.
//!
//! After every step the listing of what was touched is the set of keys that can be read, in the order of their bytes,
//! and ETag, size, checksum and date agree wherever they are told and with the bytes. `make test` takes a few thousand
//! steps, `LONGSHORE_FAULT=full` a hundred thousand. `LONGSHORE_SEED` repeats a run; a failure prints its sequence as
//! short as it shrank, to be kept in [`regressions`].

mod check;
mod give;
mod kept;
mod letters;
mod memory;
mod outside;
mod regressions;
mod seeds;
mod step;
mod upload;
mod world;

use std::cell::Cell;
use std::io::Write as _;

use longshore::model::place::Layout;
use longshore::model::time::Clock;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use letters::{Letter, letter};
use memory::Outcome;
use world::{Kind, World};

/// Letters of a sequence.
const LETTERS_MAX: usize = 60;
/// Steps after which everything is read.
const STEPS_BETWEEN_LOOKS: usize = 10;

fn steps_wanted() -> usize {
    if std::env::var("LONGSHORE_FAULT").is_ok_and(|size| size == "full") { 25_000 } else { 800 }
}

fn seed() -> u64 {
    let given = std::env::var("LONGSHORE_SEED").ok();
    given.map_or_else(|| Clock::now().0.unsigned_abs(), |seed| seed.parse().expect("LONGSHORE_SEED is a number"))
}

fn play(kind: Kind, layout: Layout, letters: &[Letter], steps: &Cell<usize>) -> Outcome {
    let mut world = World::new(kind, layout)?;
    for (number, letter) in letters.iter().enumerate() {
        steps.set(steps.get() + 1);
        world.step(*letter).map_err(|why| format!("step {} {letter:?}: {why}", number + 1))?;
        if (number + 1).is_multiple_of(STEPS_BETWEEN_LOOKS) {
            world.look(false).map_err(|why| format!("after step {} {letter:?}: {why}", number + 1))?;
        }
    }
    world.look(true).and_then(|()| world.restart()).map_err(|why| format!("at the end: {why}"))
}

/// Plays one sequence, for a test of its own.
fn replay(kind: Kind, layout: Layout, letters: &[Letter]) {
    if let Err(why) = play(kind, layout, letters, &Cell::new(0)) {
        panic!("{why}");
    }
}

fn explore(kind: Kind, layout: Layout) {
    let (seed, wanted) = (seed(), steps_wanted());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = u8::from(kind == Kind::Memory) * 2 + u8::from(layout == Layout::Managed);
    let cases = u32::try_from(wanted * 2 / LETTERS_MAX).expect("few");
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (sequences, steps) = (Cell::new(0), Cell::new(0));
    let letters = vec(letter(kind == Kind::Fs && layout == Layout::Natural), 1..=LETTERS_MAX);
    let played = runner.run(&letters, |letters| {
        sequences.set(sequences.get() + 1);
        play(kind, layout, &letters, &steps).map_err(TestCaseError::fail)
    });
    let bed = format!("{kind:?} {}", layout.name());
    // Past the capture of the test's output, so that a run that went well can be repeated, too.
    let summary = format!("model: {bed}: {} sequences, {} steps, seed {seed}\n", sequences.get(), steps.get());
    std::io::stderr().write_all(summary.as_bytes()).expect("written");
    match played {
        Ok(()) => {}
        Err(TestError::Fail(why, letters)) => {
            let letters: String = letters.iter().map(|letter| format!("    Letter::{letter:?},\n")).collect();
            panic!("{bed}: {why}\nLONGSHORE_SEED={seed}; the sequence:\n{letters}");
        }
        Err(TestError::Abort(why)) => panic!("{bed}: {why}"),
    }
}

#[test]
fn random_sequences_over_fs_natural() {
    explore(Kind::Fs, Layout::Natural);
}

#[test]
fn random_sequences_over_fs_managed() {
    explore(Kind::Fs, Layout::Managed);
}

#[test]
fn random_sequences_over_memory_natural() {
    explore(Kind::Memory, Layout::Natural);
}

#[test]
fn random_sequences_over_memory_managed() {
    explore(Kind::Memory, Layout::Managed);
}
