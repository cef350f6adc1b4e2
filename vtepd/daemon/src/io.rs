//! The queues and rings of one worker.
//!
//! ```text
//!   device queue ─────────────────────────────► burst        transmit ─► device queue
//!   device queue, steered ─┬─ own share ──────►                       └► ring ─► owner's queue
//!                          └─ rings ─► other workers' sources
//! ```
//!
//! A device with a queue for each worker spreads flows itself (RSS). One with
//! fewer is polled by its owner, which spreads them by their hash over rings; and
//! transmitting goes the other way where there are too few transmit queues.
//!
//! Packets whose translation is another worker's go by a queue for each ordered pair of workers
//! ([`Crossings`]), with what that worker needs to begin again.

use dpdk_ffi::{Burst as MbufBurst, Mbuf, Pool, RingConsumer, RingProducer, RxQueue, TxQueue};
use vtepd_datapath::{Burst, DropReason, Handed, Io, Packet};
use vtepd_tables::InterfaceIndex;
use vtepd_wire::flow::FlowHasher;

use crate::crossings::Crossings;
use crate::frame::Frame;

/// Frames up to this length are copied for flooding rather than shared: two mbufs
/// and their reference counts cost more than four cache lines.
const COPY_UP_TO: usize = 256;

/// Where frames come from.
pub enum Source {
    /// A receive queue of our own.
    Queue(RxQueue),
    /// A receive queue whose flows are spread over all workers: by worker, the
    /// lane to it; `None` for ourselves.
    Steered(RxQueue, Vec<Option<Lane>>),
    /// What another worker has for us.
    Ring(RingConsumer),
}

/// The way of steered frames to another worker.
pub struct Lane {
    ring: RingProducer,
    waiting: MbufBurst,
}

impl Lane {
    /// A lane over a ring.
    pub fn new(ring: RingProducer) -> Self {
        Self {
            ring,
            waiting: MbufBurst::new(),
        }
    }
}

/// Where frames go.
pub enum Sink {
    /// A transmit queue of our own, which others send through as well.
    Queue(TxQueue, Vec<RingConsumer>),
    /// The owner of the queue sends for us.
    Ring(RingProducer),
    /// A device that cannot send.
    Nowhere,
}

struct Outgoing {
    sink: Sink,
    waiting: MbufBurst,
    refused: u64,
}

/// The devices as one worker sees them.
pub struct WorkerIo {
    sources: Vec<(InterfaceIndex, Source)>,
    outgoing: Vec<Outgoing>,
    free: MbufBurst,
    pool: Pool,
    flows: FlowHasher,
    crossings: Crossings<(Frame, Handed)>,
    hand_off_refused: u64,
}

impl WorkerIo {
    /// `sinks` by interface. `flows` decides which worker a steered flow belongs to.
    pub fn new(
        sources: Vec<(InterfaceIndex, Source)>,
        sinks: Vec<Sink>,
        pool: Pool,
        flows: FlowHasher,
        crossings: Crossings<(Frame, Handed)>,
    ) -> Self {
        let outgoing = |sink| Outgoing {
            sink,
            waiting: MbufBurst::new(),
            refused: 0,
        };
        Self {
            sources,
            outgoing: sinks.into_iter().map(outgoing).collect(),
            free: MbufBurst::new(),
            pool,
            flows,
            crossings,
            hand_off_refused: 0,
        }
    }

    fn free(&mut self, mbuf: Mbuf) {
        if let Err(mbuf) = self.free.push(mbuf) {
            self.free.clear();
            // There is room now; were there none, dropping frees as well.
            drop(self.free.push(mbuf));
        }
    }
}

impl Outgoing {
    fn send(&mut self) {
        let waiting = self.waiting.len() as u64;
        match &mut self.sink {
            Sink::Queue(queue, _) => {
                self.refused += queue.transmit_or_free(&mut self.waiting).dropped as u64
            }
            Sink::Ring(ring) => {
                self.refused += ring.enqueue_or_free(&mut self.waiting).dropped as u64
            }
            Sink::Nowhere => {
                self.refused += waiting;
                self.waiting.clear();
            }
        }
    }

