//! Between a router's inside and an external network: who is translated to what, by which way,
//! what it costs of the TTL, and what is told to whom when something fails.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::{Decision, Exemption, Rule};
use vtepd_tables::translation::{Description, Protocol};
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{Mac, arp, ipv6, tcp};

/// VM1 has a floating IP, VM6 has one, all others share the router's address.
fn usual() -> Description {
    Description {
        floating_ips: floating(&[(FIP1, VM1_IP), (FIP6, VM6_IP)]),
        ..snat(&[QG_IP])
    }
}

fn from_vm1(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, destination)
}

fn from_vm2(destination: &str) -> Packet {
    craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, destination)
}

/// What left by the external network.
#[track_caller]
fn outside(outcome: &Outcome, expected: &[u8]) {
    assert_eq!(craft::verify(expected), Ok(()));
    assert_eq!(outcome.one(), (EXT, expected), "{outcome:?}");
}

#[track_caller]
fn inside(outcome: &Outcome, port: vtepd_tables::InterfaceIndex, expected: &[u8]) {
    assert_eq!(craft::verify(expected), Ok(()));
    assert_eq!(outcome.one(), (port, expected), "{outcome:?}");
}

fn translated(outcome: &Outcome) -> Vec<Rule> {
    let decisions = outcome.decisions.iter();
    let rules = decisions.filter_map(|decision| match decision {
        Decision::Translated { by, .. } => Some(*by),
        _ => None,
    });
    rules.collect()
}

#[test]
fn snat_shares_the_routers_address_and_keeps_the_port() {
    let mut host = outside_host(&usual());
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b"there"));
    let there = craft::ethernet(ROUTER, QG).ipv4(QG_IP, FAR_IP).ttl(63);
    outside(&outcome, &there.udp(4000, 53, b"there"));
    assert_eq!(translated(&outcome), [Rule::Session { new: true }]);
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b"again"));
    assert_eq!(translated(&outcome), [Rule::Session { new: false }]);

    let back = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
    let outcome = host.send(EXT, &back.udp(53, 4000, b"back"));
    let delivered = craft::ethernet(VM2, GW_RED).ipv4(FAR_IP, VM2_IP).ttl(63);
    inside(&outcome, PORT2, &delivered.udp(53, 4000, b"back"));
    assert_eq!(translated(&outcome), [Rule::Session { new: false }]);
}

#[test]
fn a_floating_ip_wins_over_snat_and_costs_two_hops() {
    for hops in [1, 2] {
        let mut host = outside_host(&Description {
            floating_hops: hops,
            ..usual()
        });
        let outcome = host.send(PORT1, &from_vm1(OUT_IP).udp(4000, 53, b"there"));
        let there = craft::ethernet(OUT, FG).ipv4(FIP1, OUT_IP).ttl(64 - hops);
        outside(&outcome, &there.udp(4000, 53, b"there"));
        assert_eq!(translated(&outcome), [Rule::FloatingIp]);

        let back = craft::ethernet(FG, OUT).ipv4(OUT_IP, FIP1);
        let outcome = host.send(EXT, &back.tcp(53, 1, tcp::SYN, b""));
        let delivered = craft::ethernet(VM1, GW_RED).ipv4(OUT_IP, VM1_IP);
        let delivered = delivered.ttl(64 - hops).tcp(53, 1, tcp::SYN, b"");
        inside(&outcome, PORT1, &delivered);
    }
}

#[test]
fn without_a_floating_ip_a_compute_host_sends_to_the_central_one() {
    let mut host = compute_host(&Description {
        outside: Vec::new(),
        ..usual()
    });
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(1, 2, b"x"));
    let redirected = craft::ethernet(SG_RED, OWN_HM).ipv4(VM2_IP, FAR_IP).ttl(63);
    let (interface, sent) = outcome.one();
    assert_eq!(interface, UNDERLAY);
    assert_eq!(inner(RED_VNI, sent), redirected.udp(1, 2, b"x"));
    assert!(
        outcome
            .decisions
            .contains(&Decision::Central(ip(SG_RED_IP)))
    );
    // With one it leaves from here.
    let outcome = host.send(PORT1, &from_vm1(FAR_IP).udp(1, 2, b"x"));
    assert_eq!(outcome.one().0, EXT);
}

#[test]
fn without_a_way_outside_the_sender_is_told_that_there_is_none() {
    let mut host = compute_host(&usual());
    host.change_gateway(adjacency(AT_RED), |gateway| gateway.central_v4 = None);
    let frame = from_vm2(FAR_IP).udp(1, 2, b"");
    let outcome = host.send(PORT2, &frame);
    assert_eq!(outcome.drops, [DropReason::NoRoute]);
    let error = craft::ethernet(VM2, GW_RED)
        .ipv4(GW_RED_IP, VM2_IP)
        .tos(0xc0);
    inside(&outcome, PORT2, &error.icmp(3, 0, 0, &frame[14..]));
}

