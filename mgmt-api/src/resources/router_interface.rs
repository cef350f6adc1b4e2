//! An interface of a router: the gateway of a network, and by what other hosts reach the router's central way outside.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::host::check_unicast;
use super::prefix::{check_host_in_subnet, is_reserved_in};
use super::{Network, overlap};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// An interface of a router as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouterInterface)]
pub struct RouterInterfaceSpec {
    /// The network.
    pub network: Id,
    /// The MAC address of the gateway, the same on every host.
    pub mac: Mac,
    /// The addresses of the gateway with their prefix lengths: they make the connected subnets.
    #[schema(value_type = Vec<String>, min_items = 1, examples(json!(["192.168.1.1/24", "2001:db8:1::1/64"])))]
    pub addresses: Vec<IpNet>,
    /// Of a distributed router with a way outside: by what the hosts without a gateway outside reach the one that has the
    /// central gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub central: Option<CentralPortSpec>,
}

/// An interface of a router: the gateway of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterInterface {
    /// The network. Further interfaces of the router in it have other MACs.
    pub network: Handle<Network>,
    /// The gateway's MAC address.
    pub mac: Mac,
    /// Its addresses, each a host's in its subnet. No two subnets of one router overlap.
    pub addresses: Box<[IpNet]>,
    /// By what other hosts reach the central gateway. Its host is a member of the network.
    pub central: Option<Box<CentralPort>>,
}

impl RouterInterface {
    /// True if it is one of the gateway's addresses.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr() == address)
    }

    /// The subnet of this interface that the address is in.
    #[must_use]
    pub fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        let mut subnets = self.addresses.iter().map(IpNet::trunc);
        subnets.find(|subnet| subnet.contains(&address))
    }

    /// The link-local address that follows from the MAC (modified EUI-64, RFC 4291 appendix A).
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0.map(u16::from);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            (a ^ 2) << 8 | b,
            c << 8 | 0xff,
            0xfe00 | d,
            e << 8 | f,
        )
    }

    /// Reads the interfaces of a router.
    pub(super) fn resolve_all(
        spec: Vec<RouterInterfaceSpec>,
        view: View<'_>,
    ) -> Result<Box<[Self]>, Refusal> {
        let mut interfaces: Vec<RouterInterface> = Vec::with_capacity(spec.len());
        for (index, spec) in spec.into_iter().enumerate() {
            let at = format!("/interfaces/{index}");
            let network = find::<Network>(&spec.network, view, &format!("{at}/network"))?;
            // Neutron makes one interface for each IPv4 subnet of a network.
            let same = |other: &RouterInterface| other.network == network && other.mac == spec.mac;
            if interfaces.iter().any(same) {
                let message = format!(
                    "the router has an interface with this MAC in {} already: give that one this address too",
                    spec.network
                );
                return Err(Refusal::conflict(format!("{at}/mac"), message));
            }
            check_unicast(spec.mac, &format!("{at}/mac"))?;
            check_addresses(&spec.addresses, &interfaces, &at)?;
            let mut interface = RouterInterface {
                network,
                mac: spec.mac,
                addresses: spec.addresses.into(),
                central: None,
            };
            if let Some(central) = spec.central {
                let central = CentralPort::resolve(central, &interface, &at)?;
                interface.central = Some(Box::new(central));
            }
            interfaces.push(interface);
        }
        check_central_macs(&interfaces)?;
        Ok(interfaces.into())
    }

    pub(super) fn spec(&self, view: View<'_>) -> RouterInterfaceSpec {
        RouterInterfaceSpec {
            network: view.id_of(self.network),
            mac: self.mac,
            addresses: self.addresses.to_vec(),
            central: self.central.as_deref().map(CentralPort::spec),
        }
    }
}

/// The addresses of an interface, which stands at `at` behind `others` of its router.
fn check_addresses(
    addresses: &[IpNet],
    others: &[RouterInterface],
    at: &str,
) -> Result<(), Refusal> {
    if addresses.is_empty() {
        let message =
            "a gateway has an address: give one with its prefix length, as in 192.168.1.1/24";
        return Err(Refusal::invalid(format!("{at}/addresses"), message));
    }
    for (index, own) in addresses.iter().enumerate() {
        let field = format!("{at}/addresses/{index}");
        if matches!(own.addr(), IpAddr::V6(own) if own.is_unicast_link_local()) {
            let message =
                format!("{own} is link-local: a gateway's follows from its MAC, leave it out");
            return Err(Refusal::invalid(field, message));
        }
        check_host_in_subnet(own, &field)?;
        let others = others.iter().flat_map(|other| &other.addresses);
        if let Some(other) = others
            .chain(&addresses[..index])
            .find(|other| overlap(other, own))
        {
            let message = format!(
                "{own} overlaps {other}: a router reaches each subnet by one interface and has one address in it"
            );
            return Err(Refusal::conflict(field, message));
        }
    }
    Ok(())
}

