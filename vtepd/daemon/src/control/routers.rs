//! Routers: their gateways in the networks, their address spaces with the routes, and the
//! DVR host MACs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use mgmt_api::change::Changes;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{
    Host, Ipv6Mode, Network as ApiNetwork, Router, RouterInterface, RouterRoute,
};
use mgmt_api::state::{Handle, View};
use vtepd_tables::route::{NextHop, NextHops, RouteWriter};
use vtepd_tables::{
    Adjacency, FdbEntry, FdbKey, Gateway, HostMacs, Origin, Services, Usage, VrfIndex,
};
use vtepd_wire::Mac;

use super::Control;
use super::places::{Place, network_index, vrf_index};
use super::stations::entered;

/// The routes of all routers of this host.
pub struct Vrfs {
    writers: HashMap<Handle<Router>, RouteWriter>,
    usage: Usage,
}

impl Vrfs {
    /// Up to `capacity` routes in all.
    pub fn new(capacity: usize) -> Self {
        Self {
            writers: HashMap::new(),
            usage: Usage {
                capacity,
                ..Usage::default()
            },
        }
    }

    /// Use of all of them together.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    fn count(&mut self) {
        let writers = self.writers.values();
        (self.usage.used, self.usage.bytes) = writers.fold((0, 0), |(used, bytes), writer| {
            let usage = writer.usage();
            (used + usage.used, bytes + usage.bytes)
        });
        self.usage.high_water = self.usage.high_water.max(self.usage.used);
    }
}

/// How many routes a router of this host has of its own: those of its list and to its subnets.
fn own_routes(router: Option<&Router>) -> usize {
    let here = router.filter(|router| router.is_here());
    here.map_or(0, |router| {
        let subnets = router.interfaces.iter().map(|own| own.addresses.len());
        router.routes.len() + subnets.sum::<usize>()
    })
}

impl Control {
    /// Refuses routers and routes that would not fit.
    pub(super) fn check_room_for_routers(&mut self, changes: Changes<'_>) -> Result<(), Refusal> {
        let (mut new, mut gone) = (0, 0);
        for change in changes.routers() {
            if change.new.is_some() && vrf_index(change.handle).is_none() {
                let message = format!("at most {} routers are possible", VrfIndex::MAX);
                let name = changes.after.name_of(change.handle);
                return Err(Refusal::new(Code::TableFull, message).of(name));
            }
            new += own_routes(change.new);
            gone += own_routes(change.old);
        }
        new += changes
            .routes()
            .filter(|change| change.new.is_some() && change.old.is_none())
            .count();
        gone += changes
            .routes()
            .filter(|change| change.new.is_none())
            .count();
        let usage = &mut self.vrfs.usage;
        if usage.used + new.saturating_sub(gone) > usage.capacity {
            usage.failed_inserts += 1;
            let message = format!(
                "the route table is full at {} routes; remove some or raise tables.routes in the configuration",
                usage.capacity
            );
            return Err(Refusal::new(Code::TableFull, message));
        }
        Ok(())
    }

    /// Gateways that come into being with a transaction.
    pub(super) fn new_gateways(&self, changes: Changes<'_>) -> usize {
        let here = changes.routers().filter_map(|change| {
            let router = change.new.filter(|router| router.is_here())?;
            Some((change.handle, router))
        });
        let places = here.flat_map(|(handle, router)| {
            let networks = router.interfaces.iter().map(|own| own.network);
            networks.map(move |network| Place::Gateway(handle, network))
        });
        places
            .filter(|place| self.places.get(*place).is_none())
            .count()
    }

