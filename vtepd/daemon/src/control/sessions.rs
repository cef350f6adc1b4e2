//! What is translated now, for the API: sessions, pools and tenants, by names instead of the workers' numbers.
//!
//! Workers are asked one after the other, and each may take a turn or, when it is stuck, a second. So the control side's
//! lock is held only to look numbers up, never while waiting.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mgmt_api::control::TableStatus;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::Router;
use mgmt_api::state::Handle;
use mgmt_api::translation::{
    NatPool, NatPoolState, NatTenant, PortUse, SessionCursor as ApiCursor, SessionPage,
    SessionProtocol, SessionQuery, SessionRow as ApiRow, SessionState,
};
use vtepd_datapath::{AskError, SessionCursor, Translators};
use vtepd_nat::{PoolState, PoolUsage, SessionFilter, SessionRow, State, TableUsage, Usage};
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::{PoolIndex, Protocol, SubscriberIndex};

use super::Plane;
use super::places::router_of;
use super::spaces::index_of;

/// Ports of an outside address, all workers together: port 0 is nobody's.
const PORTS: u64 = (1 << 16) - 1;

pub(super) fn refuse(error: AskError) -> Refusal {
    Refusal::new(Code::Unhealthy, error.to_string())
}

impl Plane {
    /// A page of the sessions.
    pub(super) fn list_sessions(&self, query: &SessionQuery) -> Result<SessionPage, Refusal> {
        let Some(filter) = filter_of(query) else {
            return Ok(SessionPage::default());
        };
        // Workers are counted with fewer bits there: what none of ours has given out must not become another's.
        let ours = |cursor: &ApiCursor| (cursor.worker as usize) < self.workers.len();
        if !query.cursor.as_ref().is_none_or(ours) {
            return Ok(SessionPage::default());
        }
        let from = query.cursor.map_or(SessionCursor::default(), cursor_of);
        let spaces = query.router.map(|router| self.translating(router));
        let filter = match spaces.as_deref() {
            Some([]) => return Ok(SessionPage::default()),
            Some([only]) => SessionFilter {
                router: Some(*only),
                ..filter
            },
            // Both sides of a router: what is others' is left out here.
            Some(_) | None => filter,
        };
        let page = self.translators.sessions(&filter, from, query.limit);
        let page = page.map_err(refuse)?;
        let rows = page.rows.into_iter();
        let rows = rows.filter_map(|(worker, row)| api_row(worker, &row));
        let wanted = |row: &ApiRow| query.router.is_none_or(|router| router == row.router);
        Ok(SessionPage {
            rows: rows.filter(wanted).collect(),
            next: page.next.map(api_cursor),
        })
    }

    /// Ends sessions.
    pub(super) fn end_sessions(&self, query: &SessionQuery) -> Result<u64, Refusal> {
        let Some(filter) = filter_of(query) else {
            return Ok(0);
        };
        let routers: Vec<Option<VrfIndex>> = match query.router {
            None => vec![None],
            Some(router) => self.translating(router).into_iter().map(Some).collect(),
        };
        let ended = routers.into_iter().map(|router| {
            let filter = SessionFilter { router, ..filter };
            self.translators.delete_sessions(&filter).map_err(refuse)
        });
        ended.sum()
    }

    /// The address spaces of a router that have outside addresses.
    pub(super) fn translating(&self, router: Handle<Router>) -> Vec<VrfIndex> {
        let control = self.control.lock();
        let spaces = control.translation.pools().map(|(space, _, _)| space);
        let spaces = spaces.filter(|(of, _)| *of == router);
        let mut spaces: Vec<VrfIndex> = spaces.filter_map(index_of).collect();
        spaces.sort_unstable();
        spaces.dedup();
        spaces
    }

    /// The outside addresses that stations share.
    pub(super) fn list_pools(&self) -> Result<Vec<NatPool>, Refusal> {
        let pools: Vec<(Handle<Router>, Ipv4Addr, PoolIndex)> = {
            let control = self.control.lock();
            let translation = &control.translation;
            let all = translation.pools().chain(translation.closing_pools());
            all.map(|((router, _), address, index)| (router, address, index))
                .collect()
        };
        let indices: Vec<PoolIndex> = pools.iter().map(|(_, _, index)| *index).collect();
        let usage = self.translators.pools(&indices).map_err(refuse)?;
        let named = pools.into_iter().zip(usage);
        Ok(named
            .filter_map(|((router, address, _), usage)| pool(router, address, &usage?))
            .collect())
    }

    /// Records of the log that workers had no room for, since the start. `None`: one of them cannot be asked.
    pub fn records_lost(&self) -> Option<u64> {
        let usage = self.translators.usage().ok()?;
        Some(usage.iter().map(|usage| usage.log_lost).sum())
    }

