//! Reads queries and JSON bodies against the contracts before they are transcoded. Envoy's transcoder drops fields that
//! it does not know without a word, and stops at the first wrong type; this names every wrong field.

use std::collections::{BTreeMap, HashMap};

use artel_proto::validate;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::FieldViolation;

use crate::check::Check;
use crate::json;
use crate::limiter::{self, Exceeded};
use crate::surface::Surface;

/// The name under which Envoy says which path a request came by.
pub const SUBJECT: &str = "artel.request";

/// A method's `index`th REST path.
#[must_use]
pub fn subject(method: &str, index: usize) -> String {
    format!("{method}#{index}")
}

/// What may come by every REST path.
#[derive(Debug)]
pub struct Shapes {
    shapes: HashMap<String, Shape>,
}

/// What a request must look like.
#[derive(Debug)]
struct Shape {
    /// What the query fills.
    input: MessageDescriptor,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// There is none that anybody reads.
    Nothing,
    /// It is the whole request.
    Whole,
    /// It fills one field.
    Field(FieldDescriptor),
}

impl Shapes {
    /// The shapes of all REST requests.
    #[must_use]
    pub fn read(surface: &Surface, pool: &DescriptorPool) -> Self {
        let mut shapes = HashMap::new();
        for method in surface.methods.iter().filter(|method| !method.streaming) {
            let Some((service, name)) = method.full_name.rsplit_once('.') else { continue };
            let Some(service) = pool.get_service_by_name(service) else { continue };
            let Some(found) = service.methods().find(|found| found.name() == name) else { continue };
            for (index, binding) in method.bindings.iter().enumerate() {
                let body = match binding.body.as_str() {
                    "" => Body::Nothing,
                    "*" => Body::Whole,
                    field => found.input().get_field_by_name(field).map_or(Body::Nothing, Body::Field),
                };
                let shape = Shape { input: found.input(), body };
                shapes.insert(subject(&method.full_name, index), shape);
            }
        }
        Self { shapes }
    }

    /// What is wrong with a request; nothing where the subject is not known. An empty body is an empty message.
    #[must_use]
    pub fn problems(&self, subject: &str, query: &str, body: &[u8]) -> Vec<FieldViolation> {
        let Some(shape) = self.shapes.get(subject) else { return Vec::new() };
        let mut check = Check::default();
        shape.query(query, &mut check);
        if !body.is_empty() && !matches!(shape.body, Body::Nothing) {
            shape.body(body, &mut check);
        }
        check.into_violations()
    }
}

impl Shape {
    fn query(&self, query: &str, check: &mut Check) {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        for (name, values) in parameters {
            check.parameter(&name, &values, &self.input);
        }
    }

    fn body(&self, body: &[u8], check: &mut Check) {
        let prefix = match &self.body {
            Body::Field(field) => field.json_name(),
            Body::Nothing | Body::Whole => "",
        };
        check.at(prefix, |check| match json::parse(body) {
            Err(error) => check.wrong(format!("is not JSON: {error}")),
            Ok((value, twice)) => {
                for path in twice {
                    check.at(&path, |check| check.wrong("stands there more than once"));
                }
                match &self.body {
                    Body::Field(field) => check.field(&value, field),
                    Body::Nothing | Body::Whole => check.message(&value, &self.input),
                }
            }
        });
    }
}

/// The answer to a request with something wrong: `google.rpc.Status` in JSON.
#[must_use]
pub fn answer(violations: Vec<FieldViolation>, request_id: &str) -> String {
    let fields: Vec<Value> = violations
        .iter()
        .map(|violation| json!({"field": violation.field, "description": violation.description}))
        .collect();
    let status = validate::invalid(violations);
    let details = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields});
    status_json(status.code(), "INVALID_FIELDS", status.message(), json!({}), Some(details), request_id)
}

/// The answer to a request that exceeds a limit.
#[must_use]
pub(crate) fn limited(exceeded: &Exceeded, request_id: &str) -> String {
    let delay = format!("{}s", exceeded.wait);
    let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
    let (policy, message) = (json!({"policy": exceeded.policy}), &exceeded.message);
    status_json(Code::ResourceExhausted, limiter::REASON, message, policy, Some(retry), request_id)
}

/// The answer to a body of more than `most` bytes.
#[must_use]
pub fn too_large(most: u32, request_id: &str) -> String {
    let message = format!("The request is larger than {most} bytes.");
    status_json(Code::ResourceExhausted, "REQUEST_TOO_LARGE", &message, json!({}), None, request_id)
}

fn status_json(
    code: Code,
    reason: &str,
    message: &str,
    metadata: Value,
    more: Option<Value>,
    request_id: &str,
) -> String {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "artel",
        "metadata": metadata,
    });
    let request = json!({
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "requestId": request_id,
        "servingData": "",
    });
    let details: Vec<Value> = [info].into_iter().chain(more).chain([request]).collect();
    json!({"code": code as i32, "message": message, "details": details}).to_string()
}

#[cfg(test)]
mod tests {
    use artel_proto::annotations::pool;

