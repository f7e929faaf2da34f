//! What an operation answers: its success, its own refusals, and those that any may meet.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::comments;
use crate::errors::{COMMON, number};
use crate::example;
use crate::model::{Binding, Method};
use crate::schema::{Schemas, Way};

/// The answers that are the same wherever they are met, by the name they have among the components.
const SHARED: [(&str, u16); 9] = [
    ("Wrong", 400),
    ("NotSignedIn", 401),
    ("NotAllowed", 403),
    ("KeyReused", 409),
    ("TooLarge", 413),
    ("TooMany", 429),
    ("Fault", 500),
    ("Away", 503),
    ("Late", 504),
];

/// The answers of an operation by status.
pub fn build(schemas: &mut Schemas, method: &Method, binding: &Binding) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), success(schemas, method));
    if method.created {
        answers.insert("201".to_owned(), success(schemas, method));
    }
    // Whatever a method refuses, its path and query may be wrong before it.
    let mut own: BTreeMap<u16, Vec<Reason>> =
        [400, 401, 429, 500, 503, 504].map(|status| (status, Vec::new())).into();
    if !binding.body.is_empty() && !method.streams_in {
        own.entry(413).or_default();
    }
    for refusal in &method.refusals {
        let reasons = own.entry(refusal.status).or_default();
        if COMMON.iter().all(|common| common.reason != refusal.reason) {
            let (name, when) = (refusal.reason.clone(), refusal.text.clone());
            reasons.push(Reason { code: refusal.code, name, when });
        }
    }
    for (status, reasons) in own {
        let shared = SHARED.iter().find(|(_, shared)| *shared == status);
        let answer = match shared {
            Some((name, _)) if reasons.is_empty() => {
                json!({"$ref": format!("#/components/responses/{name}")})
            }
            _ => {
                // What any method may answer with, and of a conflict what this one says it does.
                let own = |name: &str| method.refusals.iter().any(|refusal| refusal.reason == name);
                let also = common(status).filter(|common| status != 409 || own(&common.name));
                refusal(status, &reasons, also.collect())
            }
        };
        answers.insert(status.to_string(), answer);
    }
    answers.into()
}

/// The answers that operations refer to.
pub fn shared() -> Map<String, Value> {
    let shared = SHARED.iter().map(|(name, status)| {
        ((*name).to_owned(), refusal(*status, &common(*status).collect::<Vec<_>>(), Vec::new()))
    });
    shared.collect()
}

