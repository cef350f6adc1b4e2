//! `interfaces`: the devices of the box, and what the underlay needs of them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attachment, Kind, Spec, Tag, Tpid, Vid};
use crate::id::Id;
use crate::refusal::{Code, Refusal};
use crate::state::{Claim, Handle, Owner, Place, Staged, StagedTable, State, Table, Used, View};

/// The least MTU an interface may have: every IPv4 host must accept 576 bytes (RFC 1122 §3.3.3).
const MIN_MTU: u16 = 576;
/// The least MTU of a link that carries IPv6 (RFC 8200 §5).
const MIN_MTU_V6: u16 = 1280;

/// An interface as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Interface)]
pub struct InterfaceSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The device of the daemon's configuration; by default the one named as the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The largest IP packet, in bytes; by default the device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 576)]
    pub mtu: Option<u16>,
    /// Addresses with prefix length. They make this an underlay interface: VXLAN is terminated on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, examples(json!(["192.0.2.11/24", "2001:db8::11/64"])))]
    pub addresses: Vec<IpNet>,
    /// The 802.1Q tag of the underlay's own frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vid>,
    /// The IPv4 default gateway of the underlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<Ipv4Addr>,
    /// The IPv6 default gateway of the underlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway6: Option<Ipv6Addr>,
    /// Further routes of the underlay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
}

/// A route of the underlay or of a router as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Route)]
pub struct RouteSpec {
    /// The prefix.
    #[schema(value_type = String, examples("198.51.100.0/24"))]
    pub destination: IpNet,
    /// The next hop, on a connected subnet.
    #[schema(value_type = String, examples("192.0.2.1"))]
    pub via: IpAddr,
}

/// Which device of [`Facts::devices`](crate::control::Facts::devices).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceIndex(pub u32);

/// A route of the underlay or of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The prefix, host bits cleared.
    pub destination: IpNet,
    /// The next hop.
    pub via: IpAddr,
}

impl From<&Route> for RouteSpec {
    fn from(route: &Route) -> Self {
        Self {
            destination: route.destination,
            via: route.via,
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// Its identifier.
    pub id: Id,
    /// Its device.
    pub device: DeviceIndex,
    /// For people.
    pub description: Option<Box<str>>,
    /// The MTU asked for; [`View::interface_mtu`] fills in the device's.
    pub mtu: Option<u16>,
    /// The underlay addresses. Empty: not an underlay interface.
    pub addresses: Box<[IpNet]>,
    /// The tag of the underlay's frames.
    pub tag: Option<Tag>,
    /// The IPv4 default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// The IPv6 default gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// Further routes.
    pub routes: Box<[Route]>,
}

impl Interface {
    /// True if VXLAN is terminated here.
    #[must_use]
    pub fn is_underlay(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// True if `address` is on a subnet of this interface and not its own.
    fn reaches(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|own| own.contains(&address) && own.addr() != address)
            || matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
                && self.addresses.iter().any(|own| own.addr().is_ipv6())
    }

    fn check_mtu(&self, view: View<'_>) -> Result<(), Refusal> {
        let device = view.device(self.device);
        let least = if self.addresses.iter().any(|own| own.addr().is_ipv6()) {
            MIN_MTU_V6
        } else {
            MIN_MTU
        };
        match self.mtu {
            Some(mtu) if mtu < least => Err(Refusal::invalid(
                "/mtu",
                format!("the least MTU here is {least}, not {mtu}"),
            )),
            Some(mtu) if mtu > device.max_mtu => {
                let message = format!(
                    "device {} carries at most {} bytes, not {mtu}: lower the MTU or configure the device for more",
                    device.name, device.max_mtu
                );
                Err(Refusal::invalid("/mtu", message))
            }
            _ => Ok(()),
        }
    }

    fn check_addresses(&self) -> Result<(), Refusal> {
        for (index, own) in self.addresses.iter().enumerate() {
            let at = || format!("/addresses/{index}");
            let address = own.addr();
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
                let message = format!("{address} cannot be the address of an interface");
                return Err(Refusal::invalid(at(), message));
            }
            let is_v4_network = own.addr().is_ipv4() && own.prefix_len() < 31;
            if is_v4_network && (address == own.network() || address == own.broadcast()) {
                let message = format!(
                    "{own} is the network's own or its broadcast address: give the interface's address in it"
                );
                return Err(Refusal::invalid(at(), message));
            }
            if self.addresses[..index]
                .iter()
                .any(|other| overlap(other, own))
            {
                let message = format!("{own} overlaps an address before it");
                return Err(Refusal::conflict(at(), message));
            }
        }
        Ok(())
    }

    fn check_next_hops(&self) -> Result<(), Refusal> {
        let gateways = [
            ("/gateway".to_owned(), self.gateway.map(IpAddr::V4)),
            ("/gateway6".to_owned(), self.gateway6.map(IpAddr::V6)),
        ];
        let routes = self.routes.iter().enumerate();
        let routes = routes.map(|(index, route)| (format!("/routes/{index}/via"), Some(route.via)));
        for (field, hop) in gateways.into_iter().chain(routes) {
            if let Some(hop) = hop
                && !self.reaches(hop)
            {
                let message = format!(
                    "{hop} is on none of the interface's subnets: give an address in one of `addresses`"
                );
                return Err(Refusal::invalid(field, message));
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            if route.destination.addr().is_ipv4() != route.via.is_ipv4() {
                let message = "destination and next hop are of different address families";
                return Err(Refusal::invalid(format!("/routes/{index}/via"), message));
            }
            if self.routes[..index]
                .iter()
                .any(|other| other.destination == route.destination)
            {
                let message = format!("a second route to {}", route.destination);
                return Err(Refusal::conflict(
                    format!("/routes/{index}/destination"),
                    message,
                ));
            }
        }
        Ok(())
    }
}

/// True if one prefix contains the other.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.trunc()) || b.contains(&a.trunc())
}

impl Spec for InterfaceSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for Interface {
    const NAME: &'static str = "interfaces";
    const TAG: u8 = 1;
    const SINGULAR: &'static str = "interface";
    const ABOUT: &'static str =
        "A device of the box. With addresses it carries the underlay: VXLAN is terminated on them.";

