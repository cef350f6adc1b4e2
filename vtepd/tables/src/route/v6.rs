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

/// Ranges of a chunk when it is made; twice as many at most.
const CHUNK: usize = 32;
/// Ranges below which a chunk is made anew together with the next one.
const SPARSE: usize = CHUNK / 4;
/// Chunks of a node when it is made; twice as many at most.
const NODE: usize = 128;

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
                let mut nodes = Nodes(root.0.iter().collect());
                each_once(changed, |first, last| nodes.update(prefixes, first, last));
                *root = Arc::new(nodes.into());
            }
            _ if prefixes.len() > FEW => {
                let mut nodes = Nodes(Vec::new());
                nodes.update(prefixes, 0, u128::MAX);
                *self = Self::Many(Arc::new(nodes.into()));
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

/// Some ranges.
#[derive(Clone)]
pub(super) enum Chunk {
    /// By the upper 64 bits: no prefix is longer.
    Upper(Ranges<u64>),
    Whole(Arc<Whole>),
}

/// Ranges with starts anywhere.
pub(super) struct Whole {
    starts: Starts,
    targets: Box<[u16]>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Upper(Ranges::default())
    }
}

impl Chunk {
    fn new(ranges: &[(u128, u16)]) -> Self {
        if ranges.iter().all(|(start, _)| lower(*start) == 0) {
            return Self::Upper(Ranges::new(ranges, upper));
        }
        Self::Whole(Arc::new(Whole {
            starts: ranges.iter().map(|(start, _)| *start).collect(),
            targets: ranges.iter().map(|(_, target)| *target).collect(),
        }))
    }

    #[inline(always)]
    fn find(&self, address: u128) -> u16 {
        match self {
            Self::Upper(ranges) => ranges.find(upper(address)),
            Self::Whole(whole) => {
                let range = whole.starts.up_to(address).wrapping_sub(1);
                whole.targets.get(range).copied().unwrap_or(NO_TARGET)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Upper(ranges) => ranges.len(),
            Self::Whole(whole) => whole.targets.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Upper(ranges) => ranges.bytes(),
            Self::Whole(whole) => {
                let arc = 2 * size_of::<usize>();
                size_of::<Whole>() + arc + whole.starts.bytes() + size_of_val(&*whole.targets)
            }
        }
    }
}

#[inline(always)]
fn upper(address: u128) -> u64 {
    (address >> 64) as u64
}

#[inline(always)]
fn lower(address: u128) -> u64 {
    address as u64
}

/// Where things start, in order. The halves lie apart, because the standard library's
/// search is compiled without branches for 64 bits, and with ones that nothing predicts for
/// 128 (rustc 1.95, x86-64): 60 cycles a look-up against 76 among 1000 routes.
#[derive(Clone, Default)]
struct Starts {
    upper: Box<[u64]>,
    /// None when all are 0.
    lower: Box<[u64]>,
}

impl FromIterator<u128> for Starts {
    fn from_iter<I: IntoIterator<Item = u128>>(starts: I) -> Self {
        let (upper, lower): (Vec<u64>, Vec<u64>) = starts
            .into_iter()
            .map(|start| (upper(start), lower(start)))
            .unzip();
        let needed = lower.iter().any(|lower| *lower != 0);
        Self {
            upper: upper.into(),
            lower: if needed { lower.into() } else { Box::default() },
        }
    }
}

impl Starts {
    /// How many are not above an address.
    #[inline(always)]
    fn up_to(&self, address: u128) -> usize {
        let count = self.upper.partition_point(|start| *start <= upper(address));
        if self.lower.is_empty() {
            return count;
        }
        // Of those with the same upper half the lower one decides.
        let same = self.upper.partition_point(|start| *start < upper(address));
        let lowers = self.lower.get(same..count).unwrap_or_default();
        same + lowers.partition_point(|start| *start <= lower(address))
    }

    fn get(&self, place: usize) -> Option<u128> {
        let lower = self.lower.get(place).copied().unwrap_or(0);
        let upper = self.upper.get(place)?;
        Some(u128::from(*upper) << 64 | u128::from(lower))
    }

    fn iter(&self) -> impl Iterator<Item = u128> {
        (0..self.upper.len()).filter_map(|place| self.get(place))
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.upper) + size_of_val(&*self.lower)
    }
}

/// Things in order of the first address each is for; there is one for address 0 or,
/// within a node, nothing is asked for that lies before the first.
#[derive(Clone)]
struct Ordered<T> {
    starts: Starts,
    things: Box<[T]>,
}

/// Nodes by address.
#[derive(Clone)]
pub(super) struct Root(Ordered<Arc<Node>>);

/// Chunks by address.
type Node = Ordered<Chunk>;

impl<T> FromIterator<(u128, T)> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = (u128, T)>>(things: I) -> Self {
        let (starts, things): (Vec<u128>, Vec<T>) = things.into_iter().unzip();
        Self {
            starts: starts.into_iter().collect(),
            things: things.into(),
        }
    }
}

