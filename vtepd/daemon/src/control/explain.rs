//! What happens to one packet, and why: the workers' own stages run over it with a
//! recording observer, on the tables as they are. Nothing leaves and nobody is told; only
//! the age of what the tables know of its sender is renewed, as by any frame of his.

use std::net::SocketAddrV4;

use mgmt_api::explain::{
    DropExplanation, ExplainFrame, ExplainQuery, Explanation, Outcome, PacketFields, SentPacket,
    Step, Transport, Tunnel,
};
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Attachment, Interface, Network};
use mgmt_api::state::{Handle, View};
use serde_json::{Value, json};
use vtepd_datapath::observer::{Decision, Exemption, Rule};
use vtepd_datapath::{Asked, DropReason, Service};
use vtepd_tables::{
    AdjacencyIndex, FdbEntry, InterfaceIndex, Neighbour, NetworkIndex, Origin, VrfIndex,
};
use vtepd_wire::ethernet::{ETHERTYPE_QINQ, ETHERTYPE_VLAN};
use vtepd_wire::ipv4::PROTOCOL_ICMP;
use vtepd_wire::{Mac, arp, craft, vxlan};

use super::experiment::{self, Experiment, Known};
use super::places::{Place, router_of};
use super::{Control, Plane};

impl Plane {
    /// Runs a packet through what the workers do.
    pub(super) fn explain_packet(
        &self,
        view: View<'_>,
        query: &ExplainQuery,
    ) -> Result<Explanation, Refusal> {
        let interface = view.get(query.interface).ok_or_else(|| {
            Refusal::new(Code::NotFound, "the interface was removed in the meantime")
        })?;
        let index = InterfaceIndex(interface.device.0 as u8);
        let frame = match &query.frame {
            ExplainFrame::Raw(frame) => frame.clone(),
            ExplainFrame::Packet(fields) => self.frame_of(view, query.interface, fields)?,
        };
        let known = self.known_of(&frame);
        let mut experiment = self.laboratory.experiment(known).ok_or_else(|| {
            Refusal::new(
                Code::Internal,
                "too many packets are being explained: ask again",
            )
        })?;
        experiment.run(index, &frame);
        let asked: Vec<Asked> = std::iter::from_fn(|| experiment.channel.asked.pop()).collect();
        for asked in &asked {
            let answer = self.control.lock().served.answer(asked);
            if let Some(answer) = answer {
                experiment.deliver(&answer);
            }
        }
        Ok(self.control.lock().explanation(view, frame, experiment))
    }

