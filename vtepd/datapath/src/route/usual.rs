//! The usual routed packet, in two passes over the burst.
//!
//! ```text
//!   look ahead:      sound? longest prefix ─► egress ─► its neighbour is being fetched, and the bucket of its session
//!   fetch sessions:  the session itself
//!   send on, out:    neighbour ─► translation ─► TTL, MACs, out
//! ```
//!
//! Usual is IPv4 without options that fits, from a network of stations to another of the same router or to the outside, by one
//! next hop that is known; and, of what is translated, a packet of a session. One after the other in one go, its look-ups wait for each other and for memory; in
//! short passes the processor overlaps those of several packets. Whatever is unusual in either pass goes all the way by
//! [`route_v4`](Decide::route_v4), which says what becomes of any packet.

use core::net::{IpAddr, Ipv4Addr};

use vtepd_nat::{InboundLookup, OutboundLookup};
use vtepd_tables::route::Target;
use vtepd_tables::{
    Adjacency, AdjacencyIndex, HashedNeighbourKey, Neighbour, NetworkIndex, Outside, Role, VrfIndex,
};
use vtepd_wire::{FromBytes, ipv4};

use super::{L3, is_martian_v4, link_and_rest};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;

/// How far a packet is known to go.
#[derive(Clone, Copy, Debug)]
pub struct Prospect {
    /// The router's address space.
    pub vrf: VrfIndex,
    /// The interface that it leaves by.
    out: AdjacencyIndex,
    /// Where the packet ends in its frame; padding follows.
    end: u16,
    /// Whether the destination itself is the neighbour.
    connected: bool,
    /// Whether that is on an external network.
    pub outside: bool,
    /// What the router takes from the TTL.
    hops: u8,
    /// Being fetched.
    neighbour: HashedNeighbourKey,
}

