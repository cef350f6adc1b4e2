//! Terminating VXLAN: which packets of the underlay are let in, as what, and why
//! the others are not (RFC 7348, sections 4 and 5; RFC 6935; RFC 6936).

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::Decision;
use vtepd_wire::craft;

/// What comes out at VM1's port when the tunnel packet comes in.
#[track_caller]
fn delivered(host: &mut Host, outer: &[u8], inner: &[u8]) {
    let outcome = host.send(UNDERLAY, outer);
    assert_eq!(outcome.one(), (PORT1, inner));
}

#[track_caller]
fn dropped(outer: &[u8]) -> DropReason {
    host().send(UNDERLAY, outer).dropped()
}

#[test]
fn a_tunnel_packet_is_delivered_without_its_outer_headers() {
    let inner = udp(VM1, VM4, 100);
    let mut host = host();
    let outcome = host.send(UNDERLAY, &tunnelled(&inner));
    assert_eq!(outcome.one(), (PORT1, &inner[..]));
    let terminated = Decision::Terminated(RED_VNI, red(), host.at_vtep(PEER));
    assert!(outcome.decisions.contains(&terminated), "{outcome:?}");
    delivered(&mut host, &tunnelled6(&inner), &inner);
    let counters = host.counters.interface(UNDERLAY);
    assert_eq!(counters.rx_packets.get(), 2);
    assert_eq!(counters.rx_bytes.get(), 2 * inner.len() as u64 + 50 + 70);
    let counters = host.counters.interface(PORT1);
    assert_eq!(counters.tx_packets.get(), 2);
    assert_eq!(counters.tx_bytes.get(), 2 * inner.len() as u64);
}

#[test]
fn rfc7348_unknown_vni_is_dropped_and_counted_apart() {
    let inner = udp(VM1, VM4, 10);
    for vni in [0, RED_VNI - 1, RED_VNI + 1, 0xff_ffff] {
        let outer = from_peer().vxlan(50_000, vni, &inner);
        assert_eq!(dropped(&outer), DropReason::UnknownVni, "VNI {vni}");
    }
}

#[test]
fn rfc7348_a_packet_from_no_vtep_of_ours_is_dropped_and_counted_apart() {
    let inner = udp(VM1, VM4, 10);
    let outer = to_us().ipv4(STRANGER, US).vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::UnknownVtep);
    let outer = to_us().ipv6(STRANGER6, US6).vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::UnknownVtep);
}

#[test]
fn the_smallest_and_the_largest_vni() {
    for vni in [1, 0xff_ffff] {
        let mut host = bare_host(None)
            .network(red(), vni)
            .port(red(), PORT1, 0)
            .remote(red(), PEER)
            .vm(VM1, &[], PORT1, 0);
        let inner = udp(VM1, VM4, 10);
        delivered(&mut host, &from_peer().vxlan(50_000, vni, &inner), &inner);
    }
}

#[test]
fn rfc7348_the_linux_port_is_accepted_where_configured_and_no_other() {
    let inner = udp(VM1, VM4, 10);
    let to = |port| from_peer().vxlan_to(50_000, port, RED_VNI, &inner);
    delivered(&mut host(), &to(8472), &inner);
    for port in [0, 4788, 4790, 8471, 65535] {
        assert_eq!(dropped(&to(port)), DropReason::UdpPort, "port {port}");
    }
    let mut host = host();
    host.tables.edit().local.udp_ports = vec![4789];
    assert_eq!(
        host.send(UNDERLAY, &to(8472)).dropped(),
        DropReason::UdpPort
    );
}

#[test]
fn rfc7348_the_i_flag_is_required_and_reserved_bits_are_ignored() {
    let inner = udp(VM1, VM4, 10);
    let mut outer = tunnelled(&inner);
    outer[v4::VXLAN] = 0xf7;
    assert_eq!(dropped(&outer), DropReason::VxlanFlags);
    outer[v4::VXLAN] = 0xff;
    outer[v4::VXLAN + 1..v4::VXLAN + 4].fill(0xff);
    outer[v4::VXLAN + 7] = 0xff;
    delivered(&mut host(), &outer, &inner);
}

#[test]
fn rfc7348_outer_fragments_are_dropped() {
    let outer = from_peer()
        .may_fragment()
        .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 400));
    for fragment in craft::fragments(&outer, 300, 7) {
        assert_eq!(dropped(&fragment), DropReason::OuterFragment);
    }
    let inner = udp(VM1, VM4, 10);
    for (offset, more) in [(0, true), (64, false), (0, false)] {
        let outer = from_peer6()
            .fragment(7, offset, more)
            .vxlan(50_000, RED_VNI, &inner);
        assert_eq!(
            dropped(&outer),
            DropReason::OuterFragment,
            "{offset} {more}"
        );
    }
}

