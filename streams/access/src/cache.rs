//! Keys as Postgres said a few seconds ago.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use boot::Duty;
use chrono::TimeDelta;
use mirror::{Bucket, Decision, LocalBuckets};
use store::{Failure, Store, keys::KeyRow};
use web::Key;

/// A revoked key works for at most this long.
const FRESH: Duration = Duration::from_secs(3);
/// While Postgres is away, a key that it confirmed works for this long.
const STALE: Duration = Duration::from_secs(60);
/// Longest look-up. A request waits for it.
const LOOK_UP: Duration = Duration::from_secs(2);
/// After a failed look-up, nobody waits for Postgres for this long.
const PAUSE: Duration = Duration::from_secs(1);
/// Most keys that are remembered.
const MOST: usize = 10_000;
/// Look-ups of keys that were not asked for before, per client address.
const NEW_KEYS: u32 = 60;
const NEW_KEYS_PER_SECOND: f64 = 10.0;

type Slot = Arc<tokio::sync::Mutex<Option<Loaded>>>;

/// What Postgres said of a key id, and when it was asked.
#[derive(Clone)]
struct Loaded {
    asked: Instant,
    row: Option<Arc<KeyRow>>,
}

pub(crate) enum Found {
    Key(Arc<KeyRow>),
    Unknown,
    /// This address asked for too many unknown keys.
    TooMany(Duration),
    Away,
}

pub(crate) struct Cache {
    store: Store,
    slots: Mutex<HashMap<String, Slot>>,
    new_keys: (LocalBuckets, Option<Bucket>),
    /// Until when Postgres is not asked.
    away_until: Mutex<Option<Instant>>,
    duty: Duty,
}

impl Cache {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            slots: Mutex::default(),
            new_keys: (LocalBuckets::default(), Bucket::new(NEW_KEYS, NEW_KEYS_PER_SECOND)),
            away_until: Mutex::default(),
            duty: Duty::new("look up API keys"),
        }
    }

    /// The row of a key, revoked and expired ones too.
    pub async fn find(&self, key: &Key, from: Option<IpAddr>) -> Found {
        let slot = match self.slot(key.id(), from) {
            Ok(slot) => slot,
            Err(after) => return Found::TooMany(after),
        };
        let (loaded, now) = self.load(key.id(), &slot).await;
        let Some(loaded) = loaded else { return Found::Away };
        let Some(row) = loaded.row.filter(|row| key.hash().is(&row.hash)) else { return Found::Unknown };
        if now {
            self.touch(&row).await;
        }
        Found::Key(row)
    }

    /// Whether a key that was found before may still be used.
    pub async fn is_valid(&self, key_id: &str) -> bool {
        let slots = || self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots().entry(key_id.to_owned()).or_default().clone();
        let (loaded, _) = self.load(key_id, &slot).await;
        loaded.and_then(|loaded| loaded.row).is_some_and(|row| row.is_valid(boot::now()))
    }

    /// The place of a key id. A new one costs a look-up, so an address may not ask for too many.
    fn slot(&self, key_id: &str, from: Option<IpAddr>) -> Result<Slot, Duration> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key_id) {
            return Ok(slot.clone());
        }
        let (buckets, bucket) = &self.new_keys;
        let address = from.map(|from| from.to_string()).unwrap_or_default();
        if let Some(bucket) = bucket
            && let Decision::Denied { retry_after } = buckets.take(&address, bucket, Instant::now())
        {
            return Err(retry_after);
        }
        if slots.len() >= MOST {
            // Unknown keys go first. A slot that is locked is in use.
            slots.retain(|_, slot| slot.try_lock().map_or(true, |one| known(one.as_ref())));
            if slots.len() >= MOST {
                slots.clear();
            }
        }
        Ok(slots.entry(key_id.to_owned()).or_default().clone())
    }

    /// What is known of a key, and whether Postgres was asked now. Requests with one key wait for one look-up.
    async fn load(&self, key_id: &str, slot: &Slot) -> (Option<Loaded>, bool) {
        let mut loaded = slot.lock().await;
        if let Some(known) = loaded.as_ref().filter(|known| known.asked.elapsed() < FRESH) {
            return (Some(known.clone()), false);
        }
        let asked = Instant::now();
        match self.ask(key_id).await {
            Some(row) => {
                *loaded = Some(Loaded { asked, row: row.map(Arc::new) });
                (loaded.clone(), true)
            }
            None => (loaded.clone().filter(|old| old.row.is_some() && old.asked.elapsed() < STALE), false),
        }
    }

    /// Asks Postgres; `None` while it is away.
    async fn ask(&self, key_id: &str) -> Option<Option<KeyRow>> {
        let paused = *self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let look_up = async {
            let mut connection = self.store.connection().await?;
            store::keys::find(&mut connection, key_id).await
        };
        let outcome: Result<_, anyhow::Error> = match tokio::time::timeout(LOOK_UP, look_up).await {
            Ok(outcome) => outcome.map_err(Failure::into),
            Err(_) => Err(anyhow::anyhow!("no answer within {LOOK_UP:?}")),
        };
        let until = outcome.is_err().then(|| Instant::now() + PAUSE);
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        match outcome {
            Ok(row) => {
                self.duty.report(Ok::<_, anyhow::Error>(()));
                Some(row)
            }
            Err(error) => {
                self.duty.report(Err(error));
                None
            }
        }
    }

    /// Notes the use of a key. A failure only makes last_used_at older.
    async fn touch(&self, row: &KeyRow) {
        let recently = boot::now() - TimeDelta::minutes(1);
        if row.last_used_at.is_some_and(|at| at > recently) || !row.is_valid(boot::now()) {
            return;
        }
        let touch = async {
            let mut connection = self.store.connection().await?;
            store::keys::touch(&mut connection, &row.key_id).await
        };
        match tokio::time::timeout(LOOK_UP, touch).await {
            Ok(Ok(())) | Err(_) => (),
            Ok(Err(error)) => tracing::debug!(%error, "could not note the use of a key"),
        }
    }
}

fn known(loaded: Option<&Loaded>) -> bool {
    loaded.is_some_and(|one| one.row.is_some())
}
