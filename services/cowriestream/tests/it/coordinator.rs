//! The coordinator as a process: slow clients, servers that go away, a Redis that is not as it was left, and
//! the command line. Its tests alone are in `services/coordinator/tests/it`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use servers::testing::Backend;

use crate::{
    harness::{Hub, KEY, PROGRAM, Process, eventually},
    office::Office,
    queue::process_of,
};

/// Half-open connections, more than the coordinator may have open files.
const SLOW_CLIENTS: usize = 150;

struct Answer {
    status: u16,
    body: Value,
}

/// A request; its body is JSON. Status 0: no answer.
fn http(address: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
    let (address, body) = (address.trim_start_matches("http://"), body.unwrap_or_default());
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nHost: {address}\r\nX-API-Key: {KEY}\r\n");
    if !body.is_empty() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    let mut text = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let sent = stream.write_all(format!("{head}\r\n{body}").as_bytes());
        let _ = sent.and_then(|()| stream.read_to_end(&mut text));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, body: serde_json::from_str(body).unwrap_or_default() }
}

fn fields(answer: &Answer) -> Vec<&str> {
    answer.body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["field"].as_str())
        .collect()
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_has_an_address_and_looks_the_same_over_rest_and_on_the_command_line() {
    let hub = Hub::start().await;
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let call = |method: &str, path: &str, body: Option<&Value>| {
        http(&office.rest, method, path, body.map(Value::to_string).as_deref())
    };
    let get = |path: &str| call("GET", path, None);
    let print = |arguments: &[&str]| -> Value {
        let out = office.command(&[arguments, &["--json"]].concat()).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {out:?}"))
    };
    let _worker = office.worker("w", &["--queues", "reports"]);
    eventually("the worker is known", || get("/api/v1/workers/w").status == 200);

    // A schedule: GET, then PUT of the answer.
    let schedule = json!({"cron": "0 6 * * 1", "job": {"job_type": "report", "parameters": {"top": 5}}});
    for name in ["c", "a", "b"] {
        assert_eq!(call("PUT", &format!("/api/v1/schedules/{name}"), Some(&schedule)).status, 200);
    }
    let mut stored = get("/api/v1/schedules/a").body;
    stored["catch_up"] = true.into();
    assert_eq!(call("PUT", "/api/v1/schedules/a", Some(&stored)).body, stored);
    assert_eq!(fields(&call("PUT", "/api/v1/schedules/b", Some(&stored))), ["name"]);

    // Pages.
    let first = get("/api/v1/schedules?page_size=2").body;
    let token = first["next_page_token"].as_str().unwrap();
    let second = get(&format!("/api/v1/schedules?page_size=2&page_token={token}")).body;
    let names = |list: &Value| -> Vec<String> {
        let all = list["schedules"].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&first), names(&second)), (vec!["a".into(), "b".into()], vec!["c".into()]));
    assert!(second["next_page_token"].is_null());

    // The same on the command line.
    let job = office.diagnostic(&["step_seconds=2", "steps=0"], &["--queue", "nobody", "--unique-key", "u"]);
    for (arguments, path) in [
        (vec!["schedules"], "/api/v1/schedules".to_owned()),
        (vec!["queues"], "/api/v1/queues".to_owned()),
        (vec!["jobs", "list"], "/api/v1/jobs".to_owned()),
        (vec!["jobs", "show", &job], format!("/api/v1/jobs/{job}")),
        (vec!["jobs", "list", "--unique-key", "u"], "/api/v1/jobs?unique_key=u".to_owned()),
        (vec!["jobs", "types"], "/api/v1/job-types".to_owned()),
        (vec!["jobs", "types", "report"], "/api/v1/job-types/report".to_owned()),
    ] {
        assert_eq!(print(&arguments), get(&path).body, "{path}");
    }
    for command in ["pause", "resume"] {
        let answer = call("POST", &format!("/api/v1/queues/nobody/{command}"), None).body;
        assert_eq!(print(&["queues", command, "nobody"]), answer);
    }
    let cancelled = print(&["jobs", "cancel", &job]);
    assert_eq!(cancelled, get(&format!("/api/v1/jobs/{job}")).body["status"]);
    let retried = print(&["jobs", "retry", &job]);
    assert_eq!(retried, get(&format!("/api/v1/jobs/{job}")).body["status"]);
    let workers = |mut list: Value| {
        list["workers"][0]["heartbeat_at"].take();
        list
    };
    assert_eq!(workers(print(&["workers"])), workers(get("/api/v1/workers").body));

    // What is not there.
    assert_eq!(get("/api/v1/queues/nobody").body["waiting"], 1);
    assert_eq!(get("/api/v1/queues/reports").body["paused"], false);
    for (method, path) in [
        ("GET", "/api/v1/schedules/none"),
        ("GET", "/api/v1/workers/none"),
        ("GET", "/api/v1/queues/none"),
        ("POST", "/api/v1/queues/none/pause"),
        ("POST", "/api/v1/queues/none/resume"),
        ("DELETE", "/api/v1/schedules/none"),
        ("DELETE", "/api/v1/workers/none"),
        ("POST", "/api/v1/jobs/00000000-0000-0000-0000-000000000000/cancel"),
        ("GET", "/nothing"),
    ] {
        let answer = call(method, path, None);
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not_found")), "{method} {path}");
    }
    assert_eq!(hub.count("select count(*) from paused_queues"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_half_a_request_are_closed_and_others_are_served() {
    let hub = Hub::start().await;
    let (rest, grpc, health) = (free_port(), free_port(), free_port());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128; exec \"$0\" coordinator", PROGRAM]);
    command
        .env("NATS_URL", &hub.nats_url)
        .env("DATABASE_URL", &hub.database_url)
        .env("COWRIESTREAM_LOG", "info");
    for (name, port) in [
        ("COWRIESTREAM_COORDINATOR_LISTEN", rest),
        ("COWRIESTREAM_GRPC_LISTEN", grpc),
        ("COWRIESTREAM_HEALTH_LISTEN", health),
    ] {
        command.env(name, format!("127.0.0.1:{port}"));
    }
    let log = hub.dir.path().join("coordinator.err");
    let coordinator = Process::start(&mut command, &log);
    eventually("the coordinator is ready", || {
        fs::read_to_string(&log).unwrap_or_default().contains("coordinator ready")
    });

    let half = |port: u16, text: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let header =
        format!("POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{rest}\r\nContent-Type: application/json\r\n");
    let body = format!("{header}Content-Length: 100\r\n\r\n{{");
    let mut slow: Vec<_> = (0..SLOW_CLIENTS).map(|n| half(rest, [&header, &body, ""][n % 3])).collect();
    slow.extend(
        (0..SLOW_CLIENTS)
            .map(|n| half(grpc, ["", "PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"][n % 3])),
    );
    slow.extend((0..20).map(|n| half(health, ["", "GET /readyz"][n % 2])));
    let since = Instant::now();
    let before = coordinator.cpu_ticks();
    let (rest, health) = (format!("http://127.0.0.1:{rest}"), format!("http://127.0.0.1:{health}"));
    eventually("REST answers", || http(&rest, "GET", "/api/v1/queues", None).status == 200);
    eventually("health answers", || http(&health, "GET", "/healthz", None).status == 200);
    let submitted = hub
        .command(&["jobs", "submit", "diagnostic", "--queue", "nobody"])
        .env("COWRIESTREAM_GRPC_URL", format!("http://127.0.0.1:{grpc}"))
        .status();
    assert!(submitted.unwrap().success());
    println!(
        "{} slow clients: all is served after {:.1} s, {} ms of CPU",
        slow.len(),
        since.elapsed().as_secs_f64(),
        (coordinator.cpu_ticks() - before) * 10
    );
    assert!((coordinator.cpu_ticks() - before) * 10 < since.elapsed().as_millis() as u64 / 3, "it spins");
    // Closed by the coordinator, not by us.
    eventually("the slow ones are closed", || {
        slow.retain(|stream| {
            stream.set_nonblocking(true).unwrap();
            let mut answer = [0; 4096];
            let mut stream = stream;
            !matches!(stream.read(&mut answer), Ok(0))
                && !stream
                    .read(&mut answer)
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        });
        slow.is_empty()
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_reported_within_seconds() {
    let mut hub = Hub::start().await;
    let ports: [u16; 3] = std::array::from_fn(|_| free_port());
    let health = ports.map(|port| format!("127.0.0.1:{port}"));
    let (coordinator, office) =
        Office::open(&hub, "coordinator.err", &[("COWRIESTREAM_HEALTH_LISTEN", &health[0])]);
    let start = |role: &str, address: &str| {
        Process::start(
            hub.command(&[role]).env("COWRIESTREAM_HEALTH_LISTEN", address),
            &hub.dir.path().join(format!("{role}.err")),
        )
    };
    let _roles = (coordinator, start("worker", &health[1]), start("processor", &health[2]));
    let (rest, grpc) = (office.rest.clone(), office.grpc.clone());
    let status = |address: &str| http(address, "GET", "/readyz", None).status;
    let all = |wanted: u16| health.iter().all(|address| status(address) == wanted);
    eventually("all are ready", || all(200));
    let job = office.diagnostic(&["steps=0"], &["--queue", "nobody"]);
    let mut watch = office
        .command(&["jobs", "watch", &job])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let nats = process_of(&hub.dir.path().join("n/nats").display().to_string());
    rustix::process::kill_process(nats, Signal::STOP).unwrap();
    let frozen = Instant::now();
    eventually("nobody is ready without NATS", || all(503));
    println!("NATS frozen: not ready after {:.1} s", frozen.elapsed().as_secs_f64());
    assert!(frozen.elapsed() < Duration::from_secs(6));
    rustix::process::kill_process(nats, Signal::CONT).unwrap();
    eventually("all are ready again", || all(200));

    hub.rob_postgres(|_| {
        let stopped = Instant::now();
        eventually("nobody is ready without Postgres", || all(503));
        assert!(stopped.elapsed() < Duration::from_secs(6));
        let body = r#"{"job_type":"diagnostic","queue":"nobody"}"#;
        let longest = thread::scope(|scope| {
            let calls: Vec<_> = (0..24)
                .map(|n| {
                    let rest = &rest;
                    scope.spawn(move || {
                        let since = Instant::now();
                        if n % 4 == 0 {
                            // A caller that gives up.
                            let mut stream = TcpStream::connect(rest.trim_start_matches("http://")).unwrap();
                            let head = format!("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n");
                            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
                        } else {
                            assert_eq!(http(rest, "POST", "/api/v1/jobs", Some(body)).status, 503);
                        }
                        since.elapsed()
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).max().unwrap()
        });
        println!("Postgres away: the last of 24 callers was answered after {:.1} s", longest.as_secs_f64());
        assert!(longest < Duration::from_secs(10));
    })
    .await;
    eventually("all are ready again", || all(200));
    let made = |hub: &Hub| hub.count("select count(*) from jobs");
    let after = |hub: &Hub| {
        hub.command(&["jobs", "submit", "diagnostic", "--queue", "nobody"])
            .env("COWRIESTREAM_GRPC_URL", &grpc)
            .status()
            .unwrap()
            .success()
    };
    assert!(after(&hub));
    assert_eq!(made(&hub), 2, "what was answered with 503, or by nobody, is not made later");

    // The break was bridged: what was followed is followed to its end.
    assert!(watch.try_wait().unwrap().is_none());
    assert_eq!(http(&rest, "POST", &format!("/api/v1/jobs/{job}/cancel"), None).status, 200);
    assert_eq!(watch.wait().unwrap().code(), Some(1));

    // A database that is not there is named, with the reason.
    let port = free_port();
    let refused = hub
        .command(&["status"])
        .env("DATABASE_URL", format!("postgres://nobody@127.0.0.1:{port}/x"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_recovers_from_every_fault_of_redis() {
    let hub = Hub::start().await;
    let mut redis = Backend::redis(&hub.dir.path().join("r")).await;
    let url = redis.url();
    // Large results of a day, as an analysis may leave them.
    hub.psql(
        "with made as (insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash, state, finished_at)
            select gen_random_uuid(), 'report', 'old', '{}', 5, 60, 3, '', 'queued', null from generate_series(1, 60) returning job_id),
        text as (select jsonb_build_object('text', string_agg(md5(n::text), '')) as long from generate_series(1, 12000) n)
        insert into job_results (job_id, attempt, result) select job_id, 1, long from made, text;
        update jobs set state = 'completed', finished_at = now() where queue = 'old'",
    );
    let (coordinator, office) = Office::open(&hub, "coordinator.err", &[("REDIS_URL", &url)]);
    let cli = |arguments: &[&str]| {
        let out = Command::new("redis-cli")
            .args(["-u", &url, "--no-auth-warning"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    let number = |section: &str, name: &str| {
        let text = cli(&["info", section]);
        text.lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:"))?.trim().parse::<u64>().ok())
            .unwrap()
    };
    let whole = || cli(&["exists", "cowrie:mirror"]) == "1";
    eventually("the mirror is whole", whole);
    let old = hub.psql("select job_id from jobs where queue = 'old' limit 1").trim().to_owned();
    assert!(cli(&["get", &format!("celery-task-meta-{old}")]).len() > 300_000);

    // Idle is idle: nothing is read of what was written long ago.
    let looks = || {
        hub.count("select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'job_events'")
    };
    let read = || {
        hub.count("select coalesce(toast_blks_read + toast_blks_hit, 0) from pg_statio_user_tables where relname = 'job_results'")
    };
    let (looked, ticks, since) = (looks(), coordinator.cpu_ticks(), Instant::now());
    eventually("it looked for late states", || looks() > looked + 3);
    let before = read();
    let looked = looks();
    eventually("it looked again", || looks() > looked + 6);
    assert_eq!(read(), before, "results were read again");
    println!(
        "idle beside 60 large results: {} ms of CPU in {:.1} s",
        (coordinator.cpu_ticks() - ticks) * 10,
        since.elapsed().as_secs_f64()
    );

    // Keys of another type, of a job and of its queue.
    let job = office.diagnostic(&["steps=0"], &["--queue", "some"]);
    let state = |job: &str| cli(&["hget", &format!("cowrie:status:{job}"), "state"]);
    eventually("it is mirrored", || state(&job) == "queued");
    cli(&["del", &format!("cowrie:status:{job}"), "cowrie:jobs:some"]);
    cli(&["set", &format!("cowrie:status:{job}"), "x"]);
    cli(&["set", "cowrie:jobs:some", "x"]);
    assert!(office.command(&["jobs", "cancel", &job]).status().unwrap().success());
    let newer = office.diagnostic(&["steps=0"], &["--queue", "some"]);
    eventually("newer jobs are mirrored, and that one too", || {
        state(&newer) == "queued" && state(&job) == "cancelled"
    });
    eventually("the queue is whole again", || !cli(&["zscore", "cowrie:jobs:some", &newer]).is_empty());
    assert!(fs::read_to_string(hub.dir.path().join("coordinator.err")).unwrap().contains("had another type"));

    // Full: nothing is written over the limit, and nobody tries all the time.
    cli(&["config", "set", "maxmemory", &(number("memory", "used_memory") + 100_000).to_string()]);
    cli(&["del", "cowrie:mirror"]);
    let waiting = hub.count("select count(*) from jobs");
    for _ in 0..8 {
        office.diagnostic(&["steps=0"], &["--queue", "some"]);
    }
    hub.psql("update jobs set state = 'queued', finished_at = null where queue = 'old'; update jobs set state = 'completed', finished_at = now() where queue = 'old'");
    assert_eq!(hub.count("select count(*) from jobs"), waiting + 8, "jobs go on");
    eventually("it is said", || {
        fs::read_to_string(hub.dir.path().join("coordinator.err")).unwrap().contains("Redis refused statuses")
    });
    let (commands, since) = (number("stats", "total_commands_processed"), Instant::now());
    let looked = looks();
    eventually("it looked again", || looks() > looked + 16);
    let commands = number("stats", "total_commands_processed") - commands;
    // The pause between two rebuilds doubles from one second on; a rebuild costs at most a dozen commands a
    // job.
    let rebuilds = 2.0 + (1.0 + since.elapsed().as_secs_f64()).log2();
    let allowed = rebuilds * 12.0 * (waiting + 8) as f64;
    println!("Redis full: {commands} commands in {:?}, {allowed:.0} allowed", since.elapsed());
    assert!((commands as f64) < allowed);
    // Buffers of clients count as used for a moment.
    eventually("no more is used than may be", || {
        number("memory", "used_memory") < number("memory", "maxmemory") + 1_000_000
    });
    cli(&["config", "set", "maxmemory", "0"]);
    let last = office.diagnostic(&["steps=0"], &["--queue", "some"]);
    eventually("it is mirrored", || state(&last) == "queued");
    eventually("the mirror is whole again", whole);
    redis.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_tell_a_failed_job_from_a_coordinator_that_is_away() {
    let hub = Hub::start().await;
    let grpc = format!("127.0.0.1:{}", free_port());
    let settings = [("COWRIESTREAM_GRPC_LISTEN", grpc.as_str())];
    let (mut coordinator, office) = Office::open(&hub, "coordinator.err", &settings);
    let job = office.diagnostic(&["steps=0"], &["--queue", "nobody"]);
    let follow = |name: &str, arguments: &[&str]| {
        let out = hub.dir.path().join(name);
        (
            Process::start_writing(
                &mut office.command(arguments),
                &out,
                &hub.dir.path().join(format!("{name}.err")),
            ),
            out,
        )
    };
    let (mut watch, statuses) = follow("watch", &["jobs", "watch", "--json", &job]);
    let (mut waits, _) = follow("waits", &["jobs", "submit", "diagnostic", "--queue", "nobody", "--wait"]);
    let (mut interrupted, shown) = follow("interrupted", &["jobs", "watch", "--json", &job]);
    let lines = |path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let waiting =
        || fs::read_to_string(hub.dir.path().join("waits.err")).unwrap_or_default().contains("queued");
    eventually("all are watched", || lines(&statuses) == 1 && lines(&shown) == 1 && waiting());

    // The first Ctrl-C ends it.
    let asked = Instant::now();
    interrupted.signal(Signal::INT);
    assert_eq!(interrupted.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(3));

    // A coordinator that is watched stops at once, and its watchers find the next one.
    let asked = Instant::now();
    coordinator.signal(Signal::TERM);
    assert!(coordinator.end());
    println!("a watched coordinator stopped after {:.1} s", asked.elapsed().as_secs_f64());
    assert!(asked.elapsed() < Duration::from_secs(5));
    let away = office.command(&["jobs", "list"]).output().unwrap();
    assert_eq!(away.status.code(), Some(3), "{}", String::from_utf8_lossy(&away.stderr));
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &settings);
    for job in hub.psql("select job_id from jobs").split_whitespace() {
        assert!(office.command(&["jobs", "cancel", job]).status().unwrap().success());
    }
    assert_eq!((watch.code(), waits.code()), (Some(1), Some(1)));
    let states: Vec<Value> = fs::read_to_string(&statuses)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        states.iter().map(|status| status["state"].as_str().unwrap()).collect::<Vec<_>>(),
        ["queued", "cancelled"]
    );
}
