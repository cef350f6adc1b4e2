//! ICMP errors of a router (RFC 792, 1122, 1191, 1812): when one may be sent, and its headers.
//!
//! ```text
//!  IP 20 │ ICMP 8 │ the original packet from its IP header on, cut to 548 bytes
//!  └ [headers] ───┘ └ [quoted_len], what arrived, as it arrived
//! ```
//!
//! The original stays where it lies: the caller cuts it to [`quoted_len`] and puts the 28 bytes in front.

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::checksum::Sum;
use crate::icmp::{
    self, FRAGMENTATION_NEEDED, PARAMETER_PROBLEM, TIME_EXCEEDED, TTL_EXCEEDED, UNREACHABLE,
};
use crate::ipv4::{self, PROTOCOL_ICMP};

/// Most bytes of an error from its IP header on: every host takes that many (RFC 1812, 4.3.2.3).
pub const MAX_LEN: usize = 576;
/// Bytes of IP and ICMP header together.
pub const HEADERS_LEN: usize = ipv4::Header::LEN + icmp::Header::LEN;

/// TOS byte: precedence 6, internetwork control (RFC 1812, 4.3.2.5).
const TOS: u8 = 0xc0;
/// TTL of what this host sends itself (RFC 1700).
const TTL: u8 = 64;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// ICMP type.
    pub kind: u8,
    /// What it means within the type.
    pub code: u8,
    /// The second word of the message: zero, pointer or MTU.
    pub rest: u32,
}

impl Error {
    /// The TTL ran out here.
    pub const TTL_EXCEEDED: Self = Self::new(TIME_EXCEEDED, TTL_EXCEEDED, 0);

    const fn new(kind: u8, code: u8, rest: u32) -> Self {
        Self { kind, code, rest }
    }

    /// Not delivered, for the reason [`icmp::NET_UNREACHABLE`] and so on.
    #[inline]
    #[must_use]
    pub const fn unreachable(code: u8) -> Self {
        Self::new(UNREACHABLE, code, 0)
    }

    /// Longer than the next hop's MTU, and DF is set (RFC 1191, 4).
    #[inline]
    #[must_use]
    pub const fn fragmentation_needed(next_hop_mtu: u16) -> Self {
        Self::new(UNREACHABLE, FRAGMENTATION_NEEDED, next_hop_mtu as u32)
    }

    /// The byte at `pointer` of the original's header makes no sense (RFC 1812, 4.3.3.5).
    #[inline]
    #[must_use]
    pub const fn parameter_problem(pointer: u8) -> Self {
        Self::new(PARAMETER_PROBLEM, 0, (pointer as u32) << 24)
    }
}

/// May an error be sent about this packet (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7)?
///
/// `original` begins with an IPv4 header whose lengths [`ipv4::check`] has passed, and holds the first
/// byte of what it carries. `to_group` says that it arrived by link-layer broadcast or multicast, or that its
/// destination is a subnet's broadcast address.
///
/// No, when it is an error itself, a fragment but the first, to a group or to everybody, or
/// from an address that names no single host. An ICMP type that nobody has defined could be an error, and
/// is taken for one. What failed the check must not get here.
#[inline]
#[must_use]
pub fn may_send(original: &[u8], to_group: bool) -> bool {
    let Ok((header, _)) = ipv4::Header::ref_from_prefix(original) else {
        return false;
    };
    let destination = header.destination_addr();
    let ineligible = to_group
        || header.fragment_offset() != 0
        || destination.is_multicast()
        || destination.is_broadcast()
        || ipv4::is_martian_source(header.source_addr());
    if ineligible {
        return false;
    }
    header.protocol != PROTOCOL_ICMP
        || original
            .get(header.header_len())
            .is_some_and(|kind| is_query(*kind))
}

/// The ICMP types that ask or answer: echo, router discovery, timestamp, information, mask, and extended
/// echo (RFC 8335).
const fn is_query(kind: u8) -> bool {
    matches!(kind, 0 | 8..=10 | 13..=18 | 42 | 43)
}

/// How many bytes of the original are quoted: all, up to 576 of the whole error (RFC 1812, 4.3.2.3).
/// `total_len` is the original's total length, so that no padding is quoted.
#[inline]
#[must_use]
pub const fn quoted_len(total_len: usize) -> usize {
    const MOST: usize = MAX_LEN - HEADERS_LEN;
    if total_len < MOST { total_len } else { MOST }
}

