//! The roll-up merges many rows of one (dimension, key) into one row of a coarser grain, which covers them.
//! Only the holder of the lease does this; meanwhile, processors only insert rows.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use events::{Dimension, Pane, Sketch};
use sqlx::PgConnection;

use crate::{
    Failure,
    windows::panes::{Grain, PaneRow},
};

/// A span with fewer rows is left as it is: adding them up in queries costs less than another row in the
/// table.
const MANY: i64 = 16;
/// Minimum number of rows of one minute that are merged while the hour lasts.
const MANY_OF_A_MINUTE: i64 = 4;
/// Number of (dimension, key) pairs rolled up by one statement.
const KEYS_AT_ONCE: i64 = 2_000;
/// A span is over when the newest event is this far behind its end.
const OVER: &str = "2 minutes";
/// Number of touches read at once.
const TOUCHES_AT_ONCE: i64 = 5_000;

/// A span to roll up, or an hour that is not over, whose minutes are to be merged into one row each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    pub grain: Grain,
    pub at: DateTime<Utc>,
    pub over: bool,
}

/// Turns the hours that batches touched into visits, and returns some due ones: over, and not written to for
/// `settled`.
pub async fn due_visits(on: &mut PgConnection, settled: Duration) -> Result<Vec<Visit>, Failure> {
    sqlx::query!(
        "with touched as (
            delete from pane_touches where id in (select id from pane_touches order by id limit $1) returning hours, touched_at
        ), clock as (
            select least(max(last_event_at), now()) as newest from sensors
        )
        insert into pane_visits as v (grain, at, touched_at)
        select grain, at, max(touched_at) from (
            select case when day + interval '1 day' + $2::text::interval <= newest then 'day' else 'hour' end::pane_grain as grain,
                case when day + interval '1 day' + $2::text::interval <= newest then day else hour end as at, touched_at
            from clock, touched, unnest(hours) as u (hour), lateral (select date_bin('1 day', hour, 'epoch') as day) d
        ) t
        group by grain, at
        on conflict (grain, at) do update set touched_at = greatest(v.touched_at, excluded.touched_at)",
        TOUCHES_AT_ONCE,
        OVER,
    )
    .execute(&mut *on)
    .await?;
    let rows = sqlx::query!(
        r#"with clock as (select least(max(last_event_at), now()) as newest from sensors),
        v as (
            select grain, at, touched_at,
                at + case grain when 'day' then interval '1 day' else interval '1 hour' end + $1::text::interval <= newest as over
            from pane_visits, clock
        )
        select grain = 'day' as "day!", at, coalesce(over, false) as "over!" from v
        where case when over then touched_at <= clock_timestamp() - make_interval(secs => $2) else grain = 'hour' end
        order by over desc, grain, at limit 100"#,
        OVER,
        settled.as_secs_f64(),
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Visit {
            grain: if row.day { Grain::Day } else { Grain::Hour },
            at: row.at,
            over: row.over,
        })
        .collect())
}

