//! No data can make the numerics panic, hang or return nonsense.

use analysis::{
    Stopped, Watch,
    dbscan::{Dense, NOISE, Settings, Sparse},
    forest::{self, Forest},
    statistics, tfidf,
};
use ndarray::Array2;

use crate::unwatched;

const SETTINGS: Settings = Settings { eps: 0.3, min_samples: 5.0 };

fn forest_scores(rows: &Array2<f32>, weights: &[f64]) -> Vec<f64> {
    unwatched(|watch| Forest::train(rows, weights, forest::Settings::default(), watch)?.scores(rows, watch))
}

fn dense(rows: &Array2<f32>, weights: &[f64], settings: Settings) -> Vec<i32> {
    unwatched(|watch| Dense::new(rows).cluster(weights, settings, watch)).labels
}

fn sparse(rows: &[tfidf::Row], weights: &[f64], settings: Settings) -> Vec<i32> {
    unwatched(|watch| Sparse::new(rows).cluster(weights, settings, watch)).labels
}

#[test]
fn no_rows_give_no_results() {
    let none = Array2::zeros((0, 45));
    assert!(dense(&none, &[], SETTINGS).is_empty());
    assert!(sparse(&[], &[], SETTINGS).is_empty());
    assert!(forest_scores(&none, &[]).is_empty());
    assert!(unwatched(|watch| tfidf::fit(&[], &[], tfidf::Settings::default(), watch)).1.is_empty());
}

#[test]
fn one_row_is_noise_and_not_odd() {
    let one = Array2::ones((1, 45));
    assert_eq!(dense(&one, &[1.0], SETTINGS), [NOISE]);
    assert_eq!(dense(&one, &[5.0], SETTINGS), [0]);
    assert_eq!(sparse(&[vec![(7, 1.0)]], &[1.0], SETTINGS), [NOISE]);
    assert_eq!(forest_scores(&one, &[1.0]), [0.5]);
    assert!(
        Dense::new(&one)
            .nearest_core(&unwatched(|watch| Dense::new(&one).cluster(&[1.0], SETTINGS, watch)), 0)
            .is_none()
    );
}

#[test]
fn rows_without_columns_are_all_the_same() {
    let rows = Array2::zeros((7, 0));
    assert_eq!(dense(&rows, &[1.0; 7], SETTINGS), [0; 7]);
    assert_eq!(forest_scores(&rows, &[1.0; 7]).len(), 7);
}

#[test]
fn identical_rows_are_one_cluster_and_equally_odd() {
    let rows = Array2::from_elem((5_000, 45), 0.25);
    assert!(dense(&rows, &[1.0; 5_000], SETTINGS).iter().all(|&label| label == 0));
    assert!(
        sparse(&vec![vec![(1, 0.5), (9, 0.1)]; 5_000], &[1.0; 5_000], SETTINGS)
            .iter()
            .all(|&label| label == 0)
    );
    let scores = forest_scores(&rows, &[1.0; 5_000]);
    assert!(scores.iter().all(|score| *score == scores[0]));
}

#[test]
fn values_that_are_not_finite_count_as_zero() {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0];
    let rows = Array2::from_shape_fn((30, 6), |(row, column)| strange[(row + column) % 5]);
    assert_eq!(dense(&rows, &[1.0; 30], SETTINGS), [0; 30]);
    assert!(forest_scores(&rows, &[1.0; 30]).iter().all(|score| score.is_finite()));
    let rows: Vec<tfidf::Row> = (0..30).map(|row| vec![(0, 1.0), (1, f64::from(strange[row % 5]))]).collect();
    assert_eq!(sparse(&rows, &[1.0; 30], SETTINGS), [0; 30]);
}

#[test]
fn the_greatest_and_the_least_numbers_are_kept_apart() {
    let far = Array2::from_shape_fn((40, 3), |(row, _)| if row % 2 == 0 { f32::MAX } else { f32::MIN });
    assert_eq!(dense(&far, &[1.0; 40], SETTINGS), (0..40).map(|row| row % 2).collect::<Vec<_>>());
    assert_eq!(dense(&far, &[1.0; 40], Settings { eps: f64::INFINITY, ..SETTINGS }), [0; 40]);
    let near = Array2::from_shape_fn((40, 3), |(row, _)| (row % 2) as f32 * 1e-30);
    assert_eq!(
        dense(&near, &[1.0; 40], Settings { eps: 1e-31, ..SETTINGS }),
        (0..40).map(|row| row % 2).collect::<Vec<_>>()
    );
    assert_eq!(dense(&near, &[1.0; 40], Settings { eps: 1e-29, ..SETTINGS }), [0; 40]);
    assert_eq!(sparse(&vec![vec![(0, 1e-320)]; 9], &[1.0; 9], SETTINGS).len(), 9);
    assert_eq!(sparse(&vec![vec![(0, 1e300)]; 9], &[1.0; 9], SETTINGS).len(), 9);
}

