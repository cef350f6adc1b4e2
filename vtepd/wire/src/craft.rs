//! Whole frames in one line, for tests and benchmarks (feature `build`).
//!
//! ```
//! use vtepd_wire::craft;
//!
//! let inner = craft::ethernet("fa:16:3e:b5:f9:75", "fa:16:3e:9a:b7:d4")
//!     .ipv4("192.168.1.9", "192.168.1.10")
//!     .ttl(63)
//!     .udp(5000, 53, b"query");
//! let outer = craft::ethernet("02:00:00:00:01:fe", "02:00:00:00:01:11")
//!     .vlan(100)
//!     .ipv4("192.0.2.11", "192.0.2.12")
//!     .vxlan(49152, 1671, &inner);
//! craft::verify(&outer).expect("lengths and checksums hold, inside too");
//! ```
//!
//! Lengths and checksums come out right; who wants them wrong changes the bytes afterwards. Addresses
//! are texts, byte arrays or the types themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "never sees a packet from the wire; a bad literal should fail the test that holds it"
)]

mod fragments;
mod verify;

pub use fragments::fragments;
pub use verify::verify;

use core::fmt::Debug;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::checksum::{Sum, udp_field};
use crate::ecn::Ecn;
use crate::ethernet::{
    self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN,
};
use crate::ipv4::{self, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::{IntoBytes, Mac, U16, U32, arp, icmp, icmpv6, ipv6, nd, tcp, udp, vxlan};

/// Bytes of a hexadecimal text; white space is skipped.
///
/// # Panics
/// On anything else than pairs of digits.
#[must_use]
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    let (pairs, odd) = digits.as_chunks();
    assert!(odd.is_empty(), "an odd number of hexadecimal digits");
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

/// What can be written where an address is wanted.
pub trait Literal<T> {
    /// The address; panics on a text that is none.
    fn value(self) -> T;
}

macro_rules! literal {
    ($($address:ty, $bytes:ty;)*) => {$(
        impl Literal<$address> for $address {
            fn value(self) -> $address {
                self
            }
        }
        impl Literal<$address> for $bytes {
            fn value(self) -> $address {
                self.into()
            }
        }
        impl Literal<$address> for &str {
            fn value(self) -> $address {
                parse(self)
            }
        }
    )*};
}
literal! {
    Mac, [u8; 6];
    Ipv4Addr, [u8; 4];
    Ipv6Addr, [u8; 16];
}

fn parse<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no address: {error:?}"))
}

/// Begins a frame.
pub fn ethernet(destination: impl Literal<Mac>, source: impl Literal<Mac>) -> Ethernet {
    let source = source.value();
    Ethernet {
        bytes: [destination.value().0, source.0].concat(),
        source,
    }
}

/// A frame up to, not including, its ethertype.
#[derive(Clone, Debug)]
#[must_use]
pub struct Ethernet {
    bytes: Vec<u8>,
    source: Mac,
}

impl Ethernet {
    /// Adds an 802.1Q tag of priority 0; call it again for a tag inside.
    pub fn vlan(self, identifier: u16) -> Self {
        self.tag(ETHERTYPE_VLAN, identifier)
    }

    /// Adds an 802.1ad service tag and a customer tag inside.
    pub fn qinq(self, service: u16, customer: u16) -> Self {
        self.tag(ETHERTYPE_QINQ, service)
            .tag(ETHERTYPE_VLAN, customer)
    }

    /// Adds a tag of any kind.
    pub fn tag(mut self, ethertype: u16, tci: u16) -> Self {
        self.bytes.extend(ethertype.to_be_bytes());
        self.bytes.extend(tci.to_be_bytes());
        self
    }

    /// Ends with this payload.
    #[must_use]
    pub fn payload(mut self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        self.bytes.extend(ethertype.to_be_bytes());
        self.bytes.extend(payload);
        self.bytes
    }

    /// Ends with an ARP packet.
    #[must_use]
    pub fn arp(self, packet: arp::Packet) -> Vec<u8> {
        self.payload(ETHERTYPE_ARP, packet.as_bytes())
    }

