//! API keys: `api_keys`, their daily quotas and the audit log. A change of a key and its line in the audit log are
//! one transaction.

pub mod audit;
mod quota;

use chrono::{DateTime, Duration, Utc};
use sqlx::{Connection as _, PgConnection};

use self::audit::Entry;
pub use self::quota::take_quota;
use crate::Failure;

/// A key, without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRow {
    pub key_id: String,
    pub name: String,
    pub hash: Vec<u8>,
    pub scopes: Vec<String>,
    pub sensors: Option<Vec<String>>,
    pub daily_quota: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub replaced_by: Option<String>,
}

impl KeyRow {
    /// Whether the key may be used.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// The properties of a new key.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    pub key_id: &'a str,
    pub hash: &'a [u8],
    pub name: &'a str,
    pub scopes: &'a [String],
    pub sensors: Option<&'a [String]>,
    pub daily_quota: Option<i64>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who changes a key and when, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    pub who: &'a str,
    pub from: Option<&'a str>,
    pub at: DateTime<Utc>,
}

pub async fn create(on: &mut PgConnection, key: &NewKey<'_>, actor: Actor<'_>) -> Result<KeyRow, Failure> {
    let mut transaction = on.begin().await?;
    let row = insert(&mut transaction, key).await?;
    note(&mut transaction, actor, "key.create", &row, String::new()).await?;
    transaction.commit().await?;
    Ok(row)
}

async fn insert(on: &mut PgConnection, key: &NewKey<'_>) -> Result<KeyRow, Failure> {
    let row = sqlx::query_as!(
        KeyRow,
        "insert into api_keys (key_id, name, hash, scopes, sensors, daily_quota, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        returning key_id, name, hash, scopes, sensors, daily_quota, created_at, expires_at, revoked_at, last_used_at, replaced_by",
        key.key_id,
        key.name,
        key.hash,
        key.scopes,
        key.sensors,
        key.daily_quota,
        key.expires_at,
    )
    .fetch_one(on)
    .await?;
    Ok(row)
}

/// Every key, also revoked and expired ones, by the time of creation.
pub async fn list(on: &mut PgConnection) -> Result<Vec<KeyRow>, Failure> {
    let rows = sqlx::query_as!(
        KeyRow,
        "select key_id, name, hash, scopes, sensors, daily_quota, created_at, expires_at, revoked_at, last_used_at, replaced_by
        from api_keys order by created_at, key_id",
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

pub async fn find(on: &mut PgConnection, key_id: &str) -> Result<Option<KeyRow>, Failure> {
    let row = sqlx::query_as!(
        KeyRow,
        "select key_id, name, hash, scopes, sensors, daily_quota, created_at, expires_at, revoked_at, last_used_at, replaced_by
        from api_keys where key_id = $1",
        key_id,
    )
    .fetch_optional(on)
    .await?;
    Ok(row)
}

/// Whether there is a key that may be used.
pub async fn any_valid(on: &mut PgConnection) -> Result<bool, Failure> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from api_keys where revoked_at is null and (expires_at is null or expires_at > clock_timestamp())) as "found!""#
    )
    .fetch_one(on)
    .await?;
    Ok(found)
}

/// Revokes a key; of one that was revoked before, the time stays. `None`: there is no such key.
pub async fn revoke(
    on: &mut PgConnection,
    key_id: &str,
    actor: Actor<'_>,
) -> Result<Option<KeyRow>, Failure> {
    let mut transaction = on.begin().await?;
    sqlx::query!(
        "update api_keys set revoked_at = clock_timestamp() where key_id = $1 and revoked_at is null",
        key_id
    )
    .execute(&mut *transaction)
    .await?;
    let row = find(&mut transaction, key_id).await?;
    if let Some(row) = &row {
        note(&mut transaction, actor, "key.revoke", row, String::new()).await?;
    }
    transaction.commit().await?;
    Ok(row)
}

/// A new secret for an existing key.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    pub old: &'a str,
    pub key_id: &'a str,
    pub hash: &'a [u8],
    /// How long the old key stays valid.
    pub overlap: Duration,
}

/// Creates a key that may do what the old one may, and lets the old one expire after the overlap. `None`: the old one
/// does not exist, is not valid, or was rotated before.
pub async fn rotate(
    on: &mut PgConnection,
    rotation: Rotation<'_>,
    actor: Actor<'_>,
) -> Result<Option<KeyRow>, Failure> {
    let mut transaction = on.begin().await?;
    // A second rotation waits here, and then finds replaced_by set.
    sqlx::query!("select key_id from api_keys where key_id = $1 for update", rotation.old)
        .fetch_optional(&mut *transaction)
        .await?;
    let old = find(&mut transaction, rotation.old).await?;
    let Some(old) = old.filter(|old| old.is_valid(actor.at) && old.replaced_by.is_none()) else {
        return Ok(None);
    };
    let key = NewKey {
        key_id: rotation.key_id,
        hash: rotation.hash,
        name: &old.name,
        scopes: &old.scopes,
        sensors: old.sensors.as_deref(),
        daily_quota: old.daily_quota,
        // As long as the old one was made for.
        expires_at: old.expires_at.map(|at| actor.at + (at - old.created_at)),
    };
    let new = insert(&mut transaction, &key).await?;
    let ends = actor.at + rotation.overlap;
    sqlx::query!(
        "update api_keys set replaced_by = $2, expires_at = least(expires_at, $3) where key_id = $1",
        rotation.old,
        new.key_id,
        ends,
    )
    .execute(&mut *transaction)
    .await?;
    note(&mut transaction, actor, "key.rotate", &old, format!("replaced by {}", new.key_id)).await?;
    transaction.commit().await?;
    Ok(Some(new))
}

/// Notes that a key is in use, at most once a minute.
pub async fn touch(on: &mut PgConnection, key_id: &str) -> Result<(), Failure> {
    sqlx::query!(
        "update api_keys set last_used_at = clock_timestamp()
        where key_id = $1 and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')",
        key_id,
    )
    .execute(on)
    .await?;
    Ok(())
}

async fn note(
    on: &mut PgConnection,
    actor: Actor<'_>,
    action: &str,
    key: &KeyRow,
    detail: String,
) -> Result<(), Failure> {
    let entry = Entry {
        at: actor.at,
        who: actor.who.to_owned(),
        action: action.to_owned(),
        target: key.key_id.clone(),
        from: actor.from.map(str::to_owned),
        outcome: audit::DONE.to_owned(),
        detail: format!("{} {} {detail}", key.name, key.scopes.join(",")).trim().to_owned(),
    };
    audit::insert(on, &[entry]).await
}
