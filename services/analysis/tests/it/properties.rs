//! The fast algorithms give what the definitions say.

use analysis::{
    dbscan::{Clustering, Dense, NOISE, Settings, Sparse},
    tfidf,
};
use ndarray::Array2;
use proptest::prelude::*;

use crate::{Random, unwatched};

/// DBSCAN by its definition, from all distances.
fn defined(distances: &[Vec<f64>], weights: &[f64], settings: Settings) -> Clustering {
    let rows = distances.len();
    let near =
        |row: usize| (0..rows).filter(move |&other| other == row || distances[row][other] <= settings.eps);
    let core: Vec<bool> = (0..rows)
        .map(|row| near(row).map(|other| weights[other]).sum::<f64>() >= settings.min_samples)
        .collect();
    let mut labels = vec![NOISE; rows];
    let mut clusters = 0;
    for start in 0..rows {
        if labels[start] != NOISE || !core[start] {
            continue;
        }
        labels[start] = clusters;
        let mut open = vec![start];
        while let Some(row) = open.pop() {
            if core[row] {
                let new: Vec<usize> = near(row).filter(|&other| labels[other] == NOISE).collect();
                new.iter().for_each(|&other| labels[other] = clusters);
                open.extend(new);
            }
        }
        clusters += 1;
    }
    Clustering { labels, core, clusters: clusters as usize }
}

