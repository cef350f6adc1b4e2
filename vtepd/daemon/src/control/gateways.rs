//! The gateways of routers, out of the records: which of them this host has, on which side of its router, and which are
//! elsewhere.
//!
//! ```text
//!             inside networks                                    external network
//!   stations ─── Inside ────┐                               ┌─── Outside, the router's own
//!                           ├── address space: Side::Own ───┤
//!                           │        │                      └─── the host's, for floating IPs
//!                           │        ▼ where the own one is missing
//!   other hosts ─ Central ──┴─ address space: Side::Central ──── Outside, the router's own
//! ```

use ipnet::IpNet;
use mgmt_api::mac::Mac as ApiMac;
use mgmt_api::resources::{
    ExternalGateway, Host, Network as ApiNetwork, OutsideGateway, Router, RouterInterface,
};
use mgmt_api::state::{Handle, View};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vtepd_tables::Role;

use super::places::{Place, Side};
use super::spaces::Space;

/// How a router of this host gets outside from one of its address spaces.
pub struct WayOut<'a> {
    pub external: &'a ExternalGateway,
    /// Its gateway there. `None`: another host's, by way of the central ports.
    pub own: Option<&'a OutsideGateway>,
    /// Whether what only one host has is had here.
    pub is_central: bool,
}

impl<'a> WayOut<'a> {
    /// `None`: it does not get outside, or is not of this host.
    pub fn of(view: View<'a>, (handle, side): Space) -> Option<Self> {
        let router = view.get(handle).filter(|router| router.is_here())?;
        let external = router.external_gateway.as_ref()?;
        let central = external
            .central()
            .filter(|central| central.host.is_none() || !router.distributed);
        let by_ports = router.distributed && has_central_ports(router);
        match side {
            Side::Central => by_ports.then_some(Self {
                external,
                own: Some(central?),
                is_central: true,
            }),
            Side::Own => {
                let central = central.filter(|_| !by_ports);
                let further = || external.gateways.iter().skip(1);
                Some(Self {
                    external,
                    own: central.or_else(|| further().find(|own| own.host.is_none())),
                    is_central: central.is_some(),
                })
            }
        }
    }
}

fn has_central_ports(router: &Router) -> bool {
    router.interfaces.iter().any(|own| own.central.is_some())
}

/// The address spaces of a router on this host.
pub fn spaces(view: View<'_>, handle: Handle<Router>) -> impl Iterator<Item = Space> {
    Side::ALL
        .map(|side| (handle, side))
        .into_iter()
        .filter(move |space| exists(view, *space))
}

/// Whether this host has an address space.
pub fn exists(view: View<'_>, space: Space) -> bool {
    match space {
        (router, Side::Own) => view.get(router).is_some_and(Router::is_here),
        (_, Side::Central) => WayOut::of(view, space).is_some(),
    }
}

/// A gateway that this host has.
pub struct LocalGateway {
    pub place: Place,
    pub network: Handle<ApiNetwork>,
    /// `None`: it is the host's, for the floating IPs of all routers.
    pub space: Option<Space>,
    pub mac: ApiMac,
    pub role: Role,
    /// With their subnets; a subnet's base stands for none.
    pub addresses: Vec<IpNet>,
    pub distributed: bool,
    pub from_underlay: bool,
    pub central: (Option<Ipv4Addr>, Option<Ipv6Addr>),
}

impl LocalGateway {
    /// The gateways of a router.
    pub fn of_router(view: View<'_>, handle: Handle<Router>) -> Vec<Self> {
        let Some(router) = view.get(handle) else {
            return Vec::new();
        };
        let mut gateways = Vec::new();
        for space in spaces(view, handle) {
            let way_out = WayOut::of(view, space);
            let interfaces = router.interfaces.iter();
            gateways.extend(interfaces.filter_map(|own| match space.1 {
                Side::Own => Some(Self::inside(view, space, router, own, way_out.as_ref())),
                Side::Central => Self::central(space, own),
            }));
            if let Some(way_out) = way_out
                && let Some(own) = way_out.own
            {
                gateways.push(Self::outside(view, space, way_out.external, own));
            }
        }
        gateways
    }

    fn inside(
        view: View<'_>,
        space: Space,
        router: &Router,
        own: &RouterInterface,
        way_out: Option<&WayOut<'_>>,
    ) -> Self {
        let accepts = view
            .get(own.network)
            .is_some_and(|network| network.gateway_from_underlay);
        let elsewhere = way_out.is_some_and(|way_out| way_out.own.is_none());
        let central = own.central.as_ref().filter(|_| elsewhere);
        let central = |is_ipv4| central.and_then(|central| central.address(is_ipv4));
        Self {
            place: Place::Gateway(space.0, own.network, own.mac),
            network: own.network,
            space: Some(space),
            mac: own.mac,
            role: Role::Inside,
            addresses: own.addresses.to_vec(),
            distributed: router.distributed,
            // A router that lives on one host is reached from all others.
            from_underlay: accepts || !router.distributed,
            central: (v4(central(true)), v6(central(false))),
        }
    }

