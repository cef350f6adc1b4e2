//! `snat` and `fip`: from stations to the outside, and back.
//!
//! ```text
//!   out      file, for ever ─► inside device │ vtepd │ outside device
//!   return   file, once ─────► inside device │ vtepd │ outside device ◄── answers, for ever
//! ```
//!
//! What the daemon translates each flow to is its own choice, and it makes it anew in every
//! process. So the answers are made from what came out of one process, and before they are
//! timed they are played to another one together with what they answer: everything that comes
//! out of that, both ways, must be right, and by the same choices. Where each flow of a router
//! has a port of its own to keep and the router one address, there is but one choice.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::fabric::SECOND_ACCESS;
use vtepd_perf::frames::nat::{Cloud, Mapping, Translation, is_forwarded};
use vtepd_perf::frames::order::in_order;
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::workload::{introductions, unbound};
use vtepd_perf::frames::{Label, nat_state, pcap};
use vtepd_perf::results::{Measured, Nat, Row};

use super::forward::{self, Running};
use crate::system::cores;
use crate::system::huge_pages::HugePages;
use crate::system::vtepd::{ACCESS_PORT, Device, Named, SECOND_PORT, Setup, UPLINK_PORT, Vtepd};

/// Stations or floating IPs of one transaction.
const BATCH: u32 = 10_000;
/// Frames in front of the answers that are compared, all dropped, beside those in which the
/// flows begin. They take tens of milliseconds; the control side acts on the introductions
/// of the VTEPs within a few.
const LEAD_IN: usize = 500_000;
/// How long a daemon may take to play a file, or to open all sessions.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the stations to the outside.
    Out,
    /// The answers to that.
    Return,
}

/// What reaches the stations, and the way.
pub fn label(cloud: &Cloud, way: Way) -> Label {
    let inside = match cloud.inside {
        Side::Remote => "vxlan",
        Side::Local => "vlan",
    };
    let variant = match (cloud.translation, way) {
        (Translation::SnatOfMany, _) => inside.to_owned(),
        (_, Way::Out) => format!("{inside}, out"),
        (_, Way::Return) => format!("{inside}, return"),
    };
    Label::new(name(cloud.translation), cloud.flows, variant)
}

/// The name in reports.
pub fn name(translation: Translation) -> &'static str {
    match translation {
        Translation::Snat => "snat",
        Translation::SnatOfMany => "new-sessions",
        Translation::FloatingIp => "fip",
    }
}

/// Everything of a run that is on disk or taken from the system.
pub struct Prepared {
    pub cloud: Cloud,
    pub setup: Setup,
    /// What stations send, all of it.
    pub frames: PathBuf,
    /// What of it is sent over and over.
    pub kept: PathBuf,
    samples: usize,
    folder: tempfile::TempDir,
    _huge: HugePages,
}

impl Prepared {
    /// Writes frames and loads the state.
    pub fn new(
        program: &Path,
        cloud: Cloud,
        samples: usize,
        progress: &dyn Fn(&str),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let setup = Setup {
            program: program.to_owned(),
            folder: folder.path().to_owned(),
            uplink: Device::Null,
            access: Device::Null,
            kept_frames: cloud.kept().len() as u32,
            sessions: cloud.sessions(),
            second: cloud.second().map(|name| (name, Device::Null)),
        };
        let prepared = Self {
            frames: folder.path().join("frames.pcap"),
            kept: folder.path().join("kept.pcap"),
            _huge: HugePages::take(setup.huge_pages_mb())?,
            cloud,
            setup,
            samples,
            folder,
        };
        progress("writing frames");
        prepared.write(&prepared.frames, prepared.sent())?;
        let kept = cloud.kept().into_iter().map(|flow| cloud.sent(flow));
        prepared.write(&prepared.kept, kept)?;
        if cloud.has_others() {
            prepared.write(&prepared.beside(), cloud.beside())?;
        }
        progress("loading");
        prepared.load()?;
        Ok(prepared)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, to: &Path, frames: impl Iterator<Item = Vec<u8>>) -> Result<()> {
        Ok(pcap::write(BufWriter::new(File::create(to)?), frames)?)
    }

