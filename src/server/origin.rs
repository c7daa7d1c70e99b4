//! Where a request came from, as far as it can be believed.
//!
//! A proxy that ends TLS says in `X-Forwarded-For` for whom it asks, and in `X-Forwarded-Proto` how it was asked. Everybody
//! can write these headers, so they count from the configured proxies only, and of a chain of addresses the part that
//! such proxies wrote: from its right end to the first address that is none of theirs.
//!
//! **Invariant:** without a configured proxy, and from anybody else, the address is that of the socket, and nothing came
//! over TLS, which this process never speaks.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::model::network::Network;

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<Network>);

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The address of the client.
    pub address: IpAddr,
    /// Whether it asked over TLS.
    pub secure: bool,
}

impl Proxies {
    /// Those in these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Where a request came from that `peer` sent.
    #[must_use]
    pub fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Origin {
        if !self.has(peer) {
            return Origin { address: peer, secure: false };
        }
        let mut address = peer;
        for named in last_first(headers, "x-forwarded-for") {
            // What cannot be read hides what is behind it.
            let Some(named) = read(named) else { break };
            address = named;
            if !self.has(named) {
                break;
            }
        }
        let secure = last_first(headers, "x-forwarded-proto").next().is_some_and(|it| it.eq_ignore_ascii_case("https"));
        Origin { address, secure }
    }
}

/// The members of a list header, the last one first.
fn last_first<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    lines.into_iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// An address, with or without a port.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_word_of_a_proxy_counts_and_nobody_elses() {
        let networks = ["10.0.0.0/8", "127.0.0.1"].map(|text| Network::parse(text).expect("a network"));
        let proxies = Proxies::new(networks.to_vec());
        let [far, near] = ["203.0.113.7", "192.0.2.1"];
        for (peer, headers, address, secure) in [
            (far, &[("x-forwarded-for", near), ("x-forwarded-proto", "https")][..], far, false),
            ("127.0.0.1", &[], "127.0.0.1", false),
            ("127.0.0.1", &[("x-forwarded-for", far)], far, false),
            ("::ffff:127.0.0.1", &[("x-forwarded-for", far)], far, false),
            ("127.0.0.1", &[("x-forwarded-for", far), ("x-forwarded-proto", "HTTPS")], far, true),
            ("127.0.0.1", &[("x-forwarded-proto", "https, http")], "127.0.0.1", false),
            // What the client wrote stands in front of what the proxies wrote.
            ("127.0.0.1", &[("x-forwarded-for", "192.0.2.1, 203.0.113.7, 10.1.1.1")], far, false),
            ("127.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.7,10.1.1.1")], far, false),
            ("127.0.0.1", &[("x-forwarded-for", "203.0.113.7:4711")], far, false),
            ("127.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:443")], "2001:db8::1", false),
            ("127.0.0.1", &[("x-forwarded-for", "10.1.1.1, 10.2.2.2")], "10.1.1.1", false),
            ("127.0.0.1", &[("x-forwarded-for", "203.0.113.7, unknown, 10.2.2.2")], "10.2.2.2", false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
            let wanted = Origin { address: parse(address), secure };
            assert_eq!(proxies.origin(parse(peer), &map), wanted, "{peer} {headers:?}");
            let unknown = Origin { address: parse(peer), secure: false };
            assert_eq!(Proxies::default().origin(parse(peer), &map), unknown, "{peer} {headers:?}");
        }
    }
}
