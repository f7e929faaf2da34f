use std::convert::Infallible;
use std::sync::Arc;

use artel_proto::Limited;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;

/// What answers a call: always, if only with an error.
pub(crate) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// A gRPC service as the generated code has it, whatever its type.
pub trait Api:
    tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + NamedService
    + Limited
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Api for S where
    S: tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Limited
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The same, among others.
pub(crate) trait AnyApi: Send + Sync {
    fn answer(&self, request: Request<Body>) -> Answer;

    /// The same that takes at most so many bytes in a message; nothing where it has a limit of its own.
    fn limited(&self, _most: usize) -> Option<Arc<dyn AnyApi>> {
        None
    }
}

impl<S: Api> AnyApi for S {
    fn answer(&self, request: Request<Body>) -> Answer {
        // Generated services are always ready.
        tower_service::Service::call(&mut self.clone(), request)
    }

    fn limited(&self, most: usize) -> Option<Arc<dyn AnyApi>> {
        Some(Arc::new(Limited::limited(self.clone(), most)))
    }
}

/// A service of contracts that are not ours, health and reflection: their messages are small.
pub(crate) struct Foreign<S>(pub(crate) S);

impl<S> AnyApi for Foreign<S>
where
    S: tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + Clone
        + Send
        + Sync,
{
    fn answer(&self, request: Request<Body>) -> Answer {
        self.0.clone().call(request)
    }
}

/// The gRPC services on one port, by their full names. Who calls is led to its method at once: a router, made for paths
/// of all kinds, takes several times as long.
#[derive(Clone, Default)]
pub(crate) struct Apis(Vec<(&'static str, Arc<dyn AnyApi>)>);

impl Apis {
    #[must_use]
    pub(crate) fn with<S: Api>(self, api: S) -> Self {
        self.named(S::NAME, api)
    }

    /// The same with health, as tonic-health serves it.
    #[must_use]
    pub(crate) fn with_health<S>(self, health: S) -> Self
    where
        S: tower_service::Service<
                Request<Body>,
                Response = Response<Body>,
                Error = Infallible,
                Future = Answer,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.named(S::NAME, Foreign(health))
    }

    /// The same that take at most so many bytes in a message.
    #[must_use]
    pub(crate) fn limited(mut self, most: usize) -> Self {
        for (_, api) in &mut self.0 {
            if let Some(limited) = api.limited(most) {
                *api = limited;
            }
        }
        self
    }

    #[must_use]
    pub(crate) fn named(mut self, name: &'static str, api: impl AnyApi + 'static) -> Self {
        self.0.push((name, Arc::new(api)));
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<dyn AnyApi>)> {
        self.0.iter().map(|(name, api)| (*name, api))
    }

    /// The service of a request path, `/artel.order.v1.OrderService/GetOrder`.
    pub(crate) fn of(&self, path: &str) -> Option<&Arc<dyn AnyApi>> {
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        self.iter().find(|(name, _)| *name == service).map(|(_, api)| api)
    }
}
