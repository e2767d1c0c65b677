//! Tail probabilities, corrections for multiple comparisons, and entropy.
//!
//! Tails are computed in logarithms throughout, by the saddle-point form of C. Loader, "Fast and accurate
//! computation of binomial probabilities" (2000), so that neither 10⁷ trials nor a probability of 10⁻¹⁰⁰⁰
//! cost digits. Arguments that make no sense (NaN, out of range) give 1: nothing is unusual.

/// ln √(2π).
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// ln Γ(x) for x > 0; infinite at 0, NaN below.
pub fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 || x == f64::INFINITY {
        return f64::INFINITY;
    }
    if x == 1.0 || x == 2.0 {
        return 0.0;
    }
    // Γ(x) = Γ(x+k) / (x (x+1) … (x+k-1)): the product of at most 16 factors below 16 does not overflow.
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < 16.0 {
        product *= shifted;
        shifted += 1.0;
    }
    (shifted - 0.5) * shifted.ln() - shifted + LN_SQRT_2PI + stirling_series(shifted) - product.ln()
}

/// The terms of Stirling's series beyond ln √(2π/x) + x ln x − x; exact to the last digit for x ≥ 15.
fn stirling_series(x: f64) -> f64 {
    let y = 1.0 / (x * x);
    (1.0 / 12.0
        - y * (1.0 / 360.0
            - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y * (1.0 / 1188.0 - y * (691.0 / 360_360.0))))))
        / x
}

/// ln Γ(x+1) − (x + ½) ln x + x − ln √(2π): the error of Stirling's formula, for x > 0.
fn stirling_error(x: f64) -> f64 {
    if x >= 15.0 { stirling_series(x) } else { ln_gamma(x + 1.0) - (x + 0.5) * x.ln() + x - LN_SQRT_2PI }
}

/// x ln(x/m) + m − x ≥ 0, without loss of digits where x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    if x == 0.0 {
        return m;
    }
    let v = (x - m) / (x + m);
    if v.abs() >= 0.1 {
        return x * (x / m).ln() + m - x;
    }
    // x ln(x/m) = 2x artanh(v), and (x − m) = v (x + m).
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    for odd in (3..1_000).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// ln of pᵃ(1−p)ᵇ / B(a, b) for a, b > 0; `q` is 1−p.
fn ln_beta_density(a: f64, b: f64, p: f64, q: f64) -> f64 {
    let n = a + b;
    let exponent =
        stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * p) - deviance(b, n * q);
    exponent - LN_SQRT_2PI + 0.5 * (a.ln() + b.ln() - n.ln())
}

/// ln(eᵃ + eᵇ).
pub fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if high.is_infinite() { high } else { high + (low - high).exp().ln_1p() }
}

/// ln Σ eˣ; of nothing it is −∞.
pub fn ln_sum_all(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high.is_infinite() {
        high
    } else {
        high + values.iter().map(|value| (value - high).exp()).sum::<f64>().ln()
    }
}

/// ln(1 − eˣ) for x ≤ 0.
pub fn ln_complement(x: f64) -> f64 {
    if x >= 0.0 {
        f64::NEG_INFINITY
    } else if x > -std::f64::consts::LN_2 {
        (-x.exp_m1()).ln()
    } else {
        (-x.exp()).ln_1p()
    }
}

/// The regularised incomplete beta function Iₓ(a, b), for a, b > 0 and x in [0, 1].
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    ln_beta_inc(a, b, x).exp()
}

/// ln Iₓ(a, b).
pub fn ln_beta_inc(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && x > 0.0 && a.is_finite() && b.is_finite()) {
        return if x <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    }
    if x >= 1.0 { 0.0 } else { ln_beta_sides(a, b, x, 1.0 - x).0 }
}

/// ln Iₓ(a, b) and ln(1 − Iₓ(a, b)); `y` is 1−x.
fn ln_beta_sides(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    let density = ln_beta_density(a, b, x, y);
    // The continued fraction converges fast on the lighter side.
    if x < (a + 1.0) / (a + b + 2.0) {
        let side = (density - a.ln() - beta_fraction(a, b, x).ln()).min(0.0);
        (side, ln_complement(side))
    } else {
        let side = (density - b.ln() - beta_fraction(b, a, y).ln()).min(0.0);
        (ln_complement(side), side)
    }
}

/// The denominator of Abramowitz & Stegun 26.5.8, by Lentz' method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let term = |n: f64| {
        let m = (n / 2.0).floor();
        if n % 2.0 == 0.0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    lentz(1.0, |n| (term(n), 1.0))
}

