//! What a network tells the hosts on it: DHCPv4, DHCPv6 and router advertisements.
//!
//! Pure functions of the control thread: the frame a port sent and what is configured for that port come
//! in, the frame that answers goes out, or why there is none. Nothing is remembered between two frames, since
//! a port's addresses are configured and never dealt out: who asks twice is told the same twice, and
//! a restart forgets nothing.
//!
//! ```text
//!  worker ─ copies of DHCP and router solicitations, limited per port ─► control thread
//!           dhcp4::serve │ dhcp6::serve │ router_advertisement::answer ◄─ Lease4, Lease6, Link
//!  worker ◄─ frames to send out of the same port ──────────────────────┘
//! ```
//!
//! Frames are untagged Ethernet frames, in and out; the network's tag or tunnel is the caller's.
//! `dhcproto` encodes and, for DHCPv4, decodes lazily. Its DHCPv6 decoder is not used on packets: it
//! subtracts lengths it has not checked (0.15), and sorts identity associations, whose order matters here.

mod datagram;
pub mod dhcp4;
pub mod dhcp6;
pub mod router_advertisement;

use std::net::IpAddr;

use vtepd_wire::Malformed;

/// What came of a message that was for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done.
    pub kind: Kind,
    /// The frame to send out of the port that the message came from.
    pub reply: Option<Vec<u8>>,
}

/// What a server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER, or Advertise.
    Offered,
    /// DHCPACK of an address, or a Reply with one.
    Leased,
    /// DHCPNAK, or a Reply that gives the client nothing of what it asked.
    Refused,
    /// Configuration without an address: the answer to DHCPINFORM or Information-request.
    Informed,
    /// A Reply that confirms the client's address.
    Confirmed,
    /// The client gives its address up. It stays the port's: nothing is to do.
    Released(IpAddr),
    /// Another host uses the address, says the client: worth a line in the log, for either two ports have
    /// one address or somebody answers for others.
    Declined(IpAddr),
}

impl Kind {
    /// One word for counters and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Leased => "leased",
            Self::Refused => "refused",
            Self::Informed => "informed",
            Self::Confirmed => "confirmed",
            Self::Released(_) => "released",
            Self::Declined(_) => "declined",
        }
    }
}

/// Why a message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Its lengths, checksums or options do not hold, or it is a fragment.
    #[error("the message is malformed: {0}")]
    Malformed(Malformed),
    /// It is not what a client sends a server, or not in this way.
    #[error("this is no message that a client sends a server")]
    Unexpected,
    /// It asks for another MAC address than that of its port.
    #[error("the client's hardware address is not that of the port")]
    OtherClient,
    /// It is for another server.
    #[error("the message is for another server")]
    OtherServer,
    /// It came through a relay; a port is a host's.
    #[error("the message came through a relay")]
    Relayed,
    /// There is nothing to tell.
    #[error("nothing is configured to be told here")]
    NothingToTell,
}

impl Ignored {
    /// One word for counters and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unexpected => "unexpected",
            Self::OtherClient => "other-client",
            Self::OtherServer => "other-server",
            Self::Relayed => "relayed",
            Self::NothingToTell => "nothing-to-tell",
        }
    }
}

impl From<Malformed> for Ignored {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
