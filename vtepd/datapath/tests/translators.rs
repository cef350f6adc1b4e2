//! What the control side says to workers and asks of them: before they run, while they do, while they stop, and
//! when one is stuck. The workers are threads, as in the daemon.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::*;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::packet::{Burst, Io};
use vtepd_datapath::{AskError, DropReason, Handed, Idle, NatRequest, SessionCursor};
use vtepd_nat::{
    Event, Limits, PoolIndex, PoolState, Rules, SessionFilter, Settings, SubscriberIndex, Timeouts,
};
use vtepd_tables::InterfaceIndex;
use vtepd_tables::translation::{Description, OutsideAddress};
use vtepd_wire::craft;

/// VM1's packets from ever other hosts and ports, one in a poll.
struct Flood {
    crossings: MemoryIo,
    next: u16,
    sent: Arc<AtomicU64>,
    /// How many come in; then there are no more.
    left: u64,
    /// Empty polls before each: after 64 of them, workers sleep.
    pause: u32,
    polls: u32,
}

impl Flood {
    fn of_workers(workers: u16, packets: u64) -> (Vec<Self>, Arc<AtomicU64>) {
        let sent = Arc::new(AtomicU64::new(0));
        let flood = |crossings| Self {
            crossings,
            next: 0,
            sent: Arc::clone(&sent),
            left: packets,
            pause: 0,
            polls: 0,
        };
        let ios = MemoryIo::of_workers(workers.into(), 4096);
        (ios.into_iter().map(flood).collect(), sent)
    }

    /// From many hosts, so that each worker has some.
    fn frame(&mut self) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        let source = format!("10.0.0.{}", 1 + self.next % 16);
        let frame = craft::ethernet(GW_RED, VM1).ipv4(source.as_str(), FAR_IP);
        frame.udp(1024 + self.next % 512, 53, b"")
    }
}

impl Io for Flood {
    type Packet = MemoryPacket;

    fn queues(&self) -> usize {
        1
    }

    fn receive(&mut self, _: usize, burst: &mut Burst<MemoryPacket>) -> InterfaceIndex {
        self.polls += 1;
        if self.left > 0 && self.polls > self.pause {
            self.polls = 0;
            self.left -= 1;
            burst.push(MemoryPacket::new(&self.frame()));
        }
        PORT1
    }

