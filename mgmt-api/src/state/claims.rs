//! What records use and occupy, counted, so that a contradiction is one look-up away.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;

use hashbrown::HashMap;

use super::Handle;
use crate::mac::Mac;
use crate::resources::{
    Attachment, DeviceIndex, FloatingIp, ForwardedProtocol, Host, Interface, Network, Port, Router,
    StaticFdb, Vni,
};

/// One thing a record uses or occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It refers to something that must not go before it.
    Uses(Used),
    /// It makes a remote host one that the network floods to.
    Member(Handle<Network>, Handle<Host>),
    /// It holds a place that has one owner.
    Holds(Place, Owner),
    /// A port has this MAC address in the network.
    PortMac(Handle<Network>, Mac, Handle<Port>),
    /// A port has this IP address in the network.
    PortAddress(Handle<Network>, IpAddr, Handle<Port>),
    /// A static entry has this MAC address in the network.
    StaticMac(Handle<Network>, Mac, Handle<StaticFdb>),
    /// A router has an interface in the network.
    Gateway(Handle<Network>, Handle<Router>),
    /// A router has its way outside in the network.
    WayOutside(Handle<Network>, Handle<Router>),
    /// A router has this MAC address in the network: of an interface, its central port, or a gateway outside.
    GatewayMac(Handle<Network>, Mac, Handle<Router>),
    /// A router has this IP address in the network.
    GatewayAddress(Handle<Network>, IpAddr, Handle<Router>),
    /// A host has this MAC address in the external network, for floating IPs.
    FloatingGatewayMac(Handle<Network>, Mac),
    /// A host has this IP address in the external network, to ask for neighbours with.
    FloatingGatewayAddress(Handle<Network>, IpAddr),
    /// A floating IP is this address of the network.
    FloatingAddress(Handle<Network>, IpAddr, Handle<FloatingIp>),
    /// A floating IP leads there, or lies there.
    FloatingIp(Anchor, Handle<FloatingIp>),
}

/// What floating IPs are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anchor {
    /// The external network.
    Network(Handle<Network>),
    /// The router that translates it.
    Router(Handle<Router>),
    /// The port it leads to.
    Port(Handle<Port>),
}

/// What is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// An interface.
    Interface(Handle<Interface>),
    /// A host.
    Host(Handle<Host>),
    /// A network.
    Network(Handle<Network>),
    /// A port.
    Port(Handle<Port>),
    /// A router.
    Router(Handle<Router>),
    /// An address inside to which ports of a floating IP lead.
    Forwarded(Handle<Router>, Ipv4Addr),
    /// A MAC address as a gateway's, in whatever network.
    GatewayMac(Mac),
    /// The larger outer header of a remote VTEP with an IPv6 address.
    RemoteIpv6,
}

/// Something that only one owner may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A VXLAN network identifier.
    Vni(Vni),
    /// A VTEP address.
    Vtep(IpAddr),
    /// A DVR host MAC.
    DvrMac(Mac),
    /// A device.
    Device(DeviceIndex),
    /// The frames of an interface with this tag.
    Attachment(Attachment),
    /// An address inside, which has one floating IP.
    Fixed(Handle<Router>, Ipv4Addr),
    /// A port inside, which one forwarding leads to.
    Forwarded(Handle<Router>, ForwardedProtocol, SocketAddrV4),
}

/// Who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An interface; of an attachment: the underlay on it.
    Interface(Handle<Interface>),
    /// A host.
    Host(Handle<Host>),
    /// A network.
    Network(Handle<Network>),
    /// A floating IP.
    FloatingIp(Handle<FloatingIp>),
}

impl Owner {
    const FIRST: Self = Self::Interface(Handle::new(0));
    const LAST: Self = Self::FloatingIp(Handle::new(u32::MAX));
}

/// The counts of the accepted state.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub used: HashMap<Used, u32>,
    pub members: BTreeMap<(Handle<Network>, Handle<Host>), u32>,
    pub held: BTreeMap<(Place, Owner), u32>,
    pub gateways: BTreeMap<(Handle<Network>, Handle<Router>), u32>,
    pub outside: BTreeMap<(Handle<Network>, Handle<Router>), u32>,
    pub floating_ips: BTreeMap<(Anchor, Handle<FloatingIp>), u32>,
}

/// What a transaction adds to the counts and takes from them.
#[derive(Debug, Default)]
pub(super) struct StagedTallies {
    pub used: HashMap<Used, i64>,
    pub members: BTreeMap<(Handle<Network>, Handle<Host>), i64>,
    pub held: BTreeMap<(Place, Owner), i64>,
    pub gateways: BTreeMap<(Handle<Network>, Handle<Router>), i64>,
    pub outside: BTreeMap<(Handle<Network>, Handle<Router>), i64>,
    pub floating_ips: BTreeMap<(Anchor, Handle<FloatingIp>), i64>,
}

