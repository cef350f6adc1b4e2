//! IPv6 that is routed without translation, and of which only what the inside began comes in (RFC 6092).
//!
//! ```text
//!   from inside ─► session known, or opened ─────────────────────► as it is
//!   from outside ─┬─ of a session ───────────────────────────────► as it is
//!                 ├─ later fragment of a datagram that came in ──► as it is, or held until the first comes
//!                 ├─ ICMPv6 error that quotes a session's packet ► as it is
//!                 └─ anything else ──────────────────────────────► refused
//! ```
//!
//! A session is told by both addresses and ports, by the identifier of an echo, and by the addresses alone where there
//! is neither: the most stringent of the filters in RFC 4787, 5. The inside address owns it, in both directions, so
//! that packets are handed over at most once. Addresses stay as they are, so one index finds a session from either
//! side.
//!
//! A connection that is older than its session, because the option is new or vtepd was started again, goes on with the
//! next segment from inside (REC-31).

use core::net::Ipv6Addr;

use vtepd_tables::VrfIndex;
use vtepd_tables::translation::Rules;
use vtepd_wire::icmpv6;
use vtepd_wire::ipv4::{PROTOCOL_ICMPV6, PROTOCOL_TCP};
use vtepd_wire::tcp::{FIN, RST};

use crate::event::Event;
use crate::flow::FlowKey;
use crate::fragments::{Known, Later, Piece};
use crate::settings::UnsolicitedSyn;
use crate::tcp::{Direction, State};
use crate::translator::Translator;
use crate::unsolicited::Awaited;
use crate::verdict::{PortPair, Refusal, Verdict};
use crate::view_v6::{Carries, SegmentV6, ViewV6};

impl Translator {
    /// May this IPv6 packet of a router go out, and what does it let in? `packet` begins with its IP header and holds its
    /// headers, contiguous; it is left as it is. The answer is [`Plain`](Verdict::Plain), always where the rules do
    /// not ask for [outbound sessions only](Rules::outbound_only_ipv6), [`HandOver`](Verdict::HandOver), or
    /// [`Refused`](Verdict::Refused) when there is no room for another session.
    pub fn outbound_v6(&mut self, rules: &Rules, packet: &[u8], now: u32) -> Verdict {
        if !rules.outbound_only_ipv6() {
            return Verdict::Plain;
        }
        let view = match ViewV6::new(packet) {
            Ok(view) => view,
            Err(refusal) => return refusal.into(),
        };
        // Fragments, errors and the like go out, and open nothing.
        let Carries::Segment(segment) = view.carries else {
            return Verdict::Plain;
        };
        if let Some(verdict) = self.not_mine_v6(rules, view.source) {
            return verdict;
        }
        let PortPair {
            source,
            destination,
        } = segment.ports;
        let key = FlowKey::new(
            rules.router(),
            view.source,
            view.destination,
            segment.protocol,
            source,
            destination,
        );
        let (timeouts, subscribers) = (&self.settings.timeouts, &mut self.subscribers);
        let number = self.flows.live(&key, timeouts, subscribers, now);
        match (number, opened_by(segment)) {
            (Some(number), _) => {
                self.used_v6(number, segment, Direction::Outbound, now);
                Verdict::Plain
            }
            (None, Some(state)) => match self.open_v6(rules, key, state, now) {
                Ok(()) => Verdict::Plain,
                Err(refusal) => refusal.into(),
            },
            (None, None) => Verdict::Plain,
        }
    }

    /// May this IPv6 packet from outside come in to a router's inside? As [`outbound_v6`](Self::outbound_v6); it may be
    /// [held](Verdict::Hold) as well, and is to be handed in here again when its [`Release`](crate::Release) says so.
    pub fn inbound_v6(&mut self, rules: &Rules, packet: &[u8], now: u32) -> Verdict {
        if !rules.outbound_only_ipv6() {
            return Verdict::Plain;
        }
        let verdict = ViewV6::new(packet).and_then(|view| {
            if let Some(verdict) = self.not_mine_v6(rules, view.destination) {
                return Ok(verdict);
            }
            match view.carries {
                Carries::Segment(segment) => self.inbound_segment_v6(rules, &view, segment, now),
                Carries::Error(quote) => self.inbound_error_v6(rules, packet, &view, quote, now),
                Carries::OtherIcmp => Err(Refusal::IcmpType),
                Carries::Unseen => self.inbound_later_v6(rules, &view, now),
            }
        });
        verdict.unwrap_or_else(Verdict::Refused)
    }

    /// Ends a router's IPv6 sessions at once: to be done on every worker when it is removed, before its index is given to
    /// another.
    pub fn end_outbound_only(&mut self, router: VrfIndex) {
        self.flows.end_all_of(router);
    }

    fn not_mine_v6(&self, rules: &Rules, [high, low]: [u64; 2]) -> Option<Verdict> {
        let inside = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let worker = self.slices.inside_owner_v6(rules.router(), inside);
        (!self.slices.is_mine(worker)).then(|| Verdict::hand_over(worker, None))
    }

    fn used_v6(&mut self, number: u32, segment: SegmentV6, direction: Direction, now: u32) {
        let settings = &self.settings;
        let (refresh, timeouts) = (settings.inbound_refresh, &settings.timeouts);
        self.flows
            .used(number, segment, direction, refresh, timeouts, now);
    }

    #[cold]
    fn open_v6(
        &mut self,
        rules: &Rules,
        key: FlowKey,
        state: State,
        now: u32,
    ) -> Result<(), Refusal> {
        let subscriber = rules.subscriber();
        self.admit_subscriber(subscriber, false, now)?;
        let (timeouts, subscribers) = (&self.settings.timeouts, &mut self.subscribers);
        let room = self
            .flows
            .open(key, state, subscriber.0, timeouts, subscribers, now);
        if !room {
            if self.flows.tell(now) {
                self.events.push(Event::OutboundOnlyFull);
            }
            return Err(Refusal::OutboundOnlyFull);
        }
        Ok(())
    }

