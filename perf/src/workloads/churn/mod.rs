//! `churn`: `decap` at full rate while the MAC table changes all the time.
//!
//! ```text
//!   100,000 other MACs in the same table: made ─► moved to another VTEP ─► removed ─► made …
//!
//!   [`rest`]     a client of the daemon, as controllers are: 2,500 changes a transaction
//!   [`inside`]   a writer in the worker's process: what the tables bear without JSON and disk
//! ```
//!
//! First what comes out is compared while that goes on: nothing may be missing, wrong or out
//! of order. Then seconds with and without changes alternate.

pub mod inside;
pub mod rest;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use vtepd_perf::results::Churn;
use vtepd_perf::results::churn::Moment;
use vtepd_perf::summary::Summary;

use crate::sampling::{self, Sample};

/// MACs that change.
const CHANGING: u32 = 100_000;

/// Tells a changer what to do, and hears how far it is.
#[derive(Default)]
struct Control {
    on: AtomicBool,
    stop: AtomicBool,
    made: AtomicU64,
}

impl Control {
    fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Makes batches of changes at a rate, while it is switched on, until it is stopped.
    fn pace(&self, batch: u32, rate: u32, mut make: impl FnMut() -> Result<()>) -> Result<()> {
        let pace = Duration::from_secs_f64(f64::from(batch) / f64::from(rate));
        let pause = pace.min(Duration::from_micros(500)) / 2;
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if !self.on.load(Ordering::Relaxed) || now < due {
                std::thread::sleep(pause);
                continue;
            }
            // Who is late by more than some batches does not catch up later: the rate is that of
            // the moment.
            due = (due + pace).max(now - pace * 8);
            make()?;
            self.made.fetch_add(u64::from(batch), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Who makes the changes, how many and how.
struct Changes {
    by: &'static str,
    macs: u32,
    rate: u32,
}

/// What was compared, and what was dropped from start to end.
struct Packets {
    compared: u64,
    dropped: u64,
}

/// A second without changes and one with them.
struct Pair {
    without: Sample,
    with: Sample,
    /// Changes a second in the latter.
    rate: f64,
    /// When each ended.
    at: [f64; 2],
}

/// Takes pairs of seconds.
fn pairs(
    sample: impl Fn() -> Result<Sample>,
    control: &Control,
    wanted: usize,
    progress: &dyn Fn(&str),
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let start = Instant::now();
    for taken in 1..=wanted.max(1) {
        let without = sample()?;
        let middle = start.elapsed();
        control.switch(true);
        let (begin, made) = (Instant::now(), control.made());
        let with = sample()?;
        let rate = (control.made() - made) as f64 / begin.elapsed().as_secs_f64();
        control.switch(false);
        progress(&format!(
            "{taken} of {wanted} pairs of seconds, {rate:.0} changes/s"
        ));
        pairs.push(Pair {
            without,
            with,
            rate,
            at: [middle, start.elapsed()].map(|at| at.as_secs_f64()),
        });
    }
    Ok(pairs)
}

fn sum_up(changes: &Changes, pairs: Vec<Pair>, packets: &Packets, wanted: usize) -> Churn {
    let moments = pairs.iter().flat_map(|pair| {
        let moment = |at, mpps, changes| Moment { at, mpps, changes };
        [
            moment(pair.at[0], pair.without.mpps, 0.0),
            moment(pair.at[1], pair.with.mpps, pair.rate),
        ]
    });
    let slowdown = pairs
        .iter()
        .map(|pair| pair.with.cycles / pair.without.cycles);
    Churn {
        by: changes.by.to_owned(),
        macs: changes.macs,
        wanted_rate: changes.rate,
        rate: Summary::of(pairs.iter().map(|pair| pair.rate)),
        compared: packets.compared,
        dropped: packets.dropped,
        slowdown: Summary::of(slowdown),
        series: moments.collect(),
        quiet: sampling::sum_up(
            pairs.iter().map(|pair| pair.without.clone()).collect(),
            wanted,
        ),
        churning: sampling::sum_up(pairs.into_iter().map(|pair| pair.with).collect(), wanted),
    }
}
