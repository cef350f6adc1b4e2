//! Stations: MACs with their IP addresses and where they are, out of ports, static
//! entries and the gateways of routers, in the FDB and the neighbour tables.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use mgmt_api::change::Changes;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Location, Network as ApiNetwork, Port as ApiPort, Router, StaticFdb};
use mgmt_api::state::{Handle, View};
use vtepd_tables::{FdbEntry, FdbKey, Neighbour, NetworkIndex, Origin, TableFull};
use vtepd_wire::{Mac, ipv6};

use super::Control;
use super::concerned::Concerned;
use super::floating::{self, Placed};
use super::gateways::{LocalGateway, RemoteGateway};
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
    /// It is a gateway of this host.
    Gateway(Place),
}

enum StationKind<'a> {
    Port(&'a ApiPort),
    Entry,
    /// A gateway, with these addresses.
    Gateway(Vec<IpAddr>),
    /// An outside address that a gateway answers for beside its own.
    Outside(IpAddr),
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

impl Station<'_> {
    fn here(own: &LocalGateway) -> Self {
        let mac = Mac(own.mac.0);
        let link_local = IpAddr::V6(ipv6::link_local(mac));
        let addresses = own.own_addresses().chain([link_local]).collect();
        Self {
            network: own.network,
            mac,
            at: At::Gateway(own.place),
            kind: StationKind::Gateway(addresses),
        }
    }
}

impl From<RemoteGateway> for Station<'_> {
    fn from(own: RemoteGateway) -> Self {
        Self {
            network: own.network,
            mac: Mac(own.mac.0),
            at: At::Location(Location::Remote(own.host)),
            kind: StationKind::Gateway(own.addresses),
        }
    }
}

impl From<Placed> for Station<'_> {
    fn from(placed: Placed) -> Self {
        Self {
            network: placed.network,
            mac: Mac(placed.mac.0),
            at: At::Gateway(placed.gateway),
            kind: StationKind::Outside(placed.address.into()),
        }
    }
}

/// The gateways of a router: those of this host, and those that it has on others.
fn gateways<'a>(view: View<'a>, handle: Handle<Router>) -> impl Iterator<Item = Station<'a>> {
    let here = LocalGateway::of_router(view, handle);
    let elsewhere = view.get(handle).map(RemoteGateway::of_router);
    let here = here.into_iter().map(|own| Station::here(&own));
    here.chain(elsewhere.into_iter().flatten().map(Station::from))
}

impl Station<'_> {
    /// Its MAC's; an outside address is with a gateway that has one already.
    fn key(&self) -> Option<FdbKey> {
        if let StationKind::Outside(_) = self.kind {
            return None;
        }
        Some(FdbKey::new(network_index(self.network)?, self.mac))
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let port = match self.kind {
            StationKind::Port(port) => Some(port),
            _ => None,
        };
        let own = match &self.kind {
            StationKind::Gateway(addresses) => addresses.as_slice(),
            StationKind::Outside(address) => std::slice::from_ref(address),
            _ => &[],
        };
        let of_port = port.into_iter().flat_map(|port| port.addresses.iter());
        of_port.chain(own.iter().copied())
    }

    /// What leads to it.
    fn place(&self, view: View<'_>) -> Option<Place> {
        Some(match self.at {
            At::Gateway(place) => place,
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
            (At::Gateway(_), _) => Origin::Gateway,
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
    concerned: &'a Concerned,
) -> impl Iterator<Item = (Option<Station<'a>>, Option<Station<'a>>)> {
    let ports = changes
        .ports()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    let entries = changes
        .fdb()
        .map(|change| (change.old.map(Station::from), change.new.map(Station::from)));
    let old = gateway_stations(changes.before, concerned).map(|old| (Some(old), None));
    let new = gateway_stations(changes.after, concerned).map(|new| (None, Some(new)));
    ports.chain(entries).chain(old).chain(new)
}

/// What is concerned of gateways, and of the addresses that they answer for.
fn gateway_stations<'a>(
    view: View<'a>,
    concerned: &'a Concerned,
) -> impl Iterator<Item = Station<'a>> + 'a {
    let routers = concerned.routers.iter();
    let of_routers = routers.flat_map(move |router| gateways(view, *router));
    let networks = concerned.networks.iter();
    let of_hosts = networks
        .filter_map(move |network| LocalGateway::of_floating_ips(view, *network))
        .map(|own| Station::here(&own));
    let floating_ips = concerned.floating_ips.iter();
    let addresses = floating_ips
        .filter_map(move |floating| floating::placed(view, view.get(*floating)?))
        .map(Station::from);
    of_routers.chain(of_hosts).chain(addresses)
}

/// The IPv4 addresses that this host answers for on external networks, as far as they are concerned, and with which MAC.
pub(super) fn answered_outside(
    view: View<'_>,
    concerned: &Concerned,
) -> BTreeMap<(NetworkIndex, Ipv4Addr), Mac> {
    let is_external = |station: &Station<'_>| {
        let network = view.get(station.network);
        let here = matches!(station.at, At::Gateway(_));
        here && network.is_some_and(|network| network.external.is_some())
    };
    let stations = gateway_stations(view, concerned).filter(is_external);
    let addresses = stations.filter_map(|station| {
        let network = network_index(station.network)?;
        let addresses: Vec<Ipv4Addr> = station.addresses().filter_map(v4).collect();
        Some(
            addresses
                .into_iter()
                .map(move |address| ((network, address), station.mac)),
        )
    });
    addresses.flatten().collect()
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
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
        .flat_map(|(handle, _)| gateways(changes.after, handle));
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
    fn of(changes: Changes<'_>, concerned: &Concerned) -> Self {
        let mut wanted = Self {
            keys: HashSet::new(),
            addresses: HashSet::new(),
        };
        for station in stations(changes, concerned).filter_map(|(_, new)| new) {
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
    pub(super) fn check_room_for_stations(
        &mut self,
        changes: Changes<'_>,
        concerned: &Concerned,
    ) -> Result<(), Refusal> {
        let mut new = Count::default();
        for station in stations(changes, concerned).filter_map(|(_, new)| new) {
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
        self.each_gone(changes, concerned, |_, key, addresses| {
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
        concerned: &Concerned,
        mut show: impl FnMut(Handle<ApiNetwork>, Option<FdbKey>, &mut dyn Iterator<Item = IpAddr>),
    ) {
        // At boot, and whenever only new ones come, there is nothing to compare.
        if !stations(changes, concerned).any(|(old, _)| old.is_some()) {
            return;
        }
        let wanted = Wanted::of(changes, concerned);
        for station in stations(changes, concerned).filter_map(|(old, _)| old) {
            let key = station.key().filter(|key| !wanted.keys.contains(key));
            let network = station.network;
            let mut addresses = station
                .addresses()
                .filter(|address| !wanted.addresses.contains(&(network, *address)));
            show(network, key, &mut addresses);
        }
    }

    /// Takes out what is gone.
    pub(super) fn remove_stations(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let mut keys = Vec::new();
        let mut neighbours = Vec::new();
        self.each_gone(changes, concerned, |network, key, addresses| {
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
    pub(super) fn enter_stations(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let now = self.now() as u16;
        let moved = stations_of_changed_segments(changes);
        for station in stations(changes, concerned)
            .filter_map(|(_, new)| new)
            .chain(moved)
        {
            let place = station.place(changes.after);
            let Some(adjacency) = place.and_then(|place| self.places.get(place)) else {
                continue;
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
            let Some(key) = station.key() else { continue };
            let entry = FdbEntry {
                adjacency,
                origin: station.origin(),
            };
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
