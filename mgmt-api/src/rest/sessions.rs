//! Sessions of address translation: shown in pages, and ended.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, SchemaRef, boolean, number, page_of, text};
use super::nat::ASKED;
use super::paging::{self, DEFAULT_LIMIT, Page, find, next_path};
use super::problem::Problem;
use super::query::Params;
use crate::id::Id;
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::resources::Router;
use crate::state::View;
use crate::translation::{SessionCursor, SessionProtocol, SessionQuery, SessionRow, SessionState};

const PATH: &str = "/v1/sessions";

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let entry = endpoints.schema::<SessionEntry>();
    let protocol = endpoints.schema::<SessionProtocol>();
    let state = endpoints.schema::<SessionState>();
    let deleted = endpoints.schema::<DeletedSessions>();
    let list = Operation::new(
        "list_sessions",
        "nat",
        "Show sessions of address translation, in pages",
    )
    .description(
        "In no order to rely on. A session that stays while pages are turned is shown once; those that come or go may be \
         shown or not.",
    );
    let list = filtered(list, protocol.clone(), state.clone())
        .query(
            "limit",
            number(Some(DEFAULT_LIMIT)),
            "The most items of the page, up to 10000.",
        )
        .query("cursor", text(), "Where to go on: `next` has it.")
        .json(200, "A page.", page_of(entry))
        .refused(Code::NotFound, "There is no such router.")
        .refused(Code::Unhealthy, ASKED);
    endpoints.add(HttpMethod::Get, PATH, routing::get(list_sessions), list);

    let delete = Operation::new("delete_sessions", "nat", "End sessions of address translation")
        .description(
            "Those that all given filters fit. Who had one finds its connection gone; what is sent anew opens a new one.",
        );
    let delete = filtered(delete, protocol, state)
        .query("all", boolean(), "Needed where no filter is given.")
        .json(200, "How many were ended.", deleted)
        .refused(Code::NotFound, "There is no such router.")
        .refused(Code::Unhealthy, ASKED);
    let handler = routing::delete(delete_sessions);
    endpoints.add(HttpMethod::Delete, PATH, handler, delete);
}

/// The filters, as both methods have them.
fn filtered(operation: Operation, protocol: SchemaRef, state: SchemaRef) -> Operation {
    operation
        .query("router", text(), "Only of this router.")
        .query("protocol", protocol, "Only of this protocol.")
        .query("inside", text(), "Only of this station inside.")
        .query(
            "inside_port",
            number(None),
            "Only from this port of it; of ICMP: with this identifier.",
        )
        .query(
            "outside",
            text(),
            "Only those that the outside sees at this address.",
        )
        .query(
            "outside_port",
            number(None),
            "Only those at this port of it.",
        )
        .query("remote", text(), "Only with this other end.")
        .query("remote_port", number(None), "Only with this port of it.")
        .query("state", state, "Only in this state.")
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    router: Option<Id>,
    protocol: Option<SessionProtocol>,
    inside: Option<IpAddr>,
    inside_port: Option<u16>,
    outside: Option<IpAddr>,
    outside_port: Option<u16>,
    remote: Option<IpAddr>,
    remote_port: Option<u16>,
    state: Option<SessionState>,
    limit: Option<usize>,
    cursor: Option<SessionCursor>,
    all: Option<bool>,
}

/// A session of address translation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionEntry {
    /// The router that translates it.
    router: Id,
    /// What it carries.
    protocol: SessionProtocol,
    /// The station inside and its port; the port of ICMP is the query's identifier.
    #[schema(value_type = String, examples("192.168.1.9:40000"))]
    inside: SocketAddr,
    /// What the outside sees in its place.
    #[schema(value_type = String, examples("10.100.0.5:40000"))]
    outside: SocketAddr,
    /// The other end; that of a query has port 0.
    #[schema(value_type = String, examples("198.51.100.7:443"))]
    remote: SocketAddr,
    /// Where it is in its life.
    state: SessionState,
    /// Seconds since the last packet that counted.
    idle_seconds: u32,
    /// Seconds until it ends, if nothing happens.
    expires_in_seconds: u32,
    /// The worker that has it.
    worker: u32,
    /// Whether its outside port serves another station too, for none was left.
    shared_port: bool,
}

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
struct DeletedSessions {
    /// How many were ended.
    deleted: u64,
}

