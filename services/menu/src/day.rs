//! Parts of the day by the restaurant's clock.

use anyhow::Context as _;
use artel_proto::menu::DayPart;
use chrono::{DateTime, FixedOffset, NaiveTime, Utc};

/// When each part of the day is, and by which clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) clock: FixedOffset,
    pub(crate) parts: Vec<(DayPart, Span)>,
}

/// From one time of day to another, that one not included; over midnight where it ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    begin: NaiveTime,
    end: NaiveTime,
}

impl Day {
    /// True where what is served in these parts of the day is served now; what names none always is.
    pub(crate) fn serves(&self, parts: &[i32], now: DateTime<Utc>) -> bool {
        let now = now.with_timezone(&self.clock).time();
        let is_now = |part: &i32| {
            let spans = self.parts.iter().filter(|(known, _)| *known as i32 == *part);
            spans.into_iter().any(|(_, span)| span.holds(now))
        };
        parts.is_empty() || parts.iter().any(is_now)
    }
}

impl Span {
    /// `07:00-12:00`
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (begin, end) = text.split_once('-').context("has no `-`")?;
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M");
        let (begin, end) = (time(begin)?, time(end)?);
        anyhow::ensure!(begin != end, "ends when it begins");
        Ok(Self { begin, end })
    }

    fn holds(self, time: NaiveTime) -> bool {
        if self.begin < self.end {
            self.begin <= time && time < self.end
        } else {
            self.begin <= time || time < self.end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32, minute: u32) -> DateTime<Utc> {
        chrono::NaiveDate::from_ymd_opt(2026, 3, 1).unwrap().and_hms_opt(hour, minute, 0).unwrap().and_utc()
    }

    #[test]
    fn a_part_of_the_day_is_told_by_the_restaurants_clock_and_may_go_over_midnight() {
        let day = Day {
            clock: "+05:00".parse().unwrap(),
            parts: vec![
                (DayPart::Breakfast, Span::parse("07:00-11:00").unwrap()),
                (DayPart::Night, Span::parse("22:00 - 02:30").unwrap()),
            ],
        };
        let (breakfast, night) = ([DayPart::Breakfast as i32], [DayPart::Night as i32]);
        // 02:00 in UTC is 07:00 there.
        let served =
            [(1, 59), (2, 0), (5, 59), (6, 0)].map(|(hour, minute)| day.serves(&breakfast, at(hour, minute)));
        assert_eq!(served, [false, true, true, false]);
        let served = [(16, 59), (17, 0), (19, 30), (21, 29), (21, 30)]
            .map(|(hour, minute)| day.serves(&night, at(hour, minute)));
        assert_eq!(served, [false, true, true, true, false]);
        assert!(day.serves(&[], at(12, 0)), "what names no part is always served");
        assert!(day.serves(&[breakfast[0], night[0]], at(18, 0)));
        assert!(!day.serves(&[DayPart::Lunch as i32], at(8, 0)), "a part that the clock does not know");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "07:00", "07:00-07:00", "07:00-25:00", "seven-eight"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
