//! Address spaces: the routes of each router on this host.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mgmt_api::change::Changes;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{ExternalGateway, Router, RouterRoute};
use mgmt_api::state::{Handle, View};
use vtepd_tables::route::{NextHop, NextHops, RouteWriter, Target};
use vtepd_tables::{Usage, VrfIndex};

use super::Control;
use super::concerned::Concerned;
use super::gateways::{self, WayOut};
use super::places::{MAX_ROUTERS, Place, Side, central_vrf_index, vrf_index};
use super::stations::entered;

/// An address space: of a router, on one of its sides.
pub type Space = (Handle<Router>, Side);

/// The routes of all routers of this host.
pub struct Vrfs {
    writers: HashMap<Space, RouteWriter>,
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

    fn routes_of(&self, space: Space) -> usize {
        self.writers.get(&space).map_or(0, RouteWriter::len)
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

/// The index of an address space.
pub fn index_of((router, side): Space) -> Option<VrfIndex> {
    match side {
        Side::Own => vrf_index(router),
        Side::Central => central_vrf_index(router),
    }
}

/// What the records of a router and its networks make of an address space of this host.
#[derive(Default, PartialEq)]
pub struct Layout {
    /// The subnets that are reached without a next hop, and what leads to each.
    connected: BTreeMap<IpNet, Place>,
    /// The routes of the router's own list, and to the outside.
    listed: BTreeMap<IpNet, Vec<IpAddr>>,
}

impl Layout {
    /// `None`: the space is not of this host.
    fn of(view: View<'_>, (handle, side): Space) -> Option<Self> {
        let space = (handle, side);
        if !gateways::exists(view, space) {
            return None;
        }
        let router = view.get(handle)?;
        let mut layout = Self::default();
        for own in &router.interfaces {
            let mac = match side {
                Side::Own => Some(own.mac),
                Side::Central => own.central.as_ref().map(|central| central.mac),
            };
            let Some(mac) = mac else { continue };
            let place = Place::Gateway(handle, own.network, mac);
            let subnets = own.addresses.iter().map(IpNet::trunc);
            layout
                .connected
                .extend(subnets.map(|subnet| (subnet, place)));
        }
        for route in &router.routes {
            let hops = layout.listed.entry(route.destination).or_default();
            hops.push(route.via);
        }
        if let Some(way_out) = WayOut::of(view, space) {
            layout.add_outside(view, way_out.external, Place::Outside(handle, side));
        }
        Some(layout)
    }

    /// The external network's subnets and, unless the router's own list says otherwise, all else.
    fn add_outside(&mut self, view: View<'_>, external: &ExternalGateway, place: Place) {
        let network = view.get(external.network);
        for subnet in network.into_iter().flat_map(|network| &network.subnets) {
            self.connected.entry(subnet.cidr).or_insert(place);
        }
        let mut defaults: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
        for via in view.next_hops_outside(external) {
            let all = match via {
                IpAddr::V4(_) => IpNet::from(Ipv4Net::default()),
                IpAddr::V6(_) => IpNet::from(Ipv6Net::default()),
            };
            defaults.entry(all).or_default().push(via);
        }
        for (all, via) in defaults {
            self.listed.entry(all).or_insert(via);
        }
    }

    fn len(&self) -> usize {
        self.connected.len() + self.listed.len()
    }

    /// What leads to a next hop. Subnets do not overlap.
    fn place_towards(&self, via: IpAddr) -> Option<Place> {
        let mut connected = self.connected.iter();
        let (_, place) = connected.find(|(subnet, _)| subnet.contains(&via))?;
        Some(*place)
    }
}

/// What a transaction does to an address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is not of this host, before and after.
    Elsewhere,
    /// It is not of this host any more.
    Gone,
    /// All routes are entered from the beginning: it is new here, or a subnet that next hops
    /// are on is reached by another gateway now.
    Anew,
    /// It goes on; what differs is changed.
    Kept,
}

/// An address space before and after.
struct SpaceChange {
    space: Space,
    old: Option<Layout>,
    new: Option<Layout>,
}

impl SpaceChange {
    fn fate(&self) -> Fate {
        let (old, new) = match (&self.old, &self.new) {
            (None, None) => return Fate::Elsewhere,
            (Some(_), None) => return Fate::Gone,
            (None, Some(_)) => return Fate::Anew,
            (Some(old), Some(new)) => (&old.connected, &new.connected),
        };
        let mut lost = old
            .iter()
            .filter(|(subnet, place)| new.get(subnet) != Some(place));
        // Routes that stay as they are have next hops on subnets that do, unless another
        // gateway takes the subnet over.
        let taken_over = |(lost, _): (&IpNet, _)| {
            let mut others = new.keys();
            others.any(|other| other.contains(lost) || lost.contains(other))
        };
        match lost.any(taken_over) {
            true => Fate::Anew,
            false => Fate::Kept,
        }
    }
}

/// The address spaces that a transaction may change, their `routes` aside.
fn space_changes<'a>(
    changes: Changes<'a>,
    concerned: &'a Concerned,
) -> impl Iterator<Item = SpaceChange> + 'a {
    let routers = concerned.routers.iter();
    let spaces = routers.flat_map(|router| Side::ALL.map(|side| (*router, side)));
    spaces.map(move |space| SpaceChange {
        space,
        old: Layout::of(changes.before, space),
        new: Layout::of(changes.after, space),
    })
}

