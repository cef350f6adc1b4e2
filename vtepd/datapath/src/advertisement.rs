//! Turning a neighbour solicitation into the advertisement that answers it, in
//! place: for our own addresses and for those of the neighbour table.

use core::net::Ipv6Addr;

use vtepd_wire::{FromBytes, Mac, ethernet, ipv4, ipv6, nd};

use crate::drop_reason::DropReason;
use crate::packet::Packet;

/// All nodes of the link (RFC 4291, 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Who has an address that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub target: Ipv6Addr,
    pub mac: Mac,
    /// Whether it is a router (RFC 4861, 4.4): a host that hears otherwise forgets it as one.
    pub is_router: bool,
}

/// Answers the solicitation whose IPv6 header `asked` begins at `l3`. A sender without an address (duplicate address detection) is
/// answered through all nodes (RFC 4861, 7.2.4).
pub(crate) fn write<P: Packet>(
    packet: &mut P,
    l3: usize,
    asked: &ipv6::Header,
    answer: Answer,
) -> Result<(), DropReason> {
    let Answer {
        target,
        mac,
        is_router,
    } = answer;
    let len = l3 + ipv6::Header::LEN + nd::MESSAGE_LEN;
    packet.truncate(len);
    let missing = len - packet.frame_len();
    if missing > 0 && packet.append(missing).is_none() {
        return Err(DropReason::NoTailroom);
    }
    let asker = asked.source_addr();
    let (destination, flags) = if asker.is_unspecified() {
        (ALL_NODES, nd::FLAG_OVERRIDE)
    } else {
        (asker, nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE)
    };
    let flags = flags | if is_router { nd::FLAG_ROUTER } else { 0 };
    let Some((link, network)) = packet.data_mut().split_at_mut_checked(l3) else {
        return Err(DropReason::SharedBuffer);
    };
    let Ok((link, _)) = ethernet::Header::mut_from_prefix(link) else {
        return Err(DropReason::Truncated);
    };
    let Ok((ip, rest)) = ipv6::Header::mut_from_prefix(network) else {
        return Err(DropReason::Truncated);
    };
    let Some(message) = rest.first_chunk_mut::<{ nd::MESSAGE_LEN }>() else {
        return Err(DropReason::Scattered);
    };
    link.destination = if asker.is_unspecified() {
        Mac::multicast_of_v6(ALL_NODES)
    } else {
        link.source
    };
    link.source = mac;
    *ip = ipv6::Header {
        version_class_flow: (6 << 28).into(),
        payload_length: (nd::MESSAGE_LEN as u16).into(),
        next_header: ipv4::PROTOCOL_ICMPV6,
        hop_limit: nd::HOP_LIMIT,
        source: target.octets(),
        destination: destination.octets(),
    };
    *message = nd::advertisement(target, destination, target, mac, flags);
    Ok(())
}
