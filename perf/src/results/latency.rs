//! Time through the box.

use serde::{Deserialize, Serialize};

use crate::frames::Label;

/// One workload at several loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Which; `io` is the same generator and devices with testpmd between them.
    #[serde(flatten)]
    pub label: Label,
    /// The highest rate without loss, million packets a second.
    pub no_loss_mpps: f64,
    /// Whether the generator could not send faster: the true rate is higher.
    pub source_was_limit: bool,
    /// At shares of that rate.
    pub points: Vec<Point>,
}

/// One load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Percent of the rate without loss.
    pub load: u32,
    /// Million packets a second that came back.
    pub mpps: f64,
    /// Packets that were sent and did not come back.
    pub lost: u64,
    /// Percentiles and microseconds.
    pub percentiles: Vec<(f64, f64)>,
    /// The same of the generator's own pauses, from a poll to the next: what is later than that
    /// may be its doing.
    pub pauses: Vec<(f64, f64)>,
    /// What makes the figures doubtful; empty if nothing does.
    pub doubts: Vec<String>,
}
