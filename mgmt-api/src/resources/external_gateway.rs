//! A router's way outside: its gateways on an external network, what is translated there, and its central ports inside.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::external_network::{check_outside, host_name};
use super::host::check_unicast;
use super::placed::{host_spec, resolve_host};
use super::prefix::{check_canonical, is_reserved_in};
use super::router::MAX_NEXT_HOPS;
use super::{Host, Network, RouterInterface};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// The most addresses of a gateway: a new session looks at all of them.
const MAX_ADDRESSES: usize = 1024;
/// The most prefixes of a list: each packet that is translated looks at all of them.
const MAX_PREFIXES: usize = 256;

/// What a floating IP of a distributed router costs of the TTL in Neutron: two routers are passed there.
const FLOATING_IP_HOPS: u8 = 2;

/// A router's way outside as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExternalGateway)]
pub struct ExternalGatewaySpec {
    /// The external network.
    pub network: Id,
    /// Where the router meets it. The first is the central one: hosts without one of their own send to its host, by way of
    /// the interfaces' `central` ports. A router that is not distributed has one, on its host.
    #[schema(min_items = 1)]
    pub gateways: Vec<OutsideGatewaySpec>,
    /// The next routers outside; by default the gateway of a subnet of the network for each address family. None, `[]`: only
    /// the network itself is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, examples(json!(["10.100.0.1"])))]
    pub next_hops: Option<Vec<IpAddr>>,
    /// Whether IPv4 addresses inside are translated to the gateways'; otherwise they are routed as they are.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub snat: bool,
    /// Which packets from outside a translated address lets in.
    #[serde(default)]
    pub filtering: Filtering,
    /// Destinations that are reached without translation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 256, examples(json!(["198.51.100.0/24"])))]
    pub exempt: Vec<Ipv4Net>,
    /// Prefixes inside that are in the external network's address scope: not translated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 256, examples(json!(["10.1.0.0/16"])))]
    pub same_scope: Vec<Ipv4Net>,
    /// IPv6: whether only what was begun inside may come in.
    #[serde(default)]
    #[schema(default = false)]
    pub outbound_only_ipv6: bool,
    /// What a floating IP of a distributed router costs of the TTL: 2 as in Neutron, or 1.
    #[serde(default = "floating_ip_hops")]
    #[schema(minimum = 1, maximum = 2, default = 2)]
    pub floating_ip_hops: u8,
}

fn yes() -> bool {
    true
}

fn floating_ip_hops() -> u8 {
    FLOATING_IP_HOPS
}

/// Which packets from outside a translated address lets in (RFC 4787, REQ-8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// All to a port that is in use: applications work best.
    #[default]
    EndpointIndependent,
    /// Those from addresses that the station inside has sent to.
    AddressDependent,
}

/// A router's gateway on an external network as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OutsideGateway)]
pub struct OutsideGatewaySpec {
    /// Of a distributed router: the host it is on; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Id>,
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses with their prefix lengths. What goes out is translated to one of the IPv4 ones.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 1024, examples(json!(["10.100.0.5/24", "2001:db8:ff::5/64"])))]
    pub addresses: Vec<IpNet>,
}

/// A router's way outside.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalGateway {
    /// The external network.
    pub network: Handle<Network>,
    /// One for each host that has one, the central one first; at least one.
    pub gateways: Box<[OutsideGateway]>,
    /// The next routers outside; `None`: those of the network's subnets. [`View::next_hops_outside`] has either.
    pub next_hops: Option<Box<[IpAddr]>>,
    /// Whether IPv4 addresses inside are translated to the gateways'.
    pub snat: bool,
    /// Which packets from outside a translated address lets in.
    pub filtering: Filtering,
    /// Destinations that are reached without translation.
    pub exempt: Box<[Ipv4Net]>,
    /// Prefixes inside that are not translated.
    pub same_scope: Box<[Ipv4Net]>,
    /// IPv6: whether only what was begun inside may come in.
    pub outbound_only_ipv6: bool,
    /// What a floating IP of a distributed router costs of the TTL: 1 or 2.
    pub floating_ip_hops: u8,
}

