use utoipa::IntoParams;
use web::{
    Page, Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    indicators::{IndicatorList, TYPES},
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
};

/// Which indicators to list
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(in crate::rest) struct Filter {
    /// Only of these types: address, file, url, key; separated by commas
    #[param(rename = "type", style = Form, explode = false, required = false)]
    types: Vec<String>,
    /// Only with this score or a higher one
    #[param(minimum = 0, maximum = 100, default = 0, required = false)]
    min_score: u8,
}

struct Type(String);

impl std::str::FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match TYPES.contains(&text) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("expected one of {}", TYPES.join(", "))),
        }
    }
}

/// List what to block or to look for elsewhere: addresses, files, URLs, public keys; the highest score first
#[utoipa::path(
    get,
    path = "/api/v1/indicators",
    operation_id = "list_indicators",
    tag = "findings",
    params(RangeParams, SensorParams, Filter, Page),
    responses((status = 200, description = "A page of indicators", body = IndicatorList))
)]
pub(in crate::rest) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<IndicatorList>, Problem> {
    let (span, sensors, types, lowest, page) = query.read(|params| {
        let types: Vec<_> = params.words::<Type>("type").into_iter().map(|Type(name)| name).collect();
        let lowest = params.integer("min_score", 0..=100).and_then(|score| score.try_into().ok());
        (read_span(params), read_sensors(params), types, lowest.unwrap_or(0), Page::read(params))
    })?;
    api.indicators(&over(&who, span, sensors)?, &types, lowest, &page).await.map(Json)
}
