//! When the caller stops waiting, and giving up by then.

use std::time::{Duration, Instant};

use artel_client::Call;
use artel_util::Error;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tonic::{Code, Status};

/// Envoy's own timeout of the route, in milliseconds; there for callers that set none.
const ENVOY_TIMEOUT: &str = "x-envoy-expected-rq-timeout-ms";

/// The moment until which the caller waits: `grpc-timeout`, else Envoy's.
pub(crate) fn of(headers: &HeaderMap) -> Option<Instant> {
    let header = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let left = header("grpc-timeout").and_then(grpc_timeout).or_else(|| {
        let millis = header(ENVOY_TIMEOUT)?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    })?;
    Instant::now().checked_add(left)
}

/// Drops the work when the caller has stopped waiting.
pub(crate) async fn give_up_in_time(request: Request, next: Next) -> Response {
    let Some(deadline) = request.extensions().get::<Call>().and_then(|call| call.deadline) else {
        return next.run(request).await;
    };
    match tokio::time::timeout_at(deadline.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let error = Error::new(
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "This took longer than the caller waits.",
            );
            Status::from(error).into_http()
        }
    }
}

/// Up to eight digits and a unit: H, M, S, m, u, n.
fn grpc_timeout(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts() {
        assert_eq!(grpc_timeout("300m"), Some(Duration::from_millis(300)));
        assert_eq!(grpc_timeout("2H"), Some(Duration::from_secs(7200)));
        for bad in ["", "m", "300", "123456789m", "-1S", "1é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }
}
