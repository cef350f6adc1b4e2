//! Devices that give the same frames for ever, and look at what comes out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use vtepd_datapath::packet::BURST;
use vtepd_datapath::{Burst, DropReason, Io, Packet};
use vtepd_perf::frames::{Flows, Workload};
use vtepd_tables::InterfaceIndex;

use super::frame::Frame;
use super::tables::{ACCESS, UPLINK};

/// What the stream tells others, once a turn.
#[derive(Default)]
pub struct Tally {
    received: AtomicU64,
    sent: AtomicU64,
    compare: AtomicBool,
    compared: AtomicU64,
    wrong: OnceLock<String>,
}

impl Tally {
    /// Packets given.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Packets that came out.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether what comes out is to be compared.
    pub fn compare(&self, yes: bool) {
        self.compare.store(yes, Ordering::Relaxed);
    }

    /// How many were compared, all right; or what was wrong.
    pub fn compared(&self) -> Result<u64, String> {
        match self.wrong.get() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(self.compared.load(Ordering::Relaxed)),
        }
    }
}

/// Frames of the same length, one after another.
struct Frames {
    bytes: Vec<u8>,
    len: usize,
    next: usize,
}

impl Frames {
    fn new(frames: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut frames = frames.peekable();
        let len = frames.peek().map_or(1, Vec::len);
        let bytes = frames.flatten().collect();
        Self {
            bytes,
            len,
            next: 0,
        }
    }

    #[inline]
    fn next(&mut self) -> &[u8] {
        let at = self.next;
        self.next = if at + 2 * self.len > self.bytes.len() {
            0
        } else {
            at + self.len
        };
        &self.bytes[at..at + self.len]
    }
}

/// The devices of one worker.
pub struct Stream {
    sent: Frames,
    expected: Frames,
    free: Vec<Frame>,
    tally: Arc<Tally>,
    given: u64,
    taken: u64,
    compared: u64,
    comparing: bool,
    clock: quanta::Clock,
}

impl Stream {
    /// What a workload sends, for ever.
    pub fn new(workload: Workload) -> Self {
        let order = workload.order().into_iter();
        Self {
            sent: Frames::new(workload.sent()),
            expected: Frames::new(order.map(|flow| workload.expected(flow))),
            free: (0..2 * BURST).map(|_| Frame::new()).collect(),
            tally: Arc::default(),
            given: 0,
            taken: 0,
            compared: 0,
            comparing: false,
            clock: quanta::Clock::new(),
        }
    }

    /// What it tells.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    #[cold]
    fn wrong(&self, interface: InterfaceIndex, frame: &Frame, expected: &[u8]) {
        let text = format!(
            "packet {} left by interface {interface} as {:02x?} and should by {ACCESS} as {expected:02x?}",
            self.taken,
            frame.data()
        );
        // The first one is enough.
        let _ = self.tally.wrong.set(text);
    }
}

impl Io for Stream {
    type Packet = Frame;

    fn queues(&self) -> usize {
        1
    }

    #[inline]
    fn receive(&mut self, _: usize, burst: &mut Burst<Frame>) -> InterfaceIndex {
        for _ in 0..BURST {
            let mut frame = self.free.pop().unwrap_or_else(Frame::new);
            frame.set(self.sent.next());
            burst.push(frame);
        }
        self.given += BURST as u64;
        UPLINK
    }

    #[inline]
    fn transmit(&mut self, interface: InterfaceIndex, packet: Frame) {
        self.taken += 1;
        if self.comparing {
            let expected = self.expected.next();
            if interface != ACCESS || packet.data() != expected {
                let expected = expected.to_vec();
                self.wrong(interface, &packet, &expected);
            }
            self.compared += 1;
        } else {
            self.expected.next();
        }
        self.free.push(packet);
    }

    #[inline]
    fn discard(&mut self, packet: Frame) {
        self.free.push(packet);
    }

    #[inline]
    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {
        let tally = &self.tally;
        tally.received.store(self.given, Ordering::Relaxed);
        tally.sent.store(self.taken, Ordering::Relaxed);
        tally.compared.store(self.compared, Ordering::Relaxed);
        self.comparing = tally.compare.load(Ordering::Relaxed);
    }

    fn allocate(&mut self) -> Option<Frame> {
        Some(Frame::new())
    }

    fn replicate(&mut self, packet: &Frame, _: usize) -> Option<Frame> {
        let mut copy = Frame::new();
        copy.set(packet.data());
        Some(copy)
    }

    #[inline(always)]
    fn cycles(&self) -> u64 {
        self.clock.raw()
    }
}
