//! A packet in a buffer that is used again and again, as mbufs are.

use vtepd_datapath::Packet;

/// Room in front, as in an mbuf.
const HEADROOM: usize = 128;
/// Bytes of a buffer.
const ROOM: usize = HEADROOM + 2048;

/// A frame in one piece.
pub struct Frame {
    buffer: Box<[u8; ROOM]>,
    begin: usize,
    end: usize,
}

impl Frame {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            buffer: Box::new([0; ROOM]),
            begin: HEADROOM,
            end: HEADROOM,
        }
    }

    /// Makes it another frame. One that is too long is cut.
    #[inline]
    pub fn set(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(ROOM - HEADROOM);
        (self.begin, self.end) = (HEADROOM, HEADROOM + len);
        self.buffer[HEADROOM..HEADROOM + len].copy_from_slice(&bytes[..len]);
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.begin..self.end]
    }

    #[inline(always)]
    fn frame_len(&self) -> usize {
        self.end - self.begin
    }

    fn segment(&self, index: usize) -> Option<&[u8]> {
        (index == 0).then(|| self.data())
    }

    #[inline(always)]
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.begin = self.begin.checked_sub(len)?;
        self.buffer.get_mut(self.begin..self.begin + len)
    }

    #[inline(always)]
    fn strip_front(&mut self, len: usize) -> bool {
        let fits = len <= self.frame_len();
        if fits {
            self.begin += len;
        }
        fits
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.end + len;
        let room = self.buffer.get_mut(self.end..end)?;
        self.end = end;
        Some(room)
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.begin + len);
    }

    fn pull_up(&mut self, _: usize) -> bool {
        // It is in one piece.
        true
    }

    #[inline(always)]
    fn prefetch(&self) {
        // It has just been written.
    }
}
