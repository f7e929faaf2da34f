//! The body check as Envoy asks for it: its external authorization protocol.

use std::sync::Arc;

use artel_proto::annotations;
use auth::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use tonic::{Code, Request, Response, Status};

use crate::body::{self, Bodies};
use crate::surface::Surface;

/// Answers Envoy whether a JSON body may go on.
#[derive(Debug, Clone)]
pub struct BodyCheck {
    bodies: Arc<Bodies>,
    most: u32,
}

impl BodyCheck {
    /// A check of all JSON bodies of the surface, of at most so many bytes.
    #[must_use]
    pub fn new(surface: &Surface, most: u32) -> Self {
        Self { bodies: Arc::new(Bodies::read(surface, annotations::pool())), most }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_service(self) -> AuthorizationServer<Self> {
        AuthorizationServer::new(self)
    }
}

#[tonic::async_trait]
impl Authorization for BodyCheck {
    async fn check(
        &self,
        request: Request<auth::CheckRequest>,
    ) -> Result<Response<auth::CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let subject =
            attributes.context_extensions.get(body::SUBJECT).map(String::as_str).unwrap_or_default();
        let http = attributes.request.and_then(|request| request.http).unwrap_or_default();
        let bytes = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
        // Envoy's own limit is that of a buffer, which the last piece of a body may exceed.
        if bytes.len() > self.most as usize {
            return Ok(Response::new(refusal(413, body::too_large(self.most))));
        }
        let problems = self.bodies.problems(subject, bytes);
        if problems.is_empty() {
            let status = Some(rpc::Status { code: Code::Ok as i32, ..Default::default() });
            return Ok(Response::new(auth::CheckResponse { status, ..Default::default() }));
        }
        metrics::counter!("gateway_bodies_refused_total").increment(1);
        Ok(Response::new(refusal(400, body::answer(problems))))
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
