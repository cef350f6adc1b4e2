//! Several workers: whatever lands where, each session has one owner, and nothing is lost or out of order on the way to
//! him. The workers are real, their devices memory, and their turns the test's.

mod common;

use std::collections::{BTreeMap, HashMap};

use allocation_counter::measure;
use common::*;
use proptest::prelude::*;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::{DropReason, Idle, NatRequest, SessionCursor, Worker};
use vtepd_nat::{SessionFilter, Settings};
use vtepd_tables::InterfaceIndex;
use vtepd_wire::craft;
use vtepd_wire::flow::FlowHasher;

/// How packets are dealt to workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deal {
    /// All to the first: a device with one queue.
    OneQueue,
    /// By what the packet's flow looks like: RSS. The two directions have nothing in common.
    ByHash,
    /// To any.
    Random,
}

const STATIONS: u8 = 24;
const FLOWS: u8 = 3;
const ROUNDS: u8 = 5;

/// The workers of a host with SNAT and some stations.
struct Rig {
    host: Host,
    crew: Crew,
    workers: Vec<Worker<MemoryIo>>,
    drawn: u64,
}

/// Room of each queue between two workers.
const ROOM: usize = 1024;

fn station_mac(station: u8) -> String {
    format!("fa:16:3e:00:10:{station:02x}")
}

fn station_ip(station: u8) -> String {
    format!("10.0.0.{}", 20 + station)
}

impl Rig {
    fn new(workers: u16, room: usize) -> Self {
        let description = snat(&[QG_IP]);
        let mut host = outside_host(&description);
        for station in 0..STATIONS {
            let at = host.at_port(PORT1, 0);
            host.station(red(), &station_mac(station), &[&station_ip(station)], at);
        }
        host.tables.publish();
        let crew = Crew::new(workers);
        let ios = MemoryIo::of_workers(workers.into(), room);
        let numbered = (0..).zip(ios);
        let workers = numbered.map(|(number, io)| crew.worker(&host, number, io, Idle::Poll));
        let workers = workers.collect();
        // Before they run: what is told now is heard in the first turn.
        crew.open(ROUTER_1, &description);
        Self {
            host,
            crew,
            workers,
            drawn: 1,
        }
    }

    /// The next of some numbers below `end` (Marsaglia's xorshift).
    fn draw(&mut self, end: usize) -> usize {
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        (self.drawn % end as u64) as usize
    }

    fn deal(&mut self, deal: Deal, frame: &[u8]) -> usize {
        match deal {
            Deal::OneQueue => 0,
            Deal::ByHash => FlowHasher::new(3, 4).hash_frame(frame) as usize % self.workers.len(),
            Deal::Random => self.draw(self.workers.len()),
        }
    }

    /// Frames come in; now and then a worker has a turn.
    fn arrive(&mut self, deal: Deal, interface: InterfaceIndex, frames: &[Vec<u8>]) {
        for frame in frames {
            let worker = self.deal(deal, frame);
            self.arrive_at(worker, interface, frame);
            if self.draw(4) == 0 {
                let turn = self.draw(self.workers.len());
                self.workers[turn].once();
            }
        }
        self.settle();
    }

    fn arrive_at(&mut self, worker: usize, interface: InterfaceIndex, frame: &[u8]) {
        let packet = MemoryPacket::new(frame);
        self.workers[worker].io().arrive(interface, packet);
    }

    /// Turns until nobody has anything to do.
    fn settle(&mut self) {
        while self
            .workers
            .iter_mut()
            .fold(false, |busy, worker| worker.once() | busy)
        {}
    }

