//! What Consul knows, kept up to date by blocking queries. When Consul is away the last known good stays.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::consul::{Consul, Entry, Error, Instance};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The copies of a service that pass; `None` until Consul has answered once.
pub type Instances = watch::Receiver<Option<Arc<[Instance]>>>;
/// The names of all services; `None` until Consul has answered once.
pub type Services = watch::Receiver<Option<Arc<[String]>>>;
/// What stands in the KV under a prefix; `None` until Consul has answered once.
pub type Entries = watch::Receiver<Option<Arc<[Entry]>>>;

impl Consul {
    /// Follows a service's copies until every receiver is dropped.
    #[must_use]
    pub fn watch(&self, name: &str) -> Instances {
        let (consul, name) = (self.clone(), name.to_owned());
        follow(format!("service {name}"), move |index| {
            let (consul, name) = (consul.clone(), name.clone());
            async move { consul.instances_after(&name, index).await }
        })
    }

    /// Follows the names of all services until every receiver is dropped.
    #[must_use]
    pub fn watch_services(&self) -> Services {
        let consul = self.clone();
        follow("services".to_owned(), move |index| {
            let consul = consul.clone();
            async move { consul.services_after(index).await }
        })
    }

    /// Follows what stands in the KV under a prefix until every receiver is dropped.
    #[must_use]
    pub fn watch_entries(&self, prefix: &str) -> Entries {
        let (consul, prefix) = (self.clone(), prefix.to_owned());
        follow(format!("KV {prefix}"), move |index| {
            let (consul, prefix) = (consul.clone(), prefix.clone());
            async move { consul.entries_after(&prefix, index).await }
        })
    }
}

/// Asks again and again, each time for what is newer than the last answer.
fn follow<T, F, A>(what: String, ask: A) -> watch::Receiver<Option<Arc<[T]>>>
where
    T: PartialEq + Send + Sync + 'static,
    A: Fn(Option<u64>) -> F + Send + 'static,
    F: Future<Output = Result<(Vec<T>, u64), Error>> + Send,
{
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let (mut index, mut pause) = (None, FIRST_PAUSE);
        loop {
            let answer = tokio::select! {
                answer = ask(index) => answer,
                () = sender.closed() => return,
            };
            match answer {
                Ok((items, next)) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!(what, "Consul answers again");
                    }
                    pause = FIRST_PAUSE;
                    // An index that went backwards is another history: begin anew (0 would be one without waiting).
                    index =
                        if index.is_some_and(|index| next < index) || next == 0 { None } else { Some(next) };
                    let items: Arc<[T]> = items.into();
                    sender.send_if_modified(|known| {
                        let changed = known.as_ref() != Some(&items);
                        if changed {
                            *known = Some(items);
                        }
                        changed
                    });
                }
                Err(error) => {
                    tracing::warn!(what, %error, "Consul is away; what is known stays");
                    index = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    });
    receiver
}
