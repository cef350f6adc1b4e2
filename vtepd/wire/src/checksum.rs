//! The Internet checksum: summing (RFC 1071), patching (RFC 1624), pseudo headers.
//!
//! A checksum is passed as the number that the header field holds (`u16`, big-endian on the
//! wire). [`Sum`] adds bytes up; [`Delta`] says what changed, once, and is then applied to as many
//! checksums as cover the change (the IPv4 header's and the one of TCP, say).

/// Bytes taken per turn of the summing loop. 32 is four independent 64-bit lanes.
const BLOCK: usize = 32;

/// The ones' complement sum of a byte string that may come in pieces of any length.
///
/// Words are added in the machine's own order and swapped once at the end (RFC 1071, 2(B)); a
/// piece that begins at an odd offset is swapped as a whole before it is added. By `benches/speed.rs` on a
/// 2-core cloud machine: 2.7 ns for a header of 20 bytes (7 ns 16 bits at a time), 28 ns for 1500 bytes
/// (570 ns).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Sum of 16-bit words in machine order, carries kept in the upper bits.
    words: u64,
    /// An odd number of bytes was added so far.
    odd: bool,
}

impl Sum {
    /// Nothing added yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: 0,
            odd: false,
        }
    }

    /// The pseudo header that TCP and UDP over IPv4 are summed with (RFC 9293, 3.1; RFC 768).
    /// `length` is that of the transport header and its payload.
    #[inline]
    #[must_use]
    pub fn pseudo_v4(source: [u8; 4], destination: [u8; 4], protocol: u8, length: u16) -> Self {
        Self::new()
            .add_u32(u32::from_be_bytes(source))
            .add_u32(u32::from_be_bytes(destination))
            .add_u16(u16::from(protocol))
            .add_u16(length)
    }

    /// The pseudo header of IPv6 (RFC 8200, 8.1). `length` is that of the upper-layer packet.
    #[inline]
    #[must_use]
    pub fn pseudo_v6(
        source: &[u8; 16],
        destination: &[u8; 16],
        next_header: u8,
        length: u32,
    ) -> Self {
        Self::new()
            .add_bytes(source)
            .add_bytes(destination)
            .add_u32(length)
            .add_u16(u16::from(next_header))
    }

    /// Adds bytes.
    #[inline]
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        self.add_words(sum_words(bytes), bytes.len() % 2 == 1)
    }

    /// Adds what was summed apart, as if its bytes followed.
    #[inline]
    #[must_use]
    pub fn add_sum(self, other: Self) -> Self {
        self.add_words(other.words, other.odd)
    }

    /// Adds two bytes, given as the number they are.
    #[inline]
    #[must_use]
    pub fn add_u16(self, value: u16) -> Self {
        self.add_words(u64::from(value.to_be()), false)
    }

    /// Adds four bytes, given as the number they are.
    #[inline]
    #[must_use]
    pub fn add_u32(self, value: u32) -> Self {
        self.add_words(u64::from(value.to_be()), false)
    }

    /// `words` is a sum in machine order of an `odd` or even number of bytes.
    #[inline]
    fn add_words(self, words: u64, odd: bool) -> Self {
        let words = if self.odd {
            u64::from(fold(words).swap_bytes())
        } else {
            words
        };
        Self {
            words: add_carry(self.words, words),
            odd: self.odd ^ odd,
        }
    }

    /// The sum itself. Over a packet whose checksum holds it is 0xffff.
    #[inline]
    #[must_use]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.words))
    }

    /// The checksum: what the header field must hold, the field having been zero while summed.
    /// For UDP see [`udp_field`].
    #[inline]
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// Does the checksum hold, the field having been summed along?
    #[inline]
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

