//! One router on many hosts: what leaves under the DVR host MAC, what is taken from
//! other hosts under theirs, and what of a gateway stays on its host.

mod common;

use common::*;
use vtepd_datapath::observer::Decision;
use vtepd_datapath::{DropReason, Event};
use vtepd_tables::{Access, Adjacency, FdbEntry, FdbKey, Neighbour, NetworkIndex, Origin};
use vtepd_wire::craft;
use vtepd_wire::{Mac, arp, ipv6, nd};

const PROVIDER: vtepd_tables::InterfaceIndex = PORT5;
const RED_VLAN: u16 = 196;
const BLUE_VLAN: u16 = 148;
const ALL_NODES_MAC: &str = "33:33:00:00:00:01";

/// How frames of the two networks cross to other hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wire {
    Vxlan,
    Vlan,
}

const WIRES: [Wire; 2] = [Wire::Vxlan, Wire::Vlan];

/// VM4 and VM7 are on the other host, by tunnel or by VLAN.
fn host_on(wire: Wire) -> Host {
    let mut host = routed_host();
    if wire == Wire::Vxlan {
        return host;
    }
    host = host
        .vlan_segment(red(), PROVIDER, RED_VLAN)
        .vlan_segment(blue(), PROVIDER, BLUE_VLAN);
    let [at_red, at_blue] = [RED_VLAN, BLUE_VLAN].map(|vlan| host.at_port(PROVIDER, vlan));
    host.station(red(), VM4, &[VM4_IP, VM4_IP6], at_red);
    host.station(blue(), VM7, &[VM7_IP, VM7_IP6], at_blue);
    host
}

/// A frame of a network as it comes from the other host.
fn arrives(
    wire: Wire,
    network: NetworkIndex,
    frame: &[u8],
) -> (vtepd_tables::InterfaceIndex, Vec<u8>) {
    match (wire, network == red()) {
        (Wire::Vxlan, true) => (UNDERLAY, tunnelled(frame)),
        (Wire::Vxlan, false) => (UNDERLAY, tunnelled_blue(frame)),
        (Wire::Vlan, true) => (PROVIDER, tagged(RED_VLAN, frame)),
        (Wire::Vlan, false) => (PROVIDER, tagged(BLUE_VLAN, frame)),
    }
}

#[track_caller]
fn from_outside(host: &mut Host, wire: Wire, network: NetworkIndex, frame: &[u8]) -> Outcome {
    let (interface, frame) = arrives(wire, network, frame);
    host.send(interface, &frame)
}

/// The one frame that left for the other host, as it is in its network.
#[track_caller]
fn left(wire: Wire, network: NetworkIndex, outcome: &Outcome) -> Vec<u8> {
    let (interface, sent) = outcome.one();
    let is_red = network == red();
    match wire {
        Wire::Vxlan => {
            assert_eq!(interface, UNDERLAY);
            inner(if is_red { RED_VNI } else { BLUE_VNI }, sent).to_vec()
        }
        Wire::Vlan => {
            assert_eq!(interface, PROVIDER);
            let vlan = if is_red { RED_VLAN } else { BLUE_VLAN };
            assert_eq!(sent[12..16], tagged(vlan, sent)[12..16]);
            [&sent[..12], &sent[16..]].concat()
        }
    }
}

fn v4(to: &str, from: &str) -> craft::Packet {
    craft::ethernet(to, from).ipv4(VM7_IP, VM1_IP)
}

fn solicitation(who: &str, source: &str, target: &str) -> Vec<u8> {
    let group = ipv6::solicited_node(target.parse().unwrap());
    craft::ethernet(Mac::multicast_of_v6(group), who)
        .ipv6(source, group)
        .solicitation(target)
}

