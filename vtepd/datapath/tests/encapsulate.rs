//! Encapsulation: the outer header byte by byte, what depends on the inner flow,
//! and what cannot be sent (RFC 7348, sections 4.2, 4.3 and 5; RFC 6936).

mod common;

use std::collections::HashMap;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::memory::{HEADROOM, MemoryPacket};
use vtepd_tables::{Tunnel, TunnelParameters, VtepPair};
use vtepd_wire::craft;

/// What leaves by the underlay when VM1 sends the frame.
#[track_caller]
fn encapsulated(host: &mut Host, frame: &[u8]) -> Vec<u8> {
    let outcome = host.send(PORT1, frame);
    let (interface, sent) = outcome.one();
    assert_eq!(interface, UNDERLAY);
    sent.to_vec()
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A host whose tunnels to PEER and PEER6 differ from the usual.
fn host_with(change: impl Fn(&mut TunnelParameters)) -> Host {
    host()
        .remote_with(red(), PEER, &change)
        .remote_with(red(), PEER6, &change)
}

#[test]
fn the_outer_ipv4_header_byte_by_byte() {
    let inner = udp(VM4, VM1, 30);
    let sent = encapsulated(&mut host(), &inner);
    let port = word(&sent, v4::UDP);
    let expected = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv4(US, PEER)
        .vxlan(port, RED_VNI, &inner);
    // Ethernet; version 4, TOS 0, identification 0, DF, TTL 64; UDP without a checksum;
    // the I flag and zeroes.
    assert_eq!(sent, expected);
    assert_eq!(
        sent[v4::IP + 6] & 0xe0,
        0x40,
        "RFC 7348, 4.3: never fragmented"
    );
    assert_eq!(word(&sent, v4::UDP + 6), 0, "RFC 7348, 5: SHOULD be zero");
    assert_eq!(sent[v4::VXLAN..v4::INNER], [8, 0, 0, 0, 0, 0x06, 0x87, 0]);
}

#[test]
fn the_outer_ipv6_header_byte_by_byte() {
    let inner = udp(VM5, VM1, 30);
    let sent = encapsulated(&mut host(), &inner);
    let mut expected = craft::ethernet(ROUTER_MAC, OUR_MAC).ipv6(US6, PEER6).vxlan(
        word(&sent, v6::UDP),
        RED_VNI,
        &inner,
    );
    expected[v6::UDP + 6..v6::UDP + 8].fill(0);
    assert_eq!(sent, expected);
}

#[test]
fn dscp_ttl_udp_port_and_the_tag_of_the_underlay_are_settable() {
    let inner = udp(VM4, VM1, 30);
    let mut host = host_with(|tunnel| {
        (tunnel.dscp, tunnel.ttl, tunnel.udp_port) = (46, 5, 8472);
        tunnel.tag = Some(tag(77));
    });
    let sent = encapsulated(&mut host, &inner);
    let expected = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .vlan(77)
        .ipv4(US, PEER)
        .tos(46 << 2)
        .ttl(5)
        .vxlan_to(word(&sent, v4::UDP + 4), 8472, RED_VNI, &inner);
    assert_eq!(sent, expected);
    let sent = encapsulated(&mut host, &udp6(VM5, VM1, 30));
    let mut expected = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .vlan(77)
        .ipv6(US6, PEER6)
        .tos(46 << 2)
        .ttl(5)
        .vxlan_to(word(&sent, v6::UDP + 4), 8472, RED_VNI, &udp6(VM5, VM1, 30));
    expected[v6::UDP + 10..v6::UDP + 12].fill(0);
    assert_eq!(sent, expected);
}

#[test]
fn rfc7348_the_source_port_is_in_the_dynamic_range_stable_per_flow_and_spreads() {
    let mut host = host();
    let mut ports = HashMap::new();
    for flow in 0..2000u16 {
        let frame = craft::ethernet(VM4, VM1)
            .ipv4(VM1_IP, VM4_IP)
            .udp(1024 + flow, 53, b"query");
        let port = word(&encapsulated(&mut host, &frame), v4::UDP);
        assert!(port >= 49_152);
        let longer = craft::ethernet(VM4, VM1)
            .ipv4(VM1_IP, VM4_IP)
            .tos(4)
            .ttl(3)
            .udp(1024 + flow, 53, b"another query of the flow");
        assert_eq!(word(&encapsulated(&mut host, &longer), v4::UDP), port);
        *ports.entry(port).or_insert(0) += 1;
    }
    // 2000 balls in 16384 bins leave 1884 bins hit, and five in one are rare.
    assert!(ports.len() > 1800, "{} ports", ports.len());
    assert!(
        ports.values().all(|&flows| flows < 6),
        "{:?}",
        ports.values().max()
    );
}

#[test]
fn the_source_port_spreads_over_every_field_of_the_flow() {
    let mut host = host();
    let begin = || craft::ethernet(VM4, VM1);
    let frames = [
        begin().ipv4(VM1_IP, VM4_IP).udp(1, 2, b""),
        begin().ipv4(VM1_IP, VM4_IP).udp(1, 3, b""),
        begin().ipv4(VM1_IP, VM4_IP).tcp(1, 2, 2, b""),
        begin().ipv4(VM1_IP, "10.0.0.44").udp(1, 2, b""),
        begin().ipv4("10.0.0.11", VM4_IP).udp(1, 2, b""),
        begin().ipv4(VM1_IP, VM4_IP).icmp_echo(1, 1, b""),
        begin().ipv4(VM1_IP, VM4_IP).icmp_echo(2, 1, b""),
        begin().ipv6(VM1_IP6, VM4_IP6).udp(1, 2, b""),
        begin().ipv6(VM1_IP6, VM4_IP6).hop_by_hop().udp(1, 3, b""),
        begin().ipv6(VM1_IP6, "fd00::44").udp(1, 2, b""),
        begin().arp_reply(VM1_IP, VM4_IP),
        begin().payload(0x88b5, b"experimental"),
    ];
    let mut ports: Vec<u16> = frames
        .iter()
        .map(|frame| word(&encapsulated(&mut host, frame), v4::UDP))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    // The hash of this bench has fixed keys.
    assert_eq!(ports.len(), frames.len());
}

/// Or a receiver would see them out of order, and a firewall on the way apart.
#[test]
fn all_fragments_of_a_datagram_have_one_source_port() {
    let mut host = host();
    let v4 = craft::ethernet(VM4, VM1).ipv4(VM1_IP, VM4_IP);
    let v6 = craft::ethernet(VM4, VM1).ipv6(VM1_IP6, VM4_IP6);
    for whole in [
        v4.may_fragment().udp(1, 2, &[7; 4000]),
        v6.udp(1, 2, &[7; 4000]),
    ] {
        let fragments = craft::fragments(&whole, 1280, 9);
        assert!(fragments.len() >= 4);
        let mut ports: Vec<u16> = fragments
            .iter()
            .map(|fragment| word(&encapsulated(&mut host, fragment), v4::UDP))
            .collect();
        ports.dedup();
        assert_eq!(ports.len(), 1);
    }
}

#[test]
fn the_udp_checksum_is_computed_where_configured() {
    let mut host = host_with(|tunnel| tunnel.udp_checksum = true);
    for len in 0..40 {
        for to in [VM4, VM5] {
            for frame in [udp(to, VM1, len), udp6(to, VM1, len)] {
                let sent = encapsulated(&mut host, &frame);
                let udp = if to == VM4 { v4::UDP } else { v6::UDP };
                assert_ne!(word(&sent, udp + 6), 0, "{len} bytes");
                assert_eq!(craft::verify(&sent), Ok(()), "{len} bytes");
            }
        }
    }
}

#[test]
fn the_udp_checksum_covers_every_segment_whatever_their_lengths() {
    let mut host = host_with(|tunnel| tunnel.udp_checksum = true);
    // Longer than the headers that are pulled together.
    let frame = udp(VM5, VM1, 600);
    for (first, second) in [(300, 400), (257, 258), (301, 500), (301, 502), (64, 399)] {
        let parts = [&frame[..first], &frame[first..second], &frame[second..]];
        let outcome = host.send_packet(PORT1, MemoryPacket::scattered(&parts));
        let (_, sent) = outcome.one();
        assert_eq!(craft::verify(sent), Ok(()), "{first} {second}");
        assert!(sent.ends_with(&frame));
    }
}

#[test]
fn a_frame_as_big_as_the_mtu_of_the_tunnel_passes_and_one_byte_more_does_not() {
    for (to, outer) in [(VM4, 36), (VM5, 56)] {
        // Ethernet, IPv4 and UDP of the inner frame, up to the outer IP header.
        let largest = usize::from(UNDERLAY_MTU) - outer - 42;
        let sent = encapsulated(&mut host(), &udp(to, VM1, largest));
        assert_eq!(sent.len(), usize::from(UNDERLAY_MTU) + 14);
        assert_eq!(craft::verify(&sent), Ok(()));
        let outcome = host().send(PORT1, &udp(to, VM1, largest + 1));
        assert_eq!(outcome.dropped(), DropReason::TunnelMtu);
    }
}

#[test]
fn jumbo_frames_pass_where_the_underlay_takes_them() {
    let mut host = host_with(|tunnel| tunnel.mtu = 9216);
    for to in [VM4, VM5] {
        let sent = encapsulated(&mut host, &udp(to, VM1, 9000));
        assert_eq!(craft::verify(&sent), Ok(()));
    }
}

/// The sum of the header is folded more than once, when length and sum are both large.
#[test]
fn the_ipv4_checksum_holds_for_every_length_and_mark() {
    let mut host = host_with(|tunnel| tunnel.mtu = u16::MAX);
    for tos in 0..4 {
        for len in (0..1400).chain(8900..9000).chain(65_440..65_458) {
            let frame =
                craft::ethernet(VM4, VM1)
                    .ipv4(VM1_IP, VM4_IP)
                    .tos(tos)
                    .udp(1, 2, &vec![0; len]);
            let sent = encapsulated(&mut host, &frame);
            assert!(
                vtepd_wire::ipv4::checksum_ok(&sent[v4::IP..v4::UDP]),
                "{len} bytes, TOS {tos}"
            );
        }
    }
}

#[test]
fn the_ipv4_checksum_holds_where_its_sum_carries_twice() {
    // The largest packet, with the mark of ECT(1): 0xffff + 1 over a header whose sum is 0xffff.
    let frame = craft::ethernet(VM4, VM1)
        .ipv4(VM1_IP, VM4_IP)
        .tos(1)
        .payload(253, &[0; 65_535 - 36 - 34]);
    let parameters = host().tunnel_parameters(UNDERLAY, US, PEER, ROUTER_MAC);
    let vtep = (0..=u16::MAX)
        .map(|low| std::net::Ipv4Addr::from_bits(0xc633_0000 | u32::from(low)))
        .find(|&destination| {
            let addresses = VtepPair::new(ip(US), destination.into()).unwrap();
            let tunnel = Tunnel::new(&TunnelParameters {
                addresses,
                ..parameters.clone()
            });
            tunnel.ipv4_sum == u16::MAX
        });
    let vtep = vtep.unwrap().to_string();
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0)
        .remote_with(red(), &vtep, |tunnel| tunnel.mtu = u16::MAX)
        .away(VM4, &[], &vtep);
    let sent = encapsulated(&mut host, &frame);
    assert_eq!(word(&sent, v4::IP + 2), u16::MAX);
    assert!(vtepd_wire::ipv4::checksum_ok(&sent[v4::IP..v4::UDP]));
}

