//! More than one router of a host between a station and the outside, or between two stations by way of the outside.

mod common;

use std::sync::Arc;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::Decision;
use vtepd_nat::Settings;
use vtepd_tables::translation::{Description, Rules};
use vtepd_wire::craft::{self, Packet};

const AT_INNER_RED: u16 = 120;
const AT_YELLOW: u16 = 121;
const AT_QG2: u16 = 122;
const AT_OUTSIDE2: u16 = 123;

/// The second router.
const ROUTER_2: u16 = 3;
const GW_INNER: &str = "fa:16:3e:aa:00:22";
const GW_YELLOW: &str = "fa:16:3e:aa:00:23";
const QG2: &str = "fa:16:3e:ee:00:06";
const QG2_IP: &str = "198.51.100.6";
const QG2_IP6: &str = "2001:db8:ff::6";

/// A station of the second router, in the network YELLOW.
const STATION: &str = NOBODY;
const STATION_IP: &str = "10.4.0.9";
const STATION_IP6: &str = "fd04::9";

fn with_yellow() -> Host {
    let yellow = network(4);
    let mut host = routed_host()
        .network(yellow, 4000)
        .port(yellow, PORT5, 0)
        .vm(STATION, &[STATION_IP, STATION_IP6], PORT5, 0);
    let addresses = ["10.4.0.254/24", "fd04::fe/64"];
    host.gateway(AT_YELLOW, yellow, ROUTER_2, GW_YELLOW, &addresses);
    host
}

/// Router 2 is behind router 1, which leads outside.
fn one_behind_another(description: &Description) -> Host {
    let mut host = with_yellow();
    host.gateway(AT_INNER_RED, red(), ROUTER_2, GW_INNER, &["10.0.0.253/24"]);
    host.lead_outside(description);
    for prefix in ["10.4.0.0/24", "10.5.0.0/24"] {
        host.route(ROUTER_1, prefix, &[via(AT_RED, "10.0.0.253")]);
    }
    host
}

/// What is inside has no addresses outside: whoever on the way has something to say, the gateway outside says it.
#[test]
fn routers_further_in_are_not_seen_from_outside() {
    let mut host = one_behind_another(&Description {
        floating_ips: floating(&[(FIP1, STATION_IP), (FIP6, "10.5.0.9")]),
        ..snat(&[QG_IP])
    });
    host.change_gateway(adjacency(AT_YELLOW), |gateway| gateway.mtu = 1280);
    let to = |address: &str| craft::ethernet(FG, OUT).ipv4(OUT_IP, address);
    let delivered = craft::ethernet(STATION, GW_YELLOW).ipv4(OUT_IP, STATION_IP);
    let outcome = host.send(EXT, &to(FIP1).udp(1, 2, b"knock"));
    assert_eq!(
        outcome.one(),
        (PORT5, &delivered.ttl(61).udp(1, 2, b"knock")[..])
    );
    let told = |host: &mut Host, frame: &[u8], kind: u8, code: u8, rest: u32| {
        let outcome = host.send(EXT, frame);
        let error = craft::ethernet(OUT, FG).ipv4(FG_IP, OUT_IP).tos(0xc0);
        let quoted = &frame[14..frame.len().min(14 + 548)];
        assert_eq!(
            outcome.one(),
            (EXT, &error.icmp(kind, code, rest, quoted)[..]),
            "{outcome:?}"
        );
    };
    for ttl in 1..=3 {
        let frame = to(FIP1).ttl(ttl).udp(1, 33434, b"traceroute");
        told(&mut host, &frame, 11, 0, 0);
    }
    told(&mut host, &to(FIP1).udp(1, 2, &[7; 1300]), 3, 4, 1280);
    told(&mut host, &to(FIP6).udp(1, 2, b"nowhere"), 3, 0, 0);
}

/// Two routers of this host, each with a gateway on the external network; each reaches the other's network by it.
fn side_by_side(first: &Description, second: &Description) -> Host {
    let mut host = with_yellow();
    host.lead_outside(first);
    let addresses = [format!("{QG2_IP}/24"), format!("{QG2_IP6}/64")];
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let qg2 = host.outside_gateway(AT_QG2, public(), vrf(ROUTER_2), QG2, &addresses);
    let routes = [
        ("10.0.0.0/24", Some(QG_IP)),
        ("198.51.100.0/24", None),
        ("fd00::/64", Some(QG_IP6)),
        ("2001:db8:ff::/64", None),
    ];
    host.way_outside(AT_OUTSIDE2, ROUTER_2, public(), [None, Some(qg2)], &routes);
    host.route(ROUTER_1, "fd04::/64", &[via(AT_OUTSIDE, QG2_IP6)]);
    host.route(ROUTER_1, "10.4.0.0/24", &[via(AT_OUTSIDE, QG2_IP)]);
    let rules = [(ROUTER_1, first), (ROUTER_2, second)];
    let rules = rules.map(|(router, own)| Arc::new(Rules::new(vrf(router), own).unwrap()));
    host.publish_rules(public(), &rules);
    host
}

