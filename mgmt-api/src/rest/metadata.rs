//! Who asks the metadata proxy: the addresses by which it knows the ports of this host.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing;
use serde::Deserialize;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, number, page_of, text};
use super::paging::{self, DEFAULT_LIMIT, Page, next_path};
use super::problem::Problem;
use super::query::Params;
use crate::control::MetadataAsker;
use crate::manager::Manager;
use crate::refusal::Refusal;

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let entry = endpoints.schema::<MetadataAsker>();
    let list = Operation::new(
        "list_metadata",
        "metadata",
        "Show who asks the metadata proxy, in pages",
    )
    .description(
        "The addresses by which it knows the ports of this host; none without a proxy in the daemon's configuration. \
         An address is a port's as long as this says so: ask for each connection.",
    )
    .query("address", text(), "Only whom this address stands for.")
    .query(
        "limit",
        number(Some(DEFAULT_LIMIT)),
        "The most items of the page, up to 10000.",
    )
    .query("after", text(), "Only what comes after this address.")
    .json(200, "A page, ordered by address.", page_of(entry));
    endpoints.add(
        HttpMethod::Get,
        "/v1/metadata",
        routing::get(list_metadata),
        list,
    );
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataParams {
    address: Option<Ipv4Addr>,
    limit: Option<usize>,
    after: Option<Ipv4Addr>,
}

async fn list_metadata(
    State(api): State<Arc<Api>>,
    Params(params): Params<MetadataParams>,
) -> Result<Json<Page<MetadataAsker>>, Problem> {
    Ok(Json(
        api.blocking(move |manager| page(manager, &params))
            .await??,
    ))
}

fn page(manager: &Manager, params: &MetadataParams) -> Result<Page<MetadataAsker>, Refusal> {
    let limit = paging::limit(params.limit)?;
    if let Some(address) = params.address {
        let mut items = manager.control().metadata(address, 1);
        items.retain(|asker| asker.address == address);
        return Ok(Page { items, next: None });
    }
    let first = params.after.map_or(Ipv4Addr::UNSPECIFIED, |after| {
        Ipv4Addr::from_bits(after.to_bits().saturating_add(1))
    });
    // One more than asked for says whether there is a next page.
    let mut items = manager.control().metadata(first, limit + 1);
    let has_next = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_next).map(|last| {
        let (limit, last) = (limit.to_string(), last.address.to_string());
        next_path("/v1/metadata", &[("limit", &limit), ("after", &last)])
    });
    Ok(Page { items, next })
}
