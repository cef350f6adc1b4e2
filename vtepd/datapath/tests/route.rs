//! Routing by a gateway: which way, what is rewritten, and what goes no further.
//! Errors are in `route_errors.rs`, packets in parts in `route_fragments.rs`.

mod common;

use common::*;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::observer::Decision;
use vtepd_datapath::{DropReason, Event};
use vtepd_tables::route::{NextHop, Target};
use vtepd_wire::craft::{self, Packet};

/// From VM1 to its gateway.
fn to_gateway(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, destination)
}

fn to_gateway6(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, destination)
}

/// What VM6 gets of it.
fn at_vm6(destination: &str) -> Packet {
    craft::ethernet(VM6, GW_BLUE)
        .ipv4(VM1_IP, destination)
        .ttl(63)
}

#[track_caller]
fn dropped(host: &mut Host, frame: &[u8]) -> DropReason {
    host.send(PORT1, frame).dropped()
}

#[test]
fn rfc1812_section_5_3_1_the_ttl_goes_down_by_one_and_the_rest_stays() {
    for ttl in [2, 64, 128, 255] {
        let begin = |packet: Packet, ttl| packet.ttl(ttl).tos(0xb9).identification(0xbeef);
        let frame = begin(to_gateway(VM6_IP), ttl).udp(4000, 53, b"query");
        let routed = begin(at_vm6(VM6_IP), ttl - 1).udp(4000, 53, b"query");
        let mut host = routed_host();
        let outcome = host.send(PORT1, &frame);
        assert_eq!(outcome.one(), (PORT4, &routed[..]));
        assert_eq!(host.counters.routed.get(), 1);
        let begin = |packet: Packet, ttl| packet.ttl(ttl).tos(0xb9).flow_label(0xabcde);
        let frame = begin(to_gateway6(VM6_IP6), ttl).udp(4000, 53, b"query");
        let routed = craft::ethernet(VM6, GW_BLUE).ipv6(VM1_IP6, VM6_IP6);
        let routed = begin(routed, ttl - 1).udp(4000, 53, b"query");
        assert_eq!(
            routed_host().send(PORT1, &frame).one(),
            (PORT4, &routed[..])
        );
    }
}

/// Checksums of 0x0000 and 0xffff are where patching goes wrong (RFC 1624).
#[test]
fn rfc1624_the_checksum_is_right_whatever_it_was() {
    for identification in 0..=u16::MAX {
        if identification % 97 != 0 && !(0xa000..0xa800).contains(&identification) {
            continue;
        }
        let frame = to_gateway(VM6_IP)
            .identification(identification)
            .udp(1, 2, b"");
        let outcome = routed_host_once(&frame);
        assert_eq!(craft::verify(&outcome), Ok(()), "{identification}");
    }
}

fn routed_host_once(frame: &[u8]) -> Vec<u8> {
    thread_local! {
        static HOST: std::cell::RefCell<Host> = std::cell::RefCell::new(routed_host());
    }
    HOST.with_borrow_mut(|host| host.send(PORT1, frame).one().1.to_vec())
}

#[test]
fn rfc1812_section_5_3_7_martians_are_dropped_in_silence() {
    for source in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.9",
        "169.254.1.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        let frame = craft::ethernet(GW_RED, VM1)
            .ipv4(source, VM6_IP)
            .udp(1, 2, b"");
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::Martian,
            "{source}"
        );
        // Nor is an error told about it.
        let frame = craft::ethernet(GW_RED, VM1)
            .ipv4(source, VM6_IP)
            .ttl(1)
            .udp(1, 2, b"");
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::Martian,
            "{source}"
        );
    }
    for destination in [
        "0.0.0.0",
        "0.9.9.9",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.5",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        let frame = to_gateway(destination).udp(1, 2, b"");
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::Martian,
            "{destination}"
        );
    }
}

#[test]
fn rfc4291_section_2_5_martians_are_dropped_in_silence() {
    for source in [
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "ff02::1",
        "ff0e::1",
        "fe80::1",
        "febf::1",
    ] {
        for limit in [64, 1] {
            let begin = craft::ethernet(GW_RED, VM1)
                .ipv6(source, VM6_IP6)
                .ttl(limit);
            let frame = begin.udp(1, 2, b"");
            assert_eq!(
                dropped(&mut routed_host(), &frame),
                DropReason::Martian,
                "{source}"
            );
        }
    }
    for destination in [
        "::",
        "::1",
        "::ffff:10.1.0.6",
        "ff02::1",
        "ff0e::1",
        "fe80::6",
    ] {
        let frame = to_gateway6(destination).udp(1, 2, b"");
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::Martian,
            "{destination}"
        );
    }
}

