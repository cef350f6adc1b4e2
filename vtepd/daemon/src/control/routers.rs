//! Routers: their gateways in the networks, their address spaces with the routes, and the
//! DVR host MACs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use mgmt_api::change::{Change, Changes};
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{
    Host, Ipv6Mode, Network as ApiNetwork, Router, RouterInterface, RouterRoute,
};
use mgmt_api::state::{Handle, View};
use vtepd_tables::route::{NextHop, NextHops, RouteWriter, Target};
use vtepd_tables::{
    Adjacency, FdbEntry, FdbKey, Gateway, HostMacs, Origin, Role, Services, Usage, VrfIndex,
};
use vtepd_wire::Mac;

use super::Control;
use super::places::{MAX_ROUTERS, Place, central_vrf_index, network_index, vrf_index};
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

    /// Use of all of them together, but for the bytes, which nobody asks for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    fn routes_of(&self, router: Handle<Router>) -> usize {
        self.writers.get(&router).map_or(0, RouteWriter::len)
    }

    /// Refuses what would not fit all of them together.
    fn check_room(&mut self, new: usize, gone: usize) -> Result<(), Refusal> {
        let usage = &mut self.usage;
        if new <= gone || usage.used + new - gone <= usage.capacity {
            return Ok(());
        }
        usage.failed_inserts += 1;
        let message = format!(
            "the route table is full at {} routes; remove some or raise tables.routes in the configuration",
            usage.capacity
        );
        Err(Refusal::new(Code::TableFull, message))
    }
}

/// What a transaction does to the address space of a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Space {
    /// The router is not of this host, or not any more.
    Gone,
    /// All routes are entered from the beginning: it is new here, or a subnet that next hops
    /// are on is another network's now.
    Anew,
    /// It goes on; what differs is changed.
    Kept,
}

/// The subnets that a router reaches without a next hop, and the gateways on them: by
/// network and MAC.
fn connected(router: &Router) -> BTreeMap<IpNet, (Handle<ApiNetwork>, ApiMac)> {
    let interfaces = router.interfaces.iter();
    let subnets = interfaces.flat_map(|own| {
        let subnets = own.addresses.iter().map(IpNet::trunc);
        subnets.map(|subnet| (subnet, (own.network, own.mac)))
    });
    subnets.collect()
}

/// The routes of a router's own list, by destination.
fn listed(router: &Router) -> BTreeMap<IpNet, Vec<IpAddr>> {
    let mut routes: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
    for route in &router.routes {
        routes.entry(route.destination).or_default().push(route.via);
    }
    routes
}

impl Space {
    fn of(change: Change<'_, Router>) -> Self {
        let here = |router: Option<&'_ Router>| router.is_some_and(Router::is_here);
        if !here(change.new) {
            return Self::Gone;
        }
        let (Some(old), Some(new)) = (change.old.filter(|old| old.is_here()), change.new) else {
            return Self::Anew;
        };
        let (before, after) = (connected(old), connected(new));
        let mut lost = before
            .iter()
            .filter(|(subnet, gateway)| after.get(subnet) != Some(gateway));
        // Routes that stay as they are have next hops on subnets that do, unless another
        // gateway takes the subnet over.
        let taken_over = |(lost, _): (&IpNet, _)| {
            let mut others = after.keys();
            others.any(|other| other.contains(lost) || lost.contains(other))
        };
        match lost.any(taken_over) {
            true => Self::Anew,
            false => Self::Kept,
        }
    }
}

impl Control {
    /// Refuses routers and routes that would not fit.
    pub(super) fn check_room_for_routers(&mut self, changes: Changes<'_>) -> Result<(), Refusal> {
        let (mut new, mut gone) = (0, 0);
        let mut anew = HashSet::new();
        for change in changes.routers() {
            if change.new.is_some() && central_vrf_index(change.handle).is_none() {
                let message = format!("at most {MAX_ROUTERS} routers are possible");
                let name = changes.after.name_of(change.handle);
                return Err(Refusal::new(Code::TableFull, message).of(name));
            }
            let own = |router: &Router| connected(router).len() + listed(router).len();
            let here = |router: Option<&Router>| router.is_some_and(Router::is_here);
            match (here(change.old), here(change.new)) {
                (true, true) => {
                    gone += change.old.map_or(0, own);
                    new += change.new.map_or(0, own);
                }
                (_, is_here) => {
                    anew.insert(change.handle);
                    gone += self.vrfs.routes_of(change.handle);
                    if is_here {
                        let routes = changes.after.routes_of(change.handle).count();
                        new += change.new.map_or(0, own) + routes;
                    }
                }
            }
        }
        for change in changes.routes() {
            let Some(router) = change.new.or(change.old).map(|route| route.router) else {
                continue;
            };
            let is_here = changes.after.get(router).is_some_and(Router::is_here);
            if is_here && !anew.contains(&router) {
                new += usize::from(change.old.is_none());
                gone += usize::from(change.new.is_none());
            }
        }
        self.vrfs.check_room(new, gone)?;
        self.check_room_for_targets(changes)
    }

