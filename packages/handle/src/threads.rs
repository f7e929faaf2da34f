use std::io;

use tokio::runtime::{Builder, Runtime};

/// The runtime of a process that runs so many services, on so many threads; `None` is one thread for a single service,
/// and one a core for several.
///
/// A call goes through several tasks, and on more than one thread each of them may wake another thread for the next: that
/// is a quarter of what a short call costs. What a thread is not enough for takes more copies, or more threads.
///
/// # Errors
/// Where the system gives no thread or no descriptor.
pub fn runtime(services: usize, threads: Option<usize>) -> io::Result<Runtime> {
    let mut builder = match threads.or((services == 1).then_some(1)) {
        Some(1) => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            if let Some(threads) = threads {
                builder.worker_threads(threads);
            }
            builder
        }
    };
    builder.enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::thread::available_parallelism;

    use tokio::runtime::RuntimeFlavor::{CurrentThread, MultiThread};

    use super::*;

    #[test]
    fn one_service_has_one_thread_unless_told_otherwise() {
        let shape = |services, threads| {
            let runtime = runtime(services, threads).unwrap();
            (runtime.handle().runtime_flavor(), runtime.metrics().num_workers())
        };
        assert_eq!(shape(1, None), (CurrentThread, 1));
        assert_eq!(shape(7, None), (MultiThread, available_parallelism().unwrap().get()));
        assert_eq!(shape(1, Some(3)), (MultiThread, 3));
        assert_eq!(shape(7, Some(1)), (CurrentThread, 1));
    }
}
