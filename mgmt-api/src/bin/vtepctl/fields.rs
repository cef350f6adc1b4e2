//! The options that stand for fields of a document, so that a common resource needs no file.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::compound;
use crate::nat_fields::OutsideFields;

/// Options that fill in a document.
pub trait Fields: Args {
    /// Puts what was given over what is there.
    ///
    /// # Errors
    /// A sentence on the option at fault.
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String>;
}

pub(crate) fn set<T: Into<Value> + Clone>(
    document: &mut Map<String, Value>,
    field: &str,
    value: &Option<T>,
) {
    if let Some(value) = value {
        document.insert(field.to_owned(), value.clone().into());
    }
}

pub(crate) fn set_list(document: &mut Map<String, Value>, field: &str, values: &[String]) {
    if !values.is_empty() {
        document.insert(field.to_owned(), values.into());
    }
}

#[derive(Debug, Args)]
pub struct InterfaceFields {
    /// The device of the daemon's configuration; by default the one named as the interface
    #[arg(long)]
    device: Option<String>,
    /// An underlay address with prefix length, as in 192.0.2.11/24; may be repeated
    #[arg(long = "address")]
    addresses: Vec<String>,
    /// The largest IP packet
    #[arg(long)]
    mtu: Option<u16>,
    /// The 802.1Q tag of the underlay's own frames
    #[arg(long)]
    vlan: Option<u16>,
    /// The IPv4 default gateway
    #[arg(long)]
    gateway: Option<String>,
    /// The IPv6 default gateway
    #[arg(long)]
    gateway6: Option<String>,
    /// A further route, PREFIX=VIA; may be repeated
    #[arg(long = "route")]
    routes: Vec<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for InterfaceFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        set(document, "device", &self.device);
        set_list(document, "addresses", &self.addresses);
        set(document, "mtu", &self.mtu);
        set(document, "vlan", &self.vlan);
        set(document, "gateway", &self.gateway);
        set(document, "gateway6", &self.gateway6);
        set(document, "description", &self.description);
        set_routes(document, &self.routes)
    }
}

fn set_routes(document: &mut Map<String, Value>, routes: &[String]) -> Result<(), String> {
    let routes = routes.iter();
    let routes = routes.map(|text| compound::route(text, "--route"));
    set_parsed(document, "routes", routes)
}

pub(crate) fn set_parsed(
    document: &mut Map<String, Value>,
    field: &str,
    values: impl Iterator<Item = Result<Value, String>>,
) -> Result<(), String> {
    let values = values.collect::<Result<Vec<_>, String>>()?;
    if !values.is_empty() {
        document.insert(field.to_owned(), values.into());
    }
    Ok(())
}

/// Puts members over those of the object in a field, which is made if there is none.
pub(crate) fn merge(document: &mut Map<String, Value>, field: &str, members: Map<String, Value>) {
    let mut object = match document.remove(field) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    object.extend(members);
    document.insert(field.to_owned(), object.into());
}