    /// What translators need to know to make of a frame what the workers' own would. They are asked without the lock.
    fn known_of(&self, frame: &[u8]) -> Known {
        let told = self.control.lock().told();
        if told.capacity.is_none() {
            return Known::default();
        }
        let (sessions, unknown) = match experiment::ask(&self.translators, frame) {
            Ok(sessions) => (sessions, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Known {
            told,
            sessions,
            unknown,
        }
    }

    /// The frame that fields describe, as it would arrive.
    fn frame_of(
        &self,
        view: View<'_>,
        interface: Handle<Interface>,
        fields: &PacketFields,
    ) -> Result<Vec<u8>, Refusal> {
        let (source, destination) = (Mac(fields.source_mac.0), Mac(fields.destination_mac.0));
        let mut ethernet = craft::ethernet(destination, source);
        if let Some(tag) = fields.tag {
            ethernet = ethernet.tag(tag.tpid.ethertype(), tag.vid.get());
        }
        let inner = inner_frame(ethernet, fields).ok_or_else(|| {
            Refusal::new(
                Code::Invalid,
                "source and destination are of one address family",
            )
        })?;
        let Some(Tunnel {
            vni,
            source,
            destination,
            ..
        }) = fields.tunnel
        else {
            return Ok(inner);
        };
        let underlay = view.get(interface);
        let tag = underlay.and_then(|interface| interface.tag);
        let device = underlay.map(|interface| view.device(interface.device));
        let own_mac = device.map_or(Mac::ZERO, |device| Mac(device.mac.0));
        // Whoever forwards to us last: his MAC is not looked at.
        let mut outer = craft::ethernet(own_mac, Mac([0x02, 0, 0, 0, 0, 0xfe]));
        if let Some(tag) = tag {
            outer = outer.tag(tag.tpid.ethertype(), tag.vid.get());
        }
        let port = vxlan::PORT;
        match (source, destination) {
            (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) => Ok(outer
                .ipv4(source, destination)
                .vxlan_to(vxlan_source_port(), port, vni.get(), &inner)),
            (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) => Ok(outer
                .ipv6(source, destination)
                .vxlan_to(vxlan_source_port(), port, vni.get(), &inner)),
            _ => Err(Refusal::new(
                Code::Invalid,
                "this host has no address of the family of the other host's VTEP",
            )),
        }
    }
}

/// Any of those that senders choose from (RFC 7348, 5).
const fn vxlan_source_port() -> u16 {
    49_152
}

fn inner_frame(ethernet: craft::Ethernet, fields: &PacketFields) -> Option<Vec<u8>> {
    use std::net::IpAddr::{V4, V6};
    let mac = Mac(fields.source_mac.0);
    if fields.transport == Transport::Resolve {
        return Some(match (fields.source, fields.destination) {
            (V4(source), V4(target)) => ethernet.arp(arp::Packet::request(mac, source, target)),
            (V6(source), V6(target)) => {
                let group = vtepd_wire::ipv6::solicited_node(target);
                ethernet.ipv6(source, group).solicitation(target)
            }
            _ => return None,
        });
    }
    let (ip, header_len) = match (fields.source, fields.destination) {
        (V4(source), V4(destination)) => (ethernet.ipv4(source, destination), 20),
        (V6(source), V6(destination)) => (ethernet.ipv6(source, destination), 40),
        _ => return None,
    };
    let ip = ip.ttl(fields.ttl);
    let ip = if fields.source.is_ipv4() && !fields.dont_fragment {
        ip.may_fragment()
    } else {
        ip
    };
    let payload = |transport: usize| {
        let len = usize::from(fields.length).saturating_sub(header_len + transport);
        vec![0; len]
    };
    Some(match fields.transport {
        Transport::Tcp {
            source_port,
            destination_port,
        } => ip.tcp(
            source_port,
            destination_port,
            vtepd_wire::tcp::SYN,
            &payload(20),
        ),
        Transport::Udp {
            source_port,
            destination_port,
        } => ip.udp(source_port, destination_port, &payload(8)),
        Transport::Echo {
            identifier,
            sequence,
        } => ip.icmp_echo(identifier, sequence, &payload(8)),
        Transport::Other(protocol) => ip.payload(protocol, &payload(0)),
        Transport::Resolve => return None,
    })
}

impl Control {
    fn explanation(&self, view: View<'_>, frame: Vec<u8>, experiment: Experiment) -> Explanation {
        let names = Names {
            view,
            control: self,
        };
        let decisions: Vec<Decision> = experiment
            .recorder
            .decisions
            .iter()
            .map(|(_, decision)| *decision)
            .collect();
        let reason = experiment.drop_reason();
        let sent: Vec<_> = experiment.sent().collect();
        let packets = sent.iter().map(|(interface, packet)| {
            let bytes = packet.frame();
            SentPacket {
                interface: names.interface(*interface),
                summary: summary::of(&bytes),
                bytes,
            }
        });
        Explanation {
            frame,
            outcome: outcome(&decisions, reason, !sent.is_empty()),
            drop: reason.map(|reason| DropExplanation {
                reason: reason.name().to_owned(),
                description: reason.description().to_owned(),
            }),
            packets: packets.collect(),
            steps: decisions
                .iter()
                .map(|decision| names.step(*decision, &experiment))
                .collect(),
        }
    }
}

fn outcome(decisions: &[Decision], reason: Option<DropReason>, sent: bool) -> Outcome {
    let has = |wanted: &dyn Fn(&Decision) -> bool| decisions.iter().any(wanted);
    let answered = has(&|decision| {
        matches!(
            decision,
            Decision::Suppressed | Decision::Answered | Decision::Reply(_) | Decision::Asked(_)
        )
    });
    // A flood of which one copy was dropped is still one.
    if has(&|decision| *decision == Decision::Flood || *decision == Decision::Unknown) && sent {
        Outcome::Flooded
    } else if has(&|decision| *decision == Decision::Held) {
        Outcome::Held
    } else if reason.is_some() {
        Outcome::Dropped
    } else if answered && sent {
        Outcome::Answered
    } else if sent {
        Outcome::Forwarded
    } else {
        Outcome::Consumed
    }
}

/// What numbers of the tables mean to people.
struct Names<'a> {
    view: View<'a>,
    control: &'a Control,
}

impl Names<'_> {
    fn interface(&self, index: InterfaceIndex) -> mgmt_api::id::Id {
        let id = self.control.underlay.interface_id(index).cloned();
        // The link to the metadata proxy, or an interface that was removed since: its device
        // says which it is.
        id.unwrap_or_else(|| {
            let device = self.view.facts().devices.get(index.as_usize());
            let name = device.map_or(format!("device-{index}"), |device| device.name.clone());
            name.parse()
                .unwrap_or_else(|_| self.view.facts().local_host.clone())
        })
    }

