//! VNI → network: one 16-bit load from a flat array of all 2^24 VNIs.
//!
//! The array takes 32 MiB of address space and, as its pages come zeroed from
//! the system on first touch, 4 KiB of memory for each 2,048 neighbouring VNIs
//! in use. A hash table would save address space and cost a hash, a compare and
//! a branch for each packet.

use crate::index::NetworkIndex;
use crate::sync::{AtomicU16, Ordering};
use vtepd_wire::Vni;

const VNIS: usize = 1 << 24;

/// The networks by VNI, changed in place.
pub struct VniMap {
    networks: Box<[AtomicU16]>,
}

impl VniMap {
    pub(crate) fn new() -> Self {
        // Under the model checker atomics are objects; none is looked up there.
        #[cfg(loom)]
        let networks = Box::new([]);
        // SAFETY: for an atomic integer all bits zero is the value 0.
        #[cfg(not(loom))]
        let networks = unsafe { Box::<[AtomicU16]>::new_zeroed_slice(VNIS).assume_init() };
        let _ = VNIS;
        Self { networks }
    }

    /// The network of a VNI as it came off the wire (24 bits).
    #[inline(always)]
    pub fn find(&self, vni: u32) -> Option<NetworkIndex> {
        NetworkIndex::new(self.networks.get(vni as usize)?.load(Ordering::Acquire))
    }

    /// Says which network a VNI stands for. For the writer.
    pub(crate) fn set(&self, vni: Vni, network: Option<NetworkIndex>) {
        if let Some(slot) = self.networks.get(vni.get() as usize) {
            slot.store(network.map_or(0, NetworkIndex::get), Ordering::Release);
        }
    }
}
