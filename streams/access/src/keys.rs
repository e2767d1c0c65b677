//! Keys as people see and order them, over REST, on the command line and in `up`.

use chrono::{DateTime, TimeDelta, Utc};
use fields::{Age, FieldError, Name};
use serde::Serialize;
use store::{
    Connection, Failure,
    keys::{Actor, KeyRow, NewKey, Rotation},
};
use utoipa::ToSchema;
use web::{Key, Problem, Scope};

/// Most sensors of a key.
const MOST_SENSORS: usize = 1_000;

/// The properties of a new key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    pub name: String,
    pub scopes: Vec<String>,
    /// Empty: all sensors.
    pub sensors: Vec<String>,
    pub expires_in: Option<Age>,
    pub daily_quota: Option<i64>,
}

/// Whether a key may be used
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    Expired,
    Revoked,
}

/// A key, without its secret
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    /// The part of the key after csk_
    pub id: String,
    pub name: String,
    pub state: KeyState,
    pub scopes: Vec<String>,
    /// The sensors whose data it may see; null: all
    #[schema(required = true)]
    pub sensors: Option<Vec<String>>,
    /// Requests per day (UTC)
    #[schema(required = true, minimum = 1)]
    pub daily_quota: Option<i64>,
    pub created_at: DateTime<Utc>,
    #[schema(required = true)]
    pub expires_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// At most a minute old
    #[schema(required = true)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// The id of the key that a rotation made
    #[schema(required = true)]
    pub replaced_by: Option<String>,
}

/// A new key: the only time that its secret is shown
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub struct Created {
    /// The whole key. Store it: it is not shown again
    pub key: String,
    #[serde(flatten)]
    pub view: KeyView,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        let state = match (row.revoked_at, row.is_valid(boot::now())) {
            (Some(_), _) => KeyState::Revoked,
            (None, true) => KeyState::Active,
            (None, false) => KeyState::Expired,
        };
        Self {
            id: row.key_id,
            name: row.name,
            state,
            scopes: row.scopes,
            sensors: row.sensors,
            daily_quota: row.daily_quota,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            replaced_by: row.replaced_by,
        }
    }
}

impl Wish {
    /// Names every wrong field.
    pub fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(FieldError::new(field, message));
        if !Name::is_valid(&self.name) {
            wrong("name", Name::EXPECTED.into());
        }
        let known = Scope::ALL.map(Scope::name).join(", ");
        let scopes: Vec<_> = self.scopes.iter().filter_map(|name| Scope::read(name)).collect();
        if self.scopes.is_empty() || scopes.len() < self.scopes.len() {
            wrong("scopes", format!("expected at least one of {known}"));
        }
        if self.sensors.len() > MOST_SENSORS {
            wrong("sensors", format!("at most {MOST_SENSORS}"));
        } else if !self.sensors.iter().all(|sensor| Name::is_valid(sensor)) {
            wrong("sensors", Name::EXPECTED.into());
        }
        let of_all = scopes.iter().find(|scope| !scope.is_per_sensor());
        if let (Some(scope), false) = (of_all, self.sensors.is_empty()) {
            let name = scope.name();
            wrong(
                "sensors",
                format!("{name} concerns all sensors: use stats:read, secrets:read, findings:write"),
            );
        }
        if self.daily_quota.is_some_and(|quota| quota < 1) {
            wrong("daily_quota", "expected a number from 1".into());
        }
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
    }
}

/// Creates a key. The wish was checked.
pub async fn create(on: &mut Connection, wish: &Wish, actor: Actor<'_>) -> Result<Created, Failure> {
    let key = new_key()?;
    let hash = key.hash();
    let mut scopes = wish.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let row = NewKey {
        key_id: key.id(),
        hash: hash.bytes(),
        name: &wish.name,
        scopes: &scopes,
        sensors: Some(wish.sensors.as_slice()).filter(|sensors| !sensors.is_empty()),
        daily_quota: wish.daily_quota,
        expires_at: wish.expires_in.map(|age| boot::now() + TimeDelta::seconds(age.seconds())),
    };
    let row = store::keys::create(on, &row, actor).await?;
    Ok(Created { key: key.reveal().to_owned(), view: row.into() })
}

/// Creates a key that replaces another one; both are valid during the overlap. `None`: there is no valid key of
/// this id that was not rotated before.
pub async fn rotate(
    on: &mut Connection,
    old: &str,
    overlap: TimeDelta,
    actor: Actor<'_>,
) -> Result<Option<Created>, Failure> {
    let key = new_key()?;
    let hash = key.hash();
    let rotation = Rotation { old, key_id: key.id(), hash: hash.bytes(), overlap };
    let row = store::keys::rotate(on, rotation, actor).await?;
    Ok(row.map(|row| Created { key: key.reveal().to_owned(), view: row.into() }))
}

fn new_key() -> Result<Key, Failure> {
    Key::generate().map_err(|error| Failure::Retry(anyhow::anyhow!("read random bytes: {error}")))
}