impl Control {
    /// Refuses routers and routes that would not fit.
    pub(super) fn check_room_for_spaces(
        &mut self,
        changes: Changes<'_>,
        concerned: &Concerned,
    ) -> Result<(), Refusal> {
        for change in changes.routers() {
            if change.new.is_some() && central_vrf_index(change.handle).is_none() {
                let message = format!("at most {MAX_ROUTERS} routers are possible");
                let name = changes.after.name_of(change.handle);
                return Err(Refusal::new(Code::TableFull, message).of(name));
            }
        }
        let (mut new, mut gone) = (0, 0);
        let mut anew = HashSet::new();
        for change in space_changes(changes, concerned) {
            let own = |layout: &Option<Layout>| layout.as_ref().map_or(0, Layout::len);
            if change.old.is_some() && change.new.is_some() {
                gone += own(&change.old);
                new += own(&change.new);
                continue;
            }
            let (router, _) = change.space;
            anew.insert(change.space);
            gone += self.vrfs.routes_of(change.space);
            if change.new.is_some() {
                new += own(&change.new) + changes.after.routes_of(router).count();
            }
        }
        for change in changes.routes() {
            let Some(router) = change.new.or(change.old).map(|route| route.router) else {
                continue;
            };
            for space in Side::ALL.map(|side| (router, side)) {
                if !anew.contains(&space) && Layout::of(changes.after, space).is_some() {
                    new += usize::from(change.old.is_none());
                    gone += usize::from(change.new.is_none());
                }
            }
        }
        self.vrfs.check_room(new, gone)?;
        self.check_room_for_targets(changes, concerned)
    }

    /// Refuses more different sets of next hops than one router can have. Sets that go
    /// with the same transaction count as well: their numbers are free only after it.
    fn check_room_for_targets(
        &mut self,
        changes: Changes<'_>,
        concerned: &Concerned,
    ) -> Result<(), Refusal> {
        let mut wanted: BTreeMap<Handle<Router>, usize> = BTreeMap::new();
        for change in space_changes(changes, concerned) {
            let Some(new) = &change.new else { continue };
            let (router, _) = change.space;
            let mut count = new.len();
            if change.fate() == Fate::Anew {
                count += changes.after.routes_of(router).count();
            }
            let most = wanted.entry(router).or_default();
            *most = count.max(*most);
        }
        for route in changes.routes().filter_map(|change| change.new) {
            *wanted.entry(route.router).or_default() += 1;
        }
        for (router, most) in wanted {
            for space in Side::ALL.map(|side| (router, side)) {
                let used = self
                    .vrfs
                    .writers
                    .get(&space)
                    .map_or(0, RouteWriter::targets);
                // The usual case: not even if all were different.
                if used + most <= RouteWriter::MAX_TARGETS {
                    continue;
                }
                let change = SpaceChange {
                    space,
                    old: Layout::of(changes.before, space),
                    new: Layout::of(changes.after, space),
                };
                if count_targets(changes, &change) > RouteWriter::MAX_TARGETS {
                    self.vrfs.usage.failed_inserts += 1;
                    let message = format!(
                        "the routes of a router lead to at most {} different sets of next hops",
                        RouteWriter::MAX_TARGETS
                    );
                    let name = changes.after.name_of(router);
                    return Err(Refusal::new(Code::TableFull, message).of(name));
                }
            }
        }
        Ok(())
    }

