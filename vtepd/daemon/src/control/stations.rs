//! Stations: MACs with their IP addresses and where they are, out of ports and
//! static entries, in the FDB and the neighbour tables.

use std::collections::HashSet;
use std::net::IpAddr;

use mgmt_api::change::Changes;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Location, Network as ApiNetwork, Port as ApiPort, StaticFdb};
use mgmt_api::state::{Handle, View};
use vtepd_tables::{FdbEntry, FdbKey, Neighbour, Origin, TableFull};
use vtepd_wire::Mac;

use super::Control;
use super::places::{Place, network_index};

/// Who has a MAC, and where: what ports and static entries have in common.
struct Station<'a> {
    network: Handle<ApiNetwork>,
    mac: Mac,
    location: Location,
    port: Option<&'a ApiPort>,
}

impl<'a> From<&'a ApiPort> for Station<'a> {
    fn from(port: &'a ApiPort) -> Self {
        Self {
            network: port.network,
            mac: Mac(port.mac.0),
            location: port.location,
            port: Some(port),
        }
    }
}

impl From<&StaticFdb> for Station<'_> {
    fn from(entry: &StaticFdb) -> Self {
        Self {
            network: entry.network,
            mac: Mac(entry.mac.0),
            location: entry.location,
            port: None,
        }
    }
}

impl Station<'_> {
    fn key(&self) -> Option<FdbKey> {
        Some(FdbKey::new(network_index(self.network)?, self.mac))
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.port.into_iter().flat_map(|port| port.addresses.iter())
    }

    /// What leads to it.
    fn place(&self, view: View<'_>) -> Option<Place> {
        Some(match self.location {
            Location::Local(attachment) => Place::Attachment(attachment),
            Location::Remote(host) => match view.get(self.network)?.segment.attachment() {
                Some(segment) => Place::Attachment(segment),
                None => Place::Host(host),
            },
        })
    }
}

/// Stations before and after, of ports and static entries alike.
fn stations<'a>(
    changes: Changes<'a>,
) -> impl Iterator<Item = (Option<Station<'a>>, Option<Station<'a>>)> {
    let ports = changes
        .ports()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    let entries = changes
        .fdb()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    ports.chain(entries)
}

/// Stations that stay as they are, of networks whose segment changes: what leads
/// to those on other hosts changes with it.
fn stations_of_changed_segments<'a>(changes: Changes<'a>) -> Vec<Station<'a>> {
    let segments = changes
        .networks()
        .filter(|change| match (change.old, change.new) {
            (Some(old), Some(new)) => old.segment.attachment() != new.segment.attachment(),
            _ => false,
        });
    let networks: HashSet<Handle<ApiNetwork>> = segments.map(|change| change.handle).collect();
    if networks.is_empty() {
        return Vec::new();
    }
    let ports = changes
        .after
        .iter::<ApiPort>()
        .map(|(_, port)| Station::from(port));
    let entries = changes
        .after
        .iter::<StaticFdb>()
        .map(|(_, entry)| Station::from(entry));
    ports
        .chain(entries)
        .filter(|station| networks.contains(&station.network))
        .collect()
}

fn refuse(full: TableFull) -> Refusal {
    Refusal::new(Code::TableFull, full.to_string())
}

/// What a transaction's stations have when it is done.
struct Wanted {
    keys: HashSet<FdbKey>,
    addresses: HashSet<(Handle<ApiNetwork>, IpAddr)>,
}

impl Wanted {
    fn of(changes: Changes<'_>) -> Self {
        let mut wanted = Self {
            keys: HashSet::new(),
            addresses: HashSet::new(),
        };
        for station in stations(changes).filter_map(|(_, new)| new) {
            wanted.keys.extend(station.key());
            let network = station.network;
            wanted
                .addresses
                .extend(station.addresses().map(|address| (network, address)));
        }
        wanted
    }
}

/// Entries that come or go.
#[derive(Default)]
struct Count {
    macs: usize,
    ipv4: usize,
    ipv6: usize,
}

