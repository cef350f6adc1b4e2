//! The worker threads: pinned, registered with DPDK, and missed when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use core_affinity::CoreId;
use crossbeam::channel::Sender;
use dpdk_ffi::Eal;
use vtepd_datapath::{Channel, Idle, Worker, WorkerCounters, WorkerState};
use vtepd_tables::Tables;
use vtepd_wire::flow::FlowHasher;

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
    pub start_cycles: u64,
    pub stop: Arc<AtomicBool>,
    /// Told the core of a worker whose thread ends.
    pub ended: Sender<u32>,
}

/// Marks the worker as gone, however its thread ends.
struct Presence {
    handle: WorkerHandle,
    ended: Sender<u32>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.handle.running.store(false, Ordering::Release);
        // The receiver is gone only when the daemon is.
        let _ = self.ended.send(self.handle.core);
    }
}

/// Starts a worker on its core. Its thread returns when `stop` is set.
pub fn start(
    common: &Common,
    handle: &WorkerHandle,
    io: WorkerIo,
) -> Result<JoinHandle<Result<()>>> {
    let reader = common
        .tables
        .reader()
        .ok_or_else(|| anyhow!("too many workers for the tables"))?;
    let state = WorkerState::new(
        common.flows,
        Arc::clone(&handle.counters),
        Arc::clone(&handle.channel),
    );
    let worker = Worker::new(io, reader, state, common.idle, common.start_cycles);
    let presence = Presence {
        handle: handle.clone(),
        ended: common.ended.clone(),
    };
    let (eal, stop) = (common.eal.clone(), Arc::clone(&common.stop));
    handle.running.store(true, Ordering::Release);
    let run = move || {
        let presence = presence;
        let core = presence.handle.core;
        if !core_affinity::set_for_current(CoreId { id: core as usize }) {
            return Err(anyhow!("cannot pin a worker to core {core}"));
        }
        // For a cache of the packet pool of its own.
        let registered = eal
            .register_worker()
            .with_context(|| format!("worker on core {core}"))?;
        let io = worker.run(&stop);
        drop((io, registered));
        Ok(())
    };
    let thread = std::thread::Builder::new().name(format!("worker-{}", handle.core));
    thread
        .spawn(run)
        .with_context(|| format!("cannot start the worker on core {}", handle.core))
}
