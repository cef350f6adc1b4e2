//! The underlay as the control side sees it: interfaces with addresses and
//! routes, and from them the tunnel to each remote VTEP.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mgmt_api::change::Changes;
use mgmt_api::id::Id;
use mgmt_api::resources::{self, Host, Tag as ApiTag};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::underlay::membership::Member;
use vtepd_datapath::underlay::resolver::{Asker, NextHop};
use vtepd_tables::adjacency::TunnelParameters;
use vtepd_tables::{Adjacency, InterfaceIndex, Tag, Tunnel, VtepPair};
use vtepd_wire::{Mac, VlanId, ipv6};

use super::TunnelSettings;

/// An interface of the underlay.
#[derive(Clone, PartialEq, Debug)]
struct Link {
    id: Id,
    mtu: u16,
    tag: Option<Tag>,
    /// Our addresses, with their subnets.
    addresses: Vec<IpNet>,
    /// Destination and next hop.
    routes: Vec<(IpNet, IpAddr)>,
}

impl Link {
    fn address(&self, like: IpAddr) -> Option<IpAddr> {
        let near = self.addresses.iter().find(|own| own.contains(&like));
        let any = || {
            self.addresses
                .iter()
                .find(|own| own.addr().is_ipv4() == like.is_ipv4())
        };
        near.or_else(any).map(|own| own.addr())
    }
}

/// A remote VTEP.
#[derive(Clone, Debug)]
struct Remote {
    id: Id,
    vtep: IpAddr,
    udp_port: u16,
    udp_checksum: bool,
}

/// The way to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way {
    interface: InterfaceIndex,
    next_hop: IpAddr,
}

/// Interfaces, routes and remote VTEPs.
pub struct Underlay {
    macs: Vec<Mac>,
    /// By [`InterfaceIndex`]; `None` without addresses.
    links: Vec<Option<Link>>,
    /// Identifiers of all interfaces, those of the overlay too.
    ids: Vec<Option<Id>>,
    remotes: Vec<Option<Remote>>,
    /// Our VTEP address, if the local host's resource names one.
    preferred_source: Option<IpAddr>,
    settings: TunnelSettings,
}

impl Underlay {
    /// Over devices with these MACs.
    pub fn new(macs: Vec<Mac>, settings: TunnelSettings) -> Self {
        Self {
            links: macs.iter().map(|_| None).collect(),
            ids: macs.iter().map(|_| None).collect(),
            macs,
            remotes: Vec::new(),
            preferred_source: None,
            settings,
        }
    }

    /// By interface index, the identifier of the interface on it.
    pub fn interface_ids(&self) -> Vec<Option<Id>> {
        self.ids.clone()
    }

    /// The identifier of an interface.
    pub fn interface_id(&self, index: InterfaceIndex) -> Option<&Id> {
        self.ids.get(index.as_usize())?.as_ref()
    }

    /// The MAC of a device.
    pub fn mac(&self, index: InterfaceIndex) -> Mac {
        self.macs
            .get(index.as_usize())
            .copied()
            .unwrap_or(Mac::ZERO)
    }

    /// The MTU of an interface of the underlay.
    fn link(&self, index: InterfaceIndex) -> Option<&Link> {
        self.links.get(index.as_usize())?.as_ref()
    }

    /// Takes over what a transaction says. Whether any tunnel may differ.
    pub fn update(&mut self, changes: &Changes<'_>) -> bool {
        let mut changed = false;
        for change in changes.interfaces() {
            changed = true;
            // One may go and another come on the same device.
            if let Some(old) = change.old
                && let Some(place) = self.ids.get_mut(old.device.0 as usize)
                && place.as_ref() == Some(&old.id)
            {
                *place = None;
                self.links[old.device.0 as usize] = None;
            }
        }
        for change in changes.interfaces() {
            if let Some(new) = change.new {
                let at = new.device.0 as usize;
                self.ids[at] = Some(new.id.clone());
                self.links[at] = new.is_underlay().then(|| link(changes.after, new));
            }
        }
        for change in changes.hosts() {
            changed = true;
            self.update_host(change.handle, change.new);
            if let Some(host) = change.new.or(change.old).filter(|host| host.is_local) {
                self.preferred_source = change.new.and(host.vtep);
            }
        }
        changed
    }

    fn update_host(&mut self, handle: Handle<Host>, new: Option<&Host>) {
        if self.remotes.len() <= handle.index() {
            self.remotes.resize(handle.index() + 1, None);
        }
        self.remotes[handle.index()] = new.and_then(|host| {
            Some(Remote {
                id: host.id.clone(),
                vtep: host.remote_vtep()?,
                udp_port: host.udp_port,
                udp_checksum: host.fills_udp_checksum(),
            })
        });
    }

