//! Which epochs belong to which stage.

use super::standing::Standing;
use crate::network::Unfreeze;
use crate::recipe::{Recipe, Stage};

/// A stage with its place in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// First epoch, counted from 1.
    pub first: usize,
    /// Last epoch.
    pub last: usize,
    /// How much of the network may learn.
    pub unfreeze: Unfreeze,
    /// Learning rate before any schedule.
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

/// The stages of a run that may have been given more epochs, which its last stage takes.
pub(super) fn stages(recipe: &Recipe, from_given_weights: bool, standing: &Standing) -> Vec<Span> {
    let first = standing.continued_after.first().copied().unwrap_or(recipe.epochs);
    let mut spans = spans(&Recipe { epochs: first, ..recipe.clone() }, from_given_weights);
    if let Some(last) = spans.last_mut() {
        last.last = recipe.epochs;
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
    fn the_last_stage_takes_the_epochs_that_a_run_is_given_later() {
        let lengths = |epochs, continued_after| {
            let standing = Standing { continued_after, ..Standing::start() };
            let stages = stages(&Recipe { epochs, ..Recipe::default() }, true, &standing);
            stages.iter().map(Span::epochs).collect::<Vec<_>>()
        };
        assert_eq!(lengths(12, vec![]), [1, 3, 8]);
        assert_eq!(lengths(20, vec![12]), [1, 3, 16]);
        assert_eq!(lengths(24, vec![12, 20]), [1, 3, 20]);
    }

    #[test]
    fn from_random_weights_everything_learns_from_the_start() {
        let recipe = Recipe::default();
        let all = Span { first: 1, last: 12, unfreeze: Unfreeze::All, learning_rate: 3e-4 };
        assert_eq!(spans(&recipe, false), [all]);
        assert_eq!(spans(&Recipe { stages: Vec::new(), ..recipe }, true), [all]);
    }
}
