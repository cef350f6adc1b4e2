//! What concerns several resources at once, checked when a request is wholly staged.

use super::fingerprints::StationKey;
use super::{
    Handle, Holder, Owner, Place, Staged, Used, View, outside, routing, stations, underlay,
};
use crate::refusal::{Code, Refusal};
use crate::resources::{Attachment, FloatingIp, Kind, KindVisitor, Network, each_kind};
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
        stations::check(&self.stations, after)?;
        self.check_removed(after)?;
        underlay::check(before, after, staged)?;
        routing::check(before, after, staged)?;
        outside::check(before, after, staged)
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
        Place::Fixed(_, address) => {
            let message = format!(
                "{address} has a floating IP already, {other_name}: a station has one on a router"
            );
            (floating_field(place, owner, view), message)
        }
        Place::Forwarded(_, protocol, to) => {
            let message = format!(
                "{other_name} forwards a {protocol} port to {to} already: what it sends could leave by one only"
            );
            (floating_field(place, owner, view), message)
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

/// The field of a floating IP that claims a place inside.
fn floating_field(place: Place, owner: Owner, view: View<'_>) -> String {
    let floating_ip = match owner {
        Owner::FloatingIp(handle) => view.get(handle),
        _ => None,
    };
    let forwarded = |own: &FloatingIp| {
        let mut forwardings = own.forwardings.iter();
        forwardings.position(|own| {
            matches!(place, Place::Forwarded(_, protocol, to) if own.protocol == protocol && own.to == to)
        })
    };
    match (place, floating_ip) {
        (Place::Forwarded(..), Some(own)) => {
            format!("/forwardings/{}/to", forwarded(own).unwrap_or(0))
        }
        (_, Some(own)) => own.fixed_field().to_owned(),
        (_, None) => String::new(),
    }
}

fn owner_name(owner: Owner, view: View<'_>) -> String {
    match owner {
        Owner::Interface(interface) => view.name_of(interface),
        Owner::Host(host) => view.name_of(host),
        Owner::Network(network) => view.name_of(network),
        Owner::FloatingIp(floating_ip) => view.name_of(floating_ip),
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
