//! Which worker owns what: arithmetic, the same on all workers and known to whoever hands packets over.
//!
//! ```text
//!   inside → outside   keyed hash of (router, inside address)      all traffic of a host: one worker; IPv6 both ways
//!   outside → inside   outside port / 16 mod workers               slices of every outside address
//!   fragments, inbound keyed hash of (addresses, id, protocol)     until the port is known
//! ```
//!
//! A slice is made of runs of 16 ports, so that each has its share of odd and even ports and of those
//! below 1024 (for up to 64 workers).

use core::net::{Ipv4Addr, Ipv6Addr};

use vtepd_tables::VrfIndex;
use vtepd_wire::hash::KeyedHash;

/// Most workers that outside ports can be dealt to.
pub const MAX_WORKERS: u16 = 64;
/// Ports dealt together.
pub(crate) const RUN: u32 = 16;
/// Runs of all 65,536 ports.
const RUNS: u32 = 65_536 / RUN;
/// Runs of the ports below 1024.
const LOW_RUNS: u32 = 1024 / RUN;

/// What is wrong with a number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "worker {worker} of {workers}: outside ports can be dealt to 1 to {MAX_WORKERS} workers, counted from 0"
)]
pub struct BadSlice {
    /// The worker.
    pub worker: u16,
    /// All of them.
    pub workers: u16,
}

/// How work is dealt, seen from one worker.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    worker: u16,
    workers: u16,
    /// 2^64 / workers, rounded up: a remainder by two multiplications, which a packet from outside waits for (Lemire, Kaser
    /// and Kurz, "Faster remainder by direct computation", 2019). Exact for numbers of 32 bits.
    reciprocal: u64,
    hash: KeyedHash,
}

impl Slices {
    /// The slices of `workers`, as worker `worker` sees them. `hash` must be the same for all of them.
    ///
    /// # Errors
    /// There is no such worker, or there are too many.
    pub fn new(worker: u16, workers: u16, hash: KeyedHash) -> Result<Self, BadSlice> {
        if worker >= workers || workers > MAX_WORKERS {
            return Err(BadSlice { worker, workers });
        }
        Ok(Self {
            worker,
            workers,
            reciprocal: (u64::MAX / u64::from(workers)).wrapping_add(1),
            hash,
        })
    }

    /// Those of the only worker: all is its own.
    #[must_use]
    pub fn alone(hash: KeyedHash) -> Self {
        Self {
            worker: 0,
            workers: 1,
            // 2^64, of which the remainder is 0.
            reciprocal: 0,
            hash,
        }
    }

    /// The worker that sees this.
    pub fn worker(&self) -> u16 {
        self.worker
    }

    pub(crate) fn workers(&self) -> u16 {
        self.workers
    }

    /// A number that all workers share and nobody else knows.
    pub(crate) fn secret(&self) -> u64 {
        self.hash.hash_u64(u64::MAX)
    }

    /// The worker of all that a host inside sends through SNAT.
    #[inline]
    pub fn inside_owner(&self, router: VrfIndex, address: Ipv4Addr) -> u16 {
        self.pick(u64::from(router.get()) << 32 | u64::from(address.to_bits()))
    }

    /// The worker of all IPv6 sessions of a host inside.
    #[inline]
    pub fn inside_owner_v6(&self, router: VrfIndex, address: Ipv6Addr) -> u16 {
        if self.workers == 1 {
            return 0;
        }
        let bits = address.to_bits();
        let [high, low] = [(bits >> 64) as u64, bits as u64];
        self.pick(self.hash.hash_words([u64::from(router.get()), high, low]))
    }

    /// The worker of what arrives for a port, or query identifier, of an outside address.
    #[inline]
    pub fn outside_owner(&self, port: u16) -> u16 {
        let run = u64::from(u32::from(port) / RUN);
        let fraction = u128::from(self.reciprocal.wrapping_mul(run));
        ((fraction * u128::from(self.workers)) >> 64) as u16
    }

    /// The worker that puts fragments from outside in relation to each other.
    #[inline]
    pub fn fragment_owner(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        identification: u16,
        protocol: u8,
    ) -> u16 {
        let addresses = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
        let rest = u64::from(identification) << 8 | u64::from(protocol);
        self.pick(self.hash.hash_words([addresses, rest]))
    }

    #[inline]
    fn pick(&self, key: u64) -> u16 {
        if self.workers == 1 {
            return 0;
        }
        (((self.hash.hash_u64(key) >> 32) * u64::from(self.workers)) >> 32) as u16
    }

    #[inline]
    pub(crate) fn is_mine(&self, owner: u16) -> bool {
        owner == self.worker
    }

    fn share(&self, runs: u32) -> u32 {
        let (worker, workers) = (u32::from(self.worker), u32::from(self.workers));
        (runs - worker).div_ceil(workers) * RUN
    }

    /// Ports of this slice, of each outside address; they are numbered from 0.
    pub(crate) fn ports(&self) -> u32 {
        self.share(RUNS)
    }

    /// How many of them are below 1024: those with the lowest numbers.
    pub(crate) fn low_ports(&self) -> u32 {
        self.share(LOW_RUNS)
    }

    /// A port's number in this slice; `None` for another worker's.
    #[inline]
    pub(crate) fn number(&self, port: u16) -> Option<u32> {
        let (run, within) = (u32::from(port) / RUN, u32::from(port) % RUN);
        let mine = self.outside_owner(port) == self.worker;
        mine.then(|| run / u32::from(self.workers) * RUN + within)
    }

    /// The port with this number.
    #[inline]
    pub(crate) fn port(&self, number: u32) -> u16 {
        let run = number / RUN * u32::from(self.workers) + u32::from(self.worker);
        (run * RUN + number % RUN) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_is_one_of_one() {
        let hash = KeyedHash::new(1, 2);
        let (alone, one) = (Slices::alone(hash), Slices::new(0, 1, hash).unwrap());
        assert_eq!(alone.reciprocal, one.reciprocal);
        assert_eq!(alone.ports(), one.ports());
    }

    #[test]
    fn every_port_has_one_owner_and_one_number() {
        for workers in [1, 2, 3, 7, 16, 64] {
            let hash = KeyedHash::new(1, 2);
            let all: Vec<Slices> = (0..workers)
                .map(|worker| Slices::new(worker, workers, hash).unwrap())
                .collect();
            let total: u32 = all.iter().map(Slices::ports).sum();
            assert_eq!(total, 65_536);
            for port in 0..=u16::MAX {
                let owner = usize::from(all[0].outside_owner(port));
                let number = all[owner].number(port).unwrap();
                assert_eq!(all[owner].port(number), port);
                assert_eq!(number < all[owner].low_ports(), port < 1024);
                assert_eq!(number % 2, u32::from(port) % 2);
                assert!(number < all[owner].ports());
            }
            assert!(all.iter().all(|slice| slice.low_ports() > 0));
        }
        assert!(Slices::new(65, 65, KeyedHash::new(1, 2)).is_err());
        assert!(Slices::new(2, 2, KeyedHash::new(1, 2)).is_err());
    }

    #[test]
    fn hosts_spread_over_workers() {
        let slices = Slices::new(0, 4, KeyedHash::new(3, 4)).unwrap();
        let router = VrfIndex::new(1).unwrap();
        let mut hosts = [0; 4];
        for host in 0..4000u32 {
            let owner = slices.inside_owner(router, Ipv4Addr::from_bits(0x0a00_0000 + host));
            hosts[usize::from(owner)] += 1;
        }
        assert!(
            hosts.iter().all(|count| (850..1150).contains(count)),
            "{hosts:?}"
        );
    }
}
