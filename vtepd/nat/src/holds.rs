//! Packets that wait. They stay with the caller; here they are numbers.

use std::collections::VecDeque;

use crate::list::{Linked, Links};
use crate::settings::Limits;
use crate::slab::Slab;
use crate::subscriber::Subscribers;
use crate::verdict::{Fate, Release};

/// The kind of list that the packets of one datagram are in.
pub(crate) struct ByDatagram;

#[derive(Clone, Default)]
pub(crate) struct Hold {
    links: Links,
    subscriber: u16,
}

impl Linked<ByDatagram> for Hold {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// All of one worker's. A number is in use until its release has been taken.
pub(crate) struct Holds {
    pub(crate) slab: Slab<Hold>,
    releases: VecDeque<Release>,
}

impl Holds {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            slab: Slab::new(capacity),
            releases: VecDeque::with_capacity(capacity as usize),
        }
    }

    /// A number for one more packet of a tenant.
    pub(crate) fn hold(
        &mut self,
        subscriber: u16,
        subscribers: &mut Subscribers,
        defaults: &Limits,
    ) -> Option<u32> {
        if self.slab.is_full() || !subscribers.admit_fragment(subscriber, defaults) {
            return None;
        }
        self.slab.insert(Hold {
            links: Links::default(),
            subscriber,
        })
    }

    /// Decides on a packet.
    pub(crate) fn release(&mut self, number: u32, fate: Fate, subscribers: &mut Subscribers) {
        if let Some(hold) = self.slab.get(number) {
            subscribers.remove_fragment(hold.subscriber);
            self.releases.push_back(Release { number, fate });
        }
    }

    /// The next decision.
    pub(crate) fn next(&mut self) -> Option<Release> {
        let release = self.releases.pop_front()?;
        self.slab.remove(release.number);
        Some(release)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.releases.capacity() * size_of::<Release>()
    }
}
