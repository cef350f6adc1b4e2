//! The FDB: (network, MAC) → where it is.
//!
//! ```text
//!  key    | network 16 | MAC 48                                      |
//!  value  | IPv4 address 32         | origin 8 | … 8 | adjacency 16  |
//! ```
//!
//! Keys with network 0 are those of other hosts' DVR host MACs, which are the same
//! in all networks.

use core::net::Ipv4Addr;
use std::sync::Arc;

use vtepd_wire::hash::KeyedHash;
use vtepd_wire::{Mac, MacBits};

use crate::bucket::Narrow;
use crate::index::{AdjacencyIndex, NetworkIndex};
use crate::rcu::{Domain, Reader};
use crate::table::{self, TableFull, Usage};

/// Who put an entry there, and what that means for frames from the MAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The management plane. Learning never changes it (RFC 7348, section 4.1 leaves
    /// the choice; static wins here).
    Static,
    /// A frame that was seen. It ages and it moves.
    Learned,
    /// The management plane, of a port on this host that may send from its own
    /// addresses only. The first of them that is IPv4 (else 0.0.0.0) lies in the
    /// entry, so that the usual packet is checked without another look-up.
    Guarded(Ipv4Addr),
    /// The management plane: the MAC of a router's interface in the network.
    Gateway,
}

impl Origin {
    /// Whether the management plane put it there.
    #[inline(always)]
    pub fn is_static(self) -> bool {
        self != Self::Learned
    }
}

/// Where a MAC is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEntry {
    /// The way to it.
    pub adjacency: AdjacencyIndex,
    /// Who says so.
    pub origin: Origin,
}

const ORIGIN_SHIFT: u32 = 24;

impl FdbEntry {
    #[inline(always)]
    fn to_bits(self) -> u64 {
        let (origin, address) = match self.origin {
            Origin::Static => (0, Ipv4Addr::UNSPECIFIED),
            Origin::Learned => (1, Ipv4Addr::UNSPECIFIED),
            Origin::Guarded(address) => (2, address),
            Origin::Gateway => (3, Ipv4Addr::UNSPECIFIED),
        };
        u64::from(address.to_bits()) << 32
            | origin << ORIGIN_SHIFT
            | u64::from(self.adjacency.get())
    }

    #[inline(always)]
    fn from_bits(bits: u64) -> Option<Self> {
        let origin = match (bits >> ORIGIN_SHIFT) as u8 {
            1 => Origin::Learned,
            2 => Origin::Guarded(Ipv4Addr::from_bits((bits >> 32) as u32)),
            3 => Origin::Gateway,
            _ => Origin::Static,
        };
        Some(Self {
            adjacency: AdjacencyIndex::new(bits as u16)?,
            origin,
        })
    }
}

/// A MAC in a network, as the tables compare it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FdbKey(u64);

impl FdbKey {
    /// The key of `mac` in `network`.
    #[inline(always)]
    pub fn new(network: NetworkIndex, mac: impl Into<MacBits>) -> Self {
        Self(u64::from(network.get()) << 48 | mac.into().get())
    }

    /// The key of another host's DVR host MAC; the entry leads to that host.
    #[inline(always)]
    pub fn host(mac: impl Into<MacBits>) -> Self {
        Self(mac.into().get())
    }

    /// The network; `None` for a DVR host MAC.
    pub fn network(self) -> Option<NetworkIndex> {
        NetworkIndex::new((self.0 >> 48) as u16)
    }

    /// The MAC.
    pub fn mac(self) -> Mac {
        Mac::from_u64(self.0 & 0xffff_ffff_ffff)
    }
}

/// A key with its hash, computed once per packet.
#[derive(Clone, Copy, Debug)]
pub struct HashedFdbKey {
    key: FdbKey,
    hash: u64,
}

impl HashedFdbKey {
    /// The key.
    #[inline(always)]
    pub fn key(self) -> FdbKey {
        self.key
    }

    /// Its hash.
    #[inline(always)]
    pub fn hash(self) -> u64 {
        self.hash
    }
}

pub(crate) type Shared = table::Shared<Narrow>;

