//! Changes by a writer in the worker's own process.
//!
//! ```text
//!   core 1: the daemon's worker and stages ─ reads ─► tables ◄─ changes ─ core 0: one writer
//!              ▲ [`stream`]: frames from memory, compared as they come out
//! ```
//!
//! The tables and the packet path are the daemon's, linked into this program; devices are
//! memory, so no huge pages are needed, and its cycles are not those of `net_pcap`.

mod frame;
mod stream;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use vtepd_datapath::{Channel, DropReason, Idle, Worker, WorkerCounters, WorkerState};
use vtepd_perf::frames::Workload;
use vtepd_perf::results::Churn;
use vtepd_wire::flow::FlowHasher;

use super::{CHANGING, Changes, Control, Packets};
use crate::sampling::{Moment, Sample};
use crate::system::cores::{self, CoreTicks, ThreadTime};
use crate::system::vtepd::WORKER_CORE;
use stream::{Stream, Tally};
use tables::Forwarding;

/// Changes between two looks at the clock.
const BATCH: u32 = 500;
/// How long what comes out is compared.
const COMPARED: Duration = Duration::from_secs(1);
/// How long the worker may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// The worker as it is seen from outside.
struct Watched {
    tally: Arc<Tally>,
    counters: Arc<WorkerCounters>,
    thread: AtomicU32,
    stop: AtomicBool,
}

impl Watched {
    fn dropped(&self) -> u64 {
        let drops = DropReason::ALL.iter();
        drops.map(|reason| self.counters.drops(*reason)).sum()
    }

    fn now(&self, clock: &quanta::Clock) -> Result<Moment> {
        let stages = vtepd_datapath::counters::Stage::ALL.iter();
        let stages = stages.map(|stage| (stage.name().to_owned(), self.counters.spent(*stage)));
        let thread = self.thread.load(Ordering::Relaxed);
        Ok(Moment {
            stages: stages.collect(),
            packets: self.counters.packets.get(),
            dropped: self.dropped(),
            core: CoreTicks::read(WORKER_CORE)?,
            other: CoreTicks::read(0)?,
            received: self.tally.received(),
            sent: self.tally.sent(),
            thread: ThreadTime::read(std::process::id(), thread)?,
            at: Instant::now(),
            tsc: clock.raw(),
        })
    }

    fn sample(&self) -> Result<Sample> {
        let clock = quanta::Clock::new();
        let begin = self.now(&clock)?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(Sample::between(&begin, &self.now(&clock)?, 1))
    }

    /// Waits until it has sent something.
    fn wait_for_packets(&self) -> Result<()> {
        let begin = Instant::now();
        while self.tally.sent() == 0 || self.thread.load(Ordering::Relaxed) == 0 {
            if begin.elapsed() > PATIENCE {
                bail!(
                    "the worker sends nothing; {} packets were dropped",
                    self.dropped()
                );
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Runs it.
pub fn run(
    workload: Workload,
    rate: u32,
    samples: usize,
    progress: &dyn Fn(&str),
) -> Result<Churn> {
    progress("filling the tables");
    let mut forwarding = Forwarding::new(workload, CHANGING)?;
    let stream = Stream::new(workload);
    let watched = Watched {
        tally: Arc::clone(stream.tally()),
        counters: WorkerCounters::new(),
        thread: AtomicU32::new(0),
        stop: AtomicBool::new(false),
    };
    let state = WorkerState::new(
        FlowHasher::new(1, 2),
        Arc::clone(&watched.counters),
        Arc::new(Channel::new(1024, 64)),
    );
    let reader = forwarding
        .reader()
        .context("there is no room for a worker")?;
    let worker = Worker::new(stream, reader, state, Idle::Poll, Arc::default());
    let control = Control::default();
    let (watched, control) = (&watched, &control);
    let (pairs, compared) = std::thread::scope(|scope| {
        let forward = scope.spawn(move || -> Result<()> {
            cores::stay_on(WORKER_CORE)?;
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            watched
                .thread
                .store(thread.cast_unsigned(), Ordering::Relaxed);
            worker.run(&watched.stop);
            Ok(())
        });
        let change = scope.spawn(|| control.pace(BATCH, rate, || forwarding.change(BATCH)));
        let measured = measure(watched, control, samples, progress);
        control.stop();
        let changed = change
            .join()
            .map_err(|_| anyhow!("the writer has panicked"));
        // The writer may wait for the worker: that one is last.
        watched.stop.store(true, Ordering::Relaxed);
        let forwarded = forward
            .join()
            .map_err(|_| anyhow!("the worker has panicked"));
        forwarded?.and(changed?)?;
        measured
    })?;
    let packets = Packets {
        compared,
        dropped: watched.dropped(),
    };
    let changes = Changes {
        by: "inside",
        macs: workload.macs,
        rate,
    };
    Ok(super::sum_up(&changes, pairs, &packets, samples))
}

fn measure(
    watched: &Watched,
    control: &Control,
    samples: usize,
    progress: &dyn Fn(&str),
) -> Result<(Vec<super::Pair>, u64)> {
    watched.wait_for_packets()?;
    progress("comparing");
    watched.tally.compare(true);
    control.switch(true);
    std::thread::sleep(COMPARED);
    control.switch(false);
    watched.tally.compare(false);
    let compared = watched.tally.compared().map_err(anyhow::Error::msg)?;
    if watched.dropped() > 0 {
        bail!(
            "{} packets were dropped while the table changed",
            watched.dropped()
        );
    }
    if compared == 0 || control.made() == 0 {
        bail!(
            "{compared} packets were compared during {} changes",
            control.made()
        );
    }
    let pairs = super::pairs(|| watched.sample(), control, samples, progress)?;
    Ok((pairs, compared))
}

#[cfg(test)]
mod tests {
    use vtepd_perf::frames::{Direction, Fabric};

    use super::*;

    fn turns(damage: impl Fn(&mut Workload)) -> (Result<u64, String>, u64) {
        let workload = Workload {
            fabric: Fabric::SMALL,
            direction: Direction::Decap,
            macs: 1000,
            seed: 7,
            learning: false,
        };
        let mut forwarding = Forwarding::new(workload, 500).unwrap();
        let mut expected = workload;
        damage(&mut expected);
        let stream = Stream::new(expected);
        let tally = Arc::clone(stream.tally());
        tally.compare(true);
        let counters = WorkerCounters::new();
        let channel = Arc::new(Channel::new(64, 64));
        let state = WorkerState::new(FlowHasher::new(1, 2), Arc::clone(&counters), channel);
        let reader = forwarding.reader().unwrap();
        let mut worker = Worker::new(stream, reader, state, Idle::Poll, Arc::default());
        for _ in 0..300 {
            worker.once();
            forwarding.change(20).unwrap();
        }
        let drops = DropReason::ALL.iter();
        let dropped = drops.map(|reason| counters.drops(*reason)).sum();
        (tally.compared(), dropped)
    }

    #[test]
    fn packets_come_out_right_while_all_others_are_made_moved_and_removed() {
        let (compared, dropped) = turns(|_| ());
        // The first turn tells the stream that it is to compare.
        assert_eq!((compared, dropped), (Ok(299 * 64), 0));
    }

    #[test]
    fn packets_to_stations_that_are_not_there_are_told() {
        let (compared, dropped) = turns(|workload| workload.macs = 1001);
        assert!(compared.is_err() || dropped > 0);
    }
}
