//! One worker's translator: its tables, and time.

use vtepd_tables::translation::Rules;
use vtepd_wire::hash::KeyedHash;

use crate::blocks::Blocks;
use crate::bounded::Bounded;
use crate::event::Event;
use crate::flow::Flows;
use crate::fragments::{Fragments, Known, Later, Piece, With};
use crate::holds::Holds;
use crate::identification::Identifications;
use crate::key::Protocol;
use crate::log::LogRecord;
use crate::mapping::Mappings;
use crate::peers::Peers;
use crate::pool::{PoolError, PoolIndex, PoolOwner, PoolState, Pools, SubscriberIndex};
use crate::ports::{Ports, Random};
use crate::session::Sessions;
use crate::settings::{Capacity, Limits, Settings};
use crate::slices::Slices;
use crate::subscriber::{SubscriberUsage, Subscribers};
use crate::tcp::Direction;
use crate::unsolicited::{Awaited, Unsolicited};
use crate::verdict::{Fate, Refusal, Release};
use crate::wheel::Wheel;

/// Events that wait for the control thread.
const EVENTS: usize = 256;

/// The translator of one worker. Nothing is allocated after [`new`](Self::new).
pub struct Translator {
    pub(crate) settings: Settings,
    pub(crate) slices: Slices,
    pub(crate) sessions: Sessions,
    pub(crate) mappings: Mappings,
    pub(crate) peers: Peers,
    pub(crate) pools: Pools,
    pub(crate) ports: Ports,
    pub(crate) blocks: Blocks,
    pub(crate) subscribers: Subscribers,
    pub(crate) wheel: Wheel,
    pub(crate) fragments: Fragments,
    pub(crate) holds: Holds,
    pub(crate) unsolicited: Unsolicited,
    pub(crate) flows: Flows,
    pub(crate) events: Bounded<Event>,
    pub(crate) log: Bounded<LogRecord>,
    pub(crate) random: Random,
    pub(crate) identifications: Identifications,
    /// Sessions refused because the table was full.
    pub(crate) sessions_refused: u64,
    /// The second of the last event about that, plus one.
    pub(crate) sessions_full_told: u32,
}

/// Use of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableUsage {
    /// Entries that it may hold.
    pub capacity: usize,
    /// Entries now.
    pub used: usize,
    /// The most entries there ever were.
    pub high_water: usize,
}

/// Use of all that is bounded, on one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Sessions.
    pub sessions: TableUsage,
    /// Mappings, those that rest included.
    pub mappings: TableUsage,
    /// IPv6 sessions of routers that let in only what the inside began.
    pub outbound_only: TableUsage,
    /// Blocks of ports.
    pub blocks: TableUsage,
    /// Fragmented datagrams under way.
    pub datagrams: usize,
    /// Packets held.
    pub held: usize,
    /// Sessions refused because the table was full.
    pub sessions_refused: u64,
    /// The same of IPv6.
    pub outbound_only_refused: u64,
    /// Events lost because nobody took them.
    pub events_lost: u64,
    /// Records of the log lost because nobody took them in time.
    pub log_lost: u64,
    /// Memory of all tables, in bytes; it does not change.
    pub bytes: usize,
}

/// Use of one outside address, on one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolUsage {
    /// Open, or on its way out.
    pub state: PoolState,
    /// Sessions now.
    pub sessions: u32,
    /// Mappings now, those that rest included: each has a port.
    pub mappings: u32,
    /// Ports of this worker's slice that are free, in the order of [`Protocol::ALL`].
    pub free: [u32; 3],
}

