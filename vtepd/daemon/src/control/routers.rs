//! Routers: their gateways in the networks, and the DVR host MACs.

use std::collections::{BTreeMap, BTreeSet};

use mgmt_api::change::Changes;
use mgmt_api::resources::{Host, Ipv6Mode, Network as ApiNetwork, RouterInterface};
use mgmt_api::state::{Handle, View};
use vtepd_tables::{Adjacency, FdbEntry, FdbKey, Gateway, HostMacs, Origin, Role, Services};
use vtepd_wire::Mac;

use super::Control;
use super::places::{Place, network_index, vrf_index};
use super::stations::entered;

impl Control {
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
}
