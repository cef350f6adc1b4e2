//! What a port makes of a packet before it arrives here: whom it gives it to, and what its own host does with it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::query::Tunnel;
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::{Code, Refusal};
use crate::resources::{
    Attachment, Host, Interface, Kind, Location, Network, Port, Router, Segment,
};
use crate::state::{Handle, View};

/// What stations send with.
pub(super) const TTL: u8 = 64;
const BROADCAST: Mac = Mac([0xff; 6]);

/// Addresses of both ends.
pub(super) struct Ends {
    pub source_mac: Mac,
    pub destination_mac: Mac,
    pub source: IpAddr,
    pub destination: IpAddr,
}

/// Whom the sender gives the packet to.
#[derive(Clone, Copy)]
pub(super) enum Hop<'a> {
    /// A station of its own network, and the port that is one if it is known.
    Station(Mac, Option<&'a Port>),
    /// The gateway of a router.
    Gateway(Mac, &'a Router),
}

impl Hop<'_> {
    pub fn mac(self) -> Mac {
        match self {
            Self::Station(mac, _) | Self::Gateway(mac, _) => mac,
        }
    }
}

/// The port that sends, and its network.
pub(super) struct Sender<'a> {
    pub port: &'a Port,
    network: &'a Network,
}

impl<'a> Sender<'a> {
    pub fn new(from: &Id, view: View<'a>) -> Result<Self, Refusal> {
        let handle = find::<Port>(from, "/from", view)?;
        let port = view.get(handle);
        let found = port.and_then(|port| {
            let network = view.get(port.network)?;
            Some(Self { port, network })
        });
        found.ok_or_else(|| unknown::<Port>(from, "/from"))
    }

    /// The address it would send from to `destination`.
    pub fn address_like(&self, destination: IpAddr, view: View<'_>) -> Result<IpAddr, Refusal> {
        let mut own = self.port.addresses.iter();
        let mut like = || own.find(|own| own.is_ipv4() == destination.is_ipv4());
        let near = self.port.addresses.iter().find(|own| {
            self.subnet(*own, view)
                .is_some_and(|subnet| subnet.contains(&destination))
        });
        near.or_else(&mut like).ok_or_else(|| {
            let message = format!(
                "ports/{} has no address of the family of {destination}: give `source`",
                self.port.id
            );
            Refusal::invalid("/source", message)
        })
    }

    /// The subnet that an address of the sender is in: of the network, or of a gateway in it.
    fn subnet(&self, own: IpAddr, view: View<'_>) -> Option<IpNet> {
        let told = self.network.subnet_of(own).map(|subnet| subnet.cidr);
        let mut gateways = view.gateways_in(self.port.network);
        told.or_else(|| gateways.find_map(|(_, _, gateway)| gateway.subnet_of(own)))
    }

