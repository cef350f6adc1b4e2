//! `floating-ips`: addresses of external networks that lead to stations inside, whole or port by port.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::prefix::is_reserved_in;
use super::{Kind, Network, Port, Router, Spec};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{
    Anchor, Claim, Handle, Owner, Place, Staged, StagedTable, State, Table, Used, View,
};

/// The most forwardings of one address: more are a load balancer's.
const MAX_FORWARDINGS: usize = 1024;

/// A floating IP as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FloatingIp)]
pub struct FloatingIpSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The address, in a subnet of the external network.
    #[schema(value_type = String, examples("10.100.0.7"))]
    pub address: Ipv4Addr,
    /// The external network.
    pub network: Id,
    /// The router that translates it; it may be left out where only one comes into question. Reads show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Id>,
    /// The port that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Id>,
    /// The address inside; it may be left out where the port has one IPv4 address only. Reads show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, examples("192.168.1.9"))]
    pub fixed_address: Option<Ipv4Addr>,
    /// Whether the port's own host translates it; otherwise that of the router's central gateway does. By default as the
    /// router, as far as `port` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distributed: Option<bool>,
    /// Ports of it that lead to stations inside, in place of the whole address; the host of the router's central gateway
    /// translates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1024)]
    pub forwardings: Vec<Forwarding>,
}

/// A port of an outside address that leads to one inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    /// What is forwarded.
    pub protocol: ForwardedProtocol,
    /// The port outside.
    #[schema(minimum = 1)]
    pub port: u16,
    /// Where it leads.
    #[schema(value_type = String, examples("192.168.1.9:80"))]
    pub to: SocketAddrV4,
}

/// What is forwarded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ForwardedProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for ForwardedProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A floating IP. Without `fixed` and forwardings it is reserved: nothing is answered for it.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatingIp {
    /// Its identifier.
    pub id: Id,
    /// For people.
    pub description: Option<Box<str>>,
    /// The address outside.
    pub address: Ipv4Addr,
    /// The external network.
    pub network: Handle<Network>,
    /// The router that translates it; always there unless it is reserved.
    pub router: Option<Handle<Router>>,
    /// The port it leads to, if it names one.
    pub port: Option<Handle<Port>>,
    /// The address inside it leads to, in a subnet of the router's.
    pub fixed: Option<Ipv4Addr>,
    /// Whether the port's own host is to translate it, as far as the document says; [`View::is_distributed`] is what
    /// comes of it.
    pub distributed: Option<bool>,
    /// Ports that lead to stations inside. None if there is `fixed`.
    pub forwardings: Box<[Forwarding]>,
}

impl FloatingIp {
    /// True if it leads somewhere.
    #[must_use]
    pub fn is_associated(&self) -> bool {
        self.fixed.is_some() || !self.forwardings.is_empty()
    }

    /// The addresses inside that it leads to.
    pub fn inside(&self) -> impl Iterator<Item = Ipv4Addr> {
        let forwarded = self.forwardings.iter().map(|own| *own.to.ip());
        self.fixed.into_iter().chain(forwarded)
    }

