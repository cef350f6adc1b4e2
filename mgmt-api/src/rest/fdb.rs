//! The MAC tables as they are: configured and learned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, number, page_of, text};
use super::paging::{self, DEFAULT_LIMIT, Page, find, next_path, parse_mac_after};
use super::problem::Problem;
use super::query::Params;
use crate::control::{FdbEntry, FdbLocation, Forget};
use crate::id::Id;
use crate::mac::Mac;
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::resources::{Network, Tpid, Vid};
use crate::state::View;

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let entry = endpoints.schema::<TableEntry>();
    let forgotten = endpoints.schema::<Forgotten>();
    let list = Operation::new(
        "list_mac_table",
        "fdb",
        "Show the MAC table of a network, in pages",
    )
    .description("Configured entries (ports and static ones) and learned ones, ordered by address.")
    .required_query("network", text(), "The network.")
    .query(
        "limit",
        number(Some(DEFAULT_LIMIT)),
        "The most items of the page, up to 10000.",
    )
    .query("after", text(), "Only what comes after this MAC address.")
    .json(200, "A page, ordered by address.", page_of(entry))
    .refused(Code::NotFound, "There is no such network.");
    endpoints.add(HttpMethod::Get, "/v1/fdb", routing::get(list_table), list);

    let forget = Operation::new("forget_learned", "fdb", "Forget learned addresses")
        .description("Of all networks, of one, or a single address. Configured entries stay.")
        .query("network", text(), "Only of this network.")
        .query("mac", text(), "Only this address.")
        .json(200, "How many were forgotten.", forgotten)
        .refused(Code::NotFound, "There is no such network.");
    endpoints.add(
        HttpMethod::Delete,
        "/v1/fdb",
        routing::delete(forget_learned),
        forget,
    );
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableParams {
    network: Id,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetParams {
    network: Option<Id>,
    mac: Option<Mac>,
}

/// An entry of a network's MAC table.
#[derive(Debug, Serialize, ToSchema)]
struct TableEntry {
    /// The address.
    mac: Mac,
    /// Configured, or learned from traffic.
    origin: Origin,
    /// Seconds since a learned address was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u32>,
    /// The remote host frames for it go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Id>,
    /// The VTEP of that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    vtep: Option<std::net::IpAddr>,
    /// The interface frames for it go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<Id>,
    /// The tag they get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vid>,
    /// The tag's type, unless it is `802.1q`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tpid: Option<Tpid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    Configured,
    Learned,
}

/// The answer to a flush.
#[derive(Debug, Serialize, ToSchema)]
struct Forgotten {
    /// How many addresses were forgotten.
    forgotten: u64,
}

impl TableEntry {
    /// `None` for an entry whose host or interface went away while the table was being read.
    fn new(entry: &FdbEntry, view: View<'_>) -> Option<Self> {
        let mut shown = Self {
            mac: entry.mac,
            origin: if entry.learned_age.is_some() {
                Origin::Learned
            } else {
                Origin::Configured
            },
            age_seconds: entry.learned_age,
            host: None,
            vtep: None,
            interface: None,
            vlan: None,
            tpid: None,
        };
        match entry.location {
            FdbLocation::Remote(host) => {
                let host = view.get(host)?;
                shown.host = Some(host.id.clone());
                shown.vtep = host.vtep;
            }
            FdbLocation::Local(attachment) => {
                shown.interface = Some(view.get(attachment.interface)?.id.clone());
                shown.vlan = attachment.tag.map(|tag| tag.vid);
                shown.tpid = attachment.tag.and_then(|tag| tag.tpid.unless_default());
            }
        }
        Some(shown)
    }
}

async fn list_table(
    State(api): State<Arc<Api>>,
    Params(params): Params<TableParams>,
) -> Result<Json<Page<TableEntry>>, Problem> {
    Ok(Json(
        api.blocking(move |manager| table_page(manager, &params))
            .await??,
    ))
}

fn table_page(manager: &Manager, params: &TableParams) -> Result<Page<TableEntry>, Refusal> {
    let limit = paging::limit(params.limit)?;
    let after = parse_mac_after(params.after.as_deref())?;
    let network = manager.read(|state| find::<Network>(&params.network, state.view()))?;
    // One more than asked for says whether there is a next page.
    let mut entries = manager.control().fdb(network, after, limit + 1);
    let has_next = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_next).map(|last| {
        let (network, limit) = (params.network.to_string(), limit.to_string());
        let last = last.mac.to_string();
        next_path(
            "/v1/fdb",
            &[("network", &network), ("limit", &limit), ("after", &last)],
        )
    });
    let items = manager.read(|state| {
        entries
            .iter()
            .filter_map(|entry| TableEntry::new(entry, state.view()))
            .collect()
    });
    Ok(Page { items, next })
}

async fn forget_learned(
    State(api): State<Arc<Api>>,
    Params(params): Params<ForgetParams>,
) -> Result<Json<Forgotten>, Problem> {
    let forget = move |manager: &Manager| {
        let network = params
            .network
            .map(|network| manager.read(|state| find::<Network>(&network, state.view())));
        let which = Forget {
            network: network.transpose()?,
            mac: params.mac,
        };
        Ok::<_, Refusal>(Forgotten {
            forgotten: manager.control().forget_learned(which),
        })
    };
    Ok(Json(api.blocking(forget).await??))
}
