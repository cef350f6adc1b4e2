//! Blocks of ports: with [`Settings::port_block`](crate::Settings::port_block), an inside address takes its outside ports from
//! blocks of its own, so that one line of the log stands for many sessions (RFC 6888, REQ-14).
//!
//! ```text
//!   port wanted ─► an own block with room ── none ─► a free block, anywhere ── none ─► refused
//!                  same port, same parity, other parity: random within the block (REQ-15)
//! ```
//!
//! A block is a range of a worker's [numbers](crate::slices) on one side of port 1024, of one outside address and for all
//! protocols alike. It is freed when the last of its ports has rested. What it costs is use of ports (REQ-13): a block
//! that has one port taken is gone for all others.
//!
//! Ports are not lent where they are given in blocks: a log without destinations could not tell the two hosts apart.

use core::ops::Range;

use vtepd_wire::hash::KeyedHash;

use crate::index::Index;
use crate::key::{Endpoint, Protocol};
use crate::list::{Linked, Links, List};
use crate::log::Logged;
use crate::ports::Likes;
use crate::slab::Slab;
use crate::slices::RUN;
use crate::translator::Translator;

/// The largest block.
const MAX_SIZE: u16 = 4096;
/// Own blocks that are looked at, those first that were taken or had a port freed last. Others are full, or so few of their
/// ports are free that a new block does no harm.
const TRIES: usize = 16;

/// The kind of list that the blocks of an inside address are in.
struct ByHost;

#[derive(Clone, Default)]
pub(crate) struct Block {
    host: u32,
    start: u16,
    size: u16,
    /// Ports that mappings own, of all protocols.
    used: u16,
    links: Links,
}

impl Block {
    fn numbers(&self) -> Range<u32> {
        let start = u32::from(self.start);
        start..start + u32::from(self.size)
    }
}

impl Linked<ByHost> for Block {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// An inside address that has blocks of an outside one.
#[derive(Clone, Default)]
struct Host {
    pool: u16,
    inside: u32,
    blocks: List,
}

/// All of one worker's.
pub(crate) struct Blocks {
    blocks: Slab<Block>,
    hosts: Slab<Host>,
    index: Index,
    hash: KeyedHash,
}

impl Blocks {
    pub(crate) fn new(capacity: u32, hash: KeyedHash) -> Self {
        Self {
            blocks: Slab::new(capacity),
            hosts: Slab::new(capacity),
            index: Index::new(capacity),
            hash,
        }
    }

    fn hash(&self, pool: u16, inside: u32) -> u64 {
        self.hash
            .hash_u64(u64::from(pool) << 32 | u64::from(inside))
    }

    fn find_host(&self, pool: u16, inside: u32) -> Option<u32> {
        self.index.find(self.hash(pool, inside), |number| {
            self.hosts
                .get(number)
                .is_some_and(|host| host.pool == pool && host.inside == inside)
        })
    }

    /// The blocks of a host that are worth a try.
    fn of_host(&self, host: u32) -> impl Iterator<Item = (u32, Range<u32>)> {
        let first = self.hosts.get(host).and_then(|host| host.blocks.first());
        let next = |number: &u32| self.blocks.get(*number)?.links.next();
        core::iter::successors(first, next)
            .take(TRIES)
            .filter_map(|number| Some((number, self.blocks.get(number)?.numbers())))
    }

    /// Gives a host a block.
    fn insert(&mut self, pool: u16, inside: u32, numbers: &Range<u32>) -> Option<u32> {
        if self.blocks.is_full() {
            return None;
        }
        let host = match self.find_host(pool, inside) {
            Some(host) => host,
            None => {
                let host = Host {
                    pool,
                    inside,
                    blocks: List::default(),
                };
                let host = self.hosts.insert(host)?;
                self.index.insert(self.hash(pool, inside), host);
                host
            }
        };
        let block = Block {
            host,
            start: numbers.start as u16,
            size: numbers.len() as u16,
            ..Block::default()
        };
        let number = self.blocks.insert(block)?;
        if let Some(host) = self.hosts.get_mut(host) {
            host.blocks
                .push_front::<ByHost, _>(&mut self.blocks, number);
        }
        Some(number)
    }

    fn add_port(&mut self, number: u32) {
        if let Some(block) = self.blocks.get_mut(number) {
            block.used += 1;
        }
    }

