//! NAT for many: limits, rest, exemption, floods (RFC 6888).

mod common;

use common::*;
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use vtepd_nat::{
    Capacity, Description, Event, Limits, LogRecord, Logged, PoolIndex, PortSet, Protocol, Refusal,
    Settings, SubscriberIndex, Verdict,
};

#[test]
fn rfc6888_req4_a_limit_of_ports() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.ports = 3);
    for port in 1..=3 {
        world.udp((VM, port), (SERVER, 53));
    }
    assert_eq!(
        world.out_refused(&udp((VM, 4), (SERVER, 53))),
        Refusal::SubscriberPorts
    );
    // More sessions of the ports it has are not more ports.
    world.udp((VM, 3), (SERVER2, 53));
    assert_eq!(
        world.events(),
        [Event::SubscriberLimit {
            subscriber: SubscriberIndex(0),
            refusal: Refusal::SubscriberPorts
        }]
    );
}

#[test]
fn rfc6888_req5_a_limit_of_sessions() {
    let mut world = World::snat();
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    world.nat.set_limits(SubscriberIndex(0), Some(limits));
    world.udp((VM, 1), (SERVER, 53));
    world.udp((VM, 2), (SERVER, 53));
    assert_eq!(
        world.out_refused(&udp((VM, 3), (SERVER, 53))),
        Refusal::SubscriberSessions
    );
    // From outside too.
    assert_eq!(
        world.in_refused(&udp((SERVER2, 9), (OUTSIDE, 1))),
        Refusal::SubscriberSessions
    );
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 2);
    world.wait(300);
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 0);
    world.udp((VM, 3), (SERVER, 53));
}

#[test]
fn rfc6888_req5_a_limit_of_new_sessions_in_a_second() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.sessions_per_second = 5);
    for second in 0..3u16 {
        for port in 1..=5 {
            world.udp((VM, second * 100 + port), (SERVER, 53));
        }
        assert_eq!(
            world.out_refused(&udp((VM, 999), (SERVER, 53))),
            Refusal::SubscriberRate
        );
        // Sessions that are open go on.
        world.udp((VM, second * 100 + 1), (SERVER, 53));
        world.wait(1);
    }
}

#[test]
fn one_tenant_does_not_use_up_anothers_share() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let limits = Limits {
        sessions: 100,
        ..Limits::default()
    };
    world.nat.set_limits(SubscriberIndex(0), Some(limits));
    // Another router, of another tenant, with the same addresses inside.
    let other = vtepd_tables::VrfIndex::new(2).unwrap();
    let theirs = vtepd_nat::PoolOwner {
        router: other,
        subscriber: SubscriberIndex(1),
        address: address("10.100.0.99"),
    };
    world.nat.open_pool(PoolIndex(1), theirs).unwrap();
    let description = Description {
        outside: vec![outside("10.100.0.99", 1)],
        subscriber: SubscriberIndex(1),
        ..Description::default()
    };
    let their_rules = vtepd_nat::Rules::new(other, &description).unwrap();
    for port in 1..=1000 {
        let _ = world.out_verdict(&udp((VM, port), (SERVER, 53)));
    }
    assert_eq!(world.sessions(), 100);
    let mut packet = udp((VM, 5), (SERVER, 53));
    let verdict = world
        .nat
        .outbound(&their_rules, &world.externals, &mut packet[14..], world.now);
    assert_eq!(verdict, TRANSLATED);
    assert_eq!(
        (source(&packet), ports(&packet).0),
        (address("10.100.0.99"), 5)
    );
    world.nat.audit().unwrap();
}

