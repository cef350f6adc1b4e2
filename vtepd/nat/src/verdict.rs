//! What becomes of a packet.

use vtepd_wire::icmp::ADMINISTRATIVELY_PROHIBITED;
use vtepd_wire::icmp_error::Error;
use vtepd_wire::{Malformed, icmpv6, icmpv6_error};

use crate::tcp::Direction;

/// The ports of a packet as its sender wrote them; of a query, twice its identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortPair {
    /// From.
    pub source: u16,
    /// To.
    pub destination: u16,
}

/// What the caller is to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It was rewritten: send it on.
    Translated {
        /// Its destination now is an outside address of this host: it goes to `inbound` next, of the worker that owns it
        /// there, and not out (RFC 4787, REQ-9).
        hairpin: bool,
    },
    /// It is to be routed as it is: its destination is exempt, or its source is of the outside's own address scope.
    Plain,
    /// An echo request to an outside address itself: the caller answers or drops it.
    ToRouter,
    /// Keep the packet under this number until [`Release`] names it.
    Hold(u32),
    /// Another worker's: give it to that one, with the ports if there are some.
    HandOver {
        /// Which.
        worker: u16,
        /// Known from the datagram's first fragment.
        ports: Option<PortPair>,
    },
    /// Drop it and count it. It is as it was.
    Refused(Refusal),
}

impl Verdict {
    #[inline(always)]
    pub(crate) const fn hand_over(worker: u16, ports: Option<PortPair>) -> Self {
        Self::HandOver { worker, ports }
    }
}

/// What becomes of a packet that was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// Its number.
    pub number: u32,
    /// What to do.
    pub fate: Fate,
}

/// See [`Release`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Hand it in again.
    Resume(Direction),
    /// Drop it and count it.
    Drop(Refusal),
    /// Drop it and tell its sender: that nothing listens, ICMP 3/3 (RFC 5382, REQ-4); of IPv6, that it may not come in,
    /// ICMPv6 1/1 (RFC 6092, REC-34).
    Unreachable,
}

macro_rules! refusals {
    ($($name:ident = $code:literal: $text:literal,)*) => {
        /// Why a packet was not translated. None that should be leaves untranslated.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $text] $name,)*
        }

        impl Refusal {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in metrics and the API.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// What it means, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

refusals! {
    Malformed = "nat-malformed": "a length of the IP header or of what follows it is wrong",
    Scattered = "nat-scattered": "an ICMP error that lies in several buffers",
    NoRule = "nat-no-rule": "the source has no floating IP, and its router no outside address",
    NotOurs = "nat-not-ours": "from outside, to an address that is not translated",
    NoMapping = "nat-no-mapping": "from outside, to a port that no host inside uses",
    NoSession = "nat-no-session": "in the middle of a stream or an answer, and belongs to no session",
    Filtered = "nat-filtered": "from an address that the host inside has not talked to",
    Protocol = "nat-protocol": "a protocol without ports, behind a shared outside address",
    IcmpType = "nat-icmp-type": "an ICMP message that is neither echo nor error",
    IcmpChecksum = "nat-icmp-checksum": "an ICMP error whose checksum is wrong (RFC 5508, REQ-3)",
    QuoteMalformed = "nat-quote-malformed": "an ICMP error that quotes no sound IPv4 header (RFC 5508, REQ-3)",
    QuoteUnknown = "nat-quote-unknown": "an ICMP error about a packet of no session (RFC 5508, REQ-4 and REQ-5)",
    SessionsFull = "nat-sessions-full": "the session table is full; the sender is told",
    PortsExhausted = "nat-ports-exhausted": "no outside port is left for this destination; the sender is told",
    TupleTaken = "nat-tuple-taken": "from outside, to a host that already talks to this sender through another outside port",
    SubscriberUnknown = "nat-subscriber-unknown": "the router's tenant is beyond the table of tenants",
    SubscriberSessions = "nat-subscriber-sessions": "the tenant has as many sessions as it may; the sender is told",
    SubscriberRate = "nat-subscriber-rate": "the tenant has opened as many sessions in this second as it may; the sender is told",
    SubscriberPorts = "nat-subscriber-ports": "the tenant has as many outside ports as it may; the sender is told",
    FragmentTiny = "nat-fragment-tiny": "a first fragment that ends inside its transport header, or a later one that overlaps it (RFC 1858)",
    FragmentLimit = "nat-fragment-limit": "more fragmented datagrams at a time than the tenant or this host may have",
    FragmentTimeout = "nat-fragment-timeout": "a fragment whose first one did not come",
    FragmentRefused = "nat-fragment-refused": "a fragment whose first one was refused",
    SynCrossed = "nat-syn-crossed": "an unsolicited SYN that a SYN from inside has met meanwhile (RFC 5382, REQ-4)",
    HoldFull = "nat-hold-full": "no room to keep the packet until it can be decided",
    PoolClosed = "nat-pool-closed": "the outside address was taken away, or is not yet known to this worker",
    Unsolicited = "nat-unsolicited": "IPv6 from outside that nothing inside has asked for, to a router that lets in only answers (RFC 6092)",
    OutboundOnlyFull = "nat-outbound-only-full": "the table of IPv6 sessions is full; the sender is told",
}

impl Refusal {
    /// The error to tell a sender inside, rate-limited (RFC 5508, REQ-8); most refusals are silent.
    #[must_use]
    pub const fn tells(self) -> Option<Error> {
        match self {
            Self::SessionsFull
            | Self::PortsExhausted
            | Self::SubscriberSessions
            | Self::SubscriberRate
            | Self::SubscriberPorts
            | Self::OutboundOnlyFull => Some(Error::unreachable(ADMINISTRATIVELY_PROHIBITED)),
            _ => None,
        }
    }

    /// The same, of an IPv6 packet.
    #[must_use]
    pub fn tells_v6(self) -> Option<icmpv6_error::Error> {
        self.tells()
            .map(|_| icmpv6_error::Error::unreachable(icmpv6::ADMINISTRATIVELY_PROHIBITED))
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let names: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(names.iter().all(|name| name.chars().all(plain)));
    }

    #[test]
    fn rfc5508_req8_what_is_for_want_of_resources_is_told() {
        let told = |refusal: Refusal| refusal.tells().map(|error| (error.kind, error.code));
        assert_eq!(told(Refusal::SessionsFull), Some((3, 13)));
        assert_eq!(told(Refusal::PortsExhausted), Some((3, 13)));
        assert_eq!(told(Refusal::QuoteUnknown), None);
    }
}
