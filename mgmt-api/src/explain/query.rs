//! The question, with everything filled in: ready to be made a frame.

use std::net::IpAddr;

use crate::mac::Mac;
use crate::resources::{Host, Interface, Tag, Vni};
use crate::state::Handle;

/// A packet to be explained.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainQuery {
    /// The interface it comes in by.
    pub interface: Handle<Interface>,
    /// The frame, or what to make one of.
    pub frame: ExplainFrame,
}

/// A frame, or what to make one of.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainFrame {
    /// As it would arrive, its tag in place, without the frame check sequence. At least an Ethernet header.
    Raw(Vec<u8>),
    /// To be made of these.
    Packet(PacketFields),
}

/// What to make a frame of. Source and destination are of one address family.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketFields {
    /// It arrives encapsulated; what follows is then the inner frame.
    pub tunnel: Option<Tunnel>,
    /// The source MAC address.
    pub source_mac: Mac,
    /// The destination MAC address.
    pub destination_mac: Mac,
    /// The tag it bears on the interface; never beside a tunnel.
    pub tag: Option<Tag>,
    /// The source address.
    pub source: IpAddr,
    /// The destination address; the target if it is [`Transport::Resolve`].
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the whole IP packet, its headers fit in it; what is left is payload of any content.
    pub length: u16,
    /// IPv4: the "don't fragment" flag.
    pub dont_fragment: bool,
}

/// The outer headers of a frame that another host sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// The VXLAN network identifier.
    pub vni: Vni,
    /// The host that sent it.
    pub host: Handle<Host>,
    /// Its VTEP address.
    pub source: IpAddr,
    /// Our VTEP address, of the same family.
    pub destination: IpAddr,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, a SYN.
    Tcp {
        /// The source port.
        source_port: u16,
        /// The destination port.
        destination_port: u16,
    },
    /// UDP.
    Udp {
        /// The source port.
        source_port: u16,
        /// The destination port.
        destination_port: u16,
    },
    /// ICMP or ICMPv6 echo request.
    Echo {
        /// Its identifier.
        identifier: u16,
        /// Its sequence number.
        sequence: u16,
    },
    /// No IP payload: an ARP request or a neighbour solicitation for the destination.
    Resolve,
    /// Another protocol, its payload of any content.
    Other(u8),
}

impl Transport {
    /// The least bytes of an IP packet that carries this.
    #[must_use]
    pub fn min_length(self, is_ipv4: bool) -> u16 {
        let ip = if is_ipv4 { 20 } else { 40 };
        ip + match self {
            Self::Tcp { .. } => 20,
            Self::Udp { .. } | Self::Echo { .. } => 8,
            // Target address and source link-layer address option (RFC 4861 §4.3); with IPv4 there is no IP packet.
            Self::Resolve => 32,
            Self::Other(_) => 0,
        }
    }
}
