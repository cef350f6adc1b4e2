//! What the benchmarks send, what must come out, and how figures are summed up.
//!
//! ```text
//!   seed ─► frames ─┬─► pcap ─► the device under test
//!                   ├─► the REST state that makes them known
//!                   └─► the frames that must come out
//! ```
//!
//! The programs that run daemons and read clocks are in the binary; nothing here
//! touches the system.

pub mod document;
pub mod frames;
pub mod generating;
pub mod results;
pub mod summary;
