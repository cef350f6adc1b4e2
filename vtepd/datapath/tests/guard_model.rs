//! The guard against a receiver that believes anything: whatever frame a guarded port
//! makes up, what gets through tells such a receiver nothing but the port's own
//! addresses and MACs, and is from no router or DHCP server.

mod common;

use std::net::{IpAddr, Ipv6Addr};

use common::*;
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{Mac, arp, ipv6, nd};

const VRRP_MAC: &str = "00:00:5e:00:01:07";

/// What may be said from which MAC.
const OWN: [(&str, &[&str]); 2] = [
    (
        VM1,
        &[
            "10.0.0.1/32",
            "10.0.0.11/32",
            "10.66.0.0/16",
            "fd00::1/128",
            "fd66::/48",
        ],
    ),
    (VRRP_MAC, &["10.0.0.60/32", "fd00::60/128"]),
];

fn guarded_host() -> Host {
    routed_host()
        .change(red(), |network| network.vlan_transparent = true)
        .guarded(VM1, &[VM1_IP, "10.0.0.11", VM1_IP6], PORT1)
        .allowed(
            PORT1,
            &[
                (VM1, "10.66.0.0/16"),
                (VM1, "fd66::/48"),
                (VRRP_MAC, "10.0.0.60/32"),
                (VRRP_MAC, "fd00::60/128"),
            ],
        )
}

fn owns(who: Mac, address: IpAddr) -> bool {
    let own = OWN.iter().find(|(own, _)| mac(own) == who);
    own.is_some_and(|(_, prefixes)| {
        let is_of = |prefix: &&str| prefix.parse::<IpNet>().unwrap().contains(&address);
        prefixes.iter().any(is_of) || address == IpAddr::V6(ipv6::link_local(who))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn address4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(IpAddr::from(octets))
}

fn address6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(IpAddr::from(octets))
}

fn mac_at(bytes: &[u8], at: usize) -> Option<Mac> {
    Some(Mac(bytes.get(at..at + 6)?.try_into().ok()?))
}

/// What a receiver that looks through anything objects to; `None` when it cannot read
/// enough of the frame to believe something.
fn objection(frame: &[u8]) -> Option<&'static str> {
    let from = mac_at(frame, 6)?;
    let mut at = 12;
    let mut ethertype = word(frame, at)?;
    while [0x8100, 0x88a8].contains(&ethertype) {
        at += 4;
        ethertype = word(frame, at)?;
    }
    at += 2;
    if ethertype < 0x600 && frame.get(at..at + 2)? == [0xaa, 0xaa] {
        ethertype = word(frame, at + 6)?;
        at += 8;
    }
    let packet = frame.get(at..)?;
    if OWN.iter().all(|(own, _)| mac(own) != from) {
        return Some("another MAC");
    }
    match ethertype {
        0x0806 => object_arp(from, packet),
        0x0800 => object_v4(from, packet),
        0x86dd => object_v6(from, packet),
        _ => None,
    }
}

fn object_arp(from: Mac, arp: &[u8]) -> Option<&'static str> {
    let (says, about) = (mac_at(arp, 8)?, address4(arp, 14)?);
    let target = address4(arp, 24)?;
    let probe = about.is_unspecified() && word(arp, 6)? == 1;
    if says != from {
        return Some("ARP for another MAC");
    }
    let address = if probe { target } else { about };
    (!owns(from, address)).then_some("ARP for another address")
}

fn object_v4(from: Mac, packet: &[u8]) -> Option<&'static str> {
    let source = address4(packet, 12)?;
    let segment = packet.get(usize::from(*packet.first()? & 15) * 4..);
    let first = word(packet, 6)? & 0x1fff == 0;
    let ports = segment.and_then(|segment| Some((word(segment, 0)?, word(segment, 2)?)));
    let ports = ports.filter(|_| first && packet[9] == 17);
    match ports {
        Some((67, _) | (_, 68)) => Some("a DHCP server"),
        Some((68, 67)) if source.is_unspecified() => None,
        _ => (!owns(from, source)).then_some("another IPv4 source"),
    }
}

