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
//! Both directions of a flow hash differently; nothing here needs them to agree. A frame takes 3.5 ns over
//! IPv4 and 4.2 ns over IPv6 (`benches/speed.rs`).

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, Ethernet, Packet};

    const HASHER: FlowHasher = FlowHasher::new(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

    fn ethernet() -> Ethernet {
        craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
    }

    fn v4() -> Packet {
        ethernet().ipv4("192.0.2.1", "192.0.2.2")
    }

    fn v6() -> Packet {
        ethernet().ipv6("2001:db8::1", "2001:db8::2")
    }

    fn hash(frame: &[u8]) -> u32 {
        HASHER.hash_frame(frame)
    }

    #[test]
    fn every_part_of_the_5_tuple_counts() {
        for packet in [v4, v6] {
            let flow = hash(&packet().udp(1000, 2000, b"one"));
            assert_eq!(
                hash(&packet().ttl(9).tos(3).udp(1000, 2000, b"other")),
                flow
            );
            assert_ne!(hash(&packet().udp(1001, 2000, b"one")), flow);
            assert_ne!(hash(&packet().udp(1000, 2001, b"one")), flow);
            assert_ne!(hash(&packet().tcp(1000, 2000, 0, b"one")), flow);
            assert_ne!(
                hash(&packet().udp(2000, 1000, b"one")),
                flow,
                "not symmetric"
            );
        }
        let flow = hash(&v4().udp(1, 2, b""));
        assert_ne!(
            hash(&ethernet().ipv4("192.0.2.2", "192.0.2.1").udp(1, 2, b"")),
            flow
        );
        assert_ne!(
            hash(&ethernet().ipv4("192.0.2.1", "192.0.2.3").udp(1, 2, b"")),
            flow
        );
        let flow = hash(&v6().udp(1, 2, b""));
        assert_ne!(
            hash(&ethernet().ipv6("2001:db8::1", "2001:db9::2").udp(1, 2, b"")),
            flow
        );
        assert_ne!(
            hash(
                &ethernet()
                    .ipv6("2001:db8:1::1", "2001:db8::2")
                    .udp(1, 2, b"")
            ),
            flow
        );
    }

    #[test]
    fn tags_options_and_extensions_do_not_count() {
        let plain = hash(&v4().udp(1, 2, b"x"));
        let tagged = ethernet().qinq(5, 6).ipv4("192.0.2.1", "192.0.2.2");
        assert_eq!(hash(&tagged.udp(1, 2, b"x")), plain);
        assert_eq!(hash(&v4().options(&[7, 3, 4]).udp(1, 2, b"x")), plain);
        let plain = hash(&v6().udp(1, 2, b"x"));
        let extended = v6().hop_by_hop().routing().destination_options();
        assert_eq!(hash(&extended.udp(1, 2, b"x")), plain);
    }

    #[test]
    fn all_fragments_of_a_datagram_hash_alike() {
        for frame in [
            v4().udp(1, 2, &[7; 4000]),
            v6().udp(1, 2, &[7; 4000]),
            v6().destination_options().udp(1, 2, &[7; 4000]),
            // A routing header longer than the first fragment.
            v6().payload(ipv6::ROUTING, &[0xff; 4000]),
        ] {
            let hashes: Vec<u32> = craft::fragments(&frame, 1280, 3)
                .iter()
                .map(|piece| hash(piece))
                .collect();
            assert_eq!(hashes.len(), 4);
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:x?}");
        }
    }

    #[test]
    fn echo_by_identifier() {
        for packet in [v4, v6] {
            let ping = hash(&packet().icmp_echo(7, 1, b""));
            assert_eq!(hash(&packet().icmp_echo(7, 2, b"more")), ping);
            assert_ne!(hash(&packet().icmp_echo(8, 1, b"")), ping);
        }
        // Errors have none: the MTU must not part them.
        let error = |mtu| hash(&v4().icmp(icmp::UNREACHABLE, 4, mtu, b"quoted"));
        assert_eq!(error(1450), error(0x0007_05aa));
    }

    #[test]
    fn what_is_not_ip_goes_by_mac_addresses() {
        let arp = hash(&ethernet().arp_request("192.0.2.1", "192.0.2.2"));
        assert_eq!(hash(&ethernet().arp_request("192.0.2.1", "192.0.2.9")), arp);
        let other = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3]);
        assert_ne!(hash(&other.arp_request("192.0.2.1", "192.0.2.2")), arp);
        assert_ne!(hash(&ethernet().payload(0x88cc, b"")), arp);
        assert_eq!(HASHER.hash_l3(0x0806, &[0; 40]), None);
        // IP by its ethertype, but not by its bytes.
        let broken = ethernet().payload(ETHERTYPE_IPV4, &[0x55; 40]);
        let same = ethernet().payload(ETHERTYPE_IPV4, &[0x12; 12]);
        assert_eq!(hash(&broken), hash(&same));
        assert_eq!(hash(&broken[..13]), 0);
    }

    #[test]
    fn ports_cut_off_leave_the_addresses() {
        let frame = v4().udp(1, 2, b"");
        assert_eq!(hash(&frame[..37]), hash(&frame[..34]));
        assert_ne!(hash(&frame[..38]), hash(&frame[..34]));
    }

    #[test]
    fn source_ports_rfc7348_section_4_2() {
        assert_eq!(source_port(0), 49152);
        assert_eq!(source_port(u32::MAX), 65535);
        let mut used = vec![0u32; 1 << 14];
        for port in 0..65_000 {
            let hash = hash(&v4().tcp(port, 443, 0, b""));
            used[usize::from(source_port(hash) - FIRST_SOURCE_PORT)] += 1;
        }
        // 65,000 flows on 16,384 ports: four each; a random function leaves 310 unused and puts no
        // more than 16 on one.
        assert!(used.iter().filter(|flows| **flows == 0).count() < 450);
        assert!(used.iter().all(|flows| *flows < 20));
    }
}
