//! What one port may have this host do beyond forwarding, in a second: with more it
//! harms nobody but itself, and what it sends itself is still forwarded.

mod common;

use common::*;
use vtepd_datapath::DropReason::{
    self, ArpNdLimit, NoRoute, ProbeLimit, ServiceLimit, ServiceQueue, TtlExceeded,
};
use vtepd_datapath::{Limits, Service, WorkerState};
use vtepd_tables::InterfaceIndex;
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::{arp, craft};

/// The limits of these tests.
const RESOLUTION: u16 = 50;
const SERVICE: u16 = 20;
const ERROR: u16 = 30;
const PROBE: u16 = 7;

fn lowered(mut limits: Limits) -> Limits {
    limits.resolution = RESOLUTION;
    limits.service = SERVICE;
    limits.error = ERROR;
    limits.probe = PROBE;
    limits
}

fn limited_host() -> Host {
    let mut host = routed_host()
        .change(red(), |network| network.services.dhcp4 = true)
        .change(blue(), |network| network.services.dhcp4 = true);
    let channel = host.channel.clone();
    let state = WorkerState::new(FlowHasher::new(1, 2), host.counters.clone(), channel);
    host.state = state.with_limits(lowered(Limits::default()));
    host
}

/// Sends a frame until it is refused, which must be after `allowed`, and some more.
#[track_caller]
fn exhaust(host: &mut Host, from: InterfaceIndex, frame: &[u8], allowed: u16, reason: DropReason) {
    for number in 0..allowed {
        let outcome = host.send(from, frame);
        assert!(!outcome.drops.contains(&reason), "after {number}");
    }
    for _ in 0..allowed + 5 {
        let outcome = host.send(from, frame);
        assert_eq!(outcome.dropped(), reason);
        assert_eq!(outcome.events, [], "the control thread hears no more of it");
    }
}

fn question(who: &str, source: &str) -> Vec<u8> {
    craft::ethernet(BROADCAST, who).arp_request(source, GW_RED_IP)
}

/// What VM1 does with all of its limits spent, and others with theirs.
#[track_caller]
fn others_are_unharmed(host: &mut Host) {
    let frame = udp(VM2, VM1, 9);
    assert_eq!(host.send(PORT1, &frame).one(), (PORT2, &frame[..]));
    let routed = craft::ethernet(GW_RED, VM1)
        .ipv4(VM1_IP, VM6_IP)
        .udp(1, 2, b"");
    assert_eq!(host.send(PORT1, &routed).one().0, PORT4);
    assert_eq!(host.send(PORT2, &question(VM2, VM2_IP)).sent.len(), 1);
    let late = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, VM6_IP).ttl(1);
    assert_eq!(host.send(PORT2, &late.udp(1, 2, b"")).sent.len(), 1);
    let unknown = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, "10.1.0.99");
    assert_eq!(host.send(PORT2, &unknown.udp(1, 2, b"")).drops, []);
    let asks = host.send(PORT2, &discover(VM2));
    assert!(
        asks.consumed == 1 || asks.drops == [ServiceQueue],
        "{asks:?}"
    );
}

fn discover(who: &str) -> Vec<u8> {
    craft::ethernet(BROADCAST, who)
        .ipv4("0.0.0.0", "255.255.255.255")
        .udp(68, 67, &[1; 240])
}

#[test]
fn arp_and_neighbour_discovery() {
    let gateway6 = vtepd_wire::ipv6::solicited_node(GW_RED_IP6.parse().unwrap());
    let solicitation = craft::ethernet(vtepd_wire::Mac::multicast_of_v6(gateway6), VM1)
        .ipv6(VM1_IP6, gateway6)
        .solicitation(GW_RED_IP6);
    for frame in [
        question(VM1, VM1_IP),
        craft::ethernet(GW_RED, VM1).arp_request(VM1_IP, GW_RED_IP),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, "10.0.0.99"),
        craft::ethernet(VM2, VM1).arp_reply(VM1_IP, VM2_IP),
        craft::ethernet(OWN_HM, VM1).arp_reply("10.0.0.99", "0.0.0.0"),
        solicitation,
        craft::ethernet(VM2, VM1)
            .ipv6(VM1_IP6, VM2_IP6)
            .advertisement(VM1_IP6, 0),
    ] {
        let mut host = limited_host();
        exhaust(&mut host, PORT1, &frame, RESOLUTION, ArpNdLimit);
        others_are_unharmed(&mut host);
        host.state.now += 1;
        assert_eq!(host.send(PORT1, &frame).drops, [], "a second later");
    }
}

