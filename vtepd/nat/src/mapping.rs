//! Mappings: an endpoint inside and its port outside, for all destinations alike (RFC 4787, REQ-1).
//!
//! A mapping lives as long as a session uses its port, and rests for a while after the last one: then its
//! own host gets it back at once, and nobody else its port (RFC 6888, REQ-8).

use vtepd_wire::hash::KeyedHash;

use crate::index::Index;
use crate::key::{Endpoint, InsideKey, Protocol};
use crate::list::{Linked, Links, List};
use crate::slab::Slab;

/// The kind of list that resting mappings are in, longest resting first.
pub(crate) struct ByRest;

/// 32 bytes: two in a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    pub(crate) inside: Endpoint32,
    pub(crate) router: u16,
    pub(crate) pool: u16,
    pub(crate) port: u16,
    /// IP protocol number; 0 in a vacant place.
    pub(crate) protocol: u8,
    /// Sessions that use the port.
    pub(crate) sessions: u32,
    /// While it rests: since when. Else: the second of the last packet from inside, kept only where inbound packets do not
    /// refresh.
    pub(crate) stamp: u32,
    links: Links,
}

/// An [`Endpoint`] without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(crate) struct Endpoint32 {
    address: u32,
    port: u16,
}

impl From<Endpoint> for Endpoint32 {
    fn from(endpoint: Endpoint) -> Self {
        let Endpoint { address, port } = endpoint;
        Self { address, port }
    }
}

impl From<Endpoint32> for Endpoint {
    fn from(endpoint: Endpoint32) -> Self {
        Self::new(endpoint.address, endpoint.port)
    }
}

impl Mapping {
    pub(crate) fn new(
        router: u16,
        protocol: Protocol,
        inside: Endpoint,
        pool: u16,
        port: u16,
    ) -> Self {
        Self {
            inside: inside.into(),
            router,
            pool,
            port,
            protocol: protocol as u8,
            ..Self::default()
        }
    }

    /// Is it that of a session's own inside endpoint?
    pub(crate) fn is_of(&self, key: InsideKey) -> bool {
        Endpoint::from(self.inside) == key.inside() && self.router == key.router()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.sessions > 0
    }
}

impl Linked<ByRest> for Mapping {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// All of one worker's.
pub(crate) struct Mappings {
    pub(crate) slab: Slab<Mapping>,
    inside: Index,
    outside: Index,
    resting: List,
    hash: KeyedHash,
}

impl Mappings {
    pub(crate) fn new(capacity: u32, hash: KeyedHash) -> Self {
        Self {
            slab: Slab::new(capacity),
            inside: Index::new(capacity),
            outside: Index::new(capacity),
            resting: List::default(),
            hash,
        }
    }

    fn hash_inside(&self, router: u16, protocol: u8, inside: Endpoint) -> u64 {
        let owner = u64::from(router) << 8 | u64::from(protocol);
        let endpoint = u64::from(inside.address) << 16 | u64::from(inside.port);
        self.hash.hash_words([owner, endpoint])
    }

    fn hash_outside(&self, pool: u16, protocol: u8, port: u16) -> u64 {
        self.hash
            .hash_u64(u64::from(pool) << 32 | u64::from(protocol) << 16 | u64::from(port))
    }

    pub(crate) fn prefetch_inside(&self, router: u16, protocol: Protocol, inside: Endpoint) {
        let hash = self.hash_inside(router, protocol as u8, inside);
        self.inside.prefetch(hash);
    }

    pub(crate) fn prefetch_outside(&self, pool: u16, protocol: Protocol, port: u16) {
        self.outside
            .prefetch(self.hash_outside(pool, protocol as u8, port));
    }

    /// The mapping of an endpoint inside, resting or not.
    pub(crate) fn find_inside(
        &self,
        router: u16,
        protocol: Protocol,
        inside: Endpoint,
        open: impl Fn(u16) -> bool,
    ) -> Option<u32> {
        let hash = self.hash_inside(router, protocol as u8, inside);
        self.inside.find(hash, |number| {
            self.slab.get(number).is_some_and(|mapping| {
                mapping.router == router
                    && mapping.protocol == protocol as u8
                    && mapping.inside == inside.into()
                    && open(mapping.pool)
            })
        })
    }

    /// The mapping that owns a port, resting or not.
    pub(crate) fn find_outside(&self, pool: u16, protocol: Protocol, port: u16) -> Option<u32> {
        let hash = self.hash_outside(pool, protocol as u8, port);
        self.outside.find(hash, |number| {
            self.slab.get(number).is_some_and(|mapping| {
                mapping.pool == pool && mapping.protocol == protocol as u8 && mapping.port == port
            })
        })
    }

    /// Enters a mapping, at rest since `now` until it is used; `None` when the table is full.
    pub(crate) fn insert(&mut self, mapping: Mapping, now: u32) -> Option<u32> {
        let inside = self.hash_inside(mapping.router, mapping.protocol, mapping.inside.into());
        let outside = self.hash_outside(mapping.pool, mapping.protocol, mapping.port);
        let number = self.slab.insert(mapping)?;
        self.inside.insert(inside, number);
        self.outside.insert(outside, number);
        self.rest(number, now);
        Some(number)
    }

    fn rest(&mut self, number: u32, now: u32) {
        if let Some(mapping) = self.slab.get_mut(number) {
            mapping.stamp = now;
        }
        self.resting.push::<ByRest, _>(&mut self.slab, number);
    }

    /// One more session. `true` when it is the first.
    pub(crate) fn acquire(&mut self, number: u32, now: u32) -> bool {
        let Some(mapping) = self.slab.get_mut(number) else {
            return false;
        };
        mapping.sessions += 1;
        let first = mapping.sessions == 1;
        if first {
            mapping.stamp = now;
            self.resting.remove::<ByRest, _>(&mut self.slab, number);
        }
        first
    }

    /// One session less. `true` when it was the last and the mapping rests.
    pub(crate) fn release(&mut self, number: u32, now: u32) -> bool {
        let Some(mapping) = self.slab.get_mut(number) else {
            return false;
        };
        mapping.sessions = mapping.sessions.saturating_sub(1);
        let last = mapping.sessions == 0;
        if last {
            self.rest(number, now);
        }
        last
    }

    /// The mapping that has rested longest.
    pub(crate) fn longest_resting(&self) -> Option<(u32, &Mapping)> {
        let number = self.resting.first()?;
        Some((number, self.slab.get(number)?))
    }

    /// Removes a resting mapping and gives it away.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Mapping> {
        let mapping = self.slab.get(number)?.clone();
        self.resting.remove::<ByRest, _>(&mut self.slab, number);
        let inside = self.hash_inside(mapping.router, mapping.protocol, mapping.inside.into());
        let outside = self.hash_outside(mapping.pool, mapping.protocol, mapping.port);
        self.inside.remove(inside, number);
        self.outside.remove(outside, number);
        self.slab.remove(number);
        Some(mapping)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.inside.bytes() + self.outside.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_are_one_cache_line() {
        assert_eq!(size_of::<Mapping>(), 32);
    }
}
