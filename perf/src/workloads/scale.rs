//! `scale`: what a second worker brings.
//!
//! ```text
//!   one worker     core 1: the whole file            core 0: everything else
//!   two workers    core 1: every other frame of it   core 0: the others, and everything else
//! ```
//!
//! Processes with one and with two workers take turns. Each of two workers has a queue of its own
//! at every device, as a NIC with RSS has them. Flows are dealt to them as they come in
//! the file, whoever owns their translation: half of the translated packets are handed over.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::nat::{Cloud, is_forwarded};
use vtepd_perf::frames::order::in_order;
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::workload::unbound;
use vtepd_perf::frames::{Direction, Flows, Label, pcap};
use vtepd_perf::results::Scale;
use vtepd_perf::summary::Summary;

use super::nat::Way;
use super::{forward, nat};
use crate::system::cores::{self, ThreadTime};
use crate::system::telemetry::Telemetry;
use crate::system::vtepd::{ACCESS_PORT, Device, Setup, UPLINK_PORT, Vtepd};

/// The workers' cores and threads.
const WORKERS: [(u32, &str); 2] = [(1, "worker-1"), (0, "worker-0")];
/// How long a process is looked at.
const LASTS: Duration = Duration::from_secs(2);
/// Until caches are warm, and both workers have begun.
const BEFORE: Duration = Duration::from_millis(300);
/// How long a daemon may take to play a file, or to learn who is there.
const PATIENCE: Duration = Duration::from_secs(180);
/// Frames in front of those that are compared, all dropped: until the control side has acted
/// on what VTEPs say of themselves.
const LEAD_IN: usize = 250_000;
/// Times that a comparison in which packets were dropped between workers is made again.
const TRIES: u32 = 4;
/// The reason for that.
const HAND_OFF_FULL: &str = "hand-off-full";
/// A worker that has less of its core makes the plain ratio doubtful.
const LEAST_RAN: f64 = 0.98;

/// What is run by one worker and by two.
pub enum Subject<'a> {
    /// Flows of one way.
    Forward(forward::Prepared<'a>, &'a dyn Flows),
    /// Flows that are translated on their way out.
    Snat(nat::Prepared),
}

impl<'a> Subject<'a> {
    /// Flows of one way.
    pub fn forward(program: &Path, flows: &'a dyn Flows, progress: &dyn Fn(&str)) -> Result<Self> {
        let run = forward::Run { flows, samples: 0 };
        let prepared = forward::Prepared::new(program, run, progress)?;
        Ok(Self::Forward(prepared, flows))
    }

    /// Flows of a cloud.
    pub fn snat(program: &Path, cloud: Cloud, progress: &dyn Fn(&str)) -> Result<Self> {
        Ok(Self::Snat(nat::Prepared::new(program, cloud, 0, progress)?))
    }

    fn label(&self) -> Label {
        match self {
            Self::Forward(_, flows) => flows.label(),
            Self::Snat(prepared) => nat::label(&prepared.cloud, Way::Out),
        }
    }

    fn setup(&self) -> &Setup {
        match self {
            Self::Forward(prepared, _) => prepared.setup(),
            Self::Snat(prepared) => &prepared.setup,
        }
    }