    fn network(&self, index: NetworkIndex) -> String {
        let handle = Handle::<Network>::new(u32::from(index.get()) - 1);
        let network = self.view.get(handle);
        network.map_or_else(|| format!("#{index}"), |network| network.id.to_string())
    }

    fn router(&self, index: VrfIndex) -> String {
        let handle = router_of(index);
        let router = self.view.get(handle);
        router.map_or_else(|| format!("#{index}"), |router| router.id.to_string())
    }

    fn attachment(&self, attachment: Attachment) -> String {
        let interface = self.view.name_of(attachment.interface);
        match attachment.tag {
            Some(tag) => format!("{interface}, VLAN {}", tag.vid.get()),
            None => interface,
        }
    }

    fn place(&self, index: AdjacencyIndex) -> String {
        match self.control.places.owner(index) {
            Some(Place::Attachment(attachment)) => self.attachment(attachment),
            Some(Place::Host(host)) => self.view.name_of(host),
            Some(Place::Group(network)) => {
                format!("the multicast group of {}", self.view.name_of(network))
            }
            Some(Place::Gateway(router, network, _)) => format!(
                "the gateway of {} in {}",
                self.view.name_of(router),
                self.view.name_of(network)
            ),
            Some(Place::FloatingIps(network)) => format!(
                "this host's gateway for floating IPs on {}",
                self.view.name_of(network)
            ),
            Some(Place::Outside(router, _)) => {
                format!("the way outside of {}", self.view.name_of(router))
            }
            None => format!("a way out that is gone (#{index})"),
        }
    }

    fn fdb(&self, entry: FdbEntry) -> Value {
        let origin = match entry.origin {
            Origin::Static => "static",
            Origin::Learned => "learned",
            Origin::Guarded(_) => "port",
            Origin::Gateway => "gateway",
        };
        json!({"table": "fdb", "to": self.place(entry.adjacency), "origin": origin})
    }

    fn neighbour(&self, neighbour: Neighbour) -> Value {
        json!({
            "table": "neighbours",
            "mac": neighbour.mac.to_string(),
            "to": self.place(neighbour.adjacency),
        })
    }

