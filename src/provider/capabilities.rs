//! What a provider can keep of the promises.
//!
//! **Invariant:** what is said here is true of the storage as it is configured, and pinned by a test for each provider;
//! what cannot be done is not worked around.

use crate::model::place::Layout;

/// What a provider can keep of the promises, and what makes it fast. Pinned by a test for each provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact about a storage")]
pub struct Capabilities {
    /// A key may be a path, with an atomic and verified replacement: natural layout is sound.
    pub natural: bool,
    /// Two names can be exchanged atomically; without it an outside writer has a window of microseconds in a lay-out.
    pub exchange: bool,
    /// Records are kept beside the bytes, so a catalog can be rebuilt.
    pub records: bool,
    /// What was acknowledged survives power loss.
    pub durable: bool,
    /// Copies share blocks with their source where the file system can.
    pub reflink: bool,
    /// A sync costs more than the bytes of a small body: such bodies are published unsynced and kept in the catalog
    /// until a settlement has made them durable.
    pub inline: bool,
    /// Names are flat: any key can be one, beside any other, and a move is a copy. What a version displaces is copied
    /// only where it must be, so buckets that keep versions have them all at managed places.
    pub flat: bool,
    /// The storage itself judges what a replacement at a key displaces, so natural layout is sound with all gateways that
    /// may be at the storage. Without it only one may write.
    pub conditional: bool,
}

impl Capabilities {
    /// The layout of new buckets that are told none: natural where it is sound whoever else writes.
    #[must_use]
    pub fn usual_layout(self) -> Layout {
        if self.natural && self.conditional { Layout::Natural } else { Layout::Managed }
    }
}