fn object_v6(from: Mac, packet: &[u8]) -> Option<&'static str> {
    let source = address6(packet, 8)?;
    let payload_len = usize::from(word(packet, 4)?);
    let packet = packet.get(..40 + payload_len).unwrap_or(packet);
    let (mut protocol, mut at) = (packet[6], 40);
    let mut first = true;
    while let 0 | 43 | 44 | 51 | 60 = protocol {
        let Some(header) = packet.get(at..at + 8) else {
            break;
        };
        let len = match protocol {
            44 => {
                first = word(header, 2)? & 0xfff8 == 0;
                8
            }
            51 => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        (protocol, at) = (header[0], at + len);
        if !first {
            break;
        }
    }
    let message = packet.get(at..).unwrap_or_default();
    if first && protocol == 17 {
        match (word(message, 0), word(message, 2)) {
            (Some(547), _) | (_, Some(546)) => return Some("a DHCPv6 server"),
            _ => {}
        }
    }
    let kind = message.first().copied().filter(|_| first && protocol == 58);
    let target = address6(message, 8);
    let options = match kind {
        Some(134 | 137) => return Some("a router"),
        Some(136) if target.is_some_and(|target| !owns(from, target)) => {
            return Some("an advertisement for another address");
        }
        Some(135 | 136) => message.get(24..).unwrap_or_default(),
        Some(133) => message.get(8..).unwrap_or_default(),
        _ => &[],
    };
    if names_another(from, options) {
        return Some("ND for another MAC");
    }
    if source.is_unspecified() {
        return match (kind, target) {
            (Some(131 | 133 | 143), _) => None,
            (Some(135), Some(target)) if owns(from, target) => None,
            _ => Some("nobody speaks"),
        };
    }
    (!owns(from, source)).then_some("another IPv6 source")
}

/// Whether a link-layer option, as far as one can read, has another MAC.
fn names_another(from: Mac, mut options: &[u8]) -> bool {
    while let [kind, units @ 1..=255, ..] = *options {
        let told = mac_at(options, 2);
        if (kind == 1 || kind == 2) && told.is_some_and(|told| told != from) {
            return true;
        }
        options = options.get(usize::from(units) * 8..).unwrap_or_default();
    }
    false
}

/// The receiver is not blind.
#[test]
fn the_receiver_objects_to_what_it_should() {
    let arp = craft::ethernet(VM2, VM1).arp_request(VM2_IP, VM1_IP);
    assert!(objection(&arp).is_some());
    assert!(objection(&tagged(0, &tagged(0, &tagged(0, &arp)))).is_some());
    let snap = [&arp[..12], &[0, 36, 0xaa, 0xaa, 3, 0, 0, 0], &arp[12..]].concat();
    assert!(objection(&snap).is_some());
    let own = craft::ethernet(VM2, VM1).arp_request(VM1_IP, VM2_IP);
    assert_eq!(objection(&own), None);
    let all = || craft::ethernet(VM2, VM1).ipv6(VM1_IP6, VM2_IP6);
    let hidden = all()
        .hop_by_hop()
        .fragment(1, 0, true)
        .destination_options();
    assert!(objection(&hidden.ttl(255).icmp(134, 0, 0, &[0; 8])).is_some());
    assert!(objection(&all().advertisement(VM2_IP6, 0)).is_some());
    assert!(objection(&all().udp(547, 1, b"")).is_some());
    assert_eq!(objection(&all().advertisement(VM1_IP6, 0)), None);
    let other = craft::ethernet(VM2, VM1).ipv4(VM2_IP, VM1_IP);
    assert!(objection(&other.udp(1, 2, b"")).is_some());
}

