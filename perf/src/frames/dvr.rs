//! Stations in different networks of distributed routers: `routed` and `dvr-in`.
//!
//! ```text
//!   local station i ── acc0, VLAN of network s ── router │ neighbour ══ VXLAN of network n ══► remote station i
//!      10.s…            to the gateway's MAC             from this host's MAC, TTL 63           10.n…
//!
//!   local station i ◄─ acc0, VLAN of network n ── from the gateway's MAC ◄══ VXLAN of network n ══ remote station i
//!      10.n…                                                                 from its host's MAC    10.s…
//! ```
//!
//! Station i is in network n = i mod networks; who sends to it or gets its packets is in the
//! next network of the same router.

use core::net::Ipv4Addr;

use serde_json::{Map, Value, json};
use vtepd_wire::{Mac, craft};

use super::fabric::{Fabric, Kind, LOCAL_HOST, numbered, uuid};
use super::flows::{Direction, Flows, Label, short};
use super::state::{self, Options, Side};
use super::tunnel;
use super::workload::{BATCH, INNER, source_port};

/// Networks of all routers at least, and of a router at least and at most.
const NETWORKS: u32 = 16;
const FEWEST_EACH: u32 = 2;
/// The most routers: their networks need a VLAN each.
pub const MOST_ROUTERS: u32 = 1900;
/// Hosts of a network: a router has up to 16 networks, which share 10.0.0.0/8.
const PREFIX: u32 = 12;
/// The upper half of each is of remote stations.
const REMOTE: u32 = 1 << (31 - PREFIX);
/// The most stations: each network's half.
pub const MOST_STATIONS: u32 = (REMOTE - 2) * NETWORKS;
/// TTL before and after a router.
const TTL: u8 = 64;

/// Flows of routers, one to or from each station.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// Encap: routed here. Decap: routed by the other host.
    pub direction: Direction,
    /// Routers, each on every host.
    pub routers: u32,
    /// Flows, and stations that they are for.
    pub stations: u32,
    /// Of the order.
    pub seed: u64,
}

/// The MAC that a VTEP's host puts into what it has routed.
#[must_use]
pub fn dvr_mac(vtep: u32) -> Mac {
    host_mac(1, vtep)
}

/// The one of this host.
#[must_use]
pub fn own_dvr_mac() -> Mac {
    host_mac(0, 1)
}

/// In the range that Neutron takes them from.
fn host_mac(kind: u8, number: u32) -> Mac {
    let [.., high, low] = number.to_be_bytes();
    Mac([0xfa, 0x16, 0x3f, kind, high, low])
}

impl Routed {
    /// Networks of one router.
    fn each(&self) -> u32 {
        (NETWORKS / self.routers).max(FEWEST_EACH)
    }

    /// The network of the same router that comes after one.
    fn next(&self, network: u32) -> u32 {
        let (router, place) = (network % self.routers, network / self.routers);
        (place + 1) % self.each() * self.routers + router
    }

    /// The network of a flow's sender.
    pub(super) fn from(&self, flow: u32) -> u32 {
        self.next(self.fabric().network_of(flow))
    }

    pub(super) fn gateway_mac(&self, network: u32) -> Mac {
        numbered(0x30, network)
    }

    fn subnet(&self, network: u32) -> u32 {
        0x0a00_0000 | (network / self.routers) << (32 - PREFIX)
    }

