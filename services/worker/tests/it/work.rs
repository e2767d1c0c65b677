//! A worker that runs jobs.

use std::process::ExitCode;

use boot::Health;
use clap::Parser;
use servers::testing::eventually;

use crate::site::{Site, diagnostic};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    worker: worker::Args,
}

/// Runs `check` beside a worker with these arguments. Then stops the worker.
async fn with_worker(site: &Site, arguments: &[&str], check: impl FnOnce() + Send + 'static) {
    let args = Cli::parse_from([&["worker", "--name", "tester"], arguments].concat()).worker;
    let (bus, store) = (site.bus().await, site.store.clone());
    let code = boot::run(|tasks| async move {
        let parts = worker::Parts { bus, store, health: Health::default(), tasks: tasks.clone() };
        worker::start(&args, parts).await?;
        tasks.compute(check).result().await
    })
    .await;
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_jobs_and_leaves() {
    let site = std::sync::Arc::new(Site::start(true).await);
    let report = site.add_job(
        "report",
        r#"{"sensor": null, "time_window": "24h", "window_seconds": 86400, "until": null, "top": 10}"#,
    );
    let steps = site.add_job("diagnostic", &diagnostic(3, 0.0));
    let unknown = site.add_job("diagnostic", "{}");
    let checked = site.clone();
    with_worker(&site, &["--concurrency", "2"], move || {
        eventually("the jobs have ended", || {
            checked.psql("select count(*) from jobs where finished_at is null") == "0"
        });
    })
    .await;
    assert_eq!([report, steps, unknown].map(|job| site.state(job)), ["completed", "completed", "failed"]);
    assert_eq!(site.psql("select count(*), min(worker), max(attempt) from diagnostic_steps"), "3|tester|1");
    assert_eq!(site.psql("select error_type from jobs where state = 'failed'"), "GiveUp");
    assert_eq!(site.psql("select count(*) from workers"), "0", "a worker that left is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_taken_over_is_left_alone() {
    let site = std::sync::Arc::new(Site::start(true).await);
    let job = site.add_job("diagnostic", &diagnostic(100_000, 0.01));
    let checked = site.clone();
    with_worker(&site, &["--concurrency", "1"], move || {
        eventually("the job runs", || checked.psql("select count(*) > 2 from diagnostic_steps") == "t");
        eventually("the worker reports it", || checked.psql("select running from workers") == "1");
        // As if a coordinator had taken the job from the worker. It waits for a step that is being written.
        let steps = checked.psql(
            "begin; update jobs set attempt = attempt + 1; select count(*) from diagnostic_steps; commit",
        );
        eventually("the worker is idle", || checked.psql("select running from workers") == "0");
        assert_eq!(checked.psql("select count(*) from diagnostic_steps"), steps);
    })
    .await;
    assert_eq!(site.state(job), "in_progress", "its end was not written");
}
