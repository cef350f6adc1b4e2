//! What stations ask of 169.254.169.254: to the proxy in the name of one address each,
//! and back; and what is kept from it, and from them.
//!
//! ```text
//!   VM1 ─ PORT1 ─┐ RED                               ┌─ 240.0.7.1  VM1
//!   VM3 ─ PORT3 ─┘   VLAN 100      (host) ── LINK ───┼─ 240.0.7.3  VM3        ── PROXY
//!   VM6 ─ PORT4 ── BLUE                              └─ 240.0.7.6  VM6
//! ```

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::DropReason::{
    self, IpChecksum, IpMalformed, Martian, MetadataLimit, MetadataProtocol, MetadataUnknown,
    MetadataUnresolved, MtuExceeded, OtherMac, PortMtu, RouterMacSource, SpoofedAddress,
    SpoofedArpNd, TtlExceeded, UnderlayMalformed, UnexpectedTag,
};
use vtepd_datapath::observer::Decision;
use vtepd_datapath::{Event, Service};
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::tcp::{ACK, PSH, SYN};
use vtepd_wire::{arp, icmp_error};

fn with_askers(host: Host, link_tag: Option<u16>) -> Host {
    host.metadata(&[red()], link_tag)
        .asker(VM1_NAME, red(), VM1, VM1_IP, (PORT1, 0))
        .asker(VM3_NAME, red(), VM3, VM3_IP, (PORT3, 100))
}

/// VM1 and VM3 of RED, VM6 of BLUE, with a router.
fn routed() -> Host {
    with_askers(routed_host(), None)
        .change(blue(), |network| network.metadata = true)
        .asker(VM6_NAME, blue(), VM6, VM6_IP, (PORT4, 0))
}

/// VM1 and VM3 of RED, without.
fn unrouted() -> Host {
    with_askers(host(), None)
}

fn from_vm1(to: &str) -> Packet {
    craft::ethernet(to, VM1).ipv4(VM1_IP, METADATA_IP)
}

fn question(packet: Packet) -> Vec<u8> {
    packet.tcp(40_000, 80, PSH | ACK, b"GET / HTTP/1.0\r\n\r\n")
}

/// What the proxy sees of it.
fn seen_by_proxy(name: &str) -> Vec<u8> {
    let packet = craft::ethernet(PROXY, LINK_MAC).ipv4(name, PROXY_IP);
    let payload = b"GET / HTTP/1.0\r\n\r\n";
    packet.ttl(63).tcp(40_000, PROXY_PORT, PSH | ACK, payload)
}

fn from_proxy(name: &str) -> Packet {
    craft::ethernet(LINK_MAC, PROXY).ipv4(PROXY_IP, name)
}

fn answer(packet: Packet) -> Vec<u8> {
    packet.tcp(PROXY_PORT, 40_000, PSH | ACK, b"HTTP/1.0 200 OK\r\n\r\n")
}

/// What a station sees of it.
fn seen_by(vm: &str, address: &str, from: &str) -> Vec<u8> {
    craft::ethernet(vm, from).ipv4(METADATA_IP, address).tcp(
        80,
        40_000,
        PSH | ACK,
        b"HTTP/1.0 200 OK\r\n\r\n",
    )
}

#[test]
fn a_question_goes_to_the_proxy_by_the_gateway() {
    let outcome = routed().send(PORT1, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.one(), (LINK, &seen_by_proxy(VM1_NAME)[..]));
    let name = VM1_NAME.parse().unwrap();
    assert!(outcome.decisions.contains(&Decision::Asks(name)));
    assert!(outcome.decisions.contains(&Decision::ToProxy(LINK)));
}

#[test]
fn a_question_goes_to_the_proxy_without_a_router() {
    for mut host in [unrouted(), routed()] {
        let outcome = host.send(PORT1, &question(from_vm1(METADATA_MAC)));
        assert_eq!(outcome.one(), (LINK, &seen_by_proxy(VM1_NAME)[..]));
    }
}

