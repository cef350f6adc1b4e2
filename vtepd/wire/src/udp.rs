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
