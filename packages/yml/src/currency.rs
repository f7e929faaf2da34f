//! Currency codes of ISO 4217, how many decimals each has, and the old names that feeds still use.

use std::fmt;

/// All currencies in use, with the number of decimals where it isn't two.
const CODES: &str = "\
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD3 BIF0 BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF \
CHF CLP0 CNY COP CRC CUP CVE CZK DJF0 DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF0 GTQ GYD \
HKD HNL HTG HUF IDR ILS INR IQD3 IRR ISK0 JMD JOD3 JPY0 KES KGS KHR KMF0 KPW KRW0 KWD3 KYD KZT LAK LBP LKR \
LRD LSL LYD3 MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR3 PAB PEN \
PGK PHP PKR PLN PYG0 QAR RON RSD RUB RWF0 SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB \
TJS TMT TND3 TOP TRY TTD TWD TZS UAH UGX0 USD UYU UZS VES VND0 VUV0 WST XAF0 XCD XOF0 XPF0 YER ZAR ZMW ZWG";

/// A currency of ISO 4217, such as RUB; RUR in a feed is RUB here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CurrencyCode([u8; 3]);

impl CurrencyCode {
    /// The Russian rouble.
    pub const RUB: Self = Self(*b"RUB");

    /// Reads a code in any case. RUR is RUB, GRN and UAK are UAH.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let code = match upper.as_str() {
            "RUR" => "RUB",
            "GRN" | "UAK" => "UAH",
            other => other,
        };
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        CODES.split(' ').any(|known| known.as_bytes()[..3] == bytes).then_some(Self(bytes))
    }

    /// How many decimals an amount has: 2 for RUB, 0 for JPY.
    #[must_use]
    pub fn exponent(self) -> u32 {
        let entry = CODES.split(' ').find(|known| known.as_bytes()[..3] == self.0);
        entry.and_then(|entry| entry[3..].parse().ok()).unwrap_or(2)
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_decimals() {
        let exponent = |code| CurrencyCode::parse(code).map(CurrencyCode::exponent);
        assert_eq!(exponent("RUB"), Some(2));
        assert_eq!(exponent("KZT"), Some(2));
        assert_eq!(exponent("JPY"), Some(0));
        assert_eq!(exponent("KWD"), Some(3));
        assert_eq!(exponent("ZWG"), Some(2));
        assert_eq!(CurrencyCode::parse(" rur "), Some(CurrencyCode::RUB));
        for unknown in ["", "R", "RU", "RUBL", "XXX", "₽", "ру", "JPY0", "KW3"] {
            assert_eq!(CurrencyCode::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_table_is_well_formed() {
        for entry in CODES.split(' ') {
            let (code, exponent) = entry.split_at(3);
            assert!(code.bytes().all(|byte| byte.is_ascii_uppercase()), "{entry}");
            assert!(matches!(exponent, "" | "0" | "3"), "{entry}");
        }
    }
}
