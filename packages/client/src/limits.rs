use std::time::Duration;

/// How much a channel tries and holds. In a process they come from the section `[mesh]`, which says what each means;
/// the defaults here are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// How long a call may take whose caller set no deadline.
    pub timeout: Duration,
    /// Largest message, in bytes: stubs are made with it.
    pub message_bytes: usize,
    /// Calls to one service that wait for an answer at once.
    pub waiting: usize,
    /// How often a call is tried in all.
    pub attempts: usize,
    /// Retries for a hundred calls.
    pub retry_percent: u32,
    /// Retries that can be saved up.
    pub retry_reserve: u32,
    /// Failures in a row after which a copy is left alone.
    pub failures: u32,
    /// For how long at first; twice as long each time it fails again.
    pub first_break: Duration,
    /// For how long at most.
    pub longest_break: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            message_bytes: 32 << 20,
            waiting: 1024,
            attempts: 3,
            retry_percent: 20,
            retry_reserve: 10,
            failures: 3,
            first_break: Duration::from_millis(500),
            longest_break: Duration::from_secs(20),
        }
    }
}
