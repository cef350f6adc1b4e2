//! What a gateway says: errors about packets that go no further (RFC 1812, 4.3; RFC
//! 4443), echo, and who gets nothing said.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_wire::checksum::Sum;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{icmp_error, icmpv6_error};

const NOWHERE: &str = "198.51.100.1";
const NOWHERE6: &str = "2001:db8:9::1";

fn to_gateway(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, destination)
}

fn to_gateway6(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, destination)
}

/// An error of the gateway `own` about a frame of VM1, made from scratch.
fn error(own: &str, kind: u8, code: u8, rest: u32, about: &[u8]) -> Vec<u8> {
    let quoted = &about[14..about.len().min(14 + 548)];
    craft::ethernet(VM1, GW_RED)
        .ipv4(own, VM1_IP)
        .tos(0xc0)
        .icmp(kind, code, rest, quoted)
}

fn error6(own: &str, kind: u8, code: u8, rest: u32, about: &[u8]) -> Vec<u8> {
    let quoted = &about[14..about.len().min(14 + 1232)];
    craft::ethernet(VM1, GW_RED)
        .ipv6(own, VM1_IP6)
        .icmp(kind, code, rest, quoted)
}

#[track_caller]
fn told(host: &mut Host, frame: &[u8], reason: DropReason, expected: &[u8]) {
    let outcome = host.send(PORT1, frame);
    assert_eq!(outcome.drops, [reason]);
    assert_eq!(outcome.one(), (PORT1, expected));
    assert_eq!(craft::verify(expected), Ok(()));
    // Wherever the packet was cut into buffers.
    for at in [14, 30, 34, 54, 60, frame.len() / 2, frame.len() - 1] {
        let (first, second) = frame.split_at(at.min(frame.len()));
        let outcome = host.send_packet(PORT1, MemoryPacket::scattered(&[first, second]));
        assert_eq!(outcome.one(), (PORT1, expected), "split at {at}");
    }
}

#[track_caller]
fn silent(host: &mut Host, frame: &[u8], reason: DropReason) {
    let outcome = host.send(PORT1, frame);
    assert_eq!(outcome.dropped(), reason);
}

#[test]
fn rfc1812_section_4_3_3_4_time_exceeded_comes_from_the_gateway_near_the_sender() {
    for ttl in [0, 1] {
        for destination in [VM6_IP, VM7_IP, "10.1.0.77"] {
            let frame = to_gateway(destination).ttl(ttl).udp(1, 2, b"traceroute");
            let expected = error(GW_RED_IP, 11, 0, 0, &frame);
            told(
                &mut routed_host(),
                &frame,
                DropReason::TtlExceeded,
                &expected,
            );
        }
        for destination in [VM6_IP6, VM7_IP6, "fd01::77"] {
            let frame = to_gateway6(destination).ttl(ttl).udp(1, 2, b"traceroute");
            let expected = error6(GW_RED_IP6, 3, 0, 0, &frame);
            told(
                &mut routed_host(),
                &frame,
                DropReason::TtlExceeded,
                &expected,
            );
        }
    }
}

#[test]
fn rfc1812_section_4_3_2_4_of_several_addresses_the_one_on_the_senders_subnet() {
    let mut host = routed_host();
    host.change_gateway(adjacency(AT_RED), |gateway| {
        let addresses = ["10.8.0.1/24", "10.0.0.254/24", "fd08::1/64", "fd00::fe/64"];
        gateway.addresses = addresses.iter().map(|own| own.parse().unwrap()).collect();
    });
    let frame = to_gateway(NOWHERE).udp(1, 2, b"");
    let expected = error(GW_RED_IP, 3, 0, 0, &frame);
    told(&mut host, &frame, DropReason::NoRoute, &expected);
    let frame = to_gateway6(NOWHERE6).udp(1, 2, b"");
    let expected = error6(GW_RED_IP6, 1, 0, 0, &frame);
    told(&mut host, &frame, DropReason::NoRoute, &expected);
    // Of a sender from elsewhere, the first.
    let frame = craft::ethernet(GW_RED, VM1)
        .ipv4("172.16.0.1", NOWHERE)
        .udp(1, 2, b"");
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.one().1[26..34], [10, 8, 0, 1, 172, 16, 0, 1]);
}

