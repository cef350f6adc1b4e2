//! The FDB against the standard library's map, the same with a fast hash, and DPDK's
//! `rte_hash`: filling, and look-ups by 64 as a worker does them. The routes likewise, in
//! [`routes`].
//!
//! All run in one process, one after another in each round, so that whatever the
//! machine does meets all of them alike.

mod contenders;
mod routes;
#[cfg(feature = "dpdk")]
mod rte_hash;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use vtepd_perf::frames::Random;
use vtepd_perf::results::Tables;
use vtepd_perf::results::tables::FdbRow as Row;
use vtepd_perf::summary::Summary;

use contenders::{BURST, Contender, contenders};

/// Look-ups of one round; many tables' worth where these are small.
const LOOKUPS: usize = 1 << 21;
/// The longest list of keys that is looked up in order.
const PICKS: usize = 1 << 20;
/// Memory of an entry at most, all contenders and the keys together, while one grows.
const BYTES_PER_ENTRY: u64 = 200;

/// What one contender did in one round.
struct Round {
    insert_ns: f64,
    hit_cycles: f64,
    miss_cycles: f64,
}

/// Everything, of these sizes.
pub fn all(
    entries: &[u32],
    routes: &[u32],
    rounds: usize,
    progress: &dyn Fn(&str),
) -> Result<Tables> {
    Ok(Tables {
        fdb: run(entries, rounds, progress)?,
        route: routes::run(routes, rounds, progress)?,
    })
}

/// Runs every size.
fn run(sizes: &[u32], rounds: usize, progress: &dyn Fn(&str)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &entries in sizes {
        let entries = entries as usize;
        let (needed, available) = (entries as u64 * BYTES_PER_ENTRY, available_bytes()?);
        if needed > available {
            progress(&format!(
                "{entries} entries are skipped: they may need {} MiB and {} are available",
                needed >> 20,
                available >> 20
            ));
            continue;
        }
        rows.extend(run_size(entries, rounds, progress)?);
    }
    Ok(rows)
}

fn available_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("/proc/meminfo does not say what is available")? * 1024)
}

fn run_size(entries: usize, rounds: usize, progress: &dyn Fn(&str)) -> Result<Vec<Row>> {
    let mut all = contenders(entries)?;
    let mut results: Vec<Vec<Round>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let keys = Keys::new(entries, round as u64);
        for (contender, results) in all.iter_mut().zip(&mut results) {
            results.push(measure(&mut **contender, &keys)?);
        }
        progress(&format!(
            "{entries} entries: round {} of {rounds}",
            round + 1
        ));
    }
    let row = |(name, rounds): (&'static str, &Vec<Round>)| {
        let by = |figure: fn(&Round) -> f64| Summary::of(rounds.iter().map(figure));
        let ratios = rounds.iter().zip(&results[0]);
        Some(Row {
            entries,
            table: name.to_owned(),
            insert_ns: by(|round| round.insert_ns)?,
            hit_cycles: by(|round| round.hit_cycles)?,
            miss_cycles: by(|round| round.miss_cycles)?,
            hit_ratio: Summary::of(ratios.map(|(own, fdb)| own.hit_cycles / fdb.hit_cycles))?,
        })
    };
    let names = all.iter().map(|contender| contender.name());
    Ok(names.zip(&results).filter_map(row).collect())
}

/// (network, MAC) as one word, as [`vtepd_tables::FdbKey`] has it: 1000 networks.
struct Keys {
    present: Vec<u64>,
    /// In the order they are looked up.
    hits: Vec<[u64; BURST]>,
    misses: Vec<[u64; BURST]>,
}

impl Keys {
    fn new(entries: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let networks = 1000.min(entries);
        let key = |number: usize| {
            let (network, station) = (number % networks + 1, number / networks);
            (network as u64) << 48 | 0x0216_0000_0000 | station as u64
        };
        let mut present: Vec<u64> = (0..entries).map(key).collect();
        random.shuffle(&mut present);
        let mut picks = |offset: usize| {
            let mut burst = || std::array::from_fn(|_| key(offset + random.below(entries)));
            (0..PICKS / BURST).map(|_| burst()).collect()
        };
        // The same networks, and stations that nobody has.
        let absent = entries.next_multiple_of(networks);
        Self {
            hits: picks(0),
            misses: picks(absent),
            present,
        }
    }
}

/// What a key maps to: any number of 1 to 65,535.
fn value(key: u64) -> u16 {
    (key % 65_535) as u16 + 1
}

fn measure(table: &mut dyn Contender, keys: &Keys) -> Result<Round> {
    let start = Instant::now();
    table.fill(&keys.present, value)?;
    let insert_ns = start.elapsed().as_nanos() as f64 / keys.present.len() as f64;
    let expected: u64 = keys
        .hits
        .iter()
        .flatten()
        .map(|key| u64::from(value(*key)))
        .sum();
    let repeat = LOOKUPS / PICKS;
    let clock = quanta::Clock::new();
    let timed = |bursts: &[[u64; BURST]]| {
        // Once for the caches.
        let mut sum = table.look_up(bursts);
        let begin = clock.raw();
        for _ in 0..repeat {
            sum = table.look_up(bursts);
        }
        let cycles = (clock.raw() - begin) as f64;
        (sum, cycles / (repeat * bursts.len() * BURST) as f64)
    };
    let (found, hit_cycles) = timed(&keys.hits);
    let (not_found, miss_cycles) = timed(&keys.misses);
    table.clear();
    let name = table.name();
    ensure!(found == expected, "{name} gave wrong values");
    if not_found != 0 {
        bail!("{name} found what is not there");
    }
    Ok(Round {
        insert_ns,
        hit_cycles,
        miss_cycles,
    })
}
