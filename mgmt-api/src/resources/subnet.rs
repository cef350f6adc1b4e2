//! The subnets of a network: the addresses its stations may have, and what DHCP and router advertisements tell them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::dhcp_option::{DhcpOptions, DhcpOptionsSpec, Level};
use super::prefix::{check_subnet, is_reserved_in};
use super::router::check_family;
use super::{Route, RouteSpec, overlap};
use crate::refusal::Refusal;

/// A day, as Neutron and dnsmasq have it.
const DEFAULT_LEASE: u32 = 86_400;
/// A client asks again after half of it: less would be a flood.
const MIN_LEASE: u32 = 10;
/// More would not fit one message.
const MAX_DNS: usize = 16;
/// More would not fit one message (nine bytes each in each of two options).
const MAX_ROUTES: usize = 64;
/// The prefix length that stateless address configuration needs (RFC 4862 §5.5.3, RFC 7421).
const SLAAC_LENGTH: u8 = 64;

/// A subnet as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Subnet)]
pub struct SubnetSpec {
    /// Its prefix.
    #[schema(value_type = String, examples("192.168.1.0/24"))]
    pub cidr: IpNet,
    /// The default router that DHCP tells of; it need not be one of `routers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, examples("192.168.1.1"))]
    pub gateway: Option<IpAddr>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 16)]
    pub dns: Vec<IpAddr>,
    /// Routes that stations are told of (DHCP options 121 and 249).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub routes: Vec<RouteSpec>,
    /// IPv4: whether DHCP is answered; by default it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub dhcp: Option<bool>,
    /// Seconds that a lease lasts.
    #[serde(default = "default_lease")]
    #[schema(minimum = 10, default = 86_400)]
    pub lease_seconds: u32,
    /// IPv4: further DHCP options by name or code.
    #[serde(default, skip_serializing_if = "DhcpOptionsSpec::is_empty")]
    #[schema(examples(json!({"domain-name": "example.org", "42": "192.0.2.1"})))]
    pub dhcp_options: DhcpOptionsSpec,
    /// IPv6: how stations get their addresses; by default `slaac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_mode: Option<Ipv6Mode>,
}

fn default_lease() -> u32 {
    DEFAULT_LEASE
}

/// How stations get their IPv6 addresses and what else they are told (the words of Neutron).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6Mode {
    /// From router advertisements, which tell of name servers too (RFC 4862, RFC 8106).
    #[default]
    Slaac,
    /// Addresses from router advertisements, the rest from DHCPv6 (RFC 8415 §6.1).
    Dhcpv6Stateless,
    /// All from DHCPv6; router advertisements only tell of the router.
    Dhcpv6Stateful,
    /// Nothing is told.
    None,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    /// Its prefix.
    pub cidr: IpNet,
    /// The default router, inside the prefix.
    pub gateway: Option<IpAddr>,
    /// Name servers, of the prefix's family.
    pub dns: Box<[IpAddr]>,
    /// Routes that stations are told of, of the prefix's family, their next hops inside it.
    pub routes: Box<[Route]>,
    /// Whether DHCPv4 is answered; false for IPv6.
    pub dhcp: bool,
    /// Seconds that a lease lasts; [`u32::MAX`] is for ever.
    pub lease_seconds: u32,
    /// Further DHCPv4 options.
    pub dhcp_options: DhcpOptions,
    /// How IPv6 stations get addresses; [`Ipv6Mode::None`] for IPv4.
    pub ipv6_mode: Ipv6Mode,
}

impl Subnet {
    /// Reads the subnets of a network.
    pub(super) fn resolve_all(spec: Vec<SubnetSpec>) -> Result<Box<[Self]>, Refusal> {
        let mut subnets: Vec<Self> = Vec::with_capacity(spec.len());
        for (index, spec) in spec.into_iter().enumerate() {
            let at = format!("/subnets/{index}");
            let subnet = Self::resolve(spec, &at)?;
            let mut others = subnets.iter().map(|other| other.cidr);
            if let Some(other) = others.find(|other| overlap(other, &subnet.cidr)) {
                let message = format!(
                    "{} overlaps {other} of the same network: an address is in one subnet",
                    subnet.cidr
                );
                return Err(Refusal::conflict(format!("{at}/cidr"), message));
            }
            subnets.push(subnet);
        }
        Ok(subnets.into())
    }

    fn resolve(spec: SubnetSpec, at: &str) -> Result<Self, Refusal> {
        let is_v4 = spec.cidr.addr().is_ipv4();
        let route = |route: RouteSpec| Route {
            destination: route.destination.trunc(),
            via: route.via,
        };
        check_family_fields(&spec, at)?;
        let subnet = Self {
            cidr: spec.cidr,
            gateway: spec.gateway,
            dns: spec.dns.into(),
            routes: spec.routes.into_iter().map(route).collect(),
            dhcp: is_v4 && spec.dhcp.unwrap_or(true),
            lease_seconds: spec.lease_seconds,
            dhcp_options: DhcpOptions::resolve(
                &spec.dhcp_options,
                Level::Subnet,
                &format!("{at}/dhcp_options"),
            )?,
            ipv6_mode: match is_v4 {
                true => Ipv6Mode::None,
                false => spec.ipv6_mode.unwrap_or_default(),
            },
        };
        subnet.check(at)?;
        Ok(subnet)
    }

