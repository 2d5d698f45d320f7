//! Training on a thread of its own, so that a notebook's kernel stays free to watch and stop it.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::report::{Epochs, Event, TrainReport};
use super::{Recipe, StopHandle, TrainOptions, run};
use crate::dataset::Index;
use crate::error::{Error, Result};

/// Starts [`run`] on a thread of its own and returns at once.
///
/// # Errors
/// None here: whatever is wrong, [`TrainingRun::wait`] says.
pub fn spawn(index: &Index, recipe: &Recipe, options: &TrainOptions) -> TrainingRun {
    let (index, recipe, options) = (index.clone(), recipe.clone(), options.clone());
    let stop = options.stop.clone();
    let shared = Arc::new(Shared::default());
    let tell = Arc::clone(&shared);
    let thread = std::thread::spawn(move || {
        // Said even if training panics, so that nobody watches for ever.
        let over = Over(Arc::clone(&tell));
        let report = run(&index, &recipe, &options, &mut |event| {
            tell.told().events.push(event);
            tell.news.notify_all();
        });
        drop(over);
        report
    });
    TrainingRun { shared, stop, thread: Some(thread), seen: 0 }
}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Mailbox>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Mailbox {
    events: Vec<Event>,
    over: bool,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Mailbox> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.told().over = true;
        self.0.news.notify_all();
    }
}

/// A training run on its own thread. To drop it asks the run to stop, and waits until it has saved what it needs to
/// continue.
#[derive(Debug)]
pub struct TrainingRun {
    shared: Arc<Shared>,
    stop: StopHandle,
    thread: Option<JoinHandle<Result<TrainReport>>>,
    seen: usize,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The epochs that are over, of those since it was started or resumed.
    pub epochs: Epochs,
    /// The last thing it told.
    pub last: Option<Event>,
    /// Whether it still runs.
    pub running: bool,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.running { "running" } else { "over" })?;
        match &self.last {
            Some(event) => write!(f, "; {event}"),
            None => Ok(()),
        }
    }
}

impl TrainingRun {
    /// Hands `progress` what the run tells, from where the last `watch` ended, for so many seconds or until the run is
    /// over.
    pub fn watch(&mut self, seconds: f64, progress: &mut dyn FnMut(Event)) -> Progress {
        let patience = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let began = Instant::now();
        loop {
            let told = self.shared.told();
            let news = told.events.get(self.seen..).unwrap_or_default().to_vec();
            let is_over = told.over && news.is_empty();
            drop(told);
            self.seen += news.len();
            news.into_iter().for_each(&mut *progress);
            let left = patience.saturating_sub(began.elapsed());
            if is_over || left.is_zero() {
                return self.progress();
            }
            let told = self.shared.told();
            if told.events.len() == self.seen && !told.over {
                // A short wait at a time: how long is left is looked at above.
                drop(self.shared.news.wait_timeout(told, left.min(Duration::from_secs(1))));
            }
        }
    }

    /// How far it has come; returns at once.
    pub fn progress(&self) -> Progress {
        let told = self.shared.told();
        let epochs = told.events.iter().filter_map(|event| match event {
            Event::Epoch(report) => Some(report.clone()),
            _ => None,
        });
        Progress { epochs: epochs.collect::<Vec<_>>().into(), last: told.events.last().cloned(), running: !told.over }
    }

    /// Asks the run to finish its step, to save what it needs to continue, and to end; returns at once.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Waits until the run is over.
    ///
    /// # Errors
    /// As [`run`]; [`Error::Stopped`] if it was stopped before its end, [`Error::Training`] if its thread panicked.
    pub fn wait(mut self) -> Result<TrainReport> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report,
            Some(Err(panic)) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
                Err(Error::Training(format!("its thread panicked: {}", text.lines().next().unwrap_or_default())))
            }
            None => Err(Error::Training("its thread is gone".to_owned())),
        }
    }
}

impl Drop for TrainingRun {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.stop();
            // Whatever it ended with, nobody is left to hear.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Held, Layout};

    fn is_send<T: Send + 'static>(_: &T) {}

    #[test]
    fn an_error_on_the_thread_comes_back_from_wait_and_ends_a_watch() {
        let index = Index {
            root: "nowhere".into(),
            layout: Layout::Mura,
            studies: Vec::new(),
            skipped: Vec::new(),
            companions: Vec::new(),
            warnings: Vec::new(),
            official_split: true,
            fixed_split: false,
            audited: true,
            copies: Vec::new(),
            fold: None,
            held: Held::default(),
        };
        let mut training = spawn(&index, &Recipe::default(), &TrainOptions::new("run"));
        is_send(&training);
        let progress = training.watch(60.0, &mut |_| ());
        assert!(!progress.running && progress.epochs.is_empty());
        let here = run(&index, &Recipe::default(), &TrainOptions::new("run"), &mut |_| ()).unwrap_err();
        assert_eq!(training.wait().unwrap_err().to_string(), here.to_string());
    }

    #[test]
    fn a_panic_on_the_thread_is_an_error_of_one_line() {
        let shared = Arc::new(Shared::default());
        let over = Over(Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let _over = over;
            std::panic::resume_unwind(Box::new("no such\nluck".to_owned()))
        });
        let mut training = TrainingRun { shared, stop: StopHandle::default(), thread: Some(thread), seen: 0 };
        assert!(!training.watch(60.0, &mut |_| ()).running);
        assert_eq!(training.wait().unwrap_err().to_string(), "training stopped: its thread panicked: no such");
    }
}