/// A router's gateway on an external network, on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct OutsideGateway {
    /// The remote host; `None`: this one. Of a router that is not distributed: its host.
    pub host: Option<Handle<Host>>,
    /// True if the document names this host rather than leaving it out.
    pub names_local_host: bool,
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, each a host's in a subnet of the network.
    pub addresses: Box<[IpNet]>,
}

impl OutsideGateway {
    /// True if it is one of its addresses.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr() == address)
    }

    /// True if it has an address of the family of IPv4, or of IPv6.
    #[must_use]
    pub fn has_family(&self, is_ipv4: bool) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|own| own.addr().is_ipv4() == is_ipv4)
    }
}

impl ExternalGateway {
    /// The central gateway, by which hosts go out that have none of their own.
    #[must_use]
    pub fn central(&self) -> Option<&OutsideGateway> {
        self.gateways.first()
    }

    /// The gateway of a host; `None` for this one.
    #[must_use]
    pub fn gateway_of(&self, host: Option<Handle<Host>>) -> Option<&OutsideGateway> {
        self.gateways.iter().find(|own| own.host == host)
    }

    /// Reads it for a router that runs on every host, or on the one given (`None`: this).
    pub(super) fn resolve(
        spec: ExternalGatewaySpec,
        distributed: bool,
        router_host: Option<Handle<Host>>,
        view: View<'_>,
    ) -> Result<Self, Refusal> {
        const AT: &str = "/external_gateway";
        let network = find::<Network>(&spec.network, view, "/external_gateway/network")?;
        for (name, prefixes) in [("exempt", &spec.exempt), ("same_scope", &spec.same_scope)] {
            if prefixes.len() > MAX_PREFIXES {
                let message = format!(
                    "at most {MAX_PREFIXES} prefixes, not {}: put neighbouring ones together",
                    prefixes.len()
                );
                return Err(Refusal::invalid(format!("{AT}/{name}"), message));
            }
            for (index, prefix) in prefixes.iter().enumerate() {
                check_canonical(&(*prefix).into(), &format!("{AT}/{name}/{index}"))?;
            }
        }
        if !(1..=2).contains(&spec.floating_ip_hops) {
            let message = format!(
                "a floating IP costs 1 or 2 of the TTL, not {}",
                spec.floating_ip_hops
            );
            return Err(Refusal::invalid(format!("{AT}/floating_ip_hops"), message));
        }
        let gateways = OutsideGateway::resolve_all(spec.gateways, distributed, router_host, view)?;
        Ok(Self {
            network,
            gateways,
            next_hops: spec.next_hops.map(Into::into),
            snat: spec.snat,
            filtering: spec.filtering,
            exempt: spec.exempt.into(),
            same_scope: spec.same_scope.into(),
            outbound_only_ipv6: spec.outbound_only_ipv6,
            floating_ip_hops: spec.floating_ip_hops,
        })
    }

    pub(super) fn spec(&self, distributed: bool, view: View<'_>) -> ExternalGatewaySpec {
        let gateway = |own: &OutsideGateway| OutsideGatewaySpec {
            host: host_spec(own.host.filter(|_| distributed), own.names_local_host, view),
            mac: own.mac,
            addresses: own.addresses.to_vec(),
        };
        ExternalGatewaySpec {
            network: view.id_of(self.network),
            gateways: self.gateways.iter().map(gateway).collect(),
            next_hops: self.next_hops.as_deref().map(<[_]>::to_vec),
            snat: self.snat,
            filtering: self.filtering,
            exempt: self.exempt.to_vec(),
            same_scope: self.same_scope.to_vec(),
            outbound_only_ipv6: self.outbound_only_ipv6,
            floating_ip_hops: self.floating_ip_hops,
        }
    }