    fn step(&self, decision: Decision, experiment: &Experiment) -> Step {
        let step = |stage: &str, code: &str, text: String, entry: Option<Value>| Step {
            stage: stage.to_owned(),
            code: code.to_owned(),
            text,
            entry,
        };
        match decision {
            Decision::Underlay => step(
                "input",
                "underlay",
                "a packet of the underlay".to_owned(),
                None,
            ),
            Decision::Bound(network, at) => step(
                "input",
                "bound",
                format!(
                    "what comes in by {} is of network {}",
                    self.place(at),
                    self.network(network)
                ),
                Some(json!({"table": "bindings", "network": self.network(network)})),
            ),
            Decision::Terminated(vni, network, from) => step(
                "input",
                "terminated",
                format!(
                    "VXLAN {vni} from {} is of network {}",
                    self.place(from),
                    self.network(network)
                ),
                Some(json!({"table": "vnis", "vni": vni, "network": self.network(network)})),
            ),
            Decision::FromHost => step(
                "decide",
                "from-host",
                "the source is another host's DVR host MAC: its router has sent this".to_owned(),
                None,
            ),
            Decision::Learn(at) => step(
                "decide",
                "learn",
                format!("the source is new at {}", self.place(at)),
                None,
            ),
            Decision::Claim(address, neighbour) => step(
                "decide",
                "claim",
                format!("{} says that it has {address}", neighbour.mac),
                None,
            ),
            Decision::Suppressed => step(
                "decide",
                "resolved",
                "who has the address is known: answered here".to_owned(),
                None,
            ),
            Decision::Asked(service) => step(
                "decide",
                "service",
                format!("a question to {}, answered here", service_name(service)),
                None,
            ),
            Decision::Gateway(at) => step(
                "decide",
                "gateway",
                format!("to {}", self.place(at)),
                Some(json!({"table": "fdb", "to": self.place(at), "origin": "gateway"})),
            ),
            Decision::Route { vrf, out, via } => {
                let via_text = via.map_or("connected".to_owned(), |via| format!("via {via}"));
                step(
                    "route",
                    "route",
                    format!(
                        "router {}: out of {}, {via_text}",
                        self.router(vrf),
                        self.place(out)
                    ),
                    Some(json!({
                        "table": "routes",
                        "router": self.router(vrf),
                        "out": self.place(out),
                        "via": via,
                    })),
                )
            }
            Decision::Neighbour(neighbour) => step(
                "route",
                "neighbour",
                format!(
                    "it has {} and is at {}",
                    neighbour.mac,
                    self.place(neighbour.adjacency)
                ),
                Some(self.neighbour(neighbour)),
            ),
            Decision::Wanted(gateway, address) => step(
                "route",
                "wanted",
                format!(
                    "nobody is known to have {address}: asked for from {}",
                    self.place(gateway)
                ),
                None,
            ),
            Decision::Held => step(
                "output",
                "held",
                "waits for the answer, three seconds at most".to_owned(),
                None,
            ),
            Decision::Error(reason) => step(
                "route",
                "error",
                format!("the sender is told by ICMP: {}", reason.description()),
                None,
            ),
            Decision::Answered => step("route", "answered", "the gateway answers".to_owned(), None),
            Decision::Central(address) => step(
                "route",
                "central",
                format!("outside is reached by way of {address} in the same network"),
                Some(json!({"table": "neighbours", "address": address})),
            ),
            Decision::Translated {
                by,
                protocol,
                from,
                to,
            } => {
                let (text, evidence) = translated(by, protocol, from, to, experiment);
                step("translate", "translated", text, Some(evidence))
            }
            Decision::Untranslated(exemption) => step(
                "translate",
                "untranslated",
                match exemption {
                    Exemption::Exempt => "passes as it is: the other end is exempt",
                    Exemption::SameScope => "passes as it is: of the outside's address scope",
                }
                .to_owned(),
                None,
            ),
            Decision::Hairpin(at) => step(
                "translate",
                "hairpin",
                format!(
                    "to an outside address of this host: comes in again at {}",
                    self.place(at)
                ),
                None,
            ),
            Decision::HandedOver(worker) => step(
                "translate",
                "handed-over",
                format!("goes on at worker {worker}, which owns its translation"),
                None,
            ),
            Decision::Kept => step(
                "translate",
                "kept",
                "waits for the first fragment of its datagram, or an answer to its SYN".to_owned(),
                None,
            ),
            Decision::Asks(address) => step(
                "metadata",
                "asks",
                format!("a question to the metadata proxy, which knows the sender as {address}"),
                Some(json!({"table": "metadata", "address": address})),
            ),
            Decision::ToProxy(interface) => step(
                "output",
                "to-proxy",
                format!("to the metadata proxy by {}", self.interface(interface)),
                None,
            ),
            Decision::FromProxy(network, at) => step(
                "input",
                "from-proxy",
                format!(
                    "from the metadata proxy to {} in network {}",
                    self.place(at),
                    self.network(network)
                ),
                None,
            ),
            Decision::Known(entry) => step(
                "decide",
                "known",
                format!("the destination is at {}", self.place(entry.adjacency)),
                Some(self.fdb(entry)),
            ),
            Decision::Unknown => step(
                "decide",
                "unknown",
                "nobody is known to have the destination".to_owned(),
                None,
            ),
            Decision::Flood => step(
                "decide",
                "flood",
                "to everybody else in the network".to_owned(),
                None,
            ),
            Decision::Fragments(count) => {
                step("output", "fragments", format!("in {count} parts"), None)
            }
            Decision::Out(at) => step("output", "out", format!("to {}", self.place(at)), None),
            Decision::Reply(interface) => step(
                "output",
                "reply",
                format!("answered by {}", self.interface(interface)),
                None,
            ),
            Decision::Consumed => step(
                "output",
                "consumed",
                "for this host itself; nothing leaves".to_owned(),
                None,
            ),
            Decision::Drop(reason) => step(
                "output",
                "drop",
                format!("dropped: {}", reason.description()),
                None,
            ),
        }
    }
}

