//! What is to be translated: an immutable snapshot for each router, made by the control thread.
//!
//! A packet meets the rules in this order: destinations exempt, floating IPs, port forwardings, the outside's own
//! address scope, SNAT. All but SNAT keep no state; both directions are look-ups here.

use core::hash::{BuildHasherDefault, Hasher};
use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::HashMap;

use ipnet::Ipv4Net;
use vtepd_wire::hash::KeyedHash;

use super::endpoint::{Endpoint, Protocol};
use super::{PoolIndex, SubscriberIndex};
use crate::index::VrfIndex;

/// Which packets from outside a mapping lets in (RFC 4787, REQ-8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Filtering {
    /// All: applications work best.
    #[default]
    EndpointIndependent,
    /// Those from addresses that the host inside has a session with.
    AddressDependent,
}

/// A floating IP: one address outside for one inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloatingIp {
    /// As the outside knows it.
    pub outside: Ipv4Addr,
    /// The port's fixed address.
    pub inside: Ipv4Addr,
}

/// One port of an outside address for one inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forwarding {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// As the outside knows it.
    pub outside: SocketAddrV4,
    /// Where it leads.
    pub inside: SocketAddrV4,
}

/// An outside address for SNAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsideAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// Its pool, opened on every worker before packets meet the rules.
    pub pool: PoolIndex,
}

/// A router's rules, as the control thread puts them together.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Addresses that hosts without a floating IP share; none: they do not get out.
    pub outside: Vec<OutsideAddress>,
    /// See there.
    pub floating_ips: Vec<FloatingIp>,
    /// See there.
    pub forwardings: Vec<Forwarding>,
    /// Destinations outside that are reached without translation (RFC 6888, REQ-6).
    pub exempt: Vec<Ipv4Net>,
    /// Prefixes inside that are in the external network's address scope: routed as they are.
    pub same_scope: Vec<Ipv4Net>,
    /// Of SNAT.
    pub filtering: Filtering,
    /// The tenant to whom fragments and held packets are counted.
    pub subscriber: SubscriberIndex,
    /// What the TTL of a packet loses on its way by a floating IP of the host's gateway for them: where Neutron has a
    /// namespace for these, two; at least one.
    pub floating_hops: u8,
    /// IPv6, which is not translated: whether only sessions that the inside began come in (RFC 6092).
    pub outbound_only_ipv6: bool,
}

/// Rules that contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RulesError {
    /// Two uses of one address.
    #[error("outside address {0} is given twice; one use of it must go")]
    Outside(Ipv4Addr),
    /// Two floating IPs for one host.
    #[error("{0} has two floating IPs; a host sends with one")]
    Inside(Ipv4Addr),
    /// Two uses of one port.
    #[error("port forwarding of {0} {1} is given twice, or leads nowhere")]
    Forwarding(&'static str, SocketAddrV4),
}

/// A hash that is the same everywhere: what is hashed here was chosen by the operator, not by senders.
#[derive(Clone, Default)]
pub struct Fixed(u64);

const FIXED: KeyedHash = KeyedHash::new(0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b);

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = FIXED.hash_u64(self.0 ^ value);
    }
}

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fixed>>;

/// A map that does not grow on its way to so many.
fn room_for<K, V>(entries: usize) -> Map<K, V> {
    Map::with_capacity_and_hasher(entries, BuildHasherDefault::default())
}

/// A forwarding's key: protocol 8, address 32, port 16.
fn forwarding_key(protocol: Protocol, end: Endpoint) -> u64 {
    u64::from(protocol as u8) << 48 | u64::from(end.address) << 16 | u64::from(end.port)
}

fn endpoint(socket: SocketAddrV4) -> Endpoint {
    Endpoint::new(socket.ip().to_bits(), socket.port())
}

/// The compiled form.
#[derive(Clone, Debug)]
pub struct Rules {
    router: VrfIndex,
    filtering: Filtering,
    subscriber: SubscriberIndex,
    floating_hops: u8,
    outbound_only_ipv6: bool,
    pools: Vec<OutsideAddress>,
    pool_by_address: Map<u32, u16>,
    floating_by_inside: Map<u32, u32>,
    floating_by_outside: Map<u32, u32>,
    forwarding_by_inside: Map<u64, Endpoint>,
    forwarding_by_outside: Map<u64, Endpoint>,
    /// Outside addresses that have forwardings.
    forwarded: Map<u32, ()>,
    exempt: Vec<Ipv4Net>,
    same_scope: Vec<Ipv4Net>,
}