    /// The field that says where it leads, whole.
    pub(crate) fn fixed_field(&self) -> &'static str {
        match self.port {
            Some(_) => "/port",
            None => "/fixed_address",
        }
    }

    /// The field that has the `nth` address inside.
    fn inside_field(&self, nth: usize) -> String {
        match self.fixed {
            Some(_) => self.fixed_field().to_owned(),
            None => format!("/forwardings/{nth}/to"),
        }
    }

    /// The fixed address that a document means.
    fn resolve_fixed(
        spec: &FloatingIpSpec,
        port: Option<Handle<Port>>,
        view: View<'_>,
    ) -> Result<Option<Ipv4Addr>, Refusal> {
        let Some(port) = port.and_then(|port| view.get(port)) else {
            return Ok(spec.fixed_address);
        };
        if let Some(fixed) = spec.fixed_address {
            if port.addresses.contains(fixed.into()) {
                return Ok(Some(fixed));
            }
            let message = format!(
                "{fixed} is no address of ports/{}: give one of its own, or leave it out",
                port.id
            );
            return Err(Refusal::conflict("/fixed_address", message));
        }
        let own = port.addresses.iter().filter_map(|own| match own {
            IpAddr::V4(own) => Some(own),
            IpAddr::V6(_) => None,
        });
        match own.collect::<Vec<_>>()[..] {
            [fixed] => Ok(Some(fixed)),
            [] => {
                let message = format!(
                    "ports/{} has no IPv4 address for it to lead to: give the port one first, or in the same transaction",
                    port.id
                );
                Err(Refusal::conflict("/port", message))
            }
            ref several => {
                let several = several.iter().map(Ipv4Addr::to_string);
                let message = format!(
                    "ports/{} has several IPv4 addresses ({}): give the one that is meant as `fixed_address`",
                    port.id,
                    several.collect::<Vec<_>>().join(", ")
                );
                Err(Refusal::invalid("/fixed_address", message))
            }
        }
    }

    /// The router that a document leaves out: the only one that has its way outside in the network and reaches all
    /// addresses inside.
    fn only_router(&self, view: View<'_>) -> Result<Option<Handle<Router>>, Refusal> {
        if !self.is_associated() {
            return Ok(None);
        }
        let network = view.id_of(self.network);
        // There may be thousands that lead outside, but few have an interface where the port is.
        let of_port = self.port.and_then(|port| view.get(port));
        let near = of_port.map(|port| view.routers_of(port.network));
        let all = near
            .is_none()
            .then(|| view.routers_outside_by(self.network));
        let routers = near.into_iter().flatten().chain(all.into_iter().flatten());
        let mut fitting = routers.filter(|router| {
            let router = view.get(*router);
            router.is_some_and(|router| self.unreached(router, view).is_none())
        });
        let (first, second) = (fitting.next(), fitting.next());
        match (first, second) {
            (Some(only), None) => Ok(Some(only)),
            (Some(first), Some(second)) => {
                let message = format!(
                    "{} and {} both lead from network {network} to it: give the `router` that is meant",
                    view.name_of(first),
                    view.name_of(second)
                );
                Err(Refusal::invalid("/router", message))
            }
            (None, _) => {
                // Of a network with one router, that one is meant.
                let mut routers = view.routers_outside_by(self.network);
                if let (Some(only), None) = (routers.next(), routers.next())
                    && let Some((field, message)) =
                        view.get(only).and_then(|only| self.unreached(only, view))
                {
                    return Err(Refusal::conflict(field, message));
                }
                let inside = self.inside().next();
                let inside = inside.map_or_else(String::new, |own| own.to_string());
                let message = format!(
                    "no router leads from network {network} to {inside}: give one an `external_gateway` in {network} and \
                     an interface there first, or in the same transaction"
                );
                Err(Refusal::conflict(self.inside_field(0), message))
            }
        }
    }

    /// Why it does not fit this router: the field at fault, and a sentence.
    pub(crate) fn misfit(&self, router: &Router, view: View<'_>) -> Option<(String, String)> {
        let unreached = self.unreached(router, view);
        if unreached.is_some() || self.distributed != Some(true) || router.distributed {
            return unreached;
        }
        let message = format!(
            "router {} runs on one host, which translates: leave `distributed` out",
            router.id
        );
        Some(("/distributed".to_owned(), message))
    }

    /// Why this router does not lead from its network to what is inside.
    fn unreached(&self, router: &Router, view: View<'_>) -> Option<(String, String)> {
        let outside = router.external_gateway.as_deref();
        if outside.is_none_or(|outside| outside.network != self.network) {
            let message = format!(
                "router {} has no way outside in network {}: give it an `external_gateway` there, or choose another router",
                router.id,
                view.id_of(self.network)
            );
            return Some(("/router".to_owned(), message));
        }
        let port = self.port.and_then(|port| view.get(port));
        for (nth, inside) in self.inside().enumerate() {
            let field = || self.inside_field(nth);
            let Some((interface, subnet)) = router.connected(inside.into()) else {
                let message = format!(
                    "{inside} is in no subnet of router {}: choose a router with an interface there",
                    router.id
                );
                return Some((field(), message));
            };
            if let Some(port) = port.filter(|port| port.network != interface.network) {
                let message = format!(
                    "ports/{} is in network {}, where router {} has no interface: choose a router that has one",
                    port.id,
                    view.id_of(port.network),
                    router.id
                );
                return Some((field(), message));
            }
            if interface.has_address(inside.into()) || is_reserved_in(inside.into(), &subnet) {
                let message = format!(
                    "{inside} is the router's own address, or that of its whole subnet {subnet}: give a station's"
                );
                return Some((field(), message));
            }
            let central = interface.central.as_ref();
            if central.is_some_and(|central| central.addresses.contains(&inside.into())) {
                let message =
                    format!("{inside} is that of the router's central port: give a station's");
                return Some((field(), message));
            }
        }
        None
    }

    /// Checks the document by itself.
    fn check_spec(spec: &FloatingIpSpec) -> Result<(), Refusal> {
        let is_whole = spec.port.is_some() || spec.fixed_address.is_some();
        if is_whole && !spec.forwardings.is_empty() {
            let message = "it leads to one station whole, or port by port: leave `forwardings` out, or `port` and \
                 `fixed_address`";
            return Err(Refusal::conflict("/forwardings", message));
        }
        if spec.distributed == Some(true) && spec.port.is_none() {
            let message = "which host translates it follows from where its port lives: give `port`, or leave `distributed` out";
            return Err(Refusal::conflict("/distributed", message));
        }
        check_forwardings(&spec.forwardings)
    }
}

