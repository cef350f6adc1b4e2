//! Limits of tenants (RFC 6888, REQ-4 and REQ-5): what one uses up, no other misses.

use crate::settings::Limits;
use crate::verdict::Refusal;

#[derive(Clone, Default)]
struct Subscriber {
    /// Its own, else those of the settings.
    limits: Option<Limits>,
    sessions: u32,
    ports: u32,
    fragments: u32,
    second: u32,
    opened: u32,
    /// The second of the last event, plus one.
    told: u32,
}

/// What a tenant uses, on one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscriberUsage {
    /// Sessions now.
    pub sessions: u32,
    /// Ports now, not counting those that rest.
    pub ports: u32,
    /// Fragmented datagrams and held packets now.
    pub fragments: u32,
}

/// All of one worker's.
pub(crate) struct Subscribers {
    all: Box<[Subscriber]>,
}

impl Subscribers {
    pub(crate) fn new(capacity: u16) -> Self {
        Self {
            all: vec![Subscriber::default(); usize::from(capacity)].into_boxed_slice(),
        }
    }

    fn get(&mut self, subscriber: u16) -> Option<&mut Subscriber> {
        self.all.get_mut(usize::from(subscriber))
    }

    pub(crate) fn set(&mut self, subscriber: u16, limits: Option<Limits>) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.limits = limits;
        }
    }

    /// May it open a session, with a port of its own or not? Counts it when it may. A tenant beyond the table has no
    /// limits to be held to, and no session.
    pub(crate) fn admit(
        &mut self,
        subscriber: u16,
        port: bool,
        defaults: &Limits,
        now: u32,
    ) -> Result<(), Refusal> {
        let subscriber = self.get(subscriber).ok_or(Refusal::SubscriberUnknown)?;
        let limits = subscriber.limits.as_ref().unwrap_or(defaults);
        if subscriber.second != now {
            subscriber.second = now;
            subscriber.opened = 0;
        }
        if subscriber.opened >= limits.sessions_per_second {
            return Err(Refusal::SubscriberRate);
        }
        if subscriber.sessions >= limits.sessions {
            return Err(Refusal::SubscriberSessions);
        }
        if port && subscriber.ports >= limits.ports {
            return Err(Refusal::SubscriberPorts);
        }
        // An attempt that fails later for want of ports has cost as much as one that does not.
        subscriber.opened += 1;
        Ok(())
    }

    pub(crate) fn add_session(&mut self, subscriber: u16) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.sessions += 1;
        }
    }

    pub(crate) fn remove_session(&mut self, subscriber: u16) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.sessions = subscriber.sessions.saturating_sub(1);
        }
    }

    pub(crate) fn add_port(&mut self, subscriber: u16) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.ports += 1;
        }
    }

    pub(crate) fn remove_port(&mut self, subscriber: u16) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.ports = subscriber.ports.saturating_sub(1);
        }
    }

    /// May it have one more fragmented datagram or held packet? Counts it when it may.
    pub(crate) fn admit_fragment(&mut self, subscriber: u16, defaults: &Limits) -> bool {
        let Some(subscriber) = self.get(subscriber) else {
            return false;
        };
        let limit = subscriber.limits.as_ref().unwrap_or(defaults).fragments;
        let fits = subscriber.fragments < limit;
        subscriber.fragments += u32::from(fits);
        fits
    }

    pub(crate) fn remove_fragment(&mut self, subscriber: u16) {
        if let Some(subscriber) = self.get(subscriber) {
            subscriber.fragments = subscriber.fragments.saturating_sub(1);
        }
    }

    /// Is it time for an event about this tenant? One in a second is.
    pub(crate) fn tell(&mut self, subscriber: u16, now: u32) -> bool {
        self.get(subscriber).is_some_and(|subscriber| {
            let due = subscriber.told != now.wrapping_add(1);
            subscriber.told = now.wrapping_add(1);
            due
        })
    }

    pub(crate) fn usage(&self, subscriber: u16) -> SubscriberUsage {
        let subscriber = self.all.get(usize::from(subscriber));
        subscriber.map_or_else(SubscriberUsage::default, |subscriber| SubscriberUsage {
            sessions: subscriber.sessions,
            ports: subscriber.ports,
            fragments: subscriber.fragments,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.all)
    }
}
