//! What concerns external networks together with the routers, floating IPs and ports that use them, checked when a request
//! is wholly staged.

use std::collections::BTreeSet;

use super::routing::{blame_for_reach, reaches_unknown_hosts};
use super::{Handle, Owner, Place, Staged, Used, View};
use crate::refusal::Refusal;
use crate::resources::{ExternalGateway, FloatingIp, Host, Network, Port, RouterInterface};

pub(super) fn check(before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    for (handle, new) in staged.networks.iter() {
        if let (Some(old), Some(new)) = (before.get(handle), new)
            && (old.external != new.external || old.subnets != new.subnets)
        {
            check_users_of_network(handle, new, after)?;
        }
    }
    for (handle, new) in staged.networks.iter() {
        if let Some(network) = new {
            check_host_gateway_macs(handle, network, after)?;
        }
    }
    for (handle, new) in staged.routers.iter() {
        if new.is_some() && before.get(handle).is_some() {
            let fits = |floating_ip: &FloatingIp| fits_router(floating_ip, after);
            let floating_ips = after.floating_ips_of(handle);
            check_floating_ips(floating_ips, after.name_of(handle), fits, after)?;
        }
    }
    if !after.has_floating_ips() {
        return check_central_ports(after, staged);
    }
    for (handle, new) in staged.ports.iter() {
        if let Some(port) = new
            && after.used(Used::Port(handle)) > 0
        {
            let fits = |floating_ip: &FloatingIp| fits_port(floating_ip, port, after);
            let floating_ips = after.floating_ips_of_port(handle);
            check_floating_ips(floating_ips, after.name_of(handle), fits, after)?;
        }
    }
    for (handle, new) in staged.floating_ips.iter() {
        if let Some(floating_ip) = new {
            check_forwarded(handle, floating_ip, after)?;
        }
    }
    check_central_ports(after, staged)
}

