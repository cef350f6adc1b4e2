//! What stations of this host are told when they ask: DHCPv4, DHCPv6 and router
//! advertisements, out of ports and the subnets of their networks.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mgmt_api::change::Changes;
use mgmt_api::id::Id;
use mgmt_api::resources::{
    DhcpOptions, Ipv6Mode, Location, Network as ApiNetwork, Port as ApiPort, RouterInterface,
    Subnet,
};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::metadata;
use vtepd_datapath::services::dhcp4::{self, Lease4};
use vtepd_datapath::services::dhcp6::{self, Lease6};
use vtepd_datapath::services::router_advertisement::{self, AddressMode, Link, Schedule};
use vtepd_datapath::services::{Ignored, Kind, Outcome};
use vtepd_datapath::{Asked, Delivery, LargeFrame, Recipients, Service};
use vtepd_tables::{FdbKey, NetworkIndex};
use vtepd_wire::Mac;

use super::Control;
use super::places::network_index;

/// What a server without a gateway on its subnet calls itself: the address by which
/// clouds tell their instances about themselves.
const SERVER: Ipv4Addr = metadata::ADDRESS;

/// Whom to tell what.
#[derive(Default)]
pub struct Served {
    networks: HashMap<NetworkIndex, ServedNetwork>,
    /// Whether this host has a metadata proxy.
    metadata: bool,
    /// Ports of this host.
    ports: HashMap<FdbKey, ServedPort>,
    random: RandomState,
    due: u32,
    /// Our DVR host MAC: answers come from it where no gateway is on the subnet.
    fallback: Option<Mac>,
    /// The last advertisements of gateways that have gone, not sent yet.
    farewells: Vec<(NetworkIndex, LargeFrame)>,
}

struct ServedNetwork {
    mtu: u16,
    /// Whether its ports may ask the metadata proxy.
    metadata: bool,
    subnets: Box<[Subnet]>,
    gateways: Vec<ServedGateway>,
    /// When the gateways advertise themselves next.
    schedule: Schedule,
}

/// A router's interface, wherever the router is: its host's advertisements do not cross the
/// underlay, and so each host tells its own stations.
struct ServedGateway {
    own: RouterInterface,
    is_here: bool,
}

struct ServedPort {
    id: Id,
    addresses: Box<[IpAddr]>,
    hostname: Option<Box<str>>,
    options: Option<DhcpOptions>,
}

impl ServedNetwork {
    /// The gateway on a subnet, with its address there, if its router is here: what a
    /// client sends to its server later must come to us.
    fn gateway_on(&self, subnet: &Subnet) -> Option<(&RouterInterface, IpAddr)> {
        let here = self.gateways.iter().filter(|gateway| gateway.is_here);
        here.map(|gateway| &gateway.own).find_map(|own| {
            let addresses = own.addresses.iter();
            let mut near = addresses.filter(|address| subnet.cidr.contains(&address.addr()));
            Some((own, near.next()?.addr()))
        })
    }

    fn lease4(&self, mac: Mac, port: &ServedPort, fallback: Mac) -> Option<Lease4> {
        let (subnet, address) = self.subnet_of(port, |subnet| subnet.dhcp)?;
        let IpAddr::V4(address) = address else {
            return None;
        };
        let own = self.gateway_on(subnet);
        let v4 = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        let routes = subnet
            .routes
            .iter()
            .filter_map(|route| match route.destination {
                IpNet::V4(destination) => Some((destination, v4(route.via)?)),
                IpNet::V6(_) => None,
            });
        let mut routes: Vec<(Ipv4Net, Ipv4Addr)> = routes.collect();
        // Without a gateway here the metadata service is on the link, which 0.0.0.0 stands
        // for (RFC 3442, local subnet routes).
        let metadata = Ipv4Net::from(metadata::ADDRESS);
        let is_routed = own.is_some() || routes.iter().any(|(to, _)| *to == metadata);
        if self.metadata && !is_routed {
            routes.push((metadata, Ipv4Addr::UNSPECIFIED));
        }
        let of_port = port.options.as_ref();
        let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
        for set in [of_port, Some(&subnet.dhcp_options)].into_iter().flatten() {
            for option in &set.options {
                if !options.iter().any(|(code, _)| *code == option.code) {
                    options.push((option.code, option.data.to_vec()));
                }
            }
        }
        let next_server = of_port.and_then(|options| options.next_server);
        Some(Lease4 {
            client_mac: mac,
            address: Ipv4Net::new(address, subnet.cidr.prefix_len()).ok()?,
            server: own.and_then(|(_, address)| v4(address)).unwrap_or(SERVER),
            server_mac: own.map_or(fallback, |(own, _)| Mac(own.mac.0)),
            next_server: next_server.or(subnet.dhcp_options.next_server),
            router: subnet.gateway.and_then(v4),
            dns: subnet.dns.iter().copied().filter_map(v4).collect(),
            mtu: self.mtu,
            lease_seconds: subnet.lease_seconds,
            routes,
            hostname: port.hostname.as_deref().map(str::to_owned),
            options,
        })
    }