#[test]
fn rfc2644_a_broadcast_to_a_subnet_is_not_forwarded() {
    for destination in ["10.1.0.255", "10.1.0.0", "10.0.0.255"] {
        for ttl in [64, 1] {
            let frame = to_gateway(destination).ttl(ttl).udp(1, 2, b"");
            let outcome = routed_host().send(PORT1, &frame);
            assert_eq!(outcome.dropped(), DropReason::Martian, "{destination}");
            assert_eq!(outcome.events, [], "nor asked for");
        }
    }
    // RFC 3021: a link of two has no broadcast.
    let mut host = routed_host();
    host.gateway(110, network(3), 1, "fa:16:3e:aa:00:0a", &["10.5.0.0/31"]);
    let outcome = host.send(PORT1, &to_gateway("10.5.0.1").udp(1, 2, b""));
    assert!(matches!(outcome.events[..], [Event::Wanted { .. }]));
}

#[test]
fn rfc1812_section_5_2_2_headers_are_checked() {
    let frame = to_gateway(VM6_IP).options(&[1; 4]).udp(1, 2, b"data");
    let with = |at: usize, value: u8| {
        let mut frame = frame.clone();
        frame[at] = value;
        frame
    };
    let mut host = routed_host();
    for (at, value) in [
        (15, 1),
        (18, 0xff),
        (22, 65),
        (24, 0),
        (26, 11),
        (33, 7),
        (34, 0),
    ] {
        assert_ne!(frame[at], value);
        assert_eq!(
            dropped(&mut host, &with(at, value)),
            DropReason::IpChecksum,
            "{at}"
        );
    }
    let malformed = [
        // Version, header length, total length beyond the frame and within the header.
        (14, 0x56),
        (14, 0x44),
        (14, 0x4f),
        (16, 0x7f),
        (17, 23),
    ];
    for (at, value) in malformed {
        let mut frame = with(at, value);
        if value != 0x4f {
            seal_ipv4(&mut frame);
        }
        assert_eq!(dropped(&mut host, &frame), DropReason::IpMalformed, "{at}");
    }
    for len in 14..38 {
        let reason = dropped(&mut host, &frame[..len]);
        assert_eq!(reason, DropReason::IpMalformed, "{len}");
    }
    let frame = to_gateway6(VM6_IP6).udp(1, 2, b"data");
    for (at, value) in [(14, 0x45), (18, 1), (14, 0x80)] {
        let mut frame = frame.clone();
        frame[at] = value;
        assert_eq!(dropped(&mut host, &frame), DropReason::IpMalformed, "{at}");
    }
    for len in 14..54 {
        assert_eq!(
            dropped(&mut host, &frame[..len]),
            DropReason::IpMalformed,
            "{len}"
        );
    }
}

#[test]
fn rfc1812_section_5_2_4_options_pass() {
    let record_route = [&[7, 23, 4][..], &[0; 20]].concat();
    for options in [
        &[1; 40][..],
        &[148, 4, 0, 0],
        &record_route,
        &[0x44, 4, 5, 0],
        &[0, 9, 9, 9],
    ] {
        let frame = to_gateway(VM6_IP).options(options).tcp(1, 2, 2, b"syn");
        let routed = at_vm6(VM6_IP).options(options).tcp(1, 2, 2, b"syn");
        assert_eq!(
            routed_host().send(PORT1, &frame).one(),
            (PORT4, &routed[..])
        );
    }
    // Cut off, or without an end.
    for options in [[7, 0, 0, 0], [7, 1, 0, 0], [7, 99, 0, 0], [1, 1, 1, 7]] {
        let frame = to_gateway(VM6_IP).options(&options).udp(1, 2, b"");
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::IpMalformed,
            "{options:?}"
        );
    }
}

#[test]
fn rfc7126_source_routes_are_dropped() {
    for kind in [131, 137] {
        for before in [&[][..], &[1], &[1, 1, 1], &[148, 4, 0, 0]] {
            let options = [before, &[kind, 7, 4, 10, 1, 0, 7]].concat();
            let frame = to_gateway(VM6_IP).options(&options).udp(1, 2, b"");
            assert_eq!(dropped(&mut routed_host(), &frame), DropReason::SourceRoute);
            // Also when it is for the gateway itself.
            let frame = to_gateway(GW_RED_IP).options(&options).icmp_echo(1, 1, b"");
            assert_eq!(dropped(&mut routed_host(), &frame), DropReason::SourceRoute);
        }
    }
}