/// IP and ICMP header of an error from `source`, a unicast address of the router on the interface
/// that the original came from (RFC 1812, 4.3.2.4), to the original's sender. `quoted` is the sum over the
/// [`quoted_len`] bytes that follow.
#[inline]
#[must_use]
pub fn headers(
    error: Error,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    quoted_len: usize,
    quoted: Sum,
) -> [u8; HEADERS_LEN] {
    let [high, low] = [(error.rest >> 16) as u16, error.rest as u16];
    let mut icmp = icmp::Header {
        kind: error.kind,
        code: error.code,
        checksum: U16::ZERO,
        identifier: U16::new(high),
        sequence: U16::new(low),
    };
    let sum = Sum::new().add_bytes(icmp.as_bytes()).add_sum(quoted);
    icmp.checksum.set(sum.finish());

    let mut ip = ipv4::Header {
        version_ihl: ipv4::Header::VERSION_IHL,
        tos: TOS,
        total_length: U16::new((HEADERS_LEN + quoted_len) as u16),
        // Never fragmented, so it needs no identification (RFC 6864, 4.1).
        identification: U16::ZERO,
        flags_fragment: U16::new(ipv4::FLAG_DONT_FRAGMENT),
        ttl: TTL,
        protocol: PROTOCOL_ICMP,
        checksum: U16::ZERO,
        source: source.octets(),
        destination: destination.octets(),
    };
    ip.checksum
        .set(Sum::new().add_bytes(ip.as_bytes()).finish());
    zerocopy::transmute!(Headers { ip, icmp })
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ip: ipv4::Header,
    icmp: icmp::Header,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::craft::{self, hex};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn sender() -> craft::Packet {
        craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4("192.168.1.9", "192.168.2.9")
    }

    /// The error about a packet, as a frame.
    fn error_about(error: Error, original: &[u8]) -> Vec<u8> {
        let checked = ipv4::check_lengths(original, original.len()).unwrap();
        let (ip, _) = ipv4::Header::ref_from_prefix(original).unwrap();
        let quoted = &original[..quoted_len(checked.total_len)];
        let sum = Sum::new().add_bytes(quoted);
        let front = headers(error, GATEWAY, ip.source_addr(), quoted.len(), sum);
        let link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        [&link[..], &front, quoted].concat()
    }

    #[test]
    fn rfc1191_fragmentation_needed_byte_for_byte() {
        let original = sender().identification(0x1234).udp(5000, 5001, &[0; 1440]);
        let error = error_about(Error::fragmentation_needed(1450), &original[14..]);
        assert_eq!(error.len(), 14 + MAX_LEN);
        // The checksum is that of the short quote of golden M1: what it does not quote are zeroes.
        assert_eq!(
            error[14..14 + 28 + 28],
            hex(
                "45c00240 00004000 4001b4a2 c0a80101 c0a80109 0304816e 000005aa
                 450005bc 12344000 40119e9a c0a80109 c0a80209 1388138905a8492a"
            )
        );
        assert_eq!(craft::verify(&error), Ok(()));
    }

    #[test]
    fn rfc1812_section_4_3_2_3_quotes_what_fits_576_bytes() {
        assert_eq!(quoted_len(28), 28);
        assert_eq!(quoted_len(548), 548);
        assert_eq!(quoted_len(549), 548);
        assert_eq!(quoted_len(65535), 548);
    }

    #[test]
    fn rfc1812_section_4_3_3_5_the_pointer_is_the_first_byte() {
        let original = sender().udp(1, 2, b"odd");
        let error = error_about(Error::parameter_problem(21), &original[14..]);
        assert_eq!(error[34..36], [12, 0]);
        assert_eq!(error[38..42], [21, 0, 0, 0]);
        assert_eq!(craft::verify(&error), Ok(()));
    }

    #[test]
    fn rfc1122_section_3_2_2_no_error_about_these() {
        let may = |frame: &[u8]| may_send(&frame[14..], false);
        let udp = sender().udp(1, 2, b"");
        assert!(may(&udp));
        assert!(!may_send(&udp[14..], true), "by link-layer broadcast");

        let addressed = |source: [u8; 4], destination: [u8; 4]| {
            let ethernet = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
            ethernet.ipv4(source, destination).udp(1, 2, b"")
        };
        let [host, other] = [[192, 0, 2, 1], [198, 51, 100, 1]];
        assert!(may(&addressed(host, other)));
        for destination in [[255; 4], [224, 0, 0, 5]] {
            assert!(!may(&addressed(host, destination)), "{destination:?}");
        }
        for source in [
            [0; 4],
            [127, 0, 0, 1],
            [239, 1, 1, 1],
            [240, 0, 0, 1],
            [255; 4],
        ] {
            assert!(!may(&addressed(source, other)), "{source:?}");
        }

        let pieces = craft::fragments(&sender().udp(1, 2, &[0; 3000]), 1500, 1);
        let allowed: Vec<bool> = pieces.iter().map(|piece| may(piece)).collect();
        assert_eq!(allowed, [true, false, false]);
    }

    #[test]
    fn rfc1122_section_3_2_2_no_error_about_errors() {
        let of = |kind| may_send(&sender().icmp(kind, 0, 0, &[0; 28])[14..], false);
        for kind in [3, 4, 5, 11, 12, 40, 99, 255] {
            assert!(!of(kind), "{kind}");
        }
        for kind in [0, 8, 13, 14, 17, 42] {
            assert!(of(kind), "{kind}");
        }
        // Behind options, and where the type is not there to be seen.
        let echo = sender().options(&[1; 8]).icmp_echo(1, 1, b"");
        assert!(may_send(&echo[14..], false));
        assert!(!may_send(
            &sender().payload(PROTOCOL_ICMP, b"")[14..],
            false
        ));
        assert!(!may_send(&[], false));
    }

    proptest! {
        #[test]
        fn errors_hold_for_every_length(
            payload in prop::collection::vec(any::<u8>(), 0..700),
            (kind, code, rest) in any::<(u8, u8, u32)>(),
        ) {
            let original = sender().udp(1, 2, &payload);
            let error = error_about(Error { kind, code, rest }, &original[14..]);
            prop_assert_eq!(craft::verify(&error), Ok(()));
            prop_assert!(error.len() <= 14 + MAX_LEN);
            let quoted = original.len() - 14;
            prop_assert_eq!(error.len() - 14, (quoted + HEADERS_LEN).min(MAX_LEN));
            prop_assert!(!may_send(&error[14..], false) || is_query(kind));
        }
    }
}
