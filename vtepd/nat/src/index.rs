//! From a hash to the numbers of the places that may hold its key: one cache line per lookup
//! in the common case.
//!
//! ```text
//!   bucket, 64 bytes:  number 32 × 10 │ tag 16 × 10 │ passed 16
//! ```
//!
//! The keys stay where they are, in the slabs; a tag of 16 bits of the hash says which of them are
//! worth a look, and is wrong once in some 6,000 lookups. An entry lies in the bucket that its hash
//! names or, when that is full, in the next with room; each bucket counts the entries that
//! *passed* it so, which tells a lookup when to stop, and sinks again when they are removed: no
//! tombstones, no rehash, however long the table lives.

use vtepd_tables::prefetch_at;

/// Entries in a bucket.
const SLOTS: usize = 10;
/// Entries per hundred slots when the index is as full as it may be. One bucket in 25 has then
/// sent an entry on to its neighbour.
const MAX_LOAD_PERCENT: usize = 60;
/// The tag of an empty slot.
const EMPTY: u16 = 0;

#[derive(Clone, Default)]
#[repr(C, align(64))]
struct Bucket {
    numbers: [u32; SLOTS],
    tags: [u16; SLOTS],
    /// Entries that did not fit here and lie further on. Once it is at its limit, it stays there.
    passed: u16,
}

impl Bucket {
    /// The slots with this tag, as bits: all are compared, without a branch between.
    #[inline(always)]
    fn matches(&self, tag: u16) -> u32 {
        let mut found = 0;
        for (slot, own) in self.tags.iter().enumerate() {
            found |= u32::from(*own == tag) << slot;
        }
        found
    }
}

/// The index. Two entries may have the same hash; the caller's comparison tells them apart.
pub(crate) struct Index {
    buckets: Box<[Bucket]>,
}

impl Index {
    pub(crate) fn new(capacity: u32) -> Self {
        let slots = (capacity as usize * 100).div_ceil(MAX_LOAD_PERCENT);
        Self {
            buckets: vec![Bucket::default(); slots.div_ceil(SLOTS).max(1)].into_boxed_slice(),
        }
    }

    /// The bucket that a hash names: its upper half, as a fraction of the number of buckets.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline(always)]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() {
            0
        } else {
            bucket + 1
        }
    }

    #[inline(always)]
    fn tag(hash: u64) -> u16 {
        (hash as u16).max(EMPTY + 1)
    }

    /// Asks for the cache line of a hash.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_at(&self.buckets, self.home(hash));
    }

    /// The place that a hash most likely stands for: to be prefetched, not to be trusted.
    #[inline(always)]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(self.home(hash))?;
        let slot = bucket.matches(Self::tag(hash)).trailing_zeros();
        bucket.numbers.get(slot as usize).copied()
    }

    /// The first place with this hash that `is_it`.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = Self::tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(at)?;
            let mut slots = bucket.matches(tag);
            while slots != 0 {
                let number = *bucket.numbers.get(slots.trailing_zeros() as usize)?;
                if is_it(number) {
                    return Some(number);
                }
                slots &= slots - 1;
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Enters a place. There is room, since no more are entered than the index was made for.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let next = self.next(at);
            let Some(bucket) = self.buckets.get_mut(at) else {
                return;
            };
            let empty = bucket.matches(EMPTY).trailing_zeros() as usize;
            if let (Some(tag), Some(place)) =
                (bucket.tags.get_mut(empty), bucket.numbers.get_mut(empty))
            {
                (*tag, *place) = (Self::tag(hash), number);
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
            at = next;
        }
    }

    /// Removes a place that was entered with this hash.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let tag = Self::tag(hash);
        let home = self.home(hash);
        let mut at = home;
        let mut distance = 0;
        while distance < self.buckets.len() {
            let next = self.next(at);
            let Some(bucket) = self.buckets.get_mut(at) else {
                return;
            };
            let mut entries = bucket.tags.iter_mut().zip(&bucket.numbers);
            if let Some((own, _)) = entries.find(|(own, held)| **own == tag && **held == number) {
                *own = EMPTY;
                return self.unpass(home, distance);
            }
            if bucket.passed == 0 {
                return;
            }
            at = next;
            distance += 1;
        }
    }

    fn unpass(&mut self, home: usize, distance: usize) {
        let mut at = home;
        for _ in 0..distance {
            let next = self.next(at);
            if let Some(bucket) = self.buckets.get_mut(at)
                && bucket.passed != u16::MAX
            {
                bucket.passed -= 1;
            }
            at = next;
        }
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use vtepd_wire::hash::KeyedHash;

    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn full_as_it_may_be_few_lookups_leave_their_bucket() {
        let hash = KeyedHash::new(1, 2);
        let mut index = Index::new(60_000);
        (0..60_000).for_each(|number| index.insert(hash.hash_u64(number.into()), number));
        let passed = index.buckets.iter().filter(|bucket| bucket.passed > 0);
        let share = passed.count() * 100 / index.buckets.len();
        assert!(share < 8, "{share} % of buckets overflow");
        (0..60_000).for_each(|number| index.remove(hash.hash_u64(number.into()), number));
        assert!(index.buckets.iter().all(|bucket| bucket.passed == 0));
    }

    proptest! {
        /// Hashes that collide much, and several entries with one hash.
        #[test]
        fn it_is_a_multimap(
            steps in prop::collection::vec((0u64..40, 0u32..60, any::<bool>()), 1..600),
        ) {
            let mut index = Index::new(60);
            let mut model: HashMap<u32, u64> = HashMap::new();
            for (key, number, insert) in steps {
                let hash = (key % 5) << 61 | (key % 7);
                match (model.contains_key(&number), insert) {
                    (false, true) => {
                        index.insert(hash, number);
                        model.insert(number, hash);
                    }
                    (true, false) => {
                        let hash = model.remove(&number).unwrap();
                        index.remove(hash, number);
                    }
                    _ => {}
                }
                for (number, hash) in &model {
                    prop_assert_eq!(index.find(*hash, |found| found == *number), Some(*number));
                }
                let mut found = Vec::new();
                index.find(hash, |number| { found.push(number); false });
                for number in found {
                    prop_assert!(model.contains_key(&number));
                }
            }
        }
    }
}
