//! The flow hash: which packets belong together, as one number.
//!
//! It picks the UDP source port of an encapsulated frame, by which the fabric spreads flows over its
//! links (RFC 7348, 5), and the worker where software steers. Packets of one flow must hash
//! alike, fragments included, or they overtake one another.
//!
//! | frame | hashed |
//! |---|---|
//! | TCP, UDP, SCTP, not fragmented | addresses, protocol, ports |
//! | ICMP and ICMPv6 echo, not fragmented | addresses, protocol, identifier |
//! | any fragment | addresses, protocol (over IPv6 the number of the fragment header, as later fragments need not repeat the true one: RFC 8200, 4.5) |
//! | other IP | addresses, protocol |
//! | anything else, malformed IP too | MAC addresses, ethertype |
//!
//! Both directions of a flow hash differently; nothing here needs them to agree.

use crate::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use crate::hash::KeyedHash;
use crate::{FromBytes, frame, icmp, icmpv6, ipv4, ipv6};

/// First port of the range that tunnel source ports are taken from (RFC 7348, 4.2; RFC 6335, 6).
pub const FIRST_SOURCE_PORT: u16 = 49152;

/// A flow hash of secret keys.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    hash: KeyedHash,
}

impl FlowHasher {
    /// A function of its own for each pair of keys.
    #[inline]
    #[must_use]
    pub const fn new(key0: u64, key1: u64) -> Self {
        Self {
            hash: KeyedHash::new(key0, key1),
        }
    }

    /// Hash of an Ethernet frame, up to two VLAN tags skipped. `frame` need not hold the whole frame,
    /// only its headers.
    #[inline]
    #[must_use]
    pub fn hash_frame(&self, frame: &[u8]) -> u32 {
        let Ok(link) = frame::link(frame) else {
            return 0;
        };
        let l3 = frame.get(usize::from(link.l3)..).unwrap_or_default();
        match self.hash_l3(link.ethertype, l3) {
            Some(hash) => hash,
            None => self.hash_l2(frame, link.ethertype),
        }
    }

    /// Hash of what follows the Ethernet header and its tags; `None` unless it begins with an IP header.
    #[inline]
    #[must_use]
    pub fn hash_l3(&self, ethertype: u16, packet: &[u8]) -> Option<u32> {
        match ethertype {
            ETHERTYPE_IPV4 => self.hash_ipv4(packet),
            ETHERTYPE_IPV6 => self.hash_ipv6(packet),
            _ => None,
        }
    }

    /// Hash of an IPv4 packet; `None` when it has no sound header.
    #[inline]
    #[must_use]
    pub fn hash_ipv4(&self, packet: &[u8]) -> Option<u32> {
        let (header, _) = ipv4::Header::ref_from_prefix(packet).ok()?;
        let header_len = header.header_len();
        if header.version() != 4 || header_len < ipv4::Header::LEN {
            return None;
        }
        let ports = if header.is_fragment() {
            0
        } else {
            let l4 = packet.get(header_len..).unwrap_or_default();
            discriminator(header.protocol, l4)
        };
        let addresses = u64::from(u32::from_ne_bytes(header.source)) << 32
            | u64::from(u32::from_ne_bytes(header.destination));
        Some(self.finish([addresses, rest(header.protocol, ports)]))
    }

    /// Hash of an IPv6 packet; `None` when it has no sound header.
    #[inline]
    #[must_use]
    pub fn hash_ipv6(&self, packet: &[u8]) -> Option<u32> {
        let (header, after) = ipv6::Header::ref_from_prefix(packet).ok()?;
        if header.version() != 6 {
            return None;
        }
        // A chain that cannot be followed leaves the addresses, as a later fragment of the same
        // packet may be all right and has to agree.
        let (protocol, ports) = match ipv6::find_fragment(after, header.next_header) {
            Ok(upper) if upper.fragment.is_none() => {
                let l4 = after.get(upper.offset..).unwrap_or_default();
                (upper.protocol, discriminator(upper.protocol, l4))
            }
            _ => (ipv6::FRAGMENT, 0),
        };
        let [a, b] = halves(&header.source);
        let [c, d] = halves(&header.destination);
        Some(self.finish([a, b, c, d, rest(protocol, ports)]))
    }

    /// Hash of MAC addresses and ethertype.
    #[inline]
    fn hash_l2(&self, frame: &[u8], ethertype: u16) -> u32 {
        let Some(macs) = frame.first_chunk::<12>() else {
            return 0;
        };
        let mut words = [0u8; 16];
        for (to, from) in words.iter_mut().zip(macs) {
            *to = *from;
        }
        let [a, b] = halves(&words);
        self.finish([a, b, u64::from(ethertype)])
    }

    #[inline]
    fn finish<const N: usize>(&self, words: [u64; N]) -> u32 {
        let hash = self.hash.hash_words(words);
        (hash >> 32) as u32 ^ hash as u32
    }
}

/// The outer UDP source port of a flow: 49152 to 65535 by the upper 14 bits of its hash.
#[inline]
#[must_use]
pub const fn source_port(hash: u32) -> u16 {
    FIRST_SOURCE_PORT | (hash >> 18) as u16
}

/// Ports or identifier; zero for a protocol that has neither, or when they are cut off.
#[inline]
fn discriminator(protocol: u8, l4: &[u8]) -> u32 {
    match protocol {
        ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP | ipv4::PROTOCOL_SCTP => l4
            .first_chunk::<4>()
            .map_or(0, |ports| u32::from_ne_bytes(*ports)),
        ipv4::PROTOCOL_ICMP => match icmp::Header::ref_from_prefix(l4) {
            Ok((header, _)) if header.is_echo() => u32::from(header.identifier.get()),
            _ => 0,
        },
        ipv4::PROTOCOL_ICMPV6 => match icmpv6::Header::ref_from_prefix(l4) {
            Ok((header, _)) if header.is_echo() => u32::from(header.identifier()),
            _ => 0,
        },
        _ => 0,
    }
}

#[inline]
const fn rest(protocol: u8, ports: u32) -> u64 {
    (protocol as u64) << 32 | ports as u64
}

#[inline]
fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let all = u128::from_ne_bytes(*bytes);
    [all as u64, (all >> 64) as u64]
}
