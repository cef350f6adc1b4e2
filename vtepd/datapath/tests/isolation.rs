//! Tenants with the same MACs, the same addresses and the same gateways never meet.
//!
//! ```text
//!                    ┌─ PORT of LEFT  ── LEFT  10.0.0.0/24 ┐
//!   tenant 0 and 1 ──┤                                     ├── router: VRF of its own
//!                    └─ PORT of RIGHT ── RIGHT 10.1.0.0/24 ┘     default via 10.1.0.9
//! ```

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::{DropReason, Event};
use vtepd_tables::{InterfaceIndex, NetworkIndex};
use vtepd_wire::craft::{self, Packet};

const A: &str = "fa:16:3e:00:00:0a";
const A_IP: &str = "10.0.0.9";
const A_IP6: &str = "fd00::9";
const B: &str = "fa:16:3e:00:00:0b";
const B_IP: &str = "10.1.0.9";
const B_IP6: &str = "fd01::9";
/// Behind the other host, in RIGHT.
const C: &str = "fa:16:3e:00:00:0c";
const C_IP: &str = "10.1.0.10";
const GW_LEFT: &str = "fa:16:3e:aa:00:01";
const GW_RIGHT: &str = "fa:16:3e:aa:00:02";
const HOST: &str = "fa:16:3f:00:00:02";

const TENANTS: [u16; 2] = [0, 1];

/// What differs between the tenants.
fn left(tenant: u16) -> (NetworkIndex, u32, InterfaceIndex) {
    (
        network(1 + 2 * tenant),
        1000 + u32::from(tenant),
        InterfaceIndex(1 + 2 * tenant as u8),
    )
}

fn right(tenant: u16) -> (NetworkIndex, u32, InterfaceIndex) {
    (
        network(2 + 2 * tenant),
        2000 + u32::from(tenant),
        InterfaceIndex(2 + 2 * tenant as u8),
    )
}

fn two_tenants() -> Host {
    let mut host = bare_host(None);
    for tenant in TENANTS {
        let ((l, l_vni, l_port), (r, r_vni, r_port)) = (left(tenant), right(tenant));
        host = host
            .network(l, l_vni)
            .network(r, r_vni)
            .port(l, l_port, 0)
            .port(r, r_port, 0)
            .remote(l, PEER)
            .remote(r, PEER)
            .vm(A, &[A_IP, A_IP6], l_port, 0)
            .vm(B, &[B_IP, B_IP6], r_port, 0);
        let peer = host.at_vtep(PEER);
        host.station(r, C, &[C_IP], peer);
        let (at, vrf) = (100 + 2 * tenant, tenant + 1);
        host.gateway(at, l, vrf, GW_LEFT, &["10.0.0.1/24", "fd00::1/64"]);
        host.gateway(at + 1, r, vrf, GW_RIGHT, &["10.1.0.1/24", "fd01::1/64"]);
        host.route(vrf, "0.0.0.0/0", &[via(at + 1, B_IP)]);
    }
    let peer = host.at_vtep(PEER);
    host.host_macs(OWN_HM, &[(HOST, peer)]);
    host
}

fn from_a(to: &str, destination: &str) -> Packet {
    craft::ethernet(to, A).ipv4(A_IP, destination)
}

#[test]
fn the_same_packet_of_two_tenants_goes_two_ways() {
    let mut host = two_tenants();
    for tenant in TENANTS {
        let (port, vni) = (left(tenant).2, right(tenant).1);
        let frame = from_a(GW_LEFT, B_IP).udp(1, 2, b"mine");
        let outcome = host.send(port, &frame);
        let routed = craft::ethernet(B, GW_RIGHT).ipv4(A_IP, B_IP).ttl(63);
        assert_eq!(
            outcome.one(),
            (right(tenant).2, &routed.udp(1, 2, b"mine")[..])
        );
        let outcome = host.send(port, &from_a(GW_LEFT, C_IP).udp(1, 2, b"mine"));
        let routed = craft::ethernet(C, OWN_HM).ipv4(A_IP, C_IP).ttl(63);
        assert_eq!(inner(vni, outcome.one().1), routed.udp(1, 2, b"mine"));
        let outcome = host.send(port, &from_a(GW_LEFT, "198.51.100.1").udp(1, 2, b""));
        assert_eq!(
            outcome.one().0,
            right(tenant).2,
            "by the tenant's own default route"
        );
        // What the other host has routed arrives at the tenant whose VNI it has.
        let back = craft::ethernet(A, HOST).ipv4(C_IP, A_IP).udp(2, 1, b"");
        let outcome = host.send(UNDERLAY, &from_peer().vxlan(50_000, left(tenant).1, &back));
        assert_eq!(outcome.one().0, port);
    }
}

