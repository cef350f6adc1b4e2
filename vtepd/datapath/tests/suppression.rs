//! ARP and ND suppression: questions that the tables answer stay on this host,
//! all others are for everybody (RFC 7432, section 10; RFC 5227; RFC 4861).

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::Decision;
use vtepd_tables::InterfaceIndex;
use vtepd_wire::{arp, craft, ipv6};

const ANY: &str = "0.0.0.0";

/// VM1 asks everybody.
fn asks(target: &str) -> Vec<u8> {
    craft::pad(craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, target))
}

/// The group that a solicitation for the address goes to, as IPv6 address and MAC.
fn solicited(target: &str) -> (String, String) {
    let group = ipv6::solicited_node(target.parse().unwrap());
    (
        group.to_string(),
        vtepd_wire::Mac::multicast_of_v6(group).to_string(),
    )
}

fn solicits(who: &str, source: &str, target: &str) -> Vec<u8> {
    let (group, group_mac) = solicited(target);
    craft::ethernet(group_mac.as_str(), who)
        .ipv6(source, group.as_str())
        .solicitation(target)
}

/// Duplicate address detection: without a source address or option.
fn detects_duplicate(who: &str, target: &str) -> Vec<u8> {
    let (group, group_mac) = solicited(target);
    let target: std::net::Ipv6Addr = target.parse().unwrap();
    craft::ethernet(group_mac.as_str(), who)
        .ipv6("::", group.as_str())
        .ttl(255)
        .icmp(135, 0, 0, &target.octets())
}

#[track_caller]
fn answered(host: &mut Host, interface: InterfaceIndex, question: &[u8], answer: &[u8]) {
    let before = host.counters.suppressed.get();
    let outcome = host.send(interface, question);
    assert_eq!(outcome.one(), (interface, answer));
    assert!(outcome.decisions.contains(&Decision::Suppressed));
    assert_eq!(host.counters.suppressed.get(), before + 1);
    assert_eq!(craft::verify(answer), Ok(()));
}

/// Everybody else gets the question as it was asked.
#[track_caller]
fn flooded(host: &mut Host, interface: InterfaceIndex, question: &[u8]) {
    let outcome = host.send(interface, question);
    assert!(
        !outcome.decisions.contains(&Decision::Suppressed),
        "{outcome:?}"
    );
    assert_eq!(host.counters.suppressed.get(), 0);
    assert!(outcome.sent.len() >= 3, "{outcome:?}");
    let inner = if interface == UNDERLAY {
        &question[v4::INNER..]
    } else {
        question
    };
    for (_, sent) in outcome.sent.iter().filter(|(to, _)| *to != PORT3) {
        assert!(sent.ends_with(inner));
    }
}

#[test]
fn rfc826_a_request_is_answered_wherever_the_target_is() {
    for (target, mac) in [(VM2_IP, VM2), (VM3_IP, VM3), (VM4_IP, VM4)] {
        let answer = craft::pad(craft::ethernet(VM1, mac).arp_reply(target, VM1_IP));
        answered(&mut host(), PORT1, &asks(target), &answer);
    }
}

#[test]
fn the_answer_leaves_with_the_tag_of_the_askers_port() {
    let question = craft::ethernet(BROADCAST, VM3).arp_request(VM3_IP, VM1_IP);
    let answer = craft::ethernet(VM3, VM1).arp_reply(VM1_IP, VM3_IP);
    answered(
        &mut host(),
        PORT3,
        &tagged(100, &question),
        &tagged(100, &answer),
    );
}

#[test]
fn a_question_from_a_tunnel_for_a_port_here_is_answered_through_the_tunnel() {
    let question = craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, VM1_IP);
    let answer = craft::ethernet(VM4, VM1).arp_reply(VM1_IP, VM4_IP);
    for (outer, back) in [
        (tunnelled(&question), v4::INNER),
        (tunnelled6(&question), v6::INNER),
    ] {
        let mut host = host();
        let outcome = host.send(UNDERLAY, &outer);
        let (interface, sent) = outcome.one();
        assert_eq!((interface, &sent[back..]), (UNDERLAY, &answer[..]));
        assert_eq!(craft::verify(sent), Ok(()));
        assert_eq!(host.counters.suppressed.get(), 1);
    }
    let question = solicits(VM4, VM4_IP6, VM1_IP6);
    let outcome = host().send(UNDERLAY, &tunnelled(&question));
    let answer = craft::ethernet(VM4, VM1)
        .ipv6(VM1_IP6, VM4_IP6)
        .advertisement(VM1_IP6, 3 << 29);
    assert_eq!(outcome.one().1[v4::INNER..], answer);
}

