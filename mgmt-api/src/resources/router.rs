//! `routers`: the gateways of networks and the routes between them. Each has an address space of its own, a VRF.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::placed::{host_spec, resolve_host};
use super::prefix::{check_destination, is_reserved_in};
use super::{
    ExternalGateway, ExternalGatewaySpec, Host, Kind, Network, Route, RouteSpec, RouterInterface,
    RouterInterfaceSpec, Spec,
};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, Used, View};

/// The most next hops of one destination: flows are shared among them by hash.
pub(super) const MAX_NEXT_HOPS: usize = 16;

/// A router as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Router)]
pub struct RouterSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it runs on every host, each routing for its own stations; otherwise on one.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub distributed: bool,
    /// Of a router that is not distributed: the host it runs on; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Id>,
    /// Its gateways, one in each network it routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<RouterInterfaceSpec>,
    /// Routes beside those to its subnets. The same destination again: flows are shared among up to 16 next hops.
    /// For full tables there are `routes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
    /// Its way outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_gateway: Option<ExternalGatewaySpec>,
    /// The tenant whose limits of address translation count. It need not be one of `tenants`: its limits are those of
    /// `nat-settings` then, as `GET /v1/nat/tenants` shows. By default the router counts for itself, as a tenant with its
    /// identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Id>,
}

fn yes() -> bool {
    true
}

/// A router.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Its identifier.
    pub id: Id,
    /// For people.
    pub description: Option<Box<str>>,
    /// Whether it runs on every host.
    pub distributed: bool,
    /// The remote host it runs on; `None`: this one, or every one. That host is a member of its networks.
    pub host: Option<Handle<Host>>,
    /// True if the document names this host rather than leaving it out.
    pub names_local_host: bool,
    /// Its gateways.
    pub interfaces: Box<[RouterInterface]>,
    /// Routes of its own list, in the order given; `routes` come beside these ([`View::routes_of`]).
    pub routes: Box<[Route]>,
    /// Its way outside.
    pub external_gateway: Option<Box<ExternalGateway>>,
    /// The tenant that the document names; [`tenant`](Self::tenant) is the one that counts.
    pub named_tenant: Option<Id>,
}