#[test]
fn rfc4443_section_2_2_a_gateway_without_a_global_address_has_its_link_local_one() {
    let mut host = routed_host();
    host.change_gateway(adjacency(AT_RED), |gateway| {
        gateway.addresses = ["10.0.0.254/24".parse().unwrap()].into();
    });
    let frame = to_gateway6(NOWHERE6).udp(1, 2, b"");
    let expected = error6("fe80::f816:3eff:feaa:1", 1, 0, 0, &frame);
    told(&mut host, &frame, DropReason::NoRoute, &expected);
    // Over IPv4 there is no such address.
    host.change_gateway(adjacency(AT_RED), |gateway| {
        gateway.addresses = ["fd00::fe/64".parse().unwrap()].into();
    });
    silent(
        &mut host,
        &to_gateway(NOWHERE).udp(1, 2, b""),
        DropReason::NoRoute,
    );
}

#[test]
fn rfc1812_section_4_3_3_1_no_route() {
    let frame = to_gateway(NOWHERE).udp(1, 2, b"where");
    let expected = error(GW_RED_IP, 3, 0, 0, &frame);
    told(&mut routed_host(), &frame, DropReason::NoRoute, &expected);
    let frame = to_gateway6(NOWHERE6).udp(1, 2, b"where");
    let expected = error6(GW_RED_IP6, 1, 0, 0, &frame);
    told(&mut routed_host(), &frame, DropReason::NoRoute, &expected);
}

#[test]
fn rfc1191_too_big_and_not_to_be_fragmented() {
    let fits = to_gateway(VM6_IP).udp(1, 2, &[7; 1450 - 28]);
    assert_eq!(routed_host().send(PORT1, &fits).one().0, PORT4);
    for len in [1451, 1500] {
        let frame = to_gateway(VM6_IP).udp(1, 2, &vec![7; len - 28]);
        let expected = error(GW_RED_IP, 3, 4, 1450, &frame);
        told(
            &mut routed_host(),
            &frame,
            DropReason::MtuExceeded,
            &expected,
        );
    }
    // Padding does not make it too big.
    let padded = [fits.clone(), vec![0; 40]].concat();
    assert_eq!(routed_host().send(PORT1, &padded).one().0, PORT4);
}

#[test]
fn rfc8201_too_big_over_ipv6() {
    let fits = to_gateway6(VM6_IP6).udp(1, 2, &[7; 1450 - 48]);
    assert_eq!(routed_host().send(PORT1, &fits).one().0, PORT4);
    for len in [1451, 1500] {
        let frame = to_gateway6(VM6_IP6).udp(1, 2, &vec![7; len - 48]);
        let expected = error6(GW_RED_IP6, 2, 0, 1450, &frame);
        told(
            &mut routed_host(),
            &frame,
            DropReason::MtuExceeded,
            &expected,
        );
    }
}

/// The MTU is that of the network it leaves to.
#[test]
fn rfc1191_the_mtu_is_told_that_the_packet_meets() {
    let mut host = routed_host();
    host.change_gateway(adjacency(AT_BLUE), |gateway| gateway.mtu = 1280);
    for destination in [VM6_IP, VM7_IP] {
        let frame = to_gateway(destination).udp(1, 2, &[7; 1253]);
        let expected = error(GW_RED_IP, 3, 4, 1280, &frame);
        told(&mut host, &frame, DropReason::MtuExceeded, &expected);
    }
    let back = craft::ethernet(GW_BLUE, VM6)
        .ipv4(VM6_IP, VM1_IP)
        .udp(1, 2, &[7; 1400]);
    assert_eq!(host.send(PORT4, &back).one().0, PORT1);
}

