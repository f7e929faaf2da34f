//! How many requests are taken, as an operator says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use artel_cache::{LONGEST_WINDOW, Rate};
use artel_proto::annotations;
use serde::{Deserialize, Serialize};

use crate::entrance::Entrance;

/// The table `[gateway.limits]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whether anything is counted.
    pub on: bool,
    /// From one network address.
    pub per_address: Allowance,
    /// Of one person.
    pub per_user: Allowance,
    /// Of all people of one workspace.
    pub per_workspace: Allowance,
    /// Sign-ins from one network address.
    pub sign_in: Allowance,
    /// Sign-ups from one network address.
    pub sign_up: Allowance,
    /// Refreshes from one network address.
    pub refresh: Allowance,
    /// Of single methods besides.
    pub methods: Vec<MethodLimit>,
}

/// So many in so much time, `600/60s`; or `none`, as many as come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allowance(pub Option<Rate>);

/// A limit of one method: `artel.order.v1.OrderService/CreateOrder user 30/60s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodLimit {
    /// The method's full name, with dots.
    pub method: String,
    /// By what it is counted.
    pub by: By,
    /// How many.
    pub rate: Rate,
}

/// By what requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The network address that they come from.
    Address,
    /// The person who signed in.
    User,
    /// That person's workspace.
    Workspace,
}

impl Limits {
    /// The limit of an entrance.
    pub(crate) fn entrance(&self, entrance: Entrance) -> Option<Rate> {
        match entrance {
            Entrance::SignIn => self.sign_in.0,
            Entrance::SignUp => self.sign_up.0,
            Entrance::Refresh => self.refresh.0,
            Entrance::SignOut => None,
        }
    }

    /// Refuses limits of methods that there are not: key and problem.
    pub(crate) fn possible(&self) -> Result<(), (String, String)> {
        let there = |limit: &&MethodLimit| {
            let (service, name) = limit.method.rsplit_once('.').unwrap_or_default();
            let service = annotations::pool().get_service_by_name(service);
            service.is_some_and(|service| service.methods().any(|method| method.name() == name))
        };
        match self.methods.iter().find(|limit| !there(limit)) {
            Some(limit) => Err(("limits.methods".to_owned(), format!("there is no method {}", limit.method))),
            None => Ok(()),
        }
    }
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let wrong = || format!("`{text}` is no limit: write <count>/<seconds>s, as 600/60s, or none");
        let (count, seconds) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.parse::<u32>().ok().filter(|count| (1..=1_000_000_000).contains(count));
        let seconds = seconds.strip_suffix('s').and_then(|seconds| seconds.parse::<u64>().ok());
        let seconds = seconds.filter(|seconds| (1..=LONGEST_WINDOW.as_secs()).contains(seconds));
        let (count, seconds) = count.zip(seconds).ok_or_else(wrong)?;
        Ok(Self(Some(Rate { count, period: Duration::from_secs(seconds) })))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => write!(out, "{}/{}s", rate.count, rate.period.as_secs()),
            None => out.write_str("none"),
        }
    }
}

impl FromStr for MethodLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let wrong = |why: &str| format!("`{text}` {why}: write <service>/<method> <by> <count>/<seconds>s");
        let [method, by, rate] = words[..] else { return Err(wrong("has not three words")) };
        let (service, name) = method.split_once('/').ok_or_else(|| wrong("names no service/method"))?;
        let by = By::named(by).ok_or_else(|| wrong("is counted by neither address, user nor workspace"))?;
        let rate = rate.parse::<Allowance>()?.0.ok_or_else(|| wrong("limits nothing"))?;
        Ok(Self { method: format!("{service}.{name}"), by, rate })
    }
}

impl fmt::Display for MethodLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, name) = self.method.rsplit_once('.').unwrap_or_default();
        write!(out, "{service}/{name} {} {}", self.by.name(), Allowance(Some(self.rate)))
    }
}

macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Allowance, MethodLimit);

impl By {
    const ALL: [Self; 3] = [Self::Address, Self::User, Self::Workspace];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    /// Its name in the configuration and in Redis.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::User => "user",
            Self::Workspace => "workspace",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GatewayConfig;

    #[test]
    fn limits_are_read_as_they_are_written() {
        for text in ["600/60s", "1/86400s", "none"] {
            assert_eq!(text.parse::<Allowance>().unwrap().to_string(), text);
        }
        for bad in ["", "600", "0/60s", "600/0s", "600/60", "-1/60s", "600/90000s", "1e3/60s", "None"] {
            assert!(bad.parse::<Allowance>().unwrap_err().contains("600/60s"), "{bad}");
        }
        let text = "artel.order.v1.OrderService/CreateOrder user 30/60s";
        let limit: MethodLimit = text.parse().unwrap();
        assert_eq!(limit.method, "artel.order.v1.OrderService.CreateOrder");
        assert_eq!((limit.by, limit.to_string()), (By::User, text.to_owned()));
        for bad in ["artel.order.v1.OrderService/CreateOrder 30/60s", "a/b everybody 1/1s", "a/b user none"] {
            assert!(bad.parse::<MethodLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_of_no_method_is_refused_by_name() {
        let mut config: GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
        config.limits.methods = vec!["artel.order.v1.OrderService/CreateOrder user 30/60s".parse().unwrap()];
        config.possible().unwrap();
        config.limits.methods.push("artel.order.v1.OrderService/Nothing user 30/60s".parse().unwrap());
        let error = config.possible().unwrap_err().to_string();
        assert!(error.contains("gateway.limits.methods") && error.contains("Nothing"), "{error}");
    }

    #[test]
    fn https_needs_an_address_and_a_certificate() {
        let config: GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
        for (bind, pem, key) in [("8443", "x.pem", "tls.bind"), ("127.0.0.1:8443", "", "tls.pem")] {
            let mut config = config.clone();
            config.tls.bind = bind.to_owned();
            config.tls.pem = pem.to_owned();
            assert!(config.possible().unwrap_err().to_string().contains(key), "{bind}");
        }
    }
}
