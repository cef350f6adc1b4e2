//! The forwarding tables of `decap`, filled by hand, and their writer.

use anyhow::{Context, Result};
use vtepd_perf::frames::Workload;
use vtepd_perf::frames::fabric::{OWN_VTEP, UPLINK_MAC};
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, Bound, FdbEntry, FdbKey, InterfaceIndex, Limits,
    NetworkIndex, Origin, Port, Tables, TablesReader, TablesWriter, Tag, TagKey, Tunnel,
    TunnelParameters, Underlay, VtepPair,
};
use vtepd_wire::{Mac, VlanId, Vni, ethernet};

/// The underlay's interface.
pub const UPLINK: InterfaceIndex = InterfaceIndex(0);
/// That of the stations.
pub const ACCESS: InterfaceIndex = InterfaceIndex(1);
const ACCESS_MAC: Mac = Mac([2, 0, 0, 0, 0xac, 0]);
/// MTUs of both.
const MTU: u16 = 1600;

/// Tables with the stations of a workload, and others that change.
pub struct Forwarding {
    tables: TablesWriter,
    workload: Workload,
    changing: u32,
    made: u32,
}

/// Networks are numbered from 1 on; so are their ports, and behind these the VTEPs.
fn network(number: u32) -> Result<NetworkIndex> {
    NetworkIndex::new(number as u16 + 1).context("a network without a number")
}

fn port(network: u32) -> Result<AdjacencyIndex> {
    AdjacencyIndex::new(network as u16 + 1).context("a port without a number")
}

fn tunnel(workload: &Workload, vtep: u32) -> Result<AdjacencyIndex> {
    let index = workload.fabric.networks + vtep;
    AdjacencyIndex::new(index as u16 + 1).context("a VTEP without a number")
}

impl Forwarding {
    /// Tables that hold the stations that the workload sends to; as many others will change.
    pub fn new(workload: Workload, changing: u32) -> Result<Self> {
        let tables = Tables::new(Limits {
            fdb: (workload.macs + changing) as usize * 2,
            neighbours: 1,
        });
        let mut forwarding = Self {
            tables,
            workload,
            changing,
            made: 0,
        };
        forwarding.make_interfaces();
        for network in 0..workload.fabric.networks {
            forwarding.make_network(network)?;
        }
        for vtep in 0..workload.fabric.vteps {
            forwarding.make_vtep(vtep)?;
        }
        forwarding.tables.publish();
        for station in 0..workload.macs {
            let (fabric, mac) = (workload.fabric, workload.fabric.local_mac(station));
            let number = fabric.network_of(station);
            forwarding.enter(network(number)?, mac, port(number)?)?;
        }
        Ok(forwarding)
    }

    /// A worker's access.
    pub fn reader(&self) -> Option<TablesReader> {
        self.tables.tables().reader()
    }

    fn make_interfaces(&mut self) {
        let snapshot = self.tables.edit();
        snapshot.local.set([OWN_VTEP.into()], []);
        snapshot.local.udp_ports = vec![4789];
        let uplink = snapshot.interface_mut(UPLINK);
        (uplink.mac, uplink.mtu) = (UPLINK_MAC, MTU);
        uplink.bind(TagKey::UNTAGGED, Bound::Underlay);
        uplink.underlay = Some(Underlay {
            tag: None,
            ipv4: vec![OWN_VTEP],
            ipv6: Vec::new(),
        });
        let access = snapshot.interface_mut(ACCESS);
        (access.mac, access.mtu) = (ACCESS_MAC, MTU);
    }

    fn make_network(&mut self, number: u32) -> Result<()> {
        let fabric = self.workload.fabric;
        let (network, index) = (network(number)?, port(number)?);
        let vni = Vni::new(fabric.vni(number)).context("a VNI that is none")?;
        let vlan = fabric.vlan(number).and_then(VlanId::new);
        let vlan = vlan.context("a VLAN that is none")?;
        let tag = Some(Tag::new(ethernet::ETHERTYPE_VLAN, vlan));
        let snapshot = self.tables.edit();
        snapshot.network_mut(network).vni = Some(vni);
        *snapshot.adjacency_mut(index) = Adjacency::Port(Port {
            interface: ACCESS,
            network,
            tag,
            segment: false,
        });
        let bound = Bound::Network {
            network,
            adjacency: index,
            access: Access::Open,
        };
        snapshot.interface_mut(ACCESS).bind(tag.into(), bound);
        self.tables.set_vni(vni, Some(network));
        Ok(())
    }

    fn make_vtep(&mut self, vtep: u32) -> Result<()> {
        let (fabric, index) = (self.workload.fabric, tunnel(&self.workload, vtep)?);
        let address = fabric.vtep(vtep).into();
        let addresses = VtepPair::new(OWN_VTEP.into(), address);
        let tunnel = Tunnel::new(&TunnelParameters {
            interface: UPLINK,
            source_mac: UPLINK_MAC,
            next_hop_mac: Some(fabric.vtep_mac(vtep)),
            tag: None,
            addresses: addresses.context("addresses of two families")?,
            udp_port: 4789,
            udp_checksum: false,
            dscp: 0,
            ttl: 64,
            mtu: MTU,
        });
        *self.tables.edit().adjacency_mut(index) = Adjacency::Tunnel(tunnel);
        self.tables.remote_vteps.insert(address, index)?;
        Ok(())
    }

    fn enter(&mut self, network: NetworkIndex, mac: Mac, at: AdjacencyIndex) -> Result<()> {
        let entry = FdbEntry {
            adjacency: at,
            origin: Origin::Static,
        };
        self.tables
            .fdb
            .insert(FdbKey::new(network, mac), entry, 0)?;
        Ok(())
    }

    /// Makes the next changes: all others are made, then moved, then removed.
    pub fn change(&mut self, count: u32) -> Result<()> {
        for _ in 0..count {
            let (phase, number) = (self.made / self.changing, self.made % self.changing);
            let (workload, station) = (self.workload, self.workload.macs + number);
            let fabric = workload.fabric;
            let (network, mac) = (
                network(fabric.network_of(station))?,
                fabric.remote_mac(station),
            );
            if phase == 2 {
                self.tables.fdb.remove(FdbKey::new(network, mac));
            } else {
                let vtep = (fabric.vtep_of(station) + phase) % fabric.vteps;
                self.enter(network, mac, tunnel(&workload, vtep)?)?;
            }
            self.made = (self.made + 1) % (3 * self.changing);
        }
        self.tables.collect();
        Ok(())
    }
}