    fn lease6(&self, mac: Mac, port: &ServedPort, fallback: Mac) -> Option<Lease6> {
        let stateful = self.subnet_of(port, |s| s.ipv6_mode == Ipv6Mode::Dhcpv6Stateful);
        let stateless = || {
            let mut subnets = self.subnets.iter();
            subnets.find(|subnet| subnet.ipv6_mode == Ipv6Mode::Dhcpv6Stateless)
        };
        let subnet = stateful.map(|(subnet, _)| subnet).or_else(stateless)?;
        let address = match stateful {
            Some((subnet, IpAddr::V6(address))) => {
                Some(Ipv6Net::new(address, subnet.cidr.prefix_len()).ok()?)
            }
            _ => None,
        };
        let own = self.gateway_on(subnet);
        Some(Lease6 {
            client_mac: mac,
            server_mac: own.map_or(fallback, |(own, _)| Mac(own.mac.0)),
            address,
            dns: v6(&subnet.dns),
            search: Vec::new(),
            preferred_seconds: subnet.lease_seconds,
            valid_seconds: subnet.lease_seconds,
            options: Vec::new(),
        })
    }

    /// The first subnet of some kind that one of the port's addresses is in.
    fn subnet_of(
        &self,
        port: &ServedPort,
        is: impl Fn(&Subnet) -> bool,
    ) -> Option<(&Subnet, IpAddr)> {
        let subnets = self.subnets.iter().filter(|subnet| is(subnet));
        let mut found = subnets.filter_map(|subnet| {
            let mut addresses = port.addresses.iter().copied();
            Some((subnet, addresses.find(|own| subnet.cidr.contains(own))?))
        });
        found.next()
    }

    /// What each gateway says of itself.
    fn links(&self) -> Vec<Link> {
        let gateways = self.gateways.iter();
        gateways
            .filter_map(|gateway| self.link(&gateway.own))
            .collect()
    }

    fn link(&self, own: &RouterInterface) -> Option<Link> {
        let near = |subnet: &&Subnet| {
            let mut addresses = own.addresses.iter();
            addresses.any(|address| subnet.cidr.contains(&address.addr()))
        };
        let subnets: Vec<&Subnet> = self
            .subnets
            .iter()
            .filter(|subnet| subnet.ipv6_mode != Ipv6Mode::None)
            .filter(near)
            .collect();
        let advertised = subnets.iter().filter_map(|subnet| {
            let IpNet::V6(prefix) = subnet.cidr else {
                return None;
            };
            Some(router_advertisement::Subnet {
                prefix,
                mode: match subnet.ipv6_mode {
                    Ipv6Mode::Slaac => AddressMode::Slaac,
                    Ipv6Mode::Dhcpv6Stateless => AddressMode::DhcpStateless,
                    Ipv6Mode::Dhcpv6Stateful => AddressMode::DhcpStateful,
                    Ipv6Mode::None => AddressMode::None,
                },
                valid_seconds: subnet.lease_seconds,
                preferred_seconds: subnet.lease_seconds,
            })
        });
        let advertised: Vec<_> = advertised.collect();
        // RFC 8106 tells of name servers where nothing else would.
        let slaac = subnets
            .iter()
            .filter(|subnet| subnet.ipv6_mode == Ipv6Mode::Slaac);
        (!advertised.is_empty()).then(|| Link {
            mac: Mac(own.mac.0),
            mtu: self.mtu,
            is_default_router: true,
            subnets: advertised,
            routes: Vec::new(),
            dns: slaac.flat_map(|subnet| v6(&subnet.dns)).collect(),
            search: Vec::new(),
        })
    }
}