fn only_outbound() -> Description {
    Description {
        outbound_only_ipv6: true,
        ..Description::default()
    }
}

fn there() -> Packet {
    craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, STATION_IP6)
}

fn back() -> Packet {
    craft::ethernet(GW_YELLOW, STATION).ipv6(STATION_IP6, VM1_IP6)
}

#[test]
fn ipv6_turns_round_between_two_routers_of_one_host() {
    let mut host = side_by_side(&Description::default(), &Description::default());
    let outcome = host.send(PORT1, &there().udp(1, 2, b"there"));
    let delivered = craft::ethernet(STATION, GW_YELLOW).ipv6(VM1_IP6, STATION_IP6);
    assert_eq!(
        outcome.one(),
        (PORT5, &delivered.ttl(62).udp(1, 2, b"there")[..])
    );
    let turned = Decision::Hairpin(adjacency(AT_QG2));
    assert!(outcome.decisions.contains(&turned));
    let outcome = host.send(PORT5, &back().udp(2, 1, b"back"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv6(STATION_IP6, VM1_IP6);
    assert_eq!(
        outcome.one(),
        (PORT1, &delivered.ttl(62).udp(2, 1, b"back")[..])
    );
    // Each router is seen once, and what it quotes is what it got.
    for (limit, own, quoted) in [(1, GW_RED_IP6, 1), (2, QG2_IP6, 1)] {
        let outcome = host.send(PORT1, &there().ttl(limit).udp(1, 33434, b"trace"));
        assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
        let error = craft::ethernet(VM1, GW_RED).ipv6(own, VM1_IP6);
        let seen = there().ttl(quoted).udp(1, 33434, b"trace");
        let error = error.icmp(3, 0, 0, &seen[14..]);
        assert_eq!(outcome.one(), (PORT1, &error[..]), "limit {limit}");
    }
    let last = host.send(PORT1, &there().ttl(3).udp(1, 2, b""));
    assert_eq!(last.one().0, PORT5);
    // The other router itself.
    let echo = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, QG2_IP6);
    let outcome = host.send(PORT1, &echo.icmp_echo(1, 2, b"ping"));
    let reply = craft::ethernet(VM1, GW_RED).ipv6(QG2_IP6, VM1_IP6);
    assert_eq!(
        outcome.one(),
        (PORT1, &reply.icmp_echo_reply(1, 2, b"ping")[..])
    );
    // And what it has no way for: it is outside, and leads nobody out again.
    let beyond = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, "fd05::1");
    host.route(ROUTER_1, "fd05::/64", &[via(AT_OUTSIDE, QG2_IP6)]);
    host.route(ROUTER_2, "fd05::/64", &[via(AT_OUTSIDE2, QG_IP6)]);
    let outcome = host.send(PORT1, &beyond.udp(1, 2, b""));
    assert_eq!(outcome.dropped(), DropReason::NatNotOurs);
}

/// Networks of the outside's own address scope: as they are, and by nobody who has not said so.
#[test]
fn one_address_scope_reaches_from_router_to_router() {
    let scope = |prefix: &str| Description {
        same_scope: vec![prefix.parse().unwrap()],
        ..Description::default()
    };
    let both = [scope("10.0.0.0/24"), scope("10.4.0.0/24")];
    let there = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, STATION_IP);
    let frame = there.clone().udp(1, 2, b"there");
    let mut host = side_by_side(&both[0], &both[1]);
    let delivered = craft::ethernet(STATION, GW_YELLOW).ipv4(VM1_IP, STATION_IP);
    assert_eq!(
        host.send(PORT1, &frame).one(),
        (PORT5, &delivered.ttl(62).udp(1, 2, b"there")[..])
    );
    for (ttl, own) in [(1, GW_RED_IP), (2, QG2_IP)] {
        let frame = there.clone().ttl(ttl).udp(1, 33434, b"trace");
        let outcome = host.send(PORT1, &frame);
        assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
        let error = craft::ethernet(VM1, GW_RED).ipv4(own, VM1_IP).tos(0xc0);
        let error = error.icmp(11, 0, 0, &frame[14..]);
        assert_eq!(outcome.one(), (PORT1, &error[..]), "TTL {ttl}");
    }
    let back = craft::ethernet(GW_YELLOW, STATION).ipv4(STATION_IP, VM1_IP);
    assert_eq!(host.send(PORT5, &back.udp(2, 1, b"")).one().0, PORT1);
    let mut host = side_by_side(&Description::default(), &both[1]);
    assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::NatNoRule);
    let mut host = side_by_side(&both[0], &Description::default());
    assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::NatNotOurs);
}

