//! Congestion marks through a tunnel (RFC 6040, normal mode).

use core::fmt;

/// The two ECN bits of an IP header (RFC 3168, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not understand marks: congestion is told by loss.
    NotEct = 0b00,
    /// Understands marks, codepoint 1.
    Ect1 = 0b01,
    /// Understands marks, codepoint 0.
    Ect0 = 0b10,
    /// Congestion was experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The bits of the TOS or traffic class byte that hold the mark.
    pub const MASK: u8 = 0b11;

    /// From the low two bits of a TOS or traffic class byte.
    #[inline]
    #[must_use]
    pub const fn from_bits(byte: u8) -> Self {
        match byte & Self::MASK {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// `byte` with its low two bits replaced by this mark.
    #[inline]
    #[must_use]
    pub const fn in_byte(self, byte: u8) -> u8 {
        byte & !Self::MASK | self as u8
    }
}

/// The packet has to be dropped: it was marked on the way, and its transport would not see the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedNotEct;

impl fmt::Display for MarkedNotEct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer header says congestion experienced, inner header is not ECN-capable")
    }
}

impl core::error::Error for MarkedNotEct {}

/// The outer mark of a packet that enters a tunnel: a copy (RFC 6040, 4.1, normal mode).
#[inline]
#[must_use]
pub const fn encapsulate(inner: Ecn) -> Ecn {
    inner
}

/// The mark of a packet that leaves a tunnel (RFC 6040, 4.2, figure 4).
///
/// A payload that is not IP has no mark: treat it as [`Ecn::NotEct`].
///
/// # Errors
/// Outer CE over inner Not-ECT: drop, and count it apart.
#[inline]
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Result<Ecn, MarkedNotEct> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => Err(MarkedNotEct),
        (Ecn::NotEct, _) => Ok(Ecn::NotEct),
        (Ecn::Ce, _) | (_, Ecn::Ce) => Ok(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Ok(Ecn::Ect1),
        (Ecn::Ect0 | Ecn::Ect1, _) => Ok(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::Ecn::{Ce, Ect0, Ect1, NotEct};
    use super::*;

    #[test]
    fn egress_table_rfc6040_section_4_2() {
        let drop = Err(MarkedNotEct);
        // Columns as in figure 4: outer Not-ECT, ECT(0), ECT(1), CE.
        let table = [
            (NotEct, [Ok(NotEct), Ok(NotEct), Ok(NotEct), drop]),
            (Ect0, [Ok(Ect0), Ok(Ect0), Ok(Ect1), Ok(Ce)]),
            (Ect1, [Ok(Ect1), Ok(Ect1), Ok(Ect1), Ok(Ce)]),
            (Ce, [Ok(Ce), Ok(Ce), Ok(Ce), Ok(Ce)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
                assert_eq!(
                    decapsulate(inner, outer),
                    expected,
                    "{inner:?} in {outer:?}"
                );
            }
        }
    }

    #[test]
    fn ingress_copies_rfc6040_section_4_1() {
        for mark in [NotEct, Ect0, Ect1, Ce] {
            assert_eq!(encapsulate(mark), mark);
            assert_eq!(decapsulate(mark, encapsulate(mark)), Ok(mark));
        }
    }

    #[test]
    fn bits_keep_the_code_point() {
        for bits in 0..4 {
            assert_eq!(Ecn::from_bits(0xb8 | bits) as u8, bits);
        }
        assert_eq!(Ce.in_byte(0xb8), 0xbb);
        assert_eq!(NotEct.in_byte(0xbb), 0xb8);
    }
}