#[test]
fn rfc6888_req6_destinations_exempt_from_translation() {
    let description = Description {
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    let out = udp((VM, 5000), (SERVER2, 53));
    assert_eq!(world.out_verdict(&out).0, Verdict::Plain);
    let back = udp((SERVER2, 53), (VM, 5000));
    assert_eq!(world.in_verdict(&back).0, Verdict::Plain);
    let about = error(VM, SERVER2, 3, &back, 28);
    assert_eq!(world.out_verdict(&about).0, Verdict::Plain);
    // A router on the way to them is none of them, and is heard about what was sent there (PMTU discovery).
    let about = |about: &[u8]| error("203.0.113.1", VM, 3, about, 28);
    assert_eq!(world.in_verdict(&about(&out)).0, Verdict::Plain);
    for other in [
        udp((VM, 5000), (SERVER, 53)),
        udp((VM2, 5000), (SERVER2, 53)),
    ] {
        assert_eq!(world.in_refused(&about(&other)), Refusal::NotOurs);
    }
    assert_eq!(world.sessions(), 0);
    world.udp((VM, 5000), (SERVER, 53));
}

#[test]
fn rfc6888_req8_a_freed_port_rests_for_others_and_not_for_its_host() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(300);
    assert_eq!(world.sessions(), 0);
    assert_eq!(world.nat.usage().mappings.used, 1);
    world.wait(119);
    assert_ne!(world.udp((VM2, 5000), (SERVER, 53)), 5000);
    // Its own host gets it back at once.
    assert_eq!(world.udp((VM, 5000), (SERVER, 53)), 5000);
    world.wait(300 + 119);
    assert_ne!(world.udp(("192.168.1.11", 5000), (SERVER, 53)), 5000);
    world.wait(1);
    assert_eq!(world.udp(("192.168.1.12", 5000), (SERVER, 53)), 5000);
}

/// REQ-13 and REQ-15 pull at two ends: all ports are used before one is refused, and none can be foreseen.
#[test]
fn rfc6888_req13_every_port_of_a_pool_can_be_used() {
    let capacity = Capacity {
        sessions: 70_000,
        ..small()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(capacity, Settings::default(), &description);
    world.set(|settings| {
        settings.limits.ports = u32::MAX;
        settings.limits.sessions_per_second = u32::MAX;
    });
    for n in 0..64_512u32 {
        // All want the same port.
        let host = format!("10.{}.{}.1", n >> 8 & 255, n & 255);
        world.udp((&host, 5000), (SERVER, 53));
    }
    let usage = world.nat.pool_usage(PoolIndex(0)).unwrap();
    assert_eq!(usage.free[2], 1023, "those below 1024 are left");
    assert_eq!(
        world.out_refused(&udp(("11.0.0.1", 5000), (SERVER, 53))),
        Refusal::PortsExhausted
    );
    assert!(matches!(world.events()[..], [Event::PoolExhausted { .. }]));
    world.nat.audit().unwrap();
}

#[test]
fn a_flood_of_ten_times_the_table_harms_no_session() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let mut ports_of = Vec::new();
    for port in 5000..5050 {
        ports_of.push((port, world.connect((VM, port), (SERVER, 80))));
    }
    let (mut opened, mut refused) = (0, 0);
    for n in 0..10_000u32 {
        let host = format!("192.168.2.{}", n % 250 + 1);
        let port = (n / 250 + 20_000) as u16;
        match world.out_verdict(&udp((&host, port), (SERVER2, 53))).0 {
            Verdict::Translated { .. } => opened += 1,
            Verdict::Refused(Refusal::SessionsFull) => refused += 1,
            other => panic!("{other:?}"),
        }
        let (port, outside) = ports_of[n as usize % 50];
        world.out(&tcp((VM, port), (SERVER, 80), ACK));
        world.inn(&tcp((SERVER, 80), (OUTSIDE, outside), ACK));
    }
    assert_eq!((opened, refused), (950, 9050));
    assert_eq!(world.nat.usage().sessions_refused, 9050);
    assert_eq!(world.events(), [Event::SessionsFull]);
    world.wait(300);
    assert_eq!(world.sessions(), 50);
}

