use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use artel_discovery::{Consul, Instance, Instances};
use artel_proto::annotations::{self, Rule};
use artel_trace::{Kind, Span, TRACEPARENT, Trace};
use artel_util::Error;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

use crate::call::Call;
use crate::limits::Limits;
use crate::link::LinkError;
use crate::meter::Meter;
use crate::names::CORRELATION_ID;
use crate::pool::Pool;
use crate::token::{CALL_HEADER, CallKey};

/// The reason of a refusal by who has too many calls in hand. Nothing was done for the call: another copy may be asked.
pub const OVERLOADED: &str = "OVERLOADED";

/// The connection keeps a table of headers, to name them by a number. What is another in each call would only push out
/// what comes again, so it is marked as not to be kept, but for one of so many.
const INDEXED_EVERY: u32 = 32;

static CALL: HeaderName = HeaderName::from_static(CALL_HEADER);
static TRACE: HeaderName = HeaderName::from_static(TRACEPARENT);
static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How long to wait at most for Consul's first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// For how long a copy that has too much to do is left alone where it does not say.
const REFUSED_FOR: Duration = Duration::from_millis(100);

/// Channels to every service of the mesh, as one service of it. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Channels {
    service: Arc<str>,
    key: CallKey,
    find: Arc<dyn Fn(&str) -> Instances + Send + Sync>,
    limits: Arc<Limits>,
    pools: Arc<Mutex<HashMap<String, Arc<Pool>>>>,
}

/// A channel to one service, for the generated stubs: `OrderServiceClient::new(channels.to("order"))`. A request must
/// be made with [`Call::request`].
#[derive(Clone)]
pub struct Channel {
    target: Arc<str>,
    service: Arc<str>,
    key: CallKey,
    limits: Arc<Limits>,
    pool: Arc<Pool>,
    meter: Arc<Meter>,
    /// What a call may take whose caller set no deadline, as its header.
    timeout: HeaderValue,
}

impl Channels {
    /// Channels over what Consul knows, for calls signed with the mesh's key.
    #[must_use]
    pub fn new(service: &str, consul: Consul, key: CallKey) -> Self {
        Self::over(service, key, move |target| consul.watch(target))
    }

    /// Channels over what anybody knows who can say where a service's copies are.
    #[must_use]
    pub fn over(
        service: &str,
        key: CallKey,
        find: impl Fn(&str) -> Instances + Send + Sync + 'static,
    ) -> Self {
        let find = Arc::new(find);
        Self { service: service.into(), key, find, limits: Arc::default(), pools: Arc::default() }
    }

    /// The same with other limits, for channels that are made from now on.
    #[must_use]
    pub fn with(self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }

    /// Channels to services at addresses that never change: for tests, and wherever there is no Consul.
    #[must_use]
    pub fn fixed<'a>(
        service: &str,
        key: CallKey,
        addresses: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> Self {
        let mut known: HashMap<String, Vec<Instance>> = HashMap::new();
        for (name, address) in addresses {
            let instance = Instance { id: format!("{name}-{address}"), address, meta: BTreeMap::new() };
            known.entry(name.to_owned()).or_default().push(instance);
        }
        Self::over(service, key, move |target| {
            watch::channel(Some(known.get(target).cloned().unwrap_or_default().into())).1
        })
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
        let pool = pools
            .entry(target.to_owned())
            .or_insert_with(|| Arc::new(Pool::new((self.find)(target), Arc::clone(&self.limits))));
        let target: Arc<str> = target.into();
        Channel {
            meter: Arc::new(Meter::new(Arc::clone(&self.service), Arc::clone(&target))),
            target,
            service: Arc::clone(&self.service),
            key: self.key.clone(),
            limits: Arc::clone(&self.limits),
            pool: Arc::clone(pool),
            timeout: unlimited(&self.limits),
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move {
            let begin = Instant::now();
            let answer = channel.send(request).await;
            channel.meter.answered(code_of(&answer), begin.elapsed());
            answer
        })
    }
}

impl Channel {
    /// The largest message that goes over it, in bytes: what a stub takes, unless it is told, is 4 MiB.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.limits.message_bytes
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Status> {
        let call = request.extensions_mut().remove::<Call>().ok_or_else(|| {
            Status::from(Error::internal("a request to another service was not made with Call::request"))
        })?;
        let rule = annotations::rule(request.uri().path());
        let timeout = call.time_left(self.limits.timeout);
        if timeout.is_zero() {
            return Err(self.late());
        }
        let step = call.trace.child();
        // Every so often they are indexed like others, so that at least their names are known to the connection.
        let once = !self.meter.calls().is_multiple_of(INDEXED_EVERY);
        self.sign(&mut request, &call, &step, once)?;
        let mut span = Span::begin(&self.service, &step, Kind::Client, name(request.uri().path()));
        span.set("rpc.system", "grpc");
        let answer = self.send_signed(request, timeout, call.deadline.map(|_| once), rule).await;
        span.answered(code_of(&answer));
        answer
    }

    async fn send_signed(
        &self,
        request: Request<Body>,
        timeout: Duration,
        limited: Option<bool>,
        rule: Option<&Rule>,
    ) -> Result<Response<Incoming>, Status> {
        self.pool.known(timeout.min(FIRST_ANSWER)).await;
        if rule.is_some_and(|rule| rule.client_streams || rule.server_streams) {
            return self.send_once(request).await;
        }
        let idempotent =
            rule.and_then(|rule| rule.options.as_ref()).is_some_and(|options| options.idempotent);
        let _waiting = self.pool.wait().ok_or_else(|| self.crowded())?;
        let deadline = Instant::now() + timeout;
        let limit = match limited {
            Some(once) => grpc_timeout(timeout, once),
            // The same each time.
            None => self.timeout.clone(),
        };
        match tokio::time::timeout(timeout, self.send_unary(request, idempotent, limit, deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late()),
        }
    }