/// What was translated to what, and the evidence.
fn translated(
    by: Rule,
    protocol: u8,
    from: [SocketAddrV4; 2],
    to: [SocketAddrV4; 2],
    experiment: &Experiment,
) -> (String, Value) {
    let outbound = from[0] != to[0];
    let (before, after, end) = match outbound {
        true => (from[0], to[0], "source"),
        false => (from[1], to[1], "destination"),
    };
    let (inside, remote) = match outbound {
        true => (from[0], remote_of(protocol, from[1])),
        false => (to[1], remote_of(protocol, from[0])),
    };
    let session = experiment.session(protocol, inside, remote);
    let why = match by {
        Rule::FloatingIp => "by floating IP, as all of the station's packets are".to_owned(),
        Rule::Forwarding => "by port forwarding".to_owned(),
        Rule::Session { new: false } => match session {
            Some((worker, row)) => format!(
                "by SNAT, in the session that worker {worker} has of it ({}, ends in {} s if nothing follows)",
                row.state.name(),
                row.expires_in
            ),
            None => "by SNAT, in a session that is known".to_owned(),
        },
        Rule::Session { new: true } => {
            format!(
                "by SNAT, in a new session{}",
                new_session(outbound, before, after, experiment)
            )
        }
    };
    let evidence = json!({
        "table": "translation",
        "protocol": protocol,
        "from": from.map(|end| end.to_string()),
        "to": to.map(|end| end.to_string()),
        "session": session.map(|(worker, row)| json!({
            "worker": worker,
            "inside": row.inside.to_string(),
            "outside": row.outside.to_string(),
            "remote": row.remote.to_string(),
            "state": row.state.name(),
            "idle_seconds": row.idle,
            "expires_in_seconds": row.expires_in,
        })),
    });
    let text = format!("{why}: {end} {before} becomes {after}");
    (text, evidence)
}

/// The other end as sessions have it: queries are told apart by who asks.
fn remote_of(protocol: u8, end: SocketAddrV4) -> SocketAddrV4 {
    match protocol {
        PROTOCOL_ICMP => SocketAddrV4::new(*end.ip(), 0),
        _ => end,
    }
}

/// What is to be said of a session that a packet would open.
fn new_session(
    outbound: bool,
    before: SocketAddrV4,
    after: SocketAddrV4,
    experiment: &Experiment,
) -> String {
    let port = match (outbound, before.port() == after.port()) {
        (false, _) => ", which the port that its station uses lets in",
        (true, true) => ", which keeps its port",
        (true, false) if experiment.has_sessions_of(before) => {
            ", by the port that its station has for it already"
        }
        (true, false) => ", whose own port is taken: another is drawn, not always this one",
    };
    match experiment.unknown() {
        None => port.to_owned(),
        Some(error) => format!("{port} (whether there is one already is not known: {error})"),
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Dhcp4 => "the DHCP server",
        Service::Dhcp6 => "the DHCPv6 server",
        Service::RouterSolicitation => "the router",
    }
}

