//! Who is compared: something that can be checked, and started afresh with traffic for ever.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use vtepd_perf::frames::nat::Cloud;

use crate::sampling::Subject;
use crate::workloads::forward::{self, Running};
use crate::workloads::nat;

/// The least share of a worker's turns that have packets while the source is not the limit.
const LEAST_BUSY: f64 = 0.99;
/// Packets that a worker of ours takes in at once, at most.
const BURST: f64 = 64.0;
/// How long its turns are counted.
const LOOK: Duration = Duration::from_millis(200);

/// One of both.
pub trait Contender {
    /// What people call it.
    fn name(&self) -> &str;
    /// Plays the frames once and compares all that comes out. Returns how many there were.
    fn check(&self) -> Result<u64>;
    /// A new process, full speed ahead: its tables are full and its caches warm.
    fn start(&self) -> Result<Box<dyn Forwarding>>;
}

/// A process that forwards for ever.
pub trait Forwarding {
    /// To take samples of.
    fn subject(&self) -> Subject<'_>;
    /// How long its caches took to be warm, if it has such.
    fn warm_up(&self) -> Option<Duration> {
        None
    }
    /// What only it knows that makes the samples doubtful. Asked for after them.
    fn doubts(&self) -> Result<Vec<String>>;
    /// Ends it.
    fn stop(self: Box<Self>) -> Result<()>;
}

impl Forwarding for Running {
    fn subject(&self) -> Subject<'_> {
        Running::subject(self)
    }

    fn doubts(&self) -> Result<Vec<String>> {
        let begin = self.daemon.api().worker()?;
        std::thread::sleep(LOOK);
        let end = self.daemon.api().worker()?;
        let turns = (end.iterations - begin.iterations).max(1);
        let each = (end.packets - begin.packets) as f64 / turns as f64;
        // It takes in a burst a turn, and there is one device that gives.
        let idle = 1.0 - each / BURST;
        Ok(waited_for_packets(idle).into_iter().collect())
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.daemon.stop()
    }
}

/// What is to be said of a worker that had nothing to do for a share of its turns.
pub fn waited_for_packets(idle: f64) -> Option<String> {
    (1.0 - idle < LEAST_BUSY).then(|| {
        let percent = idle * 100.0;
        format!(
            "the source was the limit: the worker had no packets in {percent:.1} % of its turns"
        )
    })
}

/// A daemon of ours and flows of one way.
pub struct OneWay<'a> {
    name: String,
    pub prepared: forward::Prepared<'a>,
}

impl<'a> OneWay<'a> {
    /// Writes the frames and loads the state.
    pub fn new(
        name: &str,
        program: &Path,
        run: forward::Run<'a>,
        progress: &dyn Fn(&str),
    ) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            prepared: forward::Prepared::new(program, run, progress)?,
        })
    }
}

impl Contender for OneWay<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<u64> {
        self.prepared.compare()
    }

    fn start(&self) -> Result<Box<dyn Forwarding>> {
        Ok(Box::new(self.prepared.start()?))
    }
}

/// A daemon of ours and a cloud that translates, on the way out.
pub struct Translating {
    name: String,
    pub prepared: nat::Prepared,
}

impl Translating {
    /// Writes the frames and loads the state.
    pub fn new(
        name: &str,
        program: &Path,
        cloud: Cloud,
        samples: usize,
        progress: &dyn Fn(&str),
    ) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            prepared: nat::Prepared::new(program, cloud, samples, progress)?,
        })
    }
}

impl Contender for Translating {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<u64> {
        self.prepared.compare_sent()?;
        Ok(self.prepared.cloud.order().len() as u64)
    }

    fn start(&self) -> Result<Box<dyn Forwarding>> {
        Ok(Box::new(self.prepared.start_out()?))
    }
}
