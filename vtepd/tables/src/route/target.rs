//! Where a route leads: the next hops that share its flows, or nowhere.

use core::net::IpAddr;
use std::sync::Arc;

use crate::index::AdjacencyIndex;

/// One way on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NextHop {
    /// The gateway in the connected network where the neighbour is.
    pub gateway: AdjacencyIndex,
    /// The neighbour; `None` when the network is connected, so that the
    /// destination itself is.
    pub address: Option<IpAddr>,
}

/// One to [`MAX`](Self::MAX) next hops, a set: in order, none twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NextHops(Hops);

/// The usual single one needs no memory of its own to be looked up in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Hops {
    One(NextHop),
    Several(Arc<[NextHop]>),
}

/// A set of next hops that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NextHopsError {
    /// None at all.
    #[error("a route needs at least one next hop")]
    None,
    /// Too many.
    #[error("{0} next hops are too many: a route has at most {max}", max = NextHops::MAX)]
    TooMany(usize),
}

impl NextHops {
    /// Next hops of a route at most.
    pub const MAX: usize = 16;

    /// The set of these, whatever their order.
    ///
    /// # Errors
    ///
    /// [`NextHopsError`] when there are none or too many.
    pub fn new(hops: impl IntoIterator<Item = NextHop>) -> Result<Self, NextHopsError> {
        let mut hops: Vec<NextHop> = hops.into_iter().collect();
        hops.sort_unstable();
        hops.dedup();
        match *hops {
            [] => Err(NextHopsError::None),
            [one] => Ok(Self(Hops::One(one))),
            _ if hops.len() <= Self::MAX => Ok(Self(Hops::Several(hops.into()))),
            _ => Err(NextHopsError::TooMany(hops.len())),
        }
    }

    /// All of them, in order.
    #[inline(always)]
    pub fn as_slice(&self) -> &[NextHop] {
        match &self.0 {
            Hops::One(one) => core::slice::from_ref(one),
            Hops::Several(hops) => hops,
        }
    }

    /// The one for a flow: the same for the same hash for as long as the set
    /// stays as it is.
    ///
    /// Multiplies and takes the upper half (Lemire, "Fast Random Integer Generation
    /// in an Interval", 2019): without the division of a modulo, and by the upper bits
    /// of the hash, so that whoever takes a remainder of the same hash (a queue, a
    /// member of a link aggregation) is not correlated with it. Shares differ by
    /// at most one in 2^32 / [`MAX`](Self::MAX).
    #[inline(always)]
    pub fn choose(&self, hash: u32) -> &NextHop {
        match &self.0 {
            Hops::One(one) => one,
            Hops::Several(hops) => {
                let chosen = (u64::from(hash) * hops.len() as u64) >> 32;
                &hops[chosen as usize]
            }
        }
    }

    /// Memory of its own, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match &self.0 {
            Hops::One(_) => 0,
            Hops::Several(hops) => size_of_val(&**hops) + 2 * size_of::<usize>(),
        }
    }
}

impl From<NextHop> for NextHops {
    fn from(hop: NextHop) -> Self {
        Self(Hops::One(hop))
    }
}

/// Where a route leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// On, by one of these.
    NextHops(NextHops),
    /// Nowhere, and the sender is told (ICMP destination unreachable).
    Unreachable,
    /// Nowhere, silently.
    Blackhole,
}

impl Target {
    /// The next hop for a flow; see [`NextHops::choose`]. `None` where it leads nowhere.
    #[inline(always)]
    pub fn choose(&self, hash: u32) -> Option<&NextHop> {
        match self {
            Self::NextHops(hops) => Some(hops.choose(hash)),
            Self::Unreachable | Self::Blackhole => None,
        }
    }
}

impl From<NextHop> for Target {
    fn from(hop: NextHop) -> Self {
        Self::NextHops(hop.into())
    }
}

impl From<NextHops> for Target {
    fn from(hops: NextHops) -> Self {
        Self::NextHops(hops)
    }
}
