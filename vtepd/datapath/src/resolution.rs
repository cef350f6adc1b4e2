//! ARP and ND within networks: answered from the neighbour table, so that questions
//! stay on this host (what OpenStack calls the ARP responder, RFC 7432, section 10,
//! ARP and ND suppression), for gateways always; and listened to, for what stations
//! say of addresses that the table does not know.
//!
//! Never answered: announcements and probes by the address's owner (they are for
//! everybody), replies, and questions for an address on the asker's own side,
//! where its owner hears them itself.

use core::net::IpAddr;

use vtepd_tables::{Adjacency, Neighbour, NetworkIndex, View};
use vtepd_wire::ipv4::PROTOCOL_ICMPV6;
use vtepd_wire::{FromBytes, Mac, arp, ethernet, icmpv6, ipv6, nd};

use crate::advertisement::{self, Answer};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;

/// What a frame is to address resolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Nothing.
    Other,
    /// ARP.
    Arp,
    /// A message of neighbour discovery: its ICMPv6 type.
    Nd(u8),
}

impl Kind {
    /// Whether it may ask who has an address.
    #[inline(always)]
    pub(crate) fn is_question(self) -> bool {
        matches!(self, Self::Arp | Self::Nd(icmpv6::NEIGHBOUR_SOLICITATION))
    }
}

