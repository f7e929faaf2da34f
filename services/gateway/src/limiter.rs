//! The rate limits as Envoy asks for them: its rate limit protocol, over buckets in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use artel_cache::{Bucket, Buckets, Level, Rate, Redis, Taken, Timing};
use artel_handle::Live;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::service::ratelimit::v3 as wire;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::rate_limit_response::Code as Verdict;
use wire::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};

use crate::config::GatewayConfig;
use crate::entrance::Entrance;
use crate::limits::{By, Limits};

/// What Envoy says of a request, beside [`By`]: the method, and whether the answer goes to a gRPC client.
pub const METHOD: &str = "method";
/// See [`METHOD`].
pub const FORM: &str = "form";
/// The [`FORM`] of gRPC and gRPC-Web.
pub const GRPC: &str = "grpc";
/// Where Envoy writes the address, `192.0.2.7/32`.
pub const ADDRESS: &str = "masked_remote_address";

/// The reason of a refusal.
pub const REASON: &str = "RATE_LIMITED";
/// The headers of an answer: how many the bucket nearest to its end holds, how many are left in it, after how many
/// seconds it is full again, and which one it is (draft-ietf-httpapi-ratelimit-headers-07).
pub const HEADERS: [&str; 4] =
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"];

/// Redis is not waited for longer than Envoy waits for us.
const PATIENCE: Timing = Timing { patience: Duration::from_millis(150), retry: Duration::from_millis(250) };

/// Counts requests by the limits of the configuration.
#[derive(Debug, Clone)]
pub struct Limiter {
    config: Live<GatewayConfig>,
    buckets: Buckets,
    /// How many gateways there are: without Redis each has its share of the limits of the entrance.
    gateways: Arc<AtomicU32>,
}

/// What the limits say of a request.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    /// How the bucket stands that is nearest to its end, as headers of the answer.
    pub headers: Vec<(&'static str, String)>,
    /// The limit that the request exceeds.
    pub exceeded: Option<Exceeded>,
}

/// A limit that a request exceeds.
#[derive(Debug)]
pub(crate) struct Exceeded {
    /// What a person is told.
    pub message: String,
    /// After how many seconds trying again helps.
    pub wait: u64,
    /// The limit as the headers name it.
    pub policy: String,
}

/// A limit that holds for a request: its name for people, and the bucket.
#[derive(Debug, PartialEq)]
struct Applied {
    name: &'static str,
    rate: Rate,
    bucket: Bucket,
}

/// What Envoy says of a request.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    /// The method's full name.
    pub method: &'a str,
    /// Whether the answer goes to a gRPC client.
    pub grpc: bool,
    /// The network that it comes from: `192.0.2.7/32`.
    pub address: Option<&'a str>,
    /// Of a verified token the person.
    pub user: Option<&'a str>,
    /// And the workspace.
    pub workspace: Option<&'a str>,
}

impl Limiter {
    /// A limiter over the Redis at this address.
    ///
    /// # Errors
    /// Where it is no Redis address.
    pub fn open(config: Live<GatewayConfig>, redis: &str) -> Result<Self, artel_cache::OpenError> {
        let redis = Redis::open_with(redis, PATIENCE)?;
        Ok(Self { config, buckets: Buckets::new(redis, "edge"), gateways: Arc::new(AtomicU32::new(1)) })
    }

    /// As a tonic service.
    #[must_use]
    pub(crate) fn into_service(self) -> RateLimitServiceServer<Self> {
        RateLimitServiceServer::new(self)
    }

    /// Takes one from each bucket that holds for a request, or none from any where one is empty.
    pub(crate) async fn rule(&self, asked: &Asked<'_>) -> Ruling {
        let config = self.config.get();
        if !config.limits.on {
            return Ruling::default();
        }
        let applied = apply(&config.limits, asked, self.gateways.load(Ordering::Relaxed));
        let buckets: Vec<Bucket> = applied.iter().map(|limit| limit.bucket.clone()).collect();
        Ruling::of(&applied, &self.buckets.take(&buckets).await)
    }