    fn transmit(&mut self, interface: InterfaceIndex, _: MemoryPacket) {
        // Errors go back to VM1.
        if interface == EXT {
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn discard(&mut self, _: MemoryPacket) {}

    fn hand_over(
        &mut self,
        worker: u16,
        packet: MemoryPacket,
        handed: Handed,
    ) -> Result<(), MemoryPacket> {
        self.crossings.hand_over(worker, packet, handed)
    }

    fn take_handed(&mut self) -> Option<(MemoryPacket, Handed)> {
        self.crossings.take_handed()
    }

    fn flush(&mut self, _: impl FnMut(InterfaceIndex, DropReason, u64)) {}

    fn allocate(&mut self) -> Option<MemoryPacket> {
        None
    }

    fn replicate(&mut self, _: &MemoryPacket, _: usize) -> Option<MemoryPacket> {
        None
    }

    fn cycles(&self) -> u64 {
        0
    }
}

/// A host with SNAT whose rules are still to come.
fn host_without_rules() -> Host {
    let mut host = outside_host(&snat(&[QG_IP]));
    host.tables.edit().set_rules(vrf(ROUTER_1), None);
    host.tables.publish();
    host
}

/// SNAT by one pool.
fn by_pool(number: u16) -> Description {
    Description {
        outside: vec![OutsideAddress {
            address: QG_IP.parse().unwrap(),
            pool: PoolIndex(number),
        }],
        ..Description::default()
    }
}

/// Has workers run while `test` is at it, and looks through their tables at the end.
fn run<R>(
    host: &mut Host,
    crew: &Crew,
    ios: Vec<Flood>,
    idle: Idle,
    test: impl FnOnce(&mut Host) -> R,
) -> R {
    let stop = AtomicBool::new(false);
    let numbered = (0..).zip(ios);
    let workers: Vec<_> = numbered
        .map(|(number, io)| crew.worker(host, number, io, idle))
        .collect();
    std::thread::scope(|scope| {
        for (worker, running) in workers.into_iter().zip(&crew.running) {
            let stop = &stop;
            scope.spawn(move || {
                worker.run(stop);
                running.store(false, Ordering::Release);
            });
        }
        // However the test ends, the workers do.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        test(host)
    })
}

#[track_caller]
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// Rules come and go under traffic, each with a pool of its own, that is opened before and closed after: no worker ever sees
/// rules whose pool it has not opened.
fn rules_come_and_go(idle: Idle, pause: u32) {
    const ROUNDS: u16 = 60;
    const POOLS: u16 = 8;
    let mut host = host_without_rules();
    let crew = Crew::new(2);
    let (mut ios, sent) = Flood::of_workers(2, u64::MAX);
    ios.iter_mut().for_each(|io| io.pause = pause);
    let settings = Settings {
        timeouts: Timeouts {
            rest: 0,
            ..Timeouts::default()
        },
        ..Settings::default()
    };
    crew.translators.tell(&[NatRequest::Set(settings)]);
    run(&mut host, &crew, ios, idle, |host| {
        for round in 0..ROUNDS {
            let pool = PoolIndex(round % POOLS);
            let state = || crew.translators.pools(&[pool]).unwrap()[0].unwrap().state;
            wait_for("the pool's sessions end", || {
                crew.clock.set(crew.clock.get() + 1);
                state() == PoolState::Vacant
            });
            let description = by_pool(pool.0);
            crew.open(ROUTER_1, &description);
            wait_for("all have moved on", || host.tables.synchronize());
            let rules = Arc::new(Rules::new(vrf(ROUTER_1), &description).unwrap());
            host.tables.edit().set_rules(vrf(ROUTER_1), Some(rules));
            host.tables.publish();
            let before = sent.load(Ordering::Relaxed);
            wait_for("packets pass", || {
                sent.load(Ordering::Relaxed) > before + 20
            });
            host.tables.edit().set_rules(vrf(ROUTER_1), None);
            host.tables.publish();
            wait_for("all have moved on", || host.tables.synchronize());
            crew.translators.tell(&[NatRequest::ClosePool(pool)]);
        }
    });
    assert_eq!(
        crew.dropped(DropReason::NatPoolClosed),
        0,
        "{:?}",
        crew.drops()
    );
    assert!(
        crew.dropped(DropReason::NatNoRule) > 0,
        "they came between rules, too"
    );
    let refused = crew.counters.iter().map(|of| of.nat_refused.get());
    assert_eq!(refused.sum::<u64>(), 0);
}

#[test]
fn whoever_sees_rules_has_opened_their_pools() {
    rules_come_and_go(Idle::Poll, 0);
}

/// A worker that sleeps is not waited for: it hears what was told before it looks.
#[test]
fn whoever_wakes_up_has_opened_the_pools_too() {
    rules_come_and_go(Idle::Sleep(Duration::from_micros(100)), 70);
}

#[test]
fn what_was_told_before_the_start_holds_for_the_first_packet() {
    let mut host = host_without_rules();
    let description = by_pool(3);
    let rules = Arc::new(Rules::new(vrf(ROUTER_1), &description).unwrap());
    host.tables.edit().set_rules(vrf(ROUTER_1), Some(rules));
    host.tables.publish();
    let crew = Crew::new(2);
    // As much as anybody likes, in as many portions: nothing is lost, and the last word counts.
    for sessions in 0..10_000 {
        let limits = Limits {
            sessions,
            ..Limits::default()
        };
        crew.translators.tell(&[NatRequest::SetLimits {
            subscriber: SubscriberIndex(0),
            limits: Some(limits),
        }]);
    }
    crew.open(ROUTER_1, &description);
    crew.open(ROUTER_1, &description);
    let (ios, sent) = Flood::of_workers(2, 50);
    run(&mut host, &crew, ios, Idle::Poll, |_| {
        wait_for("all pass", || sent.load(Ordering::Relaxed) == 100);
    });
    assert_eq!(crew.drops(), []);
    for counters in &crew.counters {
        assert_eq!(counters.nat_refused.get(), 1, "it was open already");
    }
}

/// Opens sessions of VM1 and its neighbours: so many, on two workers that run.
fn with_sessions(packets: u64, test: impl FnOnce(&Crew)) {
    let mut host = host_without_rules();
    let description = by_pool(0);
    let rules = Arc::new(Rules::new(vrf(ROUTER_1), &description).unwrap());
    host.tables.edit().set_rules(vrf(ROUTER_1), Some(rules));
    host.tables.publish();
    let crew = Crew::new(2);
    crew.open(ROUTER_1, &description);
    let (ios, sent) = Flood::of_workers(2, packets);
    run(&mut host, &crew, ios, Idle::Poll, |_| {
        wait_for("all pass", || sent.load(Ordering::Relaxed) == 2 * packets);
        test(&crew);
    });
}

#[test]
fn sessions_are_shown_page_by_page_and_end_when_told() {
    // Each worker has had the same packets: one session for each.
    const SESSIONS: usize = 500;
    with_sessions(SESSIONS as u64, |crew| {
        let ask = &crew.translators;
        let all = |filter: &SessionFilter| {
            let (mut rows, mut next) = (Vec::new(), Some(SessionCursor::default()));
            while let Some(from) = next {
                let page = ask.sessions(filter, from, 7).unwrap();
                assert!(page.rows.len() <= 7);
                rows.extend(page.rows);
                next = page.next.map(|at| SessionCursor::from_bits(at.to_bits()));
            }
            rows
        };
        let every = all(&SessionFilter::default());
        assert_eq!(every.len(), SESSIONS);
        for (worker, row) in &every {
            let owner = crew.slices(0).inside_owner(vrf(ROUTER_1), *row.inside.ip());
            assert_eq!(*worker, owner);
        }
        let one = SessionFilter {
            inside: Some("10.0.0.3".parse().unwrap()),
            ..SessionFilter::default()
        };
        let of_one = all(&one);
        assert!(
            of_one
                .iter()
                .all(|(_, row)| row.inside.ip().to_string() == "10.0.0.3")
        );
        let used = |crew: &Crew| -> usize {
            let usage = crew.translators.usage().unwrap();
            usage.iter().map(|of| of.sessions.used).sum()
        };
        assert_eq!(used(crew), SESSIONS);
        assert_eq!(ask.delete_sessions(&one), Ok(of_one.len() as u64));
        assert_eq!(all(&one), []);
        let pool = ask
            .pools(&[PoolIndex(0), PoolIndex(1), PoolIndex(999)])
            .unwrap();
        let [Some(open), Some(vacant), None] = pool[..] else {
            panic!("{pool:?}");
        };
        let left = (SESSIONS - of_one.len()) as u32;
        assert_eq!((open.state, open.sessions), (PoolState::Open, left));
        assert_eq!(vacant.state, PoolState::Vacant);
        // All 65,535 of each protocol are somebody's, and free while nobody uses them.
        assert_eq!(vacant.free, [65_535; 3]);
        assert_eq!(open.free.iter().sum::<u32>(), 3 * 65_535 - open.mappings);
        let tenants = ask
            .subscribers(&[SubscriberIndex(0), SubscriberIndex(1)])
            .unwrap();
        assert_eq!((tenants[0].sessions, tenants[1].sessions), (left, 0));
        assert_eq!(
            ask.delete_sessions(&SessionFilter::default()),
            Ok(left.into())
        );
        assert_eq!(used(crew), 0);
    });
}

#[test]
fn many_may_ask_at_a_time() {
    with_sessions(100, |crew| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let from = SessionCursor::default();
                        let filter = SessionFilter::default();
                        let page = crew.translators.sessions(&filter, from, 1000).unwrap();
                        assert_eq!(page.rows.len(), 100);
                    }
                });
            }
        });
    });
}

