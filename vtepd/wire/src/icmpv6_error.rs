//! ICMPv6 errors of a router (RFC 4443): when one may be sent, and its headers.
//!
//! ```text
//!  IP 40 │ ICMPv6 8 │ the original packet from its IP header on, cut to 1232 bytes
//!  └ [headers] ─────┘ └ [quoted_len], what arrived, as it arrived
//! ```
//!
//! The original stays where it lies: the caller cuts it to [`quoted_len`] and puts the 48 bytes in front.

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::checksum::Sum;
use crate::icmpv6::{
    self, HOP_LIMIT_EXCEEDED, PACKET_TOO_BIG, PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE,
};
use crate::ipv4::PROTOCOL_ICMPV6;
use crate::ipv6;

/// Most bytes of an error from its IP header on: the least MTU of a link (RFC 4443, 2.4(c)).
pub const MAX_LEN: usize = 1280;
/// Bytes of IP and ICMPv6 header together.
pub const HEADERS_LEN: usize = ipv6::Header::LEN + icmpv6::Header::LEN;

/// Code of a parameter problem: a header field makes no sense.
const ERRONEOUS_FIELD: u8 = 0;
/// Code of a parameter problem: an option is unknown and asks for an error, also to a group.
const UNRECOGNISED_OPTION: u8 = 2;
/// Hop limit of what this host sends itself (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// ICMPv6 type, below 128.
    pub kind: u8,
    /// What it means within the type.
    pub code: u8,
    /// The second word of the message: zero, pointer or MTU.
    pub rest: u32,
}

impl Error {
    /// The hop limit ran out here.
    pub const HOP_LIMIT_EXCEEDED: Self = Self::new(TIME_EXCEEDED, HOP_LIMIT_EXCEEDED, 0);

    const fn new(kind: u8, code: u8, rest: u32) -> Self {
        Self { kind, code, rest }
    }

    /// Not delivered, for the reason [`icmpv6::NO_ROUTE`] and so on.
    #[inline]
    #[must_use]
    pub const fn unreachable(code: u8) -> Self {
        Self::new(UNREACHABLE, code, 0)
    }

    /// Longer than the next hop's MTU; routers do not fragment IPv6 (RFC 8200, 5).
    #[inline]
    #[must_use]
    pub const fn packet_too_big(next_hop_mtu: u32) -> Self {
        Self::new(PACKET_TOO_BIG, 0, next_hop_mtu)
    }

    /// The field at `pointer`, bytes from the IPv6 header on, makes no sense.
    #[inline]
    #[must_use]
    pub const fn parameter_problem(pointer: u32) -> Self {
        Self::new(PARAMETER_PROBLEM, ERRONEOUS_FIELD, pointer)
    }

    /// Is this one of the two that groups are told too, for path MTU discovery and options that ask for
    /// it (2.4(e.3))?
    const fn is_for_groups_too(self) -> bool {
        matches!(
            (self.kind, self.code),
            (PACKET_TOO_BIG, _) | (PARAMETER_PROBLEM, UNRECOGNISED_OPTION)
        )
    }
}

/// May this error be sent about this packet (2.4(e))?
///
/// `original` begins with an IPv6 header that [`ipv6::check`] has passed, and holds its extension
/// headers and the first byte behind them. `to_group` says that it arrived by link-layer multicast or
/// broadcast.
///
/// No, when it is an ICMPv6 error or a redirect, from an address that names no single node, or to a group;
/// packet too big and parameter problem 2 are sent about packets to groups as well. A later fragment
/// of ICMPv6 does not show its type: it is no error, for those fit 1280 bytes and are never fragmented.
#[inline]
#[must_use]
pub fn may_send(error: Error, original: &[u8], to_group: bool) -> bool {
    let Ok((header, chain)) = ipv6::Header::ref_from_prefix(original) else {
        return false;
    };
    let to_group = to_group || header.destination_addr().is_multicast();
    if (to_group && !error.is_for_groups_too()) || ipv6::is_martian_source(header.source_addr()) {
        return false;
    }
    let Ok(upper) = ipv6::walk_extensions(chain, header.next_header) else {
        return false;
    };
    upper.protocol != PROTOCOL_ICMPV6
        || !upper.is_first()
        || chain
            .get(upper.offset)
            .is_some_and(|kind| *kind >= 128 && *kind != icmpv6::REDIRECT)
}

/// How many bytes of the original are quoted: all, up to 1280 of the whole error (2.4(c)).
/// `total_len` is the original's length with its fixed header, so that no padding is quoted.
#[inline]
#[must_use]
pub const fn quoted_len(total_len: usize) -> usize {
    const MOST: usize = MAX_LEN - HEADERS_LEN;
    if total_len < MOST { total_len } else { MOST }
}

