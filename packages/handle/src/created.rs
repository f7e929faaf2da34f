use tonic::Response;
use tonic::metadata::MetadataValue;

/// What tells the edge which HTTP status an answer has.
const STATUS: &str = "x-artel-status";

/// An answer of a method annotated `created: true` that made something: HTTP 201. Without it the answer is HTTP 200:
/// what was asked for is there already. Over gRPC both are OK.
pub fn created<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert(STATUS, MetadataValue::from_static("201"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_says_so_beside_the_message() {
        let response = created(7);
        assert_eq!(response.metadata().get(STATUS).and_then(|it| it.to_str().ok()), Some("201"));
        assert_eq!(response.into_inner(), 7);
    }
}