#[test]
fn the_central_host_translates_for_its_own_stations_and_for_others() {
    let own = Description {
        outside: Vec::new(),
        ..usual()
    };
    let mut host = central_host(&own, &snat(&[QG_IP]));
    // Its own pass two routers.
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b"a"));
    let there = craft::ethernet(ROUTER, QG).ipv4(QG_IP, FAR_IP).ttl(62);
    outside(&outcome, &there.udp(4000, 53, b"a"));
    let back = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
    let outcome = host.send(EXT, &back.udp(53, 4000, b"b"));
    let delivered = craft::ethernet(VM2, SG_RED).ipv4(FAR_IP, VM2_IP).ttl(63);
    inside(&outcome, PORT2, &delivered.udp(53, 4000, b"b"));
    // Those of others come under their host's MAC, one hop older.
    let redirected = craft::ethernet(SG_RED, PEER_HM)
        .ipv4(VM4_IP, FAR_IP)
        .ttl(63);
    let outcome = host.send(UNDERLAY, &tunnelled(&redirected.udp(5000, 53, b"c")));
    let there = craft::ethernet(ROUTER, QG).ipv4(QG_IP, FAR_IP).ttl(62);
    outside(&outcome, &there.udp(5000, 53, b"c"));
    let back = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
    let outcome = host.send(EXT, &back.udp(53, 5000, b"d"));
    let (interface, sent) = outcome.one();
    assert_eq!(interface, UNDERLAY);
    let delivered = craft::ethernet(VM4, SG_RED).ipv4(FAR_IP, VM4_IP).ttl(63);
    assert_eq!(inner(RED_VNI, sent), delivered.udp(53, 5000, b"d"));
    // A floating IP goes its own way.
    let outcome = host.send(PORT1, &from_vm1(FAR_IP).udp(1, 2, b""));
    let there = craft::ethernet(ROUTER, FG).ipv4(FIP1, FAR_IP).ttl(62);
    outside(&outcome, &there.udp(1, 2, b""));
}

/// What is said to a frame that another host's router has sent goes to the station, not to
/// that host.
#[test]
fn the_central_host_answers_stations_of_other_hosts() {
    let mut host = central_host(&Description::default(), &snat(&[QG_IP]));
    let frame = craft::ethernet(SG_RED, PEER_HM).ipv4(VM4_IP, FAR_IP);
    let expired = frame.clone().ttl(1).udp(1, 2, b"traceroute");
    let outcome = host.send(UNDERLAY, &tunnelled(&expired));
    assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
    let error = craft::ethernet(VM4, SG_RED)
        .ipv4(SG_RED_IP, VM4_IP)
        .tos(0xc0);
    let (_, sent) = outcome.one();
    assert_eq!(inner(RED_VNI, sent), error.icmp(11, 0, 0, &expired[14..]));
    // Echo to the port itself, from the same network and from another.
    let echo = craft::ethernet(SG_RED, VM4).ipv4(VM4_IP, SG_RED_IP);
    let outcome = host.send(UNDERLAY, &tunnelled(&echo.icmp_echo(1, 2, b"ping")));
    let reply = craft::ethernet(VM4, SG_RED).ipv4(SG_RED_IP, VM4_IP);
    assert_eq!(
        inner(RED_VNI, outcome.one().1),
        reply.icmp_echo_reply(1, 2, b"ping")
    );
    let echo = craft::ethernet(SG_RED, PEER_HM)
        .ipv4(VM7_IP, SG_RED_IP)
        .ttl(63);
    let outcome = host.send(UNDERLAY, &tunnelled(&echo.icmp_echo(1, 2, b"ping")));
    let reply = craft::ethernet(VM7, SG_BLUE).ipv4(SG_RED_IP, VM7_IP);
    assert_eq!(
        inner(BLUE_VNI, outcome.one().1),
        reply.icmp_echo_reply(1, 2, b"ping")
    );
    // ARP for it is answered to other hosts: none of them has it.
    let question = craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, SG_RED_IP);
    let outcome = host.send(UNDERLAY, &tunnelled(&question));
    let answer = craft::ethernet(VM4, SG_RED).arp_reply(SG_RED_IP, VM4_IP);
    assert_eq!(inner(RED_VNI, outcome.one().1), answer);
    // The same from a router that has not been told of it, and asks all hosts.
    let target = SG_RED_IP.parse().unwrap();
    let probe = arp::Packet::probe(mac(PEER_HM), target);
    let question = craft::ethernet(BROADCAST, PEER_HM).arp(probe);
    let outcome = host.send(UNDERLAY, &tunnelled(&question));
    let answer = craft::ethernet(PEER_HM, SG_RED).arp_reply(SG_RED_IP, "0.0.0.0");
    assert_eq!(inner(RED_VNI, outcome.one().1), answer);
    let target = SG_RED_IP6.parse().unwrap();
    let group = ipv6::solicited_node(target);
    let asker = ipv6::link_local(mac(PEER_HM));
    let question = craft::ethernet(Mac::multicast_of_v6(group), PEER_HM).ipv6(asker, group);
    let outcome = host.send(UNDERLAY, &tunnelled(&question.solicitation(SG_RED_IP6)));
    let answer = inner(RED_VNI, outcome.one().1);
    assert_eq!(answer[..12], [mac(PEER_HM).0, mac(SG_RED).0].concat());
    assert_eq!(answer[54], 136);
    // The stations' gateway stays the other one.
    let routed = craft::ethernet(VM1, PEER_HM).ipv4(VM7_IP, VM1_IP).ttl(63);
    let outcome = host.send(UNDERLAY, &tunnelled(&routed.udp(1, 2, b"")));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(VM7_IP, VM1_IP).ttl(63);
    inside(&outcome, PORT1, &delivered.udp(1, 2, b""));
}

