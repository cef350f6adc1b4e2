//! The API's document, and the page that shows it.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::Api;

/// `/openapi.json`, and `/docs` with everything it needs in the binary.
pub(super) fn page(document: OpenApi) -> Router<Arc<Api>> {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .into()
}
