//! What routers and routes cost.

use serde::{Deserialize, Serialize};

use crate::summary::Summary;

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Routes {
    /// Many routers.
    pub routers: Loaded,
    /// One with a full table.
    pub full: Loaded,
    /// A route that changed under its traffic.
    pub churn: Churn,
}

/// A table that was loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Routes.
    pub routes: u64,
    /// Wall time of all transactions.
    pub seconds: f64,
    /// CPU time of the daemon's control side over the same time.
    pub cpu_seconds: f64,
    /// Resident memory above that of the empty daemon, bytes, huge pages aside.
    pub bytes: u64,
    /// The same after the changes below.
    pub changed_bytes: u64,
    /// Of the former, what the routes take in the forwarding tables: what workers read, and
    /// what the writer keeps.
    pub table_bytes: (u64, u64),
    /// Milliseconds of a call that changes one route.
    pub change_ms: Summary,
    /// Milliseconds of CPU that it takes the control side.
    pub change_cpu_ms: f64,
}

/// A route that changed under its traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    /// Changes a second that were asked for.
    pub wanted_rate: u32,
    /// Changes a second that were made.
    pub rate: f64,
    /// Packets that came out, all of them by one of the two next hops and in order.
    pub packets: [u64; 2],
    /// Times that they went another way than the one before.
    pub turns: u64,
}
