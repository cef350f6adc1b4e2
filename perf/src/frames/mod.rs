//! Deterministic frames, the state that makes their stations known, and what must
//! come out.
//!
//! ```text
//!  [`fabric`]    who there is: networks, VTEPs, stations, all by number
//!  [`workload`]  which of them send to whom, in what order: pcap in, frames out
//!  [`state`]     the same as REST documents
//!  [`routed`]    routers and routes as REST documents, and packets that are routed
//!  [`pcap`]      the file format
//! ```

pub mod fabric;
pub mod pcap;
mod random;
pub mod routed;
pub mod state;
pub mod workload;

pub use fabric::Fabric;
pub use random::Random;
pub use workload::{Direction, Workload};