fn v6(addresses: &[IpAddr]) -> Vec<Ipv6Addr> {
    let v6 = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(*address),
    });
    v6.collect()
}

fn source_of(frame: &[u8]) -> Option<Mac> {
    Some(Mac(*frame.get(6..)?.first_chunk()?))
}

impl Served {
    /// Nobody yet; on a host with a metadata proxy or without.
    pub fn new(metadata: bool) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }

    /// The ports that come and go with a transaction.
    pub(super) fn change_ports(&mut self, changes: Changes<'_>) {
        let key = |port: &ApiPort| {
            let local = matches!(port.location, Location::Local(_));
            let network = network_index(port.network).filter(|_| local)?;
            Some(FdbKey::new(network, Mac(port.mac.0)))
        };
        for key in changes.ports().filter_map(|change| key(change.old?)) {
            self.ports.remove(&key);
        }
        for port in changes.ports().filter_map(|change| change.new) {
            let Some(key) = key(port) else { continue };
            let served = ServedPort {
                id: port.id.clone(),
                addresses: port.addresses.iter().collect(),
                hostname: port.hostname().map(Into::into),
                options: port.dhcp_options().cloned(),
            };
            self.ports.insert(key, served);
        }
    }

    /// What the stations of a network are told; `now` is in seconds.
    pub(super) fn change_network(&mut self, after: View<'_>, handle: Handle<ApiNetwork>, now: u32) {
        let Some(index) = network_index(handle) else {
            return;
        };
        let old = self.networks.remove(&index);
        let told = old.as_ref().map(ServedNetwork::links).unwrap_or_default();
        let network = after.get(handle);
        let mut links = Vec::new();
        if let Some(network) = network.filter(|network| !network.subnets.is_empty()) {
            let gateways = after.gateways_in(handle);
            let gateways = gateways.map(|(_, router, own)| ServedGateway {
                own: own.clone(),
                is_here: router.is_here(),
            });
            let mut served = ServedNetwork {
                mtu: after.network_mtu(network),
                metadata: self.metadata && network.metadata,
                subnets: network.subnets.clone(),
                gateways: gateways.collect(),
                schedule: Schedule::new(now),
            };
            links = served.links();
            match old {
                Some(old) if links == told => served.schedule = old.schedule,
                // Whoever had been told otherwise hears the news at once.
                _ => self.due = now,
            }
            self.networks.insert(index, served);
        }
        let is_there = |link: &Link| links.iter().any(|other| other.mac == link.mac);
        for gone in told.iter().filter(|link| !is_there(link)) {
            let frame = gone.farewell();
            let frame = frame.and_then(|frame| LargeFrame::try_from(frame.as_slice()).ok());
            self.farewells.extend(frame.map(|frame| (index, frame)));
        }
    }

    /// Whether a router solicitation in a network has an answer.
    pub(super) fn advertises(&self, network: NetworkIndex) -> bool {
        let served = self.networks.get(&network);
        served.is_some_and(|served| !served.links().is_empty())
    }

    /// Our DVR host MAC is another one.
    pub(super) fn set_fallback(&mut self, mac: Option<Mac>) {
        self.fallback = mac;
    }

    /// The answer to a question, if there is one.
    pub(super) fn answer(&self, asked: &Asked) -> Option<Delivery> {
        let frame = match self.reply(asked) {
            Ok(frame) => frame?,
            Err(ignored) => {
                tracing::debug!(service = ?asked.service, %ignored, "no answer");
                return None;
            }
        };
        Some(Delivery {
            network: asked.network,
            to: Recipients::One(asked.ingress),
            frame: LargeFrame::try_from(frame.as_slice()).ok()?,
        })
    }

    fn reply(&self, asked: &Asked) -> Result<Option<Vec<u8>>, Ignored> {
        let network = self
            .networks
            .get(&asked.network)
            .ok_or(Ignored::NothingToTell)?;
        let mac = source_of(&asked.frame).ok_or(Ignored::Unexpected)?;
        if asked.service == Service::RouterSolicitation {
            let mut ignored = Ignored::NothingToTell;
            for link in network.links() {
                match link.answer(&asked.frame) {
                    Ok(frame) => return Ok(Some(frame)),
                    Err(why) => ignored = why,
                }
            }
            return Err(ignored);
        }
        // Without a DVR host MAC, one that nobody else has here.
        let fallback = self.fallback.unwrap_or(Mac([0x02, 0, 0, 0, 0, 0x01]));
        let key = FdbKey::new(asked.network, mac);
        let port = self.ports.get(&key).ok_or(Ignored::OtherClient)?;
        let outcome = match asked.service {
            Service::Dhcp4 => {
                let lease = network
                    .lease4(mac, port, fallback)
                    .ok_or(Ignored::NothingToTell)?;
                dhcp4::serve(&asked.frame, &lease)?
            }
            Service::Dhcp6 | Service::RouterSolicitation => {
                let lease = network
                    .lease6(mac, port, fallback)
                    .ok_or(Ignored::NothingToTell)?;
                dhcp6::serve(&asked.frame, &lease)?
            }
        };
        report(port, &outcome);
        Ok(outcome.reply)
    }

    /// The router advertisements that are due in the second `now`.
    fn advertisements(&mut self, now: u32) -> Vec<(NetworkIndex, LargeFrame)> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + 1;
        let mut due = Vec::new();
        for (index, network) in &mut self.networks {
            let random = self.random.hash_one((now, index.get())) as u32;
            if !network.schedule.is_due(now, random) {
                continue;
            }
            for frame in network.links().iter().filter_map(Link::advertisement) {
                if let Ok(frame) = LargeFrame::try_from(frame.as_slice()) {
                    due.push((*index, frame));
                }
            }
        }
        due
    }
}

