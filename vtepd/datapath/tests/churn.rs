//! While the control thread changes the FDB as fast as it can, a steady stream
//! through the same tables loses nothing and sees no wrong packet: real threads,
//! the real worker, over memory.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::*;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::packet::{BURST, Burst, Io, Packet};
use vtepd_datapath::{Channel, DropReason, Idle, Worker, WorkerCounters, WorkerState};
use vtepd_tables::{AdjacencyIndex, FdbEntry, FdbKey, InterfaceIndex, Origin};
use vtepd_wire::Mac;
use vtepd_wire::flow::FlowHasher;

const CHANGES: u64 = 100_000;
/// MACs that come and go: more than the first array of the FDB has room for, so
/// that it grows under the stream.
const CHURNING: u64 = 5_000;
/// MACs that stay where they are and get the stream.
const STEADY: u64 = 64;

fn steady(number: u64) -> Mac {
    Mac::from_u64(0x0200_0001_0000 | number)
}

fn churning(number: u64) -> Mac {
    Mac::from_u64(0x0200_0002_0000 | number)
}

/// Devices that hand out the same frames for ever and check what is sent.
struct Stream {
    memory: MemoryIo,
    frames: Vec<Vec<u8>>,
    next: usize,
    received: u64,
    delivered: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Stream {
    /// To a steady MAC goes what its number says: even ones to PORT2, odd ones to PEER.
    fn check(&self, interface: InterfaceIndex, packet: &MemoryPacket) -> Result<(), String> {
        let sent = packet.frame();
        let inner = match interface {
            UNDERLAY => &sent[v4::INNER..],
            _ => &sent[..],
        };
        let number = u64::from(inner[5]);
        let expected = if number % 2 == 0 { PORT2 } else { UNDERLAY };
        if interface != expected {
            return Err(format!("MAC {number} left by interface {interface}"));
        }
        if interface == UNDERLAY && sent[30..34] != [192, 0, 2, 12] {
            return Err(format!("MAC {number} left for another VTEP: {sent:02x?}"));
        }
        if inner != self.frames[number as usize] {
            return Err(format!("not the frame that came in: {sent:02x?}"));
        }
        vtepd_wire::craft::verify(&sent).map_err(|error| error.to_string())
    }
}

impl Io for Stream {
    type Packet = MemoryPacket;

    fn queues(&self) -> usize {
        1
    }

    fn receive(&mut self, _: usize, burst: &mut Burst<MemoryPacket>) -> InterfaceIndex {
        for _ in 0..BURST {
            burst.push(MemoryPacket::new(&self.frames[self.next]));
            self.next = (self.next + 1) % self.frames.len();
            self.received += 1;
        }
        PORT1
    }

    fn transmit(&mut self, interface: InterfaceIndex, packet: MemoryPacket) {
        match self.check(interface, &packet) {
            Ok(()) => _ = self.delivered.fetch_add(1, Ordering::Relaxed),
            Err(wrong) => self.wrong.lock().unwrap().push(wrong),
        }
    }

    fn discard(&mut self, packet: MemoryPacket) {
        let wrong = format!("dropped a frame of {} bytes", packet.frame_len());
        self.wrong.lock().unwrap().push(wrong);
    }

    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {}

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.memory.allocate()
    }

    fn replicate(&mut self, packet: &MemoryPacket, private: usize) -> Option<MemoryPacket> {
        self.memory.replicate(packet, private)
    }

    fn cycles(&self) -> u64 {
        self.received
    }

    fn cycles_per_second(&self) -> u64 {
        1_000_000
    }
}

#[test]
fn a_steady_stream_loses_nothing_while_the_fdb_churns() {
    let mut host = host();
    let [port, peer, other] = [
        host.at_port(PORT2, 0),
        host.at_vtep(PEER),
        host.at_vtep(PEER6),
    ];
    let entry = |adjacency: AdjacencyIndex| FdbEntry {
        adjacency,
        origin: Origin::Static,
    };
    for number in 0..STEADY {
        let at = if number % 2 == 0 { port } else { peer };
        let key = FdbKey::new(red(), steady(number));
        host.tables.fdb.insert(key, entry(at), 0).unwrap();
    }
    host.tables.publish();
    let delivered = Arc::new(AtomicU64::new(0));
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let stream = Stream {
        memory: MemoryIo::default(),
        frames: (0..STEADY)
            .map(|number| udp(&steady(number).to_string(), VM1, number as usize))
            .collect(),
        next: 0,
        received: 0,
        delivered: Arc::clone(&delivered),
        wrong: Arc::clone(&wrong),
    };
    let counters = WorkerCounters::new();
    let state = WorkerState::new(
        FlowHasher::new(1, 2),
        Arc::clone(&counters),
        Arc::new(Channel::new(64, 64)),
    );
    let reader = host.tables.tables().reader().unwrap();
    let worker = Worker::new(stream, reader, state, Idle::Poll, 0);
    let stop = AtomicBool::new(false);
    let first_buckets = host.tables.fdb.buckets();
    let stream = std::thread::scope(|scope| {
        let running = scope.spawn(|| worker.run(&stop));
        for change in 0..CHANGES {
            let key = FdbKey::new(red(), churning(change % CHURNING));
            // Comes, moves, and goes again half of a round later.
            host.tables.fdb.insert(key, entry(port), 0).unwrap();
            host.tables.fdb.insert(key, entry(other), 0).unwrap();
            let gone = churning((change + CHURNING / 2) % CHURNING);
            host.tables.fdb.remove(FdbKey::new(red(), gone));
            if change % 64 == 0 {
                host.tables.collect();
            }
        }
        // The stream must have had its share of the time, whatever else runs here.
        while delivered.load(Ordering::Relaxed) < 100_000 && !running.is_finished() {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    let wrong = wrong.lock().unwrap();
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
    assert_eq!(delivered.load(Ordering::Relaxed), stream.received);
    for &reason in DropReason::ALL {
        assert_eq!(counters.drops(reason), 0, "{}", reason.name());
    }
    assert_eq!(counters.packets.get(), stream.received);
    assert_eq!(counters.flooded.get(), 0);
    assert!(host.tables.fdb.buckets() > first_buckets, "grew meanwhile");
}