    fn sent(&self) -> impl Iterator<Item = Vec<u8>> {
        let order = self.cloud.order().into_iter();
        order.map(|flow| self.cloud.sent(flow))
    }

    /// What stations send by the second device.
    fn beside(&self) -> PathBuf {
        self.path("beside.pcap")
    }

    /// A daemon without traffic.
    fn idle(&self) -> Setup {
        Setup {
            kept_frames: 0,
            sessions: 0,
            ..self.setup.clone()
        }
    }

    fn load(&self) -> Result<()> {
        let cloud = &self.cloud;
        let daemon = Vtepd::start(&self.idle())?;
        let make = |body: String| daemon.api().transaction(body.as_bytes());
        make(nat_state::infrastructure(cloud).to_string())?;
        let all = cloud.stations();
        for first in (0..all).step_by(BATCH as usize) {
            let some = first..(first + BATCH).min(all);
            make(nat_state::stations(cloud, some.clone()))?;
            if cloud.translation == Translation::FloatingIp {
                make(nat_state::floating_ips(cloud, some))?;
            }
        }
        daemon.stop()
    }

    /// Plays what stations send once and compares what comes out. Returns what each flow was
    /// translated to.
    pub fn compare_sent(&self) -> Result<Mapping> {
        let out = self.path("out.pcap");
        let (inside, second) = self.playing();
        let mut setup = self.setup(0, inside, Device::Records(out.clone()));
        setup.second = second;
        let mut daemon = Vtepd::start(&setup)?;
        let (inside, _) = self.devices();
        let order = self.cloud.order();
        let drops = match self.is_by_two() {
            false => played(&mut daemon, inside, order.len())?,
            true => {
                let kept = self.cloud.kept().len();
                played(&mut daemon, inside, kept)?;
                played(&mut daemon, SECOND_PORT, order.len() - kept)?
            }
        };
        daemon.stop()?;
        let frames = forwarded(&out)?;
        let mapping = match self.is_by_two() {
            false => self.cloud.check_sent(frames),
            // Nobody says whose turn it is.
            true => in_order(frames, &order).and_then(|frames| {
                self.cloud
                    .check_sent(frames.into_iter().map(Ok::<_, String>))
            }),
        };
        let mapping = mapping.map_err(anyhow::Error::msg);
        mapping.with_context(|| format!("what went outside is wrong; drops: {drops:?}"))
    }

    /// Whether stations are at home on two devices.
    fn is_by_two(&self) -> bool {
        self.cloud.second() == Some(SECOND_ACCESS)
    }

    /// The device towards the stations and a second one that play all that stations send, once.
    pub fn playing(&self) -> (Device, Option<Named>) {
        let once = |file: &Path| Device::Plays(file.to_owned(), None);
        match self.is_by_two() {
            false => (once(&self.frames), self.setup.second.clone()),
            true => (once(&self.kept), self.others()),
        }
    }

