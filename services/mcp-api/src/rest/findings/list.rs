use findings::{Kind, Severity};
use store::statistics::findings::FindingFilter;
use utoipa::IntoParams;
use web::{
    Page, Params, Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    findings::{list::FindingList, show::STATUSES},
    network,
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
};

/// Which findings to list
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(in crate::rest) struct Filter {
    /// Only of these kinds: signal, longtail, snowshoe, botnet; separated by commas
    #[param(style = Form, explode = false, required = false)]
    kind: Vec<String>,
    /// Only of these severities: info, low, medium, high, critical; separated by commas
    #[param(style = Form, explode = false, required = false)]
    severity: Vec<String>,
    /// Only in these states: open, acknowledged, false_positive, resolved; separated by commas
    #[param(style = Form, explode = false, required = false)]
    status: Vec<String>,
    /// Only of this rule or detector
    rule: Option<String>,
    /// Only about this key
    key: Option<String>,
    /// Only those with this source address
    #[param(example = "203.0.113.7")]
    src_ip: Option<String>,
}

struct Status(String);

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match STATUSES.contains(&text) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("expected one of {}", STATUSES.join(", "))),
        }
    }
}

fn read(params: &mut Params) -> FindingFilter {
    let plain = |params: &mut Params, name: &'static str| {
        let text = params.text(name)?;
        if text.contains('\0') {
            params.wrong(name, "expected a text without NUL");
            return None;
        }
        Some(text)
    };
    let src_ip = params.text("src_ip");
    let address = src_ip.as_deref().filter(|text| !text.contains('/')).and_then(network::read);
    if src_ip.is_some() && address.is_none() {
        params.wrong("src_ip", "expected an address like 203.0.113.7");
    }
    FindingFilter {
        span: Some(read_span(params)),
        kinds: params.words::<Kind>("kind"),
        severities: params.words::<Severity>("severity"),
        statuses: params.words::<Status>("status").into_iter().map(|Status(name)| name).collect(),
        rule: plain(params, "rule"),
        key: plain(params, "key"),
        src_ip: address.map(|(first, _)| first.to_string()),
        sensors: None,
        after: None,
    }
}

/// List findings that were new or changed in a range, the last changed first
#[utoipa::path(
    get,
    path = "/api/v1/findings",
    operation_id = "list_findings",
    tag = "findings",
    params(RangeParams, SensorParams, Filter, Page),
    responses((status = 200, description = "A page of findings", body = FindingList))
)]
pub(in crate::rest) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<FindingList>, Problem> {
    let (mut filter, sensors, page) =
        query.read(|params| (read(params), read_sensors(params), Page::read(params)))?;
    if let Some(span) = filter.span {
        filter.sensors = over(&who, span, sensors)?.sensors;
    }
    api.findings(&who, filter, &page).await.map(Json)
}
