//! Who calls: a service with a signed call, a person with an access token, or nobody.

use artel_client::{CALL_HEADER, CORRELATION_ID, Call, CallKey, REQUEST_ID, Trace, name};
use artel_trace::TRACEPARENT;
use artel_util::Error;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::host::Host;
use crate::keys::Keys;

pub(crate) static CALL: HeaderName = HeaderName::from_static(CALL_HEADER);
static TRACE: HeaderName = HeaderName::from_static(TRACEPARENT);

/// What it takes to know who calls.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) call_key: CallKey,
    pub(crate) keys: Keys,
    pub(crate) default_workspace: String,
}

impl Gate {
    /// The gate of a service.
    pub(crate) fn of(host: &Host) -> Self {
        Self {
            call_key: host.call_key().clone(),
            keys: host.keys().clone(),
            default_workspace: host.mesh().default_workspace.clone(),
        }
    }

    /// Finds out who calls. The call's deadline is the stack's to set.
    ///
    /// # Errors
    /// UNAUTHENTICATED where what the caller shows is not good; UNAVAILABLE where it cannot be checked.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Call, Error> {
        let mut call = match (text(headers, &CALL)?, text(headers, &AUTHORIZATION)?) {
            (Some(token), _) => self.call_key.verify(token).map_err(|error| {
                Error::unauthenticated("BAD_CALL", "The service call is not valid.").caused_by(error)
            })?,
            (None, Some(authorization)) => {
                let token = bearer(authorization).ok_or_else(|| {
                    Error::unauthenticated(
                        "BAD_TOKEN",
                        "The authorization header must be `Bearer <access token>`.",
                    )
                })?;
                let (user, workspace) = self.keys.verify(token).await?;
                Call { user: Some(user), ..Call::by_service("", &workspace) }
            }
            (None, None) => Call::by_service("", &self.default_workspace),
        };
        if let Some(trace) = text(headers, &TRACE)?.and_then(Trace::parse) {
            // What arrives names the caller's step; the answer is one within it.
            call.trace = trace.child();
        }
        let named = |header| headers.get(header).and_then(|value| name(value.to_str().ok()?));
        if call.service.is_empty() {
            call.request_id = named(REQUEST_ID);
        }
        call.correlation = named(CORRELATION_ID);
        Ok(call)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    headers
        .get(name)
        .map(|value| {
            value.to_str().map_err(|_| {
                Error::unauthenticated("BAD_HEADER", format!("The header `{name}` is not plain text."))
            })
        })
        .transpose()
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
