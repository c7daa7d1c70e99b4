//! Random choices that can be made again, and the lines that a run leaves behind.
//!
//! **Invariant:** a seed is printed before it is used, also by a test that passes. `LONGSHORE_SEED` sets it; the choices
//! of each writer are then the same, and what is left to chance is how the machine interleaves them.

pub(super) use crate::harness::{has_tool, report, skipped};

/// A generator of choices (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// With the seed of this run, which is printed.
    pub(super) fn of_run(test: &str) -> Self {
        let seed = std::env::var("LONGSHORE_SEED").ok().map(|text| text.parse().expect("LONGSHORE_SEED is a number"));
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 4];
            getrandom::fill(&mut bytes).expect("randomness");
            u64::from(u32::from_ne_bytes(bytes))
        });
        report(&format!("{test}: seed {seed}"));
        Self(seed)
    }

    /// Other choices, which depend on these.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end - 1`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// A number from `first` to `last`.
    pub(super) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// One of several.
    pub(super) fn one_of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// A piece of a body.
const PIECE_BYTES: usize = 4096;

/// Bytes that tell at every place which body they are of, and where: random pieces that begin with their number.
pub(super) fn bytes_of(id: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(id);
    let mut piece: Vec<u8> = (0..PIECE_BYTES.min(len + 8) / 8).flat_map(|_| dice.next().to_le_bytes()).collect();
    let mut bytes = Vec::with_capacity(len + PIECE_BYTES);
    while bytes.len() < len {
        piece[..8].copy_from_slice(&(id ^ bytes.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&piece);
    }
    bytes.truncate(len);
    bytes
}
