//! The control side: the one writer of the tables.
//!
//! ```text
//!   API ──apply──► Control ──► TablesWriter ──► workers
//!                    ▲  │ commands
//!             events │  ▼
//!                  workers
//! ```
//!
//! | file | what |
//! |---|---|
//! | `apply` | a transaction of desired state becomes table entries |
//! | `stations` | MACs and addresses out of ports, static entries and gateways |
//! | `concerned` | whom a transaction concerns beyond the records that it changes |
//! | `gateways`, `floating` | which gateways and floating IPs this host has, out of the records |
//! | `routers` | gateways as ways out, DVR host MACs |
//! | `spaces` | address spaces with their routes |
//! | `guards` | what is checked of ports |
//! | `translation` | rules, and the pools and tenants behind them |
//! | `sessions` | what is translated now, for the API |
//! | `nat_events`, `nat_names` | what has run out, by names |
//! | `aside` | what waits for workers while nobody waits for it |
//! | `next_hops` | who is asked for outside, as long as routes lead there |
//! | `announcements` | gratuitous ARP |
//! | `metadata` | who may ask the metadata proxy, by which name |
//! | `services` | DHCP and router advertisements for stations |
//! | `explain`, `experiment` | one packet through the workers' own code |
//! | `places` | adjacency indices: who has which |
//! | `underlay` | routes to remote VTEPs, their tunnels, groups |
//! | `tick` | the control thread: events, ageing, questions |
//! | `status` | what the API may read |

mod announcements;
mod apply;
mod aside;
mod concerned;
mod experiment;
mod explain;
mod floating;
mod gateways;
mod guards;
mod metadata;
mod nat_events;
mod nat_names;
mod next_hops;
mod places;
mod routers;
mod services;
mod sessions;
mod spaces;
mod stations;
mod status;
#[cfg(test)]
mod tests;
mod tick;
mod translation;
mod underlay;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use mgmt_api::change::Changes;
use mgmt_api::control::{
    ControlPlane, DropCount, Facts, FdbEntry, Forget, InterfaceStatus, MetadataAsker, Neighbour,
    TableStatus, UnderlayNeighbour, WorkerStatus,
};
use mgmt_api::events::EventSink;
use mgmt_api::explain::{ExplainQuery, Explanation};
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::refusal::Refusal;
use mgmt_api::resources::Network;
use mgmt_api::state::{Handle, View};
use mgmt_api::translation::{NatPool, NatTenant, SessionPage, SessionQuery};
use parking_lot::Mutex;
use vtepd_datapath::learn::Learner;
use vtepd_datapath::route::neighbours::Neighbours;
use vtepd_datapath::underlay::membership::Membership;
use vtepd_datapath::underlay::resolver::Resolver;
use vtepd_datapath::{Command, Delivery, Seconds, SmallFrame, TranslatorHandle, Translators};
use vtepd_tables::{InterfaceIndex, TablesWriter};
use vtepd_wire::Mac;
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::hash::KeyedHash;

use crate::device::Device;
use crate::workers::WorkerHandle;
use announcements::Announcements;
use apply::Networks;
use aside::Superseded;
use experiment::Laboratory;
use guards::Guards;
use metadata::Askers;
use next_hops::NextHopsOutside;
use places::Places;
use services::Served;
use spaces::Vrfs;
use status::{BusyMeter, FdbPage};
use translation::Translation;
use underlay::Underlay;

pub use aside::run as run_aside;
pub use metadata::MetadataSettings;
pub use nat_names::NatNames;
pub use tick::run as run_thread;
pub use translation::TranslationCapacity;

/// What the daemon gives the control side.
pub struct Parts {
    pub facts: Facts,
    pub tables: TablesWriter,
    pub learned_limit: usize,
    pub route_limit: usize,
    pub translation: TranslationCapacity,
    /// Which worker owns what of translations follows from it.
    pub secret: KeyedHash,
    pub flows: FlowHasher,
    pub devices: Arc<[Device]>,
    pub workers: Arc<[WorkerHandle]>,
    pub tunnels: TunnelSettings,
    pub metadata: Option<MetadataSettings>,
    pub start: Instant,
    pub clock: Arc<Seconds>,
}

