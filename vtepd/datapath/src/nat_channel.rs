//! What the control thread and one worker's translator have to say to each other.
//!
//! ```text
//!   control thread                            worker, at the beginning of each turn
//!     NatRequest ──► letters: any number ───► all of them, in order
//!     Question ────► at most one ───────────► a bounded step of it a turn ──► the answer, back
//!     Event ◄──────── bounded, lossy ◄─────── what has run out
//!     LogRecord ◄──── bounded ◄────────────── who has which port outside, where that is logged
//! ```
//!
//! *Whoever sees rules has opened their pools.* A worker reads its letters before it looks at the tables, in each
//! turn, and reports quiescence at the end of a turn. So a writer that posts requests, waits for
//! [`TablesWriter::synchronize`](vtepd_tables::TablesWriter::synchronize) and only then publishes the rules that need them knows
//! that every worker has carried the requests out before it can see the rules: those that run have begun
//! another turn since, and those that slept or had not started yet read what was posted before they look at any table. (A worker
//! that is stuck for longer than `synchronize` waits may see rules first: its packets are refused as
//! [`PoolClosed`](vtepd_nat::Refusal::PoolClosed) until its next turn. They do not leave untranslated.)
//!
//! That is why requests are not spread over several turns. Each takes some ten nanoseconds, and there are no more of them
//! than pools and tenants are configured.
//!
//! A worker neither allocates nor frees for any of this: letters and questions are made by the control side, come
//! back to it, and are freed there.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::ArrayQueue;
use parking_lot::Mutex;
use vtepd_nat::{
    Event, Limits, LogRecord, PoolError, PoolIndex, PoolOwner, PoolUsage, SessionFilter,
    SessionRow, Settings, SubscriberIndex, SubscriberUsage, Translator, Usage,
};
use vtepd_tables::VrfIndex;

/// To a worker's translator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NatRequest {
    /// Makes an outside address usable, before rules name it.
    OpenPool {
        /// Its number, which must be vacant.
        pool: PoolIndex,
        /// Whose it is.
        owner: PoolOwner,
    },
    /// Takes one away, and its sessions with it, after no rules name it any more.
    ClosePool(PoolIndex),
    /// Ends the IPv6 sessions of a router that is gone, or is another tenant's.
    EndOutboundOnly(VrfIndex),
    /// Gives a tenant limits of its own, or takes them away.
    SetLimits {
        /// The tenant.
        subscriber: SubscriberIndex,
        /// `None`: those of all.
        limits: Option<Limits>,
    },
    /// Changes what holds for all.
    Set(Settings),
}

impl NatRequest {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// The pool cannot be opened.
    pub fn carry_out(&self, translator: &mut Translator) -> Result<(), PoolError> {
        match *self {
            Self::OpenPool { pool, owner } => return translator.open_pool(pool, owner),
            Self::ClosePool(pool) => translator.close_pool(pool),
            Self::EndOutboundOnly(router) => translator.end_outbound_only(router),
            Self::SetLimits { subscriber, limits } => translator.set_limits(subscriber, limits),
            Self::Set(settings) => translator.set(settings),
        }
        Ok(())
    }
}

/// Requests that were posted together, or that the worker has not fetched yet.
#[derive(Default)]
pub(crate) struct Letters(Vec<NatRequest>);

impl Letters {
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = NatRequest> {
        self.0.drain(..)
    }
}

/// Letters that have come back: one that the worker has just read, and one that it read before.
const SPARE: usize = 2;
/// Events that wait for the control thread; about each pool and tenant there is at most one a second.
const EVENTS: usize = 1024;
/// Records of the log that wait for its thread: some ten milliseconds of a worker that opens sessions as fast as it can. What
/// does not fit waits in the translator, whose room is the operator's choice, and is counted there when that is full.
const RECORDS: usize = 4096;
/// Places of the session table that are looked at in a turn: some ten microseconds.
const LOOKED_AT: u32 = 1024;
/// The same where sessions end on the way, at some hundred nanoseconds each.
const LOOKED_AT_TO_END: u32 = 128;
/// Pools or tenants that are looked up in a turn.
const LOOKED_UP: usize = 256;

/// What the control thread and one worker's translator have to say to each other.
pub struct NatChannel {
    /// Whether there are letters: what a worker reads in each turn.
    posted: AtomicBool,
    letters: AtomicCell<Option<Box<Letters>>>,
    spare: ArrayQueue<Box<Letters>>,
    /// One at a time may post, so that the order is kept. Workers never come here.
    posting: Mutex<()>,
    pub(crate) questions: ArrayQueue<Box<Question>>,
    pub(crate) answers: ArrayQueue<Box<Question>>,
    /// Worker to control thread: what has run out. When nobody listens, the newest are lost: ask for the use of a
    /// pool to know whether it is vacant.
    pub events: ArrayQueue<Event>,
    /// Worker to the thread that writes the log.
    pub log: ArrayQueue<LogRecord>,
}

// A lock inside would stop a worker whenever the control thread loses its core at the wrong time.
const _: () = assert!(AtomicCell::<Option<Box<Letters>>>::is_lock_free());

