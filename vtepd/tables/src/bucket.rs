//! The cache lines of the hash tables: what one bucket holds and how a reader
//! searches it while the writer changes it.
//!
//! A slot is a key and a 64-bit value. Three rules make a reader's answer right
//! without a lock, a retry or a version number:
//!
//! 1. The writer fills the value and the stamp first and publishes the key last
//!    (release); a reader that finds the key (acquire) finds what belongs to it.
//! 2. A value is replaced by one atomic store: old or new, never half of each.
//! 3. A vacated slot is not filled again before every reader has moved on, so a
//!    key cannot change into another between the comparison and the load.

use crate::sync::{AtomicU16, AtomicU64, Ordering};

/// The key of a slot that may be filled.
const EMPTY: u64 = 0;
/// The key of a slot that was vacated and waits for its readers to move on.
const RESTING: u64 = u64::MAX;

/// What the writer sees in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot<K> {
    /// May be filled.
    Empty,
    /// Waits for the readers that may still look at what it held.
    Resting,
    /// Holds a key.
    Taken(K),
}

/// A cache line of slots.
pub(crate) trait Bucket: Default + Send + Sync + 'static {
    /// What is looked up.
    type Key: Copy + Eq + Send + 'static;
    /// Slots in a line.
    const SLOTS: usize;

    /// The slot that holds `key`.
    fn find(&self, key: Self::Key) -> Option<usize>;
    /// What a slot holds.
    fn slot(&self, slot: usize) -> Slot<Self::Key>;
    /// Puts a key into an empty slot.
    fn fill(&self, slot: usize, key: Self::Key, value: u64, stamp: u16);
    /// Takes the key out of a slot; it rests.
    fn vacate(&self, slot: usize);
    /// Ends the rest of a slot.
    fn release(&self, slot: usize);
    /// The value of a slot.
    fn value(&self, slot: usize) -> &AtomicU64;
    /// When the entry was last seen in use: seconds, modulo 2^16.
    fn stamp(&self, slot: usize) -> &AtomicU16;
    /// How many buckets on from this one entries lie that belong here.
    fn reach(&self) -> &AtomicU16;
}

/// Three slots with keys of 64 bits: (network, MAC) and (network, IPv4 address).
/// The keys 0 and `u64::MAX` do not occur.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct Narrow {
    keys: [AtomicU64; 3],
    values: [AtomicU64; 3],
    stamps: [AtomicU16; 3],
    reach: AtomicU16,
}

impl Bucket for Narrow {
    type Key = u64;
    const SLOTS: usize = 3;

    #[inline(always)]
    fn find(&self, key: u64) -> Option<usize> {
        // All three are loaded and compared without a branch between them: the
        // line is one miss, and which slot it is cannot be predicted anyway. As a
        // number: `a | b | c` of truth values becomes three branches again.
        let [a, b, c] = &self.keys;
        let a = u32::from(a.load(Ordering::Acquire) == key);
        let b = u32::from(b.load(Ordering::Acquire) == key);
        let c = u32::from(c.load(Ordering::Acquire) == key);
        let slots = a | b << 1 | c << 2;
        (slots != 0).then_some((slots >> 1) as usize)
    }

    fn slot(&self, slot: usize) -> Slot<u64> {
        match self.keys[slot].load(Ordering::Relaxed) {
            EMPTY => Slot::Empty,
            RESTING => Slot::Resting,
            key => Slot::Taken(key),
        }
    }

    fn fill(&self, slot: usize, key: u64, value: u64, stamp: u16) {
        debug_assert!(key != EMPTY && key != RESTING);
        self.values[slot].store(value, Ordering::Relaxed);
        self.stamps[slot].store(stamp, Ordering::Relaxed);
        self.keys[slot].store(key, Ordering::Release);
    }

    fn vacate(&self, slot: usize) {
        self.keys[slot].store(RESTING, Ordering::Release);
    }

    fn release(&self, slot: usize) {
        self.keys[slot].store(EMPTY, Ordering::Relaxed);
    }

    #[inline(always)]
    fn value(&self, slot: usize) -> &AtomicU64 {
        &self.values[slot]
    }

    #[inline(always)]
    fn stamp(&self, slot: usize) -> &AtomicU16 {
        &self.stamps[slot]
    }

    #[inline(always)]
    fn reach(&self) -> &AtomicU16 {
        &self.reach
    }
}

/// The key of a [`Wide`] bucket: a network's index and an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct WideKey {
    /// Neither 0 nor `u16::MAX`.
    pub network: u16,
    pub address: u128,
}

/// Two slots with keys of a network index and 128 bits.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct Wide {
    addresses: [[AtomicU64; 2]; 2],
    values: [AtomicU64; 2],
    /// The part of the key that is written last and read first.
    networks: [AtomicU16; 2],
    stamps: [AtomicU16; 2],
    reach: AtomicU16,
}

