//! The results equal those of scikit-learn and scipy for the same vectors.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use analysis::{
    dbscan::{Clustering, Dense, Settings, Sparse},
    forest::{self, Forest},
    statistics as ours, tfidf,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Random, unwatched};

/// Asks scikit-learn. Without it the test fails, because nothing would be compared.
fn ask<T: DeserializeOwned>(what: &str, tasks: &[Value]) -> Vec<T> {
    let python = std::env::var("COWRIESTREAM_TEST_PYTHON").unwrap_or_else(|_| {
        format!("{}/.local/share/cowriestream/tools/bin/python", std::env::var("HOME").unwrap_or_default())
    });
    let advice = format!(
        "needs a Python with scikit-learn and scipy: run tools/install --tests, or set COWRIESTREAM_TEST_PYTHON (tried {python})"
    );
    let mut child = Command::new(&python)
        .args(["-W", "ignore", "-c", include_str!("parity.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: {advice}"));
    let mut input = child.stdin.take().unwrap();
    // Python reads everything before it answers, so this cannot block for ever. If Python ends early, its
    // output says why.
    let _ = input.write_all(json!({ "what": what, "tasks": tasks }).to_string().as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{advice}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[derive(Deserialize)]
struct Theirs {
    labels: Vec<i32>,
    core: Vec<usize>,
    ari: f64,
}

fn same_clusters(tasks: &[Value], found: &[Clustering]) {
    for ((theirs, ours), task) in ask::<Theirs>("dbscan", tasks).iter().zip(found).zip(tasks) {
        let of = format!("eps {}, min_samples {}", task["eps"], task["min_samples"]);
        assert_eq!(theirs.ari, 1.0, "{of}");
        assert_eq!(ours.labels, theirs.labels, "{of}");
        let core: Vec<usize> = (0..ours.core.len()).filter(|&row| ours.core[row]).collect();
        assert_eq!(core, theirs.core, "{of}");
    }
    assert!(
        found.iter().filter(|found| found.clusters > 3 && found.labels.contains(&-1)).count() * 3
            > found.len(),
        "most cases are trivial"
    );
}

#[test]
fn dense_clusters_equal_those_of_scikit_learn() {
    let (mut tasks, mut found) = (Vec::new(), Vec::new());
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let columns = [3, 8, 45][seed as usize % 3];
        let values = random.levels(600, columns);
        let weights: Vec<f64> = (0..600).map(|_| random.below(4) as f64).collect();
        // Values are multiples of 1/8. Therefore the distance of many pairs is exactly 1/8, 1/4 or √2/8.
        for (eps, min_samples) in [(0.125, 5), (2.0_f64.sqrt() / 8.0, 8), (0.25, 5), (0.7, 12), (1.0, 30)] {
            let settings = Settings { eps, min_samples: f64::from(min_samples) };
            found.push(unwatched(|watch| Dense::new(&values).cluster(&weights, settings, watch)));
            let (rows, labels): (Vec<Vec<f32>>, _) =
                (values.rows().into_iter().map(|row| row.to_vec()).collect(), &found.last().unwrap().labels);
            tasks.push(json!({ "metric": "euclidean", "rows": rows, "weights": weights, "eps": eps, "min_samples": min_samples, "labels": labels }));
        }
    }
    same_clusters(&tasks, &found);
}

#[test]
fn sparse_clusters_equal_those_of_scikit_learn() {
    let (mut tasks, mut found) = (Vec::new(), Vec::new());
    let mut add = |rows: &[tfidf::Row], weights: &[f64], eps: f64, min_samples: u32| {
        found.push(unwatched(|watch| {
            Sparse::new(rows).cluster(weights, Settings { eps, min_samples: f64::from(min_samples) }, watch)
        }));
        let labels = &found.last().unwrap().labels;
        tasks.push(json!({
            "metric": "cosine", "rows": rows, "features": 1 << 20, "weights": weights, "eps": eps, "min_samples": min_samples, "labels": labels
        }));
    };
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let texts = random.texts(600, 20 + 40 * seed as usize);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        // Few and many features take different code paths.
        let settings =
            tfidf::Settings { max_features: (seed % 2 == 0).then_some(128), ..tfidf::Settings::default() };
        let (_, rows) = unwatched(|watch| tfidf::fit(&texts, &[1.0; 600], settings, watch));
        // For a text without words, scikit-learn's result depends on the number of rows.
        let rows: Vec<tfidf::Row> = rows.into_iter().filter(|row| !row.is_empty()).collect();
        let weights: Vec<f64> = rows.iter().map(|_| random.below(4) as f64).collect();
        for (eps, min_samples) in [(0.05, 3), (0.3, 5), (0.5, 8), (0.8, 40)] {
            add(&rows, &weights, eps, min_samples);
        }
        // Sets of few features have products like 1/2 and 1/3, so distances of exactly eps occur.
        let sets: Vec<tfidf::Row> = (0..400).map(|_| random.set(14)).collect();
        let weights: Vec<f64> = sets.iter().map(|_| random.below(3) as f64).collect();
        for (eps, min_samples) in [(0.25, 4), (0.5, 30), (1.0 / 3.0, 9), (1.0 - 0.5_f64.sqrt(), 5)] {
            add(&sets, &weights, eps, min_samples);
        }
    }
    same_clusters(&tasks, &found);
}

#[test]
fn tfidf_equals_that_of_scikit_learn() {
    #[derive(Deserialize)]
    struct Theirs {
        kept: Vec<String>,
        frequencies_ours: Vec<u64>,
        frequencies_theirs: Vec<u64>,
        idf: Vec<f64>,
        rows: Vec<Vec<f64>>,
    }
    let strange = [
        "",
        "--",
        "İstanbul ΣΑΣ ß",
        "a\u{301}b ⓐ x² ½ Ⅷ ٣ 漢字 ʰ",
        "cat /proc/cpuinfo|grep name",
        "A_1 a_1 _ __",
        "\u{0}a\u{0}b",
        "été été ÉTÉ",
        "ⅷ 𝔸 🦀 ‿ ﬁ",
    ];
    let (mut tasks, mut found) = (Vec::new(), Vec::new());
    for seed in 0..6 {
        let mut texts = Random::new(seed).texts(300, 50);
        texts.extend(strange.map(str::to_owned));
        let unique: Vec<&str> = texts.iter().map(String::as_str).collect();
        for (lowercase, max_features) in [(false, Some(128)), (true, Some(128)), (false, None)] {
            let settings = tfidf::Settings { lowercase, max_features, ..tfidf::Settings::default() };
            let (model, rows) =
                unwatched(|watch| tfidf::fit(&unique, &vec![1.0; unique.len()], settings, watch));
            tasks.push(json!({ "texts": texts, "lowercase": lowercase, "max_features": max_features, "vocabulary": model.vocabulary }));
            found.push((model, rows, max_features));
        }
    }
    for (theirs, (model, rows, max_features)) in ask::<Theirs>("tfidf", &tasks).iter().zip(&found) {
        if max_features.is_none() {
            assert_eq!(model.vocabulary, theirs.kept);
        }
        assert_eq!(theirs.frequencies_ours, theirs.frequencies_theirs);
        let off =
            model.idf.iter().zip(&theirs.idf).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        assert!(off <= 1e-6, "idf is off by {off}");
        for (row, theirs) in rows.iter().zip(&theirs.rows) {
            let mut dense = vec![0.0; theirs.len()];
            row.iter().for_each(|&(feature, value)| dense[feature as usize] = value);
            let off =
                dense.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
            assert!(off <= 1e-6, "a row is off by {off}");
        }
    }
}

#[test]
fn the_forest_detects_outliers_as_well_as_that_of_scikit_learn() {
    #[derive(Deserialize)]
    struct Theirs {
        theirs: Vec<f64>,
        ours: Vec<f64>,
    }
    const SEEDS: u64 = 12;
    let tasks: Vec<Value> = (0..3).map(|seed| planted(&mut Random::new(seed), SEEDS)).collect();
    for answer in ask::<Theirs>("forest", &tasks) {
        // A forest is random, so we compare means over seeds. Each mean has an error of about a third of the
        // limit.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (ours, theirs) = (mean(&answer.ours), mean(&answer.theirs));
        assert!(
            (ours - theirs).abs() <= 0.005,
            "AUROC {ours} is not {theirs}: {:?} and {:?}",
            answer.ours,
            answer.theirs
        );
        assert!((0.7..0.999).contains(&theirs), "too easy or too hard to compare: {theirs}");
    }
}

/// Returns rows with outliers, some of them repeated, and our scores of them for several seeds. scikit-learn
/// gets the rows repeated as often.
fn planted(random: &mut Random, seeds: u64) -> Value {
    let (mut rows, mut copies, mut outlier) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..1_200 {
        let out = row % 20 == 0;
        let spread = if out { 2.0 } else { 1.0 };
        rows.extend((0..8).map(|column| {
            (random.normal() * spread + f64::from(u8::from(column < 2)) * (row % 3) as f64 * 3.0) as f32
        }));
        outlier.push(out);
        copies.push(if out { 1 } else { 1 + random.below(3) });
    }
    let rows = ndarray::Array2::from_shape_vec((copies.len(), 8), rows).unwrap();
    let weights: Vec<f64> = copies.iter().map(|&copies| copies as f64).collect();
    let expanded: Vec<usize> = (0..copies.len()).flat_map(|row| vec![row; copies[row]]).collect();
    let scores: Vec<Vec<f64>> = (0..seeds)
        .map(|seed| {
            let settings = forest::Settings { seed, ..forest::Settings::default() };
            let scores =
                unwatched(|watch| Forest::train(&rows, &weights, settings, watch)?.scores(&rows, watch));
            expanded.iter().map(|&row| scores[row]).collect()
        })
        .collect();
    let all: Vec<Vec<f32>> = expanded.iter().map(|&row| rows.row(row).to_vec()).collect();
    let outlier: Vec<bool> = expanded.iter().map(|&row| outlier[row]).collect();
    json!({ "rows": all, "outlier": outlier, "seeds": seeds, "scores": scores })
}

#[test]
fn probabilities_equal_those_of_scipy() {
    #[derive(Deserialize)]
    struct Theirs {
        tails: Vec<f64>,
        discovered: Vec<f64>,
        entropies: Vec<f64>,
    }
    let mut random = Random::new(1);
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    let mut add = |name: &str, arguments: &[f64], ours: f64| {
        asked.push(json!([name, arguments]));
        answers.push(ours);
    };
    for _ in 0..400 {
        let size = 10.0_f64.powf(random.unit() * 6.0);
        let n = size.ceil() as u64;
        // Near the expected value, and far from it.
        let p = 10.0_f64.powf(-4.0 * random.unit()).min(0.999);
        let expected = n as f64 * p;
        let k = (expected + (random.unit() * 16.0 - 4.0) * (expected * (1.0 - p)).sqrt())
            .clamp(0.0, n as f64)
            .round() as u64;
        add("binomial", &[k as f64, n as f64, p], ours::binomial_upper_tail(k, n, p));
        add("poisson", &[k as f64, expected], ours::poisson_upper_tail(k, expected));
        let (t1, t2) = (1.0 + 30.0 * random.unit(), 1.0 + 90.0 * random.unit());
        add("two_rates", &[k as f64, t1, n as f64, t2], ours::two_rates(k, t1, n, t2));
        let (a, b, x) = (
            10.0_f64.powf(random.unit() * 5.0 - 2.0),
            10.0_f64.powf(random.unit() * 5.0 - 2.0),
            random.unit(),
        );
        add("beta_inc", &[a, b, x], ours::beta_inc(a, b, x));
        add("ln_gamma", &[3.0 + size * a], ours::ln_gamma(3.0 + size * a));
        let (n, k) = (n.min(2_000), k.min(2_000));
        add(
            "beta_binomial",
            &[k.min(n) as f64, n as f64, a, b],
            ours::beta_binomial_upper_tail(k.min(n), n, a, b),
        );
    }
    let p: Vec<f64> = (0..500).map(|_| random.unit().powi(3)).chain([0.0, 1.0, 0.5, 0.5]).collect();
    let texts: Vec<Vec<u8>> =
        (1..40).map(|length| (0..length * 9).map(|_| random.below(1 + length * 6) as u8).collect()).collect();
    let theirs = &ask::<Theirs>("statistics", &[json!({ "tails": asked, "p": p, "texts": texts })])[0];
    let close = |ours: f64, theirs: f64| {
        (ours - theirs).abs() <= 1e-9 * theirs.abs() || theirs < 1e-290 && ours < 1e-290
    };
    for ((asked, &ours), &theirs) in asked.iter().zip(&answers).zip(&theirs.tails) {
        assert!(close(ours, theirs), "{asked}: {ours:e} is not {theirs:e}");
    }
    for (ours, &theirs) in ours::benjamini_hochberg(&p).into_iter().zip(&theirs.discovered) {
        assert!(close(ours, theirs), "{ours} is not {theirs}");
    }
    for (text, &theirs) in texts.iter().zip(&theirs.entropies) {
        assert!((ours::entropy(text) - theirs).abs() < 1e-12, "entropy of {text:?}");
    }
}
