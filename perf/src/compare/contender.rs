//! Who is compared: something that can be checked, and started afresh with traffic for ever.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use vtepd_perf::frames::nat::Cloud;

use crate::sampling::Subject;
use crate::workloads::forward::{self, Running};
use crate::workloads::nat;

/// The least share of a worker's time that is spent on packets while it never waits for any.
const LEAST_BUSY: f64 = 0.99;

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
        let busy = self.daemon.api().worker()?.busy;
        Ok(waited_for_packets(1.0 - busy).into_iter().collect())
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.daemon.stop()
    }
}

/// What is to be said of a worker that had nothing to do for a share of the time.
pub fn waited_for_packets(idle: f64) -> Option<String> {
    (1.0 - idle < LEAST_BUSY).then(|| {
        let percent = idle * 100.0;
        format!(
            "the source was the limit: the worker had no packets for {percent:.1} % of the time"
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
