//! What a packet costs: `cargo bench -p vtepd-nat [-- sessions…]`, by default with 1, 64k, 1M and 4M sessions.
//!
//! Whole calls: look at the packet, find its session, refresh it, rewrite and patch. Packets pick their session at
//! random and are taken in bursts of 64 in three steps with prefetch, as a worker does; and one by one, which shows
//! what the prefetch is worth. Copying the packet's header from a template is part of every figure, and printed first.
//! In cycles of the processor's nominal rate; the best and the median of the rounds.

use std::hint::black_box;
use std::time::Instant;

use vtepd_nat::{
    Capacity, Description, Externals, Limits, OutsideAddress, PoolIndex, PoolOwner, Refusal, Rules,
    Settings, Slices, SubscriberIndex, Translator, Verdict,
};
use vtepd_tables::VrfIndex;
use vtepd_wire::craft;
use vtepd_wire::hash::KeyedHash;

const BURST: usize = 64;
const ROUNDS: usize = 15;
const PACKETS: usize = 1 << 18;
/// Sessions that one outside address carries here.
const PER_ADDRESS: u32 = 45_000;
const PACKET: usize = 42;

type Packet = [u8; PACKET];

struct World {
    nat: Translator,
    rules: Rules,
    externals: Externals,
    sessions: u32,
}

fn main() {
    let sizes: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        vec![1, 65_536, 1 << 20, 4_000_000]
    } else {
        sizes
    };
    println!("{:.2} cycles in a nanosecond", cycles_per_nanosecond());
    for sessions in sizes {
        measure(sessions);
    }
}