    /// Ends with a request by the frame's source.
    #[must_use]
    pub fn arp_request(
        self,
        sender: impl Literal<Ipv4Addr>,
        target: impl Literal<Ipv4Addr>,
    ) -> Vec<u8> {
        let packet = arp::Packet::request(self.source, sender.value(), target.value());
        self.arp(packet)
    }

    /// Ends with a reply of the frame's source to its destination.
    #[must_use]
    pub fn arp_reply(
        self,
        sender: impl Literal<Ipv4Addr>,
        target: impl Literal<Ipv4Addr>,
    ) -> Vec<u8> {
        let destination = Mac(*self.bytes.first_chunk().expect("begins with it"));
        let packet = arp::Packet::reply(self.source, sender.value(), destination, target.value());
        self.arp(packet)
    }

    /// Goes on with IPv4: TTL 64, DF set, identification 0.
    pub fn ipv4(
        self,
        source: impl Literal<Ipv4Addr>,
        destination: impl Literal<Ipv4Addr>,
    ) -> Packet {
        let header = ipv4::Header {
            version_ihl: ipv4::Header::VERSION_IHL,
            tos: 0,
            total_length: U16::ZERO,
            identification: U16::ZERO,
            flags_fragment: U16::new(ipv4::FLAG_DONT_FRAGMENT),
            ttl: 64,
            protocol: 0,
            checksum: U16::ZERO,
            source: source.value().octets(),
            destination: destination.value().octets(),
        };
        Packet {
            link: self,
            network: Network::V4(header, Vec::new()),
        }
    }

    /// Goes on with IPv6: hop limit 64, flow label 0.
    pub fn ipv6(
        self,
        source: impl Literal<Ipv6Addr>,
        destination: impl Literal<Ipv6Addr>,
    ) -> Packet {
        let header = ipv6::Header {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::ZERO,
            next_header: 0,
            hop_limit: 64,
            source: source.value().octets(),
            destination: destination.value().octets(),
        };
        Packet {
            link: self,
            network: Network::V6(header, Vec::new()),
        }
    }
}

#[derive(Clone, Debug)]
enum Network {
    /// With its options.
    V4(ipv4::Header, Vec<u8>),
    /// With its extension headers: number, and all bytes behind the first.
    V6(ipv6::Header, Vec<(u8, Vec<u8>)>),
}

/// A frame up to its IP header, whose lengths and checksum are yet to come.
#[derive(Clone, Debug)]
#[must_use]
pub struct Packet {
    link: Ethernet,
    network: Network,
}

/// Fields of the IP header.
impl Packet {
    /// TTL or hop limit.
    pub fn ttl(mut self, ttl: u8) -> Self {
        match &mut self.network {
            Network::V4(header, _) => header.ttl = ttl,
            Network::V6(header, _) => header.hop_limit = ttl,
        }
        self
    }

    /// TOS byte or traffic class.
    pub fn tos(mut self, tos: u8) -> Self {
        match &mut self.network {
            Network::V4(header, _) => header.tos = tos,
            Network::V6(header, _) => header.set_traffic_class(tos),
        }
        self
    }

    /// Congestion mark; the code point stays.
    pub fn ecn(self, ecn: Ecn) -> Self {
        let tos = match &self.network {
            Network::V4(header, _) => header.tos,
            Network::V6(header, _) => header.traffic_class(),
        };
        self.tos(ecn.in_byte(tos))
    }

    /// Identification of an IPv4 packet.
    pub fn identification(mut self, identification: u16) -> Self {
        self.v4().0.identification.set(identification);
        self
    }

    /// Clears DF of an IPv4 packet.
    pub fn may_fragment(mut self) -> Self {
        let flags = &mut self.v4().0.flags_fragment;
        flags.set(flags.get() & !ipv4::FLAG_DONT_FRAGMENT);
        self
    }

    /// Options of an IPv4 packet, padded by "end of options" to a multiple of four.
    pub fn options(mut self, options: &[u8]) -> Self {
        let (header, held) = self.v4();
        held.clear();
        held.extend(options);
        held.resize(options.len().next_multiple_of(4), 0);
        assert!(held.len() <= 40, "IPv4 options have at most 40 bytes");
        header.version_ihl = 0x45 + (held.len() / 4) as u8;
        self
    }

