//! What workers and the control thread tell each other. Both ways are bounded
//! queues that never block the worker.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use vtepd_tables::{AdjacencyIndex, FdbKey, InterfaceIndex, Neighbour, NetworkIndex, Tag};
use vtepd_wire::Mac;

use crate::nat_channel::NatChannel;

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
    /// A station of a network with a router said which address it has: ARP or a
    /// neighbour advertisement, from an address that the neighbour table does not
    /// know, or knows elsewhere.
    Claim {
        /// The network.
        network: NetworkIndex,
        /// The address.
        address: IpAddr,
        /// Whose it is.
        neighbour: Neighbour,
    },
    /// A packet waits for a neighbour that nobody knows.
    Wanted {
        /// The router's interface in the neighbour's network.
        gateway: AdjacencyIndex,
        /// The neighbour's address.
        address: IpAddr,
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

/// A whole frame on its way between a worker and the control thread: DHCP and
/// router discovery. Within the least MTU that IPv6 has (RFC 8200, 5) and some more.
pub type LargeFrame = ArrayVec<u8, 1536>;

/// What a service is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// DHCPv4.
    Dhcp4,
    /// DHCPv6.
    Dhcp6,
    /// A router solicitation.
    RouterSolicitation,
}

/// A frame that a service of the control thread answers.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is.
    pub service: Service,
    /// The network it came from.
    pub network: NetworkIndex,
    /// The way it came.
    pub ingress: AdjacencyIndex,
    /// The frame, untagged.
    pub frame: LargeFrame,
}

/// A frame from the control thread into a network.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The network.
    pub network: NetworkIndex,
    /// To whom.
    pub to: Recipients,
    /// The frame, untagged.
    pub frame: LargeFrame,
}

/// Who gets a frame from the control thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipients {
    /// Whoever is behind one way out.
    One(AdjacencyIndex),
    /// All of the network on this host.
    Here,
    /// All of the network.
    All,
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
    /// A neighbour has said where it is: packets may be waiting for it.
    Resume,
}

/// Questions and deliveries that may wait: each is a whole frame.
const LARGE: usize = 128;

/// The queues between one worker and the control thread.
pub struct Channel {
    /// Worker to control thread: [`Event::Seen`]. Tenants can fill it.
    seen: ArrayQueue<Event>,
    /// Worker to control thread: what stations say of their addresses.
    stations: ArrayQueue<Event>,
    /// Worker to control thread: what was heard on the underlay. Apart, so that a
    /// tenant's flood of new MACs cannot keep next hops from being heard.
    underlay: ArrayQueue<Event>,
    /// Worker to control thread: what services are asked.
    pub asked: ArrayQueue<Asked>,
    /// Control thread to worker.
    pub commands: ArrayQueue<Command>,
    /// Control thread to worker: frames into networks.
    pub deliveries: ArrayQueue<Delivery>,
    /// To and from the worker's translator.
    pub nat: NatChannel,
}

impl Channel {
    /// Room for `events` of each kind and `commands` that nobody has fetched yet.
    pub fn new(events: usize, commands: usize) -> Self {
        Self {
            seen: ArrayQueue::new(events),
            stations: ArrayQueue::new(events),
            underlay: ArrayQueue::new(events),
            asked: ArrayQueue::new(LARGE),
            commands: ArrayQueue::new(commands),
            deliveries: ArrayQueue::new(LARGE),
            nat: NatChannel::default(),
        }
    }

    /// Puts an event into its queue; `false` when that is full.
    pub(crate) fn push(&self, event: Event) -> bool {
        let queue = match event {
            Event::Seen { .. } => &self.seen,
            Event::Claim { .. } | Event::Wanted { .. } => &self.stations,
            Event::Neighbour { .. } | Event::MembershipQuery { .. } => &self.underlay,
        };
        queue.push(event).is_ok()
    }

    /// The next event, those of the underlay first.
    pub fn pop(&self) -> Option<Event> {
        self.underlay
            .pop()
            .or_else(|| self.stations.pop())
            .or_else(|| self.seen.pop())
    }

    /// The most events that can wait.
    pub fn capacity(&self) -> usize {
        self.seen.capacity() + self.stations.capacity() + self.underlay.capacity()
    }
}
