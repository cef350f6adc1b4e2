//! The small, rarely changing state: interfaces, networks, ways out, VRFs. Readers see
//! one immutable [`Snapshot`] per burst; the writer edits a copy and publishes it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use vtepd_wire::{Mac, MacBits, VlanId, Vni, ethernet};

use crate::adjacency::{Adjacency, Gateway, Tag};
use crate::index::{AdjacencyIndex, InterfaceIndex, NetworkIndex, VrfIndex};
use crate::metadata::Metadata;
use crate::outer::OuterPattern;
use crate::pages::Pages;
use crate::route::Vrf;
use crate::translation::{Externals, Rules};

/// Interfaces, networks and ways out at one moment.
///
/// The long lists are shared between copies: a transaction among 10,000 routers would copy
/// 3 MiB otherwise, and, as large blocks come and go between small ones that stay, leave as
/// much to the allocator each time.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// By [`InterfaceIndex`].
    interfaces: Vec<Interface>,
    /// By [`NetworkIndex`]; 0 is never used.
    networks: Pages<Network>,
    /// By [`AdjacencyIndex`]; 0 is never used.
    adjacencies: Pages<Adjacency>,
    /// By [`VrfIndex`]; 0 is never used.
    vrfs: Pages<Option<Arc<Vrf>>>,
    /// By [`VrfIndex`]; 0 is never used.
    rules: Pages<Option<Arc<Rules>>>,
    /// By access port, what it may send from beyond its ports' own addresses.
    allowed: Arc<HashMap<AdjacencyIndex, Arc<[AllowedPair]>>>,
    metadata: Option<Arc<Metadata>>,
    /// Our addresses on the underlay.
    pub local: LocalAddresses,
    /// The DVR host MACs.
    pub host_macs: HostMacs,
    /// Goes up whenever an index is taken from its owner: who has noted one down before
    /// must not use it any more.
    pub generation: u32,
}

impl Snapshot {
    /// An interface. `None` where there is none.
    #[inline(always)]
    pub fn interface(&self, index: InterfaceIndex) -> Option<&Interface> {
        self.interfaces.get(index.as_usize())
    }

    /// A network. `None` where there is none.
    #[inline(always)]
    pub fn network(&self, index: NetworkIndex) -> Option<&Network> {
        self.networks.get(index.as_usize())
    }

    /// A way out; [`Adjacency::Vacant`] where there is none.
    #[inline(always)]
    pub fn adjacency(&self, index: AdjacencyIndex) -> &Adjacency {
        self.adjacencies
            .get(index.as_usize())
            .unwrap_or(&Adjacency::Vacant)
    }

    /// The routes of a VRF. `None` where there is none.
    #[inline(always)]
    pub fn vrf(&self, index: VrfIndex) -> Option<&Vrf> {
        self.vrfs.get(index.as_usize())?.as_deref()
    }

    /// What is translated on the way outside of a VRF. `None`: it has none.
    #[inline(always)]
    pub fn rules(&self, index: VrfIndex) -> Option<&Rules> {
        self.rules.get(index.as_usize())?.as_deref()
    }

    /// The same, to be kept.
    pub fn shared_rules(&self, index: VrfIndex) -> Option<Arc<Rules>> {
        self.rules.get(index.as_usize())?.clone()
    }

    /// The router's interface behind an adjacency.
    #[inline(always)]
    pub fn gateway(&self, index: AdjacencyIndex) -> Option<&Gateway> {
        match self.adjacency(index) {
            Adjacency::Gateway(gateway) => Some(gateway),
            _ => None,
        }
    }

    /// What an access port may send from beyond its ports' own addresses.
    pub fn allowed(&self, port: AdjacencyIndex) -> &[AllowedPair] {
        self.allowed.get(&port).map_or(&[], |pairs| &**pairs)
    }

