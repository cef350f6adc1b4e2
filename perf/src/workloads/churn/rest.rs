//! Changes by a client of the daemon.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use vtepd_perf::frames::state::{self, MacChange};
use vtepd_perf::frames::{Fabric, Flows, pcap};
use vtepd_perf::results::Churn;

use super::{CHANGING, Changes, Control, Packets};
use crate::system::api::Api;
use crate::workloads::forward::{self, Prepared};

/// Changes of one transaction.
const BATCH: u32 = 2500;
/// How long frames are recorded. Recording takes about 300 MB a second.
const RECORDED: Duration = Duration::from_secs(1);

/// Changes MACs for as long as it is told to.
struct Changer {
    bodies: Vec<String>,
    rate: u32,
    control: Control,
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
            control: Control::default(),
        }
    }

    fn run(&self, api: &Api) -> Result<()> {
        let mut bodies = self.bodies.iter().cycle();
        self.control.pace(BATCH, self.rate, || {
            let body = bodies.next().context("there are changes to make")?;
            api.transaction(body.as_bytes())
        })
    }
}

/// Runs `body` while a thread stands ready to make changes.
fn while_changing<T>(changer: &Changer, api: &Api, body: impl FnOnce() -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| changer.run(api));
        let result = body();
        changer.control.stop();
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
    let dropped = || -> Result<u64> {
        let drops = running.daemon.api().drops()?;
        Ok(drops.iter().map(|(_, packets)| packets).sum())
    };
    let before = dropped()?;
    let changer = Changer::new(run.flows.fabric(), run.flows.count(), rate);
    let pairs = while_changing(&changer, running.daemon.api(), || {
        let sample = || running.subject().sample();
        super::pairs(sample, &changer.control, run.samples, progress)
    })?;
    let packets = Packets {
        compared,
        dropped: dropped()? - before,
    };
    running.daemon.stop()?;
    let changes = Changes {
        by: "REST",
        macs: run.flows.count(),
        rate,
    };
    Ok(super::sum_up(&changes, pairs, &packets, run.samples))
}

/// Records what comes out while changes are made, and compares it.
fn record(prepared: &Prepared<'_>, flows: &dyn Flows, rate: u32) -> Result<u64> {
    let (running, file) = prepared.start_recording()?;
    let changer = Changer::new(flows.fabric(), flows.count(), rate);
    changer.control.switch(true);
    while_changing(&changer, running.daemon.api(), || {
        let begin = Instant::now();
        // A busy machine may take longer than that for the first transactions.
        while begin.elapsed() < RECORDED || changer.control.made() < u64::from(BATCH) * 4 {
            std::thread::sleep(Duration::from_millis(10));
            if begin.elapsed() > RECORDED * 10 {
                bail!(
                    "only {} changes were made in {:?}",
                    changer.control.made(),
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
