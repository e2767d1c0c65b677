//! `jobs types`

use anyhow::Context as _;
use jobs::views::JobTypeList;
use serde_json::Value;

use super::say_json;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Types {
    /// Type to show the parameters of; default: list all types
    #[arg(value_name = "TYPE")]
    job_type: Option<String>,
    /// Print JSON, with JSON Schemas of parameters and results
    #[arg(long)]
    json: bool,
}

pub(super) fn types(args: &Types) -> anyhow::Result<()> {
    let Some(name) = &args.job_type else {
        let list = JobTypeList { job_types: jobs::job_types(), next_page_token: None };
        if args.json {
            return say_json(&list);
        }
        boot::say!("{:<20}  {:<10}  DESCRIPTION", "TYPE", "QUEUE");
        for one in list.job_types {
            boot::say!("{:<20}  {:<10}  {}", one.job_type, one.queue, one.description);
        }
        return Ok(());
    };
    let one = jobs::job_type(name)
        .with_context(|| format!("there is no job type {name}: `cowriestream jobs types` lists them"))?;
    if args.json {
        return say_json(&one);
    }
    boot::say!("{}: {} (queue {})\n", one.job_type, one.description, one.queue);
    boot::say!("{:<16}  {:<21}  {:<9}  MEANING", "PARAMETER", "TYPE", "DEFAULT");
    for (name, schema) in one.parameters["properties"].as_object().into_iter().flatten() {
        let meaning = schema["description"].as_str().unwrap_or_default();
        boot::say!("{name:<16}  {:<21}  {:<9}  {meaning}", kind(schema), text(&schema["default"]));
    }
    Ok(())
}

/// The values that a parameter may have, in short: `1 to 100`, `true or false`, `time`.
fn kind(schema: &Value) -> String {
    let some = |name: &str| schema[name].as_f64().map(|limit| limit.to_string());
    if let Some((least, most)) = some("minimum").zip(some("maximum")) {
        return format!("{least} to {most}");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(text).collect::<Vec<_>>().join("|");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).find(|name| name != "null").unwrap_or_default(),
        one => text(one),
    };
    match (types.as_str(), schema["format"].as_str()) {
        ("boolean", _) => "true or false".to_owned(),
        (_, Some("date-time")) => "time".to_owned(),
        _ => types,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
