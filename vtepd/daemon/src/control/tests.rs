//! From desired state to packets: documents of the API through the manager into
//! the tables, frames through the pipeline over plain memory.

use std::sync::Arc;
use std::time::Instant;

use mgmt_api::change::Changes;
use mgmt_api::control::{
    ControlPlane, Device, DropCount, Facts, FdbEntry, Forget, InterfaceStatus, Neighbour,
    TableStatus, UnderlayNeighbour, WorkerStatus,
};
use mgmt_api::explain::{ExplainQuery, Explanation};
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::manager::Manager;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::request::{Batch, Options, Replace};
use mgmt_api::resources::Network;
use mgmt_api::state::{Handle, View};
use parking_lot::Mutex;
use vtepd_datapath::learn::Learner;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::observer::Unobserved;
use vtepd_datapath::route::neighbours::Neighbours;
use vtepd_datapath::underlay::membership::Membership;
use vtepd_datapath::underlay::resolver::Resolver;
use vtepd_datapath::{Burst, Command, DropReason, Pipeline, WorkerState};
use vtepd_tables::{InterfaceIndex, Limits, Tables, TablesReader};
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::{Mac, craft};

use super::apply::Networks;
use super::guards::Guards;
use super::places::Places;
use super::routers::Vrfs;
use super::services::Served;
use super::status::FdbPage;
use super::underlay::Underlay;
use super::{Control, TunnelSettings};
use crate::workers::WorkerHandle;

const UP: InterfaceIndex = InterfaceIndex(0);
const VM: InterfaceIndex = InterfaceIndex(1);
const TRUNK: InterfaceIndex = InterfaceIndex(2);

const UP_MAC: &str = "02:00:00:00:01:11";
const HOP_MAC: &str = "02:00:00:00:01:fe";
const VM1: &str = "fa:16:3e:00:00:01";
const VM2: &str = "fa:16:3e:00:00:02";

/// The control side without devices.
struct Bare(Mutex<Control>);

impl ControlPlane for Bare {
    fn facts(&self) -> Facts {
        let device = |(number, name): (usize, &str)| Device {
            name: name.to_owned(),
            mac: ApiMac([2, 0, 0, 0, 1, 0x11 + number as u8]),
            mtu: 1600,
            max_mtu: 9000,
            driver: "memory".to_owned(),
        };
        Facts {
            local_host: "h1".parse().unwrap(),
            devices: ["up0", "vm1", "trunk"]
                .into_iter()
                .enumerate()
                .map(device)
                .collect(),
        }
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), Refusal> {
        self.0.lock().apply(changes)
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn interfaces(&self) -> Vec<InterfaceStatus> {
        Vec::new()
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        Vec::new()
    }

    fn drops(&self) -> Vec<DropCount> {
        Vec::new()
    }

    fn tables(&self) -> Vec<TableStatus> {
        Vec::new()
    }

    fn fdb(&self, network: Handle<Network>, after: Option<ApiMac>, limit: usize) -> Vec<FdbEntry> {
        let mut page = FdbPage::new(network, after, limit);
        while !page.read_more(&self.0.lock()) {}
        page.entries(&self.0.lock())
    }

    fn forget_learned(&self, which: Forget) -> u64 {
        self.0.lock().forget_learned(which)
    }

    fn neighbours(&self, network: Handle<Network>) -> Vec<Neighbour> {
        self.0.lock().learned_neighbours(network)
    }

    fn explain(&self, _: View<'_>, _: &ExplainQuery) -> Result<Explanation, Refusal> {
        Err(Refusal::new(Code::Internal, "there is no plane here"))
    }

    fn underlay_neighbours(&self) -> Vec<UnderlayNeighbour> {
        self.0.lock().list_neighbours()
    }
}

/// One daemon without DPDK.
struct Bench {
    manager: Manager,
    plane: Arc<Bare>,
    worker: WorkerHandle,
    state: WorkerState,
    reader: TablesReader,
    pipeline: Pipeline<MemoryPacket>,
}

impl Bench {
    fn new() -> Self {
        Self::with_limits(Limits {
            fdb: 1000,
            neighbours: 1000,
        })
    }