#[test]
fn arp_and_echo_for_outside_addresses() {
    let mut host = outside_host(&usual());
    for (address, mac) in [(FIP1, FG), (FIP6, FG), (QG_IP, QG), (FG_IP, FG)] {
        let question = craft::ethernet(BROADCAST, OUT).arp_request(OUT_IP, address);
        let outcome = host.send(EXT, &question);
        outside(
            &outcome,
            &craft::ethernet(OUT, mac).arp_reply(address, OUT_IP),
        );
        // Nobody else speaks for it.
        let claim = craft::ethernet(BROADCAST, OUT).arp_request(address, address);
        assert_eq!(host.send(EXT, &claim).dropped(), DropReason::SpoofedArpNd);
    }
    for (address, mac) in [(QG_IP, QG), (FG_IP, FG)] {
        let echo = craft::ethernet(mac, OUT).ipv4(OUT_IP, address);
        let outcome = host.send(EXT, &echo.icmp_echo(1, 2, b"ping"));
        let reply = craft::ethernet(OUT, mac).ipv4(address, OUT_IP);
        outside(&outcome, &reply.icmp_echo_reply(1, 2, b"ping"));
    }
    // From inside, too: to the router's own, and to one that is shared.
    let outcome = host.send(PORT2, &from_vm2(QG_IP).icmp_echo(1, 2, b"ping"));
    let reply = craft::ethernet(VM2, GW_RED).ipv4(QG_IP, VM2_IP);
    inside(&outcome, PORT2, &reply.icmp_echo_reply(1, 2, b"ping"));
    // A stranger's address on the external network is not answered for.
    let question = craft::ethernet(BROADCAST, OUT).arp_request(OUT_IP, "198.51.100.99");
    assert!(host.send(EXT, &question).sent.is_empty());
}

#[test]
fn next_hops_are_asked_for_in_the_gateways_own_name() {
    let mut host = outside_host(&usual());
    let unknown = "198.51.100.77";
    let outcome = host.send(PORT2, &from_vm2(unknown).udp(1, 2, b""));
    assert!(matches!(
        outcome.events[..],
        [vtepd_datapath::Event::Wanted { .. }]
    ));
    assert_eq!(host.held(), 1);
    let at = adjacency(AT_QG);
    let mut neighbours = vtepd_datapath::route::neighbours::Neighbours::default();
    let question = neighbours.wanted(&host.tables, at, ip(unknown), 0).unwrap();
    let sent = host.deliver(&question);
    let asked = craft::ethernet(BROADCAST, QG).arp_request(QG_IP, unknown);
    assert_eq!(sent, [(EXT, asked)]);
    // Its answer is believed, and what waited goes.
    let answer = craft::ethernet(QG, NOBODY).arp_reply(unknown, QG_IP);
    let outcome = host.send(EXT, &answer);
    let Some(vtepd_datapath::Event::Claim {
        network,
        address,
        neighbour,
    }) = outcome.events.first()
    else {
        panic!("{outcome:?}");
    };
    assert!(neighbours.claimed(&mut host.tables, *network, *address, *neighbour, 0));
    let sent = host.resume();
    let there = craft::ethernet(NOBODY, QG).ipv4(QG_IP, unknown).ttl(63);
    assert_eq!(sent, [(EXT, there.udp(1, 2, b""))]);
}

#[test]
fn a_next_hop_is_asked_for_without_end() {
    let mut host = outside_host(&usual());
    let hop = (adjacency(AT_QG), ip("198.51.100.77"));
    let mut neighbours = vtepd_datapath::route::neighbours::Neighbours::default();
    let at_once = neighbours.set_next_hops(&host.tables, &[hop], 0);
    assert_eq!(at_once.len(), 1);
    assert!(neighbours.set_next_hops(&host.tables, &[hop], 0).is_empty());
    let mut asked = 0;
    for second in 1..=600u64 {
        asked += neighbours.questions(&mut host.tables, second * 1000).len();
    }
    assert!((195..=205).contains(&asked), "{asked}");
    // One that is none any more is given up.
    neighbours.set_next_hops(&host.tables, &[], 600_000);
    let more: usize = (601..700u64)
        .map(|second| neighbours.questions(&mut host.tables, second * 1000).len())
        .sum();
    assert_eq!(more, 0);
}

/// A router goes that has asked for the next hop of all: the others go on sending by him, and another one asks.
#[test]
fn a_next_hop_stays_when_a_router_goes_that_has_asked_for_him() {
    let mut host = outside_host(&usual());
    let (qg, fg, hop) = (adjacency(AT_QG), adjacency(AT_FG), ip("198.51.100.77"));
    let mut neighbours = vtepd_datapath::route::neighbours::Neighbours::default();
    assert_eq!(
        neighbours
            .set_next_hops(&host.tables, &[(qg, hop)], 0)
            .len(),
        1
    );
    let at = vtepd_tables::Neighbour {
        mac: mac(NOBODY),
        adjacency: adjacency(109),
    };
    assert!(neighbours.claimed(&mut host.tables, public(), hop, at, 0));
    *host.tables.edit().adjacency_mut(qg) = vtepd_tables::Adjacency::Vacant;
    host.tables.edit().network_mut(public()).set_gateways(&[fg]);
    neighbours.forget(&mut host.tables, |_, _, _, gateway| gateway == qg);
    assert_eq!(host.tables.neighbours.get(public(), hop), Some(at));
    assert!(
        neighbours
            .set_next_hops(&host.tables, &[(fg, hop)], 0)
            .is_empty()
    );
    let questions = neighbours.questions(&mut host.tables, 60_000);
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].frame[6..12], mac(FG).0);
    // With the last of them who can ask he is forgotten.
    neighbours.forget(&mut host.tables, |_, _, _, _| true);
    assert_eq!(host.tables.neighbours.get(public(), hop), None);
}

#[test]
fn a_busy_segment_is_heard_more_than_a_port() {
    let mut host = outside_host(&usual());
    let ask = craft::ethernet(BROADCAST, OUT).arp_request(OUT_IP, FIP1);
    let answered = |host: &mut Host, interface, frame: &[u8]| {
        (0..6000)
            .filter(|_| !host.send(interface, frame).sent.is_empty())
            .count()
    };
    assert_eq!(answered(&mut host, EXT, &ask), 5000);
    let ask = craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, GW_RED_IP);
    assert_eq!(answered(&mut host, PORT1, &ask), 500);
}

