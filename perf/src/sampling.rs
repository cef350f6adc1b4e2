//! One-second samples of a forwarding worker, taken from outside, and which of them
//! count.
//!
//! Cycles are those that the worker was on its core. In a quiet second these are all
//! there are; in a busy one the share that others had of the core is left out, which
//! leaves what they did to its caches.

use std::time::{Duration, Instant};

use anyhow::Result;
use vtepd_perf::results::Measured;
use vtepd_perf::summary::Summary;

use crate::system::api::Api;
use crate::system::cores::{CoreTicks, ThreadTime};
use crate::system::interrupt;
use crate::system::telemetry::Telemetry;

/// The most packets that may be missing, as a share: those under way between two
/// readings are some thousands of millions.
const MOST_MISSING: f64 = 0.002;
/// How long a sample lasts.
const LASTS: Duration = Duration::from_secs(1);
/// Between two looks, of a sample that ends with a number of packets.
const STEP: Duration = Duration::from_millis(5);
/// The least that such a sample lasts: counters are not read all at once.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest that a worker may wait for its core, as a share of the sample.
const MOST_WAITING: f64 = 0.01;
/// The most of the core that the host may take away.
const MOST_STEAL: f64 = 0.02;

/// A process that forwards, and where to read its counters.
pub struct Subject<'a> {
    /// Its process.
    pub pid: u32,
    /// Its worker's thread.
    pub worker: u32,
    /// Its devices.
    pub telemetry: &'a Telemetry,
    /// The device it receives from.
    pub source: u16,
    /// The device it sends to.
    pub sink: u16,
    /// Packets it sends for each that it receives.
    pub copies: u32,
    /// Whether it receives from the sink and sends to the source, too. How many packets it sends
    /// for one is then not known.
    pub both_ways: bool,
    /// Its stages, if it is our daemon.
    pub api: Option<&'a Api>,
}

/// What a sample found.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Packets sent, million a second.
    pub mpps: f64,
    /// Time stamp counter ticks of a packet.
    pub cycles: f64,
    /// The same by stage; empty without stages.
    pub stages: Vec<(String, f64)>,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Packets received and not sent, as a share; what was under way between the two
    /// readings is a part of it, and may make it negative.
    pub missing: f64,
    /// Share of the time that the worker waited for its core.
    pub waiting: f64,
    /// Share of the worker's core that the host took.
    pub steal: f64,
    /// Share of core 0 that was busy, with whatever.
    pub other_core: f64,
}

impl Sample {
    /// What was between two moments.
    pub fn between(begin: &Moment, end: &Moment, copies: u32) -> Self {
        let seconds = end.at.duration_since(begin.at).as_secs_f64();
        let sent = (end.sent - begin.sent).max(1) as f64;
        let copies = f64::from(copies);
        let received = (end.received - begin.received).max(1) as f64 * copies;
        let packets = (end.packets - begin.packets).max(1) as f64 * copies;
        let ran = (end.thread.ran - begin.thread.ran).as_secs_f64() / seconds;
        // A worker that is interrupted is so in proportion to the stages' times.
        let stage = |((name, begin), (_, end)): (&(String, u64), &(String, u64))| {
            (name.clone(), (end - begin) as f64 / packets * ran)
        };
        let (steal, _) = end.core.since(begin.core);
        let (_, other_core) = end.other.since(begin.other);
        Self {
            mpps: sent / seconds / 1e6,
            cycles: (end.tsc - begin.tsc) as f64 / sent * ran,
            stages: begin.stages.iter().zip(&end.stages).map(stage).collect(),
            dropped: end.dropped - begin.dropped,
            missing: 1.0 - sent / received,
            waiting: (end.thread.waited - begin.thread.waited).as_secs_f64() / seconds,
            steal,
            other_core,
        }
    }

    /// Whether the worker had its core to itself.
    pub fn was_quiet(&self) -> bool {
        self.waiting < MOST_WAITING && self.steal < MOST_STEAL
    }
}

/// The state of all counters at one moment.
pub struct Moment {
    /// When.
    pub at: Instant,
    /// The time stamp counter.
    pub tsc: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// The worker's time.
    pub thread: ThreadTime,
    /// Its core's.
    pub core: CoreTicks,
    /// That of core 0.
    pub other: CoreTicks,
    /// Cycles by stage.
    pub stages: Vec<(String, u64)>,
    /// Packets that the stages took in.
    pub packets: u64,
    /// Packets dropped.
    pub dropped: u64,
}