#[test]
fn rfc792_who_talks_to_a_gateways_port_is_told_that_nobody_listens() {
    for own in [GW_RED_IP, GW_BLUE_IP] {
        for frame in [
            to_gateway(own).udp(1, 9, b"x"),
            to_gateway(own).tcp(1, 22, 2, b""),
        ] {
            let expected = error(own, 3, 3, 0, &frame);
            told(
                &mut routed_host(),
                &frame,
                DropReason::GatewayService,
                &expected,
            );
        }
        let frame = to_gateway(own).payload(132, &[0; 12]);
        let expected = error(own, 3, 2, 0, &frame);
        told(
            &mut routed_host(),
            &frame,
            DropReason::GatewayService,
            &expected,
        );
    }
}

#[test]
fn rfc4443_section_3_1_who_talks_to_a_gateways_port_is_told_that_nobody_listens() {
    for own in [GW_RED_IP6, GW_BLUE_IP6, "fe80::f816:3eff:feaa:1"] {
        for frame in [
            to_gateway6(own).udp(1, 9, b"x"),
            to_gateway6(own).tcp(1, 22, 2, b""),
        ] {
            let expected = error6(own, 1, 4, 0, &frame);
            told(
                &mut routed_host(),
                &frame,
                DropReason::GatewayService,
                &expected,
            );
        }
    }
}

#[test]
fn rfc8200_section_4_an_unknown_protocol_is_a_parameter_problem() {
    let frame = to_gateway6(GW_RED_IP6).payload(132, &[0; 12]);
    let expected = error6(GW_RED_IP6, 4, 1, 6, &frame);
    told(
        &mut routed_host(),
        &frame,
        DropReason::GatewayService,
        &expected,
    );
    // 4.7: what says that nothing follows is no problem.
    let frame = to_gateway6(GW_RED_IP6).payload(59, &[0; 12]);
    assert_eq!(routed_host().send(PORT1, &frame).consumed(), []);
}

#[test]
fn rfc1812_section_4_3_3_6_echo_is_answered_from_every_address_of_the_router() {
    let mut host = routed_host();
    for (port, who, source, gateway) in
        [(PORT1, VM1, VM1_IP, GW_RED), (PORT4, VM6, VM6_IP, GW_BLUE)]
    {
        for own in [GW_RED_IP, GW_BLUE_IP] {
            for len in [0, 1, 56, 1400] {
                let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let frame = craft::ethernet(gateway, who).ipv4(source, own).ttl(1);
                let outcome = host.send(port, &frame.icmp_echo(7, 9, &payload));
                let answer = craft::ethernet(who, gateway).ipv4(own, source);
                let answer = answer.icmp_echo_reply(7, 9, &payload);
                assert_eq!(outcome.one(), (port, &answer[..]), "{own} {len}");
            }
        }
    }
}

#[test]
fn rfc4443_section_4_2_echo_is_answered_from_every_address_of_the_router() {
    let mut host = routed_host();
    for (port, who, sources, gateway, link_local) in [
        (
            PORT1,
            VM1,
            [VM1_IP6, "fe80::9"],
            GW_RED,
            "fe80::f816:3eff:feaa:1",
        ),
        (
            PORT4,
            VM6,
            [VM6_IP6, "fe80::9"],
            GW_BLUE,
            "fe80::f816:3eff:feaa:2",
        ),
    ] {
        for (source, own) in [
            (sources[0], GW_RED_IP6),
            (sources[0], GW_BLUE_IP6),
            (sources[0], link_local),
            (sources[1], link_local),
        ] {
            let frame = craft::ethernet(gateway, who).ipv6(source, own).ttl(1);
            let outcome = host.send(port, &frame.icmp_echo(7, 9, b"up?"));
            let answer = craft::ethernet(who, gateway).ipv6(own, source);
            let answer = answer.icmp_echo_reply(7, 9, b"up?");
            assert_eq!(outcome.one(), (port, &answer[..]), "{own}");
        }
    }
    // The link-local address of the other side is another link's.
    let frame = to_gateway6("fe80::f816:3eff:feaa:2").icmp_echo(1, 1, b"");
    silent(&mut host, &frame, DropReason::Martian);
}

