//! The atomics, or loom's model of them under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU16, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU64, Ordering, fence};

/// Waiting for another thread, with an end.
pub(crate) struct Patience {
    #[cfg(not(loom))]
    round: u32,
    #[cfg(not(loom))]
    end: std::time::Instant,
}

impl Patience {
    /// Waits for `time` in all.
    pub(crate) fn new(time: std::time::Duration) -> Self {
        #[cfg(loom)]
        let _ = time;
        Self {
            #[cfg(not(loom))]
            round: 0,
            #[cfg(not(loom))]
            end: std::time::Instant::now() + time,
        }
    }

    /// Gives the processor away for a while; `false` when the time is over.
    pub(crate) fn pause(&mut self) -> bool {
        #[cfg(loom)]
        loom::thread::yield_now();
        // A reader is a worker that may have lost its core to somebody else: spin
        // for a burst's time, then let go of ours.
        #[cfg(not(loom))]
        {
            self.round = self.round.saturating_add(1);
            match self.round {
                0..64 => core::hint::spin_loop(),
                64..128 => std::thread::yield_now(),
                _ if std::time::Instant::now() >= self.end => return false,
                _ => std::thread::sleep(std::time::Duration::from_micros(20)),
            }
        }
        true
    }
}
