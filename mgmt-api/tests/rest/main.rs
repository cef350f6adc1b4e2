//! The API as a caller meets it: request in, answer out, and what the control plane was told.

#[path = "../support/mod.rs"]
mod support;

mod events;
mod explain;
mod external;
mod fdb;
mod floating_ips;
mod http;
mod metadata;
mod nat;
mod neighbours;
mod networks;
mod ports;
mod refusals;
mod resources;
mod routers;
mod routes;
mod sessions;
mod status;
mod subnets;
mod tenants;
mod transactions;
mod ways_outside;
