//! `hosts`: the VTEPs of the fabric, this one and the others.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, Spec};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Owner, Place, Staged, StagedTable, State, Table, Used, View};

/// The UDP port IANA gave to VXLAN (RFC 7348 §5).
pub const VXLAN_PORT: u16 = 4789;

/// A host as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Host)]
pub struct HostSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The address of its VTEP. Required of a remote host; for the local host it chooses the source
    /// address and is one of its interfaces' addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, examples("192.0.2.12"))]
    pub vtep: Option<IpAddr>,
    /// The UDP port VXLAN is sent to.
    #[serde(default = "vxlan_port")]
    #[schema(minimum = 1, default = 4789)]
    pub udp_port: u16,
    /// Whether the outer UDP checksum is filled in.
    #[serde(default)]
    pub udp_checksum: UdpChecksum,
    /// The address that replaces a gateway's MAC on frames this host routed (distributed routing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dvr_mac: Option<Mac>,
}

fn vxlan_port() -> u16 {
    VXLAN_PORT
}

/// Whether the outer UDP checksum is filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UdpChecksum {
    /// Off on IPv4 (RFC 7348 §5 asks for zero), on on IPv6 (RFC 8200 §8.1 requires it).
    #[default]
    Auto,
    /// Always.
    On,
    /// Never (on IPv6 as RFC 6935 allows for tunnels).
    Off,
}

/// A host.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Its identifier.
    pub id: Id,
    /// True for the host this daemon runs on.
    pub is_local: bool,
    /// For people.
    pub description: Option<Box<str>>,
    /// Its VTEP address. Always there for a remote host.
    pub vtep: Option<IpAddr>,
    /// The UDP port VXLAN is sent to.
    pub udp_port: u16,
    /// Whether the outer UDP checksum is filled in.
    pub udp_checksum: UdpChecksum,
    /// Its DVR MAC.
    pub dvr_mac: Option<Mac>,
}

impl Host {
    /// The VTEP address, if this is another host.
    #[must_use]
    pub fn remote_vtep(&self) -> Option<IpAddr> {
        self.vtep.filter(|_| !self.is_local)
    }

    /// [`UdpChecksum::Auto`] resolved by the address family.
    #[must_use]
    pub fn fills_udp_checksum(&self) -> bool {
        match self.udp_checksum {
            UdpChecksum::Auto => self.vtep.is_some_and(|vtep| vtep.is_ipv6()),
            UdpChecksum::On => true,
            UdpChecksum::Off => false,
        }
    }
}

/// False for what is nobody's, everybody's or one's own.
fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || address.is_loopback() || is_broadcast)
}

/// Refuses what cannot be the MAC address of one station.
pub(super) fn check_unicast(mac: Mac, field: &str) -> Result<(), Refusal> {
    if mac.is_zero() {
        return Err(Refusal::invalid(
            field,
            "the all-zero address names no station",
        ));
    }
    if mac.is_multicast() {
        let message = format!("{mac} is a group address: give the station's own");
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

impl Spec for HostSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for Host {
    const NAME: &'static str = "hosts";
    const TAG: u8 = 2;
    const SINGULAR: &'static str = "host";
    const ABOUT: &'static str = "A VTEP of the fabric: another host, or settings of this one.";

    type Key = Id;
    type Order = Id;
    type Spec = HostSpec;

    fn resolve(key: &Id, spec: HostSpec, view: View<'_>) -> Result<Self, Refusal> {
        let is_local = *key == view.facts().local_host;
        match spec.vtep {
            None if !is_local => {
                let message = "a remote host is reached at its VTEP address: give `vtep`";
                return Err(Refusal::invalid("/vtep", message));
            }
            Some(vtep) if !is_one_host(vtep) => {
                let message =
                    format!("{vtep} cannot be the address of a VTEP: give one of the host's own");
                return Err(Refusal::invalid("/vtep", message));
            }
            _ => {}
        }
        if spec.udp_port == 0 {
            return Err(Refusal::invalid(
                "/udp_port",
                "a UDP port is 1 to 65535; VXLAN's is 4789",
            ));
        }
        if let Some(mac) = spec.dvr_mac {
            check_unicast(mac, "/dvr_mac")?;
        }
        Ok(Self {
            id: key.clone(),
            is_local,
            description: spec.description.map(Into::into),
            vtep: spec.vtep,
            udp_port: spec.udp_port,
            udp_checksum: spec.udp_checksum,
            dvr_mac: spec.dvr_mac,
        })
    }

    fn spec(&self, _view: View<'_>) -> HostSpec {
        HostSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            vtep: self.vtep,
            udp_port: self.udp_port,
            udp_checksum: self.udp_checksum,
            dvr_mac: self.dvr_mac,
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
        if let Some(vtep) = self.vtep {
            claim(Claim::Holds(Place::Vtep(vtep), Owner::Host(own)));
        }
        if let Some(mac) = self.dvr_mac {
            claim(Claim::Holds(Place::DvrMac(mac), Owner::Host(own)));
        }
        if self.remote_vtep().is_some_and(|vtep| vtep.is_ipv6()) {
            claim(Claim::Uses(Used::RemoteIpv6));
        }
    }

    fn as_used(own: Handle<Self>) -> Option<Used> {
        Some(Used::Host(own))
    }

    fn table(state: &State) -> &Table<Self> {
        &state.hosts
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.hosts
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.hosts
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.hosts
    }
}
