//! The answers of SMSC's HTTP API (`fmt=3`, JSON).

use serde::Deserialize;

use crate::letter::Answer;

/// Of `send.php`: what was taken, or why it was not.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    error: String,
    error_code: Option<i32>,
}

/// Of `status.php`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    status: Option<i32>,
    #[serde(default)]
    error: String,
    error_code: Option<i32>,
}

/// There is no such message: as an error of a question for one, as a status where several were asked for.
const NO_SUCH_MESSAGE: i32 = 3;
const NO_SUCH_STATUS: i32 = -3;

impl Sent {
    pub fn answer(self) -> Answer {
        let text = |code| format!("SMSC says {code}: {}", self.error);
        match self.error_code {
            None => Answer::Taken,
            // The parameters, the time, the text, the number; or the number takes none.
            Some(code @ (1 | 5 | 6 | 7 | 8)) => Answer::Never(text(code)),
            // The login, the balance, our address, too many at once: about us, or about now.
            Some(code) => Answer::NotNow(text(code)),
        }
    }
}

impl Status {
    pub fn has_it(self) -> Result<bool, String> {
        match (self.status, self.error_code) {
            (Some(status), None) => Ok(status != NO_SUCH_STATUS),
            (_, Some(NO_SUCH_MESSAGE)) => Ok(false),
            (_, code) => Err(format!("SMSC says {}: {}", code.unwrap_or_default(), self.error)),
        }
    }
}

/// How long it is worth delivering, as `valid` has it: hours and minutes, between a minute and a day.
pub(super) fn valid(lasts: std::time::Duration) -> String {
    let minutes = lasts.as_secs().div_ceil(60).clamp(1, 24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(json: &str) -> Answer {
        serde_json::from_str::<Sent>(json).unwrap().answer()
    }

    fn has_it(json: &str) -> Result<bool, String> {
        serde_json::from_str::<Status>(json).unwrap().has_it()
    }

    #[test]
    fn answers_are_understood() {
        assert_eq!(sent(r#"{"id": "0193a000-0000-7000-8000-000000000007", "cnt": 1}"#), Answer::Taken);
        assert_eq!(sent(r#"{"id": 7, "cnt": 1, "cost": "1.9"}"#), Answer::Taken);
        for code in [1, 5, 6, 7, 8] {
            let answer = sent(&format!(r#"{{"error": "no", "error_code": {code}, "id": 7}}"#));
            assert_eq!(answer, Answer::Never(format!("SMSC says {code}: no")));
        }
        for code in [2, 3, 4, 9, 99] {
            assert!(matches!(
                sent(&format!(r#"{{"error": "no", "error_code": {code}}}"#)),
                Answer::NotNow(_)
            ));
        }
        for (json, there) in [
            (r#"{"status": 1, "last_date": "21.11.2026 12:00:00"}"#, Some(true)),
            (r#"{"status": -1}"#, Some(true)),
            (r#"{"status": 20, "err": 1}"#, Some(true)),
            (r#"{"status": -3}"#, Some(false)),
            (r#"{"error": "message not found", "error_code": 3}"#, Some(false)),
            (r#"{"error": "authorise error", "error_code": 2}"#, None),
            ("{}", None),
        ] {
            assert_eq!(has_it(json).ok(), there, "{json}");
        }
    }

    #[test]
    fn a_message_lasts_between_a_minute_and_a_day() {
        for (seconds, text) in
            [(0, "00:01"), (61, "00:02"), (300, "00:05"), (3_660, "01:01"), (999_999, "24:00")]
        {
            assert_eq!(valid(Duration::from_secs(seconds)), text);
        }
    }
}
