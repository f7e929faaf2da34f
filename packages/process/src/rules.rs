use std::time::Duration;

/// The times of sagas.
#[derive(Debug, Clone)]
pub struct Rules {
    /// For how long whoever recorded a step has the saga alone. The clocks of all copies must agree to a small part of it.
    pub lease: Duration,
    /// How long an attempt at a step may take; less than the lease, by what recording takes.
    pub step: Duration,
    /// How often a step is tried before the saga turns around.
    pub attempts: i32,
    /// The first pause before a step is tried again; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// After so many attempts at a step that has to succeed, an operator is told.
    pub stuck_after: i32,
    /// How many sagas one copy works on at once; those that wait for their next attempt not counted. More wait before
    /// they begin: all at once would be slower for each, and leases would run out.
    pub at_once: usize,
    /// How many sagas of others one copy takes on, those that wait counted.
    pub takeovers: usize,
    /// Whether records expect the version before them. Without it, tests see what it is for.
    #[cfg(test)]
    pub(crate) fenced: bool,
    /// Whether what is unsure is looked up. Without it, tests see what it is for.
    #[cfg(test)]
    pub(crate) looks_up: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            step: Duration::from_secs(4),
            attempts: 4,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            stuck_after: 10,
            at_once: 32,
            takeovers: 64,
            #[cfg(test)]
            fenced: true,
            #[cfg(test)]
            looks_up: true,
        }
    }
}

impl Rules {
    /// The pause after so many attempts, before chance shortens it.
    pub(crate) fn pause(&self, attempts: i32) -> Duration {
        let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(20);
        (self.first_pause * 2_u32.pow(doublings)).min(self.longest_pause)
    }

    pub(crate) fn is_fenced(&self) -> bool {
        #[cfg(test)]
        return self.fenced;
        #[cfg(not(test))]
        true
    }

    pub(crate) fn looks_up(&self) -> bool {
        #[cfg(test)]
        return self.looks_up;
        #[cfg(not(test))]
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let rules = Rules::default();
        let pauses = [1, 2, 3, 8, 9, i32::MAX].map(|attempts| rules.pause(attempts).as_millis());
        assert_eq!(pauses, [200, 400, 800, 25_600, 30_000, 30_000]);
    }
}
