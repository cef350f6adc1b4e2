//! Which outside ports are taken: a bit for each port of this worker's slice, by address and protocol.
//!
//! A port is *free* (its bit is clear), *owned* by a mapping or *resting* (its mapping is kept a while after
//! its last session). Where ports are given in [blocks](crate::blocks), each run of 16 says whose block it is in. Chosen ports are random (RFC 6056), of the class (RFC 4787, REQ-3) and, where asked
//! for, of the parity (REQ-4) of the port inside.

use core::ops::Range;

use vtepd_wire::hash::KeyedHash;

use crate::key::Protocol;
use crate::slices::{RUN, Slices};

/// Numbers that nobody can foresee: a keyed hash of a counter.
pub(crate) struct Random {
    hash: KeyedHash,
    drawn: u64,
}

impl Random {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Self { hash, drawn: 0 }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.hash.hash_u64(self.drawn)
    }
}

/// Ports that are free, by whether they are below 1024 and by parity.
type Free = [[u16; 2]; 2];

/// What may stand for a port. The class is never left (RFC 4787, REQ-3); the parity is kept for UDP alone (RFC 5382 asks for
/// none), and while there are such ports. Query identifiers have neither.
#[derive(Clone, Copy)]
pub(crate) struct Likes {
    protocol: Protocol,
    low: bool,
    odd: bool,
}

impl Likes {
    pub(crate) fn new(protocol: Protocol, port: u16) -> Self {
        Self {
            protocol,
            low: port < 1024,
            odd: port % 2 == 1,
        }
    }

    /// May it be in this class?
    pub(crate) fn fits(&self, low: bool) -> bool {
        self.protocol == Protocol::Icmp || low == self.low
    }

    /// Whether below 1024, best first.
    pub(crate) fn classes(&self, low_first: bool) -> impl Iterator<Item = bool> + use<> {
        let (first, count) = match self.protocol {
            Protocol::Icmp => (low_first, 2),
            _ => (self.low, 1),
        };
        [first, !first].into_iter().take(count)
    }

    /// Whether odd, best first; `None`: either.
    pub(crate) fn parities(&self) -> impl Iterator<Item = Option<bool>> + use<> {
        let (first, count) = match self.protocol {
            Protocol::Udp => (Some(self.odd), 2),
            _ => (None, 1),
        };
        [first, first.map(|odd| !odd)].into_iter().take(count)
    }
}

/// The bits of all pools.
pub(crate) struct Ports {
    slices: Slices,
    /// Words of one map.
    words: usize,
    /// Set: taken. Maps of pools that are never used are never touched, and cost no memory.
    taken: Vec<u64>,
    free: Vec<Free>,
    /// For each run of 16 ports of a pool, for all protocols: 0, or the number of its block plus one.
    blocks: Vec<u32>,
    runs_in_blocks: u32,
    /// By pool and class: there was no free block when one was last looked for, and nothing has been freed since.
    blockless: Vec<[bool; 2]>,
}

/// What is searched for.
#[derive(Clone, Copy)]
struct What {
    taken: bool,
    outside_blocks: bool,
}

const FREE: What = What {
    taken: false,
    outside_blocks: true,
};
const TAKEN: What = What {
    taken: true,
    outside_blocks: true,
};
const FREE_OF_BLOCK: What = What {
    taken: false,
    outside_blocks: false,
};

/// One in 64 query identifiers lies below 1024.
fn low_first(draw: u64) -> bool {
    draw >> 58 == 0
}

impl Ports {
    pub(crate) fn new(slices: Slices, pools: u16) -> Self {
        let words = (slices.ports() as usize).div_ceil(64);
        let maps = usize::from(pools) * Protocol::ALL.len();
        let of = |count: u32| [count.div_ceil(2) as u16, (count / 2) as u16];
        let low = slices.low_ports();
        let mut free = [of(slices.ports() - low), of(low)];
        if slices.number(0).is_some() {
            // Port 0 is never given.
            free = [free[0], [free[1][0] - 1, free[1][1]]];
        }
        Self {
            slices,
            words,
            taken: vec![0; words * maps],
            free: vec![free; maps],
            blocks: vec![0; usize::from(pools) * (slices.ports() / RUN) as usize],
            runs_in_blocks: 0,
            blockless: vec![[false; 2]; usize::from(pools)],
        }
    }

    fn map(pool: u16, protocol: Protocol) -> usize {
        usize::from(pool) * Protocol::ALL.len() + protocol.index()
    }

    fn bits(&self, map: usize) -> Option<&[u64]> {
        self.taken.get(map * self.words..(map + 1) * self.words)
    }