impl<T: Clone> Ordered<T> {
    /// The place of what an address belongs to.
    #[inline(always)]
    fn position(&self, address: u128) -> usize {
        self.starts.up_to(address).saturating_sub(1)
    }

    #[inline(always)]
    fn find(&self, address: u128) -> Option<&T> {
        self.things.get(self.position(address))
    }

    /// Where an address's thing starts.
    fn start(&self, address: u128) -> Option<u128> {
        self.starts.get(self.position(address))
    }

    /// Where the one after it starts.
    fn following(&self, address: u128) -> Option<u128> {
        self.starts.get(self.position(address) + 1)
    }

    /// All, each with where it starts.
    fn iter(&self) -> impl Iterator<Item = (u128, T)> {
        self.starts.iter().zip(self.things.iter().cloned())
    }

    fn bytes(&self) -> usize {
        self.starts.bytes() + size_of_val(&*self.things)
    }
}

impl Root {
    #[inline(always)]
    fn find(&self, address: u128) -> u16 {
        let chunk = self.0.find(address).and_then(|node| node.find(address));
        chunk.map_or(NO_TARGET, |chunk| chunk.find(address))
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

/// A root while it changes.
struct Nodes(Vec<(u128, Arc<Node>)>);

impl From<Nodes> for Root {
    fn from(nodes: Nodes) -> Self {
        Self(nodes.0.into_iter().collect())
    }
}

impl Nodes {
    /// Makes the chunks between two addresses anew; returns where the last one ends.
    fn update(&mut self, prefixes: &Prefixes<u128>, first: u128, last: u128) -> u128 {
        let first = self.chunk_start(first);
        let mut last = self.chunk_end(last);
        let mut chunks = chunks(prefixes, first, last);
        if let [(_, chunk)] = &*chunks
            && chunk.len() < SPARSE
            && last < u128::MAX
        {
            last = self.chunk_end(last.next());
            chunks = self::chunks(prefixes, first, last);
        }
        self.replace(first, last, chunks);
        last
    }

    /// The place of the node that an address belongs to.
    fn position(&self, address: u128) -> usize {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        after.saturating_sub(1)
    }

    fn chunk_start(&self, address: u128) -> u128 {
        let node = self.0.get(self.position(address));
        node.and_then(|(_, node)| node.start(address)).unwrap_or(0)
    }

    fn chunk_end(&self, address: u128) -> u128 {
        let place = self.position(address);
        let within = self.0.get(place);
        within
            .and_then(|(_, node)| node.following(address))
            .or_else(|| self.0.get(place + 1).map(|(start, _)| *start))
            .map_or(u128::MAX, |start| start - 1)
    }

    /// Puts chunks in the place of those between two addresses, the first of one and the
    /// last of another.
    fn replace(&mut self, first: u128, last: u128, chunks: Vec<(u128, Chunk)>) {
        let [before, after] = [first, last].map(|address| self.position(address));
        let node = |place: usize| {
            self.0
                .get(place)
                .into_iter()
                .flat_map(|(_, node)| node.iter())
        };
        let all: Vec<(u128, Chunk)> = node(before)
            .take_while(|(start, _)| *start < first)
            .chain(chunks)
            .chain(node(after).skip_while(|(start, _)| *start <= last))
            .collect();
        let nodes = portions(&all, NODE).filter_map(|chunks| {
            let (start, _) = chunks.first()?;
            Some((*start, Arc::new(chunks.iter().cloned().collect())))
        });
        let nodes: Vec<(u128, Arc<Node>)> = nodes.collect();
        let end = self.0.len().min(after + 1);
        self.0.splice(before..end, nodes);
    }
}

/// The ranges between two addresses as chunks, each with where it starts.
fn chunks(prefixes: &Prefixes<u128>, first: u128, last: u128) -> Vec<(u128, Chunk)> {
    let mut chunks = Vec::new();
    let mut pending: Vec<(u128, u16)> = Vec::with_capacity(2 * CHUNK);
    let add = |chunks: &mut Vec<(u128, Chunk)>, ranges: &[(u128, u16)]| {
        if let Some((start, _)) = ranges.first() {
            chunks.push((*start, Chunk::new(ranges)));
        }
    };
    prefixes.sweep(first, last, |start, target| {
        if pending.len() == 2 * CHUNK {
            add(&mut chunks, &pending[..CHUNK]);
            pending.drain(..CHUNK);
        }
        pending.push((start, target));
    });
    add(&mut chunks, &pending);
    chunks
}

/// Portions of a size, but the last one of up to twice as much rather than a rest.
fn portions<T>(mut all: &[T], size: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let rest = all.len() <= 2 * size;
        let portion;
        (portion, all) = all.split_at(if rest { all.len() } else { size });
        (!portion.is_empty()).then_some(portion)
    })
}
