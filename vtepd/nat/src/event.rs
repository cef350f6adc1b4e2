//! What the control thread should know.

use crate::key::Protocol;
use crate::pool::{PoolIndex, SubscriberIndex};
use crate::verdict::Refusal;

/// Something ran out, or is free again. About each pool and tenant there is at most one a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// No port of this worker's slice is left; ports are reused for other destinations, or sessions refused.
    PoolExhausted {
        /// The outside address.
        pool: PoolIndex,
        /// For what.
        protocol: Protocol,
    },
    /// A tenant has reached a limit.
    SubscriberLimit {
        /// Who.
        subscriber: SubscriberIndex,
        /// Which.
        refusal: Refusal,
    },
    /// The session table is full.
    SessionsFull,
    /// The table of IPv6 sessions is full.
    OutboundOnlyFull,
    /// A closed pool has been cleared away; its number may be dealt again when all workers have said so.
    PoolVacant {
        /// Which.
        pool: PoolIndex,
    },
}
