//! Doubly linked lists through the places of a slab: in and out in constant time, no memory of their own.

use crate::slab::{NONE, Slab};

/// An entry's neighbours in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    next: u32,
    previous: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            next: NONE,
            previous: NONE,
        }
    }
}

impl Links {
    /// The entry behind this one.
    pub(crate) fn next(&self) -> Option<u32> {
        (self.next != NONE).then_some(self.next)
    }
}

/// An entry that can be in a list of the kind `K`: one list of a kind at a time.
pub(crate) trait Linked<K> {
    fn links(&mut self) -> &mut Links;
}

/// First in, first out, or out from anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }
}

impl List {
    /// The entry that has been in for the longest time.
    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Puts in an entry that is in no list of this kind.
    pub(crate) fn push<K, T: Linked<K>>(&mut self, slab: &mut Slab<T>, number: u32) {
        let previous = core::mem::replace(&mut self.last, number);
        match slab.get_mut(previous) {
            Some(entry) => entry.links().next = number,
            None => self.first = number,
        }
        if let Some(entry) = slab.get_mut(number) {
            *entry.links() = Links {
                next: NONE,
                previous,
            };
        }
    }

    /// As [`push`](Self::push), before all others.
    pub(crate) fn push_front<K, T: Linked<K>>(&mut self, slab: &mut Slab<T>, number: u32) {
        let next = core::mem::replace(&mut self.first, number);
        match slab.get_mut(next) {
            Some(entry) => entry.links().previous = number,
            None => self.last = number,
        }
        if let Some(entry) = slab.get_mut(number) {
            *entry.links() = Links {
                next,
                previous: NONE,
            };
        }
    }

    /// Takes out an entry that is in.
    pub(crate) fn remove<K, T: Linked<K>>(&mut self, slab: &mut Slab<T>, number: u32) {
        let Some(entry) = slab.get_mut(number) else {
            return;
        };
        let Links { next, previous } = core::mem::take(entry.links());
        match slab.get_mut(previous) {
            Some(entry) => entry.links().next = next,
            None => self.first = next,
        }
        match slab.get_mut(next) {
            Some(entry) => entry.links().previous = previous,
            None => self.last = previous,
        }
    }
}
