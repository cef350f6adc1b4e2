//! The buckets of one size, and how keys lie in them.

use vtepd_wire::hash::KeyedHash;

use crate::bucket::{Bucket, Slot, WideKey};
use crate::sync::Ordering;

/// The farthest from home that an entry may lie before the table grows instead.
pub(crate) const MAX_REACH: u16 = 64;

/// A key that the table hashes.
pub(crate) trait HashKey: Copy {
    fn hash(self, hash: &KeyedHash) -> u64;
}

impl HashKey for u64 {
    #[inline(always)]
    fn hash(self, hash: &KeyedHash) -> u64 {
        hash.hash_u64(self)
    }
}

impl HashKey for WideKey {
    #[inline(always)]
    fn hash(self, hash: &KeyedHash) -> u64 {
        // A round of its own for the network: were it only added to the address,
        // one tenant with many networks could choose addresses that collide.
        let [high, low] = [(self.address >> 64) as u64, self.address as u64];
        hash.hash_words([high, low, u64::from(self.network)])
    }
}

/// The buckets of one size.
pub(crate) struct Array<B> {
    pub(crate) buckets: Box<[B]>,
}

impl<B: Bucket> Array<B> {
    pub(crate) fn new(buckets: usize) -> Self {
        Self {
            buckets: zeroed_or_default(buckets),
        }
    }

    /// Maps a hash to a bucket by its upper half, so that any number of buckets
    /// works and growth need not double (Lemire, "Fast Random Integer
    /// Generation in an Interval", 2019).
    #[inline(always)]
    pub(crate) fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline(always)]
    pub(crate) fn bucket(&self, home: usize, distance: usize) -> &B {
        let mut index = home + distance;
        if index >= self.buckets.len() {
            index -= self.buckets.len();
        }
        // SAFETY: `home` is below the length, as `home()` multiplies the length
        // by a fraction below one, and `distance` is at most MAX_REACH or the
        // length less one (`limit()`), so one subtraction brings it into range.
        unsafe { self.buckets.get_unchecked(index) }
    }

    /// The farthest distance from home that makes sense here.
    fn limit(&self) -> usize {
        usize::from(MAX_REACH).min(self.buckets.len() - 1)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(self.bucket(self.home(hash), 0));
    }

    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, key: B::Key) -> Option<(&B, usize)> {
        let home = self.home(hash);
        let bucket = self.bucket(home, 0);
        if let Some(slot) = bucket.find(key) {
            return Some((bucket, slot));
        }
        let reach = bucket.reach().load(Ordering::Acquire);
        if reach == 0 {
            None
        } else {
            self.find_beyond(home, reach, key)
        }
    }

    #[cold]
    #[inline(never)]
    fn find_beyond(&self, home: usize, reach: u16, key: B::Key) -> Option<(&B, usize)> {
        (1..=usize::from(reach)).find_map(|distance| {
            let bucket = self.bucket(home, distance);
            bucket.find(key).map(|slot| (bucket, slot))
        })
    }

    /// Puts a key that is not there into the nearest empty slot. `None` when
    /// there is none within reach.
    pub(crate) fn place(&self, hash: u64, key: B::Key, value: u64, stamp: u16) -> Option<()> {
        let home = self.home(hash);
        for distance in 0..=self.limit() {
            let bucket = self.bucket(home, distance);
            if let Some(slot) = (0..B::SLOTS).find(|&slot| bucket.slot(slot) == Slot::Empty) {
                // First the reach, then the entry: once it is there it is found.
                let reach = self.bucket(home, 0).reach();
                if usize::from(reach.load(Ordering::Relaxed)) < distance {
                    reach.store(distance as u16, Ordering::Release);
                }
                bucket.fill(slot, key, value, stamp);
                return Some(());
            }
        }
        None
    }
}

#[cfg(not(loom))]
fn zeroed_or_default<B: Bucket>(buckets: usize) -> Box<[B]> {
    // SAFETY: a bucket consists of atomics, for which all bits zero is the value
    // 0; the pages come zeroed from the system and cost nothing until touched.
    unsafe { Box::<[B]>::new_zeroed_slice(buckets).assume_init() }
}

#[cfg(loom)]
fn zeroed_or_default<B: Bucket>(buckets: usize) -> Box<[B]> {
    (0..buckets).map(|_| B::default()).collect()
}

/// Asks the caches for a value.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    prefetch_line(core::ptr::from_ref(value).cast());
}

/// Asks the caches for a value of a slice, which is not looked at: an index beyond the end is as good as none.
#[inline(always)]
pub fn prefetch_at<T>(slice: &[T], index: usize) {
    prefetch_line(slice.as_ptr().wrapping_add(index).cast());
}

#[inline(always)]
fn prefetch_line(address: *const i8) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a prefetch reads nothing into the program and faults on nothing, whatever the address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = address;
}
