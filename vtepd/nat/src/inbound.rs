//! From outside to inside.

use core::net::Ipv4Addr;

use crate::fragments::{Known, Later};
use crate::key::{Endpoint, OutsideKey, Protocol};
use crate::mapping::Mapping;
use crate::outbound::remote;
use crate::quote::Quote;
use crate::rewrite::{self, Place, Side, To};
use crate::settings::UnsolicitedSyn;
use crate::tcp::{Direction, State};
use crate::translator::Translator;
use crate::unsolicited::Awaited;
use crate::verdict::{PortPair, Refusal, Verdict};
use crate::view::{Part, Segment, Transport, View};
use vtepd_tables::translation::{Filtering, Rules};
use vtepd_wire::icmp;

/// A packet from outside, looked at, with the hash of its session.
#[derive(Clone, Copy, Debug)]
pub struct InboundLookup {
    view: View,
    hash: Option<u64>,
}

impl InboundLookup {
    /// Whether it is for a session, which is being fetched.
    #[inline(always)]
    pub fn is_for_session(&self) -> bool {
        self.hash.is_some()
    }
}

/// What a packet's destination is to become.
enum Target {
    Endpoint(Endpoint),
    Other(Verdict),
}

impl Translator {
    /// Translates a packet on its way in; see [`outbound`](Self::outbound). `rules` are those of the router that
    /// [`Externals`](vtepd_tables::translation::Externals) name for its destination.
    pub fn inbound(&mut self, rules: &Rules, packet: &mut [u8], now: u32) -> Verdict {
        self.inbound_bytes(rules, packet, None, now)
    }

    /// As [`inbound`](Self::inbound), of a fragment that another worker has [handed over](Verdict::HandOver) with its
    /// ports.
    pub fn inbound_with_ports(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        ports: PortPair,
        now: u32,
    ) -> Verdict {
        self.inbound_bytes(rules, packet, Some(ports), now)
    }

