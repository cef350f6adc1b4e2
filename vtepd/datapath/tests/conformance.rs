//! Requirements that no stage is the place of. All of them with their tests:
//! docs/conformance.md.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::ipv4::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_UDP};

/// Two fragments of a datagram, of which the second begins within the first.
fn overlapping(packet: impl Fn() -> Packet, protocol: u8) -> [Vec<u8>; 2] {
    let first = packet().fragment(7, 0, true).payload(protocol, &[8; 64]);
    let second = packet().fragment(7, 32, false).payload(protocol, &[9; 64]);
    [first, second]
}

/// What the RFC asks of who puts datagrams together. Nothing here does: to a gateway they
/// are dropped one by one.
#[test]
fn rfc5722_overlapping_fragments_to_a_gateway_make_no_datagram() {
    let to_gateway = || craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, GW_RED_IP);
    let to_gateway6 = || craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, GW_RED_IP6);
    for fragments in [
        overlapping(to_gateway, PROTOCOL_ICMP),
        overlapping(to_gateway6, PROTOCOL_ICMPV6),
    ] {
        let mut host = routed_host();
        for fragment in fragments {
            let reason = host.send(PORT1, &fragment).dropped();
            assert_eq!(reason, DropReason::GatewayService);
        }
    }
}

/// And on their way they are packets like any other (RFC 8200, 4.5: only the destination
/// puts them together).
#[test]
fn rfc8200_section_4_5_fragments_are_routed_as_they_are() {
    let to_vm6 = || craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, VM6_IP6);
    let at_vm6 = || craft::ethernet(VM6, GW_BLUE).ipv6(VM1_IP6, VM6_IP6);
    let routed = || at_vm6().ttl(63);
    let pairs = overlapping(to_vm6, PROTOCOL_UDP)
        .into_iter()
        .zip(overlapping(routed, PROTOCOL_UDP));
    let mut host = routed_host();
    for (fragment, routed) in pairs {
        assert_eq!(host.send(PORT1, &fragment).one(), (PORT4, &routed[..]));
    }
}