impl Count {
    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(_) => self.ipv4 += 1,
            IpAddr::V6(_) => self.ipv6 += 1,
        }
    }
}

impl Control {
    /// Refuses stations that would not fit, what is gone taken off.
    pub(super) fn check_room_for_stations(&mut self, changes: Changes<'_>) -> Result<(), Refusal> {
        let mut new = Count::default();
        for station in stations(changes).filter_map(|(_, new)| new) {
            let is_new = |key| self.tables.fdb.get(key).is_none();
            new.macs += usize::from(station.key().is_some_and(is_new));
            for address in station.addresses() {
                let known = network_index(station.network)
                    .is_some_and(|network| self.tables.neighbours.get(network, address).is_some());
                if !known {
                    new.address(address);
                }
            }
        }
        let mut gone = Count::default();
        self.each_gone(changes, |_, key, addresses| {
            gone.macs += usize::from(key.is_some());
            addresses.for_each(|address| gone.address(address));
        });
        let more = |new: usize, gone: usize| new.saturating_sub(gone);
        self.tables
            .fdb
            .reserve(more(new.macs, gone.macs))
            .map_err(refuse)?;
        let (ipv4, ipv6) = (more(new.ipv4, gone.ipv4), more(new.ipv6, gone.ipv6));
        self.tables.neighbours.reserve(ipv4, ipv6).map_err(refuse)
    }

    /// Shows what stations had and nobody of the transaction has taken over.
    fn each_gone(
        &self,
        changes: Changes<'_>,
        mut show: impl FnMut(Handle<ApiNetwork>, Option<FdbKey>, &mut dyn Iterator<Item = IpAddr>),
    ) {
        // At boot, and whenever only new ones come, there is nothing to compare.
        if !stations(changes).any(|(old, _)| old.is_some()) {
            return;
        }
        let wanted = Wanted::of(changes);
        for station in stations(changes).filter_map(|(old, _)| old) {
            let key = station.key().filter(|key| !wanted.keys.contains(key));
            let network = station.network;
            let mut addresses = station
                .addresses()
                .filter(|address| !wanted.addresses.contains(&(network, *address)));
            show(network, key, &mut addresses);
        }
    }

    /// Takes out what is gone.
    pub(super) fn remove_stations(&mut self, changes: Changes<'_>) {
        let mut keys = Vec::new();
        let mut neighbours = Vec::new();
        self.each_gone(changes, |network, key, addresses| {
            keys.extend(key);
            neighbours.extend(addresses.map(|address| (network, address)));
        });
        for key in keys {
            self.tables.fdb.remove(key);
        }
        for (network, address) in neighbours {
            if let Some(network) = network_index(network) {
                self.tables.neighbours.remove(network, address);
            }
        }
    }

    /// Enters what is new or changed.
    pub(super) fn enter_stations(&mut self, changes: Changes<'_>) {
        let now = self.now() as u16;
        let moved = stations_of_changed_segments(changes);
        for station in stations(changes).filter_map(|(_, new)| new).chain(moved) {
            let place = station.place(changes.after);
            let (Some(key), Some(adjacency)) = (
                station.key(),
                place.and_then(|place| self.places.get(place)),
            ) else {
                continue;
            };
            let entry = FdbEntry {
                adjacency,
                origin: Origin::Static,
            };
            let previous = entered(self.tables.fdb.insert(key, entry, now)).flatten();
            if previous.is_some_and(|previous| previous.origin == Origin::Learned) {
                self.learner.replaced(key);
            }
            if let Some(network) = network_index(station.network) {
                for address in station.addresses() {
                    let neighbour = Neighbour {
                        mac: station.mac,
                        adjacency,
                    };
                    entered(self.tables.neighbours.insert(network, address, neighbour, now));
                }
            }
        }
    }
}

/// There was room, as `check_room` saw under the same lock; a table that refuses
/// all the same has met dozens of keys with one hash, which its keys make a
/// matter of lifetimes.
pub(super) fn entered<T>(result: Result<T, TableFull>) -> Option<T> {
    result
        .inspect_err(|full| tracing::error!(%full, "an entry could not be made"))
        .ok()
}