/// Each port outside leads to one place, and each place inside is led to from one port.
fn check_forwardings(forwardings: &[Forwarding]) -> Result<(), Refusal> {
    if forwardings.len() > MAX_FORWARDINGS {
        let message = format!(
            "at most {MAX_FORWARDINGS} forwardings, not {}: spread them over several floating IPs",
            forwardings.len()
        );
        return Err(Refusal::invalid("/forwardings", message));
    }
    for (index, own) in forwardings.iter().enumerate() {
        let at = format!("/forwardings/{index}");
        for (field, port) in [("port", own.port), ("to", own.to.port())] {
            if port == 0 {
                return Err(Refusal::invalid(
                    format!("{at}/{field}"),
                    "a port is 1 to 65535, not 0",
                ));
            }
        }
        let mut same = forwardings[..index]
            .iter()
            .filter(|other| other.protocol == own.protocol);
        if same.clone().any(|other| other.port == own.port) {
            let message = format!("{} port {} is forwarded twice", own.protocol, own.port);
            return Err(Refusal::conflict(format!("{at}/port"), message));
        }
        if same.any(|other| other.to == own.to) {
            let message = format!(
                "{} is led to from two {} ports: what it sends could leave by one only",
                own.to, own.protocol
            );
            return Err(Refusal::conflict(format!("{at}/to"), message));
        }
    }
    Ok(())
}

impl Spec for FloatingIpSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for FloatingIp {
    const NAME: &'static str = "floating-ips";
    const TAG: u8 = 8;
    const SINGULAR: &'static str = "floating IP";
    const ABOUT: &'static str =
        "An address of an external network that leads to a station inside, whole or port by port.";

    type Key = Id;
    type Order = Id;
    type Spec = FloatingIpSpec;

    fn resolve(key: &Id, spec: FloatingIpSpec, view: View<'_>) -> Result<Self, Refusal> {
        Self::check_spec(&spec)?;
        let network = find::<Network>(&spec.network, view, "/network")?;
        if let Some(outside) = view.get(network) {
            outside.check_floating_ip(spec.address, "/address")?;
        }
        let port = spec.port.as_ref();
        let port = port
            .map(|port| find::<Port>(port, view, "/port"))
            .transpose()?;
        let router = spec.router.as_ref();
        let router = router
            .map(|router| find::<Router>(router, view, "/router"))
            .transpose()?;
        let mut floating_ip = Self {
            id: key.clone(),
            address: spec.address,
            network,
            router,
            port,
            fixed: Self::resolve_fixed(&spec, port, view)?,
            distributed: spec.distributed,
            forwardings: spec.forwardings.into(),
            description: spec.description.map(Into::into),
        };
        if router.is_none() {
            floating_ip.router = floating_ip.only_router(view)?;
        }
        let router = floating_ip.router.and_then(|router| view.get(router));
        let misfit = router.and_then(|router| floating_ip.misfit(router, view));
        if let Some((field, message)) = misfit {
            return Err(Refusal::conflict(field, message));
        }
        Ok(floating_ip)
    }

    fn spec(&self, view: View<'_>) -> FloatingIpSpec {
        FloatingIpSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            address: self.address,
            network: view.id_of(self.network),
            router: self.router.map(|router| view.id_of(router)),
            port: self.port.map(|port| view.id_of(port)),
            fixed_address: self.fixed,
            distributed: self.distributed,
            forwardings: self.forwardings.to_vec(),
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
        claim(Claim::Uses(Used::Network(self.network)));
        claim(Claim::FloatingIp(Anchor::Network(self.network), own));
        claim(Claim::FloatingAddress(
            self.network,
            self.address.into(),
            own,
        ));
        if let Some(port) = self.port {
            claim(Claim::Uses(Used::Port(port)));
            claim(Claim::FloatingIp(Anchor::Port(port), own));
        }
        let Some(router) = self.router else {
            return;
        };
        claim(Claim::Uses(Used::Router(router)));
        claim(Claim::FloatingIp(Anchor::Router(router), own));
        let owner = Owner::FloatingIp(own);
        if let Some(fixed) = self.fixed {
            claim(Claim::Holds(Place::Fixed(router, fixed), owner));
        }
        for Forwarding { protocol, to, .. } in &self.forwardings {
            claim(Claim::Uses(Used::Forwarded(router, *to.ip())));
            claim(Claim::Holds(
                Place::Forwarded(router, *protocol, *to),
                owner,
            ));
        }
    }

    fn table(state: &State) -> &Table<Self> {
        &state.floating_ips
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.floating_ips
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.floating_ips
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.floating_ips
    }
}
