//! The board's events, which REST gets as server-sent events and no contract describes so.

use serde_json::{Value, json};

/// Their paths, and what the operation at each is called.
pub const PATHS: [(&str, &str); 2] =
    [("/api/display/events", "Board_Events"), ("/api/v1/display/events", "Board_Events_1")];

/// What may be done at a path.
pub fn path(operation: &str) -> Value {
    let description = "\
The board in the hall as server-sent events, for as long as one listens: first `board` with all of it (as `GetBoard` \
answers), then a `change` for each order that moves: its `number` and its `status` (`preparing`, `ready`, `handed over`). \
The `id` of each is a position. A browser's `EventSource` that lost its connection comes back with the last one in \
`Last-Event-ID` and goes on behind it: nothing is left out and nothing comes twice. Where the position is too old for \
that, `board` comes again. In between there are comments, so that the connection is known to live.

Anybody may call this.";
    let position = |name: &str, place: &str| {
        json!({
            "name": name, "in": place, "required": false,
            "description": "The position behind which to go on.",
            "schema": {"type": "string", "maxLength": 4096},
        })
    };
    let shared = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    json!({
        "get": {
            "operationId": operation,
            "tags": ["order-dining"],
            "summary": "The board as it changes",
            "description": description,
            "security": [],
            "parameters": [position("position", "query"), position("Last-Event-ID", "header")],
            "responses": {
                "200": {
                    "description": "The events.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                "400": shared("Wrong"),
                "429": shared("TooMany"),
                "500": shared("Fault"),
                "503": shared("Away"),
            },
            "x-idempotent": true,
        },
    })
}
