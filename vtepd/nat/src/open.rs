//! How sessions begin and end.
//!
//! ```text
//!   mapping of the inside endpoint? ─ yes ─► its port, unless that tuple is taken ─┐
//!        │ no                                                                      ▼
//!        └─► a free port: a new mapping ── none left ─► borrow: the port of another mapping,
//!                                                       for this destination alone
//! ```
//!
//! So a mapping is endpoint-independent (RFC 4787, REQ-1) while the slice of its address lasts, and only beyond that one
//! outside port serves several hosts, told apart by destination. A borrowing session holds on to the mapping whose
//! port it uses, which keeps the port from being given away under it. Whose port is lent for a destination that he then
//! wants himself borrows too or, when nobody has a port to lend, gets a second one.

use crate::event::Event;
use crate::key::{Endpoint, InsideKey, OutsideKey, Protocol};
use crate::log::Logged;
use crate::mapping::Mapping;
use crate::pool::{Pool, PoolIndex, SubscriberIndex};
use crate::session::Session;
use crate::slab::NONE;
use crate::tcp::{Direction, State};
use crate::translator::Translator;
use crate::verdict::Refusal;
use vtepd_tables::translation::{Filtering, Rules};

/// Ports that are tried for borrowing. When a share `f` of the pool's ports is used for a destination, this many fail with
/// probability `f` to the 16th: 3 % at 80 %.
const BORROW_TRIES: u32 = 16;
/// Due sessions that are cleared away to make room for a new one.
const ROOM_WORK: u32 = 16;

impl Translator {
    /// The session with this key whose time is not over.
    #[inline(always)]
    pub(crate) fn live_inside(&mut self, key: InsideKey, hash: u64, now: u32) -> Option<u32> {
        let pools = &self.pools;
        let number = self
            .sessions
            .find_inside(key, hash, |pool| pools.is_open(pool))?;
        self.unless_over(number, now)
    }

    /// The session with this key whose time is not over.
    #[inline(always)]
    pub(crate) fn live_outside(&mut self, key: OutsideKey, hash: u64, now: u32) -> Option<u32> {
        let number = self.sessions.find_outside(key, hash)?;
        self.unless_over(number, now)
    }

    #[inline(always)]
    fn unless_over(&mut self, number: u32, now: u32) -> Option<u32> {
        if self.deadline(number)? > now {
            return Some(number);
        }
        self.end(number, now);
        None
    }

    /// A packet of a session has passed. `flags` are those of a TCP segment.
    #[inline(always)]
    pub(crate) fn used(&mut self, number: u32, direction: Direction, flags: Option<u8>, now: u32) {
        let Some(session) = self.sessions.slab.get_mut(number) else {
            return;
        };
        let tcp = session.key.protocol_number() == Protocol::Tcp as u8;
        let outbound = direction == Direction::Outbound;
        let refresh = outbound || tcp || self.settings.inbound_refresh;
        if refresh && session.last_seen != now {
            session.last_seen = now;
            if !self.settings.inbound_refresh
                && outbound
                && let Some(mapping) = self.mappings.slab.get_mut(session.mapping)
            {
                mapping.stamp = now;
            }
        }
        if tcp && let Some(flags) = flags {
            let after = session.state.after(flags, direction);
            if after != session.state {
                session.state = after;
                if let Some(deadline) = self.deadline(number) {
                    self.wheel
                        .advance(&mut self.sessions.slab, number, deadline);
                }
            }
        }
    }

    /// Opens a session for a packet from inside.
    #[cold]
    pub(crate) fn open_outbound(
        &mut self,
        rules: &Rules,
        key: InsideKey,
        state: State,
        now: u32,
    ) -> Result<u32, Refusal> {
        let (protocol, inside) = (key.protocol(), key.inside());
        let pools = &self.pools;
        let own = self
            .mappings
            .find_inside(key.router(), protocol, inside, |pool| pools.is_open(pool));
        let (pool, rests) = match own.and_then(|number| self.mappings.slab.get(number)) {
            Some(mapping) => (mapping.pool, !mapping.is_live()),
            None => {
                let outside = rules.pool_of(inside.address).ok_or(Refusal::NoRule)?;
                (outside.pool.0, true)
            }
        };
        let owned = |owner: &Pool| owner.router == key.router();
        if !self.pools.is_open(pool) || !self.pools.get(pool).is_some_and(owned) {
            return Err(Refusal::PoolClosed);
        }
        self.admit(pool, rests, now)?;
        let mapping = match own {
            Some(number) => self.unless_taken(number, key.remote(), now),
            None => self.new_mapping(key, pool, now),
        };
        let mapping = match mapping {
            Some(mapping) => mapping,
            None => {
                let other = self.borrow(pool, key, now);
                let second = |nat: &mut Self| own.and_then(|_| nat.new_mapping(key, pool, now));
                other
                    .or_else(|| second(self))
                    .ok_or(Refusal::PortsExhausted)?
            }
        };
        self.enter(rules, key, mapping, state, now, now)
    }

