//! IPv4 (RFC 791), with differentiated services and ECN in the old TOS byte (RFC 2474, 3168).

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Malformed;
use crate::checksum::Sum;
use crate::ecn::Ecn;

mod address;
mod fragment;
mod options;

pub use address::{is_link_local, is_martian_destination, is_martian_source};
pub use fragment::{Fragment, Fragments, fragments};
pub use options::{BadOption, IpOption, IpOptions, has_source_route};

/// Protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// Protocol number of IGMP.
pub const PROTOCOL_IGMP: u8 = 2;
/// Protocol number of IPv4 in IP.
pub const PROTOCOL_IPIP: u8 = 4;
/// Protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Protocol number of GRE.
pub const PROTOCOL_GRE: u8 = 47;
/// Protocol number of ESP.
pub const PROTOCOL_ESP: u8 = 50;
/// Protocol number of ICMPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;
/// Protocol number of SCTP.
pub const PROTOCOL_SCTP: u8 = 132;

/// Flag in [`Header::flags_fragment`]: routers may not fragment this packet.
pub const FLAG_DONT_FRAGMENT: u16 = 0x4000;
/// Flag in [`Header::flags_fragment`]: more fragments follow.
pub const FLAG_MORE_FRAGMENTS: u16 = 0x2000;
/// The bits of [`Header::flags_fragment`] that hold the offset, in units of 8 bytes.
pub const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

/// The fixed part; options follow when [`Header::header_len`] is above [`Header::LEN`].
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// Version (4 bits) and header length in 32-bit words (4 bits).
    pub version_ihl: u8,
    /// DSCP (6 bits) and ECN (2 bits).
    pub tos: u8,
    /// Header and payload, bytes.
    pub total_length: U16,
    /// Same for all fragments of a datagram.
    pub identification: U16,
    /// Reserved, DF, MF (3 bits) and fragment offset in units of 8 bytes (13 bits).
    pub flags_fragment: U16,
    /// Hops left.
    pub ttl: u8,
    /// What the payload is: `PROTOCOL_*`.
    pub protocol: u8,
    /// Over the header and its options.
    pub checksum: U16,
    /// From whom.
    pub source: [u8; 4],
    /// To whom.
    pub destination: [u8; 4],
}

impl Header {
    /// Bytes of the fixed part.
    pub const LEN: usize = 20;
    /// Most bytes that a header with options can have.
    pub const MAX_LEN: usize = 60;
    /// [`Header::version_ihl`] of a header without options.
    pub const VERSION_IHL: u8 = 0x45;

    /// The version field; 4 in a packet worth looking at.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Bytes of header and options as the field says: 0 to 60, below 20 in a malformed packet.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    /// Differentiated services code point, 0 to 63.
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    /// The congestion mark.
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.tos)
    }

    /// Sets the congestion mark and patches the header checksum.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        let tos = ecn.in_byte(self.tos);
        let delta = crate::checksum::Delta::new().u16(u16::from(self.tos), u16::from(tos));
        self.tos = tos;
        self.checksum.set(delta.apply(self.checksum.get()));
    }

    /// Takes one off the TTL and patches the header checksum. Call only with a TTL above zero;
    /// zero stays zero.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let ttl = self.ttl.saturating_sub(1);
        // The TTL is the first, more significant, byte of its 16-bit word.
        let delta =
            crate::checksum::Delta::new().u16(u16::from(self.ttl) << 8, u16::from(ttl) << 8);
        self.ttl = ttl;
        self.checksum.set(delta.apply(self.checksum.get()));
    }

    /// Does the checksum of a header without options hold?
    #[inline]
    #[must_use]
    pub fn is_checksum_valid(&self) -> bool {
        fixed_checksum_ok(zerocopy::transmute_ref!(self))
    }

    /// Routers may not fragment this packet.
    #[inline]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & FLAG_DONT_FRAGMENT != 0
    }

    /// More fragments follow.
    #[inline]
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        self.flags_fragment.get() & FLAG_MORE_FRAGMENTS != 0
    }

    /// Where this fragment's payload begins in the datagram's, in bytes: 0 to 65,528.
    #[inline]
    #[must_use]
    pub const fn fragment_offset(&self) -> usize {
        (self.flags_fragment.get() & FRAGMENT_OFFSET_MASK) as usize * 8
    }

    /// A part of a datagram, the first included.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & (FLAG_MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK) != 0
    }

    /// From whom.
    #[inline]
    #[must_use]
    pub const fn source_addr(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.source;
        Ipv4Addr::new(a, b, c, d)
    }

    /// To whom.
    #[inline]
    #[must_use]
    pub const fn destination_addr(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.destination;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The pseudo header for the checksum of a `protocol` packet of `length` bytes.
    #[inline]
    #[must_use]
    pub fn pseudo_header(&self, protocol: u8, length: u16) -> Sum {
        Sum::pseudo_v4(self.source, self.destination, protocol, length)
    }
}

