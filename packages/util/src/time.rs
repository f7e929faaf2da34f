//! Moments on the wire (`Timestamp`) and in code (`chrono`). Always UTC, to the microsecond, as PostgreSQL keeps them.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use prost_types::Timestamp;

/// This moment.
#[must_use]
pub fn now() -> Timestamp {
    from_chrono(Utc::now())
}

/// This moment and some more.
#[must_use]
pub fn after(delta: TimeDelta) -> Timestamp {
    from_chrono(Utc::now() + delta)
}

/// To the wire.
#[must_use]
pub fn from_chrono(moment: DateTime<Utc>) -> Timestamp {
    let moment = moment.trunc_subsecs(6);
    Timestamp {
        seconds: moment.timestamp(),
        nanos: i32::try_from(moment.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// From the wire; `None` where it is out of range.
#[must_use]
pub fn to_chrono(moment: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(moment.seconds, u32::try_from(moment.nanos).ok()?)
}

/// True where the moment lies behind us. An unreadable one does.
#[must_use]
pub fn is_past(moment: &Timestamp) -> bool {
    to_chrono(moment).is_none_or(|moment| moment <= Utc::now())
}