    fn set(&mut self, pool: u16, protocol: Protocol, port: u16, taken: bool) -> bool {
        let Some(number) = self.slices.number(port) else {
            return false;
        };
        let map = Self::map(pool, protocol);
        let bit = 1u64 << (number % 64);
        let word = map * self.words + number as usize / 64;
        let (Some(word), Some(free)) = (self.taken.get_mut(word), self.free.get_mut(map)) else {
            return false;
        };
        if (*word & bit != 0) == taken || port == 0 {
            return false;
        }
        *word ^= bit;
        let class = free
            .get_mut(usize::from(port < 1024))
            .and_then(|class| class.get_mut(usize::from(port % 2)));
        if let Some(count) = class {
            *count = if taken {
                count.saturating_sub(1)
            } else {
                count.saturating_add(1)
            };
        }
        true
    }

    /// Takes a port; `false` when it is taken or another worker's.
    pub(crate) fn take(&mut self, pool: u16, protocol: Protocol, port: u16) -> bool {
        self.set(pool, protocol, port, true)
    }

    /// Frees a port.
    pub(crate) fn release(&mut self, pool: u16, protocol: Protocol, port: u16) {
        self.set(pool, protocol, port, false);
        // One of a block leaves it a block, until that is given back itself: looking through all ports again for each of
        // them would take a worker's time while blocks are out.
        if self.block_of(pool, port).is_none() {
            self.may_have_blocks(pool);
        }
    }

    /// Takes a port for one inside: the same if it is free, else one like it; none of a block.
    pub(crate) fn take_like(
        &mut self,
        pool: u16,
        protocol: Protocol,
        wanted: u16,
        random: &mut Random,
    ) -> Option<u16> {
        if self.block_of(pool, wanted).is_none() && self.take(pool, protocol, wanted) {
            return Some(wanted);
        }
        let draw = random.draw();
        let likes = Likes::new(protocol, wanted);
        for low in likes.classes(low_first(draw)) {
            for odd in likes.parities() {
                if self.left(pool, protocol, low, odd) == 0 {
                    continue;
                }
                if let Some(port) = self.search(pool, protocol, self.class(low), odd, draw, FREE)
                    && self.take(pool, protocol, port)
                {
                    return Some(port);
                }
            }
        }
        None
    }

    /// A random port among those that are taken and could stand for one inside; not of a block.
    pub(crate) fn taken_like(
        &self,
        pool: u16,
        protocol: Protocol,
        wanted: u16,
        random: &mut Random,
    ) -> Option<u16> {
        let draw = random.draw();
        let likes = Likes::new(protocol, wanted);
        likes.classes(low_first(draw)).find_map(|low| {
            likes
                .parities()
                .find_map(|odd| self.search(pool, protocol, self.class(low), odd, draw, TAKEN))
        })
    }

    /// Takes a random port among some numbers, which are a block's.
    pub(crate) fn take_within(
        &mut self,
        pool: u16,
        protocol: Protocol,
        numbers: &Range<u32>,
        odd: Option<bool>,
        draw: u64,
    ) -> Option<u16> {
        let port = self.search(pool, protocol, numbers.clone(), odd, draw, FREE_OF_BLOCK)?;
        self.take(pool, protocol, port).then_some(port)
    }

    /// The numbers of a class.
    fn class(&self, low: bool) -> Range<u32> {
        let middle = self.slices.low_ports();
        if low {
            0..middle
        } else {
            middle..self.slices.ports()
        }
    }

    /// Are these numbers of ports below 1024?
    pub(crate) fn is_low(&self, numbers: &Range<u32>) -> bool {
        numbers.start < self.slices.low_ports()
    }

    fn left(&self, pool: u16, protocol: Protocol, low: bool, odd: Option<bool>) -> u16 {
        let free = self.free.get(Self::map(pool, protocol));
        let Some([even, odds]) = free.and_then(|free| free.get(usize::from(low))) else {
            return 0;
        };
        match odd {
            None => even.saturating_add(*odds),
            Some(false) => *even,
            Some(true) => *odds,
        }
    }

