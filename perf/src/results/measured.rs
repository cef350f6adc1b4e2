//! Figures of a forwarding worker.

use serde::{Deserialize, Serialize};

use crate::summary::Summary;

/// What several samples say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Million packets a second.
    pub mpps: Option<Summary>,
    /// Time stamp counter ticks of a packet.
    pub cycles: Option<Summary>,
    /// The same by stage, medians.
    pub stages: Vec<(String, f64)>,
    /// Samples that counted.
    pub quiet: usize,
    /// Samples that were taken.
    pub taken: usize,
    /// How busy core 0 was in those that counted, median.
    pub other_core: f64,
    /// What makes the figures doubtful; empty if nothing does.
    pub doubts: Vec<String>,
}

impl Measured {
    /// Cycles of a packet above those of the floor, if both are known.
    #[must_use]
    pub fn above(&self, floor: Option<&Self>) -> Option<f64> {
        Some(self.cycles?.median - floor?.cycles?.median)
    }
}