/// Ends a visit. An hour that was rolled up is visited again with its day.
pub async fn end_visit(on: &mut PgConnection, visit: Visit) -> Result<(), Failure> {
    if !visit.over {
        return Ok(());
    }
    sqlx::query!(
        "with done as (delete from pane_visits where (grain = 'day') = $1 and at = $2 returning grain, at, touched_at)
        insert into pane_visits as v (grain, at, touched_at)
        select 'day', date_bin('1 day', at, 'epoch'), touched_at from done where grain = 'hour'
        on conflict (grain, at) do update set touched_at = greatest(v.touched_at, excluded.touched_at)",
        visit.grain == Grain::Day,
        visit.at,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Does a part of a visit. Returns the number of merged rows: call it until it returns 0.
pub async fn visit(on: &mut PgConnection, visit: Visit) -> Result<u64, Failure> {
    let end = visit.at + chrono::Duration::microseconds(visit.grain.length());
    if visit.over {
        roll_up(on, visit.grain, visit.at, end, MANY).await
    } else {
        merge_minutes(on, visit.at).await
    }
}

/// Rolls up the rows of some keys within a span of whole hours or days, if there are at least `many`. Returns
/// the number of merged rows.
async fn roll_up(
    on: &mut PgConnection,
    grain: Grain,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    many: i64,
) -> Result<u64, Failure> {
    let rows = sqlx::query_as!(
        Row,
        r#"with many as (
            select dimension, key from feature_panes
            where not covered and at >= $1 and at < $2 and grain <= $3::text::pane_grain
            group by dimension, key
            -- One row of this grain already is what a roll-up would make.
            having count(*) >= $4 and bool_or(grain < $3::text::pane_grain)
            limit $5
        )
        delete from feature_panes p using many m
        where p.dimension = m.dimension and p.key = m.key and not p.covered and p.at >= $1 and p.at < $2 and p.grain <= $3::text::pane_grain
        returning p.dimension::text as "dimension!", p.key, p.grain::text as "grain!", p.covered, p.at, p.first_seen, p.last_seen, p.bytes, p.events, p.sessions,
            p.logins_failed, p.logins_succeeded, p.commands, p.downloads, p.src_ips, p.sensors, p.session_ids, p.credentials"#,
        start,
        end,
        grain.name(),
        many,
        KEYS_AT_ONCE,
    )
    .fetch_all(&mut *on)
    .await?;
    let taken = rows.len() as u64;
    let mut sums: BTreeMap<Grain, Sums> = BTreeMap::new();
    for row in rows {
        let (from, place, pane) = row.read()?;
        for to in [Grain::Minute, Grain::Hour, Grain::Day].into_iter().filter(|&to| from <= to && to <= grain)
        {
            let at = place.2.div_euclid(to.length()) * to.length();
            sums.entry(to).or_default().entry((place.0, place.1.clone(), at)).or_default().merge(&pane);
        }
    }
    if taken > 0 {
        open_coarser(on, [start, end - chrono::Duration::microseconds(1)]).await?;
    }
    for (of, sums) in &sums {
        crate::windows::panes::insert(on, rows_of(sums, *of, *of < grain)).await?;
    }
    Ok(taken)
}

/// Makes sure that partitions of hours and days exist for the span. A month of hours may have been dropped
/// while a week of minutes, which begins in that month and ends in the next, is still written to.
async fn open_coarser(on: &mut PgConnection, ends: [DateTime<Utc>; 2]) -> Result<(), Failure> {
    sqlx::query!(
        "select panes_add_day(day) from unnest($1::date[]) as d (day)
        where to_regclass('feature_panes_hour_' || to_char(day, 'YYYYMM')) is null or to_regclass('feature_panes_day_' || to_char(day, 'YYYY')) is null",
        &ends.map(|end| end.date_naive()),
    )
    .fetch_all(on)
    .await?;
    Ok(())
}

/// Drops the oldest partition of a grain that ends before `before`, after all of its rows are merged into
/// coarser ones. Returns the partition.
pub async fn drop_oldest(
    on: &mut PgConnection,
    grain: Grain,
    before: DateTime<Utc>,
) -> Result<Option<String>, Failure> {
    let parent = format!("feature_panes_{}", grain.name());
    let Some(oldest) = oldest(on, &parent, before).await? else { return Ok(None) };
    let coarser = if grain == Grain::Minute { Grain::Hour } else { Grain::Day };
    // Most rows are merged while processors go on, the rest while they wait.
    loop {
        let mut transaction = sqlx::Connection::begin(&mut *on).await?;
        let taken = roll_up(&mut transaction, coarser, oldest.start, oldest.end, 1).await?;
        transaction.commit().await?;
        if taken == 0 {
            break;
        }
    }
    let mut transaction = sqlx::Connection::begin(on).await?;
    // Lock the parent first, as inserts do. Use a short timeout, because inserts wait behind this lock.
    sqlx::query("set local lock_timeout = '5s'").execute(&mut *transaction).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("lock table {parent} in access exclusive mode")))
        .execute(&mut *transaction)
        .await?;
    while roll_up(&mut transaction, coarser, oldest.start, oldest.end, 1).await? > 0 {}
    sqlx::query(sqlx::AssertSqlSafe(format!("drop table {}", oldest.name)))
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "insert into pane_retention as r (grain, dropped_before) values ($1::text::pane_grain, $2)
        on conflict (grain) do update set dropped_before = greatest(r.dropped_before, excluded.dropped_before)",
        grain.name(),
        oldest.end
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(oldest.name))
}

struct Partition {
    name: String,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

async fn oldest(
    on: &mut PgConnection,
    parent: &str,
    before: DateTime<Utc>,
) -> Result<Option<Partition>, Failure> {
    let found = sqlx::query_as!(
        Partition,
        r#"select name as "name!", bounds[1]::timestamptz as "start!", bounds[2]::timestamptz as "end!" from (
            select c.oid::regclass::text as name, regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('(.*)'\) TO \('(.*)'\)$$) as bounds
            from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::text::regclass
        ) p where bounds[2]::timestamptz <= $2 order by 2 limit 1"#,
        parent,
        before,
    )
    .fetch_optional(on)
    .await?;
    Ok(found)
}