    fn inbound_bytes(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        handed: Option<PortPair>,
        now: u32,
    ) -> Verdict {
        match View::new(packet) {
            Ok(view) => {
                let lookup = InboundLookup { view, hash: None };
                self.inbound_view(rules, packet, &lookup, handed, now)
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// The first of three steps for the packets of a burst; see [`outbound_hash`](Self::outbound_hash).
    ///
    /// # Errors
    /// The packet is malformed.
    #[inline(always)]
    pub fn inbound_hash(&self, rules: &Rules, packet: &[u8]) -> Result<InboundLookup, Refusal> {
        let view = View::new(packet)?;
        let hash = match view.transport {
            Transport::Ports {
                protocol, ports, ..
            } => rules.pool_at(view.destination).map(|pool| {
                let hash = self
                    .sessions
                    .hash_outside(outside_key(pool, &view, protocol, ports));
                self.sessions.prefetch_outside(hash);
                hash
            }),
            _ => None,
        };
        Ok(InboundLookup { view, hash })
    }

    /// The second step.
    #[inline]
    pub fn inbound_prefetch(&self, lookup: &InboundLookup) {
        if let Some(hash) = lookup.hash {
            self.sessions.prefetch_session_outside(hash);
        }
    }

    /// The third step: as [`inbound`](Self::inbound).
    #[inline]
    pub fn inbound_found(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        lookup: &InboundLookup,
        now: u32,
    ) -> Verdict {
        self.inbound_view(rules, packet, lookup, None, now)
    }

    #[inline]
    fn inbound_view(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        lookup: &InboundLookup,
        handed: Option<PortPair>,
        now: u32,
    ) -> Verdict {
        let verdict = if lookup.view.transport == Transport::Error {
            self.inbound_error(rules, packet, &lookup.view, now)
        } else {
            self.inbound_packet(rules, packet, lookup, handed, now)
        };
        verdict.unwrap_or_else(Verdict::Refused)
    }

    #[inline]
    fn inbound_packet(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        lookup: &InboundLookup,
        handed: Option<PortPair>,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let view = &lookup.view;
        if let Some(inside) = rules.floating_inside(view.destination) {
            let to = To::address(Side::Destination, inside);
            rewrite::apply(packet, Place::of(view), to);
            return Ok(Verdict::Translated { hairpin: false });
        }
        let pool = rules.pool_at(view.destination);
        if pool.is_none() && !rules.is_forwarded(view.destination) {
            return untranslated(rules, view);
        }
        let (protocol, ports, flags) = match (view.transport, handed) {
            (
                Transport::Ports {
                    protocol,
                    ports,
                    flags,
                },
                _,
            ) => (protocol, ports, Some(flags)),
            (Transport::Unseen(protocol), Some(ports)) => (protocol, ports, None),
            (Transport::Unseen(protocol), None) => match self.inbound_later(rules, view, now)? {
                Ok(ports) => (protocol, ports, None),
                Err(verdict) => return Ok(verdict),
            },
            (Transport::OtherIcmp, _) => return Err(Refusal::IcmpType),
            _ => return Err(Refusal::Protocol),
        };
        let segment = Segment {
            protocol,
            ports,
            flags,
            hash: lookup.hash,
        };
        if view.part == Part::First && handed.is_none() {
            return self.inbound_first(rules, packet, view, pool, segment, now);
        }
        let target = self.inbound_target(rules, view, pool, segment, now)?;
        Ok(finish(packet, view, target))
    }

    /// A later fragment: its ports, if the first told them.
    fn inbound_later(
        &mut self,
        rules: &Rules,
        view: &View,
        now: u32,
    ) -> Result<Result<PortPair, Verdict>, Refusal> {
        if let Some(verdict) = self.not_my_fragment(view) {
            return Ok(Err(verdict));
        }
        let fragment = view.fragment(inbound_scope(rules));
        let known = match self.later_fragment(rules, fragment, now)? {
            Later::Held(number) => return Ok(Err(Verdict::Hold(number))),
            Later::Known(known) => known,
        };
        let owner = self.slices.outside_owner(known.ports.destination);
        if rules.pool_at(view.destination).is_some() && !self.slices.is_mine(owner) {
            return Ok(Err(Verdict::hand_over(owner, Some(known.ports))));
        }
        Ok(Ok(known.ports))
    }

    fn inbound_first(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        view: &View,
        pool: Option<u16>,
        segment: Segment,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        if let Some(verdict) = self.not_my_fragment(view) {
            return Ok(verdict);
        }
        let ports = segment.ports;
        let known = Known {
            ports,
            identification: view.identification,
        };
        let owner = self.slices.outside_owner(ports.destination);
        let target = if pool.is_some() && !self.slices.is_mine(owner) {
            Ok(Target::Other(Verdict::hand_over(owner, Some(ports))))
        } else {
            self.inbound_target(rules, view, pool, segment, now)
        };
        let told = match &target {
            Err(refusal) => Err(*refusal),
            // Nothing of it goes inside.
            Ok(Target::Other(Verdict::ToRouter | Verdict::Hold(_))) => {
                Err(Refusal::FragmentRefused)
            }
            Ok(_) => Ok(known),
        };
        let fragment = view.fragment(inbound_scope(rules));
        self.first_fragment(rules, fragment, told, Direction::Inbound, now)?;
        Ok(finish(packet, view, target?))
    }

    fn not_my_fragment(&self, view: &View) -> Option<Verdict> {
        let worker = self.slices.fragment_owner(
            Ipv4Addr::from_bits(view.source),
            Ipv4Addr::from_bits(view.destination),
            view.identification,
            view.protocol,
        );
        (!self.slices.is_mine(worker)).then(|| Verdict::hand_over(worker, None))
    }

    #[inline]
    fn inbound_target(
        &mut self,
        rules: &Rules,
        view: &View,
        pool: Option<u16>,
        segment: Segment,
        now: u32,
    ) -> Result<Target, Refusal> {
        let Segment {
            protocol, ports, ..
        } = segment;
        let Some(pool) = pool else {
            let outside = Endpoint::new(view.destination, ports.destination);
            return rules
                .forwarding_inside(protocol, outside)
                .map(Target::Endpoint)
                .ok_or(Refusal::NoMapping);
        };
        let owner = self.slices.outside_owner(ports.destination);
        if !self.slices.is_mine(owner) {
            return Ok(Target::Other(Verdict::hand_over(owner, None)));
        }
        if !self.pools.is_open(pool) {
            return Err(Refusal::PoolClosed);
        }
        let key = outside_key(pool, view, protocol, ports);
        let hash = match segment.hash {
            Some(hash) => hash,
            None => self.sessions.hash_outside(key),
        };
        let number = match self.live_outside(key, hash, now) {
            Some(number) => number,
            None => match self.unexpected(rules, pool, key, view, segment, now)? {
                Ok(number) => number,
                Err(verdict) => return Ok(Target::Other(verdict)),
            },
        };
        self.used(number, Direction::Inbound, segment.flags, now);
        let session = self.sessions.slab.get(number).ok_or(Refusal::NoSession)?;
        Ok(Target::Endpoint(session.key.inside()))
    }

    /// A packet of no session: it opens one if it may (RFC 4787, 5).
    #[cold]
    fn unexpected(
        &mut self,
        rules: &Rules,
        pool: u16,
        key: OutsideKey,
        view: &View,
        segment: Segment,
        now: u32,
    ) -> Result<Result<u32, Verdict>, Refusal> {
        let Segment {
            protocol, ports, ..
        } = segment;
        let flags = segment.flags.ok_or(Refusal::NoSession)?;
        let state = match protocol {
            // A query names the host that answers, not one inside.
            Protocol::Icmp if flags == icmp::ECHO_REQUEST => return Ok(Err(Verdict::ToRouter)),
            Protocol::Icmp => return Err(Refusal::NoSession),
            Protocol::Udp => State::Open,
            Protocol::Tcp => {
                State::opened_by(flags, Direction::Inbound).ok_or(Refusal::NoSession)?
            }
        };
        let remote = remote(protocol, view.source, ports.source);
        match self.admitting_mapping(rules, pool, protocol, ports.destination, remote.address) {
            Ok(mapping) => self
                .open_inbound(rules, mapping, remote, state, now)
                .map(Ok),
            Err(refusal) if protocol == Protocol::Tcp && view.part == Part::Whole => {
                self.unsolicited_syn(rules, key, refusal, now).map(Err)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn admitting_mapping(
        &self,
        rules: &Rules,
        pool: u16,
        protocol: Protocol,
        port: u16,
        from: u32,
    ) -> Result<u32, Refusal> {
        let number = self
            .mappings
            .find_outside(pool, protocol, port)
            .ok_or(Refusal::NoMapping)?;
        if !self.mappings.slab.get(number).is_some_and(Mapping::is_live) {
            return Err(Refusal::NoMapping);
        }
        let known = rules.filtering() == Filtering::EndpointIndependent
            || self.peers.find(number, from).is_some();
        if known {
            Ok(number)
        } else {
            Err(Refusal::Filtered)
        }
    }

    fn unsolicited_syn(
        &mut self,
        rules: &Rules,
        key: OutsideKey,
        refusal: Refusal,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        if self.settings.unsolicited_syn == UnsolicitedSyn::Silent {
            return Err(refusal);
        }
        let limits = &self.settings.limits;
        let number = self
            .holds
            .hold(rules.subscriber().0, &mut self.subscribers, limits)
            .ok_or(Refusal::HoldFull)?;
        self.unsolicited.push(number, Awaited::Session(key), now);
        Ok(Verdict::Hold(number))
    }

    /// An ICMP error about a packet that went out (RFC 5508, REQ-4): the quoted source is the outside address. Its session
    /// is looked up and left as it is (REQ-6).
    #[cold]
    fn inbound_error(
        &mut self,
        rules: &Rules,
        packet: &mut [u8],
        view: &View,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let floating = rules.floating_inside(view.destination);
        let pool = rules.pool_at(view.destination);
        if floating.is_none() && pool.is_none() && !rules.is_forwarded(view.destination) {
            return untranslated(rules, view).or_else(|refusal| {
                let is_known = concerns_exempt(rules, packet, view);
                is_known.then_some(Verdict::Plain).ok_or(refusal)
            });
        }
        let quote = Quote::new(packet, view)?;
        // Errors go to who has sent what they quote.
        if quote.source != view.destination {
            return Err(Refusal::QuoteUnknown);
        }
        let to = match floating {
            Some(inside) => To::address(Side::Source, inside),
            None => match self.inside_of_quote(rules, pool, &quote, now)? {
                Ok(inside) => To::endpoint(Side::Source, inside),
                Err(verdict) => return Ok(verdict),
            },
        };
        let outer = To::address(Side::Destination, to.address);
        quote.rewrite(packet, view, to);
        rewrite::address(packet, view, outer);
        Ok(Verdict::Translated { hairpin: false })
    }

    fn inside_of_quote(
        &mut self,
        rules: &Rules,
        pool: Option<u16>,
        quote: &Quote,
        now: u32,
    ) -> Result<Result<Endpoint, Verdict>, Refusal> {
        let (protocol, ports) = quote.ports.ok_or(Refusal::QuoteUnknown)?;
        let Some(pool) = pool else {
            let outside = Endpoint::new(quote.source, ports.source);
            return rules
                .forwarding_inside(protocol, outside)
                .map(Ok)
                .ok_or(Refusal::QuoteUnknown);
        };
        let worker = self.slices.outside_owner(ports.source);
        if !self.slices.is_mine(worker) {
            return Ok(Err(Verdict::hand_over(worker, None)));
        }
        if !self.pools.is_open(pool) {
            return Err(Refusal::PoolClosed);
        }
        let remote = remote(protocol, quote.destination, ports.destination);
        let key = OutsideKey::new(pool, protocol as u8, ports.source, remote);
        let hash = self.sessions.hash_outside(key);
        let number = self
            .live_outside(key, hash, now)
            .ok_or(Refusal::QuoteUnknown)?;
        let session = self
            .sessions
            .slab
            .get(number)
            .ok_or(Refusal::QuoteUnknown)?;
        Ok(Ok(session.key.inside()))
    }
}

/// To an address that nothing stands for here.
fn untranslated(rules: &Rules, view: &View) -> Result<Verdict, Refusal> {
    if rules.is_same_scope(view.destination) || rules.is_exempt(view.source) {
        Ok(Verdict::Plain)
    } else {
        Err(Refusal::NotOurs)
    }
}

/// Whether an error is about a packet that left as it was. Who says so is on the way, and need not be exempt.
#[cold]
fn concerns_exempt(rules: &Rules, packet: &[u8], view: &View) -> bool {
    Quote::new(packet, view)
        .is_ok_and(|quote| quote.source == view.destination && rules.is_exempt(quote.destination))
}

#[inline(always)]
fn outside_key(pool: u16, view: &View, protocol: Protocol, ports: PortPair) -> OutsideKey {
    let remote = remote(protocol, view.source, ports.source);
    OutsideKey::new(pool, protocol as u8, ports.destination, remote)
}

fn inbound_scope(rules: &Rules) -> u32 {
    u32::from(rules.router().get())
}

#[inline(always)]
fn finish(packet: &mut [u8], view: &View, target: Target) -> Verdict {
    match target {
        Target::Endpoint(endpoint) => {
            let to = To::endpoint(Side::Destination, endpoint);
            rewrite::apply(packet, Place::of(view), to);
            Verdict::Translated { hairpin: false }
        }
        Target::Other(verdict) => verdict,
    }
}
