//! What the outer headers of nearly all packets from other VTEPs have in common.
//!
//! ```text
//!   Ethernet          tag   IPv4                        UDP                VXLAN
//!   to us, from one   VID   20 bytes, whole, UDP, to us port, no checksum  I
//! ```
//!
//! A packet is held against all of that at once, as a ternary match of 64 bytes (four vector registers of
//! the oldest x86-64), where looking at each field by itself takes some twenty branches. Who does not match is looked at closer; so
//! a pattern says what is usual, not what is allowed.

use core::net::Ipv4Addr;

use vtepd_wire::{Mac, ethernet, ipv4, udp, vxlan};

use crate::adjacency::Tag;

/// Bytes that are compared: Ethernet, IPv4, UDP and VXLAN headers are 50, and a frame of at least 14 follows.
const LEN: usize = 64;

/// What the first bytes of a packet are compared with.
#[derive(Clone, Copy, Debug)]
pub struct OuterPattern {
    value: [u8; LEN],
    mask: [u8; LEN],
}

impl OuterPattern {
    /// VXLAN over IPv4 to `address` and `port`, in frames to `mac` with `tag`.
    pub fn new(mac: Mac, tag: Option<Tag>, address: Ipv4Addr, port: u16) -> Self {
        let mut pattern = Self {
            value: [0; LEN],
            mask: [0; LEN],
        };
        pattern.expect(0, &mac.0);
        // Not from a group.
        pattern.expect_bits(6, &[0], &[1]);
        let mut at = 12;
        if let Some(tag) = tag {
            // The VLAN whatever the priority.
            pattern.expect_bits(at, tag.bytes(), &[0xff, 0xff, 0x0f, 0xff]);
            at += ethernet::Tag::LEN;
        }
        pattern.expect(at, &ethernet::ETHERTYPE_IPV4.to_be_bytes());
        let ip = at + 2;
        pattern.expect(ip, &[ipv4::Header::VERSION_IHL]);
        let fragment = ipv4::FLAG_MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET_MASK;
        pattern.expect_bits(ip + 6, &[0, 0], &fragment.to_be_bytes());
        pattern.expect(ip + 9, &[ipv4::PROTOCOL_UDP]);
        pattern.expect(ip + 16, &address.octets());
        let udp = ip + ipv4::Header::LEN;
        pattern.expect(udp + 2, &port.to_be_bytes());
        pattern.expect(udp + 6, &[0, 0]);
        let vxlan = udp + udp::Header::LEN;
        pattern.expect_bits(vxlan, &[vxlan::FLAG_VNI], &[vxlan::FLAG_VNI]);
        pattern
    }

    fn expect(&mut self, at: usize, bytes: &[u8]) {
        self.expect_bits(at, bytes, &[0xff; LEN][..bytes.len()]);
    }

    fn expect_bits(&mut self, at: usize, bytes: &[u8], mask: &[u8]) {
        self.value[at..at + bytes.len()].copy_from_slice(bytes);
        self.mask[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Whether a packet that begins with these bytes is as usual.
    #[inline(always)]
    pub fn matches(&self, front: &[u8; LEN]) -> bool {
        let mut different = 0;
        for ((byte, value), mask) in front.iter().zip(&self.value).zip(&self.mask) {
            different |= (byte ^ value) & mask;
        }
        different == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_wire::{VlanId, craft};

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn packet() -> Vec<u8> {
        craft::ethernet(MAC, [2, 0, 0, 0, 0, 2])
            .ipv4([198, 51, 100, 1], ADDRESS.octets())
            .vxlan(50_000, 10, &[0; 60])
    }

    fn front(packet: &[u8]) -> &[u8; LEN] {
        packet.first_chunk().unwrap()
    }

    /// Each bit turned is either one that may be anything or one that makes it unusual.
    #[test]
    fn what_may_differ_is_what_a_sender_chooses() {
        let pattern = OuterPattern::new(MAC, None, ADDRESS, vxlan::PORT);
        let packet = packet();
        assert!(pattern.matches(front(&packet)));
        let free = |at| match at {
            // Source MAC, TOS, length, identification, TTL, checksum, source.
            7..12 | 15..20 | 22 | 24..30 => true,
            // Source port, length; VXLAN's reserved bits (RFC 7348: ignored on receipt), VNI; inner frame.
            34..36 | 38..40 | 43.. => true,
            _ => false,
        };
        for at in 0..LEN {
            for bit in 0..8 {
                let mut other = packet.clone();
                other[at] ^= 1 << bit;
                let chosen = free(at)
                    || at == 6 && bit != 0
                    // Reserved and "do not fragment".
                    || at == 20 && bit >= 6
                    || at == 42 && bit != 3;
                assert_eq!(
                    pattern.matches(front(&other)),
                    chosen,
                    "byte {at} bit {bit}"
                );
            }
        }
    }

    #[test]
    fn a_tag_is_expected_whatever_its_priority() {
        let tag = Tag::new(ethernet::ETHERTYPE_VLAN, VlanId::new(197).unwrap());
        let pattern = OuterPattern::new(MAC, Some(tag), ADDRESS, vxlan::PORT);
        let packet = packet();
        assert!(!pattern.matches(front(&packet)));
        let mut tagged = packet[..12].to_vec();
        tagged.extend([0x81, 0, 0xe0, 197]);
        tagged.extend(&packet[12..]);
        assert!(pattern.matches(front(&tagged)));
        tagged[15] = 198;
        assert!(!pattern.matches(front(&tagged)));
    }
}
