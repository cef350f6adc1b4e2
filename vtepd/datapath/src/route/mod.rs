//! Routing: frames to a gateway's MAC.
//!
//! ```text
//!   check header ─► VRF: longest prefix ─► next hop ─► neighbour ─┬─ a station: TTL, MACs, out
//!        │               │                                │       └─ a gateway: its own, or on
//!        ▼               ▼                                ▼          from there
//!   malformed, martian   no route: error                  unknown: ask (P1)
//! ```
//!
//! | file | side | what |
//! |---|---|---|
//! | [`mod@self`] | worker | what comes in, and the rewrite of what goes on |
//! | `usual` | worker | the usual packet, in passes over the burst |
//! | `way` | worker | which way |
//! | `arrive` | worker | frames that another host has routed |
//! | `local` | worker | packets to the gateway itself |
//! | `error` | worker | ICMP and ICMPv6 errors, in place of the packet |
//! | [`held`] | worker | packets that wait for a neighbour |
//! | `fragment` | worker | packets that leave in parts |
//! | [`neighbours`] | control | asking for stations that no port names |

mod arrive;
mod error;
mod fragment;
pub mod held;
mod local;
pub mod neighbours;
mod usual;
mod way;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vtepd_tables::{Adjacency, AdjacencyIndex, Gateway, Role};
use vtepd_wire::{
    FromBytes, Mac, Malformed, ethernet, icmp, icmp_error, icmpv6, icmpv6_error, ipv4, ipv6,
};

use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::limit::Class;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::{self, Kind};
use crate::translate::{Beforehand, Original};

pub(crate) use arrive::gateway_mac;
pub(crate) use error::put_error;
pub(crate) use fragment::fragment;
use held::{Fate, Freed, Waiting};
pub use usual::Prospect;
use way::is_broadcast;
pub(crate) use way::{Entry, NoWay, Way};

/// Where IP begins in an untagged frame.
pub(crate) const L3: usize = ethernet::Header::LEN;

