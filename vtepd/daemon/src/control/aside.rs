//! What waits for workers while nobody waits for it: on a thread of its own, so that neither the API nor what is
//! learned is kept.
//!
//! - Pools that have been closed: once every worker has cleared one up, its number may be dealt again.
//! - Sessions that a floating IP or a forwarding supersedes: the station's packets leave in another way from now on, and
//!   what comes for the sessions would be answered from an address that nobody asked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::RecvTimeoutError;
use mgmt_api::change::Changes;
use mgmt_api::resources::{FloatingIp, ForwardedProtocol, Router};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::{AskError, SessionCursor};
use vtepd_nat::{PoolState, SessionFilter, SessionRow};
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::PoolIndex;

use super::concerned::Concerned;
use super::translation::table_protocol;
use super::{Control, Plane};

/// How often closed pools are asked for.
const INTERVAL: Duration = Duration::from_millis(100);
/// Sessions that are asked for at a time.
const PAGE: usize = 4096;

/// What SNAT is not responsible for any more, by router.
#[derive(Default)]
pub struct Superseded(BTreeMap<Handle<Router>, BTreeSet<Ends>>);

/// A station inside, or a port of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    address: Ipv4Addr,
    port: Option<(ForwardedProtocol, u16)>,
}

impl Ends {
    /// Where a floating IP leads.
    fn of(floating: &FloatingIp) -> impl Iterator<Item = Self> {
        let whole = floating.fixed.map(|address| Self {
            address,
            port: None,
        });
        let forwarded = floating.forwardings.iter().map(|own| Self {
            address: *own.to.ip(),
            port: Some((own.protocol, own.to.port())),
        });
        whole.into_iter().chain(forwarded)
    }

    /// Those that a session has inside.
    fn fitting(ends: &BTreeSet<Self>, row: &SessionRow) -> impl Iterator<Item = Self> {
        let (protocol, inside) = (row.protocol, row.inside);
        let first = Self {
            address: *inside.ip(),
            port: None,
        };
        let of_station = ends.range(first..);
        of_station
            .copied()
            .take_while(move |end| end.address == first.address)
            .filter(move |end| {
                end.port.is_none_or(|(of, port)| {
                    (table_protocol(of), port) == (protocol, inside.port())
                })
            })
    }

    /// All sessions that have it inside.
    fn filter(self, router: VrfIndex) -> SessionFilter {
        SessionFilter {
            router: Some(router),
            protocol: self.port.map(|(protocol, _)| table_protocol(protocol)),
            inside: Some(self.address),
            inside_port: self.port.map(|(_, port)| port),
            ..SessionFilter::default()
        }
    }
}

impl Superseded {
    /// Together with others: looking through all sessions takes as long for one as for thousands.
    pub(super) fn with(mut self, others: impl Iterator<Item = Self>) -> Self {
        for (router, ends) in others.flat_map(|other| other.0) {
            self.0.entry(router).or_default().extend(ends);
        }
        self
    }

    #[cfg(test)]
    pub(super) fn ends(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// What other ends have been given by a transaction, or taken from them. Wherever a floating IP is answered for:
    /// SNAT may be here and that elsewhere.
    fn of(changes: Changes<'_>, concerned: &Concerned) -> Self {
        let mut all = Self::default();
        for floating in &concerned.floating_ips {
            let ends = |view: View<'_>| -> BTreeSet<(Handle<Router>, Ends)> {
                let record = view.get(*floating).into_iter();
                record
                    .filter_map(|record| Some((record.router?, record)))
                    .flat_map(|(router, record)| Ends::of(record).map(move |end| (router, end)))
                    .collect()
            };
            let (before, after) = (ends(changes.before), ends(changes.after));
            for (router, end) in before.symmetric_difference(&after) {
                all.0.entry(*router).or_default().insert(*end);
            }
        }
        all
    }
}

impl Control {
    /// Has the sessions end that a transaction supersedes, in the background.
    pub(super) fn supersede_sessions(&self, changes: Changes<'_>, concerned: &Concerned) {
        let superseded = Superseded::of(changes, concerned);
        // Workers that have not begun have no sessions.
        let mut workers = self.workers.iter();
        let running = workers.any(|worker| worker.running.load(Ordering::Relaxed));
        if running && !superseded.0.is_empty() {
            // Nobody listens when the daemon stops.
            let _ = self.superseded.send(superseded);
        }
    }
}

/// Runs until `stop` is set.
pub fn run(plane: &Arc<Plane>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match plane.superseded.recv_timeout(INTERVAL) {
            Ok(first) => plane.end_superseded(&first.with(plane.superseded.try_iter())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        plane.release_pools();
    }
}

impl Plane {
    /// Numbers of pools that every worker has cleared up may be dealt again.
    pub(super) fn release_pools(&self) {
        let closing = self.control.lock().closing_pools();
        if closing.is_empty() {
            return;
        }
        let Ok(usage) = self.translators.pools(&closing) else {
            // A worker does not run or is stuck, as health says; there is time.
            return;
        };
        let usage = closing.into_iter().zip(usage);
        let vacant: HashSet<PoolIndex> = usage
            .filter(|(_, usage)| usage.is_none_or(|usage| usage.state == PoolState::Vacant))
            .map(|(index, _)| index)
            .collect();
        self.control.lock().release_pools(&vacant);
    }

    pub(super) fn end_superseded(&self, superseded: &Superseded) {
        for (router, ends) in &superseded.0 {
            if let Err(error) = self.end_sessions_of(*router, ends) {
                tracing::error!(%error, "sessions of stations that have a floating IP now go on until they are over");
            }
        }
    }

    /// One look through the sessions for all ends together, then one for each that has some: most have none.
    fn end_sessions_of(
        &self,
        router: Handle<Router>,
        ends: &BTreeSet<Ends>,
    ) -> Result<(), AskError> {
        for vrf in self.translating(router) {
            let of_router = SessionFilter {
                router: Some(vrf),
                ..SessionFilter::default()
            };
            let mut stale = BTreeSet::new();
            let mut next = Some(SessionCursor::default());
            while let Some(from) = next {
                let page = self.translators.sessions(&of_router, from, PAGE)?;
                let rows = page.rows.iter();
                stale.extend(rows.flat_map(|(_, row)| Ends::fitting(ends, row)));
                next = page.next;
            }
            for end in stale {
                let ended = self.translators.delete_sessions(&end.filter(vrf))?;
                tracing::debug!(station = %end.address, ended, "its sessions are superseded");
            }
        }
        Ok(())
    }
}