    /// Flow label of an IPv6 packet.
    pub fn flow_label(mut self, label: u32) -> Self {
        let field = &mut self.v6().0.version_class_flow;
        field.set(field.get() & 0xfff0_0000 | label & 0x000f_ffff);
        self
    }

    /// Adds an IPv6 extension header: `body` is all of it but its first byte.
    pub fn extension(mut self, number: u8, body: &[u8]) -> Self {
        self.v6().1.push((number, body.to_vec()));
        self
    }

    /// Adds hop-by-hop options: six bytes of padding.
    pub fn hop_by_hop(self) -> Self {
        self.extension(ipv6::HOP_BY_HOP, &[0, 1, 4, 0, 0, 0, 0])
    }

    /// Adds destination options: 14 bytes of padding.
    pub fn destination_options(self) -> Self {
        let mut body = [0; 15];
        body[..3].copy_from_slice(&[1, 1, 12]);
        self.extension(ipv6::DESTINATION_OPTIONS, &body)
    }

    /// Adds a routing header of an experimental type with no segments left.
    pub fn routing(self) -> Self {
        self.extension(ipv6::ROUTING, &[0, 253, 0, 0, 0, 0, 0])
    }

    /// Adds an authentication header with a check value of 12 bytes.
    pub fn authentication(self) -> Self {
        let mut body = [0xa5; 23];
        body[..3].copy_from_slice(&[4, 0, 0]);
        self.extension(ipv6::AUTHENTICATION, &body)
    }

    /// Makes it a fragment; `offset` in bytes, a multiple of eight. What ends the packet is then
    /// the fragment's bytes: use [`Packet::payload`].
    pub fn fragment(mut self, identification: u32, offset: u16, more: bool) -> Self {
        assert_eq!(offset % 8, 0, "fragments begin at multiples of eight bytes");
        match &mut self.network {
            Network::V4(header, _) => {
                let flag = if more { ipv4::FLAG_MORE_FRAGMENTS } else { 0 };
                header.flags_fragment.set(flag | (offset / 8));
                header.identification.set(identification as u16);
                self
            }
            Network::V6(..) => {
                let mut body = vec![0];
                body.extend((offset | u16::from(more)).to_be_bytes());
                body.extend(identification.to_be_bytes());
                self.extension(ipv6::FRAGMENT, &body)
            }
        }
    }

    fn v4(&mut self) -> (&mut ipv4::Header, &mut Vec<u8>) {
        match &mut self.network {
            Network::V4(header, options) => (header, options),
            Network::V6(..) => panic!("IPv6 has no such field"),
        }
    }

    fn v6(&mut self) -> (&mut ipv6::Header, &mut Vec<(u8, Vec<u8>)>) {
        match &mut self.network {
            Network::V6(header, extensions) => (header, extensions),
            Network::V4(..) => panic!("IPv4 has no such field"),
        }
    }
}

/// What the packet carries, which ends the frame.
impl Packet {
    /// These bytes.
    #[must_use]
    pub fn payload(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let Self { link, network } = self;
        match network {
            Network::V4(mut header, options) => {
                header.protocol = protocol;
                let length = ipv4::Header::LEN + options.len() + payload.len();
                header.total_length.set(short(length));
                let sum = Sum::new().add_bytes(header.as_bytes()).add_bytes(&options);
                header.checksum.set(sum.finish());
                let bytes = [header.as_bytes(), &options, payload].concat();
                link.payload(ETHERTYPE_IPV4, &bytes)
            }
            Network::V6(mut header, extensions) => {
                // Each header names the next, so they are laid down from the last to the first.
                let mut bytes = payload.to_vec();
                header.next_header = protocol;
                for (number, body) in extensions.into_iter().rev() {
                    bytes = [&[header.next_header], &body[..], &bytes].concat();
                    header.next_header = number;
                }
                header.payload_length.set(short(bytes.len()));
                let bytes = [header.as_bytes(), &bytes].concat();
                link.payload(ETHERTYPE_IPV6, &bytes)
            }
        }
    }

