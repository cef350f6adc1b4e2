//! An Open vSwitch of our own, with DPDK: Debian's programs with a database, sockets and a
//! network namespace that nobody else sees.
//!
//! ```text
//!   without tunnels:  up0 ── br-int ── acc0
//!   with tunnels:     up0, up1 ── br-phy ── our VTEP address ══ a VXLAN port for each VTEP ── br-int ── acc0
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::Fabric;
use vtepd_perf::frames::fabric::{
    ACCESS, OWN_VTEP, SECOND_ACCESS, SECOND_UPLINK, UNDERLAY_PREFIX, UPLINK, UPLINK_MAC,
};

use crate::system::cores;
use crate::system::process::Process;
use crate::system::telemetry::Telemetry;
use crate::system::vtepd::{Device, WORKER_CORE};

/// Where Debian puts the daemon that is built with DPDK. Its plain one stays the machine's
/// `ovs-vswitchd`.
const DAEMON: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Memory of its packet pool, MiB: the most it takes are 262,144 buffers.
pub const MEMORY_MB: u64 = 1024;
/// The most frames that a device keeps for ever: it takes them from that pool, and takes them
/// twice when the device is set up anew while it is added.
pub const MOST_FRAMES: u32 = 100_000;
/// How long it may take to start, or to add a device that reads a long file.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for its tools, in seconds.
const TIMEOUT: &str = "--timeout=120";

/// What is not as Debian installs it. Flows do not end while we look, there may be as many as
/// there are MACs from the start, and sessions last as long as ours.
pub const SETTINGS: [&str; 5] = [
    "dpdk-init=true",
    "dpdk-lcore-mask=0x1",
    "pmd-cpu-mask=0x2",
    "flow-limit=1000000",
    "max-idle=7200000",
];
/// The limit of flows in force, which it raises by itself to that of the settings, but slowly.
const FLOW_LIMIT: &str = "1000000";
/// How long it keeps sessions that nothing comes of, seconds.
pub const SESSION_SECONDS: u32 = 7200;

/// The bridge with the flows.
pub const INTEGRATION: &str = "br-int";
/// The bridge of the underlay.
const PHYSICAL: &str = "br-phy";
/// The number of the access device in [`INTEGRATION`].
pub const ACCESS_PORT: u32 = 1;
/// The number of the other device there, without tunnels.
pub const OUTSIDE_PORT: u32 = 2;
/// The number of a second access device there.
pub const SECOND_ACCESS_PORT: u32 = 3;
/// The number of the first VTEP's port there.
const FIRST_TUNNEL: u32 = 100;

/// The number of a VTEP's port in [`INTEGRATION`].
pub fn tunnel_port(vtep: u32) -> u32 {
    FIRST_TUNNEL + vtep
}

/// A running Open vSwitch.
pub struct Switch {
    // Ends before its database.
    daemon: Process,
    _database: Process,
    folder: PathBuf,
    sockets: Sockets,
    tunnels: bool,
}

/// What it has counted since [`Switch::forget`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Packets that no flow in its caches matched.
    pub misses: u64,
    /// Share of its worker's cycles without packets.
    pub idle: f64,
}

