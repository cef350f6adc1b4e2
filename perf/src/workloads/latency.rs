//! `latency`: `decap` of a moderate size by devices with another process at their other end.
//!
//! ```text
//!   core 0: generator ══ net_memif ══► core 1: box ══ net_memif ══► core 0: generator
//!           due ────────────────────── time ──────────────────────► back
//! ```
//!
//! The box is vtepd, and then testpmd at the same rates. First bytes are compared, then the
//! highest rate without loss is sought, then times are measured at shares of it.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::fabric::UPLINK_MAC;
use vtepd_perf::frames::{Flows, Label, Workload, pcap, tunnel};
use vtepd_perf::generating::{Outcome, Trial};
use vtepd_perf::results::Latency;
use vtepd_perf::results::latency::Point;

use super::forward::{self, Prepared};
use crate::system::generator::{Generator, Sent};
use crate::system::testpmd::Testpmd;
use crate::system::vtepd::{Device, Vtepd};

/// Shares of the rate without loss, percent.
const LOADS: [u32; 3] = [10, 50, 90];
/// A rate that no generator reaches on one core.
const TOO_FAST: f64 = 40e6;
/// Of what the generator could offer, what it is asked for at most: some room to catch up.
const REACHABLE: f64 = 0.95;
/// A rate passes if one of so many trials loses nothing: others use these cores, too.
const TRIES: u32 = 3;
/// Bisections of the rate: to less than a hundredth.
const STEPS: u32 = 7;
/// The rate at which bytes are compared.
const COMPARED_RATE: f64 = 100e3;
/// Where the stamp is: in the payload of the inner frame, behind the flow's number.
const IN_INNER: usize = 14 + 20 + 8 + 4;
/// The most that the generator may wait for its core, as a share: no more than p99.99 can hide.
const MOST_WAITING: f64 = 0.0001;
/// A pause of the generator that shows in the times, microseconds.
const LONG_PAUSE: f64 = 50.0;

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Of each load, seconds.
    pub seconds: f64,
    /// Of each trial of a rate, seconds.
    pub trial: f64,
}

impl Effort {
    /// So many samples; none: just enough to see that it works.
    pub fn of(samples: usize) -> Self {
        match samples {
            0 => Self {
                seconds: 0.2,
                trial: 0.05,
            },
            samples => Self {
                seconds: 2.0 * samples as f64,
                trial: 0.5,
            },
        }
    }
}

/// What is at the generator's other end. Dropping it ends it.
enum Boxed {
    Vtepd(Vtepd),
    Testpmd { _running: Testpmd },
}

/// Files and sockets of a run.
struct Places {
    sent: PathBuf,
    expected: PathBuf,
    sockets: [PathBuf; 2],
}

/// Runs it: vtepd, and `io` if that is wanted.
pub fn run(
    program: &Path,
    workload: Workload,
    effort: Effort,
    with_io: bool,
    progress: &dyn Fn(&str),
) -> Result<Vec<Latency>> {
    let one = forward::Run {
        flows: &workload,
        samples: 0,
    };
    let prepared = Prepared::new(program, one, progress)?;
    let places = places(&prepared, &workload)?;
    let [up, access] = places.sockets.clone();
    let daemon = prepared.start_between(
        Device::Joined(up, Some(UPLINK_MAC)),
        Device::Joined(access, None),
    )?;
    let label = Label::new("decap", workload.macs, "");
    let own = measure(Boxed::Vtepd(daemon), &places, label, None, effort, progress)?;
    if !with_io {
        return Ok(vec![own]);
    }
    let testpmd = Testpmd::start_between(&places.sockets, prepared.folder())?;
    let floor = Boxed::Testpmd { _running: testpmd };
    let label = Label::new("io", workload.macs, "");
    let rate = Some(own.no_loss_mpps);
    let io = measure(floor, &places, label, rate, effort, progress)?;
    Ok(vec![own, io])
}

fn places(prepared: &Prepared<'_>, workload: &Workload) -> Result<Places> {
    let path = |name: &str| prepared.folder().join(name);
    let places = Places {
        sent: prepared.frames().to_owned(),
        expected: path("expected.pcap"),
        sockets: [path("up.sock"), path("access.sock")],
    };
    let order = workload.order().into_iter();
    let expected = order.map(|flow| workload.expected(flow));
    pcap::write(BufWriter::new(File::create(&places.expected)?), expected)?;
    Ok(places)
}

