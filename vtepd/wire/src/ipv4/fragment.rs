//! Cutting a packet to an MTU (RFC 791, 3.2): the plan, from which the caller builds frames.

use core::ops::Range;

use zerocopy::FromBytes;

use super::{Checked, FLAG_MORE_FRAGMENTS, FRAGMENT_OFFSET_MASK, Header, IpOptions, options};
use crate::checksum::Sum;

/// Most bytes that a datagram has: its total length is a 16-bit number.
const MAX_DATAGRAM: usize = 0xffff;

/// One fragment to build: its header, and which bytes follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    bytes: [u8; Header::MAX_LEN],
    header_len: usize,
    /// Which bytes of the packet follow the header, counted from the beginning of *its* IP header.
    pub payload: Range<usize>,
}

impl Fragment {
    /// The header with its options, 20 to 60 bytes; length, offset and checksum are right.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &[u8] {
        self.bytes.get(..self.header_len).unwrap_or_default()
    }
}

/// A header to copy: fixed part and options.
#[derive(Clone, Debug)]
struct Template {
    bytes: [u8; Header::MAX_LEN],
    len: usize,
}

impl Template {
    /// Bytes of payload that go behind it, a multiple of eight: where the next fragment may begin.
    const fn room(&self, mtu: usize) -> usize {
        mtu.saturating_sub(self.len) & !7
    }
}

/// The fragments of a packet, first to last.
#[derive(Clone, Debug)]
pub struct Fragments {
    first: Template,
    /// Without the options that only the first fragment has.
    later: Template,
    mtu: usize,
    /// The packet is itself a fragment: where its payload begins in the datagram's, bytes, and whether
    /// another follows it.
    base: usize,
    more: bool,
    /// Where in the packet the next fragment's payload begins; `None` behind the last.
    next: Option<usize>,
    header_len: usize,
    total_len: usize,
}

/// Plans the fragments of a packet that [`super::check`] has passed, none of them longer than `mtu` bytes
/// from the IP header on. `packet` holds at least its whole header; nothing of it is
/// changed, and the plan does not borrow it. A packet that fits is its own only fragment.
///
/// Each fragment begins at a multiple of eight bytes of the datagram, has "more fragments" set
/// unless it ends it, and keeps the identification. Options whose copied flag is not set are in the first
/// only. A packet that is a fragment is cut like any other: its pieces go on from its offset.
///
/// `None` when it may not or cannot be fragmented: DF is set, `mtu` leaves no eight bytes of payload (RFC 791
/// asks for 68 bytes of every link), an option is malformed, or the packet reaches past the end of the
/// longest datagram there is ("ping of death").
#[must_use]
pub fn fragments(packet: &[u8], checked: Checked, mtu: usize) -> Option<Fragments> {
    let Checked {
        header_len,
        total_len,
    } = checked;
    let header = packet.get(..header_len)?;
    let (fixed, _) = Header::ref_from_prefix(header).ok()?;
    let (base, more) = (fixed.fragment_offset(), fixed.more_fragments());
    let fits = total_len <= mtu;
    let payload_len = total_len.checked_sub(header_len)?;
    if (fixed.dont_fragment() && !fits) || base + payload_len > MAX_DATAGRAM {
        return None;
    }
    let first = template(header, &[])?;
    let later = later_template(header, options(packet, checked))?;
    if !fits && (first.room(mtu) == 0 || later.room(mtu) == 0) {
        return None;
    }
    Some(Fragments {
        first,
        later,
        mtu,
        base,
        more,
        next: Some(header_len),
        header_len,
        total_len,
    })
}

fn template(front: &[u8], back: &[u8]) -> Option<Template> {
    let mut bytes = [0; Header::MAX_LEN];
    let len = front.len() + back.len();
    bytes.get_mut(..front.len())?.copy_from_slice(front);
    bytes.get_mut(front.len()..len)?.copy_from_slice(back);
    Some(Template { bytes, len })
}