/// All kinds together, and whatever they are answered with.
#[test]
fn kinds_of_one_class_are_counted_together() {
    let mut host = limited_host();
    let echo = craft::ethernet(GW_RED, VM1)
        .ipv4(VM1_IP, GW_RED_IP)
        .icmp_echo(1, 1, b"");
    let echo6 = craft::ethernet(GW_RED, VM1)
        .ipv6(VM1_IP6, GW_RED_IP6)
        .icmp_echo(1, 1, b"");
    let answered = (0..3 * RESOLUTION)
        .map(|number| if number % 2 == 0 { &echo } else { &echo6 })
        .filter(|frame| host.send(PORT1, frame).drops.is_empty())
        .count();
    assert_eq!(answered, usize::from(RESOLUTION));
    assert_eq!(
        host.send(PORT1, &question(VM1, VM1_IP)).dropped(),
        ArpNdLimit
    );
    others_are_unharmed(&mut host);
}

#[test]
fn questions_to_services() {
    let mut host = limited_host();
    exhaust(&mut host, PORT1, &discover(VM1), SERVICE, ServiceLimit);
    others_are_unharmed(&mut host);
    assert_eq!(host.asked().len(), usize::from(SERVICE) + 1);
    host.state.now += 1;
    assert_eq!(host.send(PORT1, &discover(VM1)).consumed, 1);
    let asked = host.asked();
    assert_eq!(
        (asked[0].service, asked[0].network),
        (Service::Dhcp4, red())
    );
    assert_eq!(asked[0].ingress, host.at_port(PORT1, 0));
    assert_eq!(asked[0].frame[..], discover(VM1));
}

/// A control thread that is busy does not hold the worker up.
#[test]
fn questions_that_find_no_room_are_counted() {
    let mut host = limited_host();
    let sent = (0..1000u16).filter(|number| {
        host.state.now = number / SERVICE;
        host.send(PORT1, &discover(VM1)).drops == [ServiceQueue]
    });
    assert_eq!(sent.count(), 1000 - 128);
    others_are_unharmed(&mut host);
}

#[test]
fn rfc1812_section_4_3_2_8_errors() {
    let begin = |ttl| craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, VM6_IP).ttl(ttl);
    let nowhere = craft::ethernet(GW_RED, VM1)
        .ipv4(VM1_IP, "198.51.100.1")
        .udp(1, 2, b"");
    let mut host = limited_host();
    for (frame, reason) in [(begin(1).udp(1, 2, b""), TtlExceeded), (nowhere, NoRoute)] {
        host.state.now += 1;
        let told = (0..3 * ERROR).filter(|_| {
            let outcome = host.send(PORT1, &frame);
            assert_eq!(outcome.drops, [reason], "the reason stays");
            outcome.sent.len() == 1
        });
        assert_eq!(told.count(), usize::from(ERROR));
        others_are_unharmed(&mut host);
    }
}

#[test]
fn rfc4443_section_2_4_f_errors() {
    let frame = craft::ethernet(GW_RED, VM1)
        .ipv6(VM1_IP6, VM6_IP6)
        .ttl(1)
        .udp(1, 2, b"");
    let mut host = limited_host();
    let told = (0..3 * ERROR).filter(|_| host.send(PORT1, &frame).sent.len() == 1);
    assert_eq!(told.count(), usize::from(ERROR));
    others_are_unharmed(&mut host);
}

#[test]
fn packets_to_unknown_neighbours() {
    let mut host = limited_host();
    for number in 0..100u16 {
        let target = format!("10.1.0.{}", 100 + number % 100);
        let frame = craft::ethernet(GW_RED, VM1)
            .ipv4(VM1_IP, target.as_str())
            .udp(1, 2, b"");
        let outcome = host.send(PORT1, &frame);
        let limited = outcome.drops == [ProbeLimit];
        assert_eq!(limited, number >= PROBE, "{outcome:?}");
        assert_eq!(outcome.events.len(), usize::from(!limited));
    }
    others_are_unharmed(&mut host);
}

