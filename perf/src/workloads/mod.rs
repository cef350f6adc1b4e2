//! One file for each kind of measurement.

pub mod forward;
pub mod load;
