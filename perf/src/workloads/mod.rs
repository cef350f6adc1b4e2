//! One file for each kind of measurement.

pub mod churn;
pub mod forward;
pub mod latency;
pub mod load;
pub mod mix;
pub mod nat;
pub mod new_sessions;
pub mod routes;
pub mod scale;
