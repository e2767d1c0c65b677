use store::statistics::{
    Span,
    sessions::{Outcome, SessionFilter, Sort},
};
use utoipa::IntoParams;
use web::{
    Page, Params, Principal, Problem, Query,
    axum::{
        Extension, Json,
        body::Body,
        extract::State,
        http::header,
        response::{IntoResponse, Response},
    },
};

use crate::{
    Api, network,
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
    sessions::{
        export::{FIELDS, Format, keep_fields},
        list::{SessionList, sort_name},
    },
};

/// Longest text of a filter.
const LONGEST: usize = 1_000;
const SORTS: [Sort; 5] = [Sort::Newest, Sort::Oldest, Sort::Longest, Sort::MostEvents, Sort::MostCommands];

/// Which sessions to list
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(in crate::rest) struct Filter {
    /// Only from this address
    #[param(max_length = 64, example = "203.0.113.7")]
    src_ip: Option<String>,
    /// Only from this network
    #[param(max_length = 64, example = "203.0.113.0/24")]
    network: Option<String>,
    /// Only those that tried this user name
    #[param(max_length = 1000)]
    username: Option<String>,
    /// Only those that tried this password; needs the scope secrets:read
    #[param(max_length = 1000)]
    password: Option<String>,
    #[param(max_length = 1000)]
    hassh: Option<String>,
    #[param(max_length = 1000)]
    client_version: Option<String>,
    #[param(max_length = 1000, example = "ssh")]
    protocol: Option<String>,
    /// Only those with a command that contains this text
    #[param(max_length = 1000)]
    command: Option<String>,
    /// How the logins went: succeeded, failed (none succeeded), none (no attempt)
    #[param(pattern = "^(succeeded|failed|none)$")]
    outcome: Option<String>,
    /// newest (the default), oldest, longest, most_events, most_commands
    #[param(pattern = "^(newest|oldest|longest|most_events|most_commands)$")]
    sort: Option<String>,
    /// Only these fields of each session: separated by commas
    #[param(style = Form, explode = false, required = false)]
    fields: Vec<String>,
    /// json (a page), or csv or ndjson (all sessions of the filter, as a stream)
    #[param(pattern = "^(json|csv|ndjson)$")]
    format: Option<String>,
}

struct Asked {
    span: Span,
    sensors: Vec<String>,
    filter: SessionFilter,
    fields: Vec<&'static str>,
    format: Format,
    page: Page,
}

/// A text without NUL, which Postgres does not hold.
fn text(params: &mut Params, name: &'static str) -> Option<String> {
    let text = params.text(name)?;
    if text.chars().count() > LONGEST || text.contains('\0') {
        params.wrong(name, format!("expected at most {LONGEST} characters without NUL"));
        return None;
    }
    Some(text)
}

fn word<T: Copy>(params: &mut Params, name: &'static str, words: &[(&str, T)]) -> Option<T> {
    let text = params.text(name)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        params.wrong(name, format!("expected one of {}", known.join(", ")));
    }
    found
}

fn addresses(params: &mut Params) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
    let (src_ip, network) = (params.text("src_ip"), params.text("network"));
    if src_ip.is_some() && network.is_some() {
        params.wrong("network", "not together with src_ip");
    }
    let wrong = |params: &mut Params, name: &str, what: &str| params.wrong(name, format!("expected {what}"));
    let one = src_ip.as_deref().filter(|text| !text.contains('/')).and_then(network::read);
    if src_ip.is_some() && one.is_none() {
        wrong(params, "src_ip", "an address like 203.0.113.7");
    }
    let all = network.as_deref().and_then(network::read);
    if network.is_some() && all.is_none() {
        wrong(params, "network", "a network like 203.0.113.0/24");
    }
    one.or(all)
}

struct Field(&'static str);

impl std::str::FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = FIELDS.into_iter().find(|field| *field == text);
        found.map(Self).ok_or_else(|| format!("expected some of {}", FIELDS.join(", ")))
    }
}

impl Asked {
    fn read(params: &mut Params) -> Self {
        let (span, sensors) = (read_span(params), read_sensors(params));
        let addresses = addresses(params);
        let outcomes =
            [("succeeded", Outcome::Succeeded), ("failed", Outcome::Failed), ("none", Outcome::None)];
        let sorts = SORTS.map(|sort| (sort_name(sort), sort));
        let formats = [("json", Format::Json), ("csv", Format::Csv), ("ndjson", Format::Ndjson)];
        let filter = SessionFilter {
            addresses,
            username: text(params, "username"),
            password: text(params, "password"),
            hassh: text(params, "hassh"),
            client_version: text(params, "client_version"),
            protocol: text(params, "protocol"),
            command: text(params, "command"),
            outcome: word(params, "outcome", &outcomes),
            sort: word(params, "sort", &sorts).unwrap_or_default(),
            ..SessionFilter::of(store::statistics::Over { span, sensors: None })
        };
        let asked: Vec<_> = params.words::<Field>("fields").into_iter().map(|Field(name)| name).collect();
        let kept = |field: &&str| asked.is_empty() || asked.contains(field);
        let fields = FIELDS.into_iter().filter(kept).collect();
        let format = word(params, "format", &formats).unwrap_or_default();
        Self { span, sensors, filter, fields, format, page: Page::read(params) }
    }
}

/// List the sessions that began in a range, newest first; or stream all of them as CSV or JSON lines
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    operation_id = "list_sessions",
    tag = "sessions",
    params(RangeParams, SensorParams, Filter, Page),
    responses((status = 200, description = "A page of sessions, or the stream of all", content(
        (SessionList = "application/json"),
        (String = "text/csv"),
        (String = "application/x-ndjson"),
    )))
)]
pub(in crate::rest) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Response, Problem> {
    let Asked { span, sensors, mut filter, fields, format, page } = query.read(Asked::read)?;
    filter.over = over(&who, span, sensors)?;
    let kind = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
        Format::Json => {
            let list = api.sessions(&who, filter, &page).await?;
            if fields.len() == FIELDS.len() {
                return Ok(Json(list).into_response());
            }
            let mut list = serde_json::to_value(list).unwrap_or_default();
            let sessions = list["sessions"].as_array_mut().into_iter().flatten();
            sessions.for_each(|session| keep_fields(session, &fields));
            return Ok(Json(list).into_response());
        }
    };
    let stream = api.export_sessions(&who, filter, fields, format).await?;
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(stream)).into_response())
}
