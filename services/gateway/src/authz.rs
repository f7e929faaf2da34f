//! The check of requests as Envoy asks for it: its external authorization protocol. Where a request is read anyway, its
//! limits are asked in the same call; those of others Envoy asks by its rate limit protocol.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use artel_proto::annotations;
use auth::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::rpc;
use tonic::{Code, Request, Response, Status};

use crate::limiter::{Asked, Limiter, Ruling};
use crate::request::{self, Shapes};
use crate::surface::Surface;
use crate::xds::{self, CLAIMS, JWT, V4_BITS, V6_BITS};

/// In the extensions of a request whose limits are asked here, too: the method's full name.
pub const LIMITED: &str = "artel.limited";

/// Answers Envoy whether a request may go on: by its limits, its query and its JSON body.
#[derive(Debug, Clone)]
pub struct RequestCheck {
    shapes: Arc<Shapes>,
    most: u32,
    limiter: Limiter,
}

impl RequestCheck {
    /// A check of all REST requests of the surface, with bodies of at most so many bytes.
    #[must_use]
    pub fn new(surface: &Surface, most: u32, limiter: Limiter) -> Self {
        Self { shapes: Arc::new(Shapes::read(surface, annotations::pool())), most, limiter }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_service(self) -> AuthorizationServer<Self> {
        AuthorizationServer::new(self)
    }

    /// The status and the answer of a request whose size, query or body is wrong.
    fn wrong(
        &self,
        subject: &str,
        http: &auth::attribute_context::HttpRequest,
        id: &str,
    ) -> Option<(i32, String)> {
        let bytes = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
        // Envoy's own limit is that of a buffer, which the last piece of a body may exceed.
        if bytes.len() > self.most as usize {
            return Some((413, request::too_large(self.most, id)));
        }
        let query = http.path.split_once('?').map_or("", |(_, query)| query);
        let problems = self.shapes.problems(subject, query, bytes);
        (!problems.is_empty()).then(|| (400, request::answer(problems, id)))
    }
}

#[tonic::async_trait]
impl Authorization for RequestCheck {
    async fn check(
        &self,
        request: Request<auth::CheckRequest>,
    ) -> Result<Response<auth::CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let extension = |name| attributes.context_extensions.get(name).map(String::as_str);
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let http = http.ok_or_else(|| Status::invalid_argument("this is no HTTP request"))?;
        let id = http.headers.get("x-request-id").map(String::as_str).unwrap_or_default();
        let ruling = match extension(LIMITED) {
            Some(method) => self.limiter.rule(&asked(method, &attributes, &network(&attributes))).await,
            None => Ruling::default(),
        };
        if let Some(exceeded) = &ruling.exceeded {
            return Ok(refusal(429, request::limited(exceeded, id), ruling.headers));
        }
        if let Some((status, answer)) = self.wrong(extension(request::SUBJECT).unwrap_or_default(), http, id)
        {
            metrics::counter!("gateway_requests_refused_total").increment(1);
            return Ok(refusal(status, answer, ruling.headers));
        }
        let allowed = auth::OkHttpResponse {
            response_headers_to_add: ruling.headers.into_iter().map(header).collect(),
            ..Default::default()
        };
        Ok(Response::new(auth::CheckResponse {
            status: Some(rpc::Status { code: Code::Ok as i32, ..Default::default() }),
            http_response: Some(auth::check_response::HttpResponse::OkResponse(allowed)),
            ..Default::default()
        }))
    }
}

/// What the limits are asked about: what Envoy knows itself, as in its descriptors of other requests.
fn asked<'a>(
    method: &'a str,
    attributes: &'a auth::AttributeContext,
    network: &'a Option<String>,
) -> Asked<'a> {
    Asked {
        method,
        grpc: false,
        address: network.as_deref(),
        user: claim(attributes, "sub"),
        workspace: claim(attributes, "workspace"),
    }
}

/// The network that a request comes from, as Envoy's descriptors write it.
fn network(attributes: &auth::AttributeContext) -> Option<String> {
    use core::address::Address::SocketAddress;
    let SocketAddress(socket) = attributes.source.as_ref()?.address.as_ref()?.address.as_ref()? else {
        return None;
    };
    Some(match socket.address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => format!("{address}/{}", V4_BITS),
        IpAddr::V6(address) => {
            let host = u128::MAX >> V6_BITS;
            format!("{}/{}", Ipv6Addr::from(u128::from(address) & !host), V6_BITS)
        }
    })
}

/// What the verified token says, where there is one.
fn claim<'a>(attributes: &'a auth::AttributeContext, name: &str) -> Option<&'a str> {
    let noted = attributes.metadata_context.as_ref()?.filter_metadata.get(JWT)?;
    let Kind::StructValue(claims) = noted.fields.get(CLAIMS)?.kind.as_ref()? else { return None };
    let Kind::StringValue(value) = claims.fields.get(name)?.kind.as_ref()? else { return None };
    Some(value)
}

fn header((name, value): (&'static str, String)) -> core::HeaderValueOption {
    xds::header(name, value)
}

fn refusal(status: i32, body: String, headers: Vec<(&'static str, String)>) -> Response<auth::CheckResponse> {
    let content_type = ("content-type", "application/json".to_owned());
    let denied = auth::DeniedHttpResponse {
        status: Some(HttpStatus { code: status }),
        headers: headers.into_iter().chain([content_type]).map(header).collect(),
        body,
    };
    Response::new(auth::CheckResponse {
        status: Some(rpc::Status { code: Code::InvalidArgument as i32, ..Default::default() }),
        http_response: Some(auth::check_response::HttpResponse::DeniedResponse(denied)),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_as_envoy_writes_it() {
        let of = |address: &str| {
            let address = core::SocketAddress { address: address.to_owned(), ..Default::default() };
            let address = core::Address { address: Some(core::address::Address::SocketAddress(address)) };
            let peer = auth::attribute_context::Peer { address: Some(address), ..Default::default() };
            network(&auth::AttributeContext { source: Some(peer), ..Default::default() })
        };
        assert_eq!(of("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(of("2001:db8::7").as_deref(), Some("2001:db8::/64"));
        assert_eq!(of("nowhere"), None);
    }
}
