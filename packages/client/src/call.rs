use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_util::Error;
use tonic::{Request, Status};

use artel_trace::Trace;

/// What a request is part of: who asks, for which workspace, until when, in which trace. The server stack makes one of
/// every request; whatever goes further takes it along.
#[derive(Debug, Clone)]
pub struct Call {
    /// The service that calls; empty where the request came from outside.
    pub service: String,
    /// The person it is done for, if it is done for one.
    pub user: Option<User>,
    /// The workspace it happens in, a UUID.
    pub workspace: String,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The trace it belongs to.
    pub trace: Trace,
    /// What the request is called outside; known only where it came in.
    pub request_id: Option<Arc<str>>,
    /// What it is part of outside, if somebody said so: goes along with calls and events.
    pub correlation: Option<Arc<str>>,
}

/// A person who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: String,
    /// What the person may do.
    pub roles: Vec<String>,
    /// The language the person reads.
    pub locale: String,
}

impl Call {
    /// A call that a service makes on its own account.
    #[must_use]
    pub fn by_service(service: &str, workspace: &str) -> Self {
        Self {
            service: service.to_owned(),
            user: None,
            workspace: workspace.to_owned(),
            deadline: None,
            trace: Trace::start(),
            request_id: None,
            correlation: None,
        }
    }

    /// The call that a request is part of.
    ///
    /// # Errors
    /// INTERNAL where the server stack did not put one there.
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        request.extensions().get::<Self>().ok_or_else(|| {
            Error::internal("a request reached its handler without passing the server stack").into()
        })
    }

    /// What goes with its events: the trace, and after a space what it is part of outside.
    #[must_use]
    pub fn context(&self) -> String {
        match &self.correlation {
            Some(correlation) => format!("{} {correlation}", self.trace),
            None => self.trace.to_string(),
        }
    }

    /// The id of the person it is done for.
    ///
    /// # Errors
    /// UNAUTHENTICATED where there is none.
    pub fn user_id(&self) -> Result<&str, Error> {
        self.user
            .as_ref()
            .map(|user| user.id.as_str())
            .ok_or_else(|| Error::unauthenticated("NO_TOKEN", "Sign in first and send the access token."))
    }

    /// True where the person has the role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.user.as_ref().is_some_and(|user| user.roles.iter().any(|own| own == role))
    }

    /// A request that goes further on behalf of this call: the channel signs it and bounds its time.
    #[must_use]
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self.clone());
        request
    }

    /// What is left of the caller's time, at most `most`.
    #[must_use]
    pub fn time_left(&self, most: Duration) -> Duration {
        self.deadline.map_or(most, |deadline| deadline.saturating_duration_since(Instant::now()).min(most))
    }
}
