//! The whole pipeline over any frames, by any interface, in any buffers, with
//! several settings of the tables. Nothing panics; every packet and every buffer is
//! accounted for; what leaves for the underlay has a sound outer header, and is sound
//! to its end when it came in so; tenants, who have routers, never meet; nothing that should
//! be translated leaves for the external network in another way; no packet waits for ever.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::cell::RefCell;
use std::collections::HashMap;

use common::*;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::BURST;
use vtepd_tables::translation::{Description, Protocol};
use vtepd_tables::{Access, InterfaceIndex, Services};
use vtepd_wire::{FromBytes, craft, ethernet, frame, ipv4, ipv6, udp, vxlan};

/// The other tenant's two networks, which have the addresses of RED and BLUE.
const GREEN_VNI: u32 = 2000;
const YELLOW_VNI: u32 = 2001;
const GREEN1: InterfaceIndex = InterfaceIndex(5);
const YELLOW1: InterfaceIndex = InterfaceIndex(6);
/// Where the first tenant's VLAN segments are, when he has some.
const PROVIDER: InterfaceIndex = InterfaceIndex(9);
const INTERFACES: [InterfaceIndex; 10] = [
    LINK, UNDERLAY, EXT, PORT1, PORT2, PORT3, PORT4, GREEN1, YELLOW1, PROVIDER,
];
/// By which name the metadata proxy knows the other tenant's station.
const GREEN_NAME: &str = "240.0.7.7";
/// Different hosts; making one takes as long as many inputs.
const VARIETIES: u8 = 64;

#[derive(Arbitrary, Debug)]
struct Input {
    settings: u8,
    pool: u8,
    /// Whether who is asked for answers.
    answers: bool,
    arrivals: Vec<Arrival>,
}

#[derive(Arbitrary, Debug)]
struct Arrival {
    interface: u8,
    headroom: u8,
    splits: [u8; 2],
    frame: Frame,
}

#[derive(Arbitrary, Debug)]
enum Frame {
    /// Any bytes.
    Raw(Vec<u8>),
    /// Any bytes behind sound outer headers.
    Tunnelled {
        v6: bool,
        network: u8,
        inner: Vec<u8>,
    },
    /// Any payload in a sound IP header to a gateway.
    Routed {
        v6: bool,
        tunnelled: bool,
        destination: u8,
        ttl: u8,
        protocol: u8,
        fragment: u16,
        len: u16,
        payload: Vec<u8>,
    },
    /// Any payload in a sound IP header, to a gateway outside or from a station that goes there.
    Outside {
        inward: bool,
        by_floating: bool,
        destination: u8,
        ttl: u8,
        protocol: u8,
        fragment: u16,
        payload: Vec<u8>,
    },
    /// An ICMP error about any packet between two addresses, on the same ways.
    Reported {
        inward: bool,
        by_floating: bool,
        kind: u8,
        source: u8,
        destination: u8,
        protocol: u8,
        payload: Vec<u8>,
    },
    /// A frame of the corpus with changes, its IPv4 header sealed again or not.
    Known {
        pick: u8,
        changes: Vec<(u8, u8)>,
        cut: Option<u8>,
        seal: bool,
    },
}

