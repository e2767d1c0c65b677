//! The types of jobs as clients see them: JSON Schemas of parameters and results, for REST, gRPC, the command
//! line, forms and tools.

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{JobParameters, JobType, TYPES, views::JobTypeSchema};

/// Every type of job, by name.
pub fn job_types() -> Vec<JobTypeSchema> {
    let mut types: Vec<_> = TYPES.iter().map(described).collect();
    types.sort_by(|one, other| one.job_type.cmp(&other.job_type));
    types
}

/// The type of job of this name.
pub fn job_type(name: &str) -> Option<JobTypeSchema> {
    JobType::named(name).map(described)
}

fn described(job_type: &JobType) -> JobTypeSchema {
    let mut parameters = parameters(job_type);
    remove_read_only(&mut parameters);
    JobTypeSchema {
        job_type: job_type.name.to_owned(),
        description: job_type.summary.to_owned(),
        queue: job_type.queue.to_owned(),
        parameters,
        result: (job_type.result)(),
    }
}

/// The schema of the parameters as a job has them; the read-only ones are not part of a request.
pub(crate) fn parameters(job_type: &JobType) -> Value {
    let mut schema = (job_type.parameters)();
    let defaults = JobParameters::read(job_type.name, json!({}), &mut Vec::new());
    let defaults = defaults.map(|defaults| defaults.to_value()).unwrap_or_default();
    for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
        if let Some(property) = property.as_object_mut().filter(|property| property.get("readOnly").is_none())
        {
            property.insert("default".to_owned(), defaults[name].clone());
        }
    }
    schema["additionalProperties"] = false.into();
    schema
}

fn remove_read_only(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|_, property| property.get("readOnly").is_none());
    }
}

/// A schema that refers to no other one.
pub(crate) fn standalone<T: ToSchema>() -> Value {
    let mut others = Vec::new();
    T::schemas(&mut others);
    let find = |name: &str| {
        let found = others.iter().find(|(known, _)| known == name);
        found.and_then(|(_, schema)| serde_json::to_value(schema).ok())
    };
    let mut schema = serde_json::to_value(T::schema()).unwrap_or_default();
    inline(&mut schema, &find);
    schema
}

/// Puts what a schema refers to in its place, and the members of flattened structs beside its own.
fn inline(schema: &mut Value, find: &impl Fn(&str) -> Option<Value>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next())
        && let Some(found) = find(name)
    {
        let description = schema["description"].take();
        *schema = found;
        if !description.is_null() {
            schema["description"] = description;
        }
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(|value| inline(value, find)),
        Value::Array(values) => values.iter_mut().for_each(|value| inline(value, find)),
        _ => return,
    }
    if let Some(parts) = schema.as_object_mut().and_then(|object| object.remove("allOf")) {
        *schema = parts.as_array().into_iter().flatten().fold(schema.take(), merged);
    }
}

/// One object schema of two.
fn merged(mut whole: Value, part: &Value) -> Value {
    if whole.is_null() {
        whole = json!({});
    }
    for (name, value) in part.as_object().into_iter().flatten() {
        match (name.as_str(), &mut whole[name]) {
            ("properties", Value::Object(members)) => {
                members.extend(value.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
            }
            ("required", Value::Array(names)) => {
                names.extend(value.as_array().into_iter().flatten().cloned())
            }
            // The outer struct has the description.
            ("description", Value::String(_)) => (),
            (_, slot) => *slot = value.clone(),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(schema: &Value) -> Vec<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn each_type_has_a_schema_that_refers_to_nothing() {
        let types = job_types();
        assert_eq!(types.len(), TYPES.len());
        for one in types {
            for schema in [&one.parameters, &one.result] {
                assert_eq!(schema["type"], "object", "{schema}");
                let text = schema.to_string();
                assert!(!text.contains("$ref") && !text.contains("allOf"), "{text}");
            }
            assert!(one.description.len() > 10, "{one:?}");
            assert_eq!(one.parameters["required"], Value::Null);
            assert_eq!(one.parameters["additionalProperties"], false);
        }
    }

    #[test]
    fn the_schema_of_parameters_is_what_the_reader_takes() {
        for name in TYPES.each_ref().map(|one| one.name) {
            let schema = job_type(name).unwrap().parameters;
            let mut errors = Vec::new();
            JobParameters::read(name, json!({"no_parameter": 1}), &mut errors);
            let message = &errors[0].message;
            let mut known: Vec<_> = message.split_once("known: ").unwrap().1.split(", ").collect();
            known.sort_unstable();
            let mut described = names(&schema);
            described.sort_unstable();
            assert_eq!(described, known, "{name}");
            // The defaults are a valid request, and the limits are the limits.
            for (parameter, property) in schema["properties"].as_object().unwrap() {
                let wrong = |value: &Value| {
                    let mut errors = Vec::new();
                    JobParameters::read(name, json!({ parameter: value }), &mut errors);
                    !errors.is_empty()
                };
                assert!(!wrong(&property["default"]), "{name} {parameter}");
                for (limit, step) in [("minimum", -1), ("maximum", 1)] {
                    let limit = &property[limit];
                    // A double has no number beside 2^53, the highest seed.
                    let beyond = limit.as_i64().map(|n| json!(n + step));
                    let beyond = beyond.or_else(|| limit.as_f64().map(|x| json!(x + f64::from(step as i32))));
                    let beyond = beyond.as_ref();
                    assert!(beyond.is_none_or(|beyond| !wrong(limit) && wrong(beyond)), "{name} {parameter}");
                }
                let bounded = property.get("minimum").is_some() && property.get("maximum").is_some();
                let kind = property["type"].as_str().unwrap_or_default();
                assert!(bounded || !["integer", "number"].contains(&kind), "{name} {parameter}: {property}");
            }
        }
    }
}
