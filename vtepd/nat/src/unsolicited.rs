//! SYNs from outside that nobody waits for: kept for six seconds, in which the other end of a simultaneous open
//! may show itself, and only then answered (RFC 5382, REQ-4).

use std::collections::VecDeque;

use crate::flow::FlowKey;
use crate::key::OutsideKey;

/// Seconds that an unsolicited SYN is kept (RFC 5382, REQ-4: at least 6).
pub(crate) const PATIENCE: u32 = 6;

/// The session that a SYN from inside would have opened.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    Session(OutsideKey),
    Flow(FlowKey),
}

/// A SYN that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    due: u32,
    /// The number under which it is held.
    pub(crate) number: u32,
    pub(crate) awaited: Awaited,
}

/// Oldest first; all wait equally long.
pub(crate) struct Unsolicited {
    queue: VecDeque<Waiting>,
}

impl Unsolicited {
    /// There are never more than packets held.
    pub(crate) fn new(held: u32) -> Self {
        Self {
            queue: VecDeque::with_capacity(held as usize),
        }
    }

    pub(crate) fn push(&mut self, number: u32, awaited: Awaited, now: u32) {
        self.queue.push_back(Waiting {
            due: now.saturating_add(PATIENCE),
            number,
            awaited,
        });
    }

    /// The next whose time is over.
    pub(crate) fn due(&mut self, now: u32) -> Option<Waiting> {
        self.queue.pop_front_if(|waiting| waiting.due <= now)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Waiting>()
    }
}
