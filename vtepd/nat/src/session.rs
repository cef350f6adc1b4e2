//! Sessions: one cache line each, found from either side.

use vtepd_wire::hash::KeyedHash;

use crate::index::Index;
use crate::key::{Endpoint, InsideKey, OutsideKey};
use crate::list::{Linked, Links};
use crate::slab::{NONE, Slab};
use crate::tcp::State;
use crate::wheel::{ByTime, Timed, Timer};

/// The kind of list that a pool's sessions are in.
pub(crate) struct ByPool;

/// A 5-tuple inside and its counterpart outside. What a packet needs is in this one line: both keys, the rewrite, the
/// state and the time.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Session {
    pub(crate) key: InsideKey,
    pub(crate) outside: u32,
    pub(crate) outside_port: u16,
    pub(crate) pool: u16,
    /// The second of the last packet that counts.
    pub(crate) last_seen: u32,
    /// Whose port it uses. Not always the mapping of its own inside endpoint: see [`crate::open`].
    pub(crate) mapping: u32,
    /// Its entry among the peers of the mapping, where filtering depends on the address.
    pub(crate) peer: u32,
    pub(crate) timer: Timer,
    pub(crate) siblings: Links,
    pub(crate) state: State,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            key: InsideKey::default(),
            outside: 0,
            outside_port: 0,
            pool: 0,
            last_seen: 0,
            mapping: NONE,
            peer: NONE,
            timer: Timer::default(),
            siblings: Links::default(),
            state: State::Vacant,
        }
    }
}

impl Session {
    #[inline(always)]
    pub(crate) fn outside_key(&self) -> OutsideKey {
        OutsideKey::new(
            self.pool,
            self.key.protocol_number(),
            self.outside_port,
            self.key.remote(),
        )
    }

    pub(crate) fn outside_endpoint(&self) -> Endpoint {
        Endpoint::new(self.outside, self.outside_port)
    }
}

impl Linked<ByTime> for Session {
    fn links(&mut self) -> &mut Links {
        &mut self.timer.links
    }
}

impl Timed for Session {
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

impl Linked<ByPool> for Session {
    fn links(&mut self) -> &mut Links {
        &mut self.siblings
    }
}

/// All of one worker's.
pub(crate) struct Sessions {
    pub(crate) slab: Slab<Session>,
    inside: Index,
    outside: Index,
    hash: KeyedHash,
}

impl Sessions {
    pub(crate) fn new(capacity: u32, hash: KeyedHash) -> Self {
        Self {
            slab: Slab::new(capacity),
            inside: Index::new(capacity),
            outside: Index::new(capacity),
            hash,
        }
    }

    #[inline(always)]
    pub(crate) fn hash_inside(&self, key: InsideKey) -> u64 {
        self.hash.hash_u128(key.0)
    }

    #[inline(always)]
    pub(crate) fn hash_outside(&self, key: OutsideKey) -> u64 {
        // Set apart from inside keys, which could be the same number.
        self.hash.hash_u128(key.0 | 1 << 127)
    }

    #[inline(always)]
    pub(crate) fn prefetch_inside(&self, hash: u64) {
        self.inside.prefetch(hash);
    }

    #[inline(always)]
    pub(crate) fn prefetch_outside(&self, hash: u64) {
        self.outside.prefetch(hash);
    }

    /// `false` when there is none to be fetched.
    #[inline(always)]
    pub(crate) fn prefetch_session_inside(&self, hash: u64) -> bool {
        let candidate = self.inside.candidate(hash);
        if let Some(number) = candidate {
            self.slab.prefetch(number);
        }
        candidate.is_some()
    }

    #[inline(always)]
    pub(crate) fn prefetch_session_outside(&self, hash: u64) {
        if let Some(number) = self.outside.candidate(hash) {
            self.slab.prefetch(number);
        }
    }

    /// The session with this key; of those of pools that are not `open`, none is seen.
    #[inline(always)]
    pub(crate) fn find_inside(
        &self,
        key: InsideKey,
        hash: u64,
        open: impl Fn(u16) -> bool,
    ) -> Option<u32> {
        self.inside.find(hash, |number| {
            self.slab
                .get(number)
                .is_some_and(|session| session.key == key && open(session.pool))
        })
    }

    /// The session with this key. That its pool is open is known, since it is in the key.
    #[inline(always)]
    pub(crate) fn find_outside(&self, key: OutsideKey, hash: u64) -> Option<u32> {
        self.outside.find(hash, |number| {
            self.slab
                .get(number)
                .is_some_and(|session| session.outside_key() == key)
        })
    }

    /// Enters a session; `None` when the table is full.
    pub(crate) fn insert(&mut self, session: Session) -> Option<u32> {
        let inside = self.hash_inside(session.key);
        let outside = self.hash_outside(session.outside_key());
        let number = self.slab.insert(session)?;
        self.inside.insert(inside, number);
        self.outside.insert(outside, number);
        Some(number)
    }

    /// Removes a session that is in no list any more.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(session) = self.slab.get(number) else {
            return;
        };
        let inside = self.hash_inside(session.key);
        let outside = self.hash_outside(session.outside_key());
        self.inside.remove(inside, number);
        self.outside.remove(outside, number);
        self.slab.remove(number);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.inside.bytes() + self.outside.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_one_cache_line() {
        assert_eq!((size_of::<Session>(), align_of::<Session>()), (64, 64));
    }
}
