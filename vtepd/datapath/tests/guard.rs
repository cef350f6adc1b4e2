//! Anti-spoofing: what a guarded port may send, and what it may not, in whatever it is
//! wrapped (RFC 2827; RFC 7113 for what hides behind extension headers and fragments).

mod common;

use common::*;
use vtepd_datapath::DropReason::{
    self, HiddenHeaders, IpMalformed, RogueServer, SpoofedAddress, SpoofedArpNd, SpoofedMac,
};
use vtepd_datapath::memory::MemoryPacket;
use vtepd_tables::{Access, FdbEntry, FdbKey, Origin};
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{Mac, arp, icmpv6, ipv6, nd};

const VM1_SECOND: &str = "10.0.0.11";
const VM1_PAIR: &str = "10.0.0.50";
const VRRP_MAC: &str = "00:00:5e:00:01:07";
const VRRP_IP: &str = "10.0.0.60";
const VRRP_IP6: &str = "fd00::60";
/// fe80:: and the modified EUI-64 of VM1.
const VM1_LINK_LOCAL: &str = "fe80::f816:3eff:fe00:1";
const VRRP_LINK_LOCAL: &str = "fe80::200:5eff:fe00:107";
const ALL_NODES: &str = "ff02::1";
const ALL_NODES_MAC: &str = "33:33:00:00:00:01";

fn guarded_host() -> Host {
    routed_host()
        .guarded(VM1, &[VM1_IP, VM1_SECOND, VM1_IP6], PORT1)
        .allowed(
            PORT1,
            &[
                (VM1, "10.0.0.50/32"),
                (VM1, "10.66.0.0/16"),
                (VM1, "fd66::/48"),
                (VRRP_MAC, "10.0.0.60/32"),
                (VRRP_MAC, "fd00::60/128"),
            ],
        )
}

#[track_caller]
fn passes_at(host: &mut Host, frame: &[u8]) {
    let outcome = host.send(PORT1, frame);
    assert!(outcome.drops.is_empty(), "{outcome:?}");
}

#[track_caller]
fn passes(frame: &[u8]) {
    passes_at(&mut guarded_host(), frame);
}

#[track_caller]
fn refused(frame: &[u8], reason: DropReason) {
    let outcome = guarded_host().send(PORT1, frame);
    assert_eq!(outcome.dropped(), reason);
    assert_eq!(outcome.events, [], "nothing is learned of it");
}

fn v4(source: &str) -> Packet {
    craft::ethernet(VM2, VM1).ipv4(source, VM2_IP)
}

fn v6(source: &str) -> Packet {
    craft::ethernet(VM2, VM1).ipv6(source, VM2_IP6)
}

fn to_all(source: &str) -> Packet {
    craft::ethernet(ALL_NODES_MAC, VM1).ipv6(source, ALL_NODES)
}

#[test]
fn rfc2827_a_port_sends_from_its_own_addresses_only() {
    for own in [VM1_IP, VM1_SECOND, VM1_PAIR, "10.66.3.4"] {
        passes(&v4(own).udp(1, 2, b"own"));
    }
    for other in [
        VM2_IP,
        "10.0.0.51",
        "10.67.0.1",
        GW_RED_IP,
        VRRP_IP,
        "0.0.0.0",
    ] {
        refused(&v4(other).udp(1, 2, b"other"), SpoofedAddress);
    }
    for own in [VM1_IP6, "fd66:0:0:9::1", VM1_LINK_LOCAL] {
        passes(&v6(own).udp(1, 2, b"own"));
    }
    for other in [
        VM2_IP6,
        "fd67::1",
        GW_RED_IP6,
        VRRP_LINK_LOCAL,
        "fe80::1",
        "::",
    ] {
        refused(&v6(other).udp(1, 2, b"other"), SpoofedAddress);
    }
}

#[test]
fn what_is_routed_is_checked_as_what_is_bridged() {
    let routed = |source: &str| {
        craft::ethernet(GW_RED, VM1)
            .ipv4(source, VM7_IP)
            .udp(1, 2, b"")
    };
    let outcome = guarded_host().send(PORT1, &routed(VM1_IP));
    assert_eq!(outcome.one().0, UNDERLAY);
    refused(&routed(VM2_IP), SpoofedAddress);
    // No error is sent to whom the address belongs to.
    let late = craft::ethernet(GW_RED, VM1).ipv4(VM2_IP, VM7_IP).ttl(1);
    refused(&late.udp(1, 2, b""), SpoofedAddress);
}

