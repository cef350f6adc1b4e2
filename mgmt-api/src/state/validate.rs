//! What concerns several resources at once, checked when a request is wholly staged.

use std::net::IpAddr;

use super::fingerprints::{Station, StationKey};
use super::{Handle, Holder, Owner, Place, Staged, Used, View, routing};
use crate::refusal::{Code, Refusal};
use crate::resources::{
    Attachment, Flood, Host, Interface, Kind, KindVisitor, Network, Port, Router, Segment,
    StaticFdb, each_kind, overlap,
};
use crate::state::Claim;

/// The resource that made a claim, to be named if the claim is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    kind: &'static str,
    handle: u32,
    name: fn(View<'_>, u32) -> String,
}

impl Origin {
    pub fn of<K: Kind>(handle: Handle<K>) -> Self {
        Self {
            kind: K::NAME,
            handle: handle.get(),
            name: |view, handle| view.name_of::<K>(Handle::new(handle)),
        }
    }

    fn name(self, view: View<'_>) -> String {
        (self.name)(view, self.handle)
    }
}

/// What a request made doubtful.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub places: Vec<(Place, Owner, Origin)>,
    /// Addresses that someone else had too when they were claimed.
    pub stations: Vec<(StationKey, Holder)>,
    pub removed: Vec<(Used, Origin)>,
}

impl Checks {
    pub fn run(self, before: View<'_>, after: View<'_>, staged: &Staged) -> Result<(), Refusal> {
        self.check_places(after)?;
        self.check_stations(after)?;
        self.check_removed(after)?;
        if staged.interfaces.len() > 0 {
            check_subnets(after, staged)?;
        }
        if staged.interfaces.len() > 0 || staged.hosts.len() > 0 {
            check_vteps(after, staged)?;
        }
        check_networks(before, after, staged)?;
        routing::check(before, after, staged)
    }

    fn check_places(&self, view: View<'_>) -> Result<(), Refusal> {
        for &(place, owner, origin) in &self.places {
            let owners = view.owners(place);
            // The claim may have been given back by a later request of the same transaction.
            if owners.len() > 1
                && owners.contains(&owner)
                && let Some(&other) = owners.iter().find(|&&other| other != owner)
            {
                return Err(place_taken(place, owner, origin, other, view));
            }
            if let Place::Attachment(attachment) = place
                && owners.contains(&owner)
            {
                check_tag_type(attachment, owner, origin, view)?;
            }
            if let Place::DvrMac(mac) = place
                && owners.contains(&owner)
                && view.used(Used::GatewayMac(mac)) > 0
            {
                let gateway = find_user(Used::GatewayMac(mac), view).unwrap_or_default();
                let message = format!(
                    "{mac} is already a gateway's MAC, of {gateway}: a DVR MAC stands for one host and nothing else"
                );
                return Err(Refusal::conflict("/dvr_mac", message).of(origin.name(view)));
            }
        }
        Ok(())
    }

    fn check_stations(&self, view: View<'_>) -> Result<(), Refusal> {
        for &(key, holder) in &self.stations {
            if holder.still_has(key, view)
                && let Some(other) = view.holders(key).find(|other| *other != holder)
            {
                return Err(station_taken(key, holder, other, view));
            }
        }
        Ok(())
    }

    fn check_removed(&self, view: View<'_>) -> Result<(), Refusal> {
        for &(used, origin) in &self.removed {
            let uses = view.used(used);
            if uses == 0 {
                continue;
            }
            let example = find_user(used, view).unwrap_or_default();
            let others = match uses {
                1 => String::new(),
                more => format!(" and {} more", more - 1),
            };
            let message = format!(
                "{example}{others} still refer to it: delete or change them first, or in the same transaction"
            );
            return Err(Refusal::new(Code::InUse, message).of(origin.name(view)));
        }
        Ok(())
    }
}

impl Holder {
    /// The claim may have been given back by a later request of the same transaction.
    fn still_has(self, key: StationKey, view: View<'_>) -> bool {
        match self {
            Self::Port(port) => view.get(port).is_some_and(|port| port.has(key)),
            Self::Gateway(router) => view.get(router).is_some_and(|router| router.has(key)),
            // Its key is the address.
            Self::Static(entry) => view.get(entry).is_some(),
        }
    }

    fn name(self, view: View<'_>) -> String {
        match self {
            Self::Port(port) => view.name_of(port),
            Self::Gateway(router) => view.name_of(router),
            Self::Static(entry) => view.name_of(entry),
        }
    }

    /// The field of its document that has the address.
    fn field(self, key: StationKey, view: View<'_>) -> String {
        match self {
            Self::Port(port) => match key {
                StationKey::Mac(..) => "/mac".to_owned(),
                StationKey::Address(_, address) => {
                    let port = view.get(port);
                    let at =
                        port.and_then(|port| port.addresses.iter().position(|own| own == address));
                    format!("/addresses/{}", at.unwrap_or(0))
                }
            },
            Self::Gateway(router) => gateway_field(key, router, view),
            // The key is no field of the document.
            Self::Static(_) => String::new(),
        }
    }
}

fn gateway_field(key: StationKey, router: Handle<Router>, view: View<'_>) -> String {
    let interfaces = view.get(router).map(|router| &router.interfaces[..]);
    let interfaces = interfaces.unwrap_or_default();
    let mut numbered = interfaces.iter().enumerate();
    let Some((index, own)) = numbered.find(|(_, own)| own.network == key.network()) else {
        return "/interfaces".to_owned();
    };
    match key {
        StationKey::Mac(..) => format!("/interfaces/{index}/mac"),
        StationKey::Address(_, address) => {
            let at = own.addresses.iter().position(|own| own.addr() == address);
            format!("/interfaces/{index}/addresses/{}", at.unwrap_or(0))
        }
    }
}

