//! ICMP for IPv4 (RFC 792, 1191).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;

/// Type: answer to an echo.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: source quench, deprecated by RFC 6633.
pub const SOURCE_QUENCH: u8 = 4;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Type: timestamp.
pub const TIMESTAMP_REQUEST: u8 = 13;
/// Type: answer to a timestamp.
pub const TIMESTAMP_REPLY: u8 = 14;

/// Code of [`UNREACHABLE`]: no route to the network.
pub const NET_UNREACHABLE: u8 = 0;
/// Code of [`UNREACHABLE`]: the host does not answer.
pub const HOST_UNREACHABLE: u8 = 1;
/// Code of [`UNREACHABLE`]: nothing listens on the port.
pub const PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: larger than the MTU, and may not be fragmented (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// Code of [`UNREACHABLE`]: forbidden by the administrator (RFC 1812).
pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
/// Code of [`TIME_EXCEEDED`]: the TTL ran out on the way.
pub const TTL_EXCEEDED: u8 = 0;

/// The first eight bytes; what the last four mean depends on the type.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// The type: [`ECHO_REQUEST`] and so on.
    pub kind: u8,
    /// What it means within the type.
    pub code: u8,
    /// Over the whole message; no pseudo header.
    pub checksum: U16,
    /// Echo and timestamp: the identifier. Errors: see RFC 4884.
    pub identifier: U16,
    /// Echo and timestamp: the sequence number. Fragmentation needed: the next hop's MTU.
    pub sequence: U16,
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

    /// Is this about a packet that it quotes?
    #[inline]
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(
            self.kind,
            UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
        )
    }

    /// MTU of the next hop, of a "fragmentation needed".
    #[inline]
    #[must_use]
    pub const fn next_hop_mtu(&self) -> u16 {
        self.sequence.get()
    }
}

/// Does the checksum hold? `message` is the whole message.
#[inline]
#[must_use]
pub fn checksum_ok(message: &[u8]) -> bool {
    message.len() >= Header::LEN && Sum::new().add_bytes(message).is_valid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::hex;

    #[test]
    fn echo() {
        let message = hex("08001b16 00010001 76746570642d676f6c64656e2d313662");
        assert!(checksum_ok(&message));
        let (header, data) = Header::ref_from_prefix(&message).unwrap();
        assert!(header.is_echo() && !header.is_error());
        assert_eq!((header.identifier.get(), header.sequence.get()), (1, 1));
        assert_eq!(data, b"vtepd-golden-16b");
        assert!(!checksum_ok(&message[..7]) && !checksum_ok(&[]));
    }

    #[test]
    fn fragmentation_needed_rfc1191() {
        // Quotes 28 bytes of a packet of 1468 bytes.
        let message =
            hex("0304816e 000005aa 450005bc1234400040119e9ac0a80109c0a80209 1388138905a8492a");
        assert!(checksum_ok(&message));
        let (header, quoted) = Header::ref_from_prefix(&message).unwrap();
        assert!(header.is_error() && !header.is_echo());
        assert_eq!(
            (header.code, header.next_hop_mtu()),
            (FRAGMENTATION_NEEDED, 1450)
        );
        assert_eq!(quoted.len(), 28);
    }
}
