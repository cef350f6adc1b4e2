//! Registers a path with its handler and its description in one step, so that neither is without the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    ResponseBuilder,
};

use super::Api;
use super::problem::{self, Problem};
use crate::refusal::Code;

pub(super) type SchemaRef = RefOr<Schema>;

/// The paths so far.
pub(super) struct Endpoints {
    router: Router<Arc<Api>>,
    paths: Paths,
    schemas: BTreeMap<String, SchemaRef>,
    version: String,
}

impl Endpoints {
    pub fn new(version: &str) -> Self {
        let mut endpoints = Self {
            router: Router::new(),
            paths: Paths::new(),
            schemas: BTreeMap::new(),
            version: version.to_owned(),
        };
        endpoints.schema::<Problem>();
        endpoints
    }

    /// Adds a path and method.
    pub fn add(
        &mut self,
        method: HttpMethod,
        path: &str,
        handler: MethodRouter<Arc<Api>>,
        operation: Operation,
    ) {
        let router = std::mem::take(&mut self.router);
        self.router = router.route(path, handler);
        let mut described = operation.0;
        for name in path_parameters(path) {
            described = described.parameter(parameter(name, ParameterIn::Path, text()));
        }
        let item = PathItem::new(method, described.build());
        let mut paths = Paths::new();
        paths.paths.insert(path.to_owned(), item);
        self.paths.merge(paths);
    }

    /// Makes a type known by its name, and everything in it.
    pub fn schema<T: ToSchema>(&mut self) -> SchemaRef {
        let mut nested = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut nested);
        self.schemas.extend(nested);
        Ref::from_schema_name(T::name()).into()
    }

    /// The router, and the document of its paths.
    pub fn finish(self) -> (Router<Arc<Api>>, OpenApi) {
        let info = InfoBuilder::new()
            .title("vtepd")
            .version(self.version)
            .description(Some(ABOUT))
            .license(Some(LicenseBuilder::new().name("Apache-2.0").build()))
            .build();
        let components = ComponentsBuilder::new()
            .schemas_from_iter(self.schemas)
            .build();
        let document = OpenApiBuilder::new()
            .info(info)
            .paths(self.paths)
            .components(Some(components))
            .build();
        (self.router, document)
    }
}

const ABOUT: &str = "The management API of vtepd, a VXLAN tunnel end point and distributed router.\n\n\
    A 2xx answer to a write means that every worker already forwards by it and that the disk has it. \
    Whatever is refused changes nothing and is answered with a problem document (RFC 9457).";

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The description of one method of a path.
pub(super) struct Operation(OperationBuilder);

impl Operation {
    /// `id` is unique in the document; generated clients make it a function's name.
    pub fn new(id: impl Into<String>, tag: &str, summary: impl Into<String>) -> Self {
        let problem = ResponseBuilder::new()
            .description("Refused; nothing was changed.")
            .content(
                problem::MEDIA_TYPE,
                content(Ref::from_schema_name(Problem::name())),
            );
        let operation = OperationBuilder::new()
            .operation_id(Some(id.into()))
            .tag(tag)
            .summary(Some(summary.into()))
            .response("default", problem.build());
        Self(operation)
    }

    pub fn description(self, description: impl Into<String>) -> Self {
        Self(self.0.description(Some(description.into())))
    }

    pub fn query(self, name: &str, schema: impl Into<SchemaRef>, about: &str) -> Self {
        let parameter = ParameterBuilder::from(parameter(name, ParameterIn::Query, schema));
        Self(
            self.0
                .parameter(parameter.required(Required::False).description(Some(about))),
        )
    }

    pub fn required_query(self, name: &str, schema: impl Into<SchemaRef>, about: &str) -> Self {
        let parameter = ParameterBuilder::from(parameter(name, ParameterIn::Query, schema));
        Self(
            self.0
                .parameter(parameter.required(Required::True).description(Some(about))),
        )
    }

    /// The parameters of every write.
    pub fn write_queries(self) -> Self {
        self.query("dry_run", boolean(), "Only say what would change.")
            .query(
                "diff",
                boolean(),
                "Answer with what changes, resource by resource.",
            )
    }

    pub fn body(self, schema: impl Into<SchemaRef>, about: &str) -> Self {
        let body = RequestBodyBuilder::new()
            .description(Some(about))
            .required(Some(Required::True))
            .content("application/json", content(schema));
        Self(self.0.request_body(Some(body.build())))
    }

    /// An answer of JSON.
    pub fn json(self, status: u16, about: &str, schema: impl Into<SchemaRef>) -> Self {
        self.answer(status, about, "application/json", schema)
    }

    pub fn answer(
        self,
        status: u16,
        about: &str,
        media_type: &str,
        schema: impl Into<SchemaRef>,
    ) -> Self {
        let response = ResponseBuilder::new().description(about);
        let response = response.content(media_type, content(schema)).build();
        Self(self.0.response(status.to_string(), response))
    }

    pub fn no_content(self, about: &str) -> Self {
        let response = ResponseBuilder::new().description(about).build();
        Self(self.0.response("204", response))
    }

    /// An expected refusal.
    pub fn refused(self, code: Code, about: &str) -> Self {
        let schema = Ref::from_schema_name(Problem::name());
        self.answer(code.status(), about, problem::MEDIA_TYPE, schema)
    }
}

fn content(schema: impl Into<SchemaRef>) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(schema)).build()
}

fn parameter(name: &str, at: ParameterIn, schema: impl Into<SchemaRef>) -> Parameter {
    let builder = ParameterBuilder::new().name(name).parameter_in(at);
    builder
        .required(Required::True)
        .schema(Some(schema))
        .build()
}

/// A text.
pub(super) fn text() -> SchemaRef {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// A whole number, with its default.
pub(super) fn number(default: Option<usize>) -> SchemaRef {
    let builder = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0));
    builder.default(default.map(Into::into)).into()
}

/// Yes or no.
pub(super) fn boolean() -> SchemaRef {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .default(Some(false.into()))
        .into()
}

/// A list of `item`.
pub(super) fn list_of(item: SchemaRef) -> SchemaRef {
    ArrayBuilder::new().items(item).into()
}

/// A page of `item`.
pub(super) fn page_of(item: SchemaRef) -> SchemaRef {
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(item))
        .required("items")
        .property(
            "next",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("The path of the next page.")),
        )
        .into()
}

/// An object of `item`s by identifier.
pub(super) fn map_of(item: SchemaRef) -> SchemaRef {
    ObjectBuilder::new()
        .additional_properties(Some(item))
        .into()
}
