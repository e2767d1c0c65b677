//! Faults around jobs: memory that is not there, connections that are all taken, ends that cannot be written,
//! databases that restart, workers that are gone.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{Hub, PROGRAM, eventually},
    office::Office,
};

/// Reports at once, over one connection.
const REPORTS: i64 = 64;
/// Jobs that wait too long, and urgent ones before them.
const STARVING: i64 = 40;
const URGENT: i64 = 600;

/// Adds jobs as submissions leave them.
fn crowd(hub: &Hub, count: i64, job_type: &str, queue: &str, priority: i64, age: i64, parameters: &str) {
    hub.psql(&format!(
        "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash, created_at, next_attempt_at)
        select gen_random_uuid(), '{job_type}', '{queue}', '{parameters}', {priority}, 3600, 3, '', now() - interval '{age} s', now() - interval '{age} s'
        from generate_series(1, {count})"
    ));
}

fn diagnostic(steps: i64, seconds: f64) -> String {
    format!(
        r#"{{"steps": {steps}, "step_seconds": {seconds}, "memory_mb": 0, "fail": "never", "fail_at_step": 0, "fail_attempts": 0}}"#
    )
}

/// What an ended job says of its error.
fn error_of(office: &Office, job: &str) -> (String, i64, String) {
    let status = office.show(job)["status"].clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&status["error"]["type"]), status["attempt"].as_i64().unwrap(), text(&status["error"]["message"]))
}

