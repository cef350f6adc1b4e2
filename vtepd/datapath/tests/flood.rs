//! Flooding: who gets a copy of a broadcast, multicast or unknown frame, and what
//! happens when there are no buffers for all (RFC 7348, section 4.2).

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_tables::InterfaceIndex;
use vtepd_wire::craft;

/// The copies for the two VTEPs of [`host`] of a frame, their source port apart.
fn expected_tunnels(frame: &[u8], port: u16) -> [Vec<u8>; 2] {
    let v4 = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv4(US, PEER)
        .vxlan(port, RED_VNI, frame);
    let mut v6 = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv6(US6, PEER6)
        .vxlan(port, RED_VNI, frame);
    v6[v6::UDP + 6..v6::UDP + 8].fill(0);
    [v4, v6]
}

#[test]
fn everybody_but_the_source_gets_the_same_bytes() {
    for to in [BROADCAST, "01:00:5e:7f:00:01", "33:33:00:00:00:fb", NOBODY] {
        for len in [0, 100, 1000] {
            let frame = udp(to, VM1, len);
            let outcome = host().send(PORT1, &frame);
            let [v4, v6] = outcome.sent_to(UNDERLAY).try_into().unwrap();
            let port = u16::from_be_bytes([v4[v4::UDP], v4[v4::UDP + 1]]);
            assert!(port >= 49_152);
            assert_eq!(
                [v4, v6],
                expected_tunnels(&frame, port),
                "the port is the flow's"
            );
            assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
            assert_eq!(outcome.sent_to(PORT3), [tagged(100, &frame)]);
            assert_eq!(outcome.sent.len(), 4);
        }
    }
}

#[test]
fn from_a_tagged_port_the_tag_goes_and_others_get_theirs() {
    let frame = udp(BROADCAST, VM3, 64);
    let outcome = host().send(PORT3, &tagged(100, &frame));
    assert_eq!(outcome.sent_to(PORT1), [&frame[..]]);
    assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
    assert!(outcome.sent_to(PORT3).is_empty());
    for sent in outcome.sent_to(UNDERLAY) {
        assert!(sent.ends_with(&frame));
    }
}

#[test]
fn rfc7348_from_a_tunnel_to_ports_only() {
    let frame = udp(BROADCAST, VM4, 64);
    for outer in [tunnelled(&frame), tunnelled6(&frame)] {
        let outcome = host().send(UNDERLAY, &outer);
        assert_eq!(outcome.sent_to(PORT1), [&frame[..]]);
        assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
        // The last one, and it is written on.
        assert_eq!(outcome.sent_to(PORT3), [tagged(100, &frame)]);
        assert_eq!(outcome.sent.len(), 3);
    }
}

#[test]
fn every_order_of_tagged_and_untagged_ports_gets_the_same() {
    let frame = udp(BROADCAST, VM1, 64);
    for vlans in [
        [0, 0, 7],
        [0, 7, 0],
        [7, 0, 0],
        [7, 8, 0],
        [7, 0, 8],
        [0, 7, 8],
        [7, 8, 9],
    ] {
        let mut host = bare_host(None)
            .network(red(), RED_VNI)
            .port(red(), PORT1, 0);
        for (position, vlan) in vlans.into_iter().enumerate() {
            host = host.port(red(), InterfaceIndex(2 + position as u8), vlan);
        }
        let outcome = host.send(PORT1, &frame);
        for (position, vlan) in vlans.into_iter().enumerate() {
            let expected = if vlan == 0 {
                frame.clone()
            } else {
                tagged(vlan, &frame)
            };
            let interface = InterfaceIndex(2 + position as u8);
            assert_eq!(outcome.sent_to(interface), [expected], "{vlans:?}");
        }
    }
}

#[test]
fn udp_checksums_are_right_in_every_copy() {
    let mut host = host()
        .remote_with(red(), PEER, |tunnel| tunnel.udp_checksum = true)
        .remote_with(red(), PEER6, |tunnel| tunnel.udp_checksum = true);
    for len in [0, 1, 63, 700, 701] {
        let outcome = host.send(PORT1, &udp6(BROADCAST, VM1, len));
        let copies = outcome.sent_to(UNDERLAY);
        assert_eq!(copies.len(), 2);
        for (copy, checksum) in copies.iter().zip([v4::UDP + 6, v6::UDP + 6]) {
            assert_ne!(copy[checksum..checksum + 2], [0, 0]);
            assert_eq!(craft::verify(copy), Ok(()), "{len} bytes");
        }
    }
}