/// What all tunnels have in common.
#[derive(Clone, Copy, Debug)]
pub struct TunnelSettings {
    pub dscp: u8,
    pub ttl: u8,
}

/// The data plane as the management plane sees it.
pub struct Plane {
    facts: Facts,
    devices: Arc<[Device]>,
    workers: Arc<[WorkerHandle]>,
    control: Mutex<Control>,
    busy: BusyMeter,
    laboratory: Laboratory,
    translators: Arc<Translators>,
    superseded: Receiver<Superseded>,
    nat_names: Arc<NatNames>,
}

/// Everything that only the holder of the lock may do: there is one writer.
struct Control {
    tables: TablesWriter,
    learner: Learner,
    resolver: Resolver,
    membership: Membership,
    neighbours: Neighbours,
    /// When the neighbours are looked at again, in milliseconds since the start.
    neighbours_due: u64,
    guards: Guards,
    served: Served,
    /// `None` without a proxy in the configuration.
    metadata: Option<Askers>,
    vrfs: Vrfs,
    translation: Translation,
    translators: Arc<Translators>,
    nat_names: Arc<NatNames>,
    superseded: Sender<Superseded>,
    events: EventSink,
    next_hops: NextHopsOutside,
    announcements: Announcements,
    places: Places,
    networks: Networks,
    underlay: Underlay,
    workers: Arc<[WorkerHandle]>,
    start: Instant,
    clock: Arc<Seconds>,
}

impl Plane {
    /// A data plane that forwards nothing yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let laboratory = Laboratory {
            tables: Arc::clone(parts.tables.tables()),
            flows: parts.flows,
            clock: Arc::clone(&parts.clock),
            workers: parts.workers.len() as u16,
            secret: parts.secret,
        };
        let devices = parts.facts.devices.iter();
        let macs = devices.map(|device| Mac(device.mac.0)).collect();
        let translators = Arc::new(translators(&parts.workers));
        let (superseded, to_supersede) = unbounded();
        let nat_names = Arc::<NatNames>::default();
        let mut control = Control {
            tables: parts.tables,
            learner: Learner::new(parts.learned_limit),
            resolver: Resolver::default(),
            membership: Membership::default(),
            neighbours: Neighbours::default(),
            neighbours_due: 0,
            guards: Guards::default(),
            served: Served::new(parts.metadata.is_some()),
            metadata: parts.metadata.map(Askers::new),
            vrfs: Vrfs::new(parts.route_limit),
            translation: Translation::new(parts.translation),
            translators: Arc::clone(&translators),
            nat_names: Arc::clone(&nat_names),
            superseded,
            // Until the manager has given its own.
            events: EventSink::default(),
            next_hops: NextHopsOutside::default(),
            announcements: Announcements::default(),
            places: Places::default(),
            networks: Networks::default(),
            underlay: Underlay::new(macs, parts.tunnels),
            workers: Arc::clone(&parts.workers),
            start: parts.start,
            clock: parts.clock,
        };
        control.start_metadata();
        Arc::new(Self {
            facts: parts.facts,
            laboratory,
            busy: BusyMeter::new(parts.workers.len()),
            translators,
            superseded: to_supersede,
            nat_names,
            devices: parts.devices,
            workers: parts.workers,
            control: Mutex::new(control),
        })
    }
}

impl Plane {
    /// What routers and tenants are called that workers know by number.
    pub fn nat_names(&self) -> &Arc<NatNames> {
        &self.nat_names
    }
}

/// How long a worker is given to answer.
const PATIENCE: Duration = Duration::from_secs(1);

fn translators(workers: &[WorkerHandle]) -> Translators {
    let handle = |worker: &WorkerHandle| TranslatorHandle {
        name: format!("the worker on core {}", worker.core),
        channel: Arc::clone(&worker.channel),
        running: Arc::clone(&worker.running),
    };
    Translators::new(workers.iter().map(handle), PATIENCE)
}

