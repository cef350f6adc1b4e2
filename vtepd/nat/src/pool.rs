//! Pools: the outside addresses of SNAT, and what hangs on each.
//!
//! ```text
//!   vacant ─ open() ─► open ─ close() ─► closing ─ last mapping gone ─► vacant
//! ```
//!
//! Closing is what ends the sessions of a rule *at once*: a look-up sees no session of a pool that is not
//! open, so the first packet after the call finds none, however many there were. Their places are
//! taken back by the list of the pool's sessions, some with every tick. Either alone would not do: the list takes
//! time, and without it the table would stay full of dead sessions for up to two hours.

use core::net::Ipv4Addr;
use std::collections::VecDeque;

use vtepd_tables::VrfIndex;
pub(crate) use vtepd_tables::translation::{PoolIndex, SubscriberIndex};

use crate::list::List;
use crate::session::{ByPool, Session};
use crate::slab::Slab;

/// An outside address and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolOwner {
    /// The router whose packets leave with it.
    pub router: VrfIndex,
    /// The tenant whose limits count.
    pub subscriber: SubscriberIndex,
    /// The address.
    pub address: Ipv4Addr,
}

/// Where a pool is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PoolState {
    /// Not in use.
    #[default]
    Vacant,
    /// In use.
    Open,
    /// Closed, and not yet cleared away.
    Closing,
}

/// Why a pool cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    /// There are fewer.
    #[error("pool {0} is beyond the number of pools; raise it in the configuration")]
    Unknown(u16),
    /// It is in use.
    #[error("pool {0} is still in use; wait until it is vacant")]
    NotVacant(u16),
}

#[derive(Clone, Default)]
pub(crate) struct Pool {
    pub(crate) state: PoolState,
    pub(crate) address: u32,
    pub(crate) router: u16,
    pub(crate) subscriber: u16,
    sessions: List,
    pub(crate) session_count: u32,
    /// Live and resting.
    pub(crate) mappings: u32,
    /// The second of the last event, plus one.
    pub(crate) told: u32,
    /// Its number waits among the closing ones, perhaps from an earlier life.
    queued: bool,
}

/// All of one worker's.
pub(crate) struct Pools {
    pools: Box<[Pool]>,
    /// Hot: one byte per pool, asked for every packet.
    open: Box<[bool]>,
    /// Closed ones that may have sessions still to be ended. Never more than there are pools.
    closing: VecDeque<u16>,
}

impl Pools {
    pub(crate) fn new(capacity: u16) -> Self {
        let capacity = usize::from(capacity);
        Self {
            pools: vec![Pool::default(); capacity].into_boxed_slice(),
            open: vec![false; capacity].into_boxed_slice(),
            closing: VecDeque::with_capacity(capacity),
        }
    }

    #[inline(always)]
    pub(crate) fn is_open(&self, pool: u16) -> bool {
        self.open.get(usize::from(pool)).is_some_and(|open| *open)
    }

    pub(crate) fn get(&self, pool: u16) -> Option<&Pool> {
        self.pools.get(usize::from(pool))
    }

    pub(crate) fn get_mut(&mut self, pool: u16) -> Option<&mut Pool> {
        self.pools.get_mut(usize::from(pool))
    }

    pub(crate) fn open(&mut self, index: PoolIndex, owner: PoolOwner) -> Result<(), PoolError> {
        let place = usize::from(index.0);
        let (Some(pool), Some(open)) = (self.pools.get_mut(place), self.open.get_mut(place)) else {
            return Err(PoolError::Unknown(index.0));
        };
        if pool.state != PoolState::Vacant {
            return Err(PoolError::NotVacant(index.0));
        }
        *pool = Pool {
            state: PoolState::Open,
            address: owner.address.to_bits(),
            router: owner.router.get(),
            subscriber: owner.subscriber.0,
            queued: pool.queued,
            ..Pool::default()
        };
        *open = true;
        Ok(())
    }

    /// Ends a pool's sessions. Nothing happens to one that is not open.
    pub(crate) fn close(&mut self, index: PoolIndex) {
        let place = usize::from(index.0);
        let (Some(pool), Some(open)) = (self.pools.get_mut(place), self.open.get_mut(place)) else {
            return;
        };
        if pool.state == PoolState::Open {
            *open = false;
            pool.state = PoolState::Closing;
            if !core::mem::replace(&mut pool.queued, true) {
                self.closing.push_back(index.0);
            }
        }
    }

    /// A session of a closed pool, to be ended next.
    pub(crate) fn next_closing(&mut self) -> Option<u32> {
        while let Some(pool) = self.closing.front() {
            let pool = self.pools.get_mut(usize::from(*pool))?;
            if pool.state == PoolState::Closing
                && let Some(session) = pool.sessions.first()
            {
                return Some(session);
            }
            // Its mappings rest; it becomes vacant with the last of them.
            pool.queued = false;
            self.closing.pop_front();
        }
        None
    }

    pub(crate) fn add_session(&mut self, pool: u16, slab: &mut Slab<Session>, number: u32) {
        if let Some(pool) = self.get_mut(pool) {
            pool.sessions.push::<ByPool, _>(slab, number);
            pool.session_count += 1;
        }
    }

    pub(crate) fn remove_session(&mut self, pool: u16, slab: &mut Slab<Session>, number: u32) {
        if let Some(pool) = self.get_mut(pool) {
            pool.sessions.remove::<ByPool, _>(slab, number);
            pool.session_count = pool.session_count.saturating_sub(1);
        }
    }

    /// A mapping is gone; with the last one, a closing pool becomes vacant. `true` when it did.
    pub(crate) fn remove_mapping(&mut self, index: u16) -> bool {
        let Some(pool) = self.get_mut(index) else {
            return false;
        };
        pool.mappings = pool.mappings.saturating_sub(1);
        self.settle(index)
    }

    /// Makes a closing pool vacant that nothing hangs on.
    pub(crate) fn settle(&mut self, index: u16) -> bool {
        let Some(pool) = self.get_mut(index) else {
            return false;
        };
        if pool.state == PoolState::Closing && pool.mappings == 0 && pool.session_count == 0 {
            *pool = Pool {
                queued: pool.queued,
                ..Pool::default()
            };
            return true;
        }
        false
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.pools)
            + size_of_val(&*self.open)
            + self.closing.capacity() * size_of::<u16>()
    }
}