    /// A port of a block is free again. With the last one the block is: whose it was.
    fn remove_port(&mut self, number: u32) -> Option<(u16, u32, Range<u32>)> {
        let block = self.blocks.get_mut(number)?;
        block.used = block.used.saturating_sub(1);
        let (used, place, numbers) = (block.used, block.host, block.numbers());
        let host = self.hosts.get_mut(place)?;
        let (pool, inside) = (host.pool, host.inside);
        host.blocks.remove::<ByHost, _>(&mut self.blocks, number);
        if used > 0 {
            host.blocks
                .push_front::<ByHost, _>(&mut self.blocks, number);
            return None;
        }
        if host.blocks.first().is_none() {
            self.index.remove(self.hash(pool, inside), place);
            self.hosts.remove(place);
        }
        self.blocks.remove(number);
        Some((pool, inside, numbers))
    }

    pub(crate) fn slab(&self) -> &Slab<Block> {
        &self.blocks
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.bytes() + self.hosts.bytes() + self.index.bytes()
    }

    /// See [`Translator::audit`]: whose a block is and how many of its ports are owned.
    pub(crate) fn audited(&self, number: u32) -> Option<(u16, u32, Range<u32>, u16)> {
        let block = self.blocks.get(number).filter(|block| block.size > 0)?;
        let host = self.hosts.get(block.host)?;
        (self.find_host(host.pool, host.inside) == Some(block.host))
            .then(|| (host.pool, host.inside, block.numbers(), block.used))
    }
}

impl Translator {
    /// Ports of a block, as they can be: a whole number of runs.
    fn block_size(&self) -> u32 {
        u32::from(self.settings.port_block.min(MAX_SIZE)).next_multiple_of(RUN)
    }

    /// Takes a port of an own block of a host inside, or of a new one.
    pub(crate) fn take_in_block(
        &mut self,
        pool: u16,
        protocol: Protocol,
        inside: Endpoint,
        now: u32,
    ) -> Option<u16> {
        let draw = self.random.draw();
        let likes = Likes::new(protocol, inside.port);
        if let Some((block, port)) = self.take_in_own_block(pool, protocol, inside, &likes, draw) {
            self.blocks.add_port(block);
            return Some(port);
        }
        let size = self.block_size();
        let numbers = likes
            .classes(false)
            .find_map(|low| self.ports.free_block(pool, low, size, draw))?;
        let block = self.blocks.insert(pool, inside.address, &numbers)?;
        self.ports.own(pool, &numbers, Some(block));
        self.log_block(Logged::BlockTaken, pool, inside.address, &numbers, now);
        let port = self.take_of(pool, protocol, inside.port, &numbers, &likes, draw);
        match port {
            Some(_) => self.blocks.add_port(block),
            // It is new, and of the right class: there is one.
            None => self.free_block(block, now),
        }
        port
    }

    fn take_in_own_block(
        &mut self,
        pool: u16,
        protocol: Protocol,
        inside: Endpoint,
        likes: &Likes,
        draw: u64,
    ) -> Option<(u32, u16)> {
        let host = self.blocks.find_host(pool, inside.address)?;
        let wanted = self.slices.number(inside.port);
        let ports = &mut self.ports;
        let same = self.blocks.of_host(host).find(|(_, numbers)| {
            wanted.is_some_and(|wanted| numbers.contains(&wanted))
                && ports.take(pool, protocol, inside.port)
        });
        if let Some((block, _)) = same {
            return Some((block, inside.port));
        }
        likes.parities().find_map(|odd| {
            self.blocks.of_host(host).find_map(|(block, numbers)| {
                let fits = likes.fits(ports.is_low(&numbers));
                let port =
                    fits.then(|| ports.take_within(pool, protocol, &numbers, odd, draw))??;
                Some((block, port))
            })
        })
    }

    /// Takes a port of a block that is new.
    fn take_of(
        &mut self,
        pool: u16,
        protocol: Protocol,
        wanted: u16,
        numbers: &Range<u32>,
        likes: &Likes,
        draw: u64,
    ) -> Option<u16> {
        let number = self.slices.number(wanted);
        if number.is_some_and(|number| numbers.contains(&number))
            && self.ports.take(pool, protocol, wanted)
        {
            return Some(wanted);
        }
        likes
            .parities()
            .find_map(|odd| self.ports.take_within(pool, protocol, numbers, odd, draw))
    }

    /// A port has been freed: so is its block, if it has one and that was its last port. `false` when it has none.
    pub(crate) fn release_in_block(&mut self, pool: u16, port: u16, now: u32) -> bool {
        let Some(block) = self.ports.block_of(pool, port) else {
            return false;
        };
        self.free_block(block, now);
        true
    }

    fn free_block(&mut self, block: u32, now: u32) {
        if let Some((pool, inside, numbers)) = self.blocks.remove_port(block) {
            self.ports.own(pool, &numbers, None);
            self.log_block(Logged::BlockFreed, pool, inside, &numbers, now);
        }
    }
}
