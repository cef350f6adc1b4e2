//! Packets that wait for their neighbour to say where he is, so that the first one of a
//! conversation is not lost (RFC 1122, 2.3.2.2: save at least one).
//!
//! Bounded in number, for each station and in time: whoever scans an empty subnet fills his
//! own places only; when all are taken, the port that has most of them gives one up. Stations behind
//! a tunnel or a segment are told by their addresses, which may be forged there: all of them
//! together do not take all places.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use vtepd_tables::{AdjacencyIndex, NetworkIndex, View};
use vtepd_wire::{FromBytes, ethernet, ipv4, ipv6};

use super::L3;
use crate::context::Frame;
use crate::packet::Packet;

/// Packets of one worker that may wait.
const PLACES: usize = 64;
/// Packets of one station that may wait: that came in by one port or, from other hosts, have one source.
const PLACES_OF_STATION: usize = 8;
/// Packets that may wait of those that came from one VTEP, or by one segment.
const PLACES_OF_WAY: usize = 48;
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
    /// Whose it is, by its own account.
    source: Option<IpAddr>,
    waiting: Waiting,
    since: u16,
    /// Of the tables that the indices in `waiting` are from.
    generation: u32,
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
    /// What has become of it.
    pub fate: Fate,
}

/// What has become of a packet that waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Its neighbour is known.
    Known,
    /// Nobody has answered.
    InVain,
    /// The tables have given away an index since: what it waited for may be another's.
    Outdated,
}

impl<P: Packet> Held<P> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Keeps a packet from the second `now` on. Returns one that finds no place: this one,
    /// or the last of the way in that has most.
    pub(crate) fn keep(
        &mut self,
        tables: &View<'_>,
        packet: P,
        waiting: Waiting,
        now: u16,
    ) -> Option<P> {
        let taken = self.taken_by(waiting.frame.ingress);
        let source = source(&waiting.frame, packet.data());
        let (most, of_station) = match waiting.frame.is_from_outside() {
            true => (PLACES_OF_WAY, self.taken_by_station(&waiting, source)),
            false => (PLACES_OF_STATION, taken),
        };
        if taken >= most || of_station >= PLACES_OF_STATION {
            return Some(packet);
        }
        let mut evicted = None;
        if self.places.is_full() {
            let ports = self.places.iter().map(|place| place.waiting.frame.ingress);
            let greediest = ports.max_by_key(|port| self.taken_by(*port))?;
            if self.taken_by(greediest) <= taken + 1 {
                return Some(packet);
            }
            let mut places = self.places.iter();
            let last = places.rposition(|place| place.waiting.frame.ingress == greediest)?;
            evicted = self.places.pop_at(last).map(|place| place.packet);
        }
        let place = Place {
            packet,
            source,
            waiting,
            since: now,
            generation: tables.snapshot.generation,
        };
        match self.places.try_push(place) {
            Ok(()) => evicted,
            Err(full) => Some(full.element().packet),
        }
    }

    fn taken_by(&self, port: AdjacencyIndex) -> usize {
        let ports = self.places.iter().map(|place| place.waiting.frame.ingress);
        ports.filter(|other| *other == port).count()
    }

    fn taken_by_station(&self, waiting: &Waiting, source: Option<IpAddr>) -> usize {
        let way = |frame: &Frame| (frame.ingress, frame.network);
        let same = |place: &&Place<P>| {
            way(&place.waiting.frame) == way(&waiting.frame) && place.source == source
        };
        self.places.iter().filter(same).count()
    }

    /// The next packet whose neighbour is known by now, or that has waited long enough.
    /// The order of those that wait for one neighbour is kept.
    pub(crate) fn free(&mut self, tables: &View<'_>, now: u16) -> Option<Freed<P>> {
        let is_known = |waiting: &Waiting| {
            let neighbour = tables.neighbours.find(waiting.network, waiting.address);
            neighbour.is_some()
        };
        let fate = |place: &Place<P>| {
            if place.generation != tables.snapshot.generation {
                Some(Fate::Outdated)
            } else if is_known(&place.waiting) {
                Some(Fate::Known)
            } else {
                (now.wrapping_sub(place.since) >= PATIENCE).then_some(Fate::InVain)
            }
        };
        let mut fates = self.places.iter().map(fate).enumerate();
        let (position, fate) = fates.find_map(|(position, fate)| Some((position, fate?)))?;
        let place = self.places.pop_at(position)?;
        Some(Freed {
            fate,
            packet: place.packet,
            waiting: place.waiting,
        })
    }
}

/// Who has sent a routed packet.
fn source(frame: &Frame, data: &[u8]) -> Option<IpAddr> {
    let packet = data.get(L3..)?;
    if frame.ethertype == ethernet::ETHERTYPE_IPV4 {
        let (header, _) = ipv4::Header::ref_from_prefix(packet).ok()?;
        return Some(header.source_addr().into());
    }
    let (header, _) = ipv6::Header::ref_from_prefix(packet).ok()?;
    Some(header.source_addr().into())
}
