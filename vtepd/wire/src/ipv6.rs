//! IPv6 (RFC 8200) and the chain of its extension headers.

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;
use crate::ecn::Ecn;
use crate::{Mac, Malformed};

/// Extension header: options for every hop; only ever the first.
pub const HOP_BY_HOP: u8 = 0;
/// Extension header: routing.
pub const ROUTING: u8 = 43;
/// Extension header: fragment.
pub const FRAGMENT: u8 = 44;
/// Extension header: authentication (RFC 4302).
pub const AUTHENTICATION: u8 = 51;
/// Nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// Extension header: options for the destination.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Longest chain that is followed. RFC 8200 needs six, one of them twice; a longer chain is an
/// attack on whoever walks it.
pub const MAX_EXTENSIONS: usize = 8;

/// The fixed header.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub version_class_flow: U32,
    /// Bytes after this header, extension headers included.
    pub payload_length: U16,
    /// What follows: an extension header or a protocol.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// From whom.
    pub source: [u8; 16],
    /// To whom.
    pub destination: [u8; 16],
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 40;

    /// The version field; 6 in a packet worth looking at.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        (self.version_class_flow.get() >> 28) as u8
    }

    /// DSCP and ECN, as the TOS byte of IPv4.
    #[inline]
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub fn set_traffic_class(&mut self, class: u8) {
        let others = self.version_class_flow.get() & 0xf00f_ffff;
        self.version_class_flow.set(others | u32::from(class) << 20);
    }

    /// Differentiated services code point, 0 to 63.
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// The flow label, 20 bits.
    #[inline]
    #[must_use]
    pub const fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & 0x000f_ffff
    }

    /// The congestion mark.
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.traffic_class())
    }

    /// Sets the congestion mark. No checksum covers it.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.set_traffic_class(ecn.in_byte(self.traffic_class()));
    }

    /// Takes one off the hop limit; zero stays zero. No checksum covers it.
    #[inline]
    pub fn decrement_hop_limit(&mut self) {
        self.hop_limit = self.hop_limit.saturating_sub(1);
    }

    /// From whom.
    #[inline]
    #[must_use]
    pub const fn source_addr(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.source)
    }

    /// To whom.
    #[inline]
    #[must_use]
    pub const fn destination_addr(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.destination)
    }

    /// The pseudo header for the checksum of a `next_header` packet of `length` bytes (8.1).
    #[inline]
    #[must_use]
    pub fn pseudo_header(&self, next_header: u8, length: u32) -> Sum {
        Sum::pseudo_v6(&self.source, &self.destination, next_header, length)
    }
}

/// Is this a header that a router may act on? Returns the payload's length in bytes; what follows
/// it in the frame is padding.
///
/// `frame_l3_len` is how many bytes of the frame there are from the header on. A jumbogram
/// (RFC 2675) says zero and is seen as empty: no link here carries one.
///
/// # Errors
/// The first of: truncated, version, total length.
#[inline]
pub fn check(bytes: &[u8], frame_l3_len: usize) -> Result<usize, Malformed> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    if header.version() != 6 {
        return Err(Malformed::Version);
    }
    let payload_len = usize::from(header.payload_length.get());
    if Header::LEN + payload_len > frame_l3_len {
        return Err(Malformed::TotalLength);
    }
    Ok(payload_len)
}

/// The fragment extension header (4.5).
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct FragmentHeader {
    /// What the fragmentable part begins with; only the first fragment's is binding.
    pub next_header: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset in units of 8 bytes (13 bits), reserved (2 bits), more fragments (1 bit).
    pub offset_flags: U16,
    /// Same for all fragments of a packet.
    pub identification: U32,
}

impl FragmentHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
}

/// What a fragment header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the [`FragmentHeader`] lies, in bytes after the fixed header.
    pub at: usize,
    /// Where this payload begins in the original's fragmentable part, bytes.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
    /// Same for all fragments of a packet.
    pub identification: u32,
}

