//! Neighbours that no port names: addresses of allowed pairs, virtual addresses of VRRP,
//! stations behind an open binding. The control thread's side.
//!
//! ```text
//!   Wanted ──► asked, 1 s apart ──claim──► known ──60 s──► asked again ──claim──► known
//!                   │ 3 times in vain                          │ 3 times in vain
//!                   ▼                                          ▼
//!                forgotten                                  forgotten
//! ```
//!
//! A next hop is asked for as long as it is one, before a packet needs it and whether it
//! answers or not.
//!
//! The question (P1) is an ARP probe, with sender address 0.0.0.0, or a neighbour
//! solicitation from the link-local address of the DVR host MAC. Its sender is the DVR
//! host MAC: the answer comes back to this host, and nobody keeps that MAC for an
//! address of the gateway, which all hosts share. A gateway on an external network is this
//! host's alone, and asks in its own name where it has an address.
//!
//! Claims are believed as they come: who may speak for an address was checked at the
//! port where he spoke (see `guard.rs`), so a new claim is a move, and moves at once.

use core::net::IpAddr;
use std::collections::HashMap;

use vtepd_tables::{
    Adjacency, AdjacencyIndex, Neighbour, NetworkIndex, Role, TableFull, TablesWriter,
};
use vtepd_wire::{IntoBytes, Mac, arp, ethernet, ipv4, ipv6, nd};

use crate::event::{Delivery, LargeFrame, Recipients};

/// Milliseconds between questions (RFC 4861, section 10: RetransTimer).
const RETRY_MS: u64 = 1_000;
/// Questions in vain before a neighbour is given up (RFC 4861, section 10:
/// MAX_MULTICAST_SOLICIT).
const QUESTIONS: u8 = 3;
/// Milliseconds after which a neighbour that was not heard is asked again.
const CONFIRM_MS: u64 = 60_000;
/// Milliseconds between questions for a next hop that has not answered so many times.
const NEXT_HOP_RETRY_MS: u64 = 3_000;
/// Neighbours of one network at most: a scan of a large subnet would otherwise fill the
/// tables of all tenants.
const MAX_IN_NETWORK: usize = 4_096;

type Key = (NetworkIndex, IpAddr);

struct Known {
    /// The router's interface by which it is asked for.
    gateway: AdjacencyIndex,
    /// Where it is, once it has said so.
    neighbour: Option<Neighbour>,
    /// Questions since it was last heard.
    asked: u8,
    ask_at: u64,
    heard_at: u64,
    /// Never given up.
    next_hop: bool,
}

/// What is known of them. Times are milliseconds on any one clock.
#[derive(Default)]
pub struct Neighbours {
    known: HashMap<Key, Known>,
    in_network: HashMap<NetworkIndex, usize>,
}

/// A neighbour as the API shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Learned {
    /// Its address.
    pub address: IpAddr,
    /// Where it is.
    pub neighbour: Neighbour,
    /// Milliseconds since it was heard.
    pub age_ms: u64,
}

impl Neighbours {
    /// A packet waits for `address`. The question to ask at once, unless it was asked.
    pub fn wanted(
        &mut self,
        tables: &TablesWriter,
        gateway: AdjacencyIndex,
        address: IpAddr,
        now: u64,
    ) -> Option<Delivery> {
        let own = gateway_of(tables, gateway)?;
        let key = (own.network, address);
        if self.known.contains_key(&key)
            || tables.neighbours.get(key.0, key.1).is_some()
            || !own.is_near(address)
        {
            return None;
        }
        let question = question(tables, gateway, address, None)?;
        self.add(key, gateway, None, now).then_some(question)
    }

    /// Replaces the next hops that are asked for as long as they are some: the router's
    /// interface that leads to each, and its address. The questions to ask at once.
    pub fn set_next_hops(
        &mut self,
        tables: &TablesWriter,
        next_hops: &[(AdjacencyIndex, IpAddr)],
        now: u64,
    ) -> Vec<Delivery> {
        for known in self.known.values_mut() {
            known.next_hop = false;
        }
        let mut questions = Vec::new();
        for &(gateway, address) in next_hops {
            let Some(own) = gateway_of(tables, gateway) else {
                continue;
            };
            let key = (own.network, address);
            if !self.known.contains_key(&key) && tables.neighbours.get(key.0, key.1).is_none() {
                questions.extend(question(tables, gateway, address, None));
                self.enter(key, gateway, None, now);
            }
            if let Some(known) = self.known.get_mut(&key) {
                known.next_hop = true;
            }
        }
        questions
    }

