//! IPv6 sessions, which nothing is translated for: one cache line each, found by one key from either side.

use vtepd_tables::VrfIndex;
use vtepd_wire::hash::KeyedHash;
use vtepd_wire::ipv4::{PROTOCOL_ICMPV6, PROTOCOL_TCP};

use crate::index::Index;
use crate::list::{Linked, Links};
use crate::settings::Timeouts;
use crate::slab::Slab;
use crate::subscriber::Subscribers;
use crate::tcp::{Direction, State};
use crate::view_v6::SegmentV6;
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
    pub(crate) fn new(
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
pub(crate) struct Flows {
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

impl Flows {
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
    pub(crate) fn live(
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

    /// Opens a session; `false` when there is no room for one.
    pub(crate) fn open(
        &mut self,
        key: FlowKey,
        state: State,
        subscriber: u16,
        timeouts: &Timeouts,
        subscribers: &mut Subscribers,
        now: u32,
    ) -> bool {
        if self.slab.is_full() {
            self.end_due(timeouts, subscribers, now, ROOM_WORK);
        }
        let flow = Flow {
            key,
            last_seen: now,
            subscriber,
            epoch: self.epoch(key.router()),
            state,
            ..Flow::default()
        };
        let (hash, deadline) = (self.hash(&key), flow.deadline(timeouts));
        let Some(number) = self.slab.insert(flow) else {
            self.refused += 1;
            return false;
        };
        self.index.insert(hash, number);
        self.wheel.arm(&mut self.slab, number, deadline);
        subscribers.add_session(subscriber);
        true
    }

    /// Ends a router's sessions: at once, and their places soon.
    pub(crate) fn end_all_of(&mut self, router: VrfIndex) {
        if let Some(epoch) = self.epochs.get_mut(usize::from(router.get())) {
            *epoch = epoch.wrapping_add(1);
            self.sweep = self.slab.capacity() as u32;
        }
    }

    /// Is it time to say that the table is full? Once in a second it is.
    pub(crate) fn tell(&mut self, now: u32) -> bool {
        let due = self.told != now.wrapping_add(1);
        self.told = now.wrapping_add(1);
        due
    }

    /// Two keyed hashes in one number, for keys that do not fit into it.
    pub(crate) fn digest(&self, [a, b, c, d, e]: [u64; 5]) -> u128 {
        let half = |number| u128::from(self.hash.hash_words([number, a, b, c, d, e]));
        half(1) << 64 | half(2)
    }

    /// A packet of a session has passed.
    pub(crate) fn used(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_one_cache_line() {
        assert_eq!((size_of::<Flow>(), align_of::<Flow>()), (64, 64));
    }
}
