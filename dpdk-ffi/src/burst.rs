//! The packets of one poll.

use std::{mem::MaybeUninit, ops::Range, ptr::NonNull};

use crate::{Mbuf, sys};

/// Up to [`CAPACITY`](Burst::CAPACITY) frames, owned, in order. Dropping it is one bulk free.
pub struct Burst {
    /// The first `len` are initialised. `Mbuf` is one pointer, so this is the array that DPDK
    /// takes.
    mbufs: [MaybeUninit<Mbuf>; Burst::CAPACITY],
    len: usize,
}

impl Burst {
    /// How many frames a burst holds at most.
    pub const CAPACITY: usize = 64;

    /// An empty burst.
    #[inline]
    pub const fn new() -> Self {
        Self {
            mbufs: [const { MaybeUninit::uninit() }; Self::CAPACITY],
            len: 0,
        }
    }

    /// How many frames it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it takes no more.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == Self::CAPACITY
    }

    /// How many more it takes.
    #[inline]
    pub fn room(&self) -> usize {
        Self::CAPACITY - self.len
    }

    /// Adds a frame at the end; a full burst gives it back.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        match self.mbufs.get_mut(self.len) {
            Some(slot) => {
                slot.write(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    /// Takes the last frame.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: it was initialised, and `len` no longer covers it.
        Some(unsafe { self.mbufs[self.len].assume_init_read() })
    }

    /// Takes the frame at `index`; the last one moves into its place.
    #[inline]
    pub fn swap_remove(&mut self, index: usize) -> Option<Mbuf> {
        let last = self.len.checked_sub(1)?;
        if index > last {
            return None;
        }
        self.as_mut_slice().swap(index, last);
        self.pop()
    }

    /// The frames.
    #[inline]
    pub fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first `len` are initialised, and `MaybeUninit<Mbuf>` has the layout of
        // `Mbuf`.
        unsafe { std::slice::from_raw_parts(self.mbufs.as_ptr().cast(), self.len) }
    }

    /// The frames, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: as in `as_slice`.
        unsafe { std::slice::from_raw_parts_mut(self.mbufs.as_mut_ptr().cast(), self.len) }
    }

    /// The frames, one by one.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Mbuf> {
        self.as_slice().iter()
    }

    /// The frames, one by one, to be changed.
    #[inline]
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Mbuf> {
        self.as_mut_slice().iter_mut()
    }

    /// Takes all frames out, in order. What is not taken is freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        // Forgetting the iterator leaks frames; it does not free them twice.
        let rest = 0..std::mem::take(&mut self.len);
        Drain { burst: self, rest }
    }

    /// Frees all frames, in bulk.
    #[inline]
    pub fn clear(&mut self) {
        self.free_front(self.len);
    }

    /// The frames as DPDK wants them.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut *mut sys::rte_mbuf {
        self.mbufs.as_mut_ptr().cast()
    }

    /// The free places behind the frames, [`room`](Self::room) of them.
    #[inline]
    pub(crate) fn spare(&mut self) -> *mut *mut sys::rte_mbuf {
        // SAFETY: `len` is at most the array's length.
        unsafe { self.as_raw().add(self.len) }
    }

    /// # Safety
    /// `count` chains that nobody else owns were written to [`spare`](Self::spare).
    #[inline]
    pub(crate) unsafe fn grow(&mut self, count: usize) {
        debug_assert!(count <= self.room());
        self.len += count;
    }

    /// Forgets the first `count` frames, which someone else owns now; the others move to the front.
    #[inline]
    pub(crate) fn forget_front(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        let start = self.mbufs.as_mut_ptr();
        // SAFETY: both ranges are in the array; pointers are moved, and `len` covers each once.
        unsafe { std::ptr::copy(start.add(count), start, self.len) };
    }

    /// Frees the first `count` frames in one call.
    #[inline]
    pub(crate) fn free_front(&mut self, count: usize) {
        let count = count.min(self.len);
        if count > 0 {
            // SAFETY: the first `count` are chains we own; they are forgotten before anyone looks.
            unsafe { sys::rte_pktmbuf_free_bulk(self.as_raw(), count as u32) };
            self.forget_front(count);
        }
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Burst {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::fmt::Debug for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Burst {
    type Item = &'a Mbuf;
    type IntoIter = std::slice::Iter<'a, Mbuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Burst {
    type Item = &'a mut Mbuf;
    type IntoIter = std::slice::IterMut<'a, Mbuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// The frames of a burst on their way out; see [`Burst::drain`].
pub struct Drain<'a> {
    burst: &'a mut Burst,
    /// What is still initialised.
    rest: Range<usize>,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        let index = self.rest.next()?;
        // SAFETY: it was initialised, and `rest` no longer covers it.
        Some(unsafe { self.burst.mbufs[index].assume_init_read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            let start = self.burst.as_raw();
            // SAFETY: `rest` covers initialised chains that were not taken out, within the array.
            unsafe {
                sys::rte_pktmbuf_free_bulk(start.add(self.rest.start), self.rest.len() as u32)
            };
        }
    }
}

// `as_raw` and `spare` rely on it.
const _: () = assert!(size_of::<Mbuf>() == size_of::<NonNull<sys::rte_mbuf>>());
