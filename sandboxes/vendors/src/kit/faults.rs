//! What a sandbox was told to do wrong.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest delay that can be asked for, in milliseconds.
const LONGEST_DELAY: u64 = 600_000;
const MOST_ACTS: usize = 100_000;

/// The faults in force. Percentages are of all calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// Answered 503; nothing is done.
    pub fail_percent: f64,
    /// Done, and the connection closed without an answer.
    pub lose_percent: f64,
    /// Done, and what follows from it (a webhook, a report) comes twice.
    pub twice_percent: f64,
    /// How long slow answers take, in milliseconds.
    pub slow_ms: u64,
    /// How many answers are slow.
    pub slow_percent: f64,
    /// How many jobs of the robot line break.
    pub break_percent: f64,
    /// Everything is answered 503.
    pub down: bool,
    /// What happens to the next requests that have an effect, one each; used up before the percentages count for them.
    pub script: VecDeque<Act>,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Act {
    /// As it should be.
    Ok,
    /// 503, nothing done.
    Fail,
    /// Done, no answer.
    Lose,
    /// Done, its consequences twice.
    Twice,
    /// Refused for a business reason.
    Decline,
    /// The job that it begins breaks.
    Break,
    /// Done at once and answered late.
    Slow(Duration),
    /// Done late, also where the caller has stopped waiting: a request that was held up on its way.
    Late(Duration),
}

impl TryFrom<String> for Act {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (word, delay) = text.split_once(':').map_or((text.as_str(), None), |(word, ms)| (word, Some(ms)));
        let delay = delay
            .map(|ms| match ms.parse::<u64>() {
                Ok(ms) if ms <= LONGEST_DELAY => Ok(Duration::from_millis(ms)),
                _ => Err(format!("`{text}` must end in milliseconds, at most {LONGEST_DELAY}")),
            })
            .transpose()?;
        match (word, delay) {
            ("ok", None) => Ok(Self::Ok),
            ("fail", None) => Ok(Self::Fail),
            ("lose", None) => Ok(Self::Lose),
            ("twice", None) => Ok(Self::Twice),
            ("decline", None) => Ok(Self::Decline),
            ("break", None) => Ok(Self::Break),
            ("slow", Some(delay)) => Ok(Self::Slow(delay)),
            ("late", Some(delay)) => Ok(Self::Late(delay)),
            _ => Err(format!(
                "`{text}` is not one of ok, fail, lose, twice, decline, break, slow:MILLISECONDS, late:MILLISECONDS"
            )),
        }
    }
}

impl From<Act> for String {
    fn from(act: Act) -> Self {
        match act {
            Act::Ok => "ok".to_owned(),
            Act::Fail => "fail".to_owned(),
            Act::Lose => "lose".to_owned(),
            Act::Twice => "twice".to_owned(),
            Act::Decline => "decline".to_owned(),
            Act::Break => "break".to_owned(),
            Act::Slow(delay) => format!("slow:{}", delay.as_millis()),
            Act::Late(delay) => format!("late:{}", delay.as_millis()),
        }
    }
}

/// A field of the request that cannot be taken, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct BadField {
    pub field: String,
    pub description: String,
}

impl Faults {
    /// The next requests go by a script, and all after it well.
    #[must_use]
    pub fn script(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { script: acts.into_iter().collect(), ..Self::default() }
    }

    /// Nothing works.
    #[must_use]
    pub fn down() -> Self {
        Self { down: true, ..Self::default() }
    }

    /// Reads what was sent. A field that is left out is no fault. All wrong fields are named.
    ///
    /// # Errors
    /// The wrong fields.
    pub fn from_json(fields: &Map<String, Value>) -> Result<Self, Vec<BadField>> {
        let mut bad = Vec::new();
        for (field, value) in fields {
            let alone = Value::Object(Map::from_iter([(field.clone(), value.clone())]));
            let wrong = match serde_json::from_value::<Self>(alone) {
                Ok(faults) => faults.out_of_range(),
                Err(error) => Some(error.to_string()),
            };
            if let Some(description) = wrong {
                bad.push(BadField { field: field.clone(), description });
            }
        }
        match serde_json::from_value(Value::Object(fields.clone())) {
            Ok(faults) if bad.is_empty() => Ok(faults),
            _ => Err(bad),
        }
    }

