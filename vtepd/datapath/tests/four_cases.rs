//! The four east-west cases with any MACs, addresses, VNIs, VLANs, TTLs and payloads,
//! over IPv4 and IPv6, in both roles, against a model that writes each frame from
//! scratch: what VM A sends, what is on the wire between two hosts, what VM B gets.
//!
//! | | same host | other host |
//! |---|---|---|
//! | same network | as it is | as it is, in the network's segment |
//! | other network | TTL - 1, from B's gateway | TTL - 1, from A's host MAC in B's segment; from B's gateway |

mod common;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::*;
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use vtepd_tables::{Access, Adjacency, AdjacencyIndex, InterfaceIndex, NetworkIndex};
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{Mac, Vni};

/// One network of the cloud.
#[derive(Clone, Debug)]
struct Net {
    gateway: Mac,
    station: Mac,
    /// Another station of it.
    other: Mac,
    v4: Subnet<Ipv4Addr>,
    v6: Subnet<Ipv6Addr>,
    vni: u32,
    vlan: u16,
    access_vlan: u16,
}

/// Addresses of one network, and their prefix.
#[derive(Clone, Copy, Debug)]
struct Subnet<A> {
    gateway: A,
    station: A,
    other: A,
    len: u8,
}

#[derive(Clone, Debug)]
struct Cloud {
    nets: [Net; 2],
    /// Host MACs of A's and of B's host.
    hosts: [Mac; 2],
    vlan: bool,
}

#[derive(Clone, Debug)]
struct Message {
    ttl: u8,
    tos: u8,
    ports: (u16, u16),
    payload: Vec<u8>,
    v6: bool,
    tcp: bool,
}

impl Message {
    fn end(&self, packet: Packet, ttl: u8) -> Vec<u8> {
        let packet = packet.ttl(ttl).tos(self.tos);
        if self.tcp {
            packet.tcp(self.ports.0, self.ports.1, 0x18, &self.payload)
        } else {
            packet.udp(self.ports.0, self.ports.1, &self.payload)
        }
    }

    /// The message in a frame between MACs, as it is after `hops`.
    fn frame(&self, macs: (Mac, Mac), from: IpAddr, to: IpAddr, hops: u8) -> Vec<u8> {
        let link = craft::ethernet(macs.1, macs.0);
        let packet = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from, to),
            _ => unreachable!("one family"),
        };
        self.end(packet, self.ttl - hops)
    }
}

impl Net {
    fn station(&self, v6: bool) -> IpAddr {
        if v6 {
            self.v6.station.into()
        } else {
            self.v4.station.into()
        }
    }

    fn other(&self, v6: bool) -> IpAddr {
        if v6 {
            self.v6.other.into()
        } else {
            self.v4.other.into()
        }
    }

    fn gateway_addresses(&self) -> [String; 2] {
        [
            format!("{}/{}", self.v4.gateway, self.v4.len),
            format!("{}/{}", self.v6.gateway, self.v6.len),
        ]
    }
}

fn any_mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(|bytes| {
        Mac([
            bytes[0] & 0xfe | 2,
            bytes[1],
            bytes[2],
            bytes[3],
            bytes[4],
            bytes[5],
        ])
    })
}

/// Host MACs have a part in common, as Neutron's do; or nothing.
fn host_macs() -> impl Strategy<Value = [Mac; 2]> {
    (any::<[u8; 6]>(), any::<[u8; 3]>(), any::<bool>(), any_mac()).prop_map(
        |(one, end, alike, other)| {
            let first = Mac([0xfa, 0x16, 0x3f, one[3], one[4], one[5]]);
            let second = Mac([0xfa, 0x16, 0x3f, end[0], end[1], end[2]]);
            [first, if alike { second } else { other }]
        },
    )
}

