//! IP identifications for packets that may be fragmented (RFC 6864, 4.3 and 5.3.1): several hosts send with one outside
//! address, so those that they chose could meet.
//!
//! A counter, so that none comes again before all others have been used, behind a permutation that the outside does
//! not know. Workers count in steps of their number and share the permutation: no two of them draw the same, until a count
//! wraps.

use crate::slices::Slices;

/// One worker's counter.
pub(crate) struct Identifications {
    next: u16,
    step: u16,
    factor: u16,
    mask: u16,
}

impl Identifications {
    pub(crate) fn new(slices: &Slices) -> Self {
        let secret = slices.secret();
        Self {
            next: slices.worker(),
            step: slices.workers(),
            // Odd: multiplication by it is a permutation of the numbers modulo 2^16.
            factor: secret as u16 | 1,
            mask: (secret >> 16) as u16,
        }
    }

    pub(crate) fn draw(&mut self) -> u16 {
        let drawn = self.next.wrapping_mul(self.factor) ^ self.mask;
        self.next = self.next.wrapping_add(self.step);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use vtepd_wire::hash::KeyedHash;

    use super::*;

    #[test]
    fn rfc6864_none_comes_twice_before_all_are_used() {
        let of = |worker, workers| {
            let slices = Slices::new(worker, workers, KeyedHash::new(1, 2)).unwrap();
            Identifications::new(&slices)
        };
        let mut one = of(0, 1);
        let all: HashSet<u16> = (0..65_536).map(|_| one.draw()).collect();
        assert_eq!(all.len(), 65_536);
        let mut drawn = HashSet::new();
        for worker in 0..3 {
            let mut one = of(worker, 3);
            assert!((0..21_845).all(|_| drawn.insert(one.draw())));
        }
    }
}
