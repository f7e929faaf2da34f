use std::fmt;

use crate::sample;

/// The header that carries a trace, as W3C Trace Context has it.
pub const TRACEPARENT: &str = "traceparent";

/// One step of a trace: 128 bits that stay from its beginning to its end, 64 that name the step, and those of the step
/// that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    /// 0 where the trace starts, and where it came in by a header.
    parent: u64,
    sampled: bool,
}

impl Trace {
    /// A new trace. Chance decides whether its spans are collected.
    #[must_use]
    pub fn start() -> Self {
        let id = rand::random::<u128>().max(1);
        Self { id, span: rand::random::<u64>().max(1), parent: 0, sampled: sample::chosen(id) }
    }

    /// A step within this one.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: rand::random::<u64>().max(1), parent: self.span, ..self }
    }

    /// Reads `00-<trace>-<span>-<flags>`; `None` where it is something else.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || version == "ff" || id.len() != 32 || span.len() != 16 || flags.len() != 2 {
            return None;
        }
        let trace = Self {
            id: u128::from_str_radix(id, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            parent: 0,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (trace.id != 0 && trace.span != 0).then_some(trace)
    }

    /// The trace's id: 32 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// The trace's id as a number.
    #[must_use]
    pub fn number(&self) -> u128 {
        self.id
    }

    /// True where its spans are collected.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    pub(crate) fn span(&self) -> u64 {
        self.span
    }

    pub(crate) fn parent(&self) -> u64 {
        self.parent
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_survives_its_header() {
        let trace = Trace::start();
        assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        assert_eq!(Trace::parse(&trace.child().to_string()).map(|child| child.id()), Some(trace.id()));
        for bad in ["", "00-1-2-3", "00-00000000000000000000000000000000-0000000000000001-01", "00-é-1-1"] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_step_knows_what_it_is_part_of() {
        let trace = Trace::start();
        let child = trace.child();
        assert_eq!(child.parent(), trace.span());
        assert_ne!(child.span(), trace.span());
        assert_eq!(child.is_sampled(), trace.is_sampled());
    }
}
