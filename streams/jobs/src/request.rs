//! A request to run a job.

use chrono::{DateTime, Duration, Utc};
use fields::{FieldError, Fields, Name};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::JobParameters;

/// A valid request.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    pub parameters: JobParameters,
    pub queue: String,
    /// 1 (last) to 10 (first).
    pub priority: i16,
    /// The limit of one attempt.
    pub timeout_seconds: i32,
    pub max_attempts: i32,
    pub requirements: Requirements,
    pub not_before: Option<DateTime<Utc>>,
    /// The job fails if it has not started by then.
    pub deadline: Option<DateTime<Utc>>,
    /// A second request with the same key is the same job.
    pub idempotency_key: Option<String>,
    /// While a job with this key waits or runs, no second one is accepted.
    pub unique_key: Option<String>,
    /// SHA-256 of the request as it was read: two spellings of one request have one hash.
    pub hash: [u8; 32],
}

/// What makes two requests the same, in a fixed order.
#[derive(Serialize)]
struct Canonical<'a> {
    job_type: &'a str,
    parameters: JobParameters,
    queue: &'a str,
    priority: i16,
    timeout_seconds: i32,
    max_attempts: i32,
    requirements: Requirements,
    not_before: Option<DateTime<Utc>>,
    deadline: Option<DateTime<Utc>>,
    unique_key: Option<&'a str>,
}

/// What a worker must have to run a job
#[derive(Clone, PartialEq, Default, Debug, Serialize, utoipa::ToSchema)]
pub struct Requirements {
    #[schema(minimum = 0, maximum = 65536, default = 0.0, required = false)]
    pub min_memory_gb: f64,
    #[schema(minimum = 0, maximum = 65536, default = 0, required = false)]
    pub min_cpu_cores: i32,
    /// One of these; empty: any, or none
    #[schema(max_items = 16, required = false)]
    pub accelerator: Vec<String>,
}

/// Most bytes of parameters.
const LARGEST_PARAMETERS: usize = 64 << 10;
/// Furthest that `not_before` may lie ahead.
const FURTHEST: Duration = Duration::days(366);

impl Request {
    /// Reads a request as it comes over REST (gRPC's is turned into the same JSON), and reports every wrong
    /// field.
    pub fn read(body: Value, now: DateTime<Utc>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut fields = Fields::of(body, "", &mut errors);
        let job_type = fields.text("job_type", 64);
        if job_type.is_none() {
            fields.wrong("job_type", "missing: the type of the job, e.g. report");
        }
        let parameters = fields.take("parameters").unwrap_or_default();
        if parameters.to_string().len() > LARGEST_PARAMETERS {
            fields.wrong("parameters", format!("larger than {LARGEST_PARAMETERS} bytes"));
        }
        let requirements = fields.take("requirements").unwrap_or_default();
        let queue = fields.name("queue");
        let (not_before, deadline) = (fields.time("not_before"), fields.time("deadline"));
        if not_before.is_some_and(|time| time > now + FURTHEST) {
            fields.wrong("not_before", "more than a year ahead");
        }
        if deadline.is_some_and(|time| time <= now) {
            fields.wrong("deadline", format!("already past: it is {}", now.format("%Y-%m-%dT%H:%M:%SZ")));
        } else if deadline.zip(not_before).is_some_and(|(deadline, not_before)| deadline <= not_before) {
            fields.wrong("deadline", "not after not_before");
        }
        let mut request = Self {
            parameters: JobParameters::Diagnostic(crate::Diagnostic {
                steps: 0,
                step_seconds: 0.0,
                memory_mb: 0,
                fail: crate::Fail::Never,
                fail_at_step: 0,
                fail_attempts: 0,
            }),
            queue: String::new(),
            priority: fields.integer("priority", 1..=10, 5) as i16,
            timeout_seconds: fields.integer("timeout_seconds", 1..=604_800, 3_600) as i32,
            max_attempts: fields.integer("max_attempts", 1..=100, 3) as i32,
            requirements: Requirements::default(),
            not_before,
            deadline,
            idempotency_key: fields.text("idempotency_key", 200),
            unique_key: fields.text("unique_key", 200),
            hash: [0; 32],
        };
        fields.end();
        request.requirements = Requirements::read(requirements, &mut errors);
        let parameters =
            job_type.and_then(|job_type| JobParameters::read(&job_type, parameters, &mut errors));
        match parameters {
            Some(parameters) if errors.is_empty() => {
                request.queue = queue.map_or_else(|| parameters.queue().to_owned(), String::from);
                request.parameters = parameters;
                request.hash = request.canonical_hash();
                Ok(request)
            }
            _ => Err(errors),
        }
    }

    fn canonical_hash(&self) -> [u8; 32] {
        let mut requirements = self.requirements.clone();
        requirements.accelerator.sort_unstable();
        requirements.accelerator.dedup();
        let canonical = Canonical {
            job_type: self.parameters.name(),
            parameters: self.parameters.without_spelling(),
            queue: &self.queue,
            priority: self.priority,
            timeout_seconds: self.timeout_seconds,
            max_attempts: self.max_attempts,
            requirements,
            not_before: self.not_before,
            deadline: self.deadline,
            unique_key: self.unique_key.as_deref(),
        };
        Sha256::digest(serde_json::to_vec(&canonical).unwrap_or_default()).into()
    }
}

