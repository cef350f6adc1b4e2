//! Hosts in one line.
//!
//! ```text
//!                    ┌───────────── host() ─────────────┐
//!   VM1 ── PORT1 ────┤                                  │
//!   VM2 ── PORT2 ────┤  RED, VNI 1671      192.0.2.11   ├─ UNDERLAY ── router ─┬─ PEER   192.0.2.12    VM4
//!   VM3 ── PORT3 ────┤                     2001:db8::11 │                      └─ PEER6  2001:db8::12  VM5
//!         VLAN 100   └──────────────────────────────────┘
//! ```

use std::ops::{Deref, DerefMut};

use vtepd_tables::adjacency::{TunnelParameters, VtepPair};
use vtepd_tables::{Adjacency, AdjacencyIndex, InterfaceIndex, Network, NetworkIndex, Tag};

use super::*;

pub const UNDERLAY: InterfaceIndex = InterfaceIndex(0);
pub const PORT1: InterfaceIndex = InterfaceIndex(1);
pub const PORT2: InterfaceIndex = InterfaceIndex(2);
pub const PORT3: InterfaceIndex = InterfaceIndex(3);
/// MTU of the underlay: 1500 inside IPv4, an inner tag and some bytes more.
pub const UNDERLAY_MTU: u16 = 1600;
pub const PORT_MTU: u16 = 1500;

/// The network of [`host`].
pub fn red() -> NetworkIndex {
    network(1)
}

/// A bench that knows its ways out by where they lead.
pub struct Host {
    bench: Bench,
    /// Of each way out, from index 1 on, where it leads.
    ways: Vec<Way>,
    /// Who floods where: network, ports, tunnels.
    floods: Vec<(NetworkIndex, Vec<AdjacencyIndex>, Vec<AdjacencyIndex>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    Port(InterfaceIndex, u16),
    Vtep(IpAddr),
}

impl Deref for Host {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
    }
}

/// The host of the picture, which knows who is where and does not learn.
pub fn host() -> Host {
    bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), PORT1, 0)
        .port(red(), PORT2, 0)
        .port(red(), PORT3, 100)
        .remote(red(), PEER)
        .remote(red(), PEER6)
        .vm(VM1, &[VM1_IP, VM1_IP6], PORT1, 0)
        .vm(VM2, &[VM2_IP, VM2_IP6], PORT2, 0)
        .vm(VM3, &[VM3_IP], PORT3, 100)
        .away(VM4, &[VM4_IP, VM4_IP6], PEER)
        .away(VM5, &[VM5_IP6], PEER6)
}

/// A host with nothing but its underlay, tagged or not.
pub fn bare_host(underlay_tag: Option<u16>) -> Host {
    let mut bench = Bench::default();
    bench.interface(UNDERLAY.0, OUR_MAC, UNDERLAY_MTU);
    bench.underlay(UNDERLAY, underlay_tag, &[US, US6]);
    Host {
        bench,
        ways: Vec::new(),
        floods: Vec::new(),
    }
}

impl Host {
    /// Adds a VXLAN network that does not learn and answers ARP and ND.
    pub fn network(mut self, index: NetworkIndex, vni: u32) -> Self {
        self.bench.vxlan(index.get(), vni);
        self.floods.push((index, Vec::new(), Vec::new()));
        self
    }

    /// Changes a network.
    pub fn change(mut self, index: NetworkIndex, change: impl FnOnce(&mut Network)) -> Self {
        change(self.tables.edit().network_mut(index));
        self
    }

    /// Binds an interface and VLAN id (0: untagged) to a network.
    pub fn port(self, network: NetworkIndex, interface: InterfaceIndex, vlan: u16) -> Self {
        let tag = (vlan != 0).then(|| tag(vlan));
        self.port_with_tag(network, interface, vlan, tag)
    }

    /// The same with a tag of another TPID.
    pub fn port_with_tag(
        mut self,
        network: NetworkIndex,
        interface: InterfaceIndex,
        vlan: u16,
        tag: Option<Tag>,
    ) -> Self {
        let index = self.add(Way::Port(interface, vlan));
        let mac = format!("02:00:00:00:0a:{:02x}", interface.0);
        self.bench.interface(interface.0, &mac, PORT_MTU);
        self.bench.bind(index.get(), interface, tag, network);
        self.members(network).0.push(index);
        self.refresh_flood();
        self
    }

    /// Adds a remote VTEP, or a multicast group, to a network.
    pub fn remote(self, network: NetworkIndex, address: &str) -> Self {
        self.remote_with(network, address, |_| {})
    }

    /// The same with parameters of its own.
    pub fn remote_with(
        mut self,
        network: NetworkIndex,
        address: &str,
        change: impl FnOnce(&mut TunnelParameters),
    ) -> Self {
        let known = self.find(&Way::Vtep(ip(address)));
        let index = known.unwrap_or_else(|| self.add(Way::Vtep(ip(address))));
        let us = if ip(address).is_ipv4() { US } else { US6 };
        let mut parameters = self.tunnel_parameters(UNDERLAY, us, address, ROUTER_MAC);
        change(&mut parameters);
        self.bench.tunnel(index.get(), ip(address), &parameters);
        if known.is_none() || !self.members(network).1.contains(&index) {
            self.members(network).1.push(index);
        }
        self.refresh_flood();
        self
    }

    /// Enters a MAC with its addresses on a port of this host.
    pub fn vm(
        mut self,
        mac: &str,
        addresses: &[&str],
        interface: InterfaceIndex,
        vlan: u16,
    ) -> Self {
        let at = self.at_port(interface, vlan);
        let Adjacency::Port(port) = self.tables.staged().adjacency(at) else {
            panic!("no port");
        };
        let network = port.network;
        self.bench.station(network, mac, addresses, at);
        self
    }

    /// Enters a MAC of the network RED with its addresses behind a remote VTEP.
    pub fn away(mut self, mac: &str, addresses: &[&str], vtep: &str) -> Self {
        let at = self.at_vtep(vtep);
        self.bench.station(red(), mac, addresses, at);
        self
    }

    /// The way out of a port.
    #[track_caller]
    pub fn at_port(&self, interface: InterfaceIndex, vlan: u16) -> AdjacencyIndex {
        self.find(&Way::Port(interface, vlan)).unwrap()
    }

    /// The way to a remote VTEP.
    #[track_caller]
    pub fn at_vtep(&self, address: &str) -> AdjacencyIndex {
        self.find(&Way::Vtep(ip(address))).unwrap()
    }

    fn find(&self, way: &Way) -> Option<AdjacencyIndex> {
        let position = self.ways.iter().position(|other| other == way)?;
        Some(adjacency(position as u16 + 1))
    }

    fn add(&mut self, way: Way) -> AdjacencyIndex {
        self.ways.push(way);
        adjacency(self.ways.len() as u16)
    }

    fn members(
        &mut self,
        network: NetworkIndex,
    ) -> (&mut Vec<AdjacencyIndex>, &mut Vec<AdjacencyIndex>) {
        let flood = self
            .floods
            .iter_mut()
            .find(|(other, _, _)| *other == network);
        let (_, ports, tunnels) = flood.unwrap();
        (ports, tunnels)
    }

    fn refresh_flood(&mut self) {
        for (network, ports, tunnels) in &self.floods {
            self.bench.flood(*network, ports, tunnels);
        }
    }
}
