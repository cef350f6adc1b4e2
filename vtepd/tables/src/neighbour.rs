//! The neighbour tables: (network, IP address) → MAC and where it is. One for
//! each family, one cache line per lookup in both.
//!
//! ```text
//!  IPv4 key | network 16 | 0 | address 32 |      value | MAC 48 | adjacency 16 |
//!  IPv6 key   network 16 + address 128
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vtepd_wire::Mac;
use vtepd_wire::hash::KeyedHash;

use crate::bucket::{Bucket, Narrow, Wide, WideKey};
use crate::index::{AdjacencyIndex, NetworkIndex};
use crate::rcu::{Domain, Reader};
use crate::table::{self, TableFull, Usage};

/// Who has an address, and where that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its MAC.
    pub mac: Mac,
    /// The way to it.
    pub adjacency: AdjacencyIndex,
}

impl Neighbour {
    #[inline(always)]
    fn to_bits(self) -> u64 {
        self.mac.to_u64() << 16 | u64::from(self.adjacency.get())
    }

    #[inline(always)]
    fn from_bits(bits: u64) -> Option<Self> {
        Some(Self {
            mac: Mac::from_u64(bits >> 16),
            adjacency: AdjacencyIndex::new(bits as u16)?,
        })
    }
}

#[inline(always)]
fn narrow(network: NetworkIndex, address: Ipv4Addr) -> u64 {
    u64::from(network.get()) << 48 | u64::from(address.to_bits())
}

#[inline(always)]
fn wide(network: NetworkIndex, address: Ipv6Addr) -> WideKey {
    WideKey {
        network: network.get(),
        address: address.to_bits(),
    }
}

/// A network and an IPv4 address with their hash, computed once per packet.
#[derive(Clone, Copy, Debug)]
pub struct HashedNeighbourKey {
    key: u64,
    hash: u64,
}

impl HashedNeighbourKey {
    /// The address.
    #[inline(always)]
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.key as u32)
    }
}

pub(crate) struct Shared {
    v4: Arc<table::Shared<Narrow>>,
    v6: Arc<table::Shared<Wide>>,
}

/// The neighbours as a worker sees them for one burst.
#[derive(Clone, Copy)]
pub struct NeighbourView<'r> {
    v4: table::View<'r, Narrow>,
    v6: table::View<'r, Wide>,
}

impl<'r> NeighbourView<'r> {
    pub(crate) fn new(shared: &'r Shared, reader: &'r Reader) -> Self {
        Self {
            v4: shared.v4.view(reader),
            v6: shared.v6.view(reader),
        }
    }

    /// Who has an address.
    #[inline]
    pub fn find(&self, network: NetworkIndex, address: IpAddr) -> Option<Neighbour> {
        match address {
            IpAddr::V4(address) => self.find_v4(network, address),
            IpAddr::V6(address) => self.find_v6(network, address),
        }
    }

    /// Whether it is this neighbour who has an address; that this was heard at `now`
    /// (seconds, modulo 2^16) is noted.
    pub fn confirm(
        &self,
        network: NetworkIndex,
        address: IpAddr,
        neighbour: Neighbour,
        now: u16,
    ) -> bool {
        fn confirm<B: Bucket>(found: &table::Found<'_, B>, neighbour: Neighbour, now: u16) -> bool {
            let same = found.value() == neighbour.to_bits();
            if same {
                found.touch(now);
            }
            same
        }
        match address {
            IpAddr::V4(address) => {
                let key = narrow(network, address);
                let found = self.v4.find(self.v4.hash(key), key);
                found.is_some_and(|found| confirm(&found, neighbour, now))
            }
            IpAddr::V6(address) => {
                let key = wide(network, address);
                let found = self.v6.find(self.v6.hash(key), key);
                found.is_some_and(|found| confirm(&found, neighbour, now))
            }
        }
    }

    /// Who has an IPv4 address.
    #[inline]
    pub fn find_v4(&self, network: NetworkIndex, address: Ipv4Addr) -> Option<Neighbour> {
        let key = narrow(network, address);
        Neighbour::from_bits(self.v4.find(self.v4.hash(key), key)?.value())
    }

