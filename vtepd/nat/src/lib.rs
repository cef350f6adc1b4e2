//! Network address translation: mappings, sessions, ports, timers. One instance per worker, plain `&mut`.
//!
//! ```text
//!   inside                                                                   outside
//!     │ outbound()                                                inbound() │
//!     ▼                                                                     ▼
//!   View ─► Rules ─┬─ exempt, same scope ───────────────► as it is    ◄─┬─ Rules ◄─ View
//!                  ├─ floating IP, port forwarding ─► rewrite ◄─────────┤
//!                  └─ SNAT ─► Session ──────────────► rewrite ◄─ Session┘
//!                               │ none: open                       none: filter, open
//!                               ▼
//!                     Mapping ─ Ports ─ Pool          tick(): wheel, rest, fragments
//! ```
//!
//! What comes in is a packet from its IP header on, with the [`Rules`] of its router and the second; what comes out is
//! the packet rewritten in place and a [`Verdict`]. What should be translated and cannot be is
//! [refused](Refusal) with its reason; it never leaves untranslated. Nothing here allocates after
//! [`Translator::new`], locks, or knows of MACs, mbufs and routes.
//!
//! | to see | read |
//! |---|---|
//! | what is translated to what | [`vtepd_tables::translation`], `pool.rs` |
//! | how a session begins and ends | `open.rs`, `tcp.rs`, `wheel.rs` |
//! | what a packet meets on its way | `view.rs`, `outbound.rs`, `inbound.rs`, `rewrite.rs` |
//! | ICMP errors, fragments, SYNs nobody waits for | `quote.rs`, `fragments.rs`, `identification.rs`, `unsolicited.rs`, `holds.rs` |
//! | IPv6, which is not translated | `outbound_only.rs`, `flow.rs`, `view_v6.rs` |
//! | which worker owns what | `slices.rs` |
//! | what is kept, and how it is found | `session.rs`, `mapping.rs`, `ports.rs`, `index.rs`, `slab.rs`, `list.rs` |
//! | ports in blocks, and the log of who had which | `blocks.rs`, `log.rs` |
//! | limits | `subscriber.rs`, `event.rs` |
//!
//! There is no application-level gateway (RFC 4787, REQ-10): payloads are never looked at.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod adopt;
mod audit;
mod blocks;
mod bounded;
mod event;
mod flow;
mod fragments;
mod holds;
mod identification;
mod inbound;
mod index;
mod key;
mod list;
mod listing;
mod log;
mod mapping;
mod open;
mod outbound;
mod outbound_only;
mod peers;
mod pool;
mod ports;
mod quote;
mod rewrite;
mod session;
mod settings;
mod slab;
mod slices;
mod subscriber;
mod tcp;
mod translator;
mod unsolicited;
mod verdict;
mod view;
mod view_v6;
mod wheel;

pub use event::Event;
pub use inbound::InboundLookup;
pub use listing::{SessionFilter, SessionRow};
pub use log::{LogRecord, Logged, PortSet};
pub use outbound::OutboundLookup;
pub use pool::{PoolError, PoolOwner, PoolState};
pub use settings::{Capacity, Limits, Settings, Timeouts, UnsolicitedSyn};
pub use slices::{BadSlice, MAX_WORKERS, Slices};
pub use subscriber::SubscriberUsage;
pub use tcp::{Direction, State};
pub use translator::{PoolUsage, TableUsage, Translator, Usage};
pub use verdict::{Fate, PortPair, Refusal, Release, Verdict};
pub use vtepd_tables::translation::{
    Description, Externals, Filtering, FloatingIp, Forwarding, OutsideAddress, PoolIndex, Protocol,
    Rules, RulesError, SubscriberIndex,
};