    /// Refuses more different sets of next hops than one router can have. Sets that go
    /// with the same transaction count as well: their numbers are free only after it.
    fn check_room_for_targets(&mut self, changes: Changes<'_>) -> Result<(), Refusal> {
        let mut wanted: HashMap<Handle<Router>, usize> = HashMap::new();
        let here = |router: Handle<Router>| {
            let router = changes.after.get(router);
            router.filter(|router| router.is_here())
        };
        for change in changes.routers() {
            let Some(router) = here(change.handle) else {
                continue;
            };
            let mut count = router.interfaces.len() + router.routes.len();
            if Space::of(change) == Space::Anew {
                count += changes.after.routes_of(change.handle).count();
            }
            *wanted.entry(change.handle).or_default() += count;
        }
        for route in changes.routes().filter_map(|change| change.new) {
            *wanted.entry(route.router).or_default() += 1;
        }
        for (handle, most) in wanted {
            let used = self
                .vrfs
                .writers
                .get(&handle)
                .map_or(0, RouteWriter::targets);
            // The usual case: not even if all were different.
            if used + most <= RouteWriter::MAX_TARGETS {
                continue;
            }
            let Some(router) = here(handle) else { continue };
            if self.count_targets(changes, handle, router) > RouteWriter::MAX_TARGETS {
                self.vrfs.usage.failed_inserts += 1;
                let message = format!(
                    "the routes of a router lead to at most {} different sets of next hops",
                    RouteWriter::MAX_TARGETS
                );
                let name = changes.after.name_of(handle);
                return Err(Refusal::new(Code::TableFull, message).of(name));
            }
        }
        Ok(())
    }

    /// The different sets of next hops of a router before and after together; or after
    /// alone, where they are entered from the beginning.
    fn count_targets(
        &self,
        changes: Changes<'_>,
        handle: Handle<Router>,
        router: &Router,
    ) -> usize {
        let mut change = changes.routers();
        let change = change.find(|change| change.handle == handle);
        let anew = change.is_some_and(|change| Space::of(change) == Space::Anew);
        let mut sets: HashSet<Vec<IpAddr>> = HashSet::new();
        let mut add = |mut via: Vec<IpAddr>| {
            via.sort_unstable();
            sets.insert(via);
        };
        listed(router).into_values().for_each(&mut add);
        for (_, route) in changes.after.routes_of(handle) {
            add(route.via.iter().collect());
        }
        if !anew {
            let before = changes.before.get(handle);
            before
                .map(listed)
                .unwrap_or_default()
                .into_values()
                .for_each(&mut add);
            for old in changes.routes().filter_map(|change| change.old) {
                if old.router == handle {
                    add(old.via.iter().collect());
                }
            }
        }
        sets.len() + router.interfaces.len()
    }