/// b₀ + a₁/(b₁ + a₂/(b₂ + …)), where `term` gives aₙ and bₙ.
fn lentz(first: f64, term: impl Fn(f64) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-300;
    let apart = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut c, mut d) = (apart(first), apart(first), 0.0);
    // √(10¹²) trials need far fewer terms.
    for n in 1..10_000_000 {
        let (a, b) = term(f64::from(n));
        d = 1.0 / apart(b + a * d);
        c = apart(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// P(X ≥ k) of n trials that each succeed with probability p.
pub fn binomial_upper_tail(k: u64, n: u64, p: f64) -> f64 {
    ln_binomial_upper_tail(k, n, p).exp()
}

/// ln P(X ≥ k) of n trials that each succeed with probability p.
pub fn ln_binomial_upper_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p.is_nan() || p >= 1.0 && k <= n {
        return 0.0;
    }
    if k > n || p <= 0.0 { f64::NEG_INFINITY } else { ln_beta_inc(k as f64, (n - k + 1) as f64, p) }
}

/// P(X ≥ k) of a Poisson distribution with this mean.
pub fn poisson_upper_tail(k: u64, mean: f64) -> f64 {
    ln_poisson_upper_tail(k, mean).exp()
}

/// ln P(X ≥ k) of a Poisson distribution with this mean.
pub fn ln_poisson_upper_tail(k: u64, mean: f64) -> f64 {
    if k == 0 || mean.is_nan() || mean == f64::INFINITY {
        return 0.0;
    }
    if mean <= 0.0 {
        return f64::NEG_INFINITY;
    }
    // P(X ≥ k) is the regularised lower incomplete gamma function P(k, mean).
    let k = k as f64;
    let ln_probability = -stirling_error(k) - deviance(k, mean) - LN_SQRT_2PI - 0.5 * k.ln();
    if mean < k + 1.0 {
        let (mut sum, mut term, mut n) = (1.0, 1.0, k);
        while term > sum * 1e-17 && n < k + 1e7 {
            n += 1.0;
            term *= mean / n;
            sum += term;
        }
        (ln_probability + sum.ln()).min(0.0)
    } else {
        let fraction = lentz(mean + 1.0 - k, |n| (-n * (n - k), mean + 1.0 - k + 2.0 * n));
        ln_complement((ln_probability + k.ln() - fraction.ln()).min(0.0))
    }
}

/// The probability that at least `k1` of `k1 + k2` events fall into the first of two periods of lengths `t1`
/// and `t2` if the rate is the same in both (Przyborowski & Wilenski, "Homogeneity of results in testing
/// samples from Poisson series", 1940).
pub fn two_rates(k1: u64, t1: f64, k2: u64, t2: f64) -> f64 {
    ln_two_rates(k1, t1, k2, t2).exp()
}

/// The logarithm of [`two_rates`].
pub fn ln_two_rates(k1: u64, t1: f64, k2: u64, t2: f64) -> f64 {
    let share = t1 / (t1 + t2);
    if !(t1 >= 0.0 && t2 >= 0.0 && share.is_finite()) {
        0.0
    } else {
        ln_binomial_upper_tail(k1, k1.saturating_add(k2), share)
    }
}

/// P(X ≥ k) of n trials whose common probability of success is drawn from Beta(alpha, beta): the test of
/// Javed & Paxson, "Detecting stealthy, distributed SSH brute-forcing" (2013). Takes O(n) steps.
pub fn beta_binomial_upper_tail(k: u64, n: u64, alpha: f64, beta: f64) -> f64 {
    ln_beta_binomial_upper_tail(k, n, alpha, beta).exp()
}

/// The logarithm of [`beta_binomial_upper_tail`].
pub fn ln_beta_binomial_upper_tail(k: u64, n: u64, alpha: f64, beta: f64) -> f64 {
    if !(k > 0 && alpha > 0.0 && beta > 0.0 && alpha.is_finite() && beta.is_finite()) {
        return 0.0;
    }
    if k > n {
        return f64::NEG_INFINITY;
    }
    let (k, n) = (k as f64, n as f64);
    if k > n * alpha / (alpha + beta) {
        return ln_beta_binomial_sum(k, n, alpha, beta).min(0.0);
    }
    // P(X < k) is P(n − X ≥ n − k + 1), and n − X is beta-binomial too.
    ln_complement(ln_beta_binomial_sum(n - k + 1.0, n, beta, alpha).min(0.0))
}

/// ln Σ P(X = j) for j from k to n.
fn ln_beta_binomial_sum(k: f64, n: f64, alpha: f64, beta: f64) -> f64 {
    let (mut sum, mut term, mut scale, mut j) = (1.0, 1.0, ln_beta_binomial(k, n, alpha, beta), k);
    while j < n {
        let ratio = (n - j) / (j + 1.0) * (j + alpha) / (n - j - 1.0 + beta);
        term *= ratio;
        sum += term;
        j += 1.0;
        // With beta ≥ 1 the ratio falls from here on, so a geometric series bounds the rest.
        if beta >= 1.0 && ratio < 1.0 && term * ratio < sum * (1.0 - ratio) * 1e-17 {
            break;
        }
        if sum > 1e200 {
            scale += sum.ln();
            term /= sum;
            sum = 1.0;
        }
    }
    scale + sum.ln()
}

/// ln P(X = j).
fn ln_beta_binomial(j: f64, n: f64, alpha: f64, beta: f64) -> f64 {
    let (a, b) = (j + alpha, n - j + beta);
    let (p, q) = (a / (a + b), b / (a + b));
    // C(n,j) B(a,b) / B(alpha,beta), each by its density at p, where the powers of p cancel.
    let binomial = if j == 0.0 {
        n * q.ln()
    } else if j == n {
        n * p.ln()
    } else {
        ln_beta_density(j, n - j, p, q) + (n / (j * (n - j))).ln()
    };
    binomial + ln_beta_density(alpha, beta, p, q) - ln_beta_density(a, b, p, q)
}

/// Returns, for each p-value, the smallest false discovery rate at which it counts as a discovery (Benjamini
/// & Hochberg 1995). NaN counts as 1.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let value = |index: usize| if p[index].is_nan() { 1.0 } else { p[index].clamp(0.0, 1.0) };
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)).then(a.cmp(&b)));
    let mut q = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (n, &index) in order.iter().enumerate() {
        least = least.min(value(index) * p.len() as f64 / (p.len() - n) as f64);
        q[index] = least;
    }
    q
}