    /// What is sent over and over.
    fn frames(&self) -> &Path {
        match self {
            Self::Forward(prepared, _) => prepared.frames(),
            Self::Snat(prepared) => &prepared.kept,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.setup().folder.join(name)
    }

    fn comes_from_underlay(&self) -> bool {
        match self {
            Self::Forward(_, flows) => flows.direction() == Direction::Decap,
            Self::Snat(prepared) => prepared.cloud.inside == Side::Remote,
        }
    }

    /// Whether VTEPs must be known before anything can be sent.
    fn needs_vteps(&self) -> Option<usize> {
        match self {
            Self::Forward(_, flows) if flows.direction() == Direction::Encap => {
                Some(flows.fabric().vteps as usize)
            }
            _ => None,
        }
    }

    /// Starts a daemon whose workers each have a file of their own, and waits until it knows
    /// who is there. What comes out goes to the files of `records`, if there are any.
    fn start(&self, rx: Vec<PathBuf>, repeats: bool, records: Vec<PathBuf>) -> Result<Vtepd> {
        let workers = &WORKERS[..rx.len()];
        let source = |tx| Device::Queues { rx, repeats, tx };
        let introductions = self.needs_vteps().map(|_| self.introductions());
        let sink = match (introductions, records) {
            (None, records) if records.is_empty() => Device::Null,
            (introductions, tx) => Device::Queues {
                rx: introductions
                    .into_iter()
                    .flat_map(|file| vec![file; workers.len()])
                    .collect(),
                repeats: false,
                tx,
            },
        };
        let (uplink, access) = match self.comes_from_underlay() {
            true => (source(Vec::new()), sink),
            false => (sink, source(Vec::new())),
        };
        let kept_frames = if repeats { self.setup().kept_frames } else { 0 };
        let setup = Setup {
            uplink,
            access,
            kept_frames,
            ..self.setup().clone()
        };
        let on: Vec<u32> = workers.iter().map(|(core, _)| *core).collect();
        let mut daemon = Vtepd::spawn_on(&setup, &on)?;
        daemon.wait_healthy()?;
        if let Some(vteps) = self.needs_vteps() {
            daemon.wait_until("the next hops", PATIENCE, |api| {
                api.neighbours_known().is_ok_and(|known| known >= vteps)
            })?;
        }
        if let (true, Self::Snat(prepared)) = (repeats, self) {
            prepared.wait_for_sessions(&mut daemon)?;
        }
        Ok(daemon)
    }

    fn introductions(&self) -> PathBuf {
        match self {
            Self::Forward(prepared, _) => prepared.introductions().to_owned(),
            Self::Snat(_) => self.path("introductions.pcap"),
        }
    }

    /// The devices that packets come from and go to.
    fn ports(&self) -> (u16, u16) {
        match self.comes_from_underlay() {
            true => (UPLINK_PORT, ACCESS_PORT),
            false => (ACCESS_PORT, UPLINK_PORT),
        }
    }

    /// Every other frame of a file, and the others, behind so many that are dropped.
    fn halves(&self, lead_in: usize) -> Result<[PathBuf; 2]> {
        let halves = [0, 1].map(|half| self.path(&format!("half{half}-{lead_in}.pcap")));
        for (half, path) in halves.iter().enumerate() {
            let frames = pcap::read(File::open(self.frames())?)?;
            let own = frames.skip(half).step_by(WORKERS.len());
            let own: Vec<Vec<u8>> = own.collect::<std::io::Result<_>>()?;
            let lead_in = std::iter::repeat_n(unbound(), lead_in);
            pcap::write(BufWriter::new(File::create(path)?), lead_in.chain(own))?;
        }
        Ok(halves)
    }

    /// Plays both halves to two workers and compares what comes out, once nothing was refused on its
    /// way from one worker to the other: while the one on the shared core waits for it, the other
    /// may have more for it than there is room for.
    fn compare(&self) -> Result<Compared> {
        for _ in 0..TRIES {
            match self.compare_once()? {
                Compared::Refused(_) => {}
                compared => return Ok(compared),
            }
        }
        self.compare_once()
    }

    /// Each flow's packets are in their order, flows of different workers in any.
    fn compare_once(&self) -> Result<Compared> {
        let lead_in = self.needs_vteps().map_or(0, |_| LEAD_IN);
        let halves = self.halves(lead_in)?;
        let out = [0, 1].map(|number| self.path(&format!("out{number}.pcap")));
        let mut daemon = self.start(halves.to_vec(), false, out.to_vec())?;
        let telemetry = daemon.telemetry()?;
        let (source, _) = self.ports();
        let order = self.order();
        let all = (order.len() + 2 * lead_in) as u64;
        daemon.wait_until("both files", PATIENCE, |_| {
            telemetry
                .device(source)
                .is_ok_and(|stats| stats.received >= all)
        })?;
        // What one worker has handed to the other.
        std::thread::sleep(Duration::from_millis(100));
        let drops = daemon.api().drops()?;
        daemon.stop()?;
        let refused = drops.iter().find(|(reason, _)| reason == HAND_OFF_FULL);
        if let Some((_, packets)) = refused {
            return Ok(Compared::Refused(*packets));
        }
        let mut frames = Vec::new();
        for file in &out {
            for frame in pcap::read(File::open(file)?)? {
                let frame = frame?;
                if is_forwarded(&frame) {
                    frames.push(Ok(frame));
                }
            }
        }
        let sorted = in_order(frames.into_iter(), &order).map_err(anyhow::Error::msg);
        let mut sorted = sorted
            .with_context(|| format!("drops: {drops:?}"))?
            .into_iter()
            .map(Ok);
        let compared = match self {
            Self::Forward(_, flows) => flows.check(&mut sorted),
            Self::Snat(prepared) => {
                let checked = prepared.cloud.check_sent(sorted);
                checked.map(|_| order.len() as u64)
            }
        };
        let compared = compared.map_err(anyhow::Error::msg);
        let compared = compared.context("what two workers send is wrong")?;
        Ok(Compared::Right(compared))
    }

    fn order(&self) -> Vec<u32> {
        match self {
            Self::Forward(_, flows) => flows.order(),
            Self::Snat(prepared) => prepared.cloud.kept(),
        }
    }
}

/// What came of a comparison.
enum Compared {
    /// So many frames, all right.
    Right(u64),
    /// So many were dropped between the workers.
    Refused(u64),
}

/// One process.
struct Sample {
    mpps: f64,
    /// Of each worker, the share of the time that it was on its core.
    ran: Vec<f64>,
    dropped: u64,
}

impl Sample {
    /// Packets over the time that the workers were on their cores, million a second, of all.
    fn on_core(&self) -> f64 {
        self.mpps * self.ran.len() as f64 / self.ran.iter().sum::<f64>().max(0.01)
    }
}

/// Runs it.
pub fn run(subject: &Subject<'_>, pairs: usize, progress: &dyn Fn(&str)) -> Result<Scale> {
    progress("comparing");
    let compared = subject.compare()?;
    let halves = subject.halves(0)?;
    let whole = vec![subject.frames().to_owned()];
    let mut taken = Vec::new();
    for number in 1..=pairs.max(1) {
        let one = sample(subject, whole.clone())?;
        let two = sample(subject, halves.to_vec())?;
        progress(&format!(
            "{number} of {} pairs of processes: {:.2} and {:.2} Mpps",
            pairs.max(1),
            one.mpps,
            two.mpps
        ));
        taken.push((one, two));
    }
    let of = |figure: fn(&(Sample, Sample)) -> f64| Summary::of(taken.iter().map(figure));
    let figure = |summary: Option<Summary>| summary.context("no pair was measured");
    let ran = |worker: usize| {
        let shares = taken.iter().map(|(_, two)| two.ran[worker]);
        Summary::of(shares).map_or(0.0, |share| share.median)
    };
    let ran = vec![ran(0), ran(1)];
    Ok(Scale {
        label: subject.label(),
        one: figure(of(|(one, _)| one.mpps))?,
        two: figure(of(|(_, two)| two.mpps))?,
        ratio: figure(of(|(one, two)| two.mpps / one.mpps))?,
        on_core_ratio: figure(of(|(one, two)| two.on_core() / one.on_core()))?,
        doubts: doubts(&compared, &taken, &ran),
        ran,
        compared: match compared {
            Compared::Right(frames) => frames,
            Compared::Refused(_) => 0,
        },
    })
}

fn doubts(compared: &Compared, taken: &[(Sample, Sample)], ran: &[f64]) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Compared::Refused(packets) = compared {
        doubts.push(format!(
            "not compared: in each of {} tries packets found no room between the workers, {packets} in the last",
            TRIES + 1
        ));
    }
    let dropped: u64 = taken
        .iter()
        .map(|(one, two)| one.dropped + two.dropped)
        .sum();
    if dropped > 0 {
        doubts.push(format!("{dropped} packets were dropped"));
    }
    for ((core, _), ran) in WORKERS.iter().zip(ran) {
        if *ran < LEAST_RAN {
            doubts.push(format!(
                "the worker on core {core} had {:.0} % of it, others the rest",
                ran * 100.0
            ));
        }
    }
    doubts
}