/// Neither are the frames all harmless or all refused.
#[test]
fn the_frames_are_of_all_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut host = guarded_host();
    let [mut harmless, mut passed, mut both] = [0; 3];
    for _ in 0..2000 {
        let frame = frame().new_tree(&mut runner).unwrap().current();
        host.state.now = host.state.now.wrapping_add(1);
        let (is_harmless, has_passed) = (
            objection(&frame).is_none(),
            host.send(PORT1, &frame).drops.is_empty(),
        );
        harmless += u32::from(is_harmless);
        passed += u32::from(has_passed);
        both += u32::from(is_harmless && has_passed);
    }
    assert_eq!(passed, both);
    assert!((200..1000).contains(&harmless), "{harmless}");
    // Others are malformed, hidden, or end at the gateway.
    assert!(passed > 100, "{passed} of {harmless}");
}

fn pick<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(all.to_vec())
}

fn some_mac() -> impl Strategy<Value = &'static str> {
    pick(&[VM1, VM1, VM1, VRRP_MAC, VRRP_MAC, VM2, GW_RED, NOBODY])
}

fn some_v4() -> impl Strategy<Value = &'static str> {
    pick(&[
        VM1_IP,
        VM1_IP,
        "10.0.0.11",
        "10.66.7.7",
        "10.0.0.60",
        "0.0.0.0",
        VM2_IP,
        GW_RED_IP,
    ])
}

fn some_v6() -> impl Strategy<Value = &'static str> {
    pick(&[
        VM1_IP6,
        VM1_IP6,
        "fd66::9",
        "fd00::60",
        "::",
        VM2_IP6,
        GW_RED_IP6,
        "fe80::f816:3eff:fe00:1",
        "fe80::200:5eff:fe00:107",
        "fe80::1",
        "ff02::1",
    ])
}

fn port() -> impl Strategy<Value = u16> {
    pick(&[1, 53, 67, 68, 546, 547, 1000])
}

/// An Ethernet header and what to end it with.
fn begin() -> impl Strategy<Value = craft::Ethernet> {
    let destination = pick(&[VM2, VM2, BROADCAST, "33:33:00:00:00:01", GW_RED, NOBODY]);
    (destination, some_mac()).prop_map(|(to, from)| craft::ethernet(to, from))
}

fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    (begin(), some_mac(), some_v4(), some_v4(), any::<bool>()).prop_map(
        |(begin, sender, about, target, reply)| {
            let (about, target) = (about.parse().unwrap(), target.parse().unwrap());
            begin.arp(match reply {
                true => arp::Packet::reply(mac(sender), about, mac(VM2), target),
                false => arp::Packet::request(mac(sender), about, target),
            })
        },
    )
}

fn v4_frame() -> impl Strategy<Value = Vec<u8>> {
    let fragment = pick(&[(0, false), (0, false), (0, true), (8, true), (1480, false)]);
    let options = pick(&[0usize, 0, 4, 40]);
    (
        begin(),
        some_v4(),
        fragment,
        options,
        (port(), port()),
        pick(&[17u8, 17, 17, 6, 1]),
        0usize..30,
    )
        .prop_map(
            |(begin, source, (offset, more), options, (from, to), protocol, len)| {
                let packet = begin.ipv4(source, VM2_IP).options(&vec![1; options]);
                let segment = [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 26]].concat();
                packet
                    .fragment(1, offset, more)
                    .payload(protocol, &segment[..len])
            },
        )
}

fn wrapped(packet: Packet, headers: &[u8]) -> Packet {
    headers.iter().fold(packet, |packet, header| match header {
        0 => packet.hop_by_hop(),
        1 => packet.destination_options(),
        2 => packet.routing(),
        3 => packet.authentication(),
        4 => packet.fragment(1, 0, false),
        5 => packet.fragment(1, 0, true),
        _ => packet.fragment(1, 48, true),
    })
}