#[test]
fn echo_with_a_bad_checksum_is_dropped() {
    for frame in [
        to_gateway(GW_RED_IP).icmp_echo(1, 1, b"x"),
        to_gateway6(GW_RED_IP6).icmp_echo(1, 1, b"x"),
    ] {
        let mut frame = frame;
        *frame.last_mut().unwrap() ^= 1;
        silent(&mut routed_host(), &frame, DropReason::IpMalformed);
    }
    // Other questions are none that a gateway answers.
    for kind in [0, 13, 17, 8] {
        let code = u8::from(kind == 8);
        let frame = to_gateway(GW_RED_IP).icmp(kind, code, 0, &[0; 8]);
        assert_eq!(routed_host().send(PORT1, &frame).consumed(), []);
    }
    silent(
        &mut routed_host(),
        &to_gateway(GW_RED_IP).payload(1, &[0xff, 0xff]),
        DropReason::IpMalformed,
    );
    let short = to_gateway6(GW_RED_IP6).payload(58, b"");
    silent(&mut routed_host(), &short, DropReason::IpMalformed);
}

/// Nothing is reassembled for a gateway; nor is it said that ICMP is unknown here.
#[test]
fn fragments_to_a_gateway() {
    let whole = to_gateway(GW_RED_IP)
        .may_fragment()
        .icmp_echo(1, 1, &[0; 2000]);
    let whole6 = to_gateway6(GW_RED_IP6).icmp_echo(1, 1, &[0; 2000]);
    for whole in [whole, whole6] {
        for piece in craft::fragments(&whole, 1280, 1) {
            silent(&mut routed_host(), &piece, DropReason::GatewayService);
        }
    }
    let whole = to_gateway(GW_RED_IP).may_fragment().udp(1, 1, &[0; 2000]);
    let whole6 = to_gateway6(GW_RED_IP6).udp(1, 1, &[0; 2000]);
    for whole in [whole, whole6] {
        let told: Vec<usize> = craft::fragments(&whole, 1280, 1)
            .iter()
            .map(|piece| routed_host().send(PORT1, piece).sent.len())
            .collect();
        assert_eq!(told, [1, 0]);
    }
}

#[test]
fn rfc1122_section_3_2_2_no_error_about_an_error() {
    for kind in [3, 4, 5, 11, 12, 99] {
        for frame in [
            to_gateway(VM6_IP).ttl(1).icmp(kind, 0, 0, &[0; 28]),
            to_gateway(NOWHERE).icmp(kind, 0, 0, &[0; 28]),
            to_gateway(VM6_IP).icmp(kind, 0, 0, &[0; 1450]),
        ] {
            let outcome = routed_host().send(PORT1, &frame);
            assert_eq!((outcome.drops.len(), outcome.sent.len()), (1, 0), "{kind}");
        }
    }
    for kind in [1, 2, 3, 4, 99, 137] {
        for begin in [to_gateway6(VM6_IP6).ttl(1), to_gateway6(NOWHERE6)] {
            let hidden = begin.clone().hop_by_hop().icmp(kind, 0, 0, &[0; 28]);
            for frame in [begin.icmp(kind, 0, 0, &[0; 28]), hidden] {
                let outcome = routed_host().send(PORT1, &frame);
                assert_eq!((outcome.drops.len(), outcome.sent.len()), (1, 0), "{kind}");
            }
        }
    }
    // An error about our own error does not come either.
    let late = to_gateway(VM6_IP).ttl(1).udp(1, 2, b"");
    let outcome = routed_host().send(PORT1, &late);
    let ours = outcome.one().1[34..].to_vec();
    let back = to_gateway(VM6_IP).ttl(1).payload(1, &ours);
    silent(&mut routed_host(), &back, DropReason::TtlExceeded);
}

