//! The scope of each operation, read from the OpenAPI document, so that REST and gRPC share one table.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::Scope;

/// Operations that share a rate limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    Read,
    Write,
    Stream,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Stream => "stream",
        }
    }

    fn of(method: &Method) -> Self {
        if method.is_safe() { Self::Read } else { Self::Write }
    }
}

/// What a request wants to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The id in the OpenAPI document; of what the document does not describe, its method.
    pub id: String,
    /// `None`: any key may.
    pub scope: Option<Scope>,
    pub class: Class,
}

/// Every operation of a document.
#[derive(Clone, Default, Debug)]
pub struct Operations {
    by_route: HashMap<(Method, String), Operation>,
}

impl Operations {
    pub fn of(document: &OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let mut by_route = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if let Ok(method) = method.to_uppercase().parse::<Method>() {
                    let operation = read(&method, operation);
                    by_route.insert((method, path.clone()), operation);
                }
            }
        }
        Self { by_route }
    }

    /// The operation of a request; `path` is the template that matched. What the document does not describe
    /// needs a key, of any scope.
    pub fn of_request(&self, method: &Method, path: Option<&str>) -> Operation {
        let described = if method == Method::HEAD { Method::GET } else { method.clone() };
        let found = path.and_then(|path| self.by_route.get(&(described, path.to_owned())));
        found.cloned().unwrap_or_else(|| {
            let id = if method.as_str().len() <= 10 { method.to_string() } else { "other".into() };
            Operation { id, scope: None, class: Class::of(method) }
        })
    }

    pub fn named(&self, id: &str) -> Option<&Operation> {
        self.by_route.values().find(|operation| operation.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.by_route.values()
    }
}

fn read(method: &Method, operation: &Value) -> Operation {
    let scope = operation.pointer("/security/0/api_key/0").and_then(Value::as_str);
    let streams = operation.pointer("/responses/200/content/text~1event-stream").is_some();
    Operation {
        id: operation["operationId"].as_str().unwrap_or(method.as_str()).to_owned(),
        scope: scope.and_then(Scope::read),
        class: if streams { Class::Stream } else { Class::of(method) },
    }
}