/// The header of all fragments but the first: copied options only, padded by "end of options".
fn later_template(header: &[u8], options: &[u8]) -> Option<Template> {
    let mut template = template(header.get(..Header::LEN)?, &[])?;
    for option in IpOptions::new(options) {
        let option = option.ok()?;
        if option.is_copied() {
            let end = template.len + option.bytes.len();
            let place = template.bytes.get_mut(template.len..end)?;
            place.copy_from_slice(option.bytes);
            template.len = end;
        }
    }
    template.len = template.len.next_multiple_of(4);
    let (fixed, _) = Header::mut_from_prefix(&mut template.bytes).ok()?;
    fixed.version_ihl = 0x40 | (template.len / 4) as u8;
    Some(template)
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        let start = self.next?;
        let rest = self.total_len - start;
        let is_first = start == self.header_len;
        let template = if is_first { &self.first } else { &self.later };
        let is_last = template.len + rest <= self.mtu;
        let length = if is_last {
            rest
        } else {
            template.room(self.mtu)
        };
        self.next = (!is_last).then_some(start + length);
        let offset = self.base + (start - self.header_len);
        build(
            template,
            start..start + length,
            offset,
            self.more || !is_last,
        )
    }
}

/// `offset` in bytes of the datagram's payload.
fn build(
    template: &Template,
    payload: Range<usize>,
    offset: usize,
    more: bool,
) -> Option<Fragment> {
    let mut bytes = template.bytes;
    let total_len = template.len + payload.len();
    let (fixed, _) = Header::mut_from_prefix(&mut bytes).ok()?;
    fixed.total_length.set(total_len as u16);
    let others = fixed.flags_fragment.get() & !(FLAG_MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK);
    let more = if more { FLAG_MORE_FRAGMENTS } else { 0 };
    let offset = (offset / 8) as u16 & FRAGMENT_OFFSET_MASK;
    fixed.flags_fragment.set(others | more | offset);
    fixed.checksum.set(0);
    let header = bytes.get(..template.len)?;
    let check = Sum::new().add_bytes(header).finish();
    let (fixed, _) = Header::mut_from_prefix(&mut bytes).ok()?;
    fixed.checksum.set(check);
    Some(Fragment {
        bytes,
        header_len: template.len,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::check;
    use super::*;
    use crate::craft;

    /// A packet from its IP header on.
    fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4("192.0.2.1", "198.51.100.2")
            .identification(0x1234)
            .may_fragment()
            .options(options)
            .payload(super::super::PROTOCOL_UDP, payload);
        frame[14..].to_vec()
    }

    /// The fragments as the caller builds them.
    fn cut(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
        let checked = check(packet, packet.len()).unwrap();
        let plan = fragments(packet, checked, mtu)?;
        let build = |piece: Fragment| [piece.header(), &packet[piece.payload.clone()]].concat();
        Some(plan.map(build).collect())
    }

    /// The datagram's payload by offset, and whether its last byte has been seen.
    fn reassemble(pieces: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let mut held = BTreeMap::new();
        let mut last = false;
        for piece in pieces {
            let checked = check(piece, piece.len()).unwrap();
            assert_eq!(checked.total_len, piece.len());
            let (header, _) = Header::ref_from_prefix(piece).unwrap();
            let payload = piece[checked.header_len..].to_vec();
            assert!(!header.more_fragments() || payload.len() % 8 == 0);
            last |= !header.more_fragments();
            assert!(held.insert(header.fragment_offset(), payload).is_none());
        }
        let base = *held.keys().next().unwrap();
        let mut whole = Vec::new();
        for (offset, payload) in held {
            assert_eq!(offset, base + whole.len(), "neither gap nor overlap");
            whole.extend(payload);
        }
        (whole, last)
    }

    #[test]
    fn rfc791_section_3_2_byte_for_byte() {
        let payload: Vec<u8> = (0..100).collect();
        let pieces = cut(&packet(&[], &payload), 68).unwrap();
        let heads: Vec<Vec<u8>> = pieces.iter().map(|piece| piece[..20].to_vec()).collect();
        assert_eq!(
            heads,
            [
                craft::hex("45000044 12342000 40115c3e c0000201 c6336402"),
                craft::hex("45000044 12342006 40115c38 c0000201 c6336402"),
                craft::hex("45000018 1234000c 40117c5e c0000201 c6336402"),
            ]
        );
        assert_eq!(reassemble(&pieces), (payload, true));
    }

    #[test]
    fn rfc791_section_3_1_only_copied_options_are_in_later_fragments() {
        // Record route is for the first only; a security option is for all.
        let record_route = [7, 7, 4, 0, 0, 0, 0];
        let security = [130, 3, 9];
        let options = [&record_route[..], &[1], &security].concat();
        let pieces = cut(&packet(&options, &[0x5a; 200]), 100).unwrap();
        assert_eq!(pieces[0][20..32], [&options[..], &[0]].concat());
        for piece in &pieces[1..] {
            assert_eq!((piece[0], &piece[20..24]), (0x46, &[130, 3, 9, 0][..]));
        }
        // 32 bytes of header leave room for 64, 24 for 72.
        assert_eq!(reassemble(&pieces), (vec![0x5a; 200], true));
        assert_eq!(
            pieces.iter().map(Vec::len).collect::<Vec<_>>(),
            [96, 96, 88]
        );
    }

    #[test]
    fn a_fragment_is_cut_like_any_other() {
        let payload: Vec<u8> = (0..=255).cycle().take(800).collect();
        let middle = cut(&packet(&[], &payload), 420).unwrap()[1].clone();
        let mut pieces = cut(&middle, 100).unwrap();
        assert_eq!(reassemble(&pieces), (payload[400..].to_vec(), true));
        // One that is not the last keeps "more" to its last piece.
        let first = cut(&packet(&[], &payload), 420).unwrap()[0].clone();
        let front = cut(&first, 100).unwrap();
        assert_eq!(reassemble(&front), (payload[..400].to_vec(), false));
        pieces.extend(front);
        assert_eq!(reassemble(&pieces), (payload, true));
    }

    #[test]
    fn what_may_not_or_cannot_be_cut() {
        let bytes = packet(&[], &[0; 100]);
        assert_eq!(cut(&bytes, 120), Some(vec![bytes.clone()]), "fits");
        assert_eq!(cut(&bytes, 27), None, "no room for eight bytes");
        assert_eq!(cut(&bytes, 28).map(|pieces| pieces.len()), Some(13));
        let empty = packet(&[], &[]);
        assert_eq!(cut(&empty, 20), Some(vec![empty.clone()]));

        let sealed = |change: &dyn Fn(&mut Header)| {
            let mut bytes = bytes.clone();
            let (header, _) = Header::mut_from_prefix(&mut bytes).unwrap();
            change(header);
            header.checksum.set(0);
            let check = Sum::new().add_bytes(&bytes[..20]).finish();
            bytes[10..12].copy_from_slice(&check.to_be_bytes());
            bytes
        };
        let whole = sealed(&|header| header.flags_fragment.set(super::super::FLAG_DONT_FRAGMENT));
        assert_eq!(cut(&whole, 100), None, "DF");
        assert_eq!(cut(&whole, 120), Some(vec![whole.clone()]));
        let far = sealed(&|header| header.flags_fragment.set(FRAGMENT_OFFSET_MASK));
        assert_eq!(cut(&far, 100), None, "past 65,535 bytes");
        let bad = packet(&[7, 0, 0, 0], &[0; 100]);
        assert_eq!(cut(&bad, 100), None, "a bad option");
    }

    proptest! {
        #[test]
        fn fragments_make_up_the_packet_and_fit(
            options in prop::collection::vec(any::<u8>(), 0..40),
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            mtu in 20usize..3100, again in 68usize..600,
        ) {
            let bytes = packet(&options, &payload);
            if let Some(pieces) = cut(&bytes, mtu) {
                prop_assert!(pieces.iter().all(|piece| piece.len() <= mtu));
                prop_assert_eq!(reassemble(&pieces), (payload.clone(), true));
                // Over a second link with a smaller MTU.
                let smaller: Option<Vec<_>> = pieces.iter().map(|piece| cut(piece, again)).collect();
                if let Some(smaller) = smaller {
                    let all: Vec<_> = smaller.into_iter().flatten().collect();
                    prop_assert!(all.iter().all(|piece| piece.len() <= again));
                    prop_assert_eq!(reassemble(&all), (payload, true));
                }
            }
        }

        /// Another implementation of the same cut, byte for byte. It leaves room unused where the last piece is no
        /// multiple of eight bytes, hence the MTUs.
        #[test]
        fn fragments_are_those_of_craft(
            payload in prop::collection::vec(any::<u8>(), 1..3000), eighths in 6usize..180,
        ) {
            let mtu = 20 + eighths * 8;
            let bytes = packet(&[], &payload);
            let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], &bytes[..]].concat();
            let theirs: Vec<Vec<u8>> = craft::fragments(&frame, mtu, 0x1234)
                .into_iter()
                .map(|piece| piece[14..].to_vec())
                .collect();
            prop_assert_eq!(cut(&bytes, mtu), Some(theirs));
        }
    }
}