fn subnet_v4(block: u8) -> impl Strategy<Value = Subnet<Ipv4Addr>> {
    (any::<u32>(), 16u8..=29, any::<[u32; 3]>()).prop_map(move |(base, len, hosts)| {
        // One of the two halves of 10.0.0.0/8 for each network.
        let network =
            (10 << 24 | u32::from(block) << 23 | base & 0x007f_ffff) >> (32 - len) << (32 - len);
        let room = (1u32 << (32 - len)) - 2;
        let at = |host: u32, salt: u32| {
            Ipv4Addr::from_bits(network + 1 + (host % (room / 3)) * 3 % room + salt)
        };
        Subnet {
            gateway: at(hosts[0], 0),
            station: at(hosts[1], 1),
            other: at(hosts[2], 2),
            len,
        }
    })
}

fn subnet_v6(block: u8) -> impl Strategy<Value = Subnet<Ipv6Addr>> {
    (any::<u128>(), 48u8..=120, any::<[u128; 3]>()).prop_map(move |(base, len, hosts)| {
        let start = 0xfd << 120 | u128::from(block) << 119 | base & (u128::MAX >> 9);
        let network = start >> (128 - len) << (128 - len);
        let room = (1u128 << (128 - len)) - 4;
        let at = |host: u128, salt: u128| {
            Ipv6Addr::from_bits(network + 1 + host % (room / 3) * 3 + salt)
        };
        Subnet {
            gateway: at(hosts[0], 0),
            station: at(hosts[1], 1),
            other: at(hosts[2], 2),
            len,
        }
    })
}

fn net(block: u8) -> impl Strategy<Value = Net> {
    (
        [any_mac(), any_mac(), any_mac()],
        subnet_v4(block),
        subnet_v6(block),
        1u32..=0x7f_ffff,
        1u16..2000,
        prop_oneof![Just(0u16), 1u16..4095],
    )
        .prop_map(
            move |([gateway, station, other], v4, v6, vni, vlan, access_vlan)| Net {
                gateway,
                station,
                other,
                v4,
                v6,
                // Different by their last bit.
                vni: vni * 2 + u32::from(block),
                vlan: vlan * 2 + u16::from(block),
                access_vlan,
            },
        )
}

fn cloud() -> impl Strategy<Value = Cloud> {
    (net(0), net(1), host_macs(), any::<bool>())
        .prop_map(|(a, b, hosts, vlan)| Cloud {
            nets: [a, b],
            hosts,
            vlan,
        })
        .prop_filter("who is who", |cloud| {
            let [a, b] = &cloud.nets;
            let macs = [
                a.gateway,
                a.station,
                a.other,
                b.gateway,
                b.station,
                b.other,
                cloud.hosts[0],
                cloud.hosts[1],
            ];
            HashSet::from(macs).len() == macs.len()
        })
}

fn message() -> impl Strategy<Value = Message> {
    (
        2u8..,
        any::<u8>(),
        any::<(u16, u16)>(),
        prop::collection::vec(any::<u8>(), 0..1200),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(ttl, tos, ports, payload, v6, tcp)| Message {
            ttl,
            // Without a congestion mark, which the underlay would have a part in.
            tos: tos & 0xfc,
            ports,
            payload,
            v6,
            tcp,
        })
}

const PROVIDER: InterfaceIndex = InterfaceIndex(9);
const ACCESS: [InterfaceIndex; 2] = [PORT1, PORT2];
/// Untagged ports of the second stations.
const SECOND: [InterfaceIndex; 2] = [PORT3, PORT4];

/// A host of the cloud, where the first station of the networks in `here` is.
struct Side {
    bench: Bench,
    cloud: Cloud,
}