    /// Sends what other workers have handed over.
    fn send_for_others(&mut self) {
        let Sink::Queue(queue, rings) = &mut self.sink else {
            return;
        };
        for ring in rings {
            let mut burst = MbufBurst::new();
            if ring.dequeue(&mut burst) > 0 {
                self.refused += queue.transmit_or_free(&mut burst).dropped as u64;
            }
        }
    }
}

impl Io for WorkerIo {
    type Packet = Frame;

    fn queues(&self) -> usize {
        self.sources.len()
    }

    #[inline]
    fn receive(&mut self, queue: usize, burst: &mut Burst<Frame>) -> InterfaceIndex {
        let Some((interface, source)) = self.sources.get_mut(queue) else {
            return InterfaceIndex(0);
        };
        let mut received = MbufBurst::new();
        match source {
            Source::Queue(queue) => queue.receive(&mut received),
            Source::Ring(ring) => ring.dequeue(&mut received),
            Source::Steered(queue, lanes) => {
                queue.receive(&mut received);
                self.hand_off_refused += steer(&self.flows, &mut received, lanes);
                received.len()
            }
        };
        burst.extend(received.drain().map(Frame).take(burst.remaining_capacity()));
        *interface
    }

    #[inline]
    fn transmit(&mut self, interface: InterfaceIndex, packet: Frame) {
        let Some(outgoing) = self.outgoing.get_mut(interface.as_usize()) else {
            return self.discard(packet);
        };
        if outgoing.waiting.is_full() {
            outgoing.send();
        }
        if outgoing.waiting.push(packet.0).is_err() {
            outgoing.refused += 1;
        }
    }

    #[inline]
    fn discard(&mut self, packet: Frame) {
        self.free(packet.0);
    }

    #[inline]
    fn hand_over(&mut self, worker: u16, packet: Frame, handed: Handed) -> Result<(), Frame> {
        let refused = self.crossings.hand_over(worker.into(), (packet, handed));
        refused.map_err(|(packet, _)| packet)
    }

    #[inline]
    fn take_handed(&mut self) -> Option<(Frame, Handed)> {
        self.crossings.take()
    }

    #[inline]
    fn flush(&mut self, mut refused: impl FnMut(InterfaceIndex, DropReason, u64)) {
        self.crossings.flush();
        for (index, outgoing) in self.outgoing.iter_mut().enumerate() {
            if !outgoing.waiting.is_empty() {
                outgoing.send();
            }
            outgoing.send_for_others();
            if outgoing.refused > 0 {
                refused(
                    InterfaceIndex(index as u8),
                    DropReason::TransmitFull,
                    std::mem::take(&mut outgoing.refused),
                );
            }
        }
        if self.hand_off_refused > 0 {
            refused(
                InterfaceIndex(0),
                DropReason::HandOffFull,
                std::mem::take(&mut self.hand_off_refused),
            );
        }
        if !self.free.is_empty() {
            self.free.clear();
        }
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.pool.alloc().map(Frame)
    }

    fn replicate(&mut self, packet: &Frame, private: usize) -> Option<Frame> {
        if packet.frame_len() <= COPY_UP_TO {
            packet.0.copy(&self.pool).map(Frame)
        } else {
            packet.0.replicate(&self.pool, private).map(Frame)
        }
    }

    #[inline(always)]
    fn cycles(&self) -> u64 {
        dpdk_ffi::rdtsc()
    }
}

/// Hands frames of other workers' flows over; what is left in the burst is ours.
/// Returns how many found their ring full.
fn steer(flows: &FlowHasher, received: &mut MbufBurst, lanes: &mut [Option<Lane>]) -> u64 {
    let mut ours = MbufBurst::new();
    for mbuf in received.drain() {
        let worker = flows.hash_frame(mbuf.data()) as usize % lanes.len();
        let to = lanes[worker]
            .as_mut()
            .map_or(&mut ours, |lane| &mut lane.waiting);
        // Each is empty and as large as the burst that is dealt out.
        drop(to.push(mbuf));
    }
    *received = ours;
    let lanes = lanes
        .iter_mut()
        .flatten()
        .filter(|lane| !lane.waiting.is_empty());
    lanes
        .map(|lane| lane.ring.enqueue_or_free(&mut lane.waiting).dropped as u64)
        .sum()
}
