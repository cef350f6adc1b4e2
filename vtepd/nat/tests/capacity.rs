//! 4,000,000 sessions in 1 GiB.

mod common;

use std::sync::Mutex;

use common::*;
use vtepd_nat::{Capacity, Description, Limits, OutsideAddress, PoolIndex, Refusal, Settings};
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
    let _alone = ALONE.lock().unwrap();
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

/// Each with a mapping and a port of its own; then one more.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes without optimisation: cargo test --release"
)]
fn four_million_are_filled_and_the_next_is_refused() {
    let _alone = ALONE.lock().unwrap();
    let mut world = four_million();
    let mut frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4("10.0.0.0", SERVER)
        .udp_unchecked(0, 53, b"data");
    let mut send = |number: u32| {
        let host = (0x0a00_0000 + number / 250).to_be_bytes();
        frame[26..30].copy_from_slice(&host);
        let port = 10_000 + number % 250 * 200;
        frame[34..36].copy_from_slice(&(port as u16).to_be_bytes());
        let mut packet = frame[14..].to_vec();
        world
            .nat
            .outbound(&world.rules, &world.externals, &mut packet, world.now)
    };
    for number in 0..4_000_000 {
        assert_eq!(send(number), TRANSLATED, "{number}");
    }
    assert_eq!(refusal(send(4_000_000)), Refusal::SessionsFull);
    // Nothing else suffers.
    assert_eq!(send(1_234_567), TRANSLATED);
    world.nat.audit().unwrap();
    // Their last second, and the one after it.
    world.now += 299;
    assert!(!world.nat.tick(world.now, 10_000));
    assert_eq!(world.sessions(), 4_000_000);
    world.now += 1;
    while world.nat.tick(world.now, 10_000) {}
    assert_eq!(world.sessions(), 0);
}
