use std::fmt;

use crate::sample;

/// The header that carries a trace, as W3C Trace Context has it.
pub const TRACEPARENT: &str = "traceparent";

/// How long the header is.
const LENGTH: usize = 55;

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
        let header = header.as_bytes();
        let dashes = header.get(2) == Some(&b'-')
            && header.get(35) == Some(&b'-')
            && header.get(52) == Some(&b'-')
            && matches!(header.get(LENGTH), None | Some(b'-'));
        let number = |from: usize, to: usize| number(header.get(from..to)?);
        // A version that we do not know may say more behind what we do.
        if !dashes || number(0, 2)? == 0xff {
            return None;
        }
        let trace = Self {
            id: u128::from(number(3, 19)?) << 64 | u128::from(number(19, 35)?),
            span: number(36, 52)?,
            parent: 0,
            sampled: number(53, LENGTH)? & 1 == 1,
        };
        (trace.id != 0 && trace.span != 0).then_some(trace)
    }

    /// What goes on as header: `00-<trace>-<span>-<flags>` in ASCII. Made for each call, so without `fmt`.
    #[must_use]
    pub fn header(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        digits(&mut text[0..2], 0);
        digits(&mut text[3..35], self.id);
        digits(&mut text[36..52], u128::from(self.span));
        digits(&mut text[53..], u128::from(self.sampled));
        text
    }

    /// The trace's id: 32 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.header()[3..35].iter().map(|digit| char::from(*digit)).collect()
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

/// The last hex digits of a number, as many as there is room for.
fn digits(text: &mut [u8], mut number: u128) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

/// Up to 16 hex digits; `None` for anything else.
fn number(digits: &[u8]) -> Option<u64> {
    let (mut number, mut wrong) = (0, 0);
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        wrong |= value;
        number = number << 4 | u64::from(value & 0xf);
    }
    (wrong & NO_DIGIT == 0).then_some(number)
}

const NO_DIGIT: u8 = 0x80;

/// The value of each hex digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_survives_its_header() {
        let trace = Trace::start();
        assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        assert_eq!(Trace::parse(&trace.child().to_string()).map(|child| child.id()), Some(trace.id()));
        assert_eq!(trace.header(), trace.to_string().as_bytes());
        assert!(trace.to_string().contains(&format!("-{}-", trace.id())));
        let later = format!("01{}-more", &trace.to_string()[2..]);
        assert_eq!(Trace::parse(&later), Some(trace));
        assert_eq!(Trace::parse(&trace.to_string().to_uppercase()), Some(trace));
        for bad in [&format!("ff{}", &trace.to_string()[2..]), &format!("{trace}0"), &trace.to_string()[..54]]
        {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
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
