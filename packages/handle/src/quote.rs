//! Puts the name of the request into the error that answers it, so that a person can quote it.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Adds a `RequestInfo` to the details of an answer that is an error and nothing else.
pub(crate) fn quote(response: &mut Response<Body>, request_id: &str) {
    let Some(status) = Status::from_header_map(response.headers()) else { return };
    if status.code() == Code::Ok {
        return;
    }
    let mut details: ErrorDetails = status.get_error_details();
    details.set_request_info(request_id, "");
    let quoted = Status::with_error_details(status.code(), status.message(), details);
    // What cannot be a header leaves the error as it was.
    let _ = quoted.add_header(response.headers_mut());
}