/// Sum of machine-order words, a last odd byte being the first half of a word.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; BLOCK / 8];
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = add_carry(*lane, u64::from_ne_bytes(*word));
        }
    }
    let mut total = lanes.into_iter().fold(0, add_carry);

    let (words, tail) = blocks.remainder().as_chunks::<8>();
    for word in words {
        total = add_carry(total, u64::from_ne_bytes(*word));
    }
    // Up to seven bytes are left: four, two and one of them, each beginning at an even offset.
    let mut tail = tail;
    if let Some((word, rest)) = tail.split_first_chunk() {
        total = add_carry(total, u64::from(u32::from_ne_bytes(*word)));
        tail = rest;
    }
    if let Some((word, rest)) = tail.split_first_chunk() {
        total = add_carry(total, u64::from(u16::from_ne_bytes(*word)));
        tail = rest;
    }
    if let [last] = tail {
        total = add_carry(total, u64::from(u16::from_ne_bytes([*last, 0])));
    }
    total
}

/// Ones' complement addition of 64 bits: a carry out is worth one, since 2^64 mod (2^16 - 1) is 1.
#[inline]
const fn add_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

/// Ones' complement fold to 16 bits; zero only of zero.
#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// What a computed UDP checksum is sent as: zero on the wire would mean "none" (RFC 768).
#[inline]
#[must_use]
pub const fn udp_field(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

/// A change of bytes that checksums cover: old values taken out, new ones put in.
///
/// RFC 1624 equation 3, `HC' = ~(~HC + ~m + m')`, with `~m + m'` gathered over all changed fields,
/// so that a NAT that changes addresses and ports patches two checksums with two additions. The
/// patched checksum equals the recomputed one bit for bit, unless every summed byte became zero,
/// which no packet with a header can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delta(u64);

impl Delta {
    /// Nothing changed yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Two bytes at an even offset changed.
    #[inline]
    #[must_use]
    pub const fn u16(self, old: u16, new: u16) -> Self {
        Self(add_carry(self.0, (!old) as u64 + new as u64))
    }

    /// Four bytes at an even offset changed.
    #[inline]
    #[must_use]
    pub const fn u32(self, old: u32, new: u32) -> Self {
        Self(add_carry(self.0, (!old) as u64 + new as u64))
    }

    /// A string of bytes at an even offset changed. Where the lengths differ a length field
    /// changed too, and is the caller's to tell.
    #[inline]
    #[must_use]
    pub fn bytes(self, old: &[u8], new: &[u8]) -> Self {
        let taken = Sum::new().add_bytes(old).finish();
        let put = Sum::new().add_bytes(new).folded();
        Self(add_carry(self.0, u64::from(taken) + u64::from(put)))
    }

    /// The checksum after the change.
    #[inline]
    #[must_use]
    pub const fn apply(self, check: u16) -> u16 {
        !fold(add_carry(self.0, (!check) as u64))
    }

    /// As [`Delta::apply`], for UDP: zero ("none") stays zero, and a sum of zero is sent as 0xffff.
    #[inline]
    #[must_use]
    pub const fn apply_udp(self, check: u16) -> u16 {
        if check == 0 {
            0
        } else {
            udp_field(self.apply(check))
        }
    }
}

/// The checksum after two bytes at an even offset changed (RFC 1624, equation 3).
#[inline]
#[must_use]
pub const fn update_u16(check: u16, old: u16, new: u16) -> u16 {
    Delta::new().u16(old, new).apply(check)
}

/// The checksum after four bytes at an even offset changed.
#[inline]
#[must_use]
pub const fn update_u32(check: u16, old: u32, new: u32) -> u16 {
    Delta::new().u32(old, new).apply(check)
}

/// The checksum after a string of bytes at an even offset changed.
#[inline]
#[must_use]
pub fn update_bytes(check: u16, old: &[u8], new: &[u8]) -> u16 {
    Delta::new().bytes(old, new).apply(check)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::craft::hex;

    /// RFC 1071 as its section 4.1 has it: 16 bits at a time, big-endian, no tricks.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn example_of_rfc1071_section_3() {
        let sum = Sum::new().add_bytes(&hex("0001 f203 f4f5 f6f7"));
        assert_eq!(sum.folded(), 0xddf2);
        assert_eq!(sum.finish(), 0x220d);
    }

    #[test]
    fn example_of_rfc1624_section_4() {
        // Equation 2 of RFC 1141 would give 0xffff here; equation 3 gives the right zero.
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn header_from_the_wire() {
        let header = hex("4500002c123440004001a539c0a80109c0a8010a");
        assert!(Sum::new().add_bytes(&header).is_valid());
        let without = Sum::new().add_bytes(&header[..10]).add_bytes(&header[12..]);
        assert_eq!(without.finish(), 0xa539);
        // Routed: TTL 64 to 63.
        assert_eq!(update_u16(0xa43a, 0x4001, 0x3f01), 0xa53a);
    }

    #[test]
    fn udp_zero_means_none_rfc768() {
        assert_eq!(udp_field(0), 0xffff);
        assert_eq!(udp_field(0x1234), 0x1234);
        assert_eq!(Delta::new().u16(1, 2).apply_udp(0), 0);
        assert_eq!(Delta::new().u16(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    }

    proptest! {
        #[test]
        fn sums_as_the_plain_loop(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::new().add_bytes(&bytes).finish(), plain(&bytes));
        }

        #[test]
        fn pieces_sum_as_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let sum = cuts
                .windows(2)
                .fold(Sum::new(), |sum, cut| sum.add_bytes(&bytes[cut[0]..cut[1]]));
            prop_assert_eq!(sum.finish(), plain(&bytes));
            let apart = cuts
                .windows(2)
                .map(|cut| Sum::new().add_bytes(&bytes[cut[0]..cut[1]]))
                .fold(Sum::new(), Sum::add_sum);
            prop_assert_eq!(apart.finish(), plain(&bytes));
        }

        #[test]
        fn numbers_sum_as_their_bytes(
            before in prop::collection::vec(any::<u8>(), 0..4), a: u16, b: u32,
        ) {
            let numbers = Sum::new().add_bytes(&before).add_u16(a).add_u32(b);
            let bytes = Sum::new()
                .add_bytes(&before)
                .add_bytes(&a.to_be_bytes())
                .add_bytes(&b.to_be_bytes());
            prop_assert_eq!(numbers.finish(), bytes.finish());
        }

        #[test]
        fn patched_is_recomputed(
            mut bytes in prop::collection::vec(any::<u8>(), 40..120),
            at in 0usize..8, half: u16, word: u32, string: [u8; 16],
        ) {
            bytes[39] = 1; // never all zero: see `Delta`
            let at = at * 2;
            let before = plain(&bytes);

            let mut changed = bytes.clone();
            changed[at..at + 2].copy_from_slice(&half.to_be_bytes());
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            prop_assert_eq!(update_u16(before, old, half), plain(&changed));

            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&word.to_be_bytes());
            let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            prop_assert_eq!(update_u32(before, old, word), plain(&changed));

            let mut changed = bytes.clone();
            changed[at..at + 16].copy_from_slice(&string);
            prop_assert_eq!(
                update_bytes(before, &bytes[at..at + 16], &string),
                plain(&changed)
            );

            // All three, one after another, in one delta.
            let mut changed = bytes.clone();
            changed[..2].copy_from_slice(&half.to_be_bytes());
            changed[2..6].copy_from_slice(&word.to_be_bytes());
            changed[6..22].copy_from_slice(&string);
            let delta = Delta::new()
                .u16(u16::from_be_bytes([bytes[0], bytes[1]]), half)
                .u32(u32::from_be_bytes(bytes[2..6].try_into().unwrap()), word)
                .bytes(&bytes[6..22], &string);
            prop_assert_eq!(delta.apply(before), plain(&changed));
        }
    }
}