/// [`RESTING`] in the 16 bits of a network.
const RESTING_NETWORK: u16 = u16::MAX;

impl Wide {
    #[inline(always)]
    fn address(&self, slot: usize) -> u128 {
        let [high, low] = &self.addresses[slot];
        u128::from(high.load(Ordering::Relaxed)) << 64 | u128::from(low.load(Ordering::Relaxed))
    }
}

impl Bucket for Wide {
    type Key = WideKey;
    const SLOTS: usize = 2;

    #[inline(always)]
    fn find(&self, key: WideKey) -> Option<usize> {
        (0..2).find(|&slot| {
            self.networks[slot].load(Ordering::Acquire) == key.network
                && self.address(slot) == key.address
        })
    }

    fn slot(&self, slot: usize) -> Slot<WideKey> {
        match self.networks[slot].load(Ordering::Relaxed) {
            0 => Slot::Empty,
            RESTING_NETWORK => Slot::Resting,
            network => Slot::Taken(WideKey {
                network,
                address: self.address(slot),
            }),
        }
    }

    fn fill(&self, slot: usize, key: WideKey, value: u64, stamp: u16) {
        debug_assert!(key.network != 0 && key.network != RESTING_NETWORK);
        let [high, low] = &self.addresses[slot];
        high.store((key.address >> 64) as u64, Ordering::Relaxed);
        low.store(key.address as u64, Ordering::Relaxed);
        self.values[slot].store(value, Ordering::Relaxed);
        self.stamps[slot].store(stamp, Ordering::Relaxed);
        self.networks[slot].store(key.network, Ordering::Release);
    }

    fn vacate(&self, slot: usize) {
        self.networks[slot].store(RESTING_NETWORK, Ordering::Release);
    }

    fn release(&self, slot: usize) {
        self.networks[slot].store(0, Ordering::Relaxed);
    }

    #[inline(always)]
    fn value(&self, slot: usize) -> &AtomicU64 {
        &self.values[slot]
    }

    #[inline(always)]
    fn stamp(&self, slot: usize) -> &AtomicU16 {
        &self.stamps[slot]
    }

    #[inline(always)]
    fn reach(&self) -> &AtomicU16 {
        &self.reach
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!((size_of::<Narrow>(), align_of::<Narrow>()), (64, 64));
        assert_eq!((size_of::<Wide>(), align_of::<Wide>()), (64, 64));
    }

    fn life_of_a_slot<B: Bucket>(keys: [B::Key; 2])
    where
        B::Key: std::fmt::Debug,
    {
        let bucket = B::default();
        for slot in 0..B::SLOTS {
            assert_eq!(bucket.slot(slot), Slot::Empty);
            bucket.fill(slot, keys[0], 7, 8);
            assert_eq!(bucket.find(keys[0]), Some(slot));
            assert_eq!(bucket.find(keys[1]), None);
            assert_eq!(bucket.value(slot).load(Ordering::Relaxed), 7);
            assert_eq!(bucket.stamp(slot).load(Ordering::Relaxed), 8);
            bucket.vacate(slot);
            assert_eq!(
                (bucket.slot(slot), bucket.find(keys[0])),
                (Slot::Resting, None)
            );
            bucket.release(slot);
            assert_eq!(bucket.slot(slot), Slot::Empty);
        }
    }

    #[test]
    fn a_slot_is_filled_found_vacated_and_released() {
        life_of_a_slot::<Narrow>([1, u64::MAX - 1]);
        let key = WideKey {
            network: 1,
            address: 2,
        };
        life_of_a_slot::<Wide>([key, WideKey { address: 3, ..key }]);
        life_of_a_slot::<Wide>([key, WideKey { network: 2, ..key }]);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Who finds a key finds what was filled in with it, and nobody finds half of one.
    fn filling<B: Bucket>(key: B::Key, never_there: Vec<B::Key>)
    where
        B::Key: Sync,
    {
        loom::model(move || {
            let bucket = Arc::new(B::default());
            let reader = {
                let (bucket, never_there) = (Arc::clone(&bucket), never_there.clone());
                thread::spawn(move || {
                    for key in never_there {
                        assert!(bucket.find(key).is_none());
                    }
                    if let Some(slot) = bucket.find(key) {
                        assert_eq!(bucket.value(slot).load(Ordering::Relaxed), 7);
                        assert_eq!(bucket.stamp(slot).load(Ordering::Relaxed), 8);
                    }
                })
            };
            bucket.fill(1, key, 7, 8);
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_narrow_slot_is_published_whole() {
        filling::<Narrow>(5, vec![]);
    }

    #[test]
    fn a_wide_slot_is_published_whole() {
        let key = |address| WideKey {
            network: 1,
            address,
        };
        let halves = vec![key(0), key(5 << 64), key(6)];
        filling::<Wide>(key(5 << 64 | 6), halves);
    }
}