/// One line about a frame.
mod summary {
    use std::fmt::Write;
    use std::net::IpAddr;

    use super::{ETHERTYPE_QINQ, ETHERTYPE_VLAN};
    use vtepd_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
    use vtepd_wire::ipv4::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP};
    use vtepd_wire::{FromBytes, arp, ethernet, frame, ipv4, ipv6, udp, vxlan};

    pub fn of(bytes: &[u8]) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = describe(&mut text, bytes);
        text
    }

    fn describe(text: &mut String, bytes: &[u8]) -> std::fmt::Result {
        let Ok((header, _)) = ethernet::Header::ref_from_prefix(bytes) else {
            return write!(text, "{} bytes", bytes.len());
        };
        write!(text, "{} > {}", header.source, header.destination)?;
        let Ok(link) = frame::link(bytes) else {
            return Ok(());
        };
        let tpid = header.ethertype.get();
        if let Some(tag) = link.outer_tag() {
            let kind = match tpid {
                ETHERTYPE_QINQ => "S-VLAN",
                ETHERTYPE_VLAN => "VLAN",
                _ => "tag",
            };
            write!(text, " {kind} {}", tag & 0xfff)?;
        }
        let l3 = bytes.get(usize::from(link.l3)..).unwrap_or_default();
        match link.ethertype {
            ETHERTYPE_ARP => match arp::Packet::ref_from_prefix(l3) {
                Ok((arp, _)) if arp.is_reply() => {
                    write!(text, " ARP {} is at {}", arp.sender_addr(), arp.sender_mac)
                }
                Ok((arp, _)) => write!(
                    text,
                    " ARP who has {} tell {}",
                    arp.target_addr(),
                    arp.sender_addr()
                ),
                Err(_) => write!(text, " ARP"),
            },
            ETHERTYPE_IPV4 => match ipv4::Header::ref_from_prefix(l3) {
                Ok((ip, _)) => {
                    let ends = (
                        IpAddr::V4(ip.source_addr()),
                        IpAddr::V4(ip.destination_addr()),
                    );
                    write!(text, " {} > {} TTL {}", ends.0, ends.1, ip.ttl)?;
                    transport(text, bytes, &link)
                }
                Err(_) => Ok(()),
            },
            ETHERTYPE_IPV6 => match ipv6::Header::ref_from_prefix(l3) {
                Ok((ip, _)) => {
                    let (from, to) = (ip.source_addr(), ip.destination_addr());
                    write!(text, " {from} > {to} hop limit {}", ip.hop_limit)?;
                    transport(text, bytes, &link)
                }
                Err(_) => Ok(()),
            },
            other => write!(text, " ethertype {other:#06x}"),
        }
    }

    fn transport(text: &mut String, bytes: &[u8], link: &frame::Link) -> std::fmt::Result {
        let Ok(Some(network)) = frame::network(bytes, bytes.len(), link) else {
            return Ok(());
        };
        if network.later_fragment {
            return write!(text, " fragment");
        }
        let l4 = bytes.get(network.l4..).unwrap_or_default();
        let ports = udp::Header::ref_from_prefix(l4);
        match (network.protocol, ports) {
            (PROTOCOL_UDP, Ok((udp, rest))) if udp.destination.get() == vxlan::PORT => {
                match vxlan::Header::ref_from_prefix(rest) {
                    Ok((vxlan, inner)) => {
                        write!(text, " VXLAN {}: ", vxlan.vni())?;
                        describe(text, inner)
                    }
                    Err(_) => write!(text, " VXLAN"),
                }
            }
            (PROTOCOL_UDP, Ok((udp, _))) => {
                write!(text, " UDP {} > {}", udp.source, udp.destination)
            }
            (PROTOCOL_TCP, Ok((tcp, _))) => {
                write!(text, " TCP {} > {}", tcp.source, tcp.destination)
            }
            (PROTOCOL_ICMP | PROTOCOL_ICMPV6, _) => match l4 {
                [kind, code, ..] => write!(text, " ICMP type {kind} code {code}"),
                _ => write!(text, " ICMP"),
            },
            (protocol, _) => write!(text, " protocol {protocol}"),
        }
    }
}
