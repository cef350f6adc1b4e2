//! From desired state to packets: documents of the API through the manager into
//! the tables, frames through the pipeline over plain memory.
//!
//! | file | what |
//! |---|---|
//! | here | the bench: one daemon without DPDK |
//! | `bridging` | networks, ports, hosts and the underlay |
//! | `routers` | gateways, routes, DVR host MACs |
//! | `guards` | what ports may send |
//! | `services` | DHCP and router advertisements |
//! | `metadata` | who may ask the metadata proxy |
//! | `translation` | ways outside, floating IPs, tenants |
//! | `neighbours` | stations that no port names |
//! | `explain` | one packet, told step by step |
//! | `scale` | how long a change takes where there is much already |
//! | `histories` | random transactions against a daemon that knows only where they end |

mod bridging;
mod explain;
mod guards;
mod histories;
mod metadata;
mod neighbours;
mod routers;
mod scale;
mod services;
mod translation;

use std::sync::Arc;
use std::time::Instant;

use mgmt_api::control::{ControlPlane, Device, Facts, Forget};
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::manager::Manager;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::request::{Batch, Options, Replace};
use mgmt_api::state::Handle;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::observer::Unobserved;
use vtepd_datapath::{Burst, Command, DropReason, Pipeline, WorkerState};
use vtepd_tables::{InterfaceIndex, Limits, Tables, TablesReader};
use vtepd_wire::craft;
use vtepd_wire::flow::FlowHasher;

use super::{MetadataSettings, Parts, Plane, TranslationCapacity, TunnelSettings};
use crate::workers::WorkerHandle;

const UP: InterfaceIndex = InterfaceIndex(0);
const VM: InterfaceIndex = InterfaceIndex(1);
const TRUNK: InterfaceIndex = InterfaceIndex(2);

const UP_MAC: &str = "02:00:00:00:01:11";
const HOP_MAC: &str = "02:00:00:00:01:fe";
const VM1: &str = "fa:16:3e:00:00:01";
const VM2: &str = "fa:16:3e:00:00:02";
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// Frames with the interfaces that they leave by.
type Sent = Vec<(InterfaceIndex, Vec<u8>)>;

fn facts() -> Facts {
    let device = |(number, name): (usize, &str)| Device {
        name: name.to_owned(),
        mac: ApiMac([2, 0, 0, 0, 1, 0x11 + number as u8]),
        mtu: 1600,
        max_mtu: 9000,
        driver: "memory".to_owned(),
        taken_by: (name == "meta0").then_some("[metadata]"),
    };
    let names = ["up0", "vm1", "trunk", "meta0"].into_iter().enumerate();
    Facts {
        local_host: "h1".parse().unwrap(),
        devices: names.map(device).collect(),
    }
}

/// What there is room for.
#[derive(Clone, Copy)]
struct Room {
    tables: Limits,
    routes: usize,
    translation: TranslationCapacity,
    /// The first of them is the bench's.
    workers: u32,
}

const ROOM: Room = Room {
    tables: Limits {
        fdb: 1000,
        neighbours: 1000,
    },
    routes: 1000,
    translation: TranslationCapacity {
        pools: 8,
        spare_pools: 4,
        tenants: 4,
    },
    workers: 1,
};

/// The data plane without devices, and its first worker.
fn plane(room: Room) -> (Arc<Plane>, WorkerHandle) {
    plane_with(room, None)
}

fn plane_with(room: Room, metadata: Option<MetadataSettings>) -> (Arc<Plane>, WorkerHandle) {
    let mut tables = Tables::new(room.tables);
    tables.edit().local.udp_ports = vec![4789];
    let workers: Vec<_> = (0..room.workers)
        .map(|core| WorkerHandle::new(core, 1))
        .collect();
    let worker = workers[0].clone();
    let plane = Plane::new(Parts {
        facts: facts(),
        tables,
        learned_limit: 500,
        route_limit: room.routes,
        translation: room.translation,
        secret: vtepd_tables::random_hash(),
        flows: FlowHasher::new(1, 2),
        devices: Arc::new([]),
        workers: workers.into(),
        tunnels: TunnelSettings { dscp: 0, ttl: 64 },
        metadata,
        start: Instant::now(),
        clock: Arc::default(),
    });
    (plane, worker)
}

/// One daemon without DPDK.
struct Bench {
    manager: Manager,
    plane: Arc<Plane>,
    worker: WorkerHandle,
    state: WorkerState,
    reader: TablesReader,
    pipeline: Pipeline<MemoryPacket>,
}

impl Bench {
    fn new() -> Self {
        Self::with(ROOM)
    }

    fn with(room: Room) -> Self {
        Self::on(plane(room))
    }

    fn on((plane, worker): (Arc<Plane>, WorkerHandle)) -> Self {
        let mut reader = plane.laboratory.tables.reader().unwrap();
        // The writer runs on a thread of its own and must not wait for us.
        reader.offline();
        let (manager, _) = Manager::start(plane.clone(), None).unwrap();
        let state = WorkerState::new(
            FlowHasher::new(1, 2),
            Arc::clone(&worker.counters),
            Arc::clone(&worker.channel),
        );
        Self {
            manager,
            plane,
            worker,
            state,
            reader,
            pipeline: Pipeline::default(),
        }
    }