/// What [`check`] found: both in bytes, `Header::LEN <= header_len <= total_len <= what arrived`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Header and options.
    pub header_len: usize,
    /// Header, options and payload; what follows in the frame is padding.
    pub total_len: usize,
}

/// Is this a header that a router may act on (RFC 1812, 5.2.2)?
///
/// `bytes` begin with the header and hold it whole; `frame_l3_len` is how many bytes of the frame
/// there are from there on, which is more than `bytes.len()` where a packet lies in several buffers.
///
/// # Errors
/// The first of: truncated, version, header length, total length, checksum.
#[inline]
pub fn check(bytes: &[u8], frame_l3_len: usize) -> Result<Checked, Malformed> {
    let checked = check_lengths(bytes, frame_l3_len)?;
    let header = bytes
        .get(..checked.header_len)
        .ok_or(Malformed::Truncated)?;
    if !checksum_ok(header) {
        return Err(Malformed::Checksum);
    }
    Ok(checked)
}

/// As [`check`] without the checksum: for when the NIC has verified it, or only offsets are wanted.
///
/// # Errors
/// The first of: truncated, version, header length, total length.
#[inline]
pub fn check_lengths(bytes: &[u8], frame_l3_len: usize) -> Result<Checked, Malformed> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    if header.version() != 4 {
        return Err(Malformed::Version);
    }
    let header_len = header.header_len();
    if header_len < Header::LEN {
        return Err(Malformed::HeaderLength);
    }
    if header_len > bytes.len() {
        return Err(Malformed::Truncated);
    }
    let total_len = usize::from(header.total_length.get());
    if total_len < header_len || total_len > frame_l3_len {
        return Err(Malformed::TotalLength);
    }
    Ok(Checked {
        header_len,
        total_len,
    })
}

/// Does the checksum of this header hold? `header` is the fixed part and the options, nothing more.
#[inline]
#[must_use]
pub fn checksum_ok(header: &[u8]) -> bool {
    match <&[u8; Header::LEN]>::try_from(header) {
        Ok(fixed) => fixed_checksum_ok(fixed),
        Err(_) => Sum::new().add_bytes(header).is_valid(),
    }
}

/// Nearly every header has no options, and a known length needs no loop: 1.1 ns instead of 2.5
/// (`benches/speed.rs`, 2-core cloud machine).
#[inline]
fn fixed_checksum_ok(header: &[u8; Header::LEN]) -> bool {
    // Five words of 32 bits cannot carry out of 64: one fold at the end is enough.
    let (words, _) = header.as_chunks::<4>();
    let sum = words
        .iter()
        .fold(0, |sum, word| sum + u64::from(u32::from_ne_bytes(*word)));
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum == 0xffff
}