    /// Hashes the key and asks for the line that answers it.
    #[inline(always)]
    pub fn prefetch_v4(&self, network: NetworkIndex, address: Ipv4Addr) -> HashedNeighbourKey {
        let key = narrow(network, address);
        let hash = self.v4.hash(key);
        self.v4.prefetch(hash);
        HashedNeighbourKey { key, hash }
    }

    /// Who has the address of a key.
    #[inline(always)]
    pub fn find_hashed_v4(&self, key: HashedNeighbourKey) -> Option<Neighbour> {
        Neighbour::from_bits(self.v4.find(key.hash, key.key)?.value())
    }

    /// Who has an IPv6 address.
    #[inline]
    pub fn find_v6(&self, network: NetworkIndex, address: Ipv6Addr) -> Option<Neighbour> {
        let key = wide(network, address);
        Neighbour::from_bits(self.v6.find(self.v6.hash(key), key)?.value())
    }
}

/// The control thread's side of the neighbour tables.
pub struct NeighbourWriter {
    v4: table::Writer<Narrow>,
    v6: table::Writer<Wide>,
}

impl NeighbourWriter {
    pub(crate) fn new(domain: &Arc<Domain>, hash: KeyedHash, capacity: usize) -> (Shared, Self) {
        let (shared4, v4) = table::Writer::new(domain, hash, "IPv4 neighbour", capacity);
        let (shared6, v6) = table::Writer::new(domain, hash, "IPv6 neighbour", capacity);
        (
            Shared {
                v4: shared4,
                v6: shared6,
            },
            Self { v4, v6 },
        )
    }

    /// Who has an address.
    pub fn get(&self, network: NetworkIndex, address: IpAddr) -> Option<Neighbour> {
        Neighbour::from_bits(match address {
            IpAddr::V4(address) => self.v4.get(narrow(network, address)),
            IpAddr::V6(address) => self.v6.get(wide(network, address)),
        }?)
    }

    /// When a neighbour was last heard (seconds, modulo 2^16).
    pub fn heard(&self, network: NetworkIndex, address: IpAddr) -> Option<u16> {
        let (_, stamp) = match address {
            IpAddr::V4(address) => self.v4.get_with_stamp(narrow(network, address)),
            IpAddr::V6(address) => self.v6.get_with_stamp(wide(network, address)),
        }?;
        Some(stamp)
    }

    /// Adds or replaces a neighbour, heard at `now` (seconds, modulo 2^16); returns the
    /// previous one.
    ///
    /// # Errors
    ///
    /// [`TableFull`], and nothing has changed.
    pub fn insert(
        &mut self,
        network: NetworkIndex,
        address: IpAddr,
        neighbour: Neighbour,
        now: u16,
    ) -> Result<Option<Neighbour>, TableFull> {
        let bits = neighbour.to_bits();
        let previous = match address {
            IpAddr::V4(address) => self.v4.insert(narrow(network, address), bits, now),
            IpAddr::V6(address) => self.v6.insert(wide(network, address), bits, now),
        }?;
        Ok(previous.and_then(Neighbour::from_bits))
    }

    /// Whether so many new IPv4 and IPv6 neighbours fit.
    ///
    /// # Errors
    ///
    /// [`TableFull`] when they do not; it counts as a failed insert.
    pub fn reserve(&mut self, ipv4: usize, ipv6: usize) -> Result<(), TableFull> {
        self.v4.reserve(ipv4)?;
        self.v6.reserve(ipv6)
    }

    /// Removes a neighbour and returns it.
    pub fn remove(&mut self, network: NetworkIndex, address: IpAddr) -> Option<Neighbour> {
        Neighbour::from_bits(match address {
            IpAddr::V4(address) => self.v4.remove(narrow(network, address)),
            IpAddr::V6(address) => self.v6.remove(wide(network, address)),
        }?)
    }

    /// Use of the IPv4 and of the IPv6 table.
    pub fn usage(&self) -> [Usage; 2] {
        [self.v4.usage(), self.v6.usage()]
    }

    /// Gives slots and memory back whose readers have moved on.
    pub fn collect(&mut self) {
        self.v4.collect();
        self.v6.collect();
    }
}