impl Requirements {
    fn read(value: Value, errors: &mut Vec<FieldError>) -> Self {
        let mut fields = Fields::of(value, "requirements.", errors);
        let min_memory_gb = fields.number("min_memory_gb", 0.0..=65_536.0, 0.0);
        let min_cpu_cores = fields.integer("min_cpu_cores", 0..=65_536, 0) as i32;
        let accelerator: Option<Vec<String>> = match fields.take("accelerator") {
            None => Some(Vec::new()),
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(some)) => some.into_iter().map(|one| one.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        let accelerator =
            accelerator.filter(|names| names.len() <= 16 && names.iter().all(|name| Name::is_valid(name)));
        if accelerator.is_none() {
            fields.wrong("accelerator", "expected up to 16 names like nvidia_cuda or apple_neural_engine");
        }
        fields.end();
        Self { min_memory_gb, min_cpu_cores, accelerator: accelerator.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn wrong(body: Value) -> Vec<String> {
        Request::read(body, now()).unwrap_err().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn an_absent_field_gets_its_default() {
        let request =
            Request::read(json!({"job_type": "report", "parameters": {"time_window": "7d"}}), now()).unwrap();
        assert_eq!(
            (request.queue.as_str(), request.priority, request.timeout_seconds, request.max_attempts),
            ("reports", 5, 3_600, 3)
        );
        assert_eq!(JobParameters::stored("report", request.parameters.to_value()), Ok(request.parameters));
    }

    #[test]
    fn two_spellings_of_a_request_have_one_hash() {
        let hash = |body: Value| Request::read(body, now()).unwrap().hash;
        let plain = hash(json!({"job_type": "longtail_analysis"}));
        for same in [
            json!({"job_type": "longtail_analysis", "parameters": {}, "priority": 5.0, "idempotency_key": "k"}),
            json!({"job_type": "longtail_analysis", "parameters": null, "queue": "longtail", "max_attempts": 3}),
            json!({"job_type": "longtail_analysis", "parameters": {"time_window": "1440m", "full": false, "seed": 1.0}}),
            json!({"job_type": "longtail_analysis", "requirements": {"min_memory_gb": -0.0, "accelerator": []},
                "unique_key": "", "deadline": null, "timeout_seconds": 3600}),
        ] {
            assert_eq!(hash(same.clone()), plain, "{same}");
        }
        for other in [
            json!({"job_type": "longtail_analysis", "parameters": {"seed": 2}}),
            json!({"job_type": "longtail_analysis", "priority": 6}),
            json!({"job_type": "longtail_analysis", "unique_key": "u"}),
            json!({"job_type": "longtail_analysis", "not_before": "2026-12-01T00:00:00Z"}),
            json!({"job_type": "longtail_analysis", "requirements": {"accelerator": "a"}}),
            json!({"job_type": "snowshoe_detection", "queue": "longtail"}),
        ] {
            assert_ne!(hash(other.clone()), plain, "{other}");
        }
        let accelerators =
            |some: Value| hash(json!({"job_type": "report", "requirements": {"accelerator": some}}));
        assert_eq!(accelerators(json!(["b", "a", "b"])), accelerators(json!(["a", "b"])));
        let not_before = |at: &str| hash(json!({"job_type": "report", "not_before": at}));
        assert_eq!(not_before("2026-12-01T00:00:00Z"), not_before("2026-12-01T01:00:00.000+01:00"));
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(wrong(json!([])), ["body", "job_type"]);
        assert_eq!(wrong(json!({"job_type": "mine_bitcoin"})), ["job_type"]);
        assert_eq!(
            wrong(json!({
                "job_type": "diagnostic", "parameters": {"steps": "many", "fail": "maybe", "colour": 1}, "priority": 11, "timeout_seconds": 0,
                "max_attempts": 1e9, "deadline": "2020-01-01T00:00:00Z", "not_before": "tomorrow", "queue": "a.b", "idempotency_key": "x".repeat(201),
                "requirements": {"min_memory_gb": -1, "accelerator": 7}, "job_id": "mine"
            })),
            [
                "queue",
                "not_before",
                "deadline",
                "priority",
                "timeout_seconds",
                "max_attempts",
                "idempotency_key",
                "job_id",
                "requirements.min_memory_gb",
                "requirements.accelerator",
                "parameters.steps",
                "parameters.fail",
                "parameters.colour"
            ]
        );
        assert_eq!(
            wrong(json!({"job_type": "report", "parameters": {"sensor": "x".repeat(70_000)}})),
            ["parameters", "parameters.sensor"]
        );
        assert_eq!(
            wrong(
                json!({"job_type": "report", "not_before": "2026-12-01T00:00:00Z", "deadline": "2026-11-30T00:00:00Z"})
            ),
            ["deadline"]
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let names = prop_oneof![
                Just("job_type".to_owned()),
                Just("parameters".to_owned()),
                Just("requirements".to_owned()),
                Just("priority".to_owned()),
                Just("steps".to_owned()),
                Just("time_window".to_owned()),
                any::<String>()
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((names, inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn no_request_panics(body in any_json()) {
            let _ = Request::read(body, now());
        }
    }
}