    fn out_of_range(&self) -> Option<String> {
        let percents =
            [self.fail_percent, self.lose_percent, self.twice_percent, self.slow_percent, self.break_percent];
        if percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
            return Some("must be from 0 to 100".to_owned());
        }
        if self.slow_ms > LONGEST_DELAY {
            return Some(format!("must be at most {LONGEST_DELAY}"));
        }
        (self.script.len() > MOST_ACTS).then(|| format!("must have at most {MOST_ACTS} entries"))
    }
}

/// The faults of a sandbox that runs.
#[derive(Debug, Default)]
pub struct FaultBox(Mutex<Faults>);

impl FaultBox {
    pub fn set(&self, faults: Faults) {
        *self.lock() = faults;
    }

    /// What is left of them.
    pub fn get(&self) -> Faults {
        self.lock().clone()
    }

    /// Everything works again.
    pub fn clear(&self) {
        self.set(Faults::default());
    }

    /// Decides over the next request.
    pub(crate) fn next(&self, effect: bool) -> Act {
        let mut faults = self.lock();
        if faults.down {
            return Act::Fail;
        }
        if effect && let Some(act) = faults.script.pop_front() {
            return act;
        }
        if chance(faults.fail_percent) {
            Act::Fail
        } else if chance(faults.lose_percent) {
            Act::Lose
        } else if effect && chance(faults.twice_percent) {
            Act::Twice
        } else if chance(faults.slow_percent) {
            Act::Slow(Duration::from_millis(faults.slow_ms))
        } else {
            Act::Ok
        }
    }

    /// Decides whether a job breaks.
    pub(crate) fn breaks(&self) -> bool {
        chance(self.lock().break_percent)
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chance(percent: f64) -> bool {
    percent > 0.0 && rand::random::<f64>() * 100.0 < percent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Faults, Vec<String>> {
        Faults::from_json(value.as_object().unwrap())
            .map_err(|bad| bad.into_iter().map(|bad| bad.field).collect())
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = json!({"failPercent": 101, "losePercent": -1, "slowMs": 1.5, "down": "yes", "typo": 0,
            "script": ["ok", "slow"], "twicePercent": 1});
        let mut fields = parse(wrong).unwrap_err();
        fields.sort();
        assert_eq!(fields, ["down", "failPercent", "losePercent", "script", "slowMs", "typo"]);
        assert_eq!(parse(json!({})), Ok(Faults::default()));
        let faults = parse(json!({"failPercent": 0.5, "script": ["lose", "late:20"]})).unwrap();
        assert_eq!(faults.fail_percent, 0.5);
        assert_eq!(faults.script, [Act::Lose, Act::Late(Duration::from_millis(20))]);
    }

    #[test]
    fn a_script_is_used_up_by_requests_with_an_effect_only() {
        let faults = FaultBox::default();
        faults.set(Faults { fail_percent: 100.0, ..Faults::script([Act::Ok, Act::Lose]) });
        let acts: Vec<_> = [true, false, true, true].map(|effect| faults.next(effect)).into();
        assert_eq!(acts, [Act::Ok, Act::Fail, Act::Lose, Act::Fail]);
        faults.set(Faults { down: true, ..Faults::script([Act::Ok]) });
        assert_eq!(faults.next(true), Act::Fail);
        assert_eq!(faults.get().script.len(), 1, "an outage uses nothing up");
    }

    #[test]
    fn percentages_are_about_what_they_say() {
        let faults = FaultBox::default();
        faults.set(Faults { fail_percent: 20.0, lose_percent: 25.0, ..Faults::default() });
        let acts: Vec<_> = (0..4000).map(|_| faults.next(true)).collect();
        let count = |wanted| acts.iter().filter(|act| **act == wanted).count();
        assert!((600..1000).contains(&count(Act::Fail)), "{}", count(Act::Fail));
        assert!((600..1000).contains(&count(Act::Lose)), "{}", count(Act::Lose));
    }
}