impl Rules {
    /// The rules of a router.
    ///
    /// # Errors
    /// An address or port is used twice.
    pub fn new(router: VrfIndex, description: &Description) -> Result<Self, RulesError> {
        let mut rules = Self {
            router,
            filtering: description.filtering,
            subscriber: description.subscriber,
            floating_hops: description.floating_hops.max(1),
            outbound_only_ipv6: description.outbound_only_ipv6,
            pools: description.outside.clone(),
            pool_by_address: Map::default(),
            floating_by_inside: room_for(description.floating_ips.len()),
            floating_by_outside: room_for(description.floating_ips.len()),
            forwarding_by_inside: Map::default(),
            forwarding_by_outside: Map::default(),
            forwarded: Map::default(),
            exempt: description.exempt.clone(),
            same_scope: description.same_scope.clone(),
        };
        for outside in &description.outside {
            let address = outside.address.to_bits();
            let twice = rules.pool_by_address.insert(address, outside.pool.0);
            rules.refuse(twice.is_some(), outside.address)?;
        }
        for floating in &description.floating_ips {
            let (outside, inside) = (floating.outside.to_bits(), floating.inside.to_bits());
            let twice = rules.floating_by_outside.insert(outside, inside).is_some()
                || rules.pool_by_address.contains_key(&outside);
            rules.refuse(twice, floating.outside)?;
            if rules.floating_by_inside.insert(inside, outside).is_some() {
                return Err(RulesError::Inside(floating.inside));
            }
        }
        for forwarding in &description.forwardings {
            rules.add_forwarding(forwarding)?;
        }
        Ok(rules)
    }

    fn refuse(&self, twice: bool, address: Ipv4Addr) -> Result<(), RulesError> {
        if twice {
            Err(RulesError::Outside(address))
        } else {
            Ok(())
        }
    }

    fn add_forwarding(&mut self, forwarding: &Forwarding) -> Result<(), RulesError> {
        let Forwarding {
            protocol,
            outside,
            inside,
        } = *forwarding;
        let bad = RulesError::Forwarding(protocol.name(), outside);
        let (out, within) = (endpoint(outside), endpoint(inside));
        let taken = self.pool_by_address.contains_key(&out.address)
            || self.floating_by_outside.contains_key(&out.address);
        self.refuse(taken, *outside.ip())?;
        if protocol == Protocol::Icmp || out.port == 0 || within.port == 0 {
            return Err(bad);
        }
        let by_outside = forwarding_key(protocol, out);
        let by_inside = forwarding_key(protocol, within);
        let twice = self
            .forwarding_by_outside
            .insert(by_outside, within)
            .is_some()
            || self.forwarding_by_inside.insert(by_inside, out).is_some();
        self.forwarded.insert(out.address, ());
        if twice { Err(bad) } else { Ok(()) }
    }

    /// Whose they are.
    pub fn router(&self) -> VrfIndex {
        self.router
    }

    /// All outside addresses that these rules translate to.
    pub fn outside_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let pools = self.pool_by_address.keys();
        pools
            .chain(self.floating_by_outside.keys())
            .chain(self.forwarded.keys())
            .map(|address| Ipv4Addr::from_bits(*address))
    }

    /// The tenant to whom fragments and held packets are counted.
    pub fn subscriber(&self) -> SubscriberIndex {
        self.subscriber
    }

    /// Whom mappings let in.
    pub fn filtering(&self) -> Filtering {
        self.filtering
    }

    /// See [`Description::floating_hops`].
    #[inline]
    pub fn floating_hops(&self) -> u8 {
        self.floating_hops
    }

    /// See [`Description::outbound_only_ipv6`].
    #[inline]
    pub fn outbound_only_ipv6(&self) -> bool {
        self.outbound_only_ipv6
    }

    /// The floating IP of a host inside.
    #[inline]
    pub fn floating_outside(&self, inside: u32) -> Option<u32> {
        if self.floating_by_inside.is_empty() {
            return None;
        }
        self.floating_by_inside.get(&inside).copied()
    }

    /// The host inside behind a floating IP.
    #[inline]
    pub fn floating_inside(&self, outside: u32) -> Option<u32> {
        if self.floating_by_outside.is_empty() {
            return None;
        }
        self.floating_by_outside.get(&outside).copied()
    }

    /// Whether there are port forwardings.
    #[inline]
    pub fn has_forwardings(&self) -> bool {
        !self.forwarded.is_empty()
    }

    /// Whether an outside address has port forwardings.
    #[inline]
    pub fn is_forwarded(&self, outside: u32) -> bool {
        self.has_forwardings() && self.forwarded.contains_key(&outside)
    }

    /// What the outside sees of a port inside that is forwarded to.
    pub fn forwarding_outside(&self, protocol: Protocol, inside: Endpoint) -> Option<Endpoint> {
        let key = forwarding_key(protocol, inside);
        self.forwarding_by_inside.get(&key).copied()
    }

    /// Where a forwarded port leads.
    pub fn forwarding_inside(&self, protocol: Protocol, outside: Endpoint) -> Option<Endpoint> {
        let key = forwarding_key(protocol, outside);
        self.forwarding_by_outside.get(&key).copied()
    }

    /// The pool of an outside address.
    #[inline]
    pub fn pool_at(&self, outside: u32) -> Option<u16> {
        // Nearly all routers have one.
        match self.pools.as_slice() {
            [] => None,
            [one] => (one.address.to_bits() == outside).then_some(one.pool.0),
            _ => self.pool_by_address.get(&outside).copied(),
        }
    }

    /// Whether hosts without a floating IP get out.
    pub fn has_pools(&self) -> bool {
        !self.pools.is_empty()
    }

    /// The outside address of a host inside: always the same (RFC 4787, REQ-2), and when addresses come or go,
    /// few hosts change theirs (rendezvous hashing).
    pub fn pool_of(&self, inside: u32) -> Option<OutsideAddress> {
        let weight = |outside: &&OutsideAddress| {
            let pair = u64::from(outside.address.to_bits()) << 32 | u64::from(inside);
            FIXED.hash_u64(pair)
        };
        self.pools.iter().max_by_key(weight).copied()
    }

    /// Is this to leave as it is?
    #[inline]
    pub fn is_exempt(&self, outside: u32) -> bool {
        contains(&self.exempt, outside)
    }

    /// Is this, inside, known to the outside by its own address?
    #[inline]
    pub fn is_same_scope(&self, inside: u32) -> bool {
        contains(&self.same_scope, inside)
    }
}

