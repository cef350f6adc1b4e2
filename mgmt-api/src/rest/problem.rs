//! Problem documents (RFC 9457): what went wrong, where, and what to do.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::refusal::{Code, Refusal};

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:vtepd:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(examples("urn:vtepd:problem:conflict"))]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// The stable word for the kind of problem.
    pub code: Code,
    /// The field at fault, as a JSON pointer (RFC 6901) into the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The resource at fault, as `kind/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code,
            resource,
            field,
            message,
        } = refusal;
        Self {
            kind: format!("urn:vtepd:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: message,
            code,
            field,
            resource,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], Json(self)).into_response()
    }
}
