//! What a worker keeps from burst to burst besides the tables.

use std::sync::Arc;

use vtepd_tables::{AdjacencyIndex, HashedFdbKey};
use vtepd_wire::flow::FlowHasher;

use crate::counters::WorkerCounters;
use crate::event::{Channel, Event};
use crate::learn::RecentlySeen;

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
