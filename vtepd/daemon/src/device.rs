//! Starting DPDK and opening the devices of the configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dpdk_ffi::{
    Eal, EalConfig, HEADROOM, LogLevel, Memory as EalMemory, Pool, PoolConfig, Port, PortConfig,
    PortId,
};
use rustix::thread::CapabilitySet;

use crate::config::{self, Config, Memory};

/// A device, open.
pub struct Device {
    pub name: String,
    pub port: Port,
    pub mac: [u8; 6],
    /// The MTU of an interface on it that asks for none.
    pub mtu: u16,
    /// For `net_af_packet`, the folder of its interface in /sys.
    kernel: Option<PathBuf>,
}

impl Device {
    /// Whether it has a carrier. `net_af_packet` claims one in any case: there the kernel is asked.
    pub fn is_up(&self) -> bool {
        let driver = self.port.link().is_ok_and(|link| link.up);
        let state = |folder: &PathBuf| std::fs::read_to_string(folder.join("operstate")).ok();
        match self.kernel.as_ref().map(state) {
            None => driver,
            // Interfaces without a carrier to watch, as the loopback, are "unknown".
            Some(state) => {
                driver && state.is_some_and(|state| matches!(state.trim(), "up" | "unknown"))
            }
        }
    }
}

/// Ethernet header and two tags: what comes on top of an MTU.
const LINK_OVERHEAD: u16 = 14 + 2 * 4;

/// Smallest data room besides the headroom: a frame of 2,048 bytes.
const LEAST_ROOM: u16 = 2048;

/// Memory of an mbuf besides its data room: its header and the pool's own.
const MBUF_OVERHEAD: u32 = 128 + 64;

/// Starts DPDK as configured.
pub fn start_eal(config: &Config) -> Result<Eal> {
    let mb = config.dpdk.memory_mb;
    let huge = EalMemory::HugePages { limit_mb: Some(mb) };
    let memory = match config.dpdk.memory {
        Memory::Huge => huge,
        Memory::NoHuge => EalMemory::NoHuge { mb },
        Memory::Auto if free_huge_pages_mb() >= u64::from(mb) => huge,
        Memory::Auto => {
            tracing::info!(
                free_mb = free_huge_pages_mb(),
                wanted_mb = mb,
                "too few huge pages are free: using ordinary pages"
            );
            EalMemory::NoHuge { mb }
        }
    };
    let eal = Eal::start(EalConfig {
        memory,
        devices: config
            .device
            .iter()
            .filter_map(|device| device.pci.clone())
            .collect(),
        main_core: Some(config.dpdk.main_core),
        file_prefix: config.dpdk.file_prefix.clone(),
        log_hook: Some(log),
        telemetry: config.dpdk.telemetry,
        ..EalConfig::default()
    })
    .context("cannot start DPDK")?;
    tracing::info!(version = eal.version(), ?memory, "DPDK runs");
    Ok(eal)
}

/// DPDK's own messages go where ours go.
fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Emergency | LogLevel::Alert | LogLevel::Critical | LogLevel::Error => {
            tracing::error!(target: "dpdk", "{message}");
        }
        LogLevel::Warning => tracing::warn!(target: "dpdk", "{message}"),
        LogLevel::Notice | LogLevel::Info => tracing::info!(target: "dpdk", "{message}"),
        LogLevel::Debug => tracing::debug!(target: "dpdk", "{message}"),
    }
}

