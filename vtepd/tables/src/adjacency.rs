//! Ways out of this host, each with everything that is written in front of a
//! frame computed beforehand: a VLAN tag, or the whole outer header of a tunnel.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use vtepd_wire::checksum::Sum;
use vtepd_wire::ethernet::{self, VlanId};
use vtepd_wire::{Mac, ipv4, ipv6, udp, vxlan};
use zerocopy::IntoBytes;

use crate::index::{AdjacencyIndex, InterfaceIndex, NetworkIndex, VrfIndex};

/// A way out. 128 bytes, aligned so that the first line holds what a port needs
/// and most of an IPv4 tunnel's header.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub enum Adjacency {
    /// Nothing leads here.
    #[default]
    Vacant,
    /// A binding of a network: an access port, or its VLAN segment.
    Port(Port),
    /// A remote VTEP or an underlay multicast group.
    Tunnel(Tunnel),
    /// A router: frames to its MAC are routed.
    Gateway(Gateway),
    /// A router's way outside: routes lead there, and the packet's source says by which gateway.
    Outside(Outside),
}

impl Adjacency {
    /// Whether frames leave encapsulated.
    #[inline(always)]
    pub fn is_tunnel(&self) -> bool {
        matches!(self, Self::Tunnel(_))
    }
}

/// A binding as a way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// Where frames leave.
    pub interface: InterfaceIndex,
    /// The network that is bound.
    pub network: NetworkIndex,
    /// The tag that frames get.
    pub tag: Option<Tag>,
    /// Whether it leads to other hosts: the VLAN segment of the network.
    pub segment: bool,
}

/// A router's interface in a network, which every host of a distributed router has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// The network that it is in.
    pub network: NetworkIndex,
    /// The router's address space.
    pub vrf: VrfIndex,
    /// Its MAC in the network.
    pub mac: Mac,
    /// Largest IP packet of the network.
    pub mtu: u16,
    /// Whether frames that leave for another host get this host's DVR host MAC as
    /// their source. Otherwise the router lives on this host alone.
    pub distributed: bool,
    /// Whether frames to it are accepted from the underlay, too.
    pub from_underlay: bool,
    /// Its link-local address, which follows from its MAC.
    pub link_local: Ipv6Addr,
    /// Its other addresses with their subnets. The [base](is_base) of a subnet stands for no address: the gateway is on
    /// the subnet without having one of its own.
    pub addresses: Arc<[IpNet]>,
    /// On which side of its router it is.
    pub role: Role,
    /// The address in the same network of the host that leads outside for the router, where this host does not.
    pub central_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub central_v6: Option<Ipv6Addr>,
}

/// Whether a prefix has no host part, though it could have one: it is a subnet and no address in it.
pub fn is_base(prefix: &IpNet) -> bool {
    prefix.addr() == prefix.network() && prefix.max_prefix_len() - prefix.prefix_len() > 1
}

/// On which side of its router a gateway is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// In a network of stations, whose gateway it is.
    #[default]
    Inside,
    /// In a network of stations, on the host that leads outside for all hosts: they send to it what their own
    /// gateway has routed (Neutron's centralised SNAT port).
    Central,
    /// On an external network: what leaves by it, or comes in to it, is translated.
    Outside,
}

/// A router's way outside, as this host has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// The external network.
    pub network: NetworkIndex,
    /// By which stations with a floating IP on this host leave. `None`: as all others do.
    pub floating: Option<AdjacencyIndex>,
    /// By which all others leave. `None`: by way of the [central](Gateway::central_v4) host.
    pub own: Option<AdjacencyIndex>,
}

impl Gateway {
    /// The address that errors about packets from `source` come from: the one on
    /// the source's subnet, or the first of its family (RFC 1812, 4.3.2.4).
    pub fn address_towards(&self, source: IpAddr) -> Option<IpAddr> {
        let own = || self.addresses.iter().filter(|own| !is_base(own));
        let near = own().find(|own| own.contains(&source));
        let like = || own().find(|own| own.addr().is_ipv4() == source.is_ipv4());
        near.or_else(like).map(IpNet::addr)
    }

    /// Whether an address is one of its own.
    pub fn has(&self, address: IpAddr) -> bool {
        address == IpAddr::V6(self.link_local)
            || self
                .addresses
                .iter()
                .any(|own| own.addr() == address && !is_base(own))
    }

    /// Whether every host has it and each keeps what is sent to it to itself.
    #[inline(always)]
    pub fn is_confined(&self) -> bool {
        self.role == Role::Inside && !self.from_underlay
    }

    /// Whether an address is on one of its subnets.
    pub fn is_near(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.contains(&address))
    }
}

/// An 802.1Q or 802.1ad tag as it stands in the frame: TPID and VLAN id, with
/// priority 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag {
    bytes: [u8; 4],
}

impl Tag {
    /// A tag with one of the ethertypes [`ethernet::ETHERTYPE_VLAN`] and
    /// [`ethernet::ETHERTYPE_QINQ`].
    pub fn new(tpid: u16, vlan: VlanId) -> Self {
        let [a, b] = tpid.to_be_bytes();
        let [c, d] = vlan.get().to_be_bytes();
        Self {
            bytes: [a, b, c, d],
        }
    }

    /// The bytes that go between the source MAC and the ethertype.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8; 4] {
        &self.bytes
    }
}

