//! Rate, errors and duration of each statement, under a name that says the table and what is done there. Names come
//! from the plans and from constants, so that there are only so many of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use metrics::{Key, Label, Level, Metadata};

/// What a statement is called in the metrics: `products.get`.
#[derive(Clone)]
pub(crate) struct Name(Arc<Named>);

struct Named {
    name: Arc<str>,
    /// Of its durations. The recorder is asked for it each time: at the start there is none yet.
    seconds: Key,
}

const HERE: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Name {
    /// The name made of a table, or of what is worked on, and of what is done there.
    pub(crate) fn new(table: &str, verb: &str) -> Self {
        Self::of(&format!("{table}.{verb}"))
    }

    /// Of a statement that nobody named.
    pub(crate) fn none() -> Self {
        static NONE: LazyLock<Name> = LazyLock::new(|| Name::of("unnamed"));
        NONE.clone()
    }

    /// The same name is the same value.
    pub(crate) fn of(name: &str) -> Self {
        static NAMES: LazyLock<RwLock<HashMap<Arc<str>, Name>>> = LazyLock::new(RwLock::default);
        if let Some(known) = NAMES.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        let label = Label::new("statement", Arc::clone(&name));
        let seconds = Key::from_parts("artel_persist_statement_seconds", vec![label]);
        let named = Self(Arc::new(Named { name: Arc::clone(&name), seconds }));
        NAMES.write().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(named).clone()
    }

    /// Notes that the statement was done, and how long that took.
    pub(crate) fn took(&self, time: Duration) {
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.0.seconds, &HERE)).record(time);
    }

    /// Notes that the statement failed, and of what kind that was.
    pub(crate) fn failed(&self, kind: &'static str) {
        let name = Arc::clone(&self.0.name);
        metrics::counter!("artel_persist_statement_errors_total", "statement" => name, "kind" => kind)
            .increment(1);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.name)
    }
}

/// The share of each statement in the time of several that are sent at once and done in turn: from the end of the one
/// before it to its own.
#[derive(Debug)]
pub(crate) struct Turns(Instant);

impl Turns {
    /// Begins with the sending.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Notes the end of the next one.
    pub(crate) fn ended(&mut self, name: &Name, at: Instant) {
        name.took(at.saturating_duration_since(self.0));
        self.0 = at.max(self.0);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_statement_has_its_own_share_and_its_errors_have_kinds() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (one, other) = (Name::new("teas", "get"), Name::of("teas.query"));
            let mut turns = Turns::begin();
            let begin = turns.0;
            turns.ended(&one, begin + Duration::from_millis(3));
            turns.ended(&other, begin + Duration::from_millis(10));
            // Told of late, done before: nothing is negative.
            turns.ended(&one, begin + Duration::from_millis(9));
            other.failed("timeout");
            other.failed("conflict");
            other.failed("timeout");
        });
        let page = recorder.handle().render();
        for told in [
            r#"artel_persist_statement_errors_total{statement="teas.query",kind="conflict"} 1"#,
            r#"artel_persist_statement_errors_total{statement="teas.query",kind="timeout"} 2"#,
            r#"artel_persist_statement_seconds_sum{statement="teas.get"} 0.003"#,
            r#"artel_persist_statement_seconds_count{statement="teas.get"} 2"#,
            r#"artel_persist_statement_seconds_sum{statement="teas.query"} 0.007"#,
        ] {
            assert!(page.contains(told), "{told} is not in\n{page}");
        }
    }
}