    /// That it fits the external network as it is, and the router's interfaces. Refusals name the router's field.
    pub(crate) fn check(
        &self,
        interfaces: &[RouterInterface],
        view: View<'_>,
    ) -> Result<(), Refusal> {
        const NETWORK: &str = "/external_gateway/network";
        let Some(network) = view.get(self.network) else {
            // That the network is in use is found where it is removed.
            return Ok(());
        };
        if network.external.is_none() {
            let message = format!(
                "network {} is no external one: give it `external`, or choose one that has it",
                network.id
            );
            return Err(Refusal::conflict(NETWORK, message));
        }
        for own in interfaces {
            if own.network == self.network {
                let message = format!(
                    "the router has an interface in network {} already: it cannot be its way outside too",
                    network.id
                );
                return Err(Refusal::conflict(NETWORK, message));
            }
            let mut inside = own.addresses.iter().map(IpNet::trunc);
            let overlapping = |inside: &IpNet| {
                let mut outside = network.subnets.iter().map(|subnet| subnet.cidr);
                outside.any(|outside| super::overlap(&outside, inside))
            };
            if let Some(subnet) = inside.find(overlapping) {
                let message = format!(
                    "{subnet} inside overlaps a subnet of external network {}: a router reaches each subnet by one way",
                    network.id
                );
                return Err(Refusal::conflict(NETWORK, message));
            }
        }
        for (at, gateway) in self.gateways.iter().enumerate() {
            for (index, address) in gateway.addresses.iter().enumerate() {
                let field = format!("/external_gateway/gateways/{at}/addresses/{index}");
                check_outside(address.addr(), &network.subnets, &field)?;
                let subnet = network.subnet_of(address.addr());
                if let Some(subnet) = subnet.filter(|subnet| subnet.cidr != address.trunc()) {
                    let message = format!(
                        "{address} has another prefix length than its subnet {} in network {}: write {}/{}",
                        subnet.cidr,
                        network.id,
                        address.addr(),
                        subnet.cidr.prefix_len()
                    );
                    return Err(Refusal::invalid(field, message));
                }
            }
        }
        self.check_next_hops(network)
    }

    fn check_next_hops(&self, network: &Network) -> Result<(), Refusal> {
        let next_hops = self.next_hops.as_deref().unwrap_or_default();
        for (index, &hop) in next_hops.iter().enumerate() {
            let field = format!("/external_gateway/next_hops/{index}");
            if let Some(message) = self.why_no_next_hop(hop, network) {
                return Err(Refusal::invalid(field, message));
            }
            let before = &next_hops[..index];
            if before.contains(&hop) {
                return Err(Refusal::conflict(field, format!("{hop} is given twice")));
            }
            let family = before
                .iter()
                .filter(|other| other.is_ipv4() == hop.is_ipv4());
            if family.count() >= MAX_NEXT_HOPS {
                let message = format!(
                    "at most {MAX_NEXT_HOPS} next hops of one address family share the way outside"
                );
                return Err(Refusal::invalid(field, message));
            }
        }
        Ok(())
    }

    /// Why `via` cannot be a next hop outside.
    pub(super) fn why_no_next_hop(&self, via: IpAddr, network: &Network) -> Option<String> {
        let Some(subnet) = network.subnet_of(via) else {
            let subnets = network.subnets.iter().map(|own| own.cidr.to_string());
            return Some(format!(
                "{via} is on no subnet of external network {}, which has {}: give the address of a router there",
                network.id,
                subnets.collect::<Vec<_>>().join(", ")
            ));
        };
        if self.gateways.iter().any(|own| own.has_address(via)) {
            return Some(format!(
                "{via} is the router's own address outside: give that of the next router"
            ));
        }
        is_reserved_in(via, &subnet.cidr).then(|| {
            format!(
                "{via} is {}'s own or its broadcast address: give the next router's",
                subnet.cidr
            )
        })
    }
}