#[test]
fn a_next_hop_that_is_not_known_yet() {
    let mut host = host_with(|tunnel| tunnel.next_hop_mac = None);
    for to in [VM4, VM5] {
        let reason = host.send(PORT1, &udp(to, VM1, 10)).dropped();
        assert_eq!(reason, DropReason::NextHopUnresolved);
    }
}

/// IPv4 is written as 64 bytes and IPv6 as 80, whatever the header's own length.
#[test]
fn too_little_headroom_is_a_reason_and_corrupts_nothing() {
    for (to, needed) in [(VM4, 64), (VM5, 80)] {
        let frame = udp(to, VM1, 10);
        for headroom in 0..=HEADROOM {
            let packet = MemoryPacket::with_headroom(headroom, &[&frame]);
            let outcome = host().send_packet(PORT1, packet);
            if headroom < needed {
                assert_eq!(outcome.dropped(), DropReason::NoHeadroom, "{headroom}");
            } else {
                assert_eq!(craft::verify(outcome.one().1), Ok(()), "{headroom}");
            }
        }
    }
}

#[test]
fn a_frame_on_a_tagged_port_leaves_without_its_tag() {
    let frame = udp(VM4, VM3, 30);
    let outcome = host().send(PORT3, &tagged(3 << 13 | 100, &frame));
    let (interface, sent) = outcome.one();
    assert_eq!((interface, &sent[v4::INNER..]), (UNDERLAY, &frame[..]));
}

#[test]
fn each_network_leaves_with_its_own_vni() {
    for vni in [1, 0x12_3456, 0xff_ffff] {
        let mut host = bare_host(None)
            .network(red(), vni)
            .port(red(), PORT1, 0)
            .remote(red(), PEER)
            .away(VM4, &[], PEER);
        let sent = encapsulated(&mut host, &udp(VM4, VM1, 1));
        let [_, a, b, c] = vni.to_be_bytes();
        assert_eq!(sent[v4::VXLAN..v4::INNER], [8, 0, 0, 0, a, b, c, 0]);
    }
}
