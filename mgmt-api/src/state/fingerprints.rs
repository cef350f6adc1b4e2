//! Finds the port, gateway or floating IP with a MAC or IP address of a network, at 9 to 18 bytes an entry.
//!
//! The keys are not kept: an entry is 32 bits of the key's hash and the record's handle, and the record
//! says whether it was meant. The hash is keyed at start, so that no tenant can choose colliding addresses.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Handle;
use crate::mac::Mac;
use crate::resources::{FloatingIp, Kind, Network, Port, Router};

/// An address of a station in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StationKey {
    Mac(Handle<Network>, Mac),
    Address(Handle<Network>, IpAddr),
}

impl StationKey {
    pub fn network(self) -> Handle<Network> {
        match self {
            Self::Mac(network, _) | Self::Address(network, _) => network,
        }
    }
}

/// A kind whose records have addresses in networks.
pub(super) trait Station: Kind {
    /// True if the record, whose handle is `own`, has this address.
    fn has(&self, own: Handle<Self>, key: StationKey) -> bool;
}

impl Station for Port {
    fn has(&self, _own: Handle<Self>, key: StationKey) -> bool {
        self.network == key.network()
            && match key {
                StationKey::Mac(_, mac) => self.mac == mac,
                StationKey::Address(_, address) => self.addresses.contains(address),
            }
    }
}

impl Station for Router {
    fn has(&self, _own: Handle<Self>, key: StationKey) -> bool {
        let network = key.network();
        let inside = self.interfaces_in(network).any(|own| match key {
            StationKey::Mac(_, mac) => own.mac == mac,
            StationKey::Address(_, address) => own.has_address(address),
        });
        let mut central = self
            .interfaces_in(network)
            .filter_map(|own| own.central.as_ref());
        let outside = self.external_gateway.as_ref();
        let outside = outside.filter(|outside| outside.network == network);
        let mut outside = outside.into_iter().flat_map(|outside| &outside.gateways);
        inside
            || central.any(|own| match key {
                StationKey::Mac(_, mac) => own.mac == mac,
                StationKey::Address(_, address) => own.addresses.contains(&address),
            })
            || outside.any(|own| match key {
                StationKey::Mac(_, mac) => own.mac == mac,
                StationKey::Address(_, address) => own.has_address(address),
            })
    }
}

/// The hosts' gateways for floating IPs.
impl Station for Network {
    fn has(&self, own: Handle<Self>, key: StationKey) -> bool {
        let gateways = self.external.iter();
        let mut gateways = gateways.flat_map(|external| &external.floating_ip_gateways);
        own == key.network()
            && gateways.any(|own| match key {
                StationKey::Mac(_, mac) => own.mac == mac,
                StationKey::Address(_, address) => own.address.map(IpAddr::V4) == Some(address),
            })
    }
}

impl Station for FloatingIp {
    fn has(&self, _own: Handle<Self>, key: StationKey) -> bool {
        key == StationKey::Address(self.network, self.address.into())
    }
}

#[derive(Debug)]
struct Entry<K> {
    fingerprint: u32,
    record: Handle<K>,
}

/// The hash both the accepted state and the transactions over it use.
pub(super) type Keyed = DefaultHashBuilder;

pub(super) fn fingerprint(keyed: &Keyed, key: StationKey) -> u32 {
    (keyed.hash_one(key) >> 32) as u32
}

/// Fingerprints of addresses of one kind's records. The same one may be there for several records.
#[derive(Debug)]
pub(super) struct Fingerprints<K> {
    entries: HashTable<Entry<K>>,
}

impl<K> Default for Fingerprints<K> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
        }
    }
}

impl<K> Fingerprints<K> {
    pub fn insert(&mut self, fingerprint: u32, record: Handle<K>) {
        let entry = Entry {
            fingerprint,
            record,
        };
        self.entries
            .insert_unique(spread(fingerprint), entry, |entry| {
                spread(entry.fingerprint)
            });
    }

    pub fn remove(&mut self, fingerprint: u32, record: Handle<K>) {
        let is_it = |other: &Entry<K>| other.fingerprint == fingerprint && other.record == record;
        if let Ok(found) = self.entries.find_entry(spread(fingerprint), is_it) {
            found.remove();
        }
    }

    /// Records whose address may be the one with this fingerprint.
    pub fn candidates(&self, fingerprint: u32) -> impl Iterator<Item = Handle<K>> + '_ {
        let entries = self.entries.iter_hash(spread(fingerprint));
        entries
            .filter(move |entry| entry.fingerprint == fingerprint)
            .map(|entry| entry.record)
    }

    pub fn reserve(&mut self, additional: usize) {
        self.entries
            .reserve(additional, |entry| spread(entry.fingerprint));
    }
}

/// The table takes its bucket from the low bits and its tag from the top seven.
fn spread(fingerprint: u32) -> u64 {
    u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