/// Free huge pages of all sizes, in MiB.
fn free_huge_pages_mb() -> u64 {
    let Ok(sizes) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return 0;
    };
    let free_kb = sizes.flatten().filter_map(|size| {
        let name = size.file_name();
        let kb: u64 = name
            .to_str()?
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?
            .parse()
            .ok()?;
        let free: u64 = std::fs::read_to_string(size.path().join("free_hugepages"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        Some(kb * free)
    });
    free_kb.sum::<u64>() / 1024
}

/// Makes the packet pool: mbufs that hold a whole frame of the largest MTU.
pub fn create_pool(config: &Config, eal: &Eal) -> Result<Pool> {
    let largest_mtu = config.device.iter().filter_map(|device| device.mtu).max();
    let data_room = room_for(largest_mtu.unwrap_or(1500)).saturating_add(HEADROOM);
    let half = u64::from(config.dpdk.memory_mb) * 1024 * 1024 / 2;
    let fits = (half / u64::from(u32::from(data_room) + MBUF_OVERHEAD)) as u32;
    let mbufs = config.dpdk.mbufs.unwrap_or(fits.clamp(1024, 262_143));
    let pool = PoolConfig {
        mbufs,
        data_room,
        ..PoolConfig::default()
    };
    Pool::create(eal, "vtepd", pool).with_context(|| {
        format!(
            "cannot make a pool of {mbufs} packet buffers: raise dpdk.memory_mb or lower dpdk.mbufs"
        )
    })
}

/// Bytes of a buffer that holds frames of an MTU and the few bytes that drivers
/// add (`net_af_packet` puts its ring's slot, rounded up, into one buffer).
fn room_for(mtu: u16) -> u16 {
    let frame = mtu.saturating_add(LINK_OVERHEAD);
    if frame <= LEAST_ROOM {
        LEAST_ROOM
    } else {
        frame
            .saturating_add(512)
            .div_ceil(1024)
            .saturating_mul(1024)
    }
}

/// Opens every device with its queues; none is started yet.
pub fn open_devices(config: &Config, eal: &Eal, pool: &Pool) -> Result<Vec<Device>> {
    let workers = config.worker_cores().len() as u16;
    config
        .device
        .iter()
        .map(|device| open(device, eal, pool, workers))
        .collect()
}

fn open(device: &config::Device, eal: &Eal, pool: &Pool, workers: u16) -> Result<Device> {
    let name = &device.name;
    let id = attach(device, eal).with_context(|| format!("cannot attach the device {name:?}"))?;
    let kernel_sets_mtu = device.is_af_packet();
    let port_config = PortConfig {
        rx_queues: device.queues.unwrap_or(workers).min(workers),
        tx_queues: workers,
        rx_desc: device.rx_descriptors,
        tx_desc: device.tx_descriptors,
        mtu: device.mtu.filter(|_| !kernel_sets_mtu),
        // A bridge's stations have MACs that the device does not know.
        promiscuous: true,
        all_multicast: true,
        ..PortConfig::default()
    };
    let port = Port::open(eal, id, port_config, pool)
        .with_context(|| format!("cannot open the device {name:?}"))?;
    let info = port.info();
    let kernel = kernel_sets_mtu
        .then(|| kernel_interface(info.if_index))
        .flatten();
    let mtu = match (device.mtu, kernel_sets_mtu) {
        (Some(mtu), true) => check_kernel_mtu(device, mtu, kernel.as_deref())?,
        _ => port
            .mtu()
            .with_context(|| format!("cannot read the MTU of {name:?}"))?,
    };
    tracing::info!(
        device = name,
        driver = info.driver,
        mtu,
        rx_queues = info.rx_queues,
        tx_queues = info.tx_queues,
        "device open"
    );
    Ok(Device {
        name: name.clone(),
        mac: info.mac,
        mtu,
        kernel,
        port,
    })
}

/// The folder in /sys of the interface with that number.
fn kernel_interface(if_index: Option<u32>) -> Option<PathBuf> {
    let if_index = if_index?;
    let interfaces = std::fs::read_dir("/sys/class/net").ok()?;
    let mut folders = interfaces.flatten().map(|interface| interface.path());
    folders.find(|folder| read_number(&folder.join("ifindex")) == Some(if_index))
}

fn read_number(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `net_af_packet` sends and receives what the kernel's interface takes, whatever
/// MTU DPDK has for it; frames beyond the interface's MTU would be lost silently.
fn check_kernel_mtu(device: &config::Device, mtu: u16, kernel: Option<&Path>) -> Result<u16> {
    let Some(folder) = kernel else {
        return Ok(mtu);
    };
    let iface = folder.file_name().unwrap_or_default().to_string_lossy();
    match read_number(&folder.join("mtu")) {
        Some(kernel) if kernel < u32::from(mtu) => bail!(
            "the device {:?} shall carry packets of {mtu} bytes and the kernel's {iface} is set to {kernel}: \
             run `ip link set {iface} mtu {mtu}`, or lower the device's mtu",
            device.name
        ),
        _ => Ok(mtu),
    }
}

fn attach(device: &config::Device, eal: &Eal) -> Result<PortId> {
    if let Some(devargs) = device.devargs() {
        return eal.attach(&devargs).map_err(|error| {
            let error = anyhow::Error::from(error);
            match missing_rights(&devargs) {
                Some(rights) => error.context(rights),
                None => error,
            }
        });
    }
    let pci = device.pci.as_deref().unwrap_or_default();
    match eal.find_port(pci) {
        Some(port) => Ok(port),
        None => bail!(
            "DPDK does not drive {pci}: bind it first, as with `dpdk-devbind.py --bind=vfio-pci {pci}`, and see whether its driver is installed"
        ),
    }
}

/// The capabilities that a driver of the kernel's interfaces needs and this process
/// lacks; the driver itself only says that it could not open something.
fn missing_rights(devargs: &str) -> Option<String> {
    let needs: &[(&str, CapabilitySet)] = match devargs {
        _ if devargs.starts_with("net_af_packet") => &[NET_RAW],
        _ if devargs.starts_with("net_tap") => &[NET_ADMIN],
        _ if devargs.starts_with("net_af_xdp") => &[NET_RAW, NET_ADMIN, BPF],
        _ => return None,
    };
    let has = rustix::thread::capabilities(None).ok()?.effective;
    let lacking: Vec<&str> = needs
        .iter()
        .filter(|(_, capability)| !has.contains(*capability))
        .map(|(name, _)| *name)
        .collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "this process lacks {}, which such a device needs: run it as root, or give it by AmbientCapabilities= of its systemd unit",
            lacking.join(", ")
        )
    })
}

const NET_RAW: (&str, CapabilitySet) = ("CAP_NET_RAW", CapabilitySet::NET_RAW);
const NET_ADMIN: (&str, CapabilitySet) = ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN);
const BPF: (&str, CapabilitySet) = ("CAP_BPF", CapabilitySet::BPF);