impl Router {
    /// True if this host routes for it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host.is_none()
    }

    /// The tenant whose limits count: its own identifier unless it names another.
    #[must_use]
    pub fn tenant(&self) -> &Id {
        self.named_tenant.as_ref().unwrap_or(&self.id)
    }

    /// The remote host with its central gateway outside; `None`: it is on this one, or there is none.
    #[must_use]
    pub fn central_host(&self) -> Option<Handle<Host>> {
        self.external_gateway.as_ref()?.central()?.host
    }

    /// The MAC address of its central port or gateway outside with this address in the network.
    pub(crate) fn mac_of_way_outside(
        &self,
        network: Handle<Network>,
        address: IpAddr,
    ) -> Option<Mac> {
        let central = self.interfaces_in(network);
        let mut central = central.filter_map(|own| own.central.as_ref());
        if let Some(own) = central.find(|own| own.addresses.contains(&address)) {
            return Some(own.mac);
        }
        let outside = self.external_gateway.as_ref();
        let outside = outside.filter(|outside| outside.network == network)?;
        let mut gateways = outside.gateways.iter();
        gateways
            .find(|own| own.has_address(address))
            .map(|own| own.mac)
    }

    /// Its interfaces in a network: one, unless the network's subnets have gateways of their own.
    pub fn interfaces_in(
        &self,
        network: Handle<Network>,
    ) -> impl Iterator<Item = &RouterInterface> {
        self.interfaces
            .iter()
            .filter(move |own| own.network == network)
    }

    /// The interface and subnet by which it reaches an address without a next hop.
    #[must_use]
    pub fn connected(&self, address: IpAddr) -> Option<(&RouterInterface, IpNet)> {
        let mut interfaces = self.interfaces.iter();
        interfaces.find_map(|own| Some((own, own.subnet_of(address)?)))
    }

    /// The external network of its way outside.
    fn outside<'v>(&self, view: View<'v>) -> Option<(&ExternalGateway, &'v Network)> {
        let gateway = self.external_gateway.as_deref()?;
        Some((gateway, view.get(gateway.network)?))
    }

    /// Why `via` cannot be a next hop.
    pub(crate) fn why_no_next_hop(&self, via: IpAddr, view: View<'_>) -> Option<String> {
        let Some((interface, subnet)) = self.connected(via) else {
            let outside = self.outside(view);
            if let Some((gateway, network)) =
                outside.filter(|(_, network)| network.subnet_of(via).is_some())
            {
                return gateway.why_no_next_hop(via, network);
            }
            return Some(format!(
                "{via} is on none of the router's subnets: give an address in the subnet of one of its interfaces"
            ));
        };
        if interface.has_address(via) {
            return Some(format!(
                "{via} is the router's own address: give that of the next router"
            ));
        }
        is_reserved_in(via, &subnet).then(|| {
            format!("{via} is {subnet}'s own or its broadcast address: give the next router's")
        })
    }

    /// Why there can be no route to `destination`.
    pub(crate) fn why_no_destination(&self, destination: &IpNet, view: View<'_>) -> Option<String> {
        let mut interfaces = self.interfaces.iter();
        let outside = self.outside(view);
        let is_connected = interfaces.any(|own| {
            let mut subnets = own.addresses.iter().map(IpNet::trunc);
            subnets.any(|subnet| subnet == *destination)
        });
        let is_outside = outside.is_some_and(|(_, network)| {
            let mut subnets = network.subnets.iter();
            subnets.any(|subnet| subnet.cidr == *destination)
        });
        if is_connected || is_outside {
            return Some(format!(
                "{destination} is a subnet of the router itself, reached without a next hop: leave the route out"
            ));
        }
        let (gateway, _) = outside.filter(|_| destination.prefix_len() == 0)?;
        let mut next_hops = view.next_hops_outside(gateway).into_iter();
        let hop = next_hops.find(|hop| hop.is_ipv4() == destination.addr().is_ipv4())?;
        Some(format!(
            "{destination} is the way outside already, by {hop}: give other `next_hops` to the external gateway, or `[]` \
             and this route"
        ))
    }

    /// Where the router's own list has a destination.
    pub(crate) fn own_route(&self, destination: &IpNet) -> Option<usize> {
        self.routes
            .iter()
            .position(|own| own.destination == *destination)
    }

    /// Central ports are where there is a use for them.
    fn check_central_ports(&self) -> Result<(), Refusal> {
        let mut numbered = self.interfaces.iter().enumerate();
        let Some((index, _)) = numbered.find(|(_, own)| own.central.is_some()) else {
            return Ok(());
        };
        let message = match (self.distributed, &self.external_gateway) {
            (true, Some(_)) => return Ok(()),
            (false, _) => {
                "a router that is not distributed is reached at its gateway: leave `central` out"
            }
            (true, None) => {
                "a central port leads to the central gateway outside: give `external_gateway`, or leave `central` out"
            }
        };
        Err(Refusal::conflict(
            format!("/interfaces/{index}/central"),
            message,
        ))
    }

    /// Checks its own list against its subnets, inside and outside.
    pub(crate) fn check_routes(&self, view: View<'_>) -> Result<(), Refusal> {
        // Sorted, so that a long list is not compared each with each.
        let mut order: Vec<usize> = (0..self.routes.len()).collect();
        order.sort_unstable_by_key(|&index| (self.routes[index].destination, index));
        let same =
            |a: &usize, b: &usize| self.routes[*a].destination == self.routes[*b].destination;
        for hops in order.chunk_by(same) {
            if let Some(&index) = hops.get(MAX_NEXT_HOPS) {
                let message = format!(
                    "{} has more than {MAX_NEXT_HOPS} next hops",
                    self.routes[index].destination
                );
                return Err(Refusal::invalid(format!("/routes/{index}"), message));
            }
            for (at, &index) in hops.iter().enumerate() {
                let via = self.routes[index].via;
                if hops[..at]
                    .iter()
                    .any(|&other| self.routes[other].via == via)
                {
                    let message = format!("{via} is given twice for this destination");
                    return Err(Refusal::conflict(format!("/routes/{index}"), message));
                }
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            let destination = || format!("/routes/{index}/destination");
            check_destination(&route.destination, &destination())?;
            check_family(
                &route.destination,
                route.via,
                &format!("/routes/{index}/via"),
            )?;
            if let Some(message) = self.why_no_destination(&route.destination, view) {
                return Err(Refusal::conflict(destination(), message));
            }
            if let Some(message) = self.why_no_next_hop(route.via, view) {
                return Err(Refusal::invalid(format!("/routes/{index}/via"), message));
            }
        }
        Ok(())
    }
}

/// A next hop is of the destination's family.
pub(super) fn check_family(destination: &IpNet, via: IpAddr, field: &str) -> Result<(), Refusal> {
    if destination.addr().is_ipv4() == via.is_ipv4() {
        return Ok(());
    }
    let message = format!(
        "{destination} and {via} are of different address families: give a next hop of the destination's"
    );
    Err(Refusal::invalid(field, message))
}

