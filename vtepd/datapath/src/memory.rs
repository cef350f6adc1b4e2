//! Packets and devices in plain memory: the pipeline without DPDK, for tests,
//! fuzzers and whoever wants to know what would happen to a packet.

use std::collections::VecDeque;

use vtepd_tables::InterfaceIndex;

use crate::drop_reason::DropReason;
use crate::packet::{BURST, Burst, Io, Packet};

/// Room in front of a frame, as in an mbuf (`RTE_PKTMBUF_HEADROOM`).
pub const HEADROOM: usize = 128;
/// Largest segment.
pub const ROOM: usize = 2048;

/// A frame in one or more vectors.
#[derive(Clone, Debug)]
pub struct MemoryPacket {
    /// Where the first segment begins in `first`.
    start: usize,
    first: Vec<u8>,
    rest: Vec<Vec<u8>>,
}

impl MemoryPacket {
    /// A frame in one segment.
    pub fn new(frame: &[u8]) -> Self {
        Self::scattered(&[frame])
    }

    /// A frame in the segments given.
    pub fn scattered(segments: &[&[u8]]) -> Self {
        Self::with_headroom(HEADROOM, segments)
    }

    /// A frame with `headroom` bytes in front.
    pub fn with_headroom(headroom: usize, segments: &[&[u8]]) -> Self {
        let first = segments.first().copied().unwrap_or_default();
        let rest = segments.get(1..).unwrap_or_default();
        let first = vec![0; headroom]
            .into_iter()
            .chain(first.iter().copied())
            .collect();
        Self {
            start: headroom,
            first,
            rest: rest.iter().map(|bytes| bytes.to_vec()).collect(),
        }
    }

    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        self.rest
            .iter()
            .fold(self.data().to_vec(), |frame, segment| {
                [frame, segment.clone()].concat()
            })
    }
}

impl Packet for MemoryPacket {
    fn data(&self) -> &[u8] {
        self.first.get(self.start..).unwrap_or_default()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.first.get_mut(self.start..).unwrap_or_default()
    }

    fn frame_len(&self) -> usize {
        self.data().len() + self.rest.iter().map(Vec::len).sum::<usize>()
    }

    fn segment(&self, index: usize) -> Option<&[u8]> {
        match index.checked_sub(1) {
            None => Some(self.data()),
            Some(index) => self.rest.get(index).map(Vec::as_slice),
        }
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(len)?;
        self.data_mut().get_mut(..len)
    }

    fn strip_front(&mut self, len: usize) -> bool {
        let fits = self.data().len() >= len;
        if fits {
            self.start += len;
        }
        fits
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        let last = self.rest.last_mut().unwrap_or(&mut self.first);
        let end = last.len();
        if end + len > HEADROOM + ROOM {
            return None;
        }
        last.resize(end + len, 0);
        last.get_mut(end..)
    }

    fn truncate(&mut self, len: usize) {
        let mut left = len.saturating_sub(self.data().len());
        self.first.truncate(self.start + len);
        for segment in &mut self.rest {
            segment.truncate(left);
            left -= segment.len();
        }
        self.rest.retain(|segment| !segment.is_empty());
    }

    fn pull_up(&mut self, len: usize) -> bool {
        let missing = len.min(self.frame_len()).saturating_sub(self.data().len());
        let mut pulled = self.rest.concat();
        if missing == 0 {
            return true;
        }
        let rest = pulled.split_off(missing.min(pulled.len()));
        self.first.extend(pulled);
        self.rest = if rest.is_empty() { vec![] } else { vec![rest] };
        true
    }

    fn prefetch(&self) {}
}

/// Devices that hand out what was put in and keep what was sent.
#[derive(Default)]
pub struct MemoryIo {
    waiting: VecDeque<(InterfaceIndex, MemoryPacket)>,
    /// What was sent, in order.
    pub sent: Vec<(InterfaceIndex, MemoryPacket)>,
    /// Packets that were freed rather than sent.
    pub discarded: usize,
    /// Packets that can still be allocated; `None`: any number.
    pub pool: Option<usize>,
    /// What [`Io::cycles`] says.
    pub cycles: u64,
}

impl MemoryIo {
    /// Puts a frame where the next poll finds it.
    pub fn arrive(&mut self, interface: InterfaceIndex, packet: MemoryPacket) {
        self.waiting.push_back((interface, packet));
    }

    fn take(&mut self) -> Option<()> {
        if let Some(pool) = &mut self.pool {
            *pool = pool.checked_sub(1)?;
        }
        Some(())
    }
}

impl Io for MemoryIo {
    type Packet = MemoryPacket;

    fn queues(&self) -> usize {
        1
    }

    fn receive(&mut self, _: usize, burst: &mut Burst<MemoryPacket>) -> InterfaceIndex {
        let interface = self
            .waiting
            .front()
            .map_or(InterfaceIndex(0), |(interface, _)| *interface);
        while burst.len() < BURST
            && let Some((_, packet)) = self.waiting.pop_front_if(|(other, _)| *other == interface)
        {
            burst.push(packet);
        }
        interface
    }

    fn transmit(&mut self, interface: InterfaceIndex, packet: MemoryPacket) {
        self.sent.push((interface, packet));
    }

    fn discard(&mut self, _: MemoryPacket) {
        self.discarded += 1;
    }

    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {}

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.take().map(|()| MemoryPacket::new(&[]))
    }

    fn replicate(&mut self, packet: &MemoryPacket, private: usize) -> Option<MemoryPacket> {
        self.take()?;
        let frame = packet.frame();
        let (private, shared) = frame.split_at_checked(private)?;
        Some(MemoryPacket::scattered(&[private, shared]))
    }

    fn cycles(&self) -> u64 {
        self.cycles
    }

    fn cycles_per_second(&self) -> u64 {
        1_000_000_000
    }
}
