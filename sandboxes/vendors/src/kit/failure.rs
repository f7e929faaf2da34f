use axum::response::{IntoResponse, Response};

/// An answer that says no, in the vendor's own words.
#[derive(Debug)]
pub(crate) struct Failure(Box<Response>);

impl Failure {
    pub fn new(answer: impl IntoResponse) -> Self {
        Self(Box::new(answer.into_response()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}