    use super::*;

    fn problems(method: &str, body: &str) -> Vec<(String, String)> {
        let surface = Surface::read(pool()).unwrap();
        let violations = Shapes::read(&surface, pool()).problems(&subject(method, 0), "", body.as_bytes());
        violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }

    fn query(method: &str, query: &str) -> Vec<(String, String)> {
        let surface = Surface::read(pool()).unwrap();
        let violations = Shapes::read(&surface, pool()).problems(&subject(method, 0), query, b"");
        violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }

    fn fields(method: &str, body: &str) -> Vec<String> {
        problems(method, body).into_iter().map(|(field, _)| field).collect()
    }

    const CREATE_ORDER: &str = "artel.order.v1.OrderService.CreateOrder";
    const CREATE_PRODUCT: &str = "artel.catalog.v1.CatalogService.CreateProduct";

    #[test]
    fn right_bodies_pass() {
        for body in [
            "",
            "{}",
            r#"{"items": [{"productId": "a", "quantity": 2}], "idempotencyKey": "k"}"#,
            r#"{"items": [{"product_id": "a", "quantity": "2"}], "idempotencyKey": null}"#,
            r#"{"items": [{"quantity": 2.0}]}"#,
        ] {
            assert_eq!(problems(CREATE_ORDER, body), [], "{body}");
        }
        let product = r#"{"name": "x", "price": {"amountMinor": "12900", "currency": "RUB"}, "pictures": ["a"],
            "createTime": "2026-11-21T07:00:00Z", "stock": 5}"#;
        assert_eq!(problems(CREATE_PRODUCT, product), []);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = r#"{"items": [{"productId": 5, "quantiy": 1}, {"quantity": 1.5}, 7], "idempotency": "k", "x": 1}"#;
        let found = problems(CREATE_ORDER, body);
        let named: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            named,
            ["idempotency", "items[0].productId", "items[0].quantiy", "items[1].quantity", "items[2]", "x"]
        );
        assert!(found[2].1.ends_with("did you mean quantity?"), "{}", found[2].1);
        assert_eq!(found[5].1, "is not a field of CreateOrderRequest; it has items, idempotencyKey");
        assert_eq!(found[3].1, "must be a whole number, is 1.5");
    }

    #[test]
    fn a_body_that_fills_a_field_is_named_by_it() {
        let body = r#"{"nmae": "x", "price": {"amountMinor": 1e30}, "pictures": "a", "stock": 3000000000}"#;
        assert_eq!(
            fields(CREATE_PRODUCT, body),
            ["product.nmae", "product.pictures", "product.price.amountMinor", "product.stock"]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_as_a_whole() {
        for body in ["[]", "5", "\"x\"", "{", "a=b", "{\"items\": []} {}"] {
            assert_eq!(fields(CREATE_ORDER, body), ["body"], "{body}");
        }
    }

    #[test]
    fn a_body_nested_without_end_is_refused_and_does_not_end_us() {
        let body = "{\"items\":".to_owned() + &"[".repeat(100_000);
        assert_eq!(fields(CREATE_ORDER, &body), ["body"]);
    }

    #[test]
    fn what_stands_there_twice_is_named() {
        let body = r#"{"items": [{"quantity": 1, "quantity": 2}], "items": [], "idempotencyKey": "k"}"#;
        assert_eq!(fields(CREATE_ORDER, body), ["items[0].quantity", "items"]);
        let body = r#"{"items": [{"productId": "a", "product_id": "b"}]}"#;
        assert_eq!(fields(CREATE_ORDER, body), ["items[0].productId"], "two spellings are one field");
        assert_eq!(fields(CREATE_PRODUCT, r#"{"name": "a", "name": "b"}"#), ["product.name"]);
    }

    #[test]
    fn queries_are_read_and_named_as_people_write_them() {
        const LIST: &str = "artel.catalog.v1.CatalogService.ListProducts";
        for right in
            ["", "search=a+b%20c&minPrice=100&available=true&pageSize=3", "page_size=3&order_by=price%20desc"]
        {
            assert_eq!(query(LIST, right), [], "{right}");
        }
        let wrong = "bogus=1&minPrice=abc&available=maybe&page_size=99999999999&pageToken=a&pageToken=b";
        let found = query(LIST, wrong);
        let named: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(named, ["available", "bogus", "minPrice", "pageToken", "pageSize"]);
        assert!(found[1].1.contains("it has"), "{}", found[1].1);
        assert_eq!(found[3].1, "stands there more than once");
        assert!(query(LIST, "pageSiz=1")[0].1.ends_with("did you mean pageSize?"));
        const UPDATE: &str = "artel.identity.v1.IdentityService.UpdateMe";
        assert_eq!(query(UPDATE, "updateMask=displayName,locale"), []);
        assert_eq!(query(UPDATE, "user.locale=ru"), [], "fields of fields");
        assert_eq!(query(UPDATE, "user=x")[0].0, "user");
        assert_eq!(query(UPDATE, "user.nothing=x")[0].0, "user.nothing");
    }
}
