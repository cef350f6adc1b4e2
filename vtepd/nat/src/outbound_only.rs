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
use vtepd_wire::hash::KeyedHash;
use vtepd_wire::icmpv6;
use vtepd_wire::ipv4::{PROTOCOL_ICMPV6, PROTOCOL_TCP};
use vtepd_wire::tcp::{FIN, RST};

use crate::event::Event;
use crate::fragments::{Known, Later};
use crate::index::Index;
use crate::list::{Linked, Links};
use crate::settings::{Timeouts, UnsolicitedSyn};
use crate::slab::Slab;
use crate::subscriber::Subscribers;
use crate::tcp::{Direction, State};
use crate::translator::Translator;
use crate::unsolicited::Awaited;
use crate::verdict::{PortPair, Refusal, Verdict};
use crate::view_v6::{Carries, SegmentV6, ViewV6};
use crate::wheel::{ByTime, Timed, Timer, Wheel};

/// Routers whose epochs are kept: all that an index can name.
const ROUTERS: usize = 1 << 16;
/// Due sessions that are cleared away to make room for a new one.
const ROOM_WORK: u32 = 16;

/// What a session is found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FlowKey {
    inside: [u64; 2],
    remote: [u64; 2],
    /// Router 16, protocol 8, inside port 16, remote port 16; the identifier of an echo is the inside port.
    rest: u64,
}

impl FlowKey {
    fn new(
        router: VrfIndex,
        inside: [u64; 2],
        remote: [u64; 2],
        protocol: u8,
        inside_port: u16,
        remote_port: u16,
    ) -> Self {
        let remote_port = match protocol {
            PROTOCOL_ICMPV6 => 0,
            _ => remote_port,
        };
        Self {
            inside,
            remote,
            rest: u64::from(router.get()) << 40
                | u64::from(protocol) << 32
                | u64::from(inside_port) << 16
                | u64::from(remote_port),
        }
    }

    fn router(&self) -> u16 {
        (self.rest >> 40) as u16
    }

    fn protocol(&self) -> u8 {
        (self.rest >> 32) as u8
    }
}

/// A session: one cache line.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Flow {
    key: FlowKey,
    /// The second of the last packet that counts.
    last_seen: u32,
    timer: Timer,
    subscriber: u16,
    /// Of its router, when it was opened: those of earlier ones are over.
    epoch: u16,
    state: State,
}

impl Flow {
    fn deadline(&self, timeouts: &Timeouts) -> u32 {
        let lasts = match self.key.protocol() {
            PROTOCOL_TCP if self.state.is_established() => timeouts.tcp_established,
            PROTOCOL_TCP => timeouts.tcp_transitory,
            PROTOCOL_ICMPV6 => timeouts.icmp,
            _ => timeouts.udp,
        };
        self.last_seen.saturating_add(lasts)
    }
}

impl Linked<ByTime> for Flow {
    fn links(&mut self) -> &mut Links {
        &mut self.timer.links
    }
}

impl Timed for Flow {
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// All of one worker's.
pub(crate) struct OutboundOnly {
    pub(crate) slab: Slab<Flow>,
    index: Index,
    wheel: Wheel,
    hash: KeyedHash,
    /// Of each router: raised to end its sessions at once, however many they are.
    epochs: Box<[u16]>,
    /// Places still to be looked at for sessions of earlier epochs.
    sweep: u32,
    /// Sessions refused because the table was full.
    pub(crate) refused: u64,
    /// The second of the last event about that, plus one.
    told: u32,
}

impl OutboundOnly {
    pub(crate) fn new(capacity: u32, hash: KeyedHash, now: u32) -> Self {
        Self {
            slab: Slab::new(capacity),
            index: Index::new(capacity),
            wheel: Wheel::new(now),
            hash,
            epochs: vec![0; ROUTERS].into_boxed_slice(),
            sweep: 0,
            refused: 0,
            told: 0,
        }
    }

    fn hash(&self, key: &FlowKey) -> u64 {
        let ([a, b], [c, d]) = (key.inside, key.remote);
        self.hash.hash_words([key.rest, a, b, c, d])
    }

    fn epoch(&self, router: u16) -> u16 {
        self.epochs.get(usize::from(router)).copied().unwrap_or(0)
    }

    fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.find(self.hash(key), |number| {
            self.slab.get(number).is_some_and(|flow| flow.key == *key)
        })
    }

    /// The session with this key whose time is not over.
    fn live(
        &mut self,
        key: &FlowKey,
        timeouts: &Timeouts,
        subscribers: &mut Subscribers,
        now: u32,
    ) -> Option<u32> {
        let number = self.find(key)?;
        let flow = self.slab.get(number)?;
        if flow.epoch == self.epoch(key.router()) && flow.deadline(timeouts) > now {
            return Some(number);
        }
        self.end(number, subscribers);
        None
    }

    pub(crate) fn is_live(&self, key: &FlowKey, timeouts: &Timeouts, now: u32) -> bool {
        self.find(key)
            .and_then(|number| self.slab.get(number))
            .is_some_and(|flow| {
                flow.epoch == self.epoch(key.router()) && flow.deadline(timeouts) > now
            })
    }

    fn enter(&mut self, flow: Flow, timeouts: &Timeouts) -> Option<u32> {
        let (hash, deadline) = (self.hash(&flow.key), flow.deadline(timeouts));
        let number = self.slab.insert(flow)?;
        self.index.insert(hash, number);
        self.wheel.arm(&mut self.slab, number, deadline);
        Some(number)
    }

    /// A packet of a session has passed.
    fn used(
        &mut self,
        number: u32,
        segment: SegmentV6,
        direction: Direction,
        inbound_refresh: bool,
        timeouts: &Timeouts,
        now: u32,
    ) {
        let Some(flow) = self.slab.get_mut(number) else {
            return;
        };
        let tcp = segment.protocol == PROTOCOL_TCP;
        if (direction == Direction::Outbound || tcp || inbound_refresh) && flow.last_seen != now {
            flow.last_seen = now;
        }
        if tcp {
            let after = flow.state.after(segment.flags, direction);
            if after != flow.state {
                flow.state = after;
                let deadline = flow.deadline(timeouts);
                self.wheel.advance(&mut self.slab, number, deadline);
            }
        }
    }

    fn end(&mut self, number: u32, subscribers: &mut Subscribers) {
        self.wheel.disarm(&mut self.slab, number);
        self.clear(number, subscribers);
    }

    /// Ends a session that the wheel has given up.
    fn clear(&mut self, number: u32, subscribers: &mut Subscribers) {
        let Some(flow) = self.slab.get(number) else {
            return;
        };
        let (hash, subscriber) = (self.hash(&flow.key), flow.subscriber);
        self.index.remove(hash, number);
        self.slab.remove(number);
        subscribers.remove_session(subscriber);
    }

    /// Sessions whose time is over. `true` when work was left.
    fn end_due(
        &mut self,
        timeouts: &Timeouts,
        subscribers: &mut Subscribers,
        now: u32,
        mut work: u32,
    ) -> bool {
        while let Some(number) = self.wheel.due(&mut self.slab, now, &mut work) {
            match self.slab.get(number).map(|flow| flow.deadline(timeouts)) {
                // It was used since it was hung up.
                Some(deadline) if deadline > now => {
                    self.wheel.arm(&mut self.slab, number, deadline);
                }
                _ => self.clear(number, subscribers),
            }
        }
        work == 0
    }

    /// Sessions of earlier epochs. `true` when work was left.
    fn end_earlier(&mut self, subscribers: &mut Subscribers, work: u32) -> bool {
        for _ in 0..work.min(self.sweep) {
            self.sweep -= 1;
            let Some(flow) = self.slab.get(self.sweep) else {
                continue;
            };
            let over = flow.epoch != self.epoch(flow.key.router());
            if flow.state != State::Vacant && over {
                self.end(self.sweep, subscribers);
            }
        }
        self.sweep > 0
    }

    /// Lets time pass. `true` when work was left.
    pub(crate) fn tick(
        &mut self,
        timeouts: &Timeouts,
        subscribers: &mut Subscribers,
        now: u32,
        work: u32,
    ) -> bool {
        let due = self.end_due(timeouts, subscribers, now, work);
        self.end_earlier(subscribers, work) || due
    }

