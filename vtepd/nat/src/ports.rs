//! Which outside ports are taken: a bit for each port of this worker's slice, by address and protocol.
//!
//! A port is *free* (its bit is clear), *owned* by a mapping or *resting* (its mapping is kept a while after
//! its last session). Chosen ports are random (RFC 6056), of the class (RFC 4787, REQ-3) and, where asked
//! for, of the parity (REQ-4) of the port inside.

use core::ops::Range;

use vtepd_wire::hash::KeyedHash;

use crate::key::Protocol;
use crate::slices::Slices;

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

/// What may be used in place of a port.
#[derive(Clone, Copy)]
struct Like {
    low: bool,
    /// `None`: either.
    odd: Option<bool>,
}

/// The bits of all pools.
pub(crate) struct Ports {
    slices: Slices,
    /// Words of one map.
    words: usize,
    /// Set: taken. Maps of pools that are never used are never touched, and cost no memory.
    taken: Vec<u64>,
    free: Vec<Free>,
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
    }

    /// Takes a port for one inside: the same if it is free, else one like it.
    pub(crate) fn take_like(
        &mut self,
        pool: u16,
        protocol: Protocol,
        wanted: u16,
        random: &mut Random,
    ) -> Option<u16> {
        if self.take(pool, protocol, wanted) {
            return Some(wanted);
        }
        let draw = random.draw();
        for like in likes(protocol, wanted, draw) {
            if self.left(pool, protocol, like) == 0 {
                continue;
            }
            if let Some(port) = self.search(pool, protocol, like, draw, false)
                && self.take(pool, protocol, port)
            {
                return Some(port);
            }
        }
        None
    }

    /// A random port among those that are taken and could stand for one inside.
    pub(crate) fn taken_like(
        &self,
        pool: u16,
        protocol: Protocol,
        wanted: u16,
        random: &mut Random,
    ) -> Option<u16> {
        let draw = random.draw();
        likes(protocol, wanted, draw)
            .into_iter()
            .find_map(|like| self.search(pool, protocol, like, draw, true))
    }

    fn left(&self, pool: u16, protocol: Protocol, like: Like) -> u16 {
        let free = self.free.get(Self::map(pool, protocol));
        let Some([even, odd]) = free.and_then(|free| free.get(usize::from(like.low))) else {
            return 0;
        };
        match like.odd {
            None => even.saturating_add(*odd),
            Some(false) => *even,
            Some(true) => *odd,
        }
    }

    /// The first suitable port from a random place on: at most 1024 words are looked at, and that only when
    /// nearly all ports are taken.
    fn search(
        &self,
        pool: u16,
        protocol: Protocol,
        like: Like,
        draw: u64,
        taken: bool,
    ) -> Option<u16> {
        let low = self.slices.low_ports();
        let range = if like.low {
            u32::from(self.slices.number(0).is_some())..low
        } else {
            low..self.slices.ports()
        };
        let parity = match like.odd {
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
            let fits = if taken { set } else { !set } & parity & within(word, &range);
            if fits != 0 {
                let bit = (fits.rotate_right(turn).trailing_zeros() + turn) % 64;
                return Some(self.slices.port(word * 64 + bit));
            }
        }
        None
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
        size_of_val(&*self.taken) + size_of_val(&*self.free)
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

/// What stands for a port, best first. The class is never left (REQ-3); the parity is kept for UDP alone (RFC
/// 5382 asks for none), and while there are such ports. Query identifiers have neither.
fn likes(protocol: Protocol, port: u16, draw: u64) -> [Like; 2] {
    let low = port < 1024;
    let odd = port % 2 == 1;
    match protocol {
        Protocol::Udp => [odd, !odd].map(|odd| Like {
            low,
            odd: Some(odd),
        }),
        Protocol::Tcp => {
            let either = Like { low, odd: None };
            [either, either]
        }
        Protocol::Icmp => {
            // One in 64 identifiers lies below 1024.
            let low = draw >> 58 == 0;
            [low, !low].map(|low| Like { low, odd: None })
        }
    }
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
    fn identifiers_have_no_class() {
        let mut ports = ports(1).remove(0);
        let mut random = Random::new(KeyedHash::new(5, 6));
        let given: HashSet<u16> =
            std::iter::from_fn(|| ports.take_like(0, Protocol::Icmp, 1, &mut random)).collect();
        assert_eq!(given.len(), 65_535);
    }
}
