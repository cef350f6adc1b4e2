//! The accepted desired state, and transactions over it.
//!
//! A transaction never touches the [`State`]: it is *staged* beside it. Whatever can fail (checks, the store, the
//! control plane) happens while the state stands, readable by everyone, and a refusal throws the staged part away.
//! Taking it over at the end cannot fail.
//!
//! ```text
//!            put, remove                     check                    merge
//!  State ──▶ Transaction ──▶ Staged (records, keys, claims) ──▶ ok ──▶ State
//!    ▲                            │
//!    └──── View: State, or State + Staged as if it were taken over
//! ```
//!
//! A million ports cost about 160 bytes each here: 80 for the record, 30 to 45 in the order of keys, and 20 to 40 for
//! the two fingerprints by which duplicate addresses are found. A million routes cost about 85: 48 and 30 to 50.

mod claims;
mod fingerprints;
mod outside;
mod routing;
mod stations;
mod table;
mod transaction;
mod underlay;
mod validate;
mod view;

use std::sync::Arc;

pub use claims::{Anchor, Claim, Owner, Place, Used};
pub use table::{Handle, StagedTable, Table};
pub use transaction::{Difference, Outcome, Transaction};
pub use view::View;

use crate::control::Facts;
use crate::resources::{
    Attachment, FloatingIp, Host, Interface, Kind, KindVisitor, NatSettings, Network, Port, Router,
    RouterRoute, StaticFdb, Tenant, each_kind,
};
use claims::{StagedTallies, Tallies};
use fingerprints::{Fingerprints, Keyed, Station, StationKey, fingerprint};

/// The accepted desired state.
#[derive(Debug)]
pub struct State {
    facts: Arc<Facts>,
    pub(crate) interfaces: Table<Interface>,
    pub(crate) hosts: Table<Host>,
    pub(crate) networks: Table<Network>,
    pub(crate) ports: Table<Port>,
    pub(crate) fdb: Table<StaticFdb>,
    pub(crate) routers: Table<Router>,
    pub(crate) routes: Table<RouterRoute>,
    pub(crate) floating_ips: Table<FloatingIp>,
    pub(crate) tenants: Table<Tenant>,
    pub(crate) nat_settings: Table<NatSettings>,
    tallies: Tallies,
    port_keys: Fingerprints<Port>,
    gateway_keys: Fingerprints<Router>,
    host_gateway_keys: Fingerprints<Network>,
    floating_keys: Fingerprints<FloatingIp>,
    keyed: Keyed,
}

/// What a transaction does, checked or to be checked, not taken over yet.
#[derive(Debug, Default)]
pub struct Staged {
    pub(crate) interfaces: StagedTable<Interface>,
    pub(crate) hosts: StagedTable<Host>,
    pub(crate) networks: StagedTable<Network>,
    pub(crate) ports: StagedTable<Port>,
    pub(crate) fdb: StagedTable<StaticFdb>,
    pub(crate) routers: StagedTable<Router>,
    pub(crate) routes: StagedTable<RouterRoute>,
    pub(crate) floating_ips: StagedTable<FloatingIp>,
    pub(crate) tenants: StagedTable<Tenant>,
    pub(crate) nat_settings: StagedTable<NatSettings>,
    tallies: StagedTallies,
    /// Addresses of ports created or changed.
    port_keys: Fingerprints<Port>,
    /// Addresses of routers created or changed.
    gateway_keys: Fingerprints<Router>,
    /// Addresses of hosts' gateways for floating IPs, of networks created or changed.
    host_gateway_keys: Fingerprints<Network>,
    /// Addresses of floating IPs created or changed.
    floating_keys: Fingerprints<FloatingIp>,
}

impl State {
    /// A state with nothing in it.
    #[must_use]
    pub fn new(facts: Arc<Facts>) -> Self {
        Self {
            facts,
            interfaces: Table::default(),
            hosts: Table::default(),
            networks: Table::default(),
            ports: Table::default(),
            fdb: Table::default(),
            routers: Table::default(),
            routes: Table::default(),
            floating_ips: Table::default(),
            tenants: Table::default(),
            nat_settings: Table::default(),
            tallies: Tallies::default(),
            port_keys: Fingerprints::default(),
            gateway_keys: Fingerprints::default(),
            host_gateway_keys: Fingerprints::default(),
            floating_keys: Fingerprints::default(),
            keyed: Keyed::default(),
        }
    }