impl Default for NatChannel {
    fn default() -> Self {
        Self {
            posted: AtomicBool::new(false),
            letters: AtomicCell::new(None),
            spare: ArrayQueue::new(SPARE),
            posting: Mutex::new(()),
            questions: ArrayQueue::new(1),
            answers: ArrayQueue::new(1),
            events: ArrayQueue::new(EVENTS),
            log: ArrayQueue::new(RECORDS),
        }
    }
}

impl NatChannel {
    /// Posts requests behind those that were posted before; none is ever lost. They wait for a worker that does not run yet.
    pub fn post(&self, requests: &[NatRequest]) {
        if requests.is_empty() {
            return;
        }
        let _one = self.posting.lock();
        let unread = self.letters.take();
        let mut letters = unread.or_else(|| self.spare.pop()).unwrap_or_default();
        letters.0.extend_from_slice(requests);
        // An exchange rather than a store: the mark below is then set after the worker has taken
        // down the one for what it has fetched.
        self.letters.swap(Some(letters));
        self.posted.store(true, Ordering::Release);
    }

    /// All that was posted; to be [given back](Self::give_back).
    #[inline]
    pub(crate) fn fetch(&self) -> Option<Box<Letters>> {
        if !self.posted.load(Ordering::Acquire) {
            return None;
        }
        self.posted.store(false, Ordering::Relaxed);
        self.letters.take()
    }

    /// There is room: the control side makes new letters only when it finds none here.
    pub(crate) fn give_back(&self, letters: Box<Letters>) {
        let _ = self.spare.push(letters);
    }
}

/// What a worker is asked, and room for what it answers.
#[derive(Debug)]
pub(crate) enum Question {
    /// A page of the sessions.
    Sessions(Page),
    /// The sessions' end.
    Delete(Deletion),
    /// The use of pools.
    Pools(LookUp<PoolIndex, Option<PoolUsage>>),
    /// What tenants use.
    Subscribers(LookUp<SubscriberIndex, SubscriberUsage>),
    /// The use of the tables.
    Usage(Option<Usage>),
}

/// Where in the session table a question is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pub(crate) filter: SessionFilter,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<u32>,
    /// How many places to look at before the question goes back.
    pub(crate) left: u32,
}

impl Scan {
    fn is_over(&self) -> bool {
        self.left == 0 || self.next.is_none()
    }
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) scan: Scan,
    /// With room for as many as are wanted.
    pub(crate) rows: Vec<SessionRow>,
    pub(crate) limit: usize,
}

#[derive(Debug)]
pub(crate) struct Deletion {
    pub(crate) scan: Scan,
    pub(crate) ended: u64,
}

#[derive(Debug)]
pub(crate) struct LookUp<K, V> {
    pub(crate) rows: Vec<(K, V)>,
    /// How many have been looked up.
    pub(crate) done: usize,
}

impl<K: Copy, V: Default> LookUp<K, V> {
    pub(crate) fn new(keys: &[K]) -> Self {
        Self {
            rows: keys.iter().map(|key| (*key, V::default())).collect(),
            done: 0,
        }
    }
}

impl<K: Copy, V> LookUp<K, V> {
    /// `true` when all have been looked up.
    fn step(&mut self, find: impl Fn(K) -> V) -> bool {
        let rows = self.rows.get_mut(self.done..).unwrap_or_default();
        for (key, value) in rows.iter_mut().take(LOOKED_UP) {
            *value = find(*key);
            self.done += 1;
        }
        self.done >= self.rows.len()
    }
}

impl Page {
    fn step(&mut self, translator: &Translator, now: u32) -> bool {
        let Some(from) = self.scan.next else {
            return true;
        };
        let look = LOOKED_AT.min(self.scan.left);
        let (rows, limit) = (&mut self.rows, self.limit);
        self.scan.next = translator.list_sessions(&self.scan.filter, from, look, now, |row| {
            rows.push(row);
            match rows.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        self.scan.left -= look;
        self.rows.len() >= self.limit || self.scan.is_over()
    }
}

impl Deletion {
    fn step(&mut self, translator: &mut Translator, now: u32) -> bool {
        let Some(from) = self.scan.next else {
            return true;
        };
        let look = LOOKED_AT_TO_END.min(self.scan.left);
        let (ended, next) = translator.delete_sessions(&self.scan.filter, from, look, now);
        self.ended += u64::from(ended);
        self.scan.next = next;
        self.scan.left -= look;
        self.scan.is_over()
    }
}

impl Question {
    /// Does a bounded part of the work. `true` when it is answered.
    pub(crate) fn step(&mut self, translator: &mut Translator, now: u32) -> bool {
        match self {
            Self::Sessions(page) => page.step(translator, now),
            Self::Delete(deletion) => deletion.step(translator, now),
            Self::Pools(pools) => pools.step(|pool| translator.pool_usage(pool)),
            Self::Subscribers(all) => all.step(|one| translator.subscriber_usage(one)),
            Self::Usage(usage) => {
                *usage = Some(translator.usage());
                true
            }
        }
    }
}