    /// Adds who calls for whom, the trace, and what it is part of outside.
    fn sign(&self, request: &mut Request<Body>, call: &Call, step: &Trace, once: bool) -> Result<(), Status> {
        let token =
            self.key.header(&self.service, call).map_err(|error| Status::from(Error::internal(error)))?;
        let mut trace =
            HeaderValue::from_bytes(&step.header()).map_err(|error| Status::from(Error::internal(error)))?;
        trace.set_sensitive(once);
        let headers = request.headers_mut();
        headers.insert(&CALL, token);
        headers.insert(&TRACE, trace);
        if let Some(correlation) = &call.correlation {
            let value = HeaderValue::try_from(&**correlation)
                .map_err(|error| Status::from(Error::internal(error)))?;
            headers.insert(CORRELATION_ID, value);
        }
        Ok(())
    }

    /// A stream goes to one copy and is not tried again.
    async fn send_once(&self, request: Request<Body>) -> Result<Response<Incoming>, Status> {
        let peer = self.pool.choose(&[]).ok_or_else(|| self.nobody())?;
        let flight = peer.begin();
        match peer.link.send(request).await {
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
        limit: HeaderValue,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Status> {
        let (mut head, body) = request.into_parts();
        // What is for us alone need not be copied for each attempt.
        head.extensions.clear();
        let body: Bytes = body.collect().await?.to_bytes();
        self.pool.budget.earn();
        let mut tried = Vec::new();
        let mut failure = None;
        for attempt in 1..=self.limits.attempts {
            let (peer, only) = match (self.pool.choose(&tried), attempt) {
                (Some(peer), _) => (peer, false),
                (None, 1) => return Err(self.nobody()),
                // It is the only one, or all were tried.
                (None, _) => (self.pool.choose(&[]).ok_or_else(|| self.nobody())?, true),
            };
            let mut request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let left = || deadline.saturating_duration_since(Instant::now());
            let limit = if attempt == 1 { limit.clone() } else { grpc_timeout(left(), true) };
            request.headers_mut().insert(&TIMEOUT, limit);
            let flight = peer.begin();
            let (status, untouched) = match peer.link.send(request).await {
                Ok(response) => match code(&response) {
                    Code::Unavailable => {
                        flight.fail();
                        (status(&response), false)
                    }
                    Code::ResourceExhausted => {
                        let status = status(&response);
                        let Some(pause) = overloaded(&status) else {
                            flight.succeed();
                            return Ok(response);
                        };
                        flight.refuse(pause);
                        tried.push(peer.address);
                        // Whoever has too much to do is not asked again at once.
                        if only || self.pool.choose(&tried).is_none() {
                            return Err(status);
                        }
                        (status, true)
                    }
                    _ => {
                        flight.succeed();
                        return Ok(response);
                    }
                },
                Err(error) => {
                    flight.fail();
                    let untouched = matches!(error, LinkError::Unsent(_));
                    (self.unreachable(error), untouched)
                }
            };
            let again =
                (untouched || idempotent) && attempt < self.limits.attempts && self.pool.budget.spend();
            if !again {
                return Err(status);
            }
            if !tried.contains(&peer.address) {
                tried.push(peer.address);
            }
            self.meter.tried_again();
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

    fn late(&self) -> Status {
        let text = format!("The service `{}` took too long.", self.target);
        Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", text).with("service", &self.target).into()
    }

    fn crowded(&self) -> Status {
        let text = format!("Too many calls wait for the service `{}`. Try again in a moment.", self.target);
        Error::new(Code::ResourceExhausted, OVERLOADED, text)
            .with("service", &self.target)
            .retry_after(REFUSED_FOR)
            .into()
    }

    fn unreachable(&self, error: LinkError) -> Status {
        Error::unavailable(
            "UNREACHABLE",
            format!("The service `{}` does not answer. Try again in a moment.", self.target),
        )
        .with("service", &self.target)
        .caused_by(error)
        .into()
    }
}

/// A failure stands in the headers; what went well says so after the body.
fn code(response: &Response<Incoming>) -> Code {
    response.headers().get(&STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

fn code_of(answer: &Result<Response<Incoming>, Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, code)
}

/// A method as traces name it: `artel.order.v1.OrderService/GetOrder`.
fn name(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn status(response: &Response<Incoming>) -> Status {
    Status::from_header_map(response.headers()).unwrap_or_else(|| Status::unknown("no status"))
}

/// Where a copy has too much to do: how long it wants to be left alone.
fn overloaded(status: &Status) -> Option<Duration> {
    let error = Error::from(status.clone());
    (error.reason() == OVERLOADED).then(|| error.wait().unwrap_or(REFUSED_FOR))
}

/// The header of a call without a deadline.
fn unlimited(limits: &Limits) -> HeaderValue {
    grpc_timeout(limits.timeout, false)
}

/// The header's value: at most eight digits and a unit.
fn grpc_timeout(left: Duration, once: bool) -> HeaderValue {
    let (amount, unit) = match left.as_micros() {
        micros @ ..=99_999_999 => (micros.max(1), 'u'),
        _ => (left.as_millis().min(99_999_999), 'm'),
    };
    let header = HeaderValue::try_from(format!("{amount}{unit}"));
    let mut header = header.unwrap_or_else(|_| HeaderValue::from_static("15S"));
    header.set_sensitive(once);
    header
}
