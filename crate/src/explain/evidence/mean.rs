//! A mean over films with its interval over patients.

use std::collections::BTreeMap;
use std::fmt;

use metrics::{DRAWS, FEWEST_PATIENTS, Interval, IntervalKind, resamples};
use serde::Serialize;

/// A mean over films, and its 95 % percentile bootstrap interval over patients, or what stands for them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean; none if there is no film.
    pub value: Option<f64>,
    /// Its interval; none below [`FEWEST_PATIENTS`] patients.
    pub interval: Option<Interval>,
    /// Films.
    pub films: usize,
    /// Their patients.
    pub patients: usize,
}

impl Mean {
    /// The mean of one value a film, with its patient.
    pub fn of(values: &[f64], patients: &[&str]) -> Mean {
        let mut by_patient: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (value, patient) in values.iter().zip(patients) {
            by_patient.entry(patient).or_default().push(*value);
        }
        let groups: Vec<&Vec<f64>> = by_patient.values().collect();
        let mean = |of: &mut dyn Iterator<Item = &&Vec<f64>>| {
            let (sum, n) = of.fold((0.0, 0usize), |(sum, n), all| (sum + all.iter().sum::<f64>(), n + all.len()));
            (n > 0).then(|| sum / n as f64)
        };
        let value = mean(&mut groups.iter());
        let interval = (groups.len() >= FEWEST_PATIENTS).then(|| {
            let drawn = resamples(groups.len(), DRAWS, 0).filter_map(|all| mean(&mut all.iter().map(|&i| &groups[i])));
            let mut drawn: Vec<f64> = drawn.collect();
            drawn.sort_by(f64::total_cmp);
            let at = |share: f64| drawn[(share * (drawn.len() - 1) as f64).round() as usize];
            Interval { low: at(0.025), high: at(0.975), kind: IntervalKind::Bootstrap }
        });
        Mean { value, interval, films: values.len(), patients: groups.len() }
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.interval) {
            (None, _) => f.write_str("no film"),
            (Some(value), Some(Interval { low, high, .. })) => write!(f, "{value:.3} ({low:.3} to {high:.3})"),
            (Some(value), None) => {
                write!(f, "{value:.3} (no interval: {} of {FEWEST_PATIENTS} patients)", self.patients)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_of_one_patient_are_drawn_together_and_a_handful_has_no_interval() {
        let names: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        let alone: Vec<&str> = names.iter().map(String::as_str).collect();
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        let one = Mean::of(&values, &alone);
        let pairs: Vec<&str> = (0..40).map(|i| names[i / 2 * 2].as_str()).collect();
        let in_pairs: Vec<f64> = (0..40).map(|i| f64::from(i / 2 % 2)).collect();
        let two = Mean::of(&in_pairs, &pairs);
        assert_eq!((one.value, two.value, two.patients), (Some(0.5), Some(0.5), 20));
        let width = |mean: &Mean| mean.interval.map(|it| it.high - it.low).unwrap();
        assert!(width(&two) > 1.2 * width(&one), "{one} {two}");
        let few = Mean::of(&values[..3], &alone[..3]).to_string();
        assert_eq!(few, "0.333 (no interval: 3 of 10 patients)");
        assert_eq!(Mean::of(&[], &[]).to_string(), "no film");
    }
}