    /// Opens a session for a packet from outside to the port of a mapping that lets it in.
    #[cold]
    pub(crate) fn open_inbound(
        &mut self,
        rules: &Rules,
        mapping: u32,
        remote: Endpoint,
        state: State,
        now: u32,
    ) -> Result<u32, Refusal> {
        let (key, pool, stamp) = match self.mappings.slab.get(mapping) {
            Some(mapping) => {
                let protocol = Protocol::from_number(mapping.protocol).ok_or(Refusal::NoMapping)?;
                let inside = mapping.inside.into();
                let key = InsideKey::new(mapping.router, protocol, inside, remote);
                (key, mapping.pool, mapping.stamp)
            }
            None => return Err(Refusal::NoMapping),
        };
        // Where packets from outside do not refresh, one that opens a session does not either: the mapping lasts from
        // its last packet from inside (RFC 4787, REQ-6).
        let tcp = key.protocol() == Protocol::Tcp;
        let seen = if tcp || self.settings.inbound_refresh {
            now
        } else {
            stamp
        };
        let lasts = self.settings.timeouts.of(key.protocol_number(), state);
        if seen.saturating_add(lasts) <= now {
            return Err(Refusal::NoMapping);
        }
        let hash = self.sessions.hash_inside(key);
        if self.live_inside(key, hash, now).is_some() {
            return Err(Refusal::TupleTaken);
        }
        self.admit(pool, false, now)?;
        self.enter(rules, key, mapping, state, seen, now)
    }

    /// May the pool's tenant open a session, and is there room for one?
    fn admit(&mut self, pool: u16, port: bool, now: u32) -> Result<(), Refusal> {
        let subscriber = self
            .pools
            .get(pool)
            .map_or(u16::MAX, |pool| pool.subscriber);
        self.admit_subscriber(SubscriberIndex(subscriber), port, now)?;
        if self.sessions.slab.is_full() {
            self.end_due(now, ROOM_WORK);
        }
        if self.sessions.slab.is_full() {
            self.sessions_refused += 1;
            if self.sessions_full_told != now.wrapping_add(1) {
                self.sessions_full_told = now.wrapping_add(1);
                self.events.push(Event::SessionsFull);
            }
            return Err(Refusal::SessionsFull);
        }
        Ok(())
    }