fn measure(sessions: u32) {
    let mut world = World::new(sessions);
    let template = world.outbound(0);
    let start = Instant::now();
    for first in (0..sessions).step_by(BURST) {
        // Their checksums are not looked at, only patched.
        let mut packets = [template; BURST];
        for (number, packet) in (first..).zip(&mut packets) {
            let (host, port) = endpoint(number.min(sessions - 1));
            packet[12..16].copy_from_slice(&host);
            packet[20..22].copy_from_slice(&port.to_be_bytes());
        }
        outbound(&mut world, &mut packets, 1);
    }
    let opened = start.elapsed().as_secs_f64();
    let usage = world.nat.usage();
    println!(
        "\n{sessions} sessions: {} MiB, {:.2} million opened in a second",
        usage.bytes >> 20,
        f64::from(sessions) / opened / 1e6
    );
    assert_eq!(usage.sessions.used, sessions as usize);
    assert!(usage.bytes <= 1 << 30);
    // One more than there may be.
    let mut packet = world.outbound(sessions);
    let verdict = world
        .nat
        .outbound(&world.rules, &world.externals, &mut packet, 1);
    assert_eq!(verdict, Verdict::Refused(Refusal::SessionsFull));

    let random = KeyedHash::new(7, 8);
    let numbers: Vec<u32> = (0..PACKETS as u64)
        .map(|n| (((random.hash_u64(n) >> 32) * u64::from(sessions)) >> 32) as u32)
        .collect();
    let out: Vec<Packet> = numbers
        .iter()
        .map(|number| world.outbound(*number))
        .collect();
    let back: Vec<Packet> = out.iter().map(|packet| world.inbound(packet)).collect();

    print("copying the packet", || {
        bursts(&out, |packets| {
            black_box(packets);
        })
    });
    print("outbound, bursts of 64", || {
        bursts(&out, |packets| {
            outbound(&mut world, packets, 2);
        })
    });
    print("inbound, bursts of 64", || {
        bursts(&back, |packets| {
            let (nat, rules) = (&mut world.nat, &world.rules);
            let lookups = packets
                .each_ref()
                .map(|packet| nat.inbound_hash(rules, packet).unwrap());
            lookups
                .iter()
                .for_each(|lookup| nat.inbound_prefetch(lookup));
            for (packet, lookup) in packets.iter_mut().zip(&lookups) {
                let _ = black_box(nat.inbound_found(rules, packet, lookup, 2));
            }
        })
    });
    print("outbound, one by one", || {
        bursts(&out, |packets| {
            for packet in packets {
                let _ = black_box(
                    world
                        .nat
                        .outbound(&world.rules, &world.externals, packet, 2),
                );
            }
        })
    });
    let mut second = 2;
    print("a second's tick, nothing due", || {
        let start = Instant::now();
        for _ in 0..16 {
            second += 1;
            black_box(world.nat.tick(second, 64));
        }
        cycles(start) / 16.0
    });
    let start = Instant::now();
    let mut calls = 0u32;
    while world.nat.tick(second + 300, 1024) {
        calls += 1;
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(sessions);
    println!(
        "{each:9.0} ns      each of all sessions ended at once, in {} ticks of 1024",
        calls + 1
    );
    assert_eq!(world.nat.usage().sessions.used, 0);
}

/// A burst, as a worker takes it.
fn outbound(world: &mut World, packets: &mut [Packet; BURST], now: u32) {
    let (nat, rules) = (&mut world.nat, &world.rules);
    let lookups = packets
        .each_ref()
        .map(|packet| nat.outbound_hash(rules, packet).expect("packets are sound"));
    for lookup in &lookups {
        nat.outbound_prefetch(rules, lookup);
    }
    for (packet, lookup) in packets.iter_mut().zip(&lookups) {
        let verdict = nat.outbound_found(rules, &world.externals, packet, lookup, now);
        assert_eq!(verdict, Verdict::Translated { hairpin: false });
    }
}

impl World {
    fn new(sessions: u32) -> Self {
        let addresses = sessions.div_ceil(PER_ADDRESS) as u16;
        let capacity = Capacity {
            sessions,
            // The figure in MiB is that of a worker as it is configured, not of the smallest that would do.
            pools: 128,
            ..Capacity::default()
        };
        let limits = Limits {
            sessions: u32::MAX,
            sessions_per_second: u32::MAX,
            ports: u32::MAX,
            fragments: 256,
        };
        let settings = Settings {
            limits,
            ..Settings::default()
        };
        let keys = KeyedHash::new(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
        let slices = Slices::new(0, 1, keys).expect("one worker");
        let mut nat = Translator::new(capacity, settings, slices, keys, 1);
        let router = VrfIndex::new(1).expect("not zero");
        let outside: Vec<OutsideAddress> = (0..addresses)
            .map(|pool| OutsideAddress {
                address: [198, 51, 100, pool as u8 + 1].into(),
                pool: PoolIndex(pool),
            })
            .collect();
        for one in &outside {
            let owner = PoolOwner {
                router,
                subscriber: SubscriberIndex(0),
                address: one.address,
            };
            nat.open_pool(one.pool, owner).expect("vacant");
        }
        let description = Description {
            outside,
            ..Description::default()
        };
        let rules = Rules::new(router, &description).expect("sound");
        let externals = Externals::new([&rules]).expect("one router");
        Self {
            nat,
            rules,
            externals,
            sessions,
        }
    }

    /// The packet of a session from inside.
    fn outbound(&self, number: u32) -> Packet {
        let (host, port) = endpoint(number);
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(host, [203, 0, 113, 9])
            .udp(port, 53, b"01234567890123");
        *frame[14..].first_chunk().expect("long enough")
    }

    fn inbound(&mut self, out: &Packet) -> Packet {
        let mut sent = *out;
        let verdict = self
            .nat
            .outbound(&self.rules, &self.externals, &mut sent, 2);
        assert!(
            matches!(verdict, Verdict::Translated { .. }),
            "{verdict:?} of {}",
            self.sessions
        );
        let outside = *sent[12..].first_chunk::<4>().expect("long enough");
        let port = u16::from_be_bytes([sent[20], sent[21]]);
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([203, 0, 113, 9], outside)
            .udp(53, port, b"01234567890123");
        *frame[14..].first_chunk().expect("long enough")
    }
}

/// The inside of a session: 250 ports of each host, so that addresses are evenly used.
fn endpoint(number: u32) -> ([u8; 4], u16) {
    let host = (0x0a00_0000 + number / 250).to_be_bytes();
    (host, (10_000 + number % 250 * 200) as u16)
}

/// Cycles per packet of one pass over all packets.
fn bursts(packets: &[Packet], mut burst: impl FnMut(&mut [Packet; BURST])) -> f64 {
    let (chunks, _) = packets.as_chunks::<BURST>();
    let start = Instant::now();
    for chunk in chunks {
        let mut work = *chunk;
        burst(&mut work);
    }
    cycles(start) / (chunks.len() * BURST) as f64
}

fn print(name: &str, mut round: impl FnMut() -> f64) {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    println!(
        "{:9.1} {:9.1} cycles  {name} (best, median)",
        rounds[0],
        rounds[ROUNDS / 2]
    );
}

fn cycles(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 * cycles_per_nanosecond()
}

/// What the clock counts in a nanosecond: the rate of the processor as the system tells it, where it does.
fn cycles_per_nanosecond() -> f64 {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = told.lines().find(|line| line.starts_with("cpu MHz"));
    let rate = line.and_then(|line| line.split(':').nth(1)?.trim().parse::<f64>().ok());
    rate.map_or(1.0, |mhz| mhz / 1000.0)
}
