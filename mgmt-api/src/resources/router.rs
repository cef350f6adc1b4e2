//! `routers`: the gateways of networks and the routes between them. Each has an address space of its own, a VRF.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::host::check_unicast;
use super::prefix::{check_destination, check_host_in_subnet, is_reserved_in};
use super::{Host, Kind, Network, Route, RouteSpec, Spec, overlap};
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
}

fn yes() -> bool {
    true
}

/// An interface of a router as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouterInterface)]
pub struct RouterInterfaceSpec {
    /// The network.
    pub network: Id,
    /// The MAC address of the gateway, the same on every host.
    pub mac: Mac,
    /// The addresses of the gateway with their prefix lengths: they make the connected subnets.
    #[schema(value_type = Vec<String>, min_items = 1, examples(json!(["192.168.1.1/24", "2001:db8:1::1/64"])))]
    pub addresses: Vec<IpNet>,
}

/// An interface of a router: the gateway of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterInterface {
    /// The network. Further interfaces of the router in it have other MACs.
    pub network: Handle<Network>,
    /// The gateway's MAC address.
    pub mac: Mac,
    /// Its addresses, each a host's in its subnet. No two subnets of one router overlap.
    pub addresses: Box<[IpNet]>,
}

impl RouterInterface {
    /// True if it is one of the gateway's addresses.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr() == address)
    }

    /// The subnet of this interface that the address is in.
    #[must_use]
    pub fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        let mut subnets = self.addresses.iter().map(IpNet::trunc);
        subnets.find(|subnet| subnet.contains(&address))
    }

    /// The link-local address that follows from the MAC (modified EUI-64, RFC 4291 appendix A).
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0.map(u16::from);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            (a ^ 2) << 8 | b,
            c << 8 | 0xff,
            0xfe00 | d,
            e << 8 | f,
        )
    }
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
}

impl Router {
    /// True if this host routes for it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host.is_none()
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

    /// Why `via` cannot be a next hop.
    pub(crate) fn why_no_next_hop(&self, via: IpAddr) -> Option<String> {
        let Some((interface, subnet)) = self.connected(via) else {
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
    pub(crate) fn why_no_destination(&self, destination: &IpNet) -> Option<String> {
        let mut interfaces = self.interfaces.iter();
        let is_connected = |own: &&RouterInterface| {
            let mut subnets = own.addresses.iter().map(IpNet::trunc);
            subnets.any(|subnet| subnet == *destination)
        };
        interfaces.find(is_connected).map(|_| {
            format!(
                "{destination} is a subnet of the router itself, reached without a next hop: leave the route out"
            )
        })
    }

    /// Where the router's own list has a destination.
    pub(crate) fn own_route(&self, destination: &IpNet) -> Option<usize> {
        self.routes
            .iter()
            .position(|own| own.destination == *destination)
    }

    fn resolve_interfaces(
        spec: Vec<RouterInterfaceSpec>,
        view: View<'_>,
    ) -> Result<Box<[RouterInterface]>, Refusal> {
        let mut interfaces: Vec<RouterInterface> = Vec::with_capacity(spec.len());
        for (index, spec) in spec.into_iter().enumerate() {
            let at = format!("/interfaces/{index}");
            let network = find::<Network>(&spec.network, view, &format!("{at}/network"))?;
            // Neutron makes one interface for each IPv4 subnet of a network.
            let same = |other: &RouterInterface| other.network == network && other.mac == spec.mac;
            if interfaces.iter().any(same) {
                let message = format!(
                    "the router has an interface with this MAC in {} already: give that one this address too",
                    spec.network
                );
                return Err(Refusal::conflict(format!("{at}/mac"), message));
            }
            check_unicast(spec.mac, &format!("{at}/mac"))?;
            check_addresses(&spec.addresses, &interfaces, &at)?;
            interfaces.push(RouterInterface {
                network,
                mac: spec.mac,
                addresses: spec.addresses.into(),
            });
        }
        Ok(interfaces.into())
    }

    fn check_routes(&self) -> Result<(), Refusal> {
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
            if let Some(message) = self.why_no_destination(&route.destination) {
                return Err(Refusal::conflict(destination(), message));
            }
            if let Some(message) = self.why_no_next_hop(route.via) {
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

/// The addresses of an interface, which stands at `at` behind `others` of its router.
fn check_addresses(
    addresses: &[IpNet],
    others: &[RouterInterface],
    at: &str,
) -> Result<(), Refusal> {
    if addresses.is_empty() {
        let message =
            "a gateway has an address: give one with its prefix length, as in 192.168.1.1/24";
        return Err(Refusal::invalid(format!("{at}/addresses"), message));
    }
    for (index, own) in addresses.iter().enumerate() {
        let field = format!("{at}/addresses/{index}");
        if matches!(own.addr(), IpAddr::V6(own) if own.is_unicast_link_local()) {
            let message =
                format!("{own} is link-local: a gateway's follows from its MAC, leave it out");
            return Err(Refusal::invalid(field, message));
        }
        check_host_in_subnet(own, &field)?;
        let others = others.iter().flat_map(|other| &other.addresses);
        if let Some(other) = others
            .chain(&addresses[..index])
            .find(|other| overlap(other, own))
        {
            let message = format!(
                "{own} overlaps {other}: a router reaches each subnet by one interface and has one address in it"
            );
            return Err(Refusal::conflict(field, message));
        }
    }
    Ok(())
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
        let host = match &spec.host {
            Some(_) if spec.distributed => {
                let message = "a distributed router runs on every host: leave `host` out, or set `distributed` false";
                return Err(Refusal::conflict("/host", message));
            }
            Some(host) if *host != view.facts().local_host => {
                Some(find::<Host>(host, view, "/host")?)
            }
            _ => None,
        };
        let route = |route: RouteSpec| Route {
            destination: route.destination.trunc(),
            via: route.via,
        };
        let router = Self {
            id: key.clone(),
            description: spec.description.map(Into::into),
            distributed: spec.distributed,
            host,
            names_local_host: spec.host.is_some() && host.is_none(),
            interfaces: Self::resolve_interfaces(spec.interfaces, view)?,
            routes: spec.routes.into_iter().map(route).collect(),
        };
        router.check_routes()?;
        Ok(router)
    }

    fn spec(&self, view: View<'_>) -> RouterSpec {
        let local_host = self
            .names_local_host
            .then(|| view.facts().local_host.clone());
        let interface = |own: &RouterInterface| RouterInterfaceSpec {
            network: view.id_of(own.network),
            mac: own.mac,
            addresses: own.addresses.to_vec(),
        };
        RouterSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            distributed: self.distributed,
            host: self.host.map(|host| view.id_of(host)).or(local_host),
            interfaces: self.interfaces.iter().map(interface).collect(),
            routes: self.routes.iter().map(RouteSpec::from).collect(),
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
    fn the_link_local_address_follows_from_the_mac() {
        let interface = RouterInterface {
            network: Handle::new(0),
            mac: "fa:16:3e:5b:89:14".parse().unwrap(),
            addresses: Box::default(),
        };
        let expected: Ipv6Addr = "fe80::f816:3eff:fe5b:8914".parse().unwrap();
        assert_eq!(interface.link_local(), expected);
    }

    #[test]
    fn ten_thousand_routers_of_a_hundred_routes_are_cheap() {
        assert!(size_of::<Route>() <= 36);
        assert!(size_of::<RouterInterface>() <= 32);
        assert!(size_of::<Router>() <= 88);
    }
}
