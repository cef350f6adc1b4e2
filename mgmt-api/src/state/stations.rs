//! No two stations of a network have one MAC or IP address: ports, gateways and static entries alike.

use super::fingerprints::{Station, StationKey};
use super::{Handle, Holder, View};
use crate::refusal::Refusal;
use crate::resources::{Kind, Port, Router, StaticFdb};

/// Refuses addresses that someone else has too, now that all is staged.
pub(super) fn check(doubtful: &[(StationKey, Holder)], view: View<'_>) -> Result<(), Refusal> {
    for &(key, holder) in doubtful {
        if holder.still_has(key, view)
            && let Some(other) = view.holders(key).find(|other| *other != holder)
        {
            return Err(station_taken(key, holder, other, view));
        }
    }
    Ok(())
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
