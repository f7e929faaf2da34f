use std::fmt;

/// The header that carries a trace, as W3C Trace Context has it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// One trace through every process: 128 bits that stay, 64 that name the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    sampled: bool,
}

impl Trace {
    /// A new trace.
    #[must_use]
    pub fn start() -> Self {
        Self { id: rand::random::<u128>().max(1), span: rand::random::<u64>().max(1), sampled: false }
    }

    /// The next step of this trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: rand::random::<u64>().max(1), ..self }
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
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (trace.id != 0 && trace.span != 0).then_some(trace)
    }

    /// The trace's id: 32 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.id)
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
}
