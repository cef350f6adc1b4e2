//! The routes of a VRF against a kept crate's prefix trie: filling, look-ups, and what
//! a change costs until it can be given to workers.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use vtepd_perf::frames::Random;
use vtepd_perf::results::tables::RouteRow as Row;
use vtepd_perf::summary::Summary;
use vtepd_tables::AdjacencyIndex;
use vtepd_tables::route::{NextHop, RouteWriter, Target, Vrf};

use super::contenders::BURST;

/// Look-ups of one round, each of another address.
const PICKS: usize = 1 << 20;
/// Bursts that are timed together.
const STRETCH: usize = 32;
/// Single changes of one round.
const CHANGES: usize = 1000;
/// Changes that are published together.
const BATCH: usize = 10_000;
/// Different targets.
const TARGETS: usize = 64;

/// What one contender did in one round.
#[derive(Default)]
struct Round {
    insert_ns: f64,
    look_up_cycles: f64,
    change_us: Option<f64>,
    batch_ms: Option<f64>,
    bytes: Option<(f64, f64)>,
}

/// Runs every size.
pub fn run(sizes: &[u32], rounds: usize, progress: &dyn Fn(&str)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &size in sizes {
        rows.extend(run_size::<Ipv4Addr>(size as usize, rounds, progress)?);
        rows.extend(run_size::<Ipv6Addr>(size as usize, rounds, progress)?);
    }
    Ok(rows)
}

fn run_size<A: Family>(size: usize, rounds: usize, progress: &dyn Fn(&str)) -> Result<Vec<Row>> {
    let mut results: [Vec<Round>; 2] = Default::default();
    for round in 0..rounds {
        let routes = Routes::<A>::new(size, round as u64);
        let (ours, sum) = measure_ours(&routes)?;
        results[0].push(ours);
        let (trie, other_sum) = measure_trie(&routes);
        results[1].push(trie);
        ensure!(sum == other_sum, "the tables answer differently");
        progress(&format!(
            "{size} {} routes: round {} of {rounds}",
            A::NAME,
            round + 1
        ));
    }
    let row = |(table, rounds): (&'static str, &Vec<Round>)| {
        let by = |figure: fn(&Round) -> Option<f64>| Summary::of(rounds.iter().filter_map(figure));
        Some(Row {
            family: A::NAME.to_owned(),
            routes: size,
            table: table.to_owned(),
            insert_ns: by(|round| Some(round.insert_ns))?,
            look_up_cycles: by(|round| Some(round.look_up_cycles))?,
            change_us: by(|round| round.change_us),
            batch_ms: by(|round| round.batch_ms),
            bytes: rounds.last()?.bytes,
        })
    };
    let names = ["vtepd VRF", "prefix-trie"];
    Ok(names.into_iter().zip(&results).filter_map(row).collect())
}

/// A family of addresses.
trait Family: Copy {
    const NAME: &'static str;
    type Net: prefix_trie::Prefix + Copy + Ord + Into<IpNet> + From<Self>;

    /// Prefix lengths of the Internet's table with their shares (roughly as in the CIDR
    /// report of 2025).
    fn net(random: &mut Random) -> Self::Net;
    fn within(net: Self::Net, random: &mut Random) -> Self;
    fn prefetch(vrf: &Vrf, address: Self);
    fn find(vrf: &Vrf, address: Self) -> Option<&Target>;
}

fn pick(random: &mut Random, shares: &[(u8, usize)]) -> u8 {
    let mut at = random.below(shares.iter().map(|(_, share)| share).sum());
    let chosen = shares.iter().find(|(_, share)| {
        let here = at < *share;
        at = at.saturating_sub(*share);
        here
    });
    chosen.map_or(0, |(len, _)| *len)
}

impl Family for Ipv4Addr {
    const NAME: &'static str = "IPv4";
    type Net = Ipv4Net;

    fn net(random: &mut Random) -> Ipv4Net {
        let shares = [
            (12, 6),
            (14, 6),
            (16, 14),
            (17, 9),
            (18, 14),
            (19, 26),
            (20, 45),
            (21, 53),
            (22, 113),
            (23, 105),
            (24, 609),
        ];
        let len = pick(random, &shares);
        let unicast = 1 << 24 | random.below(223 << 24) as u32;
        Ipv4Net::new_assert(Self::from_bits(unicast), len).trunc()
    }

    fn within(net: Ipv4Net, random: &mut Random) -> Self {
        let host = random.next_u64() as u32 & net.hostmask().to_bits();
        Self::from_bits(net.network().to_bits() | host)
    }

    fn prefetch(vrf: &Vrf, address: Self) {
        vrf.prefetch_v4(address);
    }

    fn find(vrf: &Vrf, address: Self) -> Option<&Target> {
        vrf.find_v4(address)
    }
}

impl Family for Ipv6Addr {
    const NAME: &'static str = "IPv6";
    type Net = Ipv6Net;

    fn net(random: &mut Random) -> Ipv6Net {
        let shares = [
            (29, 30),
            (32, 120),
            (34, 40),
            (36, 50),
            (40, 100),
            (44, 130),
            (46, 30),
            (47, 20),
            (48, 480),
        ];
        let len = pick(random, &shares);
        // The corners that the registries hand out, thirty or so.
        let corners = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
        let corner = corners[random.below(6)] + random.below(6) as u128;
        let rest = u128::from(random.next_u64()) << 48;
        Ipv6Net::new_assert(Self::from_bits(corner << 112 | rest), len).trunc()
    }

