//! While the control thread changes the FDB as fast as it can, a steady stream
//! through the same tables loses nothing and sees no wrong packet: real threads,
//! the real worker, over memory.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::*;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::{Burst, Io};
use vtepd_datapath::{Channel, DropReason, Idle, Worker, WorkerCounters, WorkerState};
use vtepd_tables::{AdjacencyIndex, FdbEntry, FdbKey, InterfaceIndex, Origin};
use vtepd_wire::Mac;
use vtepd_wire::flow::FlowHasher;

/// Each with tables of its own, that begin small.
const ROUNDS: u64 = 20;
const CHANGES_PER_ROUND: u64 = 5_000;
/// The first MACs of each kind get the stream.
const STREAMED: u64 = 64;
/// A worker must have forwarded so many packets before a round ends.
const PACKETS_PER_ROUND: u64 = 2_000;

/// MACs that stay where they are.
fn steady(number: u64) -> Mac {
    Mac::from_u64(0x0200_0001_0000 | number)
}

/// MACs that come and go.
fn churning(number: u64) -> Mac {
    Mac::from_u64(0x0200_0002_0000 | number)
}

/// Devices that hand out the same frames for ever and check what becomes of them.
struct Stream {
    /// To steady MACs, then to churning ones, in the order of their numbers.
    frames: Vec<Vec<u8>>,
    next: usize,
    received: u64,
    sent: u64,
    /// Frames to churning MACs that were not there.
    unknown: u64,
    forwarded: Arc<AtomicU64>,
    wrong: Vec<String>,
}

impl Stream {
    /// Even numbers are on this host and odd ones behind PEER, whether they stay or come and go.
    fn check(&self, interface: InterfaceIndex, sent: &[u8]) -> Result<(), &'static str> {
        let inner = match interface {
            UNDERLAY => sent.get(v4::INNER..).unwrap_or_default(),
            _ => sent,
        };
        let (kind, number) = (usize::from(inner[3]) - 1, usize::from(inner[5]));
        let expected = if number % 2 == 0 { PORT2 } else { UNDERLAY };
        if inner != self.frames[kind * STREAMED as usize + number] {
            return Err("not the frame that came in");
        }
        if interface != expected {
            return Err("left by another interface");
        }
        if interface == UNDERLAY && sent[30..34] != [192, 0, 2, 12] {
            return Err("left for another VTEP");
        }
        Ok(())
    }
}

impl Io for Stream {
    type Packet = MemoryPacket;

    fn queues(&self) -> usize {
        1
    }

    fn receive(&mut self, _: usize, burst: &mut Burst<MemoryPacket>) -> InterfaceIndex {
        // Short bursts look at the tables often.
        for _ in 0..8 {
            burst.push(MemoryPacket::new(&self.frames[self.next]));
            self.next = (self.next + 1) % self.frames.len();
            self.received += 1;
        }
        PORT1
    }

    fn transmit(&mut self, interface: InterfaceIndex, packet: MemoryPacket) {
        let sent = packet.frame();
        if let Err(wrong) = self.check(interface, &sent) {
            self.wrong
                .push(format!("{wrong}: interface {interface}, {sent:02x?}"));
        }
        self.sent += 1;
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    fn discard(&mut self, packet: MemoryPacket) {
        let frame = packet.frame();
        if frame[3] == 2 {
            self.unknown += 1;
        } else {
            self.wrong.push(format!("lost: {frame:02x?}"));
        }
    }

    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {}

    fn allocate(&mut self) -> Option<MemoryPacket> {
        None
    }

    fn replicate(&mut self, _: &MemoryPacket, _: usize) -> Option<MemoryPacket> {
        None
    }

    fn cycles(&self) -> u64 {
        self.received
    }
}

/// Who is unknown is not flooded but dropped, so that what is sent was looked up.
fn host_without_flooding() -> (Host, [AdjacencyIndex; 2]) {
    let mut host = host();
    host.flood(red(), &[], &[]);
    let ways = [host.at_port(PORT2, 0), host.at_vtep(PEER)];
    for number in 0..STREAMED {
        enter(&mut host, steady(number), number, ways);
    }
    host.tables.publish();
    (host, ways)
}

fn enter(host: &mut Host, mac: Mac, number: u64, ways: [AdjacencyIndex; 2]) {
    let entry = FdbEntry {
        adjacency: ways[number as usize % 2],
        origin: Origin::Static,
    };
    host.tables
        .fdb
        .insert(FdbKey::new(red(), mac), entry, 0)
        .unwrap();
}

fn round() {
    let (mut host, ways) = host_without_flooding();
    let forwarded = Arc::new(AtomicU64::new(0));
    let to = |mac: Mac| udp(&mac.to_string(), VM1, 20);
    let stream = Stream {
        frames: (0..STREAMED)
            .map(steady)
            .chain((0..STREAMED).map(churning))
            .map(to)
            .collect(),
        next: 0,
        received: 0,
        sent: 0,
        unknown: 0,
        forwarded: Arc::clone(&forwarded),
        wrong: Vec::new(),
    };
    let counters = WorkerCounters::new();
    let channel = Arc::new(Channel::new(64, 64));
    let state = WorkerState::new(FlowHasher::new(1, 2), Arc::clone(&counters), channel);
    let reader = host.tables.tables().reader().unwrap();
    let worker = Worker::new(stream, reader, state, Idle::Poll, Arc::default());
    let stop = AtomicBool::new(false);
    let first_buckets = host.tables.fdb.buckets();
    let stream = std::thread::scope(|scope| {
        let running = scope.spawn(|| worker.run(&stop));
        for change in 0..CHANGES_PER_ROUND {
            enter(&mut host, churning(change), change, ways);
            // The streamed ones come and go all the time, the others fill the table.
            let gone = churning(change % STREAMED);
            host.tables.fdb.remove(FdbKey::new(red(), gone));
            enter(
                &mut host,
                churning((change + 1) % STREAMED),
                change + 1,
                ways,
            );
            if change % 64 == 0 {
                host.tables.collect();
            }
        }
        // The stream must have had its share of the time, whatever else runs here.
        while forwarded.load(Ordering::Relaxed) < PACKETS_PER_ROUND && !running.is_finished() {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    let counted = DropReason::ALL
        .iter()
        .map(|&reason| (reason, counters.drops(reason)));
    let drops: Vec<_> = counted.filter(|(_, packets)| *packets > 0).collect();
    let wrong = &stream.wrong;
    assert!(
        wrong.is_empty(),
        "{} wrong, the first {}; {drops:?}",
        wrong.len(),
        wrong[0]
    );
    assert_eq!(stream.sent + stream.unknown, stream.received);
    assert_eq!(counters.packets.get(), stream.received);
    assert!(
        drops
            .iter()
            .all(|drop| *drop == (DropReason::NoFloodTarget, stream.unknown)),
        "{drops:?}"
    );
    assert!(
        host.tables.fdb.buckets() > 10 * first_buckets,
        "grew meanwhile"
    );
}

#[test]
fn a_steady_stream_loses_nothing_while_the_fdb_churns() {
    for _ in 0..ROUNDS {
        round();
    }
}