impl ListParams {
    fn query(&self, view: View<'_>) -> Result<SessionQuery, Refusal> {
        let router = self.router.as_ref();
        Ok(SessionQuery {
            router: router
                .map(|router| find::<Router>(router, view))
                .transpose()?,
            protocol: self.protocol,
            inside: self.inside,
            inside_port: self.inside_port,
            outside: self.outside,
            outside_port: self.outside_port,
            remote: self.remote,
            remote_port: self.remote_port,
            state: self.state,
            limit: paging::limit(self.limit)?,
            cursor: self.cursor,
        })
    }

    fn has_filter(&self) -> bool {
        self.router.is_some()
            || self.protocol.is_some()
            || self.inside.is_some()
            || self.inside_port.is_some()
            || self.outside.is_some()
            || self.outside_port.is_some()
            || self.remote.is_some()
            || self.remote_port.is_some()
            || self.state.is_some()
    }

    /// The path of the page that begins at `cursor`.
    fn next(&self, limit: usize, cursor: SessionCursor) -> String {
        let params = [
            ("limit", Some(limit.to_string())),
            ("cursor", Some(cursor.to_string())),
            ("router", self.router.as_ref().map(Id::to_string)),
            ("protocol", self.protocol.map(|own| own.as_str().to_owned())),
            ("inside", self.inside.as_ref().map(IpAddr::to_string)),
            ("inside_port", self.inside_port.map(|own| own.to_string())),
            ("outside", self.outside.as_ref().map(IpAddr::to_string)),
            ("outside_port", self.outside_port.map(|own| own.to_string())),
            ("remote", self.remote.as_ref().map(IpAddr::to_string)),
            ("remote_port", self.remote_port.map(|own| own.to_string())),
            ("state", self.state.map(|own| own.as_str().to_owned())),
        ];
        let params: Vec<_> = params
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
            .collect();
        next_path(PATH, &params)
    }
}

impl SessionEntry {
    /// `None` for one whose router went away while the sessions were being read.
    fn new(row: &SessionRow, view: View<'_>) -> Option<Self> {
        Some(Self {
            router: view.get(row.router)?.id.clone(),
            protocol: row.protocol,
            inside: row.inside,
            outside: row.outside,
            remote: row.remote,
            state: row.state,
            idle_seconds: row.idle_seconds,
            expires_in_seconds: row.expires_in_seconds,
            worker: row.worker,
            shared_port: row.shared_port,
        })
    }
}

async fn list_sessions(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<SessionEntry>>, Problem> {
    if params.all.is_some() {
        let message = "`all` is for deletions: a list without a filter shows all sessions";
        return Err(Refusal::new(Code::Invalid, message).into());
    }
    Ok(Json(
        api.blocking(move |manager| page(manager, &params))
            .await??,
    ))
}

fn page(manager: &Manager, params: &ListParams) -> Result<Page<SessionEntry>, Refusal> {
    let mut query = manager.read(|state| params.query(state.view()))?;
    let limit = query.limit;
    let mut rows = Vec::new();
    // Workers look through a part of their tables at a time, so a part may come short of a page.
    let next = loop {
        let part = manager.control().sessions(&query)?;
        rows.extend(part.rows);
        match part.next {
            Some(next) if rows.len() < limit => {
                query.limit = limit - rows.len();
                query.cursor = Some(next);
            }
            next => break next,
        }
    };
    let items = manager.read(|state| {
        let rows = rows.iter();
        rows.filter_map(|row| SessionEntry::new(row, state.view()))
            .collect()
    });
    Ok(Page {
        items,
        next: next.map(|cursor| params.next(limit, cursor)),
    })
}

async fn delete_sessions(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<DeletedSessions>, Problem> {
    if params.limit.is_some() || params.cursor.is_some() {
        let message = "`limit` and `cursor` are for lists: all sessions that fit are ended";
        return Err(Refusal::new(Code::Invalid, message).into());
    }
    if !params.has_filter() && params.all != Some(true) {
        let message = "this would end every session: give a filter, or `all=true` if that is meant";
        return Err(Refusal::new(Code::Invalid, message).into());
    }
    let end = move |manager: &Manager| {
        let query = manager.read(|state| params.query(state.view()))?;
        manager.control().delete_sessions(&query)
    };
    let deleted = api.blocking(end).await??;
    Ok(Json(DeletedSessions { deleted }))
}
