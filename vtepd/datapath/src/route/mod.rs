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
//! | [`mod@self`] | worker | which way, and the rewrite |
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

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use vtepd_tables::route::{NextHop, Target, Vrf};
use vtepd_tables::{Adjacency, AdjacencyIndex, Gateway, Neighbour, NetworkIndex, View};
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

pub(crate) use arrive::gateway_mac;
pub(crate) use error::put_error;
pub(crate) use fragment::fragment;
use held::{Fate, Freed, Waiting};

/// Where IP begins in an untagged frame.
const L3: usize = ethernet::Header::LEN;

/// Routers of this host that a packet passes at most, one after another.
const MAX_ROUTERS: u8 = 8;

/// An IP address as a destination.
trait Destination: Copy + Into<IpAddr> {
    fn target(self, vrf: &Vrf) -> Option<&Target>;
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour>;
}

impl Destination for Ipv4Addr {
    #[inline(always)]
    fn target(self, vrf: &Vrf) -> Option<&Target> {
        vrf.find_v4(self)
    }

    #[inline(always)]
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour> {
        tables.neighbours.find_v4(network, self)
    }
}

impl Destination for Ipv6Addr {
    #[inline(always)]
    fn target(self, vrf: &Vrf) -> Option<&Target> {
        vrf.find_v6(self)
    }

    #[inline(always)]
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour> {
        tables.neighbours.find_v6(network, self)
    }
}

/// The way on of a packet.
struct Way<'v> {
    /// The last router's interface, in the network that it comes to it from.
    last: &'v Gateway,
    /// And the one in the network that it leaves to.
    egress: &'v Gateway,
    neighbour: Neighbour,
    /// How many routers it passes.
    routers: u8,
}

