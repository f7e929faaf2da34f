//! How many sign-ins may fail.

use std::net::IpAddr;

use artel_cache::{Decision, Throttle};
use artel_handle::Live;
use futures::future::join_all;
use sha2::{Digest as _, Sha256};
use tonic::metadata::MetadataMap;

use crate::refusal::Refusal;
use crate::settings::{Limits, Settings};

/// What Envoy saw at the other end of the connection; it replaces what a caller wrote there.
const ENVOY_ADDRESS: &str = "x-envoy-external-address";
/// Where Envoy adds the address it saw as the last one. Those before it are what the caller says.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Counts failed sign-ins by e-mail address and by network address.
///
/// Only failures count, so that many devices of one person may sign in at once. It is asked before the password is
/// looked at, to save the work, and again after: of a hundred guesses sent at the same moment those beyond the limit
/// learn nothing, even if they are right.
pub(crate) struct Attempts {
    throttle: Throttle,
    settings: Live<Settings>,
}

/// Who tries to sign in: the keys they are counted under.
pub(crate) struct Attempt {
    /// Absent for one who guesses a code: that has a few tries of its own.
    email: Option<String>,
    address: Option<String>,
}

impl Attempt {
    /// For an address in normal form, from wherever the request says it comes.
    pub(crate) fn new(email: &str, metadata: &MetadataMap) -> Self {
        // Redis is no place for people's addresses.
        let digest = Sha256::digest(email.as_bytes());
        Self { email: Some(format!("email:{}", hex::encode(&digest[..16]))), ..Self::at_a_code(metadata) }
    }

    /// At a code, from wherever the request says it comes.
    pub(crate) fn at_a_code(metadata: &MetadataMap) -> Self {
        let address = network_address(metadata).map(|address| format!("address:{address}"));
        Self { email: None, address }
    }

    /// The keys it is counted under, each with how many are allowed.
    fn keys(&self, limits: &Limits) -> impl Iterator<Item = (&String, u32)> {
        let by_email = self.email.iter().map(|key| (key, limits.per_email));
        by_email.chain(self.address.iter().map(|key| (key, limits.per_address)))
    }
}

impl Attempts {
    pub(crate) fn new(throttle: Throttle, settings: Live<Settings>) -> Self {
        Self { throttle, settings }
    }

    /// Refuses where too many failed.
    pub(crate) async fn check(&self, attempt: &Attempt) -> Result<(), Refusal> {
        let limits = self.settings.get().attempts;
        let looks = attempt.keys(&limits).map(|(key, limit)| self.throttle.look(key, limit, limits.window()));
        judge(join_all(looks).await)
    }

    /// Counts a failure; refuses where that was one too many.
    pub(crate) async fn fail(&self, attempt: &Attempt) -> Result<(), Refusal> {
        let limits = self.settings.get().attempts;
        let hits = attempt.keys(&limits).map(|(key, limit)| self.throttle.hit(key, limit, limits.window()));
        judge(join_all(hits).await)
    }

    /// Forgets the failures for the e-mail address. Those of the network address stay: whoever tries the passwords of
    /// many knows one.
    pub(crate) async fn succeed(&self, attempt: &Attempt) {
        if let Some(email) = &attempt.email {
            self.throttle.forget(email).await;
        }
    }
}

fn judge(decisions: Vec<Decision>) -> Result<(), Refusal> {
    match decisions.into_iter().filter(|it| !it.allowed).map(|it| it.retry_after).max() {
        None => Ok(()),
        Some(wait) => Err(Refusal::TooManyAttempts(wait)),
    }
}

/// Where the request comes from, as Envoy saw it; `None` for one that did not come through Envoy. An IPv6 network
/// counts as one, since whoever has an address there has 2^64 of them.
pub(crate) fn network_address(metadata: &MetadataMap) -> Option<String> {
    let text = |name| metadata.get(name)?.to_str().ok();
    let address = text(ENVOY_ADDRESS).or_else(|| text(FORWARDED_FOR)?.rsplit(',').next())?;
    match address.trim().parse().ok()? {
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => Some(address.to_string()),
            None => {
                let [a, b, c, d, ..] = address.segments();
                Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (name, value) in pairs {
            metadata.insert(*name, value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn an_address_is_what_envoy_saw_and_not_what_the_caller_says() {
        let address = |pairs| network_address(&metadata(pairs));
        assert_eq!(address(&[]), None);
        assert_eq!(address(&[(FORWARDED_FOR, "9.9.9.9, 10.0.0.7")]).as_deref(), Some("10.0.0.7"));
        let both = [(FORWARDED_FOR, "9.9.9.9"), (ENVOY_ADDRESS, "8.8.8.8")];
        assert_eq!(address(&both).as_deref(), Some("8.8.8.8"));
        assert_eq!(address(&[(ENVOY_ADDRESS, "nonsense")]), None);
        assert_eq!(address(&[(ENVOY_ADDRESS, "::ffff:8.8.8.8")]).as_deref(), Some("8.8.8.8"));
        let network = address(&[(ENVOY_ADDRESS, "2001:db8:1:2:aaaa::1")]);
        assert_eq!(network.as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(network, address(&[(ENVOY_ADDRESS, "2001:db8:1:2:bbbb::2")]));
    }

    #[test]
    fn nobody_is_named_in_redis() {
        let attempt = Attempt::new("anna@example.com", &MetadataMap::new());
        assert!(!attempt.email.unwrap().contains("anna"));
    }
}
