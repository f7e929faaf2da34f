//! What the mailbox was told to do wrong.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value};

/// The longest delay that can be asked for, in milliseconds.
pub const LONGEST_DELAY: u64 = 600_000;

/// The faults in force. The counts go down as messages use them up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Faults {
    /// Wait before the answer to each message, 0 to 600000.
    pub delay_ms: u64,
    /// The share of messages refused for good (550), 0 to 1.
    pub reject_rate: f64,
    /// So many of the next messages are kept, and the connection closed before the 250.
    pub drop_after_data: u32,
    /// So many of the next messages are answered 451 and not kept.
    pub temporary_failures: u32,
}

/// A field of the request that cannot be taken, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct BadField {
    pub field: String,
    pub description: String,
}

impl Faults {
    /// Reads what `PUT /api/faults` was sent. A field that is left out is no fault. All wrong fields are named.
    pub fn from_json(fields: &Map<String, Value>) -> Result<Self, Vec<BadField>> {
        let mut faults = Self::default();
        let mut bad = Vec::new();
        for (field, value) in fields {
            let whole = |most: u64| {
                let number = value.as_u64().filter(|number| *number <= most);
                number.ok_or_else(|| format!("must be a whole number from 0 to {most}, not {value}"))
            };
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let taken = match field.as_str() {
                "delayMs" => whole(LONGEST_DELAY).map(|number| faults.delay_ms = number),
                "rejectRate" => match value.as_f64().filter(|rate| (0.0..=1.0).contains(rate)) {
                    Some(rate) => {
                        faults.reject_rate = rate;
                        Ok(())
                    }
                    None => Err(format!("must be a number from 0 to 1, not {value}")),
                },
                "dropAfterData" => {
                    whole(u32::MAX.into()).map(|number| faults.drop_after_data = narrow(number))
                }
                "temporaryFailures" => {
                    whole(u32::MAX.into()).map(|number| faults.temporary_failures = narrow(number))
                }
                _ => Err("is not a fault; there are delayMs, rejectRate, dropAfterData, temporaryFailures"
                    .to_owned()),
            };
            if let Err(description) = taken {
                bad.push(BadField { field: field.clone(), description });
            }
        }
        if bad.is_empty() { Ok(faults) } else { Err(bad) }
    }
}

/// What a message meets. `hang_up` is for after it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    TemporaryFailure,
    Reject,
    Keep { hang_up: bool },
}

#[derive(Debug, Default)]
pub struct FaultBox(Mutex<Faults>);

impl FaultBox {
    pub fn set(&self, faults: Faults) {
        *self.lock() = faults;
    }

    pub fn get(&self) -> Faults {
        *self.lock()
    }

    /// Decides the fate of the next message; `chance` is from 0 up to 1.
    pub fn next(&self, chance: f64) -> (Duration, Fate) {
        let mut faults = self.lock();
        let fate = if faults.temporary_failures > 0 {
            faults.temporary_failures -= 1;
            Fate::TemporaryFailure
        } else if chance < faults.reject_rate {
            Fate::Reject
        } else {
            let hang_up = faults.drop_after_data > 0;
            faults.drop_after_data -= u32::from(hang_up);
            Fate::Keep { hang_up }
        };
        (Duration::from_millis(faults.delay_ms), fate)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let wrong = json!({"delayMs": -1, "rejectRate": 1.01, "dropAfterData": 1.5, "temporaryFailures": "2",
            "typo": 0});
        let mut fields = parse(wrong).unwrap_err();
        fields.sort();
        assert_eq!(fields, ["delayMs", "dropAfterData", "rejectRate", "temporaryFailures", "typo"]);
        assert_eq!(parse(json!({"delayMs": LONGEST_DELAY + 1})).unwrap_err(), ["delayMs"]);
        assert_eq!(parse(json!({"temporaryFailures": 4294967296u64})).unwrap_err(), ["temporaryFailures"]);
        assert_eq!(parse(json!({})), Ok(Faults::default()));
        let faults = parse(json!({"rejectRate": 1, "delayMs": LONGEST_DELAY})).unwrap();
        assert_eq!(faults, Faults { reject_rate: 1.0, delay_ms: LONGEST_DELAY, ..Faults::default() });
    }

    #[test]
    fn counts_are_used_up_in_order() {
        let faults = FaultBox::default();
        faults.set(Faults {
            temporary_failures: 1,
            drop_after_data: 1,
            reject_rate: 0.5,
            ..Faults::default()
        });
        let fates: Vec<_> = [0.9, 0.1, 0.5, 0.9].into_iter().map(|chance| faults.next(chance).1).collect();
        let kept = |hang_up| Fate::Keep { hang_up };
        assert_eq!(fates, [Fate::TemporaryFailure, Fate::Reject, kept(true), kept(false)]);
        assert_eq!(faults.get(), Faults { reject_rate: 0.5, ..Faults::default() });
    }
}
