//! Deterministic frames, the state that makes their stations known, and what must
//! come out.
//!
//! ```text
//!  [`fabric`]    who there is: networks, VTEPs, stations, all by number
//!  [`flows`]     what all flows have: frames in, frames out, and their comparison
//!  [`workload`]  stations that send to each other
//!  [`dvr`]       stations behind distributed routers
//!  [`flood`]     broadcasts, a copy for each VTEP
//!  [`state`]     the same as REST documents
//!  [`mix`]       all of that and what follows at once, both ways
//!  [`nat`]       stations behind routers that translate: the same three of them
//!  [`nat_state`]
//!  [`routed`]    routers and routes as REST documents, and packets that are routed
//!  [`tunnel`]    VXLAN and tags around a frame
//!  [`order`]     the order of flows
//!  [`pcap`]      the file format
//! ```

pub mod dvr;
pub mod fabric;
pub mod flood;
pub mod flows;
pub mod mix;
pub mod nat;
pub mod nat_state;
pub mod order;
pub mod pcap;
mod random;
pub mod routed;
pub mod state;
pub mod tunnel;
pub mod workload;

pub use fabric::Fabric;
pub use flows::{Direction, Flows, Label, short};
pub use random::Random;
pub use workload::Workload;

/// Whether what came out is what should have.
///
/// # Errors
/// The first difference.
fn same(is: &[u8], shall: &[u8]) -> Result<(), String> {
    if is.len() != shall.len() {
        let (is, shall) = (is.len(), shall.len());
        return Err(format!("{is} bytes came out, {shall} should have"));
    }
    match is.iter().zip(shall).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(format!(
            "byte {at} is {:#04x} and should be {:#04x}",
            is[at], shall[at]
        )),
    }
}
