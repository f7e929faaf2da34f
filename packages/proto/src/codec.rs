//! The codec of every stub: protobuf, and on the way in the field rules, so that no handler can forget them.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::validate::{Validate, check};

/// What is set aside for a message before it is known how long it is, in bytes. A stream keeps it while it is idle: with
/// the 8 KiB that tonic takes, that is most of what it costs.
const BUFFER: usize = 512;
/// How much is put together before it is sent, in bytes, as tonic has it.
const YIELD_AT: usize = 32 * 1024;

/// Encodes and decodes protobuf; what is decoded is checked against its field rules.
#[derive(Debug, Clone)]
pub struct CheckedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CheckedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CheckedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Validate + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProtobufEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProtobufEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder(PhantomData)
    }
}

/// Encodes protobuf.
#[derive(Debug, Clone)]
pub struct ProtobufEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ProtobufEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD_AT)
    }
}

/// Decodes protobuf and checks it.
#[derive(Debug, Clone)]
pub struct CheckedDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Validate> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let item = U::decode(buffer).map_err(|error| malformed(&error))?;
        check(&item)?;
        Ok(Some(item))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD_AT)
    }
}

/// INVALID_ARGUMENT for bytes that are no message, such as text that is not UTF-8.
fn malformed(error: &prost::DecodeError) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("MALFORMED_REQUEST", "artel", HashMap::new());
    Status::with_error_details(
        Code::InvalidArgument,
        format!("The request is not a valid message: {error}"),
        details,
    )
}
