//! The routes themselves, as the writer keeps them: prefixes in order, an outer one
//! before those within it.
//!
//! The default route is not among them: it applies where nothing else does, so that a
//! change of it changes no range.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::ranges::NO_TARGET;

/// An address of one family as a number.
pub(super) trait Address: Copy + Ord {
    /// A prefix as it is kept in order: first by address, then by length.
    type Key: Copy + Ord;
    /// The length of an address.
    const BITS: u8;
    /// The last address.
    const MAX: Self;
    /// A prefix as a key.
    fn key(self, len: u8) -> Self::Key;
    /// The prefix of a key.
    fn prefix(key: Self::Key) -> (Self, u8);
    /// The first address of the prefix of so many bits around this one.
    fn first(self, len: u8) -> Self;
    /// The last address of it.
    fn last(self, len: u8) -> Self;
    /// How many leading bits both have in common.
    fn common(self, other: Self) -> u8;
    /// The following address; not for the last one.
    fn next(self) -> Self;
}

macro_rules! address {
    ($number:ty, $key:ty) => {
        impl Address for $number {
            type Key = $key;
            const BITS: u8 = <$number>::BITS as u8;
            const MAX: Self = <$number>::MAX;

            fn key(self, len: u8) -> $key {
                <$key>::from((self, len))
            }

            fn prefix(key: $key) -> (Self, u8) {
                key.into()
            }

            fn first(self, len: u8) -> Self {
                self & !Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
            }

            fn last(self, len: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
            }

            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }

            fn next(self) -> Self {
                self.wrapping_add(1)
            }
        }
    };
}

address!(u32, (u32, u8));
address!(u128, Wide);

/// An IPv6 prefix in 17 bytes rather than the 32 of `(u128, u8)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    address: [u8; 16],
    len: u8,
}

impl From<(u128, u8)> for Wide {
    fn from((address, len): (u128, u8)) -> Self {
        Self {
            address: address.to_ne_bytes(),
            len,
        }
    }
}

impl From<Wide> for (u128, u8) {
    fn from(wide: Wide) -> Self {
        (u128::from_ne_bytes(wide.address), wide.len)
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        <(u128, u8)>::from(*self).cmp(&(*other).into())
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prefixes, not the default route, with what they lead to.
pub(super) struct Prefixes<A: Address>(BTreeMap<A::Key, u16>);

impl<A: Address> Default for Prefixes<A> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<A: Address> Prefixes<A> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, first: A, len: u8) -> Option<u16> {
        self.0.get(&first.key(len)).copied()
    }

    /// Adds or replaces; returns what it led to before.
    pub(super) fn insert(&mut self, first: A, len: u8, target: u16) -> Option<u16> {
        self.0.insert(first.key(len), target)
    }

    pub(super) fn remove(&mut self, first: A, len: u8) -> Option<u16> {
        self.0.remove(&first.key(len))
    }

    /// All from a place on, in order.
    pub(super) fn starting_at(&self, first: A, len: u8) -> impl Iterator<Item = (A, u8, u16)> {
        self.0.range(first.key(len)..).map(|(key, target)| {
            let (first, len) = A::prefix(*key);
            (first, len, *target)
        })
    }

    /// The ranges between two addresses: each start with what it leads to, in order,
    /// neighbours different. The first one starts at `first`.
    pub(super) fn sweep(&self, first: A, last: A, see: impl FnMut(A, u16)) {
        let mut open = self.around(first);
        let outer = open.last().map_or(NO_TARGET, |(_, target)| *target);
        let mut joined = Joined::new(first, outer, see);
        let within = first.key(0)..=last.key(A::BITS);
        for (key, target) in self.0.range(within) {
            let (start, len) = A::prefix(*key);
            close(&mut open, &mut joined, |end| end < start);
            open.push((start.last(len), *target));
            joined.add(start, *target);
        }
        close(&mut open, &mut joined, |end| end < last);
        joined.finish();
    }

    /// The prefixes that begin before an address and reach it, the outermost first: where
    /// each ends and what it leads to.
    fn around(&self, address: A) -> Vec<(A, u16)> {
        let mut found: Vec<(A, u16)> = self
            .holding(address, 0)
            .map(|(first, len, target)| (first.last(len), target))
            .collect();
        found.reverse();
        found
    }

    /// The longest prefix that holds an address.
    pub(super) fn longest(&self, address: A) -> Option<(A, u8, u16)> {
        self.holding(address, A::BITS).next()
    }

    /// The prefixes that hold an address, the innermost first; of those that begin with
    /// it only the ones of up to `len` bits.
    fn holding(&self, address: A, len: u8) -> impl Iterator<Item = (A, u8, u16)> {
        let mut bound = Some(address.key(len));
        std::iter::from_fn(move || {
            while let Some((key, target)) = self.0.range(..=bound?).next_back() {
                let (first, len) = A::prefix(*key);
                let holds = first.last(len) >= address;
                let longest = if holds {
                    len - 1
                } else {
                    // Whatever holds the address begins before this one, and so holds
                    // both: it has no more bits than they have in common.
                    first.common(address)
                };
                bound = (longest > 0).then(|| address.first(longest).key(longest));
                if holds {
                    return Some((first, len, *target));
                }
            }
            None
        })
    }

    /// Memory, in bytes. The standard library's B-tree does not tell: nodes have room for
    /// 11 entries, and after inserts in random order are filled to 69 % (ln 2).
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<A::Key>() + size_of::<u16>();
        let leaf = (11 * entry).next_multiple_of(8) + 2 * size_of::<usize>();
        // One node in eight or nine is inner and has 12 links as well.
        let node = leaf + 12 * size_of::<usize>() / 8;
        (self.0.len() / 7).max(usize::from(!self.0.is_empty())) * node
    }
}

/// Ends prefixes for which `ended` holds: what is around them goes on.
fn close<A: Address>(
    open: &mut Vec<(A, u16)>,
    joined: &mut Joined<A, impl FnMut(A, u16)>,
    ended: impl Fn(A) -> bool,
) {
    while let Some((end, _)) = open.pop_if(|(end, _)| ended(*end)) {
        let outer = open.last().map_or(NO_TARGET, |(_, target)| *target);
        joined.add(end.next(), outer);
    }
}

/// Ranges on their way out: of several with one start the last one counts, and equal
/// neighbours become one.
struct Joined<A, F> {
    start: A,
    target: u16,
    seen: Option<u16>,
    see: F,
}

impl<A: Address, F: FnMut(A, u16)> Joined<A, F> {
    fn new(start: A, target: u16, see: F) -> Self {
        Self {
            start,
            target,
            seen: None,
            see,
        }
    }

    fn add(&mut self, start: A, target: u16) {
        if start != self.start {
            self.flush();
            self.start = start;
        }
        self.target = target;
    }

    fn flush(&mut self) {
        if self.seen != Some(self.target) {
            (self.see)(self.start, self.target);
            self.seen = Some(self.target);
        }
    }

    fn finish(mut self) {
        self.flush();
    }
}
