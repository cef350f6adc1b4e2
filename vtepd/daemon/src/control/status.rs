//! What the API may read: the same numbers for REST, metrics and the client.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mgmt_api::control::{
    DropCount, FdbEntry, FdbLocation, Forget, InterfaceStatus, Neighbour, NeighbourLocation,
    NeighbourOrigin, NeighbourState, StageCycles, TableStatus, Traffic, UnderlayNeighbour,
    WorkerStatus,
};
use mgmt_api::id::Id;
use mgmt_api::mac::Mac;
use mgmt_api::resources::Network;
use mgmt_api::state::Handle;
use parking_lot::Mutex;
use vtepd_datapath::learn::learner::age_of;
use vtepd_datapath::underlay::resolver::HopState;
use vtepd_datapath::{DropReason, Stage};
use vtepd_tables::{FdbRow, InterfaceIndex, NetworkIndex, Origin, TablesWriter, Usage};

use super::Control;
use super::places::{Place, network_index};
use crate::device::Device;
use crate::workers::WorkerHandle;

/// The share of time that each worker spends on packets, over the last second.
pub struct BusyMeter {
    state: Mutex<Meter>,
}

struct Meter {
    since: Instant,
    stalled: Vec<bool>,
    /// Loops, busy loops and cycles at the last sample; busy share and cycles per
    /// second come from these.
    last: Vec<(u64, u64, u64)>,
    busy: Vec<f64>,
}

impl BusyMeter {
    pub fn new(workers: usize) -> Self {
        let meter = Meter {
            since: Instant::now(),
            stalled: vec![false; workers],
            last: vec![(0, 0, 0); workers],
            busy: vec![0.0; workers],
        };
        Self {
            state: Mutex::new(meter),
        }
    }

    /// Takes a sample once a second.
    pub fn sample(&self, workers: &[WorkerHandle]) {
        let mut meter = self.state.lock();
        let elapsed = meter.since.elapsed().as_secs_f64();
        if elapsed < 1.0 {
            return;
        }
        meter.since = Instant::now();
        for (position, worker) in workers.iter().enumerate() {
            let cycles: u64 = Stage::ALL
                .iter()
                .map(|stage| worker.counters.spent(*stage))
                .sum();
            let now = (
                worker.counters.loops.get(),
                worker.counters.busy_loops.get(),
                cycles,
            );
            let (loops, _, last_cycles) = meter.last[position];
            meter.stalled[position] = now.0 == loops;
            let per_second = cycles.wrapping_sub(last_cycles) as f64 / elapsed;
            meter.busy[position] = (per_second / worker.cycles_per_second as f64).min(1.0);
            meter.last[position] = now;
        }
    }

    fn busy(&self, worker: usize) -> f64 {
        self.state
            .lock()
            .busy
            .get(worker)
            .copied()
            .unwrap_or_default()
    }
}

/// Whether all workers and the control thread run.
pub fn health(workers: &[WorkerHandle], meter: &BusyMeter) -> Result<(), String> {
    let dead = |worker: &&WorkerHandle| !worker.running.load(Ordering::Acquire);
    if let Some(worker) = workers.iter().find(dead) {
        return Err(format!("the worker on core {} does not run", worker.core));
    }
    let meter = meter.state.lock();
    if let Some((_, worker)) = meter
        .stalled
        .iter()
        .zip(workers)
        .find(|(stalled, _)| **stalled)
    {
        return Err(format!(
            "the worker on core {} is stuck: it has not polled for a second",
            worker.core
        ));
    }
    let silent = meter.since.elapsed();
    if silent > CONTROL_PATIENCE {
        return Err(format!(
            "the control thread has not run for {} seconds: nothing is learned and no next hop is asked for",
            silent.as_secs()
        ));
    }
    Ok(())
}

