//! Frames in one line.
/// Bytes of a hexadecimal text.
#[must_use]
#[allow(
    clippy::unwrap_used,
    reason = "test helper: a bad literal should fail the test"
)]
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap())
        .collect();
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[h, l]| (h << 4 | l) as u8)
        .collect()
}