    /// A bench with two hosts, one network and a station on each.
    fn red() -> Self {
        Self::connected(RED)
    }

    /// A bench with this state, whose next hop on the underlay has answered.
    fn connected(state: &str) -> Self {
        let mut bench = Self::new();
        bench.replace(state).unwrap();
        bench.hop_answers("192.0.2.1");
        bench.commanded();
        bench
    }

    fn replace(&self, state: &str) -> Result<(), Refusal> {
        let body = state.to_owned().into();
        self.manager
            .write_blocking(Replace { body }, Options::default())
            .map(drop)
    }

    fn transact(&self, transaction: &str) -> Result<(), Refusal> {
        let body = transaction.to_owned().into();
        self.manager
            .write_blocking(Batch { body }, Options::default())
            .map(drop)
    }

    /// Puts one resource.
    fn put(&self, kind: &str, id: &str, document: &str) {
        self.transact(&format!(
            r#"{{ "put": {{ "{kind}": {{ "{id}": {document} }} }} }}"#
        ))
        .unwrap();
    }

    /// Deletes one resource.
    fn delete(&self, kind: &str, id: &str) {
        self.transact(&format!(r#"{{ "delete": {{ "{kind}": ["{id}"] }} }}"#))
            .unwrap();
    }

    /// Frames that leave, and the drop reasons that were counted.
    fn send(&mut self, interface: InterfaceIndex, frame: &[u8]) -> (Sent, Vec<DropReason>) {
        let before: Vec<u64> = DropReason::ALL
            .iter()
            .map(|reason| self.worker.counters.drops(*reason))
            .collect();
        let mut io = MemoryIo::default();
        let mut burst = Burst::new();
        burst.push(MemoryPacket::new(frame));
        self.state.attend();
        self.reader.online();
        let tables = self.reader.view();
        self.pipeline.process(
            &tables,
            &mut self.state,
            &mut io,
            interface,
            &mut burst,
            &mut Unobserved,
        );
        self.reader.offline();
        let after = DropReason::ALL.iter().zip(before);
        let drops = after.filter(|(reason, before)| self.worker.counters.drops(**reason) > *before);
        (frames_of(io), drops.map(|(reason, _)| *reason).collect())
    }

    /// The one frame that leaves.
    fn forwarded(&mut self, interface: InterfaceIndex, frame: &[u8]) -> (InterfaceIndex, Vec<u8>) {
        let (mut sent, drops) = self.send(interface, frame);
        assert!(sent.len() == 1 && drops.is_empty(), "{sent:?} {drops:?}");
        craft::verify(&sent[0].1).unwrap();
        sent.remove(0)
    }

    fn dropped(&mut self, interface: InterfaceIndex, frame: &[u8]) -> DropReason {
        let (sent, drops) = self.send(interface, frame);
        assert!(sent.is_empty() && drops.len() == 1, "{sent:?} {drops:?}");
        drops[0]
    }

    /// Frames that the control side had sent.
    fn commanded(&self) -> Sent {
        std::iter::from_fn(|| self.worker.channel.commands.pop())
            .filter_map(|command| match command {
                Command::Transmit { interface, frame } => Some((interface, frame.to_vec())),
                Command::Resume => None,
            })
            .collect()
    }

    /// Frames that the control side had delivered into networks, as they leave.
    fn delivered(&mut self) -> Sent {
        let mut io = MemoryIo::default();
        self.reader.online();
        let tables = self.reader.view();
        while let Some(delivery) = self.worker.channel.deliveries.pop() {
            self.pipeline.deliver(
                &tables,
                &mut self.state,
                &mut io,
                &delivery,
                &mut Unobserved,
            );
        }
        self.reader.offline();
        frames_of(io)
    }

    /// The next hop answers the question for its MAC.
    fn hop_answers(&mut self, address: &'static str) {
        let reply = craft::ethernet(UP_MAC, HOP_MAC).arp_reply(address, "192.0.2.11");
        self.send(UP, &reply);
        self.tick();
    }

    /// The MAC table of the first network.
    fn macs(&self) -> Vec<String> {
        let entries = self.plane.fdb(Handle::new(0), None, 100);
        entries.iter().map(|entry| entry.mac.to_string()).collect()
    }

    /// What the control thread does now and then.
    fn tick(&self) {
        let mut control = self.plane.control.lock();
        control.neighbours_due = 0;
        control.tick();
    }
}

fn frames_of(io: MemoryIo) -> Sent {
    let sent = io.sent.into_iter();
    sent.map(|(to, packet)| (to, packet.frame())).collect()
}

const RED: &str = r#"{
  "interfaces": {
    "up0": { "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1" },
    "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 }
  },
  "hosts": { "h2": { "vtep": "198.51.100.12" } },
  "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "bindings": [{ "interface": "vm1" }] } },
  "ports": {
    "p1": { "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" },
    "p2": { "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.0.0.2"], "host": "h2" }
  }
}"#;

/// A frame of h2 as it arrives.
fn outer(vni: u32, inner: &[u8]) -> Vec<u8> {
    craft::ethernet(UP_MAC, HOP_MAC)
        .ipv4("198.51.100.12", "192.0.2.11")
        .vxlan(50000, vni, inner)
}