/// Looks at a new process whose workers have these files.
fn sample(subject: &Subject<'_>, files: Vec<PathBuf>) -> Result<Sample> {
    let workers = &WORKERS[..files.len()];
    let daemon = subject.start(files, true, Vec::new())?;
    let telemetry = daemon.telemetry()?;
    let threads = workers
        .iter()
        .map(|(_, name)| cores::thread(daemon.id(), name));
    let threads: Vec<u32> = threads.collect::<Result<_>>()?;
    std::thread::sleep(BEFORE);
    let begin = Moment::read(subject, &daemon, &telemetry, &threads)?;
    std::thread::sleep(LASTS);
    let end = Moment::read(subject, &daemon, &telemetry, &threads)?;
    daemon.stop()?;
    let seconds = end.at.duration_since(begin.at).as_secs_f64();
    let ran = begin.ran.iter().zip(&end.ran);
    if end.sent == begin.sent {
        bail!("nothing was sent");
    }
    Ok(Sample {
        mpps: (end.sent - begin.sent) as f64 / seconds / 1e6,
        ran: ran
            .map(|(begin, end)| (*end - *begin).as_secs_f64() / seconds)
            .collect(),
        dropped: end.dropped - begin.dropped,
    })
}

struct Moment {
    at: Instant,
    sent: u64,
    ran: Vec<Duration>,
    dropped: u64,
}

impl Moment {
    fn read(
        subject: &Subject<'_>,
        daemon: &Vtepd,
        telemetry: &Telemetry,
        threads: &[u32],
    ) -> Result<Self> {
        let (_, sink) = subject.ports();
        let dropped = daemon
            .api()
            .drops()?
            .iter()
            .map(|(_, packets)| packets)
            .sum();
        let ran = threads.iter();
        let ran = ran.map(|thread| Ok(ThreadTime::read(daemon.id(), *thread)?.ran));
        Ok(Self {
            ran: ran.collect::<Result<_>>()?,
            sent: telemetry.device(sink)?.sent,
            at: Instant::now(),
            dropped,
        })
    }
}
