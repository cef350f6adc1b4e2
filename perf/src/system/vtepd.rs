//! The daemon under test: one worker on core 1 that polls, everything else on core 0.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use vtepd_perf::frames::fabric::{ACCESS, LOCAL_HOST, UPLINK};

use vtepd_wire::Mac;

use super::api::Api;
use super::process::Process;
use super::telemetry::Telemetry;

/// The core of the worker.
pub const WORKER_CORE: u32 = 1;
/// The worker's thread.
pub const WORKER: &str = "worker-1";
/// The worker's thread and DPDK's own, which are no part of the control side.
pub const NOT_CONTROL: [&str; 1] = [WORKER];

/// Where the API is to listen: where nobody does now. Others run benchmarks too.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = listener.context("cannot find a free port for the API")?;
    Ok(listener.local_addr()?.port())
}

/// Bytes of an mbuf in its pool: header, headroom, 2,048 bytes, and what the pool adds.
const MBUF_BYTES: u64 = 2432;

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// Where its configuration, state and output go.
    pub folder: PathBuf,
    /// What drives the underlay's device, as DPDK spells it, without the name.
    pub uplink: Device,
    /// What drives the access device.
    pub access: Device,
    /// A third device, if there is one, and its name.
    pub second: Option<Named>,
    /// Frames that devices keep; the pool has room to spare beyond.
    pub kept_frames: u32,
    /// Sessions that can be translated. Their memory is taken at the start.
    pub sessions: u32,
}

/// A device and its name.
pub type Named = (&'static str, Device);

/// A virtual device.
#[derive(Clone, Debug)]
pub enum Device {
    /// Sends to nowhere, receives nothing.
    Null,
    /// Repeats a file for ever, sends to nowhere.
    Repeats(PathBuf),
    /// Plays a file once; what is sent goes to another, or to nowhere.
    Plays(PathBuf, Option<PathBuf>),
    /// Receives nothing; what is sent goes to a file.
    Records(PathBuf),
    /// A queue for each file: those that come in, once or for ever, and those that what is sent
    /// goes to.
    Queues {
        /// What comes in.
        rx: Vec<PathBuf>,
        /// For ever.
        repeats: bool,
        /// Where it goes; to nowhere if empty.
        tx: Vec<PathBuf>,
    },
    /// Joined to another process by a socket, with a MAC of its own if one is given.
    Joined(PathBuf, Option<Mac>),
}

/// A `net_memif` device that another process joins.
pub fn memif(name: &str, socket: &Path, mac: Option<Mac>) -> String {
    let mac = mac.map_or(String::new(), |mac| format!(",mac={mac}"));
    let socket = socket.display();
    format!("net_memif_{name},role=server,id=0,socket={socket},socket-abstract=no{mac}")
}

impl Device {
    /// As DPDK spells it, by a name.
    pub fn devargs(&self, name: &str) -> String {
        match self {
            Self::Null => format!("net_null_{name},no-rx=1"),
            Self::Repeats(file) => {
                format!("net_pcap_{name},rx_pcap={},infinite_rx=1", file.display())
            }
            Self::Plays(file, None) => format!("net_pcap_{name},rx_pcap={}", file.display()),
            Self::Plays(file, Some(to)) => format!(
                "net_pcap_{name},rx_pcap={},tx_pcap={}",
                file.display(),
                to.display()
            ),
            Self::Queues { rx, repeats, tx } => {
                let mut text = format!("net_pcap_{name}");
                for (what, files) in [("rx_pcap", rx), ("tx_pcap", tx)] {
                    for file in files {
                        // Writing to a string does not fail.
                        let _ = write!(text, ",{what}={}", file.display());
                    }
                }
                text + if *repeats { ",infinite_rx=1" } else { "" }
            }
            Self::Joined(socket, mac) => memif(name, socket, *mac),
            Self::Records(to) => format!("net_pcap_{name},tx_pcap={}", to.display()),
        }
    }
}

impl Setup {
    /// Packet buffers: those that devices keep, descriptors, caches, and some more.
    pub fn mbufs(&self) -> u32 {
        self.kept_frames + 32_768
    }

    /// Memory that DPDK needs, MiB.
    pub fn memory_mb(&self) -> u64 {
        u64::from(self.mbufs()) * MBUF_BYTES / (1 << 20) + 64
    }

    /// Huge pages to take for that, MiB: some more, for others that begin meanwhile take from
    /// what is free.
    pub fn huge_pages_mb(&self) -> u64 {
        self.memory_mb() + 256
    }

    fn configuration(&self, prefix: &str, api_port: u16, workers: &[u32]) -> String {
        let mut text = format!(
            "host = \"{LOCAL_HOST}\"\n\
             [dpdk]\nmemory = \"huge\"\nmemory_mb = {}\nmain_core = 0\nfile_prefix = \"{prefix}\"\nmbufs = {}\n\
             [workers]\ncores = {workers:?}\nidle = \"poll\"\n\
             [nat]\nsessions = {}\n\
             [api]\nlisten = [\"127.0.0.1:{api_port}\"]\n\
             [state]\ndirectory = \"{}\"\n",
            self.memory_mb(),
            self.mbufs(),
            self.sessions,
            self.folder.join("state").display(),
        );
        let devices = [(UPLINK, &self.uplink), (ACCESS, &self.access)]
            .into_iter()
            .chain(self.second.iter().map(|(name, device)| (*name, device)));
        for (name, device) in devices {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "[[device]]\nname = \"{name}\"\ndevargs = \"{}\"\n",
                device.devargs(name)
            );
        }
        text
    }
}