impl Frame {
    fn bytes(&self, corpus: &[(InterfaceIndex, Vec<u8>)]) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Tunnelled { v6, network, inner } => {
                let vnis = [RED_VNI, BLUE_VNI, GREEN_VNI, YELLOW_VNI];
                let vni = vnis[usize::from(*network) % vnis.len()];
                let begin = if *v6 { from_peer6() } else { from_peer() };
                begin.vxlan(50_000, vni, inner)
            }
            Self::Routed {
                v6,
                tunnelled: in_tunnel,
                destination,
                ttl,
                protocol,
                fragment,
                len,
                payload,
            } => {
                let mut payload = payload.clone();
                payload.resize(usize::from(*len % 1600).max(payload.len()), 0x5a);
                let pick = |of: &[&'static str]| of[usize::from(*destination) % of.len()];
                let link = craft::ethernet(GW_RED, VM1);
                let packet = if *v6 {
                    let packet = link.ipv6(VM1_IP6, pick(&DESTINATIONS6));
                    match *fragment {
                        0 => packet,
                        at => packet.fragment(1, at & 0xfff8, at & 1 != 0),
                    }
                } else {
                    let packet = link.ipv4(VM1_IP, pick(&DESTINATIONS)).may_fragment();
                    packet.fragment(1, *fragment & 0xfff8, fragment & 1 != 0)
                };
                let frame = packet.ttl(*ttl).payload(*protocol, &payload);
                if *in_tunnel { tunnelled(&frame) } else { frame }
            }
            Self::Outside {
                inward,
                by_floating,
                destination,
                ttl,
                protocol,
                fragment,
                payload,
            } => {
                let packet = begin_outside(*inward, *by_floating, *destination);
                let packet = packet.may_fragment().ttl(*ttl);
                let packet = packet.fragment(1, *fragment & 0xfff8, fragment & 1 != 0);
                packet.payload(*protocol, payload)
            }
            Self::Reported {
                inward,
                by_floating,
                kind,
                source,
                destination,
                protocol,
                payload,
            } => {
                let (from, to) = (outside_address(*source), outside_address(*destination));
                let quoted = craft::ethernet(VM1, VM2).ipv4(from, to);
                let quoted = quoted.payload(*protocol, payload);
                let packet = begin_outside(*inward, *by_floating, *source);
                packet.icmp(*kind, 1, 0, &quoted[14..])
            }
            Self::Known {
                pick,
                changes,
                cut,
                seal,
            } => {
                let mut frame = corpus[usize::from(*pick) % corpus.len()].1.clone();
                for (at, value) in changes {
                    let at = usize::from(*at) % frame.len();
                    frame[at] = *value;
                }
                if *seal && frame.len() >= v4::IP + 60 {
                    seal_ipv4(&mut frame);
                }
                if let Some(cut) = cut {
                    frame.truncate(usize::from(*cut));
                }
                frame
            }
        }
    }
}

impl Arrival {
    fn packet(&self, frame: &[u8]) -> MemoryPacket {
        let mut splits = self.splits.map(|at| usize::from(at).min(frame.len()));
        splits.sort_unstable();
        let [first, second] = splits;
        let parts = [&frame[..first], &frame[first..second], &frame[second..]];
        let headroom = usize::from(self.headroom % 129);
        match self.splits {
            [0, 0] => MemoryPacket::with_headroom(headroom, &[frame]),
            _ => MemoryPacket::with_headroom(headroom, &parts),
        }
    }
}

/// Of stations, of the outside, and what stations are known by there.
fn outside_address(pick: u8) -> &'static str {
    const ADDRESSES: [&str; 10] = [
        FAR_IP, OUT_IP, QG_IP, FIP1, FIP6, SHARED_IP, VM1_IP, VM2_IP, VM6_IP, FG_IP,
    ];
    ADDRESSES[usize::from(pick) % ADDRESSES.len()]
}

/// From outside to an outside gateway, or from a station with a floating IP or without.
fn begin_outside(inward: bool, by_floating: bool, destination: u8) -> craft::Packet {
    let destination = outside_address(destination);
    match (inward, by_floating) {
        (true, true) => craft::ethernet(FG, OUT).ipv4(OUT_IP, destination),
        (true, false) => craft::ethernet(QG, ROUTER).ipv4(FAR_IP, destination),
        (false, true) => craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, destination),
        (false, false) => craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, destination),
    }
}

/// What is translated for the first tenant.
fn translated() -> Description {
    let to = format!("{VM2_IP}:80").parse().expect("an address");
    Description {
        floating_ips: floating(&[(FIP1, VM1_IP), (FIP6, VM6_IP)]),
        forwardings: vec![vtepd_tables::translation::Forwarding {
            protocol: Protocol::Tcp,
            outside: format!("{SHARED_IP}:80").parse().expect("an address"),
            inside: to,
        }],
        ..snat(&[QG_IP])
    }
}