impl Translator {
    /// Tables of the given sizes. `hash` must not be known outside, and `slices` say which worker this is; `now` is the
    /// second.
    #[must_use]
    pub fn new(
        capacity: Capacity,
        settings: Settings,
        slices: Slices,
        hash: KeyedHash,
        now: u32,
    ) -> Self {
        // A hash of its own for the ports: what leaves the host must tell nothing about the tables.
        let draw = KeyedHash::new(hash.hash_u64(1), hash.hash_u64(2));
        Self {
            settings,
            slices,
            sessions: Sessions::new(capacity.sessions, hash),
            mappings: Mappings::new(capacity.mappings(), hash),
            peers: Peers::new(capacity.sessions, hash),
            pools: Pools::new(capacity.pools),
            ports: Ports::new(slices, capacity.pools),
            blocks: Blocks::new(capacity.blocks(), hash),
            subscribers: Subscribers::new(capacity.subscribers),
            wheel: Wheel::new(now),
            fragments: Fragments::new(capacity.datagrams, hash),
            holds: Holds::new(capacity.held),
            unsolicited: Unsolicited::new(capacity.held),
            flows: Flows::new(capacity.outbound_only, hash, now),
            events: Bounded::new(EVENTS),
            log: Bounded::new(capacity.log as usize),
            random: Random::new(draw),
            identifications: Identifications::new(&slices),
            sessions_refused: 0,
            sessions_full_told: 0,
        }
    }

    /// How work is dealt to workers.
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings: for packets from now on, and for the ends of sessions that are open. Shorter timeouts hold at
    /// once; the places of sessions that are over by them are taken back when they would have ended before.
    pub fn set(&mut self, settings: Settings) {
        if settings.port_block != self.settings.port_block {
            self.ports.resize_blocks();
        }
        self.settings = settings;
    }

    /// Gives a tenant limits of its own, or takes them away.
    pub fn set_limits(&mut self, subscriber: SubscriberIndex, limits: Option<Limits>) {
        self.subscribers.set(subscriber.0, limits);
    }

    /// Makes an outside address usable. To be done on every worker before rules name the pool.
    ///
    /// # Errors
    /// The number is beyond the table, or still in use.
    pub fn open_pool(&mut self, index: PoolIndex, owner: PoolOwner) -> Result<(), PoolError> {
        self.pools.open(index, owner)
    }

    /// Takes an outside address away and ends its sessions at once. To be done after no rules name the pool any more;
    /// [`Event::PoolVacant`] or [`pool_usage`](Self::pool_usage) say when the number may be dealt again.
    pub fn close_pool(&mut self, index: PoolIndex) {
        self.pools.close(index);
        self.settle(index.0);
    }

    /// Use of a pool.
    pub fn pool_usage(&self, index: PoolIndex) -> Option<PoolUsage> {
        let pool = self.pools.get(index.0)?;
        Some(PoolUsage {
            state: pool.state,
            sessions: pool.session_count,
            mappings: pool.mappings,
            free: Protocol::ALL.map(|protocol| self.ports.free(index.0, protocol)),
        })
    }

    /// Use of a tenant's share.
    pub fn subscriber_usage(&self, subscriber: SubscriberIndex) -> SubscriberUsage {
        self.subscribers.usage(subscriber.0)
    }

    /// Use of the tables.
    pub fn usage(&self) -> Usage {
        fn table<T>(slab: &crate::slab::Slab<T>) -> TableUsage {
            TableUsage {
                capacity: slab.capacity(),
                used: slab.used(),
                high_water: slab.high_water(),
            }
        }
        Usage {
            sessions: table(&self.sessions.slab),
            mappings: table(&self.mappings.slab),
            outbound_only: table(&self.flows.slab),
            blocks: table(self.blocks.slab()),
            datagrams: self.fragments.used(),
            held: self.holds.slab.used(),
            sessions_refused: self.sessions_refused,
            outbound_only_refused: self.flows.refused,
            events_lost: self.events.lost(),
            log_lost: self.log.lost(),
            bytes: self.bytes(),
        }
    }

