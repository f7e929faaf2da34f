use artel_util::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use tonic::Code;

use crate::snapshot::Snapshot;

/// How far a reader of the change log is: it has seen what `since` sees, and of what `until` sees everything up to
/// `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Transactions count anew in each.
    pub(super) epoch: i64,
    pub(super) since: Snapshot,
    pub(super) until: Snapshot,
    pub(super) position: i64,
}

impl Place {
    /// Everything that this snapshot sees, and nothing else.
    pub(super) fn at(epoch: i64, snapshot: Snapshot) -> Self {
        Self { epoch, since: snapshot.clone(), until: snapshot, position: 0 }
    }

    /// True for a row that comes before.
    pub(super) fn is_past(&self, txid: i64, position: i64) -> bool {
        self.since.sees(txid) || self.until.sees(txid) && position <= self.position
    }

    /// Everything up to `until` was seen: goes on to the window that ends there.
    pub(super) fn next_window(&mut self, until: Snapshot) {
        self.since = std::mem::replace(&mut self.until, until);
        self.position = 0;
    }

    /// A row of a window was seen. Windows come one after another, and the rows of each in the order of positions.
    pub(super) fn pass(&mut self, until: &Snapshot, position: i64) {
        if self.until != *until {
            self.next_window(until.clone());
        }
        self.position = position;
    }

    /// As callers keep it; opaque to them.
    pub(super) fn token(&self) -> String {
        format!("{}.{}", self.window(), self.position)
    }

    /// What the tokens of all rows of one window begin with.
    pub(super) fn window(&self) -> String {
        BASE64.encode(format!("{};{};{}", self.epoch, self.since, self.until))
    }

    /// Reads a token. INVALID_ARGUMENT where it is none.
    pub(super) fn read(token: &str) -> Result<Self, Error> {
        Self::parse(token)
            .ok_or_else(|| Error::invalid("position", "is no position that Watch gave; begin without one"))
    }

    fn parse(token: &str) -> Option<Self> {
        let (window, position) = token.split_once('.')?;
        let window = String::from_utf8(BASE64.decode(window).ok()?).ok()?;
        let mut parts = window.split(';');
        let mut next = || parts.next();
        let place = Self {
            epoch: next()?.parse().ok()?,
            since: Snapshot::parse(next()?)?,
            until: Snapshot::parse(next()?)?,
            position: position.parse().ok()?,
        };
        (next().is_none() && place.until.includes(&place.since)).then_some(place)
    }
}

/// OUT_OF_RANGE: nobody can go on from there any more.
pub(super) fn gone(reason: &'static str, why: &str) -> Error {
    let text = format!("{why}; watch from now on and read anew what you keep");
    Error::new(Code::OutOfRange, reason, format!("position: {text}")).field("position", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::parse(text).unwrap()
    }

    #[test]
    fn a_token_holds_a_place() {
        let mut place = Place::at(3, snapshot("10:14:10,12"));
        assert_eq!(Place::read(&place.token()).unwrap(), place);
        place.pass(&snapshot("12:20:12,17"), 99);
        assert_eq!(Place::read(&place.token()).unwrap(), place);
        let backwards = Place { since: place.until.clone(), until: place.since.clone(), ..place };
        for token in ["", ".", "x.1", "MTsyOjM.4", &backwards.token(), "MzsxOjE6OzE6MTo.x"] {
            assert_eq!(Place::read(token).unwrap_err().fields()[0].field, "position", "{token}");
        }
    }

    #[test]
    fn what_was_passed_is_past_and_nothing_else() {
        let mut place = Place::at(1, snapshot("10:14:10,12"));
        assert!(place.is_past(11, 500) && !place.is_past(10, 1) && !place.is_past(14, 1));
        // 10 and 14 are over now; what 10 wrote stands at 7, what 14 wrote at 6 and 8.
        place.pass(&snapshot("12:16:12"), 7);
        assert!(place.is_past(11, 500) && place.is_past(10, 7) && place.is_past(14, 6));
        assert!(!place.is_past(14, 8) && !place.is_past(12, 3) && !place.is_past(16, 2));
        // The next window begins where this one ends.
        place.pass(&snapshot("16:16:"), 3);
        assert!(place.is_past(14, 8) && place.is_past(12, 3) && !place.is_past(12, 4));
    }
}
