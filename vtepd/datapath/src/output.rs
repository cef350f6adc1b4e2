//! Stage 3: out of the adjacencies that stage 2 chose.
//!
//! ```text
//!   Forward ─► port: tag, MTU ─────────────┐
//!          └─► tunnel: outer header, MTU ──┼─► device burst
//!   Fragment ► parts of the same ──────────┤
//!   Flood ───► replicas of the same ───────┘
//!   ToProxy ─► tag of the metadata link ───┤
//!   Reply ───► as it is ───────────────────┘
//! ```

use arrayvec::ArrayVec;
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, Bound, Interface, InterfaceIndex, Port, Tag, TagKey, Tunnel,
    View,
};
use vtepd_wire::ethernet;

use crate::context::{Frame, OwnTags, Source, Verdict};
use crate::drop_reason::DropReason;
use crate::encapsulate::{InnerFlow, encapsulate};
use crate::event::{Delivery, Recipients};
use crate::kept::Kept;
use crate::observer::{Decision, Observer};
use crate::packet::{Io, Packet};
use crate::route::fragment;
use crate::route::held::Held;
use crate::worker_state::WorkerState;

/// Stage 3 of one worker for one burst.
pub(crate) struct Output<'a, I: Io, O: Observer> {
    pub tables: &'a View<'a>,
    pub state: &'a WorkerState,
    pub io: &'a mut I,
    pub held: &'a mut Held<I::Packet>,
    pub kept: &'a mut Kept<I::Packet>,
    pub observer: &'a mut O,
}

