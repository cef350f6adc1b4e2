//! Reading request bodies, within limits of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::problem::Problem;
use crate::refusal::{Code, Refusal};

/// The most bytes of one resource's document. The largest lists, thousands of bindings, are a tenth of it.
pub(super) const DOCUMENT_LIMIT: usize = 1 << 20;
/// A sender that is silent for so long is given up: it may be holding back other large bodies.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads a body of JSON that may be large. The permit keeps other large ones waiting while this one is held.
pub(super) async fn read_large(
    api: &Arc<Api>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    let limit = api.config.body_limit;
    check_headers(headers, limit)?;
    let is_small = content_length(headers).is_some_and(|length| length <= DOCUMENT_LIMIT);
    let permit = match is_small {
        true => None,
        false => api.large.clone().acquire_owned().await.ok(),
    };
    Ok((collect(headers, body, limit).await?, permit))
}

/// Reads the body of one resource.
pub(super) async fn read_document(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    check_headers(headers, DOCUMENT_LIMIT)?;
    collect(headers, body, DOCUMENT_LIMIT).await
}

/// A body that says too much of itself is refused before it is read. Requiring JSON, and that it is said, also keeps web
/// pages from writing here: a browser asks first before it sends that to another site, and is refused.
fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let essence = media_type.and_then(|own| own.split(';').next());
    if !essence.is_some_and(|own| own.trim().eq_ignore_ascii_case("application/json")) {
        let message = match media_type {
            Some(other) => format!("send `Content-Type: application/json`, not {other}"),
            None => "send `Content-Type: application/json`: none was given".to_owned(),
        };
        return Err(Refusal::new(Code::UnsupportedMediaType, message));
    }
    match content_length(headers) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("at most {limit} bytes are taken here: send it as several transactions");
    Refusal::new(Code::BodyTooLarge, message)
}

async fn collect(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::with_capacity(content_length(headers).unwrap_or(0).min(limit));
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame())
            .await
            .map_err(|_| {
                let message = format!("nothing came for {} seconds", SILENCE.as_secs());
                Refusal::new(Code::BodyTimeout, message)
            })?;
        let Some(frame) = frame else {
            return Ok(collected.freeze());
        };
        let frame = frame.map_err(|error| {
            Refusal::new(Code::MalformedJson, format!("the body broke off: {error}"))
        })?;
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > limit {
                return Err(too_large(limit).into());
            }
            collected.extend_from_slice(&data);
        }
    }
}