fn v6_frame() -> impl Strategy<Value = Vec<u8>> {
    let headers = prop::collection::vec(0u8..7, 0..4);
    let message = (
        pick(&[128u8, 131, 133, 134, 135, 136, 137, 143]),
        some_v6(),
        prop::collection::vec((1u8..4, some_mac()), 0..3),
    );
    (
        begin(),
        some_v6(),
        headers,
        message,
        (port(), port()),
        any::<bool>(),
        0usize..60,
    )
        .prop_map(
            |(begin, source, headers, (kind, target, options), (from, to), icmp, kept)| {
                let packet = wrapped(begin.ipv6(source, "ff02::1").ttl(255), &headers);
                if !icmp {
                    let segment = [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 56]].concat();
                    return packet.payload(17, &segment[..kept]);
                }
                let target: Ipv6Addr = target.parse().unwrap();
                let mut body = if kind == 133 {
                    Vec::new()
                } else {
                    target.octets().to_vec()
                };
                for (option, who) in options {
                    body.extend(nd_option(option, who));
                }
                let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
                message.extend(body);
                if kept < 10 {
                    message.truncate(kept);
                }
                packet.payload(58, &message)
            },
        )
}

fn nd_option(kind: u8, who: &str) -> [u8; 8] {
    let option = nd::LinkLayerOption::new(kind, mac(who));
    vtepd_wire::IntoBytes::as_bytes(&option).try_into().unwrap()
}

/// A frame in tags, in SNAP, with a byte changed, cut off.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec((pick(&[0x8100u16, 0x88a8]), pick(&[0u16, 5])), 0..4);
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    let cut = prop::option::weighted(0.1, any::<prop::sample::Index>());
    let any_frame = prop_oneof![arp_frame(), v4_frame(), v6_frame()];
    (any_frame, prop::bool::weighted(0.1), tags, damage, cut).prop_map(
        |(mut frame, snap, tags, damage, cut)| {
            if snap {
                let header = [0, 40, 0xaa, 0xaa, 3, 0, 0, 0];
                frame = [&frame[..12], &header, &frame[12..]].concat();
            }
            for (tpid, tci) in tags {
                frame = tagged_with(tpid, tci, &frame);
            }
            if let Some((at, value)) = damage {
                *at.get_mut(&mut frame) = value;
            }
            if let Some(cut) = cut {
                frame.truncate(cut.index(frame.len()));
            }
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_gets_through_is_the_ports_own(frame in frame()) {
        thread_local! {
            static HOST: std::cell::RefCell<Host> = std::cell::RefCell::new(guarded_host());
        }
        HOST.with_borrow_mut(|host| {
            host.state.now = host.state.now.wrapping_add(1);
            let outcome = host.send(PORT1, &frame);
            // Bridged, routed or answered: the guard has let it through.
            let passed = outcome.drops.is_empty();
            let objection = objection(&frame);
            prop_assert!(!passed || objection.is_none(), "{objection:?}: {frame:02x?}");
            Ok(())
        })?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// And the usual ones do get through: the guard is no wall.
    #[test]
    fn what_is_the_ports_own_gets_through(
        (who, own) in pick(&OWN),
        at in any::<prop::sample::Index>(),
        tagged_too in any::<bool>(),
    ) {
        let prefix: IpNet = at.get(own).parse().unwrap();
        let address = prefix.addr();
        let begin = || craft::ethernet(VM2, who);
        let frames = match address {
            IpAddr::V4(own) => vec![
                begin().ipv4(own, [10, 0, 0, 2]).udp(1, 2, b""),
                begin().ipv4(own, [10, 0, 0, 2]).tcp(1, 2, 2, b""),
                begin().arp_request(own, [10, 0, 0, 2]),
                begin().arp_reply(own, [10, 0, 0, 2]),
            ],
            IpAddr::V6(own) => vec![
                begin().ipv6(own, VM2_IP6.parse::<Ipv6Addr>().unwrap()).udp(1, 2, b""),
                begin().ipv6(own, VM2_IP6.parse::<Ipv6Addr>().unwrap()).solicitation(VM2_IP6),
                begin().ipv6(own, VM2_IP6.parse::<Ipv6Addr>().unwrap()).advertisement(own, 0),
            ],
        };
        let mut host = guarded_host();
        for frame in frames {
            prop_assert_eq!(objection(&frame), None);
            let frame = if tagged_too { tagged(5, &frame) } else { frame };
            let outcome = host.send(PORT1, &frame);
            prop_assert_eq!(outcome.one(), (PORT2, &frame[..]));
        }
    }
}
