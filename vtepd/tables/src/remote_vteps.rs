//! The remote VTEPs by address: whose packets do we accept, and which adjacency
//! leads back to the sender?

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vtepd_wire::hash::KeyedHash;

use crate::bucket::{Narrow, Wide, WideKey};
use crate::index::AdjacencyIndex;
use crate::rcu::{Domain, Reader};
use crate::table::{self, TableFull, Usage};

/// Keys must not be 0, and 0.0.0.0 is an address.
#[inline(always)]
fn narrow(address: Ipv4Addr) -> u64 {
    1 << 32 | u64::from(address.to_bits())
}

#[inline(always)]
fn wide(address: Ipv6Addr) -> WideKey {
    WideKey {
        network: 1,
        address: address.to_bits(),
    }
}

pub(crate) struct Shared {
    v4: Arc<table::Shared<Narrow>>,
    v6: Arc<table::Shared<Wide>>,
}

/// The remote VTEPs as a worker sees them for one burst.
#[derive(Clone, Copy)]
pub struct RemoteVtepView<'r> {
    v4: table::View<'r, Narrow>,
    v6: table::View<'r, Wide>,
}

impl<'r> RemoteVtepView<'r> {
    pub(crate) fn new(shared: &'r Shared, reader: &'r Reader) -> Self {
        Self {
            v4: shared.v4.view(reader),
            v6: shared.v6.view(reader),
        }
    }

    /// The adjacency of the VTEP with an IPv4 address.
    #[inline(always)]
    pub fn find_v4(&self, address: Ipv4Addr) -> Option<AdjacencyIndex> {
        let key = narrow(address);
        AdjacencyIndex::new(self.v4.find(self.v4.hash(key), key)?.value() as u16)
    }

    /// The adjacency of the VTEP with an IPv6 address.
    #[inline]
    pub fn find_v6(&self, address: Ipv6Addr) -> Option<AdjacencyIndex> {
        let key = wide(address);
        AdjacencyIndex::new(self.v6.find(self.v6.hash(key), key)?.value() as u16)
    }
}

/// The control thread's side.
pub struct RemoteVtepWriter {
    v4: table::Writer<Narrow>,
    v6: table::Writer<Wide>,
}

impl RemoteVtepWriter {
    pub(crate) fn new(domain: &Arc<Domain>, hash: KeyedHash) -> (Shared, Self) {
        // As many as there are adjacencies, which are what limits them.
        let capacity = usize::from(AdjacencyIndex::MAX);
        let (shared4, v4) = table::Writer::new(domain, hash, "IPv4 VTEP", capacity);
        let (shared6, v6) = table::Writer::new(domain, hash, "IPv6 VTEP", capacity);
        (
            Shared {
                v4: shared4,
                v6: shared6,
            },
            Self { v4, v6 },
        )
    }

    /// Adds or replaces a VTEP.
    ///
    /// # Errors
    ///
    /// [`TableFull`], and nothing has changed.
    pub fn insert(&mut self, address: IpAddr, adjacency: AdjacencyIndex) -> Result<(), TableFull> {
        let value = u64::from(adjacency.get());
        match address {
            IpAddr::V4(address) => self.v4.insert(narrow(address), value, 0),
            IpAddr::V6(address) => self.v6.insert(wide(address), value, 0),
        }
        .map(drop)
    }

    /// Removes a VTEP.
    pub fn remove(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.v4.remove(narrow(address)),
            IpAddr::V6(address) => self.v6.remove(wide(address)),
        };
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
