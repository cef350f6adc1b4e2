//! Watching decisions. The stages are generic over an observer: with
//! [`Unobserved`] the calls compile to nothing and the stages are the fast path;
//! with [`Recorder`] the same code says what it did with each packet and why.

use core::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use vtepd_tables::{AdjacencyIndex, FdbEntry, InterfaceIndex, Neighbour, NetworkIndex, VrfIndex};

use crate::drop_reason::DropReason;
use crate::event::Service;

/// Why a packet was translated to what it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Its station has a floating IP.
    FloatingIp,
    /// Its station's port is forwarded to.
    Forwarding,
    /// It belongs to a session, or has opened one.
    Session {
        /// It has opened it.
        new: bool,
    },
}

/// Why a packet was not translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exemption {
    /// The other end is reached without translation.
    Exempt,
    /// The outside knows the station by its own address.
    SameScope,
}

/// A decision of the packet path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// A packet of the underlay.
    Underlay,
    /// Came in by a binding of a network.
    Bound(NetworkIndex, AdjacencyIndex),
    /// A VXLAN packet was terminated: VNI, network, the sender's adjacency.
    Terminated(u32, NetworkIndex, AdjacencyIndex),
    /// The source MAC is unknown or has moved; the control thread was told.
    Learn(AdjacencyIndex),
    /// ARP or ND was answered from the neighbour table.
    Suppressed,
    /// The source is another host's DVR host MAC: that host's router has sent it.
    FromHost,
    /// The sender says that an address is his, which is news.
    Claim(IpAddr, Neighbour),
    /// A question to a service of the control thread.
    Asked(Service),
    /// To a router's interface.
    Gateway(AdjacencyIndex),
    /// The longest prefix leads out of a router's interface.
    Route {
        /// The router's address space.
        vrf: VrfIndex,
        /// The interface that it leaves by.
        out: AdjacencyIndex,
        /// The next hop; `None`: the destination itself is the neighbour.
        via: Option<IpAddr>,
    },
    /// The next hop is known.
    Neighbour(Neighbour),
    /// The next hop is not known: it is asked for through a router's interface.
    Wanted(AdjacencyIndex, IpAddr),
    /// The packet waits for the next hop.
    Held,
    /// The packet was turned into the ICMP error about it, and counted as dropped.
    Error(DropReason),
    /// A gateway answers.
    Answered,
    /// Outside is reached by way of another host, or of another gateway of this one: the
    /// address of either in the network.
    Central(IpAddr),
    /// It was translated.
    Translated {
        /// Why so.
        by: Rule,
        /// The IP protocol.
        protocol: u8,
        /// Who sent it to whom, with ports or, of an echo, its identifier.
        from: [SocketAddrV4; 2],
        /// The same afterwards.
        to: [SocketAddrV4; 2],
    },
    /// It passes between inside and outside as it is.
    Untranslated(Exemption),
    /// It leaves to an external network and is for this host there: it comes in again, at a
    /// gateway.
    Hairpin(AdjacencyIndex),
    /// Its translation is another worker's.
    HandedOver(u16),
    /// It waits until it can be translated: for the first fragment of its datagram, or for an
    /// answer to its SYN.
    Kept,
    /// Of the metadata proxy, by this address.
    Asks(Ipv4Addr),
    /// Leaves to the metadata proxy by an interface.
    ToProxy(InterfaceIndex),
    /// From the metadata proxy to a port of a network.
    FromProxy(NetworkIndex, AdjacencyIndex),
    /// Leaves in so many parts.
    Fragments(u8),
    /// A message to us that needs no answer.
    Consumed,
    /// The FDB knows the destination.
    Known(FdbEntry),
    /// The FDB does not know the destination.
    Unknown,
    /// Goes to everybody in the network but where it came from.
    Flood,
    /// Leaves by an adjacency.
    Out(AdjacencyIndex),
    /// Leaves by an interface as it is.
    Reply(InterfaceIndex),
    /// Goes no further.
    Drop(DropReason),
}

/// Someone who is told about decisions.
pub trait Observer {
    /// Whether it listens: what is found out for it alone need not be otherwise.
    const LISTENS: bool = true;

    /// The packet at `position` of the burst was decided upon.
    fn note(&mut self, position: usize, decision: Decision);
}

/// Nobody: the fast path.
pub struct Unobserved;

impl Observer for Unobserved {
    const LISTENS: bool = false;

    #[inline(always)]
    fn note(&mut self, _: usize, _: Decision) {}
}

/// Keeps every decision.
#[derive(Default)]
pub struct Recorder {
    /// Position in the burst and decision, in the order they were made.
    pub decisions: Vec<(usize, Decision)>,
}

impl Observer for Recorder {
    fn note(&mut self, position: usize, decision: Decision) {
        self.decisions.push((position, decision));
    }
}