#[test]
fn what_runs_out_is_told() {
    let mut host = host_without_rules();
    let description = by_pool(0);
    let rules = Arc::new(Rules::new(vrf(ROUTER_1), &description).unwrap());
    host.tables.edit().set_rules(vrf(ROUTER_1), Some(rules));
    host.tables.publish();
    let crew = Crew::new(1);
    crew.open(ROUTER_1, &description);
    let limits = Limits {
        sessions: 10,
        ..Limits::default()
    };
    let subscriber = SubscriberIndex(0);
    crew.translators.tell(&[NatRequest::SetLimits {
        subscriber,
        limits: Some(limits),
    }]);
    let (ios, sent) = Flood::of_workers(1, 20);
    run(&mut host, &crew, ios, Idle::Poll, |_| {
        let events = &crew.channels[0].nat.events;
        wait_for("it is told", || !events.is_empty());
        let told = events.pop().unwrap();
        let limit =
            matches!(told, Event::SubscriberLimit { subscriber: who, .. } if who == subscriber);
        assert!(limit, "{told:?}");
    });
    assert_eq!(sent.load(Ordering::Relaxed), 10);
}

#[test]
fn a_worker_that_is_stuck_is_named_and_waited_for_once() {
    const SHORT: Duration = Duration::from_millis(800);
    let host = host_without_rules();
    let crew = Crew::with_patience(2, SHORT);
    let ios = MemoryIo::of_workers(2, 16);
    let mut workers: Vec<_> = (0..)
        .zip(ios)
        .map(|(number, io)| crew.worker(&host, number, io, Idle::Poll))
        .collect();
    let silent = AskError::Silent {
        worker: "the worker on core 1".to_owned(),
        milliseconds: 800,
    };
    let stop = AtomicBool::new(false);
    let mut stuck = workers.pop().unwrap();
    std::thread::scope(|scope| {
        let healthy = workers.pop().unwrap();
        scope.spawn(|| healthy.run(&stop));
        assert_eq!(crew.translators.usage(), Err(silent.clone()));
        let begin = Instant::now();
        for _ in 0..100 {
            assert_eq!(crew.translators.usage(), Err(silent.clone()));
        }
        assert!(begin.elapsed() < 10 * SHORT, "it is not waited for again");
        // It moves again, and has an old answer to give first.
        stuck.once();
        scope.spawn(|| stuck.run(&stop));
        let usage = crew.translators.usage();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(usage.unwrap().len(), 2);
    });
}

