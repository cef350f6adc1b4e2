//! IPv4 routes in the form in which they are looked up.
//!
//! ```text
//!   few:   one list of ranges
//!   many:  address │ 8 bits │ 8 bits │    16 bits    │
//!                     root ──► block ──► ranges of the /16
//!                                   └──► 256 × ranges of a /24, where there are very many
//! ```
//!
//! The second form follows DXR (Zec, Rizzo, Mikuc: "DXR: Towards a Billion Routing
//! Lookups per Second in Software", 2012): direct indexing by the upper bits, a short
//! binary search for the others. Its index is cut in two levels so that a change copies
//! 2 KiB + 4 KiB of it and the ranges of one /16; everything else stays shared with
//! what readers have.

use std::sync::Arc;

use super::prefixes::{Address, Prefixes};
use super::ranges::{NO_TARGET, Ranges};
use super::{FEW, Lookup, each_once};

/// Ranges of a /16 above which they are cut by /24.
const CROWDED: usize = 512;
/// Ranges of a /16 cut by /24 below which they are joined again.
const SPARSE: usize = CROWDED / 4;

/// What IPv4 addresses lead to.
#[derive(Clone)]
pub(super) enum V4 {
    Few(Ranges<u32>),
    Many(Arc<Root>),
}

impl Default for V4 {
    fn default() -> Self {
        Self::Few(Ranges::default())
    }
}

impl V4 {
    #[inline(always)]
    pub(super) fn prefetch(&self, address: u32) {
        if let Self::Many(root) = self {
            root.ranges(address).prefetch();
        }
    }

    #[inline(always)]
    pub(super) fn find(&self, address: u32) -> u16 {
        match self {
            Self::Few(ranges) => ranges.find(address),
            Self::Many(root) => root.find(address),
        }
    }
}

impl Lookup<u32> for V4 {
    fn update(&mut self, prefixes: &Prefixes<u32>, changed: &[(u32, u32)]) {
        match self {
            Self::Many(root) if prefixes.len() > FEW / 2 => {
                let root = Arc::make_mut(root);
                each_once(changed, |first, last| root.update(prefixes, first, last));
            }
            _ if prefixes.len() > FEW => {
                let mut root = Root::default();
                root.update(prefixes, 0, u32::MAX);
                *self = Self::Many(Arc::new(root));
            }
            _ => {
                let mut ranges = Vec::with_capacity(2 * prefixes.len() + 1);
                prefixes.sweep(0, u32::MAX, |start, target| ranges.push((start, target)));
                *self = Self::Few(Ranges::new(&ranges, |start| start));
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(ranges) => ranges.bytes(),
            Self::Many(root) => root.bytes(),
        }
    }
}

/// By the first 8 bits.
#[derive(Clone)]
pub(super) struct Root([Arc<Block>; 256]);

/// By the second 8 bits.
#[derive(Clone)]
struct Block([Cell; 256]);

/// A /16. Starts are the lower 16 bits of addresses.
#[derive(Clone)]
enum Cell {
    Ranges(Ranges<u16>),
    /// By the third 8 bits.
    Crowded(Arc<[Ranges<u16>; 256]>),
}

// Four in a cache line.
const _: () = assert!(size_of::<Cell>() == 16);

impl Default for Root {
    /// All blocks are one empty one.
    fn default() -> Self {
        let empty = Arc::new(Block(std::array::from_fn(|_| {
            Cell::Ranges(Ranges::default())
        })));
        Self(std::array::from_fn(|_| Arc::clone(&empty)))
    }
}

impl Root {
    #[inline(always)]
    fn find(&self, address: u32) -> u16 {
        self.ranges(address).find(address as u16)
    }

    #[inline(always)]
    fn ranges(&self, address: u32) -> &Ranges<u16> {
        let [first, second, third, _] = address.to_be_bytes().map(usize::from);
        match &self.0[first].0[second] {
            Cell::Ranges(ranges) => ranges,
            Cell::Crowded(ranges) => &ranges[third],
        }
    }