#[test]
fn a_port_sends_from_its_own_mac_only() {
    for other in [VM2, VM4, NOBODY, GW_RED, OWN_HM, PEER_HM] {
        refused(
            &craft::ethernet(VM2, other).payload(0x88b5, b"x"),
            SpoofedMac,
        );
        let frame = craft::ethernet(VM2, other)
            .ipv4(VM1_IP, VM2_IP)
            .udp(1, 2, b"");
        refused(&frame, SpoofedMac);
        refused(
            &craft::ethernet(BROADCAST, other).arp_request(VM1_IP, VM2_IP),
            SpoofedMac,
        );
    }
    passes(&craft::ethernet(VM2, VM1).payload(0x88b5, b"neither IP nor ARP"));
}

#[test]
fn a_pair_goes_with_its_own_mac() {
    let from = |mac: &str, address: &str| craft::ethernet(VM2, mac).ipv4(address, VM2_IP);
    passes(&from(VRRP_MAC, VRRP_IP).udp(1, 2, b""));
    refused(&from(VM1, VRRP_IP).udp(1, 2, b""), SpoofedAddress);
    refused(&from(VRRP_MAC, VM1_IP).udp(1, 2, b""), SpoofedAddress);
    refused(&from(VRRP_MAC, VM1_PAIR).udp(1, 2, b""), SpoofedAddress);
    let from6 = |address: &str| craft::ethernet(VM2, VRRP_MAC).ipv6(address, VM2_IP6);
    passes(&from6(VRRP_IP6).udp(1, 2, b""));
    passes(&from6(VRRP_LINK_LOCAL).udp(1, 2, b""));
    refused(&from6(VM1_IP6).udp(1, 2, b""), SpoofedAddress);
    passes(&craft::ethernet(BROADCAST, VRRP_MAC).arp_request(VRRP_IP, VRRP_IP));
    refused(
        &craft::ethernet(BROADCAST, VRRP_MAC).arp_request(VM1_IP, VM1_IP),
        SpoofedArpNd,
    );
}

/// A pair's MAC that was learned must not outlive the pair.
#[test]
fn a_pair_that_is_gone_is_refused_although_its_mac_was_learned() {
    let mut host = guarded_host();
    let entry = FdbEntry {
        adjacency: host.at_port(PORT1, 0),
        origin: Origin::Learned,
    };
    let key = FdbKey::new(red(), mac(VRRP_MAC));
    host.tables.fdb.insert(key, entry, 0).unwrap();
    let frame = craft::ethernet(VM2, VRRP_MAC)
        .ipv4(VRRP_IP, VM2_IP)
        .udp(1, 2, b"");
    passes_at(&mut host, &frame);
    let mut host = host.allowed(PORT1, &[]);
    for frame in [frame, craft::ethernet(VM2, VRRP_MAC).payload(0x88b5, b"x")] {
        assert_eq!(host.send(PORT1, &frame).dropped(), SpoofedMac);
    }
}

#[test]
fn rfc5227_arp_speaks_for_the_ports_own_addresses() {
    let begin = || craft::ethernet(BROADCAST, VM1);
    for own in [VM1_IP, VM1_SECOND, VM1_PAIR] {
        passes(&begin().arp_request(own, "10.0.0.77"));
        passes(&begin().arp_request(own, own));
        passes(&begin().arp_request("0.0.0.0", own));
        passes(&craft::ethernet(VM2, VM1).arp_reply(own, VM2_IP));
    }
    for other in [VM2_IP, GW_RED_IP, VRRP_IP, "10.0.0.77"] {
        refused(&begin().arp_request(other, VM2_IP), SpoofedArpNd);
        refused(&begin().arp_request(other, other), SpoofedArpNd);
        refused(&begin().arp_request("0.0.0.0", other), SpoofedArpNd);
        refused(
            &craft::ethernet(VM2, VM1).arp_reply(other, VM2_IP),
            SpoofedArpNd,
        );
    }
    // A reply in the name of nobody is no probe.
    refused(
        &craft::ethernet(VM2, VM1).arp_reply("0.0.0.0", VM1_IP),
        SpoofedArpNd,
    );
    refused(&begin().payload(0x0806, &[0; 27]), SpoofedArpNd);
}