    /// What tenants use, and may.
    pub(super) fn list_tenants(&self) -> Result<Vec<NatTenant>, Refusal> {
        let tenants: Vec<_> = {
            let control = self.control.lock();
            let tenants = control.translation.tenants();
            tenants
                .map(|(id, index, limits)| (id.clone(), index, limits))
                .collect()
        };
        let indices: Vec<SubscriberIndex> = tenants.iter().map(|(_, index, _)| *index).collect();
        let usage = self.translators.subscribers(&indices).map_err(refuse)?;
        let named = tenants.into_iter().zip(usage);
        Ok(named
            .map(|((tenant, _, limits), usage)| NatTenant {
                tenant,
                sessions: usage.sessions.into(),
                ports: usage.ports.into(),
                fragments: usage.fragments.into(),
                limits,
            })
            .collect())
    }
}

/// A query's filter, its router aside. `None`: it fits none, as only IPv4 is translated.
fn filter_of(query: &SessionQuery) -> Option<SessionFilter> {
    let v4 = |address: Option<IpAddr>| match address {
        None => Some(None),
        Some(IpAddr::V4(address)) => Some(Some(address)),
        Some(IpAddr::V6(_)) => None,
    };
    Some(SessionFilter {
        router: None,
        protocol: query.protocol.map(|protocol| match protocol {
            SessionProtocol::Tcp => Protocol::Tcp,
            SessionProtocol::Udp => Protocol::Udp,
            SessionProtocol::Icmp => Protocol::Icmp,
        }),
        inside: v4(query.inside)?,
        inside_port: query.inside_port,
        outside: v4(query.outside)?,
        outside_port: query.outside_port,
        remote: v4(query.remote)?,
        remote_port: query.remote_port,
        state: query.state.map(|state| match state {
            SessionState::Open => State::Open,
            SessionState::Opening => State::Opening,
            SessionState::Answering => State::Answering,
            SessionState::Established => State::Established,
            SessionState::ClosedInside => State::ClosedInside,
            SessionState::ClosedOutside => State::ClosedOutside,
            SessionState::Closed => State::Closed,
            SessionState::Reset => State::Reset,
        }),
    })
}

fn cursor_of(cursor: ApiCursor) -> SessionCursor {
    SessionCursor::from_bits(u64::from(cursor.worker) << 32 | u64::from(cursor.place))
}

fn api_cursor(cursor: SessionCursor) -> ApiCursor {
    let bits = cursor.to_bits();
    ApiCursor {
        worker: (bits >> 32) as u32,
        place: bits as u32,
    }
}

/// The word of the API for a protocol.
pub(super) fn api_protocol(protocol: Protocol) -> SessionProtocol {
    match protocol {
        Protocol::Tcp => SessionProtocol::Tcp,
        Protocol::Udp => SessionProtocol::Udp,
        Protocol::Icmp => SessionProtocol::Icmp,
    }
}

fn api_row(worker: u16, row: &SessionRow) -> Option<ApiRow> {
    Some(ApiRow {
        router: router_of(VrfIndex::new(row.router)?),
        protocol: api_protocol(row.protocol),
        inside: SocketAddr::V4(row.inside),
        outside: SocketAddr::V4(row.outside),
        remote: SocketAddr::V4(row.remote),
        state: match row.state {
            State::Vacant => return None,
            State::Open => SessionState::Open,
            State::Opening => SessionState::Opening,
            State::Answering => SessionState::Answering,
            State::Established => SessionState::Established,
            State::ClosedInside => SessionState::ClosedInside,
            State::ClosedOutside => SessionState::ClosedOutside,
            State::Closed => SessionState::Closed,
            State::Reset => SessionState::Reset,
        },
        idle_seconds: row.idle,
        expires_in_seconds: row.expires_in,
        worker: worker.into(),
        shared_port: row.borrowed,
    })
}

fn pool(router: Handle<Router>, address: Ipv4Addr, usage: &PoolUsage) -> Option<NatPool> {
    let ports = Protocol::ALL.into_iter().zip(usage.free);
    Some(NatPool {
        router,
        address,
        sessions: usage.sessions.into(),
        ports: ports
            .map(|(protocol, free)| PortUse {
                protocol: api_protocol(protocol),
                used: PORTS.saturating_sub(free.into()),
                free: free.into(),
            })
            .collect(),
        state: match usage.state {
            PoolState::Open => NatPoolState::Open,
            PoolState::Closing => NatPoolState::Closing,
            PoolState::Vacant => return None,
        },
    })
}

/// The tables of translation, all workers together; none while a worker cannot be asked, as health says then.
pub(super) fn tables(translators: &Translators) -> Vec<TableStatus> {
    let Ok(workers) = translators.usage() else {
        return Vec::new();
    };
    let sum = |name: &str, table: fn(&Usage) -> TableUsage, failed: fn(&Usage) -> u64| {
        let tables = || workers.iter().map(table);
        TableStatus {
            name: name.to_owned(),
            capacity: tables().map(|table| table.capacity as u64).sum(),
            used: tables().map(|table| table.used as u64).sum(),
            high_water: tables().map(|table| table.high_water as u64).sum(),
            failed_inserts: workers.iter().map(failed).sum(),
        }
    };
    vec![
        sum(
            "nat_sessions",
            |usage| usage.sessions,
            |usage| usage.sessions_refused,
        ),
        sum("nat_mappings", |usage| usage.mappings, |_| 0),
        sum(
            "nat_sessions_ipv6",
            |usage| usage.outbound_only,
            |usage| usage.outbound_only_refused,
        ),
    ]
}
