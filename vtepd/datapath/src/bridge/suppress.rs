//! ARP and ND answered from the neighbour table, so that a broadcast stays on
//! this host: what OpenStack calls the ARP responder, RFC 7432 (section 10)
//! ARP and ND suppression.
//!
//! Never answered: announcements and probes by the address's owner (they are for
//! everybody), replies, and questions for an address on the asker's own side,
//! where its owner hears them itself.

use core::net::IpAddr;

use vtepd_tables::{Adjacency, Neighbour, View};
use vtepd_wire::ipv4::PROTOCOL_ICMPV6;
use vtepd_wire::{FromBytes, arp, ethernet, icmpv6, ipv6, nd};

use crate::advertisement;
use crate::context::{Frame, Verdict};
use crate::packet::Packet;

/// Whether the frame may be one that the table answers.
#[inline]
pub(super) fn applies(tables: &View<'_>, frame: &Frame) -> bool {
    matches!(
        frame.ethertype,
        ethernet::ETHERTYPE_ARP | ethernet::ETHERTYPE_IPV6
    ) && tables
        .snapshot
        .network(frame.network)
        .is_some_and(|network| network.suppression)
}

/// Turns the question into its answer, in place. `None`: it is none, or nobody
/// knows the answer.
#[inline(never)]
pub(super) fn answer<P: Packet>(
    tables: &View<'_>,
    frame: &Frame,
    packet: &mut P,
) -> Option<Verdict> {
    if frame.ethertype == ethernet::ETHERTYPE_ARP {
        answer_arp(tables, frame, packet)
    } else {
        answer_nd(tables, frame, packet)
    }
}

/// The neighbour, unless the question should reach it by itself.
fn known(tables: &View<'_>, frame: &Frame, address: IpAddr) -> Option<Neighbour> {
    let neighbour = match address {
        IpAddr::V4(address) => tables.neighbours.find_v4(frame.network, address),
        IpAddr::V6(address) => tables.neighbours.find_v6(frame.network, address),
    }?;
    let same_side = neighbour.adjacency == frame.ingress
        || frame.from_tunnel
            && !matches!(
                tables.snapshot.adjacency(neighbour.adjacency),
                Adjacency::Port(_)
            );
    (!same_side).then_some(neighbour)
}

fn answer_arp<P: Packet>(tables: &View<'_>, frame: &Frame, packet: &mut P) -> Option<Verdict> {
    let (header, rest) = ethernet::Header::mut_from_prefix(packet.data_mut()).ok()?;
    let (arp, _) = arp::Packet::mut_from_prefix(rest).ok()?;
    if !arp.is_valid()
        || !arp.is_request()
        || arp.is_announcement()
        || arp.sender_mac.is_multicast()
    {
        return None;
    }
    let neighbour = known(tables, frame, IpAddr::V4(arp.target_addr()))?;
    if neighbour.mac == arp.sender_mac {
        return None;
    }
    *arp = arp::Packet::reply(
        neighbour.mac,
        arp.target_addr(),
        arp.sender_mac,
        arp.sender_addr(),
    );
    header.destination = arp.target_mac;
    header.source = neighbour.mac;
    Some(Verdict::Forward(*frame, frame.ingress))
}

fn answer_nd<P: Packet>(tables: &View<'_>, frame: &Frame, packet: &mut P) -> Option<Verdict> {
    let l3 = ethernet::Header::LEN;
    let (header, rest) = ethernet::Header::ref_from_prefix(packet.data()).ok()?;
    let payload_len = ipv6::check(rest, packet.frame_len() - l3).ok()?;
    let (ip, rest) = ipv6::Header::ref_from_prefix(rest).ok()?;
    if ip.next_header != PROTOCOL_ICMPV6 || rest.first() != Some(&icmpv6::NEIGHBOUR_SOLICITATION) {
        return None;
    }
    let (solicitation, source_mac) = nd::check_solicitation(ip, rest.get(..payload_len)?).ok()?;
    let target = solicitation.target_addr();
    let neighbour = known(tables, frame, IpAddr::V6(target))?;
    if neighbour.mac == source_mac.unwrap_or(header.source) {
        return None;
    }
    let asked = *ip;
    advertisement::write(packet, l3, &asked, target, neighbour.mac).ok()?;
    Some(Verdict::Forward(*frame, frame.ingress))
}