#[derive(Debug, Args)]
pub struct HostFields {
    /// The address of its VTEP
    #[arg(long)]
    vtep: Option<String>,
    /// The UDP port VXLAN is sent to
    #[arg(long)]
    udp_port: Option<u16>,
    /// The outer UDP checksum: auto, on or off
    #[arg(long)]
    udp_checksum: Option<String>,
    /// The MAC address of its routed frames
    #[arg(long)]
    dvr_mac: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for HostFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        set(document, "vtep", &self.vtep);
        set(document, "udp_port", &self.udp_port);
        set(document, "udp_checksum", &self.udp_checksum);
        set(document, "dvr_mac", &self.dvr_mac);
        set(document, "description", &self.description);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct NetworkFields {
    /// A VXLAN segment with this identifier
    #[arg(long, conflicts_with_all = ["segment_vlan", "segment_flat"])]
    vni: Option<u32>,
    /// A VLAN segment, INTERFACE:VLAN
    #[arg(long, value_name = "INTERFACE:VLAN", conflicts_with = "segment_flat")]
    segment_vlan: Option<String>,
    /// A flat segment, the untagged frames of an interface
    #[arg(long, value_name = "INTERFACE")]
    segment_flat: Option<String>,
    /// An access binding, INTERFACE or INTERFACE:VLAN; may be repeated
    #[arg(long = "binding", value_name = "INTERFACE[:VLAN]")]
    bindings: Vec<String>,
    /// The largest IP packet
    #[arg(long)]
    mtu: Option<u16>,
    /// Flood to this underlay multicast group instead of to each VTEP
    #[arg(long)]
    group: Option<String>,
    /// A remote host to flood to even without a port there; may be repeated
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Whether source addresses are learned
    #[arg(long)]
    learning: Option<bool>,
    /// Seconds after which a silent learned address is forgotten
    #[arg(long)]
    ageing: Option<u32>,
    /// The most learned addresses
    #[arg(long)]
    learn_limit: Option<u32>,
    /// Whether 802.1Q tags inside VXLAN are carried
    #[arg(long)]
    vlan_transparent: Option<bool>,
    /// Whether ARP and ND for known ports are answered here
    #[arg(long)]
    arp_suppression: Option<bool>,
    /// A subnet: its prefix, then any of gateway=IP, dns=IP, route=PREFIX=VIA, dhcp=false, lease=SECONDS,
    /// mode=IPV6-MODE and option=NAME=VALUE, with commas between; may be repeated
    #[arg(long = "subnet", value_name = "PREFIX[,gateway=IP…]")]
    subnets: Vec<String>,
    /// Whether frames to a gateway are taken from the underlay
    #[arg(long)]
    gateway_from_underlay: Option<bool>,
    /// Whether ports may ask the metadata proxy
    #[arg(long)]
    metadata: Option<bool>,
    /// An external network: routers may have their way outside there
    #[arg(long)]
    external: bool,
    /// Of an external network: by what a host speaks for floating IPs, mac=MAC, host=HOST and address=ADDRESS with commas
    /// between; may be repeated
    #[arg(long = "floating-ip-gateway", value_name = "mac=…[,host=…]")]
    floating_ip_gateways: Vec<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for NetworkFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        if let Some(vni) = self.vni {
            document.insert("segment".to_owned(), json!({"type": "vxlan", "vni": vni}));
        }
        if let Some(segment) = &self.segment_vlan {
            let (interface, vlan) = attachment(segment)?;
            let vlan =
                vlan.ok_or_else(|| format!("--segment-vlan is INTERFACE:VLAN, not {segment:?}"))?;
            let segment = json!({"type": "vlan", "interface": interface, "vlan": vlan});
            document.insert("segment".to_owned(), segment);
        }
        if let Some(interface) = &self.segment_flat {
            let segment = json!({"type": "flat", "interface": interface});
            document.insert("segment".to_owned(), segment);
        }
        if self.external || !self.floating_ip_gateways.is_empty() {
            let gateways = self.floating_ip_gateways.iter();
            let gateways = gateways.map(|text| compound::floating_ip_gateway(text));
            let mut external = Map::new();
            set_parsed(&mut external, "floating_ip_gateways", gateways)?;
            merge(document, "external", external);
        }
        let bindings = self.bindings.iter().map(|binding| {
            let (interface, vlan) = attachment(binding)?;
            Ok(match vlan {
                Some(vlan) => json!({"interface": interface, "vlan": vlan}),
                None => json!({"interface": interface}),
            })
        });
        set_parsed(document, "bindings", bindings)?;
        let subnets = self.subnets.iter().map(|text| compound::subnet(text));
        set_parsed(document, "subnets", subnets)?;
        set(
            document,
            "gateway_from_underlay",
            &self.gateway_from_underlay,
        );
        set(document, "metadata", &self.metadata);
        if let Some(group) = &self.group {
            document.insert(
                "flood".to_owned(),
                json!({"mode": "multicast", "group": group}),
            );
        }
        set(document, "mtu", &self.mtu);
        set_list(document, "hosts", &self.hosts);
        set(document, "learning", &self.learning);
        set(document, "ageing", &self.ageing);
        set(document, "learn_limit", &self.learn_limit);
        set(document, "vlan_transparent", &self.vlan_transparent);
        set(document, "arp_suppression", &self.arp_suppression);
        set(document, "description", &self.description);
        Ok(())
    }
}

/// `eth1` or `eth1:100`. Interface names may have colons themselves, so the last one counts.
fn attachment(text: &str) -> Result<(&str, Option<u16>), String> {
    match text.rsplit_once(':') {
        None => Ok((text, None)),
        Some((interface, vlan)) => match vlan.parse() {
            Ok(vlan) => Ok((interface, Some(vlan))),
            Err(_) => Err(format!(
                "{vlan:?} in {text:?} is no VLAN: give INTERFACE:VLAN"
            )),
        },
    }
}