/// Lists of prefixes are short: a router has a handful of subnets.
#[inline]
fn contains(prefixes: &[Ipv4Net], address: u32) -> bool {
    prefixes
        .iter()
        .any(|prefix| prefix.contains(&Ipv4Addr::from_bits(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> VrfIndex {
        VrfIndex::new(1).unwrap()
    }

    fn outside(addresses: &[&str]) -> Vec<OutsideAddress> {
        let numbered = addresses.iter().enumerate();
        numbered
            .map(|(number, address)| OutsideAddress {
                address: address.parse().unwrap(),
                pool: PoolIndex(number as u16),
            })
            .collect()
    }

    #[test]
    fn contradictions_are_refused() {
        let floating = |outside: &str, inside: &str| FloatingIp {
            outside: outside.parse().unwrap(),
            inside: inside.parse().unwrap(),
        };
        let error = |description: Description| Rules::new(router(), &description).unwrap_err();
        assert!(matches!(
            error(Description {
                outside: outside(&["192.0.2.1", "192.0.2.1"]),
                ..Description::default()
            }),
            RulesError::Outside(_)
        ));
        assert!(matches!(
            error(Description {
                outside: outside(&["192.0.2.1"]),
                floating_ips: vec![floating("192.0.2.1", "10.0.0.1")],
                ..Description::default()
            }),
            RulesError::Outside(_)
        ));
        assert!(matches!(
            error(Description {
                floating_ips: vec![
                    floating("192.0.2.1", "10.0.0.1"),
                    floating("192.0.2.2", "10.0.0.1")
                ],
                ..Description::default()
            }),
            RulesError::Inside(_)
        ));
        let forwarding = |outside: &str, inside: &str| Forwarding {
            protocol: Protocol::Tcp,
            outside: outside.parse().unwrap(),
            inside: inside.parse().unwrap(),
        };
        assert!(matches!(
            error(Description {
                forwardings: vec![
                    forwarding("192.0.2.1:80", "10.0.0.1:80"),
                    forwarding("192.0.2.1:80", "10.0.0.2:80")
                ],
                ..Description::default()
            }),
            RulesError::Forwarding("tcp", _)
        ));
    }

    #[test]
    fn a_new_outside_address_takes_its_share_of_hosts_and_moves_no_other() {
        let description = |addresses| Description {
            outside: outside(addresses),
            ..Description::default()
        };
        let few = Rules::new(
            router(),
            &description(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        );
        let more = Rules::new(
            router(),
            &description(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]),
        );
        let (few, more) = (few.unwrap(), more.unwrap());
        let moved: Vec<u16> = (0..4000)
            .filter_map(|host| {
                let (before, after) = (few.pool_of(host)?, more.pool_of(host)?);
                (before != after).then_some(after.pool.0)
            })
            .collect();
        assert!((850..1150).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|pool| *pool == 3));
    }
}
