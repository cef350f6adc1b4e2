//! `load`: a million ports by REST, what they cost, and how soon they are back
//! after `kill -9`.
//!
//! ```text
//!   empty ─► infrastructure ─► ports, 10,000 a transaction ─► kill -9 ─► start
//!     RSS                       seconds, RSS                     first correct packet
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::state::{self, Options, Side};
use vtepd_perf::frames::workload::introductions;
use vtepd_perf::frames::{Direction, Fabric, Flows, Workload, pcap};

use vtepd_perf::results::Load;

use crate::system::cores;
use crate::system::huge_pages::HugePages;
use crate::system::vtepd::{Device, NOT_CONTROL, Setup, Vtepd};

/// How much is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Ports, each with a MAC and an IP address behind a remote VTEP.
    pub ports: u32,
    /// Networks they are dealt to.
    pub networks: u32,
    /// Remote VTEPs they are dealt to.
    pub vteps: u32,
    /// Ports of one transaction.
    pub batch: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            ports: 1_000_000,
            networks: 1000,
            vteps: 1000,
            batch: 10_000,
        }
    }
}

/// Frames that are sent over and over after the restart, to stations of the whole range.
const PROBES: u32 = 4096;
/// How long the restarted daemon may take before we give up.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs it.
pub fn run(program: &Path, size: Size, progress: &dyn Fn(&str)) -> Result<Load> {
    let folder = tempfile::tempdir()?;
    let fabric = Fabric {
        networks: size.networks,
        vteps: size.vteps,
    };
    let mut setup = Setup {
        program: program.to_owned(),
        folder: folder.path().to_owned(),
        uplink: Device::Null,
        access: Device::Null,
        kept_frames: 0,
        sessions: 0,
        second: None,
    };
    let _huge = HugePages::take(setup.huge_pages_mb())?;
    progress("writing the requests");
    // Before the clock runs: the client shares core 0 with the daemon.
    let bodies: Vec<String> = (0..size.ports)
        .step_by(size.batch as usize)
        .map(|first| {
            let last = (first + size.batch).min(size.ports);
            state::ports(fabric, Side::Remote, first..last, true)
        })
        .collect();

    let daemon = Vtepd::start(&setup)?;
    let (empty_bytes, _) = cores::resident(daemon.id())?;
    let options = Options {
        learning: true,
        bound: true,
    };
    let infrastructure = state::infrastructure(fabric, options).to_string();
    daemon.api().transaction(infrastructure.as_bytes())?;
    let (infrastructure_bytes, _) = cores::resident(daemon.id())?;
    progress("loading");
    let cpu_before = cores::cpu_seconds_without(daemon.id(), &NOT_CONTROL)?;
    let start = Instant::now();
    for body in bodies {
        daemon.api().transaction(body.as_bytes())?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cores::cpu_seconds_without(daemon.id(), &NOT_CONTROL)? - cpu_before;
    let (loaded_bytes, peak_bytes) = cores::resident(daemon.id())?;
    let disk_bytes = size_of(&folder.path().join("state"));
    progress(&format!("{seconds:.1} s; kill -9, and restart"));
    daemon.kill()?;

    let probes = Probes::prepare(fabric, size, folder.path())?;
    setup.uplink = probes.uplink();
    setup.access = probes.access();
    setup.kept_frames = PROBES;
    let start = Instant::now();
    let mut daemon = Vtepd::spawn(&setup)?;
    daemon.wait_until("first packet", PATIENCE, |_| probes.have_come())?;
    let restart_seconds = start.elapsed().as_secs_f64();
    daemon.wait_healthy()?;
    let restart_cpu_seconds = cores::cpu_seconds_without(daemon.id(), &NOT_CONTROL)?;
    let (restarted_bytes, _) = cores::resident(daemon.id())?;
    daemon.kill()?;
    let packets_checked = probes.check()?;
    Ok(Load {
        ports: size.ports,
        seconds,
        ports_per_second: f64::from(size.ports) / seconds,
        cpu_seconds,
        empty_bytes,
        infrastructure_bytes,
        loaded_bytes,
        peak_bytes,
        bytes_per_port: loaded_bytes.saturating_sub(empty_bytes) as f64 / f64::from(size.ports),
        disk_bytes,
        restart_seconds,
        restart_cpu_seconds,
        restarted_bytes,
        packets_checked,
    })
}

/// The traffic that shows that a restarted daemon forwards.
struct Probes {
    workload: Workload,
    flows: Vec<u32>,
    introductions: std::path::PathBuf,
    frames: std::path::PathBuf,
    sent: std::path::PathBuf,
}

impl Probes {
    fn prepare(fabric: Fabric, size: Size, folder: &Path) -> Result<Self> {
        let workload = Workload {
            fabric,
            direction: Direction::Encap,
            macs: size.ports,
            seed: 1,
            learning: true,
        };
        // Of networks that have a VLAN, spread over all ports.
        let step = (size.ports / PROBES).max(1) as usize;
        let flows: Vec<u32> = (0..size.ports)
            .step_by(step)
            .take(PROBES as usize)
            .collect();
        let probes = Self {
            workload,
            flows,
            introductions: folder.join("introductions.pcap"),
            frames: folder.join("frames.pcap"),
            sent: folder.join("sent.pcap"),
        };
        let file = |path: &Path| File::create(path).map(BufWriter::new);
        pcap::write(file(&probes.introductions)?, introductions(fabric))?;
        let frames = probes.flows.iter().map(|flow| workload.frame(*flow));
        pcap::write(file(&probes.frames)?, frames)?;
        Ok(probes)
    }

    fn uplink(&self) -> Device {
        Device::Plays(self.introductions.clone(), Some(self.sent.clone()))
    }

    fn access(&self) -> Device {
        Device::Repeats(self.frames.clone())
    }

    /// More than the questions for next hops, which come first and are short.
    fn have_come(&self) -> bool {
        let questions = u64::from(self.workload.fabric.vteps) * (16 + 60);
        fs::metadata(&self.sent)
            .is_ok_and(|file| file.len() > pcap::HEADER as u64 + questions + 4096)
    }

    fn check(&self) -> Result<u64> {
        let mut ports = HashMap::new();
        let mut checked = 0;
        for frame in pcap::read(File::open(&self.sent)?)? {
            let frame = frame?;
            let is_ip = frame.get(12..14) == Some(&[8, 0]);
            if !is_ip {
                continue;
            }
            let Some(flow) = flow_of(&frame) else {
                bail!("a packet that is none of ours was sent: {frame:02x?}");
            };
            let flows: &dyn Flows = &self.workload;
            flows
                .check_frame(flow, frame, &mut ports)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("after the restart, flow {flow}"))?;
            checked += 1;
        }
        if checked == 0 {
            bail!("no packet was forwarded after the restart");
        }
        Ok(checked)
    }
}

/// The flow's number stands at the begin of the inner payload.
fn flow_of(frame: &[u8]) -> Option<u32> {
    let at = 50 + 14 + 20 + 8;
    Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// Bytes of a folder's files.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
