//! The OpenAPI document: what every service adds to the operations that it generates from its handlers.

use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
    path::Operation,
    schema::{AdditionalProperties, Schema},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa::{PartialSchema, ToSchema};

use crate::{Code, ProblemBody, Scope, problem::PROBLEM_JSON};

const API_KEY: &str = "api_key";
const BEARER: &str = "bearer";

/// An empty document with the schemas and security schemes that every service has.
pub fn document(title: &str, description: &str) -> OpenApi {
    let mut schemas = vec![(ProblemBody::name().to_string(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    let mut components = Components::new();
    components.schemas.extend(schemas);
    let key = ApiKeyValue::with_description("X-API-Key", "A key with the scopes that the operation names");
    components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The same key"));
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    let info = InfoBuilder::new().title(title).version("v1").description(Some(description)).build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds the scope and the refusals of an operation: `codes`, and those that every operation has.
pub(crate) fn describe(operation: &mut Operation, scope: Scope, codes: &[Code]) {
    let need = |scheme| SecurityRequirement::new(scheme, [scope.name()]);
    operation.security = Some(vec![need(API_KEY), need(BEARER)]);
    let mut refusals = vec![
        Code::Malformed,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::UriTooLong,
        Code::InvalidFields,
        Code::TooManyRequests,
        Code::HeadersTooLarge,
        Code::Internal,
        Code::Unavailable,
    ];
    if operation.request_body.is_some() {
        refusals.extend([Code::Timeout, Code::BodyTooLarge, Code::UnsupportedMediaType]);
    }
    refusals.extend(codes);
    for code in refusals {
        let name = serde_json::to_value(code).unwrap_or_default();
        let line = format!("{}: {}", name.as_str().unwrap_or_default(), code.title());
        let status = code.status().as_u16().to_string();
        match operation.responses.responses.get_mut(&status) {
            // Two codes have one status.
            Some(RefOr::T(response)) => response.description = format!("{}; {line}", response.description),
            _ => drop(operation.responses.responses.insert(status, refusal(line).into())),
        }
    }
}

/// Says of request schemas that other fields than theirs are refused.
pub fn refuse_unknown_fields(document: &mut OpenApi, schemas: &[&str]) {
    let Some(components) = &mut document.components else { return };
    for name in schemas {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(*name) {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

fn refusal(description: String) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}