/// The control thread takes a sample each second; a large transaction keeps it.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// Interfaces: what the device says and what the workers counted.
pub fn interfaces(
    devices: &[Device],
    workers: &[WorkerHandle],
    ids: &[Option<Id>],
) -> Vec<InterfaceStatus> {
    let status = |(position, device): (usize, &Device)| {
        let index = InterfaceIndex(position as u8);
        let sum = |read: &dyn Fn(&vtepd_datapath::counters::InterfaceCounters) -> u64| {
            workers
                .iter()
                .map(|worker| read(worker.counters.interface(index)))
                .sum::<u64>()
        };
        let link = device.port.link().ok();
        let stats = device.port.stats().unwrap_or_default();
        let refused = sum(&|counters| counters.tx_refused.get());
        InterfaceStatus {
            id: ids.get(position).cloned().flatten(),
            device: device.name.clone(),
            driver: device.port.info().driver.clone(),
            mac: Mac(device.mac),
            mtu: device.mtu,
            link_up: device.is_up(),
            speed_mbps: link.and_then(|link| link.speed),
            rx: Traffic {
                packets: sum(&|counters| counters.rx_packets.get()),
                bytes: sum(&|counters| counters.rx_bytes.get()),
                dropped: stats.rx_missed + stats.rx_no_mbuf,
                errors: stats.rx_errors,
            },
            tx: Traffic {
                packets: sum(&|counters| counters.tx_packets.get()).saturating_sub(refused),
                bytes: sum(&|counters| counters.tx_bytes.get()),
                dropped: refused,
                errors: stats.tx_errors,
            },
        }
    };
    devices.iter().enumerate().map(status).collect()
}

/// Workers and where their cycles went.
pub fn workers(workers: &[WorkerHandle], meter: &BusyMeter) -> Vec<WorkerStatus> {
    let status = |(position, worker): (usize, &WorkerHandle)| {
        let counters = &worker.counters;
        let packets = counters.packets.get();
        let stage = |stage: &Stage| StageCycles {
            stage: stage.name().to_owned(),
            packets: match stage {
                Stage::TakeOver => counters.taken_over.get(),
                _ => packets,
            },
            cycles: counters.spent(*stage),
        };
        WorkerStatus {
            worker: position as u32,
            core: worker.core,
            running: worker.running.load(Ordering::Acquire),
            iterations: counters.loops.get(),
            busy: meter.busy(position),
            packets,
            handed_over: counters.handed_over.get(),
            taken_over: counters.taken_over.get(),
            kept: counters.kept.get(),
            nat_refused: counters.nat_refused.get(),
            stages: Stage::ALL.iter().map(stage).collect(),
        }
    };
    workers.iter().enumerate().map(status).collect()
}

/// Every drop reason, summed over the workers.
pub fn drops(workers: &[WorkerHandle]) -> Vec<DropCount> {
    let count = |reason: &DropReason| DropCount {
        reason: reason.name().to_owned(),
        description: reason.description().to_owned(),
        interface: None,
        packets: workers
            .iter()
            .map(|worker| worker.counters.drops(*reason))
            .sum(),
    };
    DropReason::ALL.iter().map(count).collect()
}

/// The tables and how full they are.
pub fn tables(tables: &TablesWriter, routes: Usage, metadata: Option<Usage>) -> Vec<TableStatus> {
    let [neighbours4, neighbours6] = tables.neighbours.usage();
    let [vteps4, vteps6] = tables.remote_vteps.usage();
    let status = |(name, usage): (&str, Usage)| TableStatus {
        name: name.to_owned(),
        capacity: usage.capacity as u64,
        used: usage.used as u64,
        high_water: usage.high_water as u64,
        failed_inserts: usage.failed_inserts,
    };
    [
        ("fdb", tables.fdb.usage()),
        ("neighbours-ipv4", neighbours4),
        ("neighbours-ipv6", neighbours6),
        ("vteps-ipv4", vteps4),
        ("vteps-ipv6", vteps6),
        ("routes", routes),
    ]
    .into_iter()
    .chain(metadata.map(|names| ("metadata", names)))
    .map(status)
    .collect()
}

/// Buckets of the FDB that are read under one lock: some hundred microseconds.
const SLICE: usize = 16_384;

/// A page of a network's FDB being put together. The table is in the order of its
/// hashes: of all of it the smallest MACs asked for are kept.
pub struct FdbPage {
    network: Option<NetworkIndex>,
    after: Option<Mac>,
    limit: usize,
    rows: BTreeMap<Mac, FdbRow>,
    next: usize,
    /// Buckets of the table when reading began: it grows by moving to a larger one.
    buckets: usize,
}

impl FdbPage {
    pub fn new(network: Handle<Network>, after: Option<Mac>, limit: usize) -> Self {
        Self {
            network: network_index(network),
            after,
            limit,
            rows: BTreeMap::new(),
            next: 0,
            buckets: 0,
        }
    }

