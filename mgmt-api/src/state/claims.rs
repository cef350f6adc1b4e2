//! What records use and occupy, counted, so that a contradiction is one look-up away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use hashbrown::HashMap;

use super::Handle;
use crate::mac::Mac;
use crate::resources::{
    Attachment, DeviceIndex, Host, Interface, Network, Port, Router, StaticFdb, Vni,
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
    /// That interface has this MAC address.
    GatewayMac(Handle<Network>, Mac, Handle<Router>),
    /// That interface has this IP address.
    GatewayAddress(Handle<Network>, IpAddr, Handle<Router>),
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
    /// A router.
    Router(Handle<Router>),
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
}

impl Owner {
    const FIRST: Self = Self::Interface(Handle::new(0));
    const LAST: Self = Self::Network(Handle::new(u32::MAX));
}

/// The counts of the accepted state.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub used: HashMap<Used, u32>,
    pub members: BTreeMap<(Handle<Network>, Handle<Host>), u32>,
    pub held: BTreeMap<(Place, Owner), u32>,
    pub gateways: BTreeMap<(Handle<Network>, Handle<Router>), u32>,
}

/// What a transaction adds to the counts and takes from them.
#[derive(Debug, Default)]
pub(super) struct StagedTallies {
    pub used: HashMap<Used, i64>,
    pub members: BTreeMap<(Handle<Network>, Handle<Host>), i64>,
    pub held: BTreeMap<(Place, Owner), i64>,
    pub gateways: BTreeMap<(Handle<Network>, Handle<Router>), i64>,
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
            // Found through fingerprints and the static entries' own table.
            Claim::PortMac(..)
            | Claim::PortAddress(..)
            | Claim::StaticMac(..)
            | Claim::GatewayMac(..)
            | Claim::GatewayAddress(..) => {}
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
        for (member, by) in staged.members {
            if add(self.members.entry(member).or_default(), by) {
                self.members.remove(&member);
            }
        }
        for (held, by) in staged.held {
            if add(self.held.entry(held).or_default(), by) {
                self.held.remove(&held);
            }
        }
        for (gateway, by) in staged.gateways {
            if add(self.gateways.entry(gateway).or_default(), by) {
                self.gateways.remove(&gateway);
            }
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
