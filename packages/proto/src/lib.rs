//! The contracts in Rust: messages and stubs generated from `proto/`, the descriptor set, and what the annotations say.
//!
//! Each domain is a module named for its package: [`order`] is `artel.order.v1`. (`artel.type.v1` is [`types`].)

pub mod annotations;
mod codec;
pub mod validate;

#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

#[allow(clippy::all)]
mod implementations {
    use crate::generated;
    include!(concat!(env!("OUT_DIR"), "/impls.rs"));
}

pub use codec::CheckedCodec;
// `pub use generated::artel::{catalog::v1 as catalog, …}`: whatever folders `proto/artel` has.
include!(concat!(env!("OUT_DIR"), "/domains.rs"));
pub use generated::google::api;
pub use prost::Message;
pub use prost_types::{FieldMask, Timestamp};

/// The encoded `FileDescriptorSet` of every contract, with comments and Google's imports: what reflection serves and
/// Envoy transcodes by.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What answers a gRPC service, and takes no longer message than it is told. Every generated server is one.
pub trait Limited: Sized {
    /// The same that takes at most so many bytes in a message.
    #[must_use]
    fn limited(self, _most: usize) -> Self {
        self
    }
}

/// A message that `persist` keeps in a table.
pub trait Entity: Message + Default + Clone + PartialEq + validate::Validate + 'static {
    /// The full message name: `artel.order.v1.Order`.
    const NAME: &'static str;

    /// The key: a UUIDv7 in text form.
    fn id(&self) -> &str;

    /// Takes over one top-level field (proto name) of another value. False where there is no such field.
    fn take(&mut self, from: &Self, field: &str) -> bool;

    /// The top-level fields (proto names) that are set: not empty, not zero.
    fn populated(&self) -> Vec<&'static str>;
}

/// A message that tells what happened.
pub trait Event: Message + Default + 'static {
    /// Its name and routing key: `order.placed`.
    const NAME: &'static str;
    /// The full message name: `artel.order.v1.OrderPlaced`.
    const TYPE: &'static str;

    /// The id of the entity it is about. Events of one id keep their order.
    fn key(&self) -> &str;
}
