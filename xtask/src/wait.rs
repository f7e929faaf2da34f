//! Waiting for a condition: always with a deadline, always saying what for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::signals;

/// Asks `ready` again and again until it says yes.
///
/// # Errors
/// The time is over (naming `what`, and what the last try said), an end was asked for, or `give_up` has a
/// reason to.
pub fn until(
    what: &str,
    limit: Duration,
    mut give_up: impl FnMut() -> Result<()>,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    let mut last = String::new();
    loop {
        match ready() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => last = format!(" (last answer: {error:#})"),
        }
        give_up()?;
        signals::check()?;
        let spent = start.elapsed();
        if spent > limit {
            bail!("gave up after {} s waiting for {what}{last}", limit.as_secs());
        }
        let pause = if spent < Duration::from_secs(2) { 20 } else { 100 };
        std::thread::sleep(Duration::from_millis(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_waited_for_and_what_it_last_heard() {
        let limit = Duration::from_millis(30);
        let error = until("the moon", limit, || Ok(()), || bail!("cloudy")).unwrap_err().to_string();
        assert!(error.contains("the moon") && error.contains("cloudy"), "{error}");
        let error = until("it", limit, || bail!("it died"), || Ok(false)).unwrap_err().to_string();
        assert_eq!(error, "it died");
    }
}
