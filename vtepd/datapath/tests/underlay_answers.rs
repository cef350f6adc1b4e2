//! What is said to us on the underlay itself: ARP and ND, echo, and who asks for
//! our groups (RFC 826, RFC 792, RFC 4443, RFC 4861, RFC 3376, RFC 3810).

mod common;

use common::*;
use vtepd_datapath::{DropReason, Event};
use vtepd_wire::{arp, craft, ipv6};

const ANY: &str = "0.0.0.0";
const ALL_SYSTEMS: (&str, &str) = ("01:00:5e:00:00:01", "224.0.0.1");
const ALL_NODES: (&str, &str) = ("33:33:00:00:00:01", "ff02::1");
/// Link-local address of the router.
const ROUTER6: &str = "fe80::1";

fn heard(address: &str) -> Event {
    Event::Neighbour {
        interface: UNDERLAY,
        address: ip(address),
        mac: mac(ROUTER_MAC),
    }
}

fn asks(target: &str) -> Vec<u8> {
    craft::pad(craft::ethernet(BROADCAST, ROUTER_MAC).arp_request(PEER, target))
}

fn our_group() -> (String, String) {
    let group = ipv6::solicited_node(US6.parse().unwrap());
    (
        vtepd_wire::Mac::multicast_of_v6(group).to_string(),
        group.to_string(),
    )
}

#[track_caller]
fn dropped(frame: &[u8]) -> DropReason {
    host().send(UNDERLAY, frame).dropped()
}

#[test]
fn rfc826_a_request_for_our_address_is_answered_and_the_asker_remembered() {
    let answer = craft::pad(craft::ethernet(ROUTER_MAC, OUR_MAC).arp_reply(US, PEER));
    let outcome = host().send(UNDERLAY, &asks(US));
    assert_eq!(outcome.one(), (UNDERLAY, &answer[..]));
    assert_eq!(outcome.events, [heard(PEER)]);
    // To us alone, as a host does that checks whether we are still there.
    let unicast = craft::ethernet(OUR_MAC, ROUTER_MAC).arp_request(PEER, US);
    assert_eq!(
        host().send(UNDERLAY, &unicast).one().1,
        &answer[..unicast.len()]
    );
}

#[test]
fn a_request_for_another_address_is_not_ours() {
    let outcome = host().send(UNDERLAY, &asks(STRANGER));
    assert_eq!(outcome.consumed(), []);
}

#[test]
fn a_reply_to_us_and_an_announcement_are_remembered() {
    let reply = craft::ethernet(OUR_MAC, ROUTER_MAC).arp_reply(PEER, US);
    assert_eq!(host().send(UNDERLAY, &reply).consumed(), [heard(PEER)]);
    let announcement = craft::ethernet(BROADCAST, ROUTER_MAC).arp_request(PEER, PEER);
    assert_eq!(
        host().send(UNDERLAY, &announcement).consumed(),
        [heard(PEER)]
    );
}

#[test]
fn rfc5227_a_probe_is_answered_and_teaches_nothing() {
    let probe = craft::ethernet(BROADCAST, ROUTER_MAC).arp_request(ANY, US);
    let outcome = host().send(UNDERLAY, &probe);
    assert_eq!(
        outcome.one().1,
        craft::ethernet(ROUTER_MAC, OUR_MAC).arp_reply(US, ANY)
    );
    assert_eq!(outcome.events, []);
}

#[test]
fn malformed_arp_of_the_underlay() {
    let request = asks(US);
    for (at, value) in [(15, 6), (16, 0x86), (18, 8), (19, 16)] {
        let mut request = request.clone();
        request[at] = value;
        assert_eq!(
            dropped(&request),
            DropReason::UnderlayMalformed,
            "byte {at}"
        );
    }
    assert_eq!(dropped(&request[..14 + 27]), DropReason::UnderlayMalformed);
    let from_all = arp::Packet::request(mac(BROADCAST), PEER.parse().unwrap(), US.parse().unwrap());
    let from_all = craft::ethernet(BROADCAST, ROUTER_MAC).arp(from_all);
    assert_eq!(dropped(&from_all), DropReason::UnderlayMalformed);
    let from_group = craft::ethernet(BROADCAST, "01:00:5e:00:00:09").arp_request(PEER, US);
    assert_eq!(dropped(&from_group), DropReason::InvalidSourceMac);
    let ours = craft::ethernet(BROADCAST, OUR_MAC).arp_request(US, PEER);
    assert_eq!(dropped(&ours), DropReason::OwnPacket);
}

