//! What the control thread should know.

use std::collections::VecDeque;

use crate::key::Protocol;
use crate::pool::{PoolIndex, SubscriberIndex};
use crate::verdict::Refusal;

/// Something ran out, or is free again. About each pool and tenant there is at most one a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// No port of this worker's slice is left; ports are reused for other destinations, or sessions refused.
    PoolExhausted {
        /// The outside address.
        pool: PoolIndex,
        /// For what.
        protocol: Protocol,
    },
    /// A tenant has reached a limit.
    SubscriberLimit {
        /// Who.
        subscriber: SubscriberIndex,
        /// Which.
        refusal: Refusal,
    },
    /// The session table is full.
    SessionsFull,
    /// The table of IPv6 sessions is full.
    OutboundOnlyFull,
    /// A closed pool has been cleared away; its number may be dealt again when all workers have said so.
    PoolVacant {
        /// Which.
        pool: PoolIndex,
    },
}

/// A bounded queue: when nobody listens, the newest are lost and counted.
pub(crate) struct Events {
    queue: VecDeque<Event>,
    limit: usize,
    lost: u64,
}

impl Events {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: VecDeque::with_capacity(limit),
            limit,
            lost: 0,
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.len() < self.limit {
            self.queue.push_back(event);
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}
