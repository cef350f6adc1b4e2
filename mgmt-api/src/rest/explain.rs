//! What happens to a packet, and why.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::body::read_document;
use super::endpoint::{Endpoints, Operation};
use super::problem::Problem;
use crate::document;
use crate::explain::{ExplainSpec, Explanation};
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let question = endpoints.schema::<ExplainSpec>();
    let answer = endpoints.schema::<Explanation>();
    let post = Operation::new("explain", "explain", "Tell what happens to a packet, and why")
        .description(
            "Runs one packet through the code of the workers, on the tables as they are. Nothing is sent and nothing \
             is changed: asking is safe on a loaded host.",
        )
        .body(
            question,
            "`frame` and `interface`; or `from` and `to`; or the addresses of a packet and `interface`.",
        )
        .json(200, "Each decision, and what left.", answer)
        .refused(Code::Invalid, "A field is not valid, or what it leaves out is not known.");
    endpoints.add(
        HttpMethod::Post,
        "/v1/explain",
        routing::post(post_explain),
        post,
    );
}

async fn post_explain(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Explanation>, Problem> {
    let body = read_document(&headers, body).await?;
    let spec: ExplainSpec = document::parse(&body)?;
    // The state is held while the packet is run, well below a millisecond: its names are those of the tables.
    let explain = move |manager: &Manager| {
        manager.read(|state| {
            let query = spec.resolve(state.view())?;
            manager.control().explain(state.view(), &query)
        })
    };
    let explained: Result<_, Refusal> = api.blocking(explain).await?;
    Ok(Json(explained?))
}