#[test]
fn rfc4787_req9_hairpin_on_one_host() {
    let mut host = outside_host(&usual());
    // Floating to floating: two hops out, two in.
    let outcome = host.send(PORT1, &from_vm1(FIP6).udp(1, 2, b"x"));
    let delivered = craft::ethernet(VM6, GW_BLUE).ipv4(FIP1, VM6_IP).ttl(60);
    inside(&outcome, PORT4, &delivered.udp(1, 2, b"x"));
    assert!(
        outcome
            .decisions
            .contains(&Decision::Hairpin(adjacency(AT_FG)))
    );
    assert_eq!(translated(&outcome), [Rule::FloatingIp, Rule::FloatingIp]);
    let back = craft::ethernet(GW_BLUE, VM6).ipv4(VM6_IP, FIP1);
    let outcome = host.send(PORT4, &back.udp(2, 1, b"y"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(FIP6, VM1_IP).ttl(60);
    inside(&outcome, PORT1, &delivered.udp(2, 1, b"y"));
    // Shared to floating, and back.
    let outcome = host.send(PORT2, &from_vm2(FIP1).tcp(3, 4, tcp::SYN, b""));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(QG_IP, VM1_IP).ttl(61);
    let (_, sent) = outcome.one();
    assert_eq!(sent[..34], delivered.tcp(3, 4, tcp::SYN, b"")[..34]);
    let port = u16::from_be_bytes([sent[34], sent[35]]);
    let reply = from_vm1(QG_IP).tcp(4, port, tcp::SYN | tcp::ACK, b"");
    let outcome = host.send(PORT1, &reply);
    let delivered = craft::ethernet(VM2, GW_RED).ipv4(FIP1, VM2_IP).ttl(61);
    inside(
        &outcome,
        PORT2,
        &delivered.tcp(4, 3, tcp::SYN | tcp::ACK, b""),
    );
    // To itself.
    let outcome = host.send(PORT1, &from_vm1(FIP1).udp(1, 2, b"x"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(FIP1, VM1_IP).ttl(60);
    inside(&outcome, PORT1, &delivered.udp(1, 2, b"x"));
}

#[test]
fn rfc4787_req9_hairpin_by_way_of_the_central_gateway() {
    let own = Description {
        outside: Vec::new(),
        ..usual()
    };
    let mut host = central_host(&own, &snat(&[QG_IP]));
    let outcome = host.send(PORT2, &from_vm2(FIP1).udp(3, 4, b"x"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(QG_IP, VM1_IP).ttl(60);
    inside(&outcome, PORT1, &delivered.udp(3, 4, b"x"));
    let outcome = host.send(PORT1, &from_vm1(QG_IP).udp(4, 3, b"y"));
    let delivered = craft::ethernet(VM2, SG_RED).ipv4(FIP1, VM2_IP).ttl(61);
    inside(&outcome, PORT2, &delivered.udp(4, 3, b"y"));
}

#[test]
fn forwardings_lead_in_and_their_answers_out() {
    let description = Description {
        forwardings: vec![forwarding(
            Protocol::Tcp,
            &format!("{SHARED_IP}:8080"),
            &format!("{VM2_IP}:80"),
        )],
        ..usual()
    };
    let mut host = outside_host(&description);
    let syn = craft::ethernet(QG, OUT).ipv4(OUT_IP, SHARED_IP);
    let outcome = host.send(EXT, &syn.tcp(999, 8080, tcp::SYN, b""));
    let delivered = craft::ethernet(VM2, GW_RED).ipv4(OUT_IP, VM2_IP).ttl(63);
    inside(&outcome, PORT2, &delivered.tcp(999, 80, tcp::SYN, b""));
    assert_eq!(translated(&outcome), [Rule::Forwarding]);
    let flags = tcp::SYN | tcp::ACK;
    let outcome = host.send(PORT2, &from_vm2(OUT_IP).tcp(80, 999, flags, b""));
    let there = craft::ethernet(OUT, QG).ipv4(SHARED_IP, OUT_IP).ttl(63);
    outside(&outcome, &there.tcp(8080, 999, flags, b""));
    // Another port of it leads nowhere.
    let syn = craft::ethernet(QG, OUT).ipv4(OUT_IP, SHARED_IP);
    let outcome = host.send(EXT, &syn.tcp(999, 8081, tcp::SYN, b""));
    assert_eq!(outcome.dropped(), DropReason::NatNoMapping);
}

#[test]
fn rfc6888_req6_what_is_exempt_or_of_the_outside_passes_as_it_is() {
    let exempt = Description {
        exempt: vec!["203.0.113.0/24".parse().unwrap()],
        ..usual()
    };
    let same_scope = Description {
        same_scope: vec!["10.0.0.0/16".parse().unwrap()],
        ..snat(&[QG_IP])
    };
    for (description, exemption) in [
        (exempt, Exemption::Exempt),
        (same_scope, Exemption::SameScope),
    ] {
        let mut host = outside_host(&description);
        let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(1, 2, b""));
        let there = craft::ethernet(ROUTER, QG).ipv4(VM2_IP, FAR_IP).ttl(63);
        outside(&outcome, &there.udp(1, 2, b""));
        assert!(
            outcome
                .decisions
                .contains(&Decision::Untranslated(exemption))
        );
        let back = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, VM2_IP);
        let outcome = host.send(EXT, &back.udp(2, 1, b""));
        let delivered = craft::ethernet(VM2, GW_RED).ipv4(FAR_IP, VM2_IP).ttl(63);
        inside(&outcome, PORT2, &delivered.udp(2, 1, b""));
    }
}

#[test]
fn without_snat_only_what_has_a_rule_gets_out() {
    let description = Description {
        floating_ips: floating(&[(FIP1, VM1_IP)]),
        floating_hops: 2,
        ..Description::default()
    };
    let mut host = outside_host(&description);
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(1, 2, b""));
    assert_eq!(outcome.dropped(), DropReason::NatNoRule);
    assert_eq!(
        host.send(PORT1, &from_vm1(FAR_IP).udp(1, 2, b"")).one().0,
        EXT
    );
    // Nor without any rules at all.
    host.tables.edit().set_rules(vrf(ROUTER_1), None);
    for frame in [from_vm1(FAR_IP), from_vm2(FAR_IP)] {
        let outcome = host.send(PORT1, &frame.udp(1, 2, b""));
        assert_eq!(outcome.dropped(), DropReason::NatNoRule);
    }
    let outcome = host.send(
        EXT,
        &craft::ethernet(QG, OUT).ipv4(OUT_IP, VM2_IP).udp(1, 2, b""),
    );
    assert_eq!(outcome.dropped(), DropReason::NatNotOurs);
}

#[test]
fn from_outside_nothing_goes_in_that_nobody_asked_for() {
    let mut host = outside_host(&usual());
    let from_out = |destination| craft::ethernet(QG, OUT).ipv4(OUT_IP, destination);
    for (frame, reason) in [
        (from_out(VM2_IP).udp(1, 2, b""), DropReason::NatNotOurs),
        (from_out(QG_IP).udp(1, 2, b""), DropReason::NatNoMapping),
        (
            from_out(QG_IP).tcp(1, 2, tcp::ACK, b""),
            DropReason::NatNoSession,
        ),
        (
            from_out(QG_IP).tcp(1, 2, tcp::SYN, b""),
            DropReason::NatNoMapping,
        ),
        (from_out(FAR_IP).udp(1, 2, b""), DropReason::NatNotOurs),
        (
            from_out("198.51.100.77").udp(1, 2, b""),
            DropReason::NatNotOurs,
        ),
    ] {
        assert_eq!(host.send(EXT, &frame).dropped(), reason);
    }
    // A router's gateway is no way through for others.
    let mut host = outside_host(&Description {
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        ..usual()
    });
    let outcome = host.send(EXT, &from_out(FAR_IP).udp(1, 2, b""));
    assert_eq!(outcome.dropped(), DropReason::NatNotOurs);
}

#[test]
fn filtering_is_the_rules() {
    use vtepd_tables::translation::Filtering;
    let description = Description {
        filtering: Filtering::AddressDependent,
        ..snat(&[QG_IP])
    };
    let mut host = outside_host(&description);
    host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b""));
    let stranger = craft::ethernet(QG, OUT).ipv4(OUT_IP, QG_IP);
    let outcome = host.send(EXT, &stranger.clone().udp(53, 4000, b""));
    assert_eq!(outcome.dropped(), DropReason::NatFiltered);
    let mut host = outside_host(&snat(&[QG_IP]));
    host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b""));
    assert_eq!(host.send(EXT, &stranger.udp(53, 4000, b"")).one().0, PORT2);
}

