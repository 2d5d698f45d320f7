//! The schedules that move the learning rate.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::recipe::Schedule;

/// Where a schedule stands.
#[derive(Debug)]
pub(super) struct Pace {
    schedule: Schedule,
    peak: f64,
    total_steps: usize,
    state: PaceState,
}

/// What a schedule remembers from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct PaceState {
    factor: f64,
    /// `None` before the first epoch is over.
    lowest_loss: Option<f64>,
    waited: usize,
}

impl Pace {
    /// For a run of `total_steps` steps around this learning rate.
    pub fn new(schedule: Schedule, peak: f64, total_steps: usize) -> Self {
        Pace { schedule, peak, total_steps, state: PaceState { factor: 1.0, lowest_loss: None, waited: 0 } }
    }

    /// The learning rate of step `step`, counted from 0.
    pub fn learning_rate(&self, step: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::ReduceOnPlateau { .. } => self.peak * self.state.factor,
            Schedule::Cosine { warm_up } => {
                let (step, total) = (step as f64, self.total_steps as f64);
                let rise = (warm_up * total).floor();
                if step < rise {
                    self.peak * step / rise
                } else {
                    cosine(self.peak, 0.0, ((step - rise) / (total - rise).max(1.0)).min(1.0))
                }
            }
            Schedule::OneCycle { warm_up } => {
                // PyTorch's OneCycleLR, div_factor 25, final_div_factor 400: from peak/25 to the peak to peak/10,000.
                let (low, end) = (self.peak / 25.0, self.peak / 1e4);
                let top = warm_up * self.total_steps as f64 - 1.0;
                let last = self.total_steps as f64 - 1.0;
                let step = step as f64;
                if step <= top {
                    cosine(low, self.peak, if top > 0.0 { step / top } else { 1.0 })
                } else {
                    cosine(self.peak, end, ((step - top) / (last - top).max(1.0)).clamp(0.0, 1.0))
                }
            }
        }
    }

    pub(super) fn state(&self) -> PaceState {
        self.state
    }

    pub(super) fn restore(&mut self, state: PaceState) {
        self.state = state;
    }

    /// Tells the schedule the tune loss of an epoch that is over.
    pub fn epoch_is_over(&mut self, tune_loss: f64) {
        let Schedule::ReduceOnPlateau { factor, patience } = self.schedule else { return };
        let state = &mut self.state;
        if state.lowest_loss.is_none_or(|lowest| tune_loss < lowest - 1e-4) {
            state.lowest_loss = Some(tune_loss);
            state.waited = 0;
        } else {
            state.waited += 1;
            if state.waited >= patience {
                state.factor *= factor;
                state.waited = 0;
            }
        }
    }
}

fn cosine(from: f64, to: f64, way: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * way).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_to_the_peak_and_falls_to_almost_nothing() {
        let pace = Pace::new(Schedule::OneCycle { warm_up: 0.3 }, 1.0, 100);
        assert!((pace.learning_rate(0) - 0.04).abs() < 1e-9);
        assert!((pace.learning_rate(29) - 1.0).abs() < 1e-9);
        assert!((pace.learning_rate(99) - 1e-4).abs() < 1e-9);
    }

    #[test]
    fn cosine_rises_to_the_peak_in_a_straight_line_and_falls_towards_zero() {
        let pace = Pace::new(Schedule::Cosine { warm_up: 0.2 }, 2.0, 10);
        assert_eq!([0, 1, 2].map(|step| pace.learning_rate(step)), [0.0, 1.0, 2.0]);
        assert!((pace.learning_rate(6) - 1.0).abs() < 1e-12);
        assert!(pace.learning_rate(9) > 0.0 && pace.learning_rate(10).abs() < 1e-12);
        assert_eq!(Pace::new(Schedule::Cosine { warm_up: 0.0 }, 2.0, 10).learning_rate(0), 2.0);
    }

    #[test]
    fn plateau_waits_for_its_patience() {
        let mut pace = Pace::new(Schedule::ReduceOnPlateau { factor: 0.1, patience: 2 }, 1.0, 10);
        for (loss, expected) in [(1.0, 1.0), (1.1, 1.0), (1.2, 0.1), (0.5, 0.1), (0.6, 0.1), (0.7, 0.01)] {
            pace.epoch_is_over(loss);
            assert!((pace.learning_rate(0) - expected).abs() < 1e-12, "{loss}");
        }
    }
}
