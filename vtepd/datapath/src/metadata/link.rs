//! ARP on the proxy's link: every address that stands for a port is ours there, and the
//! proxy is heard.

use core::net::IpAddr;

use vtepd_tables::Metadata;
use vtepd_wire::{FromBytes, arp, ethernet};

use crate::context::{Ingress, Verdict};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::packet::Packet;
use crate::worker_state::WorkerState;

/// ARP behind a tag or not; `l3` is where it begins. Who is at the other end of a cable
/// of the kernel's may have our own MAC (`net_tap`), so that it is not looked at.
pub(super) fn arp<P: Packet>(
    metadata: &Metadata,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
) -> Verdict {
    let malformed = Verdict::Drop(DropReason::UnderlayMalformed);
    let Some((front, rest)) = packet.data_mut().split_at_mut_checked(l3) else {
        return malformed;
    };
    let (Ok((header, _)), Ok((arp, _))) = (
        ethernet::Header::mut_from_prefix(front),
        arp::Packet::mut_from_prefix(rest),
    ) else {
        return malformed;
    };
    if !arp.is_valid() || arp.sender_mac.is_multicast() {
        return malformed;
    }
    let for_us = metadata.answers_for(arp.target_addr());
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
    let own_mac = ingress.interface.mac;
    *arp = arp::Packet::reply(
        own_mac,
        arp.target_addr(),
        arp.sender_mac,
        arp.sender_addr(),
    );
    (header.destination, header.source) = (arp.target_mac, own_mac);
    Verdict::Reply(ingress.index)
}