    /// UDP with its checksum.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut header = udp_header(source, destination, payload.len());
        let sum = self
            .pseudo(PROTOCOL_UDP, udp::Header::LEN + payload.len())
            .add_bytes(header.as_bytes())
            .add_bytes(payload);
        header.checksum.set(udp_field(sum.finish()));
        self.payload(PROTOCOL_UDP, &[header.as_bytes(), payload].concat())
    }

    /// UDP without a checksum.
    #[must_use]
    pub fn udp_unchecked(self, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let header = udp_header(source, destination, payload.len());
        self.payload(PROTOCOL_UDP, &[header.as_bytes(), payload].concat())
    }

    /// VXLAN to port 4789: without UDP checksum over IPv4, with one over IPv6.
    #[must_use]
    pub fn vxlan(self, source_port: u16, vni: u32, inner: &[u8]) -> Vec<u8> {
        self.vxlan_to(source_port, vxlan::PORT, vni, inner)
    }

    /// VXLAN to another port.
    #[must_use]
    pub fn vxlan_to(self, source_port: u16, port: u16, vni: u32, inner: &[u8]) -> Vec<u8> {
        let vni = (vni << 8).to_be_bytes();
        let payload = [&[vxlan::FLAG_VNI, 0, 0, 0], &vni[..], inner].concat();
        match self.network {
            Network::V4(..) => self.udp_unchecked(source_port, port, &payload),
            Network::V6(..) => self.udp(source_port, port, &payload),
        }
    }

    /// TCP: sequence number 1, acknowledgement 1 when the flag is given, window 65,535, no options.
    #[must_use]
    pub fn tcp(self, source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let header = tcp::Header {
            source: U16::new(source),
            destination: U16::new(destination),
            sequence: U32::new(1),
            acknowledgement: U32::new(u32::from(flags & tcp::ACK != 0)),
            data_offset: 0,
            flags,
            window: U16::new(u16::MAX),
            checksum: U16::ZERO,
            urgent: U16::ZERO,
        };
        self.tcp_segment(header, &[], payload)
    }

    /// TCP with this header, whose data offset and checksum are filled in. Options are padded by "end
    /// of options" to a multiple of four.
    #[must_use]
    pub fn tcp_segment(self, mut header: tcp::Header, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut options = options.to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        let header_len = tcp::Header::LEN + options.len();
        assert!(header_len <= 60, "TCP options have at most 40 bytes");
        header.data_offset = ((header_len / 4) as u8) << 4;
        header.checksum = U16::ZERO;
        let sum = self
            .pseudo(PROTOCOL_TCP, header_len + payload.len())
            .add_bytes(header.as_bytes())
            .add_bytes(&options)
            .add_bytes(payload);
        header.checksum.set(sum.finish());
        let segment = [header.as_bytes(), &options, payload].concat();
        self.payload(PROTOCOL_TCP, &segment)
    }

    /// An echo request, of ICMP or ICMPv6.
    #[must_use]
    pub fn icmp_echo(self, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let kind = match self.network {
            Network::V4(..) => icmp::ECHO_REQUEST,
            Network::V6(..) => icmpv6::ECHO_REQUEST,
        };
        self.icmp(kind, 0, word(identifier, sequence), payload)
    }

    /// The answer to one.
    #[must_use]
    pub fn icmp_echo_reply(self, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let kind = match self.network {
            Network::V4(..) => icmp::ECHO_REPLY,
            Network::V6(..) => icmpv6::ECHO_REPLY,
        };
        self.icmp(kind, 0, word(identifier, sequence), payload)
    }

    /// Any message of ICMP or ICMPv6; `rest` is its second word.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, rest: u32, payload: &[u8]) -> Vec<u8> {
        let mut header = icmpv6::Header {
            kind,
            code,
            checksum: U16::ZERO,
            rest: U32::new(rest),
        };
        let (protocol, pseudo) = match self.network {
            Network::V4(..) => (PROTOCOL_ICMP, Sum::new()),
            Network::V6(..) => {
                let length = icmpv6::Header::LEN + payload.len();
                (PROTOCOL_ICMPV6, self.pseudo(PROTOCOL_ICMPV6, length))
            }
        };
        let sum = pseudo.add_bytes(header.as_bytes()).add_bytes(payload);
        header.checksum.set(sum.finish());
        self.payload(protocol, &[header.as_bytes(), payload].concat())
    }

    /// A neighbour solicitation with the frame's source as link-layer address, hop limit 255.
    #[must_use]
    pub fn solicitation(mut self, target: impl Literal<Ipv6Addr>) -> Vec<u8> {
        let mac = self.link.source;
        let header = *self.v6().0;
        let (source, destination) = (header.source_addr(), header.destination_addr());
        let message = nd::solicitation(source, destination, target.value(), mac);
        self.ttl(nd::HOP_LIMIT).payload(PROTOCOL_ICMPV6, &message)
    }

    /// A neighbour advertisement with the frame's source as link-layer address, hop limit 255.
    #[must_use]
    pub fn advertisement(mut self, target: impl Literal<Ipv6Addr>, flags: u32) -> Vec<u8> {
        let mac = self.link.source;
        let header = *self.v6().0;
        let (source, destination) = (header.source_addr(), header.destination_addr());
        let message = nd::advertisement(source, destination, target.value(), mac, flags);
        self.ttl(nd::HOP_LIMIT).payload(PROTOCOL_ICMPV6, &message)
    }

    fn pseudo(&self, protocol: u8, length: usize) -> Sum {
        match &self.network {
            Network::V4(header, _) => header.pseudo_header(protocol, short(length)),
            Network::V6(header, _) => header.pseudo_header(protocol, u32::from(short(length))),
        }
    }
}

