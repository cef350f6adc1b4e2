//! `routes`: many routers and a full table by REST, and a route that changes under its
//! traffic.
//!
//! ```text
//!   empty ─► 10,000 routers × 100 routes ─► one route more, again and again
//!   empty ─► 1,000,000 routes of one router, 10,000 a transaction ─► one of them, again and again
//!   frames for ever ─► router ─► recorded, while the next hop of their route changes
//! ```

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnet::{IpNet, Ipv4Net};
use vtepd_perf::frames::{pcap, routed};
use vtepd_perf::results::Routes;
use vtepd_perf::results::routes::{Churn, Loaded};
use vtepd_perf::summary::Summary;
use vtepd_tables::AdjacencyIndex;
use vtepd_tables::route::{NextHop, RouteWriter};

use crate::system::cores;
use crate::system::huge_pages::HugePages;
use crate::system::vtepd::{Device, NOT_CONTROL, Setup, Vtepd};

/// How much is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Routers.
    pub routers: u32,
    /// Routes in the list of each.
    pub routes_each: u32,
    /// Routes of the one router with a full table.
    pub full: u32,
    /// Changes a second of the route that has traffic.
    pub rate: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            routers: 10_000,
            routes_each: 100,
            full: 1_000_000,
            rate: 1000,
        }
    }
}

/// Routes of one transaction.
const BATCH: usize = 10_000;
/// Calls that change one route.
const CHANGES: u32 = 1000;
/// Frames that are sent over and over.
const FRAMES: u32 = 8192;
/// How long they are recorded.
const RECORDED: Duration = Duration::from_secs(1);

/// Runs it.
pub fn run(program: &Path, size: Size, progress: &dyn Fn(&str)) -> Result<Routes> {
    let folder = tempfile::tempdir()?;
    let setup = |name: &str| Setup {
        program: program.to_owned(),
        folder: folder.path().join(name),
        uplink: Device::Null,
        access: Device::Null,
        kept_frames: FRAMES,
        sessions: 0,
        second: None,
    };
    let _huge = HugePages::take(setup("").huge_pages_mb())?;
    progress("many routers");
    let routers = many_routers(&setup("routers"), size)?;
    progress("a full table");
    let full = full_table(&setup("full"), size)?;
    progress("changes under traffic");
    let churn = churn(&setup("churn"), size.rate)?;
    Ok(Routes {
        routers,
        full,
        churn,
    })
}

fn many_routers(setup: &Setup, size: Size) -> Result<Loaded> {
    let prefixes = routed::prefixes(65_536, 1);
    let bodies = (0..size.routers).step_by(routed::ROUTERS as usize);
    let bodies = bodies.map(|first| {
        let last = (first + routed::ROUTERS).min(size.routers);
        routed::routers(first..last, &prefixes, size.routes_each)
    });
    let bodies: Vec<String> = bodies.collect();
    let one = [prefixes[0].supernet().unwrap_or_default()];
    let mut loaded = load(setup, &bodies, |by| routed::routes(0, &one, by))?;
    loaded.routes = u64::from(size.routers) * u64::from(size.routes_each + 1);
    for router in 0..size.routers {
        let first = router * size.routes_each;
        let own = (first..first + size.routes_each)
            .map(|number| prefixes[number as usize % prefixes.len()]);
        let (read, kept) = memory(own);
        loaded.table_bytes.0 += read;
        loaded.table_bytes.1 += kept;
    }
    Ok(loaded)
}

fn full_table(setup: &Setup, size: Size) -> Result<Loaded> {
    let prefixes = routed::prefixes(size.full as usize, 1);
    let router = std::iter::once(routed::routers(0..1, &prefixes, 0));
    let batches = prefixes
        .chunks(BATCH)
        .map(|batch| routed::routes(0, batch, 0));
    let bodies: Vec<String> = router.chain(batches).collect();
    let mut loaded = load(setup, &bodies, |by| routed::routes(0, &prefixes[..1], by))?;
    loaded.routes = u64::from(size.full);
    loaded.table_bytes = memory(prefixes.iter().copied());
    Ok(loaded)
}