/// Shannon's entropy in bits per byte, in [0, 8]; 0 for no bytes.
pub fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let total = bytes.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| count as f64 / total)
        .map(|share| -share * share.log2())
        .sum();
    bits.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1e-300), "{ours} is not {theirs}");
    }

    #[test]
    fn small_cases_are_what_counting_gives() {
        close(ln_gamma(5.0).exp(), 24.0);
        close(binomial_upper_tail(2, 3, 0.5), 0.5);
        close(binomial_upper_tail(3, 3, 0.1), 0.001);
        close(poisson_upper_tail(1, 1.0), 1.0 - (-1.0_f64).exp());
        close(two_rates(3, 1.0, 0, 1.0), 0.125);
        // With a uniform prior every count is equally likely.
        close(beta_binomial_upper_tail(3, 9, 1.0, 1.0), 0.7);
        close(beta_binomial_upper_tail(8, 9, 1.0, 1.0), 0.2);
        close(entropy(b"abab"), 1.0);
    }

    #[test]
    fn both_ends_of_the_range_are_certain_or_impossible() {
        assert_eq!(binomial_upper_tail(0, 0, 0.3), 1.0);
        assert_eq!(binomial_upper_tail(1, 0, 0.3), 0.0);
        assert_eq!(binomial_upper_tail(5, 9, 0.0), 0.0);
        assert_eq!(binomial_upper_tail(5, 9, 1.0), 1.0);
        assert_eq!(poisson_upper_tail(0, 0.0), 1.0);
        assert_eq!(poisson_upper_tail(1, 0.0), 0.0);
        assert_eq!(poisson_upper_tail(7, f64::INFINITY), 1.0);
        assert_eq!(beta_binomial_upper_tail(9, 8, 1.0, 2.0), 0.0);
        assert_eq!(entropy(b""), 0.0);
        assert_eq!(entropy(b"aaaa"), 0.0);
    }

    #[test]
    fn what_makes_no_sense_is_nothing_unusual() {
        for bad in [f64::NAN, -1.0] {
            assert_eq!(two_rates(3, bad, 3, 1.0), 1.0);
            assert_eq!(beta_binomial_upper_tail(3, 9, bad, 1.0), 1.0);
        }
        assert_eq!(two_rates(3, 0.0, 3, 0.0), 1.0);
        assert_eq!(binomial_upper_tail(3, 9, f64::NAN), 1.0);
        assert_eq!(poisson_upper_tail(3, f64::NAN), 1.0);
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert!(benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn probabilities_too_small_for_a_number_keep_their_logarithm() {
        close(ln_binomial_upper_tail(10_000, 10_000, 1e-3), 10_000.0 * 1e-3_f64.ln());
        assert_eq!(binomial_upper_tail(10_000, 10_000, 1e-3), 0.0);
        assert!(ln_poisson_upper_tail(100_000, 1.0) < -1e6);
    }

    #[test]
    fn sums_of_logarithms_do_not_underflow() {
        close(ln_sum(-1_000.0, -1_000.0), -1_000.0 + 2.0_f64.ln());
        close(ln_sum_all(&[-1_000.0; 4]), -1_000.0 + 4.0_f64.ln());
        assert_eq!(ln_sum_all(&[]), f64::NEG_INFINITY);
        assert_eq!(ln_sum(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        close(ln_complement(-1e-20), -46.051_701_859_880_91);
    }
}
