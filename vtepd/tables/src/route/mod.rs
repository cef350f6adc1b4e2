//! The routes of a VRF, for both families: address → the target of the longest prefix
//! that holds it.
//!
//! ```text
//!   control thread                                  workers
//!   RouteWriter: prefixes, targets ──vrf()──► Arc<Vrf>: ranges ──find_v4, find_v6──► &Target
//! ```
//!
//! What workers see is a value that never changes. The writer keeps the prefixes in
//! order, notes which addresses a change touches, and makes only the ranges of these
//! anew; all else is shared between the old value and the new one. A default route
//! stands beside the ranges, so that a change of it costs nothing.
//!
//! | routes of a family | IPv4 | IPv6 |
//! |---|---|---|
//! | up to 4096 | one list, 6 bytes a range | one list, 10 bytes a range, 18 beyond /64 |
//! | more | direct by 16 bits, then lists, 4 bytes a range | three levels by order |
//!
//! A route makes two ranges at most, fewer where prefixes touch.

mod prefixes;
mod ranges;
mod target;
mod targets;
mod v4;
mod v6;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::prefixes::{Address, Prefixes};
use self::ranges::NO_TARGET;
use self::targets::Targets;
use self::v4::V4;
use self::v6::V6;
use crate::table::{TableFull, Usage};

pub use self::target::{NextHop, NextHops, NextHopsError, Target};

/// Routes of one family up to which they are one list. Beyond, the index of IPv4 takes up to
/// 1 MiB where routes are spread over the whole address space, which is 240 bytes a route
/// at most from here on; and a change, which makes a list anew, would take more than the
/// 40 µs it takes here.
const FEW: usize = 4096;

/// Changes of one family above which everything is made anew.
const MANY_CHANGES: usize = 1 << 14;

/// The routes of a VRF at one moment. Copies share the memory.
#[derive(Clone, Default)]
pub struct Vrf {
    v4: V4,
    v6: V6,
    default_v4: u16,
    default_v6: u16,
    /// By number less one.
    targets: Arc<[Target]>,
}

impl Vrf {
    /// Asks for the memory that answers [`find_v4`](Self::find_v4), where it is not
    /// likely to be near anyway. For bursts: among 1M routes it spares a look-up one
    /// cycle in ten even where nothing else is done between them.
    #[inline(always)]
    pub fn prefetch_v4(&self, address: Ipv4Addr) {
        self.v4.prefetch(address.to_bits());
    }

    /// Where an IPv4 address leads. `None` without a route.
    #[inline(always)]
    pub fn find_v4(&self, address: Ipv4Addr) -> Option<&Target> {
        self.target(self.v4.find(address.to_bits()), self.default_v4)
    }

    /// Where an IPv6 address leads. `None` without a route.
    #[inline(always)]
    pub fn find_v6(&self, address: Ipv6Addr) -> Option<&Target> {
        self.target(self.v6.find(address.to_bits()), self.default_v6)
    }

    /// Where an address leads. `None` without a route.
    #[inline]
    pub fn find(&self, address: IpAddr) -> Option<&Target> {
        match address {
            IpAddr::V4(address) => self.find_v4(address),
            IpAddr::V6(address) => self.find_v6(address),
        }
    }

    #[inline(always)]
    fn target(&self, number: u16, default: u16) -> Option<&Target> {
        let number = if number == NO_TARGET { default } else { number };
        self.targets.get(usize::from(number).wrapping_sub(1))
    }

    fn bytes(&self) -> usize {
        let hops = |target: &Target| match target {
            Target::NextHops(hops) => hops.bytes(),
            Target::Unreachable | Target::Blackhole => 0,
        };
        let arc = 2 * size_of::<usize>();
        let targets = size_of_val(&*self.targets) + self.targets.iter().map(hops).sum::<usize>();
        size_of::<Self>() + 2 * arc + self.v4.bytes() + self.v6.bytes() + targets
    }
}

/// One family as workers look it up.
trait Lookup<A: Address>: Clone + Default {
    /// Brings what lies between the changed addresses (in order, first and last) up to
    /// date.
    fn update(&mut self, prefixes: &Prefixes<A>, changed: &[(A, A)]);

    /// Memory, in bytes.
    fn bytes(&self) -> usize;
}

/// Calls `update` for changes in order; it says how far it went, and what lies before
/// that is not done again.
fn each_once<A: Address>(changed: &[(A, A)], mut update: impl FnMut(A, A) -> A) {
    let mut done: Option<A> = None;
    for &(first, last) in changed {
        match done {
            Some(done) if last <= done => {}
            Some(end) => done = Some(update(first.max(end.next()), last)),
            None => done = Some(update(first, last)),
        }
    }
}

