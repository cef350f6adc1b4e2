//! Next hops outside: asked for from the moment that a route leads to one, and as long as it does, so that no packet
//! waits for an answer, nor is lost for a router that has restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mgmt_api::change::Changes;
use mgmt_api::resources::{Network, Router};
use mgmt_api::state::{Handle, View};
use vtepd_tables::AdjacencyIndex;

use super::Control;
use super::concerned::Concerned;
use super::gateways::WayOut;
use super::places::{Place, Side};
use super::spaces::Space;

/// Who is asked for in an external network.
type Hop = (Handle<Network>, IpAddr);

/// Those of all ways outside of this host.
#[derive(Default)]
pub struct NextHopsOutside {
    /// With the address spaces that lead there, and the gateway of each that can ask; the first one does.
    hops: BTreeMap<Hop, BTreeMap<Space, AdjacencyIndex>>,
    of_spaces: BTreeMap<Space, Vec<Hop>>,
}

impl NextHopsOutside {
    fn set(&mut self, space: Space, hops: Vec<(Hop, AdjacencyIndex)>) {
        for hop in self.of_spaces.remove(&space).unwrap_or_default() {
            let Some(gateways) = self.hops.get_mut(&hop) else {
                continue;
            };
            gateways.remove(&space);
            if gateways.is_empty() {
                self.hops.remove(&hop);
            }
        }
        for (hop, gateway) in &hops {
            self.hops.entry(*hop).or_default().insert(space, *gateway);
        }
        if !hops.is_empty() {
            let hops = hops.into_iter().map(|(hop, _)| hop);
            self.of_spaces.insert(space, hops.collect());
        }
    }

    /// Each with the gateway that asks.
    pub fn list(&self) -> Vec<(AdjacencyIndex, IpAddr)> {
        let hops = self.hops.iter();
        hops.filter_map(|((_, address), gateways)| {
            let (_, gateway) = gateways.first_key_value()?;
            Some((*gateway, *address))
        })
        .collect()
    }
}

impl Control {
    /// Asks for what a transaction leads to and nobody has said yet, and goes on doing so.
    pub(super) fn keep_next_hops(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let mut routers: BTreeSet<Handle<Router>> = concerned.routers.clone();
        let routes = changes.routes();
        routers.extend(
            routes
                .filter_map(|change| change.new.or(change.old))
                .map(|route| route.router),
        );
        for router in routers {
            for space in Side::ALL.map(|side| (router, side)) {
                let hops = self.next_hops_of(changes.after, space);
                self.next_hops.set(space, hops);
            }
        }
        // Also when none of them has changed: who was a port of this host may be none any more.
        let now = self.now_ms();
        let list = self.next_hops.list();
        let questions = self.neighbours.set_next_hops(&self.tables, &list, now);
        self.deliver(questions);
    }

    /// The next hops that an address space leads to outside, each with a gateway of this host that can ask.
    fn next_hops_of(&self, view: View<'_>, space: Space) -> Vec<(Hop, AdjacencyIndex)> {
        let (handle, side) = space;
        let (Some(way_out), Some(router)) = (WayOut::of(view, space), view.get(handle)) else {
            return Vec::new();
        };
        let external = way_out.external;
        let Some(network) = view.get(external.network) else {
            return Vec::new();
        };
        let own = way_out
            .own
            .map(|own| Place::Gateway(handle, external.network, own.mac));
        let of_host = Place::FloatingIps(external.network);
        // Floating IPs are of IPv4.
        let of_host = Some(of_host).filter(|_| router.distributed && side == Side::Own);
        let gateway = |hop: &IpAddr| own.or(of_host.filter(|_| hop.is_ipv4()));
        let listed = router.routes.iter().map(|route| route.via);
        let beside = view.routes_of(handle);
        let beside = beside.flat_map(|(_, route)| route.via.iter());
        let all = view.next_hops_outside(external).into_iter();
        let outside = |via: &IpAddr| network.subnets.iter().any(|own| own.cidr.contains(via));
        let all = all.chain(listed.chain(beside).filter(outside));
        let all: BTreeSet<IpAddr> = all.collect();
        all.into_iter()
            .filter_map(|hop| {
                let gateway = self.places.get(gateway(&hop)?)?;
                Some(((external.network, hop), gateway))
            })
            .collect()
    }
}