#[test]
fn rfc792_echo_is_answered_whatever_its_size() {
    for len in (0..60).chain([500, 501, 1472]) {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let request = from_peer().ttl(3).icmp_echo(7, 9, &payload);
        let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
            .ipv4(US, PEER)
            .icmp_echo_reply(7, 9, &payload);
        assert_eq!(
            host().send(UNDERLAY, &request).one(),
            (UNDERLAY, &answer[..])
        );
    }
}

#[test]
fn rfc4443_echo_is_answered_whatever_its_size() {
    for len in (0..60).chain([500, 501, 1452]) {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let request = from_peer6().ttl(3).icmp_echo(7, 9, &payload);
        let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
            .ipv6(US6, PEER6)
            .icmp_echo_reply(7, 9, &payload);
        assert_eq!(
            host().send(UNDERLAY, &request).one(),
            (UNDERLAY, &answer[..])
        );
    }
}

#[test]
fn answers_have_the_tag_of_the_underlay() {
    let mut host = bare_host(Some(77));
    let echo = from_peer().icmp_echo(1, 1, b"ping");
    let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv4(US, PEER)
        .icmp_echo_reply(1, 1, b"ping");
    assert_eq!(
        host.send(UNDERLAY, &tagged(77, &echo)).one().1,
        tagged(77, &answer)
    );
    let echo = from_peer6().icmp_echo(1, 1, b"ping");
    let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv6(US6, PEER6)
        .icmp_echo_reply(1, 1, b"ping");
    assert_eq!(
        host.send(UNDERLAY, &tagged(77, &echo)).one().1,
        tagged(77, &answer)
    );
    let answer = craft::ethernet(ROUTER_MAC, OUR_MAC).arp_reply(US, PEER);
    let outcome = host.send(
        UNDERLAY,
        &tagged(
            77,
            &craft::ethernet(BROADCAST, ROUTER_MAC).arp_request(PEER, US),
        ),
    );
    assert_eq!(outcome.one().1, tagged(77, &answer));
    let (group_mac, group) = our_group();
    let question = craft::ethernet(group_mac.as_str(), ROUTER_MAC)
        .ipv6(PEER6, group.as_str())
        .solicitation(US6);
    let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv6(US6, PEER6)
        .advertisement(US6, 3 << 29);
    assert_eq!(
        host.send(UNDERLAY, &tagged(77, &question)).one().1,
        tagged(77, &answer)
    );
}

#[test]
fn echo_with_ipv4_options_or_extension_headers() {
    let request = from_peer().options(&[1; 8]).icmp_echo(1, 1, b"ping");
    let outcome = host().send(UNDERLAY, &request);
    assert_eq!(craft::verify(outcome.one().1), Ok(()));
    let request = from_peer6().hop_by_hop().icmp_echo(1, 1, b"ping");
    let outcome = host().send(UNDERLAY, &request);
    assert_eq!(craft::verify(outcome.one().1), Ok(()));
}

#[test]
fn echo_that_is_malformed_or_not_for_us() {
    let mut broken = from_peer().icmp_echo(1, 1, b"ping");
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(dropped(&broken), DropReason::UnderlayMalformed);
    assert_eq!(
        dropped(&from_peer().payload(1, &[8, 0, 0xf7, 0xff])),
        DropReason::UnderlayMalformed
    );
    let mut broken = from_peer6().icmp_echo(1, 1, b"ping");
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(dropped(&broken), DropReason::UnderlayMalformed);
    assert_eq!(
        dropped(&from_peer6().payload(58, b"")),
        DropReason::UnderlayMalformed
    );
    let other = to_us().ipv6(PEER6, "2001:db8::200").icmp_echo(1, 1, b"");
    assert_eq!(dropped(&other), DropReason::OuterDestination);
    let other = to_us().ipv4(PEER, "192.0.2.200").icmp_echo(1, 1, b"");
    assert_eq!(dropped(&other), DropReason::OuterDestination);
}

#[test]
fn nobody_and_groups_get_no_answer() {
    for source in ["ff02::1", "ff05::100", "::1"] {
        let echo = to_us().ipv6(source, US6).icmp_echo(1, 1, b"");
        assert_eq!(dropped(&echo), DropReason::OuterSource, "{source}");
        let (group_mac, group) = our_group();
        let question = craft::ethernet(group_mac.as_str(), ROUTER_MAC)
            .ipv6(source, group.as_str())
            .solicitation(US6);
        assert_eq!(dropped(&question), DropReason::OuterSource, "{source}");
    }
    let echo = to_us().ipv6("::", US6).icmp_echo(1, 1, b"");
    assert_eq!(host().send(UNDERLAY, &echo).consumed(), []);
    for source in ["224.0.0.1", ANY, "255.255.255.255", "127.0.0.1"] {
        let echo = to_us().ipv4(source, US).icmp_echo(1, 1, b"");
        assert_eq!(dropped(&echo), DropReason::OuterSource, "{source}");
    }
    for (from, echo) in [
        (
            "01:00:5e:00:00:09",
            craft::ethernet(OUR_MAC, "01:00:5e:00:00:09")
                .ipv4(PEER, US)
                .icmp_echo(1, 1, b""),
        ),
        (
            BROADCAST,
            craft::ethernet(OUR_MAC, BROADCAST)
                .ipv6(PEER6, US6)
                .icmp_echo(1, 1, b""),
        ),
    ] {
        assert_eq!(dropped(&echo), DropReason::InvalidSourceMac, "{from}");
    }
}