/// `us`: 0 for A's host, 1 for B's. `others_here`: whether the second stations are.
fn side(cloud: &Cloud, us: usize, here: [bool; 2], others_here: bool) -> Side {
    let mut bench = Bench::default();
    bench.interface(UNDERLAY.0, OUR_MAC, UNDERLAY_MTU);
    bench.interface(PROVIDER.0, "02:00:00:00:0b:01", 1500);
    let addresses = [US, PEER];
    bench.underlay(UNDERLAY, None, &[addresses[us]]);
    let tunnel = bench.remote(10, UNDERLAY, addresses[us], addresses[1 - us], ROUTER_MAC);
    let mut ways_out = Vec::new();
    for (at, net) in cloud.nets.iter().enumerate() {
        let (number, index) = (at as u16 + 1, network(at as u16 + 1));
        bench.interface(ACCESS[at].0, "02:00:00:00:0a:01", 1500);
        let access_tag = (net.access_vlan != 0).then(|| tag(net.access_vlan));
        let (port, outside) = if cloud.vlan {
            let port = bench.bind(number, ACCESS[at], access_tag, index);
            let outside = bench.bind(number + 4, PROVIDER, Some(tag(net.vlan)), index);
            bench.access(PROVIDER, Some(tag(net.vlan)), Access::Segment);
            let snapshot = bench.tables.edit();
            if let Adjacency::Port(port) = snapshot.adjacency_mut(outside) {
                port.segment = true;
            }
            snapshot.network_mut(index).segment = Some(outside);
            (port, outside)
        } else {
            bench.vxlan(number, net.vni);
            (bench.bind(number, ACCESS[at], access_tag, index), tunnel)
        };
        ways_out.push(outside);
        bench.interface(SECOND[at].0, "02:00:00:00:0a:02", 1500);
        let second = bench.bind(number + 6, SECOND[at], None, index);
        let place = |here: bool, port| -> AdjacencyIndex { if here { port } else { outside } };
        station(
            &mut bench,
            index,
            net.station,
            [net.v4.station.into(), net.v6.station.into()],
            place(here[at], port),
        );
        station(
            &mut bench,
            index,
            net.other,
            [net.v4.other.into(), net.v6.other.into()],
            place(others_here, second),
        );
        let [v4, v6] = net.gateway_addresses();
        let gateway = bench.gateway(20 + number, index, 1, &net.gateway.to_string(), &[&v4, &v6]);
        bench.change_gateway(gateway, |gateway| gateway.mtu = 1500);
    }
    let [own, other] = [cloud.hosts[us], cloud.hosts[1 - us]].map(|mac| mac.to_string());
    bench.host_macs(&own, &[(&other, ways_out[0])]);
    Side {
        bench,
        cloud: cloud.clone(),
    }
}

fn station(
    bench: &mut Bench,
    network: NetworkIndex,
    mac: Mac,
    addresses: [IpAddr; 2],
    at: AdjacencyIndex,
) {
    let addresses = addresses.map(|address| address.to_string());
    bench.station(
        network,
        &mac.to_string(),
        &[&addresses[0], &addresses[1]],
        at,
    );
}

impl Side {
    fn on_access(&self, net: usize, frame: &[u8]) -> Vec<u8> {
        match self.cloud.nets[net].access_vlan {
            0 => frame.to_vec(),
            vlan => tagged(vlan, frame),
        }
    }

    /// What a station of the network sends.
    fn send(&mut self, net: usize, frame: &[u8]) -> Outcome {
        let frame = self.on_access(net, frame);
        self.bench.send(ACCESS[net], &frame)
    }

    #[track_caller]
    fn assert_delivered(&self, net: usize, outcome: &Outcome, frame: &[u8]) {
        assert_eq!(
            outcome.one(),
            (ACCESS[net], &self.on_access(net, frame)[..])
        );
        assert_eq!(outcome.drops, []);
        assert_eq!(outcome.events, []);
    }