    fn central(space: Space, own: &RouterInterface) -> Option<Self> {
        let central = own.central.as_ref()?;
        let addresses = central.addresses.iter().filter_map(|address| {
            let subnet = own.subnet_of(*address)?;
            IpNet::new(*address, subnet.prefix_len()).ok()
        });
        Some(Self {
            place: Place::Gateway(space.0, own.network, central.mac),
            network: own.network,
            space: Some(space),
            mac: central.mac,
            role: Role::Central,
            addresses: addresses.collect(),
            distributed: false,
            from_underlay: true,
            central: (None, None),
        })
    }

    fn outside(
        view: View<'_>,
        space: Space,
        external: &ExternalGateway,
        own: &OutsideGateway,
    ) -> Self {
        Self {
            place: Place::Gateway(space.0, external.network, own.mac),
            network: external.network,
            space: Some(space),
            mac: own.mac,
            role: Role::Outside,
            addresses: with_subnets(view, external.network, own.addresses.to_vec()),
            distributed: false,
            from_underlay: true,
            central: (None, None),
        }
    }

    /// The host's gateway for floating IPs on an external network.
    pub fn of_floating_ips(view: View<'_>, network: Handle<ApiNetwork>) -> Option<Self> {
        let record = view.get(network)?;
        let own = record.external.as_ref()?.gateway_of(None);
        let mac = match own {
            Some(own) => own.mac,
            // As good as any: it is this host's alone.
            None => {
                let attachment = record.segment.attachment()?;
                view.device(view.get(attachment.interface)?.device).mac
            }
        };
        let address = own.and_then(|own| own.address).map(IpAddr::V4);
        let address = address.and_then(|address| {
            let subnet = record.subnet_of(address)?;
            IpNet::new(address, subnet.cidr.prefix_len()).ok()
        });
        Some(Self {
            place: Place::FloatingIps(network),
            network,
            space: None,
            mac,
            role: Role::Outside,
            addresses: with_subnets(view, network, address.into_iter().collect()),
            distributed: false,
            from_underlay: true,
            central: (None, None),
        })
    }

    /// The addresses that it answers for as its own, the link-local one aside.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.addresses.iter();
        own.filter(|own| !vtepd_tables::adjacency::is_base(own))
            .map(IpNet::addr)
    }
}

/// The addresses and, for those subnets of the network that none is in, the subnets: all are on the link.
fn with_subnets(
    view: View<'_>,
    network: Handle<ApiNetwork>,
    mut addresses: Vec<IpNet>,
) -> Vec<IpNet> {
    let subnets = view.get(network).into_iter().flat_map(|own| &own.subnets);
    for subnet in subnets {
        if !addresses
            .iter()
            .any(|own| subnet.cidr.contains(&own.addr()))
        {
            addresses.push(subnet.cidr);
        }
    }
    addresses
}

/// A router's interface that another host has: of a router that lives there, or a central port.
pub struct RemoteGateway {
    pub network: Handle<ApiNetwork>,
    pub mac: ApiMac,
    pub host: Handle<Host>,
    pub addresses: Vec<IpAddr>,
}

impl RemoteGateway {
    /// Those of a router.
    pub fn of_router(router: &Router) -> Vec<Self> {
        if let Some(host) = router.host {
            let interfaces = router.interfaces.iter();
            return interfaces
                .map(|own| {
                    let addresses = own.addresses.iter().map(IpNet::addr);
                    Self {
                        network: own.network,
                        mac: own.mac,
                        host,
                        addresses: addresses.chain([own.link_local().into()]).collect(),
                    }
                })
                .collect();
        }
        let central = router.external_gateway.as_ref();
        let host = central
            .filter(|_| router.distributed)
            .and_then(|external| external.central()?.host);
        let Some(host) = host else {
            return Vec::new();
        };
        let ports = router
            .interfaces
            .iter()
            .filter_map(|own| Some((own.network, own.central.as_ref()?)));
        ports
            .map(|(network, port)| Self {
                network,
                mac: port.mac,
                host,
                addresses: port.addresses.to_vec(),
            })
            .collect()
    }
}

fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: Option<IpAddr>) -> Option<Ipv6Addr> {
    match address? {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}
