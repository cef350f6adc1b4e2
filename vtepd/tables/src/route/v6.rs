//! IPv6 routes in the form in which they are looked up.
//!
//! ```text
//!   few:   one list of ranges
//!   many:  root: where nodes start ──► node: where chunks start ──► chunk: ranges
//! ```
//!
//! Real IPv6 prefixes crowd into a few corners of the address space and differ anywhere
//! between the 20th and the 128th bit, so that direct indexing wastes either memory or
//! levels. The second form orders by value instead, as a B-tree of three levels does,
//! and has the same depth and size for whatever prefixes there are. A change makes anew
//! one chunk, its node and the root; everything else stays shared with what readers have.

use std::sync::Arc;

use super::prefixes::{Address, Prefixes};
use super::ranges::{NO_TARGET, Ranges};
use super::{FEW, Lookup, each_once};

/// Ranges of a chunk and chunks of a node when they are made; twice as many at most.
const FILL: usize = 128;
/// Ranges below which a chunk is made anew together with the next one.
const SPARSE: usize = FILL / 4;

/// What IPv6 addresses lead to.
#[derive(Clone)]
pub(super) enum V6 {
    Few(Chunk),
    Many(Arc<Root>),
}

impl Default for V6 {
    fn default() -> Self {
        Self::Few(Chunk::default())
    }
}

impl V6 {
    #[inline(always)]
    pub(super) fn find(&self, address: u128) -> u16 {
        match self {
            Self::Few(chunk) => chunk.find(address),
            Self::Many(root) => root.find(address),
        }
    }
}

impl Lookup<u128> for V6 {
    fn update(&mut self, prefixes: &Prefixes<u128>, changed: &[(u128, u128)]) {
        match self {
            Self::Many(root) if prefixes.len() > FEW / 2 => {
                let root = Arc::make_mut(root);
                each_once(changed, |first, last| root.update(prefixes, first, last));
            }
            _ if prefixes.len() > FEW => {
                let mut root = Root::default();
                root.update(prefixes, 0, u128::MAX);
                *self = Self::Many(Arc::new(root));
            }
            _ => {
                let mut ranges = Vec::with_capacity(2 * prefixes.len() + 1);
                prefixes.sweep(0, u128::MAX, |start, target| ranges.push((start, target)));
                *self = Self::Few(Chunk::new(&ranges));
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(chunk) => chunk.bytes(),
            Self::Many(root) => root.bytes(),
        }
    }
}

/// Some ranges, all starts with the same width.
#[derive(Clone)]
pub(super) enum Chunk {
    /// By the upper 64 bits: no prefix is longer.
    Upper(Ranges<u64>),
    Whole(Ranges<u128>),
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Upper(Ranges::default())
    }
}

impl Chunk {
    fn new(ranges: &[(u128, u16)]) -> Self {
        if ranges.iter().all(|(start, _)| *start as u64 == 0) {
            Self::Upper(Ranges::new(ranges, upper))
        } else {
            Self::Whole(Ranges::new(ranges, |start| start))
        }
    }

    #[inline(always)]
    fn find(&self, address: u128) -> u16 {
        match self {
            Self::Upper(ranges) => ranges.find(upper(address)),
            Self::Whole(ranges) => ranges.find(address),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Upper(ranges) => ranges.len(),
            Self::Whole(ranges) => ranges.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Upper(ranges) => ranges.bytes(),
            Self::Whole(ranges) => ranges.bytes(),
        }
    }
}

#[inline(always)]
fn upper(address: u128) -> u64 {
    (address >> 64) as u64
}

/// Things in order of the first address each is for, which is not above that of the
/// first thing that is asked for.
#[derive(Clone)]
struct Ordered<T> {
    starts: Vec<u128>,
    things: Vec<T>,
}

/// Nodes by address.
#[derive(Clone)]
pub(super) struct Root(Ordered<Arc<Node>>);

/// Chunks by address.
type Node = Ordered<Chunk>;

impl<T> Ordered<T> {
    fn new(starts: Vec<u128>, things: Vec<T>) -> Self {
        Self { starts, things }
    }

    /// The place of what an address belongs to.
    #[inline(always)]
    fn position(&self, address: u128) -> usize {
        let after = self.starts.partition_point(|start| *start <= address);
        after.saturating_sub(1)
    }

    #[inline(always)]
    fn find(&self, address: u128) -> Option<&T> {
        self.things.get(self.position(address))
    }

    /// Where what follows an address's thing starts.
    fn following(&self, address: u128) -> Option<u128> {
        self.starts.get(self.position(address) + 1).copied()
    }

    fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<u128>() + self.things.capacity() * size_of::<T>()
    }
}

impl Default for Root {
    fn default() -> Self {
        let node = Node::new(vec![0], vec![Chunk::default()]);
        Self(Ordered::new(vec![0], vec![Arc::new(node)]))
    }
}

impl Root {
    #[inline(always)]
    fn find(&self, address: u128) -> u16 {
        let chunk = self.0.find(address).and_then(|node| node.find(address));
        chunk.map_or(NO_TARGET, |chunk| chunk.find(address))
    }

    /// Makes the chunks between two addresses anew; returns where the last one ends.
    fn update(&mut self, prefixes: &Prefixes<u128>, first: u128, last: u128) -> u128 {
        let first = self.chunk_start(first);
        let mut last = self.chunk_end(last);
        let mut chunks = chunks(prefixes, first, last);
        if chunks.len() == 1 && chunks[0].1.len() < SPARSE && last < u128::MAX {
            last = self.chunk_end(last.next());
            chunks = self::chunks(prefixes, first, last);
        }
        self.replace(first, last, chunks);
        last
    }

    fn chunk_start(&self, address: u128) -> u128 {
        self.0.find(address).map_or(0, |node| {
            let place = node.position(address);
            node.starts.get(place).copied().unwrap_or(0)
        })
    }

    fn chunk_end(&self, address: u128) -> u128 {
        let node = self.0.find(address);
        node.and_then(|node| node.following(address))
            .or_else(|| self.0.following(address))
            .map_or(u128::MAX, |start| start - 1)
    }

    /// Puts chunks in the place of those between two addresses, the first of one and the
    /// last of another.
    fn replace(&mut self, first: u128, last: u128, chunks: Vec<(u128, Chunk)>) {
        let nodes = self.0.position(first)..=self.0.position(last);
        let before = self.0.things.get(*nodes.start());
        let after = self.0.things.get(*nodes.end());
        let mut all: Vec<(u128, Chunk)> = Vec::with_capacity(chunks.len() + 4 * FILL);
        let stays = |node: Option<&Arc<Node>>, within: fn(u128, u128) -> bool, bound: u128| {
            let node = node.into_iter();
            let pairs = node.flat_map(|node| node.starts.iter().copied().zip(&node.things));
            pairs
                .filter(|(start, _)| within(*start, bound))
                .map(|(start, chunk)| (start, chunk.clone()))
                .collect::<Vec<_>>()
        };
        all.extend(stays(before, |start, first| start < first, first));
        all.extend(chunks);
        all.extend(stays(after, |start, last| start > last, last));
        let (starts, new): (Vec<u128>, Vec<Arc<Node>>) = portions(&all)
            .map(|chunks| {
                let (starts, things): (Vec<_>, Vec<_>) = chunks.iter().cloned().unzip();
                (chunks[0].0, Arc::new(Node::new(starts, things)))
            })
            .unzip();
        self.0.starts.splice(nodes.clone(), starts);
        self.0.things.splice(nodes, new);
    }

    /// Memory, in bytes.
    fn bytes(&self) -> usize {
        let arc = 2 * size_of::<usize>();
        let nodes: usize = (self.0.things.iter())
            .map(|node| {
                let chunks: usize = node.things.iter().map(Chunk::bytes).sum();
                size_of::<Node>() + arc + node.bytes() + chunks
            })
            .sum();
        size_of::<Self>() + arc + self.0.bytes() + nodes
    }
}

/// The ranges between two addresses as chunks, each with where it starts.
fn chunks(prefixes: &Prefixes<u128>, first: u128, last: u128) -> Vec<(u128, Chunk)> {
    let mut chunks = Vec::new();
    let mut pending: Vec<(u128, u16)> = Vec::with_capacity(2 * FILL);
    let add = |chunks: &mut Vec<(u128, Chunk)>, ranges: &[(u128, u16)]| {
        if let Some((start, _)) = ranges.first() {
            chunks.push((*start, Chunk::new(ranges)));
        }
    };
    prefixes.sweep(first, last, |start, target| {
        if pending.len() == 2 * FILL {
            add(&mut chunks, &pending[..FILL]);
            pending.drain(..FILL);
        }
        pending.push((start, target));
    });
    add(&mut chunks, &pending);
    chunks
}

/// Portions of `FILL`, but the last one of up to twice as many rather than a rest.
fn portions<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = if all.len() <= 2 * FILL {
            all.len()
        } else {
            FILL
        };
        let portion;
        (portion, all) = all.split_at(count);
        (!portion.is_empty()).then_some(portion)
    })
}