/// The headers that answers refer to.
pub fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Names this request in our logs; report it when something is wrong.",
            "schema": {"type": "string"},
        },
        "RetryAfter": {
            "description": "Seconds after which trying again makes sense.",
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

/// What refusals look like.
pub fn schemas() -> Map<String, Value> {
    let detail = |kind: &str| json!({"const": format!("type.googleapis.com/google.rpc.{kind}")});
    let schemas = json!({
        "Status": {
            "type": "object",
            "description": "A refusal: `google.rpc.Status`.",
            "properties": {
                "code": {"type": "integer", "description": "The gRPC code.", "minimum": 1, "maximum": 16},
                "message": {"type": "string", "description": "What is wrong and what to do, for people."},
                "details": {
                    "type": "array",
                    "description": "What programs act on; one `ErrorInfo` at least.",
                    "items": {"$ref": "#/components/schemas/StatusDetail"},
                    "contains": {"$ref": "#/components/schemas/ErrorInfo"},
                },
            },
            "required": ["code", "message", "details"],
        },
        "StatusDetail": {
            "type": "object",
            "description": "One of `ErrorInfo`, `BadRequest`, `RequestInfo` and `RetryInfo`; others may come. Its type stands in `@type`.",
            "properties": {"@type": {"type": "string"}},
            "required": ["@type"],
            "allOf": [
                {
                    "if": {"properties": {"@type": detail("ErrorInfo")}},
                    "then": {"$ref": "#/components/schemas/ErrorInfo"},
                },
                {
                    "if": {"properties": {"@type": detail("BadRequest")}},
                    "then": {"$ref": "#/components/schemas/BadRequest"},
                },
                {
                    "if": {"properties": {"@type": detail("RequestInfo")}},
                    "then": {"$ref": "#/components/schemas/RequestInfo"},
                },
                {
                    "if": {"properties": {"@type": detail("RetryInfo")}},
                    "then": {"$ref": "#/components/schemas/RetryInfo"},
                },
            ],
        },
        "ErrorInfo": {
            "type": "object",
            "description": "Why, for programs.",
            "properties": {
                "@type": detail("ErrorInfo"),
                "reason": {"type": "string", "description": "The stable reason.", "pattern": "^[A-Z][A-Z0-9_]*$"},
                "domain": {"const": "artel"},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["@type", "reason", "domain"],
        },
        "BadRequest": {
            "type": "object",
            "description": "Every wrong field.",
            "properties": {
                "@type": detail("BadRequest"),
                "fieldViolations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "field": {"type": "string", "description": "Its path: `items[0].quantity`."},
                            "description": {"type": "string", "description": "What is wrong with it."},
                        },
                        "required": ["field", "description"],
                    },
                },
            },
            "required": ["@type", "fieldViolations"],
        },
        "RequestInfo": {
            "type": "object",
            "description": "Which request it was, for whoever looks into it.",
            "properties": {
                "@type": detail("RequestInfo"),
                "requestId": {"type": "string", "description": "As in the header `x-request-id`."},
                "servingData": {"type": "string"},
            },
            "required": ["@type", "requestId"],
        },
        "RetryInfo": {
            "type": "object",
            "description": "When trying again makes sense.",
            "properties": {
                "@type": detail("RetryInfo"),
                "retryDelay": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?s$"},
            },
            "required": ["@type", "retryDelay"],
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

fn success(schemas: &mut Schemas, method: &Method) -> Value {
    let output = method.descriptor.output();
    let words = comments::above(&output.parent_file(), output.path());
    let content = if output.full_name() == "google.api.HttpBody" {
        json!({"application/octet-stream": {}})
    } else {
        let schema = schemas.message(&output, Way::Out);
        json!({"application/json": {"schema": schema, "example": example::answer(&output)}})
    };
    json!({
        "description": if words.is_empty() { "It is done." } else { &words },
        "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        "content": content,
    })
}

/// Why something is refused.
pub struct Reason {
    /// The gRPC code.
    pub code: &'static str,
    /// The stable name.
    pub name: String,
    /// When.
    pub when: String,
}

fn common(status: u16) -> impl Iterator<Item = Reason> {
    COMMON.iter().filter(move |common| common.status == status).map(|common| Reason {
        code: common.code,
        name: common.reason.to_owned(),
        when: format!("{} {}", common.when, common.fix),
    })
}

/// A refusal by these reasons; `also` are those that are explained elsewhere.
pub fn refusal(status: u16, reasons: &[Reason], also: Vec<Reason>) -> Value {
    let mut words: Vec<String> =
        reasons.iter().map(|reason| format!("* `{}`: {}", reason.name, reason.when)).collect();
    words.extend(also.iter().map(|reason| format!("* `{}`, as everywhere", reason.name)));
    let examples: Map<String, Value> =
        reasons.iter().map(|reason| (reason.name.clone(), json!({"value": example(reason)}))).collect();
    let mut headers = json!({"x-request-id": {"$ref": "#/components/headers/RequestId"}});
    if status == 429 {
        headers["retry-after"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    json!({
        "description": words.join("\n"),
        "headers": headers,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Status"}, "examples": examples},
        },
    })
}

fn example(reason: &Reason) -> Value {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason.name,
        "domain": "artel",
        "metadata": {},
    })];
    if reason.name == "INVALID_FIELDS" {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "items[0].quantity", "description": "must be at least 1, is 0"}],
        }));
    }
    if reason.code == "UNAVAILABLE" {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}));
    }
    json!({"code": number(reason.code), "message": reason.when, "details": details})
}
