use chrono::NaiveDate;
use sqlx::PgConnection;

use crate::Failure;

/// Takes up to `portion` requests from the quota of a key for a day; how many were left to take, and the number
/// that is left for others.
pub async fn take_quota(
    on: &mut PgConnection,
    key_id: &str,
    day: NaiveDate,
    quota: i64,
    portion: i64,
) -> Result<(i64, i64), Failure> {
    sqlx::query!(
        "insert into api_key_days (key_id, day, requests) values ($1, $2, 0) on conflict do nothing",
        key_id,
        day
    )
    .execute(&mut *on)
    .await?;
    let row = sqlx::query!(
        r#"with before as (select requests from api_key_days where key_id = $1 and day = $2 for update)
        update api_key_days d set requests = greatest(before.requests, least(before.requests + $4, $3)) from before
        where d.key_id = $1 and d.day = $2
        returning d.requests - before.requests as "taken!", greatest(0, $3 - d.requests) as "left!""#,
        key_id,
        day,
        quota,
        portion,
    )
    .fetch_one(on)
    .await?;
    Ok((row.taken, row.left))
}