fn euclidean(rows: &Array2<f32>) -> Vec<Vec<f64>> {
    let distance = |a: usize, b: usize| {
        rows.row(a)
            .iter()
            .zip(rows.row(b))
            .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    (0..rows.nrows()).map(|a| (0..rows.nrows()).map(|b| distance(a, b)).collect()).collect()
}

fn cosine(rows: &[tfidf::Row]) -> Vec<Vec<f64>> {
    let product = |a: &tfidf::Row, b: &tfidf::Row| -> f64 {
        a.iter()
            .filter_map(|(feature, value)| {
                b.iter().find(|(other, _)| other == feature).map(|(_, other)| value * other)
            })
            .sum()
    };
    let unit: Vec<tfidf::Row> = rows
        .iter()
        .map(|row| row.iter().map(|&(feature, value)| (feature, value / product(row, row).sqrt())).collect())
        .collect();
    let distance = |a: usize, b: usize| if a == b { 0.0 } else { 1.0 - product(&unit[a], &unit[b]) };
    (0..rows.len()).map(|a| (0..rows.len()).map(|b| distance(a, b)).collect()).collect()
}

fn nearest(distances: &[f64], core: &[bool]) -> Option<f64> {
    distances
        .iter()
        .zip(core)
        .filter(|(_, core)| **core)
        .map(|(&distance, _)| distance)
        .min_by(f64::total_cmp)
}

fn dense_is_as_defined(rows: &Array2<f32>, weights: &[f64], settings: Settings) {
    let dense = Dense::new(rows);
    let found = unwatched(|watch| dense.cluster(weights, settings, watch));
    let distances = euclidean(rows);
    assert_eq!(found, defined(&distances, weights, settings));
    for row in 0..rows.nrows() {
        let near = dense.nearest_core(&found, row);
        assert_eq!(near.map(|(_, distance)| distance), nearest(&distances[row], &found.core));
        assert!(near.is_none_or(|(core, distance)| found.core[core] && distances[row][core] == distance));
    }
}

fn sparse_is_as_defined(rows: &[tfidf::Row], weights: &[f64], settings: Settings) {
    let sparse = Sparse::new(rows);
    let found = unwatched(|watch| sparse.cluster(weights, settings, watch));
    let distances = cosine(rows);
    assert_eq!(found, defined(&distances, weights, settings));
    for row in 0..rows.len() {
        let near = sparse.nearest_core(&found, row).map(|(_, distance)| distance);
        let expected = nearest(&distances[row], &found.core);
        assert!(
            near.zip(expected).is_none_or(|(near, expected)| (near - expected).abs() < 1e-12)
                && near.is_some() == expected.is_some()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn dense_clusters_are_those_of_the_definition(seed: u64, rows in 1..300_usize, columns in 1..12_usize, eps in 0.0..1.2_f64, min_samples in 1..9_u32) {
        let mut random = Random::new(seed);
        let values = random.levels(rows, columns);
        let weights: Vec<f64> = (0..rows).map(|_| random.below(4) as f64).collect();
        dense_is_as_defined(&values, &weights, Settings { eps, min_samples: f64::from(min_samples) });
        // Values are multiples of an eighth, so distances of exactly eps are common.
        dense_is_as_defined(&values, &weights, Settings { eps: (eps * 8.0).round() / 8.0, min_samples: f64::from(min_samples) });
    }

    #[test]
    fn sparse_clusters_are_those_of_the_definition(seed: u64, count in 1..200_usize, words in 2..40_usize, eps in 0.0..1.0_f64, min_samples in 1..9_u32, few: bool) {
        let mut random = Random::new(seed);
        let texts = random.texts(count, words);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let settings = tfidf::Settings { max_features: few.then_some(128), ..tfidf::Settings::default() };
        let (_, rows) = unwatched(|watch| tfidf::fit(&texts, &vec![1.0; count], settings, watch));
        let weights: Vec<f64> = (0..count).map(|_| random.below(4) as f64).collect();
        sparse_is_as_defined(&rows, &weights, Settings { eps, min_samples: f64::from(min_samples) });
    }

    #[test]
    fn dbscan_treats_a_weight_as_that_many_copies(seed: u64, rows in 1..120_usize, eps in 0.0..1.0_f64) {
        let mut random = Random::new(seed);
        let values = random.levels(rows, 6);
        let copies: Vec<usize> = (0..rows).map(|_| 1 + random.below(3)).collect();
        let expanded: Vec<usize> = (0..rows).flat_map(|row| vec![row; copies[row]]).collect();
        let settings = Settings { eps, min_samples: 5.0 };
        let weights: Vec<f64> = copies.iter().map(|&copies| copies as f64).collect();
        let once = unwatched(|watch| Dense::new(&values).cluster(&weights, settings, watch));
        let copied = values.select(ndarray::Axis(0), &expanded);
        let all = unwatched(|watch| Dense::new(&copied).cluster(&vec![1.0; expanded.len()], settings, watch));
        let labels: Vec<i32> = expanded.iter().map(|&row| once.labels[row]).collect();
        prop_assert_eq!(labels, all.labels);
    }

    #[test]
    fn tfidf_treats_a_weight_as_that_many_copies(seed: u64, count in 1..80_usize, words in 1..20_usize, most in 1..60_usize) {
        let mut random = Random::new(seed);
        let texts = random.texts(count, words);
        let copies: Vec<usize> = (0..count).map(|_| random.below(4)).collect();
        let settings = tfidf::Settings { max_features: Some(most), ..tfidf::Settings::default() };
        let unique: Vec<&str> = texts.iter().map(String::as_str).collect();
        let weights: Vec<f64> = copies.iter().map(|&copies| copies as f64).collect();
        let (weighted, rows) = unwatched(|watch| tfidf::fit(&unique, &weights, settings, watch));
        let expanded: Vec<usize> = (0..count).flat_map(|text| vec![text; copies[text]]).collect();
        let copied: Vec<&str> = expanded.iter().map(|&text| unique[text]).collect();
        let (plain, all) = unwatched(|watch| tfidf::fit(&copied, &vec![1.0; copied.len()], settings, watch));
        prop_assert_eq!(weighted.vocabulary, plain.vocabulary);
        prop_assert_eq!(weighted.idf, plain.idf);
        prop_assert_eq!(expanded.iter().map(|&text| rows[text].clone()).collect::<Vec<_>>(), all);
    }
}

#[test]
fn a_row_without_values_is_near_no_other() {
    let rows = vec![vec![], vec![], vec![(0, 1.0)], vec![(0, 2.0)]];
    let found = unwatched(|watch| {
        Sparse::new(&rows).cluster(&[1.0; 4], Settings { eps: 0.3, min_samples: 2.0 }, watch)
    });
    assert_eq!(found.labels, [NOISE, NOISE, 0, 0]);
}
