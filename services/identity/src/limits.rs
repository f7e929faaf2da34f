//! How many codes are sent: an SMS costs money, and there are people who have a share in what it costs.

use std::str::FromStr;
use std::time::Duration;

use artel_cache::{Decision, LONGEST_WINDOW, MOST_HITS, Rate, Throttle};
use artel_handle::Live;
use futures::future::join_all;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tonic::metadata::MetadataMap;

use crate::attempts::network_address;
use crate::phone::Phone;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// So many in so long: `3/900s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Allowance(pub(crate) Rate);

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no limit: write <count>/<seconds>s, as 3/900s");
        let (count, seconds) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.parse::<u32>().ok().filter(|count| (1..=MOST_HITS).contains(count));
        let seconds = seconds.strip_suffix('s').and_then(|seconds| seconds.parse::<u64>().ok());
        let seconds = seconds.filter(|seconds| (1..=LONGEST_WINDOW.as_secs()).contains(seconds));
        let (count, seconds) = count.zip(seconds).ok_or_else(wrong)?;
        Ok(Self(Rate { count, period: Duration::from_secs(seconds) }))
    }
}

impl TryFrom<String> for Allowance {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Counts the codes that are asked for: by phone, by network address, by the range of numbers. Who is refused is not
/// told by which of them, nor does any of them depend on whether the phone is known.
///
/// They are counted in Redis over all copies. While it is away each copy counts for itself, as failed sign-ins are: guests
/// can sign in, and a pump gets so many more as there are copies.
pub(crate) struct CodeLimits {
    throttle: Throttle,
    settings: Live<Settings>,
}

impl CodeLimits {
    pub(crate) fn new(throttle: Throttle, settings: Live<Settings>) -> Self {
        Self { throttle, settings }
    }

    /// Counts one more; refuses where that is one too many by any of the limits.
    pub(crate) async fn take(&self, phone: &Phone, metadata: &MetadataMap) -> Result<(), Refusal> {
        let windows = self.windows(phone, metadata);
        // A refused code should not use up what the other limits allow, so all are looked at first. Those who come at
        // the same moment may still lose one there; that more than allowed are sent cannot happen: each hit counts.
        let looks = windows.iter().map(|(key, rate)| self.throttle.look(key, rate.count, rate.period));
        judge(join_all(looks).await)?;
        for (key, rate) in &windows {
            judge([self.throttle.hit(key, rate.count, rate.period).await])?;
        }
        Ok(())
    }

    fn windows(&self, phone: &Phone, metadata: &MetadataMap) -> Vec<(String, Rate)> {
        let settings = self.settings.get();
        // Redis is no place for people's numbers.
        let digest = hex::encode(&Sha256::digest(phone.number.as_bytes())[..16]);
        let by_phone =
            settings.quick_auth.per_phone.iter().map(|Allowance(rate)| (format!("phone:{digest}"), *rate));
        let address = network_address(metadata);
        let by_address = address.iter().flat_map(|address| {
            let allowances = settings.quick_auth.per_address.iter();
            allowances.map(move |Allowance(rate)| (format!("address:{address}"), *rate))
        });
        let by_range = (format!("range:{}", phone.range), phone.allowance);
        by_phone
            .chain(by_address)
            .chain([by_range])
            .map(|(key, rate)| (format!("{key}:{}", rate.period.as_secs()), rate))
            .collect()
    }
}

fn judge(decisions: impl IntoIterator<Item = Decision>) -> Result<(), Refusal> {
    match decisions.into_iter().filter(|it| !it.allowed).map(|it| it.retry_after).max() {
        None => Ok(()),
        Some(wait) => Err(Refusal::TooManyCodes(wait)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_how_many_in_how_long() {
        let Allowance(rate) = "3/900s".parse().unwrap();
        assert_eq!((rate.count, rate.period.as_secs()), (3, 900));
        for bad in ["", "3", "3/900", "0/9s", "3/0s", "10001/9s", "3/86401s", "-1/9s", "3/9s/9s"] {
            assert!(bad.parse::<Allowance>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn of_many_at_once_as_many_pass_as_are_allowed_and_looking_alone_lets_all_through() {
        let config = format!("[identity]\nkey = '{}'", "5e".repeat(32));
        let mesh = artel_handle::testing::LocalMesh::start(&config).await.unwrap();
        let settings: Live<Settings> = mesh.host("identity").settings().unwrap();
        // Nobody is there: this process counts.
        let redis = artel_cache::Redis::open("redis://127.0.0.1:9").unwrap();
        let throttle = Throttle::new(redis, "test", artel_cache::OnFailure::Allow);
        let limits = CodeLimits::new(throttle, settings.clone());
        let phone = settings.get().quick_auth.phone("8 701 123 45 67").unwrap();
        let metadata = MetadataMap::new();

        let (key, rate) = limits.windows(&phone, &metadata).remove(0);
        assert_eq!(rate.count, 1);
        let looks = join_all((0..24).map(|_| limits.throttle.look(&key, rate.count, rate.period))).await;
        let passed = looks.iter().filter(|look| look.allowed).count();
        assert_eq!(passed, 24, "the negative control: who looks and counts later lets all through");

        let taken = join_all((0..24).map(|_| limits.take(&phone, &metadata))).await;
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
    }
}