    /// What each worker has sent by an interface, in order.
    #[track_caller]
    fn sent(&mut self, interface: InterfaceIndex) -> Vec<(usize, Vec<u8>)> {
        let mut all = Vec::new();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            for (to, packet) in worker.io().sent.drain(..) {
                let frame = packet.frame();
                assert_eq!(to, interface, "{frame:02x?}");
                assert_eq!(craft::verify(&frame), Ok(()));
                all.push((number, frame));
            }
        }
        all
    }

    fn owner(&self, station: u8) -> usize {
        let address = station_ip(station).parse().unwrap();
        usize::from(self.crew.slices(0).inside_owner(vrf(ROUTER_1), address))
    }

    /// A station of each worker's.
    fn station_of(&self, worker: usize) -> u8 {
        (0..STATIONS)
            .find(|station| self.owner(*station) == worker)
            .unwrap()
    }

    /// Nobody has lost or kept anything, and the tables agree with each other.
    #[track_caller]
    fn all_is_well(&mut self) {
        assert_eq!(self.crew.drops(), []);
        let sum = |read: fn(&vtepd_datapath::WorkerCounters) -> u64| -> u64 {
            self.crew.counters.iter().map(|of| read(of)).sum()
        };
        assert_eq!(
            sum(|of| of.handed_over.get()),
            sum(|of| of.taken_over.get())
        );
        for worker in &self.workers {
            assert_eq!(worker.waiting(), 0);
            assert_eq!(worker.state().translator.audit(), Ok(()));
        }
    }

    /// Opens a session of a station, and returns its outside port.
    fn open(&mut self, station: u8, source: u16) -> u16 {
        let frame = outbound(station, source, &[station]);
        self.arrive_at(0, PORT1, &frame);
        self.settle();
        let sent = self.sent(EXT);
        assert_eq!(sent.len(), 1);
        Parsed::of(&sent[0].1).source.1
    }
}

fn outbound(station: u8, source: u16, payload: &[u8]) -> Vec<u8> {
    let frame = craft::ethernet(GW_RED, station_mac(station).as_str());
    frame
        .ipv4(station_ip(station).as_str(), FAR_IP)
        .udp(source, 53, payload)
}

fn inbound(port: u16, payload: &[u8]) -> Vec<u8> {
    let frame = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
    frame.udp(53, port, payload)
}

/// What of a UDP packet is looked at here.
#[derive(PartialEq, Eq, Debug)]
struct Parsed {
    source: (String, u16),
    destination: (String, u16),
    payload: Vec<u8>,
}

impl Parsed {
    fn of(frame: &[u8]) -> Self {
        let address = |at: usize| {
            let octets: [u8; 4] = frame[at..at + 4].try_into().unwrap();
            std::net::Ipv4Addr::from(octets).to_string()
        };
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        Self {
            source: (address(26), port(34)),
            destination: (address(30), port(36)),
            payload: frame[42..].to_vec(),
        }
    }
}