#[test]
fn a_routed_frame_leaves_under_the_host_mac_and_arrives_from_the_gateway() {
    for wire in WIRES {
        let mut host = host_on(wire);
        let begin = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM7_IP);
        let outcome = host.send(PORT1, &begin.udp(1, 2, b"there"));
        let on_the_wire = craft::ethernet(VM7, OWN_HM).ipv4(VM1_IP, VM7_IP).ttl(63);
        assert_eq!(
            left(wire, blue(), &outcome),
            on_the_wire.udp(1, 2, b"there")
        );

        let back = craft::ethernet(VM1, PEER_HM).ipv4(VM7_IP, VM1_IP).ttl(63);
        let outcome = from_outside(&mut host, wire, red(), &back.udp(2, 1, b"back"));
        let delivered = craft::ethernet(VM1, GW_RED).ipv4(VM7_IP, VM1_IP).ttl(63);
        assert_eq!(outcome.one(), (PORT1, &delivered.udp(2, 1, b"back")[..]));
        assert!(outcome.decisions.contains(&Decision::FromHost));

        let begin = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, VM7_IP6);
        let outcome = host.send(PORT1, &begin.udp(1, 2, b"there"));
        let on_the_wire = craft::ethernet(VM7, OWN_HM).ipv6(VM1_IP6, VM7_IP6).ttl(63);
        assert_eq!(
            left(wire, blue(), &outcome),
            on_the_wire.udp(1, 2, b"there")
        );
        let back = craft::ethernet(VM1, PEER_HM).ipv6(VM7_IP6, VM1_IP6).ttl(63);
        let outcome = from_outside(&mut host, wire, red(), &back.udp(2, 1, b"back"));
        let delivered = craft::ethernet(VM1, GW_RED).ipv6(VM7_IP6, VM1_IP6).ttl(63);
        assert_eq!(outcome.one(), (PORT1, &delivered.udp(2, 1, b"back")[..]));
    }
}

#[test]
fn within_the_host_the_source_is_the_gateway() {
    for wire in WIRES {
        let begin = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM6_IP);
        let outcome = host_on(wire).send(PORT1, &begin.udp(1, 2, b""));
        let delivered = craft::ethernet(VM6, GW_BLUE).ipv4(VM1_IP, VM6_IP).ttl(63);
        assert_eq!(outcome.one(), (PORT4, &delivered.udp(1, 2, b"")[..]));
    }
}

#[test]
fn a_host_mac_is_never_learned() {
    for wire in WIRES {
        let mut host = host_on(wire).change(red(), |network| network.learning = true);
        for frame in [
            v4(VM1, PEER_HM).udp(1, 2, b""),
            v4(NOBODY, PEER_HM).udp(1, 2, b""),
            craft::ethernet(BROADCAST, PEER_HM).arp(arp::Packet::probe(
                mac(PEER_HM),
                "10.0.0.77".parse().unwrap(),
            )),
            craft::ethernet(BROADCAST, PEER_HM).payload(0x88b5, b"x"),
        ] {
            let outcome = from_outside(&mut host, wire, red(), &frame);
            assert_eq!(outcome.events, [], "{wire:?}");
        }
        // What else is news is learned all the same.
        let outcome = from_outside(&mut host, wire, red(), &v4(VM1, NOBODY).udp(1, 2, b""));
        assert!(matches!(outcome.events[..], [Event::Seen { .. }]));
    }
}

#[test]
fn a_host_mac_is_never_flooded() {
    for wire in WIRES {
        let mut host = host_on(wire);
        for frame in [
            v4(NOBODY, PEER_HM).udp(1, 2, b""),
            v4(BROADCAST, PEER_HM).udp(1, 2, b""),
            craft::ethernet(BROADCAST, PEER_HM).payload(0x88b5, b"x"),
            craft::ethernet(BROADCAST, PEER_HM).arp_request(GW_RED_IP, VM1_IP),
            craft::ethernet(BROADCAST, PEER_HM).arp_request(GW_RED_IP, GW_RED_IP),
            craft::ethernet(BROADCAST, PEER_HM).arp_reply(GW_RED_IP, VM1_IP),
            craft::ethernet(ALL_NODES_MAC, PEER_HM)
                .ipv6(GW_RED_IP6, "ff02::1")
                .advertisement(GW_RED_IP6, 0),
            craft::ethernet(ALL_NODES_MAC, PEER_HM)
                .ipv6("fe80::1", "ff02::1")
                .ttl(255)
                .icmp(134, 0, 0, &[0; 8]),
        ] {
            let outcome = from_outside(&mut host, wire, red(), &frame);
            assert_eq!(outcome.dropped(), DropReason::DvrDestination, "{wire:?}");
        }
    }
}