/// A router that has an ordinary interface in the external network: it translates nothing, and meets those that do.
#[test]
fn a_router_with_an_interface_in_the_external_network_reaches_floating_ips() {
    let mut host = with_yellow();
    host.lead_outside(&Description {
        floating_ips: floating(&[(FIP1, VM1_IP)]),
        ..snat(&[QG_IP])
    });
    let address = format!("{QG2_IP}/24");
    host.gateway(AT_QG2, public(), ROUTER_2, QG2, &[&address]);
    host.route(ROUTER_1, "10.4.0.0/24", &[via(AT_OUTSIDE, QG2_IP)]);
    let there = |to: &str| craft::ethernet(GW_YELLOW, STATION).ipv4(STATION_IP, to);
    let outcome = host.send(PORT5, &there(FIP1).udp(1, 2, b"there"));
    let delivered = craft::ethernet(VM1, GW_RED)
        .ipv4(STATION_IP, VM1_IP)
        .ttl(61);
    assert_eq!(outcome.one(), (PORT1, &delivered.udp(1, 2, b"there")[..]));
    let back = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, STATION_IP);
    let outcome = host.send(PORT1, &back.udp(2, 1, b"back"));
    let delivered = craft::ethernet(STATION, GW_YELLOW).ipv4(FIP1, STATION_IP);
    assert_eq!(
        outcome.one(),
        (PORT5, &delivered.ttl(61).udp(2, 1, b"back")[..])
    );
    // By the shared address, too, and back.
    let ask = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, STATION_IP);
    let outcome = host.send(PORT2, &ask.udp(4000, 53, b"ask"));
    let delivered = craft::ethernet(STATION, GW_YELLOW).ipv4(QG_IP, STATION_IP);
    assert_eq!(
        outcome.one(),
        (PORT5, &delivered.ttl(62).udp(4000, 53, b"ask")[..])
    );
    let outcome = host.send(PORT5, &there(QG_IP).udp(53, 4000, b"tell"));
    let delivered = craft::ethernet(VM2, GW_RED)
        .ipv4(STATION_IP, VM2_IP)
        .ttl(62);
    assert_eq!(
        outcome.one(),
        (PORT2, &delivered.udp(53, 4000, b"tell")[..])
    );
    // What fails further on is told to who has sent it, in his words.
    let late = there(FIP1).ttl(3).udp(1, 33434, b"trace");
    let outcome = host.send(PORT5, &late);
    let error = craft::ethernet(STATION, GW_YELLOW)
        .ipv4(FG_IP, STATION_IP)
        .tos(0xc0);
    assert_eq!(
        outcome.one(),
        (PORT5, &error.icmp(11, 0, 0, &late[14..])[..])
    );
    let ask = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, STATION_IP).ttl(2);
    let late = ask.udp(4000, 53, b"trace");
    let outcome = host.send(PORT2, &late);
    let (port, sent) = outcome.one();
    assert_eq!((port, &sent[34..36]), (PORT2, &[11, 0][..]));
    assert_eq!(sent[26..34], [198, 51, 100, 6, 10, 0, 0, 2]);
    assert_eq!(sent[54..58], [10, 0, 0, 2], "what VM2 wrote is quoted");
    assert_eq!(craft::verify(sent), Ok(()));
    // And the gateway there answers.
    let outcome = host.send(PORT5, &there(QG_IP).icmp_echo(1, 2, b"ping"));
    let reply = craft::ethernet(STATION, GW_YELLOW).ipv4(QG_IP, STATION_IP);
    assert_eq!(
        outcome.one(),
        (PORT5, &reply.icmp_echo_reply(1, 2, b"ping")[..])
    );
}

/// Sessions of both routers are kept, each by the owner of its station: wherever a packet comes in.
#[test]
fn ipv6_that_turns_round_was_begun_inside() {
    let (first, second) = (only_outbound(), only_outbound());
    for worker in 0..3 {
        let host = side_by_side(&first, &second);
        let mut all = Several::new(host, 3, (ROUTER_1, &first), Settings::default());
        let outcome = all.send(worker, PORT1, &there().udp(1, 2, b"there"));
        assert_eq!(outcome.drops, [DropReason::NatUnsolicited]);
        // The other one begins; its own way out is the first one's way in.
        let outcome = all.send(worker, PORT5, &back().udp(2, 1, b"back"));
        assert_eq!(outcome.one().0, PORT1, "VM1 has asked, in vain");
        let outcome = all.send(worker, PORT1, &there().udp(1, 2, b"there"));
        let delivered = craft::ethernet(STATION, GW_YELLOW).ipv6(VM1_IP6, STATION_IP6);
        assert_eq!(
            outcome.one(),
            (PORT5, &delivered.ttl(62).udp(1, 2, b"there")[..])
        );
        // The other router has no room for strangers.
        let stranger = craft::ethernet(GW_RED, VM2).ipv6(VM2_IP6, STATION_IP6);
        let outcome = all.send(worker, PORT2, &stranger.udp(1, 2, b""));
        assert_eq!(outcome.drops, [DropReason::NatUnsolicited]);
    }
}