    /// Plays the answers to a process after that which they answer, once, and compares what
    /// comes out both ways.
    fn compare_answers(&self, mapping: &Mapping) -> Result<()> {
        let answers = self.path("led-in.pcap");
        let (inside_out, outside_out) = (self.path("inside.pcap"), self.path("outside.pcap"));
        let order = self.cloud.order();
        // A worker takes a burst of each device in turn: when it comes to the answers, it has
        // seen what they answer.
        let lead_in = LEAD_IN.max(order.len() + LEAD_IN / 10);
        let frames = std::iter::repeat_n(unbound(), lead_in);
        let frames = frames.chain(self.answers(order.clone(), mapping));
        self.write(&answers, frames)?;
        let mut daemon = self.start(
            0,
            Device::Plays(self.openers(), Some(inside_out.clone())),
            Device::Plays(answers, Some(outside_out.clone())),
        )?;
        let (_, outside) = self.devices();
        let drops = played(&mut daemon, outside, lead_in + order.len())?;
        daemon.stop()?;
        let drops = || format!("drops: {drops:?}");
        let again = self.cloud.check_sent(forwarded(&outside_out)?);
        let again = again.map_err(anyhow::Error::msg).with_context(drops)?;
        if again != *mapping {
            bail!("this process has translated a flow to something else than the one before");
        }
        let answered = self.cloud.check_answers(forwarded(&inside_out)?);
        let answered = answered.map_err(anyhow::Error::msg);
        answered
            .context("what came back is wrong")
            .with_context(drops)
    }

    fn answers(&self, order: Vec<u32>, mapping: &Mapping) -> impl Iterator<Item = Vec<u8>> {
        let order = order.into_iter();
        order.map(|flow| self.cloud.answer(flow, mapping[flow as usize]))
    }

    /// The introductions of the VTEPs, and what stations send.
    fn openers(&self) -> PathBuf {
        self.path("openers.pcap")
    }

    /// The devices towards the stations and towards the outside.
    pub fn devices(&self) -> (u16, u16) {
        match self.cloud.inside {
            Side::Remote => (UPLINK_PORT, ACCESS_PORT),
            Side::Local => (ACCESS_PORT, UPLINK_PORT),
        }
    }

    fn setup(&self, kept_frames: u32, inside: Device, outside: Device) -> Setup {
        let (uplink, access) = match self.cloud.inside {
            Side::Remote => (inside, outside),
            Side::Local => (outside, inside),
        };
        Setup {
            uplink,
            access,
            kept_frames,
            ..self.setup.clone()
        }
    }

    fn start(&self, kept_frames: u32, inside: Device, outside: Device) -> Result<Vtepd> {
        Vtepd::start(&self.setup(kept_frames, inside, outside))
    }

    /// Starts a daemon that stations send something to, without waiting.
    pub fn spawn_out(&self, inside: Device) -> Result<Vtepd> {
        Vtepd::spawn(&self.setup(self.setup.kept_frames, inside, Device::Null))
    }

    /// It has opened all sessions.
    pub fn wait_for_sessions(&self, daemon: &mut Vtepd) -> Result<()> {
        let all = u64::from(self.cloud.sessions());
        daemon.wait_until("all sessions", PATIENCE, |api| {
            api.table_used("nat_sessions").is_ok_and(|used| used >= all)
        })?;
        Ok(())
    }

    /// What opens the sessions beside those of the frames that are kept.
    pub fn others(&self) -> Option<Named> {
        let others = |name| (name, Device::Plays(self.beside(), None));
        self.cloud.second().map(others)
    }

    /// Starts a daemon that stations send to for ever, and waits until it has all sessions.
    pub fn start_out(&self) -> Result<Running> {
        let inside = Device::Repeats(self.kept.clone());
        let mut setup = self.setup(self.setup.kept_frames, inside, Device::Null);
        setup.second = self.others();
        let mut daemon = Vtepd::start(&setup)?;
        self.wait_for_sessions(&mut daemon)?;
        let (inside, outside) = self.devices();
        Running::new(daemon, inside, outside)
    }

    fn start_return(&self, answers: &Path) -> Result<Running> {
        let mut daemon = self.start(
            self.setup.kept_frames,
            Device::Plays(self.openers(), None),
            Device::Repeats(answers.to_owned()),
        )?;
        self.wait_for_sessions(&mut daemon)?;
        if self.cloud.inside == Side::Remote {
            let vteps = self.cloud.fabric().vteps as usize;
            daemon.wait_until("the next hops", PATIENCE, |api| {
                api.neighbours_known().is_ok_and(|known| known >= vteps)
            })?;
        }
        let (inside, outside) = self.devices();
        Running::new(daemon, outside, inside)
    }