    fn with_limits(limits: Limits) -> Self {
        let mut tables = Tables::new(limits);
        tables.edit().local.udp_ports = vec![4789];
        let mut reader = tables.tables().reader().unwrap();
        // The writer runs on a thread of its own and must not wait for us.
        reader.offline();
        let worker = WorkerHandle::new(0, 1);
        let macs = (0..3)
            .map(|number| Mac([2, 0, 0, 0, 1, 0x11 + number]))
            .collect();
        let plane = Arc::new(Bare(Mutex::new(Control {
            tables,
            learner: Learner::new(500),
            resolver: Resolver::default(),
            membership: Membership::default(),
            neighbours: Neighbours::default(),
            neighbours_due: 0,
            guards: Guards::default(),
            served: Served::default(),
            vrfs: Vrfs::new(1000),
            places: Places::default(),
            networks: Networks::default(),
            underlay: Underlay::new(macs, TunnelSettings { dscp: 0, ttl: 64 }),
            workers: vec![worker.clone()].into(),
            start: Instant::now(),
            clock: Arc::default(),
        })));
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
        let mut bench = Self::new();
        bench.replace(RED).unwrap();
        bench.hop_answers("192.0.2.1");
        bench
    }

    fn replace(&self, state: &'static str) -> Result<(), Refusal> {
        let body = state.as_bytes().into();
        self.manager
            .write_blocking(Replace { body }, Options::default())
            .map(drop)
    }

    fn transact(&self, transaction: &'static str) -> Result<(), Refusal> {
        let body = transaction.as_bytes().into();
        self.manager
            .write_blocking(Batch { body }, Options::default())
            .map(drop)
    }

    /// Frames that leave, and the drop reasons that were counted.
    fn send(
        &mut self,
        interface: InterfaceIndex,
        frame: &[u8],
    ) -> (Vec<(InterfaceIndex, Vec<u8>)>, Vec<DropReason>) {
        let before: Vec<u64> = DropReason::ALL
            .iter()
            .map(|reason| self.worker.counters.drops(*reason))
            .collect();
        let mut io = MemoryIo::default();
        let mut burst = Burst::new();
        burst.push(MemoryPacket::new(frame));
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
        let sent = io
            .sent
            .into_iter()
            .map(|(to, packet)| (to, packet.frame()))
            .collect();
        (sent, drops.map(|(reason, _)| *reason).collect())
    }

    fn dropped(&mut self, interface: InterfaceIndex, frame: &[u8]) -> DropReason {
        let (sent, drops) = self.send(interface, frame);
        assert!(sent.is_empty() && drops.len() == 1, "{sent:?} {drops:?}");
        drops[0]
    }

