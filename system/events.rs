//! `artel events`: every event there is, who tells it and who listens. The contracts say what it is and who tells it
//! (`persist` takes an event from no other service); the services say themselves what they listen to.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::Context as _;
use artel_config::Config;
use artel_handle::{CancellationToken, Host};
use artel_proto::annotations::{self, comment, pool};
use artel_reference::Heard;
use prost_reflect::{Kind, MessageDescriptor};
use serde::Serialize;

use crate::services;

/// Enough for every service to be made. Nothing of it is ever called.
const NOWHERE: &str = r#"
[mesh]
mesh_key = "nothing is signed with this key, but it must be long enough"
[identity]
key = "0000000000000000000000000000000000000000000000000000000000000000"
[gateway]
xds_bind = "127.0.0.1:0"
"#;

#[derive(Serialize)]
struct Event {
    /// The routing key.
    name: String,
    /// The full name of the message.
    message: String,
    description: String,
    /// The field that holds the id of what it is about: events of one id keep their order.
    key: String,
    publisher: String,
    listeners: Vec<&'static str>,
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    description: String,
}

/// Prints the catalogue: as JSON for programs, or a line an event.
pub(crate) async fn run(json: bool) -> anyhow::Result<()> {
    let events = catalogue().await?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &events)?;
        return Ok(writeln!(out)?);
    }
    for Event { name, publisher, listeners, .. } in events {
        let listeners = if listeners.is_empty() { "nobody".to_owned() } else { listeners.join(", ") };
        writeln!(out, "{name:<24} {publisher} -> {listeners}")?;
    }
    Ok(())
}

/// The AsyncAPI document of every event.
pub(crate) async fn asyncapi() -> anyhow::Result<serde_json::Value> {
    let events = catalogue().await?;
    let heard: Vec<_> =
        events.iter().map(|event| Heard { event: &event.name, by: &event.listeners }).collect();
    Ok(artel_reference::asyncapi(pool(), &heard))
}

/// Every event, by name.
async fn catalogue() -> anyhow::Result<Vec<Event>> {
    let mut listeners = listeners().await?;
    let mut events = Vec::new();
    for message in pool().all_messages() {
        let Some(options) = annotations::event(&message) else { continue };
        events.push(Event {
            message: message.full_name().to_owned(),
            description: comment(&message.parent_file(), message.path()),
            key: options.key,
            publisher: annotations::publisher(&message).to_owned(),
            listeners: listeners.remove(options.name.as_str()).unwrap_or_default(),
            fields: fields(&message),
            name: options.name,
        });
    }
    if let Some((name, services)) = listeners.pop_first() {
        anyhow::bail!("{} listens to `{name}`, which is no event", services.join(", "));
    }
    events.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(pair) = events.windows(2).find(|pair| pair[0].name == pair[1].name) {
        anyhow::bail!("{} and {} are both named `{}`", pair[0].message, pair[1].message, pair[0].name);
    }
    Ok(events)
}

/// Who listens to what, from the services themselves: each is made, and none is started.
pub(crate) async fn listeners() -> anyhow::Result<BTreeMap<&'static str, Vec<&'static str>>> {
    let host = Host::new(Config::parse(NOWHERE)?, CancellationToken::new())?;
    let mut listeners: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for blueprint in services::all().into_iter().filter(|service| service.may_listen) {
        let service = (blueprint.build)(host.of(blueprint.name)).await;
        let service = service.with_context(|| format!("the service `{}` cannot be made", blueprint.name))?;
        for event in service.listens() {
            listeners.entry(event).or_default().push(blueprint.name);
        }
    }
    Ok(listeners)
}

fn fields(message: &MessageDescriptor) -> Vec<Field> {
    let fields = message.fields().map(|field| {
        let kind = match field.kind() {
            Kind::Message(message) => message.full_name().to_owned(),
            Kind::Enum(choices) => choices.full_name().to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        Field {
            name: field.name().to_owned(),
            kind: if field.is_list() { format!("repeated {kind}") } else { kind },
            description: comment(&message.parent_file(), field.path()),
        }
    });
    fields.collect()
}