    fn inbound_segment_v6(
        &mut self,
        rules: &Rules,
        view: &ViewV6,
        segment: SegmentV6,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let verdict = self.answer_v6(rules, view, segment, now);
        if view.fragment.is_none() {
            return verdict;
        }
        let told = match verdict {
            // Fragments of a SYN are not kept.
            Ok(Verdict::Plain) => Ok(KNOWN),
            Ok(_) => Err(Refusal::FragmentRefused),
            Err(refusal) => Err(refusal),
        };
        let fragment = self.fragment_v6(rules, view);
        self.first_fragment(rules, fragment, told, Direction::Inbound, now)?;
        verdict
    }

    /// Is it of a session?
    fn answer_v6(
        &mut self,
        rules: &Rules,
        view: &ViewV6,
        segment: SegmentV6,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let SegmentV6 {
            protocol,
            ports,
            flags,
        } = segment;
        if protocol == PROTOCOL_ICMPV6 && flags == icmpv6::ECHO_REQUEST {
            return Err(Refusal::Unsolicited);
        }
        let key = FlowKey::new(
            rules.router(),
            view.destination,
            view.source,
            protocol,
            ports.destination,
            ports.source,
        );
        let (timeouts, subscribers) = (&self.settings.timeouts, &mut self.subscribers);
        if let Some(number) = self.flows.live(&key, timeouts, subscribers, now) {
            self.used_v6(number, segment, Direction::Inbound, now);
            return Ok(Verdict::Plain);
        }
        match protocol {
            PROTOCOL_TCP if State::opened_by(flags, Direction::Inbound).is_some() => {
                self.unsolicited_v6(rules, view, key, now)
            }
            PROTOCOL_TCP | PROTOCOL_ICMPV6 => Err(Refusal::NoSession),
            _ => Err(Refusal::Unsolicited),
        }
    }

    /// A SYN that nobody waits for (RFC 6092, REC-34).
    fn unsolicited_v6(
        &mut self,
        rules: &Rules,
        view: &ViewV6,
        key: FlowKey,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        if self.settings.unsolicited_syn == UnsolicitedSyn::Silent || view.fragment.is_some() {
            return Err(Refusal::Unsolicited);
        }
        let limits = &self.settings.limits;
        let number = self
            .holds
            .hold(rules.subscriber().0, &mut self.subscribers, limits)
            .ok_or(Refusal::HoldFull)?;
        self.unsolicited.push(number, Awaited::Flow(key), now);
        Ok(Verdict::Hold(number))
    }

    fn inbound_later_v6(
        &mut self,
        rules: &Rules,
        view: &ViewV6,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let fragment = self.fragment_v6(rules, view);
        Ok(match self.later_fragment(rules, fragment, now)? {
            Later::Held(number) => Verdict::Hold(number),
            Later::Known(_) => Verdict::Plain,
        })
    }

    /// Fragments are known by 128 bits, which these 304 do not fit into: two keyed hashes stand for them, and the highest
    /// bit for IPv6.
    fn fragment_v6(&self, rules: &Rules, view: &ViewV6) -> (u128, Piece) {
        let identification = view.fragment.map_or(0, |fragment| fragment.identification);
        let router = u64::from(rules.router().get());
        let ([a, b], [c, d]) = (view.source, view.destination);
        let words = [router << 32 | u64::from(identification), a, b, c, d];
        (1 << 127 | self.flows.digest(words), view.piece)
    }

    /// An ICMPv6 error about a packet that went out (REC-10, REC-18, REC-36): its session is looked up and left as it is.
    #[cold]
    fn inbound_error_v6(
        &mut self,
        rules: &Rules,
        packet: &[u8],
        view: &ViewV6,
        quote: usize,
        now: u32,
    ) -> Result<Verdict, Refusal> {
        let quote = ViewV6::quoted(packet, quote)?;
        // Errors go to who has sent what they quote.
        let (Carries::Segment(segment), true) = (quote.carries, quote.source == view.destination)
        else {
            return Err(Refusal::QuoteUnknown);
        };
        let key = FlowKey::new(
            rules.router(),
            quote.source,
            quote.destination,
            segment.protocol,
            segment.ports.source,
            segment.ports.destination,
        );
        let timeouts = &self.settings.timeouts;
        if self.flows.is_live(&key, timeouts, now) {
            Ok(Verdict::Plain)
        } else {
            Err(Refusal::QuoteUnknown)
        }
    }
}

/// That a datagram may come in is all there is to know of it.
const KNOWN: Known = Known {
    ports: PortPair {
        source: 0,
        destination: 0,
    },
    identification: 0,
};

/// The state of a session that a packet from inside opens; `None` when it opens none.
fn opened_by(segment: SegmentV6) -> Option<State> {
    match segment.protocol {
        PROTOCOL_TCP => {
            let opens = State::opened_by(segment.flags, Direction::Outbound);
            // In the middle of a connection: as after a RST, whatever follows makes it established again.
            let goes_on = match segment.flags & (RST | FIN) {
                0 => Some(State::Reset),
                FIN => Some(State::Closed),
                _ => None,
            };
            opens.or(goes_on)
        }
        // Its answer is of nobody's session.
        PROTOCOL_ICMPV6 => (segment.flags == icmpv6::ECHO_REQUEST).then_some(State::Open),
        _ => Some(State::Open),
    }
}