#[test]
fn the_destination_of_a_routed_frame_is_a_local_port() {
    for wire in WIRES {
        let mut host = host_on(wire);
        // Another host's port, a gateway, a host, and a port of another network.
        for to in [VM4, VM5, GW_RED, OWN_HM, PEER6_HM, VM6] {
            let outcome = from_outside(&mut host, wire, red(), &v4(to, PEER_HM).udp(1, 2, b""));
            assert_eq!(
                outcome.dropped(),
                DropReason::DvrDestination,
                "{wire:?} {to}"
            );
        }
    }
}

#[test]
fn a_network_without_a_router_takes_no_routed_frames() {
    let green = network(3);
    let mut host = routed_host()
        .network(green, 3000)
        .port(green, PORT5, 0)
        .remote(green, PEER)
        .vm(NOBODY, &["10.3.0.1"], PORT5, 0);
    for to in [NOBODY, BROADCAST] {
        let frame = v4(to, PEER_HM).udp(1, 2, b"");
        let outcome = host.send(UNDERLAY, &from_peer().vxlan(50_000, 3000, &frame));
        assert_eq!(outcome.dropped(), DropReason::DvrNotRouted);
    }
}

/// A router whose interface is taken away has left the network.
#[test]
fn without_its_gateway_nothing_is_routed_into_a_network() {
    let mut host = routed_host().change(red(), |network| network.set_gateways(&[]));
    let outcome = host.send(UNDERLAY, &tunnelled(&v4(VM1, PEER_HM).udp(1, 2, b"")));
    assert_eq!(outcome.dropped(), DropReason::DvrNotRouted);
    *host.tables.edit().adjacency_mut(adjacency(AT_RED)) = Adjacency::Vacant;
    let begin = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM6_IP);
    let outcome = host.send(PORT1, &begin.udp(1, 2, b""));
    assert!(outcome.sent.is_empty(), "{outcome:?}");
}

#[test]
fn of_several_gateways_the_source_is_the_one_of_the_destinations_subnet() {
    const SECOND: &str = "fa:16:3e:aa:00:09";
    for wire in WIRES {
        let mut host = host_on(wire);
        let at = host.at_port(PORT2, 0);
        host.station(red(), VM2, &["10.9.0.2", "fd09::2"], at);
        host.gateway(109, red(), 9, SECOND, &["10.9.0.254/24", "fd09::fe/64"]);
        for (to, destination, source) in [
            (VM1, VM1_IP, GW_RED),
            (VM2, "10.9.0.2", SECOND),
            // Behind a station: of none of the subnets.
            (VM2, "172.16.0.1", GW_RED),
        ] {
            let frame = |from| craft::ethernet(to, from).ipv4(VM7_IP, destination);
            let outcome = from_outside(&mut host, wire, red(), &frame(PEER_HM).udp(1, 2, b""));
            assert_eq!(
                outcome.one().1,
                frame(source).udp(1, 2, b""),
                "{destination}"
            );
        }
        for (to, destination, source) in [(VM1, VM1_IP6, GW_RED), (VM2, "fd09::2", SECOND)] {
            let frame = |from| craft::ethernet(to, from).ipv6(VM7_IP6, destination);
            let outcome = from_outside(&mut host, wire, red(), &frame(PEER_HM).udp(1, 2, b""));
            assert_eq!(
                outcome.one().1,
                frame(source).udp(1, 2, b""),
                "{destination}"
            );
        }
        // What is no IP has no subnet.
        let probe = |from| craft::ethernet(VM2, from).payload(0x0806, &[0; 28]);
        let outcome = from_outside(&mut host, wire, red(), &probe(PEER_HM));
        assert_eq!(outcome.dropped(), DropReason::DvrNotRouted);
    }
}

