//! DeLong's variance of the area under the ROC curve (DeLong, DeLong & Clarke-Pearson, Biometrics 44, 837, 1988), by
//! ranks as in the fast algorithm of Sun & Xu (IEEE Signal Processing Letters 21, 1389, 2014), and with whole patients
//! as units where they have several studies (Obuchowski, Biometrics 53, 567, 1997).

use std::hash::Hash;

use serde::{Deserialize, Serialize};
use studies::Label;

use crate::patients::Patients;
use crate::special::{Z, two_sided};
use crate::{Interval, IntervalKind, NoInterval, check};

/// An area under the ROC curve and how much chance moves it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeLong {
    /// The area, `0.0..=1.0`.
    pub auroc: f64,
    /// Its variance, over patients.
    pub variance: f64,
}

impl DeLong {
    /// Area and variance; one patient a study.
    ///
    /// # Errors
    /// [`NoInterval::NoStudyIs`] if a class is absent; [`NoInterval::FewPatients`] if a class has one patient only;
    /// [`NoInterval::Undefined`] if the slices differ in length or a score is NaN.
    ///
    /// ```
    /// use studies::Label::{Abnormal, Normal};
    /// use humerus_metrics::DeLong;
    /// let labels = [Normal, Normal, Normal, Abnormal, Abnormal];
    /// let found = DeLong::new(&labels, &[0.1, 0.2, 0.6, 0.5, 0.9], &[1, 2, 3, 4, 5]).unwrap();
    /// // Of the abnormal one is above 2 of 3 normal ones, one above all; of the normal two are below both.
    /// assert!((found.auroc - 5.0 / 6.0).abs() < 1e-12);
    /// assert!((found.variance - (1.0 / 18.0 / 2.0 + 1.0 / 12.0 / 3.0)).abs() < 1e-12);
    /// ```
    pub fn new<P: Eq + Hash>(labels: &[Label], scores: &[f64], patients: &[P]) -> Result<DeLong, NoInterval> {
        let placed = Placements::new(labels, scores, patients)?;
        Ok(DeLong { auroc: placed.auroc, variance: placed.covariance(&placed) })
    }

    /// The 95 % interval about the area, cut at 0 and 1.
    ///
    /// # Errors
    /// [`NoInterval::Separated`] if the variance is 0.
    pub fn interval(&self) -> Result<Interval, NoInterval> {
        let half = Z * self.deviation()?;
        Ok(Interval::new(self.auroc - half, self.auroc + half, IntervalKind::DeLong).within_shares())
    }

    /// The 95 % interval on the scale of log odds, which is the better one near 1.
    ///
    /// # Errors
    /// [`NoInterval::Separated`] if the variance is 0 or the area is 0 or 1.
    pub fn logit_interval(&self) -> Result<Interval, NoInterval> {
        let deviation = self.deviation()?;
        if self.auroc <= 0.0 || self.auroc >= 1.0 {
            return Err(NoInterval::Separated);
        }
        let middle = (self.auroc / (1.0 - self.auroc)).ln();
        let half = Z * deviation / (self.auroc * (1.0 - self.auroc));
        let back = |log_odds: f64| 1.0 / (1.0 + (-log_odds).exp());
        Ok(Interval::new(back(middle - half), back(middle + half), IntervalKind::DeLongLogit))
    }

    fn deviation(&self) -> Result<f64, NoInterval> {
        match self.variance > 0.0 {
            true => Ok(self.variance.sqrt()),
            false => Err(NoInterval::Separated),
        }
    }
}

/// Two areas over the same studies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeLongPair {
    /// Of the first scores.
    pub first: DeLong,
    /// Of the second scores.
    pub second: DeLong,
    /// How much chance moves them together.
    pub covariance: f64,
}

impl DeLongPair {
    /// Both areas; one patient a study.
    ///
    /// # Errors
    /// As [`DeLong::new`].
    pub fn new<P: Eq + Hash>(
        labels: &[Label],
        first: &[f64],
        second: &[f64],
        patients: &[P],
    ) -> Result<DeLongPair, NoInterval> {
        let (a, b) = (Placements::new(labels, first, patients)?, Placements::new(labels, second, patients)?);
        let of = |it: &Placements| DeLong { auroc: it.auroc, variance: it.covariance(it) };
        Ok(DeLongPair { first: of(&a), second: of(&b), covariance: a.covariance(&b) })
    }

    /// The first area less the second.
    pub fn difference(&self) -> f64 {
        self.first.auroc - self.second.auroc
    }