/// What an untagged frame is.
#[inline]
pub(crate) fn kind(frame: &Frame, data: &[u8]) -> Kind {
    match frame.ethertype {
        ethernet::ETHERTYPE_ARP => Kind::Arp,
        ethernet::ETHERTYPE_IPV6 => match nd_type(data) {
            Some(kind @ icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT) => Kind::Nd(kind),
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

#[inline]
fn nd_type(data: &[u8]) -> Option<u8> {
    let l3 = data.get(ethernet::Header::LEN..)?;
    let (header, rest) = ipv6::Header::ref_from_prefix(l3).ok()?;
    (header.next_header == PROTOCOL_ICMPV6).then_some(*rest.first()?)
}

/// The addresses in a frame of address resolution, believed or not.
#[derive(Default)]
pub(crate) struct Named {
    /// Those that the sender says are his.
    pub speaks_for: [Option<IpAddr>; 2],
    /// The one that he asks for.
    pub asks_for: Option<IpAddr>,
}

/// What a frame names.
pub(crate) fn named(data: &[u8], kind: Kind) -> Named {
    let l3 = data.get(ethernet::Header::LEN..).unwrap_or_default();
    let named = match kind {
        Kind::Arp => arp::Packet::ref_from_prefix(l3).ok().map(|(arp, _)| Named {
            speaks_for: [Some(IpAddr::V4(arp.sender_addr())), None],
            asks_for: arp.is_request().then(|| IpAddr::V4(arp.target_addr())),
        }),
        Kind::Nd(kind) => ipv6::Header::ref_from_prefix(l3).ok().map(|(ip, rest)| {
            // Solicitation and advertisement have their target at the same place.
            let target = nd::Solicitation::ref_from_prefix(rest);
            let target = target.ok();
            let target = target.map(|(message, _)| IpAddr::V6(message.target_addr()));
            let of = |wanted| target.filter(|_| kind == wanted);
            Named {
                speaks_for: [
                    Some(IpAddr::V6(ip.source_addr())),
                    of(icmpv6::NEIGHBOUR_ADVERTISEMENT),
                ],
                asks_for: of(icmpv6::NEIGHBOUR_SOLICITATION),
            }
        }),
        Kind::Other => None,
    };
    named.unwrap_or_default()
}

/// Whether an address is the metadata service's in the frame's network.
fn is_metadata(tables: &View<'_>, frame: &Frame, address: IpAddr) -> bool {
    let network = tables.snapshot.network(frame.network);
    address == IpAddr::V4(metadata::ADDRESS) && network.is_some_and(|network| network.metadata)
}

/// Whether an address is that of a router in the frame's network, or the metadata service's.
pub(crate) fn is_gateways(tables: &View<'_>, frame: &Frame, address: IpAddr) -> bool {
    if is_metadata(tables, frame, address) {
        return true;
    }
    let neighbour = tables.neighbours.find(frame.network, address);
    neighbour.is_some_and(|found| tables.snapshot.gateway(found.adjacency).is_some())
}

/// Who says that an address is his.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub address: IpAddr,
    pub neighbour: Neighbour,
}

impl Claim {
    pub(crate) fn into_event(self, network: NetworkIndex) -> Event {
        Event::Claim {
            network,
            address: self.address,
            neighbour: self.neighbour,
        }
    }
}

/// What a frame says of its sender's address, if that is news. What is known already
/// is noted as heard in the second `now`.
pub(crate) fn claim<P: Packet>(
    tables: &View<'_>,
    frame: &Frame,
    packet: &P,
    kind: Kind,
    now: u16,
) -> Option<Claim> {
    let (header, rest) = ethernet::Header::ref_from_prefix(packet.data()).ok()?;
    let (address, mac) = match kind {
        Kind::Arp => {
            let (arp, _) = arp::Packet::ref_from_prefix(rest).ok()?;
            let sane = arp.is_valid() && !arp.is_probe() && arp.sender_mac == header.source;
            sane.then_some((IpAddr::V4(arp.sender_addr()), arp.sender_mac))?
        }
        Kind::Nd(icmpv6::NEIGHBOUR_ADVERTISEMENT) => {
            let payload_len = ipv6::check(rest, packet.frame_len() - ethernet::Header::LEN).ok()?;
            let (ip, rest) = ipv6::Header::ref_from_prefix(rest).ok()?;
            let (message, mac) = nd::check_advertisement(ip, rest.get(..payload_len)?).ok()?;
            let mac = mac.unwrap_or(header.source);
            (mac == header.source).then_some((IpAddr::V6(message.target_addr()), mac))?
        }
        _ => return None,
    };
    let neighbour = Neighbour {
        mac,
        adjacency: frame.ingress,
    };
    (!tables
        .neighbours
        .confirm(frame.network, address, neighbour, now))
    .then_some(Claim { address, neighbour })
}

/// Turns a question into its answer, in place. `None`: it is none, or it is not for us
/// to answer.
#[inline(never)]
pub(crate) fn answer<P: Packet, O: Observer>(
    stage: &mut Decide<'_, O>,
    frame: &Frame,
    packet: &mut P,
    kind: Kind,
) -> Option<Verdict> {
    let verdict = if kind == Kind::Arp {
        answer_arp(stage, frame, packet)
    } else {
        answer_nd(stage, frame, packet)
    }?;
    if let Verdict::Forward(..) = verdict {
        stage.note(Decision::Suppressed);
        stage.state.counters.suppressed.add(1);
    }
    Some(verdict)
}

/// Who has an address, as far as it is us who should say so.
enum Known {
    /// A station.
    Station(Neighbour),
    /// A router, or the metadata service.
    Gateway(Mac),
    /// One of them, but the question comes from another host, which has it as well.
    Confined,
    /// Nobody that we know, or the question reaches it by itself.
    Nobody,
}

fn known(tables: &View<'_>, frame: &Frame, address: IpAddr) -> Known {
    if is_metadata(tables, frame, address) {
        return if frame.is_from_outside() {
            Known::Confined
        } else {
            Known::Gateway(metadata::MAC)
        };
    }
    let Some(neighbour) = tables.neighbours.find(frame.network, address) else {
        return Known::Nobody;
    };
    let adjacency = tables.snapshot.adjacency(neighbour.adjacency);
    if let Adjacency::Gateway(gateway) = adjacency {
        return if frame.is_from_outside() && gateway.is_confined() {
            Known::Confined
        } else {
            Known::Gateway(gateway.mac)
        };
    }
    let suppression = tables
        .snapshot
        .network(frame.network)
        .is_some_and(|network| network.suppression);
    let same_side = neighbour.adjacency == frame.ingress
        || frame.from_tunnel && !matches!(adjacency, Adjacency::Port(_));
    if suppression && !same_side {
        Known::Station(neighbour)
    } else {
        Known::Nobody
    }
}

fn answer_arp<P: Packet, O: Observer>(
    stage: &mut Decide<'_, O>,
    frame: &Frame,
    packet: &mut P,
) -> Option<Verdict> {
    let (header, rest) = ethernet::Header::mut_from_prefix(packet.data_mut()).ok()?;
    let (arp, _) = arp::Packet::mut_from_prefix(rest).ok()?;
    if !arp.is_valid()
        || !arp.is_request()
        || arp.is_announcement()
        || arp.sender_mac.is_multicast()
    {
        return None;
    }
    let mac = match known(stage.tables, frame, IpAddr::V4(arp.target_addr())) {
        Known::Station(neighbour) => neighbour.mac,
        Known::Gateway(mac) => mac,
        Known::Confined => return Some(DropReason::GatewayFromUnderlay.into()),
        Known::Nobody => return None,
    };
    if mac == arp.sender_mac {
        return None;
    }
    *arp = arp::Packet::reply(mac, arp.target_addr(), arp.sender_mac, arp.sender_addr());
    header.destination = arp.target_mac;
    header.source = mac;
    Some(Verdict::Forward(*frame, frame.ingress))
}

fn answer_nd<P: Packet, O: Observer>(
    stage: &mut Decide<'_, O>,
    frame: &Frame,
    packet: &mut P,
) -> Option<Verdict> {
    let l3 = ethernet::Header::LEN;
    let (header, rest) = ethernet::Header::ref_from_prefix(packet.data()).ok()?;
    let payload_len = ipv6::check(rest, packet.frame_len() - l3).ok()?;
    let (ip, rest) = ipv6::Header::ref_from_prefix(rest).ok()?;
    if ip.next_header != PROTOCOL_ICMPV6 || rest.first() != Some(&icmpv6::NEIGHBOUR_SOLICITATION) {
        return None;
    }
    let (solicitation, source_mac) = nd::check_solicitation(ip, rest.get(..payload_len)?).ok()?;
    let target = solicitation.target_addr();
    let (mac, is_router) = match known(stage.tables, frame, IpAddr::V6(target)) {
        Known::Station(neighbour) => (neighbour.mac, false),
        Known::Gateway(mac) => (mac, true),
        Known::Confined => return Some(DropReason::GatewayFromUnderlay.into()),
        Known::Nobody => return None,
    };
    if mac == source_mac.unwrap_or(header.source) {
        return None;
    }
    let answer = Answer {
        target,
        mac,
        is_router,
    };
    let asked = *ip;
    advertisement::write(packet, l3, &asked, answer).ok()?;
    Some(Verdict::Forward(*frame, frame.ingress))
}
