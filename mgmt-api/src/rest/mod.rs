//! The REST API over the manager, its OpenAPI document and page, metrics, and the sockets it is served on.
//!
//! ```text
//!  /v1/{kind}, /v1/{kind}/{id}     one resource or a page of them            resources.rs
//!  /v1/transaction, /v1/state      many at once, all at once                 transaction.rs
//!  /v1/workers, drops, tables, …   what is, not what is wanted               status.rs
//!  /v1/fdb, /v1/neighbours         the tables as they are                    fdb.rs, neighbours.rs
//!  /v1/metadata                    who asks the metadata proxy               metadata.rs
//!  /v1/sessions, /v1/nat/…         what address translation holds            sessions.rs, nat.rs
//!  /v1/events                      what happens, as it happens               events.rs
//!  /v1/explain                     what happens to a packet, and why         explain.rs
//!  /metrics, /healthz              for Prometheus and supervisors            metrics.rs
//!  /openapi.json, /docs            the document of all this, from the code   openapi.rs
//! ```
//!
//! Pages of other sites are kept out by body.rs and origin.rs.
//! Every answer that is not a success is a problem document ([`problem`]).

mod body;
mod endpoint;
mod events;
mod explain;
mod fdb;
mod metadata;
mod metrics;
mod nat;
mod neighbours;
mod openapi;
mod origin;
mod paging;
pub mod problem;
mod query;
mod resources;
mod serve;
mod sessions;
mod status;
mod transaction;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use tokio::sync::Semaphore;

pub use serve::{Bound, Endpoint, ServeError, bind, serve};

use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::state::State;
use endpoint::Endpoints;
use problem::Problem;

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most bytes a transaction or a whole state may have. A million ports are about 250 MB.
    pub body_limit: usize,
    /// What `/v1/version` says.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_limit: 512 << 20,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What every handler can reach.
pub(crate) struct Api {
    manager: Manager,
    config: Config,
    /// Large bodies are held in memory one at a time.
    large: Arc<Semaphore>,
    /// And exports likewise; apart from the bodies, for a reader may take its time and writers must not wait for it.
    exports: Arc<Semaphore>,
    metrics: metrics::RequestMetrics,
}

impl Api {
    /// Reads the state: at once if nobody is in the way, else on a thread that may wait.
    async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&State) -> T + Send + 'static,
    {
        match self.manager.try_read(read) {
            Ok(found) => Ok(found),
            Err(read) => self.blocking(move |manager| manager.read(read)).await,
        }
    }

    /// Runs what may wait or take long on a thread of its own.
    async fn blocking<T, F>(self: &Arc<Self>, run: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Manager) -> T + Send + 'static,
    {
        let api = self.clone();
        tokio::task::spawn_blocking(move || run(&api.manager))
            .await
            .map_err(|error| Refusal::new(Code::Internal, error.to_string()).into())
    }
}

/// The whole API as a router, to be served or called in a test.
pub fn router(manager: Manager, config: Config) -> Router {
    let mut endpoints = Endpoints::new(&config.version);
    resources::add_to(&mut endpoints);
    transaction::add_to(&mut endpoints);
    fdb::add_to(&mut endpoints);
    neighbours::add_to(&mut endpoints);
    metadata::add_to(&mut endpoints);
    sessions::add_to(&mut endpoints);
    nat::add_to(&mut endpoints);
    events::add_to(&mut endpoints);
    explain::add_to(&mut endpoints);
    status::add_to(&mut endpoints);
    metrics::add_to(&mut endpoints);
    let (router, document) = endpoints.finish();

    let api = Arc::new(Api {
        manager,
        config,
        large: Arc::new(Semaphore::new(1)),
        exports: Arc::new(Semaphore::new(1)),
        metrics: metrics::RequestMetrics::default(),
    });
    router
        .merge(openapi::page(document))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(origin::require_own_origin))
        .layer(axum::middleware::from_fn_with_state(
            api.clone(),
            metrics::count,
        ))
        .with_state(api)
}

async fn unknown_path(request: Request) -> Problem {
    let path = request.uri().path();
    let message = format!("there is nothing at {path}; /docs shows what there is");
    Refusal::new(Code::UnknownPath, message).into()
}

async fn method_not_allowed(method: Method, request: Request) -> Problem {
    let path = request.uri().path();
    let message = format!("{path} has no {method}; see the Allow header or /docs");
    Refusal::new(Code::MethodNotAllowed, message).into()
}