/// The FDB as a worker sees it for one burst.
#[derive(Clone, Copy)]
pub struct FdbView<'r>(table::View<'r, Narrow>);

impl<'r> FdbView<'r> {
    pub(crate) fn new(shared: &'r Shared, reader: &'r Reader) -> Self {
        Self(shared.view(reader))
    }

    /// Hashes the key and asks for the line that answers it.
    #[inline(always)]
    pub fn prefetch(&self, key: FdbKey) -> HashedFdbKey {
        let hash = self.0.hash(key.0);
        self.0.prefetch(hash);
        HashedFdbKey { key, hash }
    }

    /// Where the MAC is.
    #[inline(always)]
    pub fn find(&self, key: HashedFdbKey) -> Option<FdbHit<'r>> {
        let found = self.0.find(key.hash, key.key.0)?;
        Some(FdbHit {
            entry: FdbEntry::from_bits(found.value())?,
            found,
        })
    }
}

/// An entry that was found.
pub struct FdbHit<'r> {
    /// Where the MAC is.
    pub entry: FdbEntry,
    found: table::Found<'r, Narrow>,
}

impl FdbHit<'_> {
    /// Notes that the MAC was seen as a source at `now` (seconds, modulo 2^16).
    #[inline(always)]
    pub fn touch(&self, now: u16) {
        self.found.touch(now);
    }
}

/// An entry with what the writer knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbRow {
    /// The network and the MAC.
    pub key: FdbKey,
    /// Where it is.
    pub entry: FdbEntry,
    /// When it was last seen as a source (seconds, modulo 2^16).
    pub seen: u16,
}

/// The control thread's side of the FDB.
pub struct FdbWriter(table::Writer<Narrow>);

impl FdbWriter {
    pub(crate) fn new(
        domain: &Arc<Domain>,
        hash: KeyedHash,
        capacity: usize,
    ) -> (Arc<Shared>, Self) {
        let (shared, writer) = table::Writer::new(domain, hash, "FDB", capacity);
        (shared, Self(writer))
    }

    /// Where the MAC is.
    pub fn get(&self, key: FdbKey) -> Option<FdbEntry> {
        FdbEntry::from_bits(self.0.get(key.0)?)
    }

    /// The entry, and when it was last seen as a source.
    pub fn row(&self, key: FdbKey) -> Option<FdbRow> {
        let (value, seen) = self.0.get_with_stamp(key.0)?;
        Some(FdbRow {
            key,
            entry: FdbEntry::from_bits(value)?,
            seen,
        })
    }

    /// Adds or replaces an entry, seen at `now`; returns the previous one.
    ///
    /// # Errors
    ///
    /// [`TableFull`], and nothing has changed.
    pub fn insert(
        &mut self,
        key: FdbKey,
        entry: FdbEntry,
        now: u16,
    ) -> Result<Option<FdbEntry>, TableFull> {
        Ok(self
            .0
            .insert(key.0, entry.to_bits(), now)?
            .and_then(FdbEntry::from_bits))
    }

    /// Whether `additional` new entries fit.
    ///
    /// # Errors
    ///
    /// [`TableFull`] when they do not; it counts as a failed insert.
    pub fn reserve(&mut self, additional: usize) -> Result<(), TableFull> {
        self.0.reserve(additional)
    }

    /// Removes an entry and returns it.
    pub fn remove(&mut self, key: FdbKey) -> Option<FdbEntry> {
        self.0.remove(key.0).and_then(FdbEntry::from_bits)
    }

    /// Buckets there are to [`scan`](Self::scan) now.
    pub fn buckets(&self) -> usize {
        self.0.buckets()
    }

    /// Shows the entries in `count` buckets from `first` on.
    pub fn scan(&self, first: usize, count: usize, mut see: impl FnMut(FdbRow)) {
        self.0.scan(first, count, |key, value, seen| {
            if let Some(entry) = FdbEntry::from_bits(value) {
                see(FdbRow {
                    key: FdbKey(key),
                    entry,
                    seen,
                });
            }
        });
    }

    /// Use of the table.
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// Gives slots and memory back whose readers have moved on.
    pub fn collect(&mut self) {
        self.0.collect();
    }
}