impl Spec for RouterSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for Router {
    const NAME: &'static str = "routers";
    const TAG: u8 = 6;
    const SINGULAR: &'static str = "router";
    const ABOUT: &'static str =
        "A router between networks: its gateways in them, and its routes. Each is a VRF.";

    type Key = Id;
    type Order = Id;
    type Spec = RouterSpec;

    fn resolve(key: &Id, spec: RouterSpec, view: View<'_>) -> Result<Self, Refusal> {
        if spec.distributed && spec.host.is_some() {
            let message = "a distributed router runs on every host: leave `host` out, or set `distributed` false";
            return Err(Refusal::conflict("/host", message));
        }
        let (host, names_local_host) = resolve_host(spec.host.as_ref(), view, "/host")?;
        let outside = spec.external_gateway;
        let outside = outside
            .map(|outside| ExternalGateway::resolve(outside, spec.distributed, host, view))
            .transpose()?;
        let route = |route: RouteSpec| Route {
            destination: route.destination.trunc(),
            via: route.via,
        };
        let router = Self {
            id: key.clone(),
            description: spec.description.map(Into::into),
            distributed: spec.distributed,
            host,
            names_local_host,
            interfaces: RouterInterface::resolve_all(spec.interfaces, view)?,
            routes: spec.routes.into_iter().map(route).collect(),
            external_gateway: outside.map(Box::new),
            named_tenant: spec.tenant,
        };
        router.check_central_ports()?;
        if let Some(outside) = &router.external_gateway {
            outside.check(&router.interfaces, view)?;
        }
        router.check_routes(view)?;
        Ok(router)
    }

    fn spec(&self, view: View<'_>) -> RouterSpec {
        let outside = self.external_gateway.as_deref();
        RouterSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            distributed: self.distributed,
            host: host_spec(self.host, self.names_local_host, view),
            interfaces: self.interfaces.iter().map(|own| own.spec(view)).collect(),
            routes: self.routes.iter().map(RouteSpec::from).collect(),
            external_gateway: outside.map(|outside| outside.spec(self.distributed, view)),
            tenant: self.named_tenant.clone(),
        }
    }

    fn key(&self, _view: View<'_>) -> Id {
        self.id.clone()
    }

    fn order(&self) -> Id {
        self.id.clone()
    }

    fn order_of<'k>(key: &'k Id, _view: View<'_>) -> Option<Cow<'k, Id>> {
        Some(Cow::Borrowed(key))
    }

    fn claims(&self, own: Handle<Self>, claim: &mut dyn FnMut(Claim)) {
        if let Some(host) = self.host {
            claim(Claim::Uses(Used::Host(host)));
        }
        for interface in &self.interfaces {
            let network = interface.network;
            claim(Claim::Uses(Used::Network(network)));
            claim(Claim::Uses(Used::GatewayMac(interface.mac)));
            claim(Claim::Gateway(network, own));
            claim(Claim::GatewayMac(network, interface.mac, own));
            for address in &interface.addresses {
                claim(Claim::GatewayAddress(network, address.addr(), own));
            }
            if let Some(host) = self.host {
                claim(Claim::Member(network, host));
            }
            if let Some(central) = &interface.central {
                claim(Claim::Uses(Used::GatewayMac(central.mac)));
                claim(Claim::GatewayMac(network, central.mac, own));
                for address in &central.addresses {
                    claim(Claim::GatewayAddress(network, *address, own));
                }
                if let Some(host) = self.central_host() {
                    claim(Claim::Member(network, host));
                }
            }
        }
        if let Some(outside) = &self.external_gateway {
            let network = outside.network;
            claim(Claim::Uses(Used::Network(network)));
            claim(Claim::WayOutside(network, own));
            for gateway in &outside.gateways {
                if let Some(host) = gateway.host.filter(|_| self.distributed) {
                    claim(Claim::Uses(Used::Host(host)));
                }
                claim(Claim::Uses(Used::GatewayMac(gateway.mac)));
                claim(Claim::GatewayMac(network, gateway.mac, own));
                for address in &gateway.addresses {
                    claim(Claim::GatewayAddress(network, address.addr(), own));
                }
            }
        }
    }

    fn as_used(own: Handle<Self>) -> Option<Used> {
        Some(Used::Router(own))
    }

    fn table(state: &State) -> &Table<Self> {
        &state.routers
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.routers
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.routers
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.routers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_routers_of_a_hundred_routes_are_cheap() {
        assert!(size_of::<Route>() <= 36);
        assert!(size_of::<RouterInterface>() <= 40);
        assert!(size_of::<Router>() <= 120);
    }
}
