//! What makes a network an external one: the hosts' gateways for floating IPs in it.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::host::check_unicast;
use super::placed::resolve_host;
use super::{Host, Segment, Subnet};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// What an external network has beside others, as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = External)]
pub struct ExternalSpec {
    /// By which hosts speak for floating IPs of ports that live on them, one for each host. A host without one uses the MAC
    /// of the device of the network's segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating_ip_gateways: Vec<FloatingIpGatewaySpec>,
}

/// A host's gateway for floating IPs as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FloatingIpGateway)]
pub struct FloatingIpGatewaySpec {
    /// The host; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Id>,
    /// Its MAC address: floating IPs are answered with it.
    pub mac: Mac,
    /// An address of its own in the network, if it has one: what it asks its neighbours with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, examples("10.100.0.2"))]
    pub address: Option<Ipv4Addr>,
}

/// What an external network has beside others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct External {
    /// One for each host at most.
    pub floating_ip_gateways: Box<[FloatingIpGateway]>,
}

/// A host's gateway for floating IPs: the MAC by which it answers for those of its ports.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatingIpGateway {
    /// The remote host; `None`: this one.
    pub host: Option<Handle<Host>>,
    /// True if the document names this host rather than leaving it out.
    pub names_local_host: bool,
    /// Its MAC address.
    pub mac: Mac,
    /// Its own address, in a subnet of the network.
    pub address: Option<Ipv4Addr>,
}

impl External {
    /// The gateway of a host; `None` for this one.
    #[must_use]
    pub fn gateway_of(&self, host: Option<Handle<Host>>) -> Option<&FloatingIpGateway> {
        let mut gateways = self.floating_ip_gateways.iter();
        gateways.find(|own| own.host == host)
    }

    /// Reads it for a network with this segment and these subnets.
    pub(super) fn resolve(
        spec: ExternalSpec,
        segment: Segment,
        subnets: &[Subnet],
        view: View<'_>,
    ) -> Result<Self, Refusal> {
        if segment.attachment().is_none() {
            let message = "an external network is a VLAN of an interface or its untagged frames: give a segment of type \
                 vlan or flat, or leave `external` out";
            return Err(Refusal::conflict("/external", message));
        }
        if subnets.is_empty() {
            let message = "an external network has a subnet: floating IPs and gateways are addresses in it; give `subnets`";
            return Err(Refusal::invalid("/subnets", message));
        }
        let mut gateways: Vec<FloatingIpGateway> =
            Vec::with_capacity(spec.floating_ip_gateways.len());
        let mut taken = Taken::default();
        for (index, spec) in spec.floating_ip_gateways.into_iter().enumerate() {
            let at = format!("/external/floating_ip_gateways/{index}");
            let gateway = FloatingIpGateway::resolve(spec, subnets, view, &at)?;
            gateway.check_beside(&mut taken, view, &at)?;
            gateways.push(gateway);
        }
        Ok(Self {
            floating_ip_gateways: gateways.into(),
        })
    }

    pub(super) fn spec(&self, view: View<'_>) -> ExternalSpec {
        let gateways = self.floating_ip_gateways.iter();
        ExternalSpec {
            floating_ip_gateways: gateways.map(|own| own.spec(view)).collect(),
        }
    }
}

/// What the gateways of a list have so far: there may be one for each of thousands of hosts.
#[derive(Default)]
struct Taken {
    hosts: HashSet<Option<Handle<Host>>>,
    macs: HashSet<Mac>,
    addresses: HashSet<Ipv4Addr>,
}

impl FloatingIpGateway {
    fn resolve(
        spec: FloatingIpGatewaySpec,
        subnets: &[Subnet],
        view: View<'_>,
        at: &str,
    ) -> Result<Self, Refusal> {
        let (host, names_local_host) =
            resolve_host(spec.host.as_ref(), view, &format!("{at}/host"))?;
        check_unicast(spec.mac, &format!("{at}/mac"))?;
        if let Some(address) = spec.address {
            check_outside(address.into(), subnets, &format!("{at}/address"))?;
        }
        Ok(Self {
            host,
            names_local_host,
            mac: spec.mac,
            address: spec.address,
        })
    }

    /// That it fits those before it in the list.
    fn check_beside(&self, taken: &mut Taken, view: View<'_>, at: &str) -> Result<(), Refusal> {
        if !taken.hosts.insert(self.host) {
            let message = format!(
                "{} has a gateway in this list already: a host has one",
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
        match self.address {
            Some(own) if !taken.addresses.insert(own) => {
                let message = format!("{own} is given twice: each host has an address of its own");
                Err(Refusal::conflict(format!("{at}/address"), message))
            }
            _ => Ok(()),
        }
    }

    fn spec(&self, view: View<'_>) -> FloatingIpGatewaySpec {
        FloatingIpGatewaySpec {
            host: super::placed::host_spec(self.host, self.names_local_host, view),
            mac: self.mac,
            address: self.address,
        }
    }
}

/// A host as messages name it.
pub(super) fn host_name(host: Option<Handle<Host>>, view: View<'_>) -> String {
    match host {
        Some(host) => format!("host {}", view.id_of(host)),
        None => format!("this host ({})", view.facts().local_host),
    }
}

/// Refuses what is no address of ours on an external network with these subnets.
pub(super) fn check_outside(
    address: std::net::IpAddr,
    subnets: &[Subnet],
    field: &str,
) -> Result<(), Refusal> {
    let Some(subnet) = subnets.iter().find(|own| own.cidr.contains(&address)) else {
        let subnets = subnets.iter().map(|own| own.cidr.to_string());
        let message = format!(
            "{address} is in no subnet of the external network, which has {}: choose one of these, or add its subnet",
            subnets.collect::<Vec<_>>().join(", ")
        );
        return Err(Refusal::invalid(field, message));
    };
    subnet.check_station(address, field)?;
    if subnet.gateway == Some(address) {
        let message = format!(
            "{address} is the gateway of {}, the next router outside: choose another",
            subnet.cidr
        );
        return Err(Refusal::conflict(field, message));
    }
    Ok(())
}