#[test]
fn a_multicast_group_of_the_underlay_gets_one_copy_for_all() {
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0)
        .remote_with(red(), "239.1.1.1", |group| {
            group.next_hop_mac = Some(mac("01:00:5e:01:01:01"));
            group.ttl = 8;
        });
    let frame = udp(BROADCAST, VM1, 10);
    let outcome = host.send(PORT1, &frame);
    let (interface, sent) = outcome.one();
    let expected = craft::ethernet("01:00:5e:01:01:01", OUR_MAC)
        .ipv4(US, "239.1.1.1")
        .ttl(8)
        .vxlan(u16::from_be_bytes([sent[34], sent[35]]), RED_VNI, &frame);
    assert_eq!((interface, sent), (UNDERLAY, &expected[..]));
}

#[test]
fn nobody_else_in_the_network() {
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0)
        .remote(red(), PEER);
    let reason = host.send(UNDERLAY, &tunnelled(&udp(NOBODY, VM4, 1)));
    assert_eq!(reason.sent.len(), 1);
    let mut alone = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0);
    let reason = alone.send(PORT1, &udp(BROADCAST, VM1, 1)).dropped();
    assert_eq!(reason, DropReason::NoFloodTarget);
}

#[test]
fn an_empty_pool_costs_the_copies_it_lacks_and_no_others() {
    let frame = udp(BROADCAST, VM1, 64);
    // Four ways: PORT2, PORT3, PEER, PEER6. The last one needs a buffer of its own
    // once the frame's is shared.
    for (pool, expected) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 4)] {
        let mut host = host();
        host.io.pool = Some(pool);
        let outcome = host.send(PORT1, &frame);
        assert_eq!(outcome.sent.len(), expected, "{pool} buffers");
        assert_eq!(outcome.drops, vec![DropReason::NoBuffer; 4 - expected]);
        for (_, sent) in &outcome.sent {
            assert_eq!(craft::verify(sent), Ok(()));
        }
    }
}

#[test]
fn one_who_cannot_be_reached_costs_nobody_else_a_copy() {
    let mut host = host().remote_with(red(), PEER, |tunnel| tunnel.next_hop_mac = None);
    let outcome = host.send(PORT1, &udp(BROADCAST, VM1, 64));
    assert_eq!(outcome.drops, [DropReason::NextHopUnresolved]);
    assert_eq!(outcome.sent.len(), 3);
    // Too big for one port, not for the others.
    let mut host = self::host();
    host.interface(PORT2.0, "02:00:00:00:0a:02", 500);
    let outcome = host.send(PORT1, &udp(BROADCAST, VM1, 600));
    assert_eq!(outcome.drops, [DropReason::PortMtu]);
    assert_eq!(outcome.sent.len(), 3);
}

#[test]
fn full_size_frames_with_tenants_tags_reach_every_port() {
    let mut host = host().change(red(), |network| network.vlan_transparent = true);
    let frame = tagged(5, &udp(BROADCAST, VM1, usize::from(PORT_MTU) - 28));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.drops, []);
    assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
    assert_eq!(outcome.sent_to(PORT3), [tagged(100, &frame)]);
}

#[test]
fn a_frame_in_several_segments_is_flooded_whole() {
    let frame = udp(BROADCAST, VM1, 1000);
    let packet = MemoryPacket::scattered(&[&frame[..500], &frame[500..501], &frame[501..]]);
    let outcome = host().send_packet(PORT1, packet);
    assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
    assert_eq!(outcome.sent_to(PORT3), [tagged(100, &frame)]);
    for sent in outcome.sent_to(UNDERLAY) {
        assert!(sent.ends_with(&frame));
    }
}

#[test]
fn ingress_replication_to_128_vteps() {
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0);
    let vteps: Vec<String> = (1..=128).map(|last| format!("198.51.100.{last}")).collect();
    for vtep in &vteps {
        host = host.remote(red(), vtep);
    }
    let frame = udp(BROADCAST, VM1, 100);
    let outcome = host.send(PORT1, &frame);
    let sent = outcome.sent_to(UNDERLAY);
    assert_eq!(sent.len(), 128);
    for (sent, vtep) in sent.into_iter().zip(&vteps) {
        let port = u16::from_be_bytes([sent[34], sent[35]]);
        let expected = craft::ethernet(ROUTER_MAC, OUR_MAC)
            .ipv4(US, vtep.as_str())
            .vxlan(port, RED_VNI, &frame);
        assert_eq!(sent, expected);
    }
    assert_eq!(host.counters.flooded.get(), 1);
    assert_eq!(host.counters.replicas.get(), 127);
    assert_eq!(host.counters.interface(UNDERLAY).tx_packets.get(), 128);
}