    /// The metadata proxy and who may ask it. `None` where there is none.
    #[inline(always)]
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_deref()
    }

    /// The metadata proxy to change, and who may ask it.
    pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        self.metadata.as_mut().map(Arc::make_mut)
    }

    /// Replaces the metadata proxy.
    pub fn set_metadata(&mut self, metadata: Option<Metadata>) {
        self.metadata = metadata.map(Arc::new);
    }

    /// Replaces the routes of a VRF.
    pub fn set_vrf(&mut self, index: VrfIndex, vrf: Option<Arc<Vrf>>) {
        *self.vrfs.get_mut(index.as_usize()) = vrf;
    }

    /// Replaces what is translated on the way outside of a VRF.
    pub fn set_rules(&mut self, index: VrfIndex, rules: Option<Arc<Rules>>) {
        *self.rules.get_mut(index.as_usize()) = rules;
    }

    /// Replaces what an access port may send from beyond its ports' own addresses.
    pub fn set_allowed(&mut self, port: AdjacencyIndex, pairs: Vec<AllowedPair>) {
        if pairs.is_empty() && !self.allowed.contains_key(&port) {
            return;
        }
        let allowed = Arc::make_mut(&mut self.allowed);
        if pairs.is_empty() {
            allowed.remove(&port);
        } else {
            allowed.insert(port, pairs.into());
        }
    }

    /// Works out what follows from the rest.
    pub(crate) fn settle(&mut self) {
        for interface in &mut self.interfaces {
            interface.usual = interface.usual_packets(&self.local);
        }
    }

    /// The interface to change; interfaces up to it come into being.
    pub fn interface_mut(&mut self, index: InterfaceIndex) -> &mut Interface {
        let index = index.as_usize();
        if self.interfaces.len() <= index {
            self.interfaces.resize(index + 1, Interface::default());
        }
        &mut self.interfaces[index]
    }

    /// The network to change.
    pub fn network_mut(&mut self, index: NetworkIndex) -> &mut Network {
        self.networks.get_mut(index.as_usize())
    }

    /// The way out to change.
    pub fn adjacency_mut(&mut self, index: AdjacencyIndex) -> &mut Adjacency {
        self.adjacencies.get_mut(index.as_usize())
    }
}

/// What frames on an interface are told apart by: TPID and VLAN id, or no tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TagKey(u16);

/// Two TPIDs with all VLAN ids each; id 0 of the first stands for no tag.
const TAGS: usize = 2 * 4096;

impl TagKey {
    /// No tag.
    pub const UNTAGGED: Self = Self(0);

    /// A tag as it stands in a frame. A priority tag (VLAN id 0) is none
    /// (IEEE 802.1Q, 9.6).
    #[inline(always)]
    pub fn new(tpid: u16, vlan: u16) -> Self {
        let vlan = vlan & VlanId::MASK;
        let service = u16::from(tpid == ethernet::ETHERTYPE_QINQ && vlan != 0);
        Self(service << 12 | vlan)
    }
}

impl From<Option<Tag>> for TagKey {
    fn from(tag: Option<Tag>) -> Self {
        tag.map_or(Self::UNTAGGED, |tag| {
            let [a, b, c, d] = *tag.bytes();
            Self::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        })
    }
}

/// An interface as the packet path sees it.
#[derive(Clone, Default)]
pub struct Interface {
    /// Its MAC.
    pub mac: Mac,
    /// Largest packet without the Ethernet header and tags.
    pub mtu: u16,
    /// Its own part in the underlay.
    pub underlay: Option<Underlay>,
    bindings: Option<Arc<[Bound; TAGS]>>,
    /// What nearly all packets of the underlay begin with.
    usual: Option<OuterPattern>,
}

/// What frames with one tag (or none) on an interface are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bound {
    /// Nobody's.
    #[default]
    Nothing,
    /// Packets of the underlay.
    Underlay,
    /// Packets of the metadata proxy.
    Metadata,
    /// Frames of a network.
    Network {
        /// Which.
        network: NetworkIndex,
        /// The way back.
        adjacency: AdjacencyIndex,
        /// Whom the network meets there.
        access: Access,
    },
}

