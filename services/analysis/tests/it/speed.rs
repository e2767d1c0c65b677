//! Measures the analyses on one thread: `cargo test --release -p analysis --test it -- --ignored
//! --nocapture`.

use std::time::Instant;

use analysis::{
    autoencoder,
    dbscan::{Dense, Settings, Sparse},
    forest::{self, Forest},
    tfidf,
};

use crate::{Random, unwatched};

/// CPU seconds used by this thread.
fn used() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    times.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("a number") / 1e9
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (begun, before) = (Instant::now(), used());
    let result = run();
    println!("{what}: {:.3} s of CPU, {:.3} s", used() - before, begun.elapsed().as_secs_f64());
    result
}

#[test]
#[ignore = "measures; run by hand in release"]
fn dense_rows() {
    for (rows, eps) in [(10_000, 0.3), (10_000, 0.8), (30_000, 0.3), (30_000, 0.8), (30_000, 1.5)] {
        let values = Random::new(rows as u64).levels(rows, 45);
        let dense = timed(&format!("dense {rows} x 45, boxes"), || Dense::new(&values));
        let found = timed(&format!("dense {rows} x 45, eps {eps}"), || {
            unwatched(|watch| dense.cluster(&vec![1.0; rows], Settings { eps, min_samples: 5.0 }, watch))
        });
        let noise: Vec<usize> = (0..rows).filter(|&row| found.labels[row] < 0).take(1_000).collect();
        println!(
            "  {} clusters, {} cores, {} noise",
            found.clusters,
            found.core.iter().filter(|core| **core).count(),
            found.labels.iter().filter(|label| **label < 0).count()
        );
        timed(&format!("  nearest core of {}", noise.len()), || {
            noise.iter().for_each(|&row| assert!(dense.nearest_core(&found, row).is_some()))
        });
    }
    let mut random = Random::new(5);
    let noise = ndarray::Array2::from_shape_fn((30_000, 45), |_| random.unit() as f32);
    let dense = Dense::new(&noise);
    for eps in [0.3, 1.5, 2.2] {
        let found = timed(&format!("dense 30000 x 45 uniform noise, eps {eps}"), || {
            unwatched(|watch| dense.cluster(&vec![1.0; 30_000], Settings { eps, min_samples: 5.0 }, watch))
        });
        println!("  {} clusters, {} cores", found.clusters, found.core.iter().filter(|core| **core).count());
    }
}

#[test]
#[ignore = "measures; run by hand in release"]
fn sparse_rows() {
    for (count, words) in [(5_000, 60), (20_000, 60), (50_000, 2_000)] {
        let texts = Random::new(count as u64).texts(count, words);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for max_features in [Some(128), None] {
            let settings = tfidf::Settings { max_features, ..tfidf::Settings::default() };
            let name = format!("{count} texts of {words} words, features {max_features:?}");
            let (_, rows) = timed(&format!("tf-idf of {name}"), || {
                unwatched(|watch| tfidf::fit(&texts, &vec![1.0; count], settings, watch))
            });
            let sparse = timed(&format!("sparse {name}, index"), || Sparse::new(&rows));
            let found = timed(&format!("sparse {name}"), || {
                unwatched(|watch| {
                    sparse.cluster(&vec![1.0; count], Settings { eps: 0.3, min_samples: 5.0 }, watch)
                })
            });
            let noise: Vec<usize> = (0..count).filter(|&row| found.labels[row] < 0).take(200).collect();
            println!(
                "  {} clusters, {} cores, {} values a row",
                found.clusters,
                found.core.iter().filter(|core| **core).count(),
                rows.iter().map(Vec::len).sum::<usize>() / count
            );
            timed(&format!("  nearest core of {}", noise.len()), || {
                noise.iter().for_each(|&row| assert!(sparse.nearest_core(&found, row).is_some()))
            });
        }
    }
}

#[test]
#[ignore = "measures; run by hand in release"]
fn forest_and_autoencoder() {
    let rows = 30_000;
    let values = Random::new(3).levels(rows, 45);
    let weights = vec![1.0; rows];
    let forest = timed("forest, 100 x 256 of 30000 x 45", || {
        unwatched(|watch| Forest::train(&values, &weights, forest::Settings::default(), watch))
    });
    timed("forest, scores of 30000", || unwatched(|watch| forest.scores(&values, watch)));
    let device = autoencoder::Device::open().unwrap();
    let model = timed("autoencoder, trained on 30000 x 45", || {
        unwatched(|watch| autoencoder::train(&values, &weights, 1, &device, watch))
    });
    let (errors, _) =
        timed("autoencoder, errors of 30000", || unwatched(|watch| model.errors(&values, &device, watch)));
    println!("  mean error {:.3}", errors.iter().sum::<f32>() / rows as f32);
}
