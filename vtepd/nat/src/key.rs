//! What sessions and mappings are found by.
//!
//! ```text
//!  inside key   | router 16 | protocol 8 | inside 32:16 | remote 32:16 |     of a session
//!               | router 16 | protocol 8 | inside 32:16 |                    of a mapping
//!  outside key  |   pool 16 | protocol 8 |  outside :16 | remote 32:16 |     of a session
//!               |   pool 16 | protocol 8 |  outside :16 |                    of a mapping
//! ```
//!
//! The *remote* is the address and port that a session's packets go to; a query (ICMP echo) has its
//! identifier for the inside port and 0 for the remote one. A pool is one outside address.

pub(crate) use vtepd_tables::translation::{Endpoint, Protocol};

const ENDPOINT_BITS: u32 = 48;
const ENDPOINT: u128 = (1 << ENDPOINT_BITS) - 1;

/// A session as its inside sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct InsideKey(pub(crate) u128);

impl InsideKey {
    #[inline(always)]
    pub(crate) fn new(router: u16, protocol: Protocol, inside: Endpoint, remote: Endpoint) -> Self {
        Self(
            u128::from(router) << 104
                | u128::from(protocol as u8) << 96
                | u128::from(inside.bits()) << ENDPOINT_BITS
                | u128::from(remote.bits()),
        )
    }

    pub(crate) fn router(self) -> u16 {
        (self.0 >> 104) as u16
    }

    #[inline(always)]
    pub(crate) fn protocol_number(self) -> u8 {
        (self.0 >> 96) as u8
    }

    pub(crate) fn protocol(self) -> Protocol {
        // Vacant places hold none; nobody asks them.
        Protocol::from_number(self.protocol_number()).unwrap_or(Protocol::Udp)
    }

    #[inline(always)]
    pub(crate) fn inside(self) -> Endpoint {
        Endpoint::from_bits((self.0 >> ENDPOINT_BITS & ENDPOINT) as u64)
    }

    #[inline(always)]
    pub(crate) fn remote(self) -> Endpoint {
        Endpoint::from_bits((self.0 & ENDPOINT) as u64)
    }
}

/// A session as the outside sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutsideKey(pub(crate) u128);

impl OutsideKey {
    #[inline(always)]
    pub(crate) fn new(pool: u16, protocol: u8, port: u16, remote: Endpoint) -> Self {
        Self(
            u128::from(pool) << 72
                | u128::from(protocol) << 64
                | u128::from(port) << ENDPOINT_BITS
                | u128::from(remote.bits()),
        )
    }
}
