//! What kind of file system a number of `statfs` names.
//!
//! **Invariant:** a number that is not known is a local file system: nothing is refused because of one that was not
//! heard of.

/// A kind of file system, by what may be expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// On a disk or in memory of this machine.
    Local,
    /// On another machine: no reliable locks, no shared memory, and a look at a name may wait for the network.
    Network(&'static str),
    /// Served by a program: a look at a name may wait for it.
    UserSpace,
}

const NETWORK: [(u64, &str); 6] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
];
const FUSE: u64 = 0x6573_5546;

impl FileSystem {
    /// From `f_type`, which is signed in some places and as wide as a register in others: 32 bits of it count.
    #[must_use]
    pub fn of(f_type: u64) -> Self {
        let number = f_type & 0xFFFF_FFFF;
        match NETWORK.iter().find(|(magic, _)| *magic == number) {
            Some((_, name)) => Self::Network(name),
            None if number == FUSE => Self::UserSpace,
            None => Self::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(FileSystem::of(0xEF53), FileSystem::Local);
        assert_eq!(FileSystem::of(0x6969), FileSystem::Network("NFS"));
        assert_eq!(FileSystem::of(0xFFFF_FFFF_FF53_4D42), FileSystem::Network("CIFS"));
        assert_eq!(FileSystem::of(0x6573_5546), FileSystem::UserSpace);
    }
}
