//! What job code reads. Each call takes a connection and gives it back, so that no job holds one while it
//! computes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use events::Dimension;
use findings::Kind;
use store::{
    Failure, Store,
    analyses::longtail::LongtailPart,
    analyses::{DataPlace, DataRange, DataSession, DayDigest},
    findings::KnownCampaign,
    windows::{Measure, Window},
};

/// Reads sessions, days, windows and what earlier runs stored. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    store: Store,
}

impl Reader {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The next sessions of a range, at most `limit`; empty at its end.
    pub async fn sessions(
        &self,
        range: &DataRange,
        place: &mut DataPlace,
        limit: i64,
    ) -> Result<Vec<DataSession>, Failure> {
        store::analyses::sessions(&mut *self.store.connection().await?, range, place, limit).await
    }

    /// The days of a range that have sessions, without a time limit.
    pub async fn day_digests(&self, range: &DataRange) -> Result<Vec<DayDigest>, Failure> {
        store::analyses::day_digests(&mut *self.store.begin_long().await?, range).await
    }

    /// The number of sessions in a range, without a time limit.
    pub async fn session_count(&self, range: &DataRange) -> Result<u64, Failure> {
        let days = self.day_digests(range).await?;
        Ok(days.iter().map(|day| day.sessions.unsigned_abs()).sum())
    }

    /// The days that longtail cached, without a time limit.
    pub async fn longtail_parts(
        &self,
        range: &DataRange,
        version: i16,
    ) -> Result<Vec<LongtailPart>, Failure> {
        store::analyses::longtail::parts(&mut *self.store.begin_long().await?, range, version).await
    }

    /// The models that longtail cached, those used last first.
    pub async fn longtail_models(&self, range: &DataRange, version: i16) -> Result<Vec<Vec<u8>>, Failure> {
        store::analyses::longtail::models(&mut *self.store.connection().await?, range, version).await
    }

    /// The campaigns of a kind that were seen since `since`, without a time limit.
    pub async fn known_campaigns(
        &self,
        kind: Kind,
        since: DateTime<Utc>,
    ) -> Result<Vec<KnownCampaign>, Failure> {
        store::findings::known_campaigns(&mut *self.store.begin_long().await?, kind, since).await
    }

    /// The number of sources before `before`.
    pub async fn sources_before(&self, before: DateTime<Utc>) -> Result<u64, Failure> {
        store::analyses::sources_before(&mut *self.store.connection().await?, before).await
    }

    /// How many of those sources tried each of the credentials.
    pub async fn credential_sources_before(
        &self,
        before: DateTime<Utc>,
        credentials: &[(String, String)],
    ) -> Result<Vec<u64>, Failure> {
        store::analyses::credential_sources_before(&mut *self.store.connection().await?, before, credentials)
            .await
    }

    /// The counts of one window.
    pub async fn window(
        &self,
        dimension: Dimension,
        key: &str,
        length: Duration,
        until: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        store::windows::features(&mut *self.store.connection().await?, dimension, key, length, until).await
    }

    /// The windows of length `step` of which a longer one consists.
    pub async fn window_series(
        &self,
        dimension: Dimension,
        key: &str,
        length: Duration,
        step: Duration,
        until: DateTime<Utc>,
    ) -> Result<Vec<Window>, Failure> {
        store::windows::series(&mut *self.store.connection().await?, dimension, key, length, step, until)
            .await
    }

    /// The keys of a dimension with the highest measure in a window.
    pub async fn window_top(
        &self,
        dimension: Dimension,
        measure: Measure,
        length: Duration,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(String, i64)>, Failure> {
        store::windows::top(&mut *self.store.connection().await?, dimension, measure, length, until, limit)
            .await
    }
}
