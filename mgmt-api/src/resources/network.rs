//! `networks`: the tenants' layer 2 and the external ones, each a VXLAN, VLAN or flat segment.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::external_network::check_outside;
use super::{
    Attachment, External, ExternalSpec, Flood, FloodSpec, Host, Kind, Segment, SegmentSpec, Spec,
    Subnet, SubnetSpec, Tpid, Vid,
};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Owner, Place, Staged, StagedTable, State, Table, Used, View};

/// The least MTU of a network: what every IPv4 module must forward (RFC 791 §3.2).
const MIN_MTU: u16 = 68;
/// The same of IPv6 (RFC 8200 §5).
const MIN_MTU_V6: u16 = 1280;
/// Learned addresses not heard for this long are forgotten (seconds; IEEE 802.1D's default).
const DEFAULT_AGEING: u32 = 300;
/// More than the stations of any layer 2 that works, and a small part of the table.
const DEFAULT_LEARN_LIMIT: u32 = 16_384;

/// A network as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Network)]
pub struct NetworkSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its form on the wire between hosts.
    pub segment: SegmentSpec,
    /// The largest IP packet, in bytes; by default what fits the underlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 68)]
    pub mtu: Option<u16>,
    /// Where it meets interfaces of this box.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BindingSpec>,
    /// How broadcast, unknown unicast and multicast reach the other hosts.
    #[serde(default)]
    pub flood: FloodSpec,
    /// Remote hosts to flood to beside those that have a port in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Id>)]
    pub hosts: Vec<Id>,
    /// Whether source addresses are learned.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub learning: bool,
    /// Seconds after which a learned address that was not heard is forgotten.
    #[serde(default = "default_ageing")]
    #[schema(minimum = 1, maximum = 32_000, default = 300)]
    pub ageing: u32,
    /// The most learned addresses. All networks learn into one table: without a limit one could fill it alone.
    #[serde(
        default = "default_learn_limit",
        deserialize_with = "or_default_learn_limit"
    )]
    #[schema(value_type = Option<u32>, default = 16_384)]
    pub learn_limit: u32,
    /// Whether 802.1Q tags inside VXLAN are carried. Otherwise such frames are dropped (RFC 7348 §6.1).
    #[serde(default)]
    #[schema(default = false)]
    pub vlan_transparent: bool,
    /// Whether ARP and neighbour solicitations for known ports are answered here.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub arp_suppression: bool,
    /// Its subnets: the addresses its ports may have, and what DHCP and router advertisements tell them. Without any,
    /// ports have what addresses they like and are told nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<SubnetSpec>,
    /// Whether frames to a gateway, and questions for it, are taken from the underlay: for hosts without a router of
    /// their own. Otherwise they are dropped, for each host is its own gateway.
    #[serde(default)]
    #[schema(default = false)]
    pub gateway_from_underlay: bool,
    /// Whether its ports may ask the metadata proxy, where this host has one. A network with a 169.254.169.254 of its own
    /// says no.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub metadata: bool,
    /// Present: routers may have their way outside here, and floating IPs are addresses of its subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalSpec>,
}

/// Nearly nine hours: the workers keep the time an address was heard as 16 bits of seconds.
const MAX_AGEING: u32 = 32_000;

fn yes() -> bool {
    true
}

fn default_ageing() -> u32 {
    DEFAULT_AGEING
}

fn default_learn_limit() -> u32 {
    DEFAULT_LEARN_LIMIT
}

fn or_default_learn_limit<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(DEFAULT_LEARN_LIMIT))
}

/// A binding as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Binding)]
pub struct BindingSpec {
    /// The interface.
    pub interface: Id,
    /// The tag of the network's frames there; none: untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vid>,
    /// The tag's type; `802.1q` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpid: Option<Tpid>,
}

/// A network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its identifier.
    pub id: Id,
    /// For people.
    pub description: Option<Box<str>>,
    /// Its form on the wire between hosts.
    pub segment: Segment,
    /// The MTU asked for; [`View::network_mtu`] fills in what fits the underlay.
    pub mtu: Option<u16>,
    /// Its explicit bindings. [`Changes::bindings`](crate::change::Changes::bindings) has these, the segment's own and those of its ports.
    pub bindings: Box<[Attachment]>,
    /// How it floods.
    pub flood: Flood,
    /// Extra remote hosts to flood to. [`Changes::members`](crate::change::Changes::members) has these and those with ports.
    pub hosts: Box<[Handle<Host>]>,
    /// Whether source addresses are learned.
    pub learning: bool,
    /// Seconds a learned address lives unheard.
    pub ageing: u32,
    /// The most learned addresses.
    pub learn_limit: u32,
    /// Whether inner 802.1Q tags are carried.
    pub vlan_transparent: bool,
    /// Whether ARP and ND are answered here.
    pub arp_suppression: bool,
    /// Its subnets, none of which overlap.
    pub subnets: Box<[Subnet]>,
    /// Whether frames to its gateways are taken from the underlay.
    pub gateway_from_underlay: bool,
    /// Whether its ports may ask the metadata proxy.
    pub metadata: bool,
    /// What it has as an external network, if it is one.
    pub external: Option<External>,
}

