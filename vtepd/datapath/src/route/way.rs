//! Which way a packet goes: from the router's interface that it came to, through the routers of
//! this host, to the station or next hop that it leaves to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use vtepd_tables::route::{NextHop, Target, Vrf};
use vtepd_tables::translation::{Externals, Rules};
use vtepd_tables::{
    Adjacency, AdjacencyIndex, Gateway, Neighbour, NetworkIndex, Role, View, VrfIndex,
};

use crate::decide::Decide;
use crate::observer::{Decision, Observer};
use crate::translate::Turn;

/// Routers of this host that a packet passes at most, one after another.
const MAX_ROUTERS: u8 = 8;

/// An IP address of either family.
pub(crate) trait Address: Copy + Into<IpAddr> {
    fn target(self, vrf: &Vrf) -> Option<&Target>;
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour>;
    /// Whether, as a source, it has a floating IP.
    fn floats(self, rules: &Rules) -> bool;
    /// Whether, as a destination, it is translated by this host.
    fn is_external(self, externals: &Externals) -> bool;
    /// The address of this family of the host that leads outside.
    fn central(gateway: &Gateway) -> Option<IpAddr>;
}

impl Address for Ipv4Addr {
    #[inline(always)]
    fn target(self, vrf: &Vrf) -> Option<&Target> {
        vrf.find_v4(self)
    }

    #[inline(always)]
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour> {
        tables.neighbours.find_v4(network, self)
    }

    fn floats(self, rules: &Rules) -> bool {
        rules.floating_outside(self.to_bits()).is_some()
    }

    fn is_external(self, externals: &Externals) -> bool {
        externals.router(self).is_some()
    }

    fn central(gateway: &Gateway) -> Option<IpAddr> {
        gateway.central_v4.map(IpAddr::V4)
    }
}

impl Address for Ipv6Addr {
    #[inline(always)]
    fn target(self, vrf: &Vrf) -> Option<&Target> {
        vrf.find_v6(self)
    }

    #[inline(always)]
    fn neighbour(self, tables: &View<'_>, network: NetworkIndex) -> Option<Neighbour> {
        tables.neighbours.find_v6(network, self)
    }

    fn floats(self, _: &Rules) -> bool {
        false
    }

    fn is_external(self, _: &Externals) -> bool {
        false
    }

    fn central(gateway: &Gateway) -> Option<IpAddr> {
        gateway.central_v6.map(IpAddr::V6)
    }
}

/// Where a packet comes to a router.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'v> {
    /// The router's interface.
    pub at: AdjacencyIndex,
    /// The same.
    pub gateway: &'v Gateway,
    /// The router's address space; the interface need not be of one router alone.
    pub vrf: VrfIndex,
    /// What the router takes from the TTL.
    pub hops: u8,
}

impl<'v> Entry<'v> {
    #[inline(always)]
    pub(crate) fn new(at: AdjacencyIndex, gateway: &'v Gateway) -> Self {
        let vrf = gateway.vrf;
        Self {
            at,
            gateway,
            vrf,
            hops: 1,
        }
    }
}

/// Where a packet leaves a router.
struct Exit<'v> {
    at: AdjacencyIndex,
    gateway: &'v Gateway,
    /// The next hop; `None`: the destination itself is the neighbour.
    via: Option<IpAddr>,
}

/// The way on of a packet.
pub(crate) struct Way<'v> {
    /// The last router's interface, in the network that it comes to it from.
    pub last: &'v Gateway,
    /// That router's address space.
    pub vrf: VrfIndex,
    /// And its interface in the network that it leaves to.
    pub egress: &'v Gateway,
    pub neighbour: Neighbour,
    /// What is taken from its TTL: one for each router that it passes, as a rule.
    pub hops: u8,
}

/// Why there is none.
pub(crate) enum NoWay<'v> {
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
    /// It is in an external network, and for this host there.
    Turn(Turn<'v>),
    /// It came from an external network and would leave by it again.
    Outward,
    /// What it refers to is just being taken away.
    Vacant,
}

impl<'v> NoWay<'v> {
    /// The same, when nobody but this gateway may say so.
    pub(crate) fn said_by(self, gateway: &'v Gateway) -> Self {
        match self {
            Self::NoRoute(_) => Self::NoRoute(gateway),
            Self::Expired(_) => Self::Expired(gateway),
            other => other,
        }
    }
}

