use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use artel_discovery::{Consul, Instance};
use artel_proto::annotations;
use artel_trace::{Kind, Span, TRACEPARENT, Trace};
use artel_util::Error;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use metrics::Label;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use crate::call::Call;
use crate::pool::Pool;
use crate::token::{CALL_HEADER, CallKey};

/// How long a call may take when its caller set no deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait at most for Consul's first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// How often a call is tried in all.
const ATTEMPTS: usize = 3;

/// Channels to every service of the mesh, as one service of it. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Channels {
    service: Arc<str>,
    key: CallKey,
    /// None where the addresses were given and never change.
    consul: Option<Consul>,
    pools: Arc<Mutex<HashMap<String, Arc<Pool>>>>,
}

/// A channel to one service, for the generated stubs: `OrderServiceClient::new(channels.to("order"))`. A request must
/// be made with [`Call::request`].
#[derive(Clone)]
pub struct Channel {
    target: Arc<str>,
    service: Arc<str>,
    key: CallKey,
    pool: Arc<Pool>,
}

impl Channels {
    /// Channels over what Consul knows, for calls signed with the mesh's key.
    #[must_use]
    pub fn new(service: &str, consul: Consul, key: CallKey) -> Self {
        Self { service: service.into(), key, consul: Some(consul), pools: Arc::default() }
    }

    /// Channels to services at addresses that never change: for tests, and wherever there is no Consul.
    #[must_use]
    pub fn fixed<'a>(
        service: &str,
        key: CallKey,
        addresses: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> Self {
        let mut pools: HashMap<String, Vec<Instance>> = HashMap::new();
        for (name, address) in addresses {
            let instance = Instance { id: format!("{name}-{address}"), address, meta: BTreeMap::new() };
            pools.entry(name.to_owned()).or_default().push(instance);
        }
        let pools = pools.into_iter().map(|(name, instances)| (name, Arc::new(still(instances)))).collect();
        Self { service: service.into(), key, consul: None, pools: Arc::new(Mutex::new(pools)) }
    }

    /// The same connections for calls that another service of this process makes.
    #[must_use]
    pub fn acting_as(&self, service: &str) -> Self {
        Self { service: service.into(), ..self.clone() }
    }

    /// A channel to a service by its name in Consul. Must be called within a tokio runtime.
    #[must_use]
    pub fn to(&self, target: &str) -> Channel {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(target.to_owned()).or_insert_with(|| {
            let known = self.consul.as_ref().map(|consul| Pool::new(consul.watch(target)));
            Arc::new(known.unwrap_or_else(|| still(Vec::new())))
        });
        Channel {
            target: target.into(),
            service: Arc::clone(&self.service),
            key: self.key.clone(),
            pool: Arc::clone(pool),
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move {
            let (target, service) = (Arc::clone(&channel.target), Arc::clone(&channel.service));
            let begin = Instant::now();
            let answer = channel.send(request).await;
            measure(service, target, begin.elapsed(), &answer);
            answer
        })
    }
}

impl Channel {
    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let call = request.extensions_mut().remove::<Call>().ok_or_else(|| {
            Status::from(Error::internal("a request to another service was not made with Call::request"))
        })?;
        let method = annotations::method_by_path(request.uri().path());
        let streams = method
            .as_ref()
            .is_some_and(|(method, _)| method.is_client_streaming() || method.is_server_streaming());
        let idempotent = method.and_then(|(_, options)| options).is_some_and(|options| options.idempotent);