/// Room for the longest outer header: Ethernet, one tag, IPv6, UDP, VXLAN is 74.
pub const TEMPLATE_LEN: usize = 80;
/// Enough for Ethernet, one tag, IPv4, UDP and VXLAN, which is 54.
pub const TEMPLATE_LEN_IPV4: usize = 64;

/// A way through the underlay.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Where packets leave.
    pub interface: InterfaceIndex,
    /// Whether the next hop's MAC is known; nothing can be sent before.
    pub resolved: bool,
    /// Whether the UDP checksum is computed rather than sent as 0.
    pub udp_checksum: bool,
    /// Whether the outer packet is IPv6.
    pub ipv6: bool,
    /// Length of the outer header in the template, Ethernet included.
    pub header_len: u8,
    /// Largest outer packet, from its IP header on.
    pub mtu: u16,
    /// Sum of the IPv4 header with a length of 0, not complemented: the checksum
    /// needs only the length and the ECN added. See [`TEMPLATE_LEN`].
    pub ipv4_sum: u16,
    /// The outer header, at the *end* of the array. VNI, lengths, source port, ECN
    /// and checksums are left 0.
    pub template: [u8; TEMPLATE_LEN],
}

/// What an outer header is made of.
#[derive(Clone, Debug)]
pub struct TunnelParameters {
    /// Where packets leave.
    pub interface: InterfaceIndex,
    /// The MAC of that interface.
    pub source_mac: Mac,
    /// The MAC of the next hop, if it is known.
    pub next_hop_mac: Option<Mac>,
    /// The tag of the underlay on that interface.
    pub tag: Option<Tag>,
    /// Our VTEP address and the other end, of one family.
    pub addresses: VtepPair,
    /// The UDP port of the other end.
    pub udp_port: u16,
    /// Whether to compute the UDP checksum.
    pub udp_checksum: bool,
    /// Differentiated services code point, 0..=63.
    pub dscp: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// MTU of the interface.
    pub mtu: u16,
}

/// Two VTEP addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VtepPair {
    /// IPv4 underlay.
    V4 {
        /// Ours.
        source: Ipv4Addr,
        /// The other end, or a multicast group.
        destination: Ipv4Addr,
    },
    /// IPv6 underlay.
    V6 {
        /// Ours.
        source: Ipv6Addr,
        /// The other end, or a multicast group.
        destination: Ipv6Addr,
    },
}

impl VtepPair {
    /// `None` when the families differ.
    pub fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4 {
                source,
                destination,
            }),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6 {
                source,
                destination,
            }),
            _ => None,
        }
    }
}

impl Tunnel {
    /// Builds the template.
    pub fn new(parameters: &TunnelParameters) -> Self {
        let mut header = Vec::with_capacity(TEMPLATE_LEN);
        let ipv6 = matches!(parameters.addresses, VtepPair::V6 { .. });
        let ethertype = if ipv6 {
            ethernet::ETHERTYPE_IPV6
        } else {
            ethernet::ETHERTYPE_IPV4
        };
        let destination = parameters.next_hop_mac.unwrap_or(Mac::ZERO);
        header.extend_from_slice(&destination.0);
        header.extend_from_slice(&parameters.source_mac.0);
        if let Some(tag) = parameters.tag {
            header.extend_from_slice(tag.bytes());
        }
        header.extend_from_slice(&ethertype.to_be_bytes());
        let mut ipv4_sum = 0;
        match parameters.addresses {
            VtepPair::V4 {
                source,
                destination,
            } => {
                let ip = ipv4::Header {
                    version_ihl: 0x45,
                    tos: parameters.dscp << 2,
                    total_length: 0.into(),
                    identification: 0.into(),
                    // RFC 7348, section 4.3: VTEPs must not fragment.
                    flags_fragment: ipv4::FLAG_DONT_FRAGMENT.into(),
                    ttl: parameters.ttl,
                    protocol: ipv4::PROTOCOL_UDP,
                    checksum: 0.into(),
                    source: source.octets(),
                    destination: destination.octets(),
                };
                ipv4_sum = Sum::new().add_bytes(ip.as_bytes()).folded();
                header.extend_from_slice(ip.as_bytes());
            }
            VtepPair::V6 {
                source,
                destination,
            } => {
                let ip = ipv6::Header {
                    version_class_flow: (6 << 28 | u32::from(parameters.dscp) << 22).into(),
                    payload_length: 0.into(),
                    next_header: ipv4::PROTOCOL_UDP,
                    hop_limit: parameters.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                header.extend_from_slice(ip.as_bytes());
            }
        }
        let udp = udp::Header {
            source: 0.into(),
            destination: parameters.udp_port.into(),
            length: 0.into(),
            checksum: 0.into(),
        };
        header.extend_from_slice(udp.as_bytes());
        header.extend_from_slice(&[vxlan::FLAG_VNI, 0, 0, 0, 0, 0, 0, 0]);

        let mut template = [0; TEMPLATE_LEN];
        template[TEMPLATE_LEN - header.len()..].copy_from_slice(&header);
        Self {
            interface: parameters.interface,
            resolved: parameters.next_hop_mac.is_some(),
            udp_checksum: parameters.udp_checksum,
            ipv6,
            header_len: header.len() as u8,
            mtu: parameters.mtu,
            ipv4_sum,
            template,
        }
    }
}