    /// Whom it gives a packet to: the station itself if it is on its subnet, else the gateway.
    pub fn next_hop(
        &self,
        source: IpAddr,
        destination: IpAddr,
        target: Option<&'a Port>,
        view: View<'a>,
    ) -> Result<Hop<'a>, Refusal> {
        if let Some(mac) = group_mac(destination) {
            return Ok(Hop::Station(mac, None));
        }
        let subnet = self.subnet(source, view);
        if subnet.is_some_and(|own| own.addr().is_ipv4() && own.broadcast() == destination) {
            return Ok(Hop::Station(BROADCAST, None));
        }
        let is_near = match target {
            Some(target) => target.network == self.port.network,
            None => subnet.is_none_or(|subnet| subnet.contains(&destination)),
        };
        match is_near {
            true => self.station(destination, target, view),
            false => self.gateway(source, destination, target, view),
        }
    }

    fn station(
        &self,
        destination: IpAddr,
        target: Option<&'a Port>,
        view: View<'a>,
    ) -> Result<Hop<'a>, Refusal> {
        let found = target.or_else(|| view.port_with(self.port.network, destination));
        if let Some(port) = found {
            return Ok(Hop::Station(port.mac, Some(port)));
        }
        if let Some(mac) = view.mac_of_way_outside(self.port.network, destination) {
            return Ok(Hop::Station(mac, None));
        }
        let mut gateways = view.gateways_in(self.port.network);
        let gateway = gateways.find(|(_, _, own)| own.has_address(destination));
        let (_, router, own) = gateway.ok_or_else(|| {
            let message = format!(
                "no port of network {} has {destination}: give `destination_mac`",
                self.network.id
            );
            Refusal::invalid("/destination_mac", message)
        })?;
        Ok(Hop::Gateway(own.mac, router))
    }

    fn gateway(
        &self,
        source: IpAddr,
        destination: IpAddr,
        target: Option<&'a Port>,
        view: View<'a>,
    ) -> Result<Hop<'a>, Refusal> {
        let told = self.network.subnet_of(source).and_then(|own| own.gateway);
        let leads = |router: &Router| match target {
            Some(target) => router.interfaces_in(target.network).next().is_some(),
            None => router.connected(destination).is_some(),
        };
        let gateways = view.gateways_in(self.port.network);
        let usable = gateways.filter(|(_, _, own)| own.subnet_of(source).is_some());
        // The one that DHCP tells of, or else one that is connected to the destination, or else any.
        let best = usable.max_by_key(|(_, router, own)| {
            (
                told.is_some_and(|told| own.has_address(told)),
                leads(router),
            )
        });
        if let Some((_, router, own)) = best {
            return Ok(Hop::Gateway(own.mac, router));
        }
        let port = told.and_then(|told| view.port_with(self.port.network, told));
        let port = port.ok_or_else(|| {
            let message = format!(
                "{destination} is not on the subnet of {source}, and network {} has no router with an interface \
                 there: attach one, or give `destination_mac`",
                self.network.id
            );
            Refusal::invalid("/to", message)
        })?;
        Ok(Hop::Station(port.mac, Some(port)))
    }

    /// The MAC address here to which the sender's host gives what leaves its router, or why it does not.
    fn central_port_here(
        &self,
        host: Handle<Host>,
        router: &Router,
        ends: &Ends,
        view: View<'_>,
    ) -> Result<Mac, String> {
        let outside = router.external_gateway.as_deref();
        if outside.is_some_and(|outside| outside.gateway_of(Some(host)).is_some()) {
            return Err(format!(
                "its host has a gateway outside of routers/{}",
                router.id
            ));
        }
        let handle = view.find::<Router>(&router.id);
        let floating_ips = handle.into_iter();
        let mut floating_ips = floating_ips.flat_map(|handle| view.floating_ips_of(handle));
        let own = floating_ips.find(|(_, own)| {
            own.fixed.map(IpAddr::V4) == Some(ends.source) && view.is_distributed(own)
        });
        if let Some((own, _)) = own {
            return Err(format!("its host translates it by {}", view.name_of(own)));
        }
        if router.central_host().is_some() {
            return Err(format!(
                "the central gateway of routers/{} is not here",
                router.id
            ));
        }
        let mut interfaces = router.interfaces_in(self.port.network);
        let central = interfaces.find_map(|own| own.central.as_ref());
        let central = central
            .ok_or_else(|| format!("routers/{} has no central port in its network", router.id))?;
        Ok(central.mac)
    }

    /// What becomes of a packet on the sender's own host before it arrives here: the network it comes in, and its TTL.
    pub fn as_it_arrives(
        &self,
        host: Handle<Host>,
        hop: Hop<'a>,
        ends: &mut Ends,
        view: View<'a>,
    ) -> Result<(Handle<Network>, u8), Refusal> {
        let elsewhere = |what: String| {
            let message = format!(
                "{what}: the packet does not come by this host. Ask {} to explain it",
                view.name_of(host)
            );
            Refusal::invalid("/from", message)
        };
        let dvr_mac = view.get(host).and_then(|host| host.dvr_mac);
        match (hop, dvr_mac) {
            (Hop::Station(_, Some(target)), _) if let Location::Remote(_) = target.location => {
                Err(elsewhere(format!("ports/{} is not here either", target.id)))
            }
            (Hop::Gateway(_, router), _) if !router.is_here() => {
                Err(elsewhere(format!("routers/{} is not here", router.id)))
            }
            (Hop::Gateway(_, router), Some(dvr_mac))
                if router.distributed && leads_outside(router, ends.destination, view) =>
            {
                let central = self.central_port_here(host, router, ends, view);
                let central = central.map_err(elsewhere)?;
                ends.source_mac = dvr_mac;
                ends.destination_mac = central;
                Ok((self.port.network, TTL - 1))
            }
            (Hop::Gateway(_, router), Some(dvr_mac)) if router.distributed => {
                let target = router.connected(ends.destination).and_then(|(own, _)| {
                    let port = view.port_with(own.network, ends.destination)?;
                    matches!(port.location, Location::Local(_)).then_some(port)
                });
                let target = target.ok_or_else(|| {
                    elsewhere(format!(
                        "its host routes it by routers/{}, and no port here has {}",
                        router.id, ends.destination
                    ))
                })?;
                ends.source_mac = dvr_mac;
                ends.destination_mac = target.mac;
                Ok((target.network, TTL - 1))
            }
            // A host without a DVR MAC does not route: it sends to the gateway as to any station.
            _ => Ok((self.port.network, TTL)),
        }
    }
}