        let timeout = call.time_left(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            return Err(late(&self.target));
        }
        let step = call.trace.child();
        self.sign(&mut request, &call, &step)?;
        let mut span = Span::begin(&self.service, &step, Kind::Client, name(request.uri().path()));
        span.set("rpc.system", "grpc");
        let answer = self.send_signed(request, timeout, streams, idempotent).await;
        span.answered(code(&answer));
        answer
    }

    async fn send_signed(
        self,
        request: Request<Body>,
        timeout: Duration,
        streams: bool,
        idempotent: bool,
    ) -> Result<Response<Body>, Status> {
        self.pool.known(timeout.min(FIRST_ANSWER)).await;
        if streams {
            return self.send_once(request).await;
        }
        let deadline = Instant::now() + timeout;
        match tokio::time::timeout(timeout, self.send_unary(request, idempotent, deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(late(&self.target)),
        }
    }

    /// Adds who calls for whom, and the trace.
    fn sign(&self, request: &mut Request<Body>, call: &Call, step: &Trace) -> Result<(), Status> {
        let token =
            self.key.sign(&self.service, call).map_err(|error| Status::from(Error::internal(error)))?;
        let headers = request.headers_mut();
        for (name, value) in [(CALL_HEADER, token), (TRACEPARENT, step.to_string())] {
            let value = HeaderValue::try_from(value).map_err(|error| Status::from(Error::internal(error)))?;
            headers.insert(name, value);
        }
        Ok(())
    }

    /// A stream goes to one copy and is not tried again.
    async fn send_once(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let peer = self.pool.choose(&[]).ok_or_else(|| self.nobody())?;
        let flight = peer.begin();
        match peer.channel.clone().oneshot(request).await {
            Ok(response) => {
                flight.succeed();
                Ok(response)
            }
            Err(error) => {
                flight.fail();
                Err(self.unreachable(error))
            }
        }
    }

    /// A unary call is tried on another copy where it never reached the first, or where it may happen twice.
    async fn send_unary(
        &self,
        request: Request<Body>,
        idempotent: bool,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let body: Bytes = body.collect().await?.to_bytes();
        self.pool.budget.earn();
        let mut tried = Vec::new();
        let mut failure = None;
        for attempt in 0..ATTEMPTS {
            let Some(peer) = self.pool.choose(&tried).or_else(|| self.pool.choose(&[])) else {
                return Err(failure.unwrap_or_else(|| self.nobody()));
            };
            tried.push(peer.address);
            let mut request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let left = deadline.saturating_duration_since(Instant::now());
            request.headers_mut().insert("grpc-timeout", grpc_timeout(left));
            let flight = peer.begin();
            let (status, untouched) = match peer.channel.clone().oneshot(request).await {
                Ok(response) => match Status::from_header_map(response.headers()) {
                    Some(status) if status.code() == Code::Unavailable => {
                        flight.fail();
                        (status, false)
                    }
                    _ => {
                        flight.succeed();
                        return Ok(response);
                    }
                },
                // tonic keeps the header's time, too. That the caller's time is over says nothing against the copy.
                Err(error) if is::<tonic::TimeoutExpired>(&error) => return Err(late(&self.target)),
                Err(error) => {
                    flight.fail();
                    let untouched = is::<tonic::ConnectError>(&error);
                    (self.unreachable(error), untouched)
                }
            };
            let again = (untouched || idempotent) && attempt + 1 < ATTEMPTS && self.pool.budget.spend();
            if !again {
                return Err(status);
            }
            metrics::counter!("artel_client_retries_total", "target" => self.target.to_string()).increment(1);
            tracing::debug!(target = %self.target, peer = %peer.address, code = ?status.code(), "tried again elsewhere");
            failure = Some(status);
        }
        Err(failure.unwrap_or_else(|| self.nobody()))
    }

    fn nobody(&self) -> Status {
        Error::unavailable(
            "NO_INSTANCES",
            format!("No copy of the service `{}` is running. Try again in a moment.", self.target),
        )
        .with("service", &self.target)
        .into()
    }

    fn unreachable(&self, error: tonic::transport::Error) -> Status {
        Error::unavailable(
            "UNREACHABLE",
            format!("The service `{}` does not answer. Try again in a moment.", self.target),
        )
        .with("service", &self.target)
        .caused_by(error)
        .into()
    }
}

/// Counts a call as its caller saw it, attempts and waiting included; a stream up to its first answer.
fn measure(service: Arc<str>, target: Arc<str>, took: Duration, answer: &Result<Response<Body>, Status>) {
    let code = code(answer);
    let mut labels = vec![Label::new("service", service), Label::new("target", target)];
    metrics::histogram!("artel_client_call_seconds", labels.clone()).record(took);
    labels.push(Label::new("code", format!("{code:?}")));
    metrics::counter!("artel_client_calls_total", labels).increment(1);
}

fn code(answer: &Result<Response<Body>, Status>) -> Code {
    match answer {
        Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
        Err(status) => status.code(),
    }
}

/// A method as traces name it: `artel.order.v1.OrderService/GetOrder`.
fn name(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Copies that never change.
fn still(instances: Vec<Instance>) -> Pool {
    Pool::new(watch::channel(Some(instances.into())).1)
}

fn late(target: &str) -> Status {
    Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", format!("The service `{target}` took too long."))
        .with("service", target)
        .into()
}

/// True where this stands behind the error. A `ConnectError` means that the request cannot have reached anybody.
fn is<E: std::error::Error + 'static>(error: &tonic::transport::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The header's value: at most eight digits and a unit.
fn grpc_timeout(left: Duration) -> HeaderValue {
    let millis = left.as_millis().clamp(1, 99_999_999);
    HeaderValue::try_from(format!("{millis}m")).unwrap_or_else(|_| HeaderValue::from_static("15S"))
}
