//! A frame, owned.
//!
//! An [`Mbuf`] is one pointer to a chain of one or more segments. It is not `Clone`, and dropping
//! it gives every segment back to its pool. Frames that share bytes are made by
//! [`Mbuf::replicate`]; as long as they share, nobody may write the shared bytes, and the methods
//! that would return `None`.
//!
//! Most of the methods read or write fields of the struct and compile to a few instructions; those
//! that call DPDK ([`copy`](Mbuf::copy), [`replicate`](Mbuf::replicate),
//! [`linearize`](Mbuf::linearize), and whatever frees a segment) are for the rarer frames.

use std::{cell::Cell, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

use crate::{
    Pool, PortId,
    segment::{BUFFER_FLAGS, Chain, Segment},
    sys,
};

/// A frame: an owned chain of DPDK mbufs.
///
/// `Send`, since a frame may be handed to another worker, but not `Sync`: replicating changes
/// the buffer's reference count without an atomic operation while there is one holder.
#[repr(transparent)]
pub struct Mbuf {
    head: NonNull<sys::rte_mbuf>,
    _not_sync: PhantomData<Cell<()>>,
}

// SAFETY: the chain is owned; its pools take it back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// # Safety
    /// `head` is the first segment of a chain that nobody else owns.
    #[inline]
    pub(crate) unsafe fn from_raw(head: NonNull<sys::rte_mbuf>) -> Self {
        Self {
            head,
            _not_sync: PhantomData,
        }
    }

    /// Gives the chain away: whoever takes the pointer frees it.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<sys::rte_mbuf> {
        ManuallyDrop::new(self).head
    }

    #[inline]
    pub(crate) fn head(&self) -> Segment {
        // SAFETY: we own the chain, and no `Segment` outlives the borrow it was made from.
        unsafe { Segment::new(self.head) }
    }

    #[inline]
    fn chain(&self) -> Chain {
        Chain(Some(self.head()))
    }

    #[inline]
    fn last(&self) -> Segment {
        self.chain().last().unwrap_or_else(|| self.head())
    }

    /// The bytes of the first segment, which hold all of the frame unless
    /// [`segments`](Self::segments) is more than one.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: borrowed from `self`.
        unsafe { self.head().data() }
    }

    /// The bytes of the first segment for writing; `None` while another frame shares them.
    #[inline]
    pub fn data_mut(&mut self) -> Option<&mut [u8]> {
        let head = self.head();
        // SAFETY: borrowed uniquely from `self`, exclusive, and the length is that of the data.
        head.exclusive()
            .then(|| unsafe { head.bytes_mut(0, usize::from(head.data_len())) })
    }

    /// Length of the whole frame in bytes, without FCS.
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.head().pkt_len() as usize
    }

    /// How many segments the frame consists of.
    #[inline]
    pub fn segments(&self) -> usize {
        usize::from(self.head().nb_segs())
    }

    /// The bytes of segment `index`, counted from 0.
    pub fn segment_data(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: borrowed from `self`.
        self.chain()
            .nth(index)
            .map(|segment| unsafe { segment.data() })
    }

    /// The bytes of segment `index` for writing; `None` while another frame shares them.
    pub fn segment_data_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let segment = self
            .chain()
            .nth(index)
            .filter(|segment| segment.exclusive())?;
        // SAFETY: borrowed uniquely from `self`, exclusive, and the length is that of the data.
        Some(unsafe { segment.bytes_mut(0, usize::from(segment.data_len())) })
    }

    /// Copies `into.len()` bytes from `offset` on, across segments; false, and nothing useful in
    /// `into`, when the frame ends before.
    pub fn read_at(&self, mut offset: usize, into: &mut [u8]) -> bool {
        let mut done = 0;
        for segment in self.chain() {
            // SAFETY: borrowed from `self`.
            let data = unsafe { segment.data() };
            let Some(data) = data.get(offset..) else {
                offset -= data.len();
                continue;
            };
            offset = 0;
            let count = data.len().min(into.len() - done);
            into[done..done + count].copy_from_slice(&data[..count]);
            done += count;
            if done == into.len() {
                return true;
            }
        }
        done == into.len()
    }

    /// Free bytes before the data of the first segment.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.head().headroom())
    }

    /// Free bytes after the data of the last segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        usize::from(self.last().tailroom())
    }

    /// Whether another frame refers to bytes of this one, so that some of it cannot be written.
    pub fn is_shared(&self) -> bool {
        !self.chain().all(Segment::exclusive)
    }

    /// Puts `count` bytes in front and returns them, their content being whatever was there. `None`
    /// when there is too little headroom, or while another frame shares the first segment.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        let head = self.head();
        if count > usize::from(head.headroom()) || !head.exclusive() {
            return None;
        }
        let short = count as u16; // at most the headroom
        head.set_data_off(head.data_off() - short);
        head.set_data_len(head.data_len() + short); // at most buf_len
        head.set_pkt_len(head.pkt_len() + u32::from(short));
        // SAFETY: borrowed uniquely from `self`, exclusive, and the bytes were headroom.
        Some(unsafe { head.bytes_mut(0, count) })
    }

    /// Puts `count` bytes behind the last segment and returns them, their content being whatever
    /// was there. `None` when there is too little tailroom, or while another frame shares that
    /// segment.
    #[inline]
    pub fn append(&mut self, count: usize) -> Option<&mut [u8]> {
        let (head, last) = (self.head(), self.last());
        if count > usize::from(last.tailroom()) || !last.exclusive() {
            return None;
        }
        let before = last.data_len();
        last.set_data_len(before + count as u16); // at most the tailroom
        head.set_pkt_len(head.pkt_len() + count as u32);
        // SAFETY: borrowed uniquely from `self`, exclusive, and the bytes were tailroom.
        Some(unsafe { last.bytes_mut(usize::from(before), count) })
    }

    /// Takes `count` bytes off the front, across segments; emptied segments are freed, except the
    /// last. False, and nothing done, when the frame is shorter. Shared bytes are no obstacle.
    #[inline]
    pub fn strip_front(&mut self, count: usize) -> bool {
        let mut head = self.head();
        if count > self.frame_len() {
            return false;
        }
        let mut left = count;
        while left >= usize::from(head.data_len()) && head.nb_segs() > 1 {
            left -= usize::from(head.data_len());
            self.drop_head();
            head = self.head();
        }
        let left = left as u16; // at most the first segment
        head.set_data_off(head.data_off() + left);
        head.set_data_len(head.data_len() - left);
        head.set_pkt_len(head.pkt_len() - u32::from(left));
        true
    }

    /// Frees the first segment and makes the second the head; there must be a second.
    fn drop_head(&mut self) {
        let old = self.head();
        let Some(new) = old.next() else { return };
        new.set_nb_segs(old.nb_segs() - 1);
        new.set_pkt_len(old.pkt_len() - u32::from(old.data_len()));
        copy_metadata(old, new);
        old.set_next_ptr(std::ptr::null_mut());
        old.set_nb_segs(1);
        // SAFETY: a segment is never null; we own it, and it is unlinked, so it is freed once.
        self.head = unsafe { NonNull::new_unchecked(new.as_ptr()) };
        // SAFETY: as above.
        unsafe { sys::shim_pktmbuf_free_seg(old.as_ptr()) };
    }

    /// Cuts the frame to its first `length` bytes, such as to drop Ethernet padding; segments past
    /// it are freed. False, and nothing done, when it is shorter. Shared bytes are no obstacle.
    #[inline]
    pub fn trim_to(&mut self, length: usize) -> bool {
        if length > self.frame_len() {
            return false;
        }
        let head = self.head();
        let mut segment = head;
        let mut kept = 1;
        let mut left = length;
        while left > usize::from(segment.data_len()) {
            let Some(next) = segment.next() else {
                return false;
            };
            left -= usize::from(segment.data_len());
            segment = next;
            kept += 1;
        }
        segment.set_data_len(left as u16);
        head.set_pkt_len(length as u32);
        head.set_nb_segs(kept);
        if let Some(rest) = NonNull::new(segment.next_ptr()) {
            segment.set_next_ptr(std::ptr::null_mut());
            // SAFETY: the rest of our chain, cut off above. Freeing goes by `next`, not by
            // `nb_segs`.
            unsafe { sys::shim_pktmbuf_free(rest.as_ptr()) };
        }
        true
    }

    /// Makes it one segment, by copying into the first one's tailroom. False, and nothing done,
    /// when that is too small or another frame shares it; then [`copy`](Self::copy) into a pool
    /// with larger buffers.
    pub fn linearize(&mut self) -> bool {
        let head = self.head();
        if head.nb_segs() == 1 {
            return true;
        }
        let others = head.pkt_len() - u32::from(head.data_len());
        if others > u32::from(head.tailroom()) || !head.exclusive() {
            return false;
        }
        // SAFETY: we own the chain, and write to an exclusive first buffer.
        unsafe { sys::__rte_pktmbuf_linearize(head.as_ptr()) == 0 }
    }

    /// Moves bytes forward until the first segment holds at least `length` of them, or the whole
    /// frame when it is shorter, so that headers can be read in place. False, and nothing done,
    /// when the first segment has too little tailroom or another frame shares it.
    #[inline]
    pub fn pull_up(&mut self, length: usize) -> bool {
        let head = self.head();
        let length = length.min(self.frame_len());
        match length.checked_sub(usize::from(head.data_len())) {
            None | Some(0) => true,
            Some(missing) => {
                missing <= usize::from(head.tailroom())
                    && head.exclusive()
                    && self.take_from_next(missing)
            }
        }
    }

    /// Moves `missing` bytes from the following segments behind the first one's; there must be
    /// room.
    fn take_from_next(&mut self, mut missing: usize) -> bool {
        let head = self.head();
        while missing > 0 {
            let Some(next) = head.next() else {
                return false;
            };
            // SAFETY: borrowed from `self`.
            let data = unsafe { next.data() };
            let count = missing.min(data.len());
            let before = head.data_len();
            // SAFETY: borrowed uniquely from `self`, exclusive, and within the tailroom; `data`
            // lies in another buffer, since this one is referred to by `head` alone.
            let room = unsafe { head.bytes_mut(usize::from(before), count) };
            room.copy_from_slice(&data[..count]);
            head.set_data_len(before + count as u16);
            next.set_data_off(next.data_off() + count as u16);
            next.set_data_len(next.data_len() - count as u16);
            if next.data_len() == 0 {
                head.set_next_ptr(next.next_ptr());
                head.set_nb_segs(head.nb_segs() - 1);
                next.set_next_ptr(std::ptr::null_mut());
                // SAFETY: a segment of ours, unlinked, so it is freed once.
                unsafe { sys::shim_pktmbuf_free_seg(next.as_ptr()) };
            }
            missing -= count;
        }
        true
    }

    /// The same frame again for another destination: the first `private` bytes are copied, into a
    /// fresh first segment with full [`HEADROOM`](crate::HEADROOM) that can be written and
    /// prepended to; the rest is shared with this frame by reference, however long it is. `None`
    /// when `pool` is exhausted, or `private` does not fit an mbuf of it.
    ///
    /// This frame's bytes cannot be written either until its replicas are gone (transmitted *and*
    /// freed by the driver), so to flood to N destinations make N replicas and drop the original.
    pub fn replicate(&self, pool: &Pool, private: usize) -> Option<Mbuf> {
        let private = private.min(self.frame_len());
        let mut frame = pool.alloc()?;
        if !self.read_at(0, frame.append(private)?) {
            return None;
        }
        copy_metadata(self.head(), frame.head());
        if private < self.frame_len() {
            let mut rest = self.share(pool)?;
            rest.strip_front(private);
            frame.chain_behind(rest)?;
        }
        Some(frame)
    }

    /// An indirect mbuf for each segment.
    fn share(&self, pool: &Pool) -> Option<Mbuf> {
        // SAFETY: we own the chain and are on its only thread; DPDK only reads it, and adds to the
        // counts of its buffers. The clone is a chain of its own, whose mbufs are from a live pool.
        unsafe {
            let clone = sys::rte_pktmbuf_clone(self.head.as_ptr(), pool.as_ptr());
            NonNull::new(clone).map(|clone| Self::from_raw(clone))
        }
    }

    /// Appends the segments of `rest`; `None`, and `rest` freed, if there would be too many.
    fn chain_behind(&mut self, rest: Mbuf) -> Option<()> {
        let (head, last, tail) = (self.head(), self.last(), rest.head());
        head.set_nb_segs(head.nb_segs().checked_add(tail.nb_segs())?);
        head.set_pkt_len(head.pkt_len() + tail.pkt_len());
        last.set_next_ptr(rest.into_raw().as_ptr());
        tail.set_nb_segs(1);
        tail.set_pkt_len(u32::from(tail.data_len()));
        Some(())
    }

    /// A deep copy that shares nothing, with full headroom, in as few segments as fit; `None` when
    /// `pool` is exhausted.
    pub fn copy(&self, pool: &Pool) -> Option<Mbuf> {
        if self.frame_len() == 0 {
            // `rte_pktmbuf_copy` takes an offset at the end of the frame for an error.
            return self.replicate(pool, 0);
        }
        // SAFETY: DPDK only reads the chain we own; the copy is a chain of its own from a live
        // pool.
        unsafe {
            let copy = sys::rte_pktmbuf_copy(self.head.as_ptr(), pool.as_ptr(), 0, u32::MAX);
            NonNull::new(copy).map(|copy| Self::from_raw(copy))
        }
    }

    /// The port it was received on.
    #[inline]
    pub fn port(&self) -> Option<PortId> {
        let port = self.head().port();
        (port != u16::MAX).then_some(PortId(port))
    }

    /// Asks for the cache line of the first header, ahead of its use. It reads the mbuf itself,
    /// which the driver has just written.
    #[inline]
    pub fn prefetch(&self) {
        let data = self.head().data_ptr();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch cannot fault, wherever it points.
        unsafe {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(data.cast());
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a prefetch cannot fault, wherever it points.
        unsafe {
            core::arch::asm!(
                "prfm pldl1keep, [{0}]",
                in(reg) data,
                options(nostack, preserves_flags, readonly)
            );
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = data;
    }
}

/// What describes the frame and not the buffer of its head.
fn copy_metadata(from: Segment, to: Segment) {
    to.set_port(from.port());
    to.set_ol_flags((from.ol_flags() & !BUFFER_FLAGS) | (to.ol_flags() & BUFFER_FLAGS));
    to.set_packet_type(from.packet_type());
    to.set_vlan_tci(from.vlan_tci());
    to.set_vlan_tci_outer(from.vlan_tci_outer());
    to.set_rss(from.rss());
    to.set_tx_offload(from.tx_offload());
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: we own the chain, and nothing refers to it any more.
        unsafe { sys::shim_pktmbuf_free(self.head.as_ptr()) }
    }
}

impl std::fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mbuf")
            .field("frame_len", &self.frame_len())
            .field("segments", &self.segments())
            .field("port", &self.port())
            .finish()
    }
}