    /// The gateways of the networks that a transaction concerns, and the address spaces
    /// behind them.
    pub(super) fn set_routers(&mut self, changes: Changes<'_>, gone: &mut Vec<Place>) {
        self.set_host_macs(changes);
        let mut networks: BTreeSet<Handle<ApiNetwork>> = BTreeSet::new();
        for change in changes.routers() {
            let interfaces = change.old.into_iter().chain(change.new);
            let interfaces = interfaces.flat_map(|router| router.interfaces.iter());
            networks.extend(interfaces.map(|own| own.network));
            let is_gone = |own: &&RouterInterface| {
                let after = change.new.filter(|router| router.is_here());
                after
                    .and_then(|after| after.interface_in(own.network))
                    .is_none()
            };
            let old = change.old.into_iter().flat_map(|old| old.interfaces.iter());
            gone.extend(
                old.filter(is_gone)
                    .map(|own| Place::Gateway(change.handle, own.network)),
            );
        }
        networks.extend(changes.networks().map(|change| change.handle));
        if changes.default_mtus_changed() {
            let routers = changes.after.iter::<Router>();
            let interfaces = routers.flat_map(|(_, router)| router.interfaces.iter());
            networks.extend(interfaces.map(|own| own.network));
        }
        let (fallback, now) = (self.service_mac(), self.now());
        for network in networks {
            self.set_gateways(changes.after, network);
            self.served
                .change_network(changes.after, network, fallback, now);
        }
        self.served.change_ports(changes);
        self.set_routes(changes);
    }

    /// Our own DVR host MAC and those of the others.
    fn set_host_macs(&mut self, changes: Changes<'_>) {
        if changes.hosts().next().is_none() {
            return;
        }
        let mac = |host: &Host| host.dvr_mac.map(|mac| Mac(mac.0));
        let hosts = || changes.after.iter::<Host>().map(|(_, host)| host);
        let own = hosts().find(|host| host.is_local).and_then(mac);
        let others = hosts().filter(|host| !host.is_local).filter_map(mac);
        self.tables.edit().host_macs = HostMacs::new(own, others);
    }

    /// Other hosts' DVR host MACs, in the FDB.
    pub(super) fn enter_host_macs(&mut self, changes: Changes<'_>) {
        let now = self.now() as u16;
        let key = |host: Option<&Host>| {
            let remote = host.filter(|host| !host.is_local)?;
            Some(FdbKey::host(Mac(remote.dvr_mac?.0)))
        };
        let wanted: BTreeMap<_, _> = changes
            .hosts()
            .filter_map(|change| Some((key(change.new)?.mac().0, change.handle)))
            .collect();
        for old in changes.hosts().filter_map(|change| key(change.old)) {
            if !wanted.contains_key(&old.mac().0) {
                self.tables.fdb.remove(old);
            }
        }
        for (mac, host) in wanted {
            if let Some(adjacency) = self.places.get(Place::Host(host)) {
                let entry = FdbEntry {
                    adjacency,
                    origin: Origin::Static,
                };
                entered(self.tables.fdb.insert(FdbKey::host(Mac(mac)), entry, now));
            }
        }
    }

    /// The gateways of one network as ways out, and what is answered for its stations.
    fn set_gateways(&mut self, after: View<'_>, handle: Handle<ApiNetwork>) {
        let (Some(index), Some(network)) = (network_index(handle), after.get(handle)) else {
            return;
        };
        let mut list = Vec::new();
        let here = after
            .gateways_in(handle)
            .filter(|(_, router, _)| router.is_here());
        for (router_handle, router, own) in here {
            let (Some(at), Some(vrf)) = (
                self.places.take(Place::Gateway(router_handle, handle)),
                vrf_index(router_handle),
            ) else {
                continue;
            };
            *self.tables.edit().adjacency_mut(at) = Adjacency::Gateway(Gateway {
                network: index,
                vrf,
                mac: Mac(own.mac.0),
                mtu: after.network_mtu(network),
                distributed: router.distributed,
                // A router that lives on one host is reached from all others.
                from_underlay: network.gateway_from_underlay || !router.distributed,
                link_local: own.link_local(),
                addresses: own.addresses.as_ref().into(),
            });
            list.push(at);
        }
        let entry = self.tables.edit().network_mut(index);
        entry.set_gateways(&list);
        let mode = |wanted: &dyn Fn(Ipv6Mode) -> bool| {
            network
                .subnets
                .iter()
                .any(|subnet| wanted(subnet.ipv6_mode))
        };
        entry.services = Services {
            dhcp4: network.subnets.iter().any(|subnet| subnet.dhcp),
            dhcp6: mode(&|mode| {
                matches!(mode, Ipv6Mode::Dhcpv6Stateless | Ipv6Mode::Dhcpv6Stateful)
            }),
            advertise: !list.is_empty() && mode(&|mode| mode != Ipv6Mode::None),
        };
    }