impl Subject<'_> {
    fn now(&self, clock: &quanta::Clock) -> Result<Moment> {
        let (stages, packets, dropped) = match self.api {
            None => (Vec::new(), 0, 0),
            Some(api) => {
                let worker = api.worker()?;
                let stages = worker.stages.into_iter();
                let cycles = stages.map(|stage| (stage.stage, stage.cycles)).collect();
                let dropped = api.drops()?.iter().map(|(_, packets)| packets).sum();
                (cycles, worker.packets, dropped)
            }
        };
        let (core, other) = (CoreTicks::read(1)?, CoreTicks::read(0)?);
        let [source, sink] = [self.source, self.sink].map(|port| self.telemetry.device(port));
        let (source, sink) = (source?, sink?);
        let (mut received, mut sent) = (source.received, sink.sent);
        if self.both_ways {
            received += sink.received;
            sent += source.sent;
        }
        let thread = ThreadTime::read(self.pid, self.worker)?;
        let (at, tsc) = (Instant::now(), clock.raw());
        Ok(Moment {
            at,
            tsc,
            sent,
            received,
            thread,
            core,
            other,
            stages,
            packets,
            dropped,
        })
    }

    /// Takes one sample.
    pub fn sample(&self) -> Result<Sample> {
        let clock = quanta::Clock::new();
        let begin = self.now(&clock)?;
        std::thread::sleep(LASTS);
        interrupt::check()?;
        Ok(Sample::between(&begin, &self.now(&clock)?, self.copies))
    }

    /// Takes one that lasts until nearly so many packets have been sent since the start; `None`
    /// if that was too short.
    pub fn sample_of_first(&self, packets: u64) -> Result<Option<Sample>> {
        let clock = quanta::Clock::new();
        let begin = self.now(&clock)?;
        let mut end = None;
        loop {
            std::thread::sleep(STEP);
            let now = self.now(&clock)?;
            if now.sent >= packets {
                break;
            }
            end = Some(now);
        }
        let end = end.filter(|end| end.at.duration_since(begin.at) >= SHORTEST);
        Ok(end.map(|end| Sample::between(&begin, &end, self.copies)))
    }

    /// Takes samples until so many were quiet, but not for ever: at most three
    /// times as many in all. None wanted: one is taken as it is.
    pub fn samples(&self, wanted: usize, progress: &dyn Fn(&str)) -> Result<Measured> {
        let mut all: Vec<Sample> = Vec::new();
        let quiet = |all: &[Sample]| all.iter().filter(|sample| sample.was_quiet()).count();
        while all.is_empty() || quiet(&all) < wanted && all.len() < wanted * 3 {
            all.push(self.sample()?);
            progress(&format!(
                "{} of {wanted} quiet seconds, {} in all",
                quiet(&all),
                all.len()
            ));
        }
        Ok(sum_up(all, wanted))
    }
}

/// Sums up samples, of which so many should have been quiet.
pub fn sum_up(all: Vec<Sample>, wanted: usize) -> Measured {
    let taken = all.len();
    let quiet: Vec<Sample> = all.iter().filter(|one| one.was_quiet()).cloned().collect();
    let mut doubts = Vec::new();
    let dropped: u64 = all.iter().map(|sample| sample.dropped).sum();
    if dropped > 0 {
        doubts.push(format!("{dropped} packets were dropped"));
    }
    let missing = Summary::of(all.iter().map(|sample| sample.missing));
    if let Some(missing) = missing.filter(|missing| missing.median > MOST_MISSING) {
        let percent = missing.median * 100.0;
        doubts.push(format!(
            "{percent:.2} % of the packets received were not sent"
        ));
    }
    let quiet_count = quiet.len();
    let counted = if quiet.len() >= wanted.max(1) {
        quiet
    } else {
        let waiting = all.iter().map(|sample| sample.waiting);
        let waiting = Summary::of(waiting).map_or(0.0, |waiting| waiting.median);
        doubts.push(format!(
                "the machine was busy: {} of {taken} seconds were quiet, all are counted; the worker waited {:.0} % of the time",
                quiet.len(),
                waiting * 100.0
            ));
        // What there is.
        all
    };
    let names = counted
        .first()
        .map(|sample| sample.stages.clone())
        .unwrap_or_default();
    let stage = |(at, (name, _)): (usize, (String, f64))| {
        let values = counted
            .iter()
            .filter_map(|sample| Some(sample.stages.get(at)?.1));
        Some((name, Summary::of(values)?.median))
    };
    Measured {
        mpps: Summary::of(counted.iter().map(|sample| sample.mpps)),
        cycles: Summary::of(counted.iter().map(|sample| sample.cycles)),
        stages: names.into_iter().enumerate().filter_map(stage).collect(),
        quiet: quiet_count,
        taken,
        other_core: Summary::of(counted.iter().map(|sample| sample.other_core))
            .map_or(0.0, |share| share.median),
        doubts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mpps: f64) -> Sample {
        Sample {
            mpps,
            cycles: 2000.0 / mpps,
            stages: vec![("input".to_owned(), 10.0)],
            dropped: 0,
            missing: 0.0001,
            waiting: 0.0,
            steal: 0.0,
            other_core: 0.5,
        }
    }

    #[test]
    fn busy_seconds_do_not_count_while_there_are_enough_quiet_ones() {
        let busy = Sample {
            waiting: 0.5,
            ..sample(1.0)
        };
        let measured = sum_up(vec![sample(10.0), busy.clone(), sample(12.0)], 2);
        assert_eq!(
            measured.mpps.map(|mpps| (mpps.min, mpps.count)),
            Some((10.0, 2))
        );
        assert_eq!((measured.quiet, measured.taken), (2, 3));
        assert_eq!(measured.stages, [("input".to_owned(), 10.0)]);
        assert!(measured.doubts.is_empty());
        let measured = sum_up(vec![sample(10.0), busy], 2);
        assert_eq!(measured.mpps.map(|mpps| mpps.min), Some(1.0));
        assert!(measured.doubts[0].contains("busy"));
    }

    #[test]
    fn losses_are_told_in_whatever_second() {
        let dropping = Sample {
            dropped: 7,
            waiting: 1.0,
            ..sample(1.0)
        };
        let measured = sum_up(vec![sample(10.0), dropping], 1);
        assert_eq!(measured.doubts, ["7 packets were dropped"]);
        let missing = Sample {
            missing: 0.01,
            ..sample(1.0)
        };
        assert!(sum_up(vec![missing], 1).doubts[0].contains("not sent"));
    }
}
