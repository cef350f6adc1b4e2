//! The timing wheel: what ends when, exact to a second, without a scan.
//!
//! ```text
//!   slot = second mod 8192:  [ ]─[ ]─[●]─[ ]─ …      each slot a list through its entries
//!                                    │
//!                            due: ended, or armed anew when it was used meanwhile
//! ```
//!
//! Use of an entry writes the second into the entry alone, in the cache line that the packet has read
//! anyway; the list it hangs in is touched only when it comes due (*lazy re-arm*), so that a refresh
//! costs one store a second and the wheel one visit per lifetime, whatever the number of entries.
//! Deadlines further away than the wheel is round are looked at once a turn.

use crate::list::{Linked, Links, List};
use crate::slab::Slab;

/// Seconds of a turn: the next power of two above 7440 s, the longest of the default timeouts.
const SLOTS: u32 = 8192;

/// The kind of list that a wheel's slots hold.
pub(crate) struct ByTime;

/// An entry's place in the wheel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer {
    pub(crate) links: Links,
    /// The second it comes due.
    armed: u32,
}

/// What can be timed.
pub(crate) trait Timed: Linked<ByTime> {
    fn timer(&mut self) -> &mut Timer;
}

/// The wheel over the places of one slab.
pub(crate) struct Wheel {
    slots: Box<[List]>,
    /// The second whose slot is being emptied. It lags behind only when ticks leave work over.
    second: u32,
}

impl Wheel {
    pub(crate) fn new(now: u32) -> Self {
        Self {
            slots: vec![List::default(); SLOTS as usize].into_boxed_slice(),
            second: now,
        }
    }

    fn slot(&mut self, armed: u32) -> Option<&mut List> {
        self.slots.get_mut((armed % SLOTS) as usize)
    }

    /// Hangs an entry in; it must not be in yet.
    pub(crate) fn arm<T: Timed>(&mut self, slab: &mut Slab<T>, number: u32, deadline: u32) {
        let armed = deadline.clamp(self.second, self.second.saturating_add(SLOTS - 1));
        if let Some(slot) = self.slot(armed) {
            slot.push(slab, number);
        }
        if let Some(entry) = slab.get_mut(number) {
            entry.timer().armed = armed;
        }
    }

    /// Takes an entry out.
    pub(crate) fn disarm<T: Timed>(&mut self, slab: &mut Slab<T>, number: u32) {
        let armed = slab.get_mut(number).map(|entry| entry.timer().armed);
        if let Some(slot) = armed.and_then(|armed| self.slot(armed)) {
            slot.remove(slab, number);
        }
    }

    /// An entry to come due earlier than it is armed for is hung anew; one to come due later
    /// stays.
    pub(crate) fn advance<T: Timed>(&mut self, slab: &mut Slab<T>, number: u32, deadline: u32) {
        if slab
            .get_mut(number)
            .is_some_and(|entry| deadline < entry.timer().armed)
        {
            self.disarm(slab, number);
            self.arm(slab, number, deadline);
        }
    }

    /// The next entry that is due, taken out; `None` when there is no more up to `now` or
    /// `work`, of which each step takes one, is used up.
    pub(crate) fn due<T: Timed>(
        &mut self,
        slab: &mut Slab<T>,
        now: u32,
        work: &mut u32,
    ) -> Option<u32> {
        while *work > 0 {
            *work -= 1;
            let first = self.slot(self.second).and_then(|slot| slot.first());
            if let Some(number) = first {
                self.disarm(slab, number);
                return Some(number);
            }
            if self.second >= now {
                return None;
            }
            // After a pause of more than a turn, every slot is visited once.
            let behind = now - self.second;
            self.second += 1 + behind.saturating_sub(SLOTS);
        }
        None
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Entry(Timer);

    impl Linked<ByTime> for Entry {
        fn links(&mut self) -> &mut Links {
            &mut self.0.links
        }
    }

    impl Timed for Entry {
        fn timer(&mut self) -> &mut Timer {
            &mut self.0
        }
    }

    fn drain(wheel: &mut Wheel, slab: &mut Slab<Entry>, now: u32) -> Vec<u32> {
        let mut work = u32::MAX;
        std::iter::from_fn(|| wheel.due(slab, now, &mut work)).collect()
    }

    #[test]
    fn due_in_the_second_and_not_before() {
        let mut slab = Slab::new(8);
        let mut wheel = Wheel::new(100);
        let number = slab.insert(Entry::default()).unwrap();
        wheel.arm(&mut slab, number, 7540);
        assert_eq!(drain(&mut wheel, &mut slab, 7539), []);
        assert_eq!(drain(&mut wheel, &mut slab, 7540), [number]);
    }

    #[test]
    fn work_is_bounded_and_none_is_lost() {
        let mut slab = Slab::new(1000);
        let mut wheel = Wheel::new(0);
        for _ in 0..1000 {
            let number = slab.insert(Entry::default()).unwrap();
            wheel.arm(&mut slab, number, 60);
        }
        let mut seen = 0;
        for _ in 0..200 {
            let mut work = 10;
            while wheel.due(&mut slab, 60, &mut work).is_some() {
                seen += 1;
            }
            assert_eq!(work, 0);
            if seen == 1000 {
                return;
            }
        }
        panic!("{seen} of 1000");
    }

    proptest! {
        #[test]
        fn it_is_a_queue_by_time(
            steps in prop::collection::vec((0u32..16, 0u32..9000, 0u8..4, 0u32..9000), 1..200),
        ) {
            let mut slab = Slab::new(16);
            let numbers: Vec<u32> =
                (0..16).map(|_| slab.insert(Entry::default()).unwrap()).collect();
            let mut wheel = Wheel::new(0);
            let mut model = BTreeMap::new();
            let mut now = 0;
            for (which, delay, action, pass) in steps {
                let number = numbers[which as usize];
                let deadline = now + delay.min(SLOTS - 1);
                match (model.contains_key(&number), action) {
                    (false, 0 | 1) => {
                        wheel.arm(&mut slab, number, deadline);
                        model.insert(number, deadline);
                    }
                    (true, 0) => {
                        wheel.disarm(&mut slab, number);
                        model.remove(&number);
                    }
                    (true, 1) => {
                        wheel.advance(&mut slab, number, deadline);
                        model.entry(number).and_modify(|at| *at = deadline.min(*at));
                    }
                    (_, 2) => now += pass % 50,
                    _ => now += pass,
                }
                let mut due = drain(&mut wheel, &mut slab, now);
                due.sort_unstable();
                let expected: Vec<u32> =
                    model.iter().filter(|(_, at)| **at <= now).map(|(n, _)| *n).collect();
                model.retain(|_, at| *at > now);
                prop_assert_eq!(due, expected);
            }
        }
    }
}