    fn check(&self, at: &str) -> Result<(), Refusal> {
        check_subnet(&self.cidr, &format!("{at}/cidr"))?;
        let needs_64 = matches!(self.ipv6_mode, Ipv6Mode::Slaac | Ipv6Mode::Dhcpv6Stateless);
        if needs_64 && self.cidr.prefix_len() != SLAAC_LENGTH {
            let message = format!(
                "stations make their own addresses only in a /{SLAAC_LENGTH}, not in {}: give such a prefix, or the \
                 mode dhcpv6-stateful or none",
                self.cidr
            );
            return Err(Refusal::invalid(format!("{at}/ipv6_mode"), message));
        }
        if let Some(gateway) = self.gateway {
            self.check_station(gateway, &format!("{at}/gateway"))?;
        }
        if self.lease_seconds < MIN_LEASE {
            let message = format!(
                "the shortest lease is {MIN_LEASE} seconds, not {}",
                self.lease_seconds
            );
            return Err(Refusal::invalid(format!("{at}/lease_seconds"), message));
        }
        self.check_dns(at)?;
        self.check_routes(at)
    }

    /// Refuses what cannot be a station of this subnet.
    pub(super) fn check_station(&self, address: IpAddr, field: &str) -> Result<(), Refusal> {
        if !self.cidr.contains(&address) {
            let message = format!("{address} is not in the subnet {}", self.cidr);
            return Err(Refusal::invalid(field, message));
        }
        if is_reserved_in(address, &self.cidr) {
            let message = format!(
                "{address} is the own or the broadcast address of {}: give a station's",
                self.cidr
            );
            return Err(Refusal::invalid(field, message));
        }
        Ok(())
    }

    fn check_dns(&self, at: &str) -> Result<(), Refusal> {
        if self.dns.len() > MAX_DNS {
            let message = format!("at most {MAX_DNS} name servers, not {}", self.dns.len());
            return Err(Refusal::invalid(format!("{at}/dns"), message));
        }
        for (index, &server) in self.dns.iter().enumerate() {
            let field = format!("{at}/dns/{index}");
            check_family(&self.cidr, server, &field)?;
            if server.is_unspecified() || server.is_multicast() {
                let message = format!("{server} cannot be the address of a server");
                return Err(Refusal::invalid(field, message));
            }
            if self.dns[..index].contains(&server) {
                let message = format!("{server} is given twice");
                return Err(Refusal::conflict(field, message));
            }
        }
        Ok(())
    }

    fn check_routes(&self, at: &str) -> Result<(), Refusal> {
        if self.routes.len() > MAX_ROUTES {
            let message = format!("at most {MAX_ROUTES} routes, not {}", self.routes.len());
            return Err(Refusal::invalid(format!("{at}/routes"), message));
        }
        for (index, route) in self.routes.iter().enumerate() {
            let field = format!("{at}/routes/{index}");
            check_family(&route.destination, route.via, &format!("{field}/via"))?;
            self.check_station(route.via, &format!("{field}/via"))?;
            let mut before = self.routes[..index].iter();
            if before.any(|other| other.destination == route.destination) {
                let message = format!("a second route to {}", route.destination);
                return Err(Refusal::conflict(format!("{field}/destination"), message));
            }
        }
        Ok(())
    }
}

/// Refuses fields of the other address family.
fn check_family_fields(spec: &SubnetSpec, at: &str) -> Result<(), Refusal> {
    if spec.cidr.addr().is_ipv4() {
        if spec.ipv6_mode.is_some() {
            let message = "an IPv4 subnet has `dhcp`, true or false: leave `ipv6_mode` out";
            return Err(Refusal::invalid(format!("{at}/ipv6_mode"), message));
        }
        return Ok(());
    }
    let misplaced = [
        ("dhcp", spec.dhcp.is_some()),
        ("dhcp_options", !spec.dhcp_options.is_empty()),
    ];
    if let Some((field, _)) = misplaced.into_iter().find(|(_, given)| *given) {
        let message = format!(
            "an IPv6 subnet has `ipv6_mode` (slaac, dhcpv6-stateless, dhcpv6-stateful or none): leave `{field}` out"
        );
        return Err(Refusal::invalid(format!("{at}/{field}"), message));
    }
    Ok(())
}

impl From<&Subnet> for SubnetSpec {
    fn from(subnet: &Subnet) -> Self {
        let is_v4 = subnet.cidr.addr().is_ipv4();
        Self {
            cidr: subnet.cidr,
            gateway: subnet.gateway,
            dns: subnet.dns.to_vec(),
            routes: subnet.routes.iter().map(RouteSpec::from).collect(),
            dhcp: is_v4.then_some(subnet.dhcp),
            lease_seconds: subnet.lease_seconds,
            dhcp_options: subnet.dhcp_options.spec(),
            ipv6_mode: (!is_v4).then_some(subnet.ipv6_mode),
        }
    }
}
