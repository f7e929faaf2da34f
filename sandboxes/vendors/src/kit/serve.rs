//! HTTP/1.1, with the one liberty that frameworks don't give: to close a connection in place of an answer.

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Marks a response that its client never gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HangUp;

#[derive(Debug, thiserror::Error)]
#[error("the answer is lost, as the faults say")]
struct Lost;

pub(crate) async fn serve(
    vendor: &'static str,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(vendor, %error, "cannot accept a connection");
                tokio::task::yield_now().await;
                continue;
            }
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(router.clone(), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = connection {
                tracing::debug!(vendor, %error, "connection ended");
            }
        });
    }
    connections.shutdown().await;
}

async fn answer(router: Router, request: hyper::Request<Incoming>) -> Result<Response, Lost> {
    let request: Request = request.map(Body::new);
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.extensions().get::<HangUp>().is_some() { Err(Lost) } else { Ok(response) }
}