    /// Frames that the control side had sent.
    fn commanded(&self) -> Vec<(InterfaceIndex, Vec<u8>)> {
        std::iter::from_fn(|| self.worker.channel.commands.pop())
            .filter_map(|command| match command {
                Command::Transmit { interface, frame } => Some((interface, frame.to_vec())),
                Command::Resume => None,
            })
            .collect()
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
        let mut control = self.plane.0.lock();
        control.drain_events();
        control.tables.publish();
        control.tables.collect();
    }
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

fn to_vm2() -> Vec<u8> {
    craft::ethernet(VM2, VM1)
        .ipv4("10.0.0.1", "10.0.0.2")
        .udp(1, 2, b"hello")
}

fn outer(vni: u32, inner: &[u8]) -> Vec<u8> {
    craft::ethernet(UP_MAC, HOP_MAC)
        .ipv4("198.51.100.12", "192.0.2.11")
        .vxlan(50000, vni, inner)
}

#[test]
fn a_document_becomes_a_tunnel_through_the_gateway() {
    let mut bench = Bench::new();
    bench.replace(RED).unwrap();
    let questions = bench.commanded();
    let arp = craft::ethernet("ff:ff:ff:ff:ff:ff", UP_MAC).arp_request("192.0.2.11", "192.0.2.1");
    assert_eq!(
        questions,
        [(UP, arp)],
        "the next hop is asked for before the first packet"
    );
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NextHopUnresolved);
    bench.hop_answers("192.0.2.1");
    let (sent, _) = bench.send(VM, &to_vm2());
    let (interface, frame) = &sent[0];
    assert_eq!(*interface, UP);
    craft::verify(frame).unwrap();
    assert_eq!(
        frame[..12],
        [0x02, 0, 0, 0, 1, 0xfe, 0x02, 0, 0, 0, 1, 0x11]
    );
    assert_eq!(frame[26..34], [192, 0, 2, 11, 198, 51, 100, 12]);
    assert_eq!(frame[46..49], [0, 6, 0x87]);
    assert_eq!(frame[50..], to_vm2());
}

#[test]
fn what_is_deleted_is_gone_and_what_stays_still_works() {
    let mut bench = Bench::red();
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back.clone())]);
    bench
        .transact(r#"{ "delete": { "ports": ["p2"] } }"#)
        .unwrap();
    // Unknown unicast, and nobody else is in the network.
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NoFloodTarget);
    bench
        .transact(r#"{ "delete": { "ports": ["p1"], "networks": ["red"] } }"#)
        .unwrap();
    assert_eq!(
        bench.dropped(UP, &outer(1671, &back)),
        DropReason::UnknownVni
    );
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::Unbound);
    bench
        .transact(r#"{ "delete": { "hosts": ["h2"] } }"#)
        .unwrap();
    bench.replace(RED).unwrap();
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn a_mac_and_an_address_may_change_hands_in_one_transaction() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "delete": { "ports": ["p2"] }, "put": { "ports": { "p3":
            { "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.0.0.2"], "interface": "trunk", "vlan": 7 } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(sent[0].0, TRUNK);
    assert_eq!(sent[0].1[12..16], [0x81, 0, 0, 7]);
    let arp = craft::ethernet("ff:ff:ff:ff:ff:ff", VM1).arp_request("10.0.0.1", "10.0.0.2");
    let (sent, _) = bench.send(VM, &arp);
    assert_eq!(
        sent,
        [(
            VM,
            craft::ethernet(VM1, VM2).arp_reply("10.0.0.2", "10.0.0.1")
        )]
    );
}

#[test]
fn two_networks_may_swap_their_vnis() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "networks": {
            "red": { "segment": { "type": "vxlan", "vni": 20 } }, "blue": { "segment": { "type": "vxlan", "vni": 1671 } } } } }"#,
        )
        .unwrap();
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(20, &back)).0, [(VM, back.clone())]);
    assert_eq!(
        bench.dropped(UP, &outer(1671, &back)),
        DropReason::NoFloodTarget
    );
    bench
        .transact(
            r#"{ "put": { "networks": {
            "red": { "segment": { "type": "vxlan", "vni": 1671 } }, "blue": { "segment": { "type": "vxlan", "vni": 20 } } } } }"#,
        )
        .unwrap();
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn two_hosts_may_swap_their_vteps() {
    let mut bench = Bench::red();
    bench
        .transact(r#"{ "put": { "hosts": { "h3": { "vtep": "198.51.100.13" } } } }"#)
        .unwrap();
    bench
        .transact(
            r#"{ "put": { "hosts": { "h2": { "vtep": "198.51.100.13" }, "h3": { "vtep": "198.51.100.12" } } } }"#,
        )
        .unwrap();
    bench.tick();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(sent[0].1[30..34], [198, 51, 100, 13]);
    // From where p2 was: its host is known, its MAC is elsewhere, the frame is good.
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn a_network_may_change_from_vxlan_to_vlan() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vlan", "interface": "trunk", "vlan": 196 } } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(
        (sent[0].0, &sent[0].1[12..16]),
        (TRUNK, &[0x81, 0, 0, 196][..])
    );
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 5 } } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!((sent[0].0, &sent[0].1[46..49]), (UP, &[0, 0, 5][..]));
}

