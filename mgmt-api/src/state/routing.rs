//! What concerns routers together with their networks, routes and hosts, checked when a request is wholly staged.

use std::collections::{BTreeSet, HashSet};

use ipnet::IpNet;

use super::outside::why_dvr_mac;
use super::{Handle, Staged, View};
use crate::refusal::Refusal;
use crate::resources::{
    Flood, Host, Kind, Location, Network, Port, Router, RouterInterface, RouterRoute, Segment,
    Subnet,
};

pub(super) fn check(before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    for (handle, new) in staged.routers.iter() {
        if let Some(router) = new {
            check_gateway_macs(handle, router, after)?;
            check_gateway_subnets(handle, router, after)?;
        }
    }
    check_changed_subnets(before, after, staged)?;
    for (handle, new) in staged.routes.iter() {
        if let Some(route) = new {
            check_route(route, after).map_err(|fault| fault.of_route(handle, after))?;
        }
    }
    for (handle, new) in staged.routers.iter() {
        if let (Some(old), Some(new)) = (before.get(handle), new)
            && (old.interfaces != new.interfaces
                || old.routes != new.routes
                || old.external_gateway != new.external_gateway)
        {
            for (route, record) in after.routes_of(handle) {
                check_route(record, after)
                    .map_err(|fault| fault.of_router(handle, route, after))?;
            }
        }
    }
    check_dvr_mac(before, after, staged)
}

/// A gateway's MAC is no host's DVR MAC: what comes from one would be taken for what the other routed.
fn check_gateway_macs(
    handle: Handle<Router>,
    router: &Router,
    view: View<'_>,
) -> Result<(), Refusal> {
    let interfaces = router.interfaces.iter().enumerate();
    let inside = interfaces.clone();
    let inside = inside.map(|(index, own)| (own.mac, format!("/interfaces/{index}/mac")));
    let central = interfaces.filter_map(|(index, own)| {
        let central = own.central.as_ref()?;
        Some((central.mac, format!("/interfaces/{index}/central/mac")))
    });
    let outside = router.external_gateway.iter();
    let outside = outside.flat_map(|outside| outside.gateways.iter().enumerate());
    let outside =
        outside.map(|(index, own)| (own.mac, format!("/external_gateway/gateways/{index}/mac")));
    for (mac, field) in inside.chain(central).chain(outside) {
        if let Some(message) = why_dvr_mac(mac, view) {
            return Err(Refusal::conflict(field, message).of(view.name_of(handle)));
        }
    }
    Ok(())
}

/// Why a gateway's subnets are none of its network's.
fn foreign_subnet(network: &Network, own: &RouterInterface) -> Option<(usize, String)> {
    if network.subnets.is_empty() {
        return None;
    }
    let has = |subnet: IpNet| network.subnets.iter().any(|other| other.cidr == subnet);
    let mut addresses = own.addresses.iter().enumerate();
    let (index, address) = addresses.find(|(_, address)| !has(address.trunc()))?;
    let subnets = network.subnets.iter().map(|other| other.cidr.to_string());
    let message = format!(
        "{address} is in {}, which is no subnet of network {}; it has {}",
        address.trunc(),
        network.id,
        subnets.collect::<Vec<_>>().join(", ")
    );
    Some((index, message))
}

/// The subnets that a router is connected to are those of the networks, as far as these have any.
fn check_gateway_subnets(
    handle: Handle<Router>,
    router: &Router,
    view: View<'_>,
) -> Result<(), Refusal> {
    for (at, own) in router.interfaces.iter().enumerate() {
        let network = view.get(own.network);
        if let Some((index, message)) = network.and_then(|network| foreign_subnet(network, own)) {
            let field = format!("/interfaces/{at}/addresses/{index}");
            return Err(Refusal::conflict(field, message).of(view.name_of(handle)));
        }
    }
    Ok(())
}

