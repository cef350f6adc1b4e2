//! How much of address translation's means is in use: ports of outside addresses, and tenants' shares.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, page_of};
use super::paging::Page;
use super::problem::Problem;
use crate::id::Id;
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::resources::{NatLimits, Tenant};
use crate::translation::{NatPool, NatPoolState, NatTenant, PortUse};

/// When what only the workers know cannot be told.
pub(super) const ASKED: &str = "A worker does not run, or does not answer.";

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let pool = endpoints.schema::<PoolEntry>();
    let pools = Operation::new(
        "list_nat_pools",
        "nat",
        "Show the outside addresses that stations share, and how full they are",
    )
    .description("Those of this host's gateways outside. Ports that rest are in use still.")
    .json(200, "All of them.", page_of(pool))
    .refused(Code::Unhealthy, ASKED);
    endpoints.add(
        HttpMethod::Get,
        "/v1/nat/pools",
        routing::get(list_pools),
        pools,
    );

    let tenant = endpoints.schema::<TenantEntry>();
    let tenants = Operation::new(
        "list_nat_tenants",
        "nat",
        "Show what tenants use of address translation, and their limits",
    )
    .description(
        "On this host. A router that names no tenant is listed by its own identifier. `limits_from` tells a tenant that \
         `tenants` has from one that only routers name. Each worker has an equal share of a \
         limit, which is reached when one of them has used up its own.",
    )
    .json(200, "All of them.", page_of(tenant))
    .refused(Code::Unhealthy, ASKED);
    endpoints.add(
        HttpMethod::Get,
        "/v1/nat/tenants",
        routing::get(list_tenants),
        tenants,
    );
}

/// An outside address that stations share.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NatPool)]
pub(super) struct PoolEntry {
    /// The router whose packets leave with it.
    pub router: Id,
    /// The address.
    #[schema(value_type = String, examples("10.100.0.5"))]
    pub address: Ipv4Addr,
    /// Sessions now.
    pub sessions: u64,
    /// Its ports, for each protocol.
    pub ports: Vec<PortUse>,
    /// Where it is in its life.
    pub state: NatPoolState,
}

/// What a tenant uses, all workers together, and may use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NatTenant)]
struct TenantEntry {
    /// The tenant, or the router that counts for itself.
    tenant: Id,
    /// Sessions now.
    sessions: u64,
    /// Ports of outside addresses now, without those that rest.
    ports: u64,
    /// Fragmented datagrams and held packets now.
    fragments: u64,
    /// Its limits in force.
    limits: NatLimits,
    /// Where they come from.
    limits_from: LimitsFrom,
}

/// Where a tenant's limits come from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum LimitsFrom {
    /// It is one of `tenants`; what that leaves out comes from `nat-settings`.
    Tenants,
    /// Nobody has given it limits of its own.
    NatSettings,
}

/// The tenants, in order.
fn tenants(manager: &Manager) -> Result<Vec<TenantEntry>, Refusal> {
    let tenants = manager.control().nat_tenants()?;
    let mut entries: Vec<TenantEntry> = manager.read(|state| {
        let view = state.view();
        let entry = |own: NatTenant| TenantEntry {
            limits_from: match view.find::<Tenant>(&own.tenant) {
                Some(_) => LimitsFrom::Tenants,
                None => LimitsFrom::NatSettings,
            },
            tenant: own.tenant,
            sessions: own.sessions,
            ports: own.ports,
            fragments: own.fragments,
            limits: own.limits,
        };
        tenants.into_iter().map(entry).collect()
    });
    entries.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    Ok(entries)
}

/// The pools with their routers' names, in the order of routers and addresses. One whose router has gone is left out.
pub(super) fn pools(manager: &Manager) -> Result<Vec<PoolEntry>, Refusal> {
    let pools = manager.control().nat_pools()?;
    let named = |pool: NatPool| {
        let router = manager.read(|state| Some(state.view().get(pool.router)?.id.clone()))?;
        Some(PoolEntry {
            router,
            address: pool.address,
            sessions: pool.sessions,
            ports: pool.ports,
            state: pool.state,
        })
    };
    let mut pools: Vec<_> = pools.into_iter().filter_map(named).collect();
    pools.sort_by(|a, b| (&a.router, a.address).cmp(&(&b.router, b.address)));
    Ok(pools)
}

async fn list_pools(State(api): State<Arc<Api>>) -> Result<Json<Page<PoolEntry>>, Problem> {
    let items = api.blocking(pools).await??;
    Ok(Json(Page { items, next: None }))
}

async fn list_tenants(State(api): State<Arc<Api>>) -> Result<Json<Page<TenantEntry>>, Problem> {
    let items = api.blocking(tenants).await??;
    Ok(Json(Page { items, next: None }))
}