    fn within(net: Ipv6Net, random: &mut Random) -> Self {
        let any = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        Self::from_bits(net.network().to_bits() | any & net.hostmask().to_bits())
    }

    fn prefetch(_: &Vrf, _: Self) {}

    fn find(vrf: &Vrf, address: Self) -> Option<&Target> {
        vrf.find_v6(address)
    }
}

/// Routes, in no order, and addresses within them.
struct Routes<A: Family> {
    routes: Vec<(A::Net, u16)>,
    picks: Vec<[A; BURST]>,
    /// Which routes change, and to what.
    changes: Vec<(A::Net, u16)>,
}

impl<A: Family> Routes<A> {
    fn new(size: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut nets = Vec::new();
        while nets.len() < size {
            nets.extend((nets.len()..size).map(|_| A::net(&mut random)));
            nets.sort_unstable();
            nets.dedup();
        }
        random.shuffle(&mut nets);
        let mut value = || 1 + random.below(TARGETS) as u16;
        let routes: Vec<_> = nets.into_iter().map(|net| (net, value())).collect();
        let mut burst =
            || std::array::from_fn(|_| A::within(routes[random.below(size)].0, &mut random));
        let picks = (0..PICKS / BURST).map(|_| burst()).collect();
        let mut change = || {
            (
                routes[random.below(size)].0,
                1 + random.below(TARGETS) as u16,
            )
        };
        let changes = (0..BATCH).map(|_| change()).collect();
        Self {
            routes,
            picks,
            changes,
        }
    }

    /// Cycles of a look-up, and the sum of all answers. The median of short stretches, so
    /// that it is not counted when the core does something else.
    fn look_up(&self, prefetch: impl Fn(A), find: impl Fn(A) -> u16) -> (f64, u64) {
        let clock = quanta::Clock::new();
        let (mut sum, mut stretches) = (0, Vec::new());
        // Once for the caches.
        for timed in [false, true] {
            sum = 0;
            for bursts in self.picks.chunks(STRETCH) {
                let begin = clock.raw();
                for burst in bursts {
                    burst.iter().for_each(|address| prefetch(*address));
                    for address in burst {
                        sum += u64::from(find(*address));
                    }
                }
                sum = black_box(sum);
                if timed {
                    let look_ups = (bursts.len() * BURST) as f64;
                    stretches.push((clock.raw() - begin) as f64 / look_ups);
                }
            }
        }
        let median = Summary::of(stretches).map_or(f64::NAN, |stretches| stretches.median);
        (median, sum)
    }
}

fn target(value: u16) -> Result<Target> {
    let gateway = AdjacencyIndex::new(value);
    let gateway = gateway.ok_or_else(|| anyhow::anyhow!("values begin with 1"))?;
    Ok(Target::from(NextHop {
        gateway,
        address: None,
    }))
}

fn measure_ours<A: Family>(routes: &Routes<A>) -> Result<(Round, u64)> {
    let size = routes.routes.len();
    let start = Instant::now();
    let mut writer = RouteWriter::new(size);
    for (net, value) in &routes.routes {
        writer.insert((*net).into(), target(*value)?)?;
    }
    let mut vrf = writer.vrf();
    let insert_ns = start.elapsed().as_nanos() as f64 / size as f64;
    let memory = writer.memory();
    let find = |address| {
        let hop = A::find(&vrf, address).and_then(|target| target.choose(0));
        hop.map_or(0, |hop| hop.gateway.get())
    };
    let (look_up_cycles, sum) = routes.look_up(|address| A::prefetch(&vrf, address), find);
    let mut changes = Vec::with_capacity(CHANGES);
    for (net, value) in &routes.changes[..CHANGES] {
        let target = target(*value)?;
        let start = Instant::now();
        writer.insert((*net).into(), target)?;
        let after = writer.vrf();
        changes.push(start.elapsed().as_nanos() as f64 / 1e3);
        vrf = after;
    }
    let start = Instant::now();
    for (net, value) in &routes.changes {
        writer.insert((*net).into(), target(*value)?)?;
    }
    let after = writer.vrf();
    let batch_ms = start.elapsed().as_nanos() as f64 / 1e6;
    ensure!(!Arc::ptr_eq(&after, &vrf), "nothing was published");
    let each = |bytes: usize| bytes as f64 / size as f64;
    let round = Round {
        insert_ns,
        look_up_cycles,
        change_us: Summary::of(changes).map(|changes| changes.median),
        batch_ms: Some(batch_ms),
        bytes: Some((each(memory.lookup), each(memory.writer))),
    };
    Ok((round, sum))
}

fn measure_trie<A: Family>(routes: &Routes<A>) -> (Round, u64) {
    let start = Instant::now();
    let mut map: PrefixMap<A::Net, u16> = PrefixMap::new();
    for (net, value) in &routes.routes {
        map.insert(*net, *value);
    }
    let insert_ns = start.elapsed().as_nanos() as f64 / routes.routes.len() as f64;
    let find = |address| {
        let found = map.get_lpm(&A::Net::from(address));
        found.map_or(0, |(_, value)| *value)
    };
    let (look_up_cycles, sum) = routes.look_up(|_| (), find);
    let round = Round {
        insert_ns,
        look_up_cycles,
        ..Round::default()
    };
    (round, sum)
}
