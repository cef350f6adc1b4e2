//! The time stamp counter: the clock that is read once per poll.

use crate::{Eal, sys};

/// The time stamp counter of this core, in ticks of [`tsc_hz`]. Not serialising: about 20 cycles.
#[inline]
pub fn rdtsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and Linux does not trap it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads a counter.
    unsafe {
        sys::shim_rdtsc()
    }
}

/// Ticks of [`rdtsc`] per second, as DPDK measured it when it started.
pub fn tsc_hz(_eal: &Eal) -> u64 {
    // SAFETY: reads a number that was set when DPDK started, which `_eal` proves.
    unsafe { sys::rte_get_tsc_hz() }
}
