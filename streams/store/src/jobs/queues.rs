//! Queues: how much waits and runs in each, and which are paused.

use sqlx::PgConnection;

use crate::Failure;

/// A queue.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether its jobs are not started.
    pub paused: bool,
    /// Jobs that wait for a worker or for their time.
    pub waiting: i64,
    /// Jobs that run.
    pub running: i64,
    /// The only workers that may take its jobs; empty: any.
    pub exclusive_to: Vec<String>,
}

/// Every queue that has jobs, is paused, is exclusive or is served; and those of the known types.
pub async fn list(on: &mut PgConnection) -> Result<Vec<Queue>, Failure> {
    let known: Vec<_> = ::jobs::TYPES.iter().map(|known| known.queue.to_owned()).collect();
    let queues = sqlx::query_as!(
        Queue,
        r#"with counted as (
            select queue, count(*) filter (where state <> 'in_progress') as waiting, count(*) filter (where state = 'in_progress') as running
            from jobs where state in ('queued', 'in_progress', 'retrying') group by 1
        ),
        named as (
            select queue from counted union select queue from paused_queues union select queue from exclusive_queues
            union select q ->> 'queue' from workers, jsonb_array_elements(queues) q union select unnest($1::text[])
        )
        select n.queue as "name!", exists (select from paused_queues p where p.queue = n.queue) as "paused!", coalesce(c.waiting, 0) as "waiting!",
            coalesce(c.running, 0) as "running!", array(select worker from exclusive_queues e where e.queue = n.queue order by 1) as "exclusive_to!"
        from named n left join counted c using (queue) order by 1"#,
        &known,
    )
    .fetch_all(on)
    .await?;
    Ok(queues)
}

/// Starts no more jobs of a queue, or starts them again.
pub async fn pause(on: &mut PgConnection, queue: &str, paused: bool) -> Result<(), Failure> {
    match paused {
        true => {
            sqlx::query!("insert into paused_queues (queue) values ($1) on conflict do nothing", queue)
                .execute(on)
                .await?
        }
        false => sqlx::query!("delete from paused_queues where queue = $1", queue).execute(on).await?,
    };
    Ok(())
}