#[test]
fn what_was_learned_goes_with_its_binding_and_never_answers_for_the_next() {
    let mut bench = Bench::new();
    const BOUND: &str = r#"{
      "interfaces": { "vm1": {}, "trunk": {} },
      "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500,
        "bindings": [{ "interface": "vm1" }, { "interface": "trunk", "vlan": 7 }] } } }"#;
    bench.replace(BOUND).unwrap();
    let from_vm2 = craft::ethernet(VM1, VM2)
        .vlan(7)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"");
    bench.send(TRUNK, &from_vm2);
    bench.tick();
    assert_eq!(bench.macs(), [VM2]);
    assert_eq!(bench.send(VM, &to_vm2()).0[0].0, TRUNK);

    // The frame is under way to the learner while its binding goes.
    bench.send(
        TRUNK,
        &craft::ethernet(VM1, "fa:16:3e:00:00:03")
            .vlan(7)
            .ipv4("10.0.0.3", "10.0.0.1")
            .udp(1, 2, b""),
    );
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }] } } } }"#)
        .unwrap();
    assert_eq!(bench.macs(), [VM1]);
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NoFloodTarget);
    assert_eq!(bench.dropped(TRUNK, &from_vm2), DropReason::Unbound);

    // Its index is another binding's now.
    bench
        .transact(r#"{ "put": { "networks": { "blue": { "segment": { "type": "vxlan", "vni": 2 }, "mtu": 1500, "bindings": [{ "interface": "trunk", "vlan": 8 }] } } } }"#)
        .unwrap();
    bench.tick();
    assert_eq!(bench.macs(), [VM1]);
    assert_eq!(
        bench.dropped(VM, &to_vm2()),
        DropReason::NoFloodTarget,
        "tenants never meet"
    );
}

#[test]
fn forgetting_and_switching_learning_off_leave_what_is_static() {
    let mut bench = Bench::red();
    let other = craft::ethernet(VM2, "fa:16:3e:00:00:09")
        .ipv4("10.0.0.9", "10.0.0.2")
        .udp(1, 2, b"");
    bench.send(VM, &other);
    bench.tick();
    let network = Handle::new(0);
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 3);
    assert_eq!(bench.plane.fdb(network, None, 2).len(), 2);
    assert_eq!(bench.plane.forget_learned(Forget::default()), 1);
    bench.send(VM, &other);
    // Within the same second a worker does not tell the same twice.
    bench.state.now += 1;
    bench.send(VM, &other);
    bench.tick();
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 3);
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "learning": false } } } }"#)
        .unwrap();
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 2);
}

#[test]
fn a_full_table_refuses_the_whole_transaction() {
    let mut bench = Bench::with_limits(Limits {
        fdb: 3,
        neighbours: 10,
    });
    bench.replace(RED).unwrap();
    bench.hop_answers("192.0.2.1");
    let refusal = bench
        .transact(
            r#"{ "put": { "ports": {
            "p3": { "network": "red", "mac": "fa:16:3e:00:00:03", "host": "h2" },
            "p4": { "network": "red", "mac": "fa:16:3e:00:00:04", "host": "h2" } } } }"#,
        )
        .unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    assert_eq!(bench.plane.fdb(Handle::new(0), None, 10).len(), 2);
    assert_eq!(bench.send(VM, &to_vm2()).0[0].0, UP);
    bench
        .transact(r#"{ "put": { "ports": { "p3": { "network": "red", "mac": "fa:16:3e:00:00:03", "host": "h2" } } } }"#)
        .unwrap();
}

