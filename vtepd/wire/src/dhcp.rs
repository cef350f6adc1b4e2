//! Which packets ask a DHCP server: told apart here, cheaply; read and answered elsewhere
//! (RFC 2131, RFC 8415).

use core::net::Ipv6Addr;

use crate::frame::Network;
use crate::ipv4::PROTOCOL_UDP;
use crate::{FromBytes, udp};

/// UDP port of a DHCPv4 server and of a relay.
pub const V4_SERVER_PORT: u16 = 67;
/// UDP port of a DHCPv4 client.
pub const V4_CLIENT_PORT: u16 = 68;
/// UDP port of a DHCPv6 client.
pub const V6_CLIENT_PORT: u16 = 546;
/// UDP port of a DHCPv6 server and of a relay.
pub const V6_SERVER_PORT: u16 = 547;
/// Where a DHCPv6 client finds servers and relays on its link (RFC 8415, 7.1).
pub const V6_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Does this IPv4 packet go from a DHCP client to a server? What [`crate::frame::network`] found in `frame`
/// is `network`. True of a first fragment too, which nobody can answer, so that it goes no other way.
#[inline]
#[must_use]
pub fn is_v4_request(frame: &[u8], network: &Network) -> bool {
    has_ports(frame, network, V4_CLIENT_PORT, V4_SERVER_PORT)
}

/// As [`is_v4_request`], the other way round: what only a server may send.
#[inline]
#[must_use]
pub fn is_v4_reply(frame: &[u8], network: &Network) -> bool {
    has_ports(frame, network, V4_SERVER_PORT, V4_CLIENT_PORT)
}

/// Does this IPv6 packet go from a DHCPv6 client to a server? As [`is_v4_request`].
#[inline]
#[must_use]
pub fn is_v6_request(frame: &[u8], network: &Network) -> bool {
    has_ports(frame, network, V6_CLIENT_PORT, V6_SERVER_PORT)
}

/// As [`is_v6_request`], the other way round: what only a server may send.
#[inline]
#[must_use]
pub fn is_v6_reply(frame: &[u8], network: &Network) -> bool {
    has_ports(frame, network, V6_SERVER_PORT, V6_CLIENT_PORT)
}

#[inline]
fn has_ports(frame: &[u8], network: &Network, source: u16, destination: u16) -> bool {
    if network.protocol != PROTOCOL_UDP || network.later_fragment {
        return false;
    }
    let header = frame.get(network.l4..network.end.min(frame.len()));
    header
        .and_then(|bytes| udp::Header::ref_from_prefix(bytes).ok())
        .is_some_and(|(header, _)| {
            (header.source.get(), header.destination.get()) == (source, destination)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, Packet};
    use crate::frame;

    type Rule = fn(&[u8], &Network) -> bool;

    fn v4() -> Packet {
        craft::ethernet([0xff; 6], [2, 0, 0, 0, 0, 2]).ipv4("0.0.0.0", "255.255.255.255")
    }

    fn v6() -> Packet {
        craft::ethernet([0x33, 0x33, 0, 1, 0, 2], [2, 0, 0, 0, 0, 2]).ipv6("fe80::1", V6_SERVERS)
    }

    fn is(rule: Rule, frame: &[u8]) -> bool {
        let link = frame::link(frame).unwrap();
        let network = frame::network(frame, frame.len(), &link).unwrap().unwrap();
        rule(frame, &network)
    }

    #[test]
    fn by_both_ports() {
        let rules: [Rule; 4] = [is_v4_request, is_v4_reply, is_v6_request, is_v6_reply];
        let frames = [
            v4().udp(68, 67, &[0; 300]),
            v4().udp(67, 68, &[0; 300]),
            v6().udp(546, 547, &[1, 0, 0, 1]),
            v6().udp(547, 546, &[7, 0, 0, 1]),
        ];
        for (at, frame) in frames.iter().enumerate() {
            let found = rules.map(|rule| is(rule, frame));
            let mut expected = [false; 4];
            expected[at] = true;
            assert_eq!(found, expected);
        }
        for frame in [
            v4().udp(68, 53, b""),
            v4().udp(1068, 67, b""),
            v4().tcp(68, 67, 0, b""),
        ] {
            assert!(!is(is_v4_request, &frame));
        }
    }

    #[test]
    fn fragments_and_short_packets() {
        let pieces = craft::fragments(&v4().udp(68, 67, &[0; 2000]), 1500, 7);
        assert!(is(is_v4_request, &pieces[0]) && !is(is_v4_request, &pieces[1]));
        assert!(!is(
            is_v4_request,
            &v4().payload(PROTOCOL_UDP, &[0, 68, 0, 67])
        ));
        let tagged = craft::ethernet([0xff; 6], [2, 0, 0, 0, 0, 2])
            .vlan(5)
            .ipv4("0.0.0.0", "255.255.255.255")
            .udp(68, 67, b"");
        assert!(is(is_v4_request, &tagged));
    }
}