/// The answer to a TTL that runs out, from each router on the way.
#[test]
fn traceroute_outward_shows_each_router() {
    let expired = |host: &mut Host, port, frame: &[u8], expected: &[u8]| {
        let outcome = host.send(port, frame);
        assert_eq!(outcome.drops, [DropReason::TtlExceeded], "{outcome:?}");
        inside(&outcome, port, expected);
    };
    let error = |vm: &str, address: &str, own: &str, about: &[u8]| {
        let error = craft::ethernet(vm, GW_RED).ipv4(own, address).tos(0xc0);
        error.icmp(11, 0, 0, &about[14..])
    };
    let mut host = outside_host(&usual());
    // SNAT: one router.
    let frame = from_vm2(FAR_IP).ttl(1).udp(1, 33434, b"");
    expired(
        &mut host,
        PORT2,
        &frame,
        &error(VM2, VM2_IP, GW_RED_IP, &frame),
    );
    assert_eq!(
        host.send(PORT2, &from_vm2(FAR_IP).ttl(2).udp(1, 33434, b""))
            .one()
            .0,
        EXT
    );
    // A floating IP: the router, and the host's gateway.
    for (ttl, own) in [(1, GW_RED_IP), (2, FG_IP)] {
        let frame = from_vm1(FAR_IP).ttl(ttl).udp(1, 33434, b"");
        expired(&mut host, PORT1, &frame, &error(VM1, VM1_IP, own, &frame));
    }
    assert_eq!(
        host.send(PORT1, &from_vm1(FAR_IP).ttl(3).udp(1, 33434, b""))
            .one()
            .0,
        EXT
    );
    // Central: the router, and the port of the central one.
    let mut host = central_host(&Description::default(), &snat(&[QG_IP]));
    for (ttl, own) in [(1, GW_RED_IP), (2, SG_RED_IP)] {
        let frame = from_vm2(FAR_IP).ttl(ttl).udp(1, 33434, b"");
        expired(&mut host, PORT2, &frame, &error(VM2, VM2_IP, own, &frame));
    }
    assert_eq!(
        host.send(PORT2, &from_vm2(FAR_IP).ttl(3).udp(1, 33434, b""))
            .one()
            .0,
        EXT
    );
    // Hairpin: as far as it gets, and told as the sender wrote it.
    let mut host = outside_host(&usual());
    for (ttl, own) in [(1, GW_RED_IP), (2, GW_RED_IP), (3, FG_IP), (4, FG_IP)] {
        let frame = from_vm1(FIP6).ttl(ttl).udp(1, 33434, b"");
        expired(&mut host, PORT1, &frame, &error(VM1, VM1_IP, own, &frame));
    }
    assert_eq!(
        host.send(PORT1, &from_vm1(FIP6).ttl(5).udp(1, 33434, b""))
            .one()
            .0,
        PORT4
    );
}