#[test]
fn the_answer_comes_from_the_gateway_or_from_who_answers_arp() {
    for (mut host, from) in [(routed(), GW_RED), (unrouted(), METADATA_MAC)] {
        let outcome = host.send(LINK, &answer(from_proxy(VM1_NAME)));
        assert_eq!(
            outcome.one(),
            (PORT1, &seen_by(VM1, VM1_IP, from)[..]),
            "{from}"
        );
    }
    let outcome = routed().send(LINK, &answer(from_proxy(VM6_NAME)));
    assert_eq!(outcome.one(), (PORT4, &seen_by(VM6, VM6_IP, GW_BLUE)[..]));
}

#[test]
fn of_several_gateways_the_answer_comes_from_that_of_the_subnet() {
    let mut host = routed();
    host.gateway(103, red(), 2, "fa:16:3e:aa:00:03", &["10.9.0.1/24"]);
    let outcome = host.send(LINK, &answer(from_proxy(VM1_NAME)));
    assert_eq!(outcome.one(), (PORT1, &seen_by(VM1, VM1_IP, GW_RED)[..]));
}

#[test]
fn tags_of_the_port_and_of_the_link_come_and_go() {
    let mut host = with_askers(routed_host(), Some(7));
    let asked = craft::ethernet(GW_RED, VM3).ipv4(VM3_IP, METADATA_IP);
    let outcome = host.send(PORT3, &tagged(100, &question(asked)));
    assert_eq!(
        outcome.one(),
        (LINK, &tagged(7, &seen_by_proxy(VM3_NAME))[..])
    );
    let outcome = host.send(LINK, &tagged(7, &answer(from_proxy(VM3_NAME))));
    let seen = tagged(100, &seen_by(VM3, VM3_IP, GW_RED));
    assert_eq!(outcome.one(), (PORT3, &seen[..]));
    // And nothing comes in by another tag, or none.
    for frame in [
        answer(from_proxy(VM3_NAME)),
        tagged(8, &answer(from_proxy(VM3_NAME))),
    ] {
        assert_eq!(host.send(LINK, &frame).dropped(), DropReason::Unbound);
    }
}

#[test]
fn an_answer_keeps_its_ttl_and_a_question_loses_one() {
    let mut host = routed();
    let outcome = host.send(LINK, &answer(from_proxy(VM1_NAME).ttl(1)));
    assert_eq!(outcome.one().1[v4::IP + 8], 1);
    let outcome = host.send(PORT1, &question(from_vm1(GW_RED).ttl(2)));
    assert_eq!(outcome.one().1[v4::IP + 8], 1);
}

#[test]
fn padding_stays_behind() {
    let mut host = routed();
    let frame = craft::pad(from_vm1(GW_RED).tcp(40_000, 80, SYN, b""));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.one().1.len(), 54);
    let frame = craft::pad(from_proxy(VM1_NAME).tcp(PROXY_PORT, 40_000, SYN | ACK, b""));
    let outcome = host.send(LINK, &frame);
    assert_eq!(outcome.one().1.len(), 54);
}

proptest! {
    /// Whatever the ports, flags and bytes: sound packets stay sound, and only what must
    /// differ does.
    #[test]
    fn both_ways_are_sound_and_each_others_inverse(
        port: u16, flags: u8, id: u16, payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let mut host = routed();
        let packet = from_vm1(GW_RED).identification(id);
        let outcome = host.send(PORT1, &packet.tcp(port, 80, flags, &payload));
        let (to, sent) = outcome.one();
        let expected = craft::ethernet(PROXY, LINK_MAC).ipv4(VM1_NAME, PROXY_IP);
        let expected = expected.identification(id).ttl(63).tcp(port, PROXY_PORT, flags, &payload);
        prop_assert_eq!((to, sent), (LINK, &expected[..]));
        prop_assert_eq!(craft::verify(sent), Ok(()));

        let packet = from_proxy(VM1_NAME).identification(id);
        let outcome = host.send(LINK, &packet.tcp(PROXY_PORT, port, flags, &payload));
        let (to, sent) = outcome.one();
        let expected = craft::ethernet(VM1, GW_RED).ipv4(METADATA_IP, VM1_IP);
        let expected = expected.identification(id).tcp(80, port, flags, &payload);
        prop_assert_eq!((to, sent), (PORT1, &expected[..]));
        prop_assert_eq!(craft::verify(sent), Ok(()));
    }
}

