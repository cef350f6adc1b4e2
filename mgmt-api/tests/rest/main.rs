//! The API as a caller meets it: request in, answer out, and what the control plane was told.

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod fdb;
mod http;
mod metadata;
mod neighbours;
mod networks;
mod ports;
mod refusals;
mod resources;
mod routers;
mod routes;
mod status;
mod subnets;
mod transactions;
