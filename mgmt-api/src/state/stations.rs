//! No two stations of a network have one MAC or IP address: ports, gateways, floating IPs and static entries alike.

use std::net::IpAddr;

use ipnet::IpNet;

use super::fingerprints::{Station, StationKey};
use super::{Handle, Holder, View};
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::resources::{External, FloatingIp, Kind, Network, Port, Router, StaticFdb};

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
            Self::Port(handle) => has(handle, key, view),
            Self::Gateway(handle) => has(handle, key, view),
            Self::FloatingGateway(handle) => has(handle, key, view),
            Self::FloatingIp(handle) => has(handle, key, view),
            // Its key is the address.
            Self::Static(entry) => view.get(entry).is_some(),
        }
    }

    fn name(self, view: View<'_>) -> String {
        match self {
            Self::Port(port) => view.name_of(port),
            Self::Gateway(router) => view.name_of(router),
            Self::Static(entry) => view.name_of(entry),
            Self::FloatingGateway(network) => view.name_of(network),
            Self::FloatingIp(floating_ip) => view.name_of(floating_ip),
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
            Self::FloatingGateway(network) => host_gateway_field(key, network, view),
            Self::FloatingIp(_) => "/address".to_owned(),
            // The key is no field of the document.
            Self::Static(_) => String::new(),
        }
    }
}

fn has<K: Station>(handle: Handle<K>, key: StationKey, view: View<'_>) -> bool {
    let record = view.get(handle);
    record.is_some_and(|record| record.has(handle, key))
}

/// Where something has this address: as its MAC, or which of its addresses.
fn part(key: StationKey, mac: Mac, addresses: impl Iterator<Item = IpAddr>) -> Option<String> {
    match key {
        StationKey::Mac(_, wanted) => (wanted == mac).then(|| "mac".to_owned()),
        StationKey::Address(_, wanted) => {
            let mut addresses = addresses.enumerate();
            let (index, _) = addresses.find(|(_, own)| *own == wanted)?;
            Some(format!("addresses/{index}"))
        }
    }
}

fn gateway_field(key: StationKey, router: Handle<Router>, view: View<'_>) -> String {
    let Some(router) = view.get(router) else {
        return String::new();
    };
    let interfaces = router.interfaces.iter().enumerate();
    let mut near = interfaces.filter(|(_, own)| own.network == key.network());
    let inside = near.find_map(|(index, own)| {
        let at = format!("/interfaces/{index}");
        let gateway = part(key, own.mac, own.addresses.iter().map(IpNet::addr));
        let central = || {
            let central = own.central.as_ref()?;
            let part = part(key, central.mac, central.addresses.iter().copied())?;
            Some(format!("{at}/central/{part}"))
        };
        gateway.map(|part| format!("{at}/{part}")).or_else(central)
    });
    let outside = || {
        let outside = router.external_gateway.as_ref()?;
        let mut gateways = outside.gateways.iter().enumerate();
        gateways.find_map(|(index, own)| {
            let part = part(key, own.mac, own.addresses.iter().map(IpNet::addr))?;
            Some(format!("/external_gateway/gateways/{index}/{part}"))
        })
    };
    inside
        .or_else(outside)
        .unwrap_or_else(|| "/interfaces".to_owned())
}

fn host_gateway_field(key: StationKey, network: Handle<Network>, view: View<'_>) -> String {
    const AT: &str = "/external/floating_ip_gateways";
    let external = view
        .get(network)
        .and_then(|network| network.external.as_ref());
    let position = |external: &External| {
        let mut gateways = external.floating_ip_gateways.iter();
        gateways.position(|own| match key {
            StationKey::Mac(_, mac) => own.mac == mac,
            StationKey::Address(_, address) => own.address.map(IpAddr::V4) == Some(address),
        })
    };
    let part = match key {
        StationKey::Mac(..) => "mac",
        StationKey::Address(..) => "address",
    };
    match external.and_then(position) {
        Some(index) => format!("{AT}/{index}/{part}"),
        None => AT.to_owned(),
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
        (_, Holder::FloatingGateway(_)) => format!(
            "{what} is already that of a host's gateway for floating IPs in network {network}: choose another, or change \
             that network first, or in the same transaction"
        ),
        _ => format!(
            "{what} is already that of {other_name} in network {network}: change or delete that {} first, \
             or in the same transaction",
            match other {
                Holder::Static(_) => StaticFdb::SINGULAR,
                Holder::FloatingIp(_) => FloatingIp::SINGULAR,
                _ => Port::SINGULAR,
            }
        ),
    };
    Refusal::conflict(holder.field(key, view), message).of(holder.name(view))
}