fn udp_header(source: u16, destination: u16, payload_len: usize) -> udp::Header {
    udp::Header {
        source: U16::new(source),
        destination: U16::new(destination),
        length: U16::new(short(udp::Header::LEN + payload_len)),
        checksum: U16::ZERO,
    }
}

fn word(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("an IP packet has at most 65,535 bytes")
}

/// Zeroes at the end, up to the 60 bytes that a frame has on a wire.
#[must_use]
pub fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len().max(ethernet::MIN_FRAME_LEN);
    frame.resize(length, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM1: &str = "fa:16:3e:9a:b7:d4";
    const VM2: &str = "fa:16:3e:b5:f9:75";

    /// An echo between two ports of one network, and what the fabric between their hosts carries.
    const ECHO: &str = "fa163eb5f975 fa163e9ab7d4 0800
        4500002c 12344000 4001a539 c0a80109 c0a8010a
        08001b16 00010001 76746570642d676f6c64656e2d313662";
    const OUTER: &str = "0200000001fe 020000000111 0800
        4500005e 00004000 4011b677 c000020b c000020c
        c12312b5 004a0000 08000000 00068700";

    fn echo() -> Vec<u8> {
        ethernet(VM2, VM1)
            .ipv4("192.168.1.9", "192.168.1.10")
            .identification(0x1234)
            .icmp_echo(1, 1, b"vtepd-golden-16b")
    }

    #[test]
    fn echo_and_its_tunnel_byte_for_byte() {
        assert_eq!(echo(), hex(ECHO));
        let outer = ethernet("02:00:00:00:01:fe", "02:00:00:00:01:11")
            .ipv4([192, 0, 2, 11], [192, 0, 2, 12])
            .vxlan(0xc123, 1671, &echo());
        assert_eq!(outer, [hex(OUTER), hex(ECHO)].concat());
        assert_eq!(verify(&outer), Ok(()));
    }

    #[test]
    fn arp_byte_for_byte() {
        let request = ethernet(Mac::BROADCAST, VM1).arp_request("192.168.1.9", "192.168.1.10");
        assert_eq!(
            request,
            hex("ffffffffffff fa163e9ab7d4 0806 0001080006040001
                 fa163e9ab7d4 c0a80109 000000000000 c0a8010a")
        );
        let reply = ethernet(VM1, VM2).arp_reply("192.168.1.10", "192.168.1.9");
        assert_eq!(
            reply,
            hex("fa163e9ab7d4 fa163eb5f975 0806 0001080006040002
                 fa163eb5f975 c0a8010a fa163e9ab7d4 c0a80109")
        );
        assert_eq!(verify(&reply), Ok(()));
    }

    #[test]
    #[should_panic(expected = "is no address")]
    fn a_bad_literal_fails_the_test_that_holds_it() {
        let _ = ethernet("fa:16:3e", VM1);
    }
}