/// In a network that learns, and in one that does not.
#[test]
fn no_station_has_a_host_mac() {
    for wire in WIRES {
        for learning in [false, true] {
            let mut host = host_on(wire).change(red(), |network| network.learning = learning);
            for source in [OWN_HM, PEER_HM, PEER6_HM] {
                for to in [VM2, VM4, BROADCAST, GW_RED, NOBODY] {
                    let outcome = host.send(PORT1, &v4(to, source).udp(1, 2, b""));
                    assert_eq!(
                        outcome.dropped(),
                        DropReason::RouterMacSource,
                        "{source} {to}"
                    );
                    assert_eq!(outcome.events, []);
                }
            }
            for to in [VM1, BROADCAST, GW_RED] {
                let frame = v4(to, OWN_HM).udp(1, 2, b"");
                let outcome = from_outside(&mut host, wire, red(), &frame);
                assert_eq!(
                    outcome.dropped(),
                    DropReason::RouterMacSource,
                    "{wire:?} {to}"
                );
                assert_eq!(outcome.events, []);
            }
        }
    }
}

/// A MAC that only looks like a host MAC is a station's.
#[test]
fn a_station_may_look_like_a_host() {
    const ALIKE: &str = "fa:16:3f:00:00:00";
    for wire in WIRES {
        let mut host = host_on(wire);
        let frame = v4(VM1, ALIKE).udp(1, 2, b"");
        assert_eq!(
            from_outside(&mut host, wire, red(), &frame).one(),
            (PORT1, &frame[..])
        );
        let frame = v4(VM2, ALIKE).udp(1, 2, b"");
        assert_eq!(host.send(PORT1, &frame).one(), (PORT2, &frame[..]));
    }
}

#[test]
fn no_station_has_the_mac_of_a_gateway() {
    for wire in WIRES {
        let mut host = host_on(wire).change(red(), |network| network.learning = true);
        for to in [VM1, BROADCAST, NOBODY] {
            let frame = craft::ethernet(to, GW_RED)
                .ipv4(VM7_IP, VM1_IP)
                .udp(1, 2, b"");
            let outcome = from_outside(&mut host, wire, red(), &frame);
            assert_eq!(
                outcome.dropped(),
                DropReason::RouterMacSource,
                "{wire:?} {to}"
            );
            let outcome = host.send(PORT2, &frame);
            assert_eq!(
                outcome.dropped(),
                DropReason::RouterMacSource,
                "{wire:?} {to}"
            );
        }
    }
}

#[test]
fn a_frame_to_a_gateway_from_outside_is_dropped() {
    for wire in WIRES {
        let mut host = host_on(wire);
        for frame in [
            v4(GW_RED, VM4).udp(1, 2, b""),
            craft::ethernet(GW_RED, VM4)
                .ipv4(VM4_IP, GW_RED_IP)
                .icmp_echo(1, 1, b""),
            craft::ethernet(GW_RED, VM4)
                .ipv6(VM4_IP6, GW_RED_IP6)
                .icmp_echo(1, 1, b""),
            craft::ethernet(GW_RED, VM4).arp_request(VM4_IP, GW_RED_IP),
            craft::ethernet(GW_RED, VM4).payload(0x88b5, b"x"),
        ] {
            let outcome = from_outside(&mut host, wire, red(), &frame);
            assert_eq!(
                outcome.dropped(),
                DropReason::GatewayFromUnderlay,
                "{wire:?}"
            );
        }
    }
}