fn station_taken(key: StationKey, holder: Holder, other: Holder, view: View<'_>) -> Refusal {
    let what = match key {
        StationKey::Mac(_, mac) => mac.to_string(),
        StationKey::Address(_, address) => address.to_string(),
    };
    let other_name = other.name(view);
    let network = view.id_of(key.network());
    let message = match (holder, other) {
        (Holder::Port(_), Holder::Static(_)) | (Holder::Static(_), Holder::Port(_)) => format!(
            "{what} is already that of {other_name}: a station is a port or a static entry, not both"
        ),
        (_, Holder::Gateway(_)) => format!(
            "{what} is already that of the gateway of {other_name} in network {network}: choose another, \
             or change that router first, or in the same transaction"
        ),
        _ => format!(
            "{what} is already that of {other_name} in network {network}: change or delete that {} first, \
             or in the same transaction",
            match other {
                Holder::Static(_) => StaticFdb::SINGULAR,
                _ => Port::SINGULAR,
            }
        ),
    };
    Refusal::conflict(holder.field(key, view), message).of(holder.name(view))
}

fn place_taken(
    place: Place,
    owner: Owner,
    origin: Origin,
    other: Owner,
    view: View<'_>,
) -> Refusal {
    let other_name = owner_name(other, view);
    let (field, message) = match place {
        Place::Vni(vni) => {
            let message = format!(
                "VNI {} is already that of {other_name}: choose another",
                vni.get()
            );
            ("/segment/vni".to_owned(), message)
        }
        Place::Vtep(address) => {
            let message =
                format!("{address} is already the VTEP of {other_name}: a VTEP is one host's");
            ("/vtep".to_owned(), message)
        }
        Place::DvrMac(mac) => {
            let message =
                format!("{mac} is already the DVR MAC of {other_name}: each host has its own");
            ("/dvr_mac".to_owned(), message)
        }
        Place::Device(device) => {
            let device = &view.device(device).name;
            let message = format!(
                "device {device} is already used by {other_name}: a device has one interface"
            );
            ("/device".to_owned(), message)
        }
        Place::Attachment(attachment) => {
            let holder = match other {
                Owner::Interface(_) => "the underlay's own".to_owned(),
                _ => format!("bound to {other_name}"),
            };
            let message = format!(
                "{} is already {holder}: choose another VLAN or interface",
                attachment.describe(view)
            );
            (attachment_field(place, owner, origin, view), message)
        }
    };
    Refusal::conflict(field, message).of(origin.name(view))
}

/// A VLAN id is in use with one tag type on an interface: not every driver can tell the two types apart.
fn check_tag_type(
    attachment: Attachment,
    owner: Owner,
    origin: Origin,
    view: View<'_>,
) -> Result<(), Refusal> {
    let Some(taken) = attachment.with_other_tpid() else {
        return Ok(());
    };
    let Some(&other) = view.owners(Place::Attachment(taken)).first() else {
        return Ok(());
    };
    let holder = match other {
        Owner::Interface(_) => "the underlay's own".to_owned(),
        _ => format!("bound to {}", owner_name(other, view)),
    };
    let fix = if other == owner {
        "give the same `tpid` in both places"
    } else {
        "choose another VLAN or interface"
    };
    let message = format!(
        "{} is already {holder}, and a VLAN id has one `tpid` on an interface: {fix}",
        taken.describe(view)
    );
    let field = attachment_field(Place::Attachment(attachment), owner, origin, view);
    Err(Refusal::conflict(field, message).of(origin.name(view)))
}

/// The field of the origin that claims an attachment.
fn attachment_field(place: Place, owner: Owner, origin: Origin, view: View<'_>) -> String {
    let Place::Attachment(attachment) = place else {
        return String::new();
    };
    match owner {
        Owner::Interface(_) => "/vlan".to_owned(),
        Owner::Network(network) if origin.kind == Network::NAME => {
            let bindings = view
                .get(network)
                .map(|network| &network.bindings[..])
                .unwrap_or_default();
            match bindings.iter().position(|binding| *binding == attachment) {
                Some(index) => format!("/bindings/{index}"),
                None => "/segment".to_owned(),
            }
        }
        _ => "/interface".to_owned(),
    }
}

fn owner_name(owner: Owner, view: View<'_>) -> String {
    match owner {
        Owner::Interface(interface) => view.name_of(interface),
        Owner::Host(host) => view.name_of(host),
        Owner::Network(network) => view.name_of(network),
    }
}

/// Looks through everything for one resource that refers to `used`; only a refusal comes here.
pub(super) fn find_user(used: Used, view: View<'_>) -> Option<String> {
    struct Find<'a>(Used, View<'a>);
    impl KindVisitor for Find<'_> {
        type Error = String;
        fn visit<K: Kind>(&mut self) -> Result<(), String> {
            let uses = |(handle, record): &(Handle<K>, &K)| {
                let mut found = false;
                record.claims(*handle, &mut |claim| found |= claim == Claim::Uses(self.0));
                found
            };
            match self.1.iter::<K>().find(uses) {
                Some((handle, _)) => Err(self.1.name_of(handle)),
                None => Ok(()),
            }
        }
    }
    each_kind(&mut Find(used, view)).err()
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
            Segment::Vlan { .. } => {
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