#[test]
fn rfc5227_arp_must_not_name_another_mac() {
    for other in [VM2, GW_RED, BROADCAST, VRRP_MAC] {
        let request =
            arp::Packet::request(mac(other), VM1_IP.parse().unwrap(), VM2_IP.parse().unwrap());
        refused(&craft::ethernet(BROADCAST, VM1).arp(request), SpoofedArpNd);
    }
}

fn solicitation(source: &str, target: &str) -> Vec<u8> {
    let group = ipv6::solicited_node(target.parse().unwrap());
    craft::ethernet(Mac::multicast_of_v6(group), VM1)
        .ipv6(source, group)
        .solicitation(target)
}

fn detection(target: &str) -> Vec<u8> {
    let group = ipv6::solicited_node(target.parse().unwrap());
    let target: std::net::Ipv6Addr = target.parse().unwrap();
    craft::ethernet(Mac::multicast_of_v6(group), VM1)
        .ipv6("::", group)
        .ttl(255)
        .icmp(135, 0, 0, &target.octets())
}

#[test]
fn rfc4862_section_5_4_duplicate_address_detection_is_for_own_addresses() {
    for own in [VM1_IP6, VM1_LINK_LOCAL, "fd66::5"] {
        passes(&detection(own));
    }
    for other in [VM2_IP6, GW_RED_IP6, "fd00::77", "fe80::1"] {
        refused(&detection(other), SpoofedArpNd);
    }
    // Cut off before its target.
    let short = to_all("::").ttl(255).icmp(135, 0, 0, &[0; 8]);
    refused(&short, SpoofedArpNd);
}

#[test]
fn rfc4861_solicitations_are_from_own_addresses() {
    passes(&solicitation(VM1_IP6, "fd00::77"));
    passes(&solicitation(VM1_LINK_LOCAL, VM2_IP6));
    refused(&solicitation(VM2_IP6, "fd00::77"), SpoofedAddress);
}

#[test]
fn rfc4861_advertisements_are_for_own_addresses() {
    for own in [VM1_IP6, VM1_LINK_LOCAL, "fd66::5"] {
        passes(&to_all(VM1_IP6).advertisement(own, nd::FLAG_OVERRIDE));
        passes(&to_all(VM1_LINK_LOCAL).advertisement(own, nd::FLAG_OVERRIDE));
    }
    for other in [VM2_IP6, GW_RED_IP6, VRRP_IP6, "fd00::77"] {
        refused(
            &to_all(VM1_IP6).advertisement(other, nd::FLAG_OVERRIDE),
            SpoofedArpNd,
        );
    }
    refused(&to_all(VM2_IP6).advertisement(VM1_IP6, 0), SpoofedAddress);
    refused(&to_all("::").advertisement(VM1_IP6, 0), SpoofedAddress);
}

/// The option is what goes into caches, not the Ethernet header.
#[test]
fn rfc4861_section_4_6_1_options_must_not_name_another_mac() {
    let target: std::net::Ipv6Addr = VM1_IP6.parse().unwrap();
    let option = |kind: u8, who: &str| [&[kind, 1][..], &mac(who).0].concat();
    for (kind, message) in [(1, 135), (1, 133), (2, 136), (1, 136), (2, 135)] {
        let fixed: &[u8] = if message == 133 {
            &[]
        } else {
            &target.octets()
        };
        let with = |options: &[u8]| {
            to_all(VM1_IP6)
                .ttl(255)
                .icmp(message, 0, 0, &[fixed, options].concat())
        };
        passes(&with(&[]));
        passes(&with(&option(kind, VM1)));
        passes(&with(&[14, 1, 1, 2, 3, 4, 5, 6]));
        refused(&with(&option(kind, VM2)), SpoofedArpNd);
        refused(&with(&option(kind, GW_RED)), SpoofedArpNd);
        let both = [option(kind, VM1), option(kind, VM2)].concat();
        refused(&with(&both), SpoofedArpNd);
        // Of another length, or cut off: nobody knows what a receiver makes of it.
        refused(&with(&[kind, 2, 0, 0, 0, 0, 0, 0]), SpoofedArpNd);
        refused(&with(&[kind, 0, 0, 0, 0, 0, 0, 0]), SpoofedArpNd);
        refused(&with(&[kind]), SpoofedArpNd);
    }
    // Bytes behind the packet are none of its options.
    let padded = [solicitation(VM1_IP6, "fd00::77"), vec![0; 20]].concat();
    passes(&padded);
}