    /// May a tenant open a session, with a port of its own or not?
    pub(crate) fn admit_subscriber(
        &mut self,
        subscriber: SubscriberIndex,
        port: bool,
        now: u32,
    ) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        self.subscribers
            .admit(subscriber.0, port, limits, now)
            .inspect_err(|refusal| {
                if self.subscribers.tell(subscriber.0, now) {
                    self.events.push(Event::SubscriberLimit {
                        subscriber,
                        refusal: *refusal,
                    });
                }
            })
    }

    /// A mapping, unless its port is in use towards this remote end.
    fn unless_taken(&mut self, number: u32, remote: Endpoint, now: u32) -> Option<u32> {
        let mapping = self.mappings.slab.get(number)?;
        let key = OutsideKey::new(mapping.pool, mapping.protocol, mapping.port, remote);
        let hash = self.sessions.hash_outside(key);
        self.live_outside(key, hash, now)
            .is_none()
            .then_some(number)
    }

    fn new_mapping(&mut self, key: InsideKey, pool: u16, now: u32) -> Option<u32> {
        if self.mappings.slab.is_full() {
            // There are more places than sessions, so some rest.
            let (longest, _) = self.mappings.longest_resting()?;
            self.forget(longest, now);
        }
        let (protocol, inside) = (key.protocol(), key.inside());
        let port = if self.settings.port_block == 0 {
            let random = &mut self.random;
            let port = self.ports.take_like(pool, protocol, inside.port, random)?;
            self.log_port(Logged::PortTaken, pool, protocol, inside, port, now);
            port
        } else {
            self.take_in_block(pool, protocol, inside, now)?
        };
        let mapping = Mapping::new(key.router(), protocol, inside, pool, port);
        let number = self.mappings.insert(mapping, now)?;
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.mappings += 1;
        }
        Some(number)
    }

    /// Another mapping's port that is not in use towards this remote end.
    fn borrow(&mut self, pool: u16, key: InsideKey, now: u32) -> Option<u32> {
        let (protocol, inside) = (key.protocol(), key.inside());
        if let Some(entry) = self.pools.get_mut(pool)
            && entry.told != now.wrapping_add(1)
        {
            entry.told = now.wrapping_add(1);
            self.events.push(Event::PoolExhausted {
                pool: PoolIndex(pool),
                protocol,
            });
        }
        if self.settings.port_block != 0 {
            return None;
        }
        for _ in 0..BORROW_TRIES {
            let port = self
                .ports
                .taken_like(pool, protocol, inside.port, &mut self.random)?;
            let Some(number) = self.mappings.find_outside(pool, protocol, port) else {
                continue;
            };
            let live = self.mappings.slab.get(number).is_some_and(Mapping::is_live);
            // A resting port rests for other hosts.
            if live && self.unless_taken(number, key.remote(), now).is_some() {
                self.log_port(Logged::PortBorrowed, pool, protocol, inside, port, now);
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn enter(
        &mut self,
        rules: &Rules,
        key: InsideKey,
        mapping: u32,
        state: State,
        last_seen: u32,
        now: u32,
    ) -> Result<u32, Refusal> {
        let Some(owner) = self.mappings.slab.get(mapping) else {
            return Err(Refusal::PortsExhausted);
        };
        let (pool, outside_port) = (owner.pool, owner.port);
        let own = owner.is_of(key);
        let (outside, subscriber) = match self.pools.get(pool) {
            Some(pool) => (pool.address, pool.subscriber),
            None => return Err(Refusal::PoolClosed),
        };
        let peer = if own && rules.filtering() == Filtering::AddressDependent {
            self.peers.acquire(mapping, key.remote().address)
        } else {
            NONE
        };
        let session = Session {
            key,
            outside,
            outside_port,
            pool,
            last_seen,
            mapping,
            peer,
            state,
            ..Session::default()
        };
        let Some(number) = self.sessions.insert(session) else {
            self.peers.release(peer);
            return Err(Refusal::SessionsFull);
        };
        if self.mappings.acquire(mapping, now) {
            self.subscribers.add_port(subscriber);
        }
        let slab = &mut self.sessions.slab;
        self.pools.add_session(pool, slab, number);
        self.subscribers.add_session(subscriber);
        let lasts = self.settings.timeouts.of(key.protocol_number(), state);
        self.wheel
            .arm(slab, number, last_seen.saturating_add(lasts));
        Ok(number)
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, number: u32, now: u32) {
        self.wheel.disarm(&mut self.sessions.slab, number);
        self.clear(number, now);
    }

    /// Ends a session that the wheel has given up.
    pub(crate) fn clear(&mut self, number: u32, now: u32) {
        let Some(session) = self.sessions.slab.get(number) else {
            return;
        };
        let (pool, mapping, peer) = (session.pool, session.mapping, session.peer);
        if self.log.limit() > 0 {
            self.log_return(number, now);
        }
        let subscriber = self
            .pools
            .get(pool)
            .map_or(u16::MAX, |pool| pool.subscriber);
        self.pools
            .remove_session(pool, &mut self.sessions.slab, number);
        self.sessions.remove(number);
        self.peers.release(peer);
        self.subscribers.remove_session(subscriber);
        if self.mappings.release(mapping, now) {
            self.subscribers.remove_port(subscriber);
            if !self.pools.is_open(pool) {
                self.forget(mapping, now);
            }
        }
        self.settle(pool);
    }

    /// A session ends: if its port is another's, that is the end of borrowing it.
    #[cold]
    fn log_return(&mut self, number: u32, now: u32) {
        if let Some(session) = self.sessions.slab.get(number)
            && let Some(owner) = self.mappings.slab.get(session.mapping)
            && !owner.is_of(session.key)
        {
            let (key, pool, port) = (session.key, session.pool, owner.port);
            let (protocol, inside) = (key.protocol(), key.inside());
            self.log_port(Logged::PortReturned, pool, protocol, inside, port, now);
        }
    }

    /// Removes a resting mapping and frees its port.
    pub(crate) fn forget(&mut self, number: u32, now: u32) {
        let Some(mapping) = self.mappings.remove(number) else {
            return;
        };
        if let Some(protocol) = Protocol::from_number(mapping.protocol) {
            let Mapping { pool, port, .. } = mapping;
            self.ports.release(pool, protocol, port);
            if !self.release_in_block(pool, port, now) {
                let inside = mapping.inside.into();
                self.log_port(Logged::PortFreed, pool, protocol, inside, port, now);
            }
        }
        if self.pools.remove_mapping(mapping.pool) {
            self.events.push(Event::PoolVacant {
                pool: PoolIndex(mapping.pool),
            });
        }
    }

    /// A closed pool becomes vacant when nothing hangs on it.
    pub(crate) fn settle(&mut self, pool: u16) {
        if self.pools.settle(pool) {
            self.events.push(Event::PoolVacant {
                pool: PoolIndex(pool),
            });
        }
    }
}
