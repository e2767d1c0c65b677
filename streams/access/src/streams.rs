//! The open streams of each key in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boot::CancellationToken;
use tokio::sync::Semaphore;
use web::{Problem, StreamPlace};

/// A stream may end at any time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

struct OfKey {
    places: Arc<Semaphore>,
    ended: CancellationToken,
}

pub(crate) struct Streams {
    most: u32,
    keys: Mutex<HashMap<String, OfKey>>,
}

impl Streams {
    pub fn new(most: u32) -> Self {
        Self { most, keys: Mutex::default() }
    }

    pub fn open(&self, key_id: &str) -> Result<Arc<StreamPlace>, Problem> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || OfKey {
            places: Arc::new(Semaphore::new(self.most as usize)),
            ended: CancellationToken::new(),
        };
        let of_key = keys.entry(key_id.to_owned()).or_insert_with(new);
        match of_key.places.clone().try_acquire_owned() {
            Ok(permit) => Ok(Arc::new(StreamPlace { permit, ended: of_key.ended.clone() })),
            Err(_) => {
                let detail = format!("at most {} streams at a time with this key", self.most);
                Err(Problem::too_many(detail, RETRY_AFTER, Vec::new()))
            }
        }
    }

    /// The keys that have open streams.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, of_key| of_key.places.available_permits() < self.most as usize);
        keys.keys().cloned().collect()
    }

    /// Ends the streams of a key.
    pub fn end(&self, key_id: &str) {
        let ended = self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(key_id);
        if let Some(of_key) = ended {
            of_key.ended.cancel();
        }
    }
}