impl<'a, O: Observer> Decide<'a, O> {
    /// From a router's interface to the station or, through other routers of this host, to the
    /// gateway that the packet is for next. Each of them takes one from its TTL.
    #[inline]
    pub(super) fn way<A: Address>(
        &mut self,
        mut entry: Entry<'a>,
        (source, destination): (A, A),
        ttl: u8,
        hash: impl FnOnce(&Self) -> u32,
    ) -> Result<Way<'a>, NoWay<'a>> {
        let tables = self.tables;
        let mut hash = Some(hash);
        let mut flow = 0;
        let mut hops = 0u8;
        for _ in 0..MAX_ROUTERS {
            let Entry { gateway, vrf, .. } = entry;
            let Some(routes) = tables.snapshot.vrf(vrf) else {
                return Err(NoWay::Vacant);
            };
            let next_hops = match destination.target(routes) {
                Some(Target::NextHops(hops)) => hops,
                Some(Target::Blackhole) => return Err(NoWay::Blackhole),
                Some(Target::Unreachable) | None => return Err(NoWay::NoRoute(gateway)),
            };
            if next_hops.as_slice().len() > 1
                && let Some(hash) = hash.take()
            {
                flow = hash(self);
            }
            let next_hop = next_hops.choose(flow);
            let Exit {
                at: out,
                gateway: egress,
                via: address,
            } = match tables.snapshot.gateway(next_hop.gateway) {
                Some(gateway) => Exit {
                    at: next_hop.gateway,
                    gateway,
                    via: next_hop.address,
                },
                None => {
                    self.exit_outside(&mut entry, next_hop, source, destination, (hops, ttl))?
                }
            };
            hops = hops.saturating_add(entry.hops);
            self.note(Decision::Route {
                vrf,
                out,
                via: address,
            });
            let neighbour = match address {
                None => destination.neighbour(tables, egress.network),
                Some(via) => tables.neighbours.find(egress.network, via),
            };
            let expired = ttl <= hops;
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
                    vrf,
                    egress,
                    neighbour,
                    hops,
                });
            };
            if egress.role == Role::Outside || next.role == Role::Outside {
                return Err(NoWay::Turn(Turn {
                    last: gateway,
                    vrf,
                    at: neighbour.adjacency,
                    to: next,
                    hops,
                    leaves: egress.role == Role::Outside,
                }));
            }
            let is_for_it = next.has(destination.into());
            // Who has the address itself does not forward, and does not look at the TTL
            // (RFC 1812, 5.3.1).
            if expired && !(is_for_it && next.vrf == vrf) {
                return Err(NoWay::Expired(gateway));
            }
            if is_for_it {
                return Err(NoWay::Local);
            }
            entry = Entry::new(neighbour.adjacency, next);
        }
        Err(NoWay::Expired(entry.gateway))
    }

    /// By which gateway a packet leaves that goes outside: the source says so.
    #[inline(never)]
    fn exit_outside<A: Address>(
        &mut self,
        entry: &mut Entry<'a>,
        next_hop: &NextHop,
        source: A,
        destination: A,
        (hops, ttl): (u8, u8),
    ) -> Result<Exit<'a>, NoWay<'a>> {
        let snapshot = self.tables.snapshot;
        let Adjacency::Outside(outside) = snapshot.adjacency(next_hop.gateway) else {
            return Err(NoWay::Vacant);
        };
        let gateway = entry.gateway;
        if gateway.role == Role::Outside {
            return Err(NoWay::Outward);
        }
        let rules = snapshot.rules(entry.vrf);
        let floating = rules
            .filter(|rules| source.floats(rules))
            .and_then(|rules| Some((outside.floating?, rules.floating_hops())));
        let Some((at, cost)) = floating.or(outside.own.map(|own| (own, 1))) else {
            let Some(central) = A::central(gateway) else {
                return Err(NoWay::NoRoute(gateway));
            };
            self.note(Decision::Central(central));
            return Ok(Exit {
                at: entry.at,
                gateway,
                via: Some(central),
            });
        };
        let Some(out) = snapshot.gateway(at) else {
            return Err(NoWay::Vacant);
        };
        entry.hops = cost;
        let hops = hops.saturating_add(cost);
        let network = snapshot.network(out.network);
        let externals = network.and_then(|network| network.externals.as_deref());
        if externals.is_some_and(|externals| destination.is_external(externals)) {
            let neighbour = destination.neighbour(self.tables, out.network);
            let holder = neighbour.map_or(at, |neighbour| neighbour.adjacency);
            let holder = snapshot.gateway(holder).map(|to| (holder, to));
            let (at, to) = holder.unwrap_or((at, out));
            return Err(NoWay::Turn(Turn {
                last: gateway,
                vrf: entry.vrf,
                at,
                to,
                hops,
                leaves: true,
            }));
        }
        // The last of several hops is the gateway itself.
        if cost > 1 && ttl == hops {
            return Err(NoWay::Expired(out));
        }
        Ok(Exit {
            at,
            gateway: out,
            via: next_hop.address,
        })
    }

    /// Whether an address is on one of the networks of stations that a router is in.
    pub(crate) fn is_station<A: Address>(&self, vrf: VrfIndex, address: A) -> bool {
        let snapshot = self.tables.snapshot;
        let target = snapshot.vrf(vrf).and_then(|routes| address.target(routes));
        let Some(Target::NextHops(hops)) = target else {
            return false;
        };
        hops.as_slice().iter().any(|hop| {
            let gateway = snapshot.gateway(hop.gateway);
            hop.address.is_none() && gateway.is_some_and(|own| own.role != Role::Outside)
        })
    }

    /// The way from a gateway to a station of its router, for what the gateway itself says.
    #[cold]
    pub(super) fn way_home<A: Address>(&self, gateway: &'a Gateway, station: A) -> Option<Way<'a>> {
        let Target::NextHops(hops) = station.target(self.tables.snapshot.vrf(gateway.vrf)?)? else {
            return None;
        };
        let hop = hops.choose(0);
        let egress = self.tables.snapshot.gateway(hop.gateway)?;
        let neighbour = match hop.address {
            None => station.neighbour(self.tables, egress.network),
            Some(via) => self.tables.neighbours.find(egress.network, via),
        }?;
        Some(Way {
            last: gateway,
            vrf: gateway.vrf,
            egress,
            neighbour,
            hops: 0,
        })
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
pub(super) fn is_broadcast(gateway: &Gateway, address: IpAddr) -> bool {
    let is_of = |own: &IpNet| {
        own.max_prefix_len() - own.prefix_len() > 1
            && (own.broadcast() == address || own.network() == address)
    };
    address.is_ipv4() && gateway.addresses.iter().any(is_of)
}
