//! ARP, ND and echo to our own addresses: answered in place, by the worker.

use core::net::IpAddr;

use vtepd_tables::View;
use vtepd_wire::checksum::Sum;
use vtepd_wire::ethernet;
use vtepd_wire::ipv4::{Checked, PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use vtepd_wire::{FromBytes, IntoBytes, Mac, arp, icmpv6, igmp, ipv4, ipv6, mld, nd};

use crate::advertisement::{self, Answer};
use crate::context::{Ingress, Verdict};
use crate::drop_reason::DropReason;
use crate::echo;
use crate::event::Event;
use crate::packet::Packet;
use crate::worker_state::WorkerState;

/// Requests for our addresses are answered (RFC 826); everybody who speaks to us
/// is told to the control thread, which knows whether it is a next hop.
#[cold]
pub(super) fn arp<P: Packet>(
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
) -> Verdict {
    let Some((header, arp)) = ethernet_and::<arp::Packet>(packet.data_mut(), l3) else {
        return DropReason::UnderlayMalformed.into();
    };
    if !arp.is_valid() || arp.sender_mac.is_multicast() {
        return DropReason::UnderlayMalformed.into();
    }
    let Some(underlay) = &ingress.interface.underlay else {
        return DropReason::OuterDestination.into();
    };
    if arp.sender_mac == ingress.interface.mac {
        return DropReason::OwnPacket.into();
    }
    let for_us = underlay.ipv4.contains(&arp.target_addr());
    // A probe has no sender address (RFC 5227); somebody else's talk is not ours to learn from.
    if !arp.is_probe() && (for_us || arp.is_announcement()) {
        state.tell(Event::Neighbour {
            interface: ingress.index,
            address: IpAddr::V4(arp.sender_addr()),
            mac: arp.sender_mac,
        });
    }
    if !arp.is_request() || !for_us {
        return Verdict::Consumed;
    }
    *arp = arp::Packet::reply(
        ingress.interface.mac,
        arp.target_addr(),
        arp.sender_mac,
        arp.sender_addr(),
    );
    turn_around(header, ingress.interface.mac, arp.target_mac);
    Verdict::Reply(ingress.index)
}

/// A structure that follows the Ethernet header and its tag, and that header.
fn ethernet_and<T>(data: &mut [u8], l3: usize) -> Option<(&mut ethernet::Header, &mut T)>
where
    T: FromBytes + IntoBytes + vtepd_wire::KnownLayout + vtepd_wire::Unaligned,
{
    let (front, rest) = data.split_at_mut_checked(l3)?;
    let (header, _) = ethernet::Header::mut_from_prefix(front).ok()?;
    let (structure, _) = T::mut_from_prefix(rest).ok()?;
    Some((header, structure))
}

fn turn_around(header: &mut ethernet::Header, from: Mac, to: Mac) {
    header.destination = to;
    header.source = from;
}

/// Echo requests are answered (RFC 1122, 3.2.2.6); other ICMP is not for a VTEP.
#[cold]
pub(super) fn icmp<P: Packet>(
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
    checked: Checked,
) -> Verdict {
    let l4 = l3 + checked.header_len;
    let sum = packet.sum(Sum::new(), l4, checked.total_len - checked.header_len);
    let Ok((&ip, _)) = ipv4::Header::ref_from_prefix(packet.data().get(l3..).unwrap_or_default())
    else {
        return DropReason::UnderlayMalformed.into();
    };
    // A group is not answered for (RFC 1122, 3.2.2.6, lets hosts be silent).
    let for_us = ingress
        .interface
        .underlay
        .as_ref()
        .is_some_and(|u| u.ipv4.contains(&ip.destination_addr()));
    if ip.protocol != PROTOCOL_ICMP || !for_us {
        return DropReason::UnderlayProtocol.into();
    }
    if !sum.is_some_and(Sum::is_valid) {
        return DropReason::UnderlayMalformed.into();
    }
    let answered = echo::answer_v4(packet, l3, l4);
    after_echo(ingress, packet, answered)
}

/// An echo request that was answered goes back; other messages need no answer.
fn after_echo<P: Packet>(ingress: Ingress<'_>, packet: &mut P, answered: Option<bool>) -> Verdict {
    match (
        answered,
        ethernet::Header::mut_from_prefix(packet.data_mut()),
    ) {
        (Some(true), Ok((link, _))) => {
            turn_around(link, ingress.interface.mac, link.source);
            Verdict::Reply(ingress.index)
        }
        (Some(false), _) => Verdict::Consumed,
        _ => DropReason::UnderlayMalformed.into(),
    }
}

/// Queries are told to the control thread, which reports our groups (RFC 2236, RFC 3376).
#[cold]
pub(super) fn igmp<P: Packet>(
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &P,
    l3: usize,
    checked: Checked,
) -> Verdict {
    let data = packet.data();
    let message = data
        .get(l3 + checked.header_len..l3 + checked.total_len)
        .unwrap_or_default();
    match igmp::query(message) {
        Ok(Some(query)) => {
            state.tell(Event::MembershipQuery {
                interface: ingress.index,
                group: query.group.map(IpAddr::V4),
                ipv6: false,
                version: query.version,
            });
            Verdict::Consumed
        }
        Ok(None) => Verdict::Consumed,
        Err(_) => DropReason::UnderlayMalformed.into(),
    }
}

/// Neighbour discovery for our addresses (RFC 4861, 7.2), echo (RFC 4443, 4.2)
/// and listener queries (RFC 3810).
#[cold]
pub(super) fn icmpv6<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
    l4: usize,
) -> Verdict {
    let Some((_, ip)) = ethernet_and::<ipv6::Header>(packet.data_mut(), l3) else {
        return DropReason::UnderlayMalformed.into();
    };
    let ip = *ip;
    let end = l3 + ipv6::Header::LEN + usize::from(ip.payload_length.get());
    let pseudo = ip.pseudo_header(PROTOCOL_ICMPV6, end.saturating_sub(l4) as u32);
    if !packet
        .sum(pseudo, l4, end.saturating_sub(l4))
        .is_some_and(Sum::is_valid)
    {
        return DropReason::UnderlayMalformed.into();
    }
    let Some(message) = packet.data().get(l4..end.min(packet.data().len())) else {
        return DropReason::UnderlayMalformed.into();
    };
    let told = |address, mac| {
        state.tell(Event::Neighbour {
            interface: ingress.index,
            address: IpAddr::V6(address),
            mac,
        });
    };
    let underlay = ingress.interface.underlay.as_ref();
    let is_ours = |address| underlay.is_some_and(|underlay| underlay.ipv6.contains(&address));
    match message.first() {
        Some(&icmpv6::NEIGHBOUR_SOLICITATION) => match nd::check_solicitation(&ip, message) {
            Ok((solicitation, source_mac)) if is_ours(solicitation.target_addr()) => {
                let target = solicitation.target_addr();
                if let (Some(mac), false) = (source_mac, ip.source_addr().is_unspecified()) {
                    told(ip.source_addr(), mac);
                }
                let answer = Answer {
                    target,
                    mac: ingress.interface.mac,
                    is_router: false,
                };
                match advertisement::write(packet, l3, &ip, answer) {
                    Ok(()) => Verdict::Reply(ingress.index),
                    Err(reason) => reason.into(),
                }
            }
            Ok(_) => Verdict::Consumed,
            Err(_) => DropReason::UnderlayMalformed.into(),
        },
        Some(&icmpv6::NEIGHBOUR_ADVERTISEMENT) => match nd::check_advertisement(&ip, message) {
            Ok((advertisement, target_mac)) => {
                if let Some(mac) = target_mac {
                    told(advertisement.target_addr(), mac);
                }
                Verdict::Consumed
            }
            Err(_) => DropReason::UnderlayMalformed.into(),
        },
        Some(&icmpv6::ECHO_REQUEST)
            if is_ours(ip.destination_addr()) && !ip.source_addr().is_unspecified() =>
        {
            let answered = echo::answer_v6(packet, l3, l4);
            after_echo(ingress, packet, answered)
        }
        Some(&mld::QUERY) => match mld::query(&ip, message) {
            Ok(Some(query)) => {
                let group = query.group.map(IpAddr::V6);
                state.tell(Event::MembershipQuery {
                    interface: ingress.index,
                    group,
                    ipv6: true,
                    version: query.version,
                });
                Verdict::Consumed
            }
            Ok(None) => Verdict::Consumed,
            Err(_) => DropReason::UnderlayMalformed.into(),
        },
        Some(_)
            if tables.snapshot.local.has_v6(ip.destination_addr())
                || ip.destination_addr().is_multicast() =>
        {
            Verdict::Consumed
        }
        Some(_) => DropReason::OuterDestination.into(),
        None => DropReason::UnderlayMalformed.into(),
    }
}