    /// Makes the ranges between two addresses anew, and some beyond; returns how far.
    fn update(&mut self, prefixes: &Prefixes<u32>, first: u32, last: u32) -> u32 {
        if first >> 16 == last >> 16
            && let Cell::Crowded(ranges) = self.cell_mut(first)
        {
            let ranges = Arc::make_mut(ranges);
            cut(prefixes, first, last, 24, |address, pieces| {
                ranges[usize::from(address as u16 >> 8)] = low_bits(pieces);
            });
            if ranges.iter().map(Ranges::len).sum::<usize>() >= SPARSE {
                return last.last(24);
            }
        }
        let mut last_whole = (NO_TARGET, Ranges::default());
        cut(prefixes, first, last, 16, |address, pieces| {
            let cell = match pieces {
                // Long stretches with one target share the memory.
                [(_, target)] => {
                    if *target != last_whole.0 {
                        last_whole = (*target, low_bits(pieces));
                    }
                    Cell::Ranges(last_whole.1.clone())
                }
                _ if pieces.len() <= CROWDED => Cell::Ranges(low_bits(pieces)),
                _ => crowded(prefixes, address),
            };
            // What stays empty needs no block of its own.
            if !(cell.is_empty() && self.cell(address).is_empty()) {
                *self.cell_mut(address) = cell;
            }
        });
        last.last(16)
    }

    fn cell(&self, address: u32) -> &Cell {
        let [first, second, ..] = address.to_be_bytes().map(usize::from);
        &self.0[first].0[second]
    }

    fn cell_mut(&mut self, address: u32) -> &mut Cell {
        let [first, second, ..] = address.to_be_bytes().map(usize::from);
        &mut Arc::make_mut(&mut self.0[first]).0[second]
    }

    /// Memory, in bytes.
    fn bytes(&self) -> usize {
        let arc = 2 * size_of::<usize>();
        let mut blocks: Vec<*const Block> = self.0.iter().map(Arc::as_ptr).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let (mut ranges, mut previous) = (0, None);
        for cell in self.0.iter().flat_map(|block| &block.0) {
            // Those that share their ranges follow each other.
            match (previous.replace(cell), cell) {
                (Some(Cell::Ranges(before)), Cell::Ranges(now)) if now.is_shared_with(before) => {}
                _ => ranges += cell.bytes(),
            }
        }
        size_of::<Self>() + arc + blocks.len() * (size_of::<Block>() + arc) + ranges
    }
}

impl Cell {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Ranges(ranges) if ranges.len() == 0)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Ranges(ranges) => ranges.bytes(),
            Self::Crowded(ranges) => {
                let within: usize = ranges.iter().map(Ranges::bytes).sum();
                size_of_val(&**ranges) + 2 * size_of::<usize>() + within
            }
        }
    }
}

/// Starts within a /16.
fn low_bits(ranges: &[(u32, u16)]) -> Ranges<u16> {
    Ranges::new(ranges, |start| start as u16)
}

fn crowded(prefixes: &Prefixes<u32>, address: u32) -> Cell {
    let mut all: [Ranges<u16>; 256] = std::array::from_fn(|_| Ranges::default());
    let (first, last) = (address.first(16), address.last(16));
    cut(prefixes, first, last, 24, |address, pieces| {
        all[usize::from(address as u16 >> 8)] = low_bits(pieces);
    });
    Cell::Crowded(Arc::new(all))
}

/// The ranges around two addresses, cut where prefixes of `len` bits begin: `see` gets
/// the ranges of each of these prefixes in turn, with its first address.
fn cut(
    prefixes: &Prefixes<u32>,
    first: u32,
    last: u32,
    len: u8,
    mut see: impl FnMut(u32, &[(u32, u16)]),
) {
    let (first, last) = (first.first(len), last.last(len));
    let mut pieces: Vec<(u32, u16)> = Vec::new();
    let mut unit = first;
    // Hands out the units before an address; the last range goes on in the next unit.
    let mut up_to = |pieces: &mut Vec<(u32, u16)>, address: u32| {
        while unit < address {
            see(unit, pieces);
            unit = unit.last(len).next();
            let target = pieces.last().map_or(NO_TARGET, |(_, target)| *target);
            pieces.clear();
            pieces.push((unit, target));
        }
    };
    prefixes.sweep(first, last, |start, target| {
        up_to(&mut pieces, start.first(len));
        pieces.pop_if(|(begin, _)| *begin == start);
        pieces.push((start, target));
    });
    up_to(&mut pieces, last.first(len));
    see(last.first(len), &pieces);
}