    /// Gateways that come into being with a transaction.
    pub(super) fn new_gateways(&self, changes: Changes<'_>) -> usize {
        let here = changes.routers().filter_map(|change| {
            let router = change.new.filter(|router| router.is_here())?;
            Some((change.handle, router))
        });
        let places = here.flat_map(|(handle, router)| {
            let interfaces = router.interfaces.iter();
            interfaces.map(move |own| Place::Gateway(handle, own.network, own.mac))
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
                let mut after = after.into_iter().flat_map(|after| &after.interfaces);
                !after.any(|after| (after.network, after.mac) == (own.network, own.mac))
            };
            let old = change.old.into_iter().flat_map(|old| old.interfaces.iter());
            gone.extend(
                old.filter(is_gone)
                    .map(|own| Place::Gateway(change.handle, own.network, own.mac)),
            );
        }
        networks.extend(changes.networks().map(|change| change.handle));
        if changes.default_mtus_changed() {
            let all = changes.after.iter::<ApiNetwork>();
            networks.extend(all.map(|(network, _)| network));
        }
        let now = self.now();
        for network in networks {
            self.served.change_network(changes.after, network, now);
            self.set_gateways(changes.after, network);
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
        self.served.set_fallback(own);
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
                self.places
                    .take(Place::Gateway(router_handle, handle, own.mac)),
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
                role: Role::Inside,
                central_v4: None,
                central_v6: None,
            });
            list.push(at);
        }
        let entry = self.tables.edit().network_mut(index);
        entry.set_gateways(&list);
        let by_dhcp6 = |mode| matches!(mode, Ipv6Mode::Dhcpv6Stateless | Ipv6Mode::Dhcpv6Stateful);
        let mut subnets = network.subnets.iter();
        entry.services = Services {
            dhcp4: network.subnets.iter().any(|subnet| subnet.dhcp),
            dhcp6: subnets.any(|subnet| by_dhcp6(subnet.ipv6_mode)),
            advertise: self.served.advertises(index),
        };
    }

    /// The routes. First what goes: it may come back within the same transaction, from a
    /// router's list among the `routes` or the other way round.
    fn set_routes(&mut self, changes: Changes<'_>) {
        let mut touched: BTreeSet<Handle<Router>> = BTreeSet::new();
        let mut anew: HashSet<Handle<Router>> = HashSet::new();
        for change in changes.routers() {
            touched.insert(change.handle);
            self.vrfs.usage.used -= self.vrfs.routes_of(change.handle);
            match Space::of(change) {
                Space::Gone => drop(self.vrfs.writers.remove(&change.handle)),
                Space::Anew => {
                    anew.insert(change.handle);
                    // What all routers have together is limited, not what one has.
                    let writer = RouteWriter::new(usize::MAX);
                    self.vrfs.writers.insert(change.handle, writer);
                }
                Space::Kept => self.remove_own(change),
            }
        }
        let routes = || {
            changes.routes().filter(|change| {
                let router = change.new.or(change.old).map(|route| route.router);
                router.is_some_and(|router| !anew.contains(&router))
            })
        };
        for route in routes().filter_map(|change| change.new.or(change.old)) {
            if touched.insert(route.router) {
                self.vrfs.usage.used -= self.vrfs.routes_of(route.router);
            }
        }
        let gone = routes().filter(|change| change.new.is_none());
        for route in gone.filter_map(|change| change.old) {
            if let Some(writer) = self.vrfs.writers.get_mut(&route.router) {
                writer.remove(route.destination);
            }
        }
        for change in changes.routers() {
            let Some(new) = change.new.filter(|new| new.is_here()) else {
                continue;
            };
            let is_new = anew.contains(&change.handle);
            self.enter_own(change.handle, change.old.filter(|_| !is_new), new);
            if is_new {
                for (_, route) in changes.after.routes_of(change.handle) {
                    self.enter_route(new, route);
                }
            }
        }
        for route in routes().filter_map(|change| change.new) {
            if let Some(router) = changes.after.get(route.router) {
                self.enter_route(router, route);
            }
        }
        for router in &touched {
            let Some(writer) = self.vrfs.writers.get_mut(router) else {
                // The FDB still leads to it: `clear_up` takes it out of the snapshot.
                continue;
            };
            let vrf = writer.vrf();
            self.vrfs.usage.used += writer.len();
            if let Some(index) = vrf_index(*router) {
                self.tables.edit().set_vrf(index, Some(vrf));
            }
        }
        let usage = &mut self.vrfs.usage;
        usage.high_water = usage.high_water.max(usage.used);
    }

    /// The address spaces that are gone from this host.
    pub(super) fn gone_vrfs(changes: Changes<'_>) -> Vec<VrfIndex> {
        let gone = changes.routers().filter(|change| {
            let was_here = change.old.is_some_and(Router::is_here);
            was_here && Space::of(*change) == Space::Gone
        });
        gone.filter_map(|change| vrf_index(change.handle)).collect()
    }

    /// Connected subnets and routes of its list that a router has no more.
    fn remove_own(&mut self, change: Change<'_, Router>) {
        let (Some(old), Some(new), Some(writer)) = (
            change.old,
            change.new,
            self.vrfs.writers.get_mut(&change.handle),
        ) else {
            return;
        };
        let (before, after) = (connected(old), connected(new));
        for subnet in before.keys().filter(|old| !after.contains_key(old)) {
            writer.remove(*subnet);
        }
        let (before, after) = (listed(old), listed(new));
        for destination in before.keys().filter(|old| !after.contains_key(old)) {
            writer.remove(*destination);
        }
    }

    /// Connected subnets and routes of its list that a router did not have so before.
    fn enter_own(&mut self, handle: Handle<Router>, old: Option<&Router>, new: &Router) {
        let before = old.map(connected).unwrap_or_default();
        for (subnet, (network, mac)) in connected(new) {
            if before.get(&subnet) == Some(&(network, mac)) {
                continue;
            }
            let hop = self.places.get(Place::Gateway(handle, network, mac));
            let hop = hop.map(|gateway| NextHop {
                gateway,
                address: None,
            });
            self.insert(handle, subnet, hop);
        }
        let before = old.map(listed).unwrap_or_default();
        for (destination, via) in listed(new) {
            if before.get(&destination) != Some(&via) {
                let hops = self.next_hops(handle, new, via);
                self.insert(handle, destination, hops);
            }
        }
    }

    /// A route beside the router's list.
    fn enter_route(&mut self, router: &Router, route: &RouterRoute) {
        if router.is_here() {
            let hops = self.next_hops(route.router, router, route.via.iter());
            self.insert(route.router, route.destination, hops);
        }
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
                gateway: self
                    .places
                    .get(Place::Gateway(handle, own.network, own.mac))?,
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
        entered(writer.insert(destination, Target::from(hops)));
    }
}
