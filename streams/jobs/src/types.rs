//! The types of jobs as clients see them: JSON Schemas of parameters and results, for REST, gRPC, the command
//! line, forms and tools.

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    AnalysisResult, Campaigns, Diagnostic, DiagnosticResult, Kind, Longtail, Report, ReportResult, TYPES,
    views::JobTypeSchema,
};

/// Every type of job, by name.
pub fn job_types() -> Vec<JobTypeSchema> {
    let mut types: Vec<_> = TYPES.iter().filter_map(|(name, _)| job_type(name)).collect();
    types.sort_by(|one, other| one.job_type.cmp(&other.job_type));
    types
}

/// The type of job of this name.
pub fn job_type(name: &str) -> Option<JobTypeSchema> {
    let (_, queue) = TYPES.iter().find(|(known, _)| *known == name)?;
    let mut parameters = parameters(name)?;
    remove_read_only(&mut parameters);
    Some(JobTypeSchema {
        job_type: name.to_owned(),
        description: description(name).to_owned(),
        queue: (*queue).to_owned(),
        parameters,
        result: result(name)?,
    })
}

fn description(job_type: &str) -> &'static str {
    match job_type {
        "report" => "Counts and top lists of a time range",
        "longtail_analysis" => "Finds sessions that are rare, odd or new",
        "snowshoe_detection" => "Finds groups of sources that each do little and act together",
        "botnet_coordination" => "Finds groups of sources that use the same credentials, commands or tools",
        "diagnostic" => "Steps that do nothing, for trying a deployment",
        _ => "",
    }
}

/// The schema of the parameters as a job has them; the read-only ones are not part of a request.
pub(crate) fn parameters(job_type: &str) -> Option<Value> {
    let mut schema = match job_type {
        "report" => standalone::<Report>(),
        "longtail_analysis" => standalone::<Longtail>(),
        "snowshoe_detection" | "botnet_coordination" => standalone::<Campaigns>(),
        "diagnostic" => standalone::<Diagnostic>(),
        _ => return None,
    };
    let defaults = Kind::read(job_type, json!({}), &mut Vec::new())?.parameters();
    for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
        if let Some(property) = property.as_object_mut().filter(|property| property.get("readOnly").is_none())
        {
            property.insert("default".to_owned(), defaults[name].clone());
        }
    }
    schema["additionalProperties"] = false.into();
    Some(schema)
}

/// The schema of the result of a job.
pub(crate) fn result(job_type: &str) -> Option<Value> {
    Some(match job_type {
        "report" => standalone::<ReportResult>(),
        "longtail_analysis" | "snowshoe_detection" | "botnet_coordination" => standalone::<AnalysisResult>(),
        "diagnostic" => standalone::<DiagnosticResult>(),
        _ => return None,
    })
}

fn remove_read_only(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|_, property| property.get("readOnly").is_none());
    }
}

/// A schema that refers to no other one.
fn standalone<T: ToSchema>() -> Value {
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
        for (name, _) in TYPES {
            let schema = job_type(name).unwrap().parameters;
            let mut errors = Vec::new();
            Kind::read(name, json!({"no_parameter": 1}), &mut errors);
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
                    Kind::read(name, json!({ parameter: value }), &mut errors);
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
