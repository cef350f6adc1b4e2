//! One kind's records: a slab addressed by handles, and their order.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::RangeBounds;

use hashbrown::HashMap;

use crate::resources::Kind;

/// A small number that stands for one record while it lives: an index for the control plane's own tables.
///
/// A freed handle is given out again, but never within the transaction that freed it.
pub struct Handle<K>(u32, PhantomData<fn() -> K>);

impl<K> Handle<K> {
    /// The handle with this index.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index, PhantomData)
    }

    /// The number, dense from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number as it is stored.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Handle<K> {}
impl<K> PartialEq for Handle<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Handle<K> {}
impl<K> PartialOrd for Handle<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Handle<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> Hash for Handle<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The records of one kind.
#[derive(Debug)]
pub struct Table<K: Kind> {
    slots: Vec<Option<K>>,
    order: BTreeMap<K::Order, Handle<K>>,
    free: Vec<u32>,
}

impl<K: Kind> Default for Table<K> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            order: BTreeMap::new(),
            free: Vec::new(),
        }
    }
}

impl<K: Kind> Table<K> {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The record, while the handle lives.
    #[must_use]
    pub fn get(&self, handle: Handle<K>) -> Option<&K> {
        self.slots.get(handle.index())?.as_ref()
    }

    /// The handle of the record that stands here in the order.
    #[must_use]
    pub fn find(&self, order: &K::Order) -> Option<Handle<K>> {
        self.order.get(order).copied()
    }

    /// Every record, by handle.
    pub fn iter(&self) -> impl Iterator<Item = (Handle<K>, &K)> {
        let slots = (0..).map(Handle::new).zip(&self.slots);
        slots.filter_map(|(handle, record)| Some((handle, record.as_ref()?)))
    }

    /// Records in their order, those of the range.
    pub fn range(
        &self,
        range: impl RangeBounds<K::Order>,
    ) -> impl Iterator<Item = (&K::Order, Handle<K>, &K)> {
        let range = self.order.range(range);
        range.filter_map(|(order, &handle)| Some((order, handle, self.get(handle)?)))
    }

    /// One more than the largest handle ever given out.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.slots.len()
    }

    /// The `nth` handle a transaction may give out: freed ones first, then new ones.
    fn vacant(&self, nth: usize) -> Handle<K> {
        match self.free.len().checked_sub(nth + 1) {
            Some(at) => Handle::new(self.free[at]),
            None => Handle::new(index(self.slots.len() + nth - self.free.len())),
        }
    }

    /// Takes over what a transaction did. Cannot fail: everything was checked before.
    pub(super) fn merge(&mut self, staged: StagedTable<K>) {
        let reused = staged.created.min(self.free.len());
        self.free.truncate(self.free.len() - reused);
        self.slots
            .resize_with(self.slots.len() + staged.created - reused, || None);
        self.merge_order(staged.order);
        for change in staged.changes {
            if change.new.is_none() {
                self.free.push(change.handle.get());
            }
            self.slots[change.handle.index()] = change.new;
        }
    }

    fn merge_order(&mut self, staged: BTreeMap<K::Order, Option<Handle<K>>>) {
        // Rebuilding the tree beats inserting one by one once the change is of the tree's
        // own order, and leaves its nodes full instead of two thirds full.
        if staged.len() > self.order.len() / 4 {
            for (at, _) in staged.iter().filter(|(_, handle)| handle.is_none()) {
                self.order.remove(at);
            }
            let created = staged
                .into_iter()
                .filter_map(|(at, handle)| Some((at, handle?)));
            self.order.append(&mut created.collect());
            return;
        }
        // In no order: ascending ones leave nodes half full, which would be 20 bytes more for each of a million routes.
        let mut staged: Vec<_> = staged.into_iter().collect();
        let mixed = |handle: Handle<K>| handle.get().wrapping_mul(0x9e37_79b9);
        staged.sort_unstable_by_key(|(_, handle)| handle.map(mixed));
        for (at, handle) in staged {
            match handle {
                Some(handle) => self.order.insert(at, handle),
                None => self.order.remove(&at),
            };
        }
    }
}

/// What a transaction does to one kind. It lies over the table, which stays as it is until the end.
#[derive(Debug)]
pub struct StagedTable<K: Kind> {
    changes: Vec<StagedChange<K>>,
    by_handle: HashMap<Handle<K>, u32>,
    /// Places in the order that came (their handle) or went (`None`).
    order: BTreeMap<K::Order, Option<Handle<K>>>,
    created: usize,
}

#[derive(Debug)]
struct StagedChange<K> {
    handle: Handle<K>,
    new: Option<K>,
}

impl<K: Kind> Default for StagedTable<K> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            by_handle: HashMap::new(),
            order: BTreeMap::new(),
            created: 0,
        }
    }
}

impl<K: Kind> StagedTable<K> {
    /// How many records are touched.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// The record after, if this transaction touches it: `Some(None)` is one that goes.
    pub(super) fn get(&self, handle: Handle<K>) -> Option<Option<&K>> {
        if self.changes.is_empty() {
            return None;
        }
        self.by_handle
            .get(&handle)
            .map(|&at| self.changes[at as usize].new.as_ref())
    }

    /// The handle at a place in the order after, if this transaction creates or removes it.
    pub(super) fn find(&self, order: &K::Order) -> Option<Option<Handle<K>>> {
        if self.order.is_empty() {
            return None;
        }
        self.order.get(order).copied()
    }

    /// Touched handles and their records after.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle<K>, Option<&K>)> {
        self.changes
            .iter()
            .map(|change| (change.handle, change.new.as_ref()))
    }

    /// The records created within a range of the order.
    pub(super) fn created(
        &self,
        range: impl RangeBounds<K::Order>,
    ) -> impl Iterator<Item = Handle<K>> {
        let range = self.order.range(range);
        range.filter_map(|(_, handle)| *handle)
    }

    pub(super) fn create(&mut self, table: &Table<K>, record: K) -> Handle<K> {
        let handle = table.vacant(self.created);
        self.created += 1;
        self.order.insert(record.order(), Some(handle));
        self.set(handle, Some(record));
        handle
    }

    pub(super) fn change(&mut self, handle: Handle<K>, record: K) {
        self.set(handle, Some(record));
    }

    pub(super) fn remove(&mut self, handle: Handle<K>, order: K::Order) {
        self.order.insert(order, None);
        self.set(handle, None);
    }

    fn set(&mut self, handle: Handle<K>, new: Option<K>) {
        let next = index(self.changes.len());
        let at = *self.by_handle.entry(handle).or_insert(next);
        match self.changes.get_mut(at as usize) {
            Some(change) => change.new = new,
            None => self.changes.push(StagedChange { handle, new }),
        }
    }
}

/// Slabs hold fewer than 2³² records: at 80 bytes each that would be 320 GiB.
fn index(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 records of one kind")
}
