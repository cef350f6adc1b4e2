//! Workloads of one way (`decap`, `encap`, `routed`, `dvr-in`, `flood`), and `io` beside them.
//!
//! ```text
//!   state by REST ─► stop ─► play the file once, compare what comes out
//!                        ─► repeat it for ever, sample
//! ```
//!
//! The state is loaded into a daemon without traffic and taken up from disk by the
//! ones that are measured: each begins afresh, with its tables filled before the
//! first packet.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::workload::{introductions, unbound};
use vtepd_perf::frames::{Direction, Flows, pcap};
use vtepd_perf::results::{Measured, Row};

use crate::sampling::Subject;
use crate::system::huge_pages::HugePages;
use crate::system::telemetry::Telemetry;
use crate::system::testpmd::Testpmd;
use crate::system::vtepd::{ACCESS_PORT, Device, Setup, UPLINK_PORT, Vtepd};

/// Frames in front of those that are compared, all dropped. They take tens of
/// milliseconds; the control side acts on the introductions within a few.
const LEAD_IN: usize = 500_000;
/// How long a daemon may take to play a file, or to learn all sources.
const PATIENCE: Duration = Duration::from_secs(120);

/// One run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is sent.
    pub flows: &'a dyn Flows,
    /// Quiet samples that are wanted.
    pub samples: usize,
}

/// Everything of a run that is on disk or taken from the system.
pub struct Prepared<'a> {
    run: Run<'a>,
    folder: tempfile::TempDir,
    pub setup: Setup,
    pub frames: PathBuf,
    /// What the VTEPs say of themselves.
    pub introductions: PathBuf,
    _huge: HugePages,
}

impl<'a> Prepared<'a> {
    /// Writes frames and loads the state.
    pub fn new(program: &Path, run: Run<'a>, progress: &dyn Fn(&str)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let kept_frames = run.flows.order().len() as u32;
        let setup = Setup {
            program: program.to_owned(),
            folder: folder.path().to_owned(),
            uplink: Device::Null,
            access: Device::Null,
            kept_frames,
            sessions: 0,
            second: None,
        };
        let prepared = Self {
            run,
            frames: path("frames.pcap"),
            introductions: path("introductions.pcap"),
            _huge: HugePages::take(setup.huge_pages_mb())?,
            setup,
            folder,
        };
        progress("writing frames");
        let file = |path: &Path| File::create(path).map(BufWriter::new);
        pcap::write(file(&prepared.frames)?, run.flows.sent())?;
        pcap::write(
            file(&prepared.introductions)?,
            introductions(run.flows.fabric()),
        )?;
        progress("loading the state");
        prepared.load()?;
        Ok(prepared)
    }

    fn load(&self) -> Result<()> {
        let daemon = Vtepd::start(&Setup {
            kept_frames: 0,
            ..self.setup.clone()
        })?;
        for body in self.run.flows.transactions() {
            daemon.api().transaction(body.as_bytes())?;
        }
        daemon.stop()
    }

    /// Plays the file once and compares what comes out, byte by byte and in order.
    pub fn compare(&self) -> Result<u64> {
        let flows = self.run.flows;
        let played = self.folder.path().join("played.pcap");
        let out = self.folder.path().join("out.pcap");
        let lead_in = match flows.direction() {
            Direction::Encap => LEAD_IN,
            Direction::Decap => 0,
        };
        let frames = std::iter::repeat_n(unbound(), lead_in).chain(flows.sent());
        pcap::write(BufWriter::new(File::create(&played)?), frames)?;
        let mut setup = self.setup.clone();
        setup.kept_frames = 0;
        (setup.uplink, setup.access) = match flows.direction() {
            Direction::Decap => (Device::Plays(played, None), Device::Records(out.clone())),
            Direction::Encap => (
                Device::Plays(self.introductions.clone(), Some(out.clone())),
                Device::Plays(played, None),
            ),
        };
        let mut daemon = Vtepd::start(&setup)?;
        let telemetry = daemon.telemetry()?;
        let (source, _) = self.ports();
        let all = lead_in as u64 + flows.order().len() as u64;
        daemon.wait_until("the whole file", PATIENCE, |_| {
            telemetry
                .device(source)
                .is_ok_and(|stats| stats.received >= all)
        })?;
        let drops = daemon.api().drops()?;
        // It sends what is under way before it ends, and closes the file.
        daemon.stop()?;
        let mut received = pcap::read(File::open(&out)?)?.filter(|frame| {
            // Our questions for next hops leave by the same device.
            frame
                .as_ref()
                .map_or(true, |frame| frame.get(12..14) != Some(&[8, 6]))
        });
        let compared = flows.check(&mut received).map_err(anyhow::Error::msg);
        let compared =
            compared.with_context(|| format!("what came out is wrong; drops: {drops:?}"))?;
        let due = flows.order().len() as u64 * u64::from(flows.copies());
        if compared != due {
            bail!("{compared} frames came out of {due}; drops: {drops:?}");
        }
        Ok(compared)
    }

