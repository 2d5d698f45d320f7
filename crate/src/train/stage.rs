//! Which epochs belong to which stage.

use super::recipe::{Recipe, Stage};
use crate::model::Unfreeze;

/// A stage with its place in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// First epoch, counted from 1.
    pub first: usize,
    /// Last epoch.
    pub last: usize,
    /// How much of the network may learn.
    pub unfreeze: Unfreeze,
    /// Step size before any schedule.
    pub learning_rate: f64,
}

impl Span {
    pub fn epochs(&self) -> usize {
        self.last + 1 - self.first
    }
}

/// The stages of a run, at least one, without those that are cut to no epoch at all.
pub(super) fn spans(recipe: &Recipe, from_given_weights: bool) -> Vec<Span> {
    let whole = Span {
        first: 1,
        last: recipe.epochs,
        unfreeze: recipe.unfreeze,
        learning_rate: recipe.optimizer.learning_rate(),
    };
    if !from_given_weights || recipe.stages.is_empty() {
        return vec![whole];
    }
    let total: usize = recipe.stages.iter().map(|stage| stage.epochs).sum();
    let mut spans = Vec::new();
    let (mut done, mut last) = (0, 0);
    for &Stage { epochs, unfreeze, learning_rate } in &recipe.stages {
        done += epochs;
        let first = last + 1;
        last = (recipe.epochs * done + total / 2) / total;
        if last >= first {
            spans.push(Span { first, last, unfreeze, learning_rate });
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_cover_every_epoch_once_whatever_their_number() {
        for epochs in 1..60 {
            let recipe = Recipe { epochs, ..Recipe::default() };
            let spans = spans(&recipe, true);
            let covered: Vec<usize> = spans.iter().flat_map(|span| span.first..=span.last).collect();
            assert_eq!(covered, (1..=epochs).collect::<Vec<_>>());
            assert_eq!(spans.last().unwrap().unfreeze, Unfreeze::All);
        }
        let lengths: Vec<usize> = spans(&Recipe::default(), true).iter().map(Span::epochs).collect();
        assert_eq!(lengths, [1, 3, 8]);
    }

    #[test]
    fn from_random_weights_everything_learns_from_the_start() {
        let recipe = Recipe::default();
        let all = Span { first: 1, last: 12, unfreeze: Unfreeze::All, learning_rate: 3e-4 };
        assert_eq!(spans(&recipe, false), [all]);
        assert_eq!(spans(&Recipe { stages: Vec::new(), ..recipe }, true), [all]);
    }
}
