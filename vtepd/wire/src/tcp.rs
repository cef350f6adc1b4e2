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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::hex;

    /// A SYN of 192.168.1.9:40000 to 10.100.0.14:80, as its kernel sent it.
    const SYN_SEGMENT: &str = "9c400050 000003e8 00000000 5002faf0 48560000";

    #[test]
    fn fields_and_checksum() {
        let segment = hex(SYN_SEGMENT);
        let (header, payload) = Header::ref_from_prefix(&segment).unwrap();
        assert_eq!((header.source.get(), header.destination.get()), (40000, 80));
        assert_eq!((header.sequence.get(), header.window.get()), (1000, 64240));
        assert!(header.is_open() && header.has(SYN) && !header.has(SYN | ACK));
        assert!(payload.is_empty());
        assert_eq!(check(&segment, 20), Ok(20));
        let pseudo = Sum::pseudo_v4([192, 168, 1, 9], [10, 100, 0, 14], 6, 20);
        assert!(checksum_ok(pseudo, &segment));
        let other = Sum::pseudo_v4([192, 168, 1, 8], [10, 100, 0, 14], 6, 20);
        assert!(!checksum_ok(other, &segment));
    }

    #[test]
    fn data_offsets() {
        let mut segment = hex(SYN_SEGMENT);
        assert_eq!(check(&segment[..19], 19), Err(Malformed::Truncated));
        segment[12] = 0x40;
        assert_eq!(check(&segment, 20), Err(Malformed::HeaderLength));
        segment[12] = 0x60;
        assert_eq!(check(&segment, 20), Err(Malformed::HeaderLength));
        assert_eq!(check(&segment, 24), Ok(24));
    }

    #[test]
    fn mss_is_found_at_any_offset() {
        let mss = |options: &str| mss_at(&[hex(SYN_SEGMENT), hex(options)].concat());
        assert_eq!(mss("020405b4 0103 0307"), Some(22));
        assert_eq!(mss("01 020405b4 010101"), Some(23));
        assert_eq!(mss("0402 080a 0000000000000000 020405b4"), Some(34));
        assert_eq!(mss(""), None);
        assert_eq!(mss("00 020405b4 000000"), None, "behind the end of options");
        assert_eq!(mss("01020405"), None, "cut off");
        assert_eq!(mss("0300 020405b4 0000"), None, "an option of length zero");
        assert_eq!(
            mss("0203aa 020405b4 00"),
            Some(25),
            "an MSS of odd length is skipped"
        );
    }
}
