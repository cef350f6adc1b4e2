//! `dpdk-testpmd` as the floor: the same devices, and nothing done to the frames.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::process::Process;
use super::telemetry::Telemetry;
use super::vtepd::memif;

/// A running testpmd that forwards from a pcap file to nowhere.
pub struct Testpmd {
    process: Process,
    telemetry: Telemetry,
}

/// Packet buffers between sockets, and memory for them, MiB.
const JOINED_MBUFS: u32 = 16_384;
const JOINED_MEMORY_MB: u32 = 96;
/// Its worker thread, as DPDK names it.
const WORKER: &str = "rte-worker-1";

impl Testpmd {
    /// Starts it on core 1, main thread on core 0. Device 0 is the file, device 1
    /// the sink.
    pub fn start(pcap: &Path, mbufs: u32, memory_mb: u32, folder: &Path) -> Result<Self> {
        let file = format!("net_pcap0,rx_pcap={},infinite_rx=1", pcap.display());
        let devices = [file, "net_null0,no-rx=1".to_owned()];
        Self::spawn(&devices, mbufs, memory_mb, folder, |telemetry| {
            telemetry.device(1).is_ok_and(|stats| stats.sent > 0)
        })
    }

    /// The same between two sockets that another process joins.
    pub fn start_between(sockets: &[PathBuf; 2], folder: &Path) -> Result<Self> {
        let device = |number: usize| memif(&number.to_string(), &sockets[number], None);
        let devices = [device(0), device(1)];
        Self::spawn(
            &devices,
            JOINED_MBUFS,
            JOINED_MEMORY_MB,
            folder,
            |telemetry| telemetry.device(1).is_ok(),
        )
    }

    fn spawn(
        devices: &[String; 2],
        mbufs: u32,
        memory_mb: u32,
        folder: &Path,
        is_ready: impl Fn(&Telemetry) -> bool,
    ) -> Result<Self> {
        let prefix = format!("vtepd-perf-{}", std::process::id());
        let mut command = Command::new("dpdk-testpmd");
        command
            .args(["-l", "0,1", "--no-pci", "--in-memory", "--main-lcore", "0"])
            .args(["-m", &memory_mb.to_string(), "--file-prefix", &prefix])
            .args(devices.iter().map(|device| format!("--vdev={device}")))
            .args([
                "--",
                "--forward-mode=io",
                "--burst=64",
                "--nb-cores=1",
                "--no-lsc-interrupt",
                "--disable-link-check",
            ])
            .args(["--total-num-mbufs", &mbufs.to_string()])
            .args(["--auto-start", "-i"]);
        // It ends with its input.
        let mut process = Process::start(command, &folder.join("testpmd.log"), true)?;
        let mut telemetry = None;
        process.wait_until("forwards", Duration::from_secs(60), || {
            telemetry = telemetry
                .take()
                .or_else(|| Telemetry::connect(&prefix).ok());
            telemetry.as_ref().is_some_and(&is_ready)
        })?;
        let telemetry = telemetry.ok_or_else(|| anyhow::anyhow!("testpmd has no telemetry"))?;
        Ok(Self { process, telemetry })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its worker's thread.
    pub fn worker(&self) -> Result<u32> {
        super::cores::thread(self.id(), WORKER).or_else(|_| {
            // The name since DPDK 23.07.
            super::cores::thread(self.id(), "dpdk-worker1")
        })
    }

    /// Its devices.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}