/// True if the router has no shorter way to the destination than that outside.
fn leads_outside(router: &Router, destination: IpAddr, view: View<'_>) -> bool {
    let is_nearer = |prefix: &IpNet| prefix.prefix_len() > 0 && prefix.contains(&destination);
    let handle = view.find::<Router>(&router.id);
    let mut others = handle.into_iter().flat_map(|handle| view.routes_of(handle));
    router.external_gateway.is_some()
        && router.connected(destination).is_none()
        && !router.routes.iter().any(|own| is_nearer(&own.destination))
        && !others.any(|(_, own)| is_nearer(&own.destination))
}

/// Where and in what form a frame arrives.
pub(super) struct Arrival {
    pub at: Attachment,
    pub tunnel: Option<Tunnel>,
}

impl Arrival {
    pub fn attached(at: Attachment) -> Self {
        Self { at, tunnel: None }
    }

    /// As a remote host sends frames of a network.
    pub fn from_host(
        host: Handle<Host>,
        network: Handle<Network>,
        view: View<'_>,
    ) -> Result<Self, Refusal> {
        let segment = view.get(network).map(|network| network.segment);
        let vni = match segment {
            Some(Segment::Vxlan(vni)) => vni,
            Some(segment) => {
                return segment
                    .attachment()
                    .map(Self::attached)
                    .ok_or_else(no_underlay);
            }
            None => return Err(no_underlay()),
        };
        let source = view.get(host).and_then(Host::remote_vtep);
        let source = source.ok_or_else(no_underlay)?;
        let is_family = |own: &IpNet| own.addr().is_ipv4() == source.is_ipv4();
        let mut underlay: Vec<_> = view
            .iter::<Interface>()
            .filter(|(_, own)| own.addresses.iter().any(is_family))
            .collect();
        // On the VTEP's own subnet, if one is; else whichever comes first, for any may be routed to.
        underlay.sort_by_key(|(handle, own)| {
            let is_near = own.addresses.iter().any(|own| own.contains(&source));
            (!is_near, *handle)
        });
        let (interface, own) = underlay.first().ok_or_else(no_underlay)?;
        let chosen = view.local_host().and_then(|(_, local)| local.vtep);
        let chosen = chosen.filter(|own| own.is_ipv4() == source.is_ipv4());
        let mut addresses = own.addresses.iter().filter(|own| is_family(own));
        let destination = chosen.or_else(|| addresses.next().map(IpNet::addr));
        Ok(Self {
            at: Attachment {
                interface: *interface,
                tag: own.tag,
            },
            tunnel: Some(Tunnel {
                vni,
                host,
                source,
                destination: destination.ok_or_else(no_underlay)?,
            }),
        })
    }
}

fn no_underlay() -> Refusal {
    let message = "the port is on another host, and no interface here has an address of the family of its VTEP";
    Refusal::invalid("/from", message)
}

pub(super) fn find<K: Kind<Key = Id>>(
    id: &Id,
    field: &str,
    view: View<'_>,
) -> Result<Handle<K>, Refusal> {
    view.find::<K>(id).ok_or_else(|| unknown::<K>(id, field))
}

fn unknown<K: Kind>(id: &Id, field: &str) -> Refusal {
    let message = format!("there is no {} {id}", K::SINGULAR);
    Refusal::new(Code::UnknownReference, message).at(field)
}

/// The MAC address of a group or of everyone (RFC 1112 §6.4, RFC 2464 §7).
fn group_mac(address: IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(address) if address.is_broadcast() => Some(BROADCAST),
        IpAddr::V4(address) if address.is_multicast() => {
            let [_, b, c, d] = address.octets();
            Some(Mac([1, 0, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(address) if address.is_multicast() => {
            let [.., a, b, c, d] = address.octets();
            Some(Mac([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}

/// The MAC address that asks who has an address: everyone, or the solicited-node group (RFC 4291 §2.7.1).
pub(super) fn question_mac(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(_) => BROADCAST,
        IpAddr::V6(address) => {
            let [.., b, c, d] = address.octets();
            Mac([0x33, 0x33, 0xff, b, c, d])
        }
    }
}
