//! Access tokens: got once, kept until shortly before they end.

use std::time::Duration;

use artel_config::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Failed;

/// A token that they gave.
#[derive(Debug, Clone)]
pub struct Issued {
    /// What stands in the header of each request.
    pub token: Secret,
    /// For how long, by their word.
    pub lasts: Duration,
}

/// The token of now. Whoever needs one while none is there waits for the one that is being got.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    token: Secret,
    renew: Instant,
}

impl Tokens {
    /// A token that is good for some time yet.
    ///
    /// # Errors
    /// They give none: what it is for was not begun.
    pub async fn get(&self, issue: impl Future<Output = Result<Issued, Failed>>) -> Result<Secret, Failed> {
        let mut held = self.0.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.renew) {
            return Ok(held.token.clone());
        }
        *held = None;
        // Whatever went wrong with it, what the token is for was not begun.
        let issued = issue.await.map_err(|failed| Failed::NotDone(format!("no access token: {failed}")))?;
        // A tenth of its life early, so that it does not end on the way.
        let renew = Instant::now() + issued.lasts.mul_f64(0.9);
        *held = Some(Held { token: issued.token.clone(), renew });
        Ok(issued.token)
    }

    /// They did not take this one: the next asks for another.
    pub async fn drop(&self, token: &Secret) {
        let mut held = self.0.lock().await;
        if held.as_ref().is_some_and(|held| held.token.reveal() == token.reveal()) {
            *held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Tokens that last 10 s, and how many were given.
    #[derive(Default)]
    struct Issuer(AtomicU32);

    impl Issuer {
        async fn issue(&self) -> Result<Issued, Failed> {
            let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Issued { token: Secret::new(number.to_string()), lasts: Duration::from_secs(10) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let (tokens, issuer) = (Tokens::default(), Issuer::default());
        let get = async || tokens.get(issuer.issue()).await.unwrap().reveal().to_owned();
        assert_eq!(get().await, "1");
        tokio::time::advance(Duration::from_millis(8900)).await;
        assert_eq!(get().await, "1");
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(get().await, "2");
    }

    #[tokio::test]
    async fn only_the_token_that_was_not_taken_is_dropped() {
        let (tokens, issuer) = (Tokens::default(), Issuer::default());
        let first = tokens.get(issuer.issue()).await.unwrap();
        tokens.drop(&first).await;
        let second = tokens.get(issuer.issue()).await.unwrap();
        // Whoever still holds the first learns that it is no good when the second is there already.
        tokens.drop(&first).await;
        assert_eq!(tokens.get(issuer.issue()).await.unwrap().reveal(), second.reveal());
        assert_eq!(issuer.0.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn where_no_token_is_given_nothing_was_begun() {
        let refused = async { Err(Failed::Unknown("no answer".to_owned())) };
        let failed = Tokens::default().get(refused).await.unwrap_err();
        assert!(matches!(failed, Failed::NotDone(why) if why.contains("no answer")));
    }
}
