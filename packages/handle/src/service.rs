use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_proto::Event;
use artel_util::Error;
use axum::Router;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Apis};
use crate::health::There;
use crate::job::Job;
use crate::listen::{Listener, Listeners, Typed};

pub(crate) type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// What a service is: its API, its listeners, its jobs. Reads as a table of contents.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) grpc: Apis,
    pub(crate) http: Router,
    pub(crate) listeners: Listeners,
    pub(crate) jobs: Vec<(Duration, Job)>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) needs: There,
    pub(crate) wants: There,
}

impl Service {
    /// A service of that name, which does nothing yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            grpc: Apis::default(),
            http: Router::new(),
            listeners: Listeners { service: name, ..Listeners::default() },
            jobs: Vec::new(),
            tasks: Vec::new(),
            needs: Vec::new(),
            wants: Vec::new(),
        }
    }

    /// Answers a gRPC API: `OrderServiceServer::new(Orders::new(repo))`.
    #[must_use]
    pub fn grpc(mut self, server: impl Api) -> Self {
        self.grpc = self.grpc.with(server);
        self
    }

    /// Answers plain HTTP beside gRPC, on the same port and without the stack in front: pages that are for everybody.
    #[must_use]
    pub fn http(mut self, pages: Router) -> Self {
        self.http = self.http.merge(pages);
        self
    }

    /// Handles an event of others (or its own).
    #[must_use]
    pub fn listen<E: Event>(mut self, listener: impl Listener<E>) -> Self {
        self.listeners.by_event.insert(E::NAME, Arc::new(Typed::<E, _>(listener, PhantomData)));
        self
    }

    /// The names of the events it listens to, sorted.
    #[must_use]
    pub fn listens(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.listeners.by_event.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Does something every period, with the service's own call. Must bear being done by two copies at once.
    #[must_use]
    pub fn every<F>(mut self, period: Duration, job: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.jobs.push((period, Arc::new(move |call| job(call).boxed())));
        self
    }

    /// Runs beside the API until its token is cancelled, which is when the service drains.
    #[must_use]
    pub fn task<F>(mut self, task: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(Box::new(move |token| task(token).boxed()));
        self
    }

    /// Is healthy only while this is true.
    #[must_use]
    pub fn needs(mut self, what: &'static str, there: watch::Receiver<bool>) -> Self {
        self.needs.push((what, there));
        self
    }

    /// Works on without this, and says so while it is not there.
    #[must_use]
    pub fn wants(mut self, what: &'static str, there: watch::Receiver<bool>) -> Self {
        self.wants.push((what, there));
        self
    }
}