    fn gateway(&self, network: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.subnet(network) + 1)
    }

    /// The MAC and address by which other hosts reach a router's way outside, where there is one.
    pub(super) fn central(&self, network: u32) -> (Mac, Ipv4Addr) {
        let address = self.subnet(network) | (REMOTE - 1);
        (numbered(0x32, network), Ipv4Addr::from(address))
    }

    pub(super) fn address(&self, side: Side, network: u32, station: u32) -> Ipv4Addr {
        let half = match side {
            Side::Local => 0,
            Side::Remote => REMOTE,
        };
        let number = station / self.fabric().networks + 2;
        Ipv4Addr::from(self.subnet(network) | half | number)
    }

    /// The frame of a flow between stations, by whatever MACs.
    fn inner(&self, flow: u32, (to, from): (Mac, Mac), ttl: u8) -> Vec<u8> {
        let network = self.fabric().network_of(flow);
        let (here, there) = match self.direction {
            Direction::Encap => (Side::Local, Side::Remote),
            Direction::Decap => (Side::Remote, Side::Local),
        };
        let source = self.address(here, self.from(flow), flow);
        let destination = self.address(there, network, flow);
        // The flow's number in the payload makes each frame another one.
        let mut payload = [0; INNER - 14 - 20 - 8];
        payload[..4].copy_from_slice(&flow.to_be_bytes());
        craft::ethernet(to.0, from.0)
            .ipv4(source, destination)
            .ttl(ttl)
            .udp(source_port(flow), 4000, &payload)
    }

    /// The transaction that makes everything but stations.
    pub(super) fn infrastructure(&self) -> Value {
        let fabric = self.fabric();
        let options = Options {
            learning: false,
            bound: true,
        };
        let mut document = state::infrastructure(fabric, options);
        let put = &mut document["put"];
        put["hosts"][LOCAL_HOST]["dvr_mac"] = own_dvr_mac().to_string().into();
        for vtep in 0..fabric.vteps {
            put["hosts"][uuid(Kind::Host, vtep)]["dvr_mac"] = dvr_mac(vtep).to_string().into();
        }
        let interface = |network| {
            json!({
                "network": uuid(Kind::Network, network),
                "mac": self.gateway_mac(network).to_string(),
                "addresses": [format!("{}/{PREFIX}", self.gateway(network))],
            })
        };
        let router = |router: u32| {
            let networks = (router..fabric.networks).step_by(self.routers as usize);
            let interfaces: Vec<Value> = networks.map(interface).collect();
            (format!("r{router}"), json!({ "interfaces": interfaces }))
        };
        let routers: Map<String, Value> = (0..self.routers).map(router).collect();
        put["routers"] = routers.into();
        document
    }

    /// Where the stations are that flows are for.
    fn side(&self) -> Side {
        match self.direction {
            Direction::Encap => Side::Remote,
            Direction::Decap => Side::Local,
        }
    }
}

impl Flows for Routed {
    fn label(&self) -> Label {
        let (workload, variant) = match self.direction {
            Direction::Decap => ("dvr-in", String::new()),
            Direction::Encap if self.routers == 1 => ("routed", "1 router".to_owned()),
            Direction::Encap => ("routed", format!("{} routers", short(self.routers))),
        };
        Label::new(workload, self.stations, variant)
    }

