//! ICMP and ICMPv6 errors: the packet that cannot go on becomes the error about it, in
//! its own buffer, and goes back the way it came (RFC 1812, 4.3.2; RFC 4443, 2.4).

use core::net::IpAddr;

use vtepd_tables::FdbKey;
use vtepd_wire::checksum::Sum;
use vtepd_wire::{FromBytes, ethernet, icmp_error, icmpv6_error, ipv4, ipv6};

use super::L3;
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::limit::Class;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::Kind;

impl<O: Observer> Decide<'_, O> {
    /// Drops an IPv4 packet to a gateway for a reason, and says so to its sender, in the
    /// name of `own`, if that may be.
    #[cold]
    pub(crate) fn error_v4<P: Packet>(
        &mut self,
        frame: &Frame,
        own: Option<IpAddr>,
        packet: &mut P,
        error: icmp_error::Error,
        reason: DropReason,
    ) -> Verdict {
        let original = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv4::Header::ref_from_prefix(original) else {
            return reason.into();
        };
        let source = header.source_addr();
        let Some(IpAddr::V4(own)) = own else {
            return reason.into();
        };
        if !icmp_error::may_send(original, frame.to_group)
            || !self.state.allow_from(frame, source.into(), Class::Error)
        {
            return reason.into();
        }
        let quoted_len = icmp_error::quoted_len(packet.frame_len() - L3);
        packet.truncate(L3 + quoted_len);
        let Some(quoted) = packet.sum(Sum::new(), L3, quoted_len) else {
            return reason.into();
        };
        let headers = icmp_error::headers(error, own, source, quoted_len, quoted);
        self.send_error(frame, packet, &headers, reason)
    }

    /// The same for IPv6.
    #[cold]
    pub(crate) fn error_v6<P: Packet>(
        &mut self,
        frame: &Frame,
        own: Option<IpAddr>,
        packet: &mut P,
        error: icmpv6_error::Error,
        reason: DropReason,
    ) -> Verdict {
        let original = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv6::Header::ref_from_prefix(original) else {
            return reason.into();
        };
        let source = header.source_addr();
        let Some(IpAddr::V6(own)) = own else {
            return reason.into();
        };
        if !icmpv6_error::may_send(error, original, frame.to_group)
            || !self.state.allow_from(frame, source.into(), Class::Error)
        {
            return reason.into();
        }
        let quoted_len = icmpv6_error::quoted_len(packet.frame_len() - L3);
        packet.truncate(L3 + quoted_len);
        let Some(quoted) = packet.sum(Sum::new(), L3, quoted_len) else {
            return reason.into();
        };
        let headers = icmpv6_error::headers(error, own, source, quoted_len, quoted);
        self.send_error(frame, packet, &headers, reason)
    }

    fn send_error<P: Packet>(
        &mut self,
        frame: &Frame,
        packet: &mut P,
        headers: &[u8],
        reason: DropReason,
    ) -> Verdict {
        if let Err(reason) = put_error(packet, headers, frame.ethertype) {
            return reason.into();
        }
        self.note(Decision::Error(reason));
        self.state.counters.count_drop(reason, 1);
        self.state.counters.originated.add(1);
        self.send_back(*frame, packet)
    }

    /// Sends what a gateway has made of a packet, its MACs turned around, back to the packet's
    /// sender. As a rule that is where it came from.
    pub(super) fn send_back<P: Packet>(&mut self, frame: Frame, packet: &mut P) -> Verdict {
        // Of another host's router: the sender is the station that it was routed for.
        if frame.from_router {
            return self.send_home(frame, packet);
        }
        // Of a host inside that sends to an outside address of this host.
        if self.tables.snapshot.gateway(frame.ingress).is_some() {
            return self.route(frame, frame.ingress, packet, Kind::Other);
        }
        Verdict::Forward(frame, frame.ingress)
    }

    /// The station is where its router says.
    #[cold]
    fn send_home<P: Packet>(&mut self, frame: Frame, packet: &mut P) -> Verdict {
        // The packet's MACs are turned around: its sender is the gateway.
        let sender = ethernet::Header::ref_from_prefix(packet.data()).ok();
        let key = sender.map(|(header, _)| FdbKey::new(frame.network, header.source));
        let key = key.map(|key| self.tables.fdb.prefetch(key));
        let reached = key.and_then(|key| self.tables.fdb.find(key));
        let gateway = reached.and_then(|hit| self.tables.snapshot.gateway(hit.entry.adjacency));
        let Some(gateway) = gateway else {
            return DropReason::Vacant.into();
        };
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let way = if frame.ethertype == ethernet::ETHERTYPE_IPV4 {
            let header = ipv4::Header::ref_from_prefix(bytes).ok();
            header.and_then(|(header, _)| self.way_home(gateway, header.destination_addr()))
        } else {
            let header = ipv6::Header::ref_from_prefix(bytes).ok();
            header.and_then(|(header, _)| self.way_home(gateway, header.destination_addr()))
        };
        match way {
            Some(way) => self.take_home(frame, packet, &way),
            None => DropReason::NeighbourUnknown.into(),
        }
    }
}

/// Puts an error's headers between the Ethernet header, turned around, and what is quoted.
pub(crate) fn put_error<P: Packet>(
    packet: &mut P,
    headers: &[u8],
    ethertype: u16,
) -> Result<(), DropReason> {
    let Ok((&link, _)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return Err(DropReason::Truncated);
    };
    if packet.prepend(headers.len()).is_none() {
        return Err(DropReason::NoHeadroom);
    }
    let front = packet.data_mut().get_mut(..L3 + headers.len());
    let Some((header, place)) = front.and_then(|front| front.split_at_mut_checked(L3)) else {
        return Err(DropReason::SharedBuffer);
    };
    let Ok((header, _)) = ethernet::Header::mut_from_prefix(header) else {
        return Err(DropReason::SharedBuffer);
    };
    *header = ethernet::Header::new(link.source, link.destination, ethertype);
    place.copy_from_slice(headers);
    Ok(())
}