#[test]
fn a_gateway_may_serve_hosts_that_have_no_router() {
    for wire in WIRES {
        let mut host = host_on(wire);
        for at in [AT_RED, AT_BLUE] {
            host.change_gateway(adjacency(at), |gateway| gateway.from_underlay = true);
        }
        // Its ARP and ND are answered through the wire that they came by.
        let question = craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, GW_RED_IP);
        let outcome = from_outside(&mut host, wire, red(), &question);
        let answer = craft::ethernet(VM4, GW_RED).arp_reply(GW_RED_IP, VM4_IP);
        assert_eq!(left(wire, red(), &outcome), answer);
        let question = solicitation(VM4, VM4_IP6, GW_RED_IP6);
        let outcome = from_outside(&mut host, wire, red(), &question);
        let answer = craft::ethernet(VM4, GW_RED)
            .ipv6(GW_RED_IP6, VM4_IP6)
            .advertisement(GW_RED_IP6, 7 << 29);
        assert_eq!(left(wire, red(), &outcome), answer);
        // Echo.
        let echo = craft::ethernet(GW_RED, VM4).ipv4(VM4_IP, GW_RED_IP);
        let outcome = from_outside(&mut host, wire, red(), &echo.icmp_echo(1, 2, b"up?"));
        let answer = craft::ethernet(VM4, GW_RED).ipv4(GW_RED_IP, VM4_IP);
        assert_eq!(
            left(wire, red(), &outcome),
            answer.icmp_echo_reply(1, 2, b"up?")
        );
        // And routed: to a port here, and to another host, the one it came from included.
        let to = |destination| craft::ethernet(GW_RED, VM4).ipv4(VM4_IP, destination);
        let outcome = from_outside(&mut host, wire, red(), &to(VM6_IP).udp(1, 2, b""));
        let routed = craft::ethernet(VM6, GW_BLUE).ipv4(VM4_IP, VM6_IP).ttl(63);
        assert_eq!(outcome.one(), (PORT4, &routed.udp(1, 2, b"")[..]));
        let outcome = from_outside(&mut host, wire, red(), &to(VM7_IP).udp(1, 2, b""));
        let routed = craft::ethernet(VM7, OWN_HM).ipv4(VM4_IP, VM7_IP).ttl(63);
        assert_eq!(left(wire, blue(), &outcome), routed.udp(1, 2, b""));
        // Errors go back there as well.
        let outcome = from_outside(&mut host, wire, red(), &to(VM6_IP).ttl(1).udp(1, 2, b""));
        let mut sent = outcome;
        assert_eq!(std::mem::take(&mut sent.drops), [DropReason::TtlExceeded]);
        let error = left(wire, red(), &sent);
        assert_eq!(
            error[..12],
            craft::ethernet(VM4, GW_RED).payload(0, b"")[..12]
        );
    }
}

#[test]
fn a_centralised_router_keeps_its_gateways_mac() {
    for wire in WIRES {
        let mut host = host_on(wire);
        host.change_gateway(adjacency(AT_BLUE), |gateway| gateway.distributed = false);
        let begin = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM7_IP);
        let outcome = host.send(PORT1, &begin.udp(1, 2, b""));
        let on_the_wire = craft::ethernet(VM7, GW_BLUE).ipv4(VM1_IP, VM7_IP).ttl(63);
        assert_eq!(left(wire, blue(), &outcome), on_the_wire.udp(1, 2, b""));
    }
}

/// A host alone, or before it was given one.
#[test]
fn without_a_host_mac_the_source_is_the_gateway() {
    let mut host = routed_host();
    host.tables.edit().host_macs = vtepd_tables::HostMacs::default();
    let begin = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM7_IP);
    let outcome = host.send(PORT1, &begin.udp(1, 2, b""));
    let on_the_wire = craft::ethernet(VM7, GW_BLUE).ipv4(VM1_IP, VM7_IP).ttl(63);
    assert_eq!(inner(BLUE_VNI, outcome.one().1), on_the_wire.udp(1, 2, b""));
}

