//! The management plane: desired state, REST, metrics and the vtepctl client.
//!
//! ```text
//!  vtepctl ─┐  HTTP, JSON                         ControlPlane
//!  Neutron ─┼──────────────▶ rest ──▶ manager ───────────────────▶ daemon, workers
//!  curl ────┘                          │    ▲
//!                                      ▼    │ boot
//!                                     store ┘
//! ```
//!
//! What comes in: the desired state in the words of Neutron ([`resources`]). What goes out: [`change::Changes`] to the
//! [`control::ControlPlane`] that the daemon implements, and its status to whoever asks. What is accepted is in force
//! on every worker and on the disk before the answer is sent.
#![forbid(unsafe_code)]

mod boot;
pub mod change;
pub mod control;
mod document;
pub mod events;
pub mod explain;
pub mod id;
pub mod mac;
pub mod manager;
pub mod refusal;
pub mod request;
pub mod resources;
pub mod rest;
pub mod state;
pub mod store;
pub mod translation;