/// A running daemon.
pub struct Vtepd {
    process: Process,
    api: Api,
    prefix: String,
}

/// The order of the devices in the configuration, which is DPDK's numbering.
pub const UPLINK_PORT: u16 = 0;
/// See [`UPLINK_PORT`].
pub const ACCESS_PORT: u16 = 1;
/// See [`UPLINK_PORT`].
pub const SECOND_PORT: u16 = 2;

impl Vtepd {
    /// Starts it, without waiting.
    pub fn spawn(setup: &Setup) -> Result<Self> {
        Self::spawn_on(setup, &[WORKER_CORE])
    }

    /// The same with workers on these cores.
    pub fn spawn_on(setup: &Setup, workers: &[u32]) -> Result<Self> {
        fs::create_dir_all(&setup.folder)?;
        let prefix = format!("vtepd-perf-{}", std::process::id());
        let file = setup.folder.join("vtepd.toml");
        let api_port = free_port()?;
        fs::write(&file, setup.configuration(&prefix, api_port, workers))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(&setup.program);
        command.arg("--config").arg(&file);
        Ok(Self {
            process: Process::start(command, &setup.folder.join("vtepd.log"), false)?,
            api: Api::new(api_port),
            prefix,
        })
    }

    /// Starts it and waits until it forwards.
    pub fn start(setup: &Setup) -> Result<Self> {
        let mut daemon = Self::spawn(setup)?;
        daemon.wait_healthy()?;
        Ok(daemon)
    }

    /// Waits until it forwards; returns how long that took.
    pub fn wait_healthy(&mut self) -> Result<Duration> {
        let Self { process, api, .. } = self;
        process.wait_until("forwarding", Duration::from_secs(120), || api.is_healthy())
    }

    /// Waits until something about it is true.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_true: impl FnMut(&Api) -> bool,
    ) -> Result<Duration> {
        let Self { process, api, .. } = self;
        process.wait_until(what, limit, || is_true(api))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its worker's thread.
    pub fn worker(&self) -> Result<u32> {
        super::cores::thread(self.id(), WORKER)
    }

    /// Its API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Its devices.
    pub fn telemetry(&self) -> Result<Telemetry> {
        Telemetry::connect(&self.prefix)
    }

    /// Asks it to end; an exit code other than 0 is an error.
    pub fn stop(self) -> Result<()> {
        let words = self.process.last_words();
        let status: ExitStatus = self.process.terminate()?;
        if !status.success() {
            anyhow::bail!("the daemon has ended with {status}: {words}");
        }
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }
}

/// Where a program is: beside us, as cargo puts it.
pub fn beside_us(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(own.parent().unwrap_or(Path::new(".")).join(name))
}