    /// The devices that frames come from and go to.
    fn ports(&self) -> (u16, u16) {
        match self.run.flows.direction() {
            Direction::Decap => (UPLINK_PORT, ACCESS_PORT),
            Direction::Encap => (ACCESS_PORT, UPLINK_PORT),
        }
    }

    /// Starts a daemon that forwards for ever, and waits until it is in its stride.
    pub fn start(&self) -> Result<Running> {
        self.start_to(Device::Null)
    }

    /// The same, and what comes out of `decap` is written to a file.
    pub fn start_recording(&self) -> Result<(Running, PathBuf)> {
        let file = self.folder.path().join("recorded.pcap");
        Ok((self.start_to(Device::Records(file.clone()))?, file))
    }

    /// The underlay's and the access device that forward for ever. Of `decap`, frames go to the
    /// one given.
    pub fn repeating(&self, access: Device) -> (Device, Device) {
        match self.run.flows.direction() {
            Direction::Decap => (Device::Repeats(self.frames.clone()), access),
            Direction::Encap => (
                Device::Plays(self.introductions.clone(), None),
                Device::Repeats(self.frames.clone()),
            ),
        }
    }

    /// Starts a daemon between other devices.
    pub fn start_between(&self, uplink: Device, access: Device) -> Result<Vtepd> {
        Vtepd::start(&Setup {
            uplink,
            access,
            kept_frames: 0,
            ..self.setup.clone()
        })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How daemons are set up.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What VTEPs say of themselves.
    pub fn introductions(&self) -> &Path {
        &self.introductions
    }

    /// What is sent.
    pub fn frames(&self) -> &Path {
        &self.frames
    }

    fn start_to(&self, access: Device) -> Result<Running> {
        let mut setup = self.setup.clone();
        (setup.uplink, setup.access) = self.repeating(access);
        let mut daemon = Vtepd::start(&setup)?;
        let flows = self.run.flows;
        if flows.direction() == Direction::Encap {
            let vteps = flows.fabric().vteps as usize;
            daemon.wait_until("the next hops", PATIENCE, |api| {
                api.neighbours_known().is_ok_and(|known| known >= vteps)
            })?;
        }
        if let Some(entries) = flows.learned() {
            daemon.wait_until("all sources to be learned", PATIENCE, |api| {
                api.table_used("fdb")
                    .is_ok_and(|used| used >= u64::from(entries))
            })?;
        }
        let (source, sink) = self.ports();
        let copies = flows.copies();
        Ok(Running {
            copies,
            ..Running::new(daemon, source, sink)?
        })
    }
}

/// The floor on a file: testpmd, which changes nothing, with the memory of a daemon.
pub fn floor(
    setup: &Setup,
    frames: &Path,
    samples: usize,
    progress: &dyn Fn(&str),
) -> Result<Measured> {
    let memory_mb = setup.memory_mb() as u32;
    let testpmd = Testpmd::start(frames, setup.mbufs(), memory_mb, &setup.folder)?;
    let subject = Subject {
        pid: testpmd.id(),
        worker: testpmd.worker()?,
        telemetry: testpmd.telemetry(),
        source: 0,
        sink: 1,
        copies: 1,
        both_ways: false,
        api: None,
    };
    subject.samples(samples, &|what| progress(&format!("io: {what}")))
}

/// A daemon that forwards for ever.
pub struct Running {
    pub daemon: Vtepd,
    telemetry: Telemetry,
    worker: u32,
    source: u16,
    sink: u16,
    copies: u32,
    both_ways: bool,
}

impl Running {
    /// One that receives from one device and sends to another.
    pub fn new(daemon: Vtepd, source: u16, sink: u16) -> Result<Self> {
        Ok(Self {
            copies: 1,
            both_ways: false,
            telemetry: daemon.telemetry()?,
            worker: daemon.worker()?,
            daemon,
            source,
            sink,
        })
    }

    /// The same with packets that go the other way at the same time.
    pub fn both_ways(self) -> Self {
        Self {
            both_ways: true,
            ..self
        }
    }

    /// To take samples of.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            pid: self.daemon.id(),
            worker: self.worker,
            telemetry: &self.telemetry,
            source: self.source,
            sink: self.sink,
            copies: self.copies,
            both_ways: self.both_ways,
            api: Some(self.daemon.api()),
        }
    }
}

/// Runs one size of one workload.
pub fn run(program: &Path, run: Run<'_>, with_io: bool, progress: &dyn Fn(&str)) -> Result<Row> {
    let prepared = Prepared::new(program, run, progress)?;
    progress("comparing");
    let compared = prepared.compare()?;
    // Testpmd copies nothing: there is no floor of copies.
    let io = match with_io && run.flows.copies() == 1 {
        true => Some(floor(
            &prepared.setup,
            &prepared.frames,
            run.samples,
            progress,
        )?),
        false => None,
    };
    progress("starting");
    let running = prepared.start()?;
    let measured = running.subject().samples(run.samples, progress)?;
    running.daemon.stop()?;
    Ok(Row {
        label: run.flows.label(),
        compared,
        measured,
        io,
    })
}
