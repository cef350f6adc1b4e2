//! Terminating VXLAN (RFC 7348, section 5; RFC 6040 for congestion marks).
//!
//! ```text
//!  l3 ─► IPv4 / IPv6 ─► UDP ─► VXLAN ─► inner frame
//!        to us? from a  port,  I flag,
//!        known VTEP?    sum    VNI → network
//! ```

use core::net::IpAddr;

use vtepd_tables::{AdjacencyIndex, NetworkIndex, View};
use vtepd_wire::checksum::Sum;
use vtepd_wire::ecn::{self, Ecn};
use vtepd_wire::{FromBytes, Malformed, ethernet, frame, ipv4, ipv6, udp, vxlan};

use super::answer;
use crate::context::{HEADERS, Ingress, Verdict};
use crate::drop_reason::DropReason;
use crate::packet::Packet;
use crate::worker_state::WorkerState;

/// A VXLAN packet whose outer headers were taken off.
pub(crate) struct Terminated {
    pub vni: u32,
    pub network: NetworkIndex,
    /// The way back to the sender.
    pub adjacency: AdjacencyIndex,
}

/// What the outer headers of a VXLAN packet to us say.
pub(super) struct Outer {
    pub vni: u32,
    /// The sender, if it is known.
    pub adjacency: Option<AdjacencyIndex>,
    ecn: Ecn,
    /// Where the inner frame begins.
    inner: usize,
    /// And where it ends.
    end: usize,
}

/// What the IP header says about a UDP packet to us.
struct Carried {
    /// Where the UDP header begins.
    l4: usize,
    /// What there is of the packet from there on.
    len: usize,
    ecn: Ecn,
}

/// A packet that [begins as usual](vtepd_tables::outer): VXLAN to us over IPv4 without options. What is left to check is what
/// differs from packet to packet. `None`, and nothing done, when it is to be looked at closer.
#[inline(always)]
pub(super) fn usual<P: Packet>(tables: &View<'_>, packet: &P, l3: usize) -> Option<Outer> {
    let bytes = packet.data().get(l3..)?;
    let (header, rest) = ipv4::Header::ref_from_prefix(bytes).ok()?;
    let (udp, rest) = udp::Header::ref_from_prefix(rest).ok()?;
    let (vxlan, _) = vxlan::Header::ref_from_prefix(rest).ok()?;
    let total_len = usize::from(header.total_length.get());
    let udp_len = usize::from(udp.length.get());
    let is_sound = total_len <= packet.frame_len() - l3
        && ipv4::Header::LEN + udp_len <= total_len
        && udp_len >= udp::Header::LEN + vxlan::Header::LEN
        && header.is_checksum_valid();
    let source = header.source_addr();
    if !is_sound || tables.snapshot.local.has_v4(source) {
        return None;
    }
    // Whoever else is a VTEP has an address that may send.
    let adjacency = tables.remote_vteps.find_v4(source)?;
    let udp_at = l3 + ipv4::Header::LEN;
    Some(Outer {
        vni: vxlan.vni(),
        adjacency: Some(adjacency),
        ecn: header.ecn(),
        inner: udp_at + udp::Header::LEN + vxlan::Header::LEN,
        end: udp_at + udp_len,
    })
}