#[test]
fn floods_go_to_hosts_with_a_port_or_to_the_group() {
    let mut bench = Bench::red();
    let broadcast = craft::ethernet("ff:ff:ff:ff:ff:ff", VM1).arp_request("10.0.0.1", "10.0.0.77");
    assert_eq!(bench.send(VM, &broadcast).0.len(), 1);
    bench.commanded();
    bench
        .transact(
            r#"{ "put": {
            "hosts": { "h2": { "vtep": "198.51.100.12", "udp_port": 8472 } },
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "flood": { "mode": "multicast", "group": "239.1.1.1" } } } } }"#,
        )
        .unwrap();
    let joined = bench.commanded();
    assert!(
        joined
            .iter()
            .any(|(_, frame)| frame[..6] == [1, 0, 0x5e, 0, 0, 0x16]),
        "an IGMPv3 report"
    );
    let (sent, _) = bench.send(VM, &broadcast);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1[..6], [1, 0, 0x5e, 1, 1, 1]);
    assert_eq!(sent[0].1[30..34], [239, 1, 1, 1]);
    assert_eq!(
        sent[0].1[36..38],
        8472u16.to_be_bytes(),
        "the port that the group's hosts listen to"
    );
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 },
            "flood": { "mode": "multicast", "group": "239.1.1.1", "udp_port": 4790 } } } } }"#,
        )
        .unwrap();
    assert_eq!(
        bench.send(VM, &broadcast).0[0].1[36..38],
        4790u16.to_be_bytes()
    );
    let to_group = craft::ethernet("01:00:5e:01:01:01", HOP_MAC)
        .ipv4("198.51.100.12", "239.1.1.1")
        .vxlan(50000, 1671, &broadcast_from_vm2());
    assert_eq!(bench.send(UP, &to_group).0, [(VM, broadcast_from_vm2())]);
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 } } } } }"#)
        .unwrap();
    assert_eq!(bench.dropped(UP, &to_group), DropReason::OuterDestination);
    assert_eq!(
        bench.send(VM, &broadcast).0[0].1[30..34],
        [198, 51, 100, 12]
    );
}

fn broadcast_from_vm2() -> Vec<u8> {
    craft::ethernet("ff:ff:ff:ff:ff:ff", VM2).arp_request("10.0.0.2", "10.0.0.99")
}

#[test]
fn the_underlay_may_move_to_another_interface_and_address() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "interfaces": {
            "up0": {}, "trunk": { "addresses": ["203.0.113.5/24"], "vlan": 9, "routes": [{ "destination": "198.51.100.0/24", "via": "203.0.113.1" }] } } } }"#,
        )
        .unwrap();
    let questions = bench.commanded();
    let wanted = craft::ethernet("ff:ff:ff:ff:ff:ff", "02:00:00:00:01:13")
        .vlan(9)
        .arp_request("203.0.113.5", "203.0.113.1");
    assert!(questions.contains(&(TRUNK, wanted)), "{questions:?}");
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NextHopUnresolved);
    let request = craft::ethernet("ff:ff:ff:ff:ff:ff", HOP_MAC)
        .vlan(9)
        .arp_request("203.0.113.1", "203.0.113.5");
    bench.send(TRUNK, &request);
    bench.tick();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(
        (sent[0].0, &sent[0].1[12..16]),
        (TRUNK, &[0x81, 0, 0, 9][..])
    );
    assert_eq!(sent[0].1[30..34], [203, 0, 113, 5]);
    assert_eq!(
        bench.dropped(UP, &outer(1671, &to_vm2())),
        DropReason::Unbound
    );
    let neighbours = bench.plane.underlay_neighbours();
    assert_eq!(neighbours.len(), 1);
    assert_eq!(neighbours[0].hosts.len(), 1);
}

#[test]
fn a_vlan_may_go_from_a_network_to_the_underlay() {
    let mut bench = Bench::new();
    bench
        .replace(
            r#"{ "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "trunk": {} },
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500,
            "bindings": [{ "interface": "trunk", "vlan": 9 }] } } }"#,
        )
        .unwrap();
    bench
        .transact(
            r#"{ "put": {
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500 } },
            "interfaces": { "trunk": { "addresses": ["203.0.113.5/24"], "vlan": 9 } } } }"#,
        )
        .unwrap();
    let who_has = craft::ethernet("ff:ff:ff:ff:ff:ff", HOP_MAC)
        .vlan(9)
        .arp_request("203.0.113.1", "203.0.113.5");
    assert_eq!(
        bench.send(TRUNK, &who_has).0.len(),
        1,
        "ARP is answered there"
    );
}
