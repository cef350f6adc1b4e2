//! The atomics, or loom's model of them under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU16, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU64, Ordering, fence};

/// Gives the processor away while waiting for another thread.
pub(crate) fn pause(round: u32) {
    #[cfg(loom)]
    {
        let _ = round;
        loom::thread::yield_now();
    }
    // A reader is a worker that may have lost its core to somebody else: spin
    // for a burst's time, then let go of ours.
    #[cfg(not(loom))]
    if round < 64 {
        core::hint::spin_loop();
    } else if round < 128 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
}
