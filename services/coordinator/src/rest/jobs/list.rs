use ::jobs::{State as JobState, views::JobList};
use chrono::{DateTime, Utc};
use store::jobs::JobFilter;
use utoipa::IntoParams;
use web::{
    Page, Params, Problem, Query,
    axum::{Json, extract::State},
};

use crate::service::Service;

/// Which jobs to list.
#[derive(PartialEq, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct Filter {
    /// Only in these states: separated by commas, or the parameter several times
    #[param(style = Form, explode = false, required = false)]
    state: Vec<JobState>,
    /// Only of this queue
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    queue: Option<String>,
    /// Only of this type
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    job_type: Option<String>,
    /// Only those that this schedule made
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    schedule: Option<String>,
    /// Only those with this unique key
    #[param(max_length = 200)]
    unique_key: Option<String>,
    /// Only those that were accepted at this time or later
    from: Option<DateTime<Utc>>,
    /// Only those that were accepted before this time
    to: Option<DateTime<Utc>>,
}

impl Filter {
    fn read(params: &mut Params) -> Self {
        Self {
            state: params.words("state"),
            queue: params.name("queue"),
            job_type: params.name("job_type"),
            schedule: params.name("schedule"),
            unique_key: params.text("unique_key"),
            from: params.time("from"),
            to: params.time("to"),
        }
    }
}

impl From<Filter> for JobFilter {
    fn from(filter: Filter) -> Self {
        let Filter { state: states, queue, job_type, schedule, unique_key, from, to } = filter;
        Self { states, queue, job_type, schedule, unique_key, from, to, after: None }
    }
}

/// List jobs, newest first
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(Filter, Page),
    responses((status = 200, description = "A page of jobs, without results", body = JobList))
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Json<JobList>, Problem> {
    let (filter, page) = query.read(|params| (Filter::read(params), Page::read(params)))?;
    service.jobs(filter.into(), &page).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_parameter_is_named() {
        let query = Query::from_pairs(&[
            ("state", "queued,gone"),
            ("queue", "a.b"),
            ("from", "yesterday"),
            ("page_size", "0"),
            ("page_token", "x"),
            ("colour", "red"),
        ]);
        let problem = query.read(|params| (Filter::read(params), Page::read(params))).unwrap_err();
        let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["state", "queue", "from", "page_size", "page_token", "colour"]);
        let known = "known: state, queue, job_type, schedule, unique_key, from, to, page_size, page_token";
        assert!(problem.detail.ends_with(known));
    }

    #[test]
    fn several_states_are_allowed() {
        let query = Query::from_pairs(&[("state", "queued,failed"), ("state", "cancelled"), ("queue", "")]);
        let filter = query.read(Filter::read).unwrap();
        assert_eq!(filter.state, [JobState::Queued, JobState::Failed, JobState::Cancelled]);
        assert_eq!(filter.queue, None);
    }
}
