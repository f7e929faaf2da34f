//! The date of a feed, in the old style and the new.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeZone, Utc};

/// When a feed was made: `2025-11-20 17:03` (old style, the shop's own clock) or
/// `2025-11-20T17:03:00+03:00` (new style, exact).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeedDate {
    /// What the clock showed.
    pub local: NaiveDateTime,
    /// How far that clock was from UTC, if the feed says so.
    pub offset: Option<FixedOffset>,
}

impl FeedDate {
    /// Reads both styles, with or without seconds, and a date alone (midnight).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replacen(' ', "T", 1);
        if let Ok(exact) = DateTime::parse_from_rfc3339(&text) {
            return Some(exact.into());
        }
        for format in ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M%#z"] {
            if let Ok(exact) = DateTime::parse_from_str(&text, format) {
                return Some(exact.into());
            }
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
            if let Ok(local) = NaiveDateTime::parse_from_str(&text, format) {
                return Some(Self { local, offset: None });
            }
        }
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
        Some(Self { local: date.and_hms_opt(0, 0, 0)?, offset: None })
    }

    /// The moment, with `assumed` as the shop's offset where the feed names none.
    #[must_use]
    pub fn utc(&self, assumed: FixedOffset) -> Option<DateTime<Utc>> {
        let offset = self.offset.unwrap_or(assumed);
        offset.from_local_datetime(&self.local).single().map(|moment| moment.to_utc())
    }
}

impl From<DateTime<FixedOffset>> for FeedDate {
    fn from(exact: DateTime<FixedOffset>) -> Self {
        Self { local: exact.naive_local(), offset: Some(*exact.offset()) }
    }
}

impl std::fmt::Display for FeedDate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            Some(offset) => write!(out, "{}{offset}", self.local.format("%Y-%m-%dT%H:%M:%S")),
            None => write!(out, "{}", self.local.format("%Y-%m-%d %H:%M")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles() {
        let moscow = FixedOffset::east_opt(3 * 3600).unwrap();
        let utc = |text: &str| FeedDate::parse(text).unwrap().utc(moscow).unwrap().to_rfc3339();
        for text in [
            "2025-11-20 17:03",
            "2025-11-20 17:03:00",
            "2025-11-20T17:03:00+03:00",
            "2025-11-20T17:03+03:00",
            "2025-11-20T17:03:00+0300",
            "2025-11-20T14:03:00Z",
            "2025-11-20T14:03Z",
        ] {
            assert_eq!(utc(text), "2025-11-20T14:03:00+00:00", "{text}");
        }
        assert_eq!(utc("2025-11-20"), "2025-11-19T21:00:00+00:00");
    }

    #[test]
    fn not_dates() {
        for text in ["", "yesterday", "2025-13-01 10:00", "2025-11-20 25:00", "20.11.2025"] {
            assert_eq!(FeedDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn display_reads_back() {
        for text in ["2025-11-20 17:03", "2025-11-20T17:03:09+03:00"] {
            assert_eq!(FeedDate::parse(text).unwrap().to_string(), text);
        }
    }
}
