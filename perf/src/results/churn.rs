//! What changes cost the packets that pass meanwhile.

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use crate::summary::Summary;

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    /// Who makes the changes: `REST`, or `inside` for a writer in the same process.
    pub by: String,
    /// Destination MACs of the stream.
    pub macs: u32,
    /// Changes a second that were asked for.
    pub wanted_rate: u32,
    /// Changes a second that were made, over the sampled seconds.
    pub rate: Option<Summary>,
    /// Frames recorded during changes and compared.
    pub compared: u64,
    /// Packets dropped from start to end.
    pub dropped: u64,
    /// Without changes.
    pub quiet: Measured,
    /// With them.
    pub churning: Measured,
    /// Cycles per packet with changes over those without, by pair of seconds.
    pub slowdown: Option<Summary>,
    /// Pieces of the run in their order.
    pub series: Vec<Moment>,
}

/// What went on in a piece of the run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// When it ended, seconds from the first one's begin.
    pub at: f64,
    /// Packets sent, million a second.
    pub mpps: f64,
    /// Changes made, a second.
    pub changes: f64,
}
