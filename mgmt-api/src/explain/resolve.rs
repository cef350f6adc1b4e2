//! From the operator's question to the whole packet: what the sender would know or find out is looked up.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{ExplainFrame, ExplainQuery, PacketFields, Transport};
use super::sender::{Arrival, Ends, Hop, Sender, TTL, find, question_mac};
use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::{Code, Refusal};
use crate::resources::{Attachment, Interface, Location, Port, Tpid, Vid};
use crate::state::{Handle, View};

/// An Ethernet header.
const MIN_FRAME: usize = 14;
/// More than any device carries.
const MAX_FRAME: usize = 16 << 10;
/// The first of the ports that are nobody's (RFC 6335 §6).
const SOURCE_PORT: u16 = 49_152;
/// An IP packet's length unless asked otherwise, if its headers fit: what `ping` sends.
const LENGTH: u16 = 84;

/// A packet to be explained, as asked for in the API: a `frame`; or fields of a packet that comes in by an `interface`;
/// or the ports it goes `from` and `to`, the rest being looked up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ExplainQuery)]
pub struct ExplainSpec {
    /// The interface it comes in by; with `from` it is the port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Id>,
    /// The frame in hexadecimal, as it would arrive there, tagged if it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// The port that sends it. One on another host: the frame as it arrives here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Id>,
    /// The port or the address it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The source MAC address, instead of the port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_mac: Option<Mac>,
    /// The destination MAC address, instead of the one the sender would find out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_mac: Option<Mac>,
    /// The tag it bears on the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vid>,
    /// The tag's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpid: Option<Tpid>,
    /// The source address, instead of the port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub source: Option<IpAddr>,
    /// The destination address, where there is no `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub destination: Option<IpAddr>,
    /// `tcp/443`, `udp/53`, `icmp` (an echo request, the default), `arp` or `nd` (who has the destination), or the number
    /// of an IP protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("tcp/443"))]
    pub protocol: Option<String>,
    /// The source port, 49152 by default; of an echo request the identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// TTL or hop limit, 64 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Bytes of the IP packet, 84 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u16>,
    /// IPv4: the "don't fragment" flag.
    pub dont_fragment: bool,
}

impl ExplainSpec {
    /// Fills in what the state knows.
    ///
    /// # Errors
    /// The field at fault, or what cannot be known and must be given.
    pub fn resolve(&self, view: View<'_>) -> Result<ExplainQuery, Refusal> {
        match (&self.frame, &self.from) {
            (Some(frame), _) => self.raw(frame, view),
            (None, Some(from)) => self.sent_by(from, view),
            (None, None) => self.given_whole(view),
        }
    }

    fn raw(&self, frame: &str, view: View<'_>) -> Result<ExplainQuery, Refusal> {
        let alone = Self {
            interface: self.interface.clone(),
            frame: self.frame.clone(),
            ..Self::default()
        };
        if *self != alone {
            let message = "a frame has everything in it: give it with `interface` alone";
            return Err(Refusal::conflict("/frame", message));
        }
        let interface = self.find_interface(view)?;
        let bytes = parse_hex(frame).ok_or_else(|| {
            let message =
                "a frame is an even number of hexadecimal digits; spaces and colons may stand between them";
            Refusal::invalid("/frame", message)
        })?;
        if !(MIN_FRAME..=MAX_FRAME).contains(&bytes.len()) {
            let message = format!(
                "a frame has {MIN_FRAME} to {MAX_FRAME} bytes, this one has {}",
                bytes.len()
            );
            return Err(Refusal::invalid("/frame", message));
        }
        let frame = ExplainFrame::Raw(bytes);
        Ok(ExplainQuery { interface, frame })
    }

    fn given_whole(&self, view: View<'_>) -> Result<ExplainQuery, Refusal> {
        if self.to.is_some() {
            let message = "`to` is looked up as seen by the sender: give `from`, or addresses instead of `to`";
            return Err(Refusal::invalid("/to", message));
        }
        let id = self.interface.as_ref().ok_or_else(no_interface)?;
        let at = Attachment::resolve(id, self.vlan, self.tpid, view, "")?;
        let source = required(self.source, "/source")?;
        let destination = required(self.destination, "/destination")?;
        let ends = Ends {
            source_mac: required(self.source_mac, "/source_mac")?,
            destination_mac: required(self.destination_mac, "/destination_mac")?,
            source,
            destination,
        };
        let packet = self.packet(ends, TTL)?;
        Ok(query(Arrival::attached(at), packet))
    }

    fn sent_by(&self, from: &Id, view: View<'_>) -> Result<ExplainQuery, Refusal> {
        let given = [
            ("/interface", self.interface.is_some()),
            ("/vlan", self.vlan.is_some()),
            ("/tpid", self.tpid.is_some()),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
            let message = "it comes in where the port of `from` lives: leave this out, or `from`";
            return Err(Refusal::conflict(field, message));
        }
        let sender = Sender::new(from, view)?;
        let (destination, target) = self.destination(&sender, view)?;
        let source = match self.source {
            Some(source) => source,
            None => sender.address_like(destination, view)?,
        };
        let hop = match (self.destination_mac, self.transport()?) {
            (Some(mac), _) => Hop::Station(mac, target),
            (None, Transport::Resolve) => Hop::Station(question_mac(destination), None),
            (None, _) => sender.next_hop(source, destination, target, view)?,
        };
        let mut ends = Ends {
            source_mac: self.source_mac.unwrap_or(sender.port.mac),
            destination_mac: hop.mac(),
            source,
            destination,
        };
        match sender.port.location {
            Location::Local(at) => Ok(query(Arrival::attached(at), self.packet(ends, TTL)?)),
            Location::Remote(host) => {
                let (network, ttl) = sender.as_it_arrives(host, hop, &mut ends, view)?;
                let arrival = Arrival::from_host(host, network, view)?;
                Ok(query(arrival, self.packet(ends, ttl)?))
            }
        }
    }