/// What the gateways of a list have so far: there may be one for each of thousands of hosts.
#[derive(Default)]
struct Taken {
    addresses: HashSet<IpAddr>,
    hosts: HashSet<Option<Handle<Host>>>,
    macs: HashSet<Mac>,
}

impl OutsideGateway {
    fn resolve_all(
        spec: Vec<OutsideGatewaySpec>,
        distributed: bool,
        router_host: Option<Handle<Host>>,
        view: View<'_>,
    ) -> Result<Box<[Self]>, Refusal> {
        const AT: &str = "/external_gateway/gateways";
        if spec.is_empty() {
            let message = "a way outside has a gateway: give one with its MAC and addresses";
            return Err(Refusal::invalid(AT, message));
        }
        if !distributed && spec.len() > 1 {
            let message = "a router that is not distributed has one gateway outside, on its host: give all addresses to \
                 it, or set `distributed` true";
            return Err(Refusal::conflict(format!("{AT}/1"), message));
        }
        let mut gateways: Vec<Self> = Vec::with_capacity(spec.len());
        let mut taken = Taken::default();
        for (index, spec) in spec.into_iter().enumerate() {
            let at = format!("{AT}/{index}");
            if !distributed && spec.host.is_some() {
                let message = "a router that is not distributed has its gateway outside on its own host: leave this `host` out";
                return Err(Refusal::conflict(format!("{at}/host"), message));
            }
            let (host, names_local_host) =
                resolve_host(spec.host.as_ref(), view, &format!("{at}/host"))?;
            check_unicast(spec.mac, &format!("{at}/mac"))?;
            let gateway = Self {
                host: if distributed { host } else { router_host },
                names_local_host,
                mac: spec.mac,
                addresses: spec.addresses.into(),
            };
            gateway.check_beside(&mut taken, gateways.first(), view, &at)?;
            gateways.push(gateway);
        }
        Ok(gateways.into())
    }

    /// That it fits those before it in the list.
    fn check_beside(
        &self,
        taken: &mut Taken,
        first: Option<&Self>,
        view: View<'_>,
        at: &str,
    ) -> Result<(), Refusal> {
        if self.addresses.is_empty() {
            let message =
                "a gateway has an address: give one with its prefix length, as in 10.100.0.5/24";
            return Err(Refusal::invalid(format!("{at}/addresses"), message));
        }
        if self.addresses.len() > MAX_ADDRESSES {
            let message = format!(
                "at most {MAX_ADDRESSES} addresses, not {}: share the stations out to several routers",
                self.addresses.len()
            );
            return Err(Refusal::invalid(format!("{at}/addresses"), message));
        }
        for (index, own) in self.addresses.iter().enumerate() {
            if !taken.addresses.insert(own.addr()) {
                let message = format!("{} is given twice", own.addr());
                return Err(Refusal::conflict(
                    format!("{at}/addresses/{index}"),
                    message,
                ));
            }
        }
        if !taken.hosts.insert(self.host) {
            let message = format!(
                "{} has a gateway in this list already: give that one these addresses too",
                host_name(self.host, view)
            );
            return Err(Refusal::conflict(format!("{at}/host"), message));
        }
        if !taken.macs.insert(self.mac) {
            let message = format!(
                "{} is given twice: each host has a MAC of its own",
                self.mac
            );
            return Err(Refusal::conflict(format!("{at}/mac"), message));
        }
        for (is_ipv4, family) in [(true, "IPv4"), (false, "IPv6")] {
            if let Some(central) = first
                && central.has_family(is_ipv4) != self.has_family(is_ipv4)
            {
                let message = format!(
                    "this gateway and the first one do not both have an {family} address: a router goes out with the same \
                     address families on every host"
                );
                return Err(Refusal::invalid(format!("{at}/addresses"), message));
            }
        }
        Ok(())
    }
}