impl<'a, O: Observer> Decide<'a, O> {
    /// A frame to the MAC of a router's interface.
    #[inline]
    pub(crate) fn route<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        kind: Kind,
    ) -> Verdict {
        let gateway = match self.enter(&frame, at) {
            Ok(gateway) => gateway,
            Err(reason) => return reason.into(),
        };
        match frame.ethertype {
            ethernet::ETHERTYPE_IPV4 => {
                self.route_v4(frame, Entry::new(at, gateway), packet, Beforehand::Nothing)
            }
            ethernet::ETHERTYPE_IPV6 => self.route_v6(frame, Entry::new(at, gateway), packet, kind),
            ethernet::ETHERTYPE_ARP => {
                resolution::answer(self, &frame, packet, kind).unwrap_or(Verdict::Consumed)
            }
            _ => DropReason::GatewayProtocol.into(),
        }
    }

    /// The gateway at `at`, if the frame may come to it.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        frame: &Frame,
        at: AdjacencyIndex,
    ) -> Result<&'a Gateway, DropReason> {
        let gateway = self.tables.snapshot.gateway(at).ok_or(DropReason::Vacant)?;
        self.note(Decision::Gateway(at));
        if frame.is_from_outside() && gateway.is_confined() {
            return Err(DropReason::GatewayFromUnderlay);
        }
        Ok(gateway)
    }

    /// Routes a packet that has [entered](Self::enter) a gateway, whatever it is like.
    #[inline(never)]
    pub(crate) fn route_any_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        known: Beforehand<'_>,
    ) -> Verdict {
        match self.tables.snapshot.gateway(at) {
            Some(gateway) => self.route_v4(frame, Entry::new(at, gateway), packet, known),
            None => DropReason::Vacant.into(),
        }
    }

    /// `known` is what is known of a packet to a gateway outside.
    #[inline]
    pub(crate) fn route_v4<P: Packet>(
        &mut self,
        frame: Frame,
        entry: Entry<'a>,
        packet: &mut P,
        known: Beforehand<'_>,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let checked = match ipv4::check(bytes, packet.frame_len() - L3) {
            Ok(checked) => checked,
            Err(Malformed::Checksum) => return DropReason::IpChecksum.into(),
            Err(_) => return DropReason::IpMalformed.into(),
        };
        let Ok((&header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        if checked.header_len > ipv4::Header::LEN
            && let Err(reason) = check_options(bytes, checked)
        {
            return reason.into();
        }
        let (source, destination) = (header.source_addr(), header.destination_addr());
        if is_martian_v4(source, destination) {
            if destination == metadata::ADDRESS && self.has_metadata(&frame) {
                return self.ask_metadata(&frame, packet, checked);
            }
            return DropReason::Martian.into();
        }
        let end = L3 + checked.total_len;
        if packet.frame_len() > end {
            packet.truncate(end);
        }
        if entry.gateway.role == Role::Outside {
            return self.come_in_v4(frame, entry, packet, checked, known, None);
        }
        match self.way_v4(entry, packet, &header) {
            Ok(way) => self.leave_v4(frame, entry.at, packet, checked, &way, None),
            Err(no_way) => self.no_way_v4(frame, entry.at, packet, checked, no_way),
        }
    }

    #[inline]
    pub(crate) fn way_v4<P: Packet>(
        &mut self,
        entry: Entry<'a>,
        packet: &P,
        header: &ipv4::Header,
    ) -> Result<Way<'a>, NoWay<'a>> {
        let ends = (header.source_addr(), header.destination_addr());
        self.way(entry, ends, header.ttl, |stage| {
            let packet = packet.data().get(L3..).unwrap_or_default();
            stage.state.flows.hash_ipv4(packet).unwrap_or(0)
        })
    }

    /// Sends a packet on its way. `original` is what it was like when it came, if that is
    /// no more what it is like.
    #[inline]
    pub(crate) fn leave_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        checked: ipv4::Checked,
        way: &Way<'a>,
        original: Option<&Original>,
    ) -> Verdict {
        let mtu = way.egress.mtu;
        let fits = checked.total_len <= usize::from(mtu);
        if !fits && self.is_whole_v4(packet) {
            if let Some(original) = original {
                original.restore(packet);
            }
            let error = icmp_error::Error::fragmentation_needed(mtu);
            return self.report_v4(&frame, way.last, packet, error, DropReason::MtuExceeded);
        }
        let Some(source_mac) = self.source_mac(way.egress, way.neighbour.adjacency) else {
            return DropReason::Vacant.into();
        };
        if way.egress.role == Role::Outside
            && let Err(verdict) =
                self.go_out_v4(frame, at, way.vrf, way.egress.network, packet, None)
        {
            return verdict;
        }
        let Some((link, rest)) = link_and_rest(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        let Ok((header, _)) = ipv4::Header::mut_from_prefix(rest) else {
            return DropReason::IpMalformed.into();
        };
        for _ in 0..way.hops {
            header.decrement_ttl();
        }
        (link.destination, link.source) = (way.neighbour.mac, source_mac);
        let frame = self.leave(frame, way);
        let to = way.neighbour.adjacency;
        if fits {
            Verdict::Forward(frame, to)
        } else {
            Verdict::Fragment { frame, to, mtu }
        }
    }

    /// Whether a packet must not be cut.
    #[cold]
    fn is_whole_v4<P: Packet>(&self, packet: &P) -> bool {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        ipv4::Header::ref_from_prefix(bytes).is_ok_and(|(header, _)| header.dont_fragment())
    }

    /// What becomes of a packet, as it came to the gateway at `at`, that has no way on.
    #[inline(never)]
    pub(crate) fn no_way_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        checked: ipv4::Checked,
        no_way: NoWay<'a>,
    ) -> Verdict {
        match no_way {
            NoWay::Local => self.deliver_v4(frame, packet, checked),
            NoWay::NoRoute(gateway) => {
                let error = icmp_error::Error::unreachable(icmp::NET_UNREACHABLE);
                self.report_v4(&frame, gateway, packet, error, DropReason::NoRoute)
            }
            NoWay::Expired(gateway) => {
                let error = icmp_error::Error::TTL_EXCEEDED;
                self.report_v4(&frame, gateway, packet, error, DropReason::TtlExceeded)
            }
            NoWay::Unknown { gateway, address } => {
                let bytes = packet.data().get(L3..).unwrap_or_default();
                let Ok((header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
                    return DropReason::IpMalformed.into();
                };
                let source = header.source_addr().into();
                self.ask_for(frame, at, source, (gateway, address))
            }
            NoWay::Turn(turn) => self.turn_v4(frame, at, packet, checked, &turn),
            no_way => dead_end(&no_way).into(),
        }
    }

    /// Drops a packet, and says why in the name of a gateway. One without an address on an
    /// external network says so in that of whom it was sent to: it answers for that, too.
    #[cold]
    pub(crate) fn report_v4<P: Packet>(
        &mut self,
        frame: &Frame,
        gateway: &Gateway,
        packet: &mut P,
        error: icmp_error::Error,
        reason: DropReason,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let outside = gateway.role == Role::Outside;
        let asked = outside.then(|| IpAddr::V4(header.destination_addr()));
        let own = from(gateway, header.source_addr()).or(asked);
        self.error_v4(frame, own, packet, error, reason)
    }

    #[inline]
    pub(crate) fn route_v6<P: Packet>(
        &mut self,
        frame: Frame,
        entry: Entry<'a>,
        packet: &mut P,
        kind: Kind,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok(payload_len) = ipv6::check(bytes, packet.frame_len() - L3) else {
            return DropReason::IpMalformed.into();
        };
        let Ok((&header, _)) = ipv6::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let (source, destination) = (header.source_addr(), header.destination_addr());
        // Neighbour discovery asks with the hop limit that no routed packet has.
        if kind == Kind::Nd(icmpv6::NEIGHBOUR_SOLICITATION)
            && let Some(verdict) = resolution::answer(self, &frame, packet, kind)
        {
            return verdict;
        }
        let total_len = ipv6::Header::LEN + payload_len;
        if packet.frame_len() > L3 + total_len {
            packet.truncate(L3 + total_len);
        }
        if entry.gateway.has(IpAddr::V6(destination)) {
            return self.deliver_v6(frame, packet, kind);
        }
        if is_martian_v6(source, destination) {
            return DropReason::Martian.into();
        }
        if entry.gateway.role == Role::Outside
            && let Err(verdict) = self.come_in_v6(frame, entry.at, entry.vrf, packet)
        {
            return verdict;
        }
        let way = self.way(entry, (source, destination), header.hop_limit, |stage| {
            let packet = packet.data().get(L3..).unwrap_or_default();
            stage.state.flows.hash_ipv6(packet).unwrap_or(0)
        });
        let way = match way {
            Ok(way) => way,
            Err(no_way) => return self.no_way_v6(frame, entry.at, packet, kind, no_way),
        };
        if total_len > usize::from(way.egress.mtu) {
            let error = icmpv6_error::Error::packet_too_big(way.egress.mtu.into());
            let own = from(way.last, source);
            return self.error_v6(&frame, own, packet, error, DropReason::MtuExceeded);
        }
        let Some(source_mac) = self.source_mac(way.egress, way.neighbour.adjacency) else {
            return DropReason::Vacant.into();
        };
        if way.egress.role == Role::Outside
            && let Err(verdict) = self.go_out_v6(frame, entry.at, way.vrf, packet)
        {
            return verdict;
        }
        let Some((link, rest)) = link_and_rest(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        let Ok((header, _)) = ipv6::Header::mut_from_prefix(rest) else {
            return DropReason::IpMalformed.into();
        };
        for _ in 0..way.hops {
            header.decrement_hop_limit();
        }
        (link.destination, link.source) = (way.neighbour.mac, source_mac);
        let frame = self.leave(frame, &way);
        Verdict::Forward(frame, way.neighbour.adjacency)
    }

    #[inline(never)]
    pub(crate) fn no_way_v6<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        kind: Kind,
        no_way: NoWay<'a>,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv6::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let source = header.source_addr();
        match no_way {
            NoWay::Local => self.deliver_v6(frame, packet, kind),
            NoWay::NoRoute(gateway) => {
                let error = icmpv6_error::Error::unreachable(icmpv6::NO_ROUTE);
                let own = from(gateway, source);
                self.error_v6(&frame, own, packet, error, DropReason::NoRoute)
            }
            NoWay::Expired(gateway) => {
                let error = icmpv6_error::Error::HOP_LIMIT_EXCEEDED;
                let own = from(gateway, source);
                self.error_v6(&frame, own, packet, error, DropReason::TtlExceeded)
            }
            NoWay::Unknown { gateway, address } => {
                self.ask_for(frame, at, source.into(), (gateway, address))
            }
            NoWay::Turn(turn) => self.turn_v6(frame, at, packet, kind, &turn),
            no_way => dead_end(&no_way).into(),
        }
    }

    #[cold]
    fn take_home<P: Packet>(&mut self, frame: Frame, packet: &mut P, way: &Way<'a>) -> Verdict {
        let Some(source_mac) = self.source_mac(way.egress, way.neighbour.adjacency) else {
            return DropReason::Vacant.into();
        };
        let Some((link, _)) = link_and_rest(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        (link.destination, link.source) = (way.neighbour.mac, source_mac);
        let frame = Frame {
            network: way.egress.network,
            from_tunnel: false,
            ..frame
        };
        Verdict::Forward(frame, way.neighbour.adjacency)
    }

    /// What a routed frame has as its source: the gateway of the network that it leaves
    /// to or, towards other hosts, this host (they know the gateway's MAC as their own).
    #[inline]
    fn source_mac(&self, egress: &Gateway, to: AdjacencyIndex) -> Option<Mac> {
        let outside = match self.tables.snapshot.adjacency(to) {
            Adjacency::Port(port) => port.segment,
            Adjacency::Tunnel(_) => true,
            Adjacency::Gateway(_) | Adjacency::Outside(_) | Adjacency::Vacant => return None,
        };
        let host = self.tables.snapshot.host_macs.own;
        Some(match host {
            Some(host) if outside && egress.distributed && egress.role == Role::Inside => host,
            _ => egress.mac,
        })
    }

    /// The frame as one of the network that it leaves to.
    #[inline]
    fn leave(&mut self, frame: Frame, way: &Way<'_>) -> Frame {
        self.state.counters.routed.add(1);
        Frame {
            network: way.egress.network,
            // Split horizon is for frames that are bridged.
            from_tunnel: false,
            ..frame
        }
    }

    /// A packet to somebody nobody knows waits, and the control thread asks for him.
    #[cold]
    fn ask_for(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        source: IpAddr,
        (gateway, address): (AdjacencyIndex, IpAddr),
    ) -> Verdict {
        if !self.state.allow_from(&frame, source, Class::Probe) {
            return DropReason::ProbeLimit.into();
        }
        let Some(egress) = self.tables.snapshot.gateway(gateway) else {
            return DropReason::Vacant.into();
        };
        self.note(Decision::Wanted(gateway, address));
        self.state.tell(Event::Wanted { gateway, address });
        Verdict::Hold(Waiting {
            frame,
            at,
            network: egress.network,
            address,
        })
    }

    /// A packet whose neighbour was asked for goes on, or its sender is told that nobody
    /// answers (RFC 1812, 5.2.7.1; RFC 4443, 3.1).
    #[cold]
    pub(crate) fn resume<P: Packet>(&mut self, freed: &mut Freed<P>) -> Verdict {
        let Freed {
            packet,
            waiting,
            fate,
        } = freed;
        if *fate == Fate::Outdated {
            return DropReason::Vacant.into();
        }
        let frame = waiting.frame;
        let kind = resolution::kind(&frame, packet.data());
        if *fate == Fate::Known {
            return self.route(frame, waiting.at, packet, kind);
        }
        let Some(gateway) = self.tables.snapshot.gateway(waiting.at) else {
            return DropReason::Vacant.into();
        };
        let reason = DropReason::NeighbourUnknown;
        if frame.ethertype == ethernet::ETHERTYPE_IPV4 {
            let error = icmp_error::Error::unreachable(icmp::HOST_UNREACHABLE);
            self.report_v4(&frame, gateway, packet, error, reason)
        } else {
            let l3 = packet.data().get(L3..).unwrap_or_default();
            let Ok((header, _)) = ipv6::Header::ref_from_prefix(l3) else {
                return DropReason::IpMalformed.into();
            };
            let own = from(gateway, header.source_addr());
            let error = icmpv6_error::Error::unreachable(icmpv6::ADDRESS_UNREACHABLE);
            self.error_v6(&frame, own, packet, error, reason)
        }
    }
}

/// The address that an error to `source` comes from: one of the interface by which the
/// packet came (RFC 1812, 4.3.2.4). With a link-local address it has one always.
#[cold]
fn from(gateway: &Gateway, source: impl Into<IpAddr>) -> Option<IpAddr> {
    let source = source.into();
    let link_local = IpAddr::V6(gateway.link_local);
    let own = gateway.address_towards(source);
    own.or(source.is_ipv6().then_some(link_local))
}

fn dead_end(no_way: &NoWay<'_>) -> DropReason {
    match no_way {
        NoWay::Blackhole => DropReason::Blackhole,
        NoWay::Broadcast => DropReason::Martian,
        NoWay::NoRoute(_) => DropReason::NoRoute,
        NoWay::Expired(_) => DropReason::TtlExceeded,
        NoWay::Unknown { .. } => DropReason::NeighbourUnknown,
        NoWay::Outward => DropReason::NatNotOurs,
        NoWay::Local | NoWay::Turn(_) | NoWay::Vacant => DropReason::Vacant,
    }
}

fn link_and_rest(data: &mut [u8]) -> Option<(&mut ethernet::Header, &mut [u8])> {
    ethernet::Header::mut_from_prefix(data).ok()
}

#[inline]
fn is_martian_v4(source: Ipv4Addr, destination: Ipv4Addr) -> bool {
    ipv4::is_martian_source(source)
        || ipv4::is_martian_destination(destination)
        || destination.is_multicast()
        || ipv4::is_link_local(source)
        || ipv4::is_link_local(destination)
}

#[inline]
fn is_martian_v6(source: Ipv6Addr, destination: Ipv6Addr) -> bool {
    ipv6::is_martian_source(source)
        || ipv6::is_martian_destination(destination)
        || destination.is_multicast()
        || ipv6::is_link_local(source)
        || ipv6::is_link_local(destination)
}

#[cold]
fn check_options(packet: &[u8], checked: ipv4::Checked) -> Result<(), DropReason> {
    match ipv4::has_source_route(ipv4::options(packet, checked)) {
        Ok(false) => Ok(()),
        Ok(true) => Err(DropReason::SourceRoute),
        Err(_) => Err(DropReason::IpMalformed),
    }
}
