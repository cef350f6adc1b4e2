//! The hash table behind the FDB and the neighbour tables: one cache line per
//! lookup in the common case, changed in place by one writer, resized without
//! stopping its readers.
//!
//! ```text
//!   hash(key) ──► home bucket ──(reach = 1)──► next bucket
//!                 k k k | v v v | stamps | reach
//! ```
//!
//! An entry lies in its home bucket or, when that is full, in one of the
//! following; the home bucket's *reach* says how far a reader must look. Entries
//! never move within an array, so no reader can miss one that is there. With a
//! load of at most [`MAX_LOAD_PERCENT`] about one lookup in twenty touches a
//! second line, and that line is the next one, which the prefetcher knows.
//!
//! A full array is copied to a larger one, which is then published; the old one
//! is freed when its readers have moved on.

use std::collections::VecDeque;
use std::sync::Arc;

use vtepd_wire::hash::KeyedHash;

use crate::array::{Array, HashKey};
use crate::bucket::{Bucket, Slot};
use crate::rcu::{Domain, Limbo, RcuCell, Reader};
use crate::sync::Ordering;

/// Entries per hundred slots above which a table grows.
pub const MAX_LOAD_PERCENT: usize = 60;

/// Buckets of a new table.
const FIRST_BUCKETS: usize = if cfg!(loom) { 2 } else { 64 };

/// What is shared between the writer and the readers of a table.
pub(crate) struct Shared<B: Bucket> {
    array: RcuCell<Array<B>>,
    hash: KeyedHash,
}

impl<B: Bucket> Shared<B> {
    /// The table as it is for one burst.
    #[inline]
    pub(crate) fn view<'r>(&'r self, reader: &'r Reader) -> View<'r, B> {
        View {
            array: self.array.read(reader),
            hash: &self.hash,
        }
    }
}

/// A table as a reader sees it for one burst. All calls are wait-free.
pub(crate) struct View<'r, B> {
    array: &'r Array<B>,
    hash: &'r KeyedHash,
}

impl<B> Clone for View<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for View<'_, B> {}

/// An entry that a reader found.
pub(crate) struct Found<'r, B> {
    bucket: &'r B,
    slot: usize,
}

impl<B: Bucket> Found<'_, B> {
    #[inline(always)]
    pub(crate) fn value(&self) -> u64 {
        // Relaxed suffices: the key's acquire ordered the value it was filled
        // with before this; a later one is a store of its own.
        self.bucket.value(self.slot).load(Ordering::Relaxed)
    }

    /// Notes that the entry was in use at `now`. Writes at most once a second
    /// and entry, so that workers do not fight for the line.
    #[inline(always)]
    pub(crate) fn touch(&self, now: u16) {
        let stamp = self.bucket.stamp(self.slot);
        if stamp.load(Ordering::Relaxed) != now {
            stamp.store(now, Ordering::Relaxed);
        }
    }
}

impl<'r, B: Bucket> View<'r, B>
where
    B::Key: HashKey,
{
    #[inline(always)]
    pub(crate) fn hash(&self, key: B::Key) -> u64 {
        key.hash(self.hash)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.array.prefetch(hash);
    }

    /// `hash` must be [`hash`](Self::hash) of `key`.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, key: B::Key) -> Option<Found<'r, B>> {
        self.array
            .find(hash, key)
            .map(|(bucket, slot)| Found { bucket, slot })
    }
}

/// Use of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Entries that the table may hold.
    pub capacity: usize,
    /// Entries now.
    pub used: usize,
    /// The most entries there ever were.
    pub high_water: usize,
    /// Inserts that were refused because the table was full.
    pub failed_inserts: u64,
    /// Memory of the buckets, in bytes.
    pub bytes: usize,
}

/// The table is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the {table} table is full at {capacity} entries; remove some or raise its limit in the configuration"
)]
pub struct TableFull {
    /// Which table.
    pub table: &'static str,
    /// Its limit.
    pub capacity: usize,
}

/// The writer's side. There is one for each table, owned by the control thread.
pub(crate) struct Writer<B: Bucket> {
    shared: Arc<Shared<B>>,
    /// What is published in `shared`.
    array: Arc<Array<B>>,
    domain: Arc<Domain>,
    limbo: Limbo,
    /// Slots of the present array that rest, oldest first: (epoch, bucket, slot).
    resting: VecDeque<(u64, usize, usize)>,
    name: &'static str,
    usage: Usage,
}