#[test]
fn rfc8200_extension_headers_pass() {
    let wrap: [fn(Packet) -> Packet; 4] = [
        Packet::hop_by_hop,
        |packet| packet.hop_by_hop().destination_options().routing(),
        |packet| packet.fragment(9, 0, false),
        Packet::authentication,
    ];
    for wrap in wrap {
        let frame = wrap(to_gateway6(VM6_IP6)).udp(1, 2, b"");
        let routed = craft::ethernet(VM6, GW_BLUE).ipv6(VM1_IP6, VM6_IP6).ttl(63);
        let routed = wrap(routed).udp(1, 2, b"");
        assert_eq!(
            routed_host().send(PORT1, &frame).one(),
            (PORT4, &routed[..])
        );
    }
    // Also those that cannot be followed: the chain is for the ends to read.
    let frame = to_gateway6(VM6_IP6).payload(60, &[58]);
    assert_eq!(routed_host().send(PORT1, &frame).sent.len(), 1);
}

#[test]
fn padding_is_cut() {
    let frame = to_gateway(VM6_IP).udp(1, 2, b"x");
    let routed = at_vm6(VM6_IP).udp(1, 2, b"x");
    for padding in [1, 3, 17, 900] {
        let padded = [&frame[..], &vec![0xee; padding]].concat();
        assert_eq!(
            routed_host().send(PORT1, &padded).one(),
            (PORT4, &routed[..])
        );
        let (first, second) = padded.split_at(40);
        let outcome = routed_host().send_packet(PORT1, MemoryPacket::scattered(&[first, second]));
        assert_eq!(outcome.one(), (PORT4, &routed[..]));
    }
    let frame = to_gateway6(VM6_IP6).udp(1, 2, b"x");
    let outcome = routed_host().send(PORT1, &[&frame[..], &[0xee; 20]].concat());
    assert_eq!(outcome.one().1.len(), frame.len());
    assert_eq!(craft::verify(outcome.one().1), Ok(()));
}

#[test]
fn what_is_neither_ip_nor_arp_is_not_for_a_gateway() {
    for ethertype in [0x88b5, 0x8847, 0x0805, 100] {
        let frame = craft::ethernet(GW_RED, VM1).payload(ethertype, &[0; 46]);
        assert_eq!(
            dropped(&mut routed_host(), &frame),
            DropReason::GatewayProtocol
        );
    }
    let mut host = routed_host().change(red(), |network| network.vlan_transparent = true);
    let frame = tagged(5, &to_gateway(VM6_IP).udp(1, 2, b""));
    assert_eq!(dropped(&mut host, &frame), DropReason::GatewayProtocol);
    // An answer of ARP is heard.
    let frame = craft::ethernet(GW_RED, VM1).arp_reply(VM1_IP, GW_RED_IP);
    assert_eq!(routed_host().send(PORT1, &frame).consumed(), []);
}

#[test]
fn the_longest_prefix_wins() {
    let mut host = routed_host();
    host.route(1, "0.0.0.0/0", &[via(AT_RED, VM2_IP)]);
    host.route(1, "172.16.0.0/12", &[via(AT_BLUE, VM6_IP)]);
    host.route(1, "172.16.5.0/24", &[via(AT_RED, VM3_IP)]);
    host.route(1, "172.16.5.9/32", &[via(AT_BLUE, VM7_IP)]);
    for (destination, port) in [
        ("198.51.100.1", PORT2),
        ("172.16.4.1", PORT4),
        ("172.16.5.8", PORT3),
        ("172.16.5.9", UNDERLAY),
        ("172.32.0.0", PORT2),
        (VM6_IP, PORT4),
    ] {
        let outcome = host.send(PORT1, &to_gateway(destination).udp(1, 2, b""));
        assert_eq!(outcome.one().0, port, "{destination}");
    }
    host.route(1, "::/0", &[via(AT_BLUE, VM6_IP6)]);
    host.route(1, "2001:db8:5::/48", &[via(AT_RED, VM2_IP6)]);
    for (destination, port) in [("2001:db8:4::1", PORT4), ("2001:db8:5::1", PORT2)] {
        let outcome = host.send(PORT1, &to_gateway6(destination).udp(1, 2, b""));
        assert_eq!(outcome.one().0, port, "{destination}");
    }
}

