//! Phone numbers: whatever people write, in E.164. Pure.

use std::str::FromStr;

use artel_cache::Rate;

use crate::limits::Allowance;

/// E.164 has no longer ones.
const MOST_DIGITS: usize = 15;

/// Numbers that are served: those that begin with some digits and have so many more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// Without the plus: `77`.
    prefix: String,
    more: usize,
    /// How many codes are sent to them.
    allowance: Rate,
}

/// A number that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phone {
    /// In E.164: `+77011234567`.
    pub(crate) number: String,
    /// The range it belongs to: `+77`.
    pub(crate) range: String,
    /// How many codes are sent to that range.
    pub(crate) allowance: Rate,
}

/// `+77 9 3000/3600s`: the first digits, how many follow, how many codes are sent there.
impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no range: write <first digits> <how many follow> <count>/<seconds>s, as +77 9 3000/3600s"
            )
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [prefix, more, allowance] = words[..] else { return Err(wrong()) };
        let prefix = prefix.strip_prefix('+').filter(|it| is_digits(it) && !it.starts_with('0'));
        let more = more.parse::<usize>().ok().filter(|it| *it > 0);
        let (prefix, more) = prefix.zip(more).ok_or_else(wrong)?;
        if prefix.len() + more > MOST_DIGITS {
            return Err(format!("`{text}` has more than the {MOST_DIGITS} digits of E.164"));
        }
        let Allowance(allowance) = allowance.parse()?;
        Ok(Self { prefix: prefix.to_owned(), more, allowance })
    }
}

/// Reads what somebody typed: `8 (700) 123-45-67`, `+7 900 123 45 67`, `007 900…`, `9001234567`. `home` is the code of the
/// country that numbers without one belong to (`7`), `trunk` what is dialled before those there (`8`). `None` where it is
/// no number of the ranges.
pub(crate) fn read(text: &str, ranges: &[Range], home: &str, trunk: &str) -> Option<Phone> {
    let text = text.trim();
    let (is_full, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digits = String::with_capacity(MOST_DIGITS + 2);
    for letter in rest.chars() {
        match letter {
            '0'..='9' if digits.len() < MOST_DIGITS + 2 => digits.push(letter),
            // As numbers are set in type: spaces, hyphens and dashes of all kinds, brackets, dots.
            ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '-' | '\u{2010}'..='\u{2014}' | '(' | ')' | '.' => {}
            _ => return None,
        }
    }
    let served = |digits: &str| {
        let fits = |range: &&Range| {
            digits.starts_with(&range.prefix) && digits.len() == range.prefix.len() + range.more
        };
        let range = ranges.iter().filter(fits).max_by_key(|range| range.prefix.len())?;
        Some(Phone {
            number: format!("+{digits}"),
            range: format!("+{}", range.prefix),
            allowance: range.allowance,
        })
    };
    if is_full {
        return served(&digits);
    }
    if let Some(international) = digits.strip_prefix("00") {
        return served(international);
    }
    let dialled = digits.strip_prefix(trunk).filter(|_| !trunk.is_empty());
    dialled
        .and_then(|national| served(&format!("{home}{national}")))
        .or_else(|| served(&digits))
        .or_else(|| served(&format!("{home}{digits}")))
}

/// True for one digit or more and nothing else.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> Vec<Range> {
        ["+77 9 10/60s", "+79 9 20/60s", "+996 9 5/60s", "+374 8 5/60s"]
            .map(|text| text.parse().unwrap())
            .into()
    }

    fn number(text: &str) -> Option<String> {
        read(text, &ranges(), "7", "8").map(|phone| phone.number)
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("8-900-123-45-67", "+79001234567"),
            ("8 (700) 123-45-67", "+77001234567"),
            ("+7 900 123 45 67", "+79001234567"),
            ("+7 (701) 123\u{a0}45\u{2011}67", "+77011234567"),
            ("007 900 123 45 67", "+79001234567"),
            ("7 900 123 45 67", "+79001234567"),
            ("9001234567", "+79001234567"),
            ("700.123.45.67", "+77001234567"),
            ("  +996 555 123456 ", "+996555123456"),
            ("00996555123456", "+996555123456"),
            ("996 555 123 456", "+996555123456"),
            ("374 55 123456", "+37455123456"),
        ] {
            assert_eq!(number(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_a_served_country_is_none() {
        for text in [
            "",
            "+",
            "phone",
            "123",
            "+7 900 123 45 6",
            "+7 900 123 45 678",
            "8 900 123 45 678",
            // A landline: no SMS arrives there.
            "+7 495 123 45 67",
            // The trunk prefix is no country's code.
            "+8 900 123 45 67",
            "+44 7700 900123",
            "00 44 7700 900123",
            "+7900123456a",
            "++79001234567",
            "7+9001234567",
            "+7٩٠٠1234567",
            "+7 900 123 45 67; 8 900 765 43 21",
            "99999999999999999999999999999999",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_belongs_to_the_longest_range_that_fits() {
        let ranges: Vec<Range> = ["+7 10 9/60s", "+77 9 10/60s"].map(|text| text.parse().unwrap()).into();
        let range = |text| read(text, &ranges, "7", "8").map(|phone| (phone.range, phone.allowance.count));
        assert_eq!(range("8 700 123 45 67"), Some(("+77".into(), 10)));
        assert_eq!(range("8 900 123 45 67"), Some(("+7".into(), 9)));
    }

    #[test]
    fn a_range_that_cannot_be_is_refused() {
        for bad in [
            "",
            "+77",
            "+77 9",
            "77 9 1/1s",
            "+07 9 1/1s",
            "+7x 9 1/1s",
            "+77 0 1/1s",
            "+77 14 1/1s",
            "+77 9 1",
        ] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_the_same_however_it_is_set(
            first in "7|9", rest in proptest::collection::vec(0_u8..10, 9),
            gaps in proptest::collection::vec("[ ().-]{0,2}", 10), way in 0..5_usize,
        ) {
            let digits: Vec<String> =
                std::iter::once(first).chain(rest.iter().map(|digit| digit.to_string())).collect();
            let wanted = format!("+7{}", digits.concat());
            let begin = ["+7", "8", "007", "7", ""][way];
            let spaced: String = gaps.iter().zip(&digits).map(|(gap, digit)| format!("{gap}{digit}")).collect();
            let phone = number(&format!("{begin}{spaced}"));
            prop_assert_eq!(phone.as_deref(), Some(wanted.as_str()));
            // What was read is read the same again.
            prop_assert_eq!(number(&wanted), phone);
        }

        #[test]
        fn whatever_is_typed_is_e_164_or_nothing(text in "\\PC{0,40}") {
            if let Some(phone) = number(&text) {
                prop_assert!(phone.starts_with('+') && is_digits(&phone[1..]) && phone.len() <= 16, "{}", phone);
            }
        }
    }
}
