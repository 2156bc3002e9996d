//! Where a call comes from, as far as it can be believed.
//!
//! Behind a proxy every connection comes from the proxy, and the proxy says in `x-forwarded-for` from whom
//! it has the call. Anybody can write that header, so it is believed only as far as trusted proxies wrote
//! it: each appends the address that it saw, and the rightmost one that is not a trusted proxy's own is the
//! last that somebody trusted has seen.

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a call comes from. IPv4 addresses that are written as IPv6 are IPv4 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grpc) struct ClientAddress(pub(super) IpAddr);

/// The address of a call: the peer's, or what trusted proxies say.
pub(super) fn client_address(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<ClientAddress> {
    let peer = extensions.get::<TcpConnectInfo>()?.remote_addr?.ip();
    let lines = headers.get_all(FORWARDED).iter().map(|line| line.to_str().unwrap_or_default());
    Some(ClientAddress(origin(peer, lines, trusted)))
}

/// Follows the header from its end as long as trusted proxies wrote it. What cannot be read ends it, as
/// does the beginning: then it is the nearest proxy that is known.
fn origin<'a>(
    peer: IpAddr,
    lines: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer.to_canonical();
    for hop in lines.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&nearest) {
            break;
        }
        let Some(address) = parse(hop.trim()) else { break };
        nearest = address;
    }
    nearest
}

/// An address; some proxies write the port too.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        origin(peer.parse().unwrap(), lines.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = &["10.0.0.0/8", "fd00::/8"][..];
        for (peer, lines, origin) in [
            // Nobody forwarded it.
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("192.0.2.1", &[], "192.0.2.1"),
            // A stranger says what he likes.
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("192.0.2.1", &["10.0.0.1"], "192.0.2.1"),
            // A proxy says whom it saw, whatever stood there before.
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            // Two proxies, and a third line of theirs.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("fd00::1", &["203.0.113.9", "198.51.100.7,10.0.0.2", "fd00::2"], "198.51.100.7"),
            // Only proxies: the one that is furthest away.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // What cannot be read ends it, and nothing before is believed.
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7, "], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // Ports, brackets, and IPv4 in IPv6.
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
        ] {
            assert_eq!(from(peer, lines, proxies), origin, "{peer} {lines:?}");
        }
        // Without trusted proxies the header is nothing.
        assert_eq!(from("10.0.0.1", &["198.51.100.7"], &[]), "10.0.0.1");
    }

    proptest! {
        /// Whatever a stranger writes before what the proxy appends, the proxy's word counts.
        #[test]
        fn nothing_written_before_a_proxy_counts(before in "[ -~]{0,40}") {
            let line = format!("{before}, 198.51.100.7");
            prop_assert_eq!(from("10.0.0.1", &[&line], &["10.0.0.0/8"]), "198.51.100.7");
        }
    }
}
