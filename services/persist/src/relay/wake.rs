//! How a relay hears that events were committed: at once from its own process, and through PostgreSQL from the others.
//!
//! A NOTIFY in each commit would cost half of the throughput, since commits that notify wait for each other. Here a copy
//! notifies the others beside its commits, once for all that were made since the last time, and only where there are
//! others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use futures::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::Statement;

/// The others are told no more often than this.
const PAUSE: Duration = Duration::from_millis(2);
/// How long after a lost connection another is made. The relay polls meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// Says that there are events to be relayed.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    own: Notify,
    others: Notify,
    /// Other copies relay, too.
    shared: AtomicBool,
}

impl Wake {
    /// Says that events were committed by this process.
    pub(crate) fn notify_one(&self) {
        self.own.notify_one();
        if self.shared.load(Ordering::Relaxed) {
            self.others.notify_one();
        }
    }

    /// Waits for events, of this process or another.
    pub(super) async fn notified(&self) {
        self.own.notified().await;
    }

    pub(super) fn set_shared(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    /// Tells the others and hears them, until the future is dropped.
    pub(super) async fn run(&self, system: &Database) {
        loop {
            let Err(failure) = self.talk(system).await;
            tracing::debug!(?failure, "other relays are not heard");
            sleep(AGAIN).await;
        }
    }

    async fn talk(&self, system: &Database) -> Result<std::convert::Infallible, Failure> {
        // Not the pool's any more: it would go on listening there.
        let mut connection: AsyncPgConnection = Object::take(system.connection().await?);
        for statement in ["SET synchronous_commit = off", "LISTEN artel_outbox"] {
            Statement::fixed(statement).named(Name::of("outbox.listen")).load(&connection).await?;
        }
        let mut told = Instant::now();
        loop {
            let heard = {
                let mut notifications = std::pin::pin!(connection.notifications_stream());
                tokio::select! {
                    heard = notifications.next() => Some(heard),
                    () = self.others.notified() => None,
                }
            };
            match heard {
                // A copy hears itself, too, and finds nothing new.
                Some(Some(Ok(_))) => self.own.notify_one(),
                Some(Some(Err(error))) => return Err(error.into()),
                Some(None) => return Err(Failure::Lost("the connection ended".to_owned())),
                None => {
                    sleep_until(told + PAUSE).await;
                    told = Instant::now();
                    Statement::fixed("NOTIFY artel_outbox")
                        .named(Name::of("outbox.notify"))
                        .load(&connection)
                        .await?;
                }
            }
        }
    }
}
