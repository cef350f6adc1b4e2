//! Disjoint ranges of addresses: the form in which routes are looked up.
//!
//! ```text
//!   | start 0 | start 1 | … | start n-1 | targets 0, 1, … | … n-1 |
//! ```
//!
//! One slice of words: where each range starts, in order, then what each leads to,
//! packed. A range ends where the next one starts; nothing leads below the first. A
//! search touches the starts only, so a cache line of them is worth six steps of 16 bits.

use std::sync::Arc;

use crate::array::prefetch;

/// A cache line, in bytes.
const LINE: usize = 64;

/// What nothing leads to.
pub(super) const NO_TARGET: u16 = 0;

/// Part of an address, wide enough for the starts of some ranges.
pub(super) trait Word: Copy + Ord {
    /// Targets that fit in one.
    const TARGETS: usize;
    /// Adds a target to a word of them.
    fn with(self, slot: usize, target: u16) -> Self;
    /// The target in a slot.
    fn target(self, slot: usize) -> u16;
    /// No targets.
    const ZERO: Self;
}

macro_rules! word {
    ($($word:ty)*) => { $(
        impl Word for $word {
            const TARGETS: usize = size_of::<$word>() / size_of::<u16>();
            const ZERO: Self = 0;

            #[inline(always)]
            fn with(self, slot: usize, target: u16) -> Self {
                self | Self::from(target) << (16 * slot)
            }

            #[inline(always)]
            fn target(self, slot: usize) -> u16 {
                (self >> (16 * slot)) as u16
            }
        }
    )* };
}

word!(u16 u32 u64);

/// Some ranges. Copies share the memory.
#[derive(Clone, Debug)]
pub(super) struct Ranges<W>(Arc<[W]>);

impl<W> Default for Ranges<W> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<W: Word> Ranges<W> {
    /// From starts in order, with what they lead to.
    pub(super) fn new<A: Copy>(ranges: &[(A, u16)], word: impl Fn(A) -> W) -> Self {
        let ranges = match ranges {
            // What lies below the first range leads nowhere anyway.
            [(_, NO_TARGET), rest @ ..] => rest,
            all => all,
        };
        if ranges.is_empty() {
            return Self::default();
        }
        let mut words = Vec::with_capacity(ranges.len() + ranges.len().div_ceil(W::TARGETS));
        words.extend(ranges.iter().map(|(start, _)| word(*start)));
        words.extend(ranges.chunks(W::TARGETS).map(|few| {
            let slots = few.iter().enumerate();
            slots.fold(W::ZERO, |packed, (slot, (_, target))| {
                packed.with(slot, *target)
            })
        }));
        Self(words.into())
    }

    /// How many there are: `n` of them take `n + ⌈n / TARGETS⌉` words.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.0.len() * W::TARGETS / (W::TARGETS + 1)
    }

    /// What an address leads to.
    #[inline(always)]
    pub(super) fn find(&self, address: W) -> u16 {
        let count = self.len();
        let (starts, targets) = self.0.split_at(count);
        // Without branches that depend on the address, as the standard library has it.
        let range = starts
            .partition_point(|start| *start <= address)
            .wrapping_sub(1);
        targets
            .get(range / W::TARGETS)
            .map_or(NO_TARGET, |word| word.target(range % W::TARGETS))
    }

    /// Asks for the lines in which most searches among a few dozen of ranges are over.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        let lines = self.0.chunks(LINE / size_of::<W>());
        lines.take(4).filter_map(<[W]>::first).for_each(prefetch);
    }

    /// Whether both are the same memory.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Memory, in bytes: the words and two counters of references.
    pub(super) fn bytes(&self) -> usize {
        match self.0.len() {
            0 => 0,
            words => words * size_of::<W>() + 2 * size_of::<usize>(),
        }
    }
}