#[derive(Debug, Args)]
pub struct PlaceFields {
    /// The host it lives on; by default the server's
    #[arg(long)]
    host: Option<String>,
    /// On the server's host: the interface it is reached by
    #[arg(long)]
    interface: Option<String>,
    /// The tag of its frames there
    #[arg(long)]
    vlan: Option<u16>,
    /// The tag's type: 802.1q or 802.1ad
    #[arg(long)]
    tpid: Option<String>,
}

impl PlaceFields {
    fn fill(&self, document: &mut Map<String, Value>) {
        if self.host.is_some() {
            document.retain(|field, _| !["interface", "vlan", "tpid"].contains(&field.as_str()));
        }
        set(document, "host", &self.host);
        set(document, "interface", &self.interface);
        set(document, "vlan", &self.vlan);
        set(document, "tpid", &self.tpid);
    }
}

#[derive(Debug, Args)]
pub struct PortFields {
    /// Its network
    #[arg(long)]
    network: Option<String>,
    /// Its MAC address
    #[arg(long)]
    mac: Option<String>,
    /// An IP address of it; may be repeated
    #[arg(long = "address")]
    addresses: Vec<String>,
    #[command(flatten)]
    place: PlaceFields,
    /// Whether it may send only from its own addresses and the allowed pairs
    #[arg(long)]
    anti_spoofing: Option<bool>,
    /// An address or prefix it may send from too, with another MAC or its own; may be repeated
    #[arg(long = "allow", value_name = "ADDRESS[=MAC]")]
    allowed: Vec<String>,
    /// A DHCP option by name or code; may be repeated
    #[arg(long = "dhcp-option", value_name = "NAME=VALUE")]
    dhcp_options: Vec<String>,
    /// The host name DHCP tells it
    #[arg(long)]
    hostname: Option<String>,
}

impl Fields for PortFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        set(document, "network", &self.network);
        set(document, "mac", &self.mac);
        set_list(document, "addresses", &self.addresses);
        self.place.fill(document);
        set(document, "anti_spoofing", &self.anti_spoofing);
        set(document, "hostname", &self.hostname);
        let pairs = self.allowed.iter().map(|pair| {
            Ok(match pair.split_once('=') {
                Some((address, mac)) => json!({"address": address, "mac": mac}),
                None => json!({"address": pair}),
            })
        });
        set_parsed(document, "allowed_address_pairs", pairs)?;
        let mut options = self.dhcp_options.iter();
        options.try_for_each(|option| compound::dhcp_option(document, option))
    }
}

#[derive(Debug, Args)]
pub struct FdbFields {
    #[command(flatten)]
    place: PlaceFields,
}

impl Fields for FdbFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        self.place.fill(document);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct RouterFields {
    /// A gateway, network=NAME,mac=MAC,address=ADDRESS/LENGTH[,…], and by what other hosts reach the router's central
    /// gateway outside, central-mac=MAC,central=ADDRESS[,…]; may be repeated
    #[arg(long = "interface", value_name = "network=…,mac=…,address=…")]
    interfaces: Vec<String>,
    /// A route, PREFIX=VIA; may be repeated, the same prefix too
    #[arg(long = "route", value_name = "PREFIX=VIA")]
    routes: Vec<String>,
    /// Whether it runs on every host
    #[arg(long)]
    distributed: Option<bool>,
    /// The host it runs on, if it is not distributed; by default the server's
    #[arg(long)]
    host: Option<String>,
    #[command(flatten)]
    outside: OutsideFields,
    /// The tenant whose limits of address translation count
    #[arg(long)]
    tenant: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for RouterFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        let interfaces = self.interfaces.iter();
        let interfaces = interfaces.map(|text| compound::router_interface(text));
        set_parsed(document, "interfaces", interfaces)?;
        set_routes(document, &self.routes)?;
        set(document, "distributed", &self.distributed);
        set(document, "host", &self.host);
        set(document, "tenant", &self.tenant);
        set(document, "description", &self.description);
        self.outside.fill(document)
    }
}

#[derive(Debug, Args)]
pub struct RouteFields {
    /// A next hop; may be repeated
    #[arg(long)]
    via: Vec<String>,
}

impl Fields for RouteFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        set_list(document, "via", &self.via);
        Ok(())
    }
}
