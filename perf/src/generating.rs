//! What the generator is told, and what it answers: a line of JSON each.

use serde::{Deserialize, Serialize};

/// Bytes of a time stamp in a packet.
pub const STAMP: usize = 8;
/// The percentiles that are reported.
pub const PERCENTILES: [f64; 12] = [
    10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999,
];

/// One trial.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Packets a second.
    pub rate: f64,
    /// How long, seconds.
    pub seconds: f64,
    /// Whether the bytes of each packet that comes back are compared; it takes time.
    pub compare: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Packets that were due in that time.
    pub due: u64,
    /// Packets offered to the device.
    pub offered: u64,
    /// Of these, those that it had no room for.
    pub refused: u64,
    /// Packets that came back.
    pub received: u64,
    /// Of these, those that were compared, all right.
    pub compared: u64,
    /// The first that was wrong.
    pub wrong: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Percentiles of the time from when a packet was due until it was back, microseconds.
    pub times: Vec<(f64, f64)>,
    /// The same of the time from one turn of the generator to its next.
    pub pauses: Vec<(f64, f64)>,
}

impl Outcome {
    /// Packets that were offered and did not come back.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.offered.saturating_sub(self.received)
    }

    /// Whether the generator could not send as fast as it should have.
    #[must_use]
    pub fn was_late(&self) -> bool {
        (self.offered as f64) < self.due as f64 * 0.99
    }
}
