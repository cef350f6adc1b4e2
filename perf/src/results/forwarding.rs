//! What forwarding costs: a row for each size of each workload.

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use crate::frames::Label;

/// One size of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    #[serde(flatten)]
    pub label: Label,
    /// Frames whose bytes were compared, all right.
    pub compared: u64,
    /// What was measured; of `new-sessions`, each packet is a session, of `flood`, each copy is
    /// a packet.
    pub measured: Measured,
    /// `io` on the same file, if it was asked for.
    pub io: Option<Measured>,
}

/// One that translates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nat {
    /// Its figures.
    #[serde(flatten)]
    pub row: Row,
    /// Stations that have the flows.
    pub stations: u32,
    /// Outside addresses that they share.
    pub addresses: u32,
    /// Flows whose port was exchanged for another.
    pub exchanged: usize,
    /// Memory of the sessions' tables with all flows open: what the daemon has above one
    /// without such tables.
    pub session_bytes: u64,
}
