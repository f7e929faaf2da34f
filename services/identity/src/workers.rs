//! The few threads that hash. Tokio's pool of many would spread the hashes' large blocks over as many of the allocator's
//! arenas, each of which keeps them: a burst of sign-ins left a process of 700 MB behind.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads for work that blocks. They end when the last of its clones is dropped.
#[derive(Clone)]
pub(crate) struct Workers(mpsc::SyncSender<Job>);

impl Workers {
    /// # Errors
    /// Where the system has no more threads.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        // Whoever has a turn finds a place: there are as many of the one as of the other.
        let (jobs, queue) = mpsc::sync_channel::<Job>(count);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || {
                // The lock is held while waiting, not while working: another takes the next job meanwhile.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok(job) = next() {
                    // A job that panics drops its answer, which is what whoever waits for it sees.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self(jobs))
    }

    /// Does the work on one of the threads.
    ///
    /// # Errors
    /// Where the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, oneshot::error::RecvError> {
        let (answer, answered) = oneshot::channel();
        // Whoever no longer waits has dropped the receiver; the work is done all the same.
        let _ = self.0.send(Box::new(move || drop(answer.send(work()))));
        answered.await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn much_work_is_done_by_few_threads_and_a_panic_ends_none_of_them() {
        let workers = Workers::start(2).unwrap();
        assert!(workers.run(|| panic!("on purpose")).await.is_err());
        let names = (0..50).map(|_| workers.run(|| thread::current().name().map(str::to_owned)));
        let names: HashSet<_> = futures::future::try_join_all(names).await.unwrap().into_iter().collect();
        assert!(names.len() <= 2, "{names:?}");
    }
}
