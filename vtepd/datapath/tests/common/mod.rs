//! A host on a bench: tables filled by hand, the real pipeline, devices in memory.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

mod corpus;
mod crew;
mod frames;
mod host;
mod metadata;
mod outside;
mod routed;
mod several;

pub use corpus::*;
pub use crew::*;
pub use frames::*;
pub use host::*;
pub use metadata::*;
pub use outside::*;
pub use routed::*;
pub use several::*;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::observer::{Decision, Recorder};
use vtepd_datapath::{
    Asked, Burst, Channel, Delivery, DropReason, Event, Pipeline, WorkerCounters, WorkerState,
};
use vtepd_tables::adjacency::{TunnelParameters, VtepPair};
use vtepd_tables::route::{NextHop, NextHops, RouteWriter};
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, Bound, FdbEntry, FdbKey, Gateway, HostMacs, InterfaceIndex,
    Limits, Neighbour, NetworkIndex, Origin, Port, Tables, TablesReader, TablesWriter, Tag, Tunnel,
    Underlay, VrfIndex,
};
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::{Mac, VlanId, Vni, craft, ethernet};

/// Where golden packets mask the outer UDP source port.
pub const SOURCE_PORT: std::ops::Range<usize> = 34..36;

pub fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn network(index: u16) -> NetworkIndex {
    NetworkIndex::new(index).unwrap()
}

pub fn adjacency(index: u16) -> AdjacencyIndex {
    AdjacencyIndex::new(index).unwrap()
}

/// A tag with the TPID of 802.1Q.
pub fn tag(vlan: u16) -> Tag {
    Tag::new(ethernet::ETHERTYPE_VLAN, VlanId::new(vlan).unwrap())
}

/// What became of one packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub sent: Vec<(InterfaceIndex, Vec<u8>)>,
    pub drops: Vec<DropReason>,
    pub decisions: Vec<Decision>,
    /// Packets that were for the host itself and needed no answer.
    pub consumed: u64,
    /// What the control thread was told.
    pub events: Vec<Event>,
}

impl Outcome {
    /// The one frame that was sent, and where.
    #[track_caller]
    pub fn one(&self) -> (InterfaceIndex, &[u8]) {
        assert_eq!(self.sent.len(), 1, "{self:?}");
        (self.sent[0].0, &self.sent[0].1)
    }

    /// The one reason for which the packet was dropped, nothing having been sent.
    #[track_caller]
    pub fn dropped(&self) -> DropReason {
        assert!(self.sent.is_empty() && self.drops.len() == 1, "{self:?}");
        self.drops[0]
    }

    /// The frames that were sent out of an interface.
    pub fn sent_to(&self, interface: InterfaceIndex) -> Vec<&[u8]> {
        let there = self.sent.iter().filter(|(to, _)| *to == interface);
        there.map(|(_, frame)| frame.as_slice()).collect()
    }

    /// Asserts that the packet was taken in, and returns what the control thread was told.
    #[track_caller]
    pub fn consumed(&self) -> &[Event] {
        let outcome = (self.sent.len(), self.drops.len(), self.consumed);
        assert_eq!(outcome, (0, 0, 1), "{self:?}");
        &self.events
    }
}

/// One worker and the control thread's end of its tables.
pub struct Bench {
    pub tables: TablesWriter,
    pub io: MemoryIo,
    pub state: WorkerState,
    pub counters: Arc<WorkerCounters>,
    pub channel: Arc<Channel>,
    reader: TablesReader,
    pipeline: Pipeline<MemoryPacket>,
    routes: BTreeMap<u16, RouteWriter>,
}

impl Default for Bench {
    fn default() -> Self {
        let tables = Tables::new(Limits {
            fdb: 100_000,
            neighbours: 100_000,
        });
        let mut reader = tables.tables().reader().unwrap();
        // Between bursts, or a grace period in this thread would wait for this thread.
        reader.offline();
        let counters = WorkerCounters::new();
        let channel = Arc::new(Channel::new(1024, 64));
        let state = WorkerState::new(
            FlowHasher::new(1, 2),
            Arc::clone(&counters),
            Arc::clone(&channel),
        );
        Self {
            tables,
            io: MemoryIo::default(),
            state,
            counters,
            channel,
            reader,
            pipeline: Pipeline::default(),
            routes: BTreeMap::new(),
        }
    }
}