impl<I: Io, O: Observer> Output<'_, I, O> {
    /// Carries out what was decided about the packet at `position`.
    #[inline(always)]
    pub(crate) fn dispose(&mut self, position: usize, packet: I::Packet, verdict: &Verdict) {
        match verdict {
            Verdict::Forward(frame, to) => self.forward(position, packet, frame, *to),
            other => self.dispose_otherwise(position, packet, other),
        }
    }

    #[inline(never)]
    fn dispose_otherwise(&mut self, position: usize, packet: I::Packet, verdict: &Verdict) {
        match *verdict {
            Verdict::Forward(ref frame, to) => self.forward(position, packet, frame, to),
            Verdict::Flood(ref frame) => self.flood(position, packet, frame),
            Verdict::Fragment { ref frame, to, mtu } => {
                self.fragment(position, packet, frame, to, mtu);
            }
            Verdict::Hold(waiting) => {
                let now = self.state.now;
                match self.held.keep(self.tables, packet, waiting, now) {
                    None => self.observer.note(position, Decision::Held),
                    Some(packet) => self.drop(position, packet, DropReason::NeighbourUnknown),
                }
            }
            Verdict::Reply(interface) => {
                self.observer.note(position, Decision::Reply(interface));
                self.transmit(interface, packet);
            }
            Verdict::HandOver { worker, handed } => {
                match self.io.hand_over(worker, packet, handed) {
                    Ok(()) => self.state.counters.handed_over.add(1),
                    Err(packet) => self.drop(position, packet, DropReason::HandOffFull),
                }
            }
            Verdict::KeepForTranslation { number, handed } => {
                self.state.counters.kept.add(1);
                if let Some(packet) = self.kept.keep(number, packet, handed) {
                    self.drop(position, packet, DropReason::NatHoldFull);
                }
            }
            Verdict::ToProxy => self.send_to_proxy(position, packet),
            Verdict::Consumed => {
                self.observer.note(position, Decision::Consumed);
                self.state.counters.consumed.add(1);
                self.io.discard(packet);
            }
            Verdict::Drop(reason) => self.drop(position, packet, reason),
            // Stage 2 leaves none.
            Verdict::Bridge(..)
            | Verdict::Route(..)
            | Verdict::SendOn(..)
            | Verdict::SendOut(..) => self.drop(position, packet, DropReason::Vacant),
        }
    }

    fn drop(&mut self, position: usize, packet: I::Packet, reason: DropReason) {
        self.observer.note(position, Decision::Drop(reason));
        self.state.counters.count_drop(reason, 1);
        self.io.discard(packet);
    }

    #[inline]
    fn transmit(&mut self, interface: InterfaceIndex, packet: I::Packet) {
        let counters = self.state.counters.interface(interface);
        counters.tx_packets.add(1);
        counters.tx_bytes.add(packet.frame_len() as u64);
        self.io.transmit(interface, packet);
    }

    #[cold]
    fn send_to_proxy(&mut self, position: usize, mut packet: I::Packet) {
        let Some(metadata) = self.tables.snapshot.metadata() else {
            return self.drop(position, packet, DropReason::Vacant);
        };
        let proxy = metadata.proxy;
        if let Err(reason) = push_tag(&mut packet, proxy.tag) {
            return self.drop(position, packet, reason);
        }
        self.observer
            .note(position, Decision::ToProxy(proxy.interface));
        self.transmit(proxy.interface, packet);
    }

    #[inline(always)]
    fn forward(&mut self, position: usize, packet: I::Packet, frame: &Frame, to: AdjacencyIndex) {
        // By a copied reference: the adjacency outlives the changes to `self`.
        let tables = self.tables;
        match tables.snapshot.adjacency(to) {
            Adjacency::Port(port) => self.send_to_port(position, packet, frame, to, port),
            Adjacency::Tunnel(_) if frame.from_tunnel && to != frame.ingress => {
                self.drop(position, packet, DropReason::SplitHorizon);
            }
            Adjacency::Tunnel(tunnel) => {
                let flow = InnerFlow::of(&self.state.flows, frame, packet.data());
                self.send_through(position, packet, frame, to, tunnel, flow);
            }
            Adjacency::Gateway(_) | Adjacency::Outside(_) | Adjacency::Vacant => {
                self.drop(position, packet, DropReason::Vacant);
            }
        }
    }

    /// Sends a routed packet in parts that fit its network.
    #[cold]
    fn fragment(
        &mut self,
        position: usize,
        packet: I::Packet,
        frame: &Frame,
        to: AdjacencyIndex,
        mtu: u16,
    ) {
        let mut parts = ArrayVec::<I::Packet, MAX_PARTS>::new();
        let mut too_many = false;
        let cut = fragment(self.io, &packet, mtu, |io, part| {
            if let Err(error) = parts.try_push(part) {
                io.discard(error.element());
                too_many = true;
            }
        });
        let cut = cut.and(if too_many {
            Err(DropReason::MtuExceeded)
        } else {
            Ok(())
        });
        if let Err(reason) = cut {
            for part in parts {
                self.io.discard(part);
            }
            return self.drop(position, packet, reason);
        }
        self.observer
            .note(position, Decision::Fragments(parts.len() as u8));
        self.state
            .counters
            .originated
            .add((parts.len() as u64).saturating_sub(1));
        for part in parts {
            self.forward(position, part, frame, to);
        }
        self.io.discard(packet);
    }

    /// Sends a frame of the control thread into its network.
    pub(crate) fn deliver(&mut self, packet: I::Packet, delivery: &Delivery) {
        let tables = self.tables;
        let network = tables.snapshot.network(delivery.network);
        let gateway = network.and_then(|network| network.gateways().first().copied());
        let to = match delivery.to {
            Recipients::One(to) => Some(to),
            Recipients::Here | Recipients::All => None,
        };
        // Frames need a place that they come from: the router, or the only one they go to.
        let Some(ingress) = gateway.or(to) else {
            return self.drop(0, packet, DropReason::Vacant);
        };
        let frame = Frame {
            network: delivery.network,
            ingress,
            // Split horizon is what keeps a frame on this host.
            from_tunnel: delivery.to == Recipients::Here,
            access: Access::Open,
            from_router: false,
            from_special: false,
            to_group: to.is_none(),
            ethertype: 0,
            tags: OwnTags::NONE,
            source: Source::Ignored,
        };
        match to {
            Some(to) => self.forward(0, packet, &frame, to),
            None => self.flood(0, packet, &frame),
        }
    }

    #[inline(always)]
    fn send_to_port(
        &mut self,
        position: usize,
        mut packet: I::Packet,
        frame: &Frame,
        to: AdjacencyIndex,
        port: &Port,
    ) {
        // An entry that led here before the port went to another network.
        if port.network != frame.network {
            return self.drop(position, packet, DropReason::Vacant);
        }
        let Some(interface) = self.tables.snapshot.interface(port.interface) else {
            return self.drop(position, packet, DropReason::Vacant);
        };
        let ready = fits(&packet, frame, interface.mtu)
            .and_then(|()| keeps_to_its_vlan(frame, port, interface))
            .and_then(|()| push_tag(&mut packet, port.tag));
        if let Err(reason) = ready {
            return self.drop(position, packet, reason);
        }
        self.observer.note(position, Decision::Out(to));
        self.transmit(port.interface, packet);
    }

    #[inline(always)]
    fn send_through(
        &mut self,
        position: usize,
        mut packet: I::Packet,
        frame: &Frame,
        to: AdjacencyIndex,
        tunnel: &Tunnel,
        flow: InnerFlow,
    ) {
        let network = self.tables.snapshot.network(frame.network);
        let Some(vni) = network.and_then(|network| network.vni) else {
            return self.drop(position, packet, DropReason::Vacant);
        };
        match encapsulate(&mut packet, tunnel, vni, flow) {
            Ok(()) => {
                self.observer.note(position, Decision::Out(to));
                self.transmit(tunnel.interface, packet);
            }
            Err(reason) => self.drop(position, packet, reason),
        }
    }

    /// Ingress replication (RFC 7348, 4.2 by unicast): everybody gets a copy. The
    /// last one is the packet itself, unless it is to be written on and shares its
    /// buffer with the copies before.
    #[inline(never)]
    fn flood(&mut self, position: usize, mut packet: I::Packet, frame: &Frame) {
        let tables = self.tables;
        let Some(network) = tables.snapshot.network(frame.network) else {
            return self.drop(position, packet, DropReason::Vacant);
        };
        let ways = if frame.from_tunnel {
            network.flood_from_tunnel()
        } else {
            network.flood_from_port()
        };
        // What stays on this host does not leave by a VLAN segment either.
        let segment = network.segment.filter(|_| frame.from_tunnel);
        let mut ways = ways
            .iter()
            .copied()
            .filter(|&way| way != frame.ingress && Some(way) != segment)
            .peekable();
        if ways.peek().is_none() {
            return self.drop(position, packet, DropReason::NoFloodTarget);
        }
        let flow = InnerFlow::of(&self.state.flows, frame, packet.data());
        self.state.counters.flooded.add(1);
        while let Some(way) = ways.next() {
            let adjacency = tables.snapshot.adjacency(way);
            let last = ways.peek().is_none();
            if last && (!is_written(adjacency) || !packet.data_mut().is_empty()) {
                self.flood_one(position, packet, frame, way, flow);
                return;
            }
            if !last {
                self.state.counters.replicas.add(1);
            }
            match self.io.replicate(&packet, private_bytes(adjacency)) {
                Some(copy) => {
                    self.flood_one(position, copy, frame, way, flow);
                }
                None => {
                    self.observer
                        .note(position, Decision::Drop(DropReason::NoBuffer));
                    self.state.counters.count_drop(DropReason::NoBuffer, 1);
                }
            }
        }
        // Everybody has a copy.
        self.io.discard(packet);
    }

    #[inline(never)]
    fn flood_one(
        &mut self,
        position: usize,
        packet: I::Packet,
        frame: &Frame,
        way: AdjacencyIndex,
        flow: InnerFlow,
    ) {
        let tables = self.tables;
        match tables.snapshot.adjacency(way) {
            Adjacency::Port(port) => self.send_to_port(position, packet, frame, way, port),
            Adjacency::Tunnel(tunnel) => {
                self.send_through(position, packet, frame, way, tunnel, flow)
            }
            Adjacency::Gateway(_) | Adjacency::Outside(_) | Adjacency::Vacant => {
                self.drop(position, packet, DropReason::Vacant);
            }
        }
    }
}