    type Key = Id;
    type Order = Id;
    type Spec = InterfaceSpec;

    fn resolve(key: &Id, spec: InterfaceSpec, view: View<'_>) -> Result<Self, Refusal> {
        let device = spec.device.unwrap_or_else(|| key.to_string());
        let device = view.facts().device(&device).ok_or_else(|| {
            let known = view.facts().devices.iter().map(|device| device.name.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            let message = format!(
                "the daemon has no device {device:?}; it has: {known}. Name one of them in `device` \
                 or add it to the daemon's configuration"
            );
            Refusal::new(Code::UnknownReference, message).at("/device")
        })?;
        if let Some(section) = view.device(device).taken_by {
            let message = format!(
                "device {} belongs to {section} of the daemon's configuration and cannot be an interface: \
                 use another, or take it out there",
                view.device(device).name
            );
            return Err(Refusal::conflict("/device", message));
        }
        let route = |route: RouteSpec| Route {
            destination: route.destination.trunc(),
            via: route.via,
        };
        let interface = Self {
            id: key.clone(),
            device,
            description: spec.description.map(Into::into),
            mtu: spec.mtu,
            addresses: spec.addresses.into(),
            tag: spec.vlan.map(|vid| Tag {
                vid,
                tpid: Tpid::Dot1Q,
            }),
            gateway: spec.gateway,
            gateway6: spec.gateway6,
            routes: spec.routes.into_iter().map(route).collect(),
        };
        if interface.tag.is_some() && !interface.is_underlay() {
            let message = "the tag is that of the underlay's frames, and this interface has no `addresses`: \
                           add them, or bind networks to the VLAN instead";
            return Err(Refusal::invalid("/vlan", message));
        }
        interface.check_mtu(view)?;
        interface.check_addresses()?;
        interface.check_next_hops()?;
        Ok(interface)
    }

    fn spec(&self, view: View<'_>) -> InterfaceSpec {
        InterfaceSpec {
            id: None,
            device: Some(view.device(self.device).name.clone()),
            description: self.description.as_deref().map(Into::into),
            mtu: self.mtu,
            addresses: self.addresses.to_vec(),
            vlan: self.tag.map(|tag| tag.vid),
            gateway: self.gateway,
            gateway6: self.gateway6,
            routes: self.routes.iter().map(RouteSpec::from).collect(),
        }
    }

    fn key(&self, _view: View<'_>) -> Id {
        self.id.clone()
    }

    fn order(&self) -> Id {
        self.id.clone()
    }

    fn order_of<'k>(key: &'k Id, _view: View<'_>) -> Option<Cow<'k, Id>> {
        Some(Cow::Borrowed(key))
    }

    fn claims(&self, own: Handle<Self>, claim: &mut dyn FnMut(Claim)) {
        claim(Claim::Holds(
            Place::Device(self.device),
            Owner::Interface(own),
        ));
        if self.is_underlay() {
            let attachment = Attachment {
                interface: own,
                tag: self.tag,
            };
            claim(Claim::Holds(
                Place::Attachment(attachment),
                Owner::Interface(own),
            ));
        }
    }

    fn as_used(own: Handle<Self>) -> Option<Used> {
        Some(Used::Interface(own))
    }

    fn table(state: &State) -> &Table<Self> {
        &state.interfaces
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.interfaces
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.interfaces
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.interfaces
    }
}