#[test]
fn a_router_has_its_own_tenants_routes_only() {
    let mut host = two_tenants();
    host.route(1, "172.16.0.0/12", &[via(101, B_IP)]);
    host.route(2, "0.0.0.0/0", &[via(102, A_IP)]);
    let frame = from_a(GW_LEFT, "172.16.0.1").udp(1, 2, b"");
    assert_eq!(host.send(left(0).2, &frame).one().0, right(0).2);
    assert_eq!(host.send(left(1).2, &frame).one().0, left(1).2);
}

#[test]
fn a_station_of_one_tenant_is_unknown_to_the_other() {
    let mut host = two_tenants();
    let at = host.at_port(right(0).2, 0);
    host.neighbour(right(0).0, "10.1.0.50", B, at);
    let frame = from_a(GW_LEFT, "10.1.0.50").udp(1, 2, b"");
    assert_eq!(host.send(left(0).2, &frame).one().0, right(0).2);
    let outcome = host.send(left(1).2, &frame);
    let (gateway, address) = (adjacency(103), ip("10.1.0.50"));
    assert_eq!(outcome.events, [Event::Wanted { gateway, address }]);
    assert!(outcome.sent.is_empty());
    // Nor is it answered for.
    let question = craft::ethernet(BROADCAST, B).arp_request(B_IP, "10.1.0.50");
    assert!(
        host.send(right(1).2, &question)
            .sent
            .iter()
            .all(|(to, _)| *to == UNDERLAY)
    );
}

#[test]
fn what_a_station_says_is_told_of_its_own_network() {
    let mut host = two_tenants();
    for tenant in TENANTS {
        let answer = craft::ethernet(OWN_HM, B).arp_reply("10.1.0.77", "0.0.0.0");
        let outcome = host.send(right(tenant).2, &answer);
        let told = outcome.consumed();
        assert!(matches!(told, [Event::Claim { network, .. }] if *network == right(tenant).0));
    }
}

/// One tenant's flood leaves the other what it has.
#[test]
fn limits_are_each_tenants_own() {
    let mut host = two_tenants();
    let question = craft::ethernet(BROADCAST, A).arp_request(A_IP, "10.0.0.1");
    while host.send(left(0).2, &question).drops.is_empty() {}
    assert_eq!(
        host.send(left(0).2, &question).dropped(),
        DropReason::ArpNdLimit
    );
    assert_eq!(host.send(left(1).2, &question).sent.len(), 1);
    let outside = |vni| {
        let question = craft::ethernet(BROADCAST, C).arp_request("10.0.0.10", A_IP);
        from_peer().vxlan(50_000, vni, &question)
    };
    while host.send(UNDERLAY, &outside(left(0).1)).drops.is_empty() {}
    assert_eq!(host.send(UNDERLAY, &outside(left(1).1)).sent.len(), 1);
}

/// A port that went to another network takes nothing of the old one's.
#[test]
fn an_entry_of_another_network_leads_nowhere() {
    let mut host = two_tenants();
    let other = host.at_port(right(1).2, 0);
    host.neighbour(right(0).0, "10.1.0.60", B, other);
    let frame = from_a(GW_LEFT, "10.1.0.60").udp(1, 2, b"");
    assert_eq!(host.send(left(0).2, &frame).dropped(), DropReason::Vacant);
    host.station(left(0).0, "fa:16:3e:00:00:0d", &[], other);
    let frame = from_a("fa:16:3e:00:00:0d", "10.0.0.60").udp(1, 2, b"");
    assert_eq!(host.send(left(0).2, &frame).dropped(), DropReason::Vacant);
}

