//! Jobs: workers and coordinators killed, stopped and robbed; and clients that know nothing of us.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use servers::testing::Backend;

use crate::{
    harness::{Hub, KEY, eventually},
    office::Office,
};

/// Workers that are killed together, and how often.
const WORKERS: usize = 18;
const ROUNDS: usize = 3;

fn numbers(text: &str) -> Vec<i64> {
    text.trim().split('|').map(|number| number.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_frozen_workers_are_replaced_and_no_step_is_done_twice() {
    let hub = Hub::start().await;
    let (leader, office) = Office::open(&hub, "coordinator-1.err", &[]);
    let frozen_job = office.submit(&[
        "diagnostic",
        "--queue",
        "frozen",
        "--param",
        "steps=360",
        "--param",
        "step_seconds=0.25",
    ]);
    let frozen = office.worker("frozen", &["--queues", "frozen", "--concurrency", "1"]);
    eventually("the job of the one to be frozen runs", || {
        office.show(&frozen_job)["status"]["progress_percent"].as_f64() > Some(0.6)
    });
    frozen.signal(Signal::STOP);
    let since = Instant::now();
    let rescuer = office.worker("rescuer", &["--queues", "frozen", "--concurrency", "1"]);

    for n in 0..WORKERS {
        let key = format!("job-{n}");
        office.submit(&[
            "diagnostic",
            "--queue",
            "killed",
            "--param",
            "steps=100",
            "--param",
            "step_seconds=0.2",
            // The death of a worker is not counted.
            "--max-attempts",
            "1",
            "--idempotency-key",
            &key,
        ]);
    }
    let start = || {
        (0..WORKERS)
            .map(|n| office.worker(&format!("w{n}"), &["--queues", "killed", "--concurrency", "1"]))
            .collect::<Vec<_>>()
    };
    let mut workers = start();
    let mut leader = Some(leader);
    let _second = Office::open(&hub, "coordinator-2.err", &[]);
    let running = |attempt: usize| {
        hub.count(&format!("select count(*) from jobs where queue = 'killed' and state = 'in_progress' and attempt = {attempt} and progress_percent > 0"))
    };
    for round in 1..=ROUNDS {
        eventually("every job runs", || running(round) == WORKERS as i64);
        // Each at a moment of its own.
        for (n, worker) in workers.drain(..).enumerate() {
            std::thread::sleep(Duration::from_millis((n as u64 * 7919 + round as u64 * 104_729) % 150));
            worker.kill();
        }
        // The leader goes with them: the other coordinator takes over.
        drop(leader.take());
        let killed = Instant::now();
        workers = start();
        eventually("every job runs again", || {
            assert!(killed.elapsed() < Duration::from_secs(35), "takeover takes longer than 35 s");
            running(round + 1) == WORKERS as i64
        });
        println!(
            "round {round}: {WORKERS} killed, all taken over after {:.1} s",
            killed.elapsed().as_secs_f64()
        );
    }

    // The frozen one wakes after a minute, and writes nothing.
    eventually("a minute has passed", || since.elapsed() > Duration::from_secs(60));
    let of_first =
        format!("select count(*) from diagnostic_steps where job_id = '{frozen_job}' and attempt = 1");
    let before = hub.count(&of_first);
    frozen.signal(Signal::CONT);

    eventually("all is done", || hub.count("select count(*) from jobs where state <> 'completed'") == 0);
    assert_eq!(hub.count(&of_first), before);
    let frozen_steps = hub.psql(&format!("select count(*), count(distinct attempt), max(attempt) from diagnostic_steps where job_id = '{frozen_job}'"));
    assert_eq!(numbers(&frozen_steps), [360, 2, 2]);
    // One row a step, by the key of the table; one result a job; most attempts went on from a checkpoint.
    let all = hub.psql("select count(*), (select count(*) from job_results), (select count(*) from diagnostic_steps) from jobs");
    assert_eq!(numbers(&all), [WORKERS as i64 + 1, WORKERS as i64 + 1, WORKERS as i64 * 100 + 360]);
    let resumed = hub.psql(
        "select count(*), count(*) filter (where first > 0) from (
            select min(step) as first from diagnostic_steps join jobs using (job_id) where queue = 'killed' and diagnostic_steps.attempt > 1
            group by job_id, diagnostic_steps.attempt) f",
    );
    let resumed = numbers(&resumed);
    println!("{} kills; {} of {} attempts went on above step 0", WORKERS * ROUNDS, resumed[1], resumed[0]);
    // One killed before the first step of its attempt leaves no row of it.
    assert!(resumed[0] * 10 >= (WORKERS * ROUNDS) as i64 * 9 && resumed[1] * 10 >= resumed[0] * 8);
    drop((workers, rescuer));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_the_store_of_the_broker_and_the_database_that_restarts() {
    let mut hub = Hub::start().await;
    let (running, delayed, queued);
    let (coordinator, worker);
    {
        let office;
        (coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
        worker = office.worker("one", &["--queues", "reports", "--concurrency", "1"]);
        running = office.submit(&["diagnostic", "--param", "steps=40", "--param", "step_seconds=0.2"]);
        let later = (boot::now() + chrono::Duration::seconds(12)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        delayed = office.submit(&["diagnostic", "--param", "steps=0", "--not-before", &later]);
        queued = office.submit(&["diagnostic", "--param", "steps=0", "--priority", "1"]);
        eventually("one runs", || office.show(&running)["status"]["state"] == "in_progress");
        let waits = office.show(&delayed)["waits_for"].as_str().unwrap().to_owned();
        assert!(waits.starts_with("its time"), "{waits}");
    }
    hub.rob_nats(|store| fs::remove_dir_all(store).unwrap()).await;
    hub.rob_postgres(|_| ()).await;
    eventually("all is done", || hub.count("select count(*) from jobs where state = 'completed'") == 3);
    for job in [running, delayed, queued] {
        assert_eq!(
            hub.psql(&format!(
                "select attempt - uncounted_attempts, (select count(*) from job_results where job_id = '{job}') from jobs where job_id = '{job}'"
            ))
            .trim(),
            "1|1"
        );
    }
    drop((coordinator, worker));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_only_where_they_may_and_report_why_they_wait() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let config = hub.dir.path().join("worker-config.yaml");
    fs::write(
        &config,
        "workers:
  - name: preferred
    queues: [longtail: {priority: 100}, reports]
    concurrency: 1
    capabilities: {accelerator: nvidia_cuda, memory_gb: 64}
  - name: fallback
    queues: [longtail: {priority: 50}]
    concurrency: 8
    capabilities: {accelerator: none}
  - name: only
    queues: [secret: {exclusive: true}]
    concurrency: 1
  - name: intruder
    queues: [secret, never]
    concurrency: 1
",
    )
    .unwrap();
    let worker = |name: &str| office.worker(name, &["--config", config.to_str().unwrap()]);
    let state = |job: &str| office.state(job);
    let by = |job: &str| office.show(job)["status"]["worker"].as_str().unwrap().to_owned();
    let quick = |more: &[&str]| office.submit(&[&["diagnostic", "--param", "steps=0"], more].concat());

    let needy = quick(&["--queue", "longtail", "--accelerator", "nvidia_cuda", "--min-memory-gb", "32"]);
    assert_eq!(office.show(&needy)["waits_for"], "a worker: no live worker serves queue longtail");
    let _fallback = worker("fallback");
    eventually("it says what is missing", || {
        office.show(&needy)["waits_for"]
            .as_str()
            .unwrap()
            .contains("a worker that meets its requirements: fallback has")
    });
    let preferred = worker("preferred");
    eventually("it starts when one arrives", || state(&needy) == "completed");
    assert_eq!(by(&needy), "preferred");

    // The preferred one takes it while it is free, the other one when it is not.
    let first = quick(&["--queue", "longtail"]);
    eventually("done", || state(&first) == "completed");
    assert_eq!(by(&first), "preferred");
    let long = office.submit(&[
        "diagnostic",
        "--queue",
        "longtail",
        "--param",
        "steps=1000",
        "--param",
        "step_seconds=0.1",
    ]);
    eventually("the preferred one is busy", || state(&long) == "in_progress");
    let second = quick(&["--queue", "longtail"]);
    eventually("done", || state(&second) == "completed");
    assert_eq!((by(&long), by(&second)), ("preferred".to_owned(), "fallback".to_owned()));

    // Cancelling reaches inside a running step.
    let asked = Instant::now();
    office.command(&["jobs", "cancel", &long]).output().unwrap();
    eventually("cancelled", || state(&long) == "cancelled");
    println!("cancelled after {:.2} s", asked.elapsed().as_secs_f64());
    assert!(!office.command(&["jobs", "cancel", &long]).status().unwrap().success());
    drop(preferred);

    // An exclusive queue stays exclusive while its worker is dead.
    let only = worker("only");
    eventually("the exclusive one is known", || hub.count("select count(*) from exclusive_queues") == 1);
    only.kill();
    let _intruder = worker("intruder");
    let secret = quick(&["--queue", "secret"]);
    let never = quick(&["--queue", "never"]);
    eventually("the intruder works", || state(&never) == "completed");
    eventually("the exclusive one is missed", || {
        office.show(&secret)["waits_for"] == "a worker: queue secret is exclusive to only, which is not there"
    });
    let _only = worker("only");
    eventually("the exclusive one is back", || state(&secret) == "completed");
    assert_eq!(by(&secret), "only");

    // A paused queue starts nothing.
    assert!(office.command(&["queues", "pause", "never"]).status().unwrap().success());
    let paused = quick(&["--queue", "never"]);
    assert_eq!(office.show(&paused)["waits_for"], "queue never is paused");
    assert!(office.command(&["queues", "resume", "never"]).status().unwrap().success());
    eventually("resumed", || state(&paused) == "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_celery_redis_grpc_and_rest_see_the_same() {
    let Some(python) = std::env::var_os("COWRIESTREAM_TEST_PYTHON") else {
        return println!("COWRIESTREAM_TEST_PYTHON is not set: no Python client is tried");
    };
    let hub = Hub::start().await;
    let mut redis = Backend::redis(&hub.dir.path().join("r")).await;
    let url = redis.url();
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[("REDIS_URL", &url)]);
    let _worker = office.worker("w", &["--queues", "reports", "--concurrency", "4"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/jobs.py");
    let out = Command::new(python)
        .arg(script)
        .args([&office.rest, &office.grpc, &url])
        .env("API_KEY", KEY)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    print!("{}", String::from_utf8_lossy(&out.stdout));
    // Redis away: jobs go on. Back and empty: the mirror is whole again.
    redis.stop().await;
    let job = office.submit(&["diagnostic", "--param", "steps=0"]);
    eventually("jobs go on without Redis", || office.show(&job)["status"]["state"] == "completed");
    redis.restart(|_| ()).await;
    let redis_cli = |arguments: &[&str]| {
        let out = Command::new("redis-cli")
            .args(["-u", &url, "--no-auth-warning"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    eventually("the mirror knows it", || {
        redis_cli(&["hget", &format!("cowrie:status:{job}"), "state"]) == "completed"
    });
    assert_eq!(redis_cli(&["flushall"]), "OK");
    eventually("the mirror is whole again", || {
        redis_cli(&["hget", &format!("cowrie:status:{job}"), "state"]) == "completed"
    });
    redis.stop().await;
}

/// A result read as its type and written again, which loses what the type does not have.
fn read_as<T: serde::Serialize + serde::de::DeserializeOwned>(
    result: &serde_json::Value,
) -> serde_json::Value {
    serde_json::to_value(serde_json::from_value::<T>(result.clone()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_returns_what_its_schema_says() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker = office.worker("w", &["--queues", "reports,longtail,snowshoe,botnet"]);
    let submitted: Vec<_> =
        jobs::TYPES.iter().map(|known| (known.name, office.submit(&[known.name]))).collect();
    for (name, job) in submitted {
        eventually("it is completed", || office.state(&job) == "completed");
        let shown = office.show(&job);
        let result = &shown["result"];
        let read = match name {
            "report" => read_as::<jobs::ReportResult>(result),
            "diagnostic" => read_as::<jobs::DiagnosticResult>(result),
            _ => read_as::<jobs::AnalysisResult>(result),
        };
        assert_eq!(&read, result, "{name}");
        if name != "diagnostic" {
            assert!(result["from"].as_str() < result["to"].as_str(), "{name}: {result}");
        }
        let sessions = &shown["status"]["sessions_processed"];
        assert_eq!(sessions.is_null(), ["report", "diagnostic"].contains(&name), "{name}: {sessions}");
    }
}