#[test]
fn traceroute_inward_quotes_what_the_sender_wrote() {
    let mut host = outside_host(&usual());
    host.send(PORT2, &from_vm2(OUT_IP).udp(4000, 53, b""));
    for (mac, to, own, ttls) in [(FG, FIP1, FG_IP, &[1, 2][..]), (QG, QG_IP, QG_IP, &[1][..])] {
        for &ttl in ttls {
            let frame = craft::ethernet(mac, OUT).ipv4(OUT_IP, to).ttl(ttl);
            let frame = frame.udp(53, 4000, b"traceroute");
            let outcome = host.send(EXT, &frame);
            assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
            let error = craft::ethernet(OUT, mac).ipv4(own, OUT_IP).tos(0xc0);
            outside(&outcome, &error.icmp(11, 0, 0, &frame[14..]));
        }
    }
    // A gateway without an address speaks in that of whom it answers for.
    host.change_gateway(adjacency(AT_FG), |gateway| {
        gateway.addresses = ["198.51.100.0/24".parse().unwrap()].into();
    });
    let frame = craft::ethernet(FG, OUT)
        .ipv4(OUT_IP, FIP1)
        .ttl(1)
        .udp(1, 2, b"");
    let outcome = host.send(EXT, &frame);
    let error = craft::ethernet(OUT, FG).ipv4(FIP1, OUT_IP).tos(0xc0);
    outside(&outcome, &error.icmp(11, 0, 0, &frame[14..]));
}

#[test]
fn rfc4787_req13_what_is_too_big_is_told_or_cut() {
    let mut host = outside_host(&usual());
    host.change_gateway(adjacency(AT_QG), |gateway| gateway.mtu = 1280);
    host.change_gateway(adjacency(AT_FG), |gateway| gateway.mtu = 1280);
    for (port, begin, vm, address, outside_address) in [
        (PORT1, from_vm1(FAR_IP), VM1, VM1_IP, FIP1),
        (PORT2, from_vm2(FAR_IP), VM2, VM2_IP, QG_IP),
    ] {
        let frame = begin.clone().udp(1, 2, &[7; 1400]);
        let outcome = host.send(port, &frame);
        assert_eq!(outcome.drops, [DropReason::MtuExceeded]);
        let error = craft::ethernet(vm, GW_RED)
            .ipv4(GW_RED_IP, address)
            .tos(0xc0);
        inside(
            &outcome,
            port,
            &error.icmp(3, 4, 1280, &frame[14..14 + 548]),
        );
        // Without DF it goes in parts, all from the outside address.
        let outcome = host.send(port, &begin.may_fragment().udp(1, 2, &[7; 1400]));
        assert_eq!(outcome.sent.len(), 2);
        for (interface, part) in &outcome.sent {
            assert_eq!(*interface, EXT);
            assert_eq!(craft::verify(part), Ok(()));
            let source: std::net::Ipv4Addr = outside_address.parse().unwrap();
            assert_eq!(part[26..30], source.octets());
        }
    }
    // And on the way in.
    host.change_gateway(adjacency(AT_RED), |gateway| gateway.mtu = 1280);
    for (mac, to, own) in [(FG, FIP1, FG_IP), (QG, QG_IP, QG_IP)] {
        let begin = craft::ethernet(mac, ROUTER).ipv4(FAR_IP, to);
        let port = if mac == QG { 1 } else { 9 };
        let frame = begin.clone().udp(2, port, &[7; 1400]);
        let outcome = host.send(EXT, &frame);
        assert_eq!(outcome.drops, [DropReason::MtuExceeded], "{outcome:?}");
        let error = craft::ethernet(ROUTER, mac).ipv4(own, FAR_IP).tos(0xc0);
        outside(&outcome, &error.icmp(3, 4, 1280, &frame[14..14 + 548]));
        let outcome = host.send(EXT, &begin.may_fragment().udp(2, port, &[7; 1400]));
        assert_eq!(outcome.sent.len(), 2);
    }
}

#[test]
fn rfc5508_req4_errors_come_in_and_req5_go_out() {
    let mut host = outside_host(&usual());
    // About what VM2 sent, as the outside saw it.
    let sent = host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b"there"));
    let (_, seen) = sent.one();
    let error = craft::ethernet(QG, ROUTER).ipv4(ROUTER_IP, QG_IP);
    let outcome = host.send(EXT, &error.icmp(3, 1, 0, &seen[14..]));
    let as_sent = from_vm2(FAR_IP).ttl(63).udp(4000, 53, b"there");
    let delivered = craft::ethernet(VM2, GW_RED).ipv4(ROUTER_IP, VM2_IP).ttl(63);
    inside(&outcome, PORT2, &delivered.icmp(3, 1, 0, &as_sent[14..]));
    // By floating IP.
    let sent = host.send(PORT1, &from_vm1(FAR_IP).udp(4000, 53, b"there"));
    let (_, seen) = sent.one();
    let error = craft::ethernet(FG, ROUTER).ipv4(ROUTER_IP, FIP1);
    let outcome = host.send(EXT, &error.icmp(3, 4, 1400, &seen[14..]));
    let as_sent = from_vm1(FAR_IP).ttl(62).udp(4000, 53, b"there");
    let delivered = craft::ethernet(VM1, GW_RED).ipv4(ROUTER_IP, VM1_IP).ttl(62);
    inside(&outcome, PORT1, &delivered.icmp(3, 4, 1400, &as_sent[14..]));
    // About what came in to it.
    let received = craft::ethernet(FG, OUT)
        .ipv4(OUT_IP, FIP1)
        .udp(1, 9, b"knock");
    let outcome = host.send(EXT, &received);
    let (_, seen) = outcome.one();
    let outcome = host.send(PORT1, &from_vm1(OUT_IP).icmp(3, 3, 0, &seen[14..]));
    let as_sent = craft::ethernet(FG, OUT).ipv4(OUT_IP, FIP1).ttl(62);
    let there = craft::ethernet(OUT, FG).ipv4(FIP1, OUT_IP).ttl(62);
    outside(
        &outcome,
        &there.icmp(3, 3, 0, &as_sent.udp(1, 9, b"knock")[14..]),
    );
    // Wherever the message was cut into buffers.
    let error = craft::ethernet(QG, ROUTER).ipv4(ROUTER_IP, QG_IP);
    let sent = host.send(PORT2, &from_vm2(FAR_IP).udp(4000, 53, b"there"));
    let frame = error.icmp(3, 1, 0, &sent.one().1[14..]);
    let whole = host.send(EXT, &frame).one().1.to_vec();
    for at in [14, 34, 42, 62, 70, frame.len() - 1] {
        let (first, second) = frame.split_at(at);
        let packet = vtepd_datapath::memory::MemoryPacket::scattered(&[first, second]);
        assert_eq!(
            host.send_packet(EXT, packet).one().1,
            whole,
            "split at {at}"
        );
    }
}

