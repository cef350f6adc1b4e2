//! What workers say has run out, told on by names: to whoever listens at the API. About each pool and tenant a worker
//! says so once a second at most.

use mgmt_api::events::{Event as ApiEvent, NatLimit};
use vtepd_nat::{Event, Refusal};

use super::Control;
use super::sessions::api_protocol;
use super::spaces::index_of;

impl Control {
    /// Tells on what the workers have said since the last time.
    pub(super) fn tell_of_translations(&mut self) {
        for (number, worker) in self.workers.iter().enumerate() {
            let events = &worker.channel.nat.events;
            // Not more than the queue holds: a worker that goes on telling must not keep us.
            for _ in 0..events.capacity() {
                let Some(event) = events.pop() else { break };
                if let Some(event) = self.named(event, number as u32) {
                    self.events.emit(event);
                }
            }
        }
    }

    /// `None` for what nobody else need know, and for what is gone meanwhile.
    fn named(&self, event: Event, worker: u32) -> Option<ApiEvent> {
        Some(match event {
            Event::PoolExhausted { pool, protocol } => {
                let (space, address) = self.translation.pool(pool)?;
                ApiEvent::NatPoolExhausted {
                    router: self.nat_names.router(index_of(space)?)?,
                    address,
                    protocol: api_protocol(protocol),
                    worker,
                }
            }
            Event::SubscriberLimit {
                subscriber,
                refusal,
            } => ApiEvent::NatTenantLimit {
                tenant: self.nat_names.tenant(subscriber)?,
                limit: limit_of(refusal)?,
                worker,
            },
            Event::SessionsFull => ApiEvent::NatSessionsFull { worker },
            Event::OutboundOnlyFull => {
                tracing::warn!(
                    worker,
                    "the table of IPv6 sessions is full: new ones are refused"
                );
                ApiEvent::NatSessionsFull { worker }
            }
            Event::PoolVacant { .. } => return None,
        })
    }
}

fn limit_of(refusal: Refusal) -> Option<NatLimit> {
    Some(match refusal {
        Refusal::SubscriberSessions => NatLimit::Sessions,
        Refusal::SubscriberRate => NatLimit::SessionsPerSecond,
        Refusal::SubscriberPorts => NatLimit::Ports,
        Refusal::FragmentLimit => NatLimit::Fragments,
        _ => return None,
    })
}