#[test]
fn a_question_from_a_tunnel_for_somebody_behind_a_tunnel_is_not_ours_to_answer() {
    let mut host = host().away(NOBODY, &["10.0.0.55", "fd00::55"], PEER6);
    let question = craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, "10.0.0.55");
    flooded(&mut host, UNDERLAY, &tunnelled(&question));
    flooded(
        &mut host,
        UNDERLAY,
        &tunnelled(&solicits(VM4, VM4_IP6, "fd00::55")),
    );
}

#[test]
fn rfc5227_a_probe_of_an_address_that_another_has_is_answered() {
    let probe = craft::pad(craft::ethernet(BROADCAST, VM1).arp_request(ANY, VM2_IP));
    let answer = craft::pad(craft::ethernet(VM1, VM2).arp_reply(VM2_IP, ANY));
    answered(&mut host(), PORT1, &probe, &answer);
}

#[test]
fn rfc5227_probes_and_announcements_by_the_owner_are_for_everybody() {
    let begin = || craft::ethernet(BROADCAST, VM1);
    flooded(&mut host(), PORT1, &begin().arp_request(ANY, VM1_IP));
    flooded(&mut host(), PORT1, &begin().arp_request(VM1_IP, VM1_IP));
    // Or from where it is not entered, as after a migration.
    flooded(&mut host(), PORT2, &begin().arp_request(ANY, VM1_IP));
    // From outside it is our own frame that came back, or a port that has moved
    // without the management plane's knowledge.
    let announcement = tunnelled(&begin().arp_request(VM1_IP, VM1_IP));
    assert_eq!(
        host().send(UNDERLAY, &announcement).dropped(),
        DropReason::Loop
    );
}

#[test]
fn replies_to_everybody_are_for_everybody() {
    flooded(
        &mut host(),
        PORT1,
        &craft::ethernet(BROADCAST, VM1).arp_reply(VM1_IP, VM2_IP),
    );
}

#[test]
fn what_nobody_knows_is_asked_for() {
    flooded(&mut host(), PORT1, &asks("10.0.0.77"));
    flooded(&mut host(), PORT1, &solicits(VM1, VM1_IP6, "fd00::77"));
}

#[test]
fn who_is_on_the_askers_side_answers_itself() {
    let mut host = host().vm(NOBODY, &["10.0.0.55", "fd00::55"], PORT1, 0);
    flooded(&mut host, PORT1, &asks("10.0.0.55"));
    flooded(&mut host, PORT1, &solicits(VM1, VM1_IP6, "fd00::55"));
}

#[test]
fn a_network_without_suppression_asks_everybody() {
    let mut host = host().change(red(), |network| network.suppression = false);
    flooded(&mut host, PORT1, &asks(VM2_IP));
    flooded(&mut host, PORT1, &solicits(VM1, VM1_IP6, VM2_IP6));
}

#[test]
fn a_question_to_one_is_for_that_one() {
    let request = craft::ethernet(VM2, VM1).arp_request(VM1_IP, VM2_IP);
    assert_eq!(host().send(PORT1, &request).one(), (PORT2, &request[..]));
    let solicitation = craft::ethernet(VM2, VM1)
        .ipv6(VM1_IP6, VM2_IP6)
        .solicitation(VM2_IP6);
    assert_eq!(
        host().send(PORT1, &solicitation).one(),
        (PORT2, &solicitation[..])
    );
}

#[test]
fn malformed_arp_is_not_answered() {
    let request = asks(VM2_IP);
    // Hardware type, protocol type, lengths, operation.
    for (at, value) in [(15, 6), (16, 0x86), (18, 8), (19, 16), (21, 3), (21, 0)] {
        let mut request = request.clone();
        request[at] = value;
        flooded(&mut host(), PORT1, &request);
    }
    flooded(&mut host(), PORT1, &request[..14 + 27]);
    flooded(&mut host(), PORT1, &request[..14]);
}

/// Its answer would go to everybody.
#[test]
fn an_asker_with_a_group_address_is_not_answered() {
    let packet = arp::Packet::request(
        mac(BROADCAST),
        VM1_IP.parse().unwrap(),
        VM2_IP.parse().unwrap(),
    );
    flooded(
        &mut host(),
        PORT1,
        &craft::ethernet(BROADCAST, VM1).arp(packet),
    );
}

