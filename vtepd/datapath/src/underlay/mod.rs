//! The underlay: terminating VXLAN, answering for our own addresses, finding
//! next hops and joining groups.
//!
//! | file | side | what |
//! |---|---|---|
//! | [`mod@self`] | worker | which packet of the underlay is what |
//! | `terminate` | worker | VXLAN off, stage 1 |
//! | `answer` | worker | ARP, ND and echo to our own addresses |
//! | [`resolver`] | control | MACs of next hops |
//! | [`membership`] | control | IGMP and MLD reports |

mod answer;
pub mod membership;
pub mod resolver;
mod terminate;

use vtepd_tables::View;
use vtepd_wire::{FromBytes, ethernet};

use crate::context::{Ingress, Verdict};
use crate::drop_reason::DropReason;
use crate::packet::Packet;
use crate::worker_state::WorkerState;

use terminate::Outer;
pub(crate) use terminate::Terminated;

/// A packet with the underlay's tag. When it was VXLAN for us, `bridge` goes on with the frame of a network, the outer headers
/// taken off; the verdict is written otherwise.
///
/// Going on from here rather than returning what was found saves a tenth of the packet's time: packed into a result
/// of a result it went through memory, in pieces, and came back whole.
#[inline]
pub(crate) fn receive<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    tag_len: usize,
    verdict: &mut Verdict,
    bridge: impl FnOnce(&mut P, Terminated, &mut Verdict) -> Result<(), DropReason>,
) -> Result<(), DropReason> {
    let l3 = ethernet::Header::LEN + tag_len;
    let data = packet.data();
    let usual = match (ingress.interface.usual(), data.first_chunk()) {
        (Some(usual), Some(front)) if usual.matches(front) => terminate::usual(tables, packet, l3),
        _ => None,
    };
    let outer = match usual {
        Some(outer) => outer,
        None => match look_closer(tables, state, ingress, packet, l3) {
            Ok(outer) => outer,
            Err(other) => {
                *verdict = other;
                return Ok(());
            }
        },
    };
    let Some(network) = tables.vnis.find(outer.vni) else {
        return Err(DropReason::UnknownVni);
    };
    let Some(adjacency) = outer.adjacency else {
        return Err(DropReason::UnknownVtep);
    };
    terminate::strip(packet, &outer)?;
    let terminated = Terminated {
        vni: outer.vni,
        network,
        adjacency,
    };
    bridge(packet, terminated, verdict)
}

/// A packet that is not as nearly all are.
#[inline(never)]
fn look_closer<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
) -> Result<Outer, Verdict> {
    let data = packet.data();
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(data) else {
        return Err(DropReason::Truncated.into());
    };
    if header.destination != ingress.interface.mac && !header.destination.is_multicast() {
        return Err(DropReason::OtherMac.into());
    }
    // Or an answer would go to a group.
    if header.source.is_multicast() {
        return Err(DropReason::InvalidSourceMac.into());
    }
    let Some(&[a, b]) = data.get(l3 - 2..).and_then(<[u8]>::first_chunk) else {
        return Err(DropReason::Truncated.into());
    };
    match u16::from_be_bytes([a, b]) {
        ethernet::ETHERTYPE_IPV4 => terminate::ipv4(tables, state, ingress, packet, l3),
        ethernet::ETHERTYPE_IPV6 => terminate::ipv6(tables, state, ingress, packet, l3),
        ethernet::ETHERTYPE_ARP => Err(answer::arp(state, ingress, packet, l3)),
        _ => Err(DropReason::UnderlayProtocol.into()),
    }
}