/// Of the next hop only the MAC is used.
#[test]
fn a_route_via_a_station_of_the_network() {
    let mut host = routed_host();
    host.route(1, "172.16.0.0/12", &[via(AT_BLUE, VM6_IP)]);
    let outcome = host.send(PORT1, &to_gateway("172.16.0.1").udp(1, 2, b""));
    assert_eq!(
        outcome.one(),
        (PORT4, &at_vm6("172.16.0.1").udp(1, 2, b"")[..])
    );
    // Back out of where it came from, even to who sent it.
    host.route(1, "172.16.0.0/12", &[via(AT_RED, VM1_IP)]);
    let outcome = host.send(PORT1, &to_gateway("172.16.0.1").udp(1, 2, b""));
    let routed = craft::ethernet(VM1, GW_RED)
        .ipv4(VM1_IP, "172.16.0.1")
        .ttl(63);
    assert_eq!(outcome.one(), (PORT1, &routed.udp(1, 2, b"")[..]));
    // Over the other family's next hop (RFC 8950).
    host.route(1, "172.16.0.0/12", &[via(AT_BLUE, VM6_IP6)]);
    let outcome = host.send(PORT1, &to_gateway("172.16.0.1").udp(1, 2, b""));
    assert_eq!(outcome.one().0, PORT4);
}

#[test]
fn a_route_that_leads_nowhere_is_silent() {
    let mut host = routed_host();
    let mut routes = vtepd_tables::route::RouteWriter::new(10);
    let prefix = "0.0.0.0/0".parse().unwrap();
    routes.insert(prefix, Target::Blackhole).unwrap();
    let vrf = vtepd_tables::VrfIndex::new(1).unwrap();
    host.tables.edit().set_vrf(vrf, Some(routes.vrf()));
    let frame = to_gateway("198.51.100.1").udp(1, 2, b"");
    assert_eq!(dropped(&mut host, &frame), DropReason::Blackhole);
    routes.insert(prefix, Target::Unreachable).unwrap();
    host.tables.edit().set_vrf(vrf, Some(routes.vrf()));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.drops, [DropReason::NoRoute]);
    assert_eq!(outcome.one().1[34..36], [3, 0]);
    host.tables.edit().set_vrf(vrf, None);
    assert_eq!(dropped(&mut host, &frame), DropReason::Vacant);
}

#[test]
fn an_unknown_neighbour_is_asked_for() {
    for (frame, address) in [
        (to_gateway("10.1.0.77").udp(1, 2, b""), "10.1.0.77"),
        (to_gateway6("fd01::77").udp(1, 2, b""), "fd01::77"),
    ] {
        let outcome = routed_host().send(PORT1, &frame);
        assert!(outcome.sent.is_empty() && outcome.decisions.contains(&Decision::Held));
        let (gateway, address) = (adjacency(AT_BLUE), ip(address));
        assert_eq!(outcome.events, [Event::Wanted { gateway, address }]);
    }
    // The next hop, not the destination.
    let mut host = routed_host();
    host.route(1, "172.16.0.0/12", &[via(AT_RED, "10.0.0.88")]);
    let outcome = host.send(PORT1, &to_gateway("172.16.0.1").udp(1, 2, b""));
    let (gateway, address) = (adjacency(AT_RED), ip("10.0.0.88"));
    assert_eq!(outcome.events, [Event::Wanted { gateway, address }]);
}

/// Hosts of the network BLUE that a route leads over, as addresses and MACs.
fn next_hops(host: &mut Host, count: u16) -> Vec<NextHop> {
    let at = host.at_port(PORT4, 0);
    let hops = (0..count).map(|number| {
        let address = format!("10.1.0.{}", 100 + number);
        let who = format!("fa:16:3e:02:00:{number:02x}");
        host.neighbour(blue(), &address, &who, at);
        via(AT_BLUE, &address)
    });
    hops.collect()
}

fn chosen(host: &mut Host, frame: &[u8]) -> u8 {
    host.send(PORT1, frame).one().1[5]
}