/// The processes that a worker started for attempts.
fn children(worker: u32) -> Vec<Pid> {
    let is_child = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split_whitespace().collect();
            fields[2].parse() == Ok(worker) && fields[1] != "Z"
        })
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| is_child(pid)).filter_map(Pid::from_raw).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_dies_alone() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let worker = office.worker(
        "w",
        &["--queues", "reports", "--concurrency", "6", "--retry-seconds", "0.2", "--memory-gb", "1.5"],
    );
    // Its only attempt must go through, whatever happens beside it.
    let innocent = office.diagnostic(&["steps=10000", "step_seconds=0.02"], &["--max-attempts", "1"]);
    eventually("the innocent job runs", || office.state(&innocent) == "in_progress");

    let large = office.diagnostic(&["steps=1", "memory_mb=65536"], &[]);
    let fits = office.diagnostic(&["steps=1", "step_seconds=0", "memory_mb=400"], &[]);
    let crashes = office.diagnostic(&["steps=1", "fail=crash"], &[]);
    let recovers = office
        .diagnostic(&["steps=3", "step_seconds=0", "fail=crash", "fail_at_step=2", "fail_attempts=1"], &[]);
    eventually("all have ended", || hub.count("select count(*) from jobs where finished_at is null") == 1);
    let (kind, attempt, why) = error_of(&office, &large);
    assert!(
        kind == "GiveUp" && attempt == 1 && why.contains("this worker has 1536 MiB"),
        "{kind} {attempt} {why}"
    );
    assert_eq!(
        (office.state(&fits), office.show(&fits)["result"]["memory_mb"].as_i64()),
        ("completed".to_owned(), Some(400))
    );
    let (kind, attempt, why) = error_of(&office, &crashes);
    assert!(kind == "Crashed" && attempt == 2 && why.contains("signal 6"), "{kind} {attempt} {why}");
    let recovered = office.show(&recovers);
    assert_eq!(
        (recovered["status"]["state"].as_str(), recovered["result"]["resumed_at"].as_i64()),
        (Some("completed"), Some(2)),
        "{recovered}"
    );

    // As the kernel does when the machine has no memory left.
    let killed = office.diagnostic(&["steps=10000", "step_seconds=0.02", "memory_mb=1"], &[]);
    for attempt in 1..=2 {
        eventually("its process runs", || {
            hub.count(&format!(
                "select count(*) from jobs where job_id = '{killed}' and state = 'in_progress' and attempt = {attempt} and progress_percent > 0"
            )) == 1
        });
        let child = children(worker.id());
        assert_eq!(child.len(), 1);
        assert_eq!(
            fs::read_to_string(format!("/proc/{}/oom_score_adj", child[0].as_raw_nonzero())).unwrap().trim(),
            "1000"
        );
        kill_process(child[0], Signal::KILL).unwrap();
    }
    eventually("it has failed", || office.state(&killed) == "failed");
    let (kind, attempt, why) = error_of(&office, &killed);
    assert!(kind == "Crashed" && attempt == 2 && why.contains("signal 9"), "{kind} {attempt} {why}");

    // Cancelled, its process ends; and so it does when the worker dies.
    let cancelled = office.diagnostic(&["steps=10000", "memory_mb=1"], &[]);
    eventually("its process runs", || children(worker.id()).len() == 1);
    let child = children(worker.id())[0];
    assert!(office.command(&["jobs", "cancel", &cancelled]).status().unwrap().success());
    eventually("it is cancelled", || office.state(&cancelled) == "cancelled");
    eventually("its process is gone", || children(worker.id()).is_empty());
    office.diagnostic(&["steps=10000", "memory_mb=1"], &[]);
    eventually("another process runs", || children(worker.id()).len() == 1);
    let orphan = children(worker.id())[0];
    assert_ne!(orphan, child);
    assert_eq!(
        hub.count(&format!(
            "select count(*) from jobs where job_id = '{innocent}' and state = 'in_progress' and attempt = 1"
        )),
        1
    );
    worker.kill();
    eventually("the orphan ends", || !fs::exists(format!("/proc/{}", orphan.as_raw_nonzero())).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_for_any_number_of_jobs() {
    let hub = Hub::start().await;
    let (_coordinator, office) =
        Office::open(&hub, "coordinator.err", &[("COWRIESTREAM_DATABASE_CONNECTIONS", "1")]);
    let report =
        r#"{"sensor": null, "time_window": "24h", "window_seconds": 86400, "until": null, "top": 10}"#;
    crowd(&hub, REPORTS, "report", "reports", 5, 0, report);
    let since = Instant::now();
    let _worker = office.worker("w", &["--profile", "io_bound"]);
    let put = office
        .command(&["schedules", "put", "each-second", "* * * * * *", "diagnostic", "--param", "steps=0"])
        .output()
        .unwrap();
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    eventually("the schedule fires", || {
        hub.count("select count(*) from jobs where schedule is not null and state = 'completed'") > 1
    });
    eventually("the reports are there", || {
        hub.count(
            "select count(*) from jobs where job_type = 'report' and state = 'completed' and attempt = 1",
        ) == REPORTS
    });
    println!(
        "{REPORTS} reports of an empty database over one connection: {:.1} s",
        since.elapsed().as_secs_f64()
    );
    assert!(since.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_used_up_by_the_job_alone() {
    let mut hub = Hub::start().await;
    let (coordinator, worker);
    let mut going = Vec::new();
    {
        let office;
        (coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
        worker =
            office.worker("w", &["--queues", "reports", "--concurrency", "16", "--retry-seconds", "0.3"]);
        // Cancelled a moment before they fail: too late for the worker to stop most of them.
        let fails = diagnostic(3, 1.0)
            .replace("never", "retry")
            .replace(r#""fail_at_step": 0, "fail_attempts": 0"#, r#""fail_at_step": 1, "fail_attempts": 9"#);
        crowd(&hub, 8, "diagnostic", "reports", 5, 0, &fails);
        eventually("they run", || hub.count("select count(*) from jobs where attempt > 0") == 8);
        hub.psql("select pg_sleep_until(max(started_at) + interval '0.95 s') from jobs; update jobs set cancel_requested = true where state = 'in_progress'");
        eventually("they have ended", || {
            hub.count("select count(*) from jobs where finished_at is null") == 0
        });
        assert_eq!(
            hub.count(
                "select count(*) from jobs where state = 'cancelled' and attempt = 1 and error_type is null"
            ),
            8
        );
        for _ in 0..4 {
            going.push(office.diagnostic(&["steps=200", "step_seconds=0.05"], &["--max-attempts", "1"]));
        }
        going.push(
            office.diagnostic(&["steps=200", "step_seconds=0.05", "memory_mb=1"], &["--max-attempts", "1"]),
        );
    }
    let steps = |hub: &Hub| hub.count("select count(*) from diagnostic_steps");
    for _ in 0..3 {
        let before = steps(&hub);
        eventually("all go on", || {
            hub.count("select count(*) from jobs where state = 'in_progress' and progress_percent > 0")
                == going.len() as i64
                && steps(&hub) > before + 20
        });
        hub.rob_postgres(|_| ()).await;
    }
    eventually("all are done", || hub.count("select count(*) from jobs where finished_at is null") == 0);
    let ended = hub.psql("select count(*), max(attempt), max(attempt - uncounted_attempts), max(max_attempts) from jobs where state = 'completed'");
    println!(
        "jobs, most attempts, most that count, most allowed after three restarts of Postgres: {}",
        ended.trim()
    );
    assert!(ended.starts_with(&format!("{}|", going.len())) && ended.trim().ends_with("|1|1"), "{ended}");
    drop((coordinator, worker));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_waited_too_long_start_although_a_worker_is_dead() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    // The oldest job of all is in a queue that only a dead worker may serve.
    let capabilities = "none', 1, 1";
    hub.psql(&format!(
        "insert into exclusive_queues values ('haunted', 'ghost');
        insert into workers (worker_id, name, hostname, type, platform, concurrency, queues, job_types, accelerator, memory_gb, cpu_cores, heartbeat_at)
        values (gen_random_uuid(), 'ghost', 'h', 'native', 'x', 1, '[]', '{{}}', '{capabilities}, now() - interval '1 minute')"
    ));
    crowd(&hub, 1, "diagnostic", "haunted", 10, 600, &diagnostic(0, 0.0));
    crowd(&hub, STARVING, "diagnostic", "flow", 1, 120, &diagnostic(0, 0.0));
    crowd(&hub, URGENT, "diagnostic", "flow", 9, 0, &diagnostic(1, 0.02));
    let _worker = office.worker("w", &["--queues", "haunted,flow", "--concurrency", "16"]);
    eventually("none starves", || {
        hub.count("select count(*) from jobs where priority = 1 and state = 'completed'") == STARVING
    });
    let before = hub.count("select count(*) from jobs where priority = 9 and started_at < (select max(started_at) from jobs where priority = 1)");
    println!("{STARVING} jobs that had waited too long started after {before} of {URGENT} urgent ones");
    assert!(before <= STARVING * 8 + 64, "{before}");

    assert_eq!(hub.count("select count(*) from jobs where queue = 'haunted' and state = 'queued'"), 1);
    let remove = |name: &str| {
        let out = office.command(&["workers", "remove", name]).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (removed, said) = remove("w");
    assert!(!removed && said.contains("is alive"), "{said}");
    let (removed, said) = remove("nobody");
    assert!(!removed && said.contains("there is no worker nobody"), "{said}");
    assert_eq!(remove("ghost"), (true, String::new()));
    assert!(!remove("ghost").0);
    eventually("the queue is open", || {
        hub.count("select count(*) from jobs where queue = 'haunted' and state = 'completed'") == 1
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_postgres_refuses_holds_up_no_other() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    hub.psql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
        create trigger refuse before insert on job_results for each row when (new.result ->> 'steps' = '2') execute function refuse()",
    );
    let _worker = office.worker("w", &["--queues", "reports", "--concurrency", "2"]);
    let refused = office.diagnostic(&["steps=2", "step_seconds=0"], &[]);
    let others: Vec<_> = (0..4).map(|_| office.diagnostic(&["steps=1", "step_seconds=0"], &[])).collect();
    eventually("the others are done", || others.iter().all(|job| office.state(job) == "completed"));
    eventually("it has failed", || office.state(&refused) == "failed");
    let (kind, attempt, why) = error_of(&office, &refused);
    assert!(kind == "EndRefused" && attempt == 1 && why.contains("not this one"), "{kind} {attempt} {why}");
}

#[test]
fn impossible_settings_of_a_worker_are_refused_before_it_connects() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("worker-config.yaml");
    let refused = |arguments: &[&str], why: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(dir.path())
            .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
            .env("NATS_URL", "nats://127.0.0.1:1");
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(why), "{arguments:?}: {said}");
    };
    for (arguments, why) in [
        (["--memory-gb", "NaN"], "memory_gb"),
        (["--memory-gb", "inf"], "memory_gb"),
        (["--memory-gb=-5", "--concurrency=2"], "memory_gb"),
        (["--memory-gb", "0"], "memory_gb"),
        (["--cpu-cores", "4294967295"], "cpu_cores"),
        (["--cpu-cores", "0"], "cpu_cores"),
        (["--queues", "a,b,a"], "queue a is named twice"),
        (["--queues", "a b"], "expected letters"),
        (["--retry-seconds=-1e300", "--concurrency=2"], "expected 0 to 600"),
        (["--retry-seconds", "NaN"], "expected 0 to 600"),
        (["--name", "a.b"], "expected letters"),
    ] {
        refused(&[&["worker"], &arguments[..]].concat(), why);
    }
    refused(&["up", "--memory-gb", "NaN"], "memory_gb");
    for (capabilities, queues, why) in [
        ("{memory_gb: .nan}", "[reports]", "memory_gb"),
        ("{cpu_cores: 4294967295}", "[reports]", "cpu_cores"),
        ("{}", "[reports, reports: {priority: 9}]", "queue reports is named twice"),
        ("{}", "[reports: {priority: -1}]", "priority -1"),
        ("{}", "[]", "0 queues"),
    ] {
        fs::write(&config, format!("workers: [{{name: w, queues: {queues}, capabilities: {capabilities}}}]"))
            .unwrap();
        refused(&["worker", "--config", config.to_str().unwrap(), "--name", "w"], why);
    }
    fs::write(&config, "workers: [{name: w, queues: [a]}, {name: w, queues: [b]}]").unwrap();
    refused(&["worker", "--config", config.to_str().unwrap(), "--name", "w"], "two workers are named");
}
