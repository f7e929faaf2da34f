//! Exact sums of money in minor units.

/// How many minor units make a unit: 2 digits for RUB, 0 for JPY. ISO 4217; 2 for those not listed.
#[must_use]
pub fn digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// Price times quantity; `None` where it does not fit.
#[must_use]
pub fn times(amount_minor: i64, quantity: i32) -> Option<i64> {
    amount_minor.checked_mul(i64::from(quantity))
}

/// The sum; `None` where it does not fit.
#[must_use]
pub fn sum(amounts: impl IntoIterator<Item = i64>) -> Option<i64> {
    amounts.into_iter().try_fold(0_i64, i64::checked_add)
}