#[test]
fn rfc2992_flows_stick_to_a_next_hop_and_spread_evenly() {
    for count in [2u16, 3, 7, 16] {
        let mut host = routed_host();
        let hops = next_hops(&mut host, count);
        host.route(1, "172.16.0.0/12", &hops);
        host.route(1, "2001:db8::/32", &hops);
        let mut shares = vec![[0u32; 2]; usize::from(count)];
        const FLOWS: u32 = 2000;
        for flow in 0..FLOWS {
            let (port, last) = (1024 + (flow % 1000) as u16, 1 + flow / 1000);
            let frame = to_gateway(&format!("172.16.0.{last}")).tcp(port, 443, 2, b"");
            let hop = chosen(&mut host, &frame);
            // The same for every packet of the flow.
            let later = to_gateway(&format!("172.16.0.{last}"))
                .ttl(9)
                .tcp(port, 443, 16, b"later");
            assert_eq!(chosen(&mut host, &later), hop);
            shares[usize::from(hop)][0] += 1;
            let frame = to_gateway6(&format!("2001:db8::{last}")).udp(port, 443, b"");
            shares[usize::from(chosen(&mut host, &frame))][1] += 1;
        }
        // Within six standard deviations of a fair share.
        let fair = f64::from(FLOWS) / f64::from(count);
        for share in shares.into_iter().flatten() {
            assert!(
                (f64::from(share) - fair).abs() < 6.0 * fair.sqrt(),
                "{share} of {FLOWS}"
            );
        }
    }
}

#[test]
fn fragments_of_one_datagram_go_one_way() {
    let mut host = routed_host();
    let hops = next_hops(&mut host, 16);
    host.route(1, "172.16.0.0/12", &hops);
    host.route(1, "2001:db8::/32", &hops);
    for flow in 0..20 {
        let whole = to_gateway("172.16.0.1")
            .may_fragment()
            .udp(flow, 9, &[0; 3000]);
        let whole6 = to_gateway6("2001:db8::1").udp(flow, 9, &[0; 3000]);
        for whole in [whole, whole6] {
            let pieces = craft::fragments(&whole, 1280, 1);
            let hops: Vec<u8> = pieces
                .iter()
                .map(|piece| chosen(&mut host, piece))
                .collect();
            assert!(hops.windows(2).all(|pair| pair[0] == pair[1]), "{hops:?}");
        }
    }
}

const TRANSIT: u16 = 3;
const GW_TRANSIT: &str = "fa:16:3e:aa:00:11";
const GW2_TRANSIT: &str = "fa:16:3e:aa:00:12";

/// A second router, whose network YELLOW is reached through the network TRANSIT.
///
/// ```text
///   RED ── router 1 ── TRANSIT 192.0.2.0/30 ── router 2 ── YELLOW 10.4.0.0/24: PORT5
/// ```
fn two_routers() -> Host {
    let (transit, yellow) = (network(TRANSIT), network(4));
    let mut host = routed_host()
        .network(transit, 3000)
        .network(yellow, 4000)
        .port(yellow, PORT5, 0)
        .vm(NOBODY, &["10.4.0.9", "fd04::9"], PORT5, 0);
    let addresses = ["192.0.2.1/29", "fd03::1/64"];
    host.gateway(111, transit, 1, GW_TRANSIT, &addresses);
    let addresses = ["192.0.2.2/29", "fd03::2/64"];
    host.gateway(112, transit, 2, GW2_TRANSIT, &addresses);
    host.gateway(
        113,
        yellow,
        2,
        "fa:16:3e:aa:00:13",
        &["10.4.0.254/24", "fd04::fe/64"],
    );
    for (default, from, to) in [
        ("0.0.0.0/0", "192.0.2.1", "192.0.2.2"),
        ("::/0", "fd03::1", "fd03::2"),
    ] {
        host.route(1, default, &[via(111, to)]);
        host.route(2, default, &[via(112, from)]);
    }
    host
}

#[test]
fn from_router_to_router_on_one_host() {
    let mut host = two_routers();
    let yellow = "fa:16:3e:aa:00:13";
    let outcome = host.send(PORT1, &to_gateway("10.4.0.9").udp(1, 2, b""));
    let routed = craft::ethernet(NOBODY, yellow)
        .ipv4(VM1_IP, "10.4.0.9")
        .ttl(62);
    assert_eq!(outcome.one(), (PORT5, &routed.udp(1, 2, b"")[..]));
    let outcome = host.send(PORT1, &to_gateway6("fd04::9").udp(1, 2, b""));
    let routed = craft::ethernet(NOBODY, yellow)
        .ipv6(VM1_IP6, "fd04::9")
        .ttl(62);
    assert_eq!(outcome.one(), (PORT5, &routed.udp(1, 2, b"")[..]));
    let routes = outcome.decisions.iter();
    assert_eq!(
        routes
            .filter(|made| matches!(made, Decision::Route { .. }))
            .count(),
        2
    );
}

