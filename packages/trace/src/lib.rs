//! One trace through every process: the ids that a request, its calls, its events and their listeners share, the spans
//! that each of them is, and their way to an OpenTelemetry collector (OTLP over gRPC).
//!
//! A trace has its ids whether anybody collects it or not: logs, the change log and events carry them. Whether its spans
//! are collected is decided once, where it starts, and goes along in the header's flag.

mod export;
mod sample;
mod span;
mod trace;

pub use export::{Exporter, Settings, StartError, start};
pub use sample::{BadShare, set_share};
pub use span::{Kind, Span};
pub use trace::{TRACEPARENT, Trace};