/// All flows of all stations, a packet of each in turn: station, flow and number are in the payload.
fn rounds(make: impl Fn(u8, u8, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for round in 0..ROUNDS {
        for station in 0..STATIONS {
            for flow in 0..FLOWS {
                frames.push(make(station, flow, &[station, flow, round]));
            }
        }
    }
    frames
}

/// Each flow's packets are all there, each once, and in order where a flow comes in one way.
#[track_caller]
fn assert_flows(sent: &[(usize, Vec<u8>)], in_order: bool) {
    let mut flows: BTreeMap<(u8, u8), Vec<u8>> = BTreeMap::new();
    for (_, frame) in sent {
        let payload = Parsed::of(frame).payload;
        let rounds = flows.entry((payload[0], payload[1])).or_default();
        rounds.push(payload[2]);
    }
    assert_eq!(flows.len(), usize::from(STATIONS) * usize::from(FLOWS));
    for (flow, mut rounds) in flows {
        if !in_order {
            rounds.sort_unstable();
        }
        assert_eq!(rounds, (0..ROUNDS).collect::<Vec<_>>(), "of flow {flow:?}");
    }
}

/// The packets of every session, both ways, leave from the worker that owns it, wherever they came in.
fn each_direction_lands_on_its_owner(workers: u16, deal: Deal, seed: u64) {
    let mut rig = Rig::new(workers, ROOM);
    rig.drawn = seed;
    let source = |flow: u8| 4000 + u16::from(flow);
    let frames = rounds(|station, flow, payload| outbound(station, source(flow), payload));
    rig.arrive(deal, PORT1, &frames);
    let out = rig.sent(EXT);
    assert_flows(&out, deal != Deal::Random);
    let mut ports = HashMap::new();
    for (worker, frame) in &out {
        let packet = Parsed::of(frame);
        let (station, flow) = (packet.payload[0], packet.payload[1]);
        assert_eq!(*worker, rig.owner(station), "of station {station}");
        assert_eq!(packet.source.0, QG_IP);
        let port = packet.source.1;
        let owner = rig.crew.slices(0).outside_owner(port);
        assert_eq!(*worker, usize::from(owner), "of port {port}");
        // One mapping for each flow, whatever worker its packets came in by.
        assert_eq!(*ports.entry((station, flow)).or_insert(port), port);
    }

    let frames = rounds(|station, flow, payload| inbound(ports[&(station, flow)], payload));
    rig.arrive(deal, EXT, &frames);
    let back = rig.sent(PORT1);
    assert_flows(&back, deal != Deal::Random);
    for (worker, frame) in &back {
        let packet = Parsed::of(frame);
        let (station, flow) = (packet.payload[0], packet.payload[1]);
        assert_eq!(*worker, rig.owner(station));
        assert_eq!(packet.destination, (station_ip(station), source(flow)));
        assert_eq!(packet.source, (FAR_IP.to_owned(), 53));
    }
    rig.all_is_well();
    let handed = rig.crew.counters.iter().map(|of| of.handed_over.get());
    let handed: Vec<u64> = handed.collect();
    assert!(handed[0] > 0, "{handed:?}");
    if deal == Deal::OneQueue {
        assert!(handed[1..].iter().all(|by| *by == 0), "{handed:?}");
    }
}

#[test]
fn with_one_queue_each_direction_of_a_session_lands_on_its_owner() {
    each_direction_lands_on_its_owner(2, Deal::OneQueue, 1);
    each_direction_lands_on_its_owner(5, Deal::OneQueue, 2);
}

#[test]
fn with_rss_each_direction_of_a_session_lands_on_its_owner() {
    each_direction_lands_on_its_owner(2, Deal::ByHash, 3);
    each_direction_lands_on_its_owner(5, Deal::ByHash, 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn wherever_packets_land_each_direction_of_a_session_lands_on_its_owner(
        workers in 2u16..7, seed in 1u64..,
    ) {
        each_direction_lands_on_its_owner(workers, Deal::Random, seed);
    }
}

/// RFC 4787, REQ-9: both ends are inside, and their sessions on two workers.
#[test]
fn rfc4787_req9_a_hairpin_passes_both_owners() {
    let mut rig = Rig::new(2, ROOM);
    for (from, to) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        let (asking, asked) = (rig.station_of(from), rig.station_of(to));
        let port = rig.open(asked, 5000);
        for lands in [0, 1] {
            let mac = station_mac(asking);
            let frame = craft::ethernet(GW_RED, mac.as_str());
            let frame = frame.ipv4(station_ip(asking).as_str(), QG_IP);
            rig.arrive_at(lands, PORT1, &frame.udp(6000, port, b"hello"));
            rig.settle();
            let sent = rig.sent(PORT1);
            assert_eq!(sent.len(), 1, "{from} {to} {lands}: {:?}", rig.crew.drops());
            let packet = Parsed::of(&sent[0].1);
            assert_eq!(packet.destination, (station_ip(asked), 5000));
            assert_eq!(packet.source.0, QG_IP);
            assert_eq!(sent[0].0, to, "from the owner of what is asked for");
        }
    }
    rig.all_is_well();
}

/// RFC 4787, REQ-14: the parts of a datagram, in either order, each to either worker.
#[test]
fn rfc4787_req14_fragments_meet_on_one_worker() {
    let mut rig = Rig::new(2, ROOM);
    let payload: Vec<u8> = (0..200).collect();
    let mut identification = 0;
    for owner in [0, 1] {
        let station = rig.station_of(owner);
        let port = rig.open(station, 7000);
        for (way, whole) in [
            (PORT1, outbound(station, 7000, &payload)),
            (EXT, inbound(port, &payload)),
        ] {
            for (lands, order) in [
                ([0, 0], [0, 1]),
                ([0, 1], [1, 0]),
                ([1, 0], [0, 1]),
                ([1, 1], [1, 0]),
            ] {
                identification += 1;
                let parts = craft::fragments(&whole, 150, identification);
                assert_eq!(parts.len(), 2);
                for part in order {
                    rig.arrive_at(lands[part], way, &parts[part]);
                    rig.settle();
                }
                let out = if way == PORT1 { EXT } else { PORT1 };
                let mut sent = rig.sent(out);
                assert_eq!(
                    sent.len(),
                    2,
                    "{owner} {lands:?} {order:?}: {:?}",
                    rig.crew.drops()
                );
                // By where they begin.
                sent.sort_by_key(|(_, frame)| u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff);
                let joined = [&sent[0].1[42..], &sent[1].1[34..]].concat();
                assert_eq!(joined, payload);
                let first = Parsed::of(&sent[0].1);
                match way == PORT1 {
                    true => assert_eq!(first.source, (QG_IP.to_owned(), port)),
                    false => assert_eq!(first.destination, (station_ip(station), 7000)),
                }
            }
        }
    }
    rig.all_is_well();
}

#[test]
fn a_worker_that_lags_loses_what_does_not_fit_and_nothing_else() {
    const LITTLE: usize = 4;
    let mut rig = Rig::new(2, LITTLE);
    let (mine, others) = (rig.station_of(0), rig.station_of(1));
    for number in 0..10 {
        rig.arrive_at(0, PORT1, &outbound(others, 100 + number, b"other's"));
        rig.arrive_at(0, PORT1, &outbound(mine, 100 + number, b"mine"));
    }
    rig.workers[0].once();
    assert_eq!(
        rig.crew.drops(),
        [(DropReason::HandOffFull, 10 - LITTLE as u64)]
    );
    assert_eq!(rig.workers[0].io().discarded, 10 - LITTLE);
    assert_eq!(rig.workers[0].io().sent.len(), 10, "its own pass");
    rig.workers[1].once();
    assert_eq!(rig.workers[1].io().sent.len(), LITTLE);
    // And there is room again.
    rig.arrive_at(0, PORT1, &outbound(others, 100, b"other's"));
    rig.settle();
    assert_eq!(rig.sent(EXT).len(), 10 + LITTLE + 1);
}

#[test]
fn what_is_under_way_when_an_index_is_given_away_goes_nowhere() {
    let mut rig = Rig::new(2, ROOM);
    let station = rig.station_of(1);
    rig.arrive_at(0, PORT1, &outbound(station, 100, b""));
    rig.workers[0].once();
    rig.host.tables.edit().generation += 1;
    rig.host.tables.publish();
    rig.workers[1].once();
    assert_eq!(rig.crew.drops(), [(DropReason::Vacant, 1)]);
    assert_eq!(rig.workers[1].io().discarded, 1);
    let nobody_knows = rig.workers[1].state().translator.usage();
    assert_eq!(nobody_knows.sessions.used, 0);
}

#[test]
fn a_fragment_whose_first_does_not_come_is_given_up() {
    let mut rig = Rig::new(2, ROOM);
    let station = rig.station_of(1);
    let parts = craft::fragments(&outbound(station, 100, &[0; 200]), 150, 1);
    rig.arrive_at(0, PORT1, &parts[1]);
    rig.settle();
    let waiting = |rig: &Rig| rig.workers.iter().map(Worker::waiting).collect::<Vec<_>>();
    assert_eq!(waiting(&rig), [0, 1], "with the owner");
    rig.crew.clock.set(4);
    rig.settle();
    assert_eq!(waiting(&rig), [0, 1]);
    rig.crew.clock.set(5);
    rig.settle();
    assert_eq!(
        waiting(&rig),
        [0, 0],
        "nothing came in, and time passed all the same"
    );
    assert_eq!(rig.crew.drops(), [(DropReason::NatFragmentTimeout, 1)]);
    assert_eq!(rig.workers[1].io().discarded, 1);
}

#[test]
fn sessions_end_when_their_time_is_over_on_idle_workers_too() {
    let mut rig = Rig::new(2, ROOM);
    let source = |flow: u8| 4000 + u16::from(flow);
    let frames = rounds(|station, flow, payload| outbound(station, source(flow), payload));
    rig.arrive(Deal::OneQueue, PORT1, &frames);
    let used = |rig: &Rig| {
        let all = rig.workers.iter().map(|worker| worker.state());
        all.map(|state| state.translator.usage().sessions.used)
            .sum::<usize>()
    };
    assert_eq!(used(&rig), usize::from(STATIONS) * usize::from(FLOWS));
    // UDP: 300 seconds.
    rig.crew.clock.set(299);
    rig.settle();
    assert_eq!(used(&rig), usize::from(STATIONS) * usize::from(FLOWS));
    rig.crew.clock.set(300);
    rig.settle();
    assert_eq!(used(&rig), 0);
}

/// A turn in which the worker must not touch the allocator; its devices may, and have been given room before.
#[track_caller]
fn turn_without_memory(worker: &mut Worker<MemoryIo>) -> bool {
    worker.io().sent.reserve(100);
    let mut busy = false;
    let used = measure(|| busy = worker.once());
    assert_eq!((used.count_total, used.count_current), (0, 0), "{used:?}");
    busy
}

/// What is taken from the allocator and what is given back, on whichever thread: nothing by a worker, whether sessions
/// begin, cross, wait for fragments or end, and whatever it is told and asked.
#[test]
fn workers_neither_allocate_nor_free() {
    let mut rig = Rig::new(2, ROOM);
    let settle = |rig: &mut Rig| {
        let workers = &mut rig.workers;
        while workers
            .iter_mut()
            .fold(false, |busy, worker| turn_without_memory(worker) | busy)
        {}
    };
    settle(&mut rig);
    let stations = [rig.station_of(0), rig.station_of(1)];
    for flow in 0..40 {
        for station in stations {
            rig.arrive_at(0, PORT1, &outbound(station, 2000 + flow, b"first"));
        }
    }
    settle(&mut rig);
    let out = rig.sent(EXT);
    assert_eq!(out.len(), 80);
    for (_, frame) in &out {
        rig.arrive_at(1, EXT, &inbound(Parsed::of(frame).source.1, b"back"));
    }
    let parts = craft::fragments(&outbound(stations[1], 2000, &[0; 200]), 150, 1);
    rig.arrive_at(0, PORT1, &parts[1]);
    settle(&mut rig);
    assert_eq!(rig.sent(PORT1).len(), 80);
    assert_eq!(rig.workers[1].waiting(), 1);
    rig.arrive_at(1, PORT1, &parts[0]);
    settle(&mut rig);
    assert_eq!(rig.sent(EXT).len(), 2);

    let translators = &rig.crew.translators;
    let (all, begin) = (SessionFilter::default(), SessionCursor::default());
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            translators.tell(&[NatRequest::Set(Settings::default()); 100]);
            let page = translators.sessions(&all, begin, 1000).unwrap();
            (page.rows.len(), translators.delete_sessions(&all))
        });
        while !asker.is_finished() {
            rig.workers.iter_mut().for_each(|worker| {
                turn_without_memory(worker);
            });
        }
        assert_eq!(asker.join().unwrap(), (80, Ok(80)));
    });
    for station in stations {
        rig.arrive_at(0, PORT1, &outbound(station, 2000, b"again"));
    }
    settle(&mut rig);
    rig.crew.clock.set(1000);
    settle(&mut rig);
    for worker in &rig.workers {
        assert_eq!(worker.state().translator.usage().sessions.used, 0);
    }
}
