//! The targets of a VRF's routes, each kept once and known by a number of 16 bits.

use std::sync::Arc;

use super::target::Target;
use crate::table::TableFull;

/// Different targets of a VRF at most: all numbers but the one for "none".
pub(super) const CAPACITY: usize = u16::MAX as usize;

/// Targets by number, counted.
#[derive(Default)]
pub(super) struct Targets {
    /// By number less one.
    slots: Vec<Slot>,
    /// Numbers of those in use, in order of their targets.
    order: Vec<u16>,
    /// Numbers that are free again.
    free: Vec<u16>,
    changed: bool,
}

struct Slot {
    target: Target,
    routes: u32,
}

impl Targets {
    /// The number of a target, for one route more.
    pub(super) fn take(&mut self, target: Target) -> Result<u16, TableFull> {
        let place = self.place(&target);
        if let Ok(place) = place {
            let number = self.order[place];
            self.slot(number).routes += 1;
            return Ok(number);
        }
        let slot = Slot { target, routes: 1 };
        let number = if let Some(number) = self.free.pop() {
            *self.slot(number) = slot;
            number
        } else {
            let number = u16::try_from(self.slots.len() + 1).map_err(|_| TableFull {
                table: "route target",
                capacity: CAPACITY,
            })?;
            self.slots.push(slot);
            number
        };
        let (Ok(place) | Err(place)) = place;
        self.order.insert(place, number);
        self.changed = true;
        Ok(number)
    }

    /// One route less leads there.
    pub(super) fn release(&mut self, number: u16) {
        let slot = self.slot(number);
        slot.routes -= 1;
        if slot.routes > 0 {
            return;
        }
        if let Ok(place) = self.place(self.get(number)) {
            self.order.remove(place);
        }
        // What it was may have memory of its own.
        self.slot(number).target = Target::Unreachable;
        self.free.push(number);
    }

    /// Targets that routes lead to.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn get(&self, number: u16) -> &Target {
        &self.slots[usize::from(number) - 1].target
    }

    fn slot(&mut self, number: u16) -> &mut Slot {
        &mut self.slots[usize::from(number) - 1]
    }

    fn place(&self, target: &Target) -> Result<usize, usize> {
        self.order
            .binary_search_by(|number| self.get(*number).cmp(target))
    }

    /// All by number less one, if there are new ones since the last call.
    pub(super) fn publish(&mut self) -> Option<Arc<[Target]>> {
        std::mem::take(&mut self.changed)
            .then(|| self.slots.iter().map(|slot| slot.target.clone()).collect())
    }

    /// Memory, in bytes, without that of lists of next hops, which is shared with
    /// readers.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + (self.order.capacity() + self.free.capacity()) * size_of::<u16>()
    }
}
