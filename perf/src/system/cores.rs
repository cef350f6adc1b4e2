//! What the kernel knows of cores, processes and threads.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Clock ticks of `/proc`, per second: the same on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a core did so far, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct CoreTicks {
    busy: f64,
    steal: f64,
    all: f64,
}

impl CoreTicks {
    /// Of one core.
    pub fn read(core: u32) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name));
        let line = line.with_context(|| format!("there is no core {core}"))?;
        let ticks: Vec<f64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal, see proc_stat(5)
        let at = |index: usize| ticks.get(index).copied().unwrap_or_default();
        let all: f64 = ticks.iter().take(8).sum();
        Ok(Self {
            busy: all - at(3) - at(4),
            steal: at(7),
            all,
        })
    }

    /// The shares that were stolen by the host and that were not idle, since then.
    pub fn since(self, then: Self) -> (f64, f64) {
        let all = (self.all - then.all).max(1.0);
        (
            (self.steal - then.steal) / all,
            (self.busy - then.busy) / all,
        )
    }
}

/// The id of a thread by its name.
pub fn thread(pid: u32, name: &str) -> Result<u32> {
    thread_that(pid, name, |own| own == name)
}

/// The same by how its name begins.
pub fn thread_like(pid: u32, name: &str) -> Result<u32> {
    thread_that(pid, name, |own| own.starts_with(name))
}

fn thread_that(pid: u32, name: &str, is_it: impl Fn(&str) -> bool) -> Result<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("the process {pid} has gone"))?;
    for task in tasks.flatten() {
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id = task.file_name().to_str().and_then(|id| id.parse().ok());
        if let (true, Some(id)) = (is_it(comm.trim()), id) {
            return Ok(id);
        }
    }
    anyhow::bail!("the process {pid} has no thread {name}")
}

/// How a thread's time was spent so far.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTime {
    /// On its core.
    pub ran: Duration,
    /// Ready to run, and waiting for the core.
    pub waited: Duration,
}

impl ThreadTime {
    /// Of one thread.
    pub fn read(pid: u32, thread: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/task/{thread}/schedstat");
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let mut fields = stat.split(' ').filter_map(|field| field.parse().ok());
        let mut next = || Duration::from_nanos(fields.next().unwrap_or_default());
        Ok(Self {
            ran: next(),
            waited: next(),
        })
    }
}

/// CPU time of a process without some of its threads.
pub fn cpu_seconds_without(pid: u32, without: &[&str]) -> Result<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("the process {pid} has gone"))?;
    let mut seconds = 0.0;
    for task in tasks.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything.
        let (head, tail) = stat.rsplit_once(')').unwrap_or_default();
        let name = head.split_once('(').map_or("", |(_, name)| name);
        if without.contains(&name) {
            continue;
        }
        // utime and stime are fields 14 and 15; the tail begins with field 3.
        let times = tail.split_whitespace().skip(11).take(2);
        let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
        seconds += ticks / TICKS_PER_SECOND;
    }
    Ok(seconds)
}

/// Resident memory of a process in bytes, huge pages aside: now, and at most ever.
pub fn resident(pid: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("the process {pid} has gone"))?;
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.unwrap_or_default()
    };
    Ok((kib("VmRSS:") * 1024, kib("VmHWM:") * 1024))
}

/// Keeps the calling thread, and what it starts by [`on_all`] aside, on one core.
pub fn stay_on(core: u32) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core as usize);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// Does something that must not inherit that, such as starting a program.
pub fn on_all<T>(action: impl FnOnce() -> T) -> Result<T> {
    let own = sched_getaffinity(None).context("cannot read the CPU affinity")?;
    let mut all = CpuSet::new();
    for core in 0..CpuSet::MAX_CPU {
        all.set(core);
    }
    sched_setaffinity(None, &all).context("cannot leave the core")?;
    let result = action();
    sched_setaffinity(None, &own).context("cannot return to the core")?;
    Ok(result)
}
