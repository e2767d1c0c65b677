//! The table `stream_positions`.

use sqlx::PgConnection;

use crate::Failure;

/// A recorded position in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Creation time of the stream, nanoseconds since 1970.
    pub created: i64,
    /// Last sequence of the stream.
    pub last_seq: u64,
    /// Every sequence up to this one was acknowledged.
    pub floor: u64,
}

pub async fn get(on: &mut PgConnection, stream: &str) -> Result<Option<Position>, Failure> {
    let row = sqlx::query!("select created, last_seq, floor from stream_positions where stream = $1", stream)
        .fetch_optional(on)
        .await?;
    Ok(row.map(|row| Position {
        created: row.created,
        last_seq: row.last_seq as u64,
        floor: row.floor as u64,
    }))
}

pub async fn record(on: &mut PgConnection, stream: &str, seen: Position) -> Result<(), Failure> {
    sqlx::query!(
        "insert into stream_positions as p (stream, created, last_seq, floor) values ($1, $2, $3, $4)
        on conflict (stream) do update set created = excluded.created, last_seq = excluded.last_seq, floor = excluded.floor
        where (p.created, p.last_seq, p.floor) is distinct from (excluded.created, excluded.last_seq, excluded.floor)",
        stream,
        seen.created,
        seen.last_seq as i64,
        seen.floor as i64,
    )
    .execute(on)
    .await?;
    Ok(())
}
