//! The server stack, written once: what a request passes before a handler sees it.

use std::convert::Infallible;
use std::sync::Arc;

use artel_client::{REQUEST_ID, name};
use artel_util::Error;
use axum::Router;
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower_service::Service;

use crate::access::Access;
use crate::admission::{Admission, Bounds, Class, Permit};
use crate::api::{Answer, Apis};
use crate::authenticate::{CALL, Gate};
use crate::deadline::{self, within};
use crate::exemplars::{OPEN_METRICS, open_metrics};
use crate::measure::{self, Measured, prometheus};
use crate::methods::{Method, Methods};
use crate::process;
use crate::quote::quote;

/// A service's gRPC methods behind the stack, its plain HTTP pages and its metrics beside it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stack(Arc<Guard>);

impl Stack {
    /// Guards the methods of the gRPC services.
    pub(crate) fn new(
        service: &'static str,
        grpc: &Apis,
        http: Router,
        gate: Gate,
        bounds: Bounds,
    ) -> anyhow::Result<Self> {
        let metrics = prometheus()?;
        let page = move |headers: HeaderMap| async move {
            let page = metrics.render() + &process::page();
            let accepts = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
            if accepts.contains("application/openmetrics-text") {
                ([(CONTENT_TYPE, OPEN_METRICS)], open_metrics(&page))
            } else {
                ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
            }
        };
        // Knows how to say over gRPC that there is no such method.
        let pages = Routes::default().into_axum_router().merge(http.route("/metrics", get(page)));
        let pages = Routes::from(pages).prepare();
        let methods = Methods::of(service, grpc, &bounds);
        Ok(Self(Arc::new(Guard { service, methods, pages, gate, admission: Admission::new(bounds) })))
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: Request<Body>) -> Answer {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let Some(method) = guard.methods.find(request.uri().path()) else {
                return guard.pages.clone().call(request).await;
            };
            let headers = request.headers();
            let outside = !headers.contains_key(&CALL);
            let named = headers.get(REQUEST_ID).filter(|_| outside).and_then(|id| name(id.to_str().ok()?));
            let mut response = guard.pass(method, request).await.unwrap_or_else(|error| {
                let status = Status::from(error);
                measure::refused(status.code());
                status.into_http()
            });
            if let Some(id) = named {
                quote(&mut response, &id);
            }
            Ok(response)
        })
    }
}

/// What stands before the methods.
struct Guard {
    service: &'static str,
    methods: Methods,
    pages: Routes,
    gate: Gate,
    admission: Arc<Admission>,
}

impl Guard {
    /// The way of a request to its handler and back.
    async fn pass(&self, method: &Method, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let arrived = Instant::now();
        // Nothing is done for somebody who has stopped waiting.
        let deadline = deadline::of(request.headers(), arrived.into_std());
        if deadline.is_some_and(|deadline| deadline <= arrived.into_std()) {
            return Err(deadline::over());
        }
        if method.open {
            let work = async { answer(within(deadline, method.api.answer(request)).await) };
            return Ok(Measured::begin(self.service, method, None, arrived).of(work).await);
        }
        // Before whoever comes from outside is asked for a token: refusing must cost less than serving. Who signed a
        // call is known at once, and matters.
        let outside = !request.headers().contains_key(&CALL);
        let early = outside.then(|| self.enter(method, Class::Edge, arrived)).transpose()?;
        let mut call = self.gate.identify(request.headers()).await?;
        // Nothing is done for somebody who may not ask for it.
        Access::of(method.rule).check(&call)?;
        let class = Class::of(&call);
        let permit = match early {
            Some(permit) => permit,
            None => self.enter(method, class, arrived)?,
        };
        let stream = method.streams().then(|| self.open(method, class)).transpose()?;
        call.deadline = deadline;
        let measured = Measured::begin(self.service, method, Some(&call), arrived);
        request.extensions_mut().insert(call);
        let work = async {
            // What is dropped at the deadline is the handler's work alone.
            let ended = within(deadline, method.api.answer(request)).await;
            if let (Some(permit), Ok(_)) = (permit, &ended) {
                permit.answered();
            }
            answer(ended)
        };
        let response = measured.of(work).await;
        Ok(match stream {
            // Open for as long as its answer is.
            Some(stream) => response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _open = &stream;
                    frame
                }))
            }),
            None => response,
        })
    }

    /// Lets a call in or refuses it for now.
    fn enter<'a>(
        &'a self,
        method: &'a Method,
        class: Class,
        arrived: Instant,
    ) -> Result<Option<Permit<'a>>, Error> {
        if method.takes_a_stream() {
            return Ok(None);
        }
        let entered = self.admission.enter(&method.lane, class, arrived);
        let shed = |_: &Error| measure::shed(self.service, method, class);
        Ok(Some(entered.inspect_err(shed)?))
    }

    fn open(&self, method: &Method, class: Class) -> Result<crate::admission::Stream, Error> {
        self.admission.open(class).inspect_err(|_| measure::shed(self.service, method, class))
    }
}

fn answer(ended: Result<Result<Response<Body>, Infallible>, Error>) -> Response<Body> {
    match ended {
        Ok(Ok(response)) => match too_large(response.headers()) {
            Some(error) => Status::from(error).into_http(),
            None => response,
        },
        Ok(Err(never)) => match never {},
        Err(error) => Status::from(error).into_http(),
    }
}

/// tonic says of a request beyond the server's limit that it is out of range, and the limit in its text alone.
fn too_large(headers: &HeaderMap) -> Option<Error> {
    if headers.get("grpc-status")? != "11" {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    let limit = status.message().strip_prefix("Error, decoded message length too large: ")?;
    let limit = limit.split("limit is: ").nth(1)?.split(' ').next()?;
    let text = format!("The message is larger than the {limit} bytes that are taken. Send less at once.");
    Some(Error::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", text).with("limit", limit))
}
