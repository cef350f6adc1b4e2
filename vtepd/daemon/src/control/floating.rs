//! Floating IPs: which of them this host answers for, and with which gateway.

use std::net::Ipv4Addr;

use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::resources::{FloatingIp, Network as ApiNetwork};
use mgmt_api::state::{Handle, View};

use super::gateways::{LocalGateway, WayOut, spaces};
use super::places::{Place, Side};
use super::spaces::Space;

/// A floating IP of this host.
pub struct Placed {
    pub address: Ipv4Addr,
    /// The external network.
    pub network: Handle<ApiNetwork>,
    /// The address space whose rules have it.
    pub space: Space,
    /// The gateway that answers for it, and with which MAC.
    pub gateway: Place,
    pub mac: ApiMac,
}

/// Where a floating IP is; `None` when it is not on this host.
pub fn placed(view: View<'_>, floating: &FloatingIp) -> Option<Placed> {
    let here = view.host_of_floating_ip(floating)?.is_none();
    let router = floating.router.filter(|_| here)?;
    let (space, gateway, mac) = if view.is_distributed(floating) {
        let host = LocalGateway::of_floating_ips(view, floating.network)?;
        ((router, Side::Own), host.place, host.mac)
    } else {
        spaces(view, router).find_map(|space| {
            let way_out = WayOut::of(view, space).filter(|way_out| way_out.is_central)?;
            let mac = way_out.own?.mac;
            let place = Place::Gateway(router, way_out.external.network, mac);
            Some((space, place, mac))
        })?
    };
    Some(Placed {
        address: floating.address,
        network: floating.network,
        space,
        gateway,
        mac,
    })
}
