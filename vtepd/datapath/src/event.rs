//! What workers and the control thread tell each other. Both ways are bounded
//! queues that never block the worker.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use vtepd_tables::{AdjacencyIndex, FdbKey, InterfaceIndex, Tag};
use vtepd_wire::Mac;

/// From a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A source MAC that the FDB does not know, or knows elsewhere.
    Seen {
        /// Network and MAC.
        key: FdbKey,
        /// Where it is now.
        adjacency: AdjacencyIndex,
    },
    /// Somebody on the underlay said who it is: ARP or a neighbour advertisement.
    Neighbour {
        /// Where it was heard.
        interface: InterfaceIndex,
        /// Its address.
        address: IpAddr,
        /// Its MAC.
        mac: Mac,
    },
    /// A router asks which groups we want (IGMP, MLD).
    MembershipQuery {
        /// Where it was heard.
        interface: InterfaceIndex,
        /// The group asked for; `None`: all.
        group: Option<IpAddr>,
        /// Whether over IPv6.
        ipv6: bool,
        /// Version of IGMP or MLD.
        version: u8,
    },
}

/// Frames that the control thread makes are small: ARP, ND, IGMP, MLD.
pub type SmallFrame = ArrayVec<u8, 128>;

/// The bytes of an untagged frame, with `tag` put in.
pub(crate) fn small_frame(untagged: &[u8], tag: Option<Tag>) -> SmallFrame {
    let mut frame = SmallFrame::new();
    let (macs, rest) = untagged.split_at_checked(12).unwrap_or((untagged, &[]));
    let tag = tag.as_ref().map_or(&[][..], |tag| tag.bytes());
    frame.extend(
        macs.iter()
            .chain(tag)
            .chain(rest)
            .copied()
            .take(frame.capacity()),
    );
    frame
}

/// To a worker.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send a frame as it is.
    Transmit {
        /// Where.
        interface: InterfaceIndex,
        /// The frame with its tag.
        frame: SmallFrame,
    },
}

/// The queues between one worker and the control thread.
pub struct Channel {
    /// Worker to control thread: [`Event::Seen`]. Tenants can fill it.
    seen: ArrayQueue<Event>,
    /// Worker to control thread: what was heard on the underlay. Apart, so that a
    /// tenant's flood of new MACs cannot keep next hops from being heard.
    underlay: ArrayQueue<Event>,
    /// Control thread to worker.
    pub commands: ArrayQueue<Command>,
}

impl Channel {
    /// Room for `events` of each kind and `commands` that nobody has fetched yet.
    pub fn new(events: usize, commands: usize) -> Self {
        Self {
            seen: ArrayQueue::new(events),
            underlay: ArrayQueue::new(events),
            commands: ArrayQueue::new(commands),
        }
    }

    /// Puts an event into its queue; `false` when that is full.
    pub(crate) fn push(&self, event: Event) -> bool {
        let queue = match event {
            Event::Seen { .. } => &self.seen,
            Event::Neighbour { .. } | Event::MembershipQuery { .. } => &self.underlay,
        };
        queue.push(event).is_ok()
    }

    /// The next event, those of the underlay first.
    pub fn pop(&self) -> Option<Event> {
        self.underlay.pop().or_else(|| self.seen.pop())
    }

    /// The most events that can wait.
    pub fn capacity(&self) -> usize {
        self.seen.capacity() + self.underlay.capacity()
    }
}