    /// The state to be read.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(self, None)
    }

    /// The table of a kind.
    #[must_use]
    pub fn table<K: Kind>(&self) -> &Table<K> {
        K::table(self)
    }

    /// Takes over a checked transaction.
    pub fn merge(&mut self, staged: Staged) {
        let keyed = &self.keyed;
        merge_keys(&mut self.port_keys, keyed, &self.ports, &staged.ports);
        merge_keys(
            &mut self.gateway_keys,
            keyed,
            &self.routers,
            &staged.routers,
        );
        merge_keys(
            &mut self.host_gateway_keys,
            keyed,
            &self.networks,
            &staged.networks,
        );
        merge_keys(
            &mut self.floating_keys,
            keyed,
            &self.floating_ips,
            &staged.floating_ips,
        );
        struct Merge<'a>(&'a mut State, Staged);
        impl KindVisitor for Merge<'_> {
            type Error = std::convert::Infallible;
            fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
                K::table_mut(self.0).merge(std::mem::take(K::staged_mut(&mut self.1)));
                Ok(())
            }
        }
        let mut merge = Merge(self, staged);
        let Ok(()) = each_kind(&mut merge);
        let Merge(_, staged) = merge;
        self.tallies.merge(staged.tallies);
    }
}

impl Staged {
    /// Interfaces with tags whose owner may be another after.
    pub(crate) fn touched_attachments(&self) -> Vec<Attachment> {
        attachments(self.tallies.held.keys())
    }

    /// Networks with hosts whose count is another after.
    pub(crate) fn touched_members(&self) -> impl Iterator<Item = (Handle<Network>, Handle<Host>)> {
        self.tallies.members.keys().copied()
    }
}

/// The distinct attachments among places in order.
fn attachments<'a>(held: impl Iterator<Item = &'a (Place, Owner)>) -> Vec<Attachment> {
    let attachments = held.filter_map(|(place, _)| match place {
        Place::Attachment(attachment) => Some(*attachment),
        _ => None,
    });
    let mut attachments: Vec<_> = attachments.collect();
    attachments.dedup();
    attachments
}

/// Takes over the addresses of one kind's records, before the records themselves.
fn merge_keys<K: Station>(
    keys: &mut Fingerprints<K>,
    keyed: &Keyed,
    table: &Table<K>,
    staged: &StagedTable<K>,
) {
    keys.reserve(staged.len());
    for (handle, new) in staged.iter() {
        if let Some(old) = table.get(handle) {
            station_keys(old, handle, |key| {
                keys.remove(fingerprint(keyed, key), handle)
            });
        }
        if let Some(new) = new {
            station_keys(new, handle, |key| {
                keys.insert(fingerprint(keyed, key), handle)
            });
        }
    }
}

/// The addresses by which a record is found.
fn station_keys<K: Kind>(record: &K, own: Handle<K>, mut found_by: impl FnMut(StationKey)) {
    record.claims(own, &mut |claim| {
        if let Some((key, _)) = station_key(claim) {
            found_by(key);
        }
    });
}

/// Who has an address in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Port(Handle<Port>),
    /// A router: by an interface, a central port, or a gateway outside.
    Gateway(Handle<Router>),
    Static(Handle<StaticFdb>),
    /// A host's gateway for floating IPs.
    FloatingGateway(Handle<Network>),
    FloatingIp(Handle<FloatingIp>),
}

fn station_key(claim: Claim) -> Option<(StationKey, Holder)> {
    Some(match claim {
        Claim::PortMac(network, mac, port) => (StationKey::Mac(network, mac), Holder::Port(port)),
        Claim::PortAddress(network, address, port) => {
            (StationKey::Address(network, address), Holder::Port(port))
        }
        Claim::GatewayMac(network, mac, router) => {
            (StationKey::Mac(network, mac), Holder::Gateway(router))
        }
        Claim::GatewayAddress(network, address, router) => (
            StationKey::Address(network, address),
            Holder::Gateway(router),
        ),
        Claim::StaticMac(network, mac, entry) => {
            (StationKey::Mac(network, mac), Holder::Static(entry))
        }
        Claim::FloatingGatewayMac(network, mac) => (
            StationKey::Mac(network, mac),
            Holder::FloatingGateway(network),
        ),
        Claim::FloatingGatewayAddress(network, address) => (
            StationKey::Address(network, address),
            Holder::FloatingGateway(network),
        ),
        Claim::FloatingAddress(network, address, floating_ip) => (
            StationKey::Address(network, address),
            Holder::FloatingIp(floating_ip),
        ),
        _ => return None,
    })
}