    fn fabric(&self) -> Fabric {
        Fabric {
            networks: self.each() * self.routers,
            ..Fabric::SMALL
        }
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn count(&self) -> u32 {
        self.stations
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn frame(&self, flow: u32) -> Vec<u8> {
        let fabric = self.fabric();
        let (network, from) = (fabric.network_of(flow), self.from(flow));
        match self.direction {
            Direction::Encap => {
                let macs = (self.gateway_mac(from), fabric.local_mac(flow));
                tunnel::tagged(fabric, from, &self.inner(flow, macs, TTL))
            }
            Direction::Decap => {
                let vtep = fabric.vtep_of(flow);
                let inner = self.inner(flow, (fabric.local_mac(flow), dvr_mac(vtep)), TTL - 1);
                tunnel::sent(fabric, vtep, network, source_port(flow), &inner)
            }
        }
    }

    fn expected(&self, flow: u32) -> Vec<u8> {
        let fabric = self.fabric();
        let network = fabric.network_of(flow);
        match self.direction {
            Direction::Encap => {
                let macs = (fabric.remote_mac(flow), own_dvr_mac());
                let inner = self.inner(flow, macs, TTL - 1);
                tunnel::expected(fabric, fabric.vtep_of(flow), network, &inner)
            }
            Direction::Decap => {
                let macs = (fabric.local_mac(flow), self.gateway_mac(network));
                tunnel::tagged(fabric, network, &self.inner(flow, macs, TTL - 1))
            }
        }
    }

    fn transactions(&self) -> Box<dyn Iterator<Item = String> + '_> {
        let first = self.infrastructure().to_string();
        let ports = (0..self.stations).step_by(BATCH as usize).map(|first| {
            let stations = first..(first + BATCH).min(self.stations);
            let (fabric, side) = (self.fabric(), self.side());
            state::ports_at(fabric, side, stations, |station| {
                Some(self.address(side, fabric.network_of(station), station))
            })
        });
        Box::new(std::iter::once(first).chain(ports))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use vtepd_wire::frame;

    use super::*;

    fn all() -> impl Iterator<Item = Routed> {
        let sizes = [(1, 1000), (1, 20_000), (1000, 1000), (1000, 20_000)];
        [Direction::Encap, Direction::Decap]
            .into_iter()
            .flat_map(move |direction| {
                sizes.map(|(routers, stations)| Routed {
                    direction,
                    routers,
                    stations,
                    seed: 7,
                })
            })
    }

    #[test]
    fn frames_hold_and_each_flow_changes_its_network_within_its_router() {
        for routed in all() {
            let fabric = routed.fabric();
            assert!(fabric.vlan(fabric.networks - 1).is_some());
            for flow in 0..1000 {
                craft::verify(&routed.frame(flow)).unwrap();
                craft::verify(&routed.expected(flow)).unwrap();
                let (from, to) = (routed.from(flow), fabric.network_of(flow));
                assert_ne!(from, to);
                assert_eq!(from % routed.routers, to % routed.routers);
            }
            assert_eq!(routed.frame(5).len(), {
                let around = match routed.direction {
                    Direction::Encap => 4,
                    Direction::Decap => tunnel::OUTER,
                };
                INNER + around
            });
        }
    }

    #[test]
    fn routing_takes_one_from_the_ttl_and_arriving_nothing() {
        for routed in all() {
            let ttl = |frame: &[u8], tunnelled| {
                let at = if tunnelled { tunnel::OUTER } else { 4 };
                frame[at + 14 + 8]
            };
            let decap = routed.direction == Direction::Decap;
            assert_eq!(ttl(&routed.expected(3), !decap), 63);
            assert_eq!(ttl(&routed.frame(3), decap), if decap { 63 } else { 64 });
        }
    }

    #[test]
    fn stations_and_gateways_have_addresses_of_their_own_in_their_subnets() {
        for routed in all() {
            let mut documents = routed.transactions();
            let infrastructure: Value = serde_json::from_str(&documents.next().unwrap()).unwrap();
            let put = &infrastructure["put"];
            assert_eq!(
                put["routers"].as_object().unwrap().len(),
                routed.routers as usize
            );
            let mut seen = HashSet::new();
            for body in documents {
                let body: Value = serde_json::from_str(&body).unwrap();
                for port in body["put"]["ports"].as_object().unwrap().values() {
                    let network = port["network"].as_str().unwrap();
                    let address = port["addresses"][0].as_str().unwrap();
                    assert!(seen.insert(format!("{network} {address}")));
                }
            }
            assert_eq!(seen.len(), routed.stations as usize);
            for network in 0..routed.fabric().networks {
                let gateway = format!(
                    "{} {}",
                    uuid(Kind::Network, network),
                    routed.gateway(network)
                );
                assert!(seen.insert(gateway));
            }
        }
    }

    #[test]
    fn what_comes_from_a_host_bears_its_mac_and_what_reaches_a_station_the_gateways() {
        let routed = all().find(|one| one.direction == Direction::Decap).unwrap();
        let fabric = routed.fabric();
        let inner = routed.frame(20)[tunnel::OUTER..].to_vec();
        assert_eq!(inner[6..12], dvr_mac(fabric.vtep_of(20)).0);
        let out = routed.expected(20);
        assert_eq!(out[6..12], routed.gateway_mac(fabric.network_of(20)).0);
        assert_eq!(frame::link(&out).unwrap().tag_count, 1);
    }
}