/// A wrong TCP checksum is the receiver's to find: what is patched stays wrong.
#[test]
fn what_is_wrong_stays_wrong() {
    let mut frame = question(from_vm1(GW_RED));
    let last = frame.len() - 1;
    frame[last] ^= 1;
    let outcome = routed().send(PORT1, &frame);
    assert!(craft::verify(outcome.one().1).is_err());
}

/// Two tenants with the same MACs and the same addresses, told apart by nothing but where
/// they are.
#[test]
fn tenants_with_the_same_addresses_have_names_of_their_own() {
    let (a, b) = (red(), network(2));
    let mut host = bare_host(None)
        .network(a, RED_VNI)
        .network(b, BLUE_VNI)
        .port(a, PORT1, 0)
        .port(b, PORT4, 0)
        .vm(VM1, &[VM1_IP], PORT1, 0)
        .vm(VM1, &[VM1_IP], PORT4, 0)
        .metadata(&[a, b], None)
        .asker("240.0.0.10", a, VM1, VM1_IP, (PORT1, 0))
        .asker("240.0.0.11", b, VM1, VM1_IP, (PORT4, 0));
    for (port, name) in [(PORT1, "240.0.0.10"), (PORT4, "240.0.0.11")] {
        let outcome = host.send(port, &question(from_vm1(METADATA_MAC)));
        assert_eq!(outcome.one(), (LINK, &seen_by_proxy(name)[..]));
        let outcome = host.send(LINK, &answer(from_proxy(name)));
        let seen = seen_by(VM1, VM1_IP, METADATA_MAC);
        assert_eq!(outcome.one(), (port, &seen[..]));
    }
}

fn arp_request(to: &str, vm: &str, address: &str) -> Vec<u8> {
    craft::ethernet(to, vm).arp_request(address, METADATA_IP)
}

#[test]
fn arp_for_the_service_is_answered_here_with_or_without_a_router() {
    for mut host in [routed(), unrouted()] {
        for to in [BROADCAST, METADATA_MAC] {
            let outcome = host.send(PORT1, &arp_request(to, VM1, VM1_IP));
            let answer = craft::ethernet(VM1, METADATA_MAC).arp_reply(METADATA_IP, VM1_IP);
            assert_eq!(outcome.one(), (PORT1, &answer[..]), "{to}");
        }
        // Even where questions for stations go to all.
        host.tables.edit().network_mut(red()).suppression = false;
        let outcome = host.send(PORT1, &arp_request(BROADCAST, VM1, VM1_IP));
        assert_eq!(outcome.one().0, PORT1);
        // A probe, too: nobody else may take the address.
        let probe = arp::Packet::probe(mac(VM1), METADATA_IP.parse().unwrap());
        let outcome = host.send(PORT1, &craft::ethernet(BROADCAST, VM1).arp(probe));
        assert_eq!(outcome.one().0, PORT1);
    }
}

#[test]
fn nobody_else_speaks_for_the_service() {
    for mut host in [routed(), unrouted()] {
        let frame = craft::ethernet(BROADCAST, VM1).arp_request(METADATA_IP, METADATA_IP);
        assert_eq!(host.send(PORT1, &frame).dropped(), SpoofedArpNd);
        let frame = craft::ethernet(VM2, VM1).arp_reply(METADATA_IP, VM2_IP);
        assert_eq!(host.send(PORT1, &frame).dropped(), SpoofedArpNd);
        let frame = craft::ethernet(VM2, METADATA_MAC)
            .ipv4(VM1_IP, VM2_IP)
            .udp(1, 2, b"");
        assert_eq!(host.send(PORT1, &frame).dropped(), RouterMacSource);
        let frame = tunnelled(&frame);
        assert_eq!(host.send(UNDERLAY, &frame).dropped(), RouterMacSource);
    }
}