#[test]
fn rfc5227_a_probe_of_another_host_reaches_the_ports_of_this_one() {
    for wire in WIRES {
        let mut host = host_on(wire);
        let target = "10.0.0.77".parse().unwrap();
        let probe =
            craft::ethernet(BROADCAST, PEER_HM).arp(arp::Packet::probe(mac(PEER_HM), target));
        let outcome = from_outside(&mut host, wire, red(), &probe);
        let to: Vec<_> = outcome.sent.iter().map(|(to, _)| *to).collect();
        assert_eq!(to, [PORT1, PORT2, PORT3], "{wire:?}");
        assert_eq!(outcome.sent[0].1, probe);

        let link_local = ipv6::link_local(mac(PEER_HM)).to_string();
        let question = solicitation(PEER_HM, &link_local, "fd00::77");
        let outcome = from_outside(&mut host, wire, red(), &question);
        let to: Vec<_> = outcome.sent.iter().map(|(to, _)| *to).collect();
        assert_eq!(to, [PORT1, PORT2, PORT3], "{wire:?}");
        // Again to the one who is known: it comes from the gateway, and names the host.
        let again = |from| craft::ethernet(VM1, from).arp(arp::Packet::probe(mac(PEER_HM), target));
        let outcome = from_outside(&mut host, wire, red(), &again(PEER_HM));
        assert_eq!(outcome.one(), (PORT1, &again(GW_RED)[..]));
    }
}

/// Guarded, as stations usually are: an answer is in nobody's name but their own.
#[test]
fn the_answer_to_another_hosts_question_goes_to_that_host() {
    for wire in WIRES {
        let mut host = host_on(wire).guarded(VM1, &[VM1_IP, "10.0.0.77", VM1_IP6], PORT1);
        let answer = craft::ethernet(PEER_HM, VM1).arp_reply("10.0.0.77", "0.0.0.0");
        let outcome = host.send(PORT1, &answer);
        assert_eq!(left(wire, red(), &outcome), answer);
        let link_local = ipv6::link_local(mac(PEER_HM));
        let answer = craft::ethernet(PEER_HM, VM1)
            .ipv6(VM1_IP6, link_local)
            .advertisement(VM1_IP6, nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE);
        let outcome = host.send(PORT1, &answer);
        assert_eq!(left(wire, red(), &outcome), answer);
        // Nothing else goes there.
        let outcome = host.send(PORT1, &v4(PEER_HM, VM1).udp(1, 2, b""));
        assert!(
            [DropReason::DvrDestination, DropReason::SpoofedAddress].contains(&outcome.dropped())
        );
        let own = craft::ethernet(PEER_HM, VM1)
            .ipv4(VM1_IP, VM7_IP)
            .udp(1, 2, b"");
        assert_eq!(host.send(PORT1, &own).dropped(), DropReason::DvrDestination);
    }
    // By VXLAN to the host that asked, not to its neighbour.
    let answer = craft::ethernet(PEER6_HM, VM1).arp_reply("10.0.0.77", "0.0.0.0");
    let outcome = routed_host().send(PORT1, &answer);
    let (interface, sent) = outcome.one();
    assert_eq!((interface, &sent[12..14]), (UNDERLAY, &[0x86, 0xdd][..]));
    assert!(sent.ends_with(&answer));
}

#[test]
fn an_answer_to_another_hosts_question_from_outside_goes_no_further() {
    let answer = craft::ethernet(PEER6_HM, VM4).arp_reply("10.0.0.77", "0.0.0.0");
    for wire in WIRES {
        let outcome = from_outside(&mut host_on(wire), wire, red(), &answer);
        assert_eq!(outcome.dropped(), DropReason::SplitHorizon);
    }
}

