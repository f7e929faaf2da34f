use artel_proto::Timestamp;
use artel_proto::persist::filter::Node;
use artel_proto::persist::value::Kind;
use artel_proto::persist::{
    self, Comparison, Filters, MeasureKind, Operator, Order, TimeBuckets, TimeUnit, Value,
};

/// How many a caller from outside gets who does not say, and how many at most.
const DEFAULT_PAGE: i32 = 20;
const LARGEST_PAGE: i32 = 200;

/// What to look for: conditions that all hold, words, an order, a page.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub(crate) filters: Vec<persist::Filter>,
    pub(crate) search: String,
    pub(crate) order_by: Vec<Order>,
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
    pub(crate) with_total: bool,
}

/// A condition.
#[derive(Debug, Clone)]
pub struct Filter(persist::Filter);

/// A page of what was found.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The entities.
    pub items: Vec<T>,
    /// What gets the next page; empty on the last one.
    pub next_page_token: String,
    /// How many match in all, where asked for.
    pub total: Option<i64>,
}

/// Which way to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// A scalar to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Val(pub(crate) Value);

/// What to measure in a group.
#[derive(Debug, Clone)]
pub struct Measure(pub(crate) persist::Measure);

/// Buckets of time to measure in: minutes to years by the clocks of a time zone.
#[derive(Debug, Clone)]
pub struct Buckets(pub(crate) TimeBuckets);

/// A group and what was measured in it.
#[derive(Debug, Clone)]
pub struct Group {
    pub(crate) keys: Vec<Value>,
    pub(crate) measures: Vec<Value>,
    pub(crate) bucket: Option<Timestamp>,
}

impl Query {
    /// Everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what the condition holds for.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter.0);
        self
    }

    /// Only what has this value in the field.
    #[must_use]
    pub fn equal(self, field: &str, value: impl Into<Val>) -> Self {
        self.filter(Filter::compare(field, Operator::Equal, [value.into()]))
    }

    /// Only what the words are found in.
    #[must_use]
    pub fn search(mut self, words: impl Into<String>) -> Self {
        self.search = words.into();
        self
    }

    /// In the order of a field; the first call sorts first.
    #[must_use]
    pub fn order(mut self, field: &str, direction: Direction) -> Self {
        self.order_by.push(Order { field: field.to_owned(), descending: direction == Direction::Descending });
        self
    }

    /// This many (50 when 0) after the page whose token this is.
    #[must_use]
    pub fn page(mut self, size: i32, token: impl Into<String>) -> Self {
        self.page_size = size;
        self.page_token = token.into();
        self
    }

    /// A page as a caller from outside asks for it: 20 when `size` is 0, clamped to 200.
    #[must_use]
    pub fn page_asked(self, size: i32, token: impl Into<String>) -> Self {
        self.page(if size == 0 { DEFAULT_PAGE } else { size.min(LARGEST_PAGE) }, token)
    }

    /// Counts all that match, too.
    #[must_use]
    pub fn with_total(mut self) -> Self {
        self.with_total = true;
        self
    }

    pub(crate) fn condition(filters: Vec<persist::Filter>) -> Option<persist::Filter> {
        (!filters.is_empty()).then_some(persist::Filter { node: Some(Node::All(Filters { filters })) })
    }
}

impl Filter {
    /// A comparison of a field with values.
    #[must_use]
    pub fn compare(field: &str, operator: Operator, values: impl IntoIterator<Item = Val>) -> Self {
        Self(persist::Filter {
            node: Some(Node::Compare(Comparison {
                field: field.to_owned(),
                operator: operator.into(),
                values: values.into_iter().map(|value| value.0).collect(),
            })),
        })
    }

    /// The field holds one of the values.
    #[must_use]
    pub fn one_of<V: Into<Val>>(field: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::compare(field, Operator::In, values.into_iter().map(Into::into))
    }

    /// The field is absent.
    #[must_use]
    pub fn is_null(field: &str) -> Self {
        Self::compare(field, Operator::IsNull, [])
    }

    /// At least one holds.
    #[must_use]
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let filters = filters.into_iter().map(|filter| filter.0).collect();
        Self(persist::Filter { node: Some(Node::Any(Filters { filters })) })
    }

    /// It does not hold.
    #[must_use]
    pub fn negate(self) -> Self {
        Self(persist::Filter { node: Some(Node::Not(Box::new(self.0))) })
    }
}

impl Measure {
    /// How many rows.
    #[must_use]
    pub fn count() -> Self {
        Self(persist::Measure { kind: MeasureKind::Count.into(), field: String::new() })
    }

    /// A measure of a field.
    #[must_use]
    pub fn of(kind: MeasureKind, field: &str) -> Self {
        Self(persist::Measure { kind: kind.into(), field: field.to_owned() })
    }
}

impl Buckets {
    /// By the moment in a field, in UTC.
    #[must_use]
    pub fn of(field: &str, unit: TimeUnit) -> Self {
        Self(TimeBuckets { field: field.to_owned(), unit: unit.into(), ..TimeBuckets::default() })
    }

    /// By the clocks of a zone of the IANA database: `Asia/Almaty`.
    #[must_use]
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.0.time_zone = name.into();
        self
    }

    /// Only from one moment on, and before another.
    #[must_use]
    pub fn between(mut self, start: Timestamp, end: Timestamp) -> Self {
        (self.0.start_time, self.0.end_time) = (Some(start), Some(end));
        self
    }

    /// With the empty ones between the two moments: their counts and sums are 0.
    #[must_use]
    pub fn filled(mut self) -> Self {
        self.0.fill = true;
        self
    }
}

impl Group {
    /// When its bucket begins; nothing where none were asked for.
    #[must_use]
    pub fn bucket(&self) -> Option<&Timestamp> {
        self.bucket.as_ref()
    }

    /// The text of a group value; empty where it is absent or no text.
    #[must_use]
    pub fn text(&self, key: usize) -> &str {
        match self.keys.get(key).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(text)) => text,
            _ => "",
        }
    }

    /// A whole number that was measured; 0 where it is absent or none.
    #[must_use]
    pub fn number(&self, measure: usize) -> i64 {
        match self.measures.get(measure).and_then(|value| value.kind.as_ref()) {
            Some(Kind::IntValue(number)) => *number,
            _ => 0,
        }
    }
}

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Self(Value { kind: Some(Kind::StringValue(text.to_owned())) })
    }
}

impl From<String> for Val {
    fn from(text: String) -> Self {
        Self(Value { kind: Some(Kind::StringValue(text)) })
    }
}

impl From<&String> for Val {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<i64> for Val {
    fn from(number: i64) -> Self {
        Self(Value { kind: Some(Kind::IntValue(number)) })
    }
}

impl From<i32> for Val {
    fn from(number: i32) -> Self {
        i64::from(number).into()
    }
}

impl From<bool> for Val {
    fn from(truth: bool) -> Self {
        Self(Value { kind: Some(Kind::BoolValue(truth)) })
    }
}

impl From<Timestamp> for Val {
    fn from(moment: Timestamp) -> Self {
        Self(Value { kind: Some(Kind::TimeValue(moment)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_outside_has_a_default_and_a_limit() {
        let sizes = [0, 1, 200, 201, i32::MAX].map(|size| Query::new().page_asked(size, "").page_size);
        assert_eq!(sizes, [20, 1, 200, 200, 200]);
    }
}