#[test]
fn groups_may_be_joined_without_an_address() {
    let join = |message: u8| {
        to_all("::")
            .ttl(1)
            .hop_by_hop()
            .icmp(message, 0, 0, &[0; 16])
    };
    passes(&join(131));
    passes(&join(143));
    passes(&to_all("::").ttl(255).icmp(133, 0, 0, &[]));
    refused(&to_all("::").icmp_echo(1, 1, b""), SpoofedAddress);
    refused(
        &to_all(VM2_IP6).ttl(1).icmp(131, 0, 0, &[0; 16]),
        SpoofedAddress,
    );
}

fn dhcp(source: &str, from: u16, to: u16) -> Vec<u8> {
    craft::ethernet(BROADCAST, VM1)
        .ipv4(source, "255.255.255.255")
        .udp(from, to, &[1; 240])
}

#[test]
fn rfc2131_section_4_1_who_has_no_address_may_ask_for_one() {
    passes(&dhcp("0.0.0.0", 68, 67));
    passes(&dhcp(VM1_IP, 68, 67));
    for (from, to) in [(68, 53), (1000, 67), (68, 69)] {
        refused(&dhcp("0.0.0.0", from, to), SpoofedAddress);
    }
    refused(&dhcp(VM2_IP, 68, 67), SpoofedAddress);
    // TCP between the same ports is no DHCP.
    let tcp = craft::ethernet(VM2, VM1)
        .ipv4("0.0.0.0", VM2_IP)
        .tcp(68, 67, 2, b"");
    refused(&tcp, SpoofedAddress);
}

/// Clients look at their own port, not at the server's.
#[test]
fn nobody_behind_a_guarded_port_answers_dhcp() {
    for (from, to) in [(67, 68), (67, 67), (1067, 68), (68, 68)] {
        refused(&dhcp(VM1_IP, from, to), RogueServer);
        let answer = craft::ethernet(VM2, VM1).ipv4(VM1_IP, VM2_IP);
        refused(
            &answer.options(&[1; 8]).udp(from, to, b"offer"),
            RogueServer,
        );
    }
    for (from, to) in [(547, 546), (547, 547), (1547, 546)] {
        refused(&v6(VM1_LINK_LOCAL).udp(from, to, b"reply"), RogueServer);
    }
    passes(&v6(VM1_LINK_LOCAL).udp(546, 547, b"solicit"));
    // In fragments the first one tells, and it must tell.
    let whole = v4(VM1_IP).may_fragment().udp(67, 68, &[0; 2000]);
    refused(&craft::fragments(&whole, 1000, 7)[0], RogueServer);
    refused(
        &v4(VM1_IP).fragment(1, 0, true).payload(17, &[0; 4]),
        IpMalformed,
    );
    refused(
        &v6(VM1_IP6).fragment(1, 0, true).payload(17, &[0; 4]),
        IpMalformed,
    );
}

fn advertises() -> Packet {
    to_all(VM1_LINK_LOCAL).ttl(255)
}

#[test]
fn rfc6105_router_advertisements_and_redirects_are_refused() {
    for message in [icmpv6::ROUTER_ADVERTISEMENT, icmpv6::REDIRECT] {
        refused(&advertises().icmp(message, 0, 0, &[0; 40]), RogueServer);
        let direct = v6(VM1_LINK_LOCAL).ttl(255).icmp(message, 0, 0, &[0; 40]);
        refused(&direct, RogueServer);
    }
    let mut off = routed_host();
    passes_at(&mut off, &advertises().icmp(134, 0, 0, &[0; 8]));
}

#[test]
fn rfc7113_extension_headers_do_not_hide_a_router_advertisement() {
    let wrapped: [fn(Packet) -> Packet; 6] = [
        Packet::hop_by_hop,
        Packet::destination_options,
        Packet::routing,
        Packet::authentication,
        |packet| packet.hop_by_hop().destination_options().routing(),
        |packet| packet.fragment(1, 0, false).destination_options(),
    ];
    for wrap in wrapped {
        let hidden = wrap(advertises()).icmp(134, 0, 0, &[0; 8]);
        refused(&hidden, RogueServer);
        passes(&wrap(advertises()).icmp_echo(1, 1, b"harmless"));
    }
    // A chain that cannot be followed.
    let endless = (0..30).fold(advertises(), |packet, _| packet.destination_options());
    refused(&endless.icmp(134, 0, 0, &[0; 8]), IpMalformed);
    // One that ends before what it announces.
    refused(
        &advertises().destination_options().payload(58, b""),
        IpMalformed,
    );
}

