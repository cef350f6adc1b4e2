//! From the inside to an outside address of this same host (RFC 4787, REQ-9): out and in again,
//! without a wire between. Routers that have an ordinary interface in an external network are met there in the same way.

use core::net::IpAddr;

use vtepd_tables::{Access, AdjacencyIndex, Gateway, Role, VrfIndex};
use vtepd_wire::{FromBytes, icmp, icmp_error, icmpv6_error, ipv4, ipv6};

use super::inbound::Sent;
use super::{Beforehand, Original, icmp_type};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::Kind;
use crate::route::{Entry, L3};

/// Where a packet turns round.
pub(crate) struct Turn<'v> {
    /// The last router's interface, in the network that the packet comes to it from.
    pub last: &'v Gateway,
    /// That router's address space, which it leaves.
    pub vrf: VrfIndex,
    /// The gateway on the external network that it is for, of whatever role.
    pub at: AdjacencyIndex,
    /// The same.
    pub to: &'v Gateway,
    /// What the routers take from its TTL until then.
    pub hops: u8,
    /// Whether it goes outside on the way: by a gateway that translates.
    pub leaves: bool,
}

impl<'a, O: Observer> Decide<'a, O> {
    /// Turns a packet round that came to the gateway at `at`.
    #[inline(never)]
    pub(crate) fn turn_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        checked: ipv4::Checked,
        turn: &Turn<'a>,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let destination = header.destination_addr();
        let expired = header.ttl <= turn.hops;
        let shared = self
            .externals(turn.to.network)
            .router(destination)
            .is_some();
        let echo = icmp_type(bytes, checked) == Some(icmp::ECHO_REQUEST);
        // An echo of the gateway itself, or another packet to an address that it has for itself
        // alone. Its own router does not look at the TTL (RFC 1812, 5.3.1).
        let local = turn.to.has(IpAddr::V4(destination)) && (echo || !shared);
        if local && (!expired || turn.to.vrf == turn.vrf) {
            return self.deliver_v4(frame, packet, checked);
        }
        if expired {
            let error = icmp_error::Error::TTL_EXCEEDED;
            return self.report_v4(&frame, turn.last, packet, error, DropReason::TtlExceeded);
        }
        let original = Original::of(packet, checked);
        if turn.leaves
            && let Err(verdict) = self.go_out_v4(frame, at, turn.vrf, turn.to.network, packet, None)
        {
            return verdict;
        }
        let bytes = packet.data_mut().get_mut(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv4::Header::mut_from_prefix(bytes) else {
            return DropReason::SharedBuffer.into();
        };
        for _ in 0..turn.hops {
            header.decrement_ttl();
        }
        self.note(Decision::Hairpin(turn.at));
        let outside = Frame {
            network: turn.to.network,
            // Another worker goes on from here, and the way back is the way in.
            ingress: turn.at,
            from_tunnel: false,
            from_router: false,
            access: Access::Open,
            ..frame
        };
        let entry = Entry::new(turn.at, turn.to);
        if turn.to.role != Role::Outside {
            return self.route_v4(outside, entry, packet, Beforehand::Nothing);
        }
        let sent = Sent {
            frame,
            at,
            original,
        };
        self.come_in_v4(
            outside,
            entry,
            packet,
            checked,
            Beforehand::Nothing,
            Some(sent),
        )
    }

    /// The same for IPv6, of which nothing is translated.
    #[inline(never)]
    pub(crate) fn turn_v6<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        kind: Kind,
        turn: &Turn<'a>,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, _)) = ipv6::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let expired = header.hop_limit <= turn.hops;
        let local = turn.to.has(IpAddr::V6(header.destination_addr()));
        if local && (!expired || turn.to.vrf == turn.vrf) {
            return self.deliver_v6(frame, packet, kind);
        }
        if expired {
            let own = turn.last.address_towards(header.source_addr().into());
            let error = icmpv6_error::Error::HOP_LIMIT_EXCEEDED;
            return self.error_v6(&frame, own, packet, error, DropReason::TtlExceeded);
        }
        if turn.leaves
            && let Err(verdict) = self.go_out_v6(frame, at, turn.vrf, packet)
        {
            return verdict;
        }
        let bytes = packet.data_mut().get_mut(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv6::Header::mut_from_prefix(bytes) else {
            return DropReason::SharedBuffer.into();
        };
        for _ in 0..turn.hops {
            header.decrement_hop_limit();
        }
        self.note(Decision::Hairpin(turn.at));
        self.route_v6(frame, Entry::new(turn.at, turn.to), packet, kind)
    }
}
