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
use super::paging::find;
use super::problem::Problem;
use crate::control::{
    ControlPlane, DropCount, InterfaceStatus, TableStatus, UnderlayNeighbour, WorkerStatus,
};
use crate::id::Id;
use crate::refusal::{Code, Refusal};
use crate::resources::{BindingSpec, Network};

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

    let status = endpoints.schema::<NetworkStatus>();
    let network = Operation::new("get_network_status", "status", "Show what a network comes to")
        .description("Its MTU, bindings and flood list, with what follows from defaults, ports and static entries.")
        .json(200, "Its status.", status)
        .refused(Code::NotFound, "There is no such network.");
    let path = "/v1/networks/{id}/status";
    endpoints.add(HttpMethod::Get, path, routing::get(network_status), network);

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

/// What a network comes to.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkStatus {
    /// The network.
    id: Id,
    /// The largest IP packet: as configured, or what fits the underlay.
    mtu: u16,
    /// Where it meets interfaces of this box: by its segment, its bindings and its local ports.
    bindings: Vec<BindingSpec>,
    /// The remote hosts with a port or static entry in it, and those it names.
    hosts: Vec<Id>,
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

async fn network_status(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<NetworkStatus>, Problem> {
    let id: Id = id.parse().map_err(|error| {
        Refusal::new(Code::Invalid, format!("{id:?} names no network: {error}"))
    })?;
    let read = move |state: &crate::state::State| {
        let view = state.view();
        let handle = find::<Network>(&id, view)?;
        let network = view.get(handle).expect("it was just found");
        let bindings = view.attachments_of(handle).into_iter();
        Ok::<_, Refusal>(NetworkStatus {
            id,
            mtu: view.network_mtu(network),
            bindings: bindings
                .map(|binding| BindingSpec::of(binding, view))
                .collect(),
            hosts: view
                .members_of(handle)
                .map(|host| view.id_of(host))
                .collect(),
        })
    };
    Ok(Json(api.read(read).await??))
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