/// IP and ICMPv6 header of an error from `source`, a unicast address of the router (2.2), to the
/// original's sender. `quoted` is the sum over the [`quoted_len`] bytes that follow.
#[inline]
#[must_use]
pub fn headers(
    error: Error,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    quoted_len: usize,
    quoted: Sum,
) -> [u8; HEADERS_LEN] {
    let length = icmpv6::Header::LEN + quoted_len;
    let ip = ipv6::Header {
        version_class_flow: U32::new(6 << 28),
        payload_length: U16::new(length as u16),
        next_header: PROTOCOL_ICMPV6,
        hop_limit: HOP_LIMIT,
        source: source.octets(),
        destination: destination.octets(),
    };
    let mut icmp = icmpv6::Header {
        kind: error.kind,
        code: error.code,
        checksum: U16::ZERO,
        rest: U32::new(error.rest),
    };
    let sum = ip
        .pseudo_header(PROTOCOL_ICMPV6, length as u32)
        .add_bytes(icmp.as_bytes())
        .add_sum(quoted);
    icmp.checksum.set(sum.finish());
    zerocopy::transmute!(Headers { ip, icmp })
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ip: ipv6::Header,
    icmp: icmpv6::Header,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::craft::{self, hex};

    const UNREACHABLE: Error = Error::unreachable(icmpv6::NO_ROUTE);

    fn from(source: &str, destination: &str) -> craft::Packet {
        craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv6(source, destination)
    }

    fn sender() -> craft::Packet {
        from("2001:db8:1::9", "2001:db8:2::9")
    }

    /// The error about a packet, as a frame.
    fn error_about(error: Error, original: &[u8]) -> Vec<u8> {
        let payload = ipv6::check(original, original.len()).unwrap();
        let (ip, _) = ipv6::Header::ref_from_prefix(original).unwrap();
        let quoted = &original[..quoted_len(ipv6::Header::LEN + payload)];
        let gateway = "2001:db8:1::1".parse().unwrap();
        let sum = Sum::new().add_bytes(quoted);
        let front = headers(error, gateway, ip.source_addr(), quoted.len(), sum);
        let link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
        [&link[..], &front, quoted].concat()
    }

    #[test]
    fn rfc4443_section_3_2_packet_too_big() {
        let original = sender().udp(1, 2, &[0; 1452]);
        let error = error_about(Error::packet_too_big(1450), &original[14..]);
        assert_eq!(error.len(), 14 + MAX_LEN);
        assert_eq!(
            error[14..14 + 40],
            hex("60000000 04d8 3a 40 20010db8000100000000000000000001
                 20010db8000100000000000000000009")
        );
        assert_eq!(
            (&error[54..56], &error[58..62]),
            (&[2, 0][..], &[0, 0, 5, 0xaa][..])
        );
        assert_eq!(error[62..], original[14..14 + 1232]);
        assert_eq!(craft::verify(&error), Ok(()));
    }

    #[test]
    fn rfc4443_section_2_4_c_quotes_what_fits_1280_bytes() {
        assert_eq!(quoted_len(40), 40);
        assert_eq!(quoted_len(1232), 1232);
        assert_eq!(quoted_len(1233), 1232);
    }

    #[test]
    fn rfc4443_section_2_4_e_1_and_2_no_error_about_errors_and_redirects() {
        let of = |kind| {
            may_send(
                UNREACHABLE,
                &sender().icmp(kind, 0, 0, &[0; 48])[14..],
                false,
            )
        };
        for kind in [1, 2, 3, 4, 100, 127, icmpv6::REDIRECT] {
            assert!(!of(kind), "{kind}");
        }
        for kind in [icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY, 200] {
            assert!(of(kind), "{kind}");
        }
        // Behind extension headers, and where the type is not there to be seen.
        let hidden = sender()
            .hop_by_hop()
            .destination_options()
            .icmp(1, 0, 0, b"");
        assert!(!may_send(UNREACHABLE, &hidden[14..], false));
        let none = sender().payload(PROTOCOL_ICMPV6, b"");
        assert!(!may_send(UNREACHABLE, &none[14..], false));
        let later = sender()
            .fragment(1, 1232, false)
            .payload(PROTOCOL_ICMPV6, &[1; 8]);
        assert!(may_send(UNREACHABLE, &later[14..], false));
        assert!(!may_send(UNREACHABLE, &[], false));
    }

    #[test]
    fn rfc4443_section_2_4_e_3_to_5_groups_are_told_of_mtu_and_options_only() {
        let group = from("2001:db8::1", "ff05::2").udp(1, 2, b"");
        let unicast = sender().udp(1, 2, b"");
        let option = Error {
            code: UNRECOGNISED_OPTION,
            ..Error::parameter_problem(42)
        };
        for (error, sent) in [
            (UNREACHABLE, false),
            (Error::HOP_LIMIT_EXCEEDED, false),
            (Error::parameter_problem(6), false),
            (Error::packet_too_big(1280), true),
            (option, true),
        ] {
            assert_eq!(may_send(error, &group[14..], false), sent, "{error:?}");
            assert_eq!(may_send(error, &unicast[14..], true), sent, "{error:?}");
            assert!(may_send(error, &unicast[14..], false));
        }
    }

    #[test]
    fn rfc4443_section_2_4_e_6_no_error_to_who_is_no_single_node() {
        for source in ["::", "::1", "ff02::1", "::ffff:192.0.2.1"] {
            let frame = from(source, "2001:db8::1").udp(1, 2, b"");
            assert!(
                !may_send(Error::packet_too_big(1280), &frame[14..], false),
                "{source}"
            );
        }
    }

    proptest! {
        #[test]
        fn errors_hold_for_every_length(
            payload in prop::collection::vec(any::<u8>(), 0..1400),
            (kind, code, rest) in any::<(u8, u8, u32)>(),
        ) {
            let original = sender().hop_by_hop().udp(1, 2, &payload);
            let error = error_about(Error { kind: kind & 127, code, rest }, &original[14..]);
            prop_assert_eq!(craft::verify(&error), Ok(()));
            let quoted = original.len() - 14;
            prop_assert_eq!(error.len() - 14, (quoted + HEADERS_LEN).min(MAX_LEN));
            prop_assert!(!may_send(UNREACHABLE, &error[14..], false));
        }
    }
}
