//! What a worker keeps from burst to burst besides the tables.

use core::net::IpAddr;
use std::sync::Arc;

use vtepd_nat::{Capacity, Settings, Slices, Translator};
use vtepd_tables::{AdjacencyIndex, HashedFdbKey};
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::hash::KeyedHash;

use crate::context::{Frame, Verdict};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::event::{Asked, Channel, Event, LargeFrame, Service};
use crate::learn::RecentlySeen;
use crate::limit::{Class, Limiter, Limits};
use crate::nat_channel::{Letters, Question};
use crate::packet::Packet;

/// Flow hash, counters, translations, the channel to the control thread, and the time.
pub struct WorkerState {
    /// Spreads tunnel packets over the underlay's paths.
    pub flows: FlowHasher,
    /// This worker's counters.
    pub counters: Arc<WorkerCounters>,
    /// Seconds since the start, modulo 2^16; read once per burst.
    pub now: u16,
    /// Seconds since the start; read with [`now`](Self::now).
    pub seconds: u32,
    /// What this worker translates.
    pub translator: Translator,
    channel: Arc<Channel>,
    recently_seen: RecentlySeen,
    limiter: Limiter,
    /// What this worker is being asked about its translations.
    question: Option<Box<Question>>,
}

impl WorkerState {
    /// A worker that has seen nothing yet, the only one, with room for few translations.
    pub fn new(flows: FlowHasher, counters: Arc<WorkerCounters>, channel: Arc<Channel>) -> Self {
        Self {
            flows,
            counters,
            now: 0,
            seconds: 0,
            translator: small_translator(),
            channel,
            recently_seen: RecentlySeen::default(),
            limiter: Limiter::new(Limits::default()),
            question: None,
        }
    }

    /// The same with other limits on what one port may ask for.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self {
            limiter: Limiter::new(limits),
            ..self
        }
    }

    /// The same with other room for translations, or as one of several workers.
    pub fn with_translator(self, translator: Translator) -> Self {
        Self { translator, ..self }
    }

    /// Sets the time, in seconds since the start.
    #[inline]
    pub fn set_time(&mut self, seconds: u32) {
        self.seconds = seconds;
        self.now = seconds as u16;
    }

    /// Hears what the control thread has to say about translations: carries all requests out, and answers
    /// a question, or a part of one. Whether there was anything. To be done at the beginning of a turn, before the
    /// tables are looked at: [`crate::nat_channel`] says why.
    #[inline]
    pub fn attend(&mut self) -> bool {
        let nat = &self.channel.nat;
        let letters = nat.fetch();
        let asked = self.question.is_some() || !nat.questions.is_empty();
        let heard = letters.is_some() || asked;
        if let Some(letters) = letters {
            self.carry_out(letters);
        }
        if asked {
            self.answer();
        }
        heard
    }

    #[cold]
    fn carry_out(&mut self, mut letters: Box<Letters>) {
        for request in letters.drain() {
            if request.carry_out(&mut self.translator).is_err() {
                self.counters.nat_refused.add(1);
            }
        }
        self.channel.nat.give_back(letters);
    }

    #[cold]
    fn answer(&mut self) {
        let nat = &self.channel.nat;
        let Some(mut question) = self.question.take().or_else(|| nat.questions.pop()) else {
            return;
        };
        if question.step(&mut self.translator, self.seconds) {
            // There is room: nobody asks again who has not been answered.
            let _ = nat.answers.push(question);
        } else {
            self.question = Some(question);
        }
    }

    /// Tells the control thread what has run out, and the log's who has which port. To be done at the end of a turn.
    #[inline]
    pub fn tell_of_translations(&mut self) {
        let nat = &self.channel.nat;
        while let Some(event) = self.translator.next_event() {
            if nat.events.push(event).is_err() {
                self.counters.events_lost.add(1);
            }
        }
        for _ in 0..LOGGED {
            if nat.log.is_full() {
                break;
            }
            let Some(record) = self.translator.next_log() else {
                break;
            };
            // There is room: nobody else puts any in.
            let _ = nat.log.push(record);
        }
    }

    /// Whether who sent `frame` may have one more of this within the second.
    #[inline]
    pub(crate) fn allow(&mut self, frame: &Frame, class: Class) -> bool {
        self.limiter.allow(frame, class, self.now)
    }

    /// The same of a packet, whose `source` tells the station where it comes from another host.
    pub(crate) fn allow_from(&mut self, frame: &Frame, source: IpAddr, class: Class) -> bool {
        self.limiter.allow_from(frame, source, class, self.now)
    }

    /// Hands a frame to a service of the control thread. `packet` has it in one piece.
    pub(crate) fn ask<P: Packet>(
        &mut self,
        service: Service,
        frame: &Frame,
        packet: &mut P,
    ) -> Verdict {
        if !self.allow(frame, Class::Service) {
            return DropReason::ServiceLimit.into();
        }
        let whole = packet.pull_up(packet.frame_len());
        let Ok(bytes) = LargeFrame::try_from(packet.data()) else {
            return DropReason::Scattered.into();
        };
        if !whole {
            return DropReason::Scattered.into();
        }
        let asked = Asked {
            service,
            network: frame.network,
            ingress: frame.ingress,
            frame: bytes,
        };
        match self.channel.asked.push(asked) {
            Ok(()) => Verdict::Consumed,
            Err(_) => DropReason::ServiceQueue.into(),
        }
    }

    /// The queues to and from the control thread.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Tells the control thread; when its queue is full the event is lost and counted.
    #[inline]
    pub(crate) fn tell(&self, event: Event) {
        if !self.channel.push(event) {
            self.counters.events_lost.add(1);
        }
    }

    /// Tells the control thread of a source MAC, at most once a second for each.
    #[inline]
    pub(crate) fn tell_seen(&mut self, source: HashedFdbKey, adjacency: AdjacencyIndex) {
        if self.recently_seen.is_news(source, adjacency, self.now) {
            let key = source.key();
            self.tell(Event::Seen { key, adjacency });
        }
    }
}

/// Records that go to the log in a turn, at some ten nanoseconds each: more than a burst makes.
const LOGGED: usize = 256;

/// Packets that wait for a translator which nobody has given another size.
pub(crate) const FEW_HELD: u32 = 64;

/// Enough for tests, and for explaining a packet.
fn small_translator() -> Translator {
    let capacity = Capacity {
        sessions: 1024,
        pools: 16,
        subscribers: 16,
        datagrams: 64,
        held: FEW_HELD,
        outbound_only: 64,
        log: 0,
    };
    // Nobody else knows the worker's own, which the daemon gives it.
    let hash = KeyedHash::new(0, 0);
    Translator::new(capacity, Settings::default(), Slices::alone(hash), hash, 0)
}