#[test]
fn the_answer_to_our_question_is_taken_in_as_a_claim() {
    for wire in WIRES {
        let mut host = host_on(wire);
        let claim = |address: &str, who: &str, adjacency| Event::Claim {
            network: red(),
            address: ip(address),
            neighbour: Neighbour {
                mac: mac(who),
                adjacency,
            },
        };
        let here = host.at_port(PORT1, 0);
        let answer = craft::ethernet(OWN_HM, VM1).arp_reply("10.0.0.77", "0.0.0.0");
        assert_eq!(
            host.send(PORT1, &answer).consumed(),
            [claim("10.0.0.77", VM1, here)]
        );
        let link_local = ipv6::link_local(mac(OWN_HM));
        let answer = craft::ethernet(OWN_HM, VM1)
            .ipv6(VM1_IP6, link_local)
            .advertisement("fd00::77", nd::FLAG_SOLICITED);
        assert_eq!(
            host.send(PORT1, &answer).consumed(),
            [claim("fd00::77", VM1, here)]
        );
        // From another host: the claim names the way to it.
        let there = match wire {
            Wire::Vxlan => host.at_vtep(PEER),
            Wire::Vlan => host.at_port(PROVIDER, RED_VLAN),
        };
        let answer = craft::ethernet(OWN_HM, VM4).arp_reply("10.0.0.78", "0.0.0.0");
        let outcome = from_outside(&mut host, wire, red(), &answer);
        assert_eq!(outcome.consumed(), [claim("10.0.0.78", VM4, there)]);
        // What was known already is no news; and nothing else is taken in.
        let answer = craft::ethernet(OWN_HM, VM1).arp_reply(VM1_IP, "0.0.0.0");
        assert_eq!(host.send(PORT1, &answer).consumed(), []);
        let outcome = host.send(PORT1, &v4(OWN_HM, VM1).udp(1, 2, b""));
        assert_eq!(outcome.dropped(), DropReason::DvrDestination);
    }
}

/// Whoever asks, and whomever: it is answered here.
#[test]
fn a_question_for_a_gateway_does_not_leave_the_host() {
    for wire in WIRES {
        let mut host = host_on(wire).change(red(), |network| network.suppression = false);
        for to in [BROADCAST, GW_RED, VM4, NOBODY] {
            for sender in [VM1_IP, "0.0.0.0"] {
                let question = craft::ethernet(to, VM1).arp_request(sender, GW_RED_IP);
                let answer = craft::ethernet(VM1, GW_RED).arp_reply(GW_RED_IP, sender);
                assert_eq!(
                    host.send(PORT1, &question).one(),
                    (PORT1, &answer[..]),
                    "{to}"
                );
            }
        }
        let link_local = ipv6::link_local(mac(GW_RED)).to_string();
        for target in [GW_RED_IP6, &link_local] {
            let answer = craft::ethernet(VM1, GW_RED)
                .ipv6(target, VM1_IP6)
                .advertisement(target, 7 << 29);
            let question = solicitation(VM1, VM1_IP6, target);
            assert_eq!(host.send(PORT1, &question).one(), (PORT1, &answer[..]));
            for to in [GW_RED, VM4, NOBODY] {
                let question = craft::ethernet(to, VM1)
                    .ipv6(VM1_IP6, target)
                    .solicitation(target);
                assert_eq!(
                    host.send(PORT1, &question).one(),
                    (PORT1, &answer[..]),
                    "{to}"
                );
            }
        }
    }
}

#[test]
fn a_question_for_a_gateway_from_outside_is_not_answered() {
    for wire in WIRES {
        let mut host = host_on(wire);
        let link_local = ipv6::link_local(mac(GW_RED)).to_string();
        for question in [
            craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, GW_RED_IP),
            craft::ethernet(VM1, VM4).arp_request(VM4_IP, GW_RED_IP),
            craft::ethernet(BROADCAST, VM4).arp_request("0.0.0.0", GW_RED_IP),
            solicitation(VM4, VM4_IP6, GW_RED_IP6),
            solicitation(VM4, VM4_IP6, &link_local),
        ] {
            let outcome = from_outside(&mut host, wire, red(), &question);
            assert_eq!(
                outcome.dropped(),
                DropReason::GatewayFromUnderlay,
                "{wire:?}"
            );
        }
    }
}