/// Stations and gateways still fit the networks whose subnets were changed.
fn check_changed_subnets(
    before: View<'_>,
    after: View<'_>,
    staged: &Staged,
) -> Result<(), Refusal> {
    let mut touched = HashSet::new();
    let mut is_narrowed = false;
    for (handle, new) in staged.networks.iter() {
        let Some(network) = new.filter(|network| !network.subnets.is_empty()) else {
            continue;
        };
        for (router, _, own) in after.gateways_in(handle) {
            if let Some((_, message)) = foreign_subnet(network, own) {
                let message = format!(
                    "{}'s gateway would not fit: {message}. Change it first, or in the same transaction",
                    after.name_of(router)
                );
                return Err(Refusal::conflict("/subnets", message).of(after.name_of(handle)));
            }
        }
        touched.insert(handle);
        let old = before.get(handle).map(|old| &old.subnets[..]);
        is_narrowed |= old.is_some_and(|old| {
            let kept = |old: &Subnet| network.subnets.iter().any(|new| new.cidr == old.cidr);
            old.is_empty() || !old.iter().all(kept)
        });
    }
    if touched.is_empty() {
        return Ok(());
    }
    // Ports are not kept by network: all are looked through, some 10 ms for a million, but only when those that were
    // there before may not fit any more.
    let check = |(handle, port): (Handle<Port>, &Port)| {
        let network = after.get(port.network);
        let network = network.filter(|_| touched.contains(&port.network));
        let mut addresses = port.addresses.iter();
        let fault = addresses.find_map(|own| network?.check_station(own, "").err());
        match fault {
            None => Ok(()),
            Some(fault) => {
                let message = format!(
                    "{} would not fit: {}. Change or delete it first, or in the same transaction",
                    after.name_of(handle),
                    fault.message
                );
                Err(Refusal::conflict("/subnets", message).of(after.name_of(port.network)))
            }
        }
    };
    if is_narrowed {
        return after.iter::<Port>().try_for_each(check);
    }
    let mut ports = staged.ports.iter();
    ports.try_for_each(|(handle, new)| new.map_or(Ok(()), |port| check((handle, port))))
}

/// What is wrong with a route, told of itself or of the router that was changed under it.
struct RouteFault {
    /// The field of the route.
    field: String,
    /// The field of the router.
    router_field: String,
    is_conflict: bool,
    message: String,
}

impl RouteFault {
    fn of_route(self, handle: Handle<RouterRoute>, view: View<'_>) -> Refusal {
        let name = view.name_of(handle);
        match self.is_conflict {
            true => Refusal::conflict(self.field, self.message).of(name),
            false => Refusal::invalid(self.field, self.message).of(name),
        }
    }

    fn of_router(
        self,
        router: Handle<Router>,
        route: Handle<RouterRoute>,
        view: View<'_>,
    ) -> Refusal {
        let message = format!(
            "{} would not fit any more: {}. Change or delete it first, or in the same transaction",
            view.name_of(route),
            self.message
        );
        Refusal::conflict(self.router_field, message).of(view.name_of(router))
    }
}

fn check_route(route: &RouterRoute, view: View<'_>) -> Result<(), RouteFault> {
    let Some(router) = view.get(route.router) else {
        // That the router is in use is found where it is removed.
        return Ok(());
    };
    let fault = |field: String, router_field: String, is_conflict, message| RouteFault {
        field,
        router_field,
        is_conflict,
        message,
    };
    if let Some(index) = router.own_route(&route.destination) {
        let message = format!(
            "{} has a route to {} in its own list already: give all its next hops in one of the two",
            view.name_of(route.router),
            route.destination
        );
        let router_field = format!("/routes/{index}/destination");
        return Err(fault(String::new(), router_field, true, message));
    }
    let interfaces = || "/interfaces".to_owned();
    if let Some(message) = router.why_no_destination(&route.destination, view) {
        return Err(fault(String::new(), interfaces(), true, message));
    }
    for (index, via) in route.via.iter().enumerate() {
        if let Some(message) = router.why_no_next_hop(via, view) {
            return Err(fault(format!("/via/{index}"), interfaces(), false, message));
        }
    }
    Ok(())
}