    /// Learns how many gateways there are.
    pub(crate) fn learn_gateways(&self, count: usize) {
        self.gateways.store(u32::try_from(count).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl RateLimitService for Limiter {
    async fn should_rate_limit(
        &self,
        request: Request<wire::RateLimitRequest>,
    ) -> Result<Response<wire::RateLimitResponse>, Status> {
        let request = request.into_inner();
        let asked = request.descriptors.first().map(Asked::read).unwrap_or_default();
        let mut answer = self.rule(&asked).await.into_answer(asked.grpc);
        // One status for each descriptor; what they say is in the headers.
        let code = answer.overall_code;
        answer.statuses = request
            .descriptors
            .iter()
            .map(|_| wire::rate_limit_response::DescriptorStatus { code, ..Default::default() })
            .collect();
        Ok(Response::new(answer))
    }
}

impl<'a> Asked<'a> {
    fn read(descriptor: &'a RateLimitDescriptor) -> Self {
        let mut asked = Self::default();
        for entry in &descriptor.entries {
            let value = entry.value.as_str();
            match entry.key.as_str() {
                METHOD => asked.method = value,
                FORM => asked.grpc = value == GRPC,
                ADDRESS => asked.address = Some(value),
                key if key == By::User.name() => asked.user = Some(value),
                key if key == By::Workspace.name() => asked.workspace = Some(value),
                _ => {}
            }
        }
        asked
    }

    fn value(&self, by: By) -> Option<&'a str> {
        match by {
            By::Address => self.address,
            By::User => self.user,
            By::Workspace => self.workspace,
        }
    }
}

/// The limits that hold for a request.
fn apply(limits: &Limits, asked: &Asked<'_>, gateways: u32) -> Vec<Applied> {
    let general = [
        ("address", By::Address, limits.per_address.0),
        ("user", By::User, limits.per_user.0),
        ("workspace", By::Workspace, limits.per_workspace.0),
    ];
    let general = general.into_iter().filter_map(|(name, by, rate)| {
        let key = format!("{name}:{}", asked.value(by)?);
        let rate = rate?;
        Some(Applied { name, rate, bucket: Bucket { key, rate, alone: rate } })
    });
    let entrance = Entrance::of(asked.method).and_then(|entrance| {
        let (name, rate) = (entrance.name(), limits.entrance(entrance)?);
        let key = format!("{name}:{}", asked.address?);
        let alone = Rate { count: (rate.count / gateways).max(1), ..rate };
        Some(Applied { name, rate, bucket: Bucket { key, rate, alone } })
    });
    let own = limits.methods.iter().filter(|limit| limit.method == asked.method).filter_map(|limit| {
        let (name, rate) = ("method", limit.rate);
        let key = format!("{}:{}:{}", limit.method, limit.by.name(), asked.value(limit.by)?);
        Some(Applied { name, rate, bucket: Bucket { key, rate, alone: rate } })
    });
    general.chain(entrance).chain(own).collect()
}

impl Ruling {
    fn of(applied: &[Applied], taken: &Taken) -> Self {
        let levels = || applied.iter().zip(&taken.levels);
        if taken.allowed {
            // Of several the one of which least is left.
            let part = |level: &Level| f64::from(level.remaining) / f64::from(level.size.max(1));
            let nearest = levels().min_by(|(_, a), (_, b)| part(a).total_cmp(&part(b)));
            let headers = nearest.map(|(limit, level)| headers(limit, level)).unwrap_or_default();
            return Self { headers, exceeded: None };
        }
        let refusing =
            levels().filter(|(_, level)| !level.allowed).max_by_key(|(_, level)| level.retry_after);
        let Some((limit, level)) = refusing else { return Self::default() };
        metrics::counter!("gateway_requests_limited_total", "limit" => limit.name).increment(1);
        let wait = seconds(level.retry_after).max(1);
        let mut headers = headers(limit, level);
        headers.push(("retry-after", wait.to_string()));
        let message = format!("{} Try again in {wait} s.", limit.complaint());
        Self { headers, exceeded: Some(Exceeded { message, wait, policy: limit.policy() }) }
    }

    fn into_answer(self, grpc: bool) -> wire::RateLimitResponse {
        let mut headers: Vec<_> = self.headers.into_iter().map(|(key, value)| header(key, value)).collect();
        let Some(exceeded) = self.exceeded else {
            return wire::RateLimitResponse {
                overall_code: Verdict::Ok as i32,
                response_headers_to_add: headers,
                ..wire::RateLimitResponse::default()
            };
        };
        if grpc {
            headers.push(header("grpc-message", exceeded.message.clone()));
            headers.push(header("grpc-status-details-bin", exceeded.details()));
        }
        wire::RateLimitResponse {
            overall_code: Verdict::OverLimit as i32,
            response_headers_to_add: headers,
            raw_body: exceeded.message.into_bytes(),
            ..wire::RateLimitResponse::default()
        }
    }
}

impl Exceeded {
    /// What stands beside the status of a refused gRPC call.
    fn details(&self) -> String {
        let mut details = ErrorDetails::new();
        details.set_error_info(REASON, "artel", [("policy".to_owned(), self.policy.clone())]);
        details.set_retry_info(Some(Duration::from_secs(self.wait)));
        let status = Status::with_error_details(Code::ResourceExhausted, &self.message, details);
        STANDARD_NO_PAD.encode(status.details())
    }
}

impl Applied {
    fn policy(&self) -> String {
        format!("{};w={};comment=\"{}\"", self.rate.count, self.rate.period.as_secs(), self.name)
    }

    fn complaint(&self) -> &'static str {
        match self.name {
            "user" => "You sent too many requests.",
            "workspace" => "Your workspace sent too many requests.",
            "sign_in" => "Too many sign-ins from your network address.",
            "sign_up" => "Too many sign-ups from your network address.",
            "refresh" => "Too many refreshes from your network address.",
            "method" => "This method was called too often.",
            _ => "Too many requests from your network address.",
        }
    }
}

fn headers(limit: &Applied, level: &Level) -> Vec<(&'static str, String)> {
    let values = [
        level.size.to_string(),
        level.remaining.to_string(),
        seconds(level.full_after).to_string(),
        limit.policy(),
    ];
    HEADERS.into_iter().zip(values).collect()
}

fn header(key: &str, value: String) -> HeaderValue {
    HeaderValue { key: key.to_owned(), value, ..Default::default() }
}

/// Whole seconds, rounded up: who comes then finds what was promised.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let config: GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
        config.limits
    }

    fn names(limits: &Limits, asked: &Asked<'_>) -> Vec<String> {
        apply(limits, asked, 1).into_iter().map(|limit| limit.bucket.key).collect()
    }

    #[test]
    fn a_request_is_counted_by_all_that_is_known_of_it() {
        let mut limits = limits();
        let asked = Asked { method: "artel.order.v1.OrderService.CreateOrder", ..Asked::default() };
        assert_eq!(names(&limits, &asked), [""; 0], "of whom nothing is known is not counted");
        let asked = Asked { address: Some("192.0.2.7/32"), ..asked };
        assert_eq!(names(&limits, &asked), ["address:192.0.2.7/32"]);
        let asked = Asked { user: Some("u"), workspace: Some("w"), ..asked };
        limits.per_workspace = "none".parse().unwrap();
        limits.methods = vec!["artel.order.v1.OrderService/CreateOrder user 3/60s".parse().unwrap()];
        assert_eq!(
            names(&limits, &asked),
            ["address:192.0.2.7/32", "user:u", "artel.order.v1.OrderService.CreateOrder:user:u"]
        );
        let other = Asked { method: "artel.order.v1.OrderService.GetOrder", ..asked };
        assert_eq!(names(&limits, &other), ["address:192.0.2.7/32", "user:u"]);
    }

    #[test]
    fn without_redis_the_entrance_is_shared_out_among_the_gateways() {
        let limits = Limits { sign_in: "9/60s".parse().unwrap(), ..limits() };
        let asked = Asked {
            method: "artel.identity.v1.IdentityService.Login",
            address: Some("192.0.2.7/32"),
            ..Asked::default()
        };
        for (gateways, share) in [(1, 9), (2, 4), (100, 1)] {
            let applied = apply(&limits, &asked, gateways);
            let sign_in = applied.iter().find(|limit| limit.name == "sign_in").unwrap();
            assert_eq!((sign_in.bucket.rate.count, sign_in.bucket.alone.count), (9, share));
            let address = &applied[0].bucket;
            assert_eq!(address.rate, address.alone, "the others stay as they are");
        }
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_which_limit_it_was() {
        let asked = Asked {
            method: "artel.identity.v1.IdentityService.Login",
            address: Some("192.0.2.7/32"),
            grpc: true,
            ..Asked::default()
        };
        let applied = apply(&limits(), &asked, 1);
        let full = Level {
            allowed: true,
            size: 6000,
            remaining: 6000,
            retry_after: Duration::ZERO,
            full_after: Duration::ZERO,
        };
        let empty = Level {
            allowed: false,
            size: 60,
            remaining: 0,
            retry_after: Duration::from_millis(1200),
            ..full
        };
        let taken = Taken { allowed: false, levels: vec![full, empty], shared: true };
        let answer = Ruling::of(&applied, &taken).into_answer(asked.grpc);
        assert_eq!(answer.overall_code, Verdict::OverLimit as i32);
        let header = |name: &str| {
            answer.response_headers_to_add.iter().find(|it| it.key == name).map(|it| it.value.as_str())
        };
        assert_eq!(header("retry-after"), Some("2"));
        assert_eq!(header("ratelimit-remaining"), Some("0"));
        assert_eq!(header("ratelimit-policy"), Some("60;w=60;comment=\"sign_in\""));
        assert!(header("grpc-status-details-bin").is_some());
        assert!(String::from_utf8(answer.raw_body.clone()).unwrap().starts_with("Too many sign-ins"));
    }
}