/// A router inside, between the host and us, has no address outside but the host's, even where
/// the host is known there by its own.
#[test]
fn rfc5508_req5_an_error_about_the_outsides_scope_hides_who_says_so() {
    let description = Description {
        same_scope: vec!["10.1.0.0/16".parse().unwrap()],
        ..snat(&[QG_IP])
    };
    let mut host = outside_host(&description);
    let quoted = craft::ethernet(VM6, VM1)
        .ipv4(FAR_IP, VM6_IP)
        .udp(1, 2, b"");
    let outcome = host.send(PORT1, &from_vm1(FAR_IP).icmp(3, 1, 0, &quoted[14..]));
    let there = craft::ethernet(ROUTER, QG).ipv4(VM6_IP, FAR_IP).ttl(63);
    outside(&outcome, &there.icmp(3, 1, 0, &quoted[14..]));
}

/// What is not there to be had is told, so often and no more.
#[test]
fn rfc5508_req8_want_is_told_within_limits() {
    let mut host = outside_host(&snat(&[QG_IP]));
    let refused: Vec<Outcome> = (0..2000u16)
        .map(|port| {
            let frame = from_vm2(FAR_IP).udp(1024 + port, 53, b"");
            host.send(PORT2, &frame)
        })
        .filter(|outcome| !outcome.drops.is_empty())
        .collect();
    // The table of the bench has room for 1,024.
    assert_eq!(refused.len(), 2000 - 1024);
    let reasons = refused.iter().flat_map(|outcome| &outcome.drops);
    assert!(
        reasons
            .clone()
            .all(|reason| *reason == DropReason::NatSessionsFull)
    );
    let told: Vec<&Outcome> = refused
        .iter()
        .filter(|outcome| !outcome.sent.is_empty())
        .collect();
    assert_eq!(told.len(), 200);
    let frame = from_vm2(FAR_IP).udp(1024 + 1024, 53, b"");
    let error = craft::ethernet(VM2, GW_RED)
        .ipv4(GW_RED_IP, VM2_IP)
        .tos(0xc0);
    inside(told[0], PORT2, &error.icmp(3, 13, 0, &frame[14..]));
    // Who has a session is not touched.
    let outcome = host.send(PORT2, &from_vm2(FAR_IP).udp(1024, 53, b"mine"));
    assert_eq!(outcome.one().0, EXT);
}

#[test]
fn a_neighbour_that_must_be_asked_for_keeps_the_packet_as_it_came() {
    let mut host = outside_host(&usual());
    // Nobody has 10.1.0.77: a floating IP leads there all the same.
    let description = Description {
        floating_ips: floating(&[(FIP1, "10.1.0.77")]),
        ..snat(&[QG_IP])
    };
    let rules = vtepd_tables::translation::Rules::new(vrf(ROUTER_1), &description).unwrap();
    host.publish_rules(public(), &[std::sync::Arc::new(rules)]);
    let frame = craft::ethernet(FG, OUT)
        .ipv4(OUT_IP, FIP1)
        .udp(1, 2, b"knock");
    let outcome = host.send(EXT, &frame);
    assert_eq!((outcome.sent.len(), host.held()), (0, 1));
    let at = host.at_port(PORT4, 0);
    host.station(blue(), NOBODY, &["10.1.0.77"], at);
    let sent = host.resume();
    let delivered = craft::ethernet(NOBODY, GW_BLUE)
        .ipv4(OUT_IP, "10.1.0.77")
        .ttl(62);
    assert_eq!(sent, [(PORT4, delivered.udp(1, 2, b"knock"))]);
    // In vain: the sender outside is told in his words.
    host.tables.neighbours.remove(blue(), ip("10.1.0.77"));
    host.send(EXT, &frame);
    host.state.set_time(3);
    let sent = host.resume();
    let error = craft::ethernet(OUT, FG).ipv4(FG_IP, OUT_IP).tos(0xc0);
    assert_eq!(sent, [(EXT, error.icmp(3, 1, 0, &frame[14..]))]);
    // A gateway without an address speaks in that of whom it answers for.
    host.change_gateway(adjacency(AT_FG), |gateway| {
        gateway.addresses = ["198.51.100.0/24".parse().unwrap()].into();
    });
    host.send(EXT, &frame);
    host.state.set_time(6);
    let sent = host.resume();
    let error = craft::ethernet(OUT, FG).ipv4(FIP1, OUT_IP).tos(0xc0);
    assert_eq!(sent, [(EXT, error.icmp(3, 1, 0, &frame[14..]))]);
}