impl Bench {
    /// Gives an interface its MAC and MTU.
    pub fn interface(&mut self, index: u8, mac_address: &str, mtu: u16) -> InterfaceIndex {
        let index = InterfaceIndex(index);
        let interface = self.tables.edit().interface_mut(index);
        interface.mac = mac(mac_address);
        interface.mtu = mtu;
        index
    }

    /// Makes an interface part of the underlay, with VTEP addresses.
    pub fn underlay(
        &mut self,
        index: InterfaceIndex,
        underlay_tag: Option<u16>,
        addresses: &[&str],
    ) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        let snapshot = self.tables.edit();
        snapshot.local.set(addresses.iter().copied(), []);
        snapshot.local.udp_ports = vec![4789, 8472];
        let interface = snapshot.interface_mut(index);
        interface.bind(underlay_tag.map(tag).into(), Bound::Underlay);
        interface.underlay = Some(Underlay {
            tag: underlay_tag.map(tag),
            ipv4: addresses
                .iter()
                .filter_map(|a| {
                    if let IpAddr::V4(a) = a {
                        Some(*a)
                    } else {
                        None
                    }
                })
                .collect(),
            ipv6: addresses
                .iter()
                .filter_map(|a| {
                    if let IpAddr::V6(a) = a {
                        Some(*a)
                    } else {
                        None
                    }
                })
                .collect(),
        });
    }

    /// Adds a VXLAN network that does not learn.
    pub fn vxlan(&mut self, index: u16, vni: u32) -> NetworkIndex {
        let network = network(index);
        let entry = self.tables.edit().network_mut(network);
        entry.vni = Vni::new(vni);
        entry.suppression = true;
        self.tables.set_vni(Vni::new(vni).unwrap(), Some(network));
        network
    }

    /// Binds an interface and tag to a network.
    pub fn bind(
        &mut self,
        at: u16,
        interface: InterfaceIndex,
        tag: Option<Tag>,
        network: NetworkIndex,
    ) -> AdjacencyIndex {
        let index = adjacency(at);
        let snapshot = self.tables.edit();
        *snapshot.adjacency_mut(index) = Adjacency::Port(Port {
            interface,
            network,
            tag,
            segment: false,
        });
        snapshot.interface_mut(interface).bind(
            tag.into(),
            Bound::Network {
                network,
                adjacency: index,
                access: Access::Open,
            },
        );
        index
    }

    /// Adds a remote VTEP behind an interface.
    pub fn remote(
        &mut self,
        at: u16,
        interface: InterfaceIndex,
        source: &str,
        destination: &str,
        next_hop: &str,
    ) -> AdjacencyIndex {
        let parameters = self.tunnel_parameters(interface, source, destination, next_hop);
        self.tunnel(at, ip(destination), &parameters)
    }

    pub fn tunnel_parameters(
        &self,
        interface: InterfaceIndex,
        source: &str,
        destination: &str,
        next_hop: &str,
    ) -> TunnelParameters {
        let staged = self.tables.staged().interface(interface).unwrap();
        TunnelParameters {
            interface,
            source_mac: staged.mac,
            next_hop_mac: Some(mac(next_hop)),
            tag: staged.underlay.as_ref().and_then(|underlay| underlay.tag),
            addresses: VtepPair::new(ip(source), ip(destination)).unwrap(),
            udp_port: 4789,
            udp_checksum: false,
            dscp: 0,
            ttl: 64,
            mtu: staged.mtu,
        }
    }

    pub fn tunnel(
        &mut self,
        at: u16,
        remote: IpAddr,
        parameters: &TunnelParameters,
    ) -> AdjacencyIndex {
        let index = adjacency(at);
        *self.tables.edit().adjacency_mut(index) = Adjacency::Tunnel(Tunnel::new(parameters));
        self.tables.remote_vteps.insert(remote, index).unwrap();
        index
    }

    /// Says who floods where.
    pub fn flood(
        &mut self,
        network: NetworkIndex,
        ports: &[AdjacencyIndex],
        tunnels: &[AdjacencyIndex],
    ) {
        self.tables
            .edit()
            .network_mut(network)
            .set_flood(ports, tunnels);
    }

    /// Enters a static MAC with its IPv4 or IPv6 addresses.
    pub fn station(
        &mut self,
        network: NetworkIndex,
        mac_address: &str,
        addresses: &[&str],
        at: AdjacencyIndex,
    ) {
        let mac = mac(mac_address);
        let entry = FdbEntry {
            adjacency: at,
            origin: Origin::Static,
        };
        self.tables
            .fdb
            .insert(FdbKey::new(network, mac), entry, 0)
            .unwrap();
        for address in addresses {
            self.tables
                .neighbours
                .insert(network, ip(address), Neighbour { mac, adjacency: at }, 0)
                .unwrap();
        }
    }

    /// Sends one frame through the pipeline.
    pub fn send(&mut self, interface: InterfaceIndex, frame: &[u8]) -> Outcome {
        self.send_packet(interface, MemoryPacket::new(frame))
    }

    pub fn send_packet(&mut self, interface: InterfaceIndex, packet: MemoryPacket) -> Outcome {
        let mut burst = Burst::new();
        burst.push(packet);
        self.send_burst(interface, burst)
    }

    /// Sends a burst through the pipeline, and asserts that every packet of it and every
    /// copy left, was dropped once, or was consumed.
    #[track_caller]
    pub fn send_burst(
        &mut self,
        interface: InterfaceIndex,
        mut burst: Burst<MemoryPacket>,
    ) -> Outcome {
        let received = burst.len() as u64;
        let before = self.numbers();
        let recorder = self.process(interface, &mut burst);
        self.outcome(received, &before, recorder)
    }

    /// What became of the packets received, and of those held `before`.
    #[track_caller]
    fn outcome(&mut self, received: u64, before: &Numbers, recorder: Recorder) -> Outcome {
        let after = self.numbers();
        let sent = std::mem::take(&mut self.io.sent);
        let outcome = Outcome {
            drops: after.drops_since(before),
            consumed: after.consumed - before.consumed,
            events: self.events(),
            sent: sent
                .into_iter()
                .map(|(to, packet)| (to, packet.frame()))
                .collect(),
            decisions: recorder
                .decisions
                .into_iter()
                .map(|(_, decision)| decision)
                .collect(),
        };
        assert_eq!(
            received + before.held + before.waiting + after.replicas - before.replicas
                + after.originated
                - before.originated,
            (outcome.sent.len() + outcome.drops.len()) as u64
                + outcome.consumed
                + after.held
                + after.waiting
                + after.handed_over
                - before.handed_over,
            "a packet was lost or counted twice: {outcome:?}"
        );
        outcome
    }

    /// Sends one frame and leaves what comes of it where it is: frames in `io`, events in `channel`.
    pub fn send_quietly(&mut self, interface: InterfaceIndex, frame: &[u8]) {
        let mut burst = Burst::new();
        burst.push(MemoryPacket::new(frame));
        self.process(interface, &mut burst);
    }

    fn process(&mut self, interface: InterfaceIndex, burst: &mut Burst<MemoryPacket>) -> Recorder {
        self.tables.publish();
        self.reader.online();
        let mut recorder = Recorder::default();
        let tables = self.reader.view();
        let Self {
            pipeline,
            state,
            io,
            ..
        } = self;
        pipeline.process(&tables, state, io, interface, burst, &mut recorder);
        assert!(burst.is_empty());
        self.reader.offline();
        self.tables.collect();
        recorder
    }

    fn numbers(&self) -> Numbers {
        let drops = DropReason::ALL.iter();
        Numbers {
            drops: drops.map(|&reason| self.counters.drops(reason)).collect(),
            consumed: self.counters.consumed.get(),
            replicas: self.counters.replicas.get(),
            originated: self.counters.originated.get(),
            held: self.pipeline.held().len() as u64,
            waiting: self.pipeline.kept().len() as u64,
            handed_over: self.counters.handed_over.get(),
        }
    }

    /// Has the worker look at the packets that wait for a neighbour.
    #[track_caller]
    pub fn resume(&mut self) -> Vec<(InterfaceIndex, Vec<u8>)> {
        self.tables.publish();
        self.reader.online();
        let before = self.numbers();
        let tables = self.reader.view();
        let mut recorder = Recorder::default();
        self.pipeline
            .resume(&tables, &mut self.state, &mut self.io, &mut recorder);
        self.reader.offline();
        self.outcome(0, &before, recorder).sent
    }

    /// Lets time pass for what is translated: to this second.
    #[track_caller]
    pub fn age(&mut self, seconds: u32) -> Outcome {
        self.state.set_time(seconds);
        self.tables.publish();
        self.reader.online();
        let before = self.numbers();
        let tables = self.reader.view();
        let mut recorder = Recorder::default();
        let Self {
            pipeline,
            state,
            io,
            ..
        } = self;
        pipeline.age(&tables, state, io, &mut recorder, u32::MAX);
        self.reader.offline();
        self.outcome(0, &before, recorder)
    }

    /// Packets that wait for a word of the translator.
    pub fn waiting(&self) -> usize {
        self.pipeline.kept().len()
    }

    /// Packets that wait for a neighbour.
    pub fn held(&self) -> usize {
        self.pipeline.held().len()
    }

    /// Has the worker send a frame of the control thread into its network.
    pub fn deliver(&mut self, delivery: &Delivery) -> Vec<(InterfaceIndex, Vec<u8>)> {
        self.tables.publish();
        self.reader.online();
        let tables = self.reader.view();
        self.pipeline.deliver(
            &tables,
            &mut self.state,
            &mut self.io,
            delivery,
            &mut Recorder::default(),
        );
        self.reader.offline();
        let sent = std::mem::take(&mut self.io.sent).into_iter();
        sent.map(|(to, packet)| (to, packet.frame())).collect()
    }

    /// Gives a network a gateway of the router with the address space `vrf`, with its
    /// subnets as the router's connected routes.
    pub fn gateway(
        &mut self,
        at: u16,
        network: NetworkIndex,
        vrf: u16,
        mac_address: &str,
        addresses: &[&str],
    ) -> AdjacencyIndex {
        let index = adjacency(at);
        let mac = mac(mac_address);
        let addresses: Vec<IpNet> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let link_local = vtepd_wire::ipv6::link_local(mac);
        let snapshot = self.tables.edit();
        *snapshot.adjacency_mut(index) = Adjacency::Gateway(Gateway {
            network,
            vrf: VrfIndex::new(vrf).unwrap(),
            mac,
            mtu: 1450,
            distributed: true,
            from_underlay: false,
            link_local,
            addresses: addresses.clone().into(),
            role: vtepd_tables::Role::Inside,
            central_v4: None,
            central_v6: None,
        });
        let entry = snapshot.network_mut(network);
        let gateways = [entry.gateways(), &[index]].concat();
        entry.set_gateways(&gateways);
        let fdb = FdbEntry {
            adjacency: index,
            origin: Origin::Gateway,
        };
        self.tables
            .fdb
            .insert(FdbKey::new(network, mac), fdb, 0)
            .unwrap();
        let own = addresses.iter().map(IpNet::addr).chain([link_local.into()]);
        for address in own {
            let neighbour = Neighbour {
                mac,
                adjacency: index,
            };
            self.tables
                .neighbours
                .insert(network, address, neighbour, 0)
                .unwrap();
        }
        for subnet in addresses {
            let connected = NextHop {
                gateway: index,
                address: None,
            };
            self.route(vrf, &subnet.trunc().to_string(), &[connected]);
        }
        index
    }

    /// Changes a gateway.
    pub fn change_gateway(&mut self, at: AdjacencyIndex, change: impl FnOnce(&mut Gateway)) {
        match self.tables.edit().adjacency_mut(at) {
            Adjacency::Gateway(gateway) => change(gateway),
            other => panic!("no gateway: {other:?}"),
        }
    }

    /// Adds a route.
    pub fn route(&mut self, vrf: u16, prefix: &str, hops: &[NextHop]) {
        let routes = self
            .routes
            .entry(vrf)
            .or_insert_with(|| RouteWriter::new(10_000));
        let hops = NextHops::new(hops.iter().copied()).unwrap();
        routes.insert(prefix.parse().unwrap(), hops.into()).unwrap();
        let routes = routes.vrf();
        self.tables
            .edit()
            .set_vrf(VrfIndex::new(vrf).unwrap(), Some(routes));
    }

    /// Our own DVR host MAC, and those of other hosts with the ways to them.
    pub fn host_macs(&mut self, own: &str, others: &[(&str, AdjacencyIndex)]) {
        let macs = others.iter().map(|(other, _)| mac(other));
        self.tables.edit().host_macs = HostMacs::new(Some(mac(own)), macs);
        for (other, at) in others {
            let entry = FdbEntry {
                adjacency: *at,
                origin: Origin::Static,
            };
            self.tables
                .fdb
                .insert(FdbKey::host(mac(other)), entry, 0)
                .unwrap();
        }
    }

    /// Says whom the network meets at a binding.
    pub fn access(&mut self, interface: InterfaceIndex, tag: Option<Tag>, access: Access) {
        let interface = self.tables.edit().interface_mut(interface);
        match interface.bound(tag.into()) {
            Bound::Network {
                network, adjacency, ..
            } => interface.bind(
                tag.into(),
                Bound::Network {
                    network,
                    adjacency,
                    access,
                },
            ),
            other => panic!("no binding: {other:?}"),
        }
    }

    /// What services were asked.
    pub fn asked(&self) -> Vec<Asked> {
        std::iter::from_fn(|| self.channel.asked.pop()).collect()
    }

    /// What the worker told the control thread.
    pub fn events(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.channel.pop()).collect()
    }
}