#[test]
fn other_icmp_to_us_is_read_and_not_answered() {
    for kind in [0, 3, 11, 13] {
        let message = from_peer().icmp(kind, 0, 0, &[0; 28]);
        assert_eq!(host().send(UNDERLAY, &message).consumed(), []);
    }
    for kind in [1, 2, 3, 129, 134, 137] {
        let message = from_peer6().ttl(255).icmp(kind, 0, 0, &[0; 16]);
        assert_eq!(
            host().send(UNDERLAY, &message).consumed(),
            [],
            "type {kind}"
        );
    }
}

#[test]
fn rfc4861_a_solicitation_for_our_address_is_answered_and_the_asker_remembered() {
    let (group_mac, group) = our_group();
    let to_group = craft::ethernet(group_mac.as_str(), ROUTER_MAC).ipv6(PEER6, group.as_str());
    let answer = craft::ethernet(ROUTER_MAC, OUR_MAC)
        .ipv6(US6, PEER6)
        .advertisement(US6, 3 << 29);
    let outcome = host().send(UNDERLAY, &to_group.solicitation(US6));
    assert_eq!(outcome.one(), (UNDERLAY, &answer[..]));
    assert_eq!(outcome.events, [heard(PEER6)]);
    let to_us = from_peer6().solicitation(US6);
    assert_eq!(host().send(UNDERLAY, &to_us).one().1, answer);
    let for_another = craft::ethernet(group_mac.as_str(), ROUTER_MAC)
        .ipv6(PEER6, group.as_str())
        .solicitation(STRANGER6);
    assert_eq!(host().send(UNDERLAY, &for_another).consumed(), []);
}

#[test]
fn rfc4861_duplicate_address_detection_for_our_address_is_answered_to_all() {
    let (group_mac, group) = our_group();
    let target: std::net::Ipv6Addr = US6.parse().unwrap();
    let question = craft::ethernet(group_mac.as_str(), ROUTER_MAC)
        .ipv6("::", group.as_str())
        .ttl(255)
        .icmp(135, 0, 0, &target.octets());
    let outcome = host().send(UNDERLAY, &question);
    let answer = craft::ethernet(ALL_NODES.0, OUR_MAC)
        .ipv6(US6, ALL_NODES.1)
        .advertisement(US6, 1 << 29);
    assert_eq!(outcome.one().1, answer);
    assert_eq!(outcome.events, []);
}

#[test]
fn rfc4861_an_advertisement_is_remembered() {
    let to_us = from_peer6().advertisement(PEER6, 3 << 29);
    assert_eq!(host().send(UNDERLAY, &to_us).consumed(), [heard(PEER6)]);
    let to_all = craft::ethernet(ALL_NODES.0, ROUTER_MAC).ipv6(PEER6, ALL_NODES.1);
    let outcome = host().send(UNDERLAY, &to_all.advertisement(PEER6, 1 << 29));
    assert_eq!(outcome.consumed(), [heard(PEER6)]);
}

#[test]
fn malformed_neighbour_discovery() {
    let good = [
        from_peer6().solicitation(US6),
        from_peer6().advertisement(PEER6, 3 << 29),
    ];
    for message in good {
        for (at, what) in [
            (14 + 7, "hop limit"),
            (14 + 41, "code"),
            (14 + 42, "checksum"),
            (14 + 65, "option length"),
        ] {
            let mut bad = message.clone();
            bad[at] ^= 0x04;
            assert_eq!(dropped(&bad), DropReason::UnderlayMalformed, "{what}");
        }
    }
    let solicited_to_group = craft::ethernet(ALL_NODES.0, ROUTER_MAC).ipv6(PEER6, ALL_NODES.1);
    let bad = solicited_to_group.advertisement(PEER6, 1 << 30);
    assert_eq!(dropped(&bad), DropReason::UnderlayMalformed);
    for kind in [135, 136] {
        let multicast = from_peer6().ttl(255).icmp(kind, 0, 0, &[0xff; 16]);
        assert_eq!(dropped(&multicast), DropReason::UnderlayMalformed);
        let short = from_peer6().ttl(255).icmp(kind, 0, 0, &[0; 15]);
        assert_eq!(dropped(&short), DropReason::UnderlayMalformed);
    }
}

