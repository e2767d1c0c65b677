//! Live signals: evaluates rules on the windows of the keys that live events touched. A duty of the leader.
//!
//! Batches mark keys in their own transactions. One transaction here takes the marks, reads the windows,
//! opens episodes and queues findings. If the process is killed before the commit, the marks are still there;
//! after it, the finding is in the outbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use boot::{CancellationToken, Duty};
use bus::topology::EVENTS;
use chrono::{DateTime, Utc};
use events::{Dimension, MINUTE, Pane, PaneKey};
use findings::{Finding, Rule};
use serde_json::{Value, json};
use store::{Connection, Failure, Lease, Store, windows::Window};
use tokio::sync::watch;

use crate::{
    Shared,
    metrics::FINDINGS,
    rules::{Activity, Rules, Silence},
};

/// How often marks are evaluated.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often silent sensors are looked for.
const SILENCE_INTERVAL: Duration = Duration::from_secs(10);
/// Sensors count as silent only after the backlog of the broker has been empty for this long. Before that,
/// the missing events may be waiting there.
const CAUGHT_UP: Duration = Duration::from_secs(60);
/// An event is live when its time is at most this far from the clock.
const LIVE_MINUTES: i64 = 10;
/// With less history than this, every key looks new.
const HISTORY: chrono::Duration = chrono::Duration::days(1);

/// What a batch needs for marking keys.
#[derive(Clone, Debug)]
pub struct Live {
    dimensions: Arc<BTreeSet<Dimension>>,
    /// Microseconds since 1970.
    now: fn() -> i64,
}

impl Live {
    pub fn of(rules: &Rules) -> Self {
        Self {
            dimensions: Arc::new(rules.activities().map(|rule| rule.dimension).collect()),
            now: || boot::now().timestamp_micros(),
        }
    }

    /// Whether an event of this time is live.
    pub(crate) fn is_live(&self, ts: Option<i64>) -> bool {
        ts.is_some_and(|ts| (ts - (self.now)()).abs() <= LIVE_MINUTES * MINUTE)
    }

    /// Marks the keys of live panes.
    pub(crate) async fn mark(
        &self,
        on: &mut Connection,
        panes: &[(PaneKey<'_>, Pane)],
    ) -> Result<(), Failure> {
        let mut marks = BTreeMap::<(Dimension, &str), DateTime<Utc>>::new();
        for (PaneKey { dimension, key, minute }, _) in panes {
            if !self.dimensions.contains(dimension) || !self.is_live(Some(minute * MINUTE)) {
                continue;
            }
            let Some(minute) = DateTime::from_timestamp(minute * 60, 0) else { continue };
            let newest = marks.entry((*dimension, key.as_ref())).or_insert(minute);
            *newest = minute.max(*newest);
        }
        let marks: Vec<_> =
            marks.into_iter().map(|((dimension, key), minute)| (dimension, key, minute)).collect();
        store::findings::signals::mark(on, &marks).await
    }
}

/// Evaluates the rules until `stop`, while this processor holds the lease.
pub(crate) async fn judge(
    shared: Shared,
    rules: Rules,
    lease: watch::Receiver<Option<Lease>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let rules_duty = Duty::new("evaluate live rules");
    let silence_duty = Duty::new("look for silent sensors");
    let (mut looked, mut caught_up) = (Instant::now(), None::<Instant>);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => (),
        }
        let Some(held) = lease.borrow().clone() else {
            caught_up = None;
            continue;
        };
        let outcome = judge_marks(&shared.store, &rules, &held).await.map(drop);
        let failed = outcome.is_err();
        rules_duty.report(outcome);
        if failed {
            continue;
        }
        shared.queued.notify_one();
        if looked.elapsed() < SILENCE_INTERVAL {
            continue;
        }
        looked = Instant::now();
        if !caught_up_with_broker(&shared).await {
            caught_up = None;
        } else if caught_up.get_or_insert_with(Instant::now).elapsed() >= CAUGHT_UP {
            silence_duty.report(judge_silence(&shared.store, &rules, &held).await.map(drop));
        }
    }
}

/// Returns whether the broker is connected and every message in it was committed.
async fn caught_up_with_broker(shared: &Shared) -> bool {
    let facts = shared.bus.consumer(EVENTS).await;
    shared.bus.connected()
        && facts.is_ok_and(|facts| facts.is_some_and(|facts| facts.pending == 0 && facts.unacknowledged == 0))
}

/// Evaluates every mark; returns the number of findings.
pub async fn judge_marks(store: &Store, rules: &Rules, lease: &Lease) -> Result<u64, Failure> {
    let mut findings = 0;
    loop {
        let mut transaction = store.begin().await?;
        if !store::still_holds(&mut transaction, lease).await? {
            return Ok(findings);
        }
        let marks = store::findings::signals::take_marks(&mut transaction).await?;
        for rule in rules.activities() {
            let mine: Vec<_> = marks
                .iter()
                .filter(|(dimension, ..)| *dimension == rule.dimension)
                .map(|(_, key, minute)| (key.clone(), *minute))
                .collect();
            findings += judge_activity(&mut transaction, rule, &mine).await?;
        }
        if marks.is_empty() {
            // End episodes only when no mark is left: a mark may prolong an episode that seems to be over.
            for rule in rules.activities() {
                let before = boot::now() - chrono::Duration::from_std(rule.cooldown).unwrap_or_default();
                store::findings::signals::end_episodes(&mut transaction, &rule.name, before).await?;
            }
            transaction.commit().await?;
            return Ok(findings);
        }
        transaction.commit().await?;
    }
}

