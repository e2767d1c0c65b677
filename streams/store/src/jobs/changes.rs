//! What clients that follow jobs have not seen yet.

use ::jobs::Status;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Failure, jobs::read_status};

/// The changes of several jobs, each after a version: the states that a job went through, and its status now.
/// In the order of their versions; some may appear twice. One query, however many jobs there are.
pub async fn changes(
    on: &mut PgConnection,
    jobs: &[Uuid],
    versions: &[i64],
    limit: i64,
) -> Result<Vec<Status>, Failure> {
    let rows = sqlx::query_scalar!(
        r#"select status as "status!" from (
            select job_status(j) as status, j.version from jobs j
            join unnest($1::uuid[], $2::bigint[]) as known (job_id, version) using (job_id)
            where j.version > known.version
            union all
            select e.status, e.version from job_events e
            join unnest($1::uuid[], $2::bigint[]) as known (job_id, version) using (job_id)
            where e.version > known.version
        ) changes order by version limit $3"#,
        jobs,
        versions,
        limit
    )
    .fetch_all(on)
    .await?;
    rows.into_iter().map(read_status).collect()
}
