//! Intervals of shares: Wilson's (1927), Clopper's and Pearson's (1934), and Wilson's over patients with several
//! studies each.

use std::hash::Hash;

use crate::patients::Patients;
use crate::special::{Z, beta_quantile};
use crate::{Interval, IntervalKind, NoInterval};

/// 95 % interval of a share by Wilson's score method: of the studies that `hits` says anything of, the share that it
/// says `true` of.
///
/// Studies of one patient are alike, so that they tell less than as many patients would: their number is divided by the
/// design effect (Rao & Scott, Biometrics 48, 577, 1992). Where all or none are hits nothing shows how alike they are,
/// and each patient counts once.
///
/// # Errors
/// [`NoInterval::Undefined`] if nothing is said of any study, or the slices differ in length.
///
/// ```
/// use humerus_metrics::share_interval;
/// let found = share_interval(&[1, 2, 3], &[Some(false); 3]).unwrap();
/// assert!(found.low == 0.0 && (found.high - 0.562).abs() < 1e-3);
/// ```
pub fn share_interval<P: Eq + Hash>(patients: &[P], hits: &[Option<bool>]) -> Result<Interval, NoInterval> {
    if patients.len() != hits.len() {
        return Err(NoInterval::Undefined);
    }
    of_patients(&Patients::new(patients), |study| hits[study])
}

/// [`share_interval`] of patients that are numbered.
pub(crate) fn of_patients(patients: &Patients, hit: impl Fn(usize) -> Option<bool>) -> Result<Interval, NoInterval> {
    let mut counts = vec![(0.0, 0.0); patients.count];
    for (study, &patient) in patients.of.iter().enumerate() {
        if let Some(hit) = hit(study) {
            counts[patient].0 += f64::from(u8::from(hit));
            counts[patient].1 += 1.0;
        }
    }
    counts.retain(|(_, n)| *n > 0.0);
    let (hits, n) = counts.iter().fold((0.0, 0.0), |(hits, n), (h, m)| (hits + h, n + m));
    if n == 0.0 {
        return Err(NoInterval::Undefined);
    }
    let share = hits / n;
    let if_unlike = share * (1.0 - share) / n;
    let n = if if_unlike > 0.0 {
        let variance = counts.iter().map(|(hit, m): &(f64, f64)| (hit - share * m).powi(2)).sum::<f64>() / (n * n);
        n / (variance / if_unlike).max(1.0)
    } else {
        counts.len() as f64
    };
    Ok(score_interval(share, n))
}

/// Wilson's 95 % interval of `hits` among `n` that have nothing to do with each other.
///
/// # Errors
/// [`NoInterval::Undefined`] if `n` is 0 or `hits` is more than `n`.
pub fn wilson(hits: usize, n: usize) -> Result<Interval, NoInterval> {
    match n > 0 && hits <= n {
        true => Ok(score_interval(hits as f64 / n as f64, n as f64)),
        false => Err(NoInterval::Undefined),
    }
}

/// Clopper's and Pearson's 95 % interval of `hits` among `n` that have nothing to do with each other: it holds the
/// truth at least as often as it says, mostly oftener.
///
/// # Errors
/// [`NoInterval::Undefined`] if `n` is 0 or `hits` is more than `n`.
///
/// ```
/// use humerus_metrics::clopper_pearson;
/// let found = clopper_pearson(0, 3).unwrap();
/// assert!(found.low == 0.0 && (found.high - 0.7076).abs() < 1e-4);
/// ```
pub fn clopper_pearson(hits: usize, n: usize) -> Result<Interval, NoInterval> {
    if n == 0 || hits > n {
        return Err(NoInterval::Undefined);
    }
    let (hit, missed) = (hits as f64, (n - hits) as f64);
    let low = if hits == 0 { 0.0 } else { beta_quantile(hit, missed + 1.0, 0.025) };
    let high = if hits == n { 1.0 } else { beta_quantile(hit + 1.0, missed, 0.975) };
    Ok(Interval::new(low, high, IntervalKind::ClopperPearson))
}

/// Wilson's interval for a share of `n`.
fn score_interval(share: f64, n: f64) -> Interval {
    let square = Z * Z / n;
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = (share * (1.0 - share) * square + square * square / 4.0).sqrt() / (1.0 + square);
    // Exactly 0 and 1 at the ends, whatever rounding says.
    let low = if share == 0.0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if share == 1.0 { 1.0 } else { (middle + half).min(1.0) };
    Interval::new(low, high, IntervalKind::Wilson)
}