#[test]
fn nothing_of_it_comes_from_or_goes_to_the_underlay() {
    for mut host in [routed(), unrouted()] {
        let ask = |packet| tunnelled(&question(packet));
        let from_vm4 = |to| craft::ethernet(to, VM4).ipv4(VM4_IP, METADATA_IP);
        let outcome = host.send(UNDERLAY, &ask(from_vm4(METADATA_MAC)));
        assert_eq!(outcome.dropped(), MetadataUnknown);
        // Not in the name of one of this host's ports either.
        let outcome = host.send(UNDERLAY, &ask(from_vm1(METADATA_MAC)));
        assert!(outcome.sent.is_empty(), "{outcome:?}");
        let frame = tunnelled(&arp_request(BROADCAST, VM4, VM4_IP));
        let outcome = host.send(UNDERLAY, &frame);
        assert_eq!(outcome.dropped(), DropReason::GatewayFromUnderlay);
    }
    let mut host = routed();
    let at = adjacency(AT_RED);
    host.change_gateway(at, |gateway| gateway.from_underlay = true);
    let asked = craft::ethernet(GW_RED, VM4).ipv4(VM4_IP, METADATA_IP);
    let outcome = host.send(UNDERLAY, &tunnelled(&question(asked)));
    assert_eq!(outcome.dropped(), MetadataUnknown);
}

#[test]
fn who_has_no_name_is_not_served() {
    let mut host = routed();
    for packet in [
        // No asker.
        craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, METADATA_IP),
        // The MAC of one, and another address.
        craft::ethernet(GW_RED, VM1).ipv4(VM2_IP, METADATA_IP),
        craft::ethernet(METADATA_MAC, NOBODY).ipv4(VM1_IP, METADATA_IP),
    ] {
        let outcome = host.send(PORT1, &question(packet));
        assert_eq!(outcome.dropped(), MetadataUnknown);
    }
    // All of another station, in a place where nothing is guarded.
    let outcome = host.send(PORT2, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.dropped(), MetadataUnknown);
    // Where it is, what is not its own is dropped before.
    let mut host = routed().guarded(VM1, &[VM1_IP], PORT1);
    let spoofed = craft::ethernet(GW_RED, VM1).ipv4(VM3_IP, METADATA_IP);
    let outcome = host.send(PORT1, &question(spoofed));
    assert_eq!(outcome.dropped(), SpoofedAddress);
    let outcome = host.send(PORT1, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.one().0, LINK);
}

#[test]
fn what_is_no_http_is_not_served() {
    let first = |packet: Packet| packet.may_fragment().fragment(1, 0, true);
    let cut = {
        let mut frame = from_vm1(GW_RED).tcp(40_000, 80, SYN, b"");
        frame.truncate(v4::IP + 30);
        frame[v4::IP + 3] = 30;
        seal_ipv4(&mut frame);
        frame
    };
    let mut host = routed();
    for to in [GW_RED, METADATA_MAC] {
        for frame in [
            from_vm1(to).tcp(40_000, 443, SYN, b""),
            from_vm1(to).udp(40_000, 80, b""),
            from_vm1(to).icmp_echo(1, 1, b""),
            from_vm1(to).payload(47, b"GRE"),
            question(first(from_vm1(to))),
            question(first(from_vm1(to)).fragment(1, 64, false)),
            question(from_vm1(to).options(&[1, 1, 1, 1])),
            with_mac(&cut, to),
        ] {
            let outcome = host.send(PORT1, &frame);
            assert_eq!(outcome.dropped(), MetadataProtocol, "{frame:x?}");
        }
    }
    // To its MAC, and neither to its address nor IPv4 at all.
    let frame = craft::ethernet(METADATA_MAC, VM1)
        .ipv4(VM1_IP, VM2_IP)
        .tcp(40_000, 80, SYN, b"");
    assert_eq!(host.send(PORT1, &frame).dropped(), MetadataProtocol);
    let frame = craft::ethernet(METADATA_MAC, VM1)
        .ipv6(VM1_IP6, VM2_IP6)
        .tcp(40_000, 80, SYN, b"");
    assert_eq!(host.send(PORT1, &frame).dropped(), MetadataProtocol);
    // And what is no IPv4 packet.
    let mut frame = question(from_vm1(METADATA_MAC));
    frame[24] ^= 1;
    assert_eq!(host.send(PORT1, &frame).dropped(), IpChecksum);
    frame.truncate(30);
    assert_eq!(host.send(PORT1, &frame).dropped(), IpMalformed);
}

