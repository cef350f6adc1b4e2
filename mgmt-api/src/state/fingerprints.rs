//! Finds the port with a MAC or IP address of a network, at 9 to 18 bytes an entry.
//!
//! The keys are not kept: an entry is 32 bits of the key's hash and the port's handle, and the port's record
//! says whether it was meant. The hash is keyed at start, so that no tenant can choose colliding addresses.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Handle;
use crate::mac::Mac;
use crate::resources::{Network, Port};

/// An address of a port in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PortKey {
    Mac(Handle<Network>, Mac),
    Address(Handle<Network>, IpAddr),
}

impl PortKey {
    /// True if the port has this address.
    pub fn is_of(self, port: &Port) -> bool {
        match self {
            Self::Mac(network, mac) => port.network == network && port.mac == mac,
            Self::Address(network, address) => {
                port.network == network && port.addresses.contains(address)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    fingerprint: u32,
    port: Handle<Port>,
}

/// The hash both the accepted state and the transactions over it use.
pub(super) type Keyed = DefaultHashBuilder;

pub(super) fn fingerprint(keyed: &Keyed, key: PortKey) -> u32 {
    (keyed.hash_one(key) >> 32) as u32
}

/// Fingerprints of ports' addresses. The same one may be there for several ports.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    entries: HashTable<Entry>,
}

impl Fingerprints {
    pub fn insert(&mut self, fingerprint: u32, port: Handle<Port>) {
        self.entries
            .insert_unique(spread(fingerprint), Entry { fingerprint, port }, |entry| {
                spread(entry.fingerprint)
            });
    }

    pub fn remove(&mut self, fingerprint: u32, port: Handle<Port>) {
        let entry = Entry { fingerprint, port };
        if let Ok(found) = self
            .entries
            .find_entry(spread(fingerprint), |other| *other == entry)
        {
            found.remove();
        }
    }

    /// Ports whose address may be the one with this fingerprint.
    pub fn candidates(&self, fingerprint: u32) -> impl Iterator<Item = Handle<Port>> + '_ {
        let entries = self.entries.iter_hash(spread(fingerprint));
        entries
            .filter(move |entry| entry.fingerprint == fingerprint)
            .map(|entry| entry.port)
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
