//! When the caller stops waiting, and giving up by then.

use std::future::Future;
use std::time::{Duration, Instant};

use artel_util::Error;
use http::{HeaderMap, HeaderName};
use tonic::Code;

/// Envoy's own timeout of the route, in milliseconds; there for callers that set none.
static ENVOY_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The part of the caller's time that is left for the answer's way back. Whoever is asked further gets less again, so
/// that the one at the end of a chain gives up first and each hears from the next why.
const WAY_BACK: u32 = 50;
const LEAST_WAY_BACK: Duration = Duration::from_millis(2);
const LONGEST_WAY_BACK: Duration = Duration::from_millis(10);

/// The moment by which a request that has just arrived is answered: before the end of `grpc-timeout`, else of Envoy's.
pub(crate) fn of(headers: &HeaderMap, arrived: Instant) -> Option<Instant> {
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let left = header(&TIMEOUT).and_then(grpc_timeout).or_else(|| {
        let millis = header(&ENVOY_TIMEOUT)?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    })?;
    let way_back = (left / WAY_BACK).clamp(LEAST_WAY_BACK, LONGEST_WAY_BACK);
    arrived.checked_add(left.saturating_sub(way_back))
}

/// Drops the work when the caller has stopped waiting.
///
/// # Errors
/// DEADLINE_EXCEEDED.
pub(crate) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Result<T, Error> {
    match deadline {
        None => Ok(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| over()),
    }
}

/// The caller's time is over.
pub(crate) fn over() -> Error {
    Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "This took longer than the caller waits.")
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

    #[test]
    fn time_is_left_for_the_way_back() {
        let arrived = Instant::now();
        let left = |header: &'static str| {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), header.parse().unwrap())]);
            of(&headers, arrived).unwrap() - arrived
        };
        assert_eq!(left("300m"), Duration::from_millis(294));
        assert_eq!(left("60S"), Duration::from_millis(59_990));
        assert_eq!(left("10m"), Duration::from_millis(8));
        assert_eq!(left("1m"), Duration::ZERO);
    }
}