fn with_mac(frame: &[u8], to: &str) -> Vec<u8> {
    [&mac(to).0[..], &frame[6..]].concat()
}

#[test]
fn dhcp_to_the_same_address_goes_to_its_service() {
    let mut host = unrouted().change(red(), |network| network.services.dhcp4 = true);
    let outcome = host.send(PORT1, &from_vm1(METADATA_MAC).udp(68, 67, &[1; 300]));
    outcome.consumed();
    let asked = host.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].service, Service::Dhcp4);
}

#[test]
fn a_network_without_metadata_knows_nothing_of_it() {
    for mut host in [
        routed().change(red(), |network| network.metadata = false),
        routed_host(),
    ] {
        let outcome = host.send(PORT1, &question(from_vm1(GW_RED)));
        assert_eq!(outcome.dropped(), Martian);
        let outcome = host.send(PORT1, &arp_request(BROADCAST, VM1, VM1_IP));
        assert!(outcome.decisions.contains(&Decision::Flood));
        let outcome = host.send(PORT1, &question(from_vm1(METADATA_MAC)));
        assert!(outcome.decisions.contains(&Decision::Unknown));
    }
}

#[test]
fn questions_to_a_proxy_that_is_not_there_are_counted() {
    let mut host = routed();
    host.tables.edit().metadata_mut().unwrap().proxy.mac = None;
    let outcome = host.send(PORT1, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.dropped(), MetadataUnresolved);
}

#[test]
fn one_station_cannot_keep_the_proxy_from_others() {
    let mut host = routed();
    for _ in 0..1000 {
        host.send(PORT1, &question(from_vm1(GW_RED))).one();
    }
    let outcome = host.send(PORT1, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.dropped(), MetadataLimit);
    let other = craft::ethernet(GW_BLUE, VM6).ipv4(VM6_IP, METADATA_IP);
    host.send(PORT4, &question(other)).one();
    // The next second.
    host.state.now += 1;
    host.send(PORT1, &question(from_vm1(GW_RED))).one();
}

/// The quoted packet of an ICMP error, and who says it to whom.
#[track_caller]
fn quoted(sent: &[u8], ends: [&str; 2]) -> Vec<u8> {
    assert_eq!(craft::verify(sent), Ok(()));
    let address = |at: usize| std::net::Ipv4Addr::from([0, 1, 2, 3].map(|i| sent[at + i]));
    assert_eq!([address(26), address(30)].map(|a| a.to_string()), ends);
    sent[v4::IP + icmp_error::HEADERS_LEN..].to_vec()
}

#[test]
fn senders_are_told_of_ttl_and_mtu() {
    let mut host = routed();
    let frame = question(from_vm1(GW_RED).ttl(1));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.drops, [TtlExceeded]);
    let (to, sent) = (outcome.sent[0].0, &outcome.sent[0].1);
    assert_eq!(to, PORT1);
    assert_eq!(quoted(sent, [METADATA_IP, VM1_IP]), frame[v4::IP..]);

    // 1500 bytes do not fit the proxy's link.
    let long = |packet: Packet| packet.tcp(40_000, 80, ACK, &[7; 1460]);
    let frame = long(from_vm1(GW_RED));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.drops, [MtuExceeded]);
    let sent = &outcome.sent[0].1;
    assert_eq!(sent[40..42], LINK_MTU.to_be_bytes());
    assert_eq!(
        quoted(sent, [METADATA_IP, VM1_IP]),
        frame[v4::IP..v4::IP + 548]
    );
    let outcome = host.send(PORT1, &long(from_vm1(GW_RED).may_fragment()));
    assert_eq!(outcome.dropped(), PortMtu);
}

