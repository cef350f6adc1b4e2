//! The addresses that stand for ports towards the metadata proxy: which is whose.
//!
//! Where one is looked for first follows from its owner, so that a daemon that is started
//! again gives most of them to the same owners. One that was given up rests: for a minute
//! nobody else gets it, which is longer than Linux remembers a connection that has ended.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use mgmt_api::id::Id;
use vtepd_tables::Usage;

/// Seconds that an address rests.
const REST: u32 = 60;

/// A port, and the address of its own that it asks from.
pub type Owner = (Id, Ipv4Addr);

struct Name {
    address: Ipv4Addr,
    /// When it may go to another, since its owner has gone.
    rests_until: Option<u32>,
}

/// All of them.
pub struct Names {
    range: Ipv4Net,
    names: HashMap<Owner, Name>,
    /// Those that nobody else can have: in use, resting, ours or the proxy's.
    taken: HashSet<Ipv4Addr>,
    /// Who has gone, the first one first.
    resting: VecDeque<(u32, Owner)>,
    /// Addresses of the range that are not for owners.
    reserved: usize,
    usage: Usage,
}

impl Names {
    /// Out of a range, but for some that are others'.
    pub fn new(range: Ipv4Net, reserved: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let ends = [range.network(), range.broadcast()];
        let others = ends.into_iter().chain(reserved);
        let taken: HashSet<Ipv4Addr> = others.filter(|other| range.contains(other)).collect();
        let reserved = taken.len();
        let size = 1_usize << (32 - range.prefix_len());
        Self {
            range,
            names: HashMap::new(),
            taken,
            resting: VecDeque::new(),
            reserved,
            usage: Usage {
                capacity: size.saturating_sub(reserved),
                ..Usage::default()
            },
        }
    }

    /// Whether an owner has an address, or had it until a moment ago.
    pub fn has(&self, owner: &Owner) -> bool {
        self.names.contains_key(owner)
    }

    /// Whether `additional` owners more would get one in the second `now`. If not, that
    /// counts as a failed insert.
    pub fn has_room(&mut self, additional: usize, now: u32) -> bool {
        self.wake(now);
        let free = self.usage.capacity - self.usage.used;
        let fits = additional <= free;
        self.usage.failed_inserts += u64::from(!fits);
        fits
    }

    /// The address of an owner. `None` when all are taken.
    pub fn take(&mut self, owner: Owner, now: u32) -> Option<Ipv4Addr> {
        self.wake(now);
        let place = match self.names.entry(owner) {
            Entry::Occupied(mut known) => {
                known.get_mut().rests_until = None;
                return Some(known.get().address);
            }
            Entry::Vacant(place) => place,
        };
        if self.usage.used == self.usage.capacity {
            return None;
        }
        let size = u64::from(self.range.hostmask().to_bits()) + 1;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place.key());
        let first = self.range.network().to_bits();
        let around = (0..size).map(|step| {
            let offset = (hash % size + step) % size;
            Ipv4Addr::from_bits(first + offset as u32)
        });
        let taken = &self.taken;
        let address = { around }.find(|address| !taken.contains(address))?;
        self.taken.insert(address);
        place.insert(Name {
            address,
            rests_until: None,
        });
        self.count();
        Some(address)
    }

    /// An owner has gone.
    pub fn give_up(&mut self, owner: &Owner, now: u32) {
        if let Some(name) = self.names.get_mut(owner) {
            let until = now.saturating_add(REST);
            name.rests_until = Some(until);
            self.resting.push_back((until, owner.clone()));
        }
    }

    /// Those that have rested long enough are anybody's.
    fn wake(&mut self, now: u32) {
        while let Some((until, owner)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            // Unless the owner has come back in the meantime.
            if let Entry::Occupied(name) = self.names.entry(owner)
                && name.get().rests_until == Some(until)
            {
                self.taken.remove(&name.get().address);
                name.remove();
            }
        }
        self.count();
    }

    fn count(&mut self) {
        self.usage.used = self.taken.len() - self.reserved;
        self.usage.high_water = self.usage.high_water.max(self.usage.used);
    }

    /// How many are in use or rest.
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1000;

    fn names(range: &str) -> Names {
        Names::new(
            range.parse().unwrap(),
            [Ipv4Addr::new(240, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1)],
        )
    }

    fn owner(port: u32) -> Owner {
        let port = format!("port-{port}").parse().unwrap();
        (port, Ipv4Addr::new(10, 0, 0, 1))
    }

    #[test]
    fn all_but_the_reserved_are_given_each_to_one() {
        let mut names = names("240.0.0.0/28");
        let given: HashSet<_> = (0..13).filter_map(|n| names.take(owner(n), NOW)).collect();
        assert_eq!(given.len(), 13);
        let range: Ipv4Net = "240.0.0.0/28".parse().unwrap();
        for other in [0, 1, 15].map(|last| Ipv4Addr::new(240, 0, 0, last)) {
            assert!(!given.contains(&other));
        }
        assert!(given.iter().all(|address| range.contains(address)));
        assert_eq!(names.take(owner(13), NOW), None);
        assert!(!names.has_room(1, NOW) && names.has_room(0, NOW));
        assert_eq!(names.usage().failed_inserts, 1);
        assert!(
            given.contains(&names.take(owner(3), NOW).unwrap()),
            "its own"
        );
    }

    #[test]
    fn one_that_was_given_up_rests() {
        let mut names = names("240.0.0.0/29");
        let all = [1, 2, 3, 4, 5].map(|n| names.take(owner(n), NOW).unwrap());
        names.give_up(&owner(2), NOW);
        assert_eq!(names.take(owner(9), NOW + REST - 1), None);
        assert!(!names.has(&owner(9)) && names.has(&owner(2)));
        assert_eq!(names.take(owner(9), NOW + REST), Some(all[1]));
        // The former owner finds nothing left.
        assert_eq!(names.take(owner(2), NOW + REST), None);
    }

    #[test]
    fn an_owner_that_comes_back_soon_has_the_same() {
        let mut names = names("240.0.0.0/16");
        let address = names.take(owner(1), NOW);
        names.give_up(&owner(1), NOW);
        assert_eq!(names.take(owner(1), NOW + 5), address);
        // Its rest is over before it goes again, and begins anew.
        names.give_up(&owner(1), NOW + 50);
        assert!(names.has_room(0, NOW + REST + 1));
        assert!(names.has(&owner(1)));
        assert!(names.has_room(0, NOW + 50 + REST));
        assert!(!names.has(&owner(1)));
    }

    #[test]
    fn after_a_start_owners_have_the_same_whatever_their_order() {
        let (mut before, mut after) = (names("240.0.0.0/16"), names("240.0.0.0/16"));
        let first: Vec<_> = (0..100).map(|n| before.take(owner(n), NOW)).collect();
        let again = (0..100).rev().map(|n| after.take(owner(n), NOW));
        let mut again: Vec<_> = again.collect();
        again.reverse();
        let same = first.iter().zip(&again).filter(|(a, b)| a == b).count();
        assert!(same >= 98, "{same} of 100");
    }

    #[test]
    fn a_large_range_is_given_out_to_its_end() {
        let mut names = names("240.0.0.0/16");
        let given: HashSet<_> = (0..65_533)
            .filter_map(|n| names.take(owner(n), NOW))
            .collect();
        assert_eq!(given.len(), 65_533);
        assert_eq!(names.usage().used, names.usage().capacity);
    }
}
