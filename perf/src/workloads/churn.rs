//! `churn`: `decap` at full rate while the MAC table changes all the time.
//!
//! ```text
//!   100,000 other MACs in the same table: made ─► moved to another VTEP ─► removed ─► made …
//!   2,500 a transaction, as many transactions as make the wanted rate
//! ```
//!
//! First what comes out is recorded while that goes on, and compared: nothing may be
//! missing, wrong or out of order. Then seconds with and without changes alternate.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use vtepd_perf::frames::state::{self, MacChange};
use vtepd_perf::frames::{Fabric, Flows, pcap};
use vtepd_perf::results::Churn;
use vtepd_perf::summary::Summary;

use super::forward::{self, Prepared, Running};
use crate::sampling::{self, Sample};
use crate::system::api::Api;

/// MACs that change.
const CHANGING: u32 = 100_000;
/// Changes of one transaction.
const BATCH: u32 = 2500;
/// How long frames are recorded. Recording takes about 300 MB a second.
const RECORDED: Duration = Duration::from_secs(1);

/// Changes MACs for as long as it is told to.
struct Changer {
    bodies: Vec<String>,
    rate: u32,
    on: AtomicBool,
    stop: AtomicBool,
    made: AtomicU64,
}

impl Changer {
    fn new(fabric: Fabric, first: u32, rate: u32) -> Self {
        let changes = [MacChange::PutAt(0), MacChange::PutAt(1), MacChange::Delete];
        let batches = |change| {
            (0..CHANGING).step_by(BATCH as usize).map(move |begin| {
                let begin = first + begin;
                state::static_macs(fabric, begin..begin + BATCH, change)
            })
        };
        Self {
            bodies: changes.into_iter().flat_map(batches).collect(),
            rate,
            on: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            made: AtomicU64::new(0),
        }
    }

    fn run(&self, api: &Api) -> Result<()> {
        let pace = Duration::from_secs_f64(f64::from(BATCH) / f64::from(self.rate));
        let mut due = Instant::now();
        let mut bodies = self.bodies.iter().cycle();
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if !self.on.load(Ordering::Relaxed) || now < due {
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
            // Who is late does not catch up later: the rate is that of the moment.
            due = (due + pace).max(now);
            let body = bodies.next().context("there are changes to make")?;
            api.transaction(body.as_bytes())?;
            self.made.fetch_add(u64::from(BATCH), Ordering::Relaxed);
        }
        Ok(())
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

/// Runs `body` while a thread stands ready to make changes.
fn while_changing<T>(changer: &Changer, api: &Api, body: impl FnOnce() -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| changer.run(api));
        let result = body();
        changer.stop.store(true, Ordering::Relaxed);
        let changed = thread
            .join()
            .map_err(|_| anyhow!("the changing thread has panicked"))?;
        changed.and(result)
    })
}

/// Runs it.
pub fn run(
    program: &Path,
    run: forward::Run<'_>,
    rate: u32,
    progress: &dyn Fn(&str),
) -> Result<Churn> {
    let prepared = Prepared::new(program, run, progress)?;
    progress("recording");
    let compared = record(&prepared, run.flows, rate)?;
    progress("starting");
    let running = prepared.start()?;
    let before: u64 = running.daemon.api().drops()?.iter().map(|(_, n)| n).sum();
    let changer = Changer::new(run.flows.fabric(), run.flows.count(), rate);
    let pairs = while_changing(&changer, running.daemon.api(), || {
        pairs(&running, &changer, run.samples, progress)
    })?;
    let after: u64 = running.daemon.api().drops()?.iter().map(|(_, n)| n).sum();
    running.daemon.stop()?;
    Ok(Churn {
        by: "REST".to_owned(),
        series: Vec::new(),
        macs: run.flows.count(),
        wanted_rate: rate,
        rate: Summary::of(pairs.iter().map(|pair| pair.rate)),
        compared,
        dropped: after - before,
        slowdown: Summary::of(
            pairs
                .iter()
                .map(|pair| pair.with.cycles / pair.without.cycles),
        ),
        quiet: sampling::sum_up(
            pairs.iter().map(|pair| pair.without.clone()).collect(),
            run.samples,
        ),
        churning: sampling::sum_up(
            pairs.iter().map(|pair| pair.with.clone()).collect(),
            run.samples,
        ),
    })
}

/// A second without changes and one with them.
struct Pair {
    without: Sample,
    with: Sample,
    /// Changes a second in the latter.
    rate: f64,
}

fn pairs(
    running: &Running,
    changer: &Changer,
    wanted: usize,
    progress: &dyn Fn(&str),
) -> Result<Vec<Pair>> {
    let subject = running.subject();
    let mut pairs = Vec::new();
    for taken in 1..=wanted.max(1) {
        let without = subject.sample()?;
        changer.on.store(true, Ordering::Relaxed);
        let (begin, made) = (Instant::now(), changer.made());
        let with = subject.sample()?;
        let rate = (changer.made() - made) as f64 / begin.elapsed().as_secs_f64();
        changer.on.store(false, Ordering::Relaxed);
        progress(&format!(
            "{taken} of {wanted} pairs of seconds, {rate:.0} changes/s"
        ));
        pairs.push(Pair {
            without,
            with,
            rate,
        });
    }
    Ok(pairs)
}

/// Records what comes out while changes are made, and compares it.
fn record(prepared: &Prepared<'_>, flows: &dyn Flows, rate: u32) -> Result<u64> {
    let (running, file) = prepared.start_recording()?;
    let changer = Changer::new(flows.fabric(), flows.count(), rate);
    changer.on.store(true, Ordering::Relaxed);
    while_changing(&changer, running.daemon.api(), || {
        let begin = Instant::now();
        // A busy machine may take longer than that for the first transactions.
        while begin.elapsed() < RECORDED || changer.made() < u64::from(BATCH) * 4 {
            std::thread::sleep(Duration::from_millis(10));
            if begin.elapsed() > RECORDED * 10 {
                bail!(
                    "only {} changes were made in {:?}",
                    changer.made(),
                    begin.elapsed()
                );
            }
        }
        Ok(())
    })?;
    let drops = running.daemon.api().drops()?;
    running.daemon.stop()?;
    if !drops.is_empty() {
        bail!("packets were dropped while the table changed: {drops:?}");
    }
    let mut frames = pcap::read(File::open(&file)?)?;
    let compared = flows
        .check_repeated(&mut frames)
        .map_err(anyhow::Error::msg);
    compared.context("while the table changed")
}
