//! The table `outbox`: messages to publish because a transaction committed.

use sqlx::PgConnection;

use crate::Failure;

#[derive(Clone, Debug)]
pub struct Queued {
    pub id: i64,
    pub subject: String,
    pub msg_id: String,
    pub payload: String,
}

/// Blocks [`lock_places`] until the transaction ends. Between publishing messages and recording their
/// sequences, the table must not be compared with the stream.
pub async fn lock_relay(on: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query!("select pg_advisory_xact_lock_shared(hashtext('cowriestream.outbox'))")
        .fetch_one(on)
        .await?;
    Ok(())
}

/// Waits for every relay and blocks them until the transaction ends, so that every published message is
/// recorded.
pub async fn lock_places(on: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('cowriestream.outbox'))").fetch_one(on).await?;
    Ok(())
}

/// Returns the oldest unpublished messages, locked until the transaction ends. Other relays skip them.
pub async fn queued(on: &mut PgConnection, limit: i64) -> Result<Vec<Queued>, Failure> {
    let rows = sqlx::query_as!(
        Queued,
        r#"select id, subject, msg_id, payload::text as "payload!" from outbox
        where published_at is null order by id limit $1 for update skip locked"#,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

/// Marks messages as published at these sequences of the stream that was created at `created`.
pub async fn mark_published(
    on: &mut PgConnection,
    stream_created: i64,
    published: &[(i64, u64)],
) -> Result<(), Failure> {
    let (ids, seqs): (Vec<i64>, Vec<i64>) = published.iter().map(|&(id, seq)| (id, seq as i64)).unzip();
    sqlx::query!(
        "update outbox o set published_at = now(), stream_created = $1, stream_seq = p.seq
        from unnest($2::int8[], $3::int8[]) as p (id, seq) where o.id = p.id",
        stream_created,
        &ids,
        &seqs,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Queues messages again that the stream no longer has, because it was recreated or its last sequence went
/// back. Returns their number.
pub async fn queue_lost(
    on: &mut PgConnection,
    subjects: &str,
    stream_created: i64,
    last_seq: u64,
) -> Result<u64, Failure> {
    let done = sqlx::query!(
        "update outbox set published_at = null, stream_created = null, stream_seq = null
        where published_at is not null and split_part(subject, '.', 2) = split_part($1, '.', 2)
            and (stream_created < $2 or stream_created > $2 or stream_created = $2 and stream_seq > $3)",
        subjects,
        stream_created,
        last_seq as i64,
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes messages that were published longer ago than the stream keeps them, some at a time.
pub async fn forget_published(on: &mut PgConnection) -> Result<u64, Failure> {
    let done =
        sqlx::query!("delete from outbox where published_at < now() - interval '7 days' and id = any(array(select id from outbox order by id limit 5000))")
            .execute(on)
            .await?;
    Ok(done.rows_affected())
}

/// Number of unpublished messages.
pub async fn waiting(on: &mut PgConnection) -> Result<i64, Failure> {
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from outbox where published_at is null"#)
        .fetch_one(on)
        .await?;
    Ok(count)
}
