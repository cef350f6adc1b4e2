//! TCP (RFC 9293).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Malformed;
use crate::checksum::Sum;

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement number is valid.
pub const ACK: u8 = 0x10;
/// The urgent pointer is valid.
pub const URG: u8 = 0x20;
/// ECN echo (RFC 3168).
pub const ECE: u8 = 0x40;
/// Congestion window reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// Option: maximum segment size.
pub const OPTION_MSS: u8 = 2;

/// The fixed part; options follow when [`Header::header_len`] is above [`Header::LEN`].
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// From which port.
    pub source: U16,
    /// To which port.
    pub destination: U16,
    /// Of the first byte of payload.
    pub sequence: U32,
    /// The next byte that the sender expects.
    pub acknowledgement: U32,
    /// Header length in 32-bit words (4 bits), reserved (4 bits).
    pub data_offset: u8,
    /// [`SYN`], [`ACK`] and so on.
    pub flags: u8,
    /// Bytes the sender is ready to take, unscaled.
    pub window: U16,
    /// Over pseudo header, header, options and payload.
    pub checksum: U16,
    /// End of urgent data.
    pub urgent: U16,
}

impl Header {
    /// Bytes of the fixed part.
    pub const LEN: usize = 20;

    /// Bytes of header and options as the field says: 0 to 60, below 20 in a malformed segment.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }

    /// Are all of `flags` set?
    #[inline]
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// First segment of a connection: SYN without ACK.
    #[inline]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }
}

/// Is the data offset sound? Returns it: header and options, bytes.
///
/// `bytes` begin with the header; `available` is how many bytes the IP packet has from there on.
///
/// # Errors
/// Truncated; header length.
#[inline]
pub fn check(bytes: &[u8], available: usize) -> Result<usize, Malformed> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let header_len = header.header_len();
    if header_len < Header::LEN || header_len > available {
        return Err(Malformed::HeaderLength);
    }
    Ok(header_len)
}

/// Does the checksum hold? `segment` is header, options and payload, `pseudo` the sum over the
/// pseudo header.
#[inline]
#[must_use]
pub fn checksum_ok(pseudo: Sum, segment: &[u8]) -> bool {
    segment.len() >= Header::LEN && pseudo.add_bytes(segment).is_valid()
}

/// Where the value of the MSS option lies, in bytes from the beginning of the header: two bytes,
/// at any offset, odd ones too. `header` is header and options, nothing more.
#[must_use]
pub fn mss_at(header: &[u8]) -> Option<usize> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    let mut at = Header::LEN;
    loop {
        match header.get(at..)? {
            [END, ..] | [] => return None,
            [NOTHING, ..] => at += 1,
            [OPTION_MSS, 4, _, _, ..] => return Some(at + 2),
            [_, length, ..] if *length >= 2 => at += usize::from(*length),
            _ => return None,
        }
    }
}