/// An IGMP message with its checksum.
fn igmp(to: (&str, &str), message: &str) -> Vec<u8> {
    let mut message = craft::hex(message);
    let sum = vtepd_wire::checksum::Sum::new()
        .add_bytes(&message)
        .finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    craft::ethernet(to.0, ROUTER_MAC)
        .ipv4(PEER, to.1)
        .ttl(1)
        .options(&[0x94, 4, 0, 0])
        .payload(2, &message)
}

fn query(group: Option<&str>, version: u8) -> Event {
    Event::MembershipQuery {
        interface: UNDERLAY,
        group: group.map(ip),
        ipv6: group.is_some_and(|group| ip(group).is_ipv6()),
        version,
    }
}

#[test]
fn rfc3376_queries_are_told_with_their_version_and_group() {
    let cases = [
        ("1100 0000 00000000", None, 1),
        ("1164 0000 00000000", None, 2),
        ("1164 0000 ef010101", Some("239.1.1.1"), 2),
        ("1164 0000 00000000 02 7d 0000", None, 3),
        ("1164 0000 ef010101 02 7d 0000", Some("239.1.1.1"), 3),
    ];
    for (message, group, version) in cases {
        let outcome = host().send(UNDERLAY, &igmp(ALL_SYSTEMS, message));
        assert_eq!(outcome.consumed(), [query(group, version)], "{message}");
    }
}

#[test]
fn rfc3376_reports_of_others_are_nothing_to_us() {
    for message in [
        "1600 0000 ef010101",
        "1700 0000 ef010101",
        "2200 0000 0000 0000",
    ] {
        assert_eq!(
            host()
                .send(UNDERLAY, &igmp(ALL_SYSTEMS, message))
                .consumed(),
            []
        );
    }
}

#[test]
fn malformed_igmp() {
    let mut broken = igmp(ALL_SYSTEMS, "1164 0000 00000000");
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(dropped(&broken), DropReason::UnderlayMalformed);
    for message in ["1164 0000", "1164 0000 000000", "1164 0000 00000000 02"] {
        assert_eq!(
            dropped(&igmp(ALL_SYSTEMS, message)),
            DropReason::UnderlayMalformed
        );
    }
}

#[test]
fn rfc3810_queries_are_told_with_their_version_and_group() {
    let from_router = || {
        craft::ethernet(ALL_NODES.0, ROUTER_MAC)
            .ipv6(ROUTER6, ALL_NODES.1)
            .ttl(1)
    };
    let group: std::net::Ipv6Addr = "ff05::100".parse().unwrap();
    let rest = 10_000 << 16;
    let general = |version| Event::MembershipQuery {
        interface: UNDERLAY,
        group: None,
        ipv6: true,
        version,
    };
    let more = [0x02, 0x7d, 0, 0];
    let cases = [
        (from_router().icmp(130, 0, rest, &[0; 16]), general(1)),
        (
            from_router().icmp(130, 0, rest, &[&[0; 16][..], &more].concat()),
            general(2),
        ),
        (
            from_router().icmp(130, 0, rest, &group.octets()),
            query(Some("ff05::100"), 1),
        ),
        (
            from_router()
                .hop_by_hop()
                .icmp(130, 0, rest, &[&group.octets()[..], &more].concat()),
            query(Some("ff05::100"), 2),
        ),
    ];
    for (message, event) in cases {
        assert_eq!(host().send(UNDERLAY, &message).consumed(), [event]);
    }
    let far = craft::ethernet(ALL_NODES.0, ROUTER_MAC)
        .ipv6(PEER6, ALL_NODES.1)
        .ttl(1);
    assert_eq!(
        dropped(&far.icmp(130, 0, rest, &[0; 16])),
        DropReason::UnderlayMalformed
    );
    let routed = from_router().ttl(2).icmp(130, 0, rest, &[0; 16]);
    assert_eq!(dropped(&routed), DropReason::UnderlayMalformed);
    let short = from_router().icmp(130, 0, rest, &[0; 15]);
    assert_eq!(dropped(&short), DropReason::UnderlayMalformed);
}

#[test]
fn an_answer_that_finds_no_room_is_dropped_with_a_reason() {
    use vtepd_datapath::memory::{HEADROOM, MemoryPacket, ROOM};
    let target: std::net::Ipv6Addr = US6.parse().unwrap();
    let question = from_peer6().ttl(255).icmp(135, 0, 0, &target.octets());
    let packet = MemoryPacket::with_headroom(HEADROOM + ROOM - question.len(), &[&question]);
    let outcome = host().send_packet(UNDERLAY, packet);
    assert_eq!(outcome.dropped(), DropReason::NoTailroom);
}
