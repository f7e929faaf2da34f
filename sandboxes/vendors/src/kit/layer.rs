//! Where faults happen, for every vendor alike.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{StatusCode, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};

use super::{Act, Desk, Vendor, serve::HangUp};

/// What the vendor itself has to do wrong with a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    pub decline: bool,
    pub twice: bool,
    pub broken: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Told {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

pub(crate) fn over<V: Vendor>(routes: Router, desk: &Arc<Desk<V>>, effect: bool) -> Router {
    routes.route_layer(from_fn_with_state((desk.clone(), effect), pass::<V>))
}

async fn pass<V: Vendor>(
    State((desk, effect)): State<(Arc<Desk<V>>, bool)>,
    mut request: Request,
    next: Next,
) -> Response {
    let act = desk.faults.next(effect);
    if act == Act::Fail {
        return (StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable\n").into_response();
    }
    request.extensions_mut().insert(Told {
        decline: act == Act::Decline,
        twice: act == Act::Twice,
        broken: act == Act::Break,
    });
    // What was begun is ended although the caller has hung up, as it is at a real vendor.
    let work = tokio::spawn(async move {
        if let Act::Late(delay) = act {
            tokio::time::sleep(delay).await;
        }
        next.run(request).await
    });
    let Ok(mut response) = work.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match act {
        Act::Slow(delay) => tokio::time::sleep(delay).await,
        Act::Lose => {
            response.extensions_mut().insert(HangUp);
        }
        _ => {}
    }
    response
}
