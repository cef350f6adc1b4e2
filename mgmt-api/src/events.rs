//! What happens in the data plane that an operator should know at once: from its control thread to whoever listens.
//!
//! ```text
//!  control plane ── emit ──▶ EventSink ──▶ a ring of the last 1024 ──▶ Listener, one for each who asked
//! ```
//!
//! Telling never waits: a listener that is slower than a whole ring loses the oldest, and is told how many.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::id::Id;
use crate::translation::SessionProtocol;

/// Events kept for slow listeners: each pool and tenant has at most one a second on each worker.
const RING: usize = 1024;

/// Something an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// No port of an outside address is left on a worker: ports are used again for other destinations, or sessions refused.
    NatPoolExhausted {
        /// The router whose packets leave with it.
        router: Id,
        /// The address.
        #[schema(value_type = String)]
        address: Ipv4Addr,
        /// For what.
        protocol: SessionProtocol,
        /// The worker.
        worker: u32,
    },
    /// A tenant has reached a limit on a worker.
    NatTenantLimit {
        /// The tenant, or the router that counts for itself.
        tenant: Id,
        /// Which limit.
        limit: NatLimit,
        /// The worker.
        worker: u32,
    },
    /// The session table of a worker is full: new sessions are refused.
    NatSessionsFull {
        /// The worker.
        worker: u32,
    },
}

/// A limit of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NatLimit {
    /// Sessions at a time.
    Sessions,
    /// New sessions in a second.
    SessionsPerSecond,
    /// Ports of outside addresses at a time.
    Ports,
    /// Fragmented datagrams and held packets at a time.
    Fragments,
}

impl Event {
    /// The kinds, in the order of [`EventCounts`].
    pub const KINDS: [&'static str; 3] = [
        "nat-pool-exhausted",
        "nat-tenant-limit",
        "nat-sessions-full",
    ];

    fn number(&self) -> usize {
        match self {
            Self::NatPoolExhausted { .. } => 0,
            Self::NatTenantLimit { .. } => 1,
            Self::NatSessionsFull { .. } => 2,
        }
    }

    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        Self::KINDS[self.number()]
    }
}

/// An event and when it was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatedEvent {
    /// When (RFC 3339, UTC).
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub time: OffsetDateTime,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// How many events of each kind there were, in the order of [`Event::KINDS`].
pub type EventCounts = [u64; Event::KINDS.len()];

/// Where the control plane tells of events. Cloned freely; all clones lead to the same listeners.
#[derive(Debug, Clone)]
pub struct EventSink {
    ring: broadcast::Sender<Arc<DatedEvent>>,
    counts: Arc<[AtomicU64; Event::KINDS.len()]>,
}

impl Default for EventSink {
    fn default() -> Self {
        let (ring, _) = broadcast::channel(RING);
        Self {
            ring,
            counts: Arc::default(),
        }
    }
}

impl EventSink {
    /// Tells all listeners. Takes a short lock: for the control thread, not for workers.
    pub fn emit(&self, event: Event) {
        self.counts[event.number()].fetch_add(1, Ordering::Relaxed);
        let time = OffsetDateTime::now_utc();
        // Nobody may be listening.
        let _ = self.ring.send(Arc::new(DatedEvent { time, event }));
    }

    /// How many there were since the start.
    #[must_use]
    pub fn counts(&self) -> EventCounts {
        std::array::from_fn(|kind| self.counts[kind].load(Ordering::Relaxed))
    }

    /// Listens to what is told from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener(self.ring.subscribe())
    }
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Arc<DatedEvent>),
    /// So many were told while it did not listen, and are lost to it.
    Lost(u64),
}

/// Someone who listens.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Arc<DatedEvent>>);

impl Listener {
    /// The next event; `None` once there will be no more.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Heard::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(worker: u32) -> Event {
        Event::NatSessionsFull { worker }
    }

    #[tokio::test]
    async fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let sink = EventSink::default();
        sink.emit(full(0));
        let mut listener = sink.listen();
        for worker in 0..RING as u32 + 5 {
            sink.emit(full(worker));
        }
        assert_eq!(listener.next().await, Some(Heard::Lost(5)));
        let Some(Heard::Event(next)) = listener.next().await else {
            panic!("the ring is full");
        };
        assert_eq!(next.event, full(5));
        assert_eq!(sink.counts(), [0, 0, RING as u64 + 6]);
        drop(sink);
        let mut rest = 0;
        while listener.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, RING - 1);
    }

    #[test]
    fn kinds_are_written_the_same_everywhere() {
        let id: Id = "r1".parse().unwrap();
        let events = [
            Event::NatPoolExhausted {
                router: id.clone(),
                address: Ipv4Addr::new(10, 100, 0, 5),
                protocol: SessionProtocol::Udp,
                worker: 1,
            },
            Event::NatTenantLimit {
                tenant: id,
                limit: NatLimit::SessionsPerSecond,
                worker: 0,
            },
            full(2),
        ];
        for (event, kind) in events.into_iter().zip(Event::KINDS) {
            assert_eq!(event.kind(), kind);
            let dated = DatedEvent {
                time: OffsetDateTime::UNIX_EPOCH,
                event,
            };
            let json = serde_json::to_value(dated).unwrap();
            assert_eq!(json["kind"], kind);
            assert_eq!(json["time"], "1970-01-01T00:00:00Z");
        }
    }
}