/// Whom a network meets at a binding, and what is checked of their frames
/// (RFC 2827; what Neutron calls port security).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// Stations of all kinds; nothing is checked.
    #[default]
    Open,
    /// Stations of all kinds; those that are guarded ports are checked.
    Known,
    /// Ports only: nobody else may send, and guarded ones are checked.
    Guarded,
    /// Other hosts: the VLAN segment of the network.
    Segment,
}

/// Addresses that a port may send from beside its own: Neutron's allowed address pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllowedPair {
    /// The source MAC.
    pub mac: Mac,
    /// The source addresses.
    pub addresses: IpNet,
}

/// DVR host MACs: our own, and what the others' have in common.
#[derive(Clone, Copy, Debug)]
pub struct HostMacs {
    /// The source of frames that we have routed, when they leave for other hosts.
    pub own: Option<Mac>,
    mask: u64,
    value: u64,
}

impl Default for HostMacs {
    fn default() -> Self {
        Self::new(None, [])
    }
}

impl HostMacs {
    /// Ours, and those of the other hosts. The latter are found in the FDB
    /// ([`FdbKey::host`](crate::FdbKey::host)); here is only what tells most other MACs apart
    /// from them without a look-up.
    pub fn new(own: Option<Mac>, others: impl IntoIterator<Item = Mac>) -> Self {
        let mut others = others.into_iter().map(Mac::to_u64);
        let Some(first) = others.next() else {
            return Self {
                own,
                mask: 0,
                value: 1,
            };
        };
        let mask = others.fold(u64::MAX, |mask, other| mask & !(first ^ other));
        Self {
            own,
            mask,
            value: first & mask,
        }
    }

    /// Whether a MAC may be another host's; never wrong about one that is.
    #[inline(always)]
    pub fn may_be_other(&self, mac: impl Into<MacBits>) -> bool {
        mac.into().get() & self.mask == self.value
    }

    /// Whether a MAC is ours.
    #[inline(always)]
    pub fn is_own(&self, mac: MacBits) -> bool {
        self.own.is_some_and(|own| own.bits() == mac)
    }
}

impl Interface {
    /// What frames with a tag are.
    #[inline(always)]
    pub fn bound(&self, tag: TagKey) -> Bound {
        self.bindings
            .as_ref()
            .and_then(|bindings| bindings.get(usize::from(tag.0)))
            .copied()
            .unwrap_or_default()
    }

    /// What nearly all packets of the underlay begin with that come in here. `None`: nothing is expected.
    #[inline(always)]
    pub fn usual(&self) -> Option<&OuterPattern> {
        self.usual.as_ref()
    }

    /// The first of our IPv4 addresses here, and the first UDP port.
    fn usual_packets(&self, local: &LocalAddresses) -> Option<OuterPattern> {
        let underlay = self.underlay.as_ref()?;
        let here = underlay.ipv4.iter().copied();
        let address = here.into_iter().find(|address| local.has_v4(*address))?;
        let port = *local.udp_ports.first()?;
        Some(OuterPattern::new(self.mac, underlay.tag, address, port))
    }

    /// Says what frames with a tag are.
    pub fn bind(&mut self, tag: TagKey, bound: Bound) {
        let bindings = self
            .bindings
            .get_or_insert_with(|| Arc::new([Bound::Nothing; TAGS]));
        if let Some(place) = Arc::make_mut(bindings).get_mut(usize::from(tag.0)) {
            *place = bound;
        }
    }
}

/// The underlay on one interface.
#[derive(Clone, Default, Debug)]
pub struct Underlay {
    /// Its tag.
    pub tag: Option<Tag>,
    /// IPv4 addresses that ARP and echo are answered for.
    pub ipv4: Vec<Ipv4Addr>,
    /// IPv6 addresses that ND and echo are answered for.
    pub ipv6: Vec<Ipv6Addr>,
}

/// The addresses that VXLAN is terminated on, whichever interface it comes by.
#[derive(Clone, Default, Debug)]
pub struct LocalAddresses {
    ipv4: Vec<Ipv4Addr>,
    ipv6: Vec<Ipv6Addr>,
    groups: Vec<IpAddr>,
    /// UDP ports that VXLAN is expected on.
    pub udp_ports: Vec<u16>,
}