impl<O: Observer> Decide<'_, O> {
    /// Where a packet to the gateway at `at` goes, if it is a usual one.
    #[inline(always)]
    pub(crate) fn look_ahead<P: Packet>(&self, at: AdjacencyIndex, packet: &P) -> Option<Prospect> {
        let snapshot = self.tables.snapshot;
        let gateway = snapshot.gateway(at)?;
        let (header, _) = ipv4::Header::ref_from_prefix(packet.data().get(L3..)?).ok()?;
        let total_len = usize::from(header.total_length.get());
        let (source, destination) = (header.source_addr(), header.destination_addr());
        let sound = header.version_ihl == ipv4::Header::VERSION_IHL
            && total_len >= ipv4::Header::LEN
            && L3 + total_len <= packet.frame_len()
            && header.is_checksum_valid()
            && !is_martian_v4(source, destination);
        if !sound || header.ttl <= 1 || gateway.role == Role::Outside {
            return None;
        }
        let Some(Target::NextHops(hops)) = snapshot.vrf(gateway.vrf)?.find_v4(destination) else {
            return None;
        };
        let [hop] = hops.as_slice() else {
            return None;
        };
        let (out, hops, outside) = match snapshot.adjacency(hop.gateway) {
            Adjacency::Gateway(_) => (hop.gateway, 1, false),
            Adjacency::Outside(outside) => {
                let (out, hops) = self.exit(gateway.vrf, outside, source)?;
                (out, hops, true)
            }
            _ => return None,
        };
        let egress = snapshot.gateway(out)?;
        let fits = total_len <= usize::from(egress.mtu) && header.ttl > hops;
        if !fits || (egress.role == Role::Outside) != outside {
            return None;
        }
        // It would come in again here.
        if outside && self.is_external(egress.network, destination) {
            return None;
        }
        let address = match hop.address {
            None => destination,
            Some(IpAddr::V4(via)) => via,
            Some(IpAddr::V6(_)) => return None,
        };
        Some(Prospect {
            vrf: gateway.vrf,
            out,
            end: (L3 + total_len) as u16,
            connected: hop.address.is_none(),
            outside,
            hops,
            neighbour: self.tables.neighbours.prefetch_v4(egress.network, address),
        })
    }

    /// By which gateway of this host a station leaves to the outside, and what that takes from the TTL.
    #[inline(always)]
    fn exit(
        &self,
        vrf: VrfIndex,
        outside: &Outside,
        source: Ipv4Addr,
    ) -> Option<(AdjacencyIndex, u8)> {
        let rules = self.tables.snapshot.rules(vrf)?;
        match outside.floating {
            Some(floating) if rules.floating_outside(source.to_bits()).is_some() => {
                Some((floating, rules.floating_hops()))
            }
            _ => Some((outside.own?, 1)),
        }
    }

    /// Whether this host translates what is sent to an address of an external network.
    #[inline(always)]
    fn is_external(&self, network: NetworkIndex, address: Ipv4Addr) -> bool {
        let network = self.tables.snapshot.network(network);
        let externals = network.and_then(|network| network.externals.as_deref());
        externals.is_some_and(|externals| externals.router(address).is_some())
    }

    /// What the translator will ask for about such a packet to the outside. `None`: it is not one of a session.
    #[inline(always)]
    pub(crate) fn foresee_outbound<P: Packet>(
        &self,
        prospect: &Prospect,
        packet: &P,
    ) -> Option<OutboundLookup> {
        let rules = self.tables.snapshot.rules(prospect.vrf)?;
        let bytes = packet.data().get(L3..)?;
        let lookup = self.state.translator.outbound_hash(rules, bytes).ok()?;
        lookup.is_for_session().then_some(lookup)
    }

    /// The same of a packet to a gateway on an external network.
    #[inline(always)]
    pub(crate) fn foresee_inbound<P: Packet>(
        &self,
        at: AdjacencyIndex,
        packet: &P,
    ) -> Option<InboundLookup> {
        let snapshot = self.tables.snapshot;
        let gateway = snapshot.gateway(at)?;
        if gateway.role != Role::Outside {
            return None;
        }
        let bytes = packet.data().get(L3..)?;
        let (header, _) = ipv4::Header::ref_from_prefix(bytes).ok()?;
        let externals = snapshot.network(gateway.network)?.externals.as_deref()?;
        let owner = externals.router(header.destination_addr());
        let rules = snapshot.rules(owner.unwrap_or(gateway.vrf))?;
        let lookup = self.state.translator.inbound_hash(rules, bytes).ok()?;
        lookup.is_for_session().then_some(lookup)
    }

    /// Sends a packet that came to the gateway at `at` to the outside, as [`send_on`](Self::send_on) does.
    ///
    /// # Errors
    /// It is not translated: what becomes of it instead.
    #[inline(always)]
    pub(crate) fn send_out<P: Packet>(
        &mut self,
        frame: &Frame,
        at: AdjacencyIndex,
        prospect: &Prospect,
        lookup: &OutboundLookup,
        packet: &mut P,
    ) -> Result<Option<(Frame, AdjacencyIndex)>, Verdict> {
        let Some(neighbour) = self.tables.neighbours.find_hashed_v4(prospect.neighbour) else {
            return Ok(None);
        };
        let Some(egress) = self.tables.snapshot.gateway(prospect.out) else {
            return Ok(None);
        };
        let Some(source_mac) = self.source_mac(egress, neighbour.adjacency) else {
            return Ok(None);
        };
        self.note_way(prospect, neighbour);
        let end = usize::from(prospect.end);
        if packet.frame_len() > end {
            packet.truncate(end);
        }
        self.go_out_v4(
            *frame,
            at,
            prospect.vrf,
            egress.network,
            packet,
            Some(lookup),
        )?;
        let Some((link, rest)) = link_and_rest(packet.data_mut()) else {
            return Err(DropReason::SharedBuffer.into());
        };
        let Ok((header, _)) = ipv4::Header::mut_from_prefix(rest) else {
            return Err(DropReason::IpMalformed.into());
        };
        for _ in 0..prospect.hops {
            header.decrement_ttl();
        }
        (link.destination, link.source) = (neighbour.mac, source_mac);
        Ok(Some((
            self.left(frame, egress.network),
            neighbour.adjacency,
        )))
    }

    fn note_way(&mut self, prospect: &Prospect, neighbour: Neighbour) {
        let via = (!prospect.connected).then_some(prospect.neighbour.address());
        self.note(Decision::Route {
            vrf: prospect.vrf,
            out: prospect.out,
            via: via.map(IpAddr::V4),
        });
        self.note(Decision::Neighbour(neighbour));
    }

    /// The frame as one of the network that it leaves to.
    #[inline(always)]
    fn left(&self, frame: &Frame, network: NetworkIndex) -> Frame {
        self.state.counters.routed.add(1);
        Frame {
            network,
            // Split horizon is for frames that are bridged.
            from_tunnel: false,
            ..*frame
        }
    }

    /// Sends such a packet on: the frame as one of the network that it leaves to, and the adjacency. `None`, and nothing
    /// done, when it turns out to be unusual.
    #[inline(always)]
    pub(crate) fn send_on<P: Packet>(
        &mut self,
        frame: &Frame,
        prospect: &Prospect,
        packet: &mut P,
    ) -> Option<(Frame, AdjacencyIndex)> {
        let neighbour = self.tables.neighbours.find_hashed_v4(prospect.neighbour)?;
        let egress = self.tables.snapshot.gateway(prospect.out)?;
        let source_mac = self.source_mac(egress, neighbour.adjacency)?;
        let (link, rest) = link_and_rest(packet.data_mut())?;
        let (header, _) = ipv4::Header::mut_from_prefix(rest).ok()?;
        self.note_way(prospect, neighbour);
        header.decrement_ttl();
        (link.destination, link.source) = (neighbour.mac, source_mac);
        let end = usize::from(prospect.end);
        if packet.frame_len() > end {
            packet.truncate(end);
        }
        Some((self.left(frame, egress.network), neighbour.adjacency))
    }
}