    /// Reads a slice of the table; whether it was the last one.
    pub(super) fn read_more(&mut self, control: &Control) -> bool {
        let fdb = &control.tables.fdb;
        if fdb.buckets() != self.buckets {
            self.buckets = fdb.buckets();
            self.next = 0;
            self.rows.clear();
        }
        fdb.scan(self.next, SLICE, |row| {
            let mac = Mac(row.key.mac().0);
            let wanted =
                row.key.network() == self.network && self.after.is_none_or(|after| mac > after);
            if wanted && self.network.is_some() {
                self.rows.insert(mac, row);
                if self.rows.len() > self.limit {
                    self.rows.pop_last();
                }
            }
        });
        self.next += SLICE;
        self.next >= self.buckets
    }

    /// The entries in the order of their MACs.
    pub(super) fn entries(self, control: &Control) -> Vec<FdbEntry> {
        let now = control.now();
        let entry = |(mac, row): (Mac, FdbRow)| {
            let location = match control.places.owner(row.entry.adjacency)? {
                Place::Attachment(attachment) => FdbLocation::Local(attachment),
                Place::Host(host) => FdbLocation::Remote(host),
                Place::Group(_)
                | Place::Gateway(..)
                | Place::FloatingIps(_)
                | Place::Outside(..) => return None,
            };
            let learned = row.entry.origin == Origin::Learned;
            Some(FdbEntry {
                mac,
                location,
                learned_age: learned.then(|| u32::from(age_of(&row, now))),
            })
        };
        self.rows.into_iter().filter_map(entry).collect()
    }
}

impl Control {
    pub(super) fn forget_learned(&mut self, which: Forget) -> u64 {
        let network = which.network.map(network_index);
        let gone = self.learner.forget(&mut self.tables, |row| {
            network.is_none_or(|network| row.key.network() == network)
                && which.mac.is_none_or(|mac| row.key.mac().0 == mac.0)
        });
        gone as u64
    }

    /// The stations of a network that have said themselves where they are.
    pub(super) fn learned_neighbours(&self, network: Handle<Network>) -> Vec<Neighbour> {
        let Some(index) = network_index(network) else {
            return Vec::new();
        };
        let learned = self.neighbours.list(index, self.now_ms()).into_iter();
        let mut list: Vec<Neighbour> = learned
            .filter_map(|learned| {
                let location = match self.places.owner(learned.neighbour.adjacency)? {
                    Place::Attachment(attachment) => NeighbourLocation::Local(attachment),
                    Place::Host(host) => NeighbourLocation::Remote(host),
                    Place::Gateway(router, ..) => NeighbourLocation::Router(router),
                    Place::Group(_) | Place::FloatingIps(_) | Place::Outside(..) => return None,
                };
                Some(Neighbour {
                    address: learned.address,
                    mac: Mac(learned.neighbour.mac.0),
                    location,
                    origin: NeighbourOrigin::Learned,
                    age: Some((learned.age_ms / 1000) as u32),
                })
            })
            .collect();
        list.sort_by_key(|neighbour| neighbour.address);
        list
    }

    pub(super) fn list_neighbours(&self) -> Vec<UnderlayNeighbour> {
        let hosts: Vec<_> = self
            .underlay
            .remote_hosts()
            .filter_map(|(host, _)| {
                Some((self.underlay.next_hop(host)?, self.underlay.host_id(host)?))
            })
            .collect();
        let list = self.resolver.list(self.now_ms()).into_iter();
        list.filter_map(|(hop, mac, state, silent_ms)| {
            Some(UnderlayNeighbour {
                interface: self.underlay.interface_id(hop.interface)?.clone(),
                address: hop.address,
                mac: mac.map(|mac| Mac(mac.0)),
                state: match state {
                    HopState::Incomplete => NeighbourState::Incomplete,
                    HopState::Reachable => NeighbourState::Reachable,
                    HopState::Stale => NeighbourState::Stale,
                },
                age_seconds: mac.map(|_| (silent_ms / 1000) as u32),
                hosts: hosts
                    .iter()
                    .filter(|(other, _)| *other == hop)
                    .map(|(_, id)| id.clone())
                    .collect(),
            })
        })
        .collect()
    }
}