    /// The first suitable port from a random place on: at most 1024 words are looked at, and that only when
    /// nearly all ports are taken.
    fn search(
        &self,
        pool: u16,
        protocol: Protocol,
        mut range: Range<u32>,
        odd: Option<bool>,
        draw: u64,
        what: What,
    ) -> Option<u16> {
        // Port 0 is never given.
        range.start = range.start.max(u32::from(self.slices.number(0).is_some()));
        let parity = match odd {
            None => u64::MAX,
            Some(false) => 0x5555_5555_5555_5555,
            Some(true) => 0xaaaa_aaaa_aaaa_aaaa,
        };
        let bits = self.bits(Self::map(pool, protocol))?;
        let first = range.start / 64;
        let count = range.end.div_ceil(64).checked_sub(first)?;
        let start = (((draw >> 32) * u64::from(count)) >> 32) as u32;
        let turn = (draw % 64) as u32;
        for step in 0..count {
            let word = first + (start + step) % count;
            let set = *bits.get(word as usize)?;
            let mut fits = if what.taken { set } else { !set } & parity & within(word, &range);
            if what.outside_blocks && self.runs_in_blocks > 0 {
                fits &= !self.in_blocks(pool, word);
            }
            if fits != 0 {
                let bit = (fits.rotate_right(turn).trailing_zeros() + turn) % 64;
                return Some(self.slices.port(word * 64 + bit));
            }
        }
        None
    }

    /// The runs of a pool, with the block that each is in.
    fn runs(&self, pool: u16) -> Option<&[u32]> {
        let runs = self.runs_of_pool();
        self.blocks
            .get(usize::from(pool) * runs..(usize::from(pool) + 1) * runs)
    }

    fn runs_of_pool(&self) -> usize {
        (self.slices.ports() / RUN) as usize
    }

    /// Which numbers of a word are in blocks.
    fn in_blocks(&self, pool: u16, word: u32) -> u64 {
        let first = (word * 64 / RUN) as usize;
        let Some(runs) = self.runs(pool).and_then(|runs| runs.get(first..)) else {
            return 0;
        };
        let owned = runs.iter().take((64 / RUN) as usize).enumerate();
        owned
            .filter(|(_, block)| **block != 0)
            .map(|(run, _)| ((1u64 << RUN) - 1) << (run as u32 * RUN))
            .sum()
    }

    /// The block that a port of this slice is in.
    pub(crate) fn block_of(&self, pool: u16, port: u16) -> Option<u32> {
        if self.runs_in_blocks == 0 {
            return None;
        }
        let run = self.slices.number(port)? / RUN;
        self.runs(pool)?.get(run as usize)?.checked_sub(1)
    }

    /// Puts numbers into a block, or out of one.
    pub(crate) fn own(&mut self, pool: u16, numbers: &Range<u32>, block: Option<u32>) {
        let first = usize::from(pool) * self.runs_of_pool();
        let runs = first + (numbers.start / RUN) as usize..first + (numbers.end / RUN) as usize;
        let count = runs.len() as u32;
        if let Some(runs) = self.blocks.get_mut(runs) {
            runs.fill(block.map_or(0, |block| block + 1));
        }
        self.runs_in_blocks = match block {
            Some(_) => self.runs_in_blocks + count,
            None => self.runs_in_blocks.saturating_sub(count),
        };
        if block.is_none() {
            self.may_have_blocks(pool);
        }
    }

    /// `size` numbers of a class of which none is taken nor in a block: where they are is random.
    pub(crate) fn free_block(
        &mut self,
        pool: u16,
        low: bool,
        size: u32,
        draw: u64,
    ) -> Option<Range<u32>> {
        let Range { start, end } = self.class(low);
        let scarce = self.blockless.get(usize::from(pool))?;
        if size == 0 || *scarce.get(usize::from(low))? {
            return None;
        }
        let count = (end - start).div_ceil(size);
        let turn = (((draw >> 32) * u64::from(count)) >> 32) as u32;
        let all = (0..count).map(|step| {
            let first = start + (turn + step) % count * size;
            first..end.min(first + size)
        });
        let found = { all }.find(|numbers| self.is_untouched(pool, numbers));
        if found.is_none()
            && let Some(scarce) = self.blockless.get_mut(usize::from(pool))
            && let Some(scarce) = scarce.get_mut(usize::from(low))
        {
            *scarce = true;
        }
        found
    }

    fn is_untouched(&self, pool: u16, numbers: &Range<u32>) -> bool {
        let runs = (numbers.start / RUN) as usize..(numbers.end / RUN) as usize;
        let owned = self.runs(pool).and_then(|owned| owned.get(runs));
        let words = numbers.start / 64..numbers.end.div_ceil(64);
        owned.is_some_and(|owned| owned.iter().all(|block| *block == 0))
            && Protocol::ALL.iter().all(|protocol| {
                let bits = self.bits(Self::map(pool, *protocol)).unwrap_or_default();
                words.clone().all(|word| {
                    let set = bits.get(word as usize).copied().unwrap_or(u64::MAX);
                    set & within(word, numbers) == 0
                })
            })
    }

    /// Something was freed: a search for a block is worth while again.
    fn may_have_blocks(&mut self, pool: u16) {
        if let Some(scarce) = self.blockless.get_mut(usize::from(pool)) {
            *scarce = [false; 2];
        }
    }