/// IPv4 to one of our addresses, or not.
#[inline]
pub(super) fn ipv4<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
) -> Result<Outer, Verdict> {
    let bytes = packet.data().get(l3..).unwrap_or_default();
    let checked = ipv4::check(bytes, packet.frame_len() - l3).map_err(outer)?;
    let Ok((header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
        return Err(DropReason::OuterMalformed.into());
    };
    let (source, destination) = (header.source_addr(), header.destination_addr());
    if !tables.snapshot.local.has_v4(destination) {
        // A membership query goes to a group that need not be joined by us.
        if header.protocol == ipv4::PROTOCOL_IGMP {
            return Err(answer::igmp(state, ingress, packet, l3, checked));
        }
        if !tables.snapshot.local.joined(IpAddr::V4(destination)) {
            return Err(DropReason::OuterDestination.into());
        }
    }
    // Sent to all, meant for one (RFC 1122, 3.3.6).
    if to_group(packet) && !destination.is_multicast() {
        return Err(DropReason::OuterDestination.into());
    }
    if tables.snapshot.local.has_v4(source) {
        return Err(DropReason::OwnPacket.into());
    }
    if source.is_multicast()
        || source.is_loopback()
        || source.is_unspecified()
        || source.is_broadcast()
    {
        return Err(DropReason::OuterSource.into());
    }
    if header.is_fragment() {
        return Err(DropReason::OuterFragment.into());
    }
    if header.protocol != ipv4::PROTOCOL_UDP {
        return Err(answer::icmp(ingress, packet, l3, checked));
    }
    let carried = Carried {
        l4: l3 + checked.header_len,
        len: checked.total_len - checked.header_len,
        ecn: header.ecn(),
    };
    let pseudo = |len| header.pseudo_header(ipv4::PROTOCOL_UDP, len);
    let (vni, inner, end) = vxlan(tables, packet, &carried, pseudo)?;
    Ok(Outer {
        vni,
        adjacency: tables.remote_vteps.find_v4(source),
        ecn: carried.ecn,
        inner,
        end,
    })
}

/// IPv6 to one of our addresses, or not.
#[inline]
pub(super) fn ipv6<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    l3: usize,
) -> Result<Outer, Verdict> {
    let bytes = packet.data().get(l3..).unwrap_or_default();
    let payload_len = ipv6::check(bytes, packet.frame_len() - l3).map_err(outer)?;
    let Ok((header, rest)) = ipv6::Header::ref_from_prefix(bytes) else {
        return Err(DropReason::OuterMalformed.into());
    };
    let rest = rest.get(..payload_len).unwrap_or(rest);
    let upper = ipv6::walk_extensions(rest, header.next_header).map_err(outer)?;
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let local = &tables.snapshot.local;
    if local.has_v6(source) {
        return Err(DropReason::OwnPacket.into());
    }
    // The unspecified address is for duplicate address detection, below.
    if source.is_multicast() || source.is_loopback() {
        return Err(DropReason::OuterSource.into());
    }
    let l4 = l3 + ipv6::Header::LEN + upper.offset;
    if upper.protocol == ipv4::PROTOCOL_ICMPV6 && upper.fragment.is_none() {
        // Solicitations go to groups of their own and come from link-local or no addresses.
        return Err(answer::icmpv6(tables, state, ingress, packet, l3, l4));
    }
    if !local.has_v6(destination) && !local.joined(IpAddr::V6(destination))
        || to_group(packet) && !destination.is_multicast()
    {
        return Err(DropReason::OuterDestination.into());
    }
    if source.is_unspecified() {
        return Err(DropReason::OuterSource.into());
    }
    if upper.fragment.is_some() {
        return Err(DropReason::OuterFragment.into());
    }
    if upper.protocol != ipv4::PROTOCOL_UDP {
        return Err(DropReason::UnderlayProtocol.into());
    }
    let carried = Carried {
        l4,
        len: payload_len - upper.offset,
        ecn: header.ecn(),
    };
    let pseudo = |len| header.pseudo_header(ipv4::PROTOCOL_UDP, u32::from(len));
    let (vni, inner, end) = vxlan(tables, packet, &carried, pseudo)?;
    Ok(Outer {
        vni,
        adjacency: tables.remote_vteps.find_v6(source),
        ecn: carried.ecn,
        inner,
        end,
    })
}

/// Whether the frame was sent to a group address of the link.
#[inline]
fn to_group<P: Packet>(packet: &P) -> bool {
    packet.data().first().is_some_and(|first| first & 1 == 1)
}

