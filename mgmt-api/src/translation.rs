//! What address translation holds now: sessions, the ports of outside addresses, what tenants use.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::id::{Id, ParseVisitor};
use crate::resources::{NatLimits, Router};
use crate::state::Handle;

/// Which sessions are meant: those that all given fields fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Of this router.
    pub router: Option<Handle<Router>>,
    /// Of this protocol.
    pub protocol: Option<SessionProtocol>,
    /// Of this station inside.
    pub inside: Option<IpAddr>,
    /// From this port of it, or with this identifier of a query.
    pub inside_port: Option<u16>,
    /// That the outside sees at this address.
    pub outside: Option<IpAddr>,
    /// And at this port.
    pub outside_port: Option<u16>,
    /// With this other end.
    pub remote: Option<IpAddr>,
    /// And this port of it.
    pub remote_port: Option<u16>,
    /// In this state.
    pub state: Option<SessionState>,
    /// The most rows of the page. Not looked at when sessions are deleted.
    pub limit: usize,
    /// Where the page begins; `None`: at the first. Not looked at when sessions are deleted.
    pub cursor: Option<SessionCursor>,
}

/// A place among the sessions of all workers, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionCursor {
    /// The worker.
    pub worker: u32,
    /// The place in its table.
    pub place: u32,
}

/// A text that names no place among sessions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is what `next` of the page before has, as in 0-4096")]
pub struct CursorError;

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.place)
    }
}

impl FromStr for SessionCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (worker, place) = text.split_once('-').ok_or(CursorError)?;
        Ok(Self {
            worker: worker.parse().map_err(|_| CursorError)?,
            place: place.parse().map_err(|_| CursorError)?,
        })
    }
}

impl Serialize for SessionCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ParseVisitor::new("a cursor"))
    }
}

/// What a session carries.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SessionProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Queries of ICMP and their answers.
    Icmp,
}

impl SessionProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// UDP or ICMP.
    Open,
    /// TCP: a SYN from inside, unanswered.
    Opening,
    /// TCP: a SYN from outside, unanswered.
    Answering,
    /// TCP: SYNs have been seen from both sides.
    Established,
    /// TCP: the inside has sent its FIN.
    ClosedInside,
    /// TCP: the outside has sent its FIN.
    ClosedOutside,
    /// TCP: FINs from both sides.
    Closed,
    /// TCP: reset by either side.
    Reset,
}

impl SessionState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Opening,
        Self::Answering,
        Self::Established,
        Self::ClosedInside,
        Self::ClosedOutside,
        Self::Closed,
        Self::Reset,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Opening => "opening",
            Self::Answering => "answering",
            Self::Established => "established",
            Self::ClosedInside => "closed-inside",
            Self::ClosedOutside => "closed-outside",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

/// A page of sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions, in no order to rely on.
    pub rows: Vec<SessionRow>,
    /// Where to go on; `None`: there are no more.
    pub next: Option<SessionCursor>,
}

/// A session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRow {
    /// The router that translates it.
    pub router: Handle<Router>,
    /// What it carries.
    pub protocol: SessionProtocol,
    /// The station inside; the port of a query is its identifier.
    pub inside: SocketAddr,
    /// What the outside sees in its place.
    pub outside: SocketAddr,
    /// The other end; that of a query has port 0.
    pub remote: SocketAddr,
    /// Where it is in its life.
    pub state: SessionState,
    /// Seconds since the last packet that counted.
    pub idle_seconds: u32,
    /// Seconds until it ends, if nothing happens.
    pub expires_in_seconds: u32,
    /// The worker that has it.
    pub worker: u32,
    /// Whether its outside port serves another station too, for none was left.
    pub shared_port: bool,
}

/// An outside address that stations share, all workers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatPool {
    /// The router whose packets leave with it.
    pub router: Handle<Router>,
    /// The address.
    pub address: Ipv4Addr,
    /// Sessions now.
    pub sessions: u64,
    /// Its ports, for each protocol.
    pub ports: Vec<PortUse>,
    /// Where it is in its life.
    pub state: NatPoolState,
}

/// The ports of an outside address for one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PortUse {
    /// The protocol; the ports of ICMP are identifiers.
    pub protocol: SessionProtocol,
    /// In use, or resting.
    pub used: u64,
    /// Free.
    pub free: u64,
}

/// Where an outside address is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NatPoolState {
    /// In use.
    Open,
    /// Taken away; its sessions are being ended.
    Closing,
}

/// What a tenant uses, all workers together, and may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatTenant {
    /// The tenant, or the router that counts for itself.
    pub tenant: Id,
    /// Sessions now.
    pub sessions: u64,
    /// Ports of outside addresses now, without those that rest.
    pub ports: u64,
    /// Fragmented datagrams and held packets now.
    pub fragments: u64,
    /// Its limits in force.
    pub limits: NatLimits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = SessionCursor {
            worker: 3,
            place: u32::MAX,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "3", "3-", "-3", "3-4294967296", "3-4-5"] {
            assert_eq!(text.parse::<SessionCursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn words_are_written_the_same_everywhere() {
        for protocol in SessionProtocol::ALL {
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.as_str());
        }
        for state in SessionState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