#[test]
fn invalid_settings_give_noise_or_one_cluster() {
    let rows = Array2::from_shape_fn((20, 2), |(row, _)| row as f32);
    let terms: Vec<tfidf::Row> = (0..20).map(|row| vec![(row, 1.0)]).collect();
    for eps in [f64::NAN, -1.0, 0.0] {
        assert_eq!(dense(&rows, &[1.0; 20], Settings { eps, min_samples: 2.0 }), [NOISE; 20]);
        assert_eq!(sparse(&terms, &[1.0; 20], Settings { eps, min_samples: 2.0 }), [NOISE; 20]);
    }
    for eps in [1e9, f64::INFINITY] {
        assert_eq!(dense(&rows, &[1.0; 20], Settings { eps, min_samples: 2.0 }), [0; 20]);
        assert_eq!(sparse(&terms, &[1.0; 20], Settings { eps, min_samples: 2.0 }), [0; 20]);
    }
    assert_eq!(dense(&rows, &[1.0; 20], Settings { eps: 9.0, min_samples: f64::NAN }), [NOISE; 20]);
    assert_eq!(sparse(&terms, &[1.0; 20], Settings { eps: 2.0, min_samples: f64::NAN }), [NOISE; 20]);
}

#[test]
fn invalid_weights_count_as_zero() {
    let rows = Array2::zeros((4, 3));
    let terms = vec![vec![(0, 1.0)]; 4];
    for weights in [&[][..], &[0.0; 4], &[f64::NAN; 4], &[-3.0; 4], &[f64::INFINITY; 4]] {
        assert_eq!(dense(&rows, weights, SETTINGS), [NOISE; 4]);
        assert_eq!(sparse(&terms, weights, SETTINGS), [NOISE; 4]);
        assert_eq!(forest_scores(&rows, weights), [0.0; 4]);
        let (model, found) =
            unwatched(|watch| tfidf::fit(&["a b"; 4], weights, tfidf::Settings::default(), watch));
        assert!(model.vocabulary.is_empty() && found.iter().all(Vec::is_empty));
    }
}

#[test]
fn a_text_of_a_megabyte_is_accepted() {
    let long = "echo x; ".repeat(130_000);
    let (_, rows) =
        unwatched(|watch| tfidf::fit(&[&long, "echo x"], &[1.0; 2], tfidf::Settings::default(), watch));
    assert!((rows[0].iter().map(|(_, value)| value * value).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn probabilities_stay_in_range_for_any_arguments() {
    let numbers = [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1e-300, 0.3, 1.0, 7.5, 1e9, f64::INFINITY];
    for k in [0, 1, 17, 1_000_000] {
        for a in numbers {
            assert!((0.0..=1.0).contains(&statistics::poisson_upper_tail(k, a)), "poisson {k} {a}");
            for n in [0, 1, 1_000] {
                assert!(
                    (0.0..=1.0).contains(&statistics::binomial_upper_tail(k, n, a)),
                    "binomial {k} {n} {a}"
                );
                for b in numbers {
                    assert!(
                        (0.0..=1.0).contains(&statistics::beta_binomial_upper_tail(k, n, a, b)),
                        "beta-binomial {k} {n} {a} {b}"
                    );
                    assert!(
                        (0.0..=1.0).contains(&statistics::two_rates(k, a, n, b)),
                        "two rates {k} {a} {n} {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_algorithm_stops_when_cancelled() {
    let rows = Array2::from_shape_fn((3_000, 4), |(row, column)| ((row * 37 + column * 11) % 101) as f32);
    let terms: Vec<tfidf::Row> = (0..3_000).map(|row| vec![(row % 50, 1.0), (50 + row % 7, 2.0)]).collect();
    let stopped = |run: &dyn Fn(&mut Watch<'_>) -> Result<(), Stopped>| {
        let mut asked = 0;
        let mut tell = |_: &str, _: f64| {
            asked += 1;
            asked < 3
        };
        run(&mut Watch::new(&mut tell)) == Err(Stopped)
    };
    assert!(stopped(&|watch| Dense::new(&rows).cluster(&[1.0; 3_000], SETTINGS, watch).map(drop)));
    assert!(stopped(&|watch| Sparse::new(&terms).cluster(&[1.0; 3_000], SETTINGS, watch).map(drop)));
    assert!(stopped(
        &|watch| Forest::train(&rows, &[1.0; 3_000], forest::Settings::default(), watch).map(drop)
    ));
    assert!(stopped(
        &|watch| tfidf::fit(&["a"; 3_000], &[1.0; 3_000], tfidf::Settings::default(), watch).map(drop)
    ));
}
