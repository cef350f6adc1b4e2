//! Cutting a packet into fragments.

use super::short;
use crate::checksum::Sum;
use crate::ethernet::ETHERTYPE_IPV4;
use crate::{FromBytes, IntoBytes, U16, U32, frame, ipv4, ipv6};

/// Where the fixed IPv6 header names what follows it.
const NEXT_HEADER_AT: usize = 6;

/// The frame's IP packet in fragments that fit `mtu`, each in a frame of its own. IPv6 ones get
/// their fragment header behind the fixed header and hop-by-hop options.
///
/// # Panics
/// When the frame is not IP, is a fragment, or `mtu` leaves no eight bytes for payload.
#[must_use]
pub fn fragments(frame: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let link = frame::link(frame).unwrap();
    let network = frame::network(frame, frame.len(), &link)
        .unwrap()
        .expect("an IP packet");
    assert!(!network.fragment, "is a fragment already");
    let l3 = usize::from(link.l3);
    let (l2, packet) = frame.split_at(l3);
    let packet = &packet[..network.end - l3];
    let is_v4 = link.ethertype == ETHERTYPE_IPV4;
    let header_len = if is_v4 {
        network.l4 - l3
    } else if packet[NEXT_HEADER_AT] == ipv6::HOP_BY_HOP {
        ipv6::Header::LEN + (usize::from(packet[ipv6::Header::LEN + 1]) + 1) * 8
    } else {
        ipv6::Header::LEN
    };
    let (head, payload) = packet.split_at(header_len);
    let overhead = header_len + if is_v4 { 0 } else { ipv6::FragmentHeader::LEN };
    let room = (mtu - overhead) / 8 * 8;
    assert_ne!(room, 0, "an MTU of {mtu} leaves no room");
    let count = payload.len().div_ceil(room);
    let pieces = payload.chunks(room).enumerate().map(|(at, piece)| {
        let offset = short(at * room);
        let more = at + 1 < count;
        let head = if is_v4 {
            fragment_head_v4(head, piece.len(), identification as u16, offset, more)
        } else {
            fragment_head_v6(head, piece.len(), identification, offset, more)
        };
        [l2, &head, piece].concat()
    });
    pieces.collect()
}

fn fragment_head_v4(
    head: &[u8],
    payload_len: usize,
    identification: u16,
    offset: u16,
    more: bool,
) -> Vec<u8> {
    let mut bytes = head.to_vec();
    let (header, _) = ipv4::Header::mut_from_prefix(&mut bytes).unwrap();
    let flag = if more { ipv4::FLAG_MORE_FRAGMENTS } else { 0 };
    header.total_length.set(short(head.len() + payload_len));
    header.identification.set(identification);
    header.flags_fragment.set(flag | (offset / 8));
    header.checksum.set(0);
    let check = Sum::new().add_bytes(&bytes).finish();
    bytes[10..12].copy_from_slice(&check.to_be_bytes());
    bytes
}

fn fragment_head_v6(
    head: &[u8],
    payload_len: usize,
    identification: u32,
    offset: u16,
    more: bool,
) -> Vec<u8> {
    let mut bytes = head.to_vec();
    let named_by = if head.len() > ipv6::Header::LEN {
        ipv6::Header::LEN
    } else {
        NEXT_HEADER_AT
    };
    let next_header = std::mem::replace(&mut bytes[named_by], ipv6::FRAGMENT);
    let (header, options) = ipv6::Header::mut_from_prefix(&mut bytes).unwrap();
    let length = options.len() + ipv6::FragmentHeader::LEN + payload_len;
    header.payload_length.set(short(length));
    let fragment = ipv6::FragmentHeader {
        next_header,
        reserved: 0,
        offset_flags: U16::new(offset | u16::from(more)),
        identification: U32::new(identification),
    };
    [&bytes, fragment.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{ethernet, verify};

    const VM1: &str = "fa:16:3e:9a:b7:d4";
    const VM2: &str = "fa:16:3e:b5:f9:75";

    #[test]
    fn fragments_hold_and_make_up_the_packet() {
        let frame = ethernet(VM2, VM1)
            .vlan(7)
            .ipv4("192.168.1.9", "192.168.1.10")
            .udp(1, 2, &[0x5a; 3000]);
        let pieces = fragments(&frame, 1500, 9);
        assert_eq!(pieces.len(), 3);
        let mut whole: Vec<u8> = Vec::new();
        for piece in &pieces {
            assert_eq!(verify(piece), Ok(()));
            assert!(piece.len() <= 1518);
            whole.extend(&piece[38..]);
        }
        assert_eq!(whole, frame[38..]);
    }

    #[test]
    fn ipv6_fragments_too() {
        let frame = ethernet(VM2, VM1)
            .ipv6("2001:db8::9", "2001:db8::10")
            .udp(1, 2, &[0x5a; 3000]);
        let mut whole: Vec<u8> = Vec::new();
        for piece in &fragments(&frame, 1280, 9) {
            assert_eq!(verify(piece), Ok(()));
            assert!(piece.len() <= 1294);
            whole.extend(&piece[62..]);
        }
        assert_eq!(whole, frame[54..]);
    }
}
