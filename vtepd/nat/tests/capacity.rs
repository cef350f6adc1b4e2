//! 4,000,000 sessions in 1 GiB.

mod common;

use std::sync::{Mutex, PoisonError};

use common::*;
use vtepd_nat::{
    Capacity, Description, Event, Limits, OutsideAddress, PoolIndex, Refusal, Settings, Usage,
    Verdict,
};
use vtepd_wire::craft;

/// One at a time: the system counts what all threads have.
static ALONE: Mutex<()> = Mutex::new(());

fn four_million() -> World {
    let outside: Vec<OutsideAddress> = (0..90)
        .map(|pool| OutsideAddress {
            address: [198, 18, 0, pool + 1].into(),
            pool: PoolIndex(u16::from(pool)),
        })
        .collect();
    let description = Description {
        outside,
        ..Description::default()
    };
    let capacity = Capacity {
        sessions: 4_000_000,
        ..Capacity::default()
    };
    let settings = Settings {
        limits: Limits {
            sessions: u32::MAX,
            sessions_per_second: u32::MAX,
            ports: u32::MAX,
            fragments: 256,
        },
        ..Settings::default()
    };
    World::new(capacity, settings, &description)
}

#[test]
fn four_million_sessions_and_all_that_belongs_to_them_take_less_than_a_gibibyte() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = four_million();
    let usage = world.nat.usage();
    assert_eq!(usage.sessions.capacity, 4_000_000);
    assert!(usage.bytes <= 1 << 30, "{} MiB", usage.bytes >> 20);
    // Counted by the system too, the test itself included.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib <= 1 << 20, "{} MiB", kib >> 10);
}

/// Hosts inside with 250 ports each, and a packet of each to send.
struct Flood {
    frame: Vec<u8>,
}

impl Flood {
    fn new() -> Self {
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4("10.0.0.0", SERVER)
            .udp_unchecked(0, 53, b"data");
        Self { frame }
    }

    fn send(&mut self, world: &mut World, number: u32) -> Verdict {
        let host = (0x0a00_0000 + number / 250).to_be_bytes();
        self.frame[26..30].copy_from_slice(&host);
        let port = 10_000 + number % 250 * 200;
        self.frame[34..36].copy_from_slice(&(port as u16).to_be_bytes());
        let mut packet = self.frame[14..].to_vec();
        world
            .nat
            .outbound(&world.rules, &world.externals, &mut packet, world.now)
    }
}

/// Each with a mapping and a port of its own; then one more.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes without optimisation: deploy/test capacity"
)]
fn four_million_are_filled_the_next_is_refused_and_each_ends_in_its_second() {
    const SECONDS: u32 = 40;
    const EACH: u32 = 4_000_000 / SECONDS;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut world, mut flood) = (four_million(), Flood::new());
    let begun = world.now;
    for number in 0..4_000_000 {
        if number % EACH == 0 {
            world.now = begun + number / EACH;
            assert!(!world.nat.tick(world.now, 4));
        }
        assert_eq!(flood.send(&mut world, number), TRANSLATED, "{number}");
    }
    let before = world.nat.usage();
    let refused = refusal(flood.send(&mut world, 4_000_000));
    assert_eq!(refused, Refusal::SessionsFull);
    let told = refused.tells().unwrap();
    assert_eq!((told.kind, told.code), (3, 13));
    assert_eq!(world.events(), [Event::SessionsFull]);
    // It is counted, and nothing else suffers.
    let refused = Usage {
        sessions_refused: 1,
        ..before
    };
    assert_eq!(world.nat.usage(), refused);
    for number in (3_900_000..4_000_000).step_by(997) {
        assert_eq!(flood.send(&mut world, number), TRANSLATED);
    }
    world.nat.audit().unwrap();
    // Nothing is due: four steps are enough to see that, with four million as with none.
    while world.now < begun + 299 {
        world.now += 1;
        assert!(!world.nat.tick(world.now, 4));
    }
    for second in 0..SECONDS {
        assert_eq!(world.sessions() as u32, 4_000_000 - second * EACH);
        world.now += 1;
        assert_eq!(ticks(&mut world), EACH / WORK + 1);
    }
    assert_eq!(world.sessions(), 0);
}

/// Steps of a tick.
const WORK: u32 = 1000;

/// How many ticks it takes until nothing is left to do.
fn ticks(world: &mut World) -> u32 {
    (1..)
        .find(|_| !world.nat.tick(world.now, WORK))
        .unwrap_or_default()
}

/// What ends costs as many steps in a table of a thousand as in one of four million, and what does not costs none.
#[test]
fn ageing_takes_steps_by_what_ends_and_not_by_what_there_is() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let steps = |capacity: Capacity, others: u32| {
        let description = Description {
            outside: vec![outside(OUTSIDE, 0)],
            ..Description::default()
        };
        let mut world = World::new(capacity, Settings::default(), &description);
        let mut flood = Flood::new();
        for number in 0..900 {
            assert_eq!(flood.send(&mut world, number), TRANSLATED);
        }
        world.now += 1;
        for number in 900..900 + others {
            assert_eq!(flood.send(&mut world, number), TRANSLATED);
        }
        world.now += 299;
        let calls = (1..).find(|_| !world.nat.tick(world.now, 10)).unwrap();
        assert_eq!(world.sessions() as u32, others);
        calls
    };
    let large = Capacity {
        sessions: 50_000,
        ..small()
    };
    assert_eq!(steps(small(), 0), steps(large, 49_000));
}
