//! Sums as vendors write them: units with two decimals, as JSON numbers and in queries.

use serde_json::Number;

/// Below it a double keeps every hundredth.
const MOST_MINOR: i64 = 1_000_000_000_000_000;

/// Hundredths of what a decimal text says; `None` for more than two decimals, a sign, or too much.
pub fn minor(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = part.trim_end_matches('0');
    if !digits(whole) || !(part.is_empty() || digits(part)) || part.len() > 2 {
        return None;
    }
    let hundredths: i64 = format!("{part:0<2}").parse().ok()?;
    let minor = whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    (minor < MOST_MINOR).then_some(minor)
}

pub fn text(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// The shortest decimal that reads as this double is the one that was meant.
pub fn number(minor: i64) -> Number {
    text(minor).parse().ok().and_then(Number::from_f64).unwrap_or_else(|| 0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_and_written_exactly() {
        for (text, expected) in [
            ("100", Some(10_000)),
            ("100.0", Some(10_000)),
            ("12.22", Some(1_222)),
            ("0.01", Some(1)),
            ("0.1", Some(10)),
            ("1.005", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
            (".5", None),
            ("10000000000000", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
        for amount in [1, 10, 99, 100, 1_222, 33, 70_000_000_000_029, MOST_MINOR - 1] {
            assert_eq!(minor(&number(amount).to_string()), Some(amount));
            assert_eq!(minor(&text(amount)), Some(amount));
        }
    }
}