impl Control {
    /// Milliseconds since the start.
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Seconds since the start, as the workers see them.
    fn now(&self) -> u32 {
        self.clock.get()
    }

    /// Has a worker send frames. Which one does not matter: each can send out of
    /// every interface. A full queue loses them; whoever asks, asks again.
    fn transmit(&self, frames: impl IntoIterator<Item = (InterfaceIndex, SmallFrame)>) {
        let Some(worker) = self.workers.first() else {
            return;
        };
        for (interface, frame) in frames {
            if worker
                .channel
                .commands
                .push(Command::Transmit { interface, frame })
                .is_err()
            {
                tracing::debug!(%interface, "the worker has too many frames to send waiting: one lost");
            }
        }
    }

    /// Has all workers look at the packets that wait for a neighbour. Where the queue is
    /// full they do so by themselves within the second.
    fn resume(&self) {
        for worker in self.workers.iter() {
            let _ = worker.channel.commands.push(Command::Resume);
        }
    }

    /// Has a worker send frames into networks, with the same care.
    fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        let Some(worker) = self.workers.first() else {
            return;
        };
        for delivery in deliveries {
            if worker.channel.deliveries.push(delivery).is_err() {
                tracing::debug!("the worker has too many frames to deliver waiting: one lost");
            }
        }
    }
}

impl ControlPlane for Plane {
    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), Refusal> {
        self.control.lock().apply(changes)
    }

    fn health(&self) -> Result<(), String> {
        status::health(&self.workers, &self.busy)
    }

    fn interfaces(&self) -> Vec<InterfaceStatus> {
        let names = self.control.lock().underlay.interface_ids();
        status::interfaces(&self.devices, &self.workers, &names)
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        status::workers(&self.workers, &self.busy)
    }

    fn drops(&self) -> Vec<DropCount> {
        status::drops(&self.workers)
    }

    fn tables(&self) -> Vec<TableStatus> {
        let mut tables = {
            let control = self.control.lock();
            let names = control.metadata.as_ref().map(Askers::usage);
            status::tables(&control.tables, control.vrfs.usage(), names)
        };
        tables.extend(sessions::tables(&self.translators));
        tables
    }

    fn fdb(&self, network: Handle<Network>, after: Option<ApiMac>, limit: usize) -> Vec<FdbEntry> {
        let mut page = FdbPage::new(network, after, limit);
        // A slice at a time, so that a large table keeps nobody waiting.
        while !page.read_more(&self.control.lock()) {}
        page.entries(&self.control.lock())
    }

    fn forget_learned(&self, which: Forget) -> u64 {
        self.control.lock().forget_learned(which)
    }

    fn neighbours(&self, network: Handle<Network>) -> Vec<Neighbour> {
        self.control.lock().learned_neighbours(network)
    }

    fn metadata(&self, first: Ipv4Addr, limit: usize) -> Vec<MetadataAsker> {
        let control = self.control.lock();
        let askers = control.metadata.as_ref();
        askers.map_or(Vec::new(), |askers| askers.list(first, limit))
    }

    fn explain(&self, view: View<'_>, query: &ExplainQuery) -> Result<Explanation, Refusal> {
        self.explain_packet(view, query)
    }

    fn underlay_neighbours(&self) -> Vec<UnderlayNeighbour> {
        self.control.lock().list_neighbours()
    }

    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, Refusal> {
        self.list_sessions(query)
    }

    fn delete_sessions(&self, query: &SessionQuery) -> Result<u64, Refusal> {
        self.end_sessions(query)
    }

    fn nat_pools(&self) -> Result<Vec<NatPool>, Refusal> {
        self.list_pools()
    }

    fn nat_tenants(&self) -> Result<Vec<NatTenant>, Refusal> {
        self.list_tenants()
    }

    fn set_events(&self, events: EventSink) {
        self.control.lock().events = events;
    }
}
