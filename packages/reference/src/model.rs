//! What the reference knows: the services, their methods, and what goes in and comes out.

use artel_proto::annotations;
use artel_proto::api::HttpRule;
use artel_proto::api::http_rule::Pattern;
use artel_proto::options::Access as Who;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use crate::comments;
use crate::errors::refusals;
use crate::example;
use crate::fields;

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name in the mesh, and behind it its own where the mesh's service has others: `order`, `order-dining`.
    pub name: String,
    /// Its gRPC name: `artel.order.v1.OrderService`.
    pub full_name: String,
    /// What it is for.
    pub comment: String,
    /// Its methods, as the contract orders them.
    pub methods: Vec<Method>,
}

/// A method.
#[derive(Debug, Clone)]
pub struct Method {
    /// Its name: `CreateOrder`.
    pub name: String,
    /// What it does.
    pub comment: String,
    /// Who may call it.
    pub access: Access,
    /// True where a second time changes nothing.
    pub idempotent: bool,
    /// True where REST answers 201 when something was made.
    pub created: bool,
    /// True where the request is a stream.
    pub streams_in: bool,
    /// True where the answer is a stream.
    pub streams_out: bool,
    /// Its REST paths.
    pub bindings: Vec<Binding>,
    /// What goes in.
    pub request: Vec<Field>,
    /// What comes out.
    pub response: Vec<Field>,
    /// What it may refuse with.
    pub refusals: Vec<Refusal>,
    /// A call with curl, where it has a REST path.
    pub curl: Option<String>,
    /// A call with grpcurl.
    pub grpcurl: String,
    /// A call with JavaScript's `fetch`, where it has a REST path.
    pub javascript: Option<String>,
    /// True where the contract advises against it.
    pub deprecated: bool,
    /// What the contract itself says.
    pub(crate) descriptor: MethodDescriptor,
}

/// Who may call a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever has an access token.
    SignedIn,
    /// Whoever has an access token with this role.
    Role(String),
    /// Other services and operators.
    Internal,
}

/// A REST path.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The HTTP method.
    pub verb: String,
    /// The path, in JSON spelling.
    pub path: String,
    /// The field that is the body; `*` for all that the path leaves; empty for none.
    pub body: String,
}

/// A field, those of nested messages with the path to them.
#[derive(Debug, Clone)]
pub struct Field {
    /// The path in JSON spelling: `items[].productId`.
    pub path: String,
    /// How deep it lies; 0 at the top.
    pub depth: usize,
    /// Its type as people say it: `string`, `int64 (string)`.
    pub kind: String,
    /// Where REST carries it.
    pub place: Place,
    /// True where it must be there.
    pub required: bool,
    /// What it may hold.
    pub rules: Vec<String>,
    /// What it means.
    pub comment: String,
}

/// Where REST carries a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the body.
    Body,
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The gRPC code.
    pub code: &'static str,
    /// The stable reason.
    pub reason: String,
    /// When.
    pub text: String,
}

impl Access {
    /// Whether it can be called from outside at all.
    #[must_use]
    pub fn is_public(&self) -> bool {
        *self != Self::Internal
    }

    /// In words.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Public => "anybody".to_owned(),
            Self::SignedIn => "signed in".to_owned(),
            Self::Role(role) => format!("role {role}"),
            Self::Internal => "services only".to_owned(),
        }
    }
}

impl Place {
    /// In a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

/// Reads every service of ours from the contracts.
#[must_use]
pub fn read(pool: &DescriptorPool) -> Vec<Service> {
    let ours = pool.services().filter(|service| service.full_name().starts_with("artel."));
    ours.map(|descriptor| service(&descriptor)).collect()
}

fn service(descriptor: &ServiceDescriptor) -> Service {
    let domain = descriptor.package_name().split('.').nth(1).unwrap_or_default();
    let own = descriptor.name().trim_end_matches("Service").to_lowercase();
    Service {
        name: if own == domain { own } else { format!("{domain}-{own}") },
        full_name: descriptor.full_name().to_owned(),
        comment: comments::above(&descriptor.parent_file(), descriptor.path()),
        methods: descriptor.methods().map(|descriptor| method(&descriptor)).collect(),
    }
}

fn method(descriptor: &MethodDescriptor) -> Method {
    let options = annotations::method(descriptor).unwrap_or_default();
    let access = match options.access() {
        Who::Public => Access::Public,
        Who::SignedIn => Access::SignedIn,
        Who::Role => Access::Role(options.role.clone()),
        Who::Internal | Who::Unspecified => Access::Internal,
    };
    let bindings = bindings(descriptor);
    let comment = comments::above(&descriptor.parent_service().parent_file(), descriptor.path());
    let request = fields::request(&descriptor.input(), bindings.first());
    let keyed = descriptor.input().get_field_by_name("idempotency_key").is_some();
    let checked = request.iter().any(|field| field.required || !field.rules.is_empty());
    Method {
        name: descriptor.name().to_owned(),
        refusals: refusals(&comment, options.access(), checked, keyed, access.is_public()),
        comment,
        idempotent: options.idempotent,
        created: options.created,
        streams_in: descriptor.is_client_streaming(),
        streams_out: descriptor.is_server_streaming(),
        request,
        response: fields::response(&descriptor.output()),
        curl: bindings.first().map(|binding| example::curl(descriptor, binding, &access)),
        grpcurl: example::grpcurl(descriptor, &access),
        javascript: bindings.first().map(|binding| example::javascript(descriptor, binding, &access)),
        deprecated: descriptor.method_descriptor_proto().options.as_ref().is_some_and(|it| it.deprecated()),
        descriptor: descriptor.clone(),
        access,
        bindings,
    }
}

fn bindings(method: &MethodDescriptor) -> Vec<Binding> {
    let Some(rule) = annotations::http(method) else { return Vec::new() };
    let further = rule.additional_bindings.clone();
    [rule].into_iter().chain(further).filter_map(|rule| binding(method, rule)).collect()
}

fn binding(method: &MethodDescriptor, rule: HttpRule) -> Option<Binding> {
    let (verb, path) = match rule.pattern? {
        Pattern::Get(path) => ("GET".to_owned(), path),
        Pattern::Put(path) => ("PUT".to_owned(), path),
        Pattern::Post(path) => ("POST".to_owned(), path),
        Pattern::Delete(path) => ("DELETE".to_owned(), path),
        Pattern::Patch(path) => ("PATCH".to_owned(), path),
        Pattern::Custom(custom) => (custom.kind, custom.path),
    };
    let body = match rule.body.as_str() {
        "" | "*" => rule.body,
        field => method.input().get_field_by_name(field).map_or(rule.body, |it| it.json_name().to_owned()),
    };
    Some(Binding { verb, path, body })
}
