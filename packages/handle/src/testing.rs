//! Serves a service inside a test: over memory, without Consul, for whoever the test says calls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use artel_client::Call;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;

use crate::service::Service;

/// A channel straight to a service's methods, for the generated stubs. The call given is who calls; access is not
/// checked, field rules are.
#[derive(Clone)]
pub struct Direct {
    routes: tonic::service::Routes,
    call: Call,
}

/// A channel to the service as this call.
#[must_use]
pub fn direct(service: &Service, call: Call) -> Direct {
    Direct { routes: service.grpc.clone().prepare(), call }
}

impl tower_service::Service<Request<Body>> for Direct {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.call.clone());
        let answer = self.routes.call(request);
        Box::pin(async move { answer.await.map_err(|error| Status::internal(error.to_string())) })
    }
}