#[test]
fn rfc4861_a_solicitation_is_answered_wherever_the_target_is() {
    for (target, mac) in [(VM2_IP6, VM2), (VM4_IP6, VM4), (VM5_IP6, VM5)] {
        let answer = craft::ethernet(VM1, mac)
            .ipv6(target, VM1_IP6)
            .advertisement(target, 3 << 29);
        answered(&mut host(), PORT1, &solicits(VM1, VM1_IP6, target), &answer);
    }
    // Whatever options it has besides.
    let (group, group_mac) = solicited(VM2_IP6);
    let target: std::net::Ipv6Addr = VM2_IP6.parse().unwrap();
    let nonce = craft::hex("0e01 0102 0304 0506");
    let body = [&target.octets()[..], &nonce].concat();
    let question = craft::ethernet(group_mac.as_str(), VM1)
        .ipv6(VM1_IP6, group.as_str())
        .ttl(255)
        .icmp(135, 0, 0, &body);
    let answer = craft::ethernet(VM1, VM2)
        .ipv6(VM2_IP6, VM1_IP6)
        .advertisement(VM2_IP6, 3 << 29);
    answered(&mut host(), PORT1, &question, &answer);
    // Padding goes.
    let question = [solicits(VM1, VM1_IP6, VM2_IP6), vec![0; 20]].concat();
    answered(&mut host(), PORT1, &question, &answer);
}

#[test]
fn rfc4861_duplicate_address_detection_is_answered_through_all_nodes() {
    let answer = craft::ethernet("33:33:00:00:00:01", VM2)
        .ipv6(VM2_IP6, "ff02::1")
        .advertisement(VM2_IP6, 1 << 29);
    answered(
        &mut host(),
        PORT1,
        &detects_duplicate(VM1, VM2_IP6),
        &answer,
    );
}

#[test]
fn rfc4861_duplicate_address_detection_by_the_owner_is_for_everybody() {
    flooded(&mut host(), PORT1, &detects_duplicate(VM1, VM1_IP6));
    flooded(&mut host(), PORT2, &detects_duplicate(VM1, VM1_IP6));
}

#[test]
fn rfc4861_invalid_solicitations_are_not_answered() {
    let good = solicits(VM1, VM1_IP6, VM2_IP6);
    let ip = 14;
    let mut hop_limit = good.clone();
    hop_limit[ip + 7] = 254;
    let mut checksum = good.clone();
    checksum[ip + 42] ^= 1;
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [
        hop_limit,
        checksum,
        flipped,
        good[..good.len() - 1].to_vec(),
    ] {
        flooded(&mut host(), PORT1, &bad);
    }
    let target: std::net::Ipv6Addr = VM2_IP6.parse().unwrap();
    let (group, group_mac) = solicited(VM2_IP6);
    let with = |code: u8, source: &str, options: &str| {
        let body = [&target.octets()[..], &craft::hex(options)].concat();
        craft::ethernet(group_mac.as_str(), VM1)
            .ipv6(source, group.as_str())
            .ttl(255)
            .icmp(135, code, 0, &body)
    };
    let mac_option = "0101 fa16 3e00 0001";
    for bad in [
        with(1, VM1_IP6, mac_option),
        with(0, VM1_IP6, "0100 fa16 3e00 0001"),
        with(0, VM1_IP6, "0102 fa16 3e00 0001"),
        with(0, VM1_IP6, "01"),
        with(0, VM1_IP6, "0101 fa16"),
        // Who has no address must not tell its MAC.
        with(0, "::", mac_option),
    ] {
        assert!(craft::verify(&bad).is_ok(), "the checksum holds");
        flooded(&mut host(), PORT1, &bad);
    }
    // Duplicate address detection goes to the group of the target.
    let elsewhere = craft::ethernet("33:33:00:00:00:01", VM1)
        .ipv6("::", "ff02::1")
        .ttl(255)
        .icmp(135, 0, 0, &target.octets());
    flooded(&mut host(), PORT1, &elsewhere);
}

#[test]
fn other_multicast_over_ipv6_is_flooded() {
    let begin =
        |group: &'static str| craft::ethernet("33:33:00:00:00:02", VM1).ipv6(VM1_IP6, group);
    flooded(
        &mut host(),
        PORT1,
        &begin("ff02::2").ttl(255).icmp(133, 0, 0, b""),
    );
    flooded(
        &mut host(),
        PORT1,
        &begin("ff02::1").advertisement(VM1_IP6, 1 << 29),
    );
    flooded(
        &mut host(),
        PORT1,
        &begin("ff02::fb").udp(5353, 5353, b"mdns"),
    );
}

/// There is no room to lengthen the question into its answer: it goes out as it came.
#[test]
fn a_question_that_cannot_be_turned_round_in_place_is_flooded_whole() {
    use vtepd_datapath::memory::{HEADROOM, MemoryPacket, ROOM};
    let question = detects_duplicate(VM1, VM2_IP6);
    let packet = MemoryPacket::with_headroom(HEADROOM + ROOM - question.len(), &[&question]);
    let outcome = host().send_packet(PORT1, packet);
    assert_eq!(outcome.sent_to(PORT2), [&question[..]]);
}
