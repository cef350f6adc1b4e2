//! The outer header in front of a frame (RFC 7348, section 5): the adjacency's
//! template is copied as it is, then VNI, lengths, source port, congestion mark
//! and checksums are filled in.

use vtepd_tables::Tunnel;
use vtepd_tables::adjacency::{TEMPLATE_LEN, TEMPLATE_LEN_IPV4};
use vtepd_wire::checksum::{self, Sum};
use vtepd_wire::ecn::{self, Ecn};
use vtepd_wire::flow::{FlowHasher, source_port};
use vtepd_wire::ipv4::PROTOCOL_UDP;
use vtepd_wire::{FromBytes, Vni, ethernet, frame, ipv4, ipv6, udp, vxlan};

use crate::context::Frame;
use crate::drop_reason::DropReason;
use crate::packet::Packet;

/// What of the inner frame shows outside.
#[derive(Clone, Copy)]
pub(crate) struct InnerFlow {
    /// Spreads flows over the paths of the underlay (RFC 7348, 4.2).
    source_port: u16,
    /// The outer mark (RFC 6040, normal mode: a copy of the inner one).
    ecn: Ecn,
}

impl InnerFlow {
    /// Of a frame that begins with `inner`. The usual one is IPv4 without tags.
    #[inline]
    pub(crate) fn of(flows: &FlowHasher, frame: &Frame, inner: &[u8]) -> Self {
        let l3 = inner.get(ethernet::Header::LEN..).unwrap_or_default();
        if frame.ethertype == ethernet::ETHERTYPE_IPV4
            && let Ok((header, _)) = ipv4::Header::ref_from_prefix(l3)
            && let Some(hash) = flows.hash_ipv4(l3)
        {
            return Self {
                source_port: source_port(hash),
                ecn: ecn::encapsulate(header.ecn()),
            };
        }
        Self::of_any(flows, inner)
    }

    #[inline(never)]
    fn of_any(flows: &FlowHasher, inner: &[u8]) -> Self {
        Self {
            source_port: source_port(flows.hash_frame(inner)),
            ecn: ecn::encapsulate(mark(inner)),
        }
    }
}

#[inline]
fn mark(inner: &[u8]) -> Ecn {
    let Ok(link) = frame::link(inner) else {
        return Ecn::NotEct;
    };
    let l3 = inner.get(usize::from(link.l3)..).unwrap_or_default();
    match link.ethertype {
        ethernet::ETHERTYPE_IPV4 => {
            ipv4::Header::ref_from_prefix(l3).map_or(Ecn::NotEct, |(header, _)| header.ecn())
        }
        ethernet::ETHERTYPE_IPV6 => {
            ipv6::Header::ref_from_prefix(l3).map_or(Ecn::NotEct, |(header, _)| header.ecn())
        }
        _ => Ecn::NotEct,
    }
}

const UDP_AND_VXLAN: usize = udp::Header::LEN + vxlan::Header::LEN;

/// Puts the outer header in front of the frame.
#[inline]
pub(crate) fn encapsulate<P: Packet>(
    packet: &mut P,
    tunnel: &Tunnel,
    vni: Vni,
    flow: InnerFlow,
) -> Result<(), DropReason> {
    if !tunnel.resolved {
        return Err(DropReason::NextHopUnresolved);
    }
    let udp_len = packet.frame_len() + UDP_AND_VXLAN;
    let ip_len = udp_len
        + if tunnel.ipv6 {
            ipv6::Header::LEN
        } else {
            ipv4::Header::LEN
        };
    if ip_len > usize::from(tunnel.mtu) {
        return Err(DropReason::TunnelMtu);
    }
    let udp_at = if tunnel.ipv6 {
        write_ipv6(packet, tunnel, vni, flow, udp_len as u16)?
    } else {
        write_ipv4(packet, tunnel, vni, flow, ip_len as u16, udp_len as u16)?
    };
    if tunnel.udp_checksum {
        fill_in_checksum(packet, tunnel, udp_at, udp_len as u16)?;
    }
    Ok(())
}

