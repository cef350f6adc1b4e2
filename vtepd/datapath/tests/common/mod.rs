//! A host on a bench: tables filled by hand, the real pipeline, devices in memory.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

mod corpus;
mod frames;
mod host;

pub use corpus::*;
pub use frames::*;
pub use host::*;

use std::net::IpAddr;
use std::sync::Arc;

use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::observer::{Decision, Recorder};
use vtepd_datapath::{Burst, Channel, DropReason, Event, Pipeline, WorkerCounters, WorkerState};
use vtepd_tables::adjacency::{TunnelParameters, VtepPair};
use vtepd_tables::{
    Adjacency, AdjacencyIndex, Bound, FdbEntry, FdbKey, InterfaceIndex, Limits, Neighbour,
    NetworkIndex, Origin, Port, Tables, TablesReader, TablesWriter, Tag, Tunnel, Underlay,
};
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::{Mac, VlanId, Vni, ethernet};

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
    pipeline: Pipeline,
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
                .insert(network, ip(address), Neighbour { mac, adjacency: at })
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
        let after = self.numbers();
        let sent = std::mem::take(&mut self.io.sent);
        let outcome = Outcome {
            drops: after.drops_since(&before),
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
            received + after.replicas - before.replicas,
            (outcome.sent.len() + outcome.drops.len()) as u64 + outcome.consumed,
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
        }
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

/// The host H1 of the golden packets: VM1 on an access interface, the VMs of H2
/// behind a tunnel through a router.
pub struct Golden {
    pub bench: Bench,
    pub underlay: InterfaceIndex,
    pub access: InterfaceIndex,
}

/// `us` and `them` are the last numbers of the VTEP addresses 192.0.2.x.
pub fn golden_host(our_mac: &str, us: &str, them: &str) -> Golden {
    let mut bench = Bench::default();
    let underlay = bench.interface(0, our_mac, 1600);
    let access = bench.interface(1, "02:00:00:00:0a:01", 1500);
    bench.underlay(underlay, None, &[us]);
    let network = bench.vxlan(1, 1671);
    let port = bench.bind(1, access, None, network);
    let remote = bench.remote(2, underlay, us, them, "02:00:00:00:01:fe");
    bench.flood(network, &[port], &[remote]);
    let (local, away) = if us == "192.0.2.11" {
        (port, remote)
    } else {
        (remote, port)
    };
    bench.station(network, "fa:16:3e:9a:b7:d4", &["192.168.1.9"], local);
    bench.station(network, "fa:16:3e:b5:f9:75", &["192.168.1.10"], away);
    Golden {
        bench,
        underlay,
        access,
    }
}