    /// The difference in its standard deviations; `None` where its variance is 0, as of the same scores.
    pub fn z(&self) -> Option<f64> {
        let variance = self.first.variance + self.second.variance - 2.0 * self.covariance;
        // What is left of equal numbers by rounding.
        (variance > 1e-15).then(|| self.difference() / variance.sqrt())
    }

    /// How likely so large a difference, either way, would be if there were none.
    pub fn p(&self) -> Option<f64> {
        self.z().map(two_sided)
    }

    /// The 95 % interval of the difference.
    ///
    /// # Errors
    /// [`NoInterval::SameOnEveryDraw`] if chance does not move it.
    pub fn interval(&self) -> Result<Interval, NoInterval> {
        let variance = self.first.variance + self.second.variance - 2.0 * self.covariance;
        if variance <= 1e-15 {
            return Err(NoInterval::SameOnEveryDraw);
        }
        let half = Z * variance.sqrt();
        let (low, high) = ((self.difference() - half).max(-1.0), (self.difference() + half).min(1.0));
        Ok(Interval::new(low, high, IntervalKind::DeLong))
    }
}

/// For each patient, the sums over the studies of each class of their shares of studies of the other class that are on
/// the right side, ties counted half; less as many areas.
struct Placements {
    auroc: f64,
    /// `[of normal, of abnormal]` of each patient.
    sums: Vec<[f64; 2]>,
    /// Studies of each class.
    studies: [f64; 2],
    /// Patients with studies of each class, and of all.
    patients: [f64; 3],
}

impl Placements {
    fn new<P: Eq + Hash>(labels: &[Label], scores: &[f64], patients: &[P]) -> Result<Placements, NoInterval> {
        if check(labels, scores).is_err() || patients.len() != labels.len() {
            return Err(NoInterval::Undefined);
        }
        let counts = Label::ALL.map(|label| labels.iter().filter(|it| **it == label).count());
        for label in Label::ALL {
            if counts[label.index()] == 0 {
                return Err(NoInterval::NoStudyIs { label });
            }
        }
        let patients = Patients::new(patients);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        // Twice the number of pairs in the right order: whole numbers stay exact.
        let (mut below, mut pairs) = ([0usize; 2], 0u128);
        let mut shares = vec![0.0; labels.len()];
        for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let mut here = [0usize; 2];
            tied.iter().for_each(|&study| here[labels[study].index()] += 1);
            for &study in tied {
                shares[study] = match labels[study] {
                    Label::Abnormal => (2 * below[0] + here[0]) as f64 / (2 * counts[0]) as f64,
                    Label::Normal => (2 * (counts[1] - below[1] - here[1]) + here[1]) as f64 / (2 * counts[1]) as f64,
                };
            }
            pairs += here[1] as u128 * (2 * below[0] + here[0]) as u128;
            (below[0], below[1]) = (below[0] + here[0], below[1] + here[1]);
        }
        let auroc = pairs as f64 / (2.0 * counts[0] as f64 * counts[1] as f64);
        let mut sums = vec![[0.0; 2]; patients.count];
        let mut has = vec![[false; 2]; patients.count];
        for (study, &patient) in patients.of.iter().enumerate() {
            let class = labels[study].index();
            sums[patient][class] += shares[study] - auroc;
            has[patient][class] = true;
        }
        let with = [0, 1].map(|class| has.iter().filter(|has| has[class]).count());
        if with.contains(&1) {
            let [normal, abnormal] = with;
            return Err(NoInterval::FewPatients { normal, abnormal, of: crate::Drawn::Patients });
        }
        let patients = [with[0] as f64, with[1] as f64, patients.count as f64];
        Ok(Placements { auroc, sums, studies: counts.map(|n| n as f64), patients })
    }

    /// Of two areas; with itself, the variance. Of patients with one study each this is DeLong's.
    fn covariance(&self, other: &Placements) -> f64 {
        let product = |a: usize, b: usize| {
            self.sums.iter().zip(&other.sums).map(|(first, second)| first[a] * second[b]).sum::<f64>()
        };
        let [normal, abnormal] = self.studies;
        let own = |class: usize| {
            let n = self.patients[class];
            n / (n - 1.0) * product(class, class) / self.studies[class].powi(2)
        };
        let all = self.patients[2];
        // Patients with studies of both classes tie the two together.
        let both = all / (all - 1.0) * (product(0, 1) + product(1, 0)) / (normal * abnormal);
        own(0) + own(1) + both
    }
}