impl Switch {
    /// Starts one without bridges in an empty folder.
    pub fn start(folder: &Path) -> Result<Self> {
        for name in ["run", "log"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let prefix = format!("vtepd-perf-ovs-{}", std::process::id());
        let database = folder.join("conf.db");
        run(Command::new("ovsdb-tool")
            .arg("create")
            .arg(&database)
            .arg(SCHEMA))?;
        let socket = folder.join("run/db.sock");
        let mut server = bound("ovsdb-server", folder);
        server
            .arg(&database)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", folder.join("run/db.ctl").display()));
        let mut server = Process::start(server, &folder.join("log/ovsdb-server"), false)?;
        server.wait_until("a database", PATIENCE, || socket.exists())?;
        let settings = SETTINGS.map(|setting| format!("other_config:{setting}"));
        let mut configure = tool("ovs-vsctl", folder);
        configure.args(["--no-wait", "--", "init", "--", "set", "Open_vSwitch", "."]);
        configure.args(settings).args([
            format!("other_config:dpdk-socket-mem=\"{MEMORY_MB}\""),
            format!("other_config:dpdk-extra=\"--no-pci --file-prefix={prefix}\""),
        ]);
        run(&mut configure)?;
        let control = folder.join("run/vswitchd.ctl");
        // The namespace is for the interface that has our VTEP address.
        let mut daemon = bound("unshare", folder);
        daemon
            .args(["--net", "--", DAEMON])
            .arg(format!("unix:{}", socket.display()))
            .arg(format!("--unixctl={}", control.display()));
        let mut daemon = Process::start(daemon, &folder.join("log/ovs-vswitchd"), false)?;
        daemon.wait_until("a control socket", PATIENCE, || control.exists())?;
        let mut switch = Self {
            daemon,
            _database: server,
            folder: folder.to_owned(),
            sockets: Sockets { prefix },
            tunnels: false,
        };
        let mut is_ready = tool("ovs-vsctl", folder);
        is_ready.args(["get", "Open_vSwitch", ".", "dpdk_initialized"]);
        let is_ready = || run(&mut is_ready).is_ok_and(|ready| ready.trim() == "true");
        switch.daemon.wait_until("DPDK", PATIENCE, is_ready)?;
        Ok(switch)
    }

    /// Makes the bridges, and tunnels to all VTEPs of a fabric. Nothing passes before there are
    /// flows.
    pub fn make_bridges(&mut self, tunnels: Option<Fabric>) -> Result<()> {
        self.make_bridge(INTEGRATION, &[])?;
        let Some(fabric) = tunnels else {
            return Ok(());
        };
        self.tunnels = true;
        let mac = format!("other-config:hwaddr=\"{UPLINK_MAC}\"");
        self.make_bridge(PHYSICAL, &["--", "set", "Bridge", PHYSICAL, &mac])?;
        let flow = |port| format!("in_port={port},actions=mod_dl_dst:{UPLINK_MAC},LOCAL");
        let out = "in_port=LOCAL,actions=output:1".to_owned();
        let none = "priority=40000,dl_type=0x88b5,actions=drop".to_owned();
        self.add_flows(PHYSICAL, &[out, flow(1), flow(2), none])?;
        // What its system says by itself is none of ours.
        self.in_namespace(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])?;
        let own = format!("{OWN_VTEP}/{UNDERLAY_PREFIX}");
        self.in_namespace(&["ip", "address", "add", &own, "dev", PHYSICAL])?;
        self.in_namespace(&["ip", "link", "set", PHYSICAL, "up"])?;
        let mut known = || {
            let routes = self.appctl(&["ovs/route/show"]);
            routes.is_ok_and(|routes| routes.contains(PHYSICAL))
        };
        wait("a route to the VTEPs", &mut known)?;
        for vtep in 0..fabric.vteps {
            let port = format!("vxlan{vtep}");
            let remote = format!("options:remote_ip={}", fabric.vtep(vtep));
            let local = format!("options:local_ip={OWN_VTEP}");
            let number = format!("ofport_request={}", tunnel_port(vtep));
            let add = [
                "add-port",
                INTEGRATION,
                &port,
                "--",
                "set",
                "Interface",
                &port,
            ];
            let with = ["type=vxlan", "options:key=flow", &local, &remote, &number];
            self.vsctl(&[&add[..], &with[..]].concat())?;
            let (address, mac) = (fabric.vtep(vtep), fabric.vtep_mac(vtep));
            self.appctl(&[
                "tnl/neigh/set",
                PHYSICAL,
                &address.to_string(),
                &mac.to_string(),
            ])?;
        }
        // RFC 7348, section 5; as ours.
        self.appctl(&["tnl/egress_port_range", "49152", "65535"])?;
        Ok(())
    }

    fn make_bridge(&self, name: &str, more: &[&str]) -> Result<()> {
        let make = ["add-br", name, "--", "set", "Bridge", name];
        let with = ["datapath_type=netdev", "fail_mode=secure"];
        self.vsctl(&[&make[..], &with[..], more].concat())?;
        Ok(())
    }

