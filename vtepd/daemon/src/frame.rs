//! An mbuf as the packet path wants it.

use dpdk_ffi::Mbuf;
use vtepd_datapath::Packet;

/// An mbuf that the stages may work on.
#[repr(transparent)]
pub struct Frame(pub Mbuf);

impl Packet for Frame {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        self.0.data()
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        self.0.data_mut().unwrap_or_default()
    }

    #[inline(always)]
    fn frame_len(&self) -> usize {
        self.0.frame_len()
    }

    fn segment(&self, index: usize) -> Option<&[u8]> {
        self.0.segment_data(index)
    }

    #[inline(always)]
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.prepend(len)
    }

    #[inline(always)]
    fn strip_front(&mut self, len: usize) -> bool {
        len <= self.0.data().len() && self.0.strip_front(len)
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.append(len)
    }

    fn truncate(&mut self, len: usize) {
        if len < self.0.frame_len() {
            self.0.trim_to(len);
        }
    }

    fn pull_up(&mut self, len: usize) -> bool {
        self.0.pull_up(len)
    }

    #[inline(always)]
    fn is_unfinished(&self) -> bool {
        self.0.needs_checksum() || self.0.is_merged()
    }

    #[inline(always)]
    fn prefetch(&self) {
        self.0.prefetch();
    }
}