/// Merges the rows that batches inserted for the same minute, within an hour that is not over.
async fn merge_minutes(on: &mut PgConnection, hour: DateTime<Utc>) -> Result<u64, Failure> {
    let rows = sqlx::query_as!(
        Row,
        r#"with newest as (select max(at) as at from feature_panes_minute where dimension = 'all' and key = '' and not covered and at >= $1 and at < $2),
        many as (
            select p.dimension, p.key, p.at from feature_panes_minute p, newest
            where not p.covered and p.at >= $1 and p.at < newest.at
            group by 1, 2, 3 having count(*) >= $3 limit $4
        )
        delete from feature_panes_minute p using many m
        where p.dimension = m.dimension and p.key = m.key and p.at = m.at and not p.covered
        returning p.dimension::text as "dimension!", p.key, p.grain::text as "grain!", p.covered, p.at, p.first_seen, p.last_seen, p.bytes, p.events, p.sessions,
            p.logins_failed, p.logins_succeeded, p.commands, p.downloads, p.src_ips, p.sensors, p.session_ids, p.credentials"#,
        hour,
        hour + chrono::Duration::hours(1),
        MANY_OF_A_MINUTE,
        KEYS_AT_ONCE,
    )
    .fetch_all(&mut *on)
    .await?;
    let taken = rows.len() as u64;
    let mut sums = Sums::new();
    for row in rows {
        let (_, place, pane) = row.read()?;
        sums.entry(place).or_default().merge(&pane);
    }
    crate::windows::panes::insert(on, rows_of(&sums, Grain::Minute, false)).await?;
    Ok(taken)
}

/// (dimension, key, start in microseconds), and the sum of its rows.
pub(crate) type Place = (Dimension, String, i64);
type Sums = BTreeMap<Place, Pane>;

fn rows_of(sums: &Sums, grain: Grain, covered: bool) -> impl Iterator<Item = PaneRow<'_>> {
    sums.iter().map(move |((dimension, key, at), pane)| PaneRow {
        dimension: *dimension,
        key,
        grain,
        at: *at,
        covered,
        pane,
    })
}

pub(crate) struct Stored {
    pub grain: Grain,
    pub covered: bool,
    pub place: Place,
    pub pane: Pane,
}

/// Returns every row that begins within a span.
pub(crate) async fn stored(
    on: &mut PgConnection,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<Vec<Stored>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        r#"select dimension::text as "dimension!", key, grain::text as "grain!", covered, at, first_seen, last_seen, bytes, events, sessions,
            logins_failed, logins_succeeded, commands, downloads, src_ips, sensors, session_ids, credentials
        from feature_panes where at >= $1 and at < $2"#,
        start,
        end,
    )
    .fetch_all(on)
    .await?;
    let read = |row: Row| {
        let covered = row.covered;
        row.read().map(|(grain, place, pane)| Stored { grain, covered, place, pane })
    };
    rows.into_iter().map(read).collect()
}

struct Row {
    dimension: String,
    key: String,
    grain: String,
    covered: bool,
    at: DateTime<Utc>,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    bytes: i64,
    events: i32,
    sessions: i32,
    logins_failed: i32,
    logins_succeeded: i32,
    commands: i32,
    downloads: i32,
    src_ips: Option<Vec<i64>>,
    sensors: Option<Vec<i64>>,
    session_ids: Option<Vec<i64>>,
    credentials: Option<Vec<i64>>,
}

impl Row {
    fn read(self) -> Result<(Grain, Place, Pane), Failure> {
        let dimension = self.dimension.parse().map_err(|why| Failure::Reject(anyhow::anyhow!("{why}")))?;
        let grain = match self.grain.as_str() {
            "minute" => Grain::Minute,
            "hour" => Grain::Hour,
            _ => Grain::Day,
        };
        let sketch = |hashes: Option<Vec<i64>>| Sketch::stored(hashes.unwrap_or_default());
        let pane = Pane {
            events: self.events.into(),
            sessions: self.sessions.into(),
            logins_failed: self.logins_failed.into(),
            logins_succeeded: self.logins_succeeded.into(),
            commands: self.commands.into(),
            downloads: self.downloads.into(),
            bytes: self.bytes,
            first_seen: self.first_seen.timestamp_micros(),
            last_seen: self.last_seen.timestamp_micros(),
            src_ips: sketch(self.src_ips),
            sensors: sketch(self.sensors),
            session_ids: sketch(self.session_ids),
            credentials: sketch(self.credentials),
        };
        Ok((grain, (dimension, self.key, self.at.timestamp_micros()), pane))
    }
}
