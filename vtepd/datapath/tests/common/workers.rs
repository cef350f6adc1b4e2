//! Several workers on the tables of one host, each with its share of what is translated.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vtepd_datapath::packet::Io;
use vtepd_datapath::{
    Idle, NatRequest, Seconds, TranslatorHandle, Translators, Worker, WorkerCounters,
};
use vtepd_nat::{Capacity, PoolOwner, Settings, Slices, Translator};
use vtepd_tables::translation::Description;
use vtepd_wire::hash::KeyedHash;

use super::*;

/// Of each worker.
pub const SESSIONS: u32 = 4096;

/// How long tests wait for a worker that is to answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What all of them share, and what is known of each.
pub struct Crew {
    pub translators: Translators,
    pub clock: Arc<Seconds>,
    pub counters: Vec<Arc<WorkerCounters>>,
    pub channels: Vec<Arc<Channel>>,
    pub running: Vec<Arc<AtomicBool>>,
}

impl Crew {
    /// Of so many workers, which are said to run.
    pub fn new(count: u16) -> Self {
        Self::with_patience(count, PATIENCE)
    }

    pub fn with_patience(count: u16, patience: Duration) -> Self {
        let channels: Vec<_> = (0..count)
            .map(|_| Arc::new(Channel::new(1024, 64)))
            .collect();
        let running: Vec<_> = (0..count)
            .map(|_| Arc::new(AtomicBool::new(true)))
            .collect();
        let handles = channels.iter().zip(&running).enumerate();
        let handles = handles.map(|(number, (channel, running))| TranslatorHandle {
            name: format!("the worker on core {number}"),
            channel: Arc::clone(channel),
            running: Arc::clone(running),
        });
        Self {
            translators: Translators::new(handles, patience),
            clock: Arc::default(),
            counters: channels.iter().map(|_| WorkerCounters::new()).collect(),
            channels,
            running,
        }
    }

    /// How work is dealt, seen from a worker.
    pub fn slices(&self, worker: u16) -> Slices {
        Slices::new(worker, self.channels.len() as u16, KeyedHash::new(7, 8)).unwrap()
    }

    /// A worker on devices of its own.
    pub fn worker<I: Io>(&self, host: &Host, number: u16, io: I, idle: Idle) -> Worker<I> {
        let capacity = Capacity {
            sessions: SESSIONS,
            pools: 16,
            subscribers: 16,
            datagrams: 64,
            held: 64,
            ..Capacity::default()
        };
        let hash = KeyedHash::new(9, number.into());
        let slices = self.slices(number);
        let translator = Translator::new(capacity, Settings::default(), slices, hash, 0);
        let at = usize::from(number);
        let counters = Arc::clone(&self.counters[at]);
        let channel = Arc::clone(&self.channels[at]);
        let state = WorkerState::new(FlowHasher::new(1, 2), counters, channel);
        let reader = host.tables.tables().reader().unwrap();
        let clock = Arc::clone(&self.clock);
        Worker::new(io, reader, state.with_translator(translator), idle, clock)
    }

    /// Opens a router's pools on all workers.
    pub fn open(&self, router: u16, description: &Description) {
        self.translators.tell(&openings(router, description));
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.iter().map(|of| of.drops(reason)).sum()
    }

    /// What was dropped at all.
    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        let all = DropReason::ALL.iter();
        let counted = all.map(|reason| (*reason, self.dropped(*reason)));
        counted.filter(|(_, packets)| *packets > 0).collect()
    }
}

/// The requests that open a router's pools.
pub fn openings(router: u16, description: &Description) -> Vec<NatRequest> {
    let open = |outside: &vtepd_tables::translation::OutsideAddress| NatRequest::OpenPool {
        pool: outside.pool,
        owner: PoolOwner {
            router: vrf(router),
            subscriber: description.subscriber,
            address: outside.address,
        },
    };
    description.outside.iter().map(open).collect()
}