#[inline]
fn outer(malformed: Malformed) -> Verdict {
    match malformed {
        Malformed::Checksum => DropReason::OuterChecksum,
        _ => DropReason::OuterMalformed,
    }
    .into()
}

/// UDP and VXLAN headers: the VNI, and where the inner frame begins and ends.
#[inline]
fn vxlan<P: Packet>(
    tables: &View<'_>,
    packet: &P,
    carried: &Carried,
    pseudo: impl FnOnce(u16) -> Sum,
) -> Result<(u32, usize, usize), Verdict> {
    let bytes = packet.data().get(carried.l4..).unwrap_or_default();
    let len = udp::check(bytes, carried.len).map_err(|_| DropReason::UdpMalformed)?;
    let Ok((header, rest)) = udp::Header::ref_from_prefix(bytes) else {
        return Err(DropReason::UdpMalformed.into());
    };
    if !tables.snapshot.local.listens_on(header.destination.get()) {
        return Err(DropReason::UdpPort.into());
    }
    // Zero is accepted over IPv6 as well, on these ports only (RFC 6935; RFC 6936, section 4).
    if header.checksum.get() != 0 {
        let sum = packet.sum(pseudo(len as u16), carried.l4, len);
        if !sum.ok_or(DropReason::UdpMalformed)?.is_valid() {
            return Err(DropReason::UdpChecksum.into());
        }
    }
    let Ok((vxlan, _)) = vxlan::Header::ref_from_prefix(rest) else {
        return Err(DropReason::UdpMalformed.into());
    };
    let payload = carried.l4 + udp::Header::LEN + vxlan::Header::LEN;
    if payload > carried.l4 + len {
        return Err(DropReason::UdpMalformed.into());
    }
    if !vxlan.has_vni() {
        return Err(DropReason::VxlanFlags.into());
    }
    Ok((vxlan.vni(), payload, carried.l4 + len))
}

/// Takes the outer headers and any padding off.
#[inline(always)]
pub(super) fn strip<P: Packet>(packet: &mut P, outer: &Outer) -> Result<(), DropReason> {
    let Outer {
        ecn, inner, end, ..
    } = *outer;
    if end.saturating_sub(inner) < ethernet::Header::LEN {
        return Err(DropReason::InnerTruncated);
    }
    if packet.frame_len() > end {
        packet.truncate(end);
    }
    if !packet.strip_front(inner) {
        return Err(DropReason::Scattered);
    }
    // Long outer headers have left little of the inner ones in the first segment.
    if packet.data().len() < packet.frame_len() && !packet.pull_up(HEADERS) {
        return Err(DropReason::Scattered);
    }
    // An outer header without a mark changes nothing (RFC 6040, figure 4).
    if ecn == Ecn::NotEct {
        return Ok(());
    }
    carry_mark(packet, ecn)
}

/// Combines the congestion marks of the outer and the inner header.
#[cold]
fn carry_mark<P: Packet>(packet: &mut P, outer: Ecn) -> Result<(), DropReason> {
    let Ok(link) = frame::link(packet.data()) else {
        return Ok(());
    };
    let Some(l3) = packet.data_mut().get_mut(usize::from(link.l3)..) else {
        return Ok(());
    };
    let marked = |inner| ecn::decapsulate(inner, outer).map_err(|_| DropReason::CongestionMarked);
    match link.ethertype {
        ethernet::ETHERTYPE_IPV4 => {
            if let Ok((header, _)) = ipv4::Header::mut_from_prefix(l3) {
                let combined = marked(header.ecn())?;
                header.set_ecn(combined);
            }
        }
        ethernet::ETHERTYPE_IPV6 => {
            if let Ok((header, _)) = ipv6::Header::mut_from_prefix(l3) {
                let combined = marked(header.ecn())?;
                header.set_ecn(combined);
            }
        }
        _ => {}
    }
    Ok(())
}
