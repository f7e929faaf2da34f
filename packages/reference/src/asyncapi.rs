//! AsyncAPI 3.0: what the services tell each other, for tools.

use artel_proto::annotations;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::comments;
use crate::example;
use crate::schema::{Schemas, Way, title};

/// The topic exchange that every event goes through.
const EXCHANGE: &str = "artel.events";
const PROTOBUF: &str = "application/x-protobuf";
const INTRODUCTION: &str = "What the services of a mesh tell each other, over one topic exchange of RabbitMQ with the \
    event's name as routing key.\n\nAn event leaves if and only if the transaction that caused it was committed. It \
    comes at least once and takes effect once: a listener commits what it does with the event's id (`message_id`) as \
    idempotency key. Events of one `x-artel-key` come in their order.\n\nThe body is protobuf; `payload` describes it in \
    the spelling of protobuf's JSON, and `type` names its message. The contracts are in `proto/`, in each domain's \
    `events.proto`.\n\nEach service has one quorum queue, `artel.<service>`, bound to what it hears. What fails comes \
    again after growing pauses and is put aside in `artel.<service>.dead` after the last.";

/// Who listens to an event.
#[derive(Debug, Clone)]
pub struct Heard<'a> {
    /// The event's name: `order.placed`.
    pub event: &'a str,
    /// The services that listen.
    pub by: &'a [&'a str],
}

/// The document of every event. Who tells it is in the contracts; who hears it the services say.
#[must_use]
pub fn asyncapi(pool: &DescriptorPool, heard: &[Heard<'_>]) -> Value {
    let mut events: Vec<(String, MessageDescriptor)> = pool
        .all_messages()
        .filter_map(|message| annotations::event(&message).map(|event| (event.name, message)))
        .collect();
    events.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut schemas = Schemas::new([]);
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for (name, message) in &events {
        messages.insert(message.name().to_owned(), describe(&mut schemas, name, message));
        channels.insert(name.clone(), channel(name, message));
        let teller = annotations::publisher(message);
        operations.insert(format!("{teller}.tells.{name}"), operation("send", teller, name, message));
        let listeners = heard.iter().filter(|heard| heard.event == *name).flat_map(|heard| heard.by);
        for listener in listeners {
            operations
                .insert(format!("{listener}.hears.{name}"), operation("receive", listener, name, message));
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Artel: events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": PROTOBUF,
        "servers": {
            "mesh": {
                "host": "localhost:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ of a mesh on this machine (`cargo xtask up`). Services only: no event leaves the mesh by itself.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas.into_components(),
            "messageTraits": {"Event": travels()},
        },
    })
}

fn channel(name: &str, message: &MessageDescriptor) -> Value {
    json!({
        "address": name,
        "title": name,
        "description": comments::above(&message.parent_file(), message.path()),
        "messages": {message.name(): {"$ref": format!("#/components/messages/{}", message.name())}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": EXCHANGE, "type": "topic", "durable": true, "autoDelete": false, "vhost": "/",
                },
                "bindingVersion": "0.3.0",
            },
        },
    })
}

/// What one service does with an event: `send` for who tells it, `receive` for who hears it.
fn operation(action: &str, service: &str, name: &str, message: &MessageDescriptor) -> Value {
    let words = match action {
        "send" => format!("`{service}` tells it, through `persist`'s outbox."),
        _ => format!("`{service}` hears it, through its queue `artel.{service}`."),
    };
    let binding = match action {
        "send" => json!({"deliveryMode": 2, "mandatory": true, "bindingVersion": "0.3.0"}),
        _ => json!({"ack": true, "bindingVersion": "0.3.0"}),
    };
    // A tilde and a slash would have to be escaped in a reference; names of events hold neither.
    json!({
        "action": action,
        "channel": {"$ref": format!("#/channels/{name}")},
        "summary": words,
        "tags": [{"name": service}],
        "messages": [{"$ref": format!("#/channels/{name}/messages/{}", message.name())}],
        "bindings": {"amqp": binding},
    })
}

fn describe(schemas: &mut Schemas, name: &str, message: &MessageDescriptor) -> Value {
    let key = annotations::event(message).unwrap_or_default().key;
    json!({
        "name": name,
        "title": format!("{} of {}", message.name(), title(annotations::publisher(message))),
        "summary": comments::above(&message.parent_file(), message.path()),
        "contentType": PROTOBUF,
        "payload": schemas.message(message, Way::Out),
        "traits": [{"$ref": "#/components/messageTraits/Event"}],
        "bindings": {"amqp": {"messageType": message.full_name(), "bindingVersion": "0.3.0"}},
        "examples": [{"name": name, "payload": example::answer(message)}],
        "x-protobuf-message": message.full_name(),
        "x-key": key,
    })
}

/// What every event carries beside its body.
fn travels() -> Value {
    let text = |words: &str| json!({"type": "string", "description": words});
    let moment = |words: &str| json!({"type": "integer", "description": format!("{words}, in milliseconds since 1970, UTC.")});
    json!({
        "contentType": PROTOBUF,
        "description": "AMQP properties: `message_id` is the event's id (a UUIDv7), `type` the full name of the protobuf message, \
                        `delivery_mode` 2.",
        "correlationId": {
            "description": "The W3C trace of the request that caused it.",
            "location": "$message.header#/traceparent",
        },
        "headers": {
            "type": "object",
            "properties": {
                "x-artel-event": text("The event's name."),
                "x-artel-key": text("The id of what it is about; events of one key keep their order."),
                "x-artel-workspace": text("Whose data it is about."),
                "x-artel-user": text("On whose behalf it happened; absent where nobody was signed in."),
                "x-artel-service": text("Which service made it happen."),
                "x-artel-time": moment("When it happened"),
                "x-artel-deadline": moment("After this nobody wants to hear of it"),
                "x-artel-attempt": json!({"type": "integer", "description": "How often handling it has failed."}),
                "traceparent": text("The W3C trace of the request that caused it."),
            },
            "required": ["x-artel-event", "x-artel-key", "x-artel-workspace", "x-artel-service", "x-artel-time"],
        },
    })
}
