//! Address ranges in CIDR notation.
//!
//! **Invariant:** an IPv4 address and the IPv6 address that carries it are one.

use std::net::IpAddr;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `address/bits`, or one address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, network) = match (address.to_canonical(), self.address) {
            (IpAddr::V4(address), IpAddr::V4(network)) => {
                (u128::from(address.to_bits()) << 96, u128::from(network.to_bits()) << 96)
            }
            (IpAddr::V4(address), IpAddr::V6(network)) => (address.to_ipv6_mapped().to_bits(), network.to_bits()),
            (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits()),
            (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        (address ^ network).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
    }

    /// Whether it names somebody, rather than a good part of the internet.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.bits >= if self.address.is_ipv4() { 8 } else { 32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, address, wanted) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("192.0.2.3/31", "192.0.2.2", true),
        ] {
            let network = Network::parse(range).expect("a range");
            assert_eq!(network.contains(address.parse().expect("an address")), wanted, "{range} {address}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "::/129", "10.0.0.0/0008", "x"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