    /// So many zones of sessions, which last long.
    pub fn make_zones(&self, zones: u32) -> Result<()> {
        let make = ["--", "--id=@m", "create", "Datapath", "datapath_version=0"];
        let set = ["--", "set", "Open_vSwitch", ".", "datapaths:netdev=@m"];
        self.vsctl(&[&make[..], &set[..]].concat())?;
        for zone in 1..=zones {
            let zone = format!("zone={zone}");
            let times = ["udp_first", "udp_single", "udp_multiple"];
            let times = times.map(|name| format!("{name}={SESSION_SECONDS}"));
            let [first, single, multiple] = &times;
            self.vsctl(&["add-zone-tp", "netdev", &zone, first, single, multiple])?;
        }
        Ok(())
    }

    /// Adds a device by the name that the daemon under test has it by. It begins at once.
    /// Returns DPDK's number of it.
    pub fn add_device(&self, name: &str, device: &Device) -> Result<u16> {
        let (bridge, number) = match name {
            ACCESS => (INTEGRATION, ACCESS_PORT),
            SECOND_ACCESS => (INTEGRATION, SECOND_ACCESS_PORT),
            UPLINK if self.tunnels => (PHYSICAL, 1),
            SECOND_UPLINK if self.tunnels => (PHYSICAL, 2),
            UPLINK => (INTEGRATION, OUTSIDE_PORT),
            _ => bail!("there is no place for a device {name}"),
        };
        let arguments = format!("options:dpdk-devargs=\"{}\"", device.devargs(name));
        let number = format!("ofport_request={number}");
        let add = ["add-port", bridge, name, "--", "set", "Interface", name];
        self.vsctl(&[&add[..], &["type=dpdk", &arguments, &number]].concat())?;
        let port = self.vsctl(&["get", "Interface", name, "status:port_no"]);
        let port = port.with_context(|| self.last_words())?;
        let port = port.trim().trim_matches('"');
        port.parse()
            .with_context(|| format!("the device {name} has the number {port}"))
    }

    /// Adds flows to a bridge.
    pub fn add_flows(&self, bridge: &str, flows: &[String]) -> Result<()> {
        let file = self.folder.join("flows");
        fs::write(&file, flows.join("\n"))?;
        let mut command = tool("ovs-ofctl", &self.folder);
        command.args(["--protocols=OpenFlow14", "--bundle", "add-flows"]);
        run(command.args([bridge]).arg(&file))?;
        Ok(())
    }

    /// Removes a device, which ends what it writes.
    pub fn remove_device(&self, name: &str) -> Result<()> {
        self.vsctl(&["del-port", name]).map(drop)
    }

    /// Has it count from nothing.
    pub fn forget(&self) -> Result<()> {
        self.appctl(&["dpif-netdev/pmd-stats-clear"]).map(drop)
    }

    /// What its worker has counted.
    pub fn counted(&self) -> Result<Counted> {
        let text = self.appctl(&["dpif-netdev/pmd-stats-show"])?;
        counted(&text).with_context(|| format!("no figures in: {text}"))
    }

    /// Whether it has not so many sessions.
    pub fn sessions_below(&self, wanted: u64) -> Result<bool> {
        if wanted == 0 {
            return Ok(false);
        }
        let text = self.appctl(&["dpctl/ct-get-nconns"])?;
        let sessions: u64 = text
            .trim()
            .parse()
            .with_context(|| format!("sessions: {text}"))?;
        Ok(sessions < wanted)
    }

    /// Sees to it that no flow has to go for others.
    pub fn raise_flow_limit(&self) -> Result<()> {
        self.appctl(&["upcall/set-flow-limit", FLOW_LIMIT])
            .map(drop)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Its worker's thread.
    pub fn worker(&self) -> Result<u32> {
        cores::thread_like(self.id(), &format!("pmd-c{WORKER_CORE:02}"))
    }

    /// Its devices.
    pub fn telemetry(&self) -> Result<Telemetry> {
        Telemetry::connect(&self.sockets.prefix)
    }

    /// What it said last.
    pub fn last_words(&self) -> String {
        self.daemon.last_words()
    }

    /// Asks it to end and waits until it has.
    pub fn stop(self) -> Result<()> {
        self.appctl(&["exit", "--cleanup"])?;
        let status = self.daemon.ended()?;
        if !status.success() {
            bail!("Open vSwitch has ended with {status}");
        }
        Ok(())
    }

    fn vsctl(&self, arguments: &[&str]) -> Result<String> {
        run(tool("ovs-vsctl", &self.folder).args(arguments))
    }

    fn appctl(&self, arguments: &[&str]) -> Result<String> {
        let control = self.folder.join("run/vswitchd.ctl");
        let mut command = tool("ovs-appctl", &self.folder);
        run(command.arg("--target").arg(control).args(arguments))
    }

    fn in_namespace(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.id()));
        run(command.arg("--").args(arguments)).map(drop)
    }
}

