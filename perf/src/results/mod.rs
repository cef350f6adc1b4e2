//! What a run has found, as it is written to a file and read back.
//!
//! ```text
//!   perf/run --json run.json ─┐
//!   perf/run --tables --json ─┼─► Results ─► documents: pages and plots
//!   perf/compare --json ──────┘
//! ```

pub mod churn;
pub mod comparison;
pub mod forwarding;
pub mod latency;
pub mod load;
pub mod machine;
pub mod measured;
mod merge;
pub mod routes;
pub mod scale;
pub mod tables;

use serde::{Deserialize, Serialize};

pub use churn::Churn;
pub use comparison::Comparison;
pub use forwarding::{Nat, Row};
pub use latency::Latency;
pub use load::Load;
pub use machine::About;
pub use measured::Measured;
pub use merge::in_order;
pub use routes::Routes;
pub use scale::Scale;
pub use tables::Tables;

/// Everything of one call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// The run and its machine.
    pub about: About,
    /// `decap`, `encap`, `routed`, `dvr-in`, `flood`, `mix`.
    pub forward: Vec<Row>,
    /// `snat`, `fip`, `new-sessions`.
    pub nat: Vec<Nat>,
    /// `churn`.
    pub churn: Vec<Churn>,
    /// `scale`.
    pub scale: Vec<Scale>,
    /// `latency`.
    pub latency: Vec<Latency>,
    /// `load`.
    pub load: Option<Load>,
    /// `routes`.
    pub routes: Option<Routes>,
    /// `--tables`.
    pub tables: Option<Tables>,
    /// What could not be measured, and why.
    pub failed: Vec<(String, String)>,
    /// `perf/compare`.
    pub comparison: Option<Comparison>,
}
