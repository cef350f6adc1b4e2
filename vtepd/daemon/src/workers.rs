//! The worker threads: pinned, registered with DPDK, and missed when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use core_affinity::CoreId;
use crossbeam::channel::Sender;
use dpdk_ffi::Eal;
use vtepd_datapath::{Channel, Idle, Limits, Seconds, Worker, WorkerCounters, WorkerState};
use vtepd_nat::{Capacity, Settings, Slices, Translator};
use vtepd_tables::Tables;
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::hash::KeyedHash;

use crate::io::WorkerIo;

/// What others know of a worker.
#[derive(Clone)]
pub struct WorkerHandle {
    pub core: u32,
    pub counters: Arc<WorkerCounters>,
    pub channel: Arc<Channel>,
    pub running: Arc<AtomicBool>,
    pub cycles_per_second: u64,
}

/// Events that a worker may have under way to the control thread: new sources of
/// some milliseconds at full rate.
const EVENTS: usize = 8192;
/// Frames that the control thread may have under way to a worker.
const COMMANDS: usize = 1024;

impl WorkerHandle {
    /// A worker that has not been started.
    pub fn new(core: u32, cycles_per_second: u64) -> Self {
        Self {
            core,
            counters: WorkerCounters::new(),
            channel: Arc::new(Channel::new(EVENTS, COMMANDS)),
            running: Arc::default(),
            cycles_per_second,
        }
    }
}

/// What all workers share.
pub struct Common {
    pub eal: Eal,
    pub tables: Arc<Tables>,
    pub flows: FlowHasher,
    pub idle: Idle,
    pub limits: Limits,
    pub clock: Arc<Seconds>,
    pub translation: Translation,
    pub stop: Arc<AtomicBool>,
    /// Told when a worker begins to poll.
    pub ready: Sender<()>,
    /// Told who it is when a thread ends.
    pub ended: Sender<String>,
}

/// How workers share translations.
#[derive(Clone, Copy)]
pub struct Translation {
    /// Of each worker.
    pub capacity: Capacity,
    pub workers: u16,
    /// Which worker owns what follows from it: the same for all.
    pub secret: KeyedHash,
}

impl Translation {
    /// The translator of a worker. Its memory is written here, so that it lies near the core that calls.
    fn translator(&self, worker: u16, now: u32) -> Result<Translator> {
        let slices = Slices::new(worker, self.workers, self.secret)?;
        let hash = vtepd_tables::random_hash();
        // The control thread's settings come as requests, before the first packet.
        let settings = Settings::default();
        Ok(Translator::new(self.capacity, settings, slices, hash, now))
    }
}

/// Says so when a thread ends, however it does.
pub struct Presence {
    who: String,
    ended: Sender<String>,
}

impl Presence {
    /// Of the thread that will hold it.
    pub fn new(who: String, ended: Sender<String>) -> Self {
        Self { who, ended }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // The receiver is gone when the daemon stops.
        let _ = self.ended.send(std::mem::take(&mut self.who));
    }
}

/// The mark of a worker that runs; taken away however its thread ends.
struct Running(Arc<AtomicBool>);

impl Running {
    fn new(mark: &Arc<AtomicBool>) -> Self {
        mark.store(true, Ordering::Release);
        Self(Arc::clone(mark))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Starts a worker on its core. Its thread returns when `stop` is set.
pub fn start(
    common: &Common,
    number: u16,
    handle: &WorkerHandle,
    io: WorkerIo,
) -> Result<JoinHandle<Result<()>>> {
    let mut reader = common
        .tables
        .reader()
        .ok_or_else(|| anyhow!("too many workers for the tables"))?;
    // The writer does not wait for it before it polls.
    reader.offline();
    let state = WorkerState::new(
        common.flows,
        Arc::clone(&handle.counters),
        Arc::clone(&handle.channel),
    );
    let state = state.with_limits(common.limits);
    let (translation, idle, clock) = (common.translation, common.idle, Arc::clone(&common.clock));
    let core = handle.core;
    let presence = Presence::new(format!("the worker on core {core}"), common.ended.clone());
    let running = Arc::clone(&handle.running);
    let (eal, stop) = (common.eal.clone(), Arc::clone(&common.stop));
    let ready = common.ready.clone();
    let run = move || {
        let _presence = presence;
        if !core_affinity::set_for_current(CoreId { id: core as usize }) {
            return Err(anyhow!("cannot pin a worker to core {core}"));
        }
        // For a cache of the packet pool of its own.
        let registered = eal
            .register_worker()
            .with_context(|| format!("worker on core {core}"))?;
        let translator = translation.translator(number, clock.get())?;
        let mb = translator.usage().bytes >> 20;
        tracing::info!(
            core,
            sessions = translation.capacity.sessions,
            mb,
            "memory for translations"
        );
        let state = state.with_translator(translator);
        reader.online();
        let worker = Worker::new(io, reader, state, idle, clock);
        let _running = Running::new(&running);
        // Nobody waits any more when the daemon stops.
        let _ = ready.send(());
        let io = worker.run(&stop);
        drop((io, registered));
        Ok(())
    };
    let thread = std::thread::Builder::new().name(format!("worker-{core}"));
    thread
        .spawn(run)
        .with_context(|| format!("cannot start the worker on core {core}"))
}