const DESTINATIONS: [&str; 10] = [
    VM6_IP,
    VM7_IP,
    VM2_IP,
    GW_RED_IP,
    GW_BLUE_IP,
    UNKNOWN,
    "172.16.0.1",
    "192.0.2.1",
    "198.51.100.1",
    METADATA_IP,
];
const DESTINATIONS6: [&str; 7] = [
    VM6_IP6,
    VM7_IP6,
    GW_RED_IP6,
    GW_BLUE_IP6,
    "fe80::f816:3eff:feaa:1",
    "fd01::99",
    "2001:db8:5::1",
];
/// An address of BLUE that no port names.
const UNKNOWN: &str = "10.1.0.99";

/// Two tenants with the same MACs, addresses and gateways; each bit of `settings` changes
/// something.
fn host_with(settings: u32) -> Host {
    let (green, yellow) = (network(3), network(4));
    let bit = |position: u8| settings >> position & 1 == 1;
    let change = |network: &mut vtepd_tables::Network| {
        network.learning = bit(0);
        network.vlan_transparent = bit(1);
        network.suppression = bit(2);
        network.services = Services {
            dhcp4: bit(8),
            dhcp6: bit(8),
            advertise: bit(8),
        };
    };
    let tunnel = |tunnel: &mut vtepd_tables::TunnelParameters| {
        tunnel.udp_checksum = bit(3);
        tunnel.mtu = if bit(4) { 200 } else { UNDERLAY_MTU };
        tunnel.tag = bit(5).then(|| tag(77));
    };
    let mut host = routed_host()
        .network(green, GREEN_VNI)
        .network(yellow, YELLOW_VNI)
        .port(green, GREEN1, 0)
        .port(yellow, YELLOW1, 9)
        .remote_with(red(), PEER, tunnel)
        .remote_with(red(), PEER6, tunnel)
        .remote_with(green, PEER, tunnel)
        .remote_with(yellow, PEER, tunnel)
        .vm(VM1, &[VM1_IP, VM1_IP6], GREEN1, 0)
        .vm(VM6, &[VM6_IP, VM6_IP6], YELLOW1, 9)
        .change(red(), change)
        .change(blue(), change)
        .change(green, change)
        .change(yellow, change);
    host = host
        .metadata(&[red(), blue(), green], bit(5).then_some(LINK_TAG))
        .asker(VM1_NAME, red(), VM1, VM1_IP, (PORT1, 0))
        .asker(VM6_NAME, blue(), VM6, VM6_IP, (PORT4, 0))
        .asker(GREEN_NAME, green, VM1, VM1_IP, (GREEN1, 0));
    host.gateway(103, green, 2, GW_RED, &["10.0.0.254/24", "fd00::fe/64"]);
    host.gateway(104, yellow, 2, GW_BLUE, &["10.1.0.254/24", "fd01::fe/64"]);
    for (vrf, at) in [(1, AT_RED), (2, 103)] {
        // By two next hops, and a router that leads to itself.
        host.route(
            vrf,
            "172.16.0.0/12",
            &[via(at, VM1_IP), via(at + 1, VM6_IP)],
        );
        host.route(vrf, "192.0.2.0/24", &[via(at, GW_RED_IP)]);
    }
    for at in [AT_RED, AT_BLUE, 103, 104] {
        host.change_gateway(adjacency(at), |gateway| {
            gateway.from_underlay = bit(9);
            gateway.mtu = if bit(11) { 600 } else { 1450 };
            gateway.distributed = !bit(12);
        });
    }
    if bit(6) {
        host = host
            .guarded(VM1, &[VM1_IP, VM1_IP6], PORT1)
            .allowed(PORT1, &[(VM1, "10.0.0.21/31"), (NOBODY, "fd00::/64")]);
    }
    if bit(7) {
        host = host.guarded(VM2, &[VM2_IP], PORT2);
        host.access(PORT2, None, Access::Known);
    }
    if bit(10) {
        host = host
            .vlan_segment(red(), PROVIDER, 196)
            .vlan_segment(blue(), PROVIDER, 148);
        let [at_red, at_blue] = [196, 148].map(|vlan| host.at_port(PROVIDER, vlan));
        host.station(red(), VM4, &[VM4_IP, VM4_IP6], at_red);
        host.station(blue(), VM7, &[VM7_IP, VM7_IP6], at_blue);
    }
    match (bit(13), bit(14)) {
        (true, true) => host.lead_outside(&translated()),
        (true, false) => host.lead_to_central(&translated()),
        (false, _) => {}
    }
    host
}

