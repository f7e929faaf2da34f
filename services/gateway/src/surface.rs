//! What of the mesh can be reached from outside: every public method and its REST paths, read from the contracts.

use std::collections::BTreeSet;

use artel_proto::annotations;
use artel_proto::api::HttpRule;
use artel_proto::api::http_rule::Pattern;
use artel_proto::options::Access;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::template::{Template, TemplateError};

/// The Consul name of the gateway itself, which serves reflection and the reference.
pub const GATEWAY: &str = "gateway";

/// The Consul name of the service that takes what systems outside send, by plain HTTP.
pub const WEBHOOK: &str = "webhook";

/// The Consul name of the service that sends the board's events, by plain HTTP.
pub const BOARD: &str = "order";

/// Every method that may be called from outside, in the order of the contracts.
#[derive(Debug, Clone)]
pub struct Surface {
    /// The methods.
    pub methods: Vec<Method>,
}

/// A method that may be called from outside.
#[derive(Debug, Clone)]
pub struct Method {
    /// The name in Consul of the service that serves it: `order`.
    pub host: String,
    /// The gRPC service: `artel.order.v1.OrderService`.
    pub service: String,
    /// Its full name: `artel.order.v1.OrderService.CreateOrder`.
    pub full_name: String,
    /// Its gRPC path: `/artel.order.v1.OrderService/CreateOrder`.
    pub path: String,
    /// True where no token is needed.
    pub open: bool,
    /// True where a second time changes nothing.
    pub idempotent: bool,
    /// True where either side is a stream.
    pub streaming: bool,
    /// True where REST answers 201 when the service says that something was made.
    pub created: bool,
    /// Its REST paths.
    pub bindings: Vec<Binding>,
}

/// A REST path of a method.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The HTTP method: `POST`.
    pub verb: String,
    /// The path.
    pub template: Template,
    /// What of the request is the body: empty for nothing, `*` for all that the path leaves, else a field.
    pub body: String,
}

/// A contract that cannot be put on the map.
#[derive(Debug, thiserror::Error)]
pub enum SurfaceError {
    /// A REST path that cannot be read.
    #[error("{method}: {source}")]
    Template {
        /// The method.
        method: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// A package that names no service: not `artel.<domain>.v1`.
    #[error("{0} is not in a package artel.<domain>.v1, so nobody knows which service serves it")]
    Package(String),
    /// An HTTP rule without a path.
    #[error("{0} has an HTTP rule without a path")]
    Rule(String),
}

impl Surface {
    /// Reads the contracts. INTERNAL methods, and those that say nothing, are not part of it.
    ///
    /// # Errors
    /// A contract that cannot be put on the map.
    pub fn read(pool: &DescriptorPool) -> Result<Self, SurfaceError> {
        let mut methods = Vec::new();
        for service in pool.services().filter(|service| service.full_name().starts_with("artel.")) {
            for method in service.methods() {
                let options = annotations::method(&method).unwrap_or_default();
                let open = match options.access() {
                    Access::Public => true,
                    Access::SignedIn | Access::Role => false,
                    Access::Internal | Access::Unspecified => continue,
                };
                methods.push(Method {
                    host: host(&method)?,
                    service: service.full_name().to_owned(),
                    full_name: method.full_name().to_owned(),
                    path: format!("/{}/{}", service.full_name(), method.name()),
                    open,
                    idempotent: options.idempotent,
                    streaming: method.is_client_streaming() || method.is_server_streaming(),
                    created: options.created,
                    bindings: bindings(&method)?,
                });
            }
        }
        Ok(Self { methods })
    }

    /// The names in Consul of all services that serve something to the world, those with plain HTTP among them.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<String> {
        self.methods
            .iter()
            .map(|method| method.host.clone())
            .chain([GATEWAY, WEBHOOK, BOARD].map(str::to_owned))
            .collect()
    }

    /// The names in Consul of those that stream.
    #[must_use]
    pub fn streaming_hosts(&self) -> BTreeSet<String> {
        let streaming = self.methods.iter().filter(|method| method.streaming);
        streaming.map(|method| method.host.clone()).chain([BOARD.to_owned()]).collect()
    }

    /// The gRPC services that have REST paths.
    #[must_use]
    pub fn transcoded(&self) -> BTreeSet<String> {
        let rest = self.methods.iter().filter(|method| !method.bindings.is_empty());
        rest.map(|method| method.service.clone()).collect()
    }

    /// The gRPC services with something to call.
    #[must_use]
    pub fn services(&self) -> BTreeSet<String> {
        self.methods.iter().map(|method| method.service.clone()).collect()
    }
}

/// `artel.order.v1` is served by `order`.
fn host(method: &MethodDescriptor) -> Result<String, SurfaceError> {
    let service = method.parent_service();
    match service.package_name().split('.').collect::<Vec<_>>()[..] {
        ["artel", domain, _] => Ok(domain.to_owned()),
        _ => Err(SurfaceError::Package(service.full_name().to_owned())),
    }
}

fn bindings(method: &MethodDescriptor) -> Result<Vec<Binding>, SurfaceError> {
    let Some(rule) = annotations::http(method) else { return Ok(Vec::new()) };
    let further = rule.additional_bindings.clone();
    [rule].into_iter().chain(further).map(|rule| binding(method, &rule)).collect()
}

fn binding(method: &MethodDescriptor, rule: &HttpRule) -> Result<Binding, SurfaceError> {
    let (verb, path) = match &rule.pattern {
        Some(Pattern::Get(path)) => ("GET", path),
        Some(Pattern::Put(path)) => ("PUT", path),
        Some(Pattern::Post(path)) => ("POST", path),
        Some(Pattern::Delete(path)) => ("DELETE", path),
        Some(Pattern::Patch(path)) => ("PATCH", path),
        Some(Pattern::Custom(custom)) => (custom.kind.as_str(), &custom.path),
        None => return Err(SurfaceError::Rule(method.full_name().to_owned())),
    };
    let template = Template::parse(path)
        .map_err(|source| SurfaceError::Template { method: method.full_name().to_owned(), source })?;
    Ok(Binding { verb: verb.to_owned(), template, body: rule.body.clone() })
}