/// Measures one box, at shares of its rate without loss or of another's, Mpps.
fn measure(
    of: Boxed,
    places: &Places,
    label: Label,
    rate: Option<f64>,
    effort: Effort,
    progress: &dyn Fn(&str),
) -> Result<Latency> {
    let name = label.workload.clone();
    let tell = |what: String| progress(&format!("{name}: {what}"));
    let (back, stamp_back) = match of {
        Boxed::Vtepd(_) => (&places.expected, 4 + IN_INNER),
        Boxed::Testpmd { .. } => (&places.sent, tunnel::OUTER + IN_INNER),
    };
    let [up, access] = &places.sockets;
    let folder = up.parent().context("a socket in no folder")?;
    let sent = Sent {
        sockets: [up, access],
        files: [&places.sent, back],
        stamps: [tunnel::OUTER + IN_INNER, stamp_back],
    };
    let mut generator = Generator::start(&sent, folder)?;
    tell("comparing".to_owned());
    compare(&mut generator, effort)?;
    let (no_loss, source_was_limit) = no_loss_rate(&mut generator, effort, &tell)?;
    let full = rate.map_or(no_loss, |mpps| mpps * 1e6);
    let mut points = Vec::new();
    for load in LOADS {
        let trial = Trial {
            rate: full * f64::from(load) / 100.0,
            seconds: effort.seconds,
            compare: false,
        };
        tell(format!("{load} %, {:.2} Mpps", trial.rate / 1e6));
        points.push(quietest(&mut generator, load, trial)?);
    }
    drop(generator);
    if let Boxed::Vtepd(daemon) = of {
        daemon.stop()?;
    }
    Ok(Latency {
        label,
        no_loss_mpps: no_loss / 1e6,
        source_was_limit,
        points,
    })
}

/// All that comes back must be right, and there.
fn compare(generator: &mut Generator, effort: Effort) -> Result<()> {
    let trial = Trial {
        rate: COMPARED_RATE,
        seconds: effort.trial.max(0.2),
        compare: true,
    };
    let mut outcome = Outcome::default();
    for _ in 0..TRIES {
        outcome = generator.run(trial)?;
        if outcome.compared > 0 && outcome.compared == outcome.offered {
            return Ok(());
        }
    }
    bail!(
        "{} of {} packets came back, {} were compared",
        outcome.received,
        outcome.offered,
        outcome.compared
    )
}

/// The highest rate without loss, packets a second, and whether it is all that the generator can
/// send.
fn no_loss_rate(
    generator: &mut Generator,
    effort: Effort,
    tell: &impl Fn(String),
) -> Result<(f64, bool)> {
    let trial = Trial {
        rate: TOO_FAST,
        seconds: effort.trial,
        compare: false,
    };
    let outcome = generator.run(trial)?;
    let most = outcome.offered as f64 / outcome.seconds * REACHABLE;
    let mut passes = |rate: f64| -> Result<bool> {
        let trial = Trial {
            rate,
            seconds: effort.trial,
            compare: false,
        };
        for _ in 0..TRIES {
            let outcome = generator.run(trial)?;
            let passed = outcome.lost() == 0 && !outcome.was_late();
            tell(format!(
                "{:.2} Mpps, {} lost{}",
                rate / 1e6,
                outcome.lost(),
                if outcome.was_late() { ", late" } else { "" }
            ));
            if passed {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if passes(most)? {
        return Ok((most, true));
    }
    let (mut good, mut bad) = (0.0, most);
    for _ in 0..STEPS {
        let middle = f64::midpoint(good, bad);
        match passes(middle)? {
            true => good = middle,
            false => bad = middle,
        }
    }
    match good {
        0.0 => bail!("packets are lost at {:.2} Mpps already", bad / 1e6),
        good => Ok((good, false)),
    }
}

/// Of some trials the first in which the generator had its core to itself, or else the one in
/// which it waited least: whatever else ran shows as time of packets that were due meanwhile.
fn quietest(generator: &mut Generator, load: u32, trial: Trial) -> Result<Point> {
    let mut best: Option<(Outcome, Duration)> = None;
    for _ in 0..TRIES {
        let (outcome, waited) = generator.run_watched(trial)?;
        if best.as_ref().is_none_or(|(_, least)| waited < *least) {
            best = Some((outcome, waited));
        }
        if waited.as_secs_f64() < trial.seconds * MOST_WAITING {
            break;
        }
    }
    let (outcome, waited) = best.context("no trial was run")?;
    Ok(point(load, trial, outcome, waited))
}

fn point(load: u32, trial: Trial, outcome: Outcome, waited: Duration) -> Point {
    let mut doubts = Vec::new();
    if waited.as_secs_f64() >= trial.seconds * MOST_WAITING {
        doubts.push(format!(
            "the machine was busy: the generator waited {:.1} ms of {:.1} s for its core, and so did the packets that were due then; the longest times are its own",
            waited.as_secs_f64() * 1e3,
            trial.seconds
        ));
    }
    if outcome.lost() > 0 {
        doubts.push(format!("{} packets were lost", outcome.lost()));
    }
    if outcome.was_late() {
        doubts.push("the source was the limit".to_owned());
    }
    let pause = outcome.pauses.iter().find(|(percent, _)| *percent == 99.99);
    if let Some((_, us)) = pause.filter(|(_, us)| *us > LONG_PAUSE) {
        doubts.push(format!(
            "one in 10,000 turns of the generator took {us:.0} µs or longer: the machine was busy"
        ));
    }
    Point {
        load,
        mpps: outcome.received as f64 / outcome.seconds / 1e6,
        lost: outcome.lost(),
        percentiles: outcome.times,
        pauses: outcome.pauses,
        doubts,
    }
}