/// What there is of lengths and checksums down to the inner frame holds.
fn assert_outer_is_sound(sent: &[u8]) {
    let link = frame::link(sent).expect("a whole Ethernet header");
    let l3 = &sent[usize::from(link.l3)..];
    let Some(network) = frame::network(sent, sent.len(), &link).expect("a sound IP header") else {
        return craft::verify(sent).expect("sound ARP");
    };
    let message = &sent[network.l4..network.end];
    let pseudo = if link.ethertype == ethernet::ETHERTYPE_IPV4 {
        ipv4::check(l3, l3.len()).expect("a sound IPv4 header");
        let (header, _) = ipv4::Header::ref_from_prefix(l3).expect("checked");
        header.pseudo_header(network.protocol, message.len() as u16)
    } else {
        let (header, _) = ipv6::Header::ref_from_prefix(l3).expect("checked");
        header.pseudo_header(network.protocol, message.len() as u32)
    };
    if network.protocol != ipv4::PROTOCOL_UDP {
        return craft::verify(sent).expect("an answer of ours");
    }
    assert_eq!(udp::check(message, message.len()), Ok(message.len()));
    assert!(udp::checksum_ok(pseudo, message));
}

/// The VNI of a tunnel packet.
fn vni(sent: &[u8]) -> Option<u32> {
    let link = frame::link(sent).ok()?;
    let network = frame::network(sent, sent.len(), &link).ok()??;
    let payload = sent.get(network.l4 + udp::Header::LEN..)?;
    let is_udp = network.protocol == ipv4::PROTOCOL_UDP;
    let (header, _) = vxlan::Header::ref_from_prefix(payload).ok()?;
    is_udp.then(|| header.vni())
}

/// In whose name a question leaves to the metadata proxy.
fn asks_as(sent: &[u8]) -> String {
    let link = frame::link(sent).expect("a whole Ethernet header");
    let (ip, _) = ipv4::Header::ref_from_prefix(&sent[usize::from(link.l3)..]).expect("IPv4");
    ip.source_addr().to_string()
}

/// Frames of one tenant stay with that tenant.
fn assert_tenants_do_not_meet(first: bool, to: InterfaceIndex, sent: &[u8]) {
    let others: (&[_], _) = if first {
        (&[GREEN1, YELLOW1], [GREEN_VNI, YELLOW_VNI])
    } else {
        (&[PORT1, PORT2, PORT3, PORT4, PROVIDER], [RED_VNI, BLUE_VNI])
    };
    match to {
        UNDERLAY => assert!(vni(sent).is_some_and(|vni| !others.1.contains(&vni))),
        LINK => assert_eq!(asks_as(sent) == GREEN_NAME, !first),
        _ => assert!(!others.0.contains(&to)),
    }
}

/// Whether what came in was the first tenant's; `None` when that is not known.
fn is_firsts(from: InterfaceIndex, frames: &[Vec<u8>]) -> Option<bool> {
    match (from, frames) {
        (UNDERLAY, [only]) => match vni(only)? {
            RED_VNI | BLUE_VNI => Some(true),
            GREEN_VNI | YELLOW_VNI => Some(false),
            _ => None,
        },
        (UNDERLAY | LINK, _) => None,
        _ => Some(![GREEN1, YELLOW1].contains(&from)),
    }
}

fn is_sound(bytes: &[u8]) -> bool {
    // Behind a third tag nothing is verified, and it may come to light.
    let hidden = frame::link(bytes).is_ok_and(|link| ethernet::is_tag(link.ethertype));
    !hidden && craft::verify(bytes).is_ok()
}

