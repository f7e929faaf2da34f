//! How much waits in the queues of a service, for its metrics.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use crate::broker::within;
use crate::{Error, Topology, measure};

const EVERY: Duration = Duration::from_secs(10);
const TALK: Duration = Duration::from_secs(5);

/// Looks again and again, on a channel of its own: asking for a queue that is missing ends the channel. Never returns.
pub(crate) async fn watch(connection: &Connection, topology: &Topology, service: &str) {
    let retries = topology.retries().iter().map(|pause| topology.retry_queue(service, *pause));
    let queues: Vec<String> =
        [topology.queue(service), topology.dead_queue(service)].into_iter().chain(retries).collect();
    loop {
        if let Err(error) = look(connection, &queues).await {
            tracing::debug!(service, %error, "cannot see how deep the queues are");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(connection: &Connection, queues: &[String]) -> Result<(), Error> {
    let channel = within(TALK, connection.create_channel()).await?;
    for queue in queues {
        measure::depth(queue, messages(&channel, queue).await?);
    }
    within(TALK, channel.close(200, "OK".into())).await
}

async fn messages(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    Ok(within(TALK, declared).await?.message_count())
}
