//! Studies by patient: the units that chance draws.

use std::collections::HashMap;
use std::hash::Hash;

use studies::Label;

use crate::{Drawn, FEWEST_PATIENTS, NoInterval};

/// Which patient each study is of, numbered from 0 in the order in which they appear.
#[derive(Debug, Clone)]
pub(crate) struct Patients {
    /// The patient of each study.
    pub of: Vec<usize>,
    /// How many there are.
    pub count: usize,
}

impl Patients {
    pub fn new<P: Eq + Hash>(patients: &[P]) -> Patients {
        let mut numbers: HashMap<&P, usize> = HashMap::new();
        let of = patients.iter().map(|patient| {
            let next = numbers.len();
            *numbers.entry(patient).or_insert(next)
        });
        let of: Vec<usize> = of.collect();
        Patients { of, count: numbers.len() }
    }

    /// Refuses fewer than [`FEWEST_PATIENTS`] patients with a study of either class.
    pub fn enough(&self, labels: &[Label]) -> Result<(), NoInterval> {
        let [normal, abnormal] = Label::ALL.map(|label| {
            let mut has = vec![false; self.count];
            self.of.iter().zip(labels).filter(|(_, it)| **it == label).for_each(|(patient, _)| has[*patient] = true);
            has.into_iter().filter(|has| *has).count()
        });
        if normal.min(abnormal) < FEWEST_PATIENTS {
            return Err(NoInterval::FewPatients { normal, abnormal, of: Drawn::Patients });
        }
        Ok(())
    }
}
