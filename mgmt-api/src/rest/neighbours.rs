//! Who has which address in a network, as it is: configured and learned.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, page_of, text};
use super::paging::{Page, SCAN, find};
use super::problem::Problem;
use super::query::Params;
use crate::control::{Neighbour, NeighbourLocation, NeighbourOrigin};
use crate::id::Id;
use crate::mac::Mac;
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::resources::{Host, Location, Network, Port, Tpid, Vid};
use crate::state::{Handle, View};

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let entry = endpoints.schema::<NeighbourEntry>();
    let list = Operation::new(
        "list_neighbours",
        "neighbours",
        "Show who has which address in a network",
    )
    .description("Addresses of ports and gateways, and those that were asked for or announced.")
    .required_query("network", text(), "The network.")
    .json(200, "All of them, by address.", page_of(entry))
    .refused(Code::NotFound, "There is no such network.");
    endpoints.add(
        HttpMethod::Get,
        "/v1/neighbours",
        routing::get(list_neighbours),
        list,
    );
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeighbourParams {
    network: Id,
}

/// Who has an address in a network.
#[derive(Debug, Serialize, ToSchema)]
struct NeighbourEntry {
    /// The address.
    #[schema(value_type = String)]
    address: IpAddr,
    /// The MAC address that goes with it.
    mac: Mac,
    /// How it is known.
    origin: NeighbourOrigin,
    /// Seconds since a learned one was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u32>,
    /// The router whose gateway here it is, or that translates the floating IP here.
    #[serde(skip_serializing_if = "Option::is_none")]
    router: Option<Id>,
    /// The remote host it lives on.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Id>,
    /// The interface it is reached by.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<Id>,
    /// The tag its frames get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vid>,
    /// The tag's type, unless it is `802.1q`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tpid: Option<Tpid>,
}

impl NeighbourEntry {
    /// `None` for one whose host, interface or router went away while the table was being read.
    fn new(neighbour: &Neighbour, view: View<'_>) -> Option<Self> {
        let mut shown = Self {
            address: neighbour.address,
            mac: neighbour.mac,
            origin: neighbour.origin,
            age_seconds: neighbour.age,
            router: None,
            host: None,
            interface: None,
            vlan: None,
            tpid: None,
        };
        match neighbour.location {
            NeighbourLocation::Remote(host) => shown.host = Some(view.get(host)?.id.clone()),
            NeighbourLocation::Router(router) => {
                shown.router = Some(view.get(router)?.id.clone());
            }
            NeighbourLocation::Local(attachment) => {
                shown.interface = Some(view.get(attachment.interface)?.id.clone());
                shown.vlan = attachment.tag.map(|tag| tag.vid);
                shown.tpid = attachment.tag.and_then(|tag| tag.tpid.unless_default());
            }
        }
        Some(shown)
    }
}

fn add_gateways(to: &mut Vec<Neighbour>, network: Handle<Network>, view: View<'_>) {
    for (handle, router, gateway) in view.gateways_in(network) {
        let addresses = gateway.addresses.iter().map(IpNet::addr);
        to.extend(
            addresses
                .chain([gateway.link_local().into()])
                .map(|address| Neighbour {
                    address,
                    mac: gateway.mac,
                    location: match router.host {
                        Some(host) => NeighbourLocation::Remote(host),
                        None => NeighbourLocation::Router(handle),
                    },
                    origin: NeighbourOrigin::Gateway,
                    age: None,
                }),
        );
    }
}

/// Adds the routers' central ports, or on an external network their gateways and the floating IPs.
fn add_ways_outside(to: &mut Vec<Neighbour>, network: Handle<Network>, view: View<'_>) {
    let at = |host: Option<Handle<Host>>, router| match host {
        Some(host) => NeighbourLocation::Remote(host),
        None => NeighbourLocation::Router(router),
    };
    let mut add = |address, mac, location, origin| {
        to.push(Neighbour {
            address,
            mac,
            location,
            origin,
            age: None,
        });
    };
    for (handle, router, own) in view.gateways_in(network) {
        if let Some(central) = &own.central {
            for address in &central.addresses {
                let location = at(router.central_host(), handle);
                add(*address, central.mac, location, NeighbourOrigin::Gateway);
            }
        }
    }
    for handle in view.routers_outside_by(network) {
        let router = view.get(handle);
        let outside = router.and_then(|router| router.external_gateway.as_deref());
        for gateway in outside.into_iter().flat_map(|outside| &outside.gateways) {
            for own in &gateway.addresses {
                let location = at(gateway.host, handle);
                add(own.addr(), gateway.mac, location, NeighbourOrigin::Gateway);
            }
        }
    }
    for (_, floating_ip) in view.floating_ips_in(network) {
        if let Some(router) = floating_ip.router
            && let Some(host) = view.host_of_floating_ip(floating_ip)
            && let Some(mac) = view.mac_of_floating_ip(floating_ip)
        {
            let address = floating_ip.address.into();
            add(address, mac, at(host, router), NeighbourOrigin::FloatingIp);
        }
    }
}

/// Adds those of the ports from the `first` handle on, as many as are looked through at once.
fn add_ports(to: &mut Vec<Neighbour>, network: Handle<Network>, first: usize, view: View<'_>) {
    let handles = first..first + SCAN;
    let handles = handles.filter_map(|handle| u32::try_from(handle).ok());
    let ports = handles.filter_map(|handle| view.get::<Port>(Handle::new(handle)));
    for port in ports.filter(|port| port.network == network) {
        to.extend(port.addresses.iter().map(|address| Neighbour {
            address,
            mac: port.mac,
            location: match port.location {
                Location::Remote(host) => NeighbourLocation::Remote(host),
                Location::Local(attachment) => NeighbourLocation::Local(attachment),
            },
            origin: NeighbourOrigin::Port,
            age: None,
        }));
    }
}

async fn list_neighbours(
    State(api): State<Arc<Api>>,
    Params(params): Params<NeighbourParams>,
) -> Result<Json<Page<NeighbourEntry>>, Problem> {
    let list = move |manager: &Manager| {
        let network = manager.read(|state| find::<Network>(&params.network, state.view()))?;
        let mut neighbours = manager.control().neighbours(network);
        manager.read(|state| {
            add_gateways(&mut neighbours, network, state.view());
            add_ways_outside(&mut neighbours, network, state.view());
        });
        let handles = manager.read(|state| state.table::<Port>().handles());
        // Ports are not kept by network. Writers are let in between.
        for first in (0..handles).step_by(SCAN) {
            manager.read(|state| add_ports(&mut neighbours, network, first, state.view()));
        }
        neighbours.sort_by_key(|neighbour| neighbour.address);
        let items = manager.read(|state| {
            let entries = neighbours.iter();
            entries
                .filter_map(|own| NeighbourEntry::new(own, state.view()))
                .collect()
        });
        Ok::<_, Refusal>(Page { items, next: None })
    };
    Ok(Json(api.blocking(list).await??))
}
