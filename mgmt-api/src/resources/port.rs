//! `ports`: the stations of the networks, local and remote.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::dhcp_option::Level;
use super::host::check_unicast;
use super::location::LocationFields;
use super::port_extras::{check_hostname, resolve_pairs};
use super::{
    AddressList, AddressPair, AddressPairSpec, DhcpOptions, DhcpOptionsSpec, Kind, Location,
    Network, PortExtras, Spec, Tpid, Vid,
};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, Used, View};

/// A port as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Port)]
pub struct PortSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its network.
    pub network: Id,
    /// Its MAC address.
    pub mac: Mac,
    /// Its IP addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, examples(json!(["10.0.0.5", "2001:db8:1::5"])))]
    pub addresses: Vec<IpAddr>,
    /// The host it lives on; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Id>,
    /// On this host: the interface it is reached by. Its network is bound there if it is not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Id>,
    /// The tag of its frames on that interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vid>,
    /// The tag's type; `802.1q` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpid: Option<Tpid>,
    /// Whether it may send only from its own addresses and the allowed pairs.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schema(default = true)]
    pub anti_spoofing: bool,
    /// Addresses it may send from beside its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub allowed_address_pairs: Vec<AddressPairSpec>,
    /// DHCP options by name or code; they win over those of its subnet.
    #[serde(default, skip_serializing_if = "DhcpOptionsSpec::is_empty")]
    #[schema(examples(json!({"bootfile-name": "pxelinux.0", "server-ip-address": "192.0.2.7"})))]
    pub dhcp_options: DhcpOptionsSpec,
    /// The host name DHCP tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

fn yes() -> bool {
    true
}

/// Left out where it is the default: a million documents are shown and stored.
fn is_yes(value: &bool) -> bool {
    *value
}

/// A port: 80 bytes, for there may be a million.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its identifier.
    pub id: Id,
    /// Its IP addresses.
    pub addresses: AddressList,
    /// Its network.
    pub network: Handle<Network>,
    /// Where it lives.
    pub location: Location,
    /// Its MAC address.
    pub mac: Mac,
    /// True if the document names this host rather than leaving it out: an export must mean
    /// the same on another host.
    pub names_local_host: bool,
    /// Whether it may send only from its own addresses and the allowed pairs.
    pub anti_spoofing: bool,
    /// What few ports have.
    pub extras: Option<Box<PortExtras>>,
}

impl Port {
    /// Addresses it may send from beside its own.
    #[must_use]
    pub fn allowed_address_pairs(&self) -> &[AddressPair] {
        let extras = self.extras.as_deref();
        extras.map_or(&[], |extras| &extras.allowed_address_pairs)
    }

    /// Its DHCPv4 options, which win over those of its subnet.
    #[must_use]
    pub fn dhcp_options(&self) -> Option<&DhcpOptions> {
        let extras = self.extras.as_deref();
        extras
            .map(|extras| &extras.dhcp_options)
            .filter(|options| !options.is_empty())
    }

    /// The host name DHCP tells it.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.extras.as_deref()?.hostname.as_deref()
    }
}

impl Spec for PortSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for Port {
    const NAME: &'static str = "ports";
    const TAG: u8 = 4;
    const SINGULAR: &'static str = "port";
    const ABOUT: &'static str =
        "A station of a network: its MAC and IP addresses and where it lives.";

    type Key = Id;
    type Order = Id;
    type Spec = PortSpec;

    fn resolve(key: &Id, spec: PortSpec, view: View<'_>) -> Result<Self, Refusal> {
        let network = find::<Network>(&spec.network, view, "/network")?;
        check_unicast(spec.mac, "/mac")?;
        for (index, &address) in spec.addresses.iter().enumerate() {
            let at = || format!("/addresses/{index}");
            let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
            if address.is_multicast() || address.is_unspecified() || is_broadcast {
                let message = format!("{address} cannot be the address of one station");
                return Err(Refusal::invalid(at(), message));
            }
            if spec.addresses[..index].contains(&address) {
                return Err(Refusal::conflict(at(), format!("{address} is given twice")));
            }
            if let Some(network) = view.get(network) {
                network.check_station(address, &at())?;
            }
        }
        if let Some(name) = &spec.hostname {
            check_hostname(name)?;
        }
        let extras = PortExtras {
            allowed_address_pairs: resolve_pairs(&spec.allowed_address_pairs)?,
            dhcp_options: DhcpOptions::resolve(&spec.dhcp_options, Level::Port, "/dhcp_options")?,
            hostname: spec.hostname.map(Into::into),
        };
        let location = Location::resolve(
            &LocationFields {
                host: spec.host.as_ref(),
                interface: spec.interface.as_ref(),
                vlan: spec.vlan,
                tpid: spec.tpid,
            },
            view,
        )?;
        Ok(Self {
            id: key.clone(),
            addresses: spec.addresses.as_slice().into(),
            network,
            location,
            mac: spec.mac,
            names_local_host: spec.host.is_some() && matches!(location, Location::Local(_)),
            anti_spoofing: spec.anti_spoofing,
            extras: extras.boxed(),
        })
    }

    fn spec(&self, view: View<'_>) -> PortSpec {
        let (host, interface, vlan, tpid) = self.location.fields(view);
        let local_host = self
            .names_local_host
            .then(|| view.facts().local_host.clone());
        PortSpec {
            id: None,
            network: view.id_of(self.network),
            mac: self.mac,
            addresses: self.addresses.iter().collect(),
            host: host.or(local_host),
            interface,
            vlan,
            tpid,
            anti_spoofing: self.anti_spoofing,
            allowed_address_pairs: self
                .allowed_address_pairs()
                .iter()
                .map(|pair| AddressPairSpec {
                    address: pair.prefix,
                    mac: pair.mac,
                })
                .collect(),
            dhcp_options: self
                .dhcp_options()
                .map(DhcpOptions::spec)
                .unwrap_or_default(),
            hostname: self.hostname().map(Into::into),
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
        claim(Claim::PortMac(self.network, self.mac, own));
        for address in self.addresses.iter() {
            claim(Claim::PortAddress(self.network, address, own));
        }
        self.location.claims(self.network, claim);
    }

    fn as_used(own: Handle<Self>) -> Option<Used> {
        Some(Used::Port(own))
    }

    fn table(state: &State) -> &Table<Self> {
        &state.ports
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.ports
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.ports
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_as_small_as_its_documentation_says() {
        assert_eq!(size_of::<Option<Port>>(), 80);
    }
}