    fn bytes(&self) -> usize {
        self.sessions.bytes()
            + self.mappings.bytes()
            + self.peers.bytes()
            + self.pools.bytes()
            + self.ports.bytes()
            + self.blocks.bytes()
            + self.subscribers.bytes()
            + self.wheel.bytes()
            + self.fragments.bytes()
            + self.holds.bytes()
            + self.unsolicited.bytes()
            + self.events.bytes()
            + self.log.bytes()
            + self.flows.bytes()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The next decision about a packet that is held; to be asked after each burst and tick, until there is none.
    pub fn next_release(&mut self) -> Option<Release> {
        self.holds.next()
    }

    /// The most packets that are ever held; their [numbers](crate::Verdict::Hold) are below it.
    pub fn most_held(&self) -> usize {
        self.holds.slab.capacity()
    }

    /// Lets time pass: ends what is due, with at most `work` steps of each kind. `true` when there was more, and
    /// another call should follow soon. What is overdue is not used meanwhile, only not yet cleared away.
    pub fn tick(&mut self, now: u32, work: u32) -> bool {
        let ended = self.end_due(now, work);
        let closed = self.end_closing(now, work);
        let rested = self.end_rest(now, work);
        let mut left = work;
        let lifetime = self.settings.timeouts.fragment;
        let (holds, subscribers) = (&mut self.holds, &mut self.subscribers);
        self.fragments
            .expire(now, lifetime, holds, subscribers, &mut left);
        self.answer_unsolicited(now);
        let timeouts = &self.settings.timeouts;
        let ended = ended | self.flows.tick(timeouts, &mut self.subscribers, now, work);
        ended || closed || rested || left == 0
    }

    /// Sessions whose time is over. `true` when work was left.
    pub(crate) fn end_due(&mut self, now: u32, mut work: u32) -> bool {
        while let Some(number) = self.wheel.due(&mut self.sessions.slab, now, &mut work) {
            match self.deadline(number) {
                Some(deadline) if deadline > now => {
                    // It was used since it was hung up.
                    self.wheel.arm(&mut self.sessions.slab, number, deadline);
                }
                _ => self.clear(number, now),
            }
        }
        work == 0
    }

    /// Sessions of pools that are closed. `true` when work was left.
    fn end_closing(&mut self, now: u32, work: u32) -> bool {
        for _ in 0..work {
            let Some(number) = self.pools.next_closing() else {
                return false;
            };
            self.end(number, now);
        }
        self.pools.next_closing().is_some()
    }

    /// Ports that have rested.
    fn end_rest(&mut self, now: u32, mut work: u32) -> bool {
        let rest = self.settings.timeouts.rest;
        while let Some((number, mapping)) = self.mappings.longest_resting() {
            if mapping.stamp.saturating_add(rest) > now {
                return false;
            }
            if work == 0 {
                return true;
            }
            work -= 1;
            self.forget(number, now);
        }
        false
    }

    fn answer_unsolicited(&mut self, now: u32) {
        while let Some(waiting) = self.unsolicited.due(now) {
            let met = match waiting.awaited {
                Awaited::Session(key) => {
                    let hash = self.sessions.hash_outside(key);
                    self.sessions.find_outside(key, hash).is_some()
                }
                Awaited::Flow(key) => {
                    let timeouts = &self.settings.timeouts;
                    self.flows.is_live(&key, timeouts, now)
                }
            };
            let fate = if met {
                Fate::Drop(Refusal::SynCrossed)
            } else {
                Fate::Unreachable
            };
            self.holds
                .release(waiting.number, fate, &mut self.subscribers);
        }
    }

    /// When a session ends, if nothing happens.
    #[inline(always)]
    pub(crate) fn deadline(&self, number: u32) -> Option<u32> {
        let session = self.sessions.slab.get(number)?;
        let lasts = self
            .settings
            .timeouts
            .of(session.key.protocol_number(), session.state);
        Some(session.last_seen.saturating_add(lasts))
    }

    /// A first fragment was translated or refused: those that follow it, and those that wait, go the same way.
    pub(crate) fn first_fragment(
        &mut self,
        rules: &Rules,
        (key, piece): (u128, Piece),
        told: Result<Known, Refusal>,
        direction: Direction,
        now: u32,
    ) -> Result<(), Refusal> {
        let (fragments, mut with) = self.fragments_with(rules.subscriber().0);
        fragments.first(key, piece, told, direction, &mut with, now)
    }

    /// What the first fragment of a datagram has told, or the number under which a later one waits for it.
    pub(crate) fn later_fragment(
        &mut self,
        rules: &Rules,
        (key, piece): (u128, Piece),
        now: u32,
    ) -> Result<Later, Refusal> {
        let (fragments, mut with) = self.fragments_with(rules.subscriber().0);
        fragments.later(key, piece, &mut with, now)
    }

    /// What fragments need besides their own table.
    fn fragments_with(&mut self, subscriber: u16) -> (&mut Fragments, With<'_>) {
        let with = With {
            holds: &mut self.holds,
            subscribers: &mut self.subscribers,
            limits: &self.settings.limits,
            subscriber,
        };
        (&mut self.fragments, with)
    }
}
