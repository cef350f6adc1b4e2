//! Sessions for the API: shown and deleted page by page, so that a worker spends little at a time.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::ControlFlow;

use vtepd_tables::VrfIndex;

use crate::key::{Endpoint, Protocol};
use crate::session::Session;
use crate::tcp::State;
use crate::translator::Translator;

/// A session, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionRow {
    /// The router.
    pub router: u16,
    /// What it carries.
    pub protocol: Protocol,
    /// The host inside; the port of a query is its identifier.
    pub inside: SocketAddrV4,
    /// What the outside sees in its place.
    pub outside: SocketAddrV4,
    /// The other end; a query has port 0.
    pub remote: SocketAddrV4,
    /// Where it is in its life.
    pub state: State,
    /// Seconds since the last packet that counted.
    pub idle: u32,
    /// Seconds until it ends, if nothing happens.
    pub expires_in: u32,
    /// Its outside port serves another host too, since there were none left.
    pub borrowed: bool,
}

/// Which sessions are meant: those that all given fields fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionFilter {
    /// See [`SessionRow`].
    pub router: Option<VrfIndex>,
    /// See [`SessionRow`].
    pub protocol: Option<Protocol>,
    /// See [`SessionRow`].
    pub inside: Option<Ipv4Addr>,
    /// See [`SessionRow`].
    pub inside_port: Option<u16>,
    /// See [`SessionRow`].
    pub outside: Option<Ipv4Addr>,
    /// See [`SessionRow`].
    pub outside_port: Option<u16>,
    /// See [`SessionRow`].
    pub remote: Option<Ipv4Addr>,
    /// See [`SessionRow`].
    pub remote_port: Option<u16>,
    /// See [`SessionRow`].
    pub state: Option<State>,
}

impl SessionFilter {
    fn fits(&self, session: &Session) -> bool {
        let end = |endpoint: Endpoint, address: Option<Ipv4Addr>, port: Option<u16>| {
            address.is_none_or(|address| address.to_bits() == endpoint.address)
                && port.is_none_or(|port| port == endpoint.port)
        };
        let key = session.key;
        self.router
            .is_none_or(|router| router.get() == key.router())
            && self
                .protocol
                .is_none_or(|it| it as u8 == key.protocol_number())
            && self.state.is_none_or(|state| state == session.state)
            && end(key.inside(), self.inside, self.inside_port)
            && end(session.outside_endpoint(), self.outside, self.outside_port)
            && end(key.remote(), self.remote, self.remote_port)
    }
}

impl Translator {
    /// Shows sessions to `row` until it breaks, `scan` places have been looked at, or there are no more. Begins at place
    /// `from`, 0 at first; returns where to go on, or `None` at the end. A session that stays while pages are turned is
    /// shown once; those that come or go may be or not.
    pub fn list_sessions(
        &self,
        filter: &SessionFilter,
        from: u32,
        scan: u32,
        now: u32,
        mut row: impl FnMut(SessionRow) -> ControlFlow<()>,
    ) -> Option<u32> {
        let capacity = self.sessions.slab.capacity() as u32;
        let end = from.saturating_add(scan).min(capacity);
        for number in from..end {
            if let Some(session) = self.matching(filter, number, now)
                && row(self.row(session, now)).is_break()
            {
                return Some(number + 1);
            }
        }
        (end < capacity).then_some(end)
    }

    /// Ends sessions, page by page like [`list_sessions`](Self::list_sessions). Returns how many it ended, and where to
    /// go on.
    pub fn delete_sessions(
        &mut self,
        filter: &SessionFilter,
        from: u32,
        scan: u32,
        now: u32,
    ) -> (u32, Option<u32>) {
        let capacity = self.sessions.slab.capacity() as u32;
        let end = from.saturating_add(scan).min(capacity);
        let mut ended = 0;
        for number in from..end {
            if self.matching(filter, number, now).is_some() {
                self.end(number, now);
                ended += 1;
            }
        }
        (ended, (end < capacity).then_some(end))
    }

    fn matching(&self, filter: &SessionFilter, number: u32, now: u32) -> Option<&Session> {
        let session = self.sessions.slab.get(number)?;
        let live = session.state != State::Vacant
            && self.pools.is_open(session.pool)
            && self.deadline(number)? > now;
        (live && filter.fits(session)).then_some(session)
    }

    fn row(&self, session: &Session, now: u32) -> SessionRow {
        let key = session.key;
        let lasts = self
            .settings
            .timeouts
            .of(key.protocol_number(), session.state);
        let owner = self.mappings.slab.get(session.mapping);
        SessionRow {
            router: key.router(),
            protocol: key.protocol(),
            inside: key.inside().socket(),
            outside: session.outside_endpoint().socket(),
            remote: key.remote().socket(),
            state: session.state,
            idle: now.saturating_sub(session.last_seen),
            expires_in: session.last_seen.saturating_add(lasts).saturating_sub(now),
            borrowed: owner.is_none_or(|mapping| !mapping.is_of(key)),
        }
    }
}
