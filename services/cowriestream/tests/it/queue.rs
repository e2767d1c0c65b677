//! Jobs that fail, wait, hurry, come twice, or come at times; coordinators that die; workers that leave.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    harness::{Hub, KEY, eventually},
    office::Office,
};

/// Submissions during which the coordinator is killed.
const KILLED_SUBMISSIONS: usize = 24;
/// Jobs before which an urgent one is taken.
const CROWD: usize = 10_000;

fn error_of(job: &Value) -> (&str, i64) {
    (job["status"]["error"]["type"].as_str().unwrap(), job["status"]["attempt"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_is_tried_again_as_its_error_says() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker =
        office.worker("w", &["--queues", "reports", "--concurrency", "8", "--retry-seconds", "0.4"]);

    let twice = office
        .diagnostic(&["steps=2", "step_seconds=0", "fail=retry", "fail_attempts=2", "fail_at_step=1"], &[]);
    let never = office.diagnostic(&["fail=give_up", "fail_at_step=0", "steps=1"], &[]);
    let panics = office.diagnostic(&["fail=panic", "steps=0"], &["--max-attempts", "2"]);
    let slow = office.diagnostic(&["steps=1", "step_seconds=60"], &["--timeout", "1", "--max-attempts", "2"]);
    let late = (boot::now() + chrono::Duration::seconds(2)).to_rfc3339();
    let missed = office.diagnostic(&["steps=0"], &["--queue", "nobody", "--deadline", &late]);
    let stuck = office.diagnostic(
        &["steps=5", "step_seconds=0", "fail=retry", "fail_attempts=1", "fail_at_step=3"],
        &["--max-attempts", "1"],
    );

    eventually("all have ended", || hub.count("select count(*) from jobs where finished_at is null") == 0);
    assert_eq!(office.state(&twice), "completed");
    let states = hub.psql(&format!(
        "select string_agg(status ->> 'state', ' ' order by version) from job_events where job_id = '{twice}'"
    ));
    assert_eq!(states.trim(), "queued in_progress retrying in_progress retrying in_progress completed");
    let pauses = hub.psql(&format!(
        "select string_agg((pause between low and 3 * low + 1.5)::text, ' ' order by n) from (
            select row_number() over (order by version) as n, extract(epoch from lead(at) over (order by version) - at) as pause, status ->> 'state' as state
            from job_events where job_id = '{twice}') e join (values (3, 0.2), (5, 0.4)) v (n, low) using (n)"
    ));
    assert_eq!(pauses.trim(), "true true", "the second pause is twice the first, give or take half");
    assert_eq!(error_of(&office.show(&never)), ("GiveUp", 1));
    assert_eq!(error_of(&office.show(&panics)), ("Panic", 2));
    assert_eq!(error_of(&office.show(&slow)), ("Timeout", 2));
    assert_eq!(error_of(&office.show(&missed)), ("DeadlineExceeded", 0));
    assert_eq!(error_of(&office.show(&stuck)), ("Retry", 1));

    // A dead job is replayed from its checkpoint.
    assert!(office.command(&["jobs", "retry", &stuck]).status().unwrap().success());
    eventually("it is completed", || office.state(&stuck) == "completed");
    assert_eq!(office.show(&stuck)["result"]["resumed_at"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_hands_its_job_back_and_keys_name_jobs() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let run_dir = hub.dir.path().join("run");
    let native = |arguments: &[&str]| {
        let out = hub
            .command(&[&["worker"], arguments].concat())
            .env("COWRIESTREAM_RUN_DIR", &run_dir)
            .output()
            .unwrap();
        (
            out.status.success(),
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)),
        )
    };
    let running = || {
        serde_json::from_str::<Value>(&native(&["status", "--json"]).1).unwrap()["workers"][0]["running"]
            .clone()
    };

    let options =
        ["start", "--name", "leaves", "--queues", "reports", "--concurrency", "1", "--drain-seconds", "1"];
    let (started, said) = native(&options);
    assert!(started, "{said}");
    assert_eq!(running(), true);
    assert!(!native(&options).0, "the same name twice");
    let job = office
        .diagnostic(&["steps=40", "step_seconds=0.25"], &["--unique-key", "one", "--idempotency-key", "a"]);
    eventually("it runs", || office.show(&job)["status"]["progress_percent"].as_f64() > Some(2.5));

    // While it runs it is the one job of its unique key; its idempotency key is its own for ever.
    assert_eq!(office.diagnostic(&["steps=1"], &["--unique-key", "one"]), job);
    assert_eq!(
        office.diagnostic(
            &["steps=40", "step_seconds=0.25"],
            &["--unique-key", "one", "--idempotency-key", "a"]
        ),
        job
    );
    let other = office.try_submit(&["diagnostic", "--idempotency-key", "a"]).unwrap_err();
    assert!(other.contains("was used by another request"), "{other}");

    let (stopped, said) = native(&["stop"]);
    assert!(stopped, "{said}");
    assert_eq!(running(), false);
    assert!(!native(&["stop"]).0, "nothing runs");
    let left = office.show(&job);
    // The number of the attempt is used up, as it guards writes, but it does not count.
    assert_eq!(
        (left["status"]["state"].as_str(), left["max_attempts"].as_i64()),
        (Some("queued"), Some(3)),
        "{left}"
    );
    assert_eq!(hub.count(&format!("select uncounted_attempts from jobs where job_id = '{job}'")), 1);
    let _next = office.worker("next", &["--queues", "reports"]);
    eventually("it is completed", || office.state(&job) == "completed");
    let done = office.show(&job);
    assert!(done["result"]["resumed_at"].as_i64() > Some(0), "{done}");
    assert_eq!(hub.count("select count(*) from diagnostic_steps"), 40);
    assert_ne!(office.diagnostic(&["steps=0"], &["--unique-key", "one"]), job);

    // One that cannot start says why.
    let (started, said) = native(&["start", "--name", "lost", "--nats-url", "nats://127.0.0.1:1"]);
    assert!(!started && said.contains("ended at once") && said.contains("127.0.0.1:1"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_jobs_start_first_and_the_others_start_in_the_end() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    // A crowd, as submissions leave it.
    let crowd = |priority: usize, count: usize, queue: &str, seconds: f64| {
        hub.psql(&format!(
            "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash)
            select gen_random_uuid(), 'diagnostic', '{queue}', jsonb_build_object('steps', 1, 'step_seconds', {seconds}, 'memory_mb', 0, 'fail', 'never',
                'fail_at_step', 0, 'fail_attempts', 0), {priority}, 3600, 3, '' from generate_series(1, {count})"
        ));
    };
    crowd(1, CROWD, "reports", 0.15);
    let worker = office.worker("w", &["--queues", "reports", "--concurrency", "1"]);
    eventually("the crowd is being worked on", || {
        hub.count("select count(*) from jobs where state = 'completed'") > 3
    });
    let urgent: Vec<_> = (0..5).map(|_| office.diagnostic(&["steps=0"], &["--priority", "10"])).collect();
    eventually("the urgent ones are done", || urgent.iter().all(|job| office.state(job) == "completed"));
    let waited =
        hub.psql("select max(extract(epoch from started_at - created_at)) from jobs where priority = 10");
    println!("the last of {} urgent jobs started after {} s", urgent.len(), waited.trim());
    assert!(waited.trim().parse::<f64>().unwrap() <= 1.0);
    assert!(hub.count("select count(*) from jobs where state = 'queued'") > CROWD as i64 / 2);
    worker.kill();

    // Behind an endless urgent flow.
    hub.psql("delete from jobs where state <> 'in_progress'");
    crowd(9, 3_000, "flow", 0.02);
    let patient = office.diagnostic(&["steps=0"], &["--queue", "flow", "--priority", "1"]);
    let _worker = office.worker("w2", &["--queues", "flow", "--concurrency", "1"]);
    eventually("the flow flows", || hub.count("select count(*) from jobs where state = 'completed'") > 30);
    assert_eq!(office.state(&patient), "queued");
    hub.psql(&format!("update jobs set created_at = created_at - interval '61 s', next_attempt_at = next_attempt_at - interval '61 s' where job_id = '{patient}'"));
    let completed = "select count(*) from jobs where state = 'completed'";
    let before = hub.count(completed);
    eventually("the patient one is done", || office.state(&patient) == "completed");
    println!("a job that has waited 61 s started after at most {} others", hub.count(completed) - before);
    assert!(hub.count("select count(*) from jobs where state = 'queued' and priority = 9") > 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_becomes_a_job_or_an_error_whatever_is_killed() {
    let hub = Hub::start().await;
    let (mut coordinator, mut office) = Office::open(&hub, "coordinator.err", &[]);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..KILLED_SUBMISSIONS {
        let key = format!("key-{round}");
        let arguments =
            ["jobs", "submit", "--json", "diagnostic", "--param", "steps=0", "--idempotency-key", &key];
        let client =
            office.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis((round as u64 * 37) % 160));
        coordinator.kill();
        let out = client.wait_with_output().unwrap();
        (coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
        let of_key = format!("select count(*) from jobs where idempotency_key = '{key}'");
        if out.status.success() {
            answered += 1;
            assert_eq!(hub.count(&of_key), 1, "answered, so it is there");
        } else {
            refused += 1;
        }
        // Asked again, it is there once.
        office.diagnostic(&["steps=0"], &["--idempotency-key", &key]);
        assert_eq!(hub.count(&of_key), 1);
    }
    println!(
        "{KILLED_SUBMISSIONS} submissions with the coordinator killed: {answered} answered, {refused} not"
    );
    assert!(answered > 0 && refused > 0);

    // The broker frozen: accepted, the coordinator killed, the broker thawed: it runs.
    let nats = process_of(&hub.dir.path().join("n/nats").display().to_string());
    kill_process(nats, Signal::STOP).unwrap();
    let frozen = office.try_submit(&["diagnostic", "--param", "steps=0", "--idempotency-key", "frozen"]);
    let there = hub.count("select count(*) from jobs where idempotency_key = 'frozen'");
    assert_eq!(there, i64::from(frozen.is_ok()), "{frozen:?}");
    coordinator.kill();
    kill_process(nats, Signal::CONT).unwrap();
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker = office.worker("w", &["--queues", "reports"]);
    eventually("all run", || hub.count("select count(*) from jobs where state <> 'completed'") == 0);
    assert_eq!(hub.count("select count(*) from job_results"), hub.count("select count(*) from jobs"));
}

/// The process whose command line names a path.
pub fn process_of(path: &str) -> Pid {
    let named = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.contains(path) && line.contains("nats"))
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    Pid::from_raw(pids.filter(|&pid| named(pid)).min().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_once_whichever_coordinator_is_killed() {
    let hub = Hub::start().await;
    let (first, office) = Office::open(&hub, "coordinator-1.err", &[]);
    eventually("the first leads", || {
        hub.count("select count(*) from leases where name = 'coordinator'") == 1
    });
    let (_second, other) = Office::open(&hub, "coordinator-2.err", &[]);
    let (third, _) = Office::open(&hub, "coordinator-3.err", &[]);
    let put = |office: &Office, name: &str, cron: &str, more: &[&str]| {
        let arguments =
            [&["schedules", "put", name, cron, "diagnostic", "--param", "steps=0"], more].concat();
        let out = office.command(&arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    put(&office, "each-second", "* * * * * *", &[]);
    let fired = "select count(*) from jobs where schedule = 'each-second'";
    eventually("it fires", || hub.count(fired) >= 3);
    first.kill();
    let killed = Instant::now();
    let then = hub.count(fired);
    eventually("another one fires it", || hub.count(fired) > then + 1);
    println!("the leader killed: the next firing after {:.1} s", killed.elapsed().as_secs_f64());
    assert!(killed.elapsed() <= Duration::from_secs(5));
    drop(third);
    eventually("it goes on", || hub.count(fired) > then + 10);
    // Every second between the first and the last has its job, once.
    let seconds = hub.psql(
        "select max(s) - min(s) + 1 = count(*), count(*) = count(distinct s) from
            (select split_part(idempotency_key, ':', 3)::bigint as s from jobs where schedule = 'each-second') f",
    );
    assert_eq!(
        seconds.trim(),
        "t|t",
        "{}",
        hub.psql("select string_agg(split_part(idempotency_key, ':', 3) || '@' || created_at::time, ' ' order by created_at) from jobs")
    );

    // Nobody was there for two hours: skipped, or made good.
    assert!(other.command(&["schedules", "delete", "each-second"]).status().unwrap().success());
    put(&other, "skips", "0 0 * * * *", &[]);
    put(&other, "catches-up", "0 */10 * * * *", &["--catch-up"]);
    hub.psql("update schedules set next_at = date_trunc('hour', now()) - interval '2 hours'");
    let of = |name: &str| hub.count(&format!("select count(*) from jobs where schedule = '{name}'"));
    eventually("nothing is due", || hub.count("select count(*) from schedules where next_at <= now()") == 0);
    let past_hour = hub.count("select extract(epoch from now() - date_trunc('hour', now()))::bigint");
    assert!((12..=19).contains(&of("catches-up")), "{}", of("catches-up"));
    assert!(of("skips") == 0 || past_hour < 90, "{}", of("skips"));
    let out = Command::new("curl")
        .args(["-sf", "-H", &format!("X-API-Key: {KEY}"), &format!("{}/api/v1/schedules", other.rest)])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("catches-up"));
}
