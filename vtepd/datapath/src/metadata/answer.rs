//! From the proxy to stations.

use core::net::SocketAddrV4;

use vtepd_tables::{Access, Asker, Metadata, View};
use vtepd_wire::checksum::Sum;
use vtepd_wire::{FromBytes, Malformed, ethernet, icmp_error, ipv4};

use super::{ADDRESS, Ends, L3, MAC, PORT, ends, link, rewrite};
use crate::context::{Frame, Ingress, OwnTags, Source, Verdict};
use crate::drop_reason::DropReason;
use crate::input::take_tag_off;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::route::{gateway_mac, put_error};
use crate::worker_state::WorkerState;

/// A frame on the proxy's link.
#[cold]
pub(crate) fn receive<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    tag_len: usize,
    observer: &mut impl Observer,
) -> Verdict {
    let Some(metadata) = tables.snapshot.metadata() else {
        return DropReason::Vacant.into();
    };
    let data = packet.data();
    let Ok((&header, _)) = ethernet::Header::ref_from_prefix(data) else {
        return DropReason::Truncated.into();
    };
    if header.source.is_multicast() {
        return DropReason::InvalidSourceMac.into();
    }
    let for_us = header.destination == ingress.interface.mac;
    if !for_us && !header.destination.is_multicast() {
        return DropReason::OtherMac.into();
    }
    let l3 = L3 + tag_len;
    let Some(&[a, b]) = data.get(l3 - 2..).and_then(<[u8]>::first_chunk) else {
        return DropReason::Truncated.into();
    };
    match u16::from_be_bytes([a, b]) {
        ethernet::ETHERTYPE_ARP => link::arp(metadata, state, ingress, packet, l3),
        ethernet::ETHERTYPE_IPV4 if for_us => {
            if tag_len != 0
                && let Err(reason) = take_tag_off(packet)
            {
                return reason.into();
            }
            answer(tables, metadata, state, ingress, packet, observer)
        }
        _ => DropReason::MetadataProtocol.into(),
    }
}

fn answer<P: Packet>(
    tables: &View<'_>,
    metadata: &Metadata,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    observer: &mut impl Observer,
) -> Verdict {
    let bytes = packet.data().get(L3..).unwrap_or_default();
    let checked = match ipv4::check(bytes, packet.frame_len() - L3) {
        Ok(checked) => checked,
        Err(Malformed::Checksum) => return DropReason::IpChecksum.into(),
        Err(_) => return DropReason::IpMalformed.into(),
    };
    let proxy = SocketAddrV4::new(metadata.proxy.address, metadata.proxy.port);
    let Some(given) = ends(bytes, checked).filter(|ends| ends.source == proxy) else {
        return DropReason::MetadataProtocol.into();
    };
    let Some(asker) = metadata.asker(*given.destination.ip()) else {
        return DropReason::MetadataUnknown.into();
    };
    observer.note(
        ingress.position,
        Decision::FromProxy(asker.network, asker.at),
    );
    if packet.frame_len() > L3 + checked.total_len {
        packet.truncate(L3 + checked.total_len);
    }
    if checked.total_len > usize::from(asker.mtu) {
        return too_big(metadata, state, ingress, packet, asker, observer);
    }
    let Some(network) = tables.snapshot.network(asker.network) else {
        return DropReason::Vacant.into();
    };
    let Ok((header, l3)) = ethernet::Header::mut_from_prefix(packet.data_mut()) else {
        return DropReason::SharedBuffer.into();
    };
    // The TTL stays: an answer of 1 is for the station itself and nobody behind it.
    let shown = Ends {
        source: SocketAddrV4::new(ADDRESS, PORT),
        destination: SocketAddrV4::new(asker.address, given.destination.port()),
    };
    if rewrite(l3, shown).is_none() {
        return DropReason::SharedBuffer.into();
    }
    let near = || Some(asker.address.into());
    header.source = gateway_mac(tables.snapshot, network, near).unwrap_or(MAC);
    header.destination = asker.mac;
    let frame = Frame {
        network: asker.network,
        // Nothing is flooded or answered: where it came from does not matter.
        ingress: asker.at,
        from_tunnel: false,
        access: Access::Open,
        from_router: false,
        from_special: false,
        to_group: false,
        ethertype: ethernet::ETHERTYPE_IPV4,
        tags: OwnTags::NONE,
        source: Source::Ignored,
    };
    Verdict::Forward(frame, asker.at)
}

/// Longer than the station's network carries: the proxy is told, if it may be (RFC 1191).
fn too_big<P: Packet>(
    metadata: &Metadata,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    asker: &Asker,
    observer: &mut impl Observer,
) -> Verdict {
    let bytes = packet.data().get(L3..).unwrap_or_default();
    let Ok((&ip, _)) = ipv4::Header::ref_from_prefix(bytes) else {
        return DropReason::IpMalformed.into();
    };
    if !ip.dont_fragment() {
        return DropReason::PortMtu.into();
    }
    let reason = DropReason::MtuExceeded;
    let quoted_len = icmp_error::quoted_len(packet.frame_len() - L3);
    packet.truncate(L3 + quoted_len);
    let Some(quoted) = packet.sum(Sum::new(), L3, quoted_len) else {
        return reason.into();
    };
    let error = icmp_error::Error::fragmentation_needed(asker.mtu);
    let own = metadata.proxy.own;
    let headers = icmp_error::headers(error, own, ip.source_addr(), quoted_len, quoted);
    if let Err(reason) = put_error(packet, &headers, ethernet::ETHERTYPE_IPV4) {
        return reason.into();
    }
    observer.note(ingress.position, Decision::Error(reason));
    state.counters.count_drop(reason, 1);
    state.counters.originated.add(1);
    Verdict::ToProxy
}
