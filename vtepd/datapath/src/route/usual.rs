//! The usual routed packet, in two passes over the burst.
//!
//! ```text
//!   look ahead:  sound? longest prefix ─► egress ─► its neighbour is being fetched
//!   send on:     neighbour ─► TTL, MACs, out
//! ```
//!
//! Usual is IPv4 without options that fits, from one network of stations to another of the same router, by one
//! next hop that is known. One after the other in one go, its look-ups wait for each other and for memory; in
//! short passes the processor overlaps those of several packets. Whatever is unusual in either pass goes all the way by
//! [`route_v4`](Decide::route_v4), which says what becomes of any packet.

use core::net::IpAddr;

use vtepd_tables::route::Target;
use vtepd_tables::{AdjacencyIndex, HashedNeighbourKey, Role, VrfIndex};
use vtepd_wire::{FromBytes, ipv4};

use super::{L3, is_martian_v4, link_and_rest};
use crate::context::Frame;
use crate::decide::Decide;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;

/// How far a packet is known to go.
#[derive(Clone, Copy, Debug)]
pub struct Prospect {
    /// The router's address space.
    vrf: VrfIndex,
    /// The interface that it leaves by.
    out: AdjacencyIndex,
    /// Where the packet ends in its frame; padding follows.
    end: u16,
    /// Whether the destination itself is the neighbour.
    connected: bool,
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
        let egress = snapshot.gateway(hop.gateway)?;
        if egress.role == Role::Outside || total_len > usize::from(egress.mtu) {
            return None;
        }
        let address = match hop.address {
            None => destination,
            Some(IpAddr::V4(via)) => via,
            Some(IpAddr::V6(_)) => return None,
        };
        Some(Prospect {
            vrf: gateway.vrf,
            out: hop.gateway,
            end: (L3 + total_len) as u16,
            connected: hop.address.is_none(),
            neighbour: self.tables.neighbours.prefetch_v4(egress.network, address),
        })
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
        let via = (!prospect.connected).then_some(prospect.neighbour.address());
        self.note(Decision::Route {
            vrf: prospect.vrf,
            out: prospect.out,
            via: via.map(IpAddr::V4),
        });
        self.note(Decision::Neighbour(neighbour));
        header.decrement_ttl();
        (link.destination, link.source) = (neighbour.mac, source_mac);
        let end = usize::from(prospect.end);
        if packet.frame_len() > end {
            packet.truncate(end);
        }
        self.state.counters.routed.add(1);
        let frame = Frame {
            network: egress.network,
            // Split horizon is for frames that are bridged.
            from_tunnel: false,
            ..*frame
        };
        Some((frame, neighbour.adjacency))
    }
}
