//! The boundary to the data plane: what the daemon implements, and the status it reports.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;
use utoipa::ToSchema;

use crate::change::Changes;
use crate::events::EventSink;
use crate::explain::{ExplainQuery, Explanation};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::resources::{Attachment, DeviceIndex, Host, Network, Router};
use crate::state::{Handle, View};
use crate::translation::{NatPool, NatTenant, SessionPage, SessionQuery};

/// The forwarding side, as the management plane needs it.
///
/// [`apply`](Self::apply) is called by one thread at a time; the readers by any, at any time, also while
/// an `apply` runs.
pub trait ControlPlane: Send + Sync + 'static {
    /// What never changes while the daemon runs. Asked once.
    fn facts(&self) -> Facts;

    /// Makes `changes` true, whole or not at all. When it returns `Ok`, every worker already forwards by
    /// `changes.after`.
    ///
    /// It may be called again with the inverse, should the store fail afterwards; that must not be refused.
    ///
    /// # Errors
    /// Why not, with the resource and field at fault ([`View::name_of`](crate::state::View::name_of)); everything is then as it was.
    fn apply(&self, changes: &Changes<'_>) -> Result<(), Refusal>;

    /// What is wrong if the workers do not run as they should.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn health(&self) -> Result<(), String>;

    /// The interfaces and their counters.
    fn interfaces(&self) -> Vec<InterfaceStatus>;

    /// The workers and their counters.
    fn workers(&self) -> Vec<WorkerStatus>;

    /// Every drop reason and its count, the zeros too.
    fn drops(&self) -> Vec<DropCount>;

    /// The forwarding tables and how full they are.
    fn tables(&self) -> Vec<TableStatus>;

    /// Up to `limit` entries of the network's MAC table in the order of their addresses, those after `after`.
    fn fdb(&self, network: Handle<Network>, after: Option<Mac>, limit: usize) -> Vec<FdbEntry>;

    /// Forgets learned addresses, and says how many.
    fn forget_learned(&self, which: Forget) -> u64;

    /// Who has which address in the network beside its ports and gateways, which the state knows: what was asked for, and
    /// what ports announced.
    fn neighbours(&self, network: Handle<Network>) -> Vec<Neighbour>;

    /// Runs one packet through what the workers do, on tables as they are, without changing any or sending anything.
    /// `view` has the names of what the tables refer to by number.
    ///
    /// # Errors
    /// No frame can be made of the query, or nothing can be explained now.
    fn explain(&self, view: View<'_>, query: &ExplainQuery) -> Result<Explanation, Refusal>;

    /// Up to `limit` addresses by which the metadata proxy knows ports of this host, in their order, from `first` on.
    fn metadata(&self, first: Ipv4Addr, limit: usize) -> Vec<MetadataAsker>;

    /// The neighbours of the underlay: next hops and VTEPs on our subnets.
    fn underlay_neighbours(&self) -> Vec<UnderlayNeighbour>;

    /// Sessions of address translation, up to `query.limit` from `query.cursor` on. A page may be short, or empty, though
    /// there are more: workers look through a part of their tables at a time.
    ///
    /// # Errors
    /// A worker cannot be asked.
    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, Refusal>;

    /// Ends all sessions that fit, whatever the limit and cursor, and says how many.
    ///
    /// # Errors
    /// A worker cannot be asked. Those of others may have been ended.
    fn delete_sessions(&self, query: &SessionQuery) -> Result<u64, Refusal>;

    /// The outside addresses that stations share on this host, and how full they are.
    ///
    /// # Errors
    /// A worker cannot be asked.
    fn nat_pools(&self) -> Result<Vec<NatPool>, Refusal>;

    /// What tenants use of address translation on this host, those of routers that count for themselves among them.
    ///
    /// # Errors
    /// A worker cannot be asked.
    fn nat_tenants(&self) -> Result<Vec<NatTenant>, Refusal>;

    /// Where to tell of events from now on. Called once, before the first [`apply`](Self::apply).
    fn set_events(&self, events: EventSink);
}

/// What the management plane must know of the daemon before it reads its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The identifier of this host among `hosts`.
    pub local_host: Id,
    /// The devices of the configuration.
    pub devices: Vec<Device>,
}

/// A device of the daemon's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name in the configuration.
    pub name: String,
    /// Its hardware address.
    pub mac: Mac,
    /// The MTU of an interface that asks for none (largest IP packet, bytes).
    pub mtu: u16,
    /// The largest MTU it can be set to.
    pub max_mtu: u16,
    /// Its DPDK driver.
    pub driver: String,
    /// The section of the configuration that has it to itself: it is no interface's then.
    pub taken_by: Option<&'static str>,
}

impl Facts {
    /// The index of the device with this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<DeviceIndex> {
        let at = self.devices.iter().position(|device| device.name == name)?;
        u32::try_from(at).ok().map(DeviceIndex)
    }
}