/// A central port's MAC is no other's of its network on this router. Those of other stations are looked for later.
fn check_central_macs(interfaces: &[RouterInterface]) -> Result<(), Refusal> {
    for (index, own) in interfaces.iter().enumerate() {
        let Some(central) = own.central.as_deref() else {
            continue;
        };
        let at = format!("/interfaces/{index}/central");
        let mut near = interfaces
            .iter()
            .filter(|other| other.network == own.network);
        if near.any(|other| other.mac == central.mac) {
            let message = format!(
                "{} is a gateway's MAC, which every host has: a central port has one of its own",
                central.mac
            );
            return Err(Refusal::conflict(format!("{at}/mac"), message));
        }
        let mut before = interfaces[..index].iter();
        let same = |other: &&RouterInterface| {
            let other = other
                .central
                .as_ref()
                .filter(|_| other.network == own.network);
            other.is_some_and(|other| other.mac == central.mac)
        };
        if before.any(|other| same(&other)) {
            let message = format!(
                "{} is that of another central port in this network: each has its own",
                central.mac
            );
            return Err(Refusal::conflict(format!("{at}/mac"), message));
        }
    }
    Ok(())
}

/// A central port as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CentralPort)]
pub struct CentralPortSpec {
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, in the interface's subnets.
    #[schema(value_type = Vec<String>, min_items = 1, examples(json!(["192.168.1.11", "2001:db8:1::b"])))]
    pub addresses: Vec<IpAddr>,
}

/// A central port: the MAC and addresses in a network by which other hosts reach the router's central gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct CentralPort {
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, in the interface's subnets.
    pub addresses: Box<[IpAddr]>,
}

impl CentralPort {
    /// The first of its addresses of a family.
    #[must_use]
    pub fn address(&self, is_ipv4: bool) -> Option<IpAddr> {
        let mut addresses = self.addresses.iter().copied();
        addresses.find(|own| own.is_ipv4() == is_ipv4)
    }

    /// Reads the one of an interface, which stands at `at`.
    pub(super) fn resolve(
        spec: CentralPortSpec,
        interface: &RouterInterface,
        at: &str,
    ) -> Result<Self, Refusal> {
        check_unicast(spec.mac, &format!("{at}/central/mac"))?;
        if spec.addresses.is_empty() {
            let message = "a central port has an address in the interface's subnet: give one";
            return Err(Refusal::invalid(format!("{at}/central/addresses"), message));
        }
        for (index, &own) in spec.addresses.iter().enumerate() {
            let field = format!("{at}/central/addresses/{index}");
            if spec.addresses[..index].contains(&own) {
                return Err(Refusal::conflict(field, format!("{own} is given twice")));
            }
            if interface.has_address(own) {
                let message = format!(
                    "{own} is the gateway's own address, which every host has: a central port has one of its own"
                );
                return Err(Refusal::conflict(field, message));
            }
            let Some(subnet) = interface.subnet_of(own) else {
                let message = format!(
                    "{own} is in no subnet of this interface: give an address beside the gateway's"
                );
                return Err(Refusal::invalid(field, message));
            };
            if is_reserved_in(own, &subnet) {
                let message =
                    format!("{own} is {subnet}'s own or its broadcast address: give a station's");
                return Err(Refusal::invalid(field, message));
            }
        }
        Ok(Self {
            mac: spec.mac,
            addresses: spec.addresses.into(),
        })
    }

    pub(super) fn spec(&self) -> CentralPortSpec {
        CentralPortSpec {
            mac: self.mac,
            addresses: self.addresses.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_local_address_follows_from_the_mac() {
        let interface = RouterInterface {
            network: Handle::new(0),
            mac: "fa:16:3e:5b:89:14".parse().unwrap(),
            addresses: Box::default(),
            central: None,
        };
        let expected: Ipv6Addr = "fe80::f816:3eff:fe5b:8914".parse().unwrap();
        assert_eq!(interface.link_local(), expected);
    }
}
