//! What concerns the underlay together with hosts and networks: addresses, VTEPs, MTUs, groups.

use std::net::IpAddr;

use super::{Handle, Owner, Place, Staged, View};
use crate::refusal::Refusal;
use crate::resources::{Flood, Host, Interface, Network, Segment, overlap};

pub(super) fn check(before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    if staged.interfaces.len() > 0 {
        check_subnets(after, staged)?;
    }
    if staged.interfaces.len() > 0 || staged.hosts.len() > 0 {
        check_vteps(after, staged)?;
    }
    check_networks(before, after, staged)
}

/// No two interfaces have overlapping subnets: a route would have two ways.
fn check_subnets(view: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    for (handle, new) in staged.interfaces.iter() {
        for (index, own) in new.iter().flat_map(|new| new.addresses.iter().enumerate()) {
            let others = view
                .iter::<Interface>()
                .filter(|(other, _)| *other != handle);
            for (other, interface) in others {
                if let Some(taken) = interface.addresses.iter().find(|taken| overlap(taken, own)) {
                    let message = format!(
                        "{own} overlaps {taken} of {}: each subnet belongs to one interface",
                        view.name_of(other)
                    );
                    let field = format!("/addresses/{index}");
                    return Err(Refusal::conflict(field, message).of(view.name_of(handle)));
                }
            }
        }
    }
    Ok(())
}

/// The local VTEP is one of our addresses, and no remote one is.
fn check_vteps(view: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    let own = |address: IpAddr| {
        let mut interfaces = view.iter::<Interface>();
        interfaces
            .find(|(_, interface)| interface.addresses.iter().any(|own| own.addr() == address))
    };
    for (handle, new) in staged.hosts.iter() {
        let Some(vtep) = new.and_then(Host::remote_vtep) else {
            continue;
        };
        if let Some((interface, _)) = own(vtep) {
            let message = format!(
                "{vtep} is our own address, of {}: give the remote host's",
                view.name_of(interface)
            );
            return Err(Refusal::conflict("/vtep", message).of(view.name_of(handle)));
        }
    }
    for (handle, new) in staged.interfaces.iter() {
        for (index, address) in new.iter().flat_map(|new| new.addresses.iter().enumerate()) {
            for owner in view.owners(Place::Vtep(address.addr())) {
                if let Owner::Host(host) = owner
                    && view.get(host).is_some_and(|host| !host.is_local)
                {
                    let message = format!(
                        "{} is the VTEP of the remote {}: one of the two is wrong",
                        address.addr(),
                        view.name_of(host)
                    );
                    let field = format!("/addresses/{index}");
                    return Err(Refusal::conflict(field, message).of(view.name_of(handle)));
                }
            }
        }
    }
    check_local_vtep(view, staged)
}

/// The local host's VTEP address, if it names one, is an address of an interface.
fn check_local_vtep(view: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    let Some(handle) = view.find::<Host>(&view.facts().local_host) else {
        return Ok(());
    };
    let Some(vtep) = view.get(handle).and_then(|host| host.vtep) else {
        return Ok(());
    };
    let mut addresses = view
        .iter::<Interface>()
        .flat_map(|(_, interface)| &interface.addresses);
    if addresses.any(|own| own.addr() == vtep) {
        return Ok(());
    }
    let host = view.name_of(handle);
    if staged.hosts.iter().any(|(touched, _)| touched == handle) {
        let message = format!(
            "{vtep} is not an address of any interface here: add it to an interface's `addresses` \
             first, or in the same transaction"
        );
        return Err(Refusal::invalid("/vtep", message).of(host));
    }
    let interface = staged
        .interfaces
        .iter()
        .next()
        .map(|(touched, _)| view.name_of(touched));
    let message = format!(
        "{vtep} is the VTEP address of this host ({host}): change that first, or in the same transaction"
    );
    Err(Refusal::conflict("/addresses", message).of(interface.unwrap_or(host)))
}

/// MTUs fit and multicast groups can be joined: for the networks touched, or for all if the underlay changed.
fn check_networks(before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
    let underlay_changed =
        staged.interfaces.len() > 0 || before.has_ipv6_vteps() != after.has_ipv6_vteps();
    if underlay_changed {
        after
            .iter::<Network>()
            .try_for_each(|network| check_network(after, staged, network))
    } else {
        let touched = staged.networks.iter();
        let mut touched = touched.filter_map(|(handle, new)| Some((handle, new?)));
        touched.try_for_each(|network| check_network(after, staged, network))
    }
}

fn check_network(
    view: View<'_>,
    staged: &Staged,
    (handle, network): (Handle<Network>, &Network),
) -> Result<(), Refusal> {
    let name = view.name_of(handle);
    if let Some(mtu) = network.mtu
        && let Some(largest) = view.largest_network_mtu(network)
        && mtu > largest
    {
        let message = match network.segment {
            Segment::Vlan { .. } | Segment::Flat { .. } => {
                format!(
                    "the MTU of {name} ({mtu}) exceeds that of its interface ({largest}): lower it, or raise the interface's"
                )
            }
            Segment::Vxlan(_) => format!(
                "the MTU of {name} ({mtu}) and {} bytes of encapsulation do not fit the underlay's {}: \
                 at most {largest} fit; lower it, or raise the MTU of the underlay interfaces",
                view.overhead(network),
                view.underlay_mtu().unwrap_or_default(),
            ),
        };
        return Err(blame(view, staged, handle, ("/mtu", "/mtu"), message));
    }
    check_group(view, staged, (handle, network))
}

/// A multicast group can be joined: an underlay interface has an address of its family.
fn check_group(
    view: View<'_>,
    staged: &Staged,
    (handle, network): (Handle<Network>, &Network),
) -> Result<(), Refusal> {
    let Flood::Multicast {
        group, interface, ..
    } = network.flood
    else {
        return Ok(());
    };
    let has_family = |interface: &Interface| {
        let mut addresses = interface.addresses.iter();
        addresses.any(|own| own.addr().is_ipv4() == group.is_ipv4())
    };
    let name = view.name_of(handle);
    match interface {
        Some(interface) if !view.get(interface).is_none_or(has_family) => {
            let message = format!(
                "{name} joins {group} on {}, which has no address of that family: choose an underlay interface",
                view.name_of(interface)
            );
            let fields = ("/flood/interface", "/addresses");
            Err(blame(view, staged, handle, fields, message))
        }
        None if !view.iter::<Interface>().any(|(_, own)| has_family(own)) => {
            let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!(
                "{name} floods to {group}, and no interface has an {family} address to send it from: give \
                 one to an interface first, or in the same transaction, or choose a group of the other family"
            );
            let fields = ("/flood/group", "/addresses");
            Err(blame(view, staged, handle, fields, message))
        }
        _ => Ok(()),
    }
}

/// A refusal that names the network if the request touches it, or else what it does touch. The fields are the network's
/// and an interface's.
fn blame(
    view: View<'_>,
    staged: &Staged,
    network: Handle<Network>,
    (field, interface_field): (&str, &str),
    message: String,
) -> Refusal {
    if staged.networks.get(network).is_none() {
        if let Some((host, _)) = staged.hosts.iter().find(|(_, new)| {
            new.and_then(Host::remote_vtep)
                .is_some_and(|vtep| vtep.is_ipv6())
        }) && staged.interfaces.len() == 0
        {
            return Refusal::conflict("/vtep", message).of(view.name_of(host));
        }
        if let Some((interface, _)) = staged.interfaces.iter().next() {
            return Refusal::conflict(interface_field, message).of(view.name_of(interface));
        }
    }
    Refusal::conflict(field, message).of(view.name_of(network))
}