/// Counters at one moment.
struct Numbers {
    drops: Vec<u64>,
    consumed: u64,
    replicas: u64,
    originated: u64,
    held: u64,
    waiting: u64,
    handed_over: u64,
}

impl Numbers {
    fn drops_since(&self, before: &Self) -> Vec<DropReason> {
        let both = self.drops.iter().zip(&before.drops);
        DropReason::ALL
            .iter()
            .zip(both)
            .flat_map(|(&reason, (after, before))| vec![reason; (after - before) as usize])
            .collect()
    }
}

/// A host of the golden packets: VM1 and VM3 are on H1 or behind a tunnel, VM2 the other
/// way round; one distributed router joins their networks.
pub struct Golden {
    pub bench: Bench,
    pub underlay: InterfaceIndex,
    /// Where VM1 is, if it is here, or VM2.
    pub access: InterfaceIndex,
    /// Where VM3 is, if it is here.
    pub access2: InterfaceIndex,
}

pub const GOLDEN_HM1: &str = "fa:16:3f:7d:d0:db";
pub const GOLDEN_HM2: &str = "fa:16:3f:2d:4e:48";

/// The network that is outside of golden hosts.
const GOLDEN_PUBLIC: u16 = 3;

/// The host of the golden packets that go outside: VM1's ([`GoldenRole::H1`]), with a floating
/// IP or without, or the network node.
pub fn golden_compute(floating: bool) -> Golden {
    let mut golden = golden_host(GoldenRole::H1);
    let bench = &mut golden.bench;
    let node = bench.remote(
        20,
        golden.underlay,
        "192.0.2.11",
        "192.0.2.13",
        "02:00:00:00:01:fe",
    );
    bench.station(network(1), "fa:16:3e:19:e1:98", &["192.168.1.11"], node);
    bench.change_gateway(adjacency(4), |gateway| {
        gateway.central_v4 = Some("192.168.1.11".parse().unwrap());
    });
    let public = network(GOLDEN_PUBLIC);
    bench.external(public, GOLDEN_EXTERNAL, 21);
    // F: the host that talks to the floating IP.
    bench.station(public, "02:00:00:00:0e:14", &["10.100.0.14"], adjacency(21));
    // No address of its own.
    let fg = bench.outside_gateway(
        22,
        public,
        VrfIndex::NOWHERE,
        "fa:16:3e:7d:bd:86",
        &["10.100.0.0/24"],
    );
    let routes = [("10.100.0.0/24", None), ("0.0.0.0/0", Some("10.100.0.1"))];
    bench.way_outside(23, 1, public, [Some(fg), None], &routes);
    let floating = if floating {
        outside::floating(&[("10.100.0.7", "192.168.1.9")])
    } else {
        Vec::new()
    };
    let description = vtepd_tables::translation::Description {
        floating_ips: floating,
        floating_hops: 2,
        ..Default::default()
    };
    bench.rules(public, &[(1, &description)]);
    golden
}