    fn add(
        &mut self,
        key: Key,
        gateway: AdjacencyIndex,
        neighbour: Option<Neighbour>,
        now: u64,
    ) -> bool {
        let count = self.in_network.entry(key.0).or_default();
        if *count >= MAX_IN_NETWORK {
            return false;
        }
        self.enter(key, gateway, neighbour, now);
        true
    }

    fn enter(&mut self, key: Key, gateway: AdjacencyIndex, neighbour: Option<Neighbour>, now: u64) {
        *self.in_network.entry(key.0).or_default() += 1;
        let (asked, wait) = match neighbour {
            None => (1, RETRY_MS),
            Some(_) => (0, CONFIRM_MS),
        };
        let known = Known {
            gateway,
            neighbour,
            asked,
            ask_at: now + wait,
            heard_at: now,
            next_hop: false,
        };
        self.known.insert(key, known);
    }

    /// A station says that an address is his. What the management plane says stands.
    /// Whether the tables know him now.
    pub fn claimed(
        &mut self,
        tables: &mut TablesWriter,
        network: NetworkIndex,
        address: IpAddr,
        neighbour: Neighbour,
        now: u64,
    ) -> bool {
        let vacant = matches!(
            tables.staged().adjacency(neighbour.adjacency),
            Adjacency::Vacant
        );
        let key = (network, address);
        if vacant
            || !self.known.contains_key(&key) && tables.neighbours.get(network, address).is_some()
        {
            return false;
        }
        if !self.known.contains_key(&key) {
            let Some(gateway) = near_gateways(tables, network, address).next() else {
                return false;
            };
            if !self.add(key, gateway, Some(neighbour), now) {
                return false;
            }
        }
        match insert(tables, key, neighbour, now) {
            Ok(()) => {
                if let Some(known) = self.known.get_mut(&key) {
                    known.neighbour = Some(neighbour);
                    known.asked = 0;
                    known.heard_at = now;
                    known.ask_at = now + CONFIRM_MS;
                }
                true
            }
            Err(_) => {
                self.remove(key);
                false
            }
        }
    }

    /// The management plane says who has an address.
    pub fn replaced(&mut self, network: NetworkIndex, address: IpAddr) {
        self.remove((network, address));
    }

    fn remove(&mut self, key: Key) {
        if self.known.remove(&key).is_some()
            && let Some(count) = self.in_network.get_mut(&key.0)
        {
            *count -= 1;
            if *count == 0 {
                self.in_network.remove(&key.0);
            }
        }
    }

    /// The questions that are due; those who did not answer are forgotten. `second` is
    /// `now` as the workers note it.
    pub fn questions(&mut self, tables: &mut TablesWriter, now: u64) -> Vec<Delivery> {
        let due: Vec<Key> = self
            .known
            .iter()
            .filter(|(_, known)| known.ask_at <= now)
            .map(|(key, _)| *key)
            .collect();
        due.into_iter()
            .filter_map(|key| self.question_of(tables, key, now))
            .collect()
    }

    fn question_of(&mut self, tables: &mut TablesWriter, key: Key, now: u64) -> Option<Delivery> {
        let known = self.known.get_mut(&key)?;
        // Workers note in the table when they hear what it says already.
        if known.neighbour.is_some()
            && let Some(stamp) = tables.neighbours.heard(key.0, key.1)
        {
            let age = u64::from(((now / 1000) as u16).wrapping_sub(stamp)) * 1000;
            if age < CONFIRM_MS {
                (known.heard_at, known.asked) = (now.saturating_sub(age), 0);
                known.ask_at = known.heard_at + CONFIRM_MS;
                return None;
            }
        }
        let in_vain = known.asked >= QUESTIONS;
        if in_vain && known.neighbour.take().is_some() {
            tables.neighbours.remove(key.0, key.1);
        }
        let question = question(tables, known.gateway, key.1, known.neighbour);
        if question.is_none() || in_vain && !known.next_hop {
            if known.neighbour.is_some() {
                tables.neighbours.remove(key.0, key.1);
            }
            self.remove(key);
            return None;
        }
        known.asked = known.asked.saturating_add(1);
        let wait = if in_vain { NEXT_HOP_RETRY_MS } else { RETRY_MS };
        known.ask_at = now + wait;
        question
    }