fn load(setup: &Setup, bodies: &[String], change: impl Fn(u32) -> String) -> Result<Loaded> {
    let daemon = Vtepd::start(setup)?;
    let api = daemon.api();
    let (empty, _) = cores::resident(daemon.id())?;
    api.transaction(routed::ground().to_string().as_bytes())?;
    let cpu = || cores::cpu_seconds_without(daemon.id(), &NOT_CONTROL);
    let (begin, cpu_before) = (Instant::now(), cpu()?);
    for body in bodies {
        api.transaction(body.as_bytes())?;
    }
    let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), cpu()? - cpu_before);
    let (bytes, _) = cores::resident(daemon.id())?;
    let mut times = Vec::new();
    let cpu_before = cpu()?;
    for by in 1..=CHANGES {
        let body = change(by);
        let begin = Instant::now();
        api.transaction(body.as_bytes())?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let change_cpu_ms = (cpu()? - cpu_before) * 1e3 / f64::from(CHANGES);
    let (changed_bytes, _) = cores::resident(daemon.id())?;
    daemon.stop()?;
    Ok(Loaded {
        routes: 0,
        seconds,
        cpu_seconds,
        bytes: bytes.saturating_sub(empty),
        changed_bytes: changed_bytes.saturating_sub(empty),
        table_bytes: (0, 0),
        change_ms: Summary::of(times).context("there were changes")?,
        change_cpu_ms,
    })
}

/// What such routes take in the tables: what workers read, and what the writer keeps.
fn memory(prefixes: impl Iterator<Item = Ipv4Net>) -> (u64, u64) {
    let mut writer = RouteWriter::new(usize::MAX);
    let gateway = AdjacencyIndex::new(1);
    let hops = prefixes
        .enumerate()
        .filter_map(|(number, prefix)| Some((number, prefix, gateway?)));
    for (number, prefix, gateway) in hops {
        let hop = NextHop {
            gateway,
            address: Some(routed::next_hop(number as u32).into()),
        };
        // Without a limit there is room.
        let _ = writer.insert(IpNet::V4(prefix), hop.into());
    }
    drop(writer.vrf());
    let memory = writer.memory();
    (memory.lookup as u64, memory.writer as u64)
}

fn churn(setup: &Setup, rate: u32) -> Result<Churn> {
    std::fs::create_dir_all(&setup.folder)?;
    let frames = setup.folder.join("frames.pcap");
    let out = setup.folder.join("out.pcap");
    let file = BufWriter::new(File::create(&frames)?);
    pcap::write(file, (0..FRAMES).map(routed::sent))?;
    // The state first, without traffic: it is taken up from disk.
    let daemon = Vtepd::start(setup)?;
    for body in [routed::ground(), routed::path()] {
        daemon.api().transaction(body.to_string().as_bytes())?;
    }
    daemon.stop()?;
    let daemon = Vtepd::start(&Setup {
        access: Device::Repeats(frames),
        uplink: Device::Records(out.clone()),
        ..setup.clone()
    })?;
    let pace = Duration::from_secs_f64(1.0 / f64::from(rate));
    let begin = Instant::now();
    let (mut due, mut made) = (begin, 0);
    while begin.elapsed() < RECORDED {
        let now = Instant::now();
        if now < due {
            std::thread::sleep(due - now);
            continue;
        }
        // Who is late does not catch up later: the rate is that of the moment.
        due = (due + pace).max(now);
        made += 1;
        daemon.api().transaction(routed::turn(made).as_bytes())?;
    }
    let rate_made = made as f64 / begin.elapsed().as_secs_f64();
    let drops = daemon.api().drops()?;
    daemon.stop()?;
    if !drops.is_empty() {
        bail!("packets were dropped while their route changed: {drops:?}");
    }
    let ways = routed::check(FRAMES, pcap::read(File::open(&out)?)?).map_err(anyhow::Error::msg);
    let ways = ways.context("while the route changed")?;
    if ways.turns == 0 {
        bail!("the route was changed {made} times, and all packets went one way");
    }
    Ok(Churn {
        wanted_rate: rate,
        rate: rate_made,
        packets: ways.packets,
        turns: ways.turns,
    })
}
