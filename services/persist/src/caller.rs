use std::time::Instant;

use artel_client::Call;
use artel_util::Error;
use uuid::Uuid;

/// Who asks, as the change log and the outbox keep it.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) workspace: Uuid,
    /// The user's id; empty where there is none.
    pub(crate) user: String,
    pub(crate) service: String,
    /// The trace's id.
    pub(crate) trace: String,
    /// What goes on with the events: a W3C `traceparent`, and after a space what it is part of outside.
    pub(crate) traceparent: String,
    pub(crate) deadline: Option<Instant>,
}

impl TryFrom<&Call> for Caller {
    type Error = Error;

    fn try_from(call: &Call) -> Result<Self, Error> {
        let workspace = Uuid::try_parse(&call.workspace)
            .map_err(|_| Error::unauthenticated("NO_WORKSPACE", "The call says no workspace."))?;
        Ok(Self {
            workspace,
            user: call.user.as_ref().map(|user| user.id.clone()).unwrap_or_default(),
            service: call.service.clone(),
            trace: call.trace.id(),
            traceparent: call.context(),
            deadline: call.deadline,
        })
    }
}
