//! What the stages need of a packet and of the devices. DPDK's mbufs and queues
//! are behind these traits in the daemon; plain memory is in tests and fuzzers
//! ([`crate::memory`]).

use arrayvec::ArrayVec;
use vtepd_tables::InterfaceIndex;
use vtepd_wire::checksum::Sum;

use crate::context::Handed;
use crate::drop_reason::DropReason;

/// Packets of one poll.
pub const BURST: usize = 64;

/// The packets of one poll, owned.
pub type Burst<P> = ArrayVec<P, BURST>;

/// An Ethernet frame that this worker owns. Its bytes lie in one or more segments.
pub trait Packet: Sized {
    /// The first segment's bytes.
    fn data(&self) -> &[u8];

    /// The first segment's bytes, to write. Empty when they are shared with
    /// another packet.
    fn data_mut(&mut self) -> &mut [u8];

    /// Length of the frame, all segments.
    fn frame_len(&self) -> usize;

    /// The bytes of a segment; `None` past the last one. Segment 0 is
    /// [`data`](Self::data).
    fn segment(&self, index: usize) -> Option<&[u8]>;

    /// Makes room for `len` bytes in front and returns them. `None` when the
    /// headroom is too small.
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Takes `len` bytes off the front. `false`, and no change, when the first
    /// segment has fewer.
    fn strip_front(&mut self, len: usize) -> bool;

    /// Makes room for `len` bytes at the end of the last segment and returns
    /// them. `None` when there is no tailroom.
    fn append(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Cuts the frame to `len` bytes; a shorter one stays as it is.
    fn truncate(&mut self, len: usize);

    /// Brings the first `len` bytes, or the whole frame when it is shorter, into
    /// the first segment. `false` when that cannot be done.
    fn pull_up(&mut self, len: usize) -> bool;

    /// Whether the sender left work to a device: a checksum to fill in, or several
    /// packets of the wire in one. Virtual devices can hand such frames over.
    fn is_unfinished(&self) -> bool {
        false
    }

    /// Asks for the cache lines of the headers.
    fn prefetch(&self);

    /// Adds `len` bytes from `offset` on to a sum, whatever segments they lie in.
    /// `None` when the frame has fewer.
    fn sum(&self, mut sum: Sum, offset: usize, len: usize) -> Option<Sum> {
        let (mut skip, mut left) = (offset, len);
        let mut index = 0;
        while left > 0 {
            let bytes = self.segment(index)?;
            let part = bytes.get(skip.min(bytes.len())..)?;
            let part = part.get(..left.min(part.len()))?;
            skip = skip.saturating_sub(bytes.len());
            left -= part.len();
            sum = sum.add_bytes(part);
            index += 1;
        }
        Some(sum)
    }
}

/// The devices and the buffers of one worker.
pub trait Io {
    /// Frames of these devices.
    type Packet: Packet;

    /// Receive queues that this worker polls.
    fn queues(&self) -> usize;

    /// Polls a queue: its interface and, added to `burst`, what has come in.
    fn receive(&mut self, queue: usize, burst: &mut Burst<Self::Packet>) -> InterfaceIndex;

    /// Sends a frame out of an interface, at the latest by the next [`flush`](Self::flush).
    fn transmit(&mut self, interface: InterfaceIndex, packet: Self::Packet);

    /// Frees a packet, at the latest by the next [`flush`](Self::flush).
    fn discard(&mut self, packet: Self::Packet);

    /// Gives a packet to the worker with a number, at the latest by the next
    /// [`flush`](Self::flush). What one worker gives another arrives in its order.
    ///
    /// # Errors
    ///
    /// Gives it back: that worker's queue is full, or there is no other worker.
    fn hand_over(
        &mut self,
        worker: u16,
        packet: Self::Packet,
        handed: Handed,
    ) -> Result<(), Self::Packet> {
        let _ = (worker, handed);
        Err(packet)
    }

    /// The next packet that another worker has handed over.
    fn take_handed(&mut self) -> Option<(Self::Packet, Handed)> {
        None
    }

    /// Sends and frees all that waits, and reports what devices and rings refused
    /// since the last call: interface, reason, frames.
    fn flush(&mut self, refused: impl FnMut(InterfaceIndex, DropReason, u64));

    /// An empty packet with headroom. `None` when the pool is empty.
    fn allocate(&mut self) -> Option<Self::Packet>;

    /// A second packet with the same bytes. The first `private` of them may be
    /// written, the rest may be shared with `packet`. `None` when the pool is
    /// empty.
    fn replicate(&mut self, packet: &Self::Packet, private: usize) -> Option<Self::Packet>;

    /// Time stamp counter.
    fn cycles(&self) -> u64;
}