impl<B: Bucket> Writer<B>
where
    B::Key: HashKey,
{
    /// An empty table of at most `capacity` entries, and its writer. `name` is
    /// used in messages.
    pub(crate) fn new(
        domain: &Arc<Domain>,
        hash: KeyedHash,
        name: &'static str,
        capacity: usize,
    ) -> (Arc<Shared<B>>, Self) {
        let array = Arc::new(Array::new(FIRST_BUCKETS));
        let shared = Arc::new(Shared {
            array: RcuCell::new(domain, Arc::clone(&array)),
            hash,
        });
        let writer = Self {
            shared: Arc::clone(&shared),
            array,
            domain: Arc::clone(domain),
            limbo: Limbo::new(domain),
            resting: VecDeque::new(),
            name,
            usage: Usage {
                capacity,
                ..Usage::default()
            },
        };
        (shared, writer)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            bytes: size_of_val(&*self.array.buckets),
            ..self.usage
        }
    }

    pub(crate) fn get(&self, key: B::Key) -> Option<u64> {
        let (bucket, slot) = self.array.find(key.hash(&self.shared.hash), key)?;
        Some(bucket.value(slot).load(Ordering::Relaxed))
    }

    /// The value and the stamp of an entry.
    pub(crate) fn get_with_stamp(&self, key: B::Key) -> Option<(u64, u16)> {
        let (bucket, slot) = self.array.find(key.hash(&self.shared.hash), key)?;
        Some((
            bucket.value(slot).load(Ordering::Relaxed),
            bucket.stamp(slot).load(Ordering::Relaxed),
        ))
    }

    /// Refuses `additional` new entries that would not fit, and counts the refusal.
    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), TableFull> {
        if self.usage.used + additional > self.usage.capacity {
            self.usage.failed_inserts += 1;
            return Err(TableFull {
                table: self.name,
                capacity: self.usage.capacity,
            });
        }
        Ok(())
    }

    /// Adds the entry or replaces its value; returns the previous value.
    pub(crate) fn insert(
        &mut self,
        key: B::Key,
        value: u64,
        stamp: u16,
    ) -> Result<Option<u64>, TableFull> {
        let hash = key.hash(&self.shared.hash);
        if let Some((bucket, slot)) = self.array.find(hash, key) {
            let previous = bucket.value(slot).swap(value, Ordering::Release);
            bucket.stamp(slot).store(stamp, Ordering::Relaxed);
            return Ok(Some(previous));
        }
        self.reserve(1)?;
        let slots = self.array.buckets.len() * B::SLOTS;
        if (self.usage.used + self.resting.len()) * 100 >= slots * MAX_LOAD_PERCENT {
            self.make_room();
        }
        while self.array.place(hash, key, value, stamp).is_none() {
            // Dozens of keys with one hash: no size would help.
            if self.usage.used * 20 < self.array.buckets.len() * B::SLOTS {
                self.usage.failed_inserts += 1;
                return Err(TableFull {
                    table: self.name,
                    capacity: self.usage.used,
                });
            }
            self.grow();
        }
        self.usage.used += 1;
        self.usage.high_water = self.usage.high_water.max(self.usage.used);
        Ok(None)
    }

    /// Removes the entry; returns its value. Readers of this burst may still use it.
    pub(crate) fn remove(&mut self, key: B::Key) -> Option<u64> {
        let array = Arc::clone(&self.array);
        let hash = key.hash(&self.shared.hash);
        let (bucket, slot) = array.find(hash, key)?;
        let value = bucket.value(slot).load(Ordering::Relaxed);
        bucket.vacate(slot);
        let index = array.buckets.element_offset(bucket)?;
        self.resting.push_back((self.domain.next(), index, slot));
        self.usage.used -= 1;
        self.shorten_reach(array.home(hash), index);
        Some(value)
    }

    /// Lowers the reach of `home` after the entry in bucket `vacated` has left,
    /// if that was its farthest one.
    fn shorten_reach(&self, home: usize, vacated: usize) {
        let length = self.array.buckets.len();
        let reach = self.array.bucket(home, 0).reach();
        let farthest = usize::from(reach.load(Ordering::Relaxed));
        if (vacated + length - home) % length != farthest || farthest == 0 {
            return;
        }
        let belongs_here = |distance: &usize| {
            let bucket = self.array.bucket(home, *distance);
            (0..B::SLOTS).any(|slot| match bucket.slot(slot) {
                Slot::Taken(key) => self.array.home(key.hash(&self.shared.hash)) == home,
                Slot::Empty | Slot::Resting => false,
            })
        };
        let farthest = (1..=farthest).rev().find(belongs_here).unwrap_or(0);
        reach.store(farthest as u16, Ordering::Release);
    }

    /// Gives slots whose readers have moved on back for use, and frees arrays.
    pub(crate) fn collect(&mut self) {
        self.limbo.collect();
        let passed = self.domain.passed();
        while let Some(&(epoch, index, slot)) = self.resting.front()
            && epoch <= passed
        {
            self.array.buckets[index].release(slot);
            self.resting.pop_front();
        }
    }

    fn make_room(&mut self) {
        // Under churn most of the load may be slots at rest: a grace period
        // frees them and costs less than a copy.
        if self.resting.len() > self.usage.used / 4 {
            self.domain.synchronize();
            self.collect();
        }
        let slots = self.array.buckets.len() * B::SLOTS;
        if (self.usage.used + self.resting.len()) * 100 >= slots * MAX_LOAD_PERCENT {
            self.grow();
        }
    }

    /// Copies the entries to an array half as large again and publishes it.
    fn grow(&mut self) {
        let mut buckets = self.array.buckets.len() * 3 / 2 + 1;
        let next = loop {
            let next = Array::new(buckets);
            if self.copy_into(&next) {
                break Arc::new(next);
            }
            buckets = buckets * 3 / 2 + 1;
        };
        self.array = Arc::clone(&next);
        self.shared.array.replace(next, &mut self.limbo);
        // What rested did so in the old array.
        self.resting.clear();
        // Or two sizes of it would stay until the next change.
        self.domain.advance();
    }

    /// A stamp that a worker writes into the old array while it is copied may
    /// be lost; the entry then looks up to one second older than it is.
    fn copy_into(&self, next: &Array<B>) -> bool {
        self.array.buckets.iter().all(|bucket| {
            (0..B::SLOTS).all(|slot| match bucket.slot(slot) {
                Slot::Taken(key) => {
                    let value = bucket.value(slot).load(Ordering::Relaxed);
                    let stamp = bucket.stamp(slot).load(Ordering::Relaxed);
                    next.place(key.hash(&self.shared.hash), key, value, stamp)
                        .is_some()
                }
                Slot::Empty | Slot::Resting => true,
            })
        })
    }

    /// Buckets of the present array.
    pub(crate) fn buckets(&self) -> usize {
        self.array.buckets.len()
    }

    /// Shows the entries of up to `count` buckets from bucket `first` on.
    pub(crate) fn scan(&self, first: usize, count: usize, mut see: impl FnMut(B::Key, u64, u16)) {
        for bucket in self.array.buckets.iter().skip(first).take(count) {
            for slot in 0..B::SLOTS {
                if let Slot::Taken(key) = bucket.slot(slot) {
                    see(
                        key,
                        bucket.value(slot).load(Ordering::Relaxed),
                        bucket.stamp(slot).load(Ordering::Relaxed),
                    );
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::array::MAX_REACH;
    use crate::bucket::{Narrow, Wide, WideKey};
    use proptest::prelude::*;
    use std::collections::HashMap;

    type Parts<B> = (Arc<Domain>, Arc<Shared<B>>, Writer<B>);

    fn table<B: Bucket>(capacity: usize) -> Parts<B>
    where
        B::Key: HashKey,
    {
        let domain = Domain::new();
        let (shared, writer) = Writer::new(&domain, KeyedHash::new(7, 11), "test", capacity);
        (domain, shared, writer)
    }

    fn lookup<B: Bucket>(shared: &Shared<B>, reader: &Reader, key: B::Key) -> Option<u64>
    where
        B::Key: HashKey,
    {
        let view = shared.view(reader);
        let hash = view.hash(key);
        view.prefetch(hash);
        view.find(hash, key).map(|found| found.value())
    }

    #[test]
    fn a_full_table_refuses_and_counts_and_keeps_what_it_has() {
        let (domain, shared, mut writer) = table::<Narrow>(1000);
        let reader = domain.reader().unwrap();
        for key in 1..=1000 {
            assert_eq!(writer.insert(key, key * 2, 0), Ok(None));
        }
        let full = writer.insert(1001, 1, 0).unwrap_err();
        assert_eq!(full.capacity, 1000);
        assert!(full.to_string().contains("test table is full at 1000"));
        assert_eq!(
            writer.insert(5, 6, 0),
            Ok(Some(10)),
            "replacing needs no room"
        );
        assert_eq!(lookup(&shared, &reader, 1000), Some(2000));
        assert_eq!(lookup(&shared, &reader, 1001), None);
        let usage = writer.usage();
        assert_eq!(
            (usage.used, usage.high_water, usage.failed_inserts),
            (1000, 1000, 1)
        );
        writer.remove(1000);
        assert_eq!(writer.insert(1001, 1, 0), Ok(None));
        assert_eq!(writer.usage().high_water, 1000);
    }

    #[test]
    fn a_vacated_slot_is_not_filled_before_its_readers_moved_on() {
        let (domain, shared, mut writer) = table::<Narrow>(1000);
        let mut reader = domain.reader().unwrap();
        writer.insert(1, 10, 0).unwrap();
        let view = shared.view(&reader);
        let found = view.find(view.hash(1), 1).unwrap();
        writer.remove(1);
        // As many as fit without growing: none may land in the slot of key 1.
        let room = FIRST_BUCKETS * Narrow::SLOTS * MAX_LOAD_PERCENT / 100 - 1;
        for key in 2..2 + room as u64 {
            domain.advance();
            writer.collect();
            writer.insert(key, 99, 0).unwrap();
        }
        assert_eq!(found.value(), 10);
        reader.quiescent();
        writer.collect();
        assert!(writer.resting.is_empty());
    }

    #[test]
    fn growing_keeps_every_entry_and_stamp_and_frees_the_old_array() {
        let (domain, shared, mut writer) = table::<Wide>(100_000);
        let mut reader = domain.reader().unwrap();
        let key = |n: u64| WideKey {
            network: (n % 7 + 1) as u16,
            address: u128::from(n / 7) << 64,
        };
        for n in 0..50_000 {
            writer.insert(key(n), n, (n % 100) as u16).unwrap();
        }
        for n in 0..50_000 {
            assert_eq!(lookup(&shared, &reader, key(n)), Some(n));
            assert_eq!(writer.get_with_stamp(key(n)), Some((n, (n % 100) as u16)));
        }
        assert!(!writer.limbo.is_empty());
        reader.quiescent();
        writer.collect();
        assert!(writer.limbo.is_empty());
        let slots = writer.buckets() * Wide::SLOTS;
        assert!(
            50_000 * 100 <= slots * MAX_LOAD_PERCENT + 100,
            "{slots} slots"
        );
        assert!(
            50_000 * 100 >= slots * MAX_LOAD_PERCENT / 2,
            "{slots} slots"
        );
    }

    #[test]
    fn churn_at_a_constant_size_does_not_grow_the_table_nor_its_reach() {
        let (domain, _shared, mut writer) = table::<Narrow>(10_000);
        for key in 1..=5000u64 {
            writer.insert(key, 0, 0).unwrap();
        }
        writer.grow();
        let buckets = writer.buckets();
        for round in 0..200_000u64 {
            writer.remove(round + 1).unwrap();
            writer.insert(round + 5001, 0, 0).unwrap();
            if round % 100 == 0 {
                domain.advance();
                writer.collect();
            }
        }
        assert_eq!(writer.buckets(), buckets);
        let reach = |b: &Narrow| usize::from(b.reach().load(Ordering::Relaxed));
        let total: usize = writer.array.buckets.iter().map(reach).sum();
        assert!(total * 4 < buckets, "{total} buckets of reach in {buckets}");
    }

    #[test]
    fn keys_that_all_collide_are_refused_not_grown_for() {
        // What an attacker who knew the keys would send; here the hash is made weak.
        #[derive(Default)]
        struct Colliding(Narrow);
        #[derive(Clone, Copy, PartialEq, Eq)]
        struct Same(u64);
        impl HashKey for Same {
            fn hash(self, _: &KeyedHash) -> u64 {
                42
            }
        }
        impl Bucket for Colliding {
            type Key = Same;
            const SLOTS: usize = 3;
            fn find(&self, key: Same) -> Option<usize> {
                self.0.find(key.0)
            }
            fn slot(&self, slot: usize) -> Slot<Same> {
                match self.0.slot(slot) {
                    Slot::Taken(key) => Slot::Taken(Same(key)),
                    Slot::Empty => Slot::Empty,
                    Slot::Resting => Slot::Resting,
                }
            }
            fn fill(&self, slot: usize, key: Same, value: u64, stamp: u16) {
                self.0.fill(slot, key.0, value, stamp);
            }
            fn vacate(&self, slot: usize) {
                self.0.vacate(slot);
            }
            fn release(&self, slot: usize) {
                self.0.release(slot);
            }
            fn value(&self, slot: usize) -> &crate::sync::AtomicU64 {
                self.0.value(slot)
            }
            fn stamp(&self, slot: usize) -> &crate::sync::AtomicU16 {
                self.0.stamp(slot)
            }
            fn reach(&self) -> &crate::sync::AtomicU16 {
                self.0.reach()
            }
        }
        let (domain, shared, mut writer) = table::<Colliding>(1_000_000);
        let reader = domain.reader().unwrap();
        let placed = (1..10_000)
            .take_while(|&key| writer.insert(Same(key), key, 0).is_ok())
            .count() as u64;
        assert!(placed >= u64::from(MAX_REACH), "{placed}");
        assert!(
            writer.usage().bytes < 1 << 20,
            "grew to {} bytes",
            writer.usage().bytes
        );
        for key in 1..=placed {
            assert_eq!(lookup(&shared, &reader, Same(key)), Some(key));
        }
    }

    #[test]
    fn readers_of_other_threads_find_what_stays_while_the_rest_churns() {
        let (domain, shared, mut writer) = table::<Narrow>(1 << 20);
        for key in 1..=1000u64 {
            writer.insert(key, key, 0).unwrap();
        }
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for first in [1u64, 500] {
                let (domain, shared, stop) = (&domain, &shared, &stop);
                scope.spawn(move || {
                    let mut reader = domain.reader().unwrap();
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        for key in first..first + 500 {
                            assert_eq!(
                                lookup(shared, &reader, key),
                                Some(key),
                                "key {key} was lost"
                            );
                        }
                        reader.quiescent();
                    }
                });
            }
            // Grows several times, and vacates and refills slots in between.
            for key in 2000..40_000u64 {
                writer.insert(key, 0, 0).unwrap();
                writer.remove(key - 500);
                if key % 64 == 0 {
                    domain.synchronize();
                    writer.collect();
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1u64..200, any::<u64>(), 0u8..4), 1..2000)) {
            let (domain, shared, mut writer) = table::<Narrow>(150);
            let mut reader = domain.reader().unwrap();
            let mut model = HashMap::new();
            for (key, value, action) in steps {
                match action {
                    0 => prop_assert_eq!(writer.remove(key), model.remove(&key)),
                    1 => {
                        reader.quiescent();
                        domain.advance();
                        writer.collect();
                    }
                    _ if model.len() == 150 && !model.contains_key(&key) => {
                        prop_assert!(writer.insert(key, value, 0).is_err());
                    }
                    _ => prop_assert_eq!(writer.insert(key, value, 0), Ok(model.insert(key, value))),
                }
                prop_assert_eq!(lookup(&shared, &reader, key), model.get(&key).copied());
                prop_assert_eq!(writer.get(key), model.get(&key).copied());
            }
            let mut seen = HashMap::new();
            writer.scan(0, writer.buckets(), |key, value, _| { seen.insert(key, value); });
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(writer.usage().used, model.len());
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use crate::bucket::Narrow;
    use loom::thread;

    fn model(body: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(body);
    }

    /// Keys that belong into the first of two buckets, where each takes the first
    /// empty slot.
    fn keys_of_one_bucket() -> impl Iterator<Item = u64> {
        let hash = KeyedHash::new(1, 2);
        (1u64..).filter(move |key| key.hash(&hash) >> 63 == 0)
    }

    /// A key that a reader finds has a value it was given, however often its slot
    /// was vacated and filled with others.
    #[test]
    fn a_slot_never_answers_for_another_key() {
        model(|| {
            let domain = Domain::new();
            let (shared, mut writer) =
                Writer::<Narrow>::new(&domain, KeyedHash::new(1, 2), "model", 8);
            let mut keys = keys_of_one_bucket();
            let first = keys.next().unwrap();
            writer.insert(first, 10, 0).unwrap();
            let mut reader = domain.reader().unwrap();
            let worker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let view = shared.view(&reader);
                        if let Some(found) = view.find(view.hash(first), first) {
                            assert!([10, 11].contains(&found.value()));
                        }
                        reader.quiescent();
                    }
                })
            };
            writer.insert(first, 11, 0).unwrap();
            writer.remove(first);
            for key in keys.take(2) {
                domain.advance();
                writer.collect();
                writer.insert(key, 100 + key, 0).unwrap();
            }
            worker.join().unwrap();
        });
    }

    /// What stays in the table is found at every moment of a resize.
    #[test]
    fn a_resize_hides_nothing_and_frees_nothing_in_use() {
        model(|| {
            let domain = Domain::new();
            let (shared, mut writer) =
                Writer::<Narrow>::new(&domain, KeyedHash::new(1, 2), "model", 8);
            writer.insert(1, 10, 0).unwrap();
            let mut reader = domain.reader().unwrap();
            let worker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let view = shared.view(&reader);
                        let found = view
                            .find(view.hash(1), 1)
                            .expect("a key that stays is always found");
                        assert_eq!(found.value(), 10);
                        reader.quiescent();
                    }
                })
            };
            writer.grow();
            writer.collect();
            worker.join().unwrap();
            domain.advance();
            writer.collect();
            assert!(writer.limbo.is_empty());
        });
    }
}
