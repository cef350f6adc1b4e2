//! A host with a distributed router.
//!
//! ```text
//!                           ┌──────────── routed_host() ───────────┐
//!   VM1 10.0.0.1 ── PORT1 ──┤  RED   10.0.0.0/24  fd00::/64        ├─ PEER:  VM4 10.0.0.4 in RED,
//!   VM2 10.0.0.2 ── PORT2 ──┤        GW_RED .254        ┐ router 1 │         VM7 10.1.0.7 in BLUE
//!   VM3 10.0.0.3 ── PORT3 ──┤                           ┘          ├─ PEER6: VM5 fd00::5 in RED
//!   VM6 10.1.0.6 ── PORT4 ──┤  BLUE  10.1.0.0/24  fd01::/64        │
//!                           │        GW_BLUE .254                  │
//!                           └──────────────────────────────────────┘
//! ```

use vtepd_tables::route::NextHop;
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, AllowedPair, Bound, FdbEntry, FdbKey, InterfaceIndex,
    Neighbour, NetworkIndex, Origin,
};

use super::*;

pub const BLUE_VNI: u32 = 1172;
pub const PORT4: InterfaceIndex = InterfaceIndex(4);
pub const PORT5: InterfaceIndex = InterfaceIndex(5);

/// On this host, in BLUE.
pub const VM6: &str = "fa:16:3e:00:01:06";
pub const VM6_IP: &str = "10.1.0.6";
pub const VM6_IP6: &str = "fd01::6";
/// Behind [`PEER`], in BLUE.
pub const VM7: &str = "fa:16:3e:00:01:07";
pub const VM7_IP: &str = "10.1.0.7";
pub const VM7_IP6: &str = "fd01::7";

pub const GW_RED: &str = "fa:16:3e:aa:00:01";
pub const GW_RED_IP: &str = "10.0.0.254";
pub const GW_RED_IP6: &str = "fd00::fe";
pub const GW_BLUE: &str = "fa:16:3e:aa:00:02";
pub const GW_BLUE_IP: &str = "10.1.0.254";
pub const GW_BLUE_IP6: &str = "fd01::fe";

/// DVR host MACs: ours, and those of the hosts behind [`PEER`] and [`PEER6`].
pub const OWN_HM: &str = "fa:16:3f:00:00:01";
pub const PEER_HM: &str = "fa:16:3f:00:00:02";
pub const PEER6_HM: &str = "fa:16:3f:00:00:03";

/// Adjacencies of the gateways.
pub const AT_RED: u16 = 101;
pub const AT_BLUE: u16 = 102;

pub fn blue() -> NetworkIndex {
    network(2)
}

/// The host of the picture.
pub fn routed_host() -> Host {
    let mut host = host()
        .network(blue(), BLUE_VNI)
        .port(blue(), PORT4, 0)
        .remote(blue(), PEER)
        .vm(VM6, &[VM6_IP, VM6_IP6], PORT4, 0);
    let (peer, peer6) = (host.at_vtep(PEER), host.at_vtep(PEER6));
    host.station(blue(), VM7, &[VM7_IP, VM7_IP6], peer);
    let red_addresses = ["10.0.0.254/24", "fd00::fe/64"];
    host.gateway(AT_RED, red(), 1, GW_RED, &red_addresses);
    let blue_addresses = ["10.1.0.254/24", "fd01::fe/64"];
    host.gateway(AT_BLUE, blue(), 1, GW_BLUE, &blue_addresses);
    host.host_macs(OWN_HM, &[(PEER_HM, peer), (PEER6_HM, peer6)]);
    host
}

/// The next hop of a connected route.
pub fn connected(at: u16) -> NextHop {
    NextHop {
        gateway: adjacency(at),
        address: None,
    }
}

/// A next hop in a connected network.
pub fn via(at: u16, address: &str) -> NextHop {
    NextHop {
        gateway: adjacency(at),
        address: Some(ip(address)),
    }
}

/// A frame of BLUE in VXLAN from [`PEER`].
pub fn tunnelled_blue(inner: &[u8]) -> Vec<u8> {
    from_peer().vxlan(50_000, BLUE_VNI, inner)
}

/// The frame inside a tunnel packet over IPv4, whose VNI must be this.
#[track_caller]
pub fn inner(vni: u32, sent: &[u8]) -> &[u8] {
    assert_eq!(craft::verify(sent), Ok(()));
    let (outer, inner) = sent.split_at(v4::INNER);
    assert_eq!(outer[v4::VXLAN + 4..], (vni << 8).to_be_bytes());
    inner
}

impl Host {
    /// Makes a port guarded: the binding is for ports only, and the MAC sends from these
    /// addresses alone.
    pub fn guarded(mut self, mac_address: &str, addresses: &[&str], port: InterfaceIndex) -> Self {
        let at = self.at_port(port, 0);
        let Adjacency::Port(bound) = *self.tables.staged().adjacency(at) else {
            panic!("no port");
        };
        self.access(port, None, Access::Guarded);
        self.station(bound.network, mac_address, addresses, at);
        let first = addresses.iter().find_map(|address| address.parse().ok());
        let entry = FdbEntry {
            adjacency: at,
            origin: Origin::Guarded(first.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED)),
        };
        let key = FdbKey::new(bound.network, mac(mac_address));
        self.tables.fdb.insert(key, entry, 0).unwrap();
        self
    }

    /// Says what a port may send from besides: MAC and prefix.
    pub fn allowed(mut self, port: InterfaceIndex, pairs: &[(&str, &str)]) -> Self {
        let at = self.at_port(port, 0);
        let pairs = pairs.iter().map(|(mac_address, addresses)| AllowedPair {
            mac: mac(mac_address),
            addresses: addresses.parse().unwrap(),
        });
        let pairs = pairs.collect();
        self.tables.edit().set_allowed(at, pairs);
        self
    }

    /// Gives a network a VLAN segment instead of its VNI.
    pub fn vlan_segment(self, network: NetworkIndex, interface: InterfaceIndex, vlan: u16) -> Self {
        let mut host = self.port(network, interface, vlan);
        let at = host.at_port(interface, vlan);
        if let Adjacency::Port(port) = host.tables.edit().adjacency_mut(at) {
            port.segment = true;
        }
        host.access(interface, Some(tag(vlan)), Access::Segment);
        let entry = host.tables.edit().network_mut(network);
        (entry.vni, entry.segment) = (None, Some(at));
        host
    }

    /// Enters who has an address in a network.
    pub fn neighbour(
        &mut self,
        network: NetworkIndex,
        address: &str,
        mac_address: &str,
        at: AdjacencyIndex,
    ) {
        let neighbour = Neighbour {
            mac: mac(mac_address),
            adjacency: at,
        };
        self.tables
            .neighbours
            .insert(network, ip(address), neighbour, 0)
            .unwrap();
    }
}
