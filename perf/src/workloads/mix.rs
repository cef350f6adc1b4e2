//! `mix`: everything at once, both ways.
//!
//! ```text
//!   file, for ever ─► access device │ vtepd │ underlay's device ◄─ another file, for ever
//!       sends to nowhere ◄──────────┘       └──────────► sends to nowhere
//! ```

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::mix::Mix;
use vtepd_perf::frames::nat::is_forwarded;
use vtepd_perf::frames::workload::{introductions, unbound};
use vtepd_perf::frames::{Direction, Label, pcap};
use vtepd_perf::results::Row;

use super::forward::Running;
use crate::system::huge_pages::HugePages;
use crate::system::vtepd::{ACCESS_PORT, Device, Setup, UPLINK_PORT, Vtepd};

/// Frames in front of those that are compared, all dropped: until the control side has acted
/// on what VTEPs say of themselves.
const LEAD_IN: usize = 500_000;
/// How long a daemon may take to play a file, or to learn who is there.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything of a run that is on disk or taken from the system.
struct Prepared {
    mix: Mix,
    folder: tempfile::TempDir,
    setup: Setup,
    _huge: HugePages,
}

impl Prepared {
    fn new(program: &Path, mix: Mix) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ways = [Direction::Encap, Direction::Decap];
        let kept: usize = ways.iter().map(|way| mix.packets(*way).len()).sum();
        let setup = Setup {
            program: program.to_owned(),
            folder: folder.path().to_owned(),
            uplink: Device::Null,
            access: Device::Null,
            second: None,
            // The introductions are repeated, too.
            kept_frames: kept as u32 + mix.fabric().vteps,
            sessions: mix.sessions() * 2,
        };
        Ok(Self {
            _huge: HugePages::take(setup.huge_pages_mb())?,
            mix,
            folder,
            setup,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, frames: impl Iterator<Item = Vec<u8>>) -> Result<PathBuf> {
        let path = self.path(name);
        pcap::write(BufWriter::new(File::create(&path)?), frames)?;
        Ok(path)
    }

    fn sent(&self, way: Direction) -> impl Iterator<Item = Vec<u8>> {
        let packets = self.mix.packets(way).into_iter();
        packets.map(move |packet| self.mix.sent(way, packet))
    }

    fn load(&self) -> Result<()> {
        let daemon = Vtepd::start(&Setup {
            kept_frames: 0,
            ..self.setup.clone()
        })?;
        for body in self.mix.transactions() {
            daemon.api().transaction(body.as_bytes())?;
        }
        daemon.stop()
    }

    /// Plays both files once and compares what comes out both ways. A worker takes a burst of
    /// each device in turn: answers come after what they answer.
    fn compare(&self) -> Result<u64> {
        let out = self.mix.packets(Direction::Encap).len();
        let lead_in = |frames| std::iter::repeat_n(unbound(), frames);
        let access = lead_in(LEAD_IN).chain(self.sent(Direction::Encap));
        let access = self.write("access-once.pcap", access)?;
        let behind = LEAD_IN + LEAD_IN / 10 + out;
        let underlay = introductions(self.mix.fabric()).chain(lead_in(behind));
        let underlay = underlay.chain(self.sent(Direction::Decap));
        let underlay = self.write("underlay-once.pcap", underlay)?;
        let [to_underlay, to_access] =
            ["to-underlay.pcap", "to-access.pcap"].map(|name| self.path(name));
        let mut daemon = Vtepd::start(&Setup {
            uplink: Device::Plays(underlay, Some(to_underlay.clone())),
            access: Device::Plays(access, Some(to_access.clone())),
            kept_frames: 0,
            ..self.setup.clone()
        })?;
        let telemetry = daemon.telemetry()?;
        let back = self.mix.packets(Direction::Decap).len();
        let all = (self.mix.fabric().vteps as usize + behind + back) as u64;
        daemon.wait_until("both files", PATIENCE, |_| {
            telemetry
                .device(UPLINK_PORT)
                .is_ok_and(|stats| stats.received >= all)
        })?;
        let drops = daemon.api().drops()?;
        daemon.stop()?;
        let mut compared = 0;
        for (way, file) in [
            (Direction::Encap, to_underlay),
            (Direction::Decap, to_access),
        ] {
            let frames = pcap::read(File::open(&file)?)?;
            let frames =
                frames.filter(|frame| frame.as_ref().map_or(true, |frame| is_forwarded(frame)));
            let count = self.mix.check(way, frames).map_err(anyhow::Error::msg);
            compared += count.with_context(|| format!("{way:?}; drops: {drops:?}"))?;
        }
        Ok(compared)
    }

    /// Starts a daemon that gets both files for ever, and waits until all is known to it.
    fn start(&self) -> Result<Running> {
        let access = self.write("access.pcap", self.sent(Direction::Encap))?;
        // With infinite_rx a device repeats all of its file.
        let underlay = introductions(self.mix.fabric()).chain(self.sent(Direction::Decap));
        let underlay = self.write("underlay.pcap", underlay)?;
        let mut daemon = Vtepd::start(&Setup {
            uplink: Device::Repeats(underlay),
            access: Device::Repeats(access),
            ..self.setup.clone()
        })?;
        let vteps = self.mix.fabric().vteps as usize;
        daemon.wait_until("the next hops", PATIENCE, |api| {
            api.neighbours_known().is_ok_and(|known| known >= vteps)
        })?;
        let sessions = u64::from(self.mix.sessions());
        daemon.wait_until("all sessions", PATIENCE, |api| {
            api.table_used("nat_sessions")
                .is_ok_and(|used| used >= sessions)
        })?;
        let running = Running::new(daemon, ACCESS_PORT, UPLINK_PORT)?;
        Ok(running.both_ways())
    }
}

/// Runs it.
pub fn run(program: &Path, mix: Mix, samples: usize, progress: &dyn Fn(&str)) -> Result<Row> {
    let prepared = Prepared::new(program, mix)?;
    progress("loading the state");
    prepared.load()?;
    progress("comparing");
    let compared = prepared.compare()?;
    let due = mix.count(Direction::Encap) + mix.count(Direction::Decap);
    if compared != due {
        bail!("{compared} frames came out of {due}");
    }
    progress("starting");
    let running = prepared.start()?;
    let measured = running.subject().samples(samples, progress)?;
    running.daemon.stop()?;
    Ok(Row {
        label: Label::new("mix", 0, "both ways"),
        compared,
        measured,
        // No other program does nothing to two files at once.
        io: None,
    })
}