/// Each station outside has its places, and all of them together leave some for ports.
#[test]
fn stations_outside_do_not_wait_for_each_other() {
    let mut host = outside_host(&Description {
        floating_ips: floating(&[(FIP1, "10.1.0.77")]),
        ..snat(&[QG_IP])
    });
    let knock = |host: &mut Host, last: u8| {
        let source = format!("203.0.113.{last}");
        let frame = craft::ethernet(FG, ROUTER).ipv4(source.as_str(), FIP1);
        host.send(EXT, &frame.udp(1, 2, b"knock")).drops.is_empty()
    };
    let held = |host: &mut Host, last| (0..20).filter(|_| knock(host, last)).count();
    assert_eq!((1..=4).map(|last| held(&mut host, last)).sum::<usize>(), 32);
    // However many sources somebody makes up.
    let more = (5..200).filter(|last| knock(&mut host, *last)).count();
    assert_eq!(more, 16);
    let unknown = from_vm2("198.51.100.77").udp(1, 2, b"");
    assert!((0..8).all(|_| host.send(PORT2, &unknown).drops.is_empty()));
}

#[test]
fn ipv6_is_routed_as_it_is() {
    let mut host = outside_host(&usual());
    let frame = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, FAR_IP6);
    let outcome = host.send(PORT1, &frame.udp(1, 2, b"there"));
    let there = craft::ethernet(ROUTER, QG).ipv6(VM1_IP6, FAR_IP6).ttl(63);
    outside(&outcome, &there.udp(1, 2, b"there"));
    let back = craft::ethernet(QG, ROUTER).ipv6(FAR_IP6, VM1_IP6);
    let outcome = host.send(EXT, &back.udp(2, 1, b"back"));
    let delivered = craft::ethernet(VM1, GW_RED).ipv6(FAR_IP6, VM1_IP6).ttl(63);
    inside(&outcome, PORT1, &delivered.udp(2, 1, b"back"));
    // The gateway's own address answers, and outside is no way through.
    let echo = craft::ethernet(QG, OUT).ipv6(OUT_IP6, QG_IP6);
    let reply = craft::ethernet(OUT, QG).ipv6(QG_IP6, OUT_IP6);
    outside(
        &host.send(EXT, &echo.icmp_echo(1, 2, b"ping")),
        &reply.icmp_echo_reply(1, 2, b"ping"),
    );
    let through = craft::ethernet(QG, OUT)
        .ipv6(OUT_IP6, FAR_IP6)
        .udp(1, 2, b"");
    assert_eq!(host.send(EXT, &through).dropped(), DropReason::NatNotOurs);
    // A compute host sends it to the central one.
    let mut host = compute_host(&usual());
    let frame = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, FAR_IP6);
    let outcome = host.send(PORT1, &frame.udp(1, 2, b""));
    let redirected = craft::ethernet(SG_RED, OWN_HM)
        .ipv6(VM1_IP6, FAR_IP6)
        .ttl(63);
    assert_eq!(inner(RED_VNI, outcome.one().1), redirected.udp(1, 2, b""));
}

/// What is said to a frame that another host's router has sent goes to the station.
#[test]
fn ipv6_of_other_hosts_is_answered_by_the_central_one() {
    let mut host = central_host(&Description::default(), &snat(&[QG_IP]));
    let begin = craft::ethernet(SG_RED, PEER_HM).ipv6(VM4_IP6, FAR_IP6);
    let outcome = host.send(UNDERLAY, &tunnelled(&begin.clone().ttl(63).udp(1, 2, b"")));
    let there = craft::ethernet(ROUTER, QG).ipv6(VM4_IP6, FAR_IP6).ttl(62);
    outside(&outcome, &there.udp(1, 2, b""));
    let expired = begin.ttl(1).udp(1, 2, b"traceroute");
    let outcome = host.send(UNDERLAY, &tunnelled(&expired));
    assert_eq!(outcome.drops, [DropReason::TtlExceeded]);
    let error = craft::ethernet(VM4, SG_RED).ipv6(SG_RED_IP6, VM4_IP6);
    let (_, sent) = outcome.one();
    assert_eq!(inner(RED_VNI, sent), error.icmp(3, 0, 0, &expired[14..]));
}

#[test]
fn several_next_hops_outside_share_the_flows() {
    const SECOND: &str = "02:00:00:00:0e:02";
    let mut host = outside_host(&usual());
    host.station(public(), SECOND, &["198.51.100.3"], adjacency(109));
    let hops = [ROUTER_IP, "198.51.100.3"].map(|address| via(AT_OUTSIDE, address));
    host.route(ROUTER_1, "0.0.0.0/0", &hops);
    let mut by_second = 0;
    for port in 5000..5064 {
        let frame = from_vm2(FAR_IP).udp(port, 53, b"");
        let first = host.send(PORT2, &frame);
        let to = first.one().1[..6].to_vec();
        assert_eq!(host.send(PORT2, &frame).one().1[..6], to);
        by_second += usize::from(to == mac(SECOND).0);
    }
    assert!((16..=48).contains(&by_second), "{by_second}");
}

#[test]
fn rfc6092_rec10_ipv6_that_nobody_asked_for_stays_outside() {
    let mut host = outside_host(&Description {
        outbound_only_ipv6: true,
        ..usual()
    });
    let back = craft::ethernet(QG, ROUTER).ipv6(FAR_IP6, VM1_IP6);
    let answer = back.udp(2, 1, b"back");
    assert_eq!(
        host.send(EXT, &answer).dropped(),
        DropReason::NatUnsolicited
    );
    let frame = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, FAR_IP6);
    assert_eq!(host.send(PORT1, &frame.udp(1, 2, b"there")).one().0, EXT);
    assert_eq!(host.send(EXT, &answer).one().0, PORT1);
}
