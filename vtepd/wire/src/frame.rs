//! One pass over an Ethernet frame: where its headers begin.
//!
//! ```text
//!  0              14      18      l3                 l4           end
//!  │ Ethernet     │ tag   │ tag   │ IP, options, ext │ transport  │ padding
//! ```
//!
//! Two steps, because most frames need only the first: [`link`] is all a bridge looks at,
//! [`network`] is for who routes, translates or polices. Offsets are from the beginning of the frame.

use crate::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Tag};
use crate::{FromBytes, Malformed, ipv4, ipv6};

/// Most tags that are stepped over; a third one is seen as an unknown ethertype.
pub const MAX_TAGS: usize = 2;

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What the frame carries, behind the tags.
    pub ethertype: u16,
    /// Where that begins, bytes.
    pub l3: u16,
    /// How many of `tags` there are, outer first.
    pub tag_count: u8,
    /// Tag control information of each tag; zero where there is none.
    pub tags: [u16; MAX_TAGS],
}

impl Link {
    /// The outer tag's control information.
    #[inline]
    #[must_use]
    pub const fn outer_tag(&self) -> Option<u16> {
        match (self.tag_count, self.tags) {
            (0, _) => None,
            (_, [outer, _]) => Some(outer),
        }
    }

    /// Does the frame carry IPv4 or IPv6?
    #[inline]
    #[must_use]
    pub const fn is_ip(&self) -> bool {
        matches!(self.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
    }
}

/// Steps over the Ethernet header and up to two VLAN tags.
///
/// # Errors
/// Truncated, when the frame ends in the Ethernet header or in a tag.
#[inline]
pub fn link(frame: &[u8]) -> Result<Link, Malformed> {
    let (header, rest) =
        ethernet::Header::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
    let link = Link {
        ethertype: header.ethertype.get(),
        l3: ethernet::Header::LEN as u16,
        tag_count: 0,
        tags: [0; MAX_TAGS],
    };
    if ethernet::is_tag(link.ethertype) {
        tagged(link, rest)
    } else {
        Ok(link)
    }
}

#[inline]
fn tagged(mut link: Link, mut rest: &[u8]) -> Result<Link, Malformed> {
    for tci in &mut link.tags {
        if !ethernet::is_tag(link.ethertype) {
            break;
        }
        let (tag, after) = Tag::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
        *tci = tag.tci.get();
        link.ethertype = tag.ethertype.get();
        link.tag_count += 1;
        link.l3 += Tag::LEN as u16;
        rest = after;
    }
    Ok(link)
}

/// The network layer of a frame that carries IP.
///
/// Offsets are whole words: as 16-bit fields the structure went through memory in pieces and came back
/// in one load that had to wait for them, 5.5 ns a frame instead of 1.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// What the packet carries; of a later IPv6 fragment, what its fragment header says.
    pub protocol: u8,
    /// A part of a datagram, the first included.
    pub fragment: bool,
    /// A part that does not begin with the transport header.
    pub later_fragment: bool,
    /// Where the transport header begins, or what takes its place in a later fragment.
    pub l4: usize,
    /// Where the IP packet ends; padding follows.
    pub end: usize,
}

/// Steps over the IP header with its options or extension headers. `frame_len` is the length of the
/// whole frame, of which `frame` holds the beginning with all headers. Checksums are not verified.
///
/// `Ok(None)` when the frame carries something else than IP.
///
/// # Errors
/// What [`ipv4::check_lengths`], [`ipv6::check`] and [`ipv6::walk_extensions`] say.
#[inline]
pub fn network(frame: &[u8], frame_len: usize, link: &Link) -> Result<Option<Network>, Malformed> {
    let l3 = usize::from(link.l3);
    let available = frame_len.saturating_sub(l3);
    let bytes = frame.get(l3..).ok_or(Malformed::Truncated);
    match link.ethertype {
        ETHERTYPE_IPV4 => network_v4(bytes?, available, l3).map(Some),
        ETHERTYPE_IPV6 => network_v6(bytes?, available, l3).map(Some),
        _ => Ok(None),
    }
}

#[inline]
fn network_v4(bytes: &[u8], available: usize, l3: usize) -> Result<Network, Malformed> {
    let checked = ipv4::check_lengths(bytes, available)?;
    let (header, _) = ipv4::Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    Ok(Network {
        protocol: header.protocol,
        fragment: header.is_fragment(),
        later_fragment: header.fragment_offset() != 0,
        l4: l3 + checked.header_len,
        end: l3 + checked.total_len,
    })
}

