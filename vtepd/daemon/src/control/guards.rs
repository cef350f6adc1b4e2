//! Anti-spoofing: what the ports behind each binding may send, and so what is checked
//! of frames that come in there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mgmt_api::change::Changes;
use mgmt_api::resources::{Attachment, Location, Network as ApiNetwork, Port as ApiPort};
use mgmt_api::state::Handle;
use vtepd_tables::{Access, AllowedPair, Bound};
use vtepd_wire::Mac;

use super::Control;
use super::apply::interface_index;
use super::places::Place;
use super::underlay::wire_tag;

/// The ports of this host by where they are.
#[derive(Default)]
pub struct Guards {
    attachments: HashMap<Attachment, Behind>,
}

/// The ports behind one binding.
#[derive(Default)]
struct Behind {
    /// Ports that are checked.
    guarded: u32,
    /// Ports that may send what they like.
    trusted: u32,
    pairs: BTreeMap<Handle<ApiPort>, Vec<AllowedPair>>,
}

fn attachment_of(port: &ApiPort) -> Option<Attachment> {
    match port.location {
        Location::Local(attachment) => Some(attachment),
        Location::Remote(_) => None,
    }
}

impl Guards {
    /// Takes over what a transaction says; returns where anything may differ.
    fn update(&mut self, changes: Changes<'_>) -> BTreeSet<Attachment> {
        let mut touched = BTreeSet::new();
        for change in changes.ports() {
            if let Some((at, port)) = change.old.and_then(|old| Some((attachment_of(old)?, old))) {
                touched.insert(at);
                self.take_out(at, change.handle, port);
            }
            if let Some((at, port)) = change.new.and_then(|new| Some((attachment_of(new)?, new))) {
                touched.insert(at);
                self.put_in(at, change.handle, port);
            }
        }
        for change in changes.networks() {
            let bindings = |network: Option<&ApiNetwork>| {
                network.map_or(Vec::new(), |network| network.bindings.to_vec())
            };
            touched.extend(bindings(change.old));
            touched.extend(bindings(change.new));
        }
        touched.extend(changes.bindings().map(|change| change.attachment));
        touched
    }

    fn put_in(&mut self, at: Attachment, handle: Handle<ApiPort>, port: &ApiPort) {
        let behind = self.attachments.entry(at).or_default();
        if !port.anti_spoofing {
            behind.trusted += 1;
            return;
        }
        behind.guarded += 1;
        let pairs = port.allowed_address_pairs().iter().map(|pair| AllowedPair {
            mac: Mac(pair.mac.unwrap_or(port.mac).0),
            addresses: pair.prefix,
        });
        let pairs: Vec<AllowedPair> = pairs.collect();
        if !pairs.is_empty() {
            behind.pairs.insert(handle, pairs);
        }
    }

    fn take_out(&mut self, at: Attachment, handle: Handle<ApiPort>, port: &ApiPort) {
        let Some(behind) = self.attachments.get_mut(&at) else {
            return;
        };
        if port.anti_spoofing {
            behind.guarded -= 1;
            behind.pairs.remove(&handle);
        } else {
            behind.trusted -= 1;
        }
        if behind.guarded + behind.trusted == 0 {
            self.attachments.remove(&at);
        }
    }

    /// Whom a network meets at a binding. One that the network itself names is open to
    /// other stations; one that is there for its ports alone is not.
    pub fn access(&self, at: Attachment, network: &ApiNetwork) -> Access {
        if network.segment.attachment() == Some(at) {
            return Access::Segment;
        }
        let Some(behind) = self
            .attachments
            .get(&at)
            .filter(|behind| behind.guarded > 0)
        else {
            return Access::Open;
        };
        if behind.trusted > 0 || network.bindings.contains(&at) {
            Access::Known
        } else {
            Access::Guarded
        }
    }

    fn pairs(&self, at: Attachment) -> Vec<AllowedPair> {
        let behind = self.attachments.get(&at);
        behind
            .into_iter()
            .flat_map(|behind| behind.pairs.values().flatten().copied())
            .collect()
    }
}

/// Checks are loosened before stations change and tightened after it: those that may send
/// both before and after a transaction may send all the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// What was allowed still is, and what will be already is.
    Before,
    /// All is as the transaction says.
    After,
}

/// A greater one lets less pass.
fn strictness(access: Access) -> u8 {
    match access {
        Access::Open | Access::Segment => 0,
        Access::Known => 1,
        Access::Guarded => 2,
    }
}

impl Control {
    /// Counts the ports of a transaction; returns the bindings that
    /// [`set_guards`](Self::set_guards) must look at once they are there.
    pub(super) fn count_ports(&mut self, changes: Changes<'_>) -> BTreeSet<Attachment> {
        self.guards.update(changes)
    }

    /// What is checked at bindings. The snapshot is edited only where it differs: most
    /// transactions of ports change nothing here.
    pub(super) fn set_guards(
        &mut self,
        changes: Changes<'_>,
        touched: &BTreeSet<Attachment>,
        when: When,
    ) {
        for at in touched {
            self.set_guard(changes, *at, when);
        }
    }

    fn set_guard(&mut self, changes: Changes<'_>, at: Attachment, when: When) {
        let after = changes.after;
        let (Some(index), Some(adjacency)) = (
            interface_index(changes, at),
            self.places.get(Place::Attachment(at)),
        ) else {
            return;
        };
        let mut pairs = self.guards.pairs(at);
        let before = self.tables.staged().allowed(adjacency);
        if when == When::Before {
            pairs.extend(
                before
                    .iter()
                    .filter(|pair| !pairs.contains(pair))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
        if before != pairs {
            self.tables.edit().set_allowed(adjacency, pairs);
        }
        let network = after.network_at(at).and_then(|network| after.get(network));
        let tag = at.tag.and_then(wire_tag);
        let bound = self
            .tables
            .staged()
            .interface(index)
            .map(|interface| interface.bound(tag.into()));
        let (
            Some(network),
            Some(Bound::Network {
                network: bound_to,
                adjacency,
                access,
            }),
        ) = (network, bound)
        else {
            return;
        };
        let mut wanted = self.guards.access(at, network);
        if when == When::Before && strictness(access) < strictness(wanted) {
            wanted = access;
        }
        if access != wanted {
            let bound = Bound::Network {
                network: bound_to,
                adjacency,
                access: wanted,
            };
            let interface = self.tables.edit().interface_mut(index);
            interface.bind(tag.into(), bound);
        }
    }
}
