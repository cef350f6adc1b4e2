//! Routers: their gateways in the networks, and the DVR host MACs.

use std::collections::{BTreeMap, BTreeSet};

use mgmt_api::change::Changes;
use mgmt_api::resources::{Host, Ipv6Mode, Network as ApiNetwork, Router};
use mgmt_api::state::{Handle, View};
use vtepd_tables::{
    Adjacency, AdjacencyIndex, FdbEntry, FdbKey, Gateway, HostMacs, Origin, Outside, Services,
    VrfIndex,
};
use vtepd_wire::{Mac, ipv6};

use super::Control;
use super::concerned::Concerned;
use super::gateways::{LocalGateway, WayOut, spaces};
use super::places::{Place, Side, network_index};
use super::spaces::index_of;
use super::stations::entered;

impl Control {
    /// Gateways and ways outside that come into being with a transaction.
    pub(super) fn new_gateways(&self, changes: Changes<'_>, concerned: &Concerned) -> usize {
        let routers = concerned.routers.iter();
        let of_routers = routers.flat_map(|router| places_of(changes.after, *router));
        let networks = concerned.networks.iter();
        let of_hosts = networks.map(|network| Place::FloatingIps(*network));
        of_routers
            .chain(of_hosts)
            .filter(|place| self.places.get(*place).is_none())
            .count()
    }

    /// The gateways of the networks that a transaction concerns, and the address spaces
    /// behind them.
    pub(super) fn set_routers(
        &mut self,
        changes: Changes<'_>,
        concerned: &Concerned,
        gone: &mut Vec<Place>,
    ) {
        self.set_host_macs(changes);
        let mut networks: BTreeSet<Handle<ApiNetwork>> = BTreeSet::new();
        for handle in &concerned.routers {
            for view in [changes.before, changes.after] {
                networks.extend(networks_of(view, *handle));
            }
            let after = places_of(changes.after, *handle);
            let before = places_of(changes.before, *handle);
            gone.extend(before.into_iter().filter(|place| !after.contains(place)));
        }
        networks.extend(changes.networks().map(|change| change.handle));
        if changes.default_mtus_changed() {
            let all = changes.after.iter::<ApiNetwork>();
            networks.extend(all.map(|(network, _)| network));
        }
        for network in &concerned.networks {
            match LocalGateway::of_floating_ips(changes.after, *network) {
                Some(gateway) => self.set_gateway(changes.after, &gateway),
                None => gone.push(Place::FloatingIps(*network)),
            }
        }
        // A network's MTU and what it takes from the underlay are its gateways' too.
        let mut routers = concerned.routers.clone();
        for network in &networks {
            routers.extend(changes.after.routers_of(*network));
        }
        for router in routers {
            self.set_router(changes.after, router);
        }
        let now = self.now();
        for network in networks {
            self.served.change_network(changes.after, network, now);
            self.list_gateways(changes.after, network);
        }
        self.served.change_ports(changes);
        self.set_routes(changes, concerned);
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

    /// The gateways of a router and its ways outside, as ways out.
    fn set_router(&mut self, after: View<'_>, handle: Handle<Router>) {
        for gateway in LocalGateway::of_router(after, handle) {
            self.set_gateway(after, &gateway);
        }
        for space in spaces(after, handle) {
            let (Some(way_out), Some(router)) = (WayOut::of(after, space), after.get(handle))
            else {
                continue;
            };
            let network = way_out.external.network;
            let (Some(at), Some(index)) = (
                self.places.take(Place::Outside(handle, space.1)),
                network_index(network),
            ) else {
                continue;
            };
            let by_host = router.distributed && space.1 == Side::Own;
            let own = way_out
                .own
                .map(|own| Place::Gateway(handle, network, own.mac));
            let outside = Outside {
                network: index,
                floating: self
                    .places
                    .get(Place::FloatingIps(network))
                    .filter(|_| by_host),
                own: own.and_then(|own| self.places.get(own)),
            };
            *self.tables.edit().adjacency_mut(at) = Adjacency::Outside(outside);
        }
    }

    fn set_gateway(&mut self, after: View<'_>, own: &LocalGateway) {
        let vrf = own.space.map_or(Some(VrfIndex::NOWHERE), index_of);
        let (Some(vrf), Some(index), Some(network)) =
            (vrf, network_index(own.network), after.get(own.network))
        else {
            return;
        };
        let Some(at) = self.places.take(own.place) else {
            return;
        };
        *self.tables.edit().adjacency_mut(at) = Adjacency::Gateway(Gateway {
            network: index,
            vrf,
            mac: Mac(own.mac.0),
            mtu: after.network_mtu(network),
            distributed: own.distributed,
            from_underlay: own.from_underlay,
            link_local: ipv6::link_local(Mac(own.mac.0)),
            addresses: own.addresses.as_slice().into(),
            role: own.role,
            central_v4: own.central.0,
            central_v6: own.central.1,
        });
    }

    /// The gateways that stations of a network may ask for, and what is answered for them.
    fn list_gateways(&mut self, after: View<'_>, handle: Handle<ApiNetwork>) {
        let (Some(index), Some(network)) = (network_index(handle), after.get(handle)) else {
            return;
        };
        let here = after
            .gateways_in(handle)
            .filter(|(_, router, _)| router.is_here());
        let mut places: Vec<Place> = here
            .map(|(router, _, own)| Place::Gateway(router, handle, own.mac))
            .collect();
        if network.external.is_some() {
            places.push(Place::FloatingIps(handle));
            places.extend(outside_gateways(after, handle));
        }
        let list: Vec<AdjacencyIndex> = places
            .into_iter()
            .filter_map(|place| self.places.get(place))
            .collect();
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
}

/// What a router has among the ways out of this host.
fn places_of(view: View<'_>, handle: Handle<Router>) -> Vec<Place> {
    let gateways = LocalGateway::of_router(view, handle).into_iter();
    let outside = spaces(view, handle).filter(|space| WayOut::of(view, *space).is_some());
    let outside = outside.map(|(router, side)| Place::Outside(router, side));
    gateways.map(|own| own.place).chain(outside).collect()
}

/// The networks that a router is in.
fn networks_of(view: View<'_>, handle: Handle<Router>) -> impl Iterator<Item = Handle<ApiNetwork>> {
    let router = view.get(handle).into_iter();
    router.flat_map(|router| {
        let inside = router.interfaces.iter().map(|own| own.network);
        let external = router.external_gateway.iter();
        inside.chain(external.map(|external| external.network))
    })
}

/// The routers' own gateways of this host on an external network.
fn outside_gateways(view: View<'_>, network: Handle<ApiNetwork>) -> impl Iterator<Item = Place> {
    let routers = view.routers_outside_by(network);
    let spaces = routers.flat_map(move |router| spaces(view, router));
    spaces.filter_map(move |space| {
        let way_out = WayOut::of(view, space)?;
        Some(Place::Gateway(space.0, network, way_out.own?.mac))
    })
}
