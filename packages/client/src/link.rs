//! The connection to one copy of a service: opened when it is first needed and again where it was lost. Calls go onto it
//! directly: a queue before it, with a task at its end, would cost each of them more than all that a channel does.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::uri::{Authority, InvalidUriParts, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tonic::body::Body;
use tower_service::Service as _;

type Source = Box<dyn Error + Send + Sync>;

/// How long it may take until a connection is there.
const CONNECT: Duration = Duration::from_secs(1);

/// How much a copy may send before it is read, on a stream and on the connection. Bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It cannot have reached anybody.
    #[error("there is no connection: {0}")]
    Unsent(Source),
    /// Nobody knows how far it came.
    #[error("the connection was lost: {0}")]
    Lost(#[from] hyper::Error),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    authority: Authority,
    connector: HttpConnector,
    open: Mutex<Option<SendRequest<Body>>>,
    /// One at a time opens it.
    opening: tokio::sync::Mutex<()>,
    /// How often that failed.
    failures: AtomicU64,
}

impl Link {
    /// A connection that is not open yet.
    pub(crate) fn to(address: SocketAddr) -> Option<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        // The kernel's: pings of our own would cost each call a little. Who hangs is told by its silence.
        connector.set_keepalive(Some(Duration::from_secs(10)));
        Some(Self {
            authority: address.to_string().parse().ok()?,
            connector,
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            failures: AtomicU64::new(0),
        })
    }

    /// Sends a request to a path, and waits for the head of its answer.
    ///
    /// # Errors
    /// Where there is no connection, or it is lost before the answer.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, LinkError> {
        let uri = self.at(std::mem::take(request.uri_mut()));
        *request.uri_mut() = uri.map_err(|error| LinkError::Unsent(error.into()))?;
        // A connection that is closed while the request waits for its turn gives it back: nobody has seen it.
        if let Some(mut sender) = self.sender() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(LinkError::Lost(error.into_error())),
                },
            }
        }
        self.open().await?.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_) => LinkError::Unsent(error.into_error().into()),
            None => LinkError::Lost(error.into_error()),
        })
    }

    /// The same path here.
    fn at(&self, path: Uri) -> Result<Uri, InvalidUriParts> {
        let mut parts = path.into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        Uri::from_parts(parts)
    }

    /// The connection, if it is open.
    fn sender(&self) -> Option<SendRequest<Body>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    async fn open(&self) -> Result<SendRequest<Body>, LinkError> {
        let failures = self.failures.load(Ordering::Relaxed);
        let _turn = self.opening.lock().await;
        if let Some(sender) = self.sender() {
            return Ok(sender);
        }
        // Whoever waited while another tried need not try again: the next one would wait as long once more.
        if self.failures.load(Ordering::Relaxed) != failures {
            return Err(LinkError::Unsent("it could not be opened a moment ago".into()));
        }
        match self.connect().await {
            Ok(sender) => {
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
                Ok(sender)
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(LinkError::Unsent(error))
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Source> {
        let io = self.connector.clone().call(self.at(Uri::default())?).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(io)
            .await?;
        // Ends when all who could send on it are gone and their answers are there.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(sender)
    }
}