#[cfg(test)]
impl Served {
    /// What each station and each network is told, in text.
    pub fn picture(&self) -> Vec<String> {
        let fallback = self.fallback.unwrap_or(Mac::ZERO);
        let mut lines = Vec::new();
        for (key, port) in &self.ports {
            let network = key
                .network()
                .and_then(|network| self.networks.get(&network));
            let lease4 = network.and_then(|network| network.lease4(key.mac(), port, fallback));
            let lease6 = network.and_then(|network| network.lease6(key.mac(), port, fallback));
            lines.push(format!("served {key:?} {} {lease4:?} {lease6:?}", port.id));
        }
        for (index, network) in &self.networks {
            lines.push(format!("told {index} {:?}", network.links()));
        }
        lines
    }
}

fn report(port: &ServedPort, outcome: &Outcome) {
    match outcome.kind {
        Kind::Declined(address) => {
            tracing::warn!(port = %port.id, %address, "the station says that somebody else uses its address");
        }
        kind => tracing::debug!(port = %port.id, kind = kind.name(), "told"),
    }
}

impl Control {
    /// Sends the router advertisements that are due.
    pub(super) fn advertise(&mut self) {
        let due = self.served.advertisements(self.now());
        self.tell_stations(due);
    }

    /// Takes leave for gateways that a transaction has taken away.
    pub(super) fn say_farewell(&mut self) {
        let farewells = std::mem::take(&mut self.served.farewells);
        self.tell_stations(farewells);
    }

    /// Sends frames to all stations that a network has on this host.
    fn tell_stations(&self, frames: Vec<(NetworkIndex, LargeFrame)>) {
        for (network, frame) in frames {
            let Some(entry) = self.tables.staged().network(network) else {
                continue;
            };
            let ports = entry.flood_from_tunnel().iter().copied();
            let to: Vec<Recipients> = if entry.gateways().is_empty() {
                // Copies are made on behalf of a gateway of this host: without one, each
                // port gets its own.
                let ports = ports.filter(|at| Some(*at) != entry.segment);
                ports.map(Recipients::One).collect()
            } else {
                vec![Recipients::Here]
            };
            self.deliver(to.into_iter().map(|to| Delivery {
                network,
                to,
                frame: frame.clone(),
            }));
        }
    }

    /// Answers what workers have passed on.
    pub(super) fn answer_stations(&mut self) {
        let workers = std::sync::Arc::clone(&self.workers);
        for worker in workers.iter() {
            for _ in 0..worker.channel.asked.capacity() {
                let Some(asked) = worker.channel.asked.pop() else {
                    break;
                };
                let answer = self.served.answer(&asked);
                self.deliver(answer);
            }
        }
    }
}
