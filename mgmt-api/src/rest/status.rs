//! What is, not what is wanted: interfaces, workers, drops, tables, the underlay, versions.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, page_of};
use super::problem::Problem;
use crate::control::{
    ControlPlane, DropCount, InterfaceStatus, TableStatus, UnderlayNeighbour, WorkerStatus,
};
use crate::id::Id;
use crate::refusal::{Code, Refusal};

pub(super) fn add_to(endpoints: &mut Endpoints) {
    add_list::<WorkerStatus>(
        endpoints,
        "workers",
        "Show the workers and where their cycles go",
        |control| control.workers(),
    );
    add_list::<DropCount>(
        endpoints,
        "drops",
        "Show why packets were dropped, and how many",
        |control| control.drops(),
    );
    add_list::<TableStatus>(
        endpoints,
        "tables",
        "Show the forwarding tables and how full they are",
        |control| control.tables(),
    );
    add_list::<UnderlayNeighbour>(
        endpoints,
        "underlay",
        "Show the neighbours of the underlay",
        |control| control.underlay_neighbours(),
    );
    add_list::<InterfaceStatus>(
        endpoints,
        "status/interfaces",
        "Show all interfaces and their counters",
        |control| control.interfaces(),
    );

    let status = endpoints.schema::<InterfaceStatus>();
    let one = Operation::new(
        "get_interface_status",
        "status",
        "Show one interface and its counters",
    )
    .json(200, "Its status.", status)
    .refused(Code::NotFound, "There is no such interface.");
    endpoints.add(
        HttpMethod::Get,
        "/v1/interfaces/{id}/status",
        routing::get(interface_status),
        one,
    );

    let version = endpoints.schema::<Version>();
    let get = Operation::new("get_version", "status", "Show the version").json(
        200,
        "The version.",
        version,
    );
    endpoints.add(
        HttpMethod::Get,
        "/v1/version",
        routing::get(get_version),
        get,
    );

    let health = endpoints.schema::<Health>();
    let get = Operation::new("get_health", "status", "Tell whether the workers run")
        .json(200, "They run.", health)
        .refused(Code::Unhealthy, "They do not; `detail` says why.");
    endpoints.add(HttpMethod::Get, "/healthz", routing::get(get_health), get);
}

/// A list that the control plane answers by itself.
#[derive(Debug, Serialize)]
struct Items<T> {
    items: Vec<T>,
}

/// The version of the server.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    /// The version of vtepd.
    version: String,
    /// The version of this API: the first part of its paths.
    api: &'static str,
    /// The identifier of the host it runs on.
    host: Id,
}

/// The answer of a healthy server.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
}

fn add_list<T: Serialize + ToSchema + Send + 'static>(
    endpoints: &mut Endpoints,
    name: &str,
    summary: &str,
    list: fn(&dyn ControlPlane) -> Vec<T>,
) {
    let item = endpoints.schema::<T>();
    let id = format!("list_{}", name.replace('/', "_"));
    let operation = Operation::new(id, "status", summary).json(200, "All of them.", page_of(item));
    let handler = routing::get(move |State(api): State<Arc<Api>>| async move {
        let items = api
            .blocking(move |manager| list(&**manager.control()))
            .await?;
        Ok::<_, Problem>(Json(Items { items }))
    });
    endpoints.add(HttpMethod::Get, &format!("/v1/{name}"), handler, operation);
}

async fn interface_status(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<InterfaceStatus>, Problem> {
    let wanted = id.clone();
    let found = api.blocking(move |manager| {
        let mut interfaces = manager.control().interfaces().into_iter();
        interfaces.find(|status| {
            status
                .id
                .as_ref()
                .is_some_and(|id| id.to_string() == wanted)
        })
    });
    let found = found.await?;
    found.map(Json).ok_or_else(|| {
        let refusal = Refusal::new(Code::NotFound, format!("there is no interface {id}"));
        refusal.of(format!("interfaces/{id}")).into()
    })
}

async fn get_version(State(api): State<Arc<Api>>) -> Result<Json<Version>, Problem> {
    let host = api
        .read(|state| state.view().facts().local_host.clone())
        .await?;
    Ok(Json(Version {
        version: api.config.version.clone(),
        api: "v1",
        host,
    }))
}

async fn get_health(State(api): State<Arc<Api>>) -> Result<Json<Health>, Problem> {
    match api.manager.health() {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(why) => Err(Refusal::new(Code::Unhealthy, why).into()),
    }
}
