//! `new-sessions`: every packet opens a session, until the table is full.
//!
//! Each sample is a process of its own, from soon after its first session until shortly before
//! its last one. Frames that are too many to be kept are read from their file as they are
//! needed: that shows up under `receive`, and there is no floor to subtract.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use vtepd_perf::frames::nat::Cloud;
use vtepd_perf::results::Nat;

use super::forward::Running;
use super::nat::{Prepared, Way};
use crate::sampling::{self, Sample};
use crate::system::cores;
use crate::system::vtepd::Device;

/// How long a daemon may take until its first session.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it.
pub fn run(
    program: &Path,
    cloud: Cloud,
    samples: usize,
    with_io: bool,
    progress: &dyn Fn(&str),
) -> Result<Nat> {
    let prepared = Prepared::new(program, cloud, samples, progress)?;
    let without = prepared.bytes_without_sessions()?;
    progress("comparing");
    let mapping = prepared.compare_sent()?;
    let io = match with_io && !cloud.has_others() {
        true => Some(prepared.floor(&prepared.kept, progress)?),
        false => None,
    };
    let mut all = Vec::new();
    let (mut bytes, mut too_short) = (0, 0);
    for taken in 1..=samples.max(1) {
        progress(&format!("{taken} of {}", samples.max(1)));
        let (sample, resident) = fill(&prepared)?;
        bytes = resident.saturating_sub(without);
        match sample {
            Some(sample) => all.push(sample),
            None => too_short += 1,
        }
    }
    let mut measured = sampling::sum_up(all, samples);
    if too_short > 0 {
        let doubt = format!("{too_short} times the table was full too soon to be timed");
        measured.doubts.push(doubt);
    }
    Ok(prepared.report(Way::Out, &mapping, (measured, io), bytes))
}

/// Fills the table of a new process: what that was like, and its resident memory then.
fn fill(prepared: &Prepared) -> Result<(Option<Sample>, u64)> {
    let frames = match prepared.cloud.has_others() {
        true => Device::Plays(prepared.frames.clone(), None),
        false => Device::Repeats(prepared.kept.clone()),
    };
    let mut daemon = prepared.spawn_out(frames)?;
    daemon.wait_until("the first session", PATIENCE, |api| {
        api.table_used("nat_sessions").is_ok_and(|used| used > 0)
    })?;
    let (inside, outside) = prepared.devices();
    let mut running = Running::new(daemon, inside, outside)?;
    let all = u64::from(prepared.cloud.sessions());
    let sample = running.subject().sample_of_first(all)?;
    prepared.wait_for_sessions(&mut running.daemon)?;
    let (bytes, _) = cores::resident(running.daemon.id())?;
    let drops = running.daemon.api().drops()?;
    running.daemon.stop()?;
    if !drops.is_empty() {
        bail!("packets were dropped that should have opened sessions: {drops:?}");
    }
    Ok((sample, bytes))
}