fn mac_of() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        A, B, C, GW_LEFT, GW_RIGHT, OWN_HM, HOST, BROADCAST, NOBODY,
    ])
}

fn address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        A_IP,
        B_IP,
        C_IP,
        "10.0.0.1",
        "10.1.0.1",
        "10.1.0.77",
        "10.1.0.255",
        "198.51.100.1",
        "0.0.0.0",
    ])
}

fn address6() -> impl Strategy<Value = &'static str> {
    let all = vec![
        A_IP6,
        B_IP6,
        "fd00::1",
        "fd01::1",
        "fd01::77",
        "::",
        "ff02::1",
        "2001:db8::1",
    ];
    prop::sample::select(all)
}

fn macs() -> impl Strategy<Value = (&'static str, &'static str)> {
    (
        mac_of(),
        mac_of().prop_filter("one", |mac| *mac != BROADCAST),
    )
}

/// Any frame that stations could send each other or their gateway.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (macs(), address(), address(), 0u8..4, 0usize..1600);
    let v4 = v4.prop_map(|((to, from), source, destination, ttl, len)| {
        let packet = craft::ethernet(to, from).ipv4(source, destination).ttl(ttl);
        packet.may_fragment().udp(4000, 53, &vec![7; len])
    });
    let v6 = (macs(), address6(), address6(), 0u8..4, any::<bool>());
    let v6 = v6.prop_map(|((to, from), source, destination, limit, echo)| {
        let packet = craft::ethernet(to, from)
            .ipv6(source, destination)
            .ttl(limit);
        if echo {
            packet.icmp_echo(1, 1, b"")
        } else {
            packet.udp(1, 2, b"")
        }
    });
    let arp = (macs(), address(), address(), any::<bool>());
    let arp = arp.prop_map(|((to, from), sender, target, reply)| {
        let begin = craft::ethernet(to, from);
        if reply {
            begin.arp_reply(sender, target)
        } else {
            begin.arp_request(sender, target)
        }
    });
    let nd = (macs(), address6(), address6(), address6(), any::<bool>());
    let nd = nd.prop_map(|((to, from), source, destination, target, advertises)| {
        let packet = craft::ethernet(to, from).ipv6(source, destination);
        if advertises {
            packet.advertisement(target, 1 << 29)
        } else {
            packet.solicitation(target)
        }
    });
    prop_oneof![v4, v6, arp, nd]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a tenant sends, from a port or through a tunnel, leaves by his own ports
    /// and under his own VNIs, and the control thread is told of his own networks.
    #[test]
    fn tenants_do_not_meet(
        frames in prop::collection::vec((frame(), 0u16..2, 0u8..4), 1..30),
    ) {
        let mut host = two_tenants();
        for (frame, tenant, way) in &frames {
            let (l, r) = (left(*tenant), right(*tenant));
            let outcome = match way {
                0 => host.send(l.2, frame),
                1 => host.send(r.2, frame),
                2 => host.send(UNDERLAY, &from_peer().vxlan(50_000, l.1, frame)),
                _ => host.send(UNDERLAY, &from_peer().vxlan(50_000, r.1, frame)),
            };
            for (to, sent) in &outcome.sent {
                if *to == UNDERLAY {
                    let vni = u32::from_be_bytes([0, sent[46], sent[47], sent[48]]);
                    prop_assert!(vni == l.1 || vni == r.1);
                } else {
                    prop_assert!(*to == l.2 || *to == r.2, "{:?} from {:?}", to, frame);
                }
            }
            for event in &outcome.events {
                match event {
                    Event::Claim { network, .. } => prop_assert!(*network == l.0 || *network == r.0),
                    Event::Wanted { gateway, .. } => {
                        prop_assert_eq!((gateway.get() - 100) / 2, *tenant);
                    }
                    _ => {}
                }
            }
        }
        // What waits goes on within its tenant as well.
        let at: Vec<_> = TENANTS.iter().map(|tenant| host.at_port(right(*tenant).2, 0)).collect();
        host.neighbour(right(0).0, "10.1.0.77", B, at[0]);
        for (to, sent) in host.resume() {
            prop_assert!(to == right(0).2, "{:?}: {:?}", to, sent);
        }
    }
}