/// An interface as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InterfaceStatus {
    /// The interface; absent for a device that no interface uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Its device.
    pub device: String,
    /// The device's DPDK driver.
    pub driver: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// Whether the link is up.
    pub link_up: bool,
    /// The link's speed in Mbit/s, where the device knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Received.
    pub rx: Traffic,
    /// Sent.
    pub tx: Traffic,
}

/// One direction of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames, without the checksum.
    pub bytes: u64,
    /// Packets the device could not take or hand over.
    pub dropped: u64,
    /// Packets the device found damaged.
    pub errors: u64,
}

/// A worker as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkerStatus {
    /// Its number, from 0.
    pub worker: u32,
    /// The core it is pinned to.
    pub core: u32,
    /// True while it polls.
    pub running: bool,
    /// Turns of its loop.
    pub iterations: u64,
    /// The share of the last second spent on packets, 0 to 1.
    pub busy: f64,
    /// Packets it took in.
    pub packets: u64,
    /// Packets that it handed over to the workers that own their translations.
    pub handed_over: u64,
    /// Packets that other workers handed over to it.
    pub taken_over: u64,
    /// Packets that it kept until they could be decided: fragments before their first, and SYNs from outside that nobody
    /// waits for.
    pub kept: u64,
    /// What the control thread asked of its address translation and was refused. Not 0: report it.
    pub nat_refused: u64,
    /// Where its cycles went.
    pub stages: Vec<StageCycles>,
}

/// A stage of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StageCycles {
    /// The stage, in the order packets pass them.
    pub stage: String,
    /// Packets that passed it.
    pub packets: u64,
    /// CPU cycles spent in it.
    pub cycles: u64,
}

/// Packets dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DropCount {
    /// The stable word for the reason.
    pub reason: String,
    /// A sentence: what it means and what to look at.
    pub description: String,
    /// The interface they came in by, where the count is kept by interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Id>,
    /// How many.
    pub packets: u64,
}

/// A forwarding table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// The most entries it takes.
    pub capacity: u64,
    /// Entries now.
    pub used: u64,
    /// The most entries it ever had.
    pub high_water: u64,
    /// Entries it had no room for.
    pub failed_inserts: u64,
}

/// An entry of a network's MAC table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// The address.
    pub mac: Mac,
    /// Where frames for it go.
    pub location: FdbLocation,
    /// Seconds since a learned address was last heard; `None`: configured.
    pub learned_age: Option<u32>,
}

/// Where frames for a MAC address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FdbLocation {
    /// To an interface of this box.
    Local(Attachment),
    /// To a remote VTEP.
    Remote(Handle<Host>),
}

/// Who has an address in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// The MAC address that goes with it.
    pub mac: Mac,
    /// Where packets for it go.
    pub location: NeighbourLocation,
    /// How it is known.
    pub origin: NeighbourOrigin,
    /// Seconds since a learned one was last heard; `None`: configured.
    pub age: Option<u32>,
}

/// Where packets for a neighbour go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourLocation {
    /// To an interface of this box.
    Local(Attachment),
    /// To a remote host.
    Remote(Handle<Host>),
    /// Into a router that runs here: the address is its gateway's.
    Router(Handle<Router>),
}

/// How a neighbour is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourOrigin {
    /// It is an address of a port.
    Port,
    /// It is a gateway's.
    Gateway,
    /// It is a floating IP, answered for by a router.
    FloatingIp,
    /// It was asked for, or announced by a port that may have it.
    Learned,
}

/// An address by which the metadata proxy knows a port of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MetadataAsker {
    /// Where the port's questions seem to come from.
    #[schema(value_type = String, examples("240.0.7.9"))]
    pub address: Ipv4Addr,
    /// The port.
    pub port: Id,
    /// Its network.
    pub network: Id,
    /// Its hardware address.
    pub mac: Mac,
    /// Where they do come from: a port with several IPv4 addresses has as many names.
    #[schema(value_type = String)]
    pub source: Ipv4Addr,
    /// All addresses of the port.
    #[schema(value_type = Vec<String>)]
    pub addresses: Box<[IpAddr]>,
}

/// Which learned addresses to forget: those that all given fields apply to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forget {
    /// Of this network only.
    pub network: Option<Handle<Network>>,
    /// This address only.
    pub mac: Option<Mac>,
}

/// A neighbour of the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnderlayNeighbour {
    /// The underlay interface.
    pub interface: Id,
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Its hardware address, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// How sure that is.
    pub state: NeighbourState,
    /// Seconds since it was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u32>,
    /// Hosts reached through it.
    pub hosts: Vec<Id>,
}

/// How sure a neighbour's hardware address is (the words of RFC 4861 §7.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourState {
    /// Asked for, no answer yet.
    Incomplete,
    /// Confirmed recently.
    Reachable,
    /// Not confirmed for a while, still used.
    Stale,
    /// Stale, used, and being asked for again.
    Probe,
    /// Asked for several times, no answer.
    Failed,
}