#[test]
fn a_packet_of_our_own_that_comes_back_is_a_loop() {
    let inner = udp(VM1, VM4, 10);
    let outer = to_us().ipv4(US, US).vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::OwnPacket);
    let outer = to_us().ipv6(US6, US6).vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::OwnPacket);
}

#[test]
fn sources_that_are_no_hosts_are_refused() {
    let inner = udp(VM1, VM4, 10);
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        let outer = to_us().ipv4(source, US).vxlan(50_000, RED_VNI, &inner);
        assert_eq!(dropped(&outer), DropReason::OuterSource, "{source}");
    }
    for source in ["::", "::1", "ff02::1"] {
        let outer = to_us().ipv6(source, US6).vxlan(50_000, RED_VNI, &inner);
        assert_eq!(dropped(&outer), DropReason::OuterSource, "{source}");
    }
}

#[test]
fn packets_for_others_are_not_ours() {
    let inner = udp(VM1, VM4, 10);
    let outer = to_us()
        .ipv4(PEER, "192.0.2.200")
        .vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::OuterDestination);
    let outer = to_us()
        .ipv6(PEER6, "2001:db8::200")
        .vxlan(50_000, RED_VNI, &inner);
    assert_eq!(dropped(&outer), DropReason::OuterDestination);
    let mut outer = tunnelled(&inner);
    outer[5] ^= 1;
    assert_eq!(dropped(&outer), DropReason::OtherMac);
}

#[test]
fn protocols_that_a_vtep_does_not_speak() {
    assert_eq!(
        dropped(&from_peer().tcp(1, 2, 2, b"")),
        DropReason::UnderlayProtocol
    );
    assert_eq!(
        dropped(&from_peer6().tcp(1, 2, 2, b"")),
        DropReason::UnderlayProtocol
    );
    assert_eq!(
        dropped(&from_peer().payload(47, b"GRE?")),
        DropReason::UnderlayProtocol
    );
    assert_eq!(
        dropped(&to_us().payload(0x88cc, b"LLDP")),
        DropReason::UnderlayProtocol
    );
    assert_eq!(
        dropped(&to_us().payload(0x0026, &[0; 38])),
        DropReason::UnderlayProtocol
    );
}

#[test]
fn rfc7348_a_group_is_listened_to_when_joined() {
    let inner = udp(BROADCAST, VM4, 10);
    for (group, group_mac, source) in [
        ("239.1.1.1", "01:00:5e:01:01:01", PEER),
        ("ff05::100", "33:33:00:00:01:00", PEER6),
    ] {
        let begin = craft::ethernet(group_mac, ROUTER_MAC);
        let outer = if ip(group).is_ipv4() {
            begin.ipv4(source, group).vxlan(50_000, RED_VNI, &inner)
        } else {
            begin.ipv6(source, group).vxlan(50_000, RED_VNI, &inner)
        };
        assert_eq!(dropped(&outer), DropReason::OuterDestination);
        let mut host = host();
        host.tables.edit().local.set([ip(US), ip(US6)], [ip(group)]);
        let outcome = host.send(UNDERLAY, &outer);
        assert_eq!(outcome.sent_to(PORT1), [&inner[..]]);
        assert_eq!(outcome.sent.len(), 3, "{outcome:?}");
    }
}

#[test]
fn a_tunnel_packet_cut_at_any_byte_is_dropped_with_the_reason_of_where() {
    let outer = tunnelled(&udp(VM1, VM4, 20));
    for len in 0..outer.len() {
        let reason = dropped(&outer[..len]);
        let expected = if len < 14 {
            DropReason::Truncated
        } else {
            DropReason::OuterMalformed
        };
        assert_eq!(reason, expected, "cut to {len}");
    }
    let outer = tunnelled6(&udp(VM1, VM4, 20));
    for len in 14..outer.len() {
        assert_eq!(
            dropped(&outer[..len]),
            DropReason::OuterMalformed,
            "cut to {len}"
        );
    }
    let outer = tagged(100, &tunnelled(&udp(VM1, VM4, 20)));
    let mut host = bare_host(Some(100));
    for len in 0..outer.len() {
        let expected = match len {
            0..18 => DropReason::Truncated,
            _ => DropReason::OuterMalformed,
        };
        assert_eq!(
            host.send(UNDERLAY, &outer[..len]).dropped(),
            expected,
            "cut to {len}"
        );
    }
}

