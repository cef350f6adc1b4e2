//! Look-ups and changes of the tables alone, beside other tables.

use serde::{Deserialize, Serialize};

use crate::summary::Summary;

/// Everything of one comparison of tables.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tables {
    /// The MAC table.
    pub fdb: Vec<FdbRow>,
    /// The routes of a VRF.
    pub route: Vec<RouteRow>,
}

/// What one contender did at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FdbRow {
    /// Entries.
    pub entries: usize,
    /// Whose.
    pub table: String,
    /// Nanoseconds of an insert, from empty on.
    pub insert_ns: Summary,
    /// Cycles of a look-up that finds.
    pub hit_cycles: Summary,
    /// Cycles of one that does not.
    pub miss_cycles: Summary,
    /// Cycles of a look-up that finds over those of the FDB, by round.
    pub hit_ratio: Summary,
}

/// What one contender did at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteRow {
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Routes.
    pub routes: usize,
    /// Whose.
    pub table: String,
    /// Nanoseconds of an insert, from empty on, all published together.
    pub insert_ns: Summary,
    /// Cycles of a look-up, which finds a route.
    pub look_up_cycles: Summary,
    /// Microseconds from one change to its publication, readers having the former
    /// value; where readers and a writer can share the table.
    pub change_us: Option<Summary>,
    /// Milliseconds of a batch of changes.
    pub batch_ms: Option<Summary>,
    /// Bytes of a route that workers read, and that the writer keeps.
    pub bytes: Option<(f64, f64)>,
}
