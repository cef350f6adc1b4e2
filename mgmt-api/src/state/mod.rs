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
//! A million ports cost about 150 bytes each here: 72 for the record, 30 to 45 in the order of keys, and 20 to 40 for
//! the two fingerprints by which duplicate addresses are found.

mod claims;
mod fingerprints;
mod table;
mod transaction;
mod validate;
mod view;

use std::sync::Arc;

pub use claims::{Claim, Owner, Place, Used};
pub use table::{Handle, StagedTable, Table};
pub use transaction::{Difference, Outcome, Transaction};
pub use view::View;

use crate::control::Facts;
use crate::resources::{
    Attachment, Host, Interface, Kind, KindVisitor, Network, Port, StaticFdb, each_kind,
};
use claims::{StagedTallies, Tallies};
use fingerprints::{Fingerprints, Keyed, PortKey, fingerprint};

/// The accepted desired state.
#[derive(Debug)]
pub struct State {
    facts: Arc<Facts>,
    pub(crate) interfaces: Table<Interface>,
    pub(crate) hosts: Table<Host>,
    pub(crate) networks: Table<Network>,
    pub(crate) ports: Table<Port>,
    pub(crate) fdb: Table<StaticFdb>,
    tallies: Tallies,
    port_keys: Fingerprints,
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
    tallies: StagedTallies,
    /// Addresses of ports created or changed.
    port_keys: Fingerprints,
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
            tallies: Tallies::default(),
            port_keys: Fingerprints::default(),
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
        self.merge_port_keys(&staged);
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

    fn merge_port_keys(&mut self, staged: &Staged) {
        let Self {
            ports,
            port_keys,
            keyed,
            ..
        } = self;
        port_keys.reserve(staged.ports.len());
        for (handle, new) in staged.ports.iter() {
            if let Some(old) = ports.get(handle) {
                port_claims(old, handle, |key| {
                    port_keys.remove(fingerprint(keyed, key), handle)
                });
            }
            if let Some(new) = new {
                port_claims(new, handle, |key| {
                    port_keys.insert(fingerprint(keyed, key), handle)
                });
            }
        }
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

/// The addresses by which a port is found.
fn port_claims(port: &Port, own: Handle<Port>, mut found_by: impl FnMut(PortKey)) {
    port.claims(own, &mut |claim| {
        if let Some((key, _)) = port_key(claim) {
            found_by(key);
        }
    });
}

fn port_key(claim: Claim) -> Option<(PortKey, Handle<Port>)> {
    match claim {
        Claim::PortMac(network, mac, port) => Some((PortKey::Mac(network, mac), port)),
        Claim::PortAddress(network, address, port) => {
            Some((PortKey::Address(network, address), port))
        }
        _ => None,
    }
}