    /// Resident memory of a daemon with this state and without room for sessions.
    pub fn bytes_without_sessions(&self) -> Result<u64> {
        let daemon = Vtepd::start(&self.idle())?;
        let (bytes, _) = cores::resident(daemon.id())?;
        daemon.stop()?;
        Ok(bytes)
    }

    /// The floor on a file.
    pub fn floor(&self, frames: &Path, progress: &dyn Fn(&str)) -> Result<Measured> {
        forward::floor(&self.setup, frames, self.samples, progress)
    }

    /// What has been found.
    pub fn report(
        &self,
        way: Way,
        mapping: &Mapping,
        (measured, io): (Measured, Option<Measured>),
        session_bytes: u64,
    ) -> Nat {
        let frames = self.cloud.order().len();
        Nat {
            row: Row {
                label: label(&self.cloud, way),
                compared: match way {
                    Way::Out => frames,
                    Way::Return => frames * 2,
                } as u64,
                measured,
                io,
            },
            stations: self.cloud.stations(),
            addresses: match self.cloud.translation {
                Translation::FloatingIp => self.cloud.flows,
                _ => self.cloud.addresses(),
            },
            exchanged: self.cloud.exchanged(mapping),
            session_bytes,
        }
    }
}

/// Waits until a device has given so many frames. Returns what was dropped by then.
fn played(daemon: &mut Vtepd, device: u16, frames: usize) -> Result<Vec<(String, u64)>> {
    let telemetry = daemon.telemetry()?;
    daemon.wait_until("the whole file", PATIENCE, |_| {
        telemetry
            .device(device)
            .is_ok_and(|stats| stats.received >= frames as u64)
    })?;
    daemon.api().drops()
}

/// The frames of a recording but our own questions, which leave by the same device.
fn forwarded(file: &Path) -> Result<impl Iterator<Item = std::io::Result<Vec<u8>>>> {
    let frames = pcap::read(File::open(file)?)?;
    Ok(frames.filter(|frame| frame.as_ref().map_or(true, |frame| is_forwarded(frame))))
}

/// Runs one size of one workload, each way.
pub fn run(
    program: &Path,
    cloud: Cloud,
    ways: &[Way],
    samples: usize,
    with_io: bool,
    progress: &dyn Fn(&str),
) -> Result<Vec<Nat>> {
    if cloud.has_others() && cloud.inside == Side::Local {
        // Their MACs are at home on one interface only.
        progress(
            "left out: so many can be opened beside those that are sent for ever behind VXLAN only",
        );
        return Ok(Vec::new());
    }
    let prepared = Prepared::new(program, cloud, samples, progress)?;
    let without = prepared.bytes_without_sessions()?;
    progress("comparing");
    let mapping = prepared.compare_sent()?;
    let mut reports = Vec::new();
    for &way in ways {
        let file = match way {
            Way::Out => prepared.kept.clone(),
            Way::Return => {
                progress("comparing answers");
                let openers = introductions(cloud.fabric()).chain(prepared.sent());
                prepared.write(&prepared.openers(), openers)?;
                prepared.compare_answers(&mapping)?;
                let file = prepared.path("answers.pcap");
                prepared.write(&file, prepared.answers(cloud.kept(), &mapping))?;
                file
            }
        };
        let io = match with_io {
            true => Some(prepared.floor(&file, progress)?),
            false => None,
        };
        progress("starting");
        let running = match way {
            Way::Out => prepared.start_out()?,
            Way::Return => prepared.start_return(&file)?,
        };
        let measured = running.subject().samples(samples, progress)?;
        let (bytes, _) = cores::resident(running.daemon.id())?;
        running.daemon.stop()?;
        let bytes = bytes.saturating_sub(without);
        reports.push(prepared.report(way, &mapping, (measured, io), bytes));
    }
    Ok(reports)
}
