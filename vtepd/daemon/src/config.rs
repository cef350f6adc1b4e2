//! `vtepd.toml`: what is fixed while the daemon runs. The desired state (networks,
//! ports …) comes by the API instead. `deploy/vtepd.toml` documents every key.

mod metadata;
mod nat;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use metadata::Metadata;
pub use nat::Nat;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which entry of the `hosts` resource this daemon is.
    pub host: String,
    #[serde(default)]
    pub dpdk: Dpdk,
    #[serde(default)]
    pub workers: Workers,
    #[serde(default)]
    pub api: Api,
    #[serde(default)]
    pub state: State,
    #[serde(default)]
    pub vxlan: Vxlan,
    #[serde(default)]
    pub tables: Tables,
    #[serde(default)]
    pub limits: Limits,
    /// `None`: nobody answers for 169.254.169.254.
    pub metadata: Option<Metadata>,
    #[serde(default)]
    pub nat: Nat,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub device: Vec<Device>,
}

/// `[dpdk]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dpdk {
    pub memory: Memory,
    pub memory_mb: u32,
    pub main_core: u32,
    pub file_prefix: String,
    /// Packet buffers; `None`: what half of the memory holds.
    pub mbufs: Option<u32>,
    pub telemetry: bool,
}

impl Default for Dpdk {
    fn default() -> Self {
        Self {
            memory: Memory::Auto,
            memory_mb: 512,
            main_core: 0,
            file_prefix: "vtepd".to_owned(),
            mbufs: None,
            telemetry: true,
        }
    }
}

/// Where packet memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// Huge pages when enough are free, ordinary pages otherwise.
    Auto,
    Huge,
    NoHuge,
}

/// `[workers]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// `None`: core 1 where there is one.
    pub cores: Option<Vec<u32>>,
    pub idle: Idle,
    pub sleep_us: u32,
    pub steering: Steering,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            cores: None,
            idle: Idle::Poll,
            sleep_us: 50,
            steering: Steering::Auto,
        }
    }
}

/// What a worker does when nothing arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    Poll,
    Sleep,
}

/// Who spreads flows over the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steering {
    /// The device where it has a queue for each worker, software elsewhere.
    Auto,
    /// Nobody: one worker takes all of a device that has too few queues.
    Off,
}

/// `[api]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    pub listen: Vec<SocketAddr>,
    pub socket: Option<PathBuf>,
    pub body_limit_mb: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 4788))],
            socket: None,
            body_limit_mb: 512,
        }
    }
}

/// `[state]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    pub directory: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/vtepd"),
        }
    }
}

/// `[vxlan]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vxlan {
    pub ports: Vec<u16>,
    pub dscp: u8,
    pub ttl: u8,
}

impl Default for Vxlan {
    fn default() -> Self {
        Self {
            ports: vec![vtepd_wire::vxlan::PORT],
            dscp: 0,
            ttl: 64,
        }
    }
}

/// `[tables]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tables {
    pub fdb: usize,
    pub learned: Option<usize>,
    pub neighbours: usize,
    pub routes: usize,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            fdb: 4_000_000,
            learned: None,
            neighbours: 4_000_000,
            routes: 4_000_000,
        }
    }
}

/// `[limits]`: what one port may have this host do in a second, beyond forwarding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub arp_nd: u16,
    pub services: u16,
    pub errors: u16,
    pub probes: u16,
    pub metadata: u16,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = vtepd_datapath::Limits::default();
        Self {
            arp_nd: limits.resolution,
            services: limits.service,
            errors: limits.error,
            probes: limits.probe,
            metadata: limits.metadata,
        }
    }
}

impl From<&Limits> for vtepd_datapath::Limits {
    fn from(limits: &Limits) -> Self {
        Self {
            resolution: limits.arp_nd,
            service: limits.services,
            error: limits.errors,
            probe: limits.probes,
            metadata: limits.metadata,
        }
    }
}

/// `[log]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