    /// Our addresses on the underlay.
    pub fn local_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.links
            .iter()
            .flatten()
            .flat_map(|link| link.addresses.iter().map(|own| own.addr()))
    }

    /// By interface, what its part of the underlay is.
    pub fn interfaces(
        &self,
    ) -> impl Iterator<Item = (InterfaceIndex, Option<vtepd_tables::Underlay>)> {
        self.links.iter().enumerate().map(|(index, link)| {
            let underlay = link.as_ref().map(|link| {
                let addresses = link.addresses.iter().map(|own| own.addr());
                let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
                for address in addresses {
                    match address {
                        IpAddr::V4(address) => ipv4.push(address),
                        IpAddr::V6(address) => ipv6.push(address),
                    }
                }
                vtepd_tables::Underlay {
                    tag: link.tag,
                    ipv4,
                    ipv6,
                }
            });
            (InterfaceIndex(index as u8), underlay)
        })
    }

    /// The way to an address: the longest prefix of subnets and routes.
    fn way(&self, to: IpAddr) -> Option<Way> {
        let links = self
            .links
            .iter()
            .enumerate()
            .filter_map(|(index, link)| Some((index, link.as_ref()?)));
        let ways = links.flat_map(|(index, link)| {
            let interface = InterfaceIndex(index as u8);
            let subnets = link.addresses.iter().map(move |own| (*own, to));
            let routes = link.routes.iter().copied();
            subnets.chain(routes).map(move |(prefix, next_hop)| {
                (
                    prefix,
                    Way {
                        interface,
                        next_hop,
                    },
                )
            })
        });
        let matching = ways.filter(|(prefix, _)| prefix.contains(&to));
        matching
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .map(|(_, way)| way)
    }

    fn asker(&self, way: Way) -> Option<Asker> {
        let link = self.link(way.interface)?;
        Some(Asker {
            mac: self.mac(way.interface),
            address: link.address(way.next_hop)?,
            tag: link.tag,
        })
    }

    fn remote(&self, host: Handle<Host>) -> Option<&Remote> {
        self.remotes.get(host.index())?.as_ref()
    }

    /// Remote hosts.
    pub fn remote_hosts(&self) -> impl Iterator<Item = (Handle<Host>, IpAddr)> {
        let remotes = self.remotes.iter().enumerate();
        remotes
            .filter_map(|(index, remote)| Some((Handle::new(index as u32), remote.as_ref()?.vtep)))
    }

    /// The identifier of a remote host.
    pub fn host_id(&self, host: Handle<Host>) -> Option<Id> {
        Some(self.remote(host)?.id.clone())
    }

    /// The UDP port of a remote host.
    pub fn udp_port(&self, host: Handle<Host>) -> Option<u16> {
        Some(self.remote(host)?.udp_port)
    }

    /// The next hop towards a host.
    pub fn next_hop(&self, host: Handle<Host>) -> Option<NextHop> {
        let way = self.way(self.remote(host)?.vtep)?;
        Some(NextHop {
            interface: way.interface,
            address: way.next_hop,
        })
    }

    /// Every next hop that is needed, and how to ask for it.
    pub fn next_hops(&self) -> Vec<(NextHop, Asker)> {
        let hosts = self
            .remote_hosts()
            .filter_map(|(host, _)| self.next_hop(host));
        hosts
            .filter_map(|hop| {
                let way = Way {
                    interface: hop.interface,
                    next_hop: hop.address,
                };
                Some((hop, self.asker(way)?))
            })
            .collect()
    }

    /// The adjacency of a remote host. Without a way to it, one that nothing can be sent through.
    pub fn tunnel(&self, host: Handle<Host>, next_hop_mac: Option<Mac>) -> Adjacency {
        let Some(remote) = self.remote(host) else {
            return Adjacency::Vacant;
        };
        let way = self.way(remote.vtep);
        let interface = way.map_or(InterfaceIndex(0), |way| way.interface);
        let source = self.source(interface, remote.vtep);
        let parameters = source.and_then(|source| {
            Some(self.parameters(
                interface,
                VtepPair::new(source, remote.vtep)?,
                remote.udp_port,
                remote.udp_checksum,
            ))
        });
        match (way, parameters) {
            (Some(_), Some(parameters)) => Adjacency::Tunnel(Tunnel::new(&TunnelParameters {
                next_hop_mac,
                ..parameters
            })),
            _ => {
                let nowhere = VtepPair::new(remote.vtep, remote.vtep);
                nowhere.map_or(Adjacency::Vacant, |pair| {
                    Adjacency::Tunnel(Tunnel::new(&self.parameters(
                        interface,
                        pair,
                        remote.udp_port,
                        false,
                    )))
                })
            }
        }
    }

    /// The source address of tunnels to `destination` out of an interface.
    fn source(&self, interface: InterfaceIndex, destination: IpAddr) -> Option<IpAddr> {
        let preferred = self
            .preferred_source
            .filter(|own| own.is_ipv4() == destination.is_ipv4());
        preferred.or_else(|| self.link(interface)?.address(destination))
    }

    fn parameters(
        &self,
        interface: InterfaceIndex,
        addresses: VtepPair,
        udp_port: u16,
        udp_checksum: bool,
    ) -> TunnelParameters {
        let link = self.link(interface);
        TunnelParameters {
            interface,
            source_mac: self.mac(interface),
            next_hop_mac: None,
            tag: link.and_then(|link| link.tag),
            addresses,
            udp_port,
            udp_checksum,
            dscp: self.settings.dscp,
            ttl: self.settings.ttl,
            mtu: link.map_or(0, |link| link.mtu),
        }
    }

    /// The interface by which a group is joined when the network names none: that
    /// of the preferred source address, or the first one of the group's family.
    fn group_interface(&self, group: IpAddr) -> Option<InterfaceIndex> {
        let has = |link: &Link, wanted: &dyn Fn(IpAddr) -> bool| {
            link.addresses.iter().any(|own| wanted(own.addr()))
        };
        let find = |wanted: &dyn Fn(IpAddr) -> bool| {
            let index = self
                .links
                .iter()
                .position(|link| link.as_ref().is_some_and(|link| has(link, wanted)))?;
            Some(InterfaceIndex(index as u8))
        };
        let same_family = |address: IpAddr| address.is_ipv4() == group.is_ipv4();
        let preferred = self.preferred_source.filter(|own| same_family(*own));
        preferred
            .and_then(|own| find(&|address| address == own))
            .or_else(|| find(&same_family))
    }

    /// The adjacency of a group, and our membership in it. `None` without an
    /// interface of its family.
    pub fn group(
        &self,
        group: IpAddr,
        on: Option<InterfaceIndex>,
        udp_port: u16,
    ) -> Option<(Adjacency, Member)> {
        let interface = on.or_else(|| self.group_interface(group))?;
        let source = self.source(interface, group)?;
        let mac = match group {
            IpAddr::V4(group) => Mac::multicast_of_v4(group),
            IpAddr::V6(group) => Mac::multicast_of_v6(group),
        };
        // RFC 7348 has the checksum zero; over IPv6 a computed one suits every receiver.
        let parameters = self.parameters(
            interface,
            VtepPair::new(source, group)?,
            udp_port,
            group.is_ipv6(),
        );
        let tunnel = Tunnel::new(&TunnelParameters {
            next_hop_mac: Some(mac),
            ..parameters
        });
        let tag = self.link(interface).and_then(|link| link.tag);
        let member = Member {
            interface,
            mac: self.mac(interface),
            source: if source.is_ipv6() {
                // Routers discard listener reports from any other (RFC 3810, 5.2.13).
                ipv6::link_local(self.mac(interface)).into()
            } else {
                source
            },
            tag,
            group,
        };
        Some((Adjacency::Tunnel(tunnel), member))
    }
}

/// A tag of the API as it stands in frames.
pub fn wire_tag(tag: ApiTag) -> Option<Tag> {
    Some(Tag::new(tag.tpid.ethertype(), VlanId::new(tag.vid.get())?))
}

fn link(view: View<'_>, interface: &resources::Interface) -> Link {
    let gateways = [
        interface
            .gateway
            .map(|via| (Ipv4Net::default().into(), IpAddr::V4(via))),
        interface
            .gateway6
            .map(|via| (Ipv6Net::default().into(), IpAddr::V6(via))),
    ];
    let routes = interface
        .routes
        .iter()
        .map(|route| (route.destination, route.via));
    Link {
        id: interface.id.clone(),
        mtu: view.interface_mtu(interface),
        tag: interface.tag.and_then(wire_tag),
        addresses: interface.addresses.to_vec(),
        routes: routes.chain(gateways.into_iter().flatten()).collect(),
    }
}
