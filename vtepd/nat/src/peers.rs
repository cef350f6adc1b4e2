//! Whom a mapping has talked to: what address-dependent filtering asks (RFC 4787, 5).
//!
//! A peer is a (mapping, remote address) with the number of its sessions, so that a thousand sessions with one server
//! are one entry. Nothing is kept for rules that filter independently of the endpoint.

use vtepd_wire::hash::KeyedHash;

use crate::index::Index;
use crate::slab::{NONE, Slab};

#[derive(Clone, Default)]
struct Peer {
    mapping: u32,
    address: u32,
    sessions: u32,
}

/// All of one worker's.
pub(crate) struct Peers {
    slab: Slab<Peer>,
    index: Index,
    hash: KeyedHash,
}

impl Peers {
    pub(crate) fn new(capacity: u32, hash: KeyedHash) -> Self {
        Self {
            slab: Slab::new(capacity),
            index: Index::new(capacity),
            hash,
        }
    }

    fn hash(&self, mapping: u32, address: u32) -> u64 {
        self.hash
            .hash_u64(u64::from(mapping) << 32 | u64::from(address))
    }

    /// Does a session of the mapping lead to this address?
    pub(crate) fn find(&self, mapping: u32, address: u32) -> Option<u32> {
        self.index.find(self.hash(mapping, address), |number| {
            self.slab
                .get(number)
                .is_some_and(|peer| peer.mapping == mapping && peer.address == address)
        })
    }

    /// One more session. There are as many places as sessions.
    pub(crate) fn acquire(&mut self, mapping: u32, address: u32) -> u32 {
        if let Some(number) = self.find(mapping, address) {
            if let Some(peer) = self.slab.get_mut(number) {
                peer.sessions += 1;
            }
            return number;
        }
        let peer = Peer {
            mapping,
            address,
            sessions: 1,
        };
        let hash = self.hash(mapping, address);
        let Some(number) = self.slab.insert(peer) else {
            return NONE;
        };
        self.index.insert(hash, number);
        number
    }

    /// One session less.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(peer) = self.slab.get_mut(number) else {
            return;
        };
        peer.sessions = peer.sessions.saturating_sub(1);
        if peer.sessions == 0 {
            let (mapping, address) = (peer.mapping, peer.address);
            self.index.remove(self.hash(mapping, address), number);
            self.slab.remove(number);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.index.bytes()
    }
}
