//! What the bank's codes of a payment mean for the money.

/// Was money taken?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No: the card or its bank says no. With our reason.
    Declined(&'static str),
    /// The bank itself is not sure, or failed on the way.
    Unclear,
    /// It is not about the card.
    NotCard,
}

impl Verdict {
    pub fn of(code: &str) -> Self {
        match code {
            "484" => Self::Declined("insufficient_funds"),
            "457" | "478" | "485" => Self::Declined("card_expired"),
            "465" | "467" | "479" | "481" | "482" | "483" | "489" | "492" | "524" | "525" => {
                Self::Declined("card_blocked")
            }
            "488" | "491" | "529" => Self::Declined("limit_exceeded"),
            "455" | "468" | "473" | "499" => Self::Declined("authentication_failed"),
            // "The sum may have been blocked", "the server does not answer", "system error".
            "454" | "458" | "459" | "460" | "461" | "475" | "493" | "494" | "496" | "497" | "500" | "501"
            | "502" | "503" | "526" => Self::Unclear,
            _ => match code.parse::<u16>() {
                Ok(456..=527) => Self::Declined("card_declined"),
                _ => Self::NotCard,
            },
        }
    }
}
