//! Fragments: only the first has the ports, so it makes the others known (RFC 4787, REQ-14).
//!
//! ```text
//!   first ─────────────► Known (ports) ◄─ later: translated by its session, addresses alone
//!   later, none known ─► Waiting: held ── first comes: all go on; is refused or late: all dropped
//! ```
//!
//! A datagram is known by addresses, protocol and identification, until all of it has passed or for a few seconds; there are
//! so many at a time and no more, of each tenant too, so that a flood of fragments fills the flooded tenant's share alone.

use vtepd_wire::hash::KeyedHash;

use crate::holds::{ByDatagram, Holds};
use crate::index::Index;
use crate::list::{Linked, Links, List};
use crate::settings::Limits;
use crate::slab::Slab;
use crate::subscriber::Subscribers;
use crate::tcp::Direction;
use crate::verdict::{Fate, PortPair, Refusal};

struct ByAge;

/// What the first fragment told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) ports: PortPair,
    /// What the datagram's identification was changed to.
    pub(crate) identification: u16,
}

/// Which bytes of its datagram a fragment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Piece {
    /// From the beginning of the datagram's payload.
    pub(crate) offset: u32,
    pub(crate) len: u32,
    /// Nothing comes behind it.
    pub(crate) last: bool,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Waiting,
    Known(Known),
    Refused,
}

#[derive(Clone, Default)]
struct Datagram {
    key: u128,
    born: u32,
    subscriber: u16,
    state: State,
    /// Bytes that have passed. Those that come twice count twice: what follows then waits in vain.
    passed: u32,
    /// All there are, once the last fragment has told.
    length: Option<u32>,
    held: List,
    links: Links,
}

impl Datagram {
    /// A fragment passes. `true` when all of it has.
    fn pass(&mut self, piece: Piece) -> bool {
        self.passed = self.passed.saturating_add(piece.len);
        if piece.last {
            self.length = Some(piece.offset.saturating_add(piece.len));
        }
        self.length.is_some_and(|length| self.passed >= length)
    }
}

impl Linked<ByAge> for Datagram {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// What becomes of a later fragment.
pub(crate) enum Later {
    Known(Known),
    Held(u32),
}

/// Whose tables are used besides: what fragments take is counted to tenants.
pub(crate) struct With<'t> {
    pub(crate) holds: &'t mut Holds,
    pub(crate) subscribers: &'t mut Subscribers,
    pub(crate) limits: &'t Limits,
    pub(crate) subscriber: u16,
}

/// All datagrams of one worker that are under way.
pub(crate) struct Fragments {
    slab: Slab<Datagram>,
    index: Index,
    /// Oldest first; all live equally long.
    ages: List,
    hash: KeyedHash,
}

impl Fragments {
    pub(crate) fn new(capacity: u32, hash: KeyedHash) -> Self {
        Self {
            slab: Slab::new(capacity),
            index: Index::new(capacity),
            ages: List::default(),
            hash,
        }
    }

    fn find(&self, key: u128) -> Option<u32> {
        self.index.find(self.hash.hash_u128(key), |number| {
            self.slab
                .get(number)
                .is_some_and(|datagram| datagram.key == key)
        })
    }

    fn enter(
        &mut self,
        key: u128,
        state: State,
        with: &mut With<'_>,
        now: u32,
    ) -> Result<u32, Refusal> {
        if self.slab.is_full()
            || !with
                .subscribers
                .admit_fragment(with.subscriber, with.limits)
        {
            return Err(Refusal::FragmentLimit);
        }
        let datagram = Datagram {
            key,
            born: now,
            subscriber: with.subscriber,
            state,
            ..Datagram::default()
        };
        let number = self.slab.insert(datagram).ok_or(Refusal::FragmentLimit)?;
        self.index.insert(self.hash.hash_u128(key), number);
        self.ages.push::<ByAge, _>(&mut self.slab, number);
        Ok(number)
    }