/// What lies behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Its protocol number; of a later fragment, what its fragment header says.
    pub protocol: u8,
    /// Where it begins, in bytes after the fixed header.
    pub offset: usize,
    /// The packet is a fragment. One that is both first and last ("atomic") is one too.
    pub fragment: Option<Fragment>,
}

impl Upper {
    /// The upper-layer header lies at [`Upper::offset`]: not so in a later fragment.
    #[inline]
    #[must_use]
    pub const fn is_first(&self) -> bool {
        match self.fragment {
            Some(fragment) => fragment.offset == 0,
            None => true,
        }
    }
}

/// Steps over the extension headers. `bytes` begin right after the fixed header, whose
/// `next_header` is `first`. ESP ends the chain, as does whatever is not an extension header.
///
/// # Errors
/// Truncated; [`Malformed::Extension`] when hop-by-hop options are not first, a second fragment header
/// follows a first, or there are more than [`MAX_EXTENSIONS`].
#[inline]
pub fn walk_extensions(bytes: &[u8], first: u8) -> Result<Upper, Malformed> {
    // Nearly every packet has none.
    if !is_extension(first) {
        return Ok(Upper {
            protocol: first,
            offset: 0,
            fragment: None,
        });
    }
    walk(bytes, first, false)
}

/// The fragment header alone, if the packet has one: what all fragments of a packet agree on.
///
/// # Errors
/// As [`walk_extensions`], for the headers up to the fragment header.
#[inline]
pub fn find_fragment(bytes: &[u8], first: u8) -> Result<Upper, Malformed> {
    walk(bytes, first, true)
}

#[inline]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS
    )
}

fn walk(bytes: &[u8], first: u8, stop_at_fragment: bool) -> Result<Upper, Malformed> {
    let mut upper = Upper {
        protocol: first,
        offset: 0,
        fragment: None,
    };
    for count in 0..=MAX_EXTENSIONS {
        if !is_extension(upper.protocol) {
            return Ok(upper);
        }
        let misplaced = (upper.protocol == HOP_BY_HOP && count > 0)
            || (upper.protocol == FRAGMENT && upper.fragment.is_some());
        if misplaced {
            return Err(Malformed::Extension);
        }
        let rest = bytes.get(upper.offset..).ok_or(Malformed::Truncated)?;
        if upper.protocol == FRAGMENT {
            let (header, _) =
                FragmentHeader::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
            let offset_flags = header.offset_flags.get();
            let fragment = Fragment {
                at: upper.offset,
                offset: usize::from(offset_flags & 0xfff8),
                more: offset_flags & 1 != 0,
                identification: header.identification.get(),
            };
            upper.fragment = Some(fragment);
            upper.protocol = header.next_header;
            upper.offset += FragmentHeader::LEN;
            if fragment.offset != 0 || stop_at_fragment {
                return Ok(upper);
            }
            continue;
        }
        let &[next, length, ..] = rest else {
            return Err(Malformed::Truncated);
        };
        let length = match upper.protocol {
            // In 32-bit words, less two (RFC 4302, 2.2).
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            // In 64-bit words, the first not counted.
            _ => (usize::from(length) + 1) * 8,
        };
        if length > rest.len() {
            return Err(Malformed::Truncated);
        }
        upper.protocol = next;
        upper.offset += length;
    }
    Err(Malformed::Extension)
}

/// The group that a host with this address listens to for neighbour solicitations (RFC 4291, 2.7.1).
#[inline]
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff, a, b, c])
}

/// The link-local address that belongs to a MAC address: `fe80::/64` and the modified EUI-64
/// (RFC 4291, 2.5.6 and appendix A). A router's gateway address of last resort, and the only source that
/// hosts take a router advertisement from.
#[inline]
#[must_use]
pub const fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    // The universal/local bit is inverted, so that a hand-made address of ::1 needs no flag.
    let a = a ^ 0x02;
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a, b, c, 0xff, 0xfe, d, e, f])
}