impl StagedTallies {
    pub fn add(&mut self, claim: Claim, by: i64) {
        match claim {
            Claim::Uses(used) => *self.used.entry(used).or_default() += by,
            Claim::Member(network, host) => *self.members.entry((network, host)).or_default() += by,
            Claim::Holds(place, owner) => *self.held.entry((place, owner)).or_default() += by,
            Claim::Gateway(network, router) => {
                *self.gateways.entry((network, router)).or_default() += by;
            }
            Claim::WayOutside(network, router) => {
                *self.outside.entry((network, router)).or_default() += by;
            }
            Claim::FloatingIp(anchor, floating_ip) => {
                let entry = self.floating_ips.entry((anchor, floating_ip));
                *entry.or_default() += by;
            }
            // Found through fingerprints and the static entries' own table.
            Claim::PortMac(..)
            | Claim::PortAddress(..)
            | Claim::StaticMac(..)
            | Claim::GatewayMac(..)
            | Claim::GatewayAddress(..)
            | Claim::FloatingGatewayMac(..)
            | Claim::FloatingGatewayAddress(..)
            | Claim::FloatingAddress(..) => {}
        }
    }
}

impl Tallies {
    pub fn merge(&mut self, staged: StagedTallies) {
        for (used, by) in staged.used {
            if add(self.used.entry(used).or_default(), by) {
                self.used.remove(&used);
            }
        }
        merge(&mut self.members, staged.members);
        merge(&mut self.held, staged.held);
        merge(&mut self.gateways, staged.gateways);
        merge(&mut self.outside, staged.outside);
        merge(&mut self.floating_ips, staged.floating_ips);
    }
}

fn merge<T: Ord + Copy>(counts: &mut BTreeMap<T, u32>, staged: BTreeMap<T, i64>) {
    for (key, by) in staged {
        if add(counts.entry(key).or_default(), by) {
            counts.remove(&key);
        }
    }
}

/// Adds, and says whether nothing is left.
fn add(count: &mut u32, by: i64) -> bool {
    *count = after(*count, by);
    *count == 0
}

/// A count after a transaction that adds `by`.
pub(super) fn after(count: u32, by: i64) -> u32 {
    u32::try_from(i64::from(count) + by).expect("claims are given back as often as they were made")
}

impl Tallies {
    /// The owners of a place once `staged` is taken over. More than one is a contradiction.
    pub fn owners(&self, staged: Option<&StagedTallies>, place: Place) -> Vec<Owner> {
        let range = (place, Owner::FIRST)..=(place, Owner::LAST);
        let staged = staged.map(|staged| &staged.held);
        counted(&self.held, staged, range, |(_, owner)| owner)
    }

    /// The remote hosts the network floods to once `staged` is taken over.
    pub fn members(
        &self,
        staged: Option<&StagedTallies>,
        network: Handle<Network>,
    ) -> Vec<Handle<Host>> {
        let range = (network, Handle::new(0))..=(network, Handle::new(u32::MAX));
        let staged = staged.map(|staged| &staged.members);
        counted(&self.members, staged, range, |(_, host)| host)
    }

    /// The routers with an interface in the network once `staged` is taken over, in the order of their handles: which
    /// of them speaks for all must not depend on how they came.
    pub fn routers(
        &self,
        staged: Option<&StagedTallies>,
        network: Handle<Network>,
    ) -> Vec<Handle<Router>> {
        let range = (network, Handle::new(0))..=(network, Handle::new(u32::MAX));
        let staged = staged.map(|staged| &staged.gateways);
        let mut routers = counted(&self.gateways, staged, range, |(_, router)| router);
        routers.sort_unstable();
        routers
    }

    /// The routers with their way outside in the network once `staged` is taken over, in the order of their handles.
    pub fn routers_outside(
        &self,
        staged: Option<&StagedTallies>,
        network: Handle<Network>,
    ) -> Vec<Handle<Router>> {
        let range = (network, Handle::new(0))..=(network, Handle::new(u32::MAX));
        let staged = staged.map(|staged| &staged.outside);
        let mut routers = counted(&self.outside, staged, range, |(_, router)| router);
        routers.sort_unstable();
        routers
    }

    /// The floating IPs there once `staged` is taken over.
    pub fn floating_ips(
        &self,
        staged: Option<&StagedTallies>,
        anchor: Anchor,
    ) -> Vec<Handle<FloatingIp>> {
        let range = (anchor, Handle::new(0))..=(anchor, Handle::new(u32::MAX));
        let staged = staged.map(|staged| &staged.floating_ips);
        counted(&self.floating_ips, staged, range, |(_, own)| own)
    }
}

/// What is counted in a range once the staged part is taken over.
fn counted<T: Ord + Copy, U>(
    base: &BTreeMap<T, u32>,
    staged: Option<&BTreeMap<T, i64>>,
    range: RangeInclusive<T>,
    show: impl Fn(T) -> U,
) -> Vec<U> {
    let by = |key: &T| {
        staged
            .and_then(|staged| staged.get(key))
            .copied()
            .unwrap_or(0)
    };
    let kept = base.range(range.clone());
    let kept = kept.filter(|(key, count)| after(**count, by(key)) > 0);
    let mut found: Vec<U> = kept.map(|(key, _)| show(*key)).collect();
    if let Some(staged) = staged {
        let came = staged.range(range);
        let came = came.filter(|(key, by)| **by > 0 && !base.contains_key(key));
        found.extend(came.map(|(key, _)| show(*key)));
    }
    found
}
