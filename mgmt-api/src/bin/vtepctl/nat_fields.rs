//! The options for ways outside: of routers, floating IPs, tenants and the settings of address translation.

use clap::Args;
use serde_json::{Map, Value};

use crate::compound;
use crate::fields::{Fields, merge, set, set_list, set_parsed};

#[derive(Debug, Args)]
pub struct OutsideFields {
    /// The external network of its way outside
    #[arg(long, value_name = "NETWORK")]
    external_network: Option<String>,
    /// A gateway there, mac=MAC, address=ADDRESS/LENGTH and host=HOST with commas between; the first is the central one;
    /// may be repeated
    #[arg(long = "external-gateway", value_name = "mac=…,address=…[,host=…]")]
    external_gateways: Vec<String>,
    /// A next router outside; may be repeated
    #[arg(long = "next-hop", value_name = "ADDRESS")]
    next_hops: Vec<String>,
    /// Whether addresses inside are translated
    #[arg(long)]
    snat: Option<bool>,
    /// Whom a translated address lets in: endpoint-independent or address-dependent
    #[arg(long)]
    filtering: Option<String>,
    /// A destination that is reached without translation; may be repeated
    #[arg(long, value_name = "PREFIX")]
    exempt: Vec<String>,
    /// A prefix inside that is not translated; may be repeated
    #[arg(long, value_name = "PREFIX")]
    same_scope: Vec<String>,
    /// IPv6: whether only what was begun inside may come in
    #[arg(long)]
    outbound_only_ipv6: Option<bool>,
    /// What a floating IP costs of the TTL, 1 or 2
    #[arg(long)]
    floating_ip_hops: Option<u8>,
}

impl OutsideFields {
    pub fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        let mut outside = Map::new();
        set(&mut outside, "network", &self.external_network);
        let gateways = self.external_gateways.iter();
        let gateways = gateways.map(|text| compound::outside_gateway(text));
        set_parsed(&mut outside, "gateways", gateways)?;
        set_list(&mut outside, "next_hops", &self.next_hops);
        set(&mut outside, "snat", &self.snat);
        set(&mut outside, "filtering", &self.filtering);
        set_list(&mut outside, "exempt", &self.exempt);
        set_list(&mut outside, "same_scope", &self.same_scope);
        set(&mut outside, "outbound_only_ipv6", &self.outbound_only_ipv6);
        set(&mut outside, "floating_ip_hops", &self.floating_ip_hops);
        if !outside.is_empty() {
            merge(document, "external_gateway", outside);
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct FloatingIpFields {
    /// The address outside
    #[arg(long)]
    address: Option<String>,
    /// The external network
    #[arg(long)]
    network: Option<String>,
    /// The router that translates it, where more than one could
    #[arg(long)]
    router: Option<String>,
    /// The port it leads to
    #[arg(long, conflicts_with = "forwardings")]
    port: Option<String>,
    /// The address inside, where the port has several, or without a port
    #[arg(long, value_name = "ADDRESS", conflicts_with = "forwardings")]
    fixed_address: Option<String>,
    /// A port of it that leads inside, PROTOCOL/PORT=ADDRESS:PORT as in tcp/8080=192.168.1.9:80; may be repeated
    #[arg(long = "forward", value_name = "PROTOCOL/PORT=ADDRESS:PORT")]
    forwardings: Vec<String>,
    /// Whether the port's own host translates it
    #[arg(long)]
    distributed: Option<bool>,
    /// Let it lead nowhere; it stays reserved
    #[arg(long, conflicts_with_all = ["port", "fixed_address", "forwardings", "distributed"])]
    disassociate: bool,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for FloatingIpFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        let leads_elsewhere =
            self.port.is_some() || self.fixed_address.is_some() || !self.forwardings.is_empty();
        if leads_elsewhere || self.disassociate {
            // What was found for the station before need not be true for another.
            let old = ["router", "port", "fixed_address", "forwardings"];
            document.retain(|field, _| !old.contains(&field.as_str()));
        }
        if self.disassociate {
            document.remove("distributed");
        }
        set(document, "address", &self.address);
        set(document, "network", &self.network);
        set(document, "router", &self.router);
        set(document, "port", &self.port);
        set(document, "fixed_address", &self.fixed_address);
        set(document, "distributed", &self.distributed);
        set(document, "description", &self.description);
        let forwardings = self.forwardings.iter();
        let forwardings = forwardings.map(|text| compound::forwarding(text));
        set_parsed(document, "forwardings", forwardings)
    }
}

#[derive(Debug, Args)]
pub struct LimitFields {
    /// Sessions at a time
    #[arg(long)]
    sessions: Option<u32>,
    /// New sessions in a second
    #[arg(long)]
    sessions_per_second: Option<u32>,
    /// Ports of outside addresses at a time
    #[arg(long)]
    ports: Option<u32>,
    /// Fragmented datagrams and held packets at a time
    #[arg(long)]
    fragments: Option<u32>,
}

impl LimitFields {
    fn fill(&self, document: &mut Map<String, Value>, field: &str) {
        let mut limits = Map::new();
        set(&mut limits, "sessions", &self.sessions);
        set(
            &mut limits,
            "sessions_per_second",
            &self.sessions_per_second,
        );
        set(&mut limits, "ports", &self.ports);
        set(&mut limits, "fragments", &self.fragments);
        if !limits.is_empty() {
            merge(document, field, limits);
        }
    }
}

#[derive(Debug, Args)]
pub struct TenantFields {
    #[command(flatten)]
    limits: LimitFields,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl Fields for TenantFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        self.limits.fill(document, "nat");
        set(document, "description", &self.description);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct NatSettingsFields {
    /// How long what is not used lasts, NAME=SECONDS: tcp_established, tcp_transitory, udp, icmp, rest or fragment; may be
    /// repeated
    #[arg(long = "timeout", value_name = "NAME=SECONDS")]
    timeouts: Vec<String>,
    /// Whether timeouts may be shorter than the RFCs demand
    #[arg(long)]
    short_timeouts: Option<bool>,
    /// Whether packets from outside keep a session of UDP or ICMP alive
    #[arg(long)]
    inbound_refresh: Option<bool>,
    /// What becomes of a SYN that nobody waits for: silent or unreachable
    #[arg(long)]
    unsolicited_syn: Option<String>,
    /// Ports that a station gets at once, 16 to 4096; 0: one by one
    #[arg(long)]
    port_block: Option<u16>,
    #[command(flatten)]
    limits: LimitFields,
}

impl Fields for NatSettingsFields {
    fn fill(&self, document: &mut Map<String, Value>) -> Result<(), String> {
        let timeouts = self.timeouts.iter().map(|text| compound::timeout(text));
        let timeouts = timeouts.collect::<Result<Map<_, _>, _>>()?;
        if !timeouts.is_empty() {
            merge(document, "timeouts", timeouts);
        }
        set(document, "short_timeouts", &self.short_timeouts);
        set(document, "inbound_refresh", &self.inbound_refresh);
        set(document, "unsolicited_syn", &self.unsolicited_syn);
        set(document, "port_block", &self.port_block);
        self.limits.fill(document, "limits");
        Ok(())
    }
}
