//! What a second worker brings.

use serde::{Deserialize, Serialize};

use crate::frames::Label;
use crate::summary::Summary;

/// One workload with one worker and with two, in turns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// Which.
    #[serde(flatten)]
    pub label: Label,
    /// Million packets a second of one worker.
    pub one: Summary,
    /// The same of two.
    pub two: Summary,
    /// Two over one, by pairs of processes.
    pub ratio: Summary,
    /// The share of its time that each of two workers was on its core, medians.
    pub ran: Vec<f64>,
    /// Packets over the time that both of two were on their cores, over those of one: what the
    /// ratio were if nobody else had used the cores.
    pub on_core_ratio: Summary,
    /// Frames compared of two workers, all right.
    pub compared: u64,
    /// What makes the figures doubtful; empty if nothing does.
    pub doubts: Vec<String>,
}