/// Not even a port without a guard, nor another host.
#[test]
fn nobody_else_speaks_for_a_gateway() {
    for wire in WIRES {
        let mut host = host_on(wire);
        let link_local = ipv6::link_local(mac(GW_RED)).to_string();
        for (who, local) in [(VM2, true), (VM4, false)] {
            for frame in [
                craft::ethernet(BROADCAST, who).arp_request(GW_RED_IP, GW_RED_IP),
                craft::ethernet(BROADCAST, who).arp_request(GW_RED_IP, VM1_IP),
                craft::ethernet(BROADCAST, who).arp_reply(GW_RED_IP, GW_RED_IP),
                craft::ethernet(VM1, who).arp_reply(GW_RED_IP, VM1_IP),
                craft::ethernet(ALL_NODES_MAC, who)
                    .ipv6(VM2_IP6, "ff02::1")
                    .advertisement(GW_RED_IP6, nd::FLAG_OVERRIDE),
                craft::ethernet(ALL_NODES_MAC, who)
                    .ipv6(VM2_IP6, "ff02::1")
                    .advertisement(link_local.as_str(), nd::FLAG_OVERRIDE),
                craft::ethernet(VM1, who)
                    .ipv6(GW_RED_IP6, VM1_IP6)
                    .solicitation(VM1_IP6),
                craft::ethernet(ALL_NODES_MAC, who)
                    .ipv6(link_local.as_str(), "ff02::1")
                    .ttl(255)
                    .icmp(134, 0, 0, &[0; 8]),
            ] {
                let outcome = if local {
                    host.send(PORT2, &frame)
                } else {
                    from_outside(&mut host, wire, red(), &frame)
                };
                assert_eq!(
                    outcome.dropped(),
                    DropReason::SpoofedArpNd,
                    "{wire:?} {who}"
                );
                assert_eq!(outcome.events, []);
            }
        }
    }
}

/// Of another network the address is like any other.
#[test]
fn a_gateway_is_one_in_its_own_network() {
    let green = network(3);
    let mut host = routed_host()
        .network(green, 3000)
        .port(green, PORT5, 0)
        .remote(green, PEER);
    let question = craft::ethernet(BROADCAST, VM1).arp_request("10.3.0.1", GW_RED_IP);
    assert_eq!(host.send(PORT5, &question).one().0, UNDERLAY);
    // And the address of the other network's gateway is asked for in vain in this one.
    let question = craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, GW_BLUE_IP);
    assert!(host.send(PORT1, &question).sent.len() > 1);
}

/// A router in the network that is none of ours advertises to all.
#[test]
fn another_routers_advertisements_pass() {
    let frame = craft::ethernet(ALL_NODES_MAC, VM4)
        .ipv6("fe80::4", "ff02::1")
        .ttl(255)
        .icmp(134, 0, 0, &[0; 8]);
    for wire in WIRES {
        let outcome = from_outside(&mut host_on(wire), wire, red(), &frame);
        assert_eq!(outcome.sent.len(), 3);
    }
}

/// The FDB of the network never has it, whatever the prefilter says.
#[test]
fn a_learned_entry_does_not_make_a_host_mac_a_station() {
    let mut host = routed_host();
    let entry = FdbEntry {
        adjacency: host.at_port(PORT1, 0),
        origin: Origin::Learned,
    };
    let key = FdbKey::new(red(), mac(PEER_HM));
    host.tables.fdb.insert(key, entry, 0).unwrap();
    let outcome = host.send(UNDERLAY, &tunnelled(&v4(VM1, PEER_HM).udp(1, 2, b"")));
    assert_eq!(outcome.one().1, v4(VM1, GW_RED).udp(1, 2, b""));
}

#[test]
fn a_frame_for_somebody_behind_the_segment_does_not_come_back_to_it() {
    let mut host = host_on(Wire::Vlan);
    host.access(PORT1, None, Access::Open);
    let frame = v4(VM4, NOBODY).udp(1, 2, b"");
    let outcome = from_outside(&mut host, Wire::Vlan, red(), &frame);
    assert_eq!(outcome.dropped(), DropReason::SamePort);
}