async fn judge_activity(
    on: &mut Connection,
    rule: &Activity,
    marks: &[(String, DateTime<Utc>)],
) -> Result<u64, Failure> {
    let mut findings = 0;
    if marks.is_empty() {
        return Ok(0);
    }
    let mut crossing = store::findings::signals::crossing(
        on,
        rule.dimension,
        rule.measure,
        rule.window,
        rule.at_least,
        marks,
    )
    .await?;
    crossing.sort_by(|(key, minute, _), (other_key, other, _)| (minute, key).cmp(&(other, other_key)));
    for (key, minute, value) in crossing {
        if store::findings::signals::prolong_episode(on, &rule.name, &key, minute).await? {
            continue;
        }
        if let Some(evidence) = evidence(on, rule, &key, minute, value).await? {
            let live = Rule::Live { name: rule.name.clone(), dimension: rule.dimension };
            let finding = Finding::signal(live, rule.severity, &rule.title, &key, evidence);
            open(on, &finding, rule.dimension, minute).await?;
            findings += 1;
        }
    }
    Ok(findings)
}

/// Returns the window and the values that it was compared with, or `None` when the rule does not hold.
async fn evidence(
    on: &mut Connection,
    rule: &Activity,
    key: &str,
    minute: DateTime<Utc>,
    value: i64,
) -> Result<Option<Value>, Failure> {
    let span = chrono::Duration::from_std(rule.window).unwrap_or_default();
    let before = minute + chrono::Duration::minutes(1) - span;
    // The cheap refusals first: most keys fail here, and the counts of a window are the dearest query.
    let mut not_seen_since = None;
    if let Some(within) = rule.first_seen_within {
        if store::findings::signals::first_event(on).await?.is_none_or(|first| first > minute - HISTORY) {
            return Ok(None);
        }
        let earlier = store::windows::features(on, rule.dimension, key, within - rule.window, before).await?;
        if earlier.events > 0 {
            return Ok(None);
        }
        not_seen_since = Some(earlier.from_at);
    }
    let window =
        store::windows::features(on, rule.dimension, key, rule.window, minute + chrono::Duration::minutes(1))
            .await?;
    let addresses = if rule.dimension == Dimension::SrcIp { 1 } else { window.distinct_src_ips };
    if rule.distinct_src_ips.is_some_and(|least| addresses < least) {
        return Ok(None);
    }
    let mut evidence = json!({ "measure": rule.measure.name(), "value": value, "at_least": rule.at_least, "window": window });
    if let Some(since) = not_seen_since {
        evidence["not_seen_since"] = json!(since);
    }
    if let Some(times) = rule.times_usual {
        let earlier = store::windows::features(on, rule.dimension, key, rule.usual_over, before).await?;
        let usual =
            measured(&earlier, rule) as f64 * rule.window.as_secs_f64() / rule.usual_over.as_secs_f64();
        if (value as f64) < times * usual {
            return Ok(None);
        }
        evidence["usual"] = json!(usual);
        evidence["times_usual"] = json!(times);
    }
    Ok(Some(evidence))
}

fn measured(window: &Window, rule: &Activity) -> i64 {
    use store::windows::Measure;
    match rule.measure {
        Measure::Sessions => window.sessions,
        Measure::LoginsFailed => window.logins_failed,
        Measure::LoginsSucceeded => window.logins_succeeded,
        Measure::Commands => window.commands,
        Measure::Downloads => window.downloads,
        Measure::Bytes => window.bytes,
        _ => window.events,
    }
}

/// Looks for sensors that were live and are silent now. Returns the number of findings.
pub async fn judge_silence(store: &Store, rules: &Rules, lease: &Lease) -> Result<u64, Failure> {
    let mut findings = 0;
    for rule in rules.silences() {
        let mut transaction = store.begin().await?;
        if !store::still_holds(&mut transaction, lease).await? {
            return Ok(findings);
        }
        for (sensor, last) in store::findings::signals::live_sensors(&mut transaction).await? {
            findings += u64::from(judge_sensor(&mut transaction, rule, &sensor, last).await?);
        }
        transaction.commit().await?;
    }
    Ok(findings)
}

async fn judge_sensor(
    on: &mut Connection,
    rule: &Silence,
    sensor: &str,
    last: DateTime<Utc>,
) -> Result<bool, Failure> {
    let silent = boot::now() - last;
    let span = chrono::Duration::from_std(rule.window).unwrap_or_default();
    if silent < span {
        store::findings::signals::end_episodes_of(on, &rule.name, sensor).await?;
        return Ok(false);
    }
    if store::findings::signals::prolong_episode(on, &rule.name, sensor, boot::now()).await? {
        return Ok(false);
    }
    let usually = store::windows::features(on, Dimension::Sensor, sensor, rule.usual_over, last).await?;
    let usual = usually.events as f64 * rule.window.as_secs_f64() / rule.usual_over.as_secs_f64();
    if usual < rule.usual as f64 {
        return Ok(false);
    }
    let evidence = json!({ "last_live_at": last, "silent_seconds": silent.num_seconds(), "usual": usual, "at_least": rule.usual });
    let live = Rule::Live { name: rule.name.clone(), dimension: Dimension::Sensor };
    let finding = Finding {
        sensor: Some(sensor.to_owned()),
        ..Finding::signal(live, rule.severity, &rule.title, sensor, evidence)
    };
    open(on, &finding, Dimension::Sensor, boot::now()).await?;
    Ok(true)
}

/// Opens an episode, which publishes its finding.
async fn open(
    on: &mut Connection,
    finding: &Finding,
    dimension: Dimension,
    found_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (rule, severity) = (finding.rule.name(), finding.severity.name());
    tracing::info!(rule, dimension = dimension.name(), severity, "a live rule holds; opened a finding");
    metrics::counter!(FINDINGS, "severity" => severity).increment(1);
    store::findings::signals::open_episode(on, finding, found_at).await
}
