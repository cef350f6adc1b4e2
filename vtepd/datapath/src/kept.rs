//! Packets that wait for a word of the translator: fragments for the first of their datagram,
//! SYNs that nobody waits for. It knows them by number and says when they go on.

use crate::context::Handed;

/// The packets of one worker that wait. All places are there from the start.
pub struct Kept<P> {
    places: Box<[Option<(P, Handed)>]>,
    len: usize,
}

impl<P> Kept<P> {
    /// Room for numbers below `most`.
    pub fn new(most: usize) -> Self {
        Self {
            places: (0..most).map(|_| None).collect(),
            len: 0,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps a packet. Returns one that finds no place: this one, if the translator has larger
    /// numbers than there are places, or one that it has forgotten.
    pub(crate) fn keep(&mut self, number: u32, packet: P, handed: Handed) -> Option<P> {
        let Some(place) = self.places.get_mut(number as usize) else {
            return Some(packet);
        };
        let forgotten = place.replace((packet, handed));
        self.len += usize::from(forgotten.is_none());
        forgotten.map(|(packet, _)| packet)
    }

    /// The packet with a number, which waits no longer.
    pub(crate) fn take(&mut self, number: u32) -> Option<(P, Handed)> {
        let taken = self.places.get_mut(number as usize)?.take()?;
        self.len -= 1;
        Some(taken)
    }
}
