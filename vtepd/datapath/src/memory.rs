//! Packets and devices in plain memory: the pipeline without DPDK, for tests,
//! fuzzers and whoever wants to know what would happen to a packet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use vtepd_tables::InterfaceIndex;

use crate::context::Handed;
use crate::drop_reason::DropReason;
use crate::packet::{BURST, Burst, Io, Packet};

/// Room in front of a frame, as in an mbuf (`RTE_PKTMBUF_HEADROOM`).
pub const HEADROOM: usize = 128;
/// Largest segment.
pub const ROOM: usize = 2048;

/// Bytes of a frame, and the buffer they lie in. Replicas share the buffer; while
/// they do nobody may write it, as with mbufs.
#[derive(Debug)]
struct Segment {
    buffer: Arc<Vec<u8>>,
    /// Where in the buffer the bytes lie.
    range: Range<usize>,
}

impl Segment {
    fn new(headroom: usize, bytes: &[u8]) -> Self {
        let mut buffer = vec![0; headroom];
        buffer.extend(bytes);
        Self {
            range: headroom..buffer.len(),
            buffer: Arc::new(buffer),
        }
    }

    fn shared(&self) -> Self {
        Self {
            buffer: Arc::clone(&self.buffer),
            range: self.range.clone(),
        }
    }

    fn len(&self) -> usize {
        self.range.len()
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.range.clone()).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Arc::get_mut(&mut self.buffer)?.get_mut(self.range.clone())
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.range.start.checked_sub(len)?;
        let buffer = Arc::get_mut(&mut self.buffer)?;
        self.range.start = start;
        buffer.get_mut(start..start + len)
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        let (start, end) = (self.range.end, self.range.end + len);
        let buffer = Arc::get_mut(&mut self.buffer)?;
        if end > HEADROOM + ROOM {
            return None;
        }
        buffer.resize(buffer.len().max(end), 0);
        self.range.end = end;
        buffer.get_mut(start..end)
    }
}

/// A frame in one or more buffers.
#[derive(Debug)]
pub struct MemoryPacket {
    first: Segment,
    rest: VecDeque<Segment>,
}

impl Clone for MemoryPacket {
    /// A deep copy; [`Io::replicate`] makes copies that share.
    fn clone(&self) -> Self {
        let copy = |segment: &Segment| Segment::new(segment.range.start, segment.bytes());
        Self {
            first: copy(&self.first),
            rest: self.rest.iter().map(copy).collect(),
        }
    }
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
        let (first, rest) = segments.split_at(segments.len().min(1));
        Self {
            first: Segment::new(headroom, &first.concat()),
            rest: rest.iter().map(|bytes| Segment::new(0, bytes)).collect(),
        }
    }

    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        let segments = std::iter::once(&self.first).chain(&self.rest);
        segments
            .flat_map(|segment| segment.bytes())
            .copied()
            .collect()
    }
}

impl Packet for MemoryPacket {
    fn data(&self) -> &[u8] {
        self.first.bytes()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.first.bytes_mut().unwrap_or_default()
    }

    fn frame_len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Segment::len).sum::<usize>()
    }

    fn segment(&self, index: usize) -> Option<&[u8]> {
        match index.checked_sub(1) {
            None => Some(self.data()),
            Some(index) => self.rest.get(index).map(Segment::bytes),
        }
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.first.prepend(len)
    }

    fn strip_front(&mut self, len: usize) -> bool {
        let fits = self.first.len() >= len;
        if fits {
            self.first.range.start += len;
        }
        fits
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        self.rest.back_mut().unwrap_or(&mut self.first).append(len)
    }

    fn truncate(&mut self, len: usize) {
        let mut left = len;
        for segment in std::iter::once(&mut self.first).chain(&mut self.rest) {
            let kept = segment.len().min(left);
            segment.range.end = segment.range.start + kept;
            left -= kept;
        }
        self.rest.retain(|segment| segment.len() > 0);
    }

    fn pull_up(&mut self, len: usize) -> bool {
        let len = len.min(self.frame_len());
        while let Some(missing @ 1..) = len.checked_sub(self.first.len()) {
            let Some(next) = self.rest.front_mut() else {
                return false;
            };
            let pulled = missing.min(next.len());
            let Some(room) = self.first.append(pulled) else {
                return false;
            };
            room.copy_from_slice(next.bytes().get(..pulled).unwrap_or_default());
            next.range.start += pulled;
            if next.len() == 0 {
                self.rest.pop_front();
            }
        }
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
    crossings: Option<Crossings>,
}

/// A queue for each ordered pair of workers, as one of them sees them.
struct Crossings {
    worker: usize,
    workers: usize,
    /// By the worker that hands over, then by the one that takes.
    queues: Arc<[ArrayQueue<(MemoryPacket, Handed)>]>,
}

impl Crossings {
    fn queue(&self, from: usize, to: usize) -> Option<&ArrayQueue<(MemoryPacket, Handed)>> {
        self.queues.get(from * self.workers + to)
    }
}

impl MemoryIo {
    /// The devices of several workers, by worker, that hand packets over to each other;
    /// at most `room` wait on their way from one to another.
    pub fn of_workers(workers: usize, room: usize) -> Vec<Self> {
        let pairs = 0..workers * workers;
        let queues: Arc<[_]> = pairs.map(|_| ArrayQueue::new(room)).collect();
        let of = |worker| Self {
            crossings: Some(Crossings {
                worker,
                workers,
                queues: Arc::clone(&queues),
            }),
            ..Self::default()
        };
        (0..workers).map(of).collect()
    }

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

    fn hand_over(
        &mut self,
        worker: u16,
        packet: MemoryPacket,
        handed: Handed,
    ) -> Result<(), MemoryPacket> {
        let to = usize::from(worker);
        let crossings = self.crossings.as_ref();
        let others = crossings.filter(|own| to != own.worker && to < own.workers);
        match others.and_then(|own| own.queue(own.worker, to)) {
            Some(queue) => queue.push((packet, handed)).map_err(|(packet, _)| packet),
            None => Err(packet),
        }
    }

    fn take_handed(&mut self) -> Option<(MemoryPacket, Handed)> {
        let own = self.crossings.as_ref()?;
        let mut to_us = (0..own.workers).filter_map(|from| own.queue(from, own.worker));
        to_us.find_map(ArrayQueue::pop)
    }

    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {}

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.take().map(|()| MemoryPacket::new(&[]))
    }

    fn replicate(&mut self, packet: &MemoryPacket, private: usize) -> Option<MemoryPacket> {
        self.take()?;
        let mut copied = MemoryPacket::new(packet.frame().get(..private)?);
        let mut skip = private;
        for segment in std::iter::once(&packet.first).chain(&packet.rest) {
            let skipped = skip.min(segment.len());
            skip -= skipped;
            let mut shared = segment.shared();
            shared.range.start += skipped;
            if shared.len() > 0 {
                copied.rest.push_back(shared);
            }
        }
        Some(copied)
    }

    fn cycles(&self) -> u64 {
        self.cycles
    }
}
