//! Many resources in one request: a transaction, or the whole state.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{ObjectBuilder, Schema};

use super::Api;
use super::body::read_large;
use super::endpoint::{Endpoints, Operation, list_of, map_of, text};
use super::problem::Problem;
use super::query::{Params, WriteParams};
use crate::refusal::Code;
use crate::request::{Batch, Replace, Summary};
use crate::resources::{Kind, KindVisitor, each_kind};
use crate::state::{self, Difference};

/// What a write did, or with `dry_run` would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WriteSummary {
    /// True if nothing was changed because only a preview was asked for.
    dry_run: bool,
    /// Resources created.
    created: u64,
    /// Resources changed.
    changed: u64,
    /// Resources deleted.
    deleted: u64,
    /// Resources named that were as they should be.
    unchanged: u64,
    /// What changes, resource by resource; with `dry_run` or `diff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Vec<Difference>>,
}

impl WriteSummary {
    pub fn new(summary: Summary, dry_run: bool) -> Self {
        let Summary {
            counts,
            differences,
        } = summary;
        Self {
            dry_run,
            created: counts.created,
            changed: counts.changed,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            diff: differences,
        }
    }
}

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let summary = endpoints.schema::<WriteSummary>();
    let (documents, keys) = whole_schemas(endpoints);
    let transaction = ObjectBuilder::new()
        .property("put", documents.clone())
        .property("delete", keys);

    let post = Operation::new("transaction", "state", "Put and delete many resources at once")
        .description("All of it or nothing. The order within the body means nothing: the result as a whole must be free of contradictions.")
        .write_queries()
        .body(Schema::from(transaction.build()), "What to put, by kind and identifier, and what to delete.")
        .json(200, "It is done.", summary.clone())
        .refused(Code::Invalid, "A field is not valid, or refers to nothing.")
        .refused(Code::Conflict, "Resources contradict each other.");
    endpoints.add(
        HttpMethod::Post,
        "/v1/transaction",
        routing::post(post_transaction),
        post,
    );

    let put = Operation::new("put_state", "state", "Replace the whole state")
        .description(
            "What the body does not name is deleted; of the rest only what differs is touched.",
        )
        .write_queries()
        .body(documents.clone(), "Every resource, by kind and identifier.")
        .json(200, "It is done.", summary)
        .refused(Code::Invalid, "A field is not valid, or refers to nothing.")
        .refused(Code::Conflict, "Resources contradict each other.");
    endpoints.add(HttpMethod::Put, "/v1/state", routing::put(put_state), put);

    let get = Operation::new("get_state", "state", "Show the whole state")
        .description("As one moment saw it, in the form that PUT takes.")
        .json(200, "Every resource, by kind and identifier.", documents);
    endpoints.add(HttpMethod::Get, "/v1/state", routing::get(get_state), get);
}

/// The schemas of `{kind: {id: document}}` and `{kind: [id]}`.
fn whole_schemas(endpoints: &mut Endpoints) -> (Schema, Schema) {
    struct Whole<'a>(&'a mut Endpoints, ObjectBuilder, ObjectBuilder);
    impl KindVisitor for Whole<'_> {
        type Error = std::convert::Infallible;
        fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
            let spec = self.0.schema::<K::Spec>();
            self.1 = std::mem::take(&mut self.1).property(K::NAME, map_of(spec));
            self.2 = std::mem::take(&mut self.2).property(K::NAME, list_of(text()));
            Ok(())
        }
    }
    let mut whole = Whole(endpoints, ObjectBuilder::new(), ObjectBuilder::new());
    let Ok(()) = each_kind(&mut whole);
    (whole.1.build().into(), whole.2.build().into())
}

async fn post_transaction(
    State(api): State<Arc<Api>>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (body, _permit) = read_large(&api, &headers, body).await?;
    let summary = api.manager.write(Batch { body }, params.into()).await?;
    Ok(Json(WriteSummary::new(summary, params.dry_run)).into_response())
}

async fn put_state(
    State(api): State<Arc<Api>>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (body, _permit) = read_large(&api, &headers, body).await?;
    let summary = api.manager.write(Replace { body }, params.into()).await?;
    Ok(Json(WriteSummary::new(summary, params.dry_run)).into_response())
}

/// Writes the state down as one moment sees it, and sends it after letting the state go: a slow reader holds up
/// nobody. One at a time, for a million ports are 200 MB of text.
async fn get_state(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let permit = api.exports.clone().acquire_owned().await.ok();
    let pieces = api.blocking(|manager| manager.read(Export::pieces)).await?;
    let pieces = pieces.into_iter().map(move |piece| {
        let _held_until_sent = &permit;
        Ok::<_, std::convert::Infallible>(piece)
    });
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The size of the pieces that an export is made of; each is given back to the system once it is sent.
const PIECE: usize = 1 << 20;

struct Export<'a> {
    state: &'a state::State,
    pieces: Vec<Bytes>,
    piece: Vec<u8>,
}

impl Export<'_> {
    fn pieces(state: &state::State) -> Vec<Bytes> {
        let mut export = Export {
            state,
            pieces: Vec::new(),
            piece: Vec::new(),
        };
        let Ok(()) = each_kind(&mut export);
        export.piece.push(b'}');
        export.pieces.push(export.piece.into());
        export.pieces
    }
}

impl KindVisitor for Export<'_> {
    type Error = std::convert::Infallible;

    fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
        let is_first = self.pieces.is_empty() && self.piece.is_empty();
        self.piece
            .extend_from_slice(if is_first { b"{\"" } else { b",\"" });
        self.piece.extend_from_slice(K::NAME.as_bytes());
        self.piece.extend_from_slice(b"\":{");
        for (index, (_, _, record)) in self.state.table::<K>().range(..).enumerate() {
            if index > 0 {
                self.piece.push(b',');
            }
            let spec = record.spec(self.state.view());
            let key = record.key(self.state.view());
            serde_json::to_writer(&mut self.piece, &key).expect("a key is text");
            self.piece.push(b':');
            serde_json::to_writer(&mut self.piece, &spec).expect("documents are plain values");
            if self.piece.len() >= PIECE {
                let full =
                    std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE + PIECE / 8));
                self.pieces.push(full.into());
            }
        }
        self.piece.push(b'}');
        Ok(())
    }
}