    /// The address it is for, and the port that has it if a port was named.
    fn destination<'a>(
        &self,
        sender: &Sender<'a>,
        view: View<'a>,
    ) -> Result<(IpAddr, Option<&'a Port>), Refusal> {
        let Some(to) = &self.to else {
            let destination = self.destination.ok_or_else(|| {
                let message = "what is it for? Give `to`, a port or an address";
                Refusal::invalid("/to", message)
            })?;
            return Ok((destination, None));
        };
        if self.destination.is_some() {
            let message = "`to` and `destination` say the same: leave one out";
            return Err(Refusal::conflict("/destination", message));
        }
        // An address may be an identifier too; then the port is meant.
        let id = to.parse::<Id>().ok();
        if let Some(target) = id.and_then(|id| view.get(view.find::<Port>(&id)?)) {
            let has_family = |address: &IpAddr| {
                let like = |own: IpAddr| own.is_ipv4() == address.is_ipv4();
                self.source
                    .map_or_else(|| sender.port.addresses.iter().any(like), like)
            };
            let address = target.addresses.iter().find(has_family).ok_or_else(|| {
                let message = format!(
                    "ports/{to} and ports/{} have no addresses of one family",
                    sender.port.id
                );
                Refusal::invalid("/to", message)
            })?;
            return Ok((address, Some(target)));
        }
        let address = to.parse().map_err(|_| {
            let message = format!("{to:?} is neither a port nor an address");
            Refusal::new(Code::UnknownReference, message).at("/to")
        })?;
        Ok((address, None))
    }

    fn packet(&self, ends: Ends, default_ttl: u8) -> Result<PacketFields, Refusal> {
        let Ends {
            source_mac,
            destination_mac,
            source,
            destination,
        } = ends;
        if source.is_ipv4() != destination.is_ipv4() {
            let message = format!("{source} and {destination} are of different address families");
            return Err(Refusal::invalid("/source", message));
        }
        let transport = self.transport()?;
        let least = transport.min_length(source.is_ipv4());
        let length = self.length.unwrap_or(LENGTH.max(least));
        if length < least {
            let message = format!("the headers alone take {least} bytes, not {length}");
            return Err(Refusal::invalid("/length", message));
        }
        Ok(PacketFields {
            tunnel: None,
            source_mac,
            destination_mac,
            tag: None,
            source,
            destination,
            transport,
            ttl: self.ttl.unwrap_or(default_ttl),
            length,
            dont_fragment: self.dont_fragment,
        })
    }

    fn transport(&self) -> Result<Transport, Refusal> {
        let text = self.protocol.as_deref().unwrap_or("icmp");
        let source_port = self.source_port.unwrap_or(SOURCE_PORT);
        let (name, port) = match text.split_once('/') {
            Some((name, port)) => (name, Some(port.parse::<u16>().ok())),
            None => (text, None),
        };
        let transport = match (name, port) {
            ("tcp", Some(Some(destination_port))) => Transport::Tcp {
                source_port,
                destination_port,
            },
            ("udp", Some(Some(destination_port))) => Transport::Udp {
                source_port,
                destination_port,
            },
            ("icmp" | "icmpv6", None) => Transport::Echo {
                identifier: source_port,
                sequence: 1,
            },
            ("arp" | "nd", None) => Transport::Resolve,
            (number, None) if let Ok(number) = number.parse() => Transport::Other(number),
            _ => {
                let message = format!(
                    "{text:?} is no protocol: give tcp/PORT, udp/PORT, icmp, arp, nd or the number of an IP protocol"
                );
                return Err(Refusal::invalid("/protocol", message));
            }
        };
        Ok(transport)
    }

    fn find_interface(&self, view: View<'_>) -> Result<Handle<Interface>, Refusal> {
        let id = self.interface.as_ref().ok_or_else(no_interface)?;
        find::<Interface>(id, "/interface", view)
    }
}

fn query(arrival: Arrival, packet: PacketFields) -> ExplainQuery {
    let Arrival { at, tunnel } = arrival;
    ExplainQuery {
        interface: at.interface,
        frame: ExplainFrame::Packet(PacketFields {
            tag: at.tag,
            tunnel,
            ..packet
        }),
    }
}

fn no_interface() -> Refusal {
    let message = "where does it come in? Give `interface`, or the port it comes `from`";
    Refusal::invalid("/interface", message)
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| {
        let name = &field[1..];
        let message = format!(
            "a packet without `from` is given whole: `{name}` is missing (or give `frame`, or `from` and `to`)"
        );
        Refusal::invalid(field, message)
    })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !c.is_whitespace() && *c != ':');
    let digits: Option<Vec<u8>> = digits.map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