    /// What the first fragment of a datagram told already, if it came before.
    pub(crate) fn known(&self, key: u128) -> Option<Known> {
        match self.slab.get(self.find(key)?)?.state {
            State::Known(known) => Some(known),
            _ => None,
        }
    }

    /// A first fragment has come, and was translated or refused.
    pub(crate) fn first(
        &mut self,
        key: u128,
        piece: Piece,
        told: Result<Known, Refusal>,
        direction: Direction,
        with: &mut With<'_>,
        now: u32,
    ) -> Result<(), Refusal> {
        let state = told.map_or(State::Refused, State::Known);
        let number = match (self.find(key), told) {
            (Some(number), _) => number,
            (None, Ok(_)) => self.enter(key, State::Waiting, with, now)?,
            // Of a refused datagram nothing is kept: its later fragments will wait in vain.
            (None, Err(_)) => return Ok(()),
        };
        if let Some(datagram) = self.slab.get_mut(number) {
            let before = core::mem::replace(&mut datagram.state, state);
            // It may come twice, and passes once. Nor is it ever the last.
            if matches!(before, State::Waiting) {
                datagram.pass(piece);
            }
        }
        let fate = match told {
            Ok(_) => Fate::Resume(direction),
            Err(_) => Fate::Drop(Refusal::FragmentRefused),
        };
        self.release(number, fate, with.holds, with.subscribers);
        Ok(())
    }

    /// A later fragment has come.
    pub(crate) fn later(
        &mut self,
        key: u128,
        piece: Piece,
        with: &mut With<'_>,
        now: u32,
    ) -> Result<Later, Refusal> {
        let number = match self.find(key) {
            Some(number) => number,
            None => self.enter(key, State::Waiting, with, now)?,
        };
        let datagram = self.slab.get_mut(number).ok_or(Refusal::FragmentLimit)?;
        match datagram.state {
            State::Known(known) => {
                if datagram.pass(piece) {
                    self.forget(number, with.subscribers);
                }
                Ok(Later::Known(known))
            }
            State::Refused => Err(Refusal::FragmentRefused),
            State::Waiting => {
                let subscriber = datagram.subscriber;
                let held = with
                    .holds
                    .hold(subscriber, with.subscribers, with.limits)
                    .ok_or(Refusal::FragmentLimit)?;
                datagram
                    .held
                    .push::<ByDatagram, _>(&mut with.holds.slab, held);
                Ok(Later::Held(held))
            }
        }
    }

    fn release(
        &mut self,
        number: u32,
        fate: Fate,
        holds: &mut Holds,
        subscribers: &mut Subscribers,
    ) {
        let Some(datagram) = self.slab.get_mut(number) else {
            return;
        };
        while let Some(held) = datagram.held.first() {
            datagram.held.remove::<ByDatagram, _>(&mut holds.slab, held);
            holds.release(held, fate, subscribers);
        }
    }

    /// Forgets what is older than `lifetime`; what still waited is dropped.
    pub(crate) fn expire(
        &mut self,
        now: u32,
        lifetime: u32,
        holds: &mut Holds,
        subscribers: &mut Subscribers,
        work: &mut u32,
    ) {
        while *work > 0
            && let Some(number) = self.ages.first()
            && let Some(datagram) = self.slab.get(number)
            && datagram.born.saturating_add(lifetime) <= now
        {
            *work -= 1;
            let fate = Fate::Drop(Refusal::FragmentTimeout);
            self.release(number, fate, holds, subscribers);
            self.forget(number, subscribers);
        }
    }

    /// Takes a datagram out of which none is held.
    fn forget(&mut self, number: u32, subscribers: &mut Subscribers) {
        let Some(datagram) = self.slab.get(number) else {
            return;
        };
        let (key, subscriber) = (datagram.key, datagram.subscriber);
        self.ages.remove::<ByAge, _>(&mut self.slab, number);
        self.index.remove(self.hash.hash_u128(key), number);
        self.slab.remove(number);
        subscribers.remove_fragment(subscriber);
    }

    pub(crate) fn used(&self) -> usize {
        self.slab.used()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.index.bytes()
    }
}