    fn set_routes(&mut self, changes: Changes<'_>) {
        let mut touched: BTreeSet<Handle<Router>> = BTreeSet::new();
        for change in changes.routers() {
            touched.insert(change.handle);
            let same_place = change.old.zip(change.new).is_some_and(|(old, new)| {
                old.is_here() && new.is_here() && old.interfaces == new.interfaces
            });
            match change.new.filter(|router| router.is_here()) {
                None => drop(self.vrfs.writers.remove(&change.handle)),
                Some(new) if same_place => {
                    self.change_listed(change.handle, change.old, new);
                }
                Some(new) => self.make_vrf(changes.after, change.handle, new),
            }
        }
        for change in changes.routes() {
            let (Some(route), is_gone) = (change.new.or(change.old), change.new.is_none()) else {
                continue;
            };
            touched.insert(route.router);
            self.change_route(changes.after, route, is_gone);
        }
        for router in &touched {
            let Some(index) = vrf_index(*router) else {
                continue;
            };
            let vrf = self.vrfs.writers.get_mut(router).map(RouteWriter::vrf);
            self.tables.edit().set_vrf(index, vrf);
        }
        if !touched.is_empty() {
            self.vrfs.count();
        }
    }

    /// All routes of a router from the beginning.
    fn make_vrf(&mut self, after: View<'_>, handle: Handle<Router>, router: &Router) {
        let capacity = self.vrfs.usage.capacity;
        self.vrfs.writers.insert(handle, RouteWriter::new(capacity));
        for own in &router.interfaces {
            let Some(gateway) = self.places.get(Place::Gateway(handle, own.network)) else {
                continue;
            };
            for address in &own.addresses {
                let connected = NextHop {
                    gateway,
                    address: None,
                };
                self.insert(handle, address.trunc(), [connected]);
            }
        }
        self.change_listed(handle, None, router);
        for (_, route) in after.routes_of(handle) {
            self.change_route(after, route, false);
        }
    }

    /// The routes of a router's own list.
    fn change_listed(&mut self, handle: Handle<Router>, old: Option<&Router>, new: &Router) {
        let by_destination = |router: &Router| {
            let mut routes: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
            for route in &router.routes {
                routes.entry(route.destination).or_default().push(route.via);
            }
            routes
        };
        let (before, after) = (
            old.map(by_destination).unwrap_or_default(),
            by_destination(new),
        );
        for destination in before.keys().filter(|old| !after.contains_key(old)) {
            if let Some(writer) = self.vrfs.writers.get_mut(&handle) {
                writer.remove(*destination);
            }
        }
        for (destination, via) in after {
            if before.get(&destination) != Some(&via) {
                let hops = self.next_hops(handle, new, via);
                self.insert(handle, destination, hops);
            }
        }
    }

    /// A route beside the router's list.
    fn change_route(&mut self, after: View<'_>, route: &RouterRoute, is_gone: bool) {
        let Some(router) = after.get(route.router).filter(|router| router.is_here()) else {
            return;
        };
        if is_gone {
            // Unless the router's own list has taken it over in the same transaction.
            let listed = router
                .routes
                .iter()
                .any(|own| own.destination == route.destination);
            if let Some(writer) = self.vrfs.writers.get_mut(&route.router)
                && !listed
            {
                writer.remove(route.destination);
            }
            return;
        }
        let hops = self.next_hops(route.router, router, route.via.iter());
        self.insert(route.router, route.destination, hops);
    }

    fn next_hops(
        &self,
        handle: Handle<Router>,
        router: &Router,
        via: impl IntoIterator<Item = IpAddr>,
    ) -> Vec<NextHop> {
        let hops = via.into_iter().filter_map(|address| {
            let (own, _) = router.connected(address)?;
            Some(NextHop {
                gateway: self.places.get(Place::Gateway(handle, own.network))?,
                address: Some(address),
            })
        });
        hops.collect()
    }

    fn insert(
        &mut self,
        handle: Handle<Router>,
        destination: IpNet,
        hops: impl IntoIterator<Item = NextHop>,
    ) {
        let (Some(writer), Ok(hops)) = (self.vrfs.writers.get_mut(&handle), NextHops::new(hops))
        else {
            return;
        };
        entered(writer.insert(destination, hops.into()));
    }
}
