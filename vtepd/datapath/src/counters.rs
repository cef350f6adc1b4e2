//! Counters of one worker: it alone writes them, anyone may read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vtepd_tables::InterfaceIndex;

use crate::drop_reason::DropReason;

/// A number that one thread adds to and others read. Adding is a load, an add
/// and a store: no locked instruction, as there is only one writer.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only from the one thread that writes.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Traffic of an interface as one worker saw it.
#[derive(Default)]
pub struct InterfaceCounters {
    /// Frames that came in.
    pub rx_packets: Counter,
    /// Bytes that came in.
    pub rx_bytes: Counter,
    /// Frames that went out or were refused by the device.
    pub tx_packets: Counter,
    /// Bytes of them.
    pub tx_bytes: Counter,
    /// Frames that the device refused.
    pub tx_refused: Counter,
}

/// The timed parts of the packet path. A time stamp is taken between them once
/// per burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Polling a queue that had packets.
    Receive,
    /// Parse, terminate, classify.
    Input,
    /// Learn, answer, bridge.
    Decide,
    /// Encapsulate or tag, replicate, hand to the device's burst.
    Output,
    /// Handing bursts to the devices.
    Transmit,
    /// Deciding on what other workers have handed over, and sending it.
    TakeOver,
    /// Ending translations whose time is over.
    Age,
}

impl Stage {
    /// In the order of a packet, and what is beside its way.
    pub const ALL: [Self; 7] = [
        Self::Receive,
        Self::Input,
        Self::Decide,
        Self::Output,
        Self::Transmit,
        Self::TakeOver,
        Self::Age,
    ];

    /// The name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Input => "input",
            Self::Decide => "decide",
            Self::Output => "output",
            Self::Transmit => "transmit",
            Self::TakeOver => "take-over",
            Self::Age => "age",
        }
    }
}

/// All counters of one worker.
pub struct WorkerCounters {
    interfaces: [InterfaceCounters; InterfaceIndex::COUNT],
    drops: [Counter; DropReason::COUNT],
    stages: [Counter; Stage::ALL.len()],
    /// Packets received.
    pub packets: Counter,
    /// Polls of all queues.
    pub loops: Counter,
    /// Polls that found packets.
    pub busy_loops: Counter,
    /// Messages to us that were read and needed no answer.
    pub consumed: Counter,
    /// ARP requests and neighbour solicitations answered from the tables.
    pub suppressed: Counter,
    /// Frames that were flooded.
    pub flooded: Counter,
    /// Copies that flooding sent or, without a buffer, could not send, beyond the first of each frame.
    /// Packets in and these are packets out, dropped and consumed.
    pub replicas: Counter,
    /// ICMP errors sent about packets that were dropped, and parts beyond the first that
    /// packets were sent in: packets out that never came in.
    pub originated: Counter,
    /// Packets that were routed.
    pub routed: Counter,
    /// Packets that were handed over to other workers, which own their translations.
    pub handed_over: Counter,
    /// Packets that other workers have handed over to this one.
    pub taken_over: Counter,
    /// Packets that had to wait for a word of the translator: fragments before their first, and SYNs from
    /// outside that nobody waits for.
    pub kept: Counter,
    /// Requests of the control thread that the translator refused.
    pub nat_refused: Counter,
    /// Messages to the control thread that found its queue full.
    pub events_lost: Counter,
}

impl WorkerCounters {
    /// All zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            interfaces: std::array::from_fn(|_| InterfaceCounters::default()),
            drops: std::array::from_fn(|_| Counter::default()),
            stages: std::array::from_fn(|_| Counter::default()),
            packets: Counter::default(),
            loops: Counter::default(),
            busy_loops: Counter::default(),
            consumed: Counter::default(),
            suppressed: Counter::default(),
            flooded: Counter::default(),
            replicas: Counter::default(),
            originated: Counter::default(),
            routed: Counter::default(),
            handed_over: Counter::default(),
            taken_over: Counter::default(),
            kept: Counter::default(),
            nat_refused: Counter::default(),
            events_lost: Counter::default(),
        })
    }

    /// Traffic of an interface.
    #[inline(always)]
    pub fn interface(&self, index: InterfaceIndex) -> &InterfaceCounters {
        // 256 interfaces and an 8-bit index: the check folds away.
        #[allow(
            clippy::indexing_slicing,
            reason = "InterfaceIndex is below InterfaceIndex::COUNT by its type"
        )]
        &self.interfaces[index.as_usize()]
    }

    /// Counts a drop.
    #[inline(always)]
    pub fn count_drop(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.drops.get(reason.index()) {
            counter.add(packets);
        }
    }

    /// Packets dropped for a reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(reason.index()).map_or(0, Counter::get)
    }

    /// Adds cycles to a stage.
    #[inline(always)]
    pub fn spend(&self, stage: Stage, cycles: u64) {
        if let Some(counter) = self.stages.get(stage as usize) {
            counter.add(cycles);
        }
    }

    /// Cycles spent in a stage.
    pub fn spent(&self, stage: Stage) -> u64 {
        self.stages.get(stage as usize).map_or(0, Counter::get)
    }
}
