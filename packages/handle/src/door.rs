//! Where a service is called: connections of HTTP/2, and of HTTP/1 for its pages, each served until it ends or the door
//! is closed.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::stack::Stack;

/// Who does not answer to pings that come so often is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How much a caller may send before it is read, on a stream and on the connection. Bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long nobody is let in where that failed: for want of file descriptors it would fail again at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the stack on a port until it is told to close; returns when the last call is answered. Dropping it cuts all
/// connections off.
pub(crate) async fn serve(listener: TcpListener, stack: Stack, most_streams: u32, close: CancellationToken) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_EVERY))
        // What comes above it waits at the caller, unseen; more than the service takes on is refused aloud.
        .max_concurrent_streams(Some(most_streams))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let http = Arc::new(http);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = close.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&http), stream, stack.clone(), close.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    http: Arc<Builder<TokioExecutor>>,
    stream: TcpStream,
    stack: Stack,
    close: CancellationToken,
) {
    // Else an answer of two packets waits 40 ms for the first to be acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays slow");
    }
    let answer = service_fn(move |request: Request<Incoming>| stack.answer(request.map(Body::new)));
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = close.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended badly");
    }
}
