//! IPv6 is routed as it is; a router may let in only what its inside has asked for (RFC 6092).

use core::net::IpAddr;

use vtepd_nat::{Refusal, Verdict as Translation};
use vtepd_tables::{AdjacencyIndex, VrfIndex};
use vtepd_wire::{FromBytes, ipv6};

use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::Observer;
use crate::packet::Packet;
use crate::route::L3;

impl<O: Observer> Decide<'_, O> {
    /// A packet that came to the gateway at `at` leaves the router `vrf` to an external network.
    ///
    /// # Errors
    /// It does not leave.
    #[inline]
    pub(crate) fn go_out_v6<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        vrf: VrfIndex,
        packet: &mut P,
    ) -> Result<(), Verdict> {
        let Some(rules) = self.tables.snapshot.rules(vrf) else {
            return Err(DropReason::NatNoRule.into());
        };
        if !rules.outbound_only_ipv6() {
            return Ok(());
        }
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let now = self.state.seconds;
        match self.state.translator.outbound_v6(rules, bytes, now) {
            Translation::Plain => Ok(()),
            Translation::Refused(refusal) => Err(self.refused_v6(&frame, at, packet, refusal)),
            later => Err(self.put_off(frame, at, later)),
        }
    }

    /// A packet comes in to a router from an external network, by the gateway at `at`.
    ///
    /// # Errors
    /// It does not come in.
    #[inline]
    pub(crate) fn come_in_v6<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        vrf: VrfIndex,
        packet: &mut P,
    ) -> Result<(), Verdict> {
        let Some(rules) = self.tables.snapshot.rules(vrf) else {
            return Err(DropReason::NatNotOurs.into());
        };
        if !rules.outbound_only_ipv6() {
            return Ok(());
        }
        join_v6(packet);
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv6::Header::ref_from_prefix(bytes) else {
            return Err(DropReason::IpMalformed.into());
        };
        let turned_round = self.tables.snapshot.gateway(at);
        let turned_round = turned_round.is_some_and(|own| own.network != frame.network);
        // RFC 6092, REC-6.
        if !turned_round && self.is_station(vrf, header.source_addr()) {
            return Err(DropReason::Martian.into());
        }
        let now = self.state.seconds;
        match self.state.translator.inbound_v6(rules, bytes, now) {
            Translation::Plain => Ok(()),
            Translation::Refused(refusal) => Err(DropReason::from(refusal).into()),
            later => Err(self.put_off(frame, at, later)),
        }
    }

    /// Drops what a sender inside has sent, and tells him if it is for want of something.
    #[cold]
    fn refused_v6<P: Packet>(
        &mut self,
        frame: &Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        refusal: Refusal,
    ) -> Verdict {
        let reason = DropReason::from(refusal);
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let gateway = self.tables.snapshot.gateway(at);
        let header = ipv6::Header::ref_from_prefix(bytes).ok();
        let (Some(gateway), Some((header, _)), Some(error)) = (gateway, header, refusal.tells_v6())
        else {
            return reason.into();
        };
        let own = gateway.address_towards(IpAddr::V6(header.source_addr()));
        self.error_v6(frame, own, packet, error, reason)
    }
}

/// The longest error (RFC 4443, 2.4 c).
const MIN_MTU: usize = 1280;

/// Brings a packet into one piece if it is an error: what it quotes is looked at, too.
#[inline]
fn join_v6<P: Packet>(packet: &mut P) {
    if packet.data().len() < packet.frame_len() {
        // What is longer is none.
        packet.pull_up(packet.frame_len().min(L3 + MIN_MTU));
    }
}
