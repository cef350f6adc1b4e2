//! The packet path: stages over a burst, the worker loop, drop reasons and
//! counters; and, beside each stage, the control thread's part of the same feature.
//!
//! ```text
//!            poll                                              flush
//!  queues ─► Burst ─► input ─────► decide ──► output ─────────► devices
//!                     parse        guard      encapsulate, tag
//!                     terminate    learn      replicate, fragment
//!                     classify     answer
//!                                  bridge, route
//!               events ▼  ▲ commands          (Pipeline, one per Worker)
//!            control thread: Learner, Resolver, Membership, TablesWriter
//! ```
//!
//! A worker sees packets only through [`Packet`] and devices only through [`Io`],
//! so that everything here runs over plain memory in tests ([`memory`]). It reads
//! the tables through [`vtepd_tables::View`], keeps what it knows of each packet
//! in a verdict, and counts every packet that goes no further under exactly one
//! [`DropReason`].
//!
//! | stage | files |
//! |---|---|
//! | 1 what is it, whose is it | `input.rs`, `underlay/` |
//! | 2 may it, and where does it go | `decide.rs`, `guard.rs`, `learn/`, `resolution.rs`, `route/`, `metadata/` |
//! | between inside and outside | `translate/` |
//! | 3 out with it | `output.rs`, `encapsulate.rs` |
//! | answers of the control thread | `services/`, `route/neighbours.rs` |
//! | what workers and the control side say of translations | `nat_channel.rs`, `translators.rs` |
//! | packets that wait for their translation, or for another worker | `again.rs`, `kept.rs` |

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod advertisement;
mod again;
mod clock;
mod context;
pub mod counters;
mod decide;
mod drop_reason;
mod echo;
mod encapsulate;
mod event;
mod guard;
mod input;
mod kept;
pub mod learn;
mod limit;
pub mod memory;
pub mod metadata;
pub mod nat_channel;
pub mod observer;
mod output;
pub mod packet;
mod pipeline;
mod resolution;
pub mod route;
pub mod services;
mod translate;
mod translators;
pub mod underlay;
mod worker;
mod worker_state;

pub use clock::Seconds;
pub use context::{Frame, Handed};
pub use counters::{Stage, WorkerCounters};
pub use drop_reason::DropReason;
pub use event::{
    Asked, Channel, Command, Delivery, Event, LargeFrame, Recipients, Service, SmallFrame,
};
pub use kept::Kept;
pub use limit::Limits;
pub use nat_channel::NatRequest;
pub use packet::{Burst, Io, Packet};
pub use pipeline::Pipeline;
pub use translators::{AskError, SessionCursor, SessionPage, TranslatorHandle, Translators};
pub use worker::{Idle, Worker};
pub use worker_state::WorkerState;
