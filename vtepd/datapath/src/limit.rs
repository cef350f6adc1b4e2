//! Limits on what one port may have this host do beyond forwarding: answer,
//! replicate questions, report errors, ask for neighbours. All of it costs more
//! than a forwarded packet or is done by the one control thread, so that without
//! limits one tenant could take another's share.
//!
//! A port's packets of each [`Class`] are counted within the second; what comes
//! from other hosts is counted by network or, where a station can be told by its address, by station
//! as well, so that one does not use up what the others may have. Each worker counts for itself.

use core::hash::BuildHasher;
use core::net::IpAddr;
use std::hash::RandomState;

use crate::context::Frame;

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// ARP and ND.
    Resolution,
    /// DHCP and router solicitations.
    Service,
    /// ICMP errors about its packets (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f).
    Error,
    /// Packets to neighbours that must be asked for.
    Probe,
    /// Packets to the metadata proxy, which all tenants share.
    Metadata,
    /// ARP and ND on the segment of an external network.
    ExternalResolution,
}

const CLASSES: usize = 6;

/// What an external network's segment may have of ARP and ND, in shares of a port: everybody
/// outside is behind it, and a provider's router asks for a whole subnet at once.
const EXTERNAL_SHARES: u16 = 10;

/// What all stations of a network that are behind other hosts may have together, in shares of a port.
const NETWORK_SHARES: u16 = 10;

/// Packets in a second, of each worker and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// ARP and ND. A server that talks to all of a /23 asks no more than this; the segment of an
    /// external network may have ten times as much.
    pub resolution: u16,
    /// DHCP and router solicitations. A client sends a handful when it starts.
    pub service: u16,
    /// ICMP errors. Linux sends 1,000 in a second in all.
    pub error: u16,
    /// Packets to neighbours that must be asked for.
    pub probe: u16,
    /// Packets to the metadata proxy. Acknowledging a megabyte takes some 400.
    pub metadata: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resolution: 500,
            service: 20,
            error: 200,
            probe: 100,
            metadata: 1000,
        }
    }
}

/// What was used within one second.
#[derive(Clone, Copy, Default)]
struct Window {
    second: u16,
    used: [u16; CLASSES],
}

/// What every port and network has used of its limits.
pub(crate) struct Limiter {
    limits: [u16; CLASSES],
    /// By adjacency and by network. Pages of those that never ask for anything are
    /// never touched.
    ports: Vec<Window>,
    networks: Vec<Window>,
    /// By a keyed hash of network and address. Two stations that share a window share what they may have.
    stations: Vec<Window>,
    hash: RandomState,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let all = usize::from(u16::MAX) + 1;
        Self {
            limits: [
                limits.resolution,
                limits.service,
                limits.error,
                limits.probe,
                limits.metadata,
                limits.resolution.saturating_mul(EXTERNAL_SHARES),
            ],
            ports: vec![Window::default(); all],
            networks: vec![Window::default(); all],
            stations: vec![Window::default(); all],
            hash: RandomState::new(),
        }
    }

    /// Whether who sent `frame` may have one more in the second `now`.
    #[inline]
    pub(crate) fn allow(&mut self, frame: &Frame, class: Class, now: u16) -> bool {
        let limit = self.limit(class);
        let window = if frame.is_from_outside() {
            self.networks.get_mut(frame.network.as_usize())
        } else {
            self.ports.get_mut(frame.ingress.as_usize())
        };
        window.is_some_and(|window| window.allow(class, limit, now))
    }

    /// The same of a packet, whose `source` tells the station where it comes from another host.
    pub(crate) fn allow_from(
        &mut self,
        frame: &Frame,
        source: IpAddr,
        class: Class,
        now: u16,
    ) -> bool {
        if !frame.is_from_outside() {
            return self.allow(frame, class, now);
        }
        let limit = self.limit(class);
        let place = self.hash.hash_one((frame.network.get(), source)) as u16;
        let station = self.stations.get_mut(usize::from(place));
        let network = self.networks.get_mut(frame.network.as_usize());
        station.is_some_and(|station| station.allow(class, limit, now))
            && network.is_some_and(|network| {
                network.allow(class, limit.saturating_mul(NETWORK_SHARES), now)
            })
    }

    fn limit(&self, class: Class) -> u16 {
        self.limits.get(class as usize).copied().unwrap_or(0)
    }
}

impl Window {
    #[inline]
    fn allow(&mut self, class: Class, limit: u16, now: u16) -> bool {
        if self.second != now {
            *self = Self {
                second: now,
                ..Self::default()
            };
        }
        let Some(used) = self.used.get_mut(class as usize) else {
            return false;
        };
        let allowed = *used < limit;
        *used = used.saturating_add(1);
        allowed
    }
}