#[test]
fn a_worker_that_has_ended_is_named_at_once() {
    let mut host = host_without_rules();
    let crew = Crew::new(2);
    let (ios, _) = Flood::of_workers(2, 10);
    run(&mut host, &crew, ios, Idle::Poll, |_| {
        assert_eq!(crew.translators.usage().unwrap().len(), 2);
    });
    let ended = AskError::NotRunning("the worker on core 0".to_owned());
    assert_eq!(ended.to_string(), "the worker on core 0 does not run");
    let begin = Instant::now();
    assert_eq!(crew.translators.usage(), Err(ended.clone()));
    assert_eq!(
        crew.translators.delete_sessions(&SessionFilter::default()),
        Err(ended)
    );
    assert!(begin.elapsed() < PATIENCE);
    // And what is told is nobody's loss.
    crew.open(ROUTER_1, &by_pool(1));
}

/// While workers stop, askers get an answer or are told that there is none.
#[test]
fn nobody_waits_for_workers_that_stop() {
    let host = host_without_rules();
    for _ in 0..20 {
        let crew = Crew::new(1);
        let (mut ios, _) = Flood::of_workers(1, u64::MAX);
        let worker = crew.worker(&host, 0, ios.pop().unwrap(), Idle::Poll);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                worker.run(&stop);
                crew.running[0].store(false, Ordering::Release);
            });
            let asker = scope.spawn(|| {
                let begin = Instant::now();
                while crew.translators.usage().is_ok() {}
                begin.elapsed()
            });
            wait_for("it polls", || crew.counters[0].packets.get() > 10);
            stop.store(true, Ordering::Relaxed);
            assert!(asker.join().unwrap() < PATIENCE);
        });
    }
}
