//! UDP (RFC 768), and its zero checksum over IPv6 in tunnels (RFC 6935, 6936).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Malformed;
use crate::checksum::Sum;

/// The header.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// From which port.
    pub source: U16,
    /// To which port.
    pub destination: U16,
    /// Header and payload, bytes.
    pub length: U16,
    /// Over pseudo header, header and payload; zero is none.
    pub checksum: U16,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
}

/// Is the length field sound? Returns it: header and payload, bytes.
///
/// `bytes` begin with the header; `available` is how many bytes the IP packet has from there on.
/// Bytes between the two are allowed: RFC 9868 puts UDP options there.
///
/// # Errors
/// Truncated; total length.
#[inline]
pub fn check(bytes: &[u8], available: usize) -> Result<usize, Malformed> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let length = usize::from(header.length.get());
    if length < Header::LEN || length > available {
        return Err(Malformed::TotalLength);
    }
    Ok(length)
}

/// Does the checksum hold? `datagram` is header and payload, `pseudo` the sum over the pseudo
/// header. A field of zero holds: whether it is allowed there is the caller's question.
#[inline]
#[must_use]
pub fn checksum_ok(pseudo: Sum, datagram: &[u8]) -> bool {
    match Header::ref_from_prefix(datagram) {
        Ok((header, _)) => header.checksum.get() == 0 || pseudo.add_bytes(datagram).is_valid(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft;

    #[test]
    fn lengths() {
        let datagram = [0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i', 0, 0];
        assert_eq!(check(&datagram, 12), Ok(10));
        assert_eq!(check(&datagram[..7], 7), Err(Malformed::Truncated));
        assert_eq!(check(&datagram, 9), Err(Malformed::TotalLength));
        let short = [0, 1, 0, 2, 0, 7, 0, 0];
        assert_eq!(check(&short, 8), Err(Malformed::TotalLength));
    }

    #[test]
    fn checksum_over_ipv6_and_the_zero_that_is_none() {
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv6("2001:db8::1", "2001:db8::2")
            .udp(4096, 53, b"odd");
        let mut datagram = frame[54..].to_vec();
        let (source, destination) = (&frame[22..38], &frame[38..54]);
        let pseudo = Sum::pseudo_v6(
            source.try_into().unwrap(),
            destination.try_into().unwrap(),
            17,
            11,
        );
        assert!(checksum_ok(pseudo, &datagram));
        datagram[8] ^= 0x20;
        assert!(!checksum_ok(pseudo, &datagram));
        datagram[6..8].fill(0);
        assert!(checksum_ok(pseudo, &datagram));
        assert!(!checksum_ok(pseudo, &datagram[..7]));
    }
}