    /// The frame is on the wire in the segment of `net`, and is given to the other host.
    #[track_caller]
    fn carry(&self, to: &mut Side, net: usize, outcome: &Outcome, frame: &[u8]) -> Outcome {
        let (interface, sent) = outcome.one();
        assert_eq!(craft::verify(sent), Ok(()));
        let segment = &self.cloud.nets[net];
        if self.cloud.vlan {
            assert_eq!(
                (interface, sent),
                (PROVIDER, &tagged(segment.vlan, frame)[..])
            );
            return to.bench.send(PROVIDER, sent);
        }
        assert_eq!(interface, UNDERLAY);
        let vni = Vni::new(segment.vni).unwrap();
        assert_eq!(inner(vni.get(), sent), frame);
        let outer = [
            &craft::ethernet(OUR_MAC, ROUTER_MAC).payload(0x0800, b"")[..],
            &sent[14..],
        ]
        .concat();
        to.bench.send(UNDERLAY, &outer)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn same_network_same_host(cloud in cloud(), message in message()) {
        for net in [0, 1] {
            let mut host = side(&cloud, 0, [true; 2], true);
            let it = &cloud.nets[net];
            let (from, to) = (it.station(message.v6), it.other(message.v6));
            let frame = message.frame((it.station, it.other), from, to, 0);
            let outcome = host.send(net, &frame);
            prop_assert_eq!(outcome.one(), (SECOND[net], &frame[..]));
            // And the answer.
            let frame = message.frame((it.other, it.station), to, from, 0);
            let outcome = host.bench.send(SECOND[net], &frame);
            host.assert_delivered(net, &outcome, &frame);
        }
    }

    #[test]
    fn same_network_other_host(cloud in cloud(), message in message()) {
        for net in [0, 1] {
            let mut here = side(&cloud, 0, [true; 2], false);
            let mut there = side(&cloud, 1, [false; 2], true);
            let it = &cloud.nets[net];
            let (from, to) = (it.station(message.v6), it.other(message.v6));
            let frame = message.frame((it.station, it.other), from, to, 0);
            let sent = here.send(net, &frame);
            let outcome = here.carry(&mut there, net, &sent, &frame);
            prop_assert_eq!(outcome.one(), (SECOND[net], &frame[..]));
            // And the answer.
            let frame = message.frame((it.other, it.station), to, from, 0);
            let sent = there.bench.send(SECOND[net], &frame);
            let outcome = there.carry(&mut here, net, &sent, &frame);
            here.assert_delivered(net, &outcome, &frame);
        }
    }

    #[test]
    fn other_network_same_host(cloud in cloud(), message in message()) {
        let mut host = side(&cloud, 0, [true; 2], true);
        for (net, other) in [(0, 1), (1, 0)] {
            let (a, b) = (&cloud.nets[net], &cloud.nets[other]);
            let (from, to) = (a.station(message.v6), b.station(message.v6));
            let outcome = host.send(net, &message.frame((a.station, a.gateway), from, to, 0));
            let routed = message.frame((b.gateway, b.station), from, to, 1);
            host.assert_delivered(other, &outcome, &routed);
        }
    }

    #[test]
    fn other_network_other_host(cloud in cloud(), message in message()) {
        let mut sides = [side(&cloud, 0, [true, false], true), side(&cloud, 1, [false, true], false)];
        for (net, other) in [(0, 1), (1, 0)] {
            let (a, b) = (&cloud.nets[net], &cloud.nets[other]);
            let (from, to) = (a.station(message.v6), b.station(message.v6));
            let [first, second] = &mut sides;
            let (here, there) = if net == 0 { (first, second) } else { (second, first) };
            let sent = here.send(net, &message.frame((a.station, a.gateway), from, to, 0));
            let on_the_wire = message.frame((cloud.hosts[net], b.station), from, to, 1);
            let outcome = here.carry(there, other, &sent, &on_the_wire);
            let delivered = message.frame((b.gateway, b.station), from, to, 1);
            there.assert_delivered(other, &outcome, &delivered);
        }
    }
}

/// The strategies make what they say.
#[test]
fn addresses_are_of_their_subnets() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let cloud = cloud().new_tree(&mut runner).unwrap().current();
        let [a, b] = &cloud.nets;
        for net in [a, b] {
            let [v4, v6] = net
                .gateway_addresses()
                .map(|text| text.parse::<IpNet>().unwrap());
            for v in [net.station(false), net.other(false)] {
                assert!(
                    v4.contains(&v) && v4.broadcast() != v && v4.network() != v && v4.addr() != v
                );
            }
            assert!(v6.contains(&net.station(true)) && v6.contains(&net.other(true)));
            assert_ne!(net.station(true), net.other(true));
        }
        let [subnet_a, subnet_b] =
            [a, b].map(|net| net.gateway_addresses()[0].parse::<IpNet>().unwrap());
        assert!(!subnet_a.contains(&subnet_b.addr()) && !subnet_b.contains(&subnet_a.addr()));
    }
}