/// A station of another tenant, whose address VM1 has as well.
const TWIN: &str = "fa:16:3e:00:04:01";
const FIP_TWIN: &str = "198.51.100.9";

/// Two tenants with the same addresses, each with a router of this host.
fn twins() -> Host {
    let first = Description {
        floating_ips: floating(&[(FIP1, VM1_IP)]),
        ..snat(&[QG_IP])
    };
    let mut second = Description {
        floating_ips: floating(&[(FIP_TWIN, VM1_IP)]),
        ..snat(&[QG2_IP])
    };
    second.outside[0].pool.0 = 1;
    let yellow = network(4);
    let mut host = routed_host()
        .network(yellow, 4000)
        .port(yellow, PORT5, 0)
        .vm(TWIN, &[VM1_IP], PORT5, 0);
    let inside = [format!("{GW_RED_IP}/24")];
    let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
    host.gateway(AT_YELLOW, yellow, ROUTER_2, GW_YELLOW, &inside);
    let at_port = host.at_port(PORT5, 0);
    host.station(yellow, STATION, &[VM2_IP], at_port);
    host.lead_outside(&first);
    let addresses = [format!("{QG2_IP}/24")];
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let qg2 = host.outside_gateway(AT_QG2, public(), vrf(ROUTER_2), QG2, &addresses);
    let ways = [Some(adjacency(AT_FG)), Some(qg2)];
    let routes = [("198.51.100.0/24", None), ("0.0.0.0/0", Some(ROUTER_IP))];
    host.way_outside(AT_OUTSIDE2, ROUTER_2, public(), ways, &routes);
    open_pools(&mut host.state.translator, ROUTER_2, &second);
    let rules = [(ROUTER_1, &first), (ROUTER_2, &second)];
    let rules = rules.map(|(router, own)| Arc::new(Rules::new(vrf(router), own).unwrap()));
    host.publish_rules(public(), &rules);
    host
}

#[test]
fn tenants_with_the_same_addresses_meet_by_floating_ips_alone() {
    let mut host = twins();
    // Floating to floating, there and back.
    let there = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, FIP_TWIN);
    let outcome = host.send(PORT1, &there.udp(1, 2, b"there"));
    let delivered = craft::ethernet(TWIN, GW_YELLOW).ipv4(FIP1, VM1_IP).ttl(60);
    assert_eq!(outcome.one(), (PORT5, &delivered.udp(1, 2, b"there")[..]));
    let back = craft::ethernet(GW_YELLOW, TWIN).ipv4(VM1_IP, FIP1);
    let outcome = host.send(PORT5, &back.udp(2, 1, b"back"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(FIP_TWIN, VM1_IP).ttl(60);
    assert_eq!(outcome.one(), (PORT1, &delivered.udp(2, 1, b"back")[..]));
    // Shared to floating: both from the same address and port, each by its own router's.
    let shared = craft::ethernet(GW_YELLOW, STATION).ipv4(VM2_IP, FIP1);
    let outcome = host.send(PORT5, &shared.udp(4000, 53, b"ask"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(QG2_IP, VM1_IP).ttl(61);
    assert_eq!(outcome.one(), (PORT1, &delivered.udp(4000, 53, b"ask")[..]));
    let answer = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, QG2_IP);
    let outcome = host.send(PORT1, &answer.udp(53, 4000, b"tell"));
    let (port, sent) = outcome.one();
    assert_eq!((port, &sent[..6]), (PORT5, &mac(STATION).0[..]));
    assert_eq!(sent[26..34], [198, 51, 100, 7, 10, 0, 0, 2]);
    // Fragments with the same identification, at the same time.
    let parts = |begin: Packet| {
        let whole = begin.may_fragment().udp(4000, 53, &[7; 2000]);
        craft::fragments(&whole, 1400, 77)
    };
    let first = parts(craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, FAR_IP));
    let second = parts(craft::ethernet(GW_YELLOW, STATION).ipv4(VM2_IP, FAR_IP));
    assert!(host.send(PORT2, &first[1]).sent.is_empty());
    assert!(host.send(PORT5, &second[1]).sent.is_empty());
    for (port, own, source) in [(PORT5, &second, 6), (PORT2, &first, 5)] {
        let outcome = host.send(port, &own[0]);
        assert_eq!(outcome.sent.len(), 2);
        for (to, part) in &outcome.sent {
            assert_eq!(*to, EXT);
            assert_eq!(part[26..30], [198, 51, 100, source]);
            assert_eq!(craft::verify(part), Ok(()));
        }
    }
}