/// The network node of the golden packets.
pub fn golden_node() -> Golden {
    let mut bench = Bench::default();
    let underlay = bench.interface(0, "02:00:00:00:01:13", 1600);
    bench.underlay(underlay, None, &["192.0.2.13"]);
    let red = bench.vxlan(1, 1671);
    let h1 = bench.remote(1, underlay, "192.0.2.13", "192.0.2.11", "02:00:00:00:01:fe");
    bench.flood(red, &[], &[h1]);
    bench.station(red, "fa:16:3e:9a:b7:d4", &["192.168.1.9"], h1);
    bench.gateway(2, red, 1, "fa:16:3e:5b:89:14", &["192.168.1.1/24"]);
    let sg = bench.gateway(3, red, 2, "fa:16:3e:19:e1:98", &["192.168.1.11/24"]);
    bench.change_gateway(sg, |gateway| {
        gateway.role = vtepd_tables::Role::Central;
        gateway.distributed = false;
    });
    bench.host_macs("fa:16:3f:00:00:13", &[(GOLDEN_HM1, h1)]);
    let public = network(GOLDEN_PUBLIC);
    bench.external(public, GOLDEN_EXTERNAL, 21);
    bench.station(
        public,
        "02:00:00:00:0e:01",
        &["10.100.0.14", "10.100.0.1"],
        adjacency(21),
    );
    let router = VrfIndex::new(2).unwrap();
    let qg = bench.outside_gateway(22, public, router, "fa:16:3e:70:a5:d3", &["10.100.0.5/24"]);
    let routes = [("10.100.0.0/24", None), ("0.0.0.0/0", Some("10.100.0.1"))];
    bench.way_outside(23, 2, public, [None, Some(qg)], &routes);
    bench.rules(public, &[(2, &snat(&["10.100.0.5"]))]);
    Golden {
        bench,
        underlay,
        access: underlay,
        access2: underlay,
    }
}