/// The field of the resource that was changed under a floating IP, and why this does not fit any more.
type Misfit = (&'static str, String);

/// Refuses the change of the resource named `changed` if floating IPs do not fit any more.
fn check_floating_ips<'a>(
    mut floating_ips: impl Iterator<Item = (Handle<FloatingIp>, &'a FloatingIp)>,
    changed: String,
    misfit: impl Fn(&FloatingIp) -> Option<Misfit>,
    view: View<'_>,
) -> Result<(), Refusal> {
    let found = floating_ips.find_map(|(handle, own)| Some((handle, misfit(own)?)));
    let Some((handle, (field, message))) = found else {
        return Ok(());
    };
    let message = would_not_fit(&view.name_of(handle), &message);
    Err(Refusal::conflict(field, message).of(changed))
}

fn would_not_fit(name: &str, why: &str) -> String {
    format!(
        "{name} would not fit any more: {why}. Change or delete it first, or in the same transaction"
    )
}

/// Routers and floating IPs still fit the external network that was changed under them.
fn check_users_of_network(
    handle: Handle<Network>,
    network: &Network,
    view: View<'_>,
) -> Result<(), Refusal> {
    let field = match network.external {
        Some(_) => "/subnets",
        None => "/external",
    };
    let refuse = |name: &str, why: &str| {
        let message = would_not_fit(name, why);
        Err(Refusal::conflict(field, message).of(view.name_of(handle)))
    };
    for user in view.routers_outside_by(handle) {
        let Some(router) = view.get(user) else {
            continue;
        };
        let fits = |outside: &ExternalGateway| outside.check(&router.interfaces, view);
        let outside = router.external_gateway.as_deref();
        let checked = outside
            .map_or(Ok(()), fits)
            .and_then(|()| router.check_routes(view));
        if let Err(refusal) = checked {
            return refuse(&view.name_of(user), &refusal.message);
        }
        for (route, record) in view.routes_of(user) {
            let faults = |via| router.why_no_next_hop(via, view);
            let fault = record.via.iter().find_map(faults);
            let fault = fault.or_else(|| router.why_no_destination(&record.destination, view));
            if let Some(message) = fault {
                return refuse(&view.name_of(route), &message);
            }
        }
    }
    for (user, floating_ip) in view.floating_ips_in(handle) {
        if let Err(refusal) = network.check_floating_ip(floating_ip.address, "") {
            return refuse(&view.name_of(user), &refusal.message);
        }
    }
    Ok(())
}

/// A host's gateway for floating IPs has no host's DVR MAC.
fn check_host_gateway_macs(
    handle: Handle<Network>,
    network: &Network,
    view: View<'_>,
) -> Result<(), Refusal> {
    let gateways = network.external.iter();
    let gateways = gateways.flat_map(|external| &external.floating_ip_gateways);
    for (index, own) in gateways.enumerate() {
        if let Some(message) = why_dvr_mac(own.mac, view) {
            let field = format!("/external/floating_ip_gateways/{index}/mac");
            return Err(Refusal::conflict(field, message).of(view.name_of(handle)));
        }
    }
    Ok(())
}

/// Why a gateway cannot have this MAC: what comes from it would be taken for what another host routed.
pub(super) fn why_dvr_mac(mac: crate::mac::Mac, view: View<'_>) -> Option<String> {
    match view.owners(Place::DvrMac(mac)).first() {
        Some(Owner::Host(host)) => Some(format!(
            "{mac} is the DVR MAC of {}: a gateway has a MAC of its own",
            view.name_of(*host)
        )),
        _ => None,
    }
}

fn fits_router(floating_ip: &FloatingIp, view: View<'_>) -> Option<Misfit> {
    let router = view.get(floating_ip.router?)?;
    let (field, message) = floating_ip.misfit(router, view)?;
    let field = match field.as_str() {
        "/router" => "/external_gateway",
        "/distributed" => "/distributed",
        _ => "/interfaces",
    };
    Some((field, message))
}

fn fits_port(floating_ip: &FloatingIp, port: &Port, view: View<'_>) -> Option<Misfit> {
    let fixed = floating_ip.fixed?;
    if !port.addresses.contains(fixed.into()) {
        let message = format!("{fixed} is no address of ports/{} any more", port.id);
        return Some(("/addresses", message));
    }
    let router = view.get(floating_ip.router?)?;
    let (_, message) = floating_ip.misfit(router, view)?;
    Some(("/network", message))
}

/// A station has a floating IP of its own or is forwarded to: what it sends could leave by one only.
fn check_forwarded(
    handle: Handle<FloatingIp>,
    floating_ip: &FloatingIp,
    view: View<'_>,
) -> Result<(), Refusal> {
    let Some(router) = floating_ip.router else {
        return Ok(());
    };
    let refuse = |field: String, message: String| {
        Err(Refusal::conflict(field, message).of(view.name_of(handle)))
    };
    if let Some(fixed) = floating_ip.fixed
        && view.used(Used::Forwarded(router, fixed)) > 0
    {
        let others = view.floating_ips_of(router);
        let mut others = others.filter(|(_, other)| {
            let mut forwardings = other.forwardings.iter();
            forwardings.any(|own| *own.to.ip() == fixed)
        });
        let other = others.next();
        let other = other.map_or_else(String::new, |(other, _)| view.name_of(other));
        let message = format!(
            "{other} forwards ports to {fixed}, which cannot have a floating IP of its own beside: take the forwardings \
             away first, or in the same transaction"
        );
        return refuse(floating_ip.fixed_field().to_owned(), message);
    }
    for (index, forwarding) in floating_ip.forwardings.iter().enumerate() {
        let inside = *forwarding.to.ip();
        if let Some(Owner::FloatingIp(other)) = view.owners(Place::Fixed(router, inside)).first() {
            let message = format!(
                "{inside} has a floating IP of its own, {}, and leaves by that: forward to another station, or \
                 disassociate it first, or in the same transaction",
                view.name_of(*other)
            );
            return refuse(format!("/forwardings/{index}/to"), message);
        }
    }
    Ok(())
}

/// Hosts without a gateway outside of their own reach the central one by its port in each network they have stations in.
fn check_central_ports(view: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    let routers = staged.routers.iter().filter_map(|(_, new)| new);
    let networks = routers.flat_map(|router| router.interfaces.iter().map(|own| own.network));
    let mut networks: BTreeSet<_> = networks.collect();
    networks.extend(staged.touched_members().map(|(network, _)| network));
    networks.extend(staged.networks.iter().map(|(network, _)| network));
    for network in networks {
        for (handle, router, own) in view.gateways_in(network) {
            let Some(outside) = router.external_gateway.as_deref() else {
                continue;
            };
            let Some(family) = lacking_family(outside, own).filter(|_| router.distributed) else {
                continue;
            };
            if let Some(host) = host_without_gateway(outside, network, view) {
                let index = router.interfaces.iter().position(|other| other == own);
                let field = format!("/interfaces/{}/central", index.unwrap_or(0));
                let message = format!(
                    "{host} has no gateway outside of {} and sends what leaves {} to the central one: give this interface of \
                     the router a `central` port with an {family} address, by which that is reached",
                    view.name_of(handle),
                    view.name_of(network),
                );
                let blamed = (handle, field.as_str(), message);
                return Err(blame_for_reach(network, blamed, view, staged));
            }
        }
    }
    Ok(())
}

/// The address family that both sides of the router have and the interface's central port has not.
fn lacking_family(outside: &ExternalGateway, own: &RouterInterface) -> Option<&'static str> {
    let central = outside.central()?;
    let lacks = |is_ipv4: bool| {
        let mut inside = own.addresses.iter();
        let port = own.central.as_ref();
        inside.any(|inside| inside.addr().is_ipv4() == is_ipv4)
            && central.has_family(is_ipv4)
            && port.and_then(|port| port.address(is_ipv4)).is_none()
    };
    match (lacks(true), lacks(false)) {
        (true, _) => Some("IPv4"),
        (false, true) => Some("IPv6"),
        (false, false) => None,
    }
}

/// A host of the network, as far as is known, that has no gateway outside of its own.
fn host_without_gateway(
    outside: &ExternalGateway,
    network: Handle<Network>,
    view: View<'_>,
) -> Option<String> {
    let lacks = |host: Option<Handle<Host>>| outside.gateway_of(host).is_none();
    if lacks(None) {
        return Some(format!("this host ({})", view.facts().local_host));
    }
    let mut members = view.all_members_of(network).into_iter();
    if let Some(host) = members.find(|host| lacks(Some(*host))) {
        return Some(view.name_of(host));
    }
    let unknown = reaches_unknown_hosts(network, view);
    unknown.then(|| {
        format!(
            "any host of the multicast group of {}",
            view.name_of(network)
        )
    })
}