/// `[[device]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub name: String,
    /// A virtual device as DPDK spells it.
    pub devargs: Option<String>,
    /// A PCI address that is bound to vfio or uio.
    pub pci: Option<String>,
    /// Largest IP packet; `None`: the device's own.
    pub mtu: Option<u16>,
    /// Receive queues; `None`: one for each worker, as far as the device has them.
    pub queues: Option<u16>,
    #[serde(default = "descriptors")]
    pub rx_descriptors: u16,
    #[serde(default = "descriptors")]
    pub tx_descriptors: u16,
}

fn descriptors() -> u16 {
    1024
}

/// Why the file cannot be used.
#[derive(Debug)]
pub struct ConfigError(String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    ///
    /// What is wrong, in which line or key, and what would be right.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let at = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read the configuration {at}: {error}")))?;
        Self::parse(&text).map_err(|ConfigError(what)| ConfigError(format!("{at}: {what}")))
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| ConfigError(one_line(text, &error)))?;
        config
            .workers
            .cores
            .get_or_insert_with(|| vec![Self::default_core()]);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fail = |what: String| Err(ConfigError(what));
        let cores = self.worker_cores();
        if cores.is_empty() {
            return fail("workers.cores is empty: name at least one core".to_owned());
        }
        for (position, core) in cores.iter().enumerate() {
            if cores[..position].contains(core) {
                return fail(format!("workers.cores names core {core} twice"));
            }
            check_core(*core)?;
        }
        if cores.len() > usize::from(vtepd_nat::MAX_WORKERS) {
            return fail(format!(
                "workers.cores names {} cores; outside ports can be dealt to {} workers",
                cores.len(),
                vtepd_nat::MAX_WORKERS
            ));
        }
        self.check_memory()?;
        self.nat.check(cores.len(), memory_of_machine_mb())?;
        if self.vxlan.ports.is_empty() || self.vxlan.ports.contains(&0) {
            return fail("vxlan.ports needs at least one UDP port, and none may be 0".to_owned());
        }
        if self.vxlan.dscp > 63 {
            return fail(format!(
                "vxlan.dscp is {}, the largest code point is 63",
                self.vxlan.dscp
            ));
        }
        if self.vxlan.ttl == 0 {
            return fail("vxlan.ttl is 0: packets would not leave the first link".to_owned());
        }
        if self.workers.sleep_us == 0 || self.workers.sleep_us > 1_000_000 {
            return fail("workers.sleep_us is out of 1 to 1000000 microseconds".to_owned());
        }
        if self
            .tables
            .learned
            .is_some_and(|learned| learned > self.tables.fdb)
        {
            return fail(
                "tables.learned is larger than tables.fdb, of which it is a part".to_owned(),
            );
        }
        if self.api.listen.is_empty() && self.api.socket.is_none() {
            return fail(
                "api.listen is empty and api.socket is not set: nobody could reach the API"
                    .to_owned(),
            );
        }
        if let Some(other) = self
            .api
            .listen
            .iter()
            .find(|address| !address.ip().is_loopback())
        {
            return fail(format!(
                "api.listen: {other} is not a loopback address, and the API has no access control yet; \
                 use 127.0.0.1, [::1] or a Unix socket"
            ));
        }
        if self.device.len() > vtepd_tables::InterfaceIndex::COUNT {
            let most = vtepd_tables::InterfaceIndex::COUNT;
            return fail(format!(
                "{} [[device]] entries; at most {most} are possible",
                self.device.len()
            ));
        }
        for (position, device) in self.device.iter().enumerate() {
            device.check()?;
            if self.device[..position]
                .iter()
                .any(|other| other.name == device.name)
            {
                return fail(format!(
                    "two [[device]] entries are named {:?}",
                    device.name
                ));
            }
        }
        if let Some(metadata) = &self.metadata {
            metadata.check(&self.device)?;
        }
        Ok(())
    }

    /// Ordinary pages are promised by the kernel whether there are any or not: more
    /// than the machine has would end in the out-of-memory killer.
    fn check_memory(&self) -> Result<(), ConfigError> {
        let wanted = self.dpdk.memory_mb;
        match memory_of_machine_mb() {
            Some(has) if u64::from(wanted) > has => Err(ConfigError(format!(
                "dpdk.memory_mb is {wanted} and the machine has {has} MiB in all"
            ))),
            _ => Ok(()),
        }
    }

    /// The cores that workers are pinned to.
    pub fn worker_cores(&self) -> Vec<u32> {
        self.workers.cores.clone().unwrap_or_default()
    }

    /// Core 1, or where this process may not run there, its last one. To be asked
    /// once, before threads are kept off the workers' cores.
    fn default_core() -> u32 {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let ids: Vec<usize> = cores.iter().map(|core| core.id).collect();
        let last = ids.iter().copied().max().unwrap_or_default();
        if ids.contains(&1) { 1 } else { last as u32 }
    }
}

