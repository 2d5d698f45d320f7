//! Temperature and operating point, chosen on scored studies.

use std::collections::HashMap;

use serde::Serialize;

use super::{Metrics, OperatingPoint, Probability, Report};
use crate::error::{Error, Result};
use crate::model::{Formerly, Model, Temperature};
use crate::recipe::Calibrate;
use metrics::Rule;
use studies::{Label, Split};

/// What a calibration found, and what it changed on the studies that it was made on: a little too good for that reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// What logits are divided by.
    pub temperature: Temperature,
    /// From where on a study counts as abnormal.
    pub operating_point: OperatingPoint,
    /// Figures of the model as it was.
    pub before: Metrics,
    /// Figures with the new temperature and operating point.
    pub after: Metrics,
}

impl Report {
    /// The same scores at another temperature, decided at an operating point: each view's logits divided by it, each
    /// study the mean of its views.
    pub fn at_temperature(&self, temperature: f64, operating_point: OperatingPoint) -> Result<Report> {
        let mut report = self.clone();
        let relative = temperature / self.temperature;
        let mut of_study: HashMap<&str, Vec<Probability>> = HashMap::new();
        for (view, before) in report.views.iter_mut().zip(&self.views) {
            view.probability = Probability::new(metrics::at_temperature(before.probability.get(), relative))?;
            of_study.entry(&before.study).or_default().push(view.probability);
        }
        for study in &mut report.studies {
            let views = of_study.get(study.study.as_str()).into_iter().flatten().copied();
            study.probability = Probability::mean(views).unwrap_or(study.probability);
        }
        report.temperature = temperature;
        Ok(report.decided_at(operating_point))
    }

    /// The same scores as the network alone gives them, at temperature 1, decided at the report's own threshold.
    ///
    /// # Errors
    /// None that a report of this crate's meets.
    pub fn uncalibrated(&self) -> Result<Report> {
        self.at_temperature(1.0, self.operating_point.clone())
    }

    /// Labels, probabilities and patients of the views of labelled studies, in order.
    pub(crate) fn labelled_views(&self) -> (Vec<Label>, Vec<f64>, Vec<&str>) {
        let groups: HashMap<&str, &str> = self.studies.iter().map(|s| (s.study.as_str(), s.group.as_str())).collect();
        let mut found = (Vec::new(), Vec::new(), Vec::new());
        for view in &self.views {
            if let (Some(label), Some(group)) = (view.label, groups.get(view.study.as_str())) {
                found.0.push(label);
                found.1.push(view.probability.get());
                found.2.push(*group);
            }
        }
        found
    }

    /// Temperature and operating point by these rules on the labelled studies, and the report with both applied.
    pub(crate) fn calibrated(
        &self,
        calibrate: Calibrate,
        rule: Rule,
        on: Option<Split>,
        data: &str,
    ) -> Result<(Temperature, OperatingPoint, Report)> {
        let plain = self.uncalibrated()?;
        let mut temperature = match calibrate {
            Calibrate::None => Temperature::default(),
            Calibrate::Temperature => {
                let (labels, probabilities, patients) = plain.labelled_views();
                Temperature::fit(&labels, &probabilities, &patients)?
            }
        };
        let warmed = plain.at_temperature(temperature.value, self.operating_point.clone())?;
        let (labels, probabilities) = warmed.labelled();
        let mut point = OperatingPoint::choose(rule, &labels, &probabilities, &warmed.groups())?;
        (point.measured_on, point.data) = (on, Some(data.to_owned()));
        if temperature.log_loss.is_some() {
            (temperature.fitted_on, temperature.data) = (on, Some(data.to_owned()));
        }
        let report = warmed.decided_at(point.clone());
        Ok((temperature, point, report))
    }
}

impl Model {
    /// Fits temperature and operating point anew on a labelled sample that this model scored, and writes both into the
    /// card, which keeps those that it had: figures on the held-out studies among them, which are not true of the new
    /// ones. `data` is the sample's name.
    ///
    /// # Errors
    /// [`Error::Setting`] if the sample has fewer than [`metrics::FEWEST_PATIENTS`] patients of a class, of which
    /// nothing can be said.
    pub fn calibrate(&mut self, report: &Report, calibrate: Calibrate, rule: Rule, data: &str) -> Result<Calibration> {
        let (labels, _) = report.labelled();
        metrics::enough_patients(&labels, &report.groups()).map_err(|why| {
            Error::setting("sample to calibrate on", "enough patients to say anything", why.of_drawn(report.drawn()))
        })?;
        let before = report.metrics()?;
        let (temperature, operating_point, after) = report.calibrated(calibrate, rule, None, data)?;
        let after = Metrics { split: None, ..after.metrics()? };
        let card = &mut self.card;
        card.formerly.push(Formerly {
            temperature: std::mem::replace(&mut card.temperature, temperature.clone()),
            operating_point: std::mem::replace(&mut card.operating_point, operating_point.clone()),
            tune: card.tune.take(),
            held_out: card.held_out.take(),
            calibrated: card.calibrated.replace(after.clone()),
        });
        Ok(Calibration { temperature, operating_point, before, after })
    }
}
