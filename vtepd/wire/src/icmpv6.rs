//! ICMP for IPv6 (RFC 4443). Neighbour discovery is in [`crate::nd`], listener discovery in
//! [`crate::mld`].

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big; [`Header::rest`] is the MTU.
pub const PACKET_TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: echo.
pub const ECHO_REQUEST: u8 = 128;
/// Type: answer to an echo.
pub const ECHO_REPLY: u8 = 129;
/// Type: router solicitation (RFC 4861).
pub const ROUTER_SOLICITATION: u8 = 133;
/// Type: router advertisement (RFC 4861).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Type: neighbour solicitation (RFC 4861).
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Type: neighbour advertisement (RFC 4861).
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Type: redirect (RFC 4861).
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: no route.
pub const NO_ROUTE: u8 = 0;
/// Code of [`UNREACHABLE`]: forbidden by the administrator.
pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
/// Code of [`UNREACHABLE`]: the host does not answer.
pub const ADDRESS_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: nothing listens on the port.
pub const PORT_UNREACHABLE: u8 = 4;
/// Code of [`TIME_EXCEEDED`]: the hop limit ran out on the way.
pub const HOP_LIMIT_EXCEEDED: u8 = 0;

/// The first eight bytes; what the last four mean depends on the type.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// The type: [`ECHO_REQUEST`] and so on. Below 128 it is an error that quotes a packet.
    pub kind: u8,
    /// What it means within the type.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// Echo: identifier and sequence number. Packet too big: MTU.
    pub rest: U32,
}

impl Header {
    /// Bytes on the wire; an error quotes the packet it is about from here on.
    pub const LEN: usize = 8;

    /// Echo or its answer: has an identifier.
    #[inline]
    #[must_use]
    pub const fn is_echo(&self) -> bool {
        matches!(self.kind, ECHO_REQUEST | ECHO_REPLY)
    }

    /// Is this about a packet that it quotes (RFC 4443, 2.1)?
    #[inline]
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.kind < 128
    }

    /// Identifier of an echo.
    #[inline]
    #[must_use]
    pub const fn identifier(&self) -> u16 {
        (self.rest.get() >> 16) as u16
    }

    /// Sequence number of an echo.
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        self.rest.get() as u16
    }
}

/// Does the checksum hold? `message` is the whole message, `pseudo` the sum over the pseudo header.
#[inline]
#[must_use]
pub fn checksum_ok(pseudo: Sum, message: &[u8]) -> bool {
    message.len() >= 4 && pseudo.add_bytes(message).is_valid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft;
    use crate::ipv4::PROTOCOL_ICMPV6;
    use crate::ipv6;

    #[test]
    fn echo_is_summed_with_its_addresses() {
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv6("2001:db8::1", "2001:db8::2")
            .icmp_echo(0x1671, 7, b"data");
        let (ip, message) = ipv6::Header::ref_from_prefix(&frame[14..]).unwrap();
        let (header, data) = Header::ref_from_prefix(message).unwrap();
        assert!(header.is_echo() && !header.is_error());
        assert_eq!((header.identifier(), header.sequence()), (0x1671, 7));
        assert_eq!(data, b"data");
        assert!(checksum_ok(ip.pseudo_header(PROTOCOL_ICMPV6, 12), message));
        assert!(!checksum_ok(ip.pseudo_header(PROTOCOL_ICMPV6, 13), message));
        assert!(!checksum_ok(Sum::new(), &[]));
    }

    #[test]
    fn errors_are_below_128_rfc4443_section_2_1() {
        for (kind, error) in [(UNREACHABLE, true), (127, true), (ECHO_REQUEST, false)] {
            let bytes = [kind, 0, 0, 0, 0, 0, 5, 0xaa];
            let (header, _) = Header::ref_from_prefix(&bytes).unwrap();
            assert_eq!(header.is_error(), error);
            assert_eq!(header.rest.get(), 1450);
        }
    }
}
