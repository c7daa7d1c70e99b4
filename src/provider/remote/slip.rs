//! Small texts of ours, which are written anew now and then: notes, and what is kept beside the bytes of a version.
//!
//! The other side overwrites a file by emptying it first, and a crash leaves what came so far. So a text has two slots, and
//! each copy says its number and its MD5: the new one is written to the slot that does not count, read back, and only then
//! is the other one removed.
//!
//! **Invariant:** once a text was written there is a whole copy of it or of a later one at any moment, and only whole
//! copies count.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::Remote;
use crate::config::limits::REMOTE_SLIP_READS_MAX;
use crate::model::id::hex;
use crate::provider::{Error, Result};

/// What the head of a copy begins with.
const HEAD: &str = "longshore-slip ";
/// Between two looks at copies that are being written.
const PAUSE: Duration = Duration::from_millis(20);

/// What lies in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Empty,
    /// A copy that is not whole.
    Broken,
    Whole(u64, Bytes),
}

impl Slot {
    fn read(copy: Option<Bytes>) -> Self {
        let Some(copy) = copy else { return Self::Empty };
        let whole = || {
            let end = copy.iter().position(|byte| *byte == b'\n')?;
            let (number, md5) = std::str::from_utf8(&copy[..end]).ok()?.strip_prefix(HEAD)?.split_once(' ')?;
            let text = copy.slice(end + 1..);
            (hex(&Md5::digest(&text)) == md5).then_some(Self::Whole(number.parse().ok()?, text))
        };
        whole().unwrap_or(Self::Broken)
    }

    fn write(number: u64, text: &[u8]) -> Bytes {
        let mut copy = format!("{HEAD}{number} {}\n", hex(&Md5::digest(text))).into_bytes();
        copy.extend_from_slice(text);
        copy.into()
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Whole(number, _) => Some(*number),
            Self::Empty | Self::Broken => None,
        }
    }
}

/// Both slots.
#[derive(Debug, Clone)]
pub(super) struct Slots([Slot; 2]);

impl Slots {
    /// The slot that counts.
    fn newest(&self) -> Option<usize> {
        let [first, second] = &self.0;
        first.number().max(second.number())?;
        Some(usize::from(second.number() > first.number()))
    }

    /// The text.
    pub(super) fn text(&self) -> Option<Bytes> {
        match &self.0[self.newest()?] {
            Slot::Whole(_, text) => Some(text.clone()),
            Slot::Empty | Slot::Broken => None,
        }
    }
}

fn name(stem: &str, slot: usize) -> String {
    format!("{stem}.{slot}")
}

impl Remote {
    /// Reads a text.
    pub(super) async fn slots(&self, container: &str, stem: &str) -> Result<Slots> {
        let mut tries = 0;
        loop {
            let (first, second) = (name(stem, 0), name(stem, 1));
            let (first, second) =
                tokio::try_join!(self.wire.small(container, &first), self.wire.small(container, &second))?;
            let slots = Slots([Slot::read(first), Slot::read(second)]);
            tries += 1;
            // It may be that the slots changed their parts between the two looks.
            let broken = slots.0.contains(&Slot::Broken);
            let enough = if broken { REMOTE_SLIP_READS_MAX } else { 2 };
            if slots.newest().is_some() || tries >= enough {
                return Ok(slots);
            }
            if broken {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Writes a text where there was none.
    pub(super) async fn write_first(&self, container: &str, stem: &str, text: &[u8]) -> Result<()> {
        self.upload(container, &name(stem, 0), Slot::write(1, text)).await
    }

    /// Writes a text in the place of another.
    pub(super) async fn write_anew(&self, container: &str, stem: &str, text: &[u8]) -> Result<()> {
        let slots = self.slots(container, stem).await?;
        let old = slots.newest();
        let number = old.and_then(|old| slots.0[old].number()).unwrap_or(0) + 1;
        let new = old.map_or(0, |old| 1 - old);
        let copy = Slot::write(number, text);
        self.upload(container, &name(stem, new), copy.clone()).await?;
        let there = self.wire.small(container, &name(stem, new)).await?;
        if there.is_none_or(|there| there != copy) {
            return Err(Error::Unavailable(io::Error::other(
                "a text of ours was written by two at once, or is not kept",
            )));
        }
        let other = 1 - new;
        if slots.0[other] == Slot::Empty { Ok(()) } else { self.wire.remove(container, &name(stem, other), None).await }
    }

    /// Removes a text.
    pub(super) async fn remove_slots(&self, container: &str, stem: &str, slots: &Slots) -> Result<()> {
        for (n, slot) in slots.0.iter().enumerate() {
            if *slot != Slot::Empty {
                self.wire.remove(container, &name(stem, n), None).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_copies_count() {
        let copy = Slot::write(7, b"a text\nof two lines");
        let whole = Slot::read(Some(copy.clone()));
        assert_eq!(whole, Slot::Whole(7, Bytes::from_static(b"a text\nof two lines")));
        for cut in 0..copy.len() {
            assert_eq!(Slot::read(Some(copy.slice(..cut))), Slot::Broken, "{cut}");
        }
        let text = |slots: [Slot; 2]| Slots(slots).text();
        let older = Slot::Whole(6, Bytes::from_static(b"old"));
        assert_eq!(text([older.clone(), whole.clone()]).as_deref(), Some(&b"a text\nof two lines"[..]));
        assert_eq!(text([Slot::Broken, older.clone()]).as_deref(), Some(&b"old"[..]));
        assert_eq!(text([older, Slot::Empty]).as_deref(), Some(&b"old"[..]));
        assert_eq!(text([Slot::Broken, Slot::Empty]), None);
    }
}