impl Network {
    /// The subnet that an address is in.
    #[must_use]
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        let mut subnets = self.subnets.iter();
        subnets.find(|subnet| subnet.cidr.contains(&address))
    }

    /// Why no station of the network can have this address.
    pub(crate) fn check_station(&self, address: IpAddr, field: &str) -> Result<(), Refusal> {
        // Link-local addresses are of every IPv6 link.
        let is_local = matches!(address, IpAddr::V6(own) if own.is_unicast_link_local());
        if self.subnets.is_empty() || is_local {
            return Ok(());
        }
        match self.subnet_of(address) {
            Some(subnet) => subnet.check_station(address, field),
            None => {
                let subnets = self.subnets.iter().map(|subnet| subnet.cidr.to_string());
                let message = format!(
                    "{address} is in no subnet of network {}, which has {}: choose one of these, or add its subnet",
                    self.id,
                    subnets.collect::<Vec<_>>().join(", ")
                );
                Err(Refusal::invalid(field, message))
            }
        }
    }

    /// Why no floating IP of the network can be this address.
    pub(crate) fn check_floating_ip(&self, address: Ipv4Addr, field: &str) -> Result<(), Refusal> {
        if self.external.is_none() {
            let message = format!(
                "network {} is no external one: give it `external`, or choose one that has it",
                self.id
            );
            return Err(Refusal::conflict("/network", message));
        }
        check_outside(address.into(), &self.subnets, field)
    }

    fn resolve_bindings(
        spec: &[BindingSpec],
        view: View<'_>,
    ) -> Result<Box<[Attachment]>, Refusal> {
        let mut bindings: Vec<Attachment> = Vec::with_capacity(spec.len());
        for (index, binding) in spec.iter().enumerate() {
            let at = format!("/bindings/{index}");
            let BindingSpec {
                interface,
                vlan,
                tpid,
            } = binding;
            let attachment = Attachment::resolve(interface, *vlan, *tpid, view, &at)?;
            if bindings.contains(&attachment) {
                let message = format!("{} is bound twice", attachment.describe(view));
                return Err(Refusal::conflict(at, message));
            }
            if let Some(other) = attachment.with_other_tpid()
                && bindings.contains(&other)
            {
                let message = format!(
                    "{} is bound with both tag types: a VLAN id has one `tpid` on an interface; leave one out",
                    other.describe(view)
                );
                return Err(Refusal::conflict(at, message));
            }
            bindings.push(attachment);
        }
        Ok(bindings.into())
    }

    fn resolve_hosts(spec: &[Id], view: View<'_>) -> Result<Box<[Handle<Host>]>, Refusal> {
        let mut hosts = Vec::with_capacity(spec.len());
        for (index, id) in spec.iter().enumerate() {
            let at = format!("/hosts/{index}");
            if *id == view.facts().local_host {
                let message = format!("{id} is this host: name only remote ones");
                return Err(Refusal::invalid(at, message));
            }
            let host = find::<Host>(id, view, &at)?;
            if hosts.contains(&host) {
                return Err(Refusal::conflict(at, format!("host {id} is named twice")));
            }
            hosts.push(host);
        }
        Ok(hosts.into())
    }

    fn check(&self, view: View<'_>) -> Result<(), Refusal> {
        if let Some(mtu) = self.mtu.filter(|&mtu| mtu < MIN_MTU) {
            let message = format!("the least MTU is {MIN_MTU}, not {mtu}");
            return Err(Refusal::invalid("/mtu", message));
        }
        let has_ipv6 = self.subnets.iter().any(|own| own.cidr.addr().is_ipv6());
        if let Some(mtu) = self.mtu.filter(|&mtu| has_ipv6 && mtu < MIN_MTU_V6) {
            let message =
                format!("the least MTU of a network with IPv6 is {MIN_MTU_V6}, not {mtu}");
            return Err(Refusal::invalid("/mtu", message));
        }
        if self.ageing == 0 {
            let message = "an age of 0 forgets at once: give seconds, or `learning` false";
            return Err(Refusal::invalid("/ageing", message));
        }
        if self.ageing > MAX_AGEING {
            let message = format!(
                "the longest age is {MAX_AGEING} seconds, not {}",
                self.ageing
            );
            return Err(Refusal::invalid("/ageing", message));
        }
        let Some(own) = self.segment.attachment() else {
            return Ok(());
        };
        if let Some(index) = self.bindings.iter().position(|binding| *binding == own) {
            let message = format!(
                "{} is the segment itself: leave this binding out",
                own.describe(view)
            );
            return Err(Refusal::conflict(format!("/bindings/{index}"), message));
        }
        let (form, place) = match own.tag {
            Some(_) => ("VLAN", "VLAN"),
            None => ("flat", "interface"),
        };
        if self.flood != Flood::IngressReplication {
            let message = format!("a {form} segment floods into its {place}: leave `flood` out");
            return Err(Refusal::conflict("/flood", message));
        }
        if !self.hosts.is_empty() {
            let message = format!("a {form} segment has no VTEPs to flood to: leave `hosts` out");
            return Err(Refusal::conflict("/hosts", message));
        }
        Ok(())
    }
}

