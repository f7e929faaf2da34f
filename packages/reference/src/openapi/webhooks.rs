//! What no contract describes, because it is plain HTTP with any bytes in it: the door for systems outside.

use serde_json::{Value, json};

use super::answers::{self, Reason};

/// Its name among the tags.
const TAG: &str = "webhook";
/// Its path.
pub const PATH: &str = "/webhooks/{source}";

/// What the tag means.
pub fn tag() -> Value {
    json!({
        "name": TAG,
        "description": "The door for systems outside: what they send is kept to the byte for the service that owns the source.",
        "x-displayName": "Webhook",
    })
}

/// What may be done at the path.
pub fn path() -> Value {
    let description = "\
Keeps what was sent as it came, to the byte, and tells the service that owns the source. It is answered after that: what \
was answered with 200 is not lost, and anything else is to be sent again. Where the source gives its deliveries ids, the \
same request is kept once, however often it comes.

Any body may be sent, with PUT and GET, too. Nobody looks at access tokens here; whether a signature is good is judged \
later, by the service that owns the source.

Anybody may call this.";
    json!({
        "post": {
            "operationId": "Webhooks_Receive",
            "tags": [TAG],
            "summary": "Takes what a system outside sends",
            "description": description,
            "security": [],
            "parameters": [{
                "name": "source", "in": "path", "required": true,
                "description": "Who sends, as the operator named it in `webhook.sources`.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z0-9-]+$"},
                "example": "bank",
            }],
            "requestBody": {"description": "Whatever the source sends.", "required": false, "content": {"*/*": {}}},
            "responses": responses(),
            "x-idempotent": false,
        },
    })
}

fn responses() -> Value {
    let refusal = |status, code, name: &str, when: &str| {
        let reason = Reason { code, name: name.to_owned(), when: when.to_owned() };
        answers::refusal(status, &[reason], Vec::new())
    };
    let shared = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    json!({
        "200": {
            "description": "It is kept.",
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
            "content": {"application/json": {"schema": {"type": "object"}, "example": {}}},
        },
        "400": refusal(400, "INVALID_ARGUMENT", "BODY_BROKEN", "The body ended before its end. Send it again."),
        "404": refusal(404, "NOT_FOUND", "SOURCE_NOT_FOUND", "Nobody waits for webhooks of this source."),
        "405": refusal(405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", "Send with POST, PUT or GET."),
        "408": refusal(408, "DEADLINE_EXCEEDED", "BODY_TIMEOUT", "The body did not come in time. Send it again."),
        "413": shared("TooLarge"),
        "429": shared("TooMany"),
        "500": shared("Fault"),
        "503": shared("Away"),
        "504": shared("Late"),
    })
}