#[test]
fn rfc1122_section_3_2_2_no_error_about_fragments_but_the_first() {
    let whole = to_gateway(NOWHERE).may_fragment().udp(1, 2, &[0; 3000]);
    let told: Vec<usize> = craft::fragments(&whole, 1000, 1)
        .iter()
        .map(|piece| routed_host().send(PORT1, piece).sent.len())
        .collect();
    assert_eq!(told, [1, 0, 0, 0]);
}

/// A frame to everybody is bridged, whatever the packet in it is for.
#[test]
fn rfc1812_section_4_3_2_7_no_error_about_a_frame_to_a_group() {
    for destination in [VM6_IP, NOWHERE, "10.0.0.255", "224.0.0.1"] {
        for ttl in [1, 64] {
            let begin = craft::ethernet(BROADCAST, VM1).ipv4(VM1_IP, destination);
            let frame = begin.ttl(ttl).udp(1, 2, b"");
            let outcome = routed_host().send(PORT1, &frame);
            assert!(outcome.drops.is_empty());
            assert!(outcome.sent_to(PORT1).is_empty());
            assert_eq!(outcome.sent_to(PORT2), [&frame]);
        }
    }
}

#[test]
fn an_error_about_a_long_packet_quotes_its_beginning() {
    let frame = to_gateway(NOWHERE).udp(1, 2, &[7; 1400]);
    let outcome = routed_host().send(PORT1, &frame);
    assert_eq!(outcome.one().1.len(), 14 + icmp_error::MAX_LEN);
    let frame = to_gateway6(NOWHERE6).udp(1, 2, &[7; 1400]);
    let outcome = routed_host().send(PORT1, &frame);
    assert_eq!(outcome.one().1.len(), 14 + icmpv6_error::MAX_LEN);
    // With its options.
    let frame = to_gateway(NOWHERE).options(&[1; 40]).udp(1, 2, b"");
    let expected = error(GW_RED_IP, 3, 0, 0, &frame);
    told(&mut routed_host(), &frame, DropReason::NoRoute, &expected);
}

#[test]
fn an_error_that_finds_no_room_is_dropped() {
    let frame = to_gateway(NOWHERE).udp(1, 2, b"");
    for headroom in 0..28 {
        let outcome =
            routed_host().send_packet(PORT1, MemoryPacket::with_headroom(headroom, &[&frame]));
        assert_eq!(outcome.dropped(), DropReason::NoHeadroom);
    }
    let outcome = routed_host().send_packet(PORT1, MemoryPacket::with_headroom(28, &[&frame]));
    assert_eq!(outcome.sent.len(), 1);
}

/// A port that is tagged has its answers tagged.
#[test]
fn the_answer_leaves_by_the_way_that_the_question_came() {
    let begin = || craft::ethernet(GW_RED, VM3).ipv4(VM3_IP, GW_RED_IP);
    let outcome = routed_host().send(PORT3, &tagged(100, &begin().icmp_echo(1, 1, b"")));
    let answer = craft::ethernet(VM3, GW_RED).ipv4(GW_RED_IP, VM3_IP);
    assert_eq!(
        outcome.one(),
        (PORT3, &tagged(100, &answer.icmp_echo_reply(1, 1, b""))[..])
    );
    let late = craft::ethernet(GW_RED, VM3)
        .ipv4(VM3_IP, VM6_IP)
        .ttl(1)
        .udp(1, 2, b"");
    let outcome = routed_host().send(PORT3, &tagged(100, &late));
    assert_eq!(outcome.one().1[12..16], [0x81, 0, 0, 100]);
    assert_eq!(Sum::new().add_bytes(&outcome.one().1[18..38]).finish(), 0);
}
