//! Quiescent-state-based reclamation (QSBR): when may the writer free what it
//! has unpublished?
//!
//! ```text
//!  writer                                   reader (a worker)
//!  unpublish A ──► defer(free A)            read() ─► &A … use … drop
//!  advance(): epoch 7 → 8                   quiescent(): seen := 8
//!  passed() ≥ 8 for every reader ──► free A
//! ```
//!
//! A reader announces once per burst that it holds no reference; it pays one
//! load of a shared line that only changes when the writer advances, and one
//! store to a line of its own. That is why this is not `crossbeam::epoch`: its
//! pin and unpin cost a store and a full fence around every read-side section,
//! and it frees on whichever thread happens to unpin, which may be a worker.
//! Here only the writer's thread ever frees (McKenney and Desnoyers,
//! "User-Level Implementations of Read-Copy Update", 2012, the QSBR flavour).
//!
//! The borrow checker holds the contract: [`RcuCell::read`] borrows the
//! [`Reader`], and [`Reader::quiescent`] takes it by `&mut`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::sync::{AtomicPtr, AtomicU64, Ordering, Patience, fence};

/// Readers that may be registered at a time.
pub const MAX_READERS: usize = if cfg!(loom) { 2 } else { 128 };

/// How long the writer waits for its readers. A burst takes microseconds, and a
/// worker that shares its core gets it back within some tens of milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// No reader owns the slot.
const FREE: u64 = 0;
/// Its reader holds no reference and will say so before it reads again.
const OFFLINE: u64 = u64::MAX;

/// One writer's clock and what each of its readers has seen of it.
pub struct Domain {
    epoch: CachePadded<AtomicU64>,
    readers: Box<[CachePadded<AtomicU64>]>,
    /// What a limbo that is gone could not free yet; goes with the last reader.
    orphans: Mutex<Vec<Box<dyn Send>>>,
}

impl Domain {
    /// A domain without readers.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: CachePadded::new(AtomicU64::new(1)),
            readers: (0..MAX_READERS)
                .map(|_| CachePadded::new(AtomicU64::new(FREE)))
                .collect(),
            orphans: Mutex::new(Vec::new()),
        })
    }

    /// Registers a reader, online. `None` when [`MAX_READERS`] are registered.
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        for (slot, seen) in self.readers.iter().enumerate() {
            if seen
                .compare_exchange(FREE, OFFLINE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                let mut reader = Reader {
                    domain: Arc::clone(self),
                    slot,
                };
                reader.online();
                return Some(reader);
            }
        }
        None
    }

    /// Starts a new epoch; what was unpublished before this call may be freed
    /// once [`passed`](Self::passed) reaches the value returned.
    pub fn advance(&self) -> u64 {
        // SeqCst pairs with the fence in `Reader::online`: either that reader
        // sees what was published before, or we see it online.
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        fence(Ordering::SeqCst);
        epoch
    }

    /// The epoch that the next [`advance`](Self::advance) will start.
    pub fn next(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed) + 1
    }

    /// The newest epoch that every reader has seen.
    pub fn passed(&self) -> u64 {
        let mut passed = self.epoch.load(Ordering::Relaxed);
        for seen in &self.readers {
            match seen.load(Ordering::Acquire) {
                FREE | OFFLINE => {}
                epoch => passed = passed.min(epoch),
            }
        }
        passed
    }

    /// Starts a new epoch and waits until every reader has moved on to it:
    /// afterwards each of them works with what was published before the call.
    /// `false` when one has not within [`PATIENCE`]: it is stuck, and what it may
    /// still look at must stay.
    pub fn synchronize(&self) -> bool {
        let epoch = self.advance();
        let mut patience = Patience::new(PATIENCE);
        while self.passed() < epoch {
            if !patience.pause() {
                return false;
            }
        }
        true
    }
}

/// A registered reader: a worker's permission to look at published data.
pub struct Reader {
    domain: Arc<Domain>,
    slot: usize,
}

impl Reader {
    fn seen(&self) -> &AtomicU64 {
        &self.domain.readers[self.slot]
    }

    /// Reports that no reference is held. Once per burst.
    #[inline]
    pub fn quiescent(&mut self) {
        // Acquire: what is read after this is at least as new as the epoch.
        let epoch = self.domain.epoch.load(Ordering::Acquire);
        // Release: all reads of the burst are done before the writer sees this.
        // The line is our own; it is written only when there is news.
        if self.seen().load(Ordering::Relaxed) != epoch {
            self.seen().store(epoch, Ordering::Release);
        }
    }

    /// Stops taking part, as before a sleep; the writer no longer waits for us.
    pub fn offline(&mut self) {
        self.seen().store(OFFLINE, Ordering::Release);
    }

