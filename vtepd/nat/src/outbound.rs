//! From inside to outside.

use core::net::Ipv4Addr;

use crate::fragments::{Known, Later};
use crate::key::{Endpoint, InsideKey, OutsideKey, Protocol};
use crate::quote::Quote;
use crate::rewrite::{self, Place, Side, To};
use crate::tcp::{Direction, State};
use crate::translator::Translator;
use crate::verdict::{PortPair, Refusal, Verdict};
use crate::view::{Part, Segment, Transport, View};
use vtepd_tables::translation::{Externals, Rules};
use vtepd_wire::icmp;

/// A packet from inside, looked at, with the hash of its session.
#[derive(Clone, Copy, Debug)]
pub struct OutboundLookup {
    view: View,
    hash: Option<u64>,
}

impl OutboundLookup {
    /// Whether it is for a session, which is being fetched.
    #[inline(always)]
    pub fn is_for_session(&self) -> bool {
        self.hash.is_some()
    }
}

/// What a packet's source is to become.
enum Target {
    Endpoint(Endpoint),
    Plain,
}

impl Translator {
    /// Translates a packet on its way out: `packet` begins with its IP header, whose checksum has been verified, and holds
    /// its headers, contiguous (ICMP errors whole). Its TTL is the caller's. `externals` are those of the external network
    /// that it leaves to.
    pub fn outbound(
        &mut self,
        rules: &Rules,
        externals: &Externals,
        packet: &mut [u8],
        now: u32,
    ) -> Verdict {
        match View::new(packet) {
            Ok(view) => {
                let lookup = OutboundLookup { view, hash: None };
                self.outbound_found(rules, externals, packet, &lookup, now)
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// The first of three steps for the packets of a burst: looks at a packet and asks for the cache line that its
    /// session is found by.
    ///
    /// # Errors
    /// The packet is malformed.
    #[inline(always)]
    pub fn outbound_hash(&self, rules: &Rules, packet: &[u8]) -> Result<OutboundLookup, Refusal> {
        let view = View::new(packet)?;
        let hash = match view.transport {
            Transport::Ports {
                protocol, ports, ..
            } if rules.has_pools() => {
                let hash = self
                    .sessions
                    .hash_inside(inside_key(rules, &view, protocol, ports));
                self.sessions.prefetch_inside(hash);
                Some(hash)
            }
            _ => None,
        };
        Ok(OutboundLookup { view, hash })
    }

    /// The second step: asks for the session's cache line, or for those that a new session will be entered in.
    #[inline]
    pub fn outbound_prefetch(&self, rules: &Rules, lookup: &OutboundLookup) {
        if let Some(hash) = lookup.hash
            && !self.sessions.prefetch_session_inside(hash)
        {
            self.prefetch_opening(rules, &lookup.view);
        }
    }

    /// The usual case is foreseen: no mapping yet, and a port that can be kept.
    #[cold]
    fn prefetch_opening(&self, rules: &Rules, view: &View) {
        let (
            Transport::Ports {
                protocol, ports, ..
            },
            Some(outside),
        ) = (view.transport, rules.pool_of(view.source))
        else {
            return;
        };
        let inside = Endpoint::new(view.source, ports.source);
        let mappings = &self.mappings;
        mappings.prefetch_inside(rules.router().get(), protocol, inside);
        let pool = outside.pool.0;
        mappings.prefetch_outside(pool, protocol, ports.source);
        let remote = remote(protocol, view.destination, ports.destination);
        let key = OutsideKey::new(pool, protocol as u8, ports.source, remote);
        self.sessions
            .prefetch_outside(self.sessions.hash_outside(key));
    }

    /// The third step: as [`outbound`](Self::outbound).
    #[inline]
    pub fn outbound_found(
        &mut self,
        rules: &Rules,
        externals: &Externals,
        packet: &mut [u8],
        lookup: &OutboundLookup,
        now: u32,
    ) -> Verdict {
        let view = &lookup.view;
        let verdict = if view.transport == Transport::Error {
            self.outbound_error(rules, externals, packet, view, now)
        } else {
            self.outbound_packet(rules, externals, packet, lookup, now)
        };
        verdict.unwrap_or_else(Verdict::Refused)
    }

    #[inline]
    fn outbound_packet(
        &mut self,
        rules: &Rules,
        externals: &Externals,
        packet: &mut [u8],
        lookup: &OutboundLookup,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let view = &lookup.view;
        if rules.is_exempt(view.destination) {
            return Ok(Verdict::Plain);
        }
        if let Some(outside) = rules.floating_outside(view.source) {
            rewrite::apply(packet, Place::of(view), To::address(Side::Source, outside));
            return Ok(translated(externals, view.destination));
        }
        if rules.is_same_scope(view.source) && !rules.has_forwardings() {
            return Ok(Verdict::Plain);
        }
        let owner = self
            .slices
            .inside_owner(rules.router(), Ipv4Addr::from_bits(view.source));
        if !self.slices.is_mine(owner) {
            return Ok(Verdict::hand_over(owner, None));
        }
        let segment = match view.transport {
            Transport::Ports {
                protocol,
                ports,
                flags,
            } => Segment {
                protocol,
                ports,
                flags: Some(flags),
                hash: lookup.hash,
            },
            Transport::Unseen(protocol) => {
                return self.outbound_later(rules, externals, packet, view, protocol, now);
            }
            // What cannot be translated leaves only where it need not be.
            _ if rules.is_same_scope(view.source) => return Ok(Verdict::Plain),
            _ if !rules.has_pools() => return Err(Refusal::NoRule),
            Transport::OtherIcmp => return Err(Refusal::IcmpType),
            _ => return Err(Refusal::Protocol),
        };
        if view.part == Part::First {
            let (target, known) = self.outbound_first(rules, view, segment, now)?;
            return Ok(finish(
                externals,
                packet,
                view,
                target,
                Some(known.identification),
            ));
        }
        let target = self.outbound_target(rules, view, segment, now)?;
        let identification = (!view.atomic).then(|| self.identifications.draw());
        Ok(finish(externals, packet, view, target, identification))
    }

    /// A first fragment: translated as a whole packet is, and the others by it.
    fn outbound_first(
        &mut self,
        rules: &Rules,
        view: &View,
        segment: Segment,
        now: u32,
    ) -> Result<(Target, Known), Refusal> {
        let fragment = view.fragment(outbound_scope(rules));
        let identification = match self.fragments.known(fragment.0) {
            // It came twice.
            Some(known) => known.identification,
            None => self.identifications.draw(),
        };
        let known = Known {
            ports: segment.ports,
            identification,
        };
        let target = self.outbound_target(rules, view, segment, now);
        let told = target.as_ref().map(|_| known).map_err(|refusal| *refusal);
        self.first_fragment(rules, fragment, told, Direction::Outbound, now)?;
        Ok((target?, known))
    }

    /// A later fragment: translated by what the first has told, or held until it comes.
    fn outbound_later(
        &mut self,
        rules: &Rules,
        externals: &Externals,
        packet: &mut [u8],
        view: &View,
        protocol: Protocol,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let fragment = view.fragment(outbound_scope(rules));
        let known = match self.later_fragment(rules, fragment, now)? {
            Later::Held(number) => return Ok(Verdict::Hold(number)),
            Later::Known(known) => known,
        };
        let segment = Segment {
            protocol,
            ports: known.ports,
            flags: None,
            hash: None,
        };
        let target = self.outbound_target(rules, view, segment, now)?;
        Ok(finish(
            externals,
            packet,
            view,
            target,
            Some(known.identification),
        ))
    }

    /// What becomes of the source.
    #[inline]
    fn outbound_target(
        &mut self,
        rules: &Rules,
        view: &View,
        segment: Segment,
        now: u32,
    ) -> Result<Target, Refusal> {
        let Segment {
            protocol,
            ports,
            flags,
            hash,
        } = segment;
        if rules.has_forwardings() {
            let inside = Endpoint::new(view.source, ports.source);
            if let Some(outside) = rules.forwarding_outside(protocol, inside) {
                return Ok(Target::Endpoint(outside));
            }
            if rules.is_same_scope(view.source) {
                return Ok(Target::Plain);
            }
        }
        if !rules.has_pools() {
            return Err(Refusal::NoRule);
        }
        let key = inside_key(rules, view, protocol, ports);
        let hash = hash.unwrap_or_else(|| self.sessions.hash_inside(key));
        let number = match self.live_inside(key, hash, now) {
            Some(number) => number,
            None => {
                let flags = flags.ok_or(Refusal::NoSession)?;
                let state = first_state(protocol, flags).ok_or(Refusal::NoSession)?;
                self.open_outbound(rules, key, state, now)?
            }
        };
        self.used(number, Direction::Outbound, flags, now);
        let session = self.sessions.slab.get(number).ok_or(Refusal::NoSession)?;
        Ok(Target::Endpoint(session.outside_endpoint()))
    }

    /// An ICMP error about a packet that came in (RFC 5508, REQ-5): the quoted destination is the host inside. Its session
    /// is looked up and left as it is (REQ-6).
    #[cold]
    fn outbound_error(
        &mut self,
        rules: &Rules,
        externals: &Externals,
        packet: &mut [u8],
        view: &View,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        if rules.is_exempt(view.destination) {
            return Ok(Verdict::Plain);
        }
        let quote = Quote::new(packet, view)?;
        let known_outside = match self.outside_of_quote(rules, &quote, now)? {
            Ok(to) => {
                quote.rewrite(packet, view, to);
                to.address
            }
            Err(Verdict::Plain) if !rules.is_same_scope(view.source) => quote.destination,
            Err(verdict) => return Ok(verdict),
        };
        // The sender may be a router inside, between the host and us: it has no address outside but the host's.
        let source = rules.floating_outside(view.source).unwrap_or(known_outside);
        rewrite::address(packet, view, To::address(Side::Source, source));
        Ok(translated(externals, view.destination))
    }

    fn outside_of_quote(
        &mut self,
        rules: &Rules,
        quote: &Quote,
        now: u32,
    ) -> Result<Result<To, Verdict>, Refusal> {
        if let Some(outside) = rules.floating_outside(quote.destination) {
            return Ok(Ok(To::address(Side::Destination, outside)));
        }
        let same_scope = rules.is_same_scope(quote.destination);
        let (protocol, ports) = match quote.ports {
            Some(ports) => ports,
            None if same_scope => return Ok(Err(Verdict::Plain)),
            None => return Err(Refusal::QuoteUnknown),
        };
        let inside = Endpoint::new(quote.destination, ports.destination);
        if let Some(outside) = rules.forwarding_outside(protocol, inside) {
            return Ok(Ok(To::endpoint(Side::Destination, outside)));
        }
        if same_scope {
            return Ok(Err(Verdict::Plain));
        }
        let owner = self
            .slices
            .inside_owner(rules.router(), Ipv4Addr::from_bits(inside.address));
        if !self.slices.is_mine(owner) {
            return Ok(Err(Verdict::hand_over(owner, None)));
        }
        let remote = remote(protocol, quote.source, ports.source);
        let key = InsideKey::new(rules.router().get(), protocol, inside, remote);
        let hash = self.sessions.hash_inside(key);
        let number = self
            .live_inside(key, hash, now)
            .ok_or(Refusal::QuoteUnknown)?;
        let session = self
            .sessions
            .slab
            .get(number)
            .ok_or(Refusal::QuoteUnknown)?;
        Ok(Ok(To::endpoint(
            Side::Destination,
            session.outside_endpoint(),
        )))
    }
}

/// The remote end, as keys hold it: a query has no port there.
#[inline(always)]
pub(crate) fn remote(protocol: Protocol, address: u32, port: u16) -> Endpoint {
    let port = match protocol {
        Protocol::Icmp => 0,
        _ => port,
    };
    Endpoint::new(address, port)
}

#[inline(always)]
fn inside_key(rules: &Rules, view: &View, protocol: Protocol, ports: PortPair) -> InsideKey {
    InsideKey::new(
        rules.router().get(),
        protocol,
        Endpoint::new(view.source, ports.source),
        remote(protocol, view.destination, ports.destination),
    )
}

/// Sets datagrams of different routers apart, and those of the two directions.
fn outbound_scope(rules: &Rules) -> u32 {
    1 << 16 | u32::from(rules.router().get())
}

/// The state of a session that a packet from inside opens; `None` when it opens none.
fn first_state(protocol: Protocol, flags: u8) -> Option<State> {
    match protocol {
        Protocol::Tcp => State::opened_by(flags, Direction::Outbound),
        Protocol::Udp => Some(State::Open),
        Protocol::Icmp => (flags == icmp::ECHO_REQUEST).then_some(State::Open),
    }
}

#[inline(always)]
fn translated(externals: &Externals, destination: u32) -> Verdict {
    let destination = Ipv4Addr::from_bits(destination);
    Verdict::Translated {
        hairpin: externals.router(destination).is_some(),
    }
}

/// Writes what was decided. Several hosts share an outside address, so an identification that matters is drawn anew
/// (RFC 6864, 4.3 and 5.3.1), one for all fragments.
#[inline(always)]
fn finish(
    externals: &Externals,
    packet: &mut [u8],
    view: &View,
    target: Target,
    identification: Option<u16>,
) -> Verdict {
    let Target::Endpoint(endpoint) = target else {
        return Verdict::Plain;
    };
    rewrite::apply(
        packet,
        Place::of(view),
        To::endpoint(Side::Source, endpoint),
    );
    if let Some(identification) = identification {
        rewrite::identify(packet, identification);
    }
    translated(externals, view.destination)
}
