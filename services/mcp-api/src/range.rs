//! The time range of a request, and the sensors that it is about.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use fields::{Age, Name};
use store::statistics::{Over, Span};
use utoipa::IntoParams;
use web::{Code, Params, Principal, Problem};

/// The default window.
const DEFAULT: Age = Age::days(1);
/// The longest range.
const LONGEST: Age = Age::days(3_660);
const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// Most sensors of a filter.
const MOST_SENSORS: usize = 100;

/// A time range: from and to, or window and at. Figures are of whole minutes
#[derive(Clone, PartialEq, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the fields are the documentation; the range is read from the parameters")]
pub(crate) struct RangeParams {
    /// Length of the range, which ends with the minute of `at`: 5m, 24h, 7d, 4w; default 24h
    #[param(pattern = "^[0-9]{1,9}[smhdw]$", example = "24h")]
    window: Option<String>,
    /// End of the window; default now
    at: Option<DateTime<Utc>>,
    /// Start of the range, inclusive; instead of window
    from: Option<DateTime<Utc>>,
    /// End of the range, exclusive; default now
    to: Option<DateTime<Utc>>,
}

/// Reads window, at, from and to. Whole minutes: `from` is rounded down, the end up.
pub(crate) fn read_span(params: &mut Params) -> Span {
    let window = params.text("window");
    let (at, from, to) = (params.time("at"), params.time("from"), params.time("to"));
    if (window.is_some() || at.is_some()) && (from.is_some() || to.is_some()) {
        params.wrong(if window.is_some() { "window" } else { "at" }, "not together with from and to");
    }
    if to.is_some() && from.is_none() {
        params.wrong("from", "expected with to");
    }
    let allowed = Age::minutes(1)..=LONGEST;
    let length = match window.as_deref().map(|text| Age::window(text, &allowed)) {
        Some(Ok(length)) => length,
        Some(Err(error)) => {
            params.wrong("window", error.to_string());
            DEFAULT
        }
        None => DEFAULT,
    };
    let end = minute_up(to.or(at).unwrap_or_else(boot::now));
    let start = from.map_or(end - TimeDelta::seconds(length.seconds()), minute_down);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        params.wrong("from", "expected a time before to");
    } else if from.is_some() && start >= end {
        params.wrong("from", "expected a time in the past, or with to");
    } else if end - start > TimeDelta::seconds(LONGEST.seconds()) {
        params.wrong("from", format!("expected a range of at most {LONGEST}"));
    }
    Span { from: start, to: end }
}

fn minute_down(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(MINUTE).unwrap_or(time)
}

fn minute_up(time: DateTime<Utc>) -> DateTime<Utc> {
    let down = minute_down(time);
    if down == time { time } else { down + MINUTE }
}

/// Only what these sensors saw: separated by commas, or the parameter several times
#[derive(Clone, PartialEq, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct SensorParams {
    /// Only what these sensors saw: separated by commas, or the parameter several times
    #[param(style = Form, explode = false, required = false, max_items = 100)]
    sensor: Vec<String>,
}

struct SensorName(String);

impl std::str::FromStr for SensorName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Name::is_valid(text) { Ok(Self(text.to_owned())) } else { Err(Name::EXPECTED.into()) }
    }
}

/// Reads `sensor`: empty for all.
pub(crate) fn read_sensors(params: &mut Params) -> Vec<String> {
    let mut sensors: Vec<_> =
        params.words::<SensorName>("sensor").into_iter().map(|SensorName(name)| name).collect();
    sensors.sort_unstable();
    sensors.dedup();
    if sensors.len() > MOST_SENSORS {
        params.wrong("sensor", format!("at most {MOST_SENSORS} sensors"));
        sensors.truncate(MOST_SENSORS);
    }
    sensors
}

/// What a principal may see of a range and of the sensors that it asks for.
pub(crate) fn over(who: &Principal, span: Span, asked: Vec<String>) -> Result<Over, Problem> {
    let sensors = match (&who.sensors, asked) {
        (None, asked) if asked.is_empty() => None,
        (None, asked) => Some(asked),
        (Some(allowed), asked) if asked.is_empty() => Some(allowed.clone()),
        (Some(allowed), asked) => {
            if let Some(other) = asked.iter().find(|sensor| !allowed.contains(sensor)) {
                return Err(Problem::new(Code::Forbidden, format!("this key does not see sensor {other}")));
            }
            Some(asked)
        }
    };
    Ok(Over { span, sensors })
}

/// Reads `step`: the length of a step of a series.
pub(crate) fn read_step(params: &mut Params) -> Option<Age> {
    let text = params.text("step")?;
    match Age::window(&text, &(Age::minutes(1)..=LONGEST)) {
        Ok(age) => Some(age),
        Err(error) => {
            params.wrong("step", error.to_string());
            None
        }
    }
}

/// How many keys a top list has
#[derive(Clone, PartialEq, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct LimitParams {
    /// At most this many keys
    #[param(minimum = 1, maximum = 1000, default = 10, required = false)]
    limit: u32,
}

/// Reads `limit`.
pub(crate) fn read_limit(params: &mut Params) -> u32 {
    let limit = params.integer("limit", 1..=1_000).and_then(|limit| limit.try_into().ok());
    limit.unwrap_or(crate::statistics::top::DEFAULT_LIMIT)
}

/// The step of a series
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct StepParams {
    /// Length of a step in whole minutes: 1m, 1h, 1d; at most 500 steps. Default: about 100 steps
    #[param(pattern = "^[0-9]{1,9}[smhdw]$", example = "1h")]
    step: Option<String>,
}