impl LocalAddresses {
    /// Replaces the addresses and the multicast groups that were joined.
    pub fn set(
        &mut self,
        addresses: impl IntoIterator<Item = IpAddr>,
        groups: impl IntoIterator<Item = IpAddr>,
    ) {
        (self.ipv4, self.ipv6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => self.ipv4.push(address),
                IpAddr::V6(address) => self.ipv6.push(address),
            }
        }
        self.groups = groups.into_iter().collect();
    }

    /// Whether an IPv4 address is ours. There are one or two.
    #[inline(always)]
    pub fn has_v4(&self, address: Ipv4Addr) -> bool {
        self.ipv4.contains(&address)
    }

    /// Whether an IPv6 address is ours.
    #[inline(always)]
    pub fn has_v6(&self, address: Ipv6Addr) -> bool {
        self.ipv6.contains(&address)
    }

    /// Whether we have joined a group.
    #[inline]
    pub fn joined(&self, group: IpAddr) -> bool {
        self.groups.contains(&group)
    }

    /// Whether VXLAN is expected on a UDP port.
    #[inline(always)]
    pub fn listens_on(&self, port: u16) -> bool {
        self.udp_ports.contains(&port)
    }
}

/// What the control thread answers in a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Services {
    /// DHCPv4.
    pub dhcp4: bool,
    /// DHCPv6.
    pub dhcp6: bool,
    /// Router solicitations.
    pub advertise: bool,
}

/// A network as the packet path sees it.
#[derive(Clone, Default)]
pub struct Network {
    /// The VNI of a VXLAN segment.
    pub vni: Option<Vni>,
    /// Whether source MACs are learned.
    pub learning: bool,
    /// Whether frames with an inner VLAN tag pass (RFC 7348, section 6.1: dropped
    /// unless configured).
    pub vlan_transparent: bool,
    /// Whether ARP and ND are answered from the neighbour tables.
    pub suppression: bool,
    /// What the control thread answers for its stations.
    pub services: Services,
    /// Whether its ports may ask the metadata proxy.
    pub metadata: bool,
    /// The VLAN segment's way out.
    pub segment: Option<AdjacencyIndex>,
    /// Of an external network: whose its outside addresses are, as far as this host answers for them.
    pub externals: Option<Arc<Externals>>,
    /// The routers' interfaces in it.
    gateways: Option<Arc<[AdjacencyIndex]>>,
    flood: Option<Arc<[AdjacencyIndex]>>,
    first_tunnel: u32,
}

impl Network {
    /// The routers' interfaces in it.
    #[inline]
    pub fn gateways(&self) -> &[AdjacencyIndex] {
        self.gateways.as_deref().unwrap_or_default()
    }

    /// Replaces the routers' interfaces.
    pub fn set_gateways(&mut self, gateways: &[AdjacencyIndex]) {
        self.gateways = (!gateways.is_empty()).then(|| gateways.into());
    }

    /// Sets the ways that BUM frames take: the ports on this host, then the
    /// remote VTEPs or the multicast group.
    pub fn set_flood(&mut self, ports: &[AdjacencyIndex], tunnels: &[AdjacencyIndex]) {
        self.flood = Some(ports.iter().chain(tunnels).copied().collect());
        self.first_tunnel = ports.len() as u32;
    }

    /// The ways for a frame that came in by a port: all. The caller leaves out
    /// the one it came by.
    #[inline]
    pub fn flood_from_port(&self) -> &[AdjacencyIndex] {
        self.flood.as_deref().unwrap_or_default()
    }

    /// The ways for a frame that came in by a tunnel: ports only (split horizon).
    #[inline]
    pub fn flood_from_tunnel(&self) -> &[AdjacencyIndex] {
        self.flood_from_port()
            .get(..self.first_tunnel as usize)
            .unwrap_or_default()
    }
}