/// Where DPDK has its sockets, and leaves them.
struct Sockets {
    prefix: String,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // It may not have come so far as to make it.
        let _ = fs::remove_dir_all(Path::new("/var/run/dpdk").join(&self.prefix));
    }
}

/// A program of its own, which ends when we do.
fn bound(program: &str, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    at_home(command, folder)
}

/// One of its tools.
fn tool(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(TIMEOUT);
    if program == "ovs-vsctl" {
        command.arg(format!(
            "--db=unix:{}",
            folder.join("run/db.sock").display()
        ));
    }
    at_home(command, folder)
}

/// The machine's own Open vSwitch is elsewhere.
fn at_home(mut command: Command, folder: &Path) -> Command {
    let names = [
        ("OVS_RUNDIR", "run"),
        ("OVS_LOGDIR", "log"),
        ("OVS_DBDIR", "."),
        ("OVS_SYSCONFDIR", "."),
    ];
    for (name, place) in names {
        command.env(name, folder.join(place));
    }
    command
}

/// What is installed.
pub fn version() -> Result<String> {
    let text = run(Command::new(DAEMON).arg("--version"))?;
    let words = |line: &str| line.split_whitespace().last().unwrap_or("?").to_owned();
    let mut lines = text.lines().map(words);
    let (own, dpdk) = (lines.next(), lines.next());
    let (own, dpdk) = (own.unwrap_or_default(), dpdk.unwrap_or_default());
    Ok(format!("Open vSwitch {own}, DPDK {dpdk}"))
}

/// Runs a program to its end. Returns what it says.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}: is it installed?"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{name} fails ({}): {}", output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until something is true.
fn wait(what: &str, is_true: &mut dyn FnMut() -> bool) -> Result<()> {
    let start = std::time::Instant::now();
    while !is_true() {
        if start.elapsed() > PATIENCE {
            bail!("Open vSwitch has not come so far within {PATIENCE:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The figures of the worker in what `pmd-stats-show` says.
fn counted(text: &str) -> Option<Counted> {
    let (_, block) = text.split_once(&format!("core_id {WORKER_CORE}:"))?;
    let block = block.split("thread").next()?;
    let value = |name: &str| {
        let line = block
            .lines()
            .find_map(|line| line.trim().strip_prefix(name));
        line?.strip_prefix(':')?.split_whitespace().next()
    };
    let number = |name: &str| value(name)?.parse::<u64>().ok();
    let misses = number("miss with success upcall")? + number("miss with failed upcall")?;
    // Left out until it has had its first packets.
    let cycles = |name: &str| number(name).unwrap_or_default();
    let (idle, processing) = (cycles("idle cycles"), cycles("processing cycles"));
    Some(Counted {
        misses,
        idle: idle as f64 / (idle + processing).max(1) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "main thread:\n  packets received: 0\n  idle cycles: 7 (100.00%)\n\
        pmd thread numa_id 0 core_id 1:\n  packets received: 64\n  megaflow hits: 60\n  \
        miss with success upcall: 3\n  miss with failed upcall: 1\n  idle cycles: 25 (25.00%)\n  \
        processing cycles: 75 (75.00%)\n";

    #[test]
    fn the_worker_is_told_from_the_main_thread() {
        let seen = counted(STATS).unwrap();
        assert_eq!((seen.misses, seen.idle), (4, 0.25));
        assert_eq!(counted("main thread:\n  packets received: 0\n"), None);
    }
}
