//! Query parameters, refused as everything else is refused.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::refusal::{Code, Refusal};
use crate::request::Options;

/// The query of a request. Unknown parameters are errors if `T` says so.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let why = rejection.body_text();
            let why = why
                .strip_prefix("Failed to deserialize query string: ")
                .unwrap_or(&why);
            Refusal::new(Code::Invalid, format!("the query parameters: {why}"))
        })?;
        Ok(Self(params))
    }
}

/// The parameters of every write.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WriteParams {
    pub dry_run: bool,
    pub diff: bool,
}

impl From<WriteParams> for Options {
    fn from(params: WriteParams) -> Self {
        Self {
            dry_run: params.dry_run,
            diff: params.diff,
        }
    }
}
