//! What is translated between the inside of routers and an external network: rules without state. Sessions
//! are each worker's own, and not here.

mod endpoint;
mod externals;
mod rules;

pub use endpoint::{Endpoint, Protocol};
pub use externals::Externals;
pub use rules::{
    Description, Filtering, FloatingIp, Forwarding, OutsideAddress, Rules, RulesError,
};

/// The number of a pool, dealt by the control thread: the same on all workers. It may be dealt again when each worker
/// says that the pool is vacant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PoolIndex(pub u16);

/// The number of a tenant, dealt by the control thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SubscriberIndex(pub u16);