#[test]
fn the_proxy_is_told_of_the_networks_mtu() {
    for link_tag in [None, Some(7)] {
        let mut host = with_askers(routed_host(), link_tag);
        let on_link = |frame: Vec<u8>| link_tag.map_or(frame.clone(), |tag| tagged(tag, &frame));
        let long = |packet: Packet| packet.tcp(PROXY_PORT, 40_000, ACK, &[7; 1420]);
        let frame = long(from_proxy(VM1_NAME));
        let outcome = host.send(LINK, &on_link(frame.clone()));
        assert_eq!(outcome.drops, [MtuExceeded]);
        let (to, sent) = (outcome.sent[0].0, &outcome.sent[0].1);
        assert_eq!(to, LINK);
        let skip = link_tag.map_or(0, |_| 4);
        let sent = [&sent[..12], &sent[12 + skip..]].concat();
        assert_eq!(sent[..12], [mac(PROXY).0, mac(LINK_MAC).0].concat());
        assert_eq!(sent[40..42], ASKER_MTU.to_be_bytes());
        assert_eq!(
            quoted(&sent, [LINK_IP, PROXY_IP]),
            frame[v4::IP..v4::IP + 548]
        );
        let frame = on_link(long(from_proxy(VM1_NAME).may_fragment()));
        assert_eq!(host.send(LINK, &frame).dropped(), PortMtu);
    }
}

#[test]
fn only_the_proxys_answers_reach_stations() {
    let mut host = routed();
    let other = craft::ethernet(LINK_MAC, PROXY).ipv4("192.0.2.81", VM1_NAME);
    for frame in [
        answer(other),
        from_proxy(VM1_NAME).tcp(22, 40_000, SYN, b""),
        from_proxy(VM1_NAME).udp(PROXY_PORT, 40_000, b""),
        from_proxy(VM1_NAME).icmp(3, 3, 0, &question(from_vm1(GW_RED))[v4::IP..]),
        answer(from_proxy(VM1_NAME).may_fragment().fragment(1, 0, true)),
        answer(from_proxy(VM1_NAME).options(&[1, 1, 1, 1])),
        craft::ethernet(LINK_MAC, PROXY)
            .ipv6("fd00::80", "fd00::1")
            .tcp(PROXY_PORT, 1, ACK, b""),
        // Group and broadcast of the link.
        craft::ethernet("33:33:00:00:00:02", PROXY).payload(0x86dd, &[0; 60]),
        with_mac(&answer(from_proxy(VM1_NAME)), BROADCAST),
    ] {
        assert_eq!(
            host.send(LINK, &frame).dropped(),
            MetadataProtocol,
            "{frame:x?}"
        );
    }
    for nobody in ["240.0.7.2", LINK_IP, VM1_IP, METADATA_IP] {
        let outcome = host.send(LINK, &answer(from_proxy(nobody)));
        assert_eq!(outcome.dropped(), MetadataUnknown, "{nobody}");
    }
    let frame = with_mac(&answer(from_proxy(VM1_NAME)), NOBODY);
    assert_eq!(host.send(LINK, &frame).dropped(), OtherMac);
    let mut frame = answer(from_proxy(VM1_NAME));
    frame[24] ^= 1;
    assert_eq!(host.send(LINK, &frame).dropped(), IpChecksum);
    frame.truncate(30);
    assert_eq!(host.send(LINK, &frame).dropped(), IpMalformed);
}