/// The options of a packet that [`check`] has passed: between the fixed part and the payload.
#[inline]
#[must_use]
pub fn options(bytes: &[u8], checked: Checked) -> &[u8] {
    bytes
        .get(Header::LEN..checked.header_len)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{ethernet, hex};
    use crate::{FromBytes, IntoBytes};

    const ECHO: &str = "4500002c 12344000 4001a539 c0a80109 c0a8010a
        08001b16 00010001 76746570642d676f6c64656e2d313662";

    fn with(change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut bytes = hex(ECHO);
        change(Header::mut_from_prefix(&mut bytes).unwrap().0);
        bytes
    }

    #[test]
    fn fields() {
        let bytes = hex(ECHO);
        let (header, payload) = Header::ref_from_prefix(&bytes).unwrap();
        assert_eq!((header.version(), header.header_len()), (4, 20));
        assert_eq!(header.total_length.get(), 44);
        assert!(header.dont_fragment() && !header.more_fragments() && !header.is_fragment());
        assert_eq!((header.ttl, header.protocol), (64, PROTOCOL_ICMP));
        assert_eq!(header.source_addr(), Ipv4Addr::new(192, 168, 1, 9));
        assert_eq!(header.destination_addr(), Ipv4Addr::new(192, 168, 1, 10));
        assert_eq!(payload.len(), 24);
        let sound = Checked {
            header_len: 20,
            total_len: 44,
        };
        assert_eq!(check(&bytes, 44), Ok(sound));
        // Padding behind, and a payload in another buffer.
        assert_eq!(check(&bytes, 46), Ok(sound));
        assert_eq!(check(&bytes[..20], 44), Ok(sound));
    }

    #[test]
    fn malformed_headers_rfc1812_section_5_2_2() {
        let error = |bytes: &[u8]| check(bytes, bytes.len()).unwrap_err();
        assert_eq!(error(&hex(ECHO)[..19]), Malformed::Truncated);
        assert_eq!(error(&with(|h| h.version_ihl = 0x65)), Malformed::Version);
        assert_eq!(
            error(&with(|h| h.version_ihl = 0x44)),
            Malformed::HeaderLength
        );
        // Total length within the header; beyond the frame.
        assert_eq!(
            error(&with(|h| h.total_length.set(19))),
            Malformed::TotalLength
        );
        assert_eq!(
            error(&with(|h| h.total_length.set(45))),
            Malformed::TotalLength
        );
        assert_eq!(error(&with(|h| h.ttl = 63)), Malformed::Checksum);
        // Options that reach past what arrived, and past the total length.
        assert_eq!(error(&with(|h| h.version_ihl = 0x4f)), Malformed::Truncated);
        let mut long = with(|h| h.version_ihl = 0x4f);
        long.resize(80, 0);
        assert_eq!(error(&long), Malformed::TotalLength);
    }

    #[test]
    fn options_are_stepped_over() {
        let router_alert = [0x94, 4, 0, 0];
        let frame = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4("192.0.2.1", "192.0.2.2")
            .options(&router_alert)
            .payload(PROTOCOL_IGMP, b"report..");
        let packet = &frame[14..];
        let checked = check(packet, packet.len()).unwrap();
        assert_eq!((checked.header_len, checked.total_len), (24, 32));
        assert_eq!(options(packet, checked), router_alert);
        assert_eq!(&packet[checked.header_len..], b"report..");
    }

    #[test]
    fn fragments() {
        let first = with(|h| h.flags_fragment.set(FLAG_MORE_FRAGMENTS));
        let (first, _) = Header::ref_from_prefix(&first).unwrap();
        assert!(first.is_fragment() && first.more_fragments() && !first.dont_fragment());
        assert_eq!(first.fragment_offset(), 0);
        let last = with(|h| h.flags_fragment.set(185));
        let (last, _) = Header::ref_from_prefix(&last).unwrap();
        assert!(last.is_fragment() && !last.more_fragments());
        assert_eq!(last.fragment_offset(), 1480);
    }

    #[test]
    fn patches_keep_the_checksum() {
        let mut bytes = hex(ECHO);
        let (header, _) = Header::mut_from_prefix(&mut bytes).unwrap();
        for mark in [Ecn::Ce, Ecn::Ect0, Ecn::Ect1, Ecn::NotEct] {
            header.set_ecn(mark);
            assert_eq!(header.ecn(), mark);
            assert!(checksum_ok(header.as_bytes()));
        }
        assert_eq!(header.checksum.get(), 0xa539);
        for left in (0..64).rev() {
            header.decrement_ttl();
            assert_eq!(header.ttl, left);
            assert!(checksum_ok(header.as_bytes()));
        }
        header.decrement_ttl();
        assert_eq!(header.ttl, 0);
    }

    /// At every checksum there is, at the TTLs whose patch carries differently; and at every TTL.
    #[test]
    fn rfc1624_ttl_patches_are_what_summing_gives_at_all_values() {
        let echo = hex(ECHO)[..Header::LEN].to_vec();
        let ids = |step| (0..=u16::MAX).step_by(step);
        let some = [1, 2, 64, 127, 128, 129, 254, 255].map(|ttl| (ttl, 1));
        let all = (1..=255).map(|ttl| (ttl, 251));
        for (ttl, step) in some.into_iter().chain(all) {
            for id in ids(step) {
                let mut bytes = [0; Header::LEN];
                bytes.copy_from_slice(&echo);
                let (header, _) = Header::mut_from_prefix(&mut bytes).unwrap();
                header.identification.set(id);
                header.ttl = ttl;
                let sealed = |mut header: Header| {
                    header.checksum.set(0);
                    Sum::new().add_bytes(header.as_bytes()).finish()
                };
                header.checksum.set(sealed(*header));
                header.decrement_ttl();
                assert_eq!(header.ttl, ttl - 1);
                assert_eq!(header.checksum.get(), sealed(*header), "{ttl} {id}");
            }
        }
    }

    #[test]
    fn checksums_of_fixed_headers_are_those_of_any() {
        let sound = hex(ECHO)[..Header::LEN].to_vec();
        for at in 0..Header::LEN {
            for value in 0..=255 {
                let mut header = sound.clone();
                header[at] = value;
                let expected = Sum::new().add_bytes(&header).is_valid();
                assert_eq!(checksum_ok(&header), expected, "{at} {value}");
            }
        }
        // A sum of zero is not one of 0xffff, and all ones carry furthest.
        assert!(!checksum_ok(&[0; Header::LEN]));
        assert!(checksum_ok(&[0xff; Header::LEN]));
        assert!(!checksum_ok(&[]) && !checksum_ok(&sound[..19]));
    }
}
