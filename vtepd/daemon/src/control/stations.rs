//! Stations: MACs with their IP addresses and where they are, out of ports, static
//! entries and the gateways of routers, in the FDB and the neighbour tables.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use mgmt_api::change::Changes;
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{
    Location, Network as ApiNetwork, Port as ApiPort, Router, RouterInterface, StaticFdb,
};
use mgmt_api::state::{Handle, View};
use vtepd_tables::{FdbEntry, FdbKey, Neighbour, Origin, TableFull};
use vtepd_wire::Mac;

use super::Control;
use super::places::{Place, network_index};

/// Who has a MAC, and where: what ports, static entries and gateways have in common.
struct Station<'a> {
    network: Handle<ApiNetwork>,
    mac: Mac,
    at: At,
    kind: StationKind<'a>,
}

/// Where a station is.
#[derive(Clone, Copy)]
enum At {
    Location(Location),
    /// It is a router of this host.
    Router(Handle<Router>),
}

enum StationKind<'a> {
    Port(&'a ApiPort),
    Entry,
    Gateway(&'a RouterInterface),
}

impl<'a> From<&'a ApiPort> for Station<'a> {
    fn from(port: &'a ApiPort) -> Self {
        Self {
            network: port.network,
            mac: Mac(port.mac.0),
            at: At::Location(port.location),
            kind: StationKind::Port(port),
        }
    }
}

impl From<&StaticFdb> for Station<'_> {
    fn from(entry: &StaticFdb) -> Self {
        Self {
            network: entry.network,
            mac: Mac(entry.mac.0),
            at: At::Location(entry.location),
            kind: StationKind::Entry,
        }
    }
}

/// The gateways of a router: it is here, or a station of the host that it runs on.
fn gateways(handle: Handle<Router>, router: &Router) -> impl Iterator<Item = Station<'_>> {
    let at = match router.host {
        None => At::Router(handle),
        Some(host) => At::Location(Location::Remote(host)),
    };
    router.interfaces.iter().map(move |own| Station {
        network: own.network,
        mac: Mac(own.mac.0),
        at,
        kind: StationKind::Gateway(own),
    })
}

impl Station<'_> {
    fn key(&self) -> Option<FdbKey> {
        Some(FdbKey::new(network_index(self.network)?, self.mac))
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let port = match self.kind {
            StationKind::Port(port) => Some(port),
            _ => None,
        };
        let gateway = match self.kind {
            StationKind::Gateway(own) => Some(own),
            _ => None,
        };
        let of_port = port.into_iter().flat_map(|port| port.addresses.iter());
        let of_gateway = gateway.into_iter().flat_map(|own| {
            let addresses = own.addresses.iter().map(|address| address.addr());
            addresses.chain([own.link_local().into()])
        });
        of_port.chain(of_gateway)
    }

    /// What leads to it.
    fn place(&self, view: View<'_>) -> Option<Place> {
        Some(match self.at {
            At::Router(router) => Place::Gateway(router, self.network, ApiMac(self.mac.0)),
            At::Location(Location::Local(attachment)) => Place::Attachment(attachment),
            At::Location(Location::Remote(host)) => {
                match view.get(self.network)?.segment.attachment() {
                    Some(segment) => Place::Attachment(segment),
                    None => Place::Host(host),
                }
            }
        })
    }

    /// What its entry in the FDB says of frames from it.
    fn origin(&self) -> Origin {
        match (self.at, &self.kind) {
            (At::Router(_), _) => Origin::Gateway,
            (At::Location(Location::Local(_)), StationKind::Port(port)) => guarded(port),
            _ => Origin::Static,
        }
    }
}

/// A port that is checked has its first IPv4 address in its entry. One that nobody has
/// given an address is checked for its MAC alone, which any static entry is.
fn guarded(port: &ApiPort) -> Origin {
    if !port.anti_spoofing || port.addresses.is_empty() && port.allowed_address_pairs().is_empty() {
        return Origin::Static;
    }
    let mut ipv4 = port.addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    Origin::Guarded(ipv4.next().unwrap_or(Ipv4Addr::UNSPECIFIED))
}

/// Stations before and after, of all kinds.
fn stations<'a>(
    changes: Changes<'a>,
) -> impl Iterator<Item = (Option<Station<'a>>, Option<Station<'a>>)> {
    let ports = changes
        .ports()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    let entries = changes
        .fdb()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    let gateways = changes.routers().flat_map(|change| {
        let of = move |router: Option<&'a Router>| {
            router
                .into_iter()
                .flat_map(move |router| gateways(change.handle, router))
        };
        let old = of(change.old).map(|old| (Some(old), None));
        old.chain(of(change.new).map(|new| (None, Some(new))))
    });
    ports.chain(entries).chain(gateways)
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
    let gateways = changes
        .after
        .iter::<Router>()
        .flat_map(|(handle, router)| gateways(handle, router));
    ports
        .chain(entries)
        .chain(gateways)
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
        // Entries of DVR host MACs are few: room for all new ones is asked for.
        new.macs += changes
            .hosts()
            .filter(|change| change.new.is_some_and(|host| host.dvr_mac.is_some()))
            .count();
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
                origin: station.origin(),
            };
            // The addresses first: guards look them up once the MAC is known.
            if let Some(network) = network_index(station.network) {
                for address in station.addresses() {
                    let neighbour = Neighbour {
                        mac: station.mac,
                        adjacency,
                    };
                    self.neighbours.replaced(network, address);
                    entered(
                        self.tables
                            .neighbours
                            .insert(network, address, neighbour, now),
                    );
                }
            }
            let previous = entered(self.tables.fdb.insert(key, entry, now)).flatten();
            if previous.is_some_and(|previous| previous.origin == Origin::Learned) {
                self.learner.replaced(key);
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
