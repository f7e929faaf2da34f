//! Serves a service inside a test, without Consul: over memory for whoever the test says calls ([`direct`]), on a port
//! behind the whole stack ([`listen`]), or as it runs in production, with others that it finds ([`LocalMesh`]).

mod mesh;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use artel_client::Call;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use crate::api::Apis;
use crate::authenticate::Gate;
use crate::door;
use crate::host::Host;
use crate::service::Service;
use crate::stack::Stack;

pub use mesh::LocalMesh;

/// A channel straight to a service's methods, for the generated stubs. The call given is who calls; access is not
/// checked, field rules are.
#[derive(Clone)]
pub struct Direct {
    grpc: Apis,
    call: Call,
}

/// A channel to the service as this call.
#[must_use]
pub fn direct(service: &Service, call: Call) -> Direct {
    Direct { grpc: service.grpc.clone(), call }
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
        let answer = self.grpc.of(request.uri().path()).map(|api| api.answer(request));
        Box::pin(async move {
            match answer {
                Some(answer) => answer.await.map_err(|never| match never {}),
                None => Err(Status::unimplemented("the service does not answer this")),
            }
        })
    }
}

/// Serves the API of a service on a free port of this machine until the runtime ends. Its jobs, listeners and tasks do
/// not run. With [`artel_client::Channels::fixed`], services of a test call each other as in the mesh.
///
/// # Errors
/// Where there is no free port.
pub async fn listen(service: Service, host: &Host) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (gate, bounds) = (Gate::of(host), host.mesh().bounds());
    let grpc = service.grpc.limited(host.mesh().max_message_bytes);
    let stack = Stack::new(service.name, &grpc, service.http, gate, bounds)?;
    let streams = host.mesh().max_connection_streams;
    tokio::spawn(door::serve(listener, stack, streams, CancellationToken::new()));
    Ok(address)
}
