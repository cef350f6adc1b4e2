//! Packets that wait for their neighbour to say where he is, so that the first one of a
//! conversation is not lost (RFC 1122, 2.3.2.2: save at least one).
//!
//! Bounded in number, for each port and in time: whoever scans an empty subnet fills his
//! own places only, and not those of others.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use vtepd_tables::{AdjacencyIndex, NetworkIndex, View};

use crate::context::Frame;

/// Packets of one worker that may wait.
const PLACES: usize = 64;
/// Packets that may wait of those that came in by one port, or from one VTEP.
const PLACES_OF_PORT: usize = 8;
/// Seconds that a packet waits: as long as its neighbour is asked for.
const PATIENCE: u16 = 3;

/// Where a packet was when it had to wait.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The frame.
    pub frame: Frame,
    /// The router's interface that it was sent to.
    pub at: AdjacencyIndex,
    /// The network that it leaves to.
    pub network: NetworkIndex,
    /// Who is asked for there.
    pub address: IpAddr,
}

struct Place<P> {
    packet: P,
    waiting: Waiting,
    since: u16,
}

/// The packets of one worker that wait.
pub struct Held<P> {
    places: ArrayVec<Place<P>, PLACES>,
}

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self {
            places: ArrayVec::new(),
        }
    }
}

/// A packet that waits no longer.
pub(crate) struct Freed<P> {
    pub packet: P,
    pub waiting: Waiting,
    /// Whether nobody has answered.
    pub in_vain: bool,
}

impl<P> Held<P> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Keeps a packet from the second `now` on; gives it back when there is no place.
    pub(crate) fn keep(&mut self, packet: P, waiting: Waiting, now: u16) -> Option<P> {
        let ingress = waiting.frame.ingress;
        let of_port = |place: &&Place<P>| place.waiting.frame.ingress == ingress;
        if self.places.iter().filter(of_port).count() >= PLACES_OF_PORT {
            return Some(packet);
        }
        let place = Place {
            packet,
            waiting,
            since: now,
        };
        match self.places.try_push(place) {
            Ok(()) => None,
            Err(full) => Some(full.element().packet),
        }
    }

    /// The next packet whose neighbour is known by now, or that has waited long enough.
    /// The order of those that wait for one neighbour is kept.
    pub(crate) fn free(&mut self, tables: &View<'_>, now: u16) -> Option<Freed<P>> {
        let is_known = |waiting: &Waiting| {
            let neighbour = tables.neighbours.find(waiting.network, waiting.address);
            neighbour.is_some()
        };
        let position = self.places.iter().position(|place| {
            now.wrapping_sub(place.since) >= PATIENCE || is_known(&place.waiting)
        })?;
        let place = self.places.pop_at(position)?;
        Some(Freed {
            in_vain: !is_known(&place.waiting),
            packet: place.packet,
            waiting: place.waiting,
        })
    }
}