#[test]
fn rfc7113_fragments_do_not_hide_a_router_advertisement() {
    let large = advertises()
        .destination_options()
        .icmp(134, 0, 0, &[0; 2000]);
    refused(&craft::fragments(&large, 1280, 1)[0], RogueServer);
    // The first fragment holds the extension header only (RFC 7112 forbids that).
    let option = [58, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for kept in [8, 16] {
        let first = advertises()
            .fragment(1, 0, true)
            .payload(60, &option[..kept]);
        refused(&first, IpMalformed);
    }
    refused(
        &advertises().fragment(1, 0, true).payload(58, b""),
        IpMalformed,
    );
}

/// The rest of the chain lies in a buffer of its own.
#[test]
fn rfc7113_buffers_do_not_hide_a_router_advertisement() {
    let options = [&[25][..], &[0; 206]].concat();
    let frame = advertises()
        .extension(60, &options)
        .icmp(134, 0, 0, &[0; 40]);
    let message = 54 + 208;
    refused(&frame, RogueServer);
    for at in [200, 256, message - 1, message, message + 1] {
        let (first, second) = frame.split_at(at);
        let outcome = guarded_host().send_packet(PORT1, MemoryPacket::scattered(&[first, second]));
        let reason = outcome.dropped();
        assert!(
            [RogueServer, IpMalformed].contains(&reason),
            "{at}: {reason:?}"
        );
    }
}

/// What receivers must ignore in fragments is not let through either.
#[test]
fn rfc6980_neighbour_discovery_in_fragments_is_refused() {
    let target: std::net::Ipv6Addr = VM1_IP6.parse().unwrap();
    for message in [133, 135, 136] {
        let atomic = to_all(VM1_IP6).ttl(255).fragment(1, 0, false);
        let frame = atomic.icmp(message, 0, 0, &target.octets());
        refused(&frame, SpoofedArpNd);
    }
}

#[test]
fn later_fragments_are_from_own_addresses() {
    let whole = v4(VM1_IP).may_fragment().udp(1, 2, &[0; 2000]);
    let spoofed = v4(VM2_IP).may_fragment().udp(1, 2, &[0; 2000]);
    let [whole6, spoofed6] = [VM1_IP6, VM2_IP6].map(|source| v6(source).udp(1, 2, &[0; 2000]));
    for frame in [whole, whole6] {
        craft::fragments(&frame, 1280, 1)
            .iter()
            .for_each(|piece| passes(piece));
    }
    for frame in [spoofed, spoofed6] {
        let pieces = craft::fragments(&frame, 1280, 1);
        pieces
            .iter()
            .for_each(|piece| refused(piece, SpoofedAddress));
    }
}

#[test]
fn tags_do_not_get_around_the_guard() {
    let transparent = || guarded_host().change(red(), |network| network.vlan_transparent = true);
    let spoofed = [
        (v4(VM2_IP).udp(1, 2, b""), SpoofedAddress),
        (v6(VM2_IP6).udp(1, 2, b""), SpoofedAddress),
        (
            craft::ethernet(BROADCAST, VM1).arp_request(GW_RED_IP, VM2_IP),
            SpoofedArpNd,
        ),
        (to_all(VM1_IP6).advertisement(GW_RED_IP6, 0), SpoofedArpNd),
        (advertises().icmp(134, 0, 0, &[0; 8]), RogueServer),
        (dhcp(VM1_IP, 67, 68), RogueServer),
    ];
    for (frame, reason) in &spoofed {
        for tags in [
            vec![(0x8100, 5)],
            vec![(0x88a8, 5)],
            vec![(0x8100, 0), (0x8100, 5)],
            vec![(0x8100, 5), (0x8100, 0)],
            vec![(0x88a8, 5), (0x8100, 6)],
        ] {
            let tagged = tags.iter().rev().fold(frame.clone(), |frame, (tpid, tci)| {
                tagged_with(*tpid, *tci, &frame)
            });
            let outcome = transparent().send(PORT1, &tagged);
            assert_eq!(outcome.dropped(), *reason, "{tags:?}");
        }
        // A priority tag alone is taken off, transparent or not.
        refused(&tagged(0, frame), *reason);
    }
    let deep = |frame: &[u8]| tagged(5, &tagged(0, &tagged(0, frame)));
    let outcome = transparent().send(PORT1, &deep(&spoofed[0].0));
    assert_eq!(outcome.dropped(), HiddenHeaders);
    let own = v4(VM1_IP).udp(1, 2, b"");
    for frame in [tagged(5, &own), tagged_with(0x88a8, 6, &tagged(5, &own))] {
        passes_at(&mut transparent(), &frame);
    }
    refused(&tagged(5, &own), DropReason::Unbound);
}

/// CVE-2021-27853, CVE-2021-27861: LLC/SNAP in front of what would be refused, with
/// a length that holds or not.
#[test]
fn snap_does_not_get_around_the_guard() {
    let spoofed = &craft::ethernet(BROADCAST, VM1).arp_request(GW_RED_IP, GW_RED_IP)[14..];
    let snap = [&craft::hex("aaaa03 000000 0806")[..], spoofed].concat();
    for length in [snap.len() as u16, 0, 1500, 1535] {
        let frame = craft::ethernet(BROADCAST, VM1).payload(length, &snap);
        refused(&frame, HiddenHeaders);
        let mut host = guarded_host().change(red(), |network| network.vlan_transparent = true);
        assert_eq!(
            host.send(PORT1, &tagged(5, &frame)).dropped(),
            HiddenHeaders
        );
    }
    // Other LLC passes: bridges' own protocols beyond the reserved groups, NetBIOS.
    passes(&craft::ethernet(VM2, VM1).payload(3, &[0xf0, 0xf0, 3]));
}

#[test]
fn malformed_ip_is_refused() {
    refused(
        &craft::ethernet(VM2, VM1).payload(0x0800, &[0x45; 19]),
        IpMalformed,
    );
    refused(
        &craft::ethernet(VM2, VM1).payload(0x86dd, &[0x60; 39]),
        IpMalformed,
    );
}

#[test]
fn a_port_with_anti_spoofing_off_sends_what_it_likes() {
    let mut host = routed_host();
    host.access(PORT1, None, Access::Guarded);
    for frame in [
        v4(VM2_IP).udp(1, 2, b""),
        v6(VM2_IP6).udp(1, 2, b""),
        craft::ethernet(BROADCAST, VM1).arp_request("10.0.0.77", "10.0.0.78"),
        dhcp(VM1_IP, 67, 68),
        advertises().icmp(134, 0, 0, &[0; 8]),
    ] {
        passes_at(&mut host, &frame);
    }
    // But not from the MAC of somebody else.
    let other = craft::ethernet(VM2, NOBODY)
        .ipv4(VM1_IP, VM2_IP)
        .udp(1, 2, b"");
    assert_eq!(host.send(PORT1, &other).dropped(), SpoofedMac);
}

#[test]
fn where_all_stations_are_met_only_guarded_ports_are_checked() {
    let mut host = guarded_host();
    host.access(PORT1, None, Access::Known);
    let unknown = craft::ethernet(VM2, NOBODY)
        .ipv4("10.0.0.99", VM2_IP)
        .udp(1, 2, b"");
    passes_at(&mut host, &unknown);
    let spoofed = v4(VM2_IP).udp(1, 2, b"");
    assert_eq!(host.send(PORT1, &spoofed).dropped(), SpoofedAddress);
    host.access(PORT1, None, Access::Open);
    passes_at(&mut host, &spoofed);
}

/// Elsewhere the same MAC is nobody's port.
#[test]
fn a_guarded_port_sends_from_its_own_place_only() {
    let mut host = guarded_host();
    host.access(PORT2, None, Access::Guarded);
    let frame = craft::ethernet(VM2, VM1)
        .ipv4(VM1_IP, VM2_IP)
        .udp(1, 2, b"");
    assert_eq!(host.send(PORT2, &frame).dropped(), SpoofedMac);
}

#[test]
fn what_other_hosts_send_was_checked_there() {
    let mut host = guarded_host();
    let frame = craft::ethernet(VM1, VM4)
        .ipv4(VM2_IP, VM1_IP)
        .udp(1, 2, b"");
    assert_eq!(host.send(UNDERLAY, &tunnelled(&frame)).one().0, PORT1);
    let mut host = routed_host().vlan_segment(red(), PORT5, 148);
    host.station(red(), VM4, &[], adjacency(1));
    assert_eq!(host.send(PORT5, &tagged(148, &frame)).one().0, PORT1);
}