/// The interface of the external network.
pub const GOLDEN_EXTERNAL: InterfaceIndex = InterfaceIndex(3);

/// Where the VMs of the golden packets live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GoldenRole {
    /// On the host of VM1, the others elsewhere.
    H1,
    /// On the host of VM2 and VM3, VM1 elsewhere.
    H2,
    /// On one host with VM1 and VM3.
    Together,
}

/// The host of a role.
pub fn golden_host(role: GoldenRole) -> Golden {
    let first = role != GoldenRole::H2;
    let (our_mac, us, them) = if first {
        ("02:00:00:00:01:11", "192.0.2.11", "192.0.2.12")
    } else {
        ("02:00:00:00:01:12", "192.0.2.12", "192.0.2.11")
    };
    let mut bench = Bench::default();
    let underlay = bench.interface(0, our_mac, 1600);
    let access = bench.interface(1, "02:00:00:00:0a:01", 1500);
    let access2 = bench.interface(2, "02:00:00:00:0a:02", 1500);
    bench.underlay(underlay, None, &[us]);
    let (red, blue) = (bench.vxlan(1, 1671), bench.vxlan(2, 1172));
    let port = bench.bind(1, access, None, red);
    let port2 = bench.bind(3, access2, None, blue);
    let remote = bench.remote(2, underlay, us, them, "02:00:00:00:01:fe");
    bench.flood(red, &[port], &[remote]);
    bench.flood(blue, &[port2], &[remote]);
    let (vm1, vm2) = if first {
        (port, remote)
    } else {
        (remote, port)
    };
    let vm3 = if role == GoldenRole::H1 {
        remote
    } else {
        port2
    };
    bench.station(red, "fa:16:3e:9a:b7:d4", &["192.168.1.9"], vm1);
    bench.station(red, "fa:16:3e:b5:f9:75", &["192.168.1.10"], vm2);
    bench.station(blue, "fa:16:3e:ad:31:3c", &["192.168.2.9"], vm3);
    bench.gateway(4, red, 1, "fa:16:3e:5b:89:14", &["192.168.1.1/24"]);
    bench.gateway(5, blue, 1, "fa:16:3e:fa:c6:99", &["192.168.2.1/24"]);
    let (own, other) = if first {
        (GOLDEN_HM1, GOLDEN_HM2)
    } else {
        (GOLDEN_HM2, GOLDEN_HM1)
    };
    bench.host_macs(own, &[(other, remote)]);
    Golden {
        bench,
        underlay,
        access,
        access2,
    }
}