impl BindingSpec {
    pub(crate) fn of(binding: Attachment, view: View<'_>) -> Self {
        Self {
            interface: view.id_of(binding.interface),
            vlan: binding.tag.map(|tag| tag.vid),
            tpid: binding.tag.and_then(|tag| tag.tpid.unless_default()),
        }
    }
}

impl Spec for NetworkSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }

    fn clamp(&mut self) -> Option<String> {
        let stored = self.ageing;
        self.ageing = stored.min(MAX_AGEING);
        (self.ageing != stored).then(|| {
            format!("the stored age of {stored} seconds is taken as the longest, {MAX_AGEING}")
        })
    }
}

impl Kind for Network {
    const NAME: &'static str = "networks";
    const TAG: u8 = 3;
    const SINGULAR: &'static str = "network";
    const ABOUT: &'static str = "A layer-2 network: a VXLAN, VLAN or flat segment, and where it meets this box's interfaces.";

    type Key = Id;
    type Order = Id;
    type Spec = NetworkSpec;

    fn resolve(key: &Id, spec: NetworkSpec, view: View<'_>) -> Result<Self, Refusal> {
        let segment = Segment::resolve(&spec.segment, view)?;
        let subnets = Subnet::resolve_all(spec.subnets)?;
        let external = spec.external;
        let external = external
            .map(|external| External::resolve(external, segment, &subnets, view))
            .transpose()?;
        let network = Self {
            id: key.clone(),
            segment,
            mtu: spec.mtu,
            bindings: Self::resolve_bindings(&spec.bindings, view)?,
            flood: Flood::resolve(&spec.flood, view)?,
            hosts: Self::resolve_hosts(&spec.hosts, view)?,
            description: spec.description.map(Into::into),
            learning: spec.learning,
            ageing: spec.ageing,
            learn_limit: spec.learn_limit,
            vlan_transparent: spec.vlan_transparent,
            arp_suppression: spec.arp_suppression,
            subnets,
            gateway_from_underlay: spec.gateway_from_underlay,
            metadata: spec.metadata,
            external,
        };
        network.check(view)?;
        Ok(network)
    }

    fn spec(&self, view: View<'_>) -> NetworkSpec {
        NetworkSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            segment: self.segment.spec(view),
            mtu: self.mtu,
            bindings: self
                .bindings
                .iter()
                .map(|binding| BindingSpec::of(*binding, view))
                .collect(),
            flood: self.flood.spec(view),
            hosts: self.hosts.iter().map(|host| view.id_of(*host)).collect(),
            learning: self.learning,
            ageing: self.ageing,
            learn_limit: self.learn_limit,
            vlan_transparent: self.vlan_transparent,
            arp_suppression: self.arp_suppression,
            subnets: self.subnets.iter().map(SubnetSpec::from).collect(),
            gateway_from_underlay: self.gateway_from_underlay,
            metadata: self.metadata,
            external: self.external.as_ref().map(|external| external.spec(view)),
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
        if let Segment::Vxlan(vni) = self.segment {
            claim(Claim::Holds(Place::Vni(vni), Owner::Network(own)));
        }
        for attachment in self
            .bindings
            .iter()
            .copied()
            .chain(self.segment.attachment())
        {
            claim(Claim::Uses(Used::Interface(attachment.interface)));
            claim(Claim::Holds(
                Place::Attachment(attachment),
                Owner::Network(own),
            ));
        }
        if let Flood::Multicast {
            interface: Some(interface),
            ..
        } = self.flood
        {
            claim(Claim::Uses(Used::Interface(interface)));
        }
        for &host in &self.hosts {
            claim(Claim::Uses(Used::Host(host)));
            claim(Claim::Member(own, host));
        }
        let gateways = self.external.iter();
        for gateway in gateways.flat_map(|external| &external.floating_ip_gateways) {
            if let Some(host) = gateway.host {
                claim(Claim::Uses(Used::Host(host)));
            }
            claim(Claim::Uses(Used::GatewayMac(gateway.mac)));
            claim(Claim::FloatingGatewayMac(own, gateway.mac));
            if let Some(address) = gateway.address {
                claim(Claim::FloatingGatewayAddress(own, address.into()));
            }
        }
    }

    fn as_used(own: Handle<Self>) -> Option<Used> {
        Some(Used::Network(own))
    }

    fn table(state: &State) -> &Table<Self> {
        &state.networks
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.networks
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.networks
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.networks
    }
}