    /// The routes. First what goes: it may come back within the same transaction, from a
    /// router's list among the `routes` or the other way round.
    pub(super) fn set_routes(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let mut touched: BTreeSet<Space> = BTreeSet::new();
        let mut anew: HashSet<Space> = HashSet::new();
        let spaces: Vec<SpaceChange> = space_changes(changes, concerned).collect();
        for change in &spaces {
            touched.insert(change.space);
            self.vrfs.usage.used -= self.vrfs.routes_of(change.space);
            match change.fate() {
                Fate::Elsewhere => {}
                Fate::Gone => drop(self.vrfs.writers.remove(&change.space)),
                Fate::Anew => {
                    anew.insert(change.space);
                    // What all routers have together is limited, not what one has.
                    let writer = RouteWriter::new(usize::MAX);
                    self.vrfs.writers.insert(change.space, writer);
                }
                Fate::Kept => self.remove_own(change),
            }
        }
        let of_routes = |route: &RouterRoute| Side::ALL.map(|side| (route.router, side));
        for route in changes
            .routes()
            .filter_map(|change| change.new.or(change.old))
        {
            for space in of_routes(route) {
                if !anew.contains(&space) && touched.insert(space) {
                    self.vrfs.usage.used -= self.vrfs.routes_of(space);
                }
            }
        }
        let gone = changes.routes().filter(|change| change.new.is_none());
        for route in gone.filter_map(|change| change.old) {
            for space in of_routes(route) {
                if !anew.contains(&space)
                    && let Some(writer) = self.vrfs.writers.get_mut(&space)
                {
                    writer.remove(route.destination);
                }
            }
        }
        for change in &spaces {
            let Some(new) = &change.new else { continue };
            let is_new = anew.contains(&change.space);
            self.enter_own(change.space, change.old.as_ref().filter(|_| !is_new), new);
            if is_new {
                let (router, _) = change.space;
                for (_, route) in changes.after.routes_of(router) {
                    self.insert(change.space, route.destination, new, route.via.iter());
                }
            }
        }
        for route in changes.routes().filter_map(|change| change.new) {
            for space in of_routes(route) {
                if !anew.contains(&space)
                    && let Some(layout) = Layout::of(changes.after, space)
                {
                    self.insert(space, route.destination, &layout, route.via.iter());
                }
            }
        }
        for space in touched {
            let Some(writer) = self.vrfs.writers.get_mut(&space) else {
                // The FDB still leads to it: `clear_up` takes it out of the snapshot.
                continue;
            };
            let vrf = writer.vrf();
            self.vrfs.usage.used += writer.len();
            if let Some(index) = index_of(space) {
                self.tables.edit().set_vrf(index, Some(vrf));
            }
        }
        let usage = &mut self.vrfs.usage;
        usage.high_water = usage.high_water.max(usage.used);
    }

    /// The address spaces that are gone from this host.
    pub(super) fn gone_vrfs(changes: Changes<'_>, concerned: &Concerned) -> Vec<VrfIndex> {
        let gone = space_changes(changes, concerned).filter(|change| change.fate() == Fate::Gone);
        gone.filter_map(|change| index_of(change.space)).collect()
    }

    /// Connected subnets and listed routes that are no more.
    fn remove_own(&mut self, change: &SpaceChange) {
        let (Some(old), Some(new), Some(writer)) = (
            &change.old,
            &change.new,
            self.vrfs.writers.get_mut(&change.space),
        ) else {
            return;
        };
        for subnet in old.connected.keys() {
            if !new.connected.contains_key(subnet) {
                writer.remove(*subnet);
            }
        }
        for destination in old.listed.keys() {
            if !new.listed.contains_key(destination) {
                writer.remove(*destination);
            }
        }
    }

    /// Connected subnets and listed routes that were not so before.
    fn enter_own(&mut self, space: Space, old: Option<&Layout>, new: &Layout) {
        for (subnet, place) in &new.connected {
            if old.and_then(|old| old.connected.get(subnet)) == Some(place) {
                continue;
            }
            let hop = self.places.get(*place).map(|gateway| NextHop {
                gateway,
                address: None,
            });
            self.enter(space, *subnet, hop);
        }
        for (destination, via) in &new.listed {
            if old.and_then(|old| old.listed.get(destination)) != Some(via) {
                self.insert(space, *destination, new, via.iter().copied());
            }
        }
    }

    /// Enters a route by these next hops.
    fn insert(
        &mut self,
        space: Space,
        destination: IpNet,
        layout: &Layout,
        via: impl IntoIterator<Item = IpAddr>,
    ) {
        let hop = |address| {
            let place = layout.place_towards(address)?;
            Some(NextHop {
                gateway: self.places.get(place)?,
                address: Some(address),
            })
        };
        let hops: Vec<NextHop> = via.into_iter().filter_map(hop).collect();
        self.enter(space, destination, hops);
    }

    fn enter(&mut self, space: Space, destination: IpNet, hops: impl IntoIterator<Item = NextHop>) {
        let (Some(writer), Ok(hops)) = (self.vrfs.writers.get_mut(&space), NextHops::new(hops))
        else {
            return;
        };
        entered(writer.insert(destination, Target::from(hops)));
    }
}

/// The different sets of next hops of an address space before and after together; or after
/// alone, where they are entered from the beginning.
fn count_targets(changes: Changes<'_>, change: &SpaceChange) -> usize {
    let Some(new) = &change.new else { return 0 };
    let (router, _) = change.space;
    let mut sets: HashSet<Vec<IpAddr>> = HashSet::new();
    let mut add = |mut via: Vec<IpAddr>| {
        via.sort_unstable();
        sets.insert(via);
    };
    new.listed.values().cloned().for_each(&mut add);
    for (_, route) in changes.after.routes_of(router) {
        add(route.via.iter().collect());
    }
    if let (Fate::Kept, Some(old)) = (change.fate(), &change.old) {
        old.listed.values().cloned().for_each(&mut add);
        for old in changes.routes().filter_map(|change| change.old) {
            if old.router == router {
                add(old.via.iter().collect());
            }
        }
    }
    let places: HashSet<Place> = new.connected.values().copied().collect();
    sets.len() + places.len()
}