/// May no packet come from this address: unspecified, loopback, multicast, or IPv4-mapped
/// (RFC 4291, 2.5.2, 2.5.3, 2.7; RFC 6890, 2.2.3)? Drop, and send no error. Duplicate address detection does
/// come from `::`, but is never for a router to forward.
#[inline]
#[must_use]
pub const fn is_martian_source(address: Ipv6Addr) -> bool {
    address.is_multicast() || is_nowhere(address)
}

/// Is this no address to send a packet to: unspecified, loopback or IPv4-mapped? Groups are not
/// martians: whether they are routed is the caller's question.
#[inline]
#[must_use]
pub const fn is_martian_destination(address: Ipv6Addr) -> bool {
    is_nowhere(address)
}

/// `::/127` and `::ffff:0:0/96`.
#[inline]
const fn is_nowhere(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    bits <= 1 || bits >> 32 == 0xffff
}

/// `fe80::/10`: means something on one link only, so a router must not forward a packet from or to it
/// (RFC 4291, 2.5.6).
#[inline]
#[must_use]
pub const fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, Packet};
    use crate::ipv4::{PROTOCOL_TCP, PROTOCOL_UDP};

    fn packet() -> Packet {
        craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv6("2001:db8::1", "2001:db8::2")
    }

    fn walked(frame: &[u8]) -> Result<Upper, Malformed> {
        let (header, rest) = Header::ref_from_prefix(&frame[14..]).unwrap();
        walk_extensions(rest, header.next_header)
    }

    #[test]
    fn fields() {
        let frame = packet()
            .tos(0xb9)
            .flow_label(0xabcde)
            .ttl(3)
            .udp(1, 2, b"!");
        let (header, _) = Header::mut_from_prefix(&mut frame.clone()[14..])
            .map(|(header, _)| (*header, ()))
            .unwrap();
        assert_eq!((header.version(), header.dscp()), (6, 0x2e));
        assert_eq!((header.ecn(), header.flow_label()), (Ecn::Ect1, 0xabcde));
        assert_eq!(header.source_addr().to_string(), "2001:db8::1");
        assert_eq!(header.destination_addr().to_string(), "2001:db8::2");
        let mut marked = header;
        marked.set_ecn(Ecn::Ce);
        assert_eq!(marked.traffic_class(), 0xbb);
        assert_eq!((marked.version(), marked.flow_label()), (6, 0xabcde));
        assert_eq!(check(&frame[14..], frame.len() - 14), Ok(9));
    }

    #[test]
    fn malformed_headers() {
        let frame = packet().udp(1, 2, b"!");
        let bytes = &frame[14..];
        assert_eq!(check(&bytes[..39], 39), Err(Malformed::Truncated));
        assert_eq!(check(bytes, bytes.len() - 1), Err(Malformed::TotalLength));
        let mut four = bytes.to_vec();
        four[0] = 0x40;
        assert_eq!(check(&four, four.len()), Err(Malformed::Version));
    }

    #[test]
    fn no_extension_is_no_walk() {
        let expected = Upper {
            protocol: PROTOCOL_UDP,
            offset: 0,
            fragment: None,
        };
        assert_eq!(walked(&packet().udp(1, 2, b"")), Ok(expected));
    }

    #[test]
    fn every_kind_is_stepped_over() {
        let frame = packet()
            .hop_by_hop()
            .destination_options()
            .routing()
            .authentication()
            .destination_options()
            .tcp(1, 2, 0, b"");
        let upper = walked(&frame).unwrap();
        assert_eq!(
            (upper.protocol, upper.offset),
            (PROTOCOL_TCP, 8 + 16 + 8 + 24 + 16)
        );
        assert!(upper.fragment.is_none() && upper.is_first());
    }

    #[test]
    fn first_fragments_go_on_and_later_ones_end() {
        let first = packet()
            .hop_by_hop()
            .fragment(0x1234, 0, true)
            .destination_options()
            .payload(PROTOCOL_UDP, &[0; 40]);
        let upper = walked(&first).unwrap();
        assert_eq!((upper.protocol, upper.offset), (PROTOCOL_UDP, 32));
        let fragment = Fragment {
            at: 8,
            offset: 0,
            more: true,
            identification: 0x1234,
        };
        assert_eq!(upper.fragment, Some(fragment));
        assert!(upper.is_first());

        let later = packet()
            .hop_by_hop()
            .fragment(0x1234, 1448, false)
            .payload(DESTINATION_OPTIONS, &[0xff; 40]);
        let upper = walked(&later).unwrap();
        assert_eq!((upper.protocol, upper.offset), (DESTINATION_OPTIONS, 16));
        assert!(!upper.is_first());
        assert_eq!(
            upper.fragment.map(|f| (f.offset, f.more)),
            Some((1448, false))
        );
    }

    #[test]
    fn chains_that_are_not_followed() {
        let misplaced = packet().routing().hop_by_hop().udp(1, 2, b"");
        assert_eq!(walked(&misplaced), Err(Malformed::Extension));
        let twice = packet()
            .fragment(1, 0, true)
            .fragment(1, 0, true)
            .payload(PROTOCOL_UDP, &[0; 8]);
        assert_eq!(walked(&twice), Err(Malformed::Extension));
        let eight = (0..8).fold(packet(), |packet, _| packet.routing());
        assert_eq!(walked(&eight.clone().udp(1, 2, b"")).unwrap().offset, 64);
        assert_eq!(
            walked(&eight.routing().udp(1, 2, b"")),
            Err(Malformed::Extension)
        );
    }

    #[test]
    fn truncated_chains_at_every_length() {
        let frame = packet()
            .hop_by_hop()
            .destination_options()
            .authentication()
            .payload(NO_NEXT_HEADER, b"");
        let chain = &frame[14 + Header::LEN..];
        for length in 0..chain.len() {
            assert_eq!(
                walk_extensions(&chain[..length], HOP_BY_HOP),
                Err(Malformed::Truncated),
                "{length}"
            );
        }
        let whole = walk_extensions(chain, HOP_BY_HOP).unwrap();
        assert_eq!(
            (whole.protocol, whole.offset),
            (NO_NEXT_HEADER, chain.len())
        );
    }

    #[test]
    fn solicited_node_group_rfc4291_section_2_7_1() {
        let address: Ipv6Addr = "4037::01:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(address).to_string(), "ff02::1:ff0e:8c6c");
    }

    #[test]
    fn rfc4291_appendix_a_link_local_of_a_mac_address() {
        let mac: Mac = "fa:16:3e:5b:89:14".parse().unwrap();
        assert_eq!(link_local(mac).to_string(), "fe80::f816:3eff:fe5b:8914");
        assert!(is_link_local(link_local(mac)));
    }

    #[test]
    fn rfc4291_section_2_5_addresses_that_are_not_forwarded() {
        let of = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        for (address, source, destination) in [
            ("::", true, true),
            ("::1", true, true),
            ("::2", false, false),
            ("::ffff:192.0.2.1", true, true),
            ("::fffe:192.0.2.1", false, false),
            ("ff02::1", true, false),
            ("2001:db8::1", false, false),
            ("fd00::1", false, false),
            ("fe80::1", false, false),
        ] {
            assert_eq!(is_martian_source(of(address)), source, "{address}");
            assert_eq!(
                is_martian_destination(of(address)),
                destination,
                "{address}"
            );
        }
        assert!(is_link_local(of("febf::1")) && !is_link_local(of("fec0::1")));
    }

    #[test]
    fn hop_limits_end_at_zero() {
        let frame = packet().ttl(2).udp(1, 2, b"");
        let mut header = *Header::ref_from_prefix(&frame[14..]).unwrap().0;
        for left in [1, 0, 0] {
            header.decrement_hop_limit();
            assert_eq!(header.hop_limit, left);
        }
    }
}
