//! What a worker keeps from burst to burst besides the tables.

use std::sync::Arc;

use vtepd_tables::{AdjacencyIndex, HashedFdbKey};
use vtepd_wire::flow::FlowHasher;

use crate::context::{Frame, Verdict};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::event::{Asked, Channel, Event, LargeFrame, Service};
use crate::learn::RecentlySeen;
use crate::limit::{Class, Limiter, Limits};
use crate::packet::Packet;

/// Flow hash, counters, the channel to the control thread, and the time.
pub struct WorkerState {
    /// Spreads tunnel packets over the underlay's paths.
    pub flows: FlowHasher,
    /// This worker's counters.
    pub counters: Arc<WorkerCounters>,
    /// Seconds since the start, modulo 2^16; read once per burst.
    pub now: u16,
    channel: Arc<Channel>,
    recently_seen: RecentlySeen,
    limiter: Limiter,
}

impl WorkerState {
    /// A worker that has seen nothing yet.
    pub fn new(flows: FlowHasher, counters: Arc<WorkerCounters>, channel: Arc<Channel>) -> Self {
        Self {
            flows,
            counters,
            now: 0,
            channel,
            recently_seen: RecentlySeen::default(),
            limiter: Limiter::new(Limits::default()),
        }
    }

    /// The same with other limits on what one port may ask for.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self {
            limiter: Limiter::new(limits),
            ..self
        }
    }

    /// Whether who sent `frame` may have one more of this within the second.
    #[inline]
    pub(crate) fn allow(&mut self, frame: &Frame, class: Class) -> bool {
        self.limiter.allow(frame, class, self.now)
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