    /// Takes part again.
    pub fn online(&mut self) {
        let epoch = self.domain.epoch.load(Ordering::Acquire);
        self.seen().store(epoch, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether this reader is registered with `domain`.
    #[inline]
    fn belongs_to(&self, domain: &Arc<Domain>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.seen().store(FREE, Ordering::Release);
    }
}

/// What has been unpublished and waits for its readers to move on. Owned by the
/// writer; whatever is in it is dropped on the writer's thread.
pub struct Limbo {
    domain: Arc<Domain>,
    waiting: VecDeque<(u64, Box<dyn Send>)>,
}

impl Limbo {
    /// An empty limbo of `domain`.
    pub fn new(domain: &Arc<Domain>) -> Self {
        Self {
            domain: Arc::clone(domain),
            waiting: VecDeque::new(),
        }
    }

    /// Drops `garbage` after the next grace period. It must be unreachable for
    /// readers that come later.
    pub fn defer(&mut self, garbage: Box<dyn Send>) {
        self.waiting.push_back((self.domain.next(), garbage));
    }

    /// Drops everything whose readers have moved on; does not wait.
    pub fn collect(&mut self) {
        let passed = self.domain.passed();
        while self
            .waiting
            .front()
            .is_some_and(|(epoch, _)| *epoch <= passed)
        {
            self.waiting.pop_front();
        }
    }

    /// Objects that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Drop for Limbo {
    fn drop(&mut self) {
        // Waiting here could be for a reader of this very thread. Readers and
        // cells keep the domain alive, so what it keeps outlives them.
        let garbage = self.waiting.drain(..).map(|(_, garbage)| garbage);
        self.domain.orphans.lock().extend(garbage);
    }
}

/// A pointer to an immutable `T` that one writer replaces and many readers
/// follow. The writer may keep an `Arc` of what it has published.
pub struct RcuCell<T: Send + Sync + 'static> {
    /// From `Arc::into_raw`; the cell owns one count of it.
    pointer: AtomicPtr<T>,
    domain: Arc<Domain>,
}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// Publishes `first` to the readers of `domain`.
    pub fn new(domain: &Arc<Domain>, first: Arc<T>) -> Self {
        Self {
            pointer: AtomicPtr::new(Arc::into_raw(first).cast_mut()),
            domain: Arc::clone(domain),
        }
    }

    /// What is published now. Wait-free: one acquire load.
    ///
    /// # Panics
    ///
    /// When `reader` belongs to another domain, whose writer would not wait for it.
    #[inline]
    pub fn read<'r>(&'r self, reader: &'r Reader) -> &'r T {
        assert!(
            reader.belongs_to(&self.domain),
            "the reader is registered with another domain"
        );
        // SAFETY: the cell holds a count of the `Arc`. `replace` hands it to a
        // limbo that drops it only after this reader has reported quiescence
        // past the exchange, which needs `&mut Reader`, so not while `'r` lives.
        unsafe { &*self.pointer.load(Ordering::Acquire) }
    }

    /// Publishes `next`; the count of the previous value is dropped through `limbo`.
    ///
    /// # Panics
    ///
    /// When `limbo` belongs to another domain.
    pub fn replace(&self, next: Arc<T>, limbo: &mut Limbo) {
        assert!(
            Arc::ptr_eq(&limbo.domain, &self.domain),
            "the limbo is of another domain"
        );
        let previous = self
            .pointer
            .swap(Arc::into_raw(next).cast_mut(), Ordering::AcqRel);
        // SAFETY: the pointer came from `Arc::into_raw`, and the exchange took
        // the cell's count of it; readers that still follow it are waited for
        // by the limbo.
        limbo.defer(Box::new(unsafe { Arc::from_raw(previous) }));
    }
}