#[test]
fn who_is_gone_gets_nothing_more() {
    let mut host = routed();
    let name = VM1_NAME.parse().unwrap();
    host.tables.edit().metadata_mut().unwrap().set(name, None);
    let outcome = host.send(LINK, &answer(from_proxy(VM1_NAME)));
    assert_eq!(outcome.dropped(), MetadataUnknown);
    let outcome = host.send(PORT1, &question(from_vm1(GW_RED)));
    assert_eq!(outcome.dropped(), MetadataUnknown);
}

#[test]
fn arp_on_the_link_is_answered_for_names_in_use() {
    for link_tag in [None, Some(7)] {
        let mut host = with_askers(routed_host(), link_tag);
        let on_link = |frame: Vec<u8>| link_tag.map_or(frame.clone(), |tag| tagged(tag, &frame));
        for name in [VM1_NAME, VM3_NAME, LINK_IP] {
            let request = craft::ethernet(BROADCAST, PROXY).arp_request(PROXY_IP, name);
            let outcome = host.send(LINK, &on_link(request));
            let reply = craft::ethernet(PROXY, LINK_MAC).arp_reply(name, PROXY_IP);
            assert_eq!(outcome.one(), (LINK, &on_link(reply)[..]));
            let heard = Event::Neighbour {
                interface: LINK,
                address: ip(PROXY_IP),
                mac: mac(PROXY),
            };
            assert_eq!(outcome.events, [heard]);
        }
        for name in ["240.0.7.2", METADATA_IP, VM1_IP] {
            let request = craft::ethernet(BROADCAST, PROXY).arp_request(PROXY_IP, name);
            assert_eq!(host.send(LINK, &on_link(request)).consumed(), []);
        }
    }
}

#[test]
fn the_proxy_is_heard_on_its_link() {
    let mut host = routed();
    let reply = craft::ethernet(LINK_MAC, PROXY).arp_reply(PROXY_IP, LINK_IP);
    assert_eq!(host.send(LINK, &reply).consumed().len(), 1);
    // It has got a new MAC; and the other end of a tap has ours.
    for its_mac in ["02:00:00:00:0b:02", LINK_MAC] {
        let gratuitous = craft::ethernet(BROADCAST, its_mac).arp_request(PROXY_IP, PROXY_IP);
        let outcome = host.send(LINK, &gratuitous);
        let Event::Neighbour { mac: heard, .. } = outcome.consumed()[0] else {
            panic!("{outcome:?}");
        };
        assert_eq!(heard, mac(its_mac));
    }
    let probe = arp::Packet::probe(mac(PROXY), VM1_NAME.parse().unwrap());
    let outcome = host.send(LINK, &craft::ethernet(BROADCAST, PROXY).arp(probe));
    assert_eq!(outcome.events, []);
    assert_eq!(outcome.one().0, LINK);
    let mut malformed = reply.clone();
    malformed[14] = 9;
    assert_eq!(host.send(LINK, &malformed).dropped(), UnderlayMalformed);
    malformed.truncate(30);
    assert_eq!(host.send(LINK, &malformed).dropped(), UnderlayMalformed);
}

/// A tenant's own tags are not looked into, here as elsewhere.
#[test]
fn a_tenants_own_tags_are_not_the_service() {
    let mut host = routed();
    let frame = tagged(5, &question(from_vm1(METADATA_MAC)));
    assert!(matches!(
        host.send(PORT1, &frame).dropped(),
        DropReason::Unbound | UnexpectedTag
    ));
    let mut host = routed().change(red(), |network| network.vlan_transparent = true);
    let outcome = host.send(PORT1, &frame);
    assert!(outcome.sent_to(LINK).is_empty());
    assert_eq!(outcome.dropped(), MetadataProtocol);
}

/// What looks like an answer and comes from a station is a frame like any other.
#[test]
fn a_station_cannot_answer_for_the_proxy() {
    let mut host = routed();
    let frame = answer(from_proxy(VM1_NAME));
    let outcome = host.send(PORT2, &frame);
    assert!(outcome.decisions.contains(&Decision::Unknown));
    assert_eq!(outcome.sent_to(PORT1), [frame]);
}
