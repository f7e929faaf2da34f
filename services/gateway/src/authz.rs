//! The check of requests as Envoy asks for it: its external authorization protocol.

use std::sync::Arc;

use artel_proto::annotations;
use auth::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use tonic::{Code, Request, Response, Status};

use crate::request::{self, Shapes};
use crate::surface::Surface;

/// Answers Envoy whether query and JSON body of a request may go on.
#[derive(Debug, Clone)]
pub struct RequestCheck {
    shapes: Arc<Shapes>,
    most: u32,
}

impl RequestCheck {
    /// A check of all REST requests of the surface, with bodies of at most so many bytes.
    #[must_use]
    pub fn new(surface: &Surface, most: u32) -> Self {
        Self { shapes: Arc::new(Shapes::read(surface, annotations::pool())), most }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_service(self) -> AuthorizationServer<Self> {
        AuthorizationServer::new(self)
    }
}

#[tonic::async_trait]
impl Authorization for RequestCheck {
    async fn check(
        &self,
        request: Request<auth::CheckRequest>,
    ) -> Result<Response<auth::CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let subject =
            attributes.context_extensions.get(request::SUBJECT).map(String::as_str).unwrap_or_default();
        let http = attributes.request.and_then(|request| request.http).unwrap_or_default();
        let id = http.headers.get("x-request-id").map(String::as_str).unwrap_or_default();
        let bytes = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
        // Envoy's own limit is that of a buffer, which the last piece of a body may exceed.
        if bytes.len() > self.most as usize {
            return Ok(Response::new(refusal(413, request::too_large(self.most, id))));
        }
        let query = http.path.split_once('?').map_or("", |(_, query)| query);
        let problems = self.shapes.problems(subject, query, bytes);
        if problems.is_empty() {
            let status = Some(rpc::Status { code: Code::Ok as i32, ..Default::default() });
            return Ok(Response::new(auth::CheckResponse { status, ..Default::default() }));
        }
        metrics::counter!("gateway_requests_refused_total").increment(1);
        Ok(Response::new(refusal(400, request::answer(problems, id))))
    }
}

fn refusal(code: i32, body: String) -> auth::CheckResponse {
    let content_type = core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: "content-type".to_owned(),
            value: "application/json".to_owned(),
            ..Default::default()
        }),
        append_action: core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    };
    let denied =
        auth::DeniedHttpResponse { status: Some(HttpStatus { code }), headers: vec![content_type], body };
    auth::CheckResponse {
        status: Some(rpc::Status { code: Code::InvalidArgument as i32, ..Default::default() }),
        http_response: Some(auth::check_response::HttpResponse::DeniedResponse(denied)),
        ..Default::default()
    }
}