/// One family as the writer has it.
struct Family<A: Address> {
    prefixes: Prefixes<A>,
    /// The default route.
    default: u16,
    /// First and last addresses that changes since the last publication touch.
    changed: Vec<(A, A)>,
}

impl<A: Address> Default for Family<A> {
    fn default() -> Self {
        Self {
            prefixes: Prefixes::default(),
            default: NO_TARGET,
            changed: Vec::new(),
        }
    }
}

impl<A: Address> Family<A> {
    fn len(&self) -> usize {
        self.prefixes.len() + usize::from(self.default != NO_TARGET)
    }

    fn get(&self, first: A, len: u8) -> Option<u16> {
        match len {
            0 => some(self.default),
            _ => self.prefixes.get(first, len),
        }
    }

    fn insert(&mut self, first: A, len: u8, target: u16) -> Option<u16> {
        if len == 0 {
            return some(std::mem::replace(&mut self.default, target));
        }
        let previous = self.prefixes.insert(first, len, target);
        if previous != Some(target) {
            self.touch(first, len);
        }
        previous
    }

    fn remove(&mut self, first: A, len: u8) -> Option<u16> {
        if len == 0 {
            return some(std::mem::replace(&mut self.default, NO_TARGET));
        }
        let previous = self.prefixes.remove(first, len)?;
        self.touch(first, len);
        Some(previous)
    }

    fn touch(&mut self, first: A, len: u8) {
        if self.changed.len() == MANY_CHANGES {
            self.changed.truncate(1);
            self.changed[0] = (A::MAX.first(0), A::MAX);
        }
        if self.changed.first() != Some(&(A::MAX.first(0), A::MAX)) {
            self.changed.push((first, first.last(len)));
        }
    }

    fn longest(&self, address: A) -> Option<(A, u8, u16)> {
        let default = || Some((A::MAX.first(0), 0, some(self.default)?));
        self.prefixes.longest(address).or_else(default)
    }

    /// All routes from a place on, in order.
    fn starting_at(&self, first: A, len: u8) -> impl Iterator<Item = (A, u8, u16)> {
        let lowest = A::MAX.first(0);
        let wanted = len == 0 && first == lowest;
        let default = some(self.default).filter(|_| wanted);
        let default = default.map(|target| (lowest, 0, target));
        default
            .into_iter()
            .chain(self.prefixes.starting_at(first, len))
    }

    /// Brings the lookup side up to date.
    fn publish(&mut self, lookup: &mut impl Lookup<A>) {
        if self.changed.is_empty() {
            return;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        lookup.update(&self.prefixes, &changed);
    }

    fn bytes(&self) -> usize {
        self.prefixes.bytes() + self.changed.capacity() * size_of::<(A, A)>()
    }
}

fn some(target: u16) -> Option<u16> {
    (target != NO_TARGET).then_some(target)
}

/// The control thread's side of a VRF's routes.
///
/// Changes are collected until [`vrf`](Self::vrf) is called. Prefixes are taken without
/// their host bits.
pub struct RouteWriter {
    v4: Family<u32>,
    v6: Family<u128>,
    targets: Targets,
    published: Arc<Vrf>,
    changed: bool,
    capacity: usize,
    high_water: usize,
    failed_inserts: u64,
}

/// Memory of a VRF's routes, in bytes, without what the allocator adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RouteMemory {
    /// What workers look routes up in.
    pub lookup: usize,
    /// What the writer keeps: the routes themselves (an estimate to some 20 %).
    pub writer: usize,
}

impl RouteWriter {
    /// Different targets that its routes may lead to.
    pub const MAX_TARGETS: usize = targets::CAPACITY;

    /// No routes, and how many of both families together there may be.
    pub fn new(capacity: usize) -> Self {
        Self {
            v4: Family::default(),
            v6: Family::default(),
            targets: Targets::default(),
            published: Arc::default(),
            changed: false,
            capacity,
            high_water: 0,
            failed_inserts: 0,
        }
    }

    /// Adds or replaces a route; returns where it led before.
    ///
    /// # Errors
    ///
    /// [`TableFull`] at the limit of routes or at 65,535 different targets, and nothing
    /// has changed.
    pub fn insert(&mut self, prefix: IpNet, target: Target) -> Result<Option<Target>, TableFull> {
        if self.len() >= self.capacity && self.get(prefix).is_none() {
            self.failed_inserts += 1;
            return Err(self.full());
        }
        let number = self.targets.take(target).inspect_err(|_| {
            self.failed_inserts += 1;
        })?;
        let previous = match prefix {
            IpNet::V4(net) => (self.v4).insert(net.network().to_bits(), net.prefix_len(), number),
            IpNet::V6(net) => (self.v6).insert(net.network().to_bits(), net.prefix_len(), number),
        };
        self.changed = true;
        self.high_water = self.high_water.max(self.len());
        Ok(previous.map(|number| self.release(number)))
    }