/// Why there is none.
enum NoWay<'v> {
    /// The destination is a gateway's own address.
    Local,
    /// No route leads there, says the router that it came to by this interface.
    NoRoute(&'v Gateway),
    /// The TTL runs out at the router that it came to by this interface, or would:
    /// from router to router without end.
    Expired(&'v Gateway),
    /// One leads nowhere, silently.
    Blackhole,
    /// Nobody has said yet that he has the next hop's address.
    Unknown {
        gateway: AdjacencyIndex,
        address: IpAddr,
    },
    /// A broadcast to a subnet.
    Broadcast,
    /// What it refers to is just being taken away.
    Vacant,
}

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
        let Some(gateway) = self.tables.snapshot.gateway(at) else {
            return DropReason::Vacant.into();
        };
        self.note(Decision::Gateway(at));
        if frame.is_from_outside() && !gateway.from_underlay {
            return DropReason::GatewayFromUnderlay.into();
        }
        match frame.ethertype {
            ethernet::ETHERTYPE_IPV4 => self.route_v4(frame, at, gateway, packet),
            ethernet::ETHERTYPE_IPV6 => self.route_v6(frame, at, gateway, packet, kind),
            ethernet::ETHERTYPE_ARP => {
                resolution::answer(self, &frame, packet, kind).unwrap_or(Verdict::Consumed)
            }
            _ => DropReason::GatewayProtocol.into(),
        }
    }

    #[inline]
    fn route_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        gateway: &'a Gateway,
        packet: &mut P,
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
        let way = self.way(gateway, destination, header.ttl, |stage| {
            let packet = packet.data().get(L3..).unwrap_or_default();
            stage.state.flows.hash_ipv4(packet).unwrap_or(0)
        });
        let way = match way {
            Ok(way) => way,
            Err(NoWay::Local) => return self.deliver_v4(frame, packet, checked),
            Err(NoWay::NoRoute(at)) => {
                let error = icmp_error::Error::unreachable(icmp::NET_UNREACHABLE);
                return self.error_v4(&frame, from(at, source), packet, error, DropReason::NoRoute);
            }
            Err(NoWay::Expired(at)) => {
                let (own, error) = (from(at, source), icmp_error::Error::TTL_EXCEEDED);
                return self.error_v4(&frame, own, packet, error, DropReason::TtlExceeded);
            }
            Err(NoWay::Unknown { gateway, address }) => {
                return self.ask_for(frame, at, gateway, address);
            }
            Err(no_way) => return dead_end(&no_way).into(),
        };
        let mtu = way.egress.mtu;
        let fits = checked.total_len <= usize::from(mtu);
        if !fits && header.dont_fragment() {
            let error = icmp_error::Error::fragmentation_needed(mtu);
            let own = from(way.last, source);
            return self.error_v4(&frame, own, packet, error, DropReason::MtuExceeded);
        }
        let Some(source_mac) = self.source_mac(&way) else {
            return DropReason::Vacant.into();
        };
        let Some((link, rest)) = link_and_rest(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        let Ok((header, _)) = ipv4::Header::mut_from_prefix(rest) else {
            return DropReason::IpMalformed.into();
        };
        for _ in 0..way.routers {
            header.decrement_ttl();
        }
        (link.destination, link.source) = (way.neighbour.mac, source_mac);
        let frame = self.leave(frame, &way);
        let to = way.neighbour.adjacency;
        if fits {
            Verdict::Forward(frame, to)
        } else {
            Verdict::Fragment { frame, to, mtu }
        }
    }

    #[inline]
    fn route_v6<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        gateway: &'a Gateway,
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
        if gateway.has(IpAddr::V6(destination)) {
            return self.deliver_v6(frame, packet, kind);
        }
        if is_martian_v6(source, destination) {
            return DropReason::Martian.into();
        }
        let way = self.way(gateway, destination, header.hop_limit, |stage| {
            let packet = packet.data().get(L3..).unwrap_or_default();
            stage.state.flows.hash_ipv6(packet).unwrap_or(0)
        });
        let way = match way {
            Ok(way) => way,
            Err(NoWay::Local) => return self.deliver_v6(frame, packet, kind),
            Err(NoWay::NoRoute(at)) => {
                let (own, error) = (
                    from(at, source),
                    icmpv6_error::Error::unreachable(icmpv6::NO_ROUTE),
                );
                return self.error_v6(&frame, own, packet, error, DropReason::NoRoute);
            }
            Err(NoWay::Expired(at)) => {
                let (own, error) = (from(at, source), icmpv6_error::Error::HOP_LIMIT_EXCEEDED);
                return self.error_v6(&frame, own, packet, error, DropReason::TtlExceeded);
            }
            Err(NoWay::Unknown { gateway, address }) => {
                return self.ask_for(frame, at, gateway, address);
            }
            Err(no_way) => return dead_end(&no_way).into(),
        };
        if total_len > usize::from(way.egress.mtu) {
            let error = icmpv6_error::Error::packet_too_big(way.egress.mtu.into());
            let own = from(way.last, source);
            return self.error_v6(&frame, own, packet, error, DropReason::MtuExceeded);
        }
        let Some(source_mac) = self.source_mac(&way) else {
            return DropReason::Vacant.into();
        };
        let Some((link, rest)) = link_and_rest(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        let Ok((header, _)) = ipv6::Header::mut_from_prefix(rest) else {
            return DropReason::IpMalformed.into();
        };
        for _ in 0..way.routers {
            header.decrement_hop_limit();
        }
        (link.destination, link.source) = (way.neighbour.mac, source_mac);
        let frame = self.leave(frame, &way);
        Verdict::Forward(frame, way.neighbour.adjacency)
    }

    /// From a gateway to the station or, through other routers of this host, to the
    /// gateway that the packet is for next. Each of them takes one from its TTL.
    #[inline]
    fn way<D: Destination>(
        &mut self,
        mut gateway: &'a Gateway,
        destination: D,
        ttl: u8,
        hash: impl FnOnce(&Self) -> u32,
    ) -> Result<Way<'a>, NoWay<'a>> {
        let tables = self.tables;
        let mut hash = Some(hash);
        let mut flow = 0;
        for routers in 1..=MAX_ROUTERS {
            let Some(vrf) = tables.snapshot.vrf(gateway.vrf) else {
                return Err(NoWay::Vacant);
            };
            let hops = match destination.target(vrf) {
                Some(Target::NextHops(hops)) => hops,
                Some(Target::Blackhole) => return Err(NoWay::Blackhole),
                Some(Target::Unreachable) | None => return Err(NoWay::NoRoute(gateway)),
            };
            if hops.as_slice().len() > 1
                && let Some(hash) = hash.take()
            {
                flow = hash(self);
            }
            let &NextHop {
                gateway: out,
                address,
            } = hops.choose(flow);
            let Some(egress) = tables.snapshot.gateway(out) else {
                return Err(NoWay::Vacant);
            };
            self.note(Decision::Route {
                vrf: gateway.vrf,
                out,
                via: address,
            });
            let neighbour = match address {
                None => destination.neighbour(tables, egress.network),
                Some(via) => tables.neighbours.find(egress.network, via),
            };
            let expired = ttl <= routers;
            let Some(neighbour) = neighbour else {
                let address = address.unwrap_or(destination.into());
                return Err(match unknown(egress, out, address) {
                    NoWay::Unknown { .. } if expired => NoWay::Expired(gateway),
                    no_way => no_way,
                });
            };
            self.note(Decision::Neighbour(neighbour));
            let Adjacency::Gateway(next) = tables.snapshot.adjacency(neighbour.adjacency) else {
                if expired {
                    return Err(NoWay::Expired(gateway));
                }
                return Ok(Way {
                    last: gateway,
                    egress,
                    neighbour,
                    routers,
                });
            };
            let is_for_it = next.has(destination.into());
            // Who has the address itself does not forward, and does not look at the TTL
            // (RFC 1812, 5.3.1).
            if expired && !(is_for_it && next.vrf == gateway.vrf) {
                return Err(NoWay::Expired(gateway));
            }
            if is_for_it {
                return Err(NoWay::Local);
            }
            gateway = next;
        }
        Err(NoWay::Expired(gateway))
    }

    /// What a routed frame has as its source: the gateway of the network that it leaves
    /// to or, towards other hosts, this host (they know the gateway's MAC as their own).
    #[inline]
    fn source_mac(&self, way: &Way<'_>) -> Option<Mac> {
        let outside = match self.tables.snapshot.adjacency(way.neighbour.adjacency) {
            Adjacency::Port(port) => port.segment,
            Adjacency::Tunnel(_) => true,
            Adjacency::Gateway(_) | Adjacency::Outside(_) | Adjacency::Vacant => return None,
        };
        let host = self.tables.snapshot.host_macs.own;
        Some(match host {
            Some(host) if outside && way.egress.distributed => host,
            _ => way.egress.mac,
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
        gateway: AdjacencyIndex,
        address: IpAddr,
    ) -> Verdict {
        if !self.state.allow(&frame, Class::Probe) {
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
        let l3 = packet.data().get(L3..).unwrap_or_default();
        if frame.ethertype == ethernet::ETHERTYPE_IPV4 {
            let Ok((header, _)) = ipv4::Header::ref_from_prefix(l3) else {
                return DropReason::IpMalformed.into();
            };
            let own = from(gateway, header.source_addr());
            let error = icmp_error::Error::unreachable(icmp::HOST_UNREACHABLE);
            self.error_v4(&frame, own, packet, error, reason)
        } else {
            let Ok((header, _)) = ipv6::Header::ref_from_prefix(l3) else {
                return DropReason::IpMalformed.into();
            };
            let own = from(gateway, header.source_addr());
            let error = icmpv6_error::Error::unreachable(icmpv6::ADDRESS_UNREACHABLE);
            self.error_v6(&frame, own, packet, error, reason)
        }
    }
}

/// A neighbour that is not in the table: a station to ask for, unless the address is
/// none of a station (RFC 2644: broadcasts to a subnet are not forwarded).
#[cold]
fn unknown<'v>(egress: &'v Gateway, gateway: AdjacencyIndex, address: IpAddr) -> NoWay<'v> {
    if is_broadcast(egress, address) {
        NoWay::Broadcast
    } else {
        NoWay::Unknown { gateway, address }
    }
}

/// Whether an address is a broadcast to one of a gateway's subnets, in the form of today
/// or the one of long ago (RFC 1812, 5.3.5). A link of two has none (RFC 3021).
fn is_broadcast(gateway: &Gateway, address: IpAddr) -> bool {
    let is_of = |own: &IpNet| {
        own.max_prefix_len() - own.prefix_len() > 1
            && (own.broadcast() == address || own.network() == address)
    };
    address.is_ipv4() && gateway.addresses.iter().any(is_of)
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
        NoWay::Local | NoWay::Vacant => DropReason::Vacant,
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