/// A distributed router whose network has stations on other hosts needs this host's DVR MAC to send to them: they would
/// take the gateway's own MAC for one of their own. A box of its own needs none.
fn check_dvr_mac(before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    let dvr_mac = |view: View<'_>| view.local_host().and_then(|(_, host)| host.dvr_mac);
    if dvr_mac(after).is_some() {
        return Ok(());
    }
    let had_one = dvr_mac(before).is_some();
    let mut networks = BTreeSet::new();
    if had_one {
        let routers = after.iter::<Router>();
        networks.extend(routers.flat_map(|(_, router)| networks_of(router)));
    } else {
        let routers = staged.routers.iter().filter_map(|(_, new)| new);
        networks.extend(routers.flat_map(networks_of));
        networks.extend(staged.touched_members().map(|(network, _)| network));
        networks.extend(staged.networks.iter().map(|(network, _)| network));
    }
    for network in networks {
        let mut gateways = after.gateways_in(network);
        if let Some((router, ..)) = gateways.find(|(_, router, _)| router.distributed)
            && reaches_other_hosts(network, after)
        {
            return Err(no_dvr_mac(network, router, (before, after), staged));
        }
    }
    Ok(())
}

fn networks_of(router: &Router) -> impl Iterator<Item = Handle<Network>> {
    router.interfaces.iter().map(|own| own.network)
}

/// True if frames of the network are sent to other hosts, as far as is known: to members, or to a group.
fn reaches_other_hosts(network: Handle<Network>, view: View<'_>) -> bool {
    reaches_unknown_hosts(network, view) || view.has_members(network)
}

/// True if frames of the network are sent to a group.
pub(super) fn reaches_unknown_hosts(network: Handle<Network>, view: View<'_>) -> bool {
    view.get(network).is_some_and(|network| {
        matches!(network.segment, Segment::Vxlan(_))
            && matches!(network.flood, Flood::Multicast { .. })
    })
}

/// Names what the request touches of the contradiction: the router, this host, or a station elsewhere.
fn no_dvr_mac(
    network: Handle<Network>,
    router: Handle<Router>,
    (before, view): (View<'_>, View<'_>),
    staged: &Staged,
) -> Refusal {
    let local = &view.facts().local_host;
    let message = format!(
        "{} is distributed and routes {}, which has stations on other hosts: what is routed to them from here bears \
         this host's DVR MAC. Give `dvr_mac` to {}/{local} first, or in the same transaction",
        view.name_of(router),
        view.name_of(network),
        Host::NAME,
    );
    if staged.routers.get(router).flatten().is_none()
        && let Some((host, _)) = view.local_host().or(before.local_host())
        && staged.hosts.get(host).is_some()
    {
        return Refusal::conflict("/dvr_mac", message).of(view.name_of(host));
    }
    blame_for_reach(network, (router, "/distributed", message), view, staged)
}

/// Names what the request touches of the network's reaching other hosts: the router with its field, or a station
/// elsewhere, or the network.
pub(super) fn blame_for_reach(
    network: Handle<Network>,
    (router, field, message): (Handle<Router>, &str, String),
    view: View<'_>,
    staged: &Staged,
) -> Refusal {
    if staged.routers.get(router).flatten().is_some() {
        return Refusal::conflict(field, message).of(view.name_of(router));
    }
    let mut ports = staged.ports.iter();
    let is_elsewhere =
        |port: &Port| port.network == network && matches!(port.location, Location::Remote(_));
    if let Some((port, _)) = ports.find(|(_, new)| new.is_some_and(is_elsewhere)) {
        return Refusal::conflict("/host", message).of(view.name_of(port));
    }
    let field = match staged.networks.get(network).flatten() {
        Some(network) if network.flood != Flood::IngressReplication => "/flood",
        Some(network) if !network.hosts.is_empty() => "/hosts",
        _ => "",
    };
    Refusal::conflict(field, message).of(view.name_of(network))
}
