//! Numbers, money and moments as people of each language write them.

use artel_util::money::digits;
use chrono::{DateTime, Datelike, FixedOffset, Offset, Timelike};

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Russian,
    Kazakh,
    English,
}

/// Keeps a number and its unit on one line.
const NBSP: char = '\u{a0}';

const RUSSIAN_MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];
const KAZAKH_MONTHS: [&str; 12] = [
    "қаңтар",
    "ақпан",
    "наурыз",
    "сәуір",
    "мамыр",
    "маусым",
    "шілде",
    "тамыз",
    "қыркүйек",
    "қазан",
    "қараша",
    "желтоқсан",
];
const ENGLISH_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Language {
    /// The language of a tag such as `ru`, `kk-KZ` or `en_US`; `None` for one that isn't spoken here.
    pub fn of(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "ru" => Some(Self::Russian),
            "kk" => Some(Self::Kazakh),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Russian => "ru",
            Self::Kazakh => "kk",
            Self::English => "en",
        }
    }

    /// `1 234,50 ₽` in Russian and Kazakh, `$1,234.50` or `RUB 1,234.50` in English.
    pub fn money(self, amount_minor: i64, currency: &str) -> String {
        let digits = digits(currency);
        let unit = 10_u64.pow(digits);
        let amount = amount_minor.unsigned_abs();
        let mut text = if amount_minor < 0 { "−".to_owned() } else { String::new() };
        let sign = match currency {
            "RUB" if self != Self::English => "₽",
            "KZT" if self != Self::English => "₸",
            "USD" => "$",
            "EUR" => "€",
            code => code,
        };
        if self == Self::English {
            text += sign;
            if sign == currency {
                text.push(NBSP);
            }
        }
        text += &self.whole(amount / unit);
        if digits > 0 {
            text.push(if self == Self::English { '.' } else { ',' });
            text += &format!("{:0width$}", amount % unit, width = digits as usize);
        }
        if self != Self::English {
            text.push(NBSP);
            text += sign;
        }
        text
    }

    /// `3 товара`, `3 тауар`, `3 items`.
    pub fn goods(self, count: i64) -> String {
        let noun = match self {
            Self::Russian => match (count % 10, count % 100) {
                (1, teens) if teens != 11 => "товар",
                (2..=4, teens) if !(12..=14).contains(&teens) => "товара",
                _ => "товаров",
            },
            // After a number Kazakh nouns stay in the singular.
            Self::Kazakh => "тауар",
            Self::English if count == 1 => "item",
            Self::English => "items",
        };
        format!("{}{NBSP}{noun}", self.whole(count.unsigned_abs()))
    }

    /// `21 ноября 2026 г. в 08:05 (UTC+3)` and its like.
    pub fn moment(self, at: DateTime<FixedOffset>) -> String {
        let (day, month, year) = (at.day(), at.month0() as usize, at.year());
        let time = format!("{:02}:{:02} ({})", at.hour(), at.minute(), zone(at.offset().fix()));
        match self {
            Self::Russian => format!("{day}{NBSP}{} {year}{NBSP}г. в {time}", RUSSIAN_MONTHS[month]),
            Self::Kazakh => format!("{year}{NBSP}жылғы {day}{NBSP}{}, {time}", KAZAKH_MONTHS[month]),
            Self::English => format!("{day} {} {year}, {time}", ENGLISH_MONTHS[month]),
        }
    }

    /// A whole number in groups of three.
    fn whole(self, number: u64) -> String {
        let separator = if self == Self::English { ',' } else { NBSP };
        let plain = number.to_string();
        let mut text = String::with_capacity(plain.len() * 2);
        for (index, digit) in plain.chars().enumerate() {
            if index > 0 && (plain.len() - index).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }
}

fn zone(offset: FixedOffset) -> String {
    let minutes = offset.local_minus_utc() / 60;
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    let sign = if minutes < 0 { '−' } else { '+' };
    match (minutes, rest) {
        (0, _) => "UTC".to_owned(),
        (_, 0) => format!("UTC{sign}{hours}"),
        _ => format!("UTC{sign}{hours}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{English, Kazakh, Russian};
    use super::*;

    /// With plain spaces, for the eye.
    fn plain(text: String) -> String {
        text.replace(NBSP, " ")
    }

    #[test]
    fn money_reads_as_in_each_language() {
        assert_eq!(plain(Russian.money(123_456_789, "RUB")), "1 234 567,89 ₽");
        assert_eq!(plain(Kazakh.money(100_005, "KZT")), "1 000,05 ₸");
        assert_eq!(plain(English.money(123_456, "RUB")), "RUB 1,234.56");
        assert_eq!(English.money(99, "USD"), "$0.99");
        assert_eq!(plain(Russian.money(1500, "JPY")), "1 500 JPY");
        assert_eq!(plain(Russian.money(-5, "USD")), "−0,05 $");
        assert_eq!(plain(English.money(i64::MIN, "BHD")), "−BHD 9,223,372,036,854,775.808");
    }

    #[test]
    fn nouns_follow_their_number() {
        let russian =
            [(1, "товар"), (2, "товара"), (5, "товаров"), (11, "товаров"), (21, "товар"), (112, "товаров")];
        for (count, noun) in russian {
            assert_eq!(plain(Russian.goods(count)), format!("{count} {noun}"));
        }
        assert_eq!(plain(Kazakh.goods(5)), "5 тауар");
        assert_eq!(
            (plain(English.goods(1)), plain(English.goods(2000))),
            ("1 item".into(), "2,000 items".into())
        );
    }

    #[test]
    fn moments_are_told_with_their_clock() {
        let at = DateTime::parse_from_rfc3339("2026-11-01T08:05:00+03:00").unwrap();
        assert_eq!(plain(Russian.moment(at)), "1 ноября 2026 г. в 08:05 (UTC+3)");
        assert_eq!(plain(Kazakh.moment(at)), "2026 жылғы 1 қараша, 08:05 (UTC+3)");
        assert_eq!(English.moment(at), "1 November 2026, 08:05 (UTC+3)");
        assert_eq!(zone(FixedOffset::east_opt(0).unwrap()), "UTC");
        assert_eq!(zone(FixedOffset::west_opt(12_600).unwrap()), "UTC−3:30");
    }

    #[test]
    fn tags_of_regions_are_understood() {
        assert_eq!(
            (Language::of("kk-KZ"), Language::of("en_US"), Language::of("RU")),
            (Some(Kazakh), Some(English), Some(Russian))
        );
        assert_eq!((Language::of(""), Language::of("de")), (None, None));
    }
}