/// How much of a copy will be written: a tag moves the MACs, an outer header
/// goes in front of a frame that stays as it is.
fn private_bytes(adjacency: &Adjacency) -> usize {
    match adjacency {
        Adjacency::Port(Port { tag: Some(_), .. }) => MACS,
        _ => 0,
    }
}

/// Whether anything is written on a frame that leaves here.
fn is_written(adjacency: &Adjacency) -> bool {
    !matches!(adjacency, Adjacency::Port(Port { tag: None, .. }))
}

const MACS: usize = 12;

/// Parts of one packet at most: the longest packet (65,535 bytes) within an MTU of 1,100.
const MAX_PARTS: usize = 64;

/// Whether a frame is within the MTU, tags of its own aside.
#[inline]
fn fits<P: Packet>(packet: &P, frame: &Frame, mtu: u16) -> Result<(), DropReason> {
    let headers = ethernet::Header::LEN + usize::from(frame.tags.count) * ethernet::Tag::LEN;
    if packet.frame_len() <= headers + usize::from(mtu) {
        Ok(())
    } else {
        Err(DropReason::PortMtu)
    }
}

/// A tenant's own tag must not, on an untagged port, name a VLAN that belongs to
/// somebody else there.
#[inline]
fn keeps_to_its_vlan(frame: &Frame, port: &Port, interface: &Interface) -> Result<(), DropReason> {
    let own = frame.tags.outer;
    if own == TagKey::UNTAGGED || port.tag.is_some() || interface.bound(own) == Bound::Nothing {
        Ok(())
    } else {
        Err(DropReason::ForeignVlan)
    }
}

/// Puts a tag behind the MACs.
#[inline]
fn push_tag<P: Packet>(packet: &mut P, tag: Option<Tag>) -> Result<(), DropReason> {
    let Some(tag) = tag else {
        return Ok(());
    };
    if packet.prepend(ethernet::Tag::LEN).is_none() {
        return Err(DropReason::NoHeadroom);
    }
    let Some(front) = packet
        .data_mut()
        .first_chunk_mut::<{ MACS + ethernet::Tag::LEN }>()
    else {
        return Err(DropReason::SharedBuffer);
    };
    front.copy_within(ethernet::Tag::LEN.., 0);
    if let Some((_, place)) = front.split_last_chunk_mut::<{ ethernet::Tag::LEN }>() {
        *place = *tag.bytes();
    }
    Ok(())
}
