//! What is translated: an address with a port, or with the identifier of a query.

use core::net::{Ipv4Addr, SocketAddrV4};

use vtepd_wire::ipv4::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};

/// What has ports or identifiers to be translated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Protocol {
    /// Queries, by their identifiers.
    Icmp = PROTOCOL_ICMP,
    /// Connections.
    Tcp = PROTOCOL_TCP,
    /// Datagrams.
    Udp = PROTOCOL_UDP,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Icmp, Self::Tcp, Self::Udp];

    /// By its number in an IP header.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            PROTOCOL_ICMP => Some(Self::Icmp),
            PROTOCOL_TCP => Some(Self::Tcp),
            PROTOCOL_UDP => Some(Self::Udp),
            _ => None,
        }
    }

    /// The position in [`ALL`](Self::ALL).
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Self::Icmp => 0,
            Self::Tcp => 1,
            Self::Udp => 2,
        }
    }

    /// For the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// An address and port, as the keys hold them: 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Endpoint {
    /// The address.
    pub address: u32,
    /// The port, or the identifier of a query.
    pub port: u16,
}

impl Endpoint {
    /// Of both.
    pub fn new(address: u32, port: u16) -> Self {
        Self { address, port }
    }

    /// As a part of a key.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        (self.address as u64) << 16 | self.port as u64
    }

    /// Back from a key.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            address: (bits >> 16) as u32,
            port: bits as u16,
        }
    }

    /// For people.
    pub fn socket(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(self.address), self.port)
    }
}