impl<T: Send + Sync + 'static> Drop for RcuCell<T> {
    fn drop(&mut self) {
        // Every `&T` borrows the cell, so none is left.
        let pointer = self.pointer.load(Ordering::Acquire);
        // SAFETY: from `Arc::into_raw`; the cell's count is given back once.
        drop(unsafe { Arc::from_raw(pointer) });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct CountsDrops(Arc<AtomicUsize>);

    impl Drop for CountsDrops {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_a_reader_may_hold_is_not_freed() {
        let drops = Arc::new(AtomicUsize::new(0));
        let domain = Domain::new();
        let cell = RcuCell::new(&domain, Arc::new(CountsDrops(Arc::clone(&drops))));
        let mut limbo = Limbo::new(&domain);
        let mut reader = domain.reader().unwrap();

        let held = cell.read(&reader);
        cell.replace(Arc::new(CountsDrops(Arc::clone(&drops))), &mut limbo);
        domain.advance();
        limbo.collect();
        assert_eq!(held.0.load(Ordering::Relaxed), 0, "freed under its reader");

        reader.quiescent();
        limbo.collect();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(cell);
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_limbo_that_goes_first_neither_waits_nor_frees_too_early() {
        let drops = Arc::new(AtomicUsize::new(0));
        let domain = Domain::new();
        let cell = RcuCell::new(&domain, Arc::new(CountsDrops(Arc::clone(&drops))));
        let mut limbo = Limbo::new(&domain);
        let reader = domain.reader().unwrap();
        let held = cell.read(&reader);
        cell.replace(Arc::new(CountsDrops(Arc::clone(&drops))), &mut limbo);
        drop(limbo);
        assert_eq!(held.0.load(Ordering::Relaxed), 0, "freed under its reader");
        drop((cell, reader, domain));
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_sleeping_or_departed_reader_holds_nobody_up() {
        let domain = Domain::new();
        let mut reader = domain.reader().unwrap();
        let other = domain.reader().unwrap();
        drop(other);
        reader.offline();
        domain.synchronize();
        reader.online();
        assert_eq!(domain.passed(), domain.next() - 1);
    }

    #[test]
    fn readers_are_limited_and_their_places_reused() {
        let domain = Domain::new();
        let mut readers: Vec<_> = (0..MAX_READERS).map(|_| domain.reader().unwrap()).collect();
        assert!(domain.reader().is_none());
        readers.pop();
        assert!(domain.reader().is_some());
    }

    #[test]
    fn synchronize_waits_for_a_running_reader() {
        let domain = Domain::new();
        let cell = Arc::new(RcuCell::new(&domain, Arc::new(0u64)));
        let mut limbo = Limbo::new(&domain);
        let stop = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (cell, stop) = (Arc::clone(&cell), Arc::clone(&stop));
                let mut reader = domain.reader().unwrap();
                scope.spawn(move || {
                    let mut last = 0;
                    while stop.load(Ordering::Relaxed) == 0 {
                        let now = *cell.read(&reader);
                        assert!(now >= last, "went back from {last} to {now}");
                        last = now;
                        reader.quiescent();
                    }
                });
            }
            for value in 1..=1000u64 {
                cell.replace(Arc::new(value), &mut limbo);
                domain.synchronize();
                limbo.collect();
                assert!(limbo.is_empty());
            }
            stop.store(1, Ordering::Relaxed);
        });
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc as LoomArc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    /// Its memory counts as freed when it is dropped. The model checker reports a
    /// reader of `number` that has not happened before that.
    struct Published {
        freed: LoomArc<AtomicBool>,
        number: UnsafeCell<u64>,
    }

    // SAFETY: written by `drop` alone; whether readers are through by then is what
    // the models are about.
    unsafe impl Sync for Published {}

    impl Published {
        fn number(&self) -> u64 {
            // SAFETY: as above.
            self.number.with(|number| unsafe { *number })
        }
    }

    impl Drop for Published {
        fn drop(&mut self) {
            self.number.with_mut(|_| ());
            self.freed.store(true, Ordering::Relaxed);
        }
    }

    fn published(number: u64) -> (Arc<Published>, LoomArc<AtomicBool>) {
        let freed = LoomArc::new(AtomicBool::new(false));
        (
            Arc::new(Published {
                freed: LoomArc::clone(&freed),
                number: UnsafeCell::new(number),
            }),
            freed,
        )
    }

    /// Nothing is freed under a reader, and after `synchronize` no reader sees
    /// the old value.
    #[test]
    fn publication() {
        loom::model(|| {
            let domain = Domain::new();
            let (first, first_freed) = published(1);
            let cell = Arc::new(RcuCell::new(&domain, first));
            let mut limbo = Limbo::new(&domain);
            let synchronized = LoomArc::new(AtomicBool::new(false));
            let mut reader = domain.reader().unwrap();
            let worker = {
                let (cell, synchronized) = (Arc::clone(&cell), LoomArc::clone(&synchronized));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let must_be_new = synchronized.load(Ordering::Acquire);
                        let held = cell.read(&reader);
                        let number = held.number();
                        assert!(!must_be_new || number == 2, "old value after synchronize");
                        reader.quiescent();
                    }
                    // And leaves.
                })
            };
            cell.replace(published(2).0, &mut limbo);
            domain.synchronize();
            limbo.collect();
            assert!(first_freed.load(Ordering::Relaxed), "kept for ever");
            synchronized.store(true, Ordering::Release);
            worker.join().unwrap();
        });
    }

    /// A worker that sleeps and wakes while the writer frees.
    #[test]
    fn waking_up() {
        loom::model(|| {
            let domain = Domain::new();
            let cell = Arc::new(RcuCell::new(&domain, published(1).0));
            let mut limbo = Limbo::new(&domain);
            let mut reader = domain.reader().unwrap();
            reader.offline();
            let worker = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    reader.online();
                    assert!([1, 2].contains(&cell.read(&reader).number()));
                    reader.offline();
                    // Stays registered, or leaving would publish what it has read.
                    reader
                })
            };
            cell.replace(published(2).0, &mut limbo);
            domain.advance();
            limbo.collect();
            drop(worker.join().unwrap());
        });
    }
}
