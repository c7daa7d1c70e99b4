//! Which names the service takes.
//!
//! **Invariant:** a name that is held is kept and listed byte for byte.

use std::net::Ipv4Addr;

/// Longest name of an object, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Whether an object can have this name.
pub(super) fn holds(name: &str) -> bool {
    let sized = (1..=NAME_BYTES_MAX).contains(&name.len());
    // The first is the address of another protocol where the container is a part of the host's name.
    // Control characters are not carried by all that speak this protocol.
    sized && name != "soap" && !name.chars().any(char::is_control) && stays_below(name)
}

/// The service refuses a name in which, read from the left, there are more steps up than steps down before.
fn stays_below(name: &str) -> bool {
    let mut depth = 0_u32;
    name.split('/').all(|segment| match segment {
        "" | "." => true,
        ".." => {
            let above = depth > 0;
            depth = depth.saturating_sub(1);
            above
        }
        _ => {
            depth += 1;
            true
        }
    })
}

/// Whether a container may have this name.
pub(super) fn may_name(container: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let kept = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| container.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|suffix| container.ends_with(suffix));
    (3..=63).contains(&container.len())
        && edge(container.bytes().next())
        && edge(container.bytes().last())
        && container.bytes().all(inner)
        && !container.contains("..")
        && container.parse::<Ipv4Addr>().is_err()
        && !kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        for name in ["a", "a//b", "/a", "a/", ".", "./a", "a/../b", "v/2014/../../v", "ü", longest.as_str()] {
            assert!(holds(name), "{name:?}");
        }
        let long = "ü".repeat(513);
        for name in ["", "..", "../a", "a/../../b", "/../a", "a\0b", "\u{1}\n", "soap", long.as_str()] {
            assert!(!holds(name), "{name:?}");
        }
    }

    #[test]
    fn names_of_containers() {
        let longest = "a".repeat(63);
        for name in ["abc", "a.b-c", "1a2", longest.as_str()] {
            assert!(may_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["", "ab", "-abc", "abc.", "a..b", "Abc", "a_b", "1.2.3.4", "xn--abc", "a--x-s3", "ü-a", long.as_str()]
        {
            assert!(!may_name(name), "{name}");
        }
    }
}
