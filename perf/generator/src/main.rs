//! `vtepd-perf-generator`: sends packets to a box at a rate, and measures how long they take to
//! come back.
//!
//! ```text
//!   frames ─► stamp when due ─► device "out" ══ box ══ device "back" ─► now less stamp ─► histogram
//! ```
//!
//! One thread does both. A packet's time begins when it was due, not when it was sent: a
//! generator that falls behind would otherwise hide the wait that it causes (Tene, "How not to
//! measure latency": coordinated omission). Its own turns are measured, too.
//!
//! It is told trials on its standard input and answers on its standard output, a line of JSON
//! each ([`vtepd_perf::generating`]).

mod frames;
mod trial;

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dpdk_ffi::{Eal, EalConfig, LogLevel, Memory, Pool, PoolConfig, Port, PortConfig};
use vtepd_perf::generating::Trial;

use frames::Frames;
use trial::Wire;

/// Sends packets to a box at a rate, and measures how long they take to come back.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The device that packets are sent to, as DPDK spells it.
    #[arg(long)]
    out: String,
    /// The device that they come back by.
    #[arg(long)]
    back: String,
    /// What is sent, over and over: a pcap file.
    #[arg(long)]
    frames: PathBuf,
    /// What comes back for it, in the same order.
    #[arg(long)]
    expected: PathBuf,
    /// Where the time stamp goes in a frame that is sent.
    #[arg(long)]
    stamp: usize,
    /// Where it is in what comes back.
    #[arg(long)]
    stamp_back: usize,
    /// The core it runs on, DPDK's threads included.
    #[arg(long, default_value_t = 0)]
    core: u32,
}

/// How long the box may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory: all packet buffers.
const MEMORY_MB: u32 = 128;
/// Packet buffers. At most the rings are full of them.
const MBUFS: u32 = 16_383;

fn main() -> Result<()> {
    let options = Options::parse();
    let frames = Frames::read(&options)?;
    let eal = Eal::start(EalConfig {
        memory: Memory::NoHuge { mb: MEMORY_MB },
        file_prefix: format!("vtepd-perf-generator-{}", std::process::id()),
        main_core: Some(options.core),
        log_level: LogLevel::Error,
        telemetry: false,
        ..EalConfig::default()
    })
    .map_err(said)?;
    let pool = PoolConfig {
        mbufs: MBUFS,
        ..PoolConfig::default()
    };
    let pool = Pool::create(&eal, "packets", pool).map_err(said)?;
    let open = |devargs: &str| -> Result<Port> {
        let id = eal.attach(devargs).map_err(said)?;
        let port = Port::open(&eal, id, PortConfig::default(), &pool).map_err(said)?;
        port.start().map_err(said)?;
        Ok(port)
    };
    let (out, back) = (open(&options.out)?, open(&options.back)?);
    wait_for_links(&[&out, &back])?;
    let _worker = eal.register_worker().map_err(said)?;
    let mut wire = Wire::new(&eal, pool, &out, &back, frames)?;
    let mut answers = std::io::stdout();
    writeln!(answers, "\"ready\"")?;
    for line in std::io::stdin().lock().lines() {
        let trial: Trial = serde_json::from_str(&line?).context("that is no trial")?;
        let outcome = wire.run(trial)?;
        writeln!(answers, "{}", serde_json::to_string(&outcome)?)?;
    }
    Ok(())
}

/// An error of DPDK as one of this program.
fn said(error: impl Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// Waits until the box is at the other end of each.
fn wait_for_links(ports: &[&Port]) -> Result<()> {
    let begin = Instant::now();
    for port in ports {
        while !port.link().map_err(said)?.up {
            if begin.elapsed() > PATIENCE {
                bail!("nobody is at the other end after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}