/// With blocks of so many ports, and a log.
fn blocks_of(port_block: u16) -> World {
    let capacity = Capacity {
        log: 1000,
        ..small()
    };
    let settings = Settings {
        port_block,
        ..Settings::default()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    World::new(capacity, settings, &description)
}

fn logged(world: &mut World) -> Vec<LogRecord> {
    std::iter::from_fn(|| world.nat.next_log()).collect()
}

fn what(records: &[LogRecord]) -> Vec<(Logged, String)> {
    let inside = |record: &LogRecord| (record.what, record.inside.to_string());
    records.iter().map(inside).collect()
}

#[test]
fn rfc6888_req12_the_log_says_who_had_which_port_when_and_not_where_to() {
    let mut world = blocks_of(0);
    let begun = world.now;
    world.udp((VM, 5000), (SERVER, 53));
    world.udp((VM, 5000), (SERVER2, 53));
    let port = world.udp((VM2, 5000), (SERVER, 53));
    let taken = logged(&mut world);
    let expected = LogRecord {
        second: begun,
        what: Logged::PortTaken,
        router: 1,
        subscriber: SubscriberIndex(0),
        inside: address(VM),
        outside: address(OUTSIDE),
        protocol: Some(Protocol::Udp),
        ports: PortSet {
            first: 5000,
            last: 5000,
            stride: 16,
        },
    };
    let other = LogRecord {
        inside: address(VM2),
        ports: PortSet {
            first: port,
            last: port,
            stride: 16,
        },
        ..expected
    };
    assert_eq!(taken, [expected, other]);
    // Until nobody else can have had it: with the rest.
    world.wait(300 + 119);
    assert_eq!(logged(&mut world), []);
    world.wait(1);
    let ended = |record: LogRecord| LogRecord {
        second: begun + 420,
        what: Logged::PortFreed,
        ..record
    };
    assert_eq!(logged(&mut world), [ended(expected), ended(other)]);
    // Off, it keeps nothing; on, what nobody takes is lost and counted.
    let mut quiet = World::snat();
    quiet.udp((VM, 5000), (SERVER, 53));
    assert_eq!(quiet.nat.next_log(), None);
    assert_eq!(quiet.nat.usage().log_lost, 0);
    for n in 0..1100u32 {
        let _ = world.out_verdict(&udp((VM, n as u16 + 1), (SERVER, 53)));
        world.now += 1;
        while world.nat.tick(world.now, 64) {}
    }
    assert!(world.nat.usage().log_lost > 0);
    assert_eq!(logged(&mut world).len(), 1000);
}

#[test]
fn rfc6888_req14_a_block_is_one_line_for_many_sessions() {
    let mut world = blocks_of(64);
    let begun = world.now;
    let ports: HashSet<u16> = (1..=64)
        .map(|port| world.udp((VM, 20_000 + port), (SERVER, 53)))
        .collect();
    assert_eq!(ports.len(), 64);
    let records = logged(&mut world);
    let [block] = records[..] else {
        panic!("{records:?}");
    };
    assert_eq!((block.what, block.protocol), (Logged::BlockTaken, None));
    assert_eq!((block.second, block.inside), (begun, address(VM)));
    assert!(ports.iter().all(|port| block.ports.contains(*port)));
    assert_eq!(block.ports.ranges().flatten().count(), 64);
    // For all protocols; another host has another block.
    let sent = world.out(&tcp((VM, 30_000), (SERVER, 80), SYN));
    assert!(block.ports.contains(ports_of(&sent)));
    let sent = world.out(&ping(VM, SERVER, 77));
    assert!(block.ports.contains(ports_of(&sent)));
    assert_eq!(logged(&mut world), []);
    let other = world.udp((VM2, 5000), (SERVER, 53));
    assert!(!block.ports.contains(other));
    let records = logged(&mut world);
    assert_eq!(what(&records), [(Logged::BlockTaken, VM2.into())]);
    // The 65th port of UDP is of a second block.
    let more = world.udp((VM, 40_000), (SERVER, 53));
    assert!(!block.ports.contains(more));
    assert_eq!(world.nat.usage().blocks.used, 3);
    assert_eq!(logged(&mut world).len(), 1);
    world.nat.audit().unwrap();
}

fn ports_of(frame: &[u8]) -> u16 {
    ports(frame).0
}

#[test]
fn rfc6888_req8_a_block_is_freed_when_its_last_port_has_rested() {
    let mut world = blocks_of(16);
    world.udp((VM, 20_000), (SERVER, 53));
    let [taken] = logged(&mut world)[..] else {
        panic!("one block");
    };
    world.wait(100);
    world.udp((VM, 20_002), (SERVER, 53));
    world.wait(300 + 119);
    assert_eq!(logged(&mut world), []);
    assert_eq!(world.nat.usage().blocks.used, 1);
    world.wait(1);
    let freed = LogRecord {
        second: world.now,
        what: Logged::BlockFreed,
        ..taken
    };
    assert_eq!(logged(&mut world), [freed]);
    assert_eq!(world.nat.usage().blocks.used, 0);
    // And with its pool.
    world.udp((VM, 20_000), (SERVER, 53));
    world.nat.close_pool(PoolIndex(0));
    world.wait(1);
    let records = logged(&mut world);
    let events = [Logged::BlockTaken, Logged::BlockFreed];
    assert_eq!(what(&records), events.map(|event| (event, VM.into())));
    assert_eq!(world.nat.usage().blocks.used, 0);
}

#[test]
fn rfc6888_req15_ports_of_a_block_are_hard_to_guess() {
    let mut world = blocks_of(256);
    world.set(|settings| settings.limits.ports = u32::MAX);
    let mut firsts = HashSet::new();
    let mut offsets = HashSet::new();
    for host in 1..=40 {
        let host = format!("192.168.2.{host}");
        let port = world.udp((&host, 20_000), (SERVER, 53));
        let [block] = logged(&mut world)[..] else {
            panic!("one block");
        };
        firsts.insert(block.ports.first);
        offsets.insert(port - block.ports.first);
        let next = world.udp((&host, 20_002), (SERVER, 53));
        assert_ne!(next.abs_diff(port), 0);
    }
    assert_eq!(firsts.len(), 40);
    assert!(offsets.len() > 25, "{offsets:?}");
}

#[test]
fn rfc4787_req3_req4_class_and_parity_hold_within_blocks() {
    let mut world = blocks_of(32);
    let mut taken = HashMap::new();
    for port in [600, 601, 20_000, 20_001, 602, 603] {
        let outside = world.udp((VM, port), (SERVER, 53));
        assert_eq!((outside < 1024, outside % 2), (port < 1024, port % 2));
        taken.insert(port, outside);
    }
    assert_eq!(logged(&mut world).len(), 2, "one of each class");
    // A port that lies in an own block is kept, and no other.
    let own = *taken.get(&20_000).unwrap();
    let free =
        (own - own % 32..own - own % 32 + 32).find(|port| taken.values().all(|own| own != port));
    assert_eq!(world.udp((VM, free.unwrap()), (SERVER, 53)), free.unwrap());
    let elsewhere = if own < 30_000 { 40_000 } else { 20_002 };
    assert_ne!(world.udp((VM, elsewhere), (SERVER, 53)), elsewhere);
    assert_eq!(logged(&mut world), []);
}

#[test]
fn rfc6888_req13_every_block_can_be_used_and_none_is_lent() {
    let mut world = blocks_of(4096);
    let mut hosts = 0;
    let refusal = loop {
        let host = format!("192.168.3.{}", hosts + 1);
        match world.out_verdict(&udp((&host, 5000), (SERVER, 53))).0 {
            TRANSLATED => hosts += 1,
            verdict => break refusal(verdict),
        }
    };
    // 64,512 ports: fifteen blocks and what is left.
    assert_eq!((hosts, refusal), (16, Refusal::PortsExhausted));
    assert!(matches!(world.events()[..], [Event::PoolExhausted { .. }]));
    // Those that have one go on.
    world.udp(("192.168.3.1", 5001), (SERVER, 53));
    world.wait(300 + 120);
    world.udp(("192.168.3.99", 5001), (SERVER, 53));
    world.nat.audit().unwrap();
}

#[test]
fn the_log_tells_who_used_anothers_port() {
    let capacity = Capacity {
        sessions: 70_000,
        log: 70_000,
        ..small()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(capacity, Settings::default(), &description);
    world.set(|settings| {
        settings.limits.ports = u32::MAX;
        settings.limits.sessions_per_second = u32::MAX;
    });
    for n in 0..64_512u32 {
        let host = format!("10.{}.{}.1", n >> 8 & 255, n & 255);
        world.udp((&host, 5000), (SERVER, 53));
    }
    assert_eq!(logged(&mut world).len(), 64_512);
    let port = world.udp((VM, 5000), (SERVER2, 53));
    let [record] = logged(&mut world)[..] else {
        panic!("one record");
    };
    assert_eq!(record.what, Logged::PortBorrowed);
    assert_eq!((record.inside, record.ports.first), (address(VM), port));
    let filter = vtepd_nat::SessionFilter {
        inside: Some(address(VM)),
        ..vtepd_nat::SessionFilter::default()
    };
    let _ = world.nat.delete_sessions(&filter, 0, u32::MAX, world.now);
    let returned = LogRecord {
        what: Logged::PortReturned,
        ..record
    };
    assert_eq!(logged(&mut world), [returned]);
}

#[test]
fn blocks_of_several_workers_are_apart_and_told_as_they_lie() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let capacity = Capacity {
        log: 100,
        ..small()
    };
    let settings = Settings {
        port_block: 64,
        ..Settings::default()
    };
    let mut seen = HashSet::new();
    for worker in 0..3 {
        let mut world = World::worker(worker, 3, capacity, settings, &description);
        for host in 1..60 {
            let host = format!("192.168.1.{host}");
            let (verdict, _) = world.out_verdict(&udp((&host, 20_000), (SERVER, 53)));
            assert!(matches!(verdict, TRANSLATED | Verdict::HandOver { .. }));
        }
        let records = logged(&mut world);
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record.ports.stride, 48);
            assert_eq!(record.ports.ranges().count(), 4);
            for port in record.ports.ranges().flatten() {
                assert_eq!(world.nat.slices().outside_owner(port), worker);
                assert!(seen.insert(port), "{port} of two blocks");
            }
        }
        world.nat.audit().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is opened, ended and set anew: the tables agree, and at each time the log tells for each session whose
    /// port it is.
    #[test]
    fn the_log_names_the_owner_of_every_port(
        steps in prop::collection::vec((0u8..12, 0u8..6, 0u16..40, 0u8..3), 1..120),
    ) {
        let mut world = blocks_of(16);
        let mut had: Vec<LogRecord> = Vec::new();
        for (step, host, port, protocol) in steps {
            let host = format!("192.168.1.{}", host + 1);
            let from = (host.as_str(), 500 + port * 50);
            match step {
                0 => world.wait(60),
                1 => world.wait(300),
                2 => world.set(|settings| settings.port_block = [0, 16, 48, 256][usize::from(port) % 4]),
                _ => {
                    let frame = match protocol {
                        0 => udp(from, (SERVER, 53)),
                        1 => tcp(from, (SERVER, 80), SYN),
                        _ => ping(&host, SERVER, from.1),
                    };
                    // Of the largest blocks there are four below port 1024.
                    let (verdict, _) = world.out_verdict(&frame);
                    let exhausted = Verdict::Refused(Refusal::PortsExhausted);
                    prop_assert!(verdict == TRANSLATED || verdict == exhausted, "{verdict:?}");
                }
            }
            for record in logged(&mut world) {
                match record.what {
                    Logged::BlockTaken | Logged::PortTaken => {
                        let apart = had.iter().all(|other| {
                            other.protocol.is_some() && record.protocol.is_some() && other.protocol != record.protocol
                                || record.ports.ranges().flatten().all(|port| !other.ports.contains(port))
                        });
                        prop_assert!(apart, "{record:?} is another's");
                        had.push(record);
                    }
                    _ => {
                        let same = |other: &LogRecord| {
                            (other.inside, other.ports, other.protocol) == (record.inside, record.ports, record.protocol)
                        };
                        let at = had.iter().position(same);
                        prop_assert!(at.is_some(), "{record:?} was never taken");
                        had.swap_remove(at.unwrap());
                    }
                }
            }
            world.nat.audit().unwrap();
            for row in world.rows() {
                let owners: Vec<&LogRecord> = had
                    .iter()
                    .filter(|record| record.protocol.is_none_or(|protocol| protocol == row.protocol))
                    .filter(|record| record.ports.contains(row.outside.port()))
                    .collect();
                prop_assert_eq!(owners.len(), 1);
                prop_assert_eq!(owners[0].inside, *row.inside.ip());
            }
        }
        world.wait(8000);
        prop_assert_eq!(world.nat.usage().blocks.used, 0);
    }
}