/// The IP packet is sound, but ends at any byte of what it carries.
#[test]
fn an_ip_packet_too_short_for_what_it_carries() {
    let whole = tunnelled(&udp(VM1, VM4, 20));
    for len in 0..8 + 8 + 14 {
        let mut datagram = whole[v4::UDP..v4::UDP + len].to_vec();
        let reason = dropped(&from_peer().payload(17, &datagram));
        assert_eq!(reason, DropReason::UdpMalformed, "{len} bytes");
        let reason = dropped(&from_peer6().payload(17, &datagram));
        assert_eq!(reason, DropReason::UdpMalformed, "{len} bytes over IPv6");
        if len < 8 {
            continue;
        }
        // UDP is sound as well.
        datagram[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        let expected = match len {
            8..16 => DropReason::UdpMalformed,
            _ => DropReason::InnerTruncated,
        };
        assert_eq!(
            dropped(&from_peer().payload(17, &datagram)),
            expected,
            "{len} bytes"
        );
        assert_eq!(
            dropped(&from_peer6().payload(17, &datagram)),
            expected,
            "{len} bytes"
        );
    }
}

#[test]
fn lengths_that_contradict_each_other() {
    let inner = udp(VM1, VM4, 20);
    let outer = tunnelled(&inner);
    let change = |at: usize, value: u16| {
        let mut outer = outer.clone();
        outer[at..at + 2].copy_from_slice(&value.to_be_bytes());
        seal_ipv4(&mut outer);
        outer
    };
    let ip_len = (outer.len() - v4::IP) as u16;
    for len in [0, 19, ip_len + 1, 0xffff] {
        assert_eq!(
            dropped(&change(16, len)),
            DropReason::OuterMalformed,
            "IPv4 length {len}"
        );
    }
    let udp_len = (outer.len() - v4::UDP) as u16;
    for len in [0, 7, 15, udp_len + 1, 0xffff] {
        assert_eq!(
            dropped(&change(38, len)),
            DropReason::UdpMalformed,
            "UDP length {len}"
        );
    }
    for version_ihl in [0x35, 0x44, 0x65] {
        let outer = with_ip_byte(outer.clone(), v4::IP, version_ihl);
        assert_eq!(
            dropped(&outer),
            DropReason::OuterMalformed,
            "{version_ihl:#x}"
        );
    }
    let mut outer = tunnelled6(&inner);
    outer[v6::IP] = 0x50;
    assert_eq!(dropped(&outer), DropReason::OuterMalformed);
    let mut outer = tunnelled6(&inner);
    outer[v6::IP + 4..v6::IP + 6].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(dropped(&outer), DropReason::OuterMalformed);
}

#[test]
fn a_wrong_checksum_of_the_outer_ipv4_header() {
    let outer = tunnelled(&udp(VM1, VM4, 20));
    for at in v4::IP..v4::UDP {
        // Version, length and total length are looked at before.
        if (14..18).contains(&at) {
            continue;
        }
        let mut outer = outer.clone();
        outer[at] ^= 0x40;
        assert_eq!(dropped(&outer), DropReason::OuterChecksum, "byte {at}");
    }
}

#[test]
fn rfc7348_udp_checksum_zero_is_accepted_and_any_other_verified() {
    for inner in [udp(VM1, VM4, 20), udp(VM1, VM4, 21)] {
        let payload = tunnelled(&inner)[v4::VXLAN..].to_vec();
        let mut outer = from_peer().udp(50_000, 4789, &payload);
        delivered(&mut host(), &outer, &inner);
        for at in [v4::UDP, v4::VXLAN, v4::INNER, outer.len() - 1] {
            let mut broken = outer.clone();
            broken[at] ^= 1;
            assert_eq!(dropped(&broken), DropReason::UdpChecksum, "byte {at}");
        }
        outer[40..42].fill(0xff);
        assert_eq!(dropped(&outer), DropReason::UdpChecksum);
    }
}

#[test]
fn rfc6935_udp_checksum_zero_is_accepted_over_ipv6_and_any_other_verified() {
    let inner = udp(VM1, VM4, 21);
    let mut outer = tunnelled6(&inner);
    let mut broken = outer.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(dropped(&broken), DropReason::UdpChecksum);
    outer[v6::UDP + 6..v6::UDP + 8].fill(0);
    delivered(&mut host(), &outer, &inner);
}

/// The sum may come to zero, which is sent as 0xffff (RFC 768).
#[test]
fn rfc768_a_checksum_of_zero_sent_as_all_ones() {
    let inner = udp(VM1, VM4, 20);
    let mut outer = from_peer().udp(50_000, 4789, &tunnelled(&inner)[v4::VXLAN..]);
    // The source port takes up what the sum lacks.
    let sum = u32::from(u16::from_be_bytes([outer[40], outer[41]])) + 50_000;
    let port = ((sum & 0xffff) + (sum >> 16)) as u16;
    outer[v4::UDP..v4::UDP + 2].copy_from_slice(&port.to_be_bytes());
    outer[40..42].fill(0xff);
    assert_eq!(craft::verify(&outer), Ok(()));
    delivered(&mut host(), &outer, &inner);
}

#[test]
fn bytes_behind_the_datagram_or_the_packet_are_cut_off() {
    let inner = udp(VM1, VM4, 0);
    let mut outer = tunnelled(&inner);
    outer.extend([0xee; 17]);
    delivered(&mut host(), &outer, &inner);
    let mut outer = tunnelled6(&inner);
    outer.extend([0xee; 3]);
    delivered(&mut host(), &outer, &inner);
    // UDP options (RFC 9868) lie between the two.
    let datagram = [&tunnelled(&inner)[v4::UDP..], &[0xee; 8]].concat();
    delivered(&mut host(), &from_peer().payload(17, &datagram), &inner);
}

#[test]
fn outer_ipv4_options_and_ipv6_extension_headers_are_stepped_over() {
    let inner = udp(VM1, VM4, 20);
    for len in [4, 8, 20, 40] {
        let outer = from_peer()
            .options(&vec![1; len])
            .vxlan(50_000, RED_VNI, &inner);
        delivered(&mut host(), &outer, &inner);
    }
    let chains = [
        from_peer6().hop_by_hop(),
        from_peer6().destination_options(),
        from_peer6().hop_by_hop().routing().destination_options(),
    ];
    for chain in chains {
        delivered(&mut host(), &chain.vxlan(50_000, RED_VNI, &inner), &inner);
    }
    let endless = (0..20).fold(from_peer6(), |chain, _| chain.destination_options());
    assert_eq!(
        dropped(&endless.vxlan(50_000, RED_VNI, &inner)),
        DropReason::OuterMalformed
    );
    let misplaced = from_peer6().destination_options().hop_by_hop();
    assert_eq!(
        dropped(&misplaced.vxlan(50_000, RED_VNI, &inner)),
        DropReason::OuterMalformed
    );
}

#[test]
fn a_tagged_underlay_takes_its_tag_only() {
    let inner = udp(VM1, VM4, 20);
    let new_host = || {
        bare_host(Some(77))
            .network(red(), RED_VNI)
            .port(red(), PORT1, 0)
            .remote(red(), PEER)
            .remote(red(), PEER6)
            .vm(VM1, &[], PORT1, 0)
    };
    for outer in [tunnelled(&inner), tunnelled6(&inner)] {
        delivered(&mut new_host(), &tagged(77, &outer), &inner);
        delivered(&mut new_host(), &tagged(7 << 13 | 77, &outer), &inner);
        for other in [outer.clone(), tagged(78, &outer), tagged(0, &outer)] {
            assert_eq!(
                new_host().send(UNDERLAY, &other).dropped(),
                DropReason::Unbound
            );
        }
    }
}

#[test]
fn an_untagged_underlay_takes_priority_tags() {
    let inner = udp(VM1, VM4, 20);
    for tci in [0, 0xe000] {
        delivered(&mut host(), &tagged(tci, &tunnelled(&inner)), &inner);
        delivered(&mut host(), &tagged(tci, &tunnelled6(&inner)), &inner);
    }
    assert_eq!(dropped(&tagged(1, &tunnelled(&inner))), DropReason::Unbound);
}

#[test]
fn the_inner_frame_is_checked_like_one_from_a_port() {
    let reason = |inner: &[u8]| dropped(&tunnelled(inner));
    assert_eq!(
        reason(&udp(VM1, BROADCAST, 1)),
        DropReason::InvalidSourceMac
    );
    assert_eq!(
        reason(&udp(VM1, "00:00:00:00:00:00", 1)),
        DropReason::InvalidSourceMac
    );
    assert_eq!(
        reason(&udp("01:80:c2:00:00:0e", VM4, 1)),
        DropReason::ReservedGroup
    );
    assert_eq!(
        reason(&tagged(5, &udp(VM1, VM4, 1))),
        DropReason::UnexpectedTag
    );
}

#[test]
fn rfc7348_inner_tags_pass_where_configured() {
    let mut host = host().change(red(), |network| network.vlan_transparent = true);
    let once = tagged(5, &udp(VM1, VM4, 20));
    delivered(&mut host, &tunnelled(&once), &once);
    let twice = tagged_with(0x88a8, 6, &once);
    delivered(&mut host, &tunnelled(&twice), &twice);
}

#[test]
fn rfc1122_a_packet_for_one_sent_to_all_is_dropped() {
    let mut frame = tunnelled(&udp(VM1, VM4, 30));
    frame[..6].fill(0xff);
    assert_eq!(
        host().send(UNDERLAY, &frame).dropped(),
        DropReason::OuterDestination
    );
}