fn assert_sound(sent: &[(InterfaceIndex, Vec<u8>)], to_its_end: bool) {
    for (to, sent) in sent {
        if *to == UNDERLAY {
            assert_outer_is_sound(sent);
        }
        if to_its_end {
            craft::verify(sent).expect("sound in, sound out");
        }
    }
}

fn assert_nothing_leaks(sent: &[(InterfaceIndex, Vec<u8>)]) {
    let rules = translated();
    for (to, frame) in sent {
        if *to == EXT {
            assert_eq!(leak(frame, &[&rules]), None);
        }
    }
}

fn run(host: &mut Host, input: &Input, corpus: &[(InterfaceIndex, Vec<u8>)]) {
    let mut ever_sound = true;
    for arrivals in input.arrivals.chunks(BURST) {
        for from in INTERFACES {
            let here = arrivals.iter().filter(|arrival| {
                INTERFACES[usize::from(arrival.interface) % INTERFACES.len()] == from
            });
            let here: Vec<&Arrival> = here.collect();
            let frames: Vec<_> = here
                .iter()
                .map(|arrival| arrival.frame.bytes(corpus))
                .collect();
            let all_sound = frames.iter().all(|frame| is_sound(frame));
            ever_sound &= all_sound;
            let burst = here
                .iter()
                .zip(&frames)
                .map(|(arrival, frame)| arrival.packet(frame))
                .collect();
            host.io.pool = Some(usize::from(input.pool));
            host.io.discarded = 0;
            let now = host.state.seconds;
            host.state.set_time(now + 1);
            let held = host.held() + host.waiting();
            let outcome = host.send_burst(from, burst);
            let copied = usize::from(input.pool) - host.io.pool.unwrap_or_default();
            assert_eq!(
                frames.len() + copied + held,
                outcome.sent.len() + host.io.discarded + host.held() + host.waiting()
            );
            assert_sound(&outcome.sent, all_sound);
            assert_nothing_leaks(&outcome.sent);
            if let Some(first) = is_firsts(from, &frames) {
                for (to, sent) in &outcome.sent {
                    assert_tenants_do_not_meet(first, *to, sent);
                }
            }
        }
        host.asked();
    }
    resume(host, input, ever_sound);
}

/// Who waits goes on if his neighbour answers, and in any case waits no longer than three
/// seconds. Only the first tenant has anybody who answers.
fn resume(host: &mut Host, input: &Input, sound: bool) {
    if input.answers {
        let at = host.at_port(PORT4, 0);
        host.neighbour(blue(), UNKNOWN, VM6, at);
        let sent = host.resume();
        assert_sound(&sent, sound);
        assert!(
            sent.iter()
                .all(|(to, _)| [PORT4, UNDERLAY, EXT].contains(to) || *to < GREEN1)
        );
        assert_nothing_leaks(&sent);
        host.tables.neighbours.remove(blue(), ip(UNKNOWN));
    }
    // As long as any fragment waits for its first one, and then as long as any session lasts.
    for seconds in [10, 10_000] {
        let now = host.state.seconds;
        let aged = host.age(now + seconds);
        assert_nothing_leaks(&aged.sent);
        let sent = host.resume();
        assert_sound(&sent, sound);
        assert_nothing_leaks(&sent);
    }
    assert_eq!((host.held(), host.waiting()), (0, 0));
}

thread_local! {
    static CORPUS: Vec<(InterfaceIndex, Vec<u8>)> = corpus();
    /// Hosts by their settings: frames leave no trace in the tables but stamps.
    static HOSTS: RefCell<HashMap<u32, Host>> = RefCell::new(HashMap::new());
}

fuzz_target!(|input: Input| {
    // Spread over all bits: each is set in half of the hosts, and each pair in a quarter.
    let settings = (u32::from(input.settings % VARIETIES) * 40503) >> 3;
    CORPUS.with(|corpus| {
        HOSTS.with_borrow_mut(|hosts| {
            let host = hosts.entry(settings).or_insert_with(|| host_with(settings));
            run(host, &input, corpus);
        });
    });
});
