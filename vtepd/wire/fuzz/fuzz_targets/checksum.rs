//! Sums of pieces are the sum of the whole, and a patched checksum is the recomputed one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vtepd_wire::checksum::{Delta, Sum, update_bytes, update_u16, update_u32};

fuzz_target!(|data: &[u8]| {
    // Two bytes say where to cut and where to patch; the rest is summed.
    let [cut, at, bytes @ ..] = data else { return };
    let whole = Sum::new().add_bytes(bytes).finish();
    assert_eq!(whole, plain(bytes));

    let (front, back) = bytes.split_at(usize::from(*cut) % (bytes.len() + 1));
    let pieces = Sum::new().add_bytes(front).add_bytes(back);
    assert_eq!(pieces.finish(), whole);
    let (middle, end) = back.split_at(back.len() / 3);
    let pieces = Sum::new().add_bytes(front).add_bytes(middle).add_bytes(end);
    assert_eq!(pieces.finish(), whole);

    patch(bytes, usize::from(*at) * 2, whole);
});

/// Replaces the bytes at `at` by the complement of those at the front.
fn patch(bytes: &[u8], at: usize, whole: u16) {
    let (Some(old), Some(front)) = (bytes.get(at..), bytes.first_chunk::<4>()) else {
        return;
    };
    let Some(old) = old.first_chunk::<4>() else {
        return;
    };
    let new = front.map(|byte| !byte);
    let mut changed = bytes.to_vec();
    changed[at..at + 4].copy_from_slice(&new);
    // All zeroes have no header to protect: see `Delta`.
    if bytes.iter().all(|byte| *byte == 0) || changed.iter().all(|byte| *byte == 0) {
        return;
    }
    let expected = plain(&changed);
    let (old_word, new_word) = (u32::from_be_bytes(*old), u32::from_be_bytes(new));
    assert_eq!(update_u32(whole, old_word, new_word), expected);
    assert_eq!(update_bytes(whole, old, &new), expected);
    let halves = |word: u32| ((word >> 16) as u16, word as u16);
    let ((old_high, old_low), (new_high, new_low)) = (halves(old_word), halves(new_word));
    let delta = Delta::new().u16(old_high, new_high).u16(old_low, new_low);
    assert_eq!(delta.apply(whole), expected);
    // Back again, one half after the other, by way of a packet that may be all zeroes in between.
    if old_high != 0 || new_low != 0 {
        let back = update_u16(update_u16(expected, new_high, old_high), new_low, old_low);
        assert_eq!(back, whole);
    }
}

/// RFC 1071, 4.1: 16 bits at a time.
fn plain(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