    /// Removes a route; returns where it led.
    pub fn remove(&mut self, prefix: IpNet) -> Option<Target> {
        let previous = match prefix {
            IpNet::V4(net) => (self.v4).remove(net.network().to_bits(), net.prefix_len()),
            IpNet::V6(net) => (self.v6).remove(net.network().to_bits(), net.prefix_len()),
        }?;
        self.changed = true;
        Some(self.release(previous))
    }

    fn release(&mut self, number: u16) -> Target {
        let target = self.targets.get(number).clone();
        self.targets.release(number);
        target
    }

    /// Where a route leads.
    pub fn get(&self, prefix: IpNet) -> Option<&Target> {
        let number = match prefix {
            IpNet::V4(net) => (self.v4).get(net.network().to_bits(), net.prefix_len()),
            IpNet::V6(net) => (self.v6).get(net.network().to_bits(), net.prefix_len()),
        }?;
        Some(self.targets.get(number))
    }

    /// The route that an address takes, changes not published yet included.
    pub fn longest(&self, address: IpAddr) -> Option<(IpNet, &Target)> {
        let (prefix, number) = match address {
            IpAddr::V4(address) => {
                let (first, len, number) = self.v4.longest(address.to_bits())?;
                (net_v4(first, len), number)
            }
            IpAddr::V6(address) => {
                let (first, len, number) = self.v6.longest(address.to_bits())?;
                (net_v6(first, len), number)
            }
        };
        Some((prefix, self.targets.get(number)))
    }

    /// All routes in order: IPv4 before IPv6, then by address and length.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Target)> {
        self.iter_from(net_v4(0, 0))
    }

    /// The routes from a prefix on, be it there or not, in the order of
    /// [`iter`](Self::iter).
    pub fn iter_from(&self, prefix: IpNet) -> impl Iterator<Item = (IpNet, &Target)> {
        let (v4, v6) = match prefix {
            IpNet::V4(net) => (Some((net.network().to_bits(), net.prefix_len())), (0, 0)),
            IpNet::V6(net) => (None, (net.network().to_bits(), net.prefix_len())),
        };
        let v4 = v4
            .into_iter()
            .flat_map(|(first, len)| self.v4.starting_at(first, len))
            .map(|(first, len, number)| (net_v4(first, len), number));
        let v6 = (self.v6.starting_at(v6.0, v6.1))
            .map(|(first, len, number)| (net_v6(first, len), number));
        v4.chain(v6)
            .map(|(prefix, number)| (prefix, self.targets.get(number)))
    }

    /// Routes of both families.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Different targets that they lead to.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether so many new routes fit.
    ///
    /// # Errors
    ///
    /// [`TableFull`] when they do not; it counts as a failed insert.
    pub fn reserve(&mut self, additional: usize) -> Result<(), TableFull> {
        if self.len() + additional > self.capacity {
            self.failed_inserts += 1;
            return Err(self.full());
        }
        Ok(())
    }

    fn full(&self) -> TableFull {
        TableFull {
            table: "route",
            capacity: self.capacity,
        }
    }

    /// The routes as they are now, for workers.
    pub fn vrf(&mut self) -> Arc<Vrf> {
        if std::mem::take(&mut self.changed) {
            let vrf = Arc::make_mut(&mut self.published);
            self.v4.publish(&mut vrf.v4);
            self.v6.publish(&mut vrf.v6);
            (vrf.default_v4, vrf.default_v6) = (self.v4.default, self.v6.default);
            if let Some(targets) = self.targets.publish() {
                vrf.targets = targets;
            }
        }
        Arc::clone(&self.published)
    }

    /// Use of the table, bytes of [`memory`](Self::memory) included.
    pub fn usage(&self) -> Usage {
        let memory = self.memory();
        Usage {
            capacity: self.capacity,
            used: self.len(),
            high_water: self.high_water,
            failed_inserts: self.failed_inserts,
            bytes: memory.lookup + memory.writer,
        }
    }

    /// Memory of the routes as they were published last.
    pub fn memory(&self) -> RouteMemory {
        let families = self.v4.bytes() + self.v6.bytes();
        RouteMemory {
            lookup: self.published.bytes(),
            writer: size_of::<Self>() + families + self.targets.bytes(),
        }
    }
}

fn net_v4(first: u32, len: u8) -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::from_bits(first), len).into()
}

fn net_v6(first: u128, len: u8) -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::from_bits(first), len).into()
}
