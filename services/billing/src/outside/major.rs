//! Sums as vendors write them: units with decimals, in JSON numbers. Exact, or not at all.

use artel_util::money::digits;
use serde_json::Number;

/// Below it every number of minor units survives being written as a double's shortest decimal: 15 digits.
const MOST: i64 = 1_000_000_000_000_000;

/// So many minor units as a number of units; `None` for negative sums and those of more than 15 digits.
pub(crate) fn major(minor: i64, currency: &str) -> Option<Number> {
    if !(0..MOST).contains(&minor) {
        return None;
    }
    let unit = 10_i64.pow(digits(currency));
    let width = digits(currency) as usize;
    let text =
        if width == 0 { minor.to_string() } else { format!("{}.{:0width$}", minor / unit, minor % unit) };
    Number::from_f64(text.parse().ok()?)
}

/// The minor units of a number of units; `None` for negative sums, more decimals than the currency has, and too much.
pub(crate) fn minor(major: &Number, currency: &str) -> Option<i64> {
    let text = major.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = part.trim_end_matches('0');
    let width = digits(currency) as usize;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > width {
        return None;
    }
    let minor: i64 = format!("{whole}{part:0<width$}").parse().ok()?;
    (minor < MOST).then_some(minor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sum_survives_the_way_there_and_back(sum in 0..MOST) {
            for currency in ["KZT", "JPY", "KWD"] {
                let number = major(sum, currency).unwrap();
                prop_assert_eq!(minor(&number, currency), Some(sum));
                // And as text, which is what goes over the wire.
                let again: Number = serde_json::from_str(&number.to_string()).unwrap();
                prop_assert_eq!(minor(&again, currency), Some(sum));
            }
        }
    }

    #[test]
    fn what_is_no_sum_is_none() {
        let read = |text: &str| minor(&serde_json::from_str(text).unwrap(), "KZT");
        assert_eq!(read("1234.5"), Some(123_450));
        assert_eq!(read("70"), Some(7_000));
        assert_eq!(read("1.005"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(read("1e300"), None);
        assert_eq!(major(-1, "KZT"), None);
        assert_eq!(major(MOST, "KZT"), None);
        assert_eq!(major(7, "KZT").unwrap().to_string(), "0.07");
    }
}
