//! One `struct rte_mbuf` by its fields: a frame is a chain of these.
//!
//! Only raw reads and writes of single fields here, never a Rust reference to the struct: `refcnt`
//! is changed by other threads while a clone of the buffer is alive, and a reference would promise
//! that nothing of the struct is.

use std::{
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::sys;

/// Says that the data of the segment is elsewhere: in another mbuf, or outside of any.
pub(crate) const BUFFER_FLAGS: u64 = sys::SHIM_MBUF_INDIRECT | sys::SHIM_MBUF_EXTERNAL;

/// A pointer to one segment of a chain that its user owns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment(NonNull<sys::rte_mbuf>);

macro_rules! fields {
    ($($(#[$doc:meta])* $get:ident, $set:ident: $type:ty = $offset:ident;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $get(self) -> $type {
            // SAFETY: see `new`: the struct is alive, and but for its owner no one writes this
            // field.
            unsafe { self.field::<$type>(sys::$offset).read() }
        }

        $(#[$doc])*
        #[inline]
        pub(crate) fn $set(self, value: $type) {
            // SAFETY: as above.
            unsafe { self.field::<$type>(sys::$offset).write(value) }
        }
    )*};
}

impl Segment {
    /// # Safety
    /// `mbuf` is a segment of a chain that the caller owns, and this value is not used after it was
    /// freed or given away. Owning a segment means that no one else touches its struct, with the
    /// exception of `refcnt` (and of the buffer, see [`exclusive`](Self::exclusive)).
    #[inline]
    pub(crate) unsafe fn new(mbuf: NonNull<sys::rte_mbuf>) -> Self {
        Self(mbuf)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut sys::rte_mbuf {
        self.0.as_ptr()
    }

    /// # Safety
    /// `offset` is where `struct rte_mbuf` has a field of type `T`; `csrc/shim.c` asserts the
    /// widths.
    #[inline]
    unsafe fn field<T>(self, offset: usize) -> *mut T {
        // SAFETY: within the struct, by contract.
        unsafe { self.0.as_ptr().byte_add(offset).cast() }
    }

    fields! {
        /// Bytes of the buffer before the data.
        data_off, set_data_off: u16 = SHIM_MBUF_DATA_OFF;
        /// Bytes of data in this segment.
        data_len, set_data_len: u16 = SHIM_MBUF_DATA_LEN;
        /// Bytes of data in the chain; valid in its head.
        pkt_len, set_pkt_len: u32 = SHIM_MBUF_PKT_LEN;
        /// Segments in the chain; valid in its head.
        nb_segs, set_nb_segs: u16 = SHIM_MBUF_NB_SEGS;
        port, set_port: u16 = SHIM_MBUF_PORT;
        ol_flags, set_ol_flags: u64 = SHIM_MBUF_OL_FLAGS;
        packet_type, set_packet_type: u32 = SHIM_MBUF_PACKET_TYPE;
        vlan_tci, set_vlan_tci: u16 = SHIM_MBUF_VLAN_TCI;
        vlan_tci_outer, set_vlan_tci_outer: u16 = SHIM_MBUF_VLAN_TCI_OUTER;
        rss, set_rss: u32 = SHIM_MBUF_RSS;
        tx_offload, set_tx_offload: u64 = SHIM_MBUF_TX_OFFLOAD;
        next_ptr, set_next_ptr: *mut sys::rte_mbuf = SHIM_MBUF_NEXT;
    }

    #[inline]
    pub(crate) fn buf_len(self) -> u16 {
        // SAFETY: as in `fields!`.
        unsafe { self.field::<u16>(sys::SHIM_MBUF_BUF_LEN).read() }
    }

    #[inline]
    pub(crate) fn next(self) -> Option<Self> {
        NonNull::new(self.next_ptr()).map(Self)
    }

    /// The first byte of data.
    #[inline]
    pub(crate) fn data_ptr(self) -> *mut u8 {
        // SAFETY: the buffer's address; the data is within the buffer.
        unsafe {
            self.field::<*mut u8>(sys::SHIM_MBUF_BUF_ADDR)
                .read()
                .add(usize::from(self.data_off()))
        }
    }

    #[inline]
    pub(crate) fn headroom(self) -> u16 {
        self.data_off()
    }

    #[inline]
    pub(crate) fn tailroom(self) -> u16 {
        self.buf_len()
            .saturating_sub(self.data_off())
            .saturating_sub(self.data_len())
    }

    /// Whether no other mbuf refers to the buffer, so that its bytes, head and tail room may be
    /// written.
    ///
    /// A buffer is reached by the mbuf it belongs to and by the indirect mbufs attached to it,
    /// which count in that mbuf's `refcnt`; an external buffer, by the mbufs that count in its
    /// `shinfo`. So *one* in the count of a buffer that is not another mbuf's means: us. It cannot
    /// rise meanwhile, since only a holder can attach a further mbuf, and `Mbuf` is not `Sync`.
    /// `Acquire` pairs with the release of the decrement in DPDK: what others read is read before
    /// we write.
    ///
    /// An indirect segment is never writable, not even as the last holder: its count is in a
    /// struct that is only found through the layout of someone else's pool.
    #[inline]
    pub(crate) fn exclusive(self) -> bool {
        // SAFETY: the field is alive and changed by atomic operations only while others hold it.
        let own = unsafe { &*self.field::<AtomicU16>(sys::SHIM_MBUF_REFCNT) };
        if own.load(Ordering::Acquire) != 1 {
            return false;
        }
        match self.ol_flags() & BUFFER_FLAGS {
            0 => true,
            sys::SHIM_MBUF_EXTERNAL => self.external_exclusive(),
            _ => false,
        }
    }

    #[cold]
    fn external_exclusive(self) -> bool {
        // SAFETY: an mbuf with the external flag has a `shinfo`, alive as long as the mbuf is
        // attached, and its count is changed by atomic operations only.
        let shared = unsafe {
            let shinfo = self.field::<*mut u8>(sys::SHIM_MBUF_SHINFO).read();
            &*shinfo.add(sys::SHIM_SHINFO_REFCNT).cast::<AtomicU16>()
        };
        shared.load(Ordering::Acquire) == 1
    }

    /// The data of this segment.
    ///
    /// # Safety
    /// The caller holds a shared reference to the chain for `'a`.
    #[inline]
    pub(crate) unsafe fn data<'a>(self) -> &'a [u8] {
        // SAFETY: the bytes are in the buffer and initialised (its memory came zeroed from the
        // kernel). Nobody writes them: with an exclusive buffer only through the chain's owner,
        // otherwise not at all.
        unsafe { std::slice::from_raw_parts(self.data_ptr(), usize::from(self.data_len())) }
    }

    /// `length` bytes of the buffer, from `offset` bytes after the start of the data.
    ///
    /// # Safety
    /// The caller holds a unique reference to the chain for `'a`, the buffer is
    /// [`exclusive`](Self::exclusive), and the bytes lie in it.
    #[inline]
    pub(crate) unsafe fn bytes_mut<'a>(self, offset: usize, length: usize) -> &'a mut [u8] {
        // SAFETY: within the buffer, by contract, which only the chain's owner reaches.
        unsafe { std::slice::from_raw_parts_mut(self.data_ptr().add(offset), length) }
    }
}

/// The segments of a chain, first to last.
#[derive(Clone)]
pub(crate) struct Chain(pub(crate) Option<Segment>);

impl Iterator for Chain {
    type Item = Segment;

    #[inline]
    fn next(&mut self) -> Option<Segment> {
        let segment = self.0?;
        self.0 = segment.next();
        Some(segment)
    }
}