    /// See [`Translator::audit`]: each session is found, and no other with its key.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let places = 0..self.slab.capacity() as u32;
        let flow = |number: u32| self.slab.get(number);
        let live = |number: &u32| flow(*number).is_some_and(|flow| flow.state != State::Vacant);
        for number in places.clone().filter(live) {
            if flow(number).is_some_and(|flow| self.find(&flow.key) != Some(number)) {
                return Err(format!(
                    "IPv6 session {number} is not found, or another with its key"
                ));
            }
        }
        let (counted, used) = (places.filter(live).count(), self.slab.used());
        if counted != used {
            return Err(format!(
                "{used} places are taken for {counted} IPv6 sessions"
            ));
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.index.bytes() + self.wheel.bytes() + size_of_val(&*self.epochs)
    }
}

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
        let number = self.outbound_only.live(&key, timeouts, subscribers, now);
        let (number, state) = (number, opened_by(segment));
        match (number, state) {
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
    /// another, and when it lets everything in again.
    pub fn end_outbound_only(&mut self, router: VrfIndex) {
        let table = &mut self.outbound_only;
        if let Some(epoch) = table.epochs.get_mut(usize::from(router.get())) {
            *epoch = epoch.wrapping_add(1);
            table.sweep = table.slab.capacity() as u32;
        }
    }

    fn not_mine_v6(&self, rules: &Rules, [high, low]: [u64; 2]) -> Option<Verdict> {
        let inside = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let worker = self.slices.inside_owner_v6(rules.router(), inside);
        (!self.slices.is_mine(worker)).then(|| Verdict::hand_over(worker, None))
    }

    fn used_v6(&mut self, number: u32, segment: SegmentV6, direction: Direction, now: u32) {
        let settings = &self.settings;
        let (refresh, timeouts) = (settings.inbound_refresh, &settings.timeouts);
        self.outbound_only
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
        let (table, timeouts) = (&mut self.outbound_only, &self.settings.timeouts);
        if table.slab.is_full() {
            table.end_due(timeouts, &mut self.subscribers, now, ROOM_WORK);
        }
        let flow = Flow {
            key,
            last_seen: now,
            subscriber: subscriber.0,
            epoch: table.epoch(key.router()),
            state,
            ..Flow::default()
        };
        if table.enter(flow, timeouts).is_none() {
            table.refused += 1;
            if table.told != now.wrapping_add(1) {
                table.told = now.wrapping_add(1);
                self.events.push(Event::OutboundOnlyFull);
            }
            return Err(Refusal::OutboundOnlyFull);
        }
        self.subscribers.add_session(subscriber.0);
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
        let Some(fragment) = view.fragment else {
            return verdict;
        };
        let told = match verdict {
            // Fragments of a SYN are not kept.
            Ok(Verdict::Plain) => Ok(KNOWN),
            Ok(_) => Err(Refusal::FragmentRefused),
            Err(refusal) => Err(refusal),
        };
        let key = self.fragment_key_v6(rules, view, fragment.identification);
        self.first_fragment(rules, key, told, Direction::Inbound, now)?;
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
        if let Some(number) = self.outbound_only.live(&key, timeouts, subscribers, now) {
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
        let identification = view.fragment.map_or(0, |fragment| fragment.identification);
        let key = self.fragment_key_v6(rules, view, identification);
        Ok(match self.later_fragment(rules, key, now)? {
            Later::Held(number) => Verdict::Hold(number),
            Later::Known(_) => Verdict::Plain,
        })
    }

    /// Fragments are known by 128 bits, which these 304 do not fit into: two keyed hashes stand for them, and the highest
    /// bit for IPv6.
    fn fragment_key_v6(&self, rules: &Rules, view: &ViewV6, identification: u32) -> u128 {
        let router = u64::from(rules.router().get());
        let ([a, b], [c, d]) = (view.source, view.destination);
        let words = [router << 32 | u64::from(identification), a, b, c, d];
        let half = |number: u64| {
            let hash = &self.outbound_only.hash;
            let [word, rest @ ..] = words;
            let [a, b, c, d] = rest;
            u128::from(hash.hash_words([number, word, a, b, c, d]))
        };
        1 << 127 | half(1) << 64 | half(2)
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
        if self.outbound_only.is_live(&key, timeouts, now) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_one_cache_line() {
        assert_eq!((size_of::<Flow>(), align_of::<Flow>()), (64, 64));
    }
}