/// Each router of the chain is seen once, from the side that the sender is on.
#[test]
fn a_trace_through_two_routers_shows_each_once() {
    let mut host = two_routers();
    for (ttl, shown) in [(1, [10, 0, 0, 254]), (2, [192, 0, 2, 2])] {
        let outcome = host.send(PORT1, &to_gateway("10.4.0.9").ttl(ttl).udp(1, 33434, b""));
        assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
        let (port, error) = outcome.one();
        assert_eq!(port, PORT1);
        assert_eq!(
            error[..12],
            craft::ethernet(VM1, GW_RED).payload(0, b"")[..12]
        );
        assert_eq!((&error[26..30], error[34]), (&shown[..], 11), "TTL {ttl}");
        assert_eq!(craft::verify(error), Ok(()));
    }
    assert_eq!(
        host.send(PORT1, &to_gateway("10.4.0.9").ttl(3).udp(1, 2, b""))
            .one()
            .0,
        PORT5
    );
    for (limit, shown) in [(1, GW_RED_IP6), (2, "fd03::2")] {
        let outcome = host.send(PORT1, &to_gateway6("fd04::9").ttl(limit).udp(1, 33434, b""));
        let shown: std::net::Ipv6Addr = shown.parse().unwrap();
        assert_eq!(outcome.one().1[22..38], shown.octets());
        assert_eq!(outcome.one().1[54], 3);
    }
}

#[test]
fn a_loop_of_routers_ends() {
    let mut host = two_routers();
    for ttl in [1, 5, 64, 255] {
        let outcome = host.send(PORT1, &to_gateway("198.51.100.1").ttl(ttl).udp(1, 2, b""));
        assert_eq!(outcome.drops, [DropReason::TtlExceeded], "TTL {ttl}");
        assert_eq!(outcome.one().1[34..36], [11, 0]);
        let outcome = host.send(PORT1, &to_gateway6("2001:db8::1").ttl(ttl).udp(1, 2, b""));
        assert_eq!(outcome.drops, [DropReason::TtlExceeded], "TTL {ttl}");
    }
    // A router that is its own next hop.
    let mut host = routed_host();
    host.route(1, "0.0.0.0/0", &[via(AT_RED, GW_RED_IP)]);
    let outcome = host.send(PORT1, &to_gateway("198.51.100.1").udp(1, 2, b""));
    assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
}

#[test]
fn a_router_behind_another_answers_after_one_hop() {
    let mut host = two_routers();
    for destination in ["192.0.2.2", "10.4.0.254"] {
        let outcome = host.send(PORT1, &to_gateway(destination).icmp_echo(1, 1, b"up?"));
        let answer = craft::ethernet(VM1, GW_RED).ipv4(destination, VM1_IP);
        assert_eq!(
            outcome.one(),
            (PORT1, &answer.icmp_echo_reply(1, 1, b"up?")[..])
        );
        let outcome = host.send(PORT1, &to_gateway(destination).ttl(1).icmp_echo(1, 1, b""));
        assert_eq!(outcome.drops, [DropReason::TtlExceeded], "{destination}");
    }
    // The first one's own, on whatever side: no hop.
    for destination in [GW_RED_IP, GW_BLUE_IP, "192.0.2.1"] {
        let outcome = host.send(PORT1, &to_gateway(destination).ttl(1).icmp_echo(1, 1, b""));
        assert_eq!(
            (outcome.drops.len(), outcome.sent.len()),
            (0, 1),
            "{destination}"
        );
    }
}

/// What the burst does with one packet it does with each.
#[test]
fn a_burst_of_routed_bridged_and_bad_packets() {
    let frames = [
        to_gateway(VM6_IP).udp(1, 2, b""),
        udp(VM2, VM1, 9),
        to_gateway("198.51.100.1").udp(1, 2, b""),
        to_gateway6(VM7_IP6).udp(1, 2, b""),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, GW_RED_IP),
        to_gateway("127.0.0.1").udp(1, 2, b""),
    ];
    let mut host = routed_host();
    let burst = frames
        .iter()
        .map(|frame| MemoryPacket::new(frame))
        .collect();
    let together = host.send_burst(PORT1, burst);
    let apart: Vec<_> = frames
        .iter()
        .flat_map(|frame| routed_host().send(PORT1, frame).sent)
        .collect();
    assert_eq!(together.sent, apart);
    assert_eq!(together.drops, [DropReason::Martian, DropReason::NoRoute]);
}