#[inline]
fn network_v6(bytes: &[u8], available: usize, l3: usize) -> Result<Network, Malformed> {
    let payload_len = ipv6::check(bytes, available)?;
    let (header, rest) = ipv6::Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let chain = rest.get(..payload_len).unwrap_or(rest);
    let upper = ipv6::walk_extensions(chain, header.next_header)?;
    Ok(Network {
        protocol: upper.protocol,
        fragment: upper.fragment.is_some(),
        later_fragment: !upper.is_first(),
        l4: l3 + ipv6::Header::LEN + upper.offset,
        end: l3 + ipv6::Header::LEN + payload_len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, Ethernet};
    use crate::ethernet::{ETHERTYPE_ARP, ETHERTYPE_VLAN};
    use crate::ipv4::{PROTOCOL_TCP, PROTOCOL_UDP};

    fn ethernet() -> Ethernet {
        craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
    }

    fn parsed(frame: &[u8]) -> (Link, Result<Option<Network>, Malformed>) {
        let link = link(frame).unwrap();
        (link, network(frame, frame.len(), &link))
    }

    #[test]
    fn untagged_and_padded() {
        let frame = craft::pad(ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(1, 2, b"hi"));
        assert_eq!(frame.len(), 60);
        let (link, network) = parsed(&frame);
        assert_eq!((link.l3, link.tag_count, link.outer_tag()), (14, 0, None));
        let expected = Network {
            protocol: PROTOCOL_UDP,
            fragment: false,
            later_fragment: false,
            l4: 34,
            end: 44,
        };
        assert_eq!(network, Ok(Some(expected)));
    }

    #[test]
    fn one_tag_two_tags_and_a_third() {
        let frame = ethernet()
            .tag(ETHERTYPE_VLAN, 0xa064)
            .arp_request("192.0.2.1", "192.0.2.2");
        let (link, network) = parsed(&frame);
        assert_eq!((link.ethertype, link.l3), (ETHERTYPE_ARP, 18));
        assert_eq!((link.tag_count, link.outer_tag()), (1, Some(0xa064)));
        assert_eq!(network, Ok(None));

        let frame = ethernet().qinq(200, 100).ipv6("2001:db8::1", "2001:db8::2");
        let (link, network) = parsed(&frame.hop_by_hop().tcp(1, 2, 0, b""));
        assert_eq!((link.tag_count, link.tags, link.l3), (2, [200, 100], 22));
        let network = network.unwrap().unwrap();
        assert_eq!((network.protocol, network.l4), (PROTOCOL_TCP, 22 + 48));

        let frame = ethernet().qinq(1, 2).vlan(3).ipv4("192.0.2.1", "192.0.2.2");
        let (link, network) = parsed(&frame.udp(1, 2, b""));
        assert_eq!((link.ethertype, link.l3), (ETHERTYPE_VLAN, 22));
        assert_eq!(network, Ok(None));
    }

    #[test]
    fn fragments_are_told_apart() {
        let whole = ethernet()
            .ipv4("192.0.2.1", "192.0.2.2")
            .udp(1, 2, &[0; 100]);
        let [first, last] = craft::fragments(&whole, 88, 1).try_into().unwrap();
        let of = |frame: &[u8]| parsed(frame).1.unwrap().unwrap();
        assert!(of(&first).fragment && !of(&first).later_fragment);
        assert!(of(&last).fragment && of(&last).later_fragment);
    }

    #[test]
    fn frames_that_end_too_early() {
        let frame = ethernet()
            .qinq(1, 2)
            .ipv4("192.0.2.1", "192.0.2.2")
            .udp(1, 2, b"");
        for length in 0..22 {
            assert_eq!(
                link(&frame[..length]),
                Err(Malformed::Truncated),
                "{length}"
            );
        }
        let link = link(&frame[..22]).unwrap();
        assert_eq!(network(&frame[..22], 22, &link), Err(Malformed::Truncated));
        assert_eq!(network(&frame[..21], 21, &link), Err(Malformed::Truncated));
        let cut = frame.len() - 1;
        assert_eq!(
            network(&frame[..cut], cut, &link),
            Err(Malformed::TotalLength)
        );
        // The rest lies in another buffer.
        assert!(network(&frame[..42], frame.len(), &link).unwrap().is_some());
    }
}
