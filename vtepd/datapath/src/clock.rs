//! The time, as all threads see it.

use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds since the start. The control thread alone counts them; workers read
/// the line once per burst, and it changes once a second. (A worker that counted
/// by its time stamp counter would be off by the error of the counter's rate,
/// some minutes a day, and what it has just seen would be taken for old.)
#[derive(Default)]
pub struct Seconds(AtomicU32);

impl Seconds {
    /// The second now.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// For the control thread.
    pub fn set(&self, seconds: u32) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}