/// What comes from other hosts is counted by network: neither its ports here nor other
/// networks have less.
#[test]
fn from_outside_a_network_has_a_limit_of_its_own() {
    let from_outside = craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, VM1_IP);
    let probe = arp::Packet::probe(mac(PEER_HM), "10.0.0.77".parse().unwrap());
    let from_host = craft::ethernet(BROADCAST, PEER_HM).arp(probe);
    for frame in [from_outside, from_host] {
        let mut host = limited_host();
        exhaust(
            &mut host,
            UNDERLAY,
            &tunnelled(&frame),
            RESOLUTION,
            ArpNdLimit,
        );
        // By whichever tunnel.
        assert_eq!(
            host.send(UNDERLAY, &tunnelled6(&frame)).dropped(),
            ArpNdLimit
        );
        let blue = craft::ethernet(BROADCAST, VM7).arp_request(VM7_IP, VM6_IP);
        assert_eq!(host.send(UNDERLAY, &tunnelled_blue(&blue)).sent.len(), 1);
        assert_eq!(host.send(PORT1, &question(VM1, VM1_IP)).sent.len(), 1);
        others_are_unharmed(&mut host);
        // Frames are forwarded all the same.
        let frame = udp(VM1, VM4, 9);
        assert_eq!(
            host.send(UNDERLAY, &tunnelled(&frame)).one(),
            (PORT1, &frame[..])
        );
    }
}

/// What a router of another host sends is told by its station: one that asks for too much leaves
/// the others theirs, until all of them together do.
#[test]
fn errors_to_stations_of_other_hosts_are_counted_by_station() {
    let mut host = central_host(&Default::default(), &snat(&[QG_IP]));
    let channel = host.channel.clone();
    let state = WorkerState::new(FlowHasher::new(1, 2), host.counters.clone(), channel);
    host.state = state.with_limits(lowered(Limits::default()));
    let at = host.at_vtep(PEER);
    let stations: Vec<String> = (100..160).map(|last| format!("10.0.0.{last}")).collect();
    for station in &stations {
        host.station(red(), VM4, &[station], at);
    }
    let mut told = |station: &str, count: u16| {
        let late = craft::ethernet(SG_RED, PEER_HM)
            .ipv4(station, FAR_IP)
            .ttl(1);
        let late = tunnelled(&late.udp(1, 2, b""));
        let told = (0..count).filter(|_| {
            let outcome = host.send(UNDERLAY, &late);
            assert_eq!(outcome.drops, [TtlExceeded]);
            outcome.sent.len() == 1
        });
        told.count() as u16
    };
    assert_eq!(told(&stations[0], 3 * ERROR), ERROR);
    assert_eq!(told(&stations[1], ERROR), ERROR);
    let all: u16 = stations[2..].iter().map(|own| told(own, ERROR)).sum();
    assert!(all <= 8 * ERROR, "{all}");
    assert!(all >= 6 * ERROR, "{all}");
}

/// Who may not send a frame at all spends nobody's limit.
#[test]
fn what_the_guard_refuses_is_not_counted() {
    let mut host = limited_host().guarded(VM1, &[VM1_IP], PORT1);
    for _ in 0..2 * RESOLUTION {
        let frame = craft::ethernet(BROADCAST, VM2).arp_request(VM2_IP, VM1_IP);
        assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::SpoofedMac);
    }
    assert_eq!(host.send(PORT1, &question(VM1, VM1_IP)).sent.len(), 1);
}

/// The clock is kept modulo 2^16.
#[test]
fn a_second_is_a_second_when_the_clock_wraps() {
    let mut host = limited_host();
    for now in [u16::MAX - 1, u16::MAX, 0, 1] {
        host.state.now = now;
        exhaust(
            &mut host,
            PORT1,
            &question(VM1, VM1_IP),
            RESOLUTION,
            ArpNdLimit,
        );
    }
}

#[test]
fn the_default_limits_let_usual_stations_work() {
    let limits = Limits::default();
    assert!(
        limits.resolution >= 254,
        "a server that talks to all of a /24 at once"
    );
    assert!(limits.service >= 10 && limits.error >= 100 && limits.probe >= 10);
}