/// Writes the template's last 64 bytes, which hold the header at their end: one
/// or two vector stores of a fixed length. What precedes the header is taken
/// off again. Returns where UDP begins.
#[inline]
fn write_ipv4<P: Packet>(
    packet: &mut P,
    tunnel: &Tunnel,
    vni: Vni,
    flow: InnerFlow,
    ip_len: u16,
    udp_len: u16,
) -> Result<usize, DropReason> {
    let (Some(front), Some(template)) = (
        packet.prepend(TEMPLATE_LEN_IPV4),
        tunnel.template.last_chunk::<TEMPLATE_LEN_IPV4>(),
    ) else {
        return Err(DropReason::NoHeadroom);
    };
    let Some(front) = front.first_chunk_mut::<TEMPLATE_LEN_IPV4>() else {
        return Err(DropReason::SharedBuffer);
    };
    *front = *template;
    let (ip, udp_and_vxlan) = front.split_at_mut(TEMPLATE_LEN_IPV4 - UDP_AND_VXLAN);
    let Ok((_, ip)) = ipv4::Header::mut_from_suffix(ip) else {
        return Err(DropReason::NoHeadroom);
    };
    ip.total_length.set(ip_len);
    ip.tos |= flow.ecn as u8;
    let sum = u32::from(tunnel.ipv4_sum) + u32::from(ip_len) + u32::from(flow.ecn as u8);
    // The first fold may carry again.
    let sum = (sum & 0xffff) + (sum >> 16);
    ip.checksum.set(!(sum + (sum >> 16)) as u16);
    write_udp_and_vxlan(udp_and_vxlan, vni, flow, udp_len)?;
    uncover(packet, TEMPLATE_LEN_IPV4, tunnel)
}

/// The same with the 80 bytes that IPv6 needs.
#[inline(never)]
fn write_ipv6<P: Packet>(
    packet: &mut P,
    tunnel: &Tunnel,
    vni: Vni,
    flow: InnerFlow,
    udp_len: u16,
) -> Result<usize, DropReason> {
    let Some(front) = packet.prepend(TEMPLATE_LEN) else {
        return Err(DropReason::NoHeadroom);
    };
    let Some(front) = front.first_chunk_mut::<TEMPLATE_LEN>() else {
        return Err(DropReason::SharedBuffer);
    };
    *front = tunnel.template;
    let (ip, udp_and_vxlan) = front.split_at_mut(TEMPLATE_LEN - UDP_AND_VXLAN);
    let Ok((_, ip)) = ipv6::Header::mut_from_suffix(ip) else {
        return Err(DropReason::NoHeadroom);
    };
    ip.payload_length.set(udp_len);
    ip.set_ecn(flow.ecn);
    write_udp_and_vxlan(udp_and_vxlan, vni, flow, udp_len)?;
    uncover(packet, TEMPLATE_LEN, tunnel)
}

#[inline]
fn write_udp_and_vxlan(
    bytes: &mut [u8],
    vni: Vni,
    flow: InnerFlow,
    udp_len: u16,
) -> Result<(), DropReason> {
    let Ok((udp, rest)) = udp::Header::mut_from_prefix(bytes) else {
        return Err(DropReason::NoHeadroom);
    };
    udp.source.set(flow.source_port);
    udp.length.set(udp_len);
    let Ok((vxlan, _)) = vxlan::Header::mut_from_prefix(rest) else {
        return Err(DropReason::NoHeadroom);
    };
    vxlan.set_vni(vni);
    Ok(())
}

#[inline]
fn uncover<P: Packet>(
    packet: &mut P,
    written: usize,
    tunnel: &Tunnel,
) -> Result<usize, DropReason> {
    let header_len = usize::from(tunnel.header_len);
    if !packet.strip_front(written - header_len) {
        return Err(DropReason::NoHeadroom);
    }
    Ok(header_len - UDP_AND_VXLAN)
}

/// Computes the UDP checksum, over whatever segments the frame lies in.
#[cold]
fn fill_in_checksum<P: Packet>(
    packet: &mut P,
    tunnel: &Tunnel,
    udp_at: usize,
    udp_len: u16,
) -> Result<(), DropReason> {
    let ip_bytes = packet.data().get(..udp_at).unwrap_or_default();
    let pseudo = if tunnel.ipv6 {
        let ip = ipv6::Header::ref_from_suffix(ip_bytes).ok();
        ip.map(|(_, ip)| ip.pseudo_header(PROTOCOL_UDP, u32::from(udp_len)))
    } else {
        let ip = ipv4::Header::ref_from_suffix(ip_bytes).ok();
        ip.map(|(_, ip)| ip.pseudo_header(PROTOCOL_UDP, udp_len))
    };
    let sum: Option<Sum> =
        pseudo.and_then(|pseudo| packet.sum(pseudo, udp_at, usize::from(udp_len)));
    let place = packet
        .data_mut()
        .get_mut(udp_at..)
        .and_then(|bytes| udp::Header::mut_from_prefix(bytes).ok());
    let (Some(sum), Some((header, _))) = (sum, place) else {
        return Err(DropReason::SharedBuffer);
    };
    header.checksum.set(checksum::udp_field(sum.finish()));
    Ok(())
}
