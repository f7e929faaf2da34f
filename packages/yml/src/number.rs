//! Decimal numbers as feeds write them, exact: no floating point comes near money.

use std::fmt;

use thiserror::Error;

/// An exact non-negative decimal number: `units / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits, without the point.
    pub units: i64,
    /// How many of the digits stand behind the point; at most 18.
    pub scale: u32,
}

/// Why a text isn't the number that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum NumberFlaw {
    #[error("write digits with at most one point or comma, such as 1290.50")]
    NotANumber,
    #[error("it must not be negative")]
    Negative,
    #[error("it must be more than zero")]
    Zero,
    #[error("it is too large to be held")]
    TooLarge,
    #[error("it has more decimals than the currency; round it")]
    TooPrecise,
    #[error("the three digits behind the point could be thousands; write 1290.00 or 1.29")]
    Ambiguous,
}

impl Decimal {
    /// Reads `1290`, `1290.50`, `1290,5` and, with spaces between thousands, `1 290,50`.
    ///
    /// # Errors
    /// Anything else: signs, exponents, NaN, both a point and a comma, more than 18 digits of value.
    pub fn parse(text: &str) -> Result<Self, NumberFlaw> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix(['-', '\u{2212}']) {
            return Err(match Self::parse(rest) {
                Ok(_) | Err(NumberFlaw::TooLarge) => NumberFlaw::Negative,
                Err(flaw) => flaw,
            });
        }
        let (mut units, mut scale, mut point, mut digits) = (0_i64, 0_u32, false, 0);
        let mut last = ' ';
        for char in text.chars() {
            match char {
                '0'..='9' => {
                    digits += 1;
                    let digit = i64::from(char as u8 - b'0');
                    units = units
                        .checked_mul(10)
                        .and_then(|units| units.checked_add(digit))
                        .ok_or(NumberFlaw::TooLarge)?;
                    scale += u32::from(point);
                    if scale > 18 {
                        return Err(NumberFlaw::TooLarge);
                    }
                }
                '.' | ',' if !point && digits > 0 => point = true,
                ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' if !point && last.is_ascii_digit() => {}
                _ => return Err(NumberFlaw::NotANumber),
            }
            last = char;
        }
        if digits == 0 || !last.is_ascii_digit() {
            return Err(NumberFlaw::NotANumber);
        }
        Ok(Self { units, scale })
    }

    /// The same number in units of `10^-exponent`, exactly: 1290.5 at 2 is 129050.
    ///
    /// # Errors
    /// `TooPrecise` if digits other than zero would be lost, `TooLarge` over `i64`.
    pub fn to_minor(self, exponent: u32) -> Result<i64, NumberFlaw> {
        if self.scale <= exponent {
            return 10_i64
                .checked_pow(exponent - self.scale)
                .and_then(|factor| self.units.checked_mul(factor))
                .ok_or(NumberFlaw::TooLarge);
        }
        let divisor = 10_i64.pow((self.scale - exponent).min(18));
        if self.units % divisor == 0 { Ok(self.units / divisor) } else { Err(NumberFlaw::TooPrecise) }
    }

    /// Reads a price of a currency with `exponent` decimals, in minor units.
    ///
    /// # Errors
    /// What `parse` and `to_minor` refuse, zero, and `1,290`, which is 1.29 to some and 1290 to others.
    pub fn parse_price(text: &str, exponent: u32) -> Result<i64, NumberFlaw> {
        let price = Self::parse(text)?;
        if price.scale == 3 && exponent < 3 && (1000..1_000_000).contains(&price.units) {
            return Err(NumberFlaw::Ambiguous);
        }
        match price.to_minor(exponent)? {
            0 => Err(NumberFlaw::Zero),
            minor => Ok(minor),
        }
    }

    /// The same number in units of `10^-exponent`, halves rounded up; for weights and sizes.
    pub(crate) fn rounded(self, exponent: u32) -> Option<i64> {
        if self.scale <= exponent {
            return self.to_minor(exponent).ok();
        }
        let divisor = 10_i64.pow((self.scale - exponent).min(18));
        self.units.checked_add(divisor / 2).map(|units| units / divisor)
    }

    /// From units of `10^-scale`.
    pub(crate) fn new(units: i64, scale: u32) -> Self {
        Self { units, scale }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(out, "{}", self.units);
        }
        let factor = 10_i64.pow(self.scale);
        let width = self.scale as usize;
        write!(out, "{}.{:0width$}", self.units / factor, self.units % factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minor(text: &str, exponent: u32) -> Result<i64, NumberFlaw> {
        Decimal::parse(text)?.to_minor(exponent)
    }

    #[test]
    fn points_commas_and_thousands() {
        for text in ["1290.5", "1290,5", "1290,50", "1 290.50", "1\u{a0}290,5000", " 1290.5\n"] {
            assert_eq!(minor(text, 2), Ok(129_050), "{text}");
        }
        assert_eq!(minor("1290", 0), Ok(1290));
        assert_eq!(minor("1290.00", 0), Ok(1290));
        assert_eq!(minor("0", 2), Ok(0));
    }

    #[test]
    fn refused() {
        use NumberFlaw::{Negative, NotANumber, TooLarge, TooPrecise};
        for text in
            ["", " ", ".", ".5", "5.", "1e3", "+5", "NaN", "inf", "1,290.50", "1.2.3", "12 руб", "0x10", "٣"]
        {
            assert_eq!(Decimal::parse(text), Err(NotANumber), "{text}");
        }
        assert_eq!(Decimal::parse("-1"), Err(Negative));
        assert_eq!(Decimal::parse("-99999999999999999999"), Err(Negative));
        assert_eq!(Decimal::parse("-"), Err(NotANumber));
        assert_eq!(Decimal::parse("99999999999999999999"), Err(TooLarge));
        assert_eq!(minor("92233720368547758.08", 2), Err(TooLarge));
        assert_eq!(minor("92233720368547758.07", 2), Ok(i64::MAX));
        assert_eq!(minor("92233720368547759", 2), Err(TooLarge));
        assert_eq!(minor("19.999", 2), Err(TooPrecise));
        assert_eq!(minor("0.0000000000000000001", 2), Err(TooLarge));
    }

    #[test]
    fn prices() {
        let price = |text| Decimal::parse_price(text, 2);
        assert_eq!(price("1290,50"), Ok(129_050));
        assert_eq!(price("1290.000"), Ok(129_000));
        assert_eq!(price("0.500"), Ok(50));
        assert_eq!(price("1,290"), Err(NumberFlaw::Ambiguous));
        assert_eq!(price("12.000"), Err(NumberFlaw::Ambiguous));
        assert_eq!(price("0.00"), Err(NumberFlaw::Zero));
        assert_eq!(Decimal::parse_price("1.290", 3), Ok(1290));
    }

    proptest! {
        #[test]
        fn display_reads_back(units in 0..=i64::MAX, scale in 0..=18_u32) {
            let number = Decimal { units, scale };
            prop_assert_eq!(Decimal::parse(&number.to_string()), Ok(number));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            if let Ok(number) = Decimal::parse(&text) {
                let _ = number.to_minor(2);
                let _ = number.rounded(3);
            }
        }
    }
}