/// Whether this process may run on the core of a worker.
fn check_core(core: u32) -> Result<(), ConfigError> {
    match core_affinity::get_core_ids() {
        Some(ids) if !ids.iter().any(|id| id.id == core as usize) => {
            let ours: Vec<String> = ids.iter().map(|id| id.id.to_string()).collect();
            Err(ConfigError(format!(
                "workers.cores: this process may not run on core {core}; it has {}",
                ours.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

/// From the first line of /proc/meminfo, `MemTotal: 24683612 kB`.
fn memory_of_machine_mb() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kb: u64 = info
        .lines()
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    Some(kb / 1024)
}

/// The error of `toml` with the line it is about, in one line.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let what = error.message().trim_end().replace('\n', "; ");
    // An error about the whole file, such as a missing key, spans all of it.
    let whole = 0..text.len();
    match error.span().filter(|span| *span != whole) {
        None => what,
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            let number = before.matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            format!("line {}, `{line}`: {what}", number + 1)
        }
    }
}

/// Whether it is a PCI address as the system writes it, such as 0000:3b:00.0.
fn is_pci_address(text: &str) -> bool {
    let hexadecimal = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = text.split([':', '.']).collect();
    matches!(parts[..], [domain, bus, device, function]
        if text == format!("{domain}:{bus}:{device}.{function}")
            && hexadecimal(domain, 4) && hexadecimal(bus, 2)
            && hexadecimal(device, 2) && hexadecimal(function, 1))
}

impl Device {
    fn check(&self) -> Result<(), ConfigError> {
        let fail = |what: &str| Err(ConfigError(format!("[[device]] {:?}: {what}", self.name)));
        if self.name.is_empty() || self.name.len() > 255 {
            return fail("the name is empty or too long");
        }
        match (&self.devargs, &self.pci) {
            (Some(_), Some(_)) => {
                fail("has both devargs and pci: a device is virtual or on the PCI bus")
            }
            (None, None) => fail(
                "has neither devargs (a virtual device) nor pci (an address such as 0000:3b:00.0)",
            ),
            (None, Some(pci)) if !is_pci_address(pci) => fail(&format!(
                "pci is {pci:?}, not an address such as 0000:3b:00.0"
            )),
            _ if self.queues == Some(0) => fail("queues is 0; leave it out for one per worker"),
            _ => Ok(()),
        }
    }
}

impl Device {
    /// Whether frames pass through a packet socket of the kernel.
    pub fn is_af_packet(&self) -> bool {
        self.devargs
            .as_ref()
            .is_some_and(|devargs| devargs.starts_with("net_af_packet"))
    }

    /// The device string. A packet socket's ring has slots of 2,048 bytes unless
    /// told otherwise, and cuts longer frames off without a sign: for a larger MTU
    /// it gets larger ones.
    pub fn devargs(&self) -> Option<String> {
        let devargs = self.devargs.as_ref()?;
        let largest = usize::from(self.mtu.unwrap_or(1500)) + AF_PACKET_OVERHEAD;
        if !self.is_af_packet() || devargs.contains("framesz=") || largest <= 2048 {
            return Some(devargs.clone());
        }
        let slot = largest.next_multiple_of(1024);
        Some(format!(
            "{devargs},framesz={slot},blocksz={},framecnt=512",
            slot * 4
        ))
    }
}

/// What a slot of a packet socket's ring holds besides the packet: its own header
/// (66 bytes), the Ethernet header and two tags.
const AF_PACKET_OVERHEAD: usize = 66 + 14 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_example_is_valid_and_names_every_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/vtepd.toml");
        let config = Config::read(Path::new(path)).unwrap();
        assert!(!config.device.is_empty());
    }

    #[test]
    fn a_host_name_is_enough() {
        let config = Config::parse("host = \"h1\"").unwrap();
        assert_eq!(config.vxlan.ports, [4789]);
        assert_eq!(config.worker_cores().len(), 1);
    }

    #[test]
    fn packet_sockets_get_slots_for_their_mtu() {
        let devargs = |mtu: u16, devargs: &str| {
            let text = format!(
                "host = \"h\"\n[[device]]\nname = \"a\"\nmtu = {mtu}\ndevargs = \"{devargs}\""
            );
            Config::parse(&text).unwrap().device[0].devargs().unwrap()
        };
        assert_eq!(
            devargs(1600, "net_af_packet0,iface=a"),
            "net_af_packet0,iface=a"
        );
        let jumbo = devargs(9000, "net_af_packet0,iface=a");
        assert_eq!(
            jumbo,
            "net_af_packet0,iface=a,framesz=9216,blocksz=36864,framecnt=512"
        );
        assert_eq!(
            devargs(9000, "net_af_packet0,framesz=4096"),
            "net_af_packet0,framesz=4096"
        );
        assert_eq!(devargs(9000, "net_tap0"), "net_tap0");
    }

    #[test]
    fn what_is_wrong_fits_one_line_and_shows_where() {
        let wrong_type = error("host = \"h1\"\n\n[workers]\nsleep_us = \"50\"\n");
        assert!(
            wrong_type.starts_with("line 4, `sleep_us = \"50\"`: invalid type"),
            "{wrong_type}"
        );
        for text in [
            "host = ",
            "host = \"h\"\nhots = 1",
            "[api",
            "",
            "host = \"h\"\nhost = \"h\"",
        ] {
            assert_eq!(error(text).lines().count(), 1, "{}", error(text));
        }
    }

    #[test]
    fn unknown_keys_and_contradictions_are_named() {
        assert!(error("host = \"h1\"\nhots = 1").contains("hots"));
        assert!(error("host = \"h1\"\n[workers]\ncore = [1]").contains("core"));
        assert!(error("").contains("host"));
        let device =
            |keys: &str| error(&format!("host = \"h1\"\n[[device]]\nname = \"a\"\n{keys}"));
        assert!(device("").contains("neither devargs"));
        assert!(device("devargs = \"net_null0\"\npci = \"0000:00:01.0\"").contains("both"));
        assert!(
            device("devargs = \"net_null0\"\n[[device]]\nname = \"a\"\npci = \"0000:00:01.0\"")
                .contains("two [[device]]")
        );
        assert!(error("host = \"h1\"\n[workers]\ncores = [0, 0]").contains("twice"));
        assert!(error("host = \"h1\"\n[workers]\ncores = [4095]").contains("core 4095"));
        assert!(error("host = \"h1\"\n[dpdk]\nmemory_mb = 4000000000").contains("dpdk.memory_mb"));
        assert!(device("pci = \"eth0\"").contains("not an address"));
        assert!(device("pci = \"0000.3b.00:0\"").contains("not an address"));
        assert!(error("host = \"h1\"\n[vxlan]\nports = []").contains("vxlan.ports"));
        assert!(error("host = \"h1\"\n[tables]\nfdb = 5\nlearned = 6").contains("tables.learned"));
    }
}