    /// Blocks are of another size from now on.
    pub(crate) fn resize_blocks(&mut self) {
        self.blockless.fill([false; 2]);
    }

    /// Free ports of a pool, of this worker's slice.
    pub(crate) fn free(&self, pool: u16, protocol: Protocol) -> u32 {
        let free = self.free.get(Self::map(pool, protocol));
        free.map_or(0, |free| {
            free.iter().flatten().map(|count| u32::from(*count)).sum()
        })
    }

    /// Is this port of the slice taken?
    pub(crate) fn is_taken(&self, pool: u16, protocol: Protocol, port: u16) -> bool {
        let number = self.slices.number(port);
        let word = number.zip(self.bits(Self::map(pool, protocol)));
        word.and_then(|(number, bits)| Some(bits.get(number as usize / 64)? >> (number % 64) & 1))
            .is_some_and(|bit| bit == 1)
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.taken)
            + size_of_val(&*self.free)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.blockless)
    }
}

/// The bits of a word that lie within a range of numbers.
fn within(word: u32, range: &Range<u32>) -> u64 {
    let from = range.start.saturating_sub(word * 64);
    let to = range.end.saturating_sub(word * 64);
    let below = |count: u32| match count {
        64.. => u64::MAX,
        count => (1u64 << count) - 1,
    };
    below(to) & !below(from)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ports(workers: u16) -> Vec<Ports> {
        (0..workers)
            .map(|worker| {
                let hash = KeyedHash::new(1, 2);
                Ports::new(Slices::new(worker, workers, hash).unwrap(), 2)
            })
            .collect()
    }

    #[test]
    fn all_are_given_once_class_by_class() {
        for workers in [1, 3, 64] {
            let mut given = HashSet::new();
            for mut ports in ports(workers) {
                let mut random = Random::new(KeyedHash::new(5, 6));
                for wanted in [80, 2000] {
                    while let Some(port) = ports.take_like(1, Protocol::Udp, wanted, &mut random) {
                        assert_eq!(port < 1024, wanted < 1024);
                        assert!(given.insert(port), "{port} twice");
                    }
                }
                assert_eq!(ports.free(1, Protocol::Udp), 0);
                assert_eq!(
                    ports.free(0, Protocol::Udp) + u32::from(ports.slices.worker() == 0),
                    ports.slices.ports()
                );
            }
            assert_eq!(given.len(), 65_535);
            assert!(!given.contains(&0));
        }
    }

    #[test]
    fn what_is_released_is_given_again() {
        let mut ports = ports(2).remove(1);
        let mut random = Random::new(KeyedHash::new(5, 6));
        while ports
            .take_like(0, Protocol::Tcp, 5000, &mut random)
            .is_some()
        {}
        let held = ports
            .taken_like(0, Protocol::Tcp, 5000, &mut random)
            .unwrap();
        assert!(ports.is_taken(0, Protocol::Tcp, held));
        ports.release(0, Protocol::Tcp, held);
        assert!(!ports.is_taken(0, Protocol::Tcp, held));
        assert_eq!(
            ports.take_like(0, Protocol::Tcp, 5000, &mut random),
            Some(held)
        );
        assert_eq!(ports.take_like(0, Protocol::Tcp, 5000, &mut random), None);
    }

    #[test]
    fn a_block_is_looked_for_when_there_can_be_one() {
        let mut ports = ports(1).remove(0);
        let taken: Vec<Range<u32>> = core::iter::from_fn(|| {
            let numbers = ports.free_block(0, false, 4096, 0)?;
            ports.own(0, &numbers, Some(7));
            Some(numbers)
        })
        .collect();
        assert_eq!(taken.len(), 16);
        assert_eq!(ports.blockless, [[true, false], [false, false]]);
        let port = ports.slices.port(taken[3].start);
        assert!(ports.take(0, Protocol::Udp, port));
        ports.release(0, Protocol::Udp, port);
        assert!(
            ports.blockless[0][0],
            "the port's block is somebody's still"
        );
        ports.own(0, &taken[3], None);
        assert_eq!(
            ports.free_block(0, false, 4096, 0).as_ref(),
            Some(&taken[3])
        );
    }

    #[test]
    fn identifiers_have_no_class() {
        let mut ports = ports(1).remove(0);
        let mut random = Random::new(KeyedHash::new(5, 6));
        let given: HashSet<u16> =
            std::iter::from_fn(|| ports.take_like(0, Protocol::Icmp, 1, &mut random)).collect();
        assert_eq!(given.len(), 65_535);
    }
}
