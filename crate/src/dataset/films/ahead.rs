//! Work done ahead of whoever needs its results.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Items of an iterator, of which a thread has the next few ready. It waits most of its time, for room or for a disk,
/// which none of rayon's threads must: what it makes on all cores, it makes on those.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    ready: Option<Receiver<T>>,
    worker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// At most so many items, at least one, are made before they are asked for.
    pub fn new(ahead: usize, items: impl Iterator<Item = T> + Send + 'static) -> Ahead<T> {
        // One item waits in the thread's hands besides those in the queue.
        let (sender, ready) = sync_channel(ahead.saturating_sub(1));
        let mut items = items;
        let worker = std::thread::spawn(move || while items.next().is_some_and(|item| sender.send(item).is_ok()) {});
        Ahead { ready: Some(ready), worker: Some(worker) }
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    /// # Panics
    /// If the making of the item did.
    fn next(&mut self) -> Option<T> {
        let item = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        if item.is_none()
            && let Some(Err(panic)) = self.worker.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        item
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // Without a receiver the thread ends at its next item.
        drop(self.ready.take());
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_come_in_order_and_no_more_are_made_than_was_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut items = Ahead::new(2, (0..100).inspect(move |_| _ = counter.fetch_add(1, Ordering::SeqCst)));
        assert_eq!(items.by_ref().take(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        drop(items);
        let made = made.load(Ordering::SeqCst);
        assert!((5..=7).contains(&made), "{made}");
        assert_eq!(Ahead::new(3, 0..4).sum::<i32>(), 6);
    }

    #[test]
    fn a_panic_of_the_thread_reaches_whoever_waits_for_the_item() {
        let mut items = Ahead::new(1, (0..3).map(|item| if item == 1 { panic!("no item") } else { item }));
        assert_eq!(items.next(), Some(0));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no item"));
        assert_eq!(items.next(), None);
    }
}