    /// Forgets those for whom `which` says so; they are taken out of the tables unless
    /// somebody else has their address now. Whom another interface of a router can ask for is not
    /// forgotten for want of the former one: he is where he was, and others send by him.
    pub fn forget(
        &mut self,
        tables: &mut TablesWriter,
        which: impl Fn(NetworkIndex, IpAddr, Option<Neighbour>, AdjacencyIndex) -> bool,
    ) {
        let gone: Vec<Key> = self
            .known
            .iter()
            .filter(|((network, address), known)| {
                which(*network, *address, known.neighbour, known.gateway)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            let Some(known) = self.known.get_mut(&key) else {
                continue;
            };
            let neighbour = known.neighbour;
            let stays = |gateway: &AdjacencyIndex| !which(key.0, key.1, neighbour, *gateway);
            if let Some(gateway) = near_gateways(tables, key.0, key.1).find(stays) {
                known.gateway = gateway;
                continue;
            }
            if neighbour.is_some() && tables.neighbours.get(key.0, key.1) == neighbour {
                tables.neighbours.remove(key.0, key.1);
            }
            self.remove(key);
        }
    }

    /// Those of a network that have said where they are.
    pub fn list(&self, network: NetworkIndex, now: u64) -> Vec<Learned> {
        let of_network = self.known.iter().filter(|((of, _), _)| *of == network);
        of_network
            .filter_map(|((_, address), known)| {
                Some(Learned {
                    address: *address,
                    neighbour: known.neighbour?,
                    age_ms: now.saturating_sub(known.heard_at),
                })
            })
            .collect()
    }
}

fn insert(
    tables: &mut TablesWriter,
    key: Key,
    neighbour: Neighbour,
    now: u64,
) -> Result<(), TableFull> {
    let second = (now / 1000) as u16;
    tables
        .neighbours
        .insert(key.0, key.1, neighbour, second)
        .map(drop)
}

fn gateway_of(tables: &TablesWriter, at: AdjacencyIndex) -> Option<&vtepd_tables::Gateway> {
    tables.staged().gateway(at)
}

/// The routers' interfaces on whose subnets an address is, one that a station may have.
fn near_gateways(
    tables: &TablesWriter,
    network: NetworkIndex,
    address: IpAddr,
) -> impl Iterator<Item = AdjacencyIndex> {
    let network = tables.staged().network(network);
    let gateways = network.into_iter().flat_map(|network| network.gateways());
    let may_be_asked = move |own: &vtepd_tables::Gateway| {
        own.is_near(address) && !super::is_broadcast(own, address)
    };
    let near = move |at: &AdjacencyIndex| gateway_of(tables, *at).is_some_and(may_be_asked);
    gateways.copied().filter(near)
}

/// Who has `address`? Asked of all in the network of the router's interface, or of him
/// who had it last.
fn question(
    tables: &TablesWriter,
    gateway: AdjacencyIndex,
    address: IpAddr,
    known: Option<Neighbour>,
) -> Option<Delivery> {
    let own = gateway_of(tables, gateway)?;
    // Without a host MAC there are no other hosts, and the gateway's own will do.
    let asker = match tables.staged().host_macs.own {
        Some(host) if own.distributed => host,
        _ => own.mac,
    };
    let named = (own.role == Role::Outside).then(|| own.address_towards(address));
    let frame = match (address, named.flatten()) {
        (IpAddr::V4(target), Some(IpAddr::V4(sender))) => {
            arp_question(arp::Packet::request(asker, sender, target), known)
        }
        (IpAddr::V4(target), _) => arp_question(arp::Packet::probe(asker, target), known),
        (IpAddr::V6(target), _) => solicitation(asker, target, known),
    };
    Some(Delivery {
        network: own.network,
        to: known.map_or(Recipients::All, |known| Recipients::One(known.adjacency)),
        frame,
    })
}

fn arp_question(question: arp::Packet, known: Option<Neighbour>) -> LargeFrame {
    let to = known.map_or(Mac::BROADCAST, |known| known.mac);
    let header = ethernet::Header::new(to, question.sender_mac, ethernet::ETHERTYPE_ARP);
    joined(&[header.as_bytes(), question.as_bytes()])
}

fn solicitation(asker: Mac, target: core::net::Ipv6Addr, known: Option<Neighbour>) -> LargeFrame {
    let source = ipv6::link_local(asker);
    let (destination, to) = match known {
        Some(known) => (target, known.mac),
        None => {
            let group = ipv6::solicited_node(target);
            (group, Mac::multicast_of_v6(group))
        }
    };
    let message = nd::solicitation(source, destination, target, asker);
    let header = ethernet::Header::new(to, asker, ethernet::ETHERTYPE_IPV6);
    let ip = ipv6::Header {
        version_class_flow: (6 << 28).into(),
        payload_length: (message.len() as u16).into(),
        next_header: ipv4::PROTOCOL_ICMPV6,
        hop_limit: nd::HOP_LIMIT,
        source: source.octets(),
        destination: destination.octets(),
    };
    joined(&[header.as_bytes(), ip.as_bytes(), &message])
}

fn joined(parts: &[&[u8]]) -> LargeFrame {
    let mut frame = LargeFrame::new();
    for part in parts {
        // All of them together are far shorter than the frame may be.
        let _ = frame.try_extend_from_slice(part);
    }
    frame
}
