//! One resource, or a page of them: the same handlers for every kind.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawPathParams, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::body::read_document;
use super::endpoint::{Endpoints, Operation, number, page_of, text};
use super::paging::{self, DEFAULT_LIMIT, ListParams, named_spec};
use super::problem::Problem;
use super::query::{Params, WriteParams};
use super::transaction::WriteSummary;
use crate::document::parse_spec;
use crate::refusal::{Code, Refusal};
use crate::request::{Delete, Put};
use crate::resources::{Kind, KindVisitor, each_kind};

/// The paths of every kind.
pub(super) fn add_to(endpoints: &mut Endpoints) {
    struct AddKind<'a>(&'a mut Endpoints);
    impl KindVisitor for AddKind<'_> {
        type Error = std::convert::Infallible;
        fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
            add_kind::<K>(self.0);
            Ok(())
        }
    }
    let Ok(()) = each_kind(&mut AddKind(endpoints));
}

/// The path of one resource: its key's parts, by name.
fn item_path<K: Kind>() -> String {
    let parts = K::KEY_PARTS.iter().map(|part| format!("/{{{part}}}"));
    format!("/v1/{}{}", K::NAME, parts.collect::<String>())
}

/// The path of the list. Static entries are listed by network, `/v1/fdb` is the table itself; routes by router.
fn list_path<K: Kind>() -> String {
    let parts = K::LISTED_WITHIN.iter().map(|part| format!("/{{{part}}}"));
    format!("/v1/{}{}", K::NAME, parts.collect::<String>())
}

fn add_kind<K: Kind>(endpoints: &mut Endpoints) {
    let spec = endpoints.schema::<K::Spec>();
    let summary = endpoints.schema::<WriteSummary>();
    let (name, one) = (K::NAME, K::SINGULAR);
    let word = K::SINGULAR.replace(' ', "_").to_lowercase();
    let item = item_path::<K>();
    let operation = |verb: &str, summary: String| {
        Operation::new(format!("{verb}_{word}"), name, summary).description(K::ABOUT)
    };

    let mut list = Operation::new(
        format!("list_{name}"),
        name,
        format!("List: {one}, in pages"),
    )
    .description(K::ABOUT)
    .query(
        "limit",
        number(Some(DEFAULT_LIMIT)),
        "The most items of the page, up to 10000.",
    )
    .query("after", text(), "Only what comes after this identifier.")
    .json(200, "A page, ordered by identifier.", page_of(spec.clone()));
    for (filter, about) in [
        ("network", "Only what refers to this network."),
        (
            "host",
            "Only what refers to this host; the local one: what lives on it.",
        ),
        ("interface", "Only what refers to this interface."),
    ] {
        if !list_path::<K>().contains(&format!("{{{filter}}}")) {
            list = list.query(filter, text(), about);
        }
    }
    endpoints.add(
        HttpMethod::Get,
        &list_path::<K>(),
        routing::get(list_resources::<K>),
        list,
    );

    let get = operation("get", format!("Show one {one}"))
        .json(200, "The resource.", spec.clone())
        .refused(Code::NotFound, "There is none.");
    endpoints.add(HttpMethod::Get, &item, routing::get(get_resource::<K>), get);

    let put = operation("put", format!("Create or change one {one}"))
        .write_queries()
        .body(
            spec.clone(),
            "The whole document; what it leaves out takes its default.",
        )
        .json(201, "It was created.", spec.clone())
        .json(
            200,
            "It was changed, or was the same already. With `dry_run` or `diff`: the summary.",
            utoipa::openapi::schema::OneOfBuilder::new()
                .item(spec)
                .item(summary.clone()),
        )
        .refused(Code::Invalid, "A field is not valid, or refers to nothing.")
        .refused(Code::Conflict, "It contradicts another resource.");
    endpoints.add(HttpMethod::Put, &item, routing::put(put_resource::<K>), put);

    let delete = operation("delete", format!("Delete one {one}"))
        .write_queries()
        .no_content("It is gone.")
        .json(200, "With `dry_run` or `diff`: the summary.", summary)
        .refused(Code::NotFound, "There is none.")
        .refused(Code::InUse, "Something refers to it.");
    endpoints.add(
        HttpMethod::Delete,
        &item,
        routing::delete(delete_resource::<K>),
        delete,
    );
}

fn parse_key<K: Kind>(path: &RawPathParams) -> Result<K::Key, Refusal> {
    let parts = path
        .iter()
        .map(|(_, part)| part)
        .collect::<Vec<_>>()
        .join("/");
    parts.parse().map_err(|error| {
        Refusal::new(
            Code::Invalid,
            format!("{parts:?} names no {}: {error}", K::SINGULAR),
        )
    })
}

async fn get_resource<K: Kind>(
    State(api): State<Arc<Api>>,
    path: RawPathParams,
) -> Result<Response, Problem> {
    let key = parse_key::<K>(&path)?;
    shown::<K>(&api, key)
        .await
        .map(|spec| Json(spec).into_response())
}

/// The document of a resource with its identifier.
async fn shown<K: Kind>(api: &Arc<Api>, key: K::Key) -> Result<K::Spec, Problem> {
    let name = format!("{}/{key}", K::NAME);
    let message = format!("there is no {} {key}", K::SINGULAR);
    let read = move |state: &crate::state::State| {
        let view = state.view();
        let record = view.get(view.find::<K>(&key)?)?;
        Some(named_spec(record, &key, view))
    };
    let found = api.read(read).await?;
    found.ok_or_else(|| Refusal::new(Code::NotFound, message).of(name).into())
}

async fn list_resources<K: Kind>(
    State(api): State<Arc<Api>>,
    path: RawPathParams,
    Params(mut params): Params<ListParams>,
    uri: axum::http::Uri,
) -> Result<Response, Problem> {
    for (name, value) in &path {
        let id = value.parse().map_err(|error| {
            Refusal::new(Code::Invalid, format!("{value:?} names no {name}: {error}"))
        })?;
        match name {
            "router" => params.router = Some(id),
            _ => params.network = Some(id),
        }
    }
    let path = uri.path().to_owned();
    let listed = api.blocking(move |manager| {
        paging::page::<K>(|read| manager.read(|state| read(state)), &path, &params)
    });
    Ok(Json(listed.await??).into_response())
}

async fn put_resource<K: Kind>(
    State(api): State<Arc<Api>>,
    path: RawPathParams,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = parse_key::<K>(&path)?;
    let body = read_document(&headers, body).await?;
    let spec = parse_spec::<K>(&key, &body)?;
    let put = Put::<K> {
        key: key.clone(),
        spec,
    };
    let summary = api.manager.write(put, params.into()).await?;
    if params.dry_run || params.diff {
        return Ok(Json(WriteSummary::new(summary, params.dry_run)).into_response());
    }
    let status = match summary.counts.created {
        0 => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    let location = format!("/v1/{}/{key}", K::NAME);
    let spec = shown::<K>(&api, key).await?;
    Ok((status, [(header::LOCATION, location)], Json(spec)).into_response())
}

async fn delete_resource<K: Kind>(
    State(api): State<Arc<Api>>,
    path: RawPathParams,
    Params(params): Params<WriteParams>,
) -> Result<Response, Problem> {
    let key = parse_key::<K>(&path)?;
    let summary = api
        .manager
        .write(Delete::<K> { key }, params.into())
        .await?;
    if params.dry_run || params.diff {
        return Ok(Json(WriteSummary::new(summary, params.dry_run)).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
