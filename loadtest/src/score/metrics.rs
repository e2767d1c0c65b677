//! Metrics that compare results with the truth. The definitions are those of scikit-learn, which can check
//! them.

use std::collections::HashMap;

/// Adjusted Rand index of two labellings of the same items (Hubert and Arabie 1985): 1 for equal partitions,
/// about 0 for random ones.
pub fn adjusted_rand(truth: &[usize], found: &[usize]) -> f64 {
    let pairs = |n: usize| n as f64 * (n as f64 - 1.0) / 2.0;
    let (cells, rows, columns) = contingency(truth, found);
    let index: f64 = cells.values().map(|&n| pairs(n)).sum();
    let (row, column): (f64, f64) =
        (rows.values().map(|&n| pairs(n)).sum(), columns.values().map(|&n| pairs(n)).sum());
    let all = pairs(truth.len());
    let expected = if all > 0.0 { row * column / all } else { 0.0 };
    let most = (row + column) / 2.0;
    if (most - expected).abs() < f64::EPSILON * most.max(1.0) {
        1.0
    } else {
        (index - expected) / (most - expected)
    }
}

/// V-measure (Rosenberg and Hirschberg 2007): the harmonic mean of homogeneity and completeness.
pub fn v_measure(truth: &[usize], found: &[usize]) -> f64 {
    let n = truth.len() as f64;
    let (cells, rows, columns) = contingency(truth, found);
    let entropy = |sizes: &HashMap<usize, usize>| {
        -sizes.values().map(|&size| size as f64 / n * (size as f64 / n).ln()).sum::<f64>()
    };
    let (of_truth, of_found) = (entropy(&rows), entropy(&columns));
    let mutual: f64 = cells
        .iter()
        .map(|((row, column), &size)| {
            let size = size as f64;
            size / n * (n * size / (rows[row] as f64 * columns[column] as f64)).ln()
        })
        .sum();
    let homogeneity = if of_truth > 0.0 { mutual / of_truth } else { 1.0 };
    let completeness = if of_found > 0.0 { mutual / of_found } else { 1.0 };
    if homogeneity + completeness > 0.0 {
        2.0 * homogeneity * completeness / (homogeneity + completeness)
    } else {
        0.0
    }
}

type Contingency = (HashMap<(usize, usize), usize>, HashMap<usize, usize>, HashMap<usize, usize>);

fn contingency(truth: &[usize], found: &[usize]) -> Contingency {
    let mut counts = Contingency::default();
    for (&row, &column) in truth.iter().zip(found) {
        *counts.0.entry((row, column)).or_insert(0) += 1;
        *counts.1.entry(row).or_insert(0) += 1;
        *counts.2.entry(column).or_insert(0) += 1;
    }
    counts
}

/// Average precision: the sum of precision at each distinct score times the recall gained there. `None`
/// without a positive.
pub fn average_precision(scored: &[(f64, bool)]) -> Option<f64> {
    let positives = scored.iter().filter(|(_, is)| *is).count();
    let (mut seen, mut hit, mut sum) = (0, 0, 0.0);
    for group in ranked(scored).chunk_by(|a, b| a.0 == b.0) {
        let new = group.iter().filter(|(_, is)| *is).count();
        seen += group.len();
        hit += new;
        sum += new as f64 * hit as f64 / seen as f64;
    }
    (positives > 0).then(|| sum / positives as f64)
}

/// Area under the ROC curve: the probability that a positive scores higher than a negative; ties count half.
/// `None` unless there are both.
pub fn auroc(scored: &[(f64, bool)]) -> Option<f64> {
    let positives = scored.iter().filter(|(_, is)| *is).count();
    let negatives = scored.len() - positives;
    let (mut below, mut sum) = (negatives, 0.0);
    for group in ranked(scored).chunk_by(|a, b| a.0 == b.0) {
        let new = group.iter().filter(|(_, is)| *is).count();
        let others = group.len() - new;
        below -= others;
        sum += new as f64 * (below as f64 + others as f64 / 2.0);
    }
    (positives > 0 && negatives > 0).then(|| sum / (positives as f64 * negatives as f64))
}

/// The share of positives among the `k` highest scores; among equal scores, the expected share.
pub fn precision_at(scored: &[(f64, bool)], k: usize) -> f64 {
    let (mut left, mut hit) = (k.min(scored.len()), 0.0);
    let all = left.max(1) as f64;
    for group in ranked(scored).chunk_by(|a, b| a.0 == b.0) {
        let new = group.iter().filter(|(_, is)| *is).count() as f64;
        let taken = left.min(group.len());
        hit += new * taken as f64 / group.len() as f64;
        left -= taken;
    }
    hit / all
}

fn ranked(scored: &[(f64, bool)]) -> Vec<(f64, bool)> {
    let mut ranked = scored.to_vec();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked
}

pub fn f1(precision: f64, recall: f64) -> f64 {
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// Mean of the values that exist, or `None` without any.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.into_iter().fold((0, 0.0), |(n, sum), value| (n + 1, sum + value));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn partitions_are_compared_as_computed_by_hand() {
        // Cells 2, 1, 2: 2 pairs together in both; 2 + 1 in each; 10 pairs in all... (2 - 1.6) / (4 - 1.6).
        near(adjusted_rand(&[0, 0, 0, 1, 1], &[0, 0, 1, 1, 1]), (2.0 - 1.6) / (4.0 - 1.6));
        near(adjusted_rand(&[0, 0, 1, 1], &[7, 7, 3, 3]), 1.0);
        near(adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1]), -0.5);
        near(v_measure(&[0, 0, 1, 1], &[5, 5, 6, 6]), 1.0);
        // Homogeneous, half complete: entropies ln 2 and ln 4.
        near(v_measure(&[0, 0, 1, 1], &[0, 1, 2, 3]), 2.0 / 3.0);
        near(v_measure(&[0, 0, 1, 1], &[0, 0, 0, 0]), 0.0);
    }

    #[test]
    fn rankings_are_judged_as_computed_by_hand() {
        let scored = [(0.9, true), (0.8, false), (0.7, true), (0.1, false)];
        near(average_precision(&scored).unwrap(), (1.0 + 2.0 / 3.0) / 2.0);
        near(auroc(&scored).unwrap(), 3.0 / 4.0);
        near(precision_at(&scored, 2), 0.5);
        // All scores equal: as good as chance.
        let same = [(0.0, true), (0.0, false), (0.0, false), (0.0, false)];
        near(average_precision(&same).unwrap(), 0.25);
        near(auroc(&same).unwrap(), 0.5);
        near(precision_at(&same, 2), 0.25);
        assert_eq!((average_precision(&[(1.0, false)]), auroc(&[(1.0, true)])), (None, None));
        near(f1(0.5, 1.0), 2.0 / 3.0);
    }
}
